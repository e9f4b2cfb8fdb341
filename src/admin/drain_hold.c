/* drain_hold.c - taking, keeping and giving back. */
#include "admin/drain_hold.h"

#define KEEP_NS   (1 * SEC)
#define CALL_NS   (3 * SEC)
#define AGAIN_NS  (300 * MSEC)
#define MARGIN_NS (1 * SEC)

static int hold_call(struct drain_hold *h, uint8_t mode, struct arena *arena,
                     struct hold_node_reply *ret, const char **ret_why)
{
    const struct node *node = h->a->node;
    struct hold_node_request q = { .node_id = h->node_id, .holder = h->holder, .mode = mode };
    struct rpc_options options = { .arena = arena,
                                   .timeout_ns = CALL_NS,
                                   .ret_error_text = ret_why };
    uint64_t begin_ns = node_now_ns(h->a->node);
    q.desc = bytes_of_text(arena_printf(arena, "process %u on %s", node->pid, node->host));
    int r = mgmtd_client_call(h->a->mgmtd, RPC_METHOD(mgmtd, hold_node), &options, &q, ret);
    if (r >= 0 && ret->granted) {
        h->kept_ns = begin_ns;
        h->timeout_ns = ret->timeout_ns;
    }
    return r;
}

/* A primary that cannot be reached may be so for a while; that another has it is final. */
static int keep(void *arg)
{
    struct drain_hold *h = arg;
    while (h->is_held) {
        cleanup_arena_ struct arena arena = { 0 };
        struct hold_node_reply rep = { 0 };
        const char *why = NULL;
        int r = fiber_sleep(KEEP_NS);
        if (r < 0) return r;
        r = hold_call(h, HOLD_KEEP, &arena, &rep, &why);
        if (r >= 0 && !rep.granted) h->is_held = false;
    }
    return 0;
}

/* Whoever keeps it while we look lives. */
static int take(struct drain_hold *h)
{
    uint64_t seen_count = 0;
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct hold_node_reply rep = { 0 };
        const char *why = NULL;
        int r = hold_call(h, HOLD_TAKE, &arena, &rep, &why);
        if (r < 0) return admin_fail(h->a, r, "node %u: %s", h->node_id, why ?: error_sentence(r));
        if (rep.granted) return 0;
        if (seen_count && rep.kept_count && rep.kept_count != seen_count)
            return admin_fail(h->a, -ERR_BUSY,
                              "node %u is being drained or undrained already, by %.*s: one run for "
                              "a node at a time",
                              h->node_id, (int)rep.desc.size, (const char *)rep.desc.base);
        seen_count = rep.kept_count;
        r = fiber_sleep(AGAIN_NS);
        if (r < 0) return r;
    }
}

int drain_hold_begin(struct drain_hold *h, struct admin *a, uint32_t node_id)
{
    *h = (struct drain_hold){ .a = a, .node_id = node_id };
    scope_init(&h->scope, sched_current());
    h->scope.local = a->node;
    node_random_bytes(a->node, &h->holder, sizeof h->holder);
    int r = take(h);
    if (r < 0) return r;
    h->is_held = true;
    r = fiber_spawn(&h->scope, "hold", keep, h);
    if (r < 0) drain_hold_end(h);
    return r;
}

int drain_hold_check(const struct drain_hold *h)
{
    if (!h->is_held) return -ERR_BUSY;
    return node_now_ns(h->a->node) - h->kept_ns + MARGIN_NS < h->timeout_ns;
}

void drain_hold_end(struct drain_hold *h)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct hold_node_reply rep = { 0 };
    const char *why = NULL;
    scope_done(&h->scope);
    if (!h->is_held) return;
    FIBER_SHIELD();
    FIBER_TIMEOUT(CALL_NS);
    int r = hold_call(h, HOLD_GIVE, &arena, &rep, &why);
    (void)r; /* it ends by itself */
}
