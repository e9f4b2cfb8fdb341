/* script_mgmtd.c - see script_mgmtd.h. */
#include "sim/script_mgmtd.h"
#include "base/arena.h"
#include "base/check.h"
#include "client/names.h"
#include "mgmtd/chain_state.h"
#include <stdio.h>

#define TICK_NS (50 * MSEC)

/* ---- the manager ---- */

void script_init(struct script *s, struct sim *sim)
{
    *s = (struct script){ .sim = sim,
                          .version = 1,
                          .delay_max_ns = 20 * MSEC,
                          .lease_ns = 1500 * MSEC,
                          .interval_ns = 500 * MSEC };
    wait_queue_init(&s->changed);
}

void script_address(const struct script *s, char *buf, size_t size)
{
    snprintf(buf, size, "TCP://script-%" PRIxPTR ":1", (uintptr_t)s);
}

static void script_change(struct script *s)
{
    s->version++;
    wait_queue_wake_all(&s->changed);
}

struct script_node *script_find_node(struct script *s, uint32_t node_id)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i].node_id == node_id) return &s->nodes[i];
    }
    return NULL;
}

void script_add_node(struct script *s, uint32_t node_id, const char *address)
{
    check(s->node_count < SCRIPT_NODE_COUNT_MAX);
    struct script_node *n = &s->nodes[s->node_count++];
    *n = (struct script_node){ .node_id = node_id };
    snprintf(n->address, sizeof n->address, "%s", address);
    script_change(s);
}

void script_add_chain(struct script *s, uint32_t chain_id, const uint64_t *target_ids,
                      const uint32_t *node_ids, uint32_t count)
{
    check(s->chain_count < SCRIPT_CHAIN_COUNT_MAX);
    struct script_chain *c = &s->chains[s->chain_count++];
    *c = (struct script_chain){ .chain_id = chain_id, .version = 1, .count = count };
    for (uint32_t i = 0; i < count; i++) {
        c->members[i] = (struct chain_member){ .target_id = target_ids[i],
                                               .public_state = PUBLIC_SERVING,
                                               .local_state = LOCAL_UPTODATE,
                                               .node_id = node_ids[i] };
    }
    script_change(s);
}

struct script_chain *script_find_chain(struct script *s, uint32_t chain_id)
{
    for (uint32_t i = 0; i < s->chain_count; i++) {
        if (s->chains[i].chain_id == chain_id) return &s->chains[i];
    }
    return NULL;
}

bool script_is_whole(const struct script *s)
{
    for (uint32_t i = 0; i < s->chain_count; i++) {
        for (uint32_t j = 0; j < s->chains[i].count; j++) {
            if (s->chains[i].members[j].public_state != PUBLIC_SERVING) return false;
        }
    }
    return true;
}

void script_print_chain(const struct script_chain *c, char *buf, size_t size)
{
    int n = snprintf(buf, size, "chain %u v%u:", c->chain_id, c->version);
    for (uint32_t i = 0; i < c->count && n > 0 && (size_t)n < size; i++) {
        const struct chain_member *m = &c->members[i];
        n += snprintf(buf + n, size - (size_t)n, " %u:%s/%s", m->node_id,
                      public_state_name(m->public_state), local_state_name(m->local_state));
    }
}

/* The state machine on one chain; a change is a new version. */
static void evaluate_chain(struct script *s, struct script_chain *c)
{
    struct chain_shape shape = { .count = c->count };
    for (uint32_t i = 0; i < c->count; i++) {
        const struct chain_member *m = &c->members[i];
        shape.slots[i] = (struct chain_slot){ m->target_id, m->public_state, m->local_state };
    }
    if (!chain_evaluate(&shape)) return;
    struct chain_member old[CHAIN_TARGET_COUNT_MAX];
    memcpy(old, c->members, sizeof old);
    for (uint32_t i = 0; i < c->count; i++) {
        for (uint32_t j = 0; j < c->count; j++) {
            if (old[j].target_id != shape.slots[i].target_id) continue;
            c->members[i] = old[j];
            c->members[i].public_state = shape.slots[i].public_state;
        }
    }
    c->version++;
    s->change_count++;
    script_change(s);
}

static void set_node_local(struct script *s, uint32_t node_id, uint8_t local_state)
{
    for (uint32_t i = 0; i < s->chain_count; i++) {
        struct script_chain *c = &s->chains[i];
        for (uint32_t j = 0; j < c->count; j++) {
            if (c->members[j].node_id == node_id) c->members[j].local_state = local_state;
        }
        evaluate_chain(s, c);
    }
}

int script_run(void *script)
{
    struct script *s = script;
    for (;;) {
        int r = fiber_sleep(TICK_NS);
        if (r < 0) return r;
        if (s->is_frozen) continue;
        for (uint32_t i = 0; i < s->node_count; i++) {
            struct script_node *n = &s->nodes[i];
            if (n->lease_end_ns == 0 || n->lease_end_ns > sim_now_ns(s->sim)) continue;
            n->lease_end_ns = 0;
            set_node_local(s, n->node_id, LOCAL_OFFLINE);
        }
    }
}

/* True when the heartbeat was taken and its lease given. */
static bool take_heartbeat(struct script *s, struct script_node *n,
                           const struct heartbeat_request *req)
{
    uint64_t incarnation = req->node.incarnation;
    if (incarnation < n->incarnation || (incarnation == n->incarnation && req->seq <= n->seq))
        return false;
    n->incarnation = incarnation;
    n->seq = req->seq;
    n->lease_end_ns = sim_now_ns(s->sim) + s->lease_ns;
    for (uint32_t k = 0; k < req->targets.count; k++) {
        const struct local_target *t = &req->targets.items[k];
        struct script_chain *c = script_find_chain(s, t->chain_id);
        if (!c || (t->chain_version && t->chain_version < c->version)) continue;
        for (uint32_t j = 0; j < c->count; j++) {
            if (c->members[j].target_id == t->target_id) c->members[j].local_state = t->local_state;
        }
        evaluate_chain(s, c);
    }
    if (req->stopping) {
        n->lease_end_ns = 0;
        set_node_local(s, n->node_id, LOCAL_OFFLINE);
    }
    return true;
}

/* ---- a node's tie to it ---- */

struct mgmtd_client {
    struct node *node;
    struct script *script;
    struct routing routing;
    struct rpc_pool *pool;
    struct scope scope;
    struct heartbeat_options heartbeat;
    uint32_t node_id; /* 0: a client */
    uint64_t incarnation, seq, lease_end_ns;
    uint64_t lease_routing_version, last_lease_end_ns; /* before that one is known, this counts */
    struct wait_queue kick;
    bool is_kicked;
    bool is_cut_off; /* of a client */
};

static bool hears_nothing(struct mgmtd_client *c)
{
    struct script_node *n = script_find_node(c->script, c->node_id);
    return c->is_cut_off || (n && n->is_cut_off);
}

void script_cut_client(struct mgmtd_client *c, bool is_cut)
{
    c->is_cut_off = is_cut;
}

static int message_delay(struct mgmtd_client *c)
{
    return fiber_sleep(sim_random_below(c->script->sim, c->script->delay_max_ns + 1));
}

static void fetch_routing(struct mgmtd_client *c)
{
    struct script *s = c->script;
    struct node_info nodes[SCRIPT_NODE_COUNT_MAX];
    struct bytes addresses[SCRIPT_NODE_COUNT_MAX];
    struct chain_info chains[SCRIPT_CHAIN_COUNT_MAX];
    for (uint32_t i = 0; i < s->node_count; i++) {
        addresses[i] = bytes_of_text(s->nodes[i].address);
        nodes[i] = (struct node_info){ .node_id = s->nodes[i].node_id,
                                       .type = NODE_STORAGE,
                                       .status = NODE_HEARTBEAT_CONNECTED,
                                       .addresses = { &addresses[i], 1 },
                                       .changed = s->version };
    }
    for (uint32_t i = 0; i < s->chain_count; i++) {
        struct script_chain *from = &s->chains[i];
        chains[i] = (struct chain_info){ .chain_id = from->chain_id,
                                         .version = from->version,
                                         .members = { from->members, from->count },
                                         .changed = s->version };
    }
    struct get_routing_reply reply = { .term = 1,
                                       .version = s->version,
                                       .full = 1,
                                       .nodes = { nodes, s->node_count },
                                       .chains = { chains, s->chain_count } };
    int r = routing_apply(&c->routing, &reply, 1);
    check(r >= 0);
}

static int watch_fiber(void *arg)
{
    struct mgmtd_client *c = arg;
    for (;;) {
        int r = 0;
        while (r == 0 && c->routing.version >= c->script->version) {
            r = wait_queue_wait(&c->script->changed, "routing of the script");
        }
        if (r == 0) r = message_delay(c);
        if (r < 0) return r;
        if (hears_nothing(c)) {
            r = fiber_sleep(TICK_NS);
            if (r < 0) return r;
            continue;
        }
        fetch_routing(c);
    }
}

static int send_heartbeat(struct mgmtd_client *c, bool is_stopping)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct heartbeat_request req = { .seq = ++c->seq, .stopping = is_stopping };
    req.node.node_id = c->node_id;
    req.node.incarnation = c->incarnation;
    uint64_t sent_ns = node_now_ns(c->node);
    c->heartbeat.fill(c->heartbeat.arg, &arena, &req);
    int r = message_delay(c);
    if (r < 0) return r;
    struct script_node *n = script_find_node(c->script, c->node_id);
    if (!n || n->is_cut_off || c->script->is_frozen) return 0;
    bool is_taken = take_heartbeat(c->script, n, &req);
    uint64_t version = c->script->version;
    r = message_delay(c);
    if (r < 0) return r;
    if (!is_taken || n->is_cut_off) return 0;
    c->last_lease_end_ns = mgmtd_client_lease_end_ns(c);
    c->lease_routing_version = version;
    c->lease_end_ns = sent_ns + c->script->lease_ns * 99 / 100;
    return 0;
}

static int heartbeat_fiber(void *arg)
{
    struct mgmtd_client *c = arg;
    for (;;) {
        c->is_kicked = false;
        int r = send_heartbeat(c, false);
        if (r < 0) return r;
        if (c->is_kicked) continue;
        FIBER_TIMEOUT(c->script->interval_ns);
        r = wait_queue_wait(&c->kick, "next heartbeat");
        if (r == -ERR_CANCELED) return r;
    }
}

struct mgmtd_client *mgmtd_client_new(struct node *node, const struct mgmtd_client_options *options)
{
    struct mgmtd_client *c = new_zero(struct mgmtd_client);
    uintptr_t at = 0;
    check(sscanf(options->servers[0].host, "script-%" SCNxPTR, &at) == 1);
    c->node = node;
    c->script = (struct script *)at;
    routing_init(&c->routing, 1);
    wait_queue_init(&c->kick);
    c->pool = rpc_pool_new(node, options->identity);
    c->incarnation = sim_now_ns(c->script->sim);
    scope_init(&c->scope, NULL);
    int r = fiber_spawn(&c->scope, "script-watch", watch_fiber, c);
    check(r == 0);
    return c;
}

struct mgmtd_client *mgmtd_client_free(struct mgmtd_client *c)
{
    if (!c) return NULL;
    scope_done(&c->scope);
    rpc_pool_free(c->pool);
    routing_done(&c->routing);
    free(c);
    return NULL;
}

struct routing *mgmtd_client_routing(struct mgmtd_client *c)
{
    return &c->routing;
}

struct rpc_pool *mgmtd_client_pool(struct mgmtd_client *c)
{
    return c->pool;
}

int mgmtd_client_wait_ready(struct mgmtd_client *c)
{
    while (c->routing.version == 0) {
        int r = wait_queue_wait(&c->routing.changed, "first routing");
        if (r < 0) return r;
    }
    return 0;
}

int mgmtd_client_start_heartbeat(struct mgmtd_client *c, const struct heartbeat_options *options)
{
    c->heartbeat = *options;
    c->node_id = options->node_id;
    return fiber_spawn(&c->scope, "script-heartbeat", heartbeat_fiber, c);
}

void mgmtd_client_kick_heartbeat(struct mgmtd_client *c)
{
    c->is_kicked = true;
    wait_queue_wake_all(&c->kick);
}

uint64_t mgmtd_client_lease_end_ns(const struct mgmtd_client *c)
{
    return c->routing.version < c->lease_routing_version ? c->last_lease_end_ns : c->lease_end_ns;
}

uint64_t mgmtd_client_incarnation(const struct mgmtd_client *c)
{
    return c->incarnation;
}

void mgmtd_client_say_stopping(struct mgmtd_client *c, uint64_t timeout_ns)
{
    if (!c->heartbeat.fill) return;
    FIBER_TIMEOUT(timeout_ns);
    int r = send_heartbeat(c, true);
    (void)r;
}
