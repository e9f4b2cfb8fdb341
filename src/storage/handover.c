/* handover.c - a clean stop: the chains go on without this node before it ends.
 *
 * Targets that others can do without are reported OFFLINE and serve on. mgmtd need not wait for the
 * end of their lease then, so from that report on they answer reads only after a round with the
 * other members (confirm.c); updates go by the chain version, as always. So an answer is right
 * whatever mgmtd has decided meanwhile. When the routing shows the chains without them, and the
 * members that stay act on it, nobody needs this node any more; whoever holds an older routing for
 * a moment longer is told so, and finds nobody gone.
 *
 * The last server of a chain has nobody to hand over to. Without a manager nothing is handed over,
 * so that a whole cluster ends at once, and its chains keep their versions.
 */
#include "storage/storage_internal.h"

#define REPORT_TIMEOUT_NS (500 * MSEC)
#define LEAVE_TIMEOUT_NS  (3 * SEC)
#define LOOK_NS           (20 * MSEC)
#define ASK_TIMEOUT_NS    (200 * MSEC)
#define ASK_PAUSE_NS      (5 * MSEC)
#define LINGER_NS         (100 * MSEC) /* for clients: their routing comes when ours does */

static bool may_leave(const struct target *t)
{
    if (!target_is_member(t)) return false;
    return t->public_state == PUBLIC_SYNCING || t->serving_count > 1;
}

static bool is_still_in(const struct target *t)
{
    return t->is_leaving && t->local_state != LOCAL_OFFLINE && t->self_at < t->member_count;
}

static uint32_t leave_targets(struct storage *s)
{
    uint32_t count = 0;
    list_for_each (it, &s->targets) {
        struct target *t = list_entry(it, struct target, link);
        t->is_leaving = may_leave(t);
        count += t->is_leaving;
    }
    return count;
}

/* Until no chain needs this node, as far as the routing that is acted on here says. */
static int wait_left(struct storage *s)
{
    for (;;) {
        bool is_any_in = false;
        list_for_each (it, &s->targets) {
            is_any_in |= is_still_in(list_entry(it, struct target, link));
        }
        if (!is_any_in) return 0;
        /* A version is acted on a little after it is known. */
        int r = fiber_sleep(MIN_OF(fiber_remaining_ns(), (uint64_t)LOOK_NS));
        if (r < 0) return r;
        if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
    }
}

/* ---- the members that stay ---- */

/* The first target that has left its chain, of those after @id. */
static struct target *next_left(struct storage *s, uint64_t id)
{
    list_for_each (it, &s->targets) {
        struct target *t = list_entry(it, struct target, link);
        if (t->target_id > id && t->is_leaving && !t->is_going) return t;
    }
    return NULL;
}

/* Is member @at of @t's chain on the version without us? Of one that does not answer nothing is
 * known, and nothing is waited for. */
static int ask_member(struct target *t, uint32_t at)
{
    FIBER_TIMEOUT(ASK_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = storage_peer(t->storage, t->all[at].node_id, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena = { 0 };
    struct rpc_options options = { .arena = &arena };
    struct chain_version_request req = { .chain_id = t->chain_id,
                                         .chain_version = t->chain_version };
    struct empty_record reply;
    return storage_confirm_chain_version(to, &options, &req, &reply);
}

static int wait_member(struct target *t, uint32_t at)
{
    for (;;) {
        if (at >= t->member_count) return 0; /* the chain has changed once more */
        int r = ask_member(t, at);
        if (r != -ERR_CHAIN_VERSION_MISMATCH) return r == -ERR_CANCELED ? r : 0;
        r = fiber_sleep(ASK_PAUSE_NS);
        if (r < 0) return r;
        if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
    }
}

static int wait_members_of(struct target *t)
{
    int r = 0;
    target_use(t);
    for (uint32_t i = 0; i < t->member_count && r == 0; i++) {
        r = wait_member(t, i);
    }
    target_unuse(t);
    return r;
}

static int wait_members(struct storage *s)
{
    uint64_t id = 0;
    for (struct target *t; (t = next_left(s, id));) {
        id = t->target_id;
        int r = wait_members_of(t);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- all of it ---- */

static int hand_over(struct storage *s)
{
    int r;
    {
        FIBER_TIMEOUT(REPORT_TIMEOUT_NS);
        r = mgmtd_client_report(s->mgmtd);
    }
    if (r < 0) return r;
    {
        FIBER_TIMEOUT(LEAVE_TIMEOUT_NS);
        r = wait_left(s);
        if (r == 0) r = wait_members(s);
    }
    return r < 0 ? r : fiber_sleep(LINGER_NS);
}

int storage_hand_over(struct storage *s)
{
    uint64_t began_ns = node_now_ns(s->node);
    uint32_t count = leave_targets(s);
    if (count == 0) return 0;
    *metrics_cell(s->node->metrics, "storage.leaving") = 1;
    int r = hand_over(s);
    uint64_t took_ms = (node_now_ns(s->node) - began_ns) / MSEC;
    if (r == 0)
        log_info(&s->node->log, "%u targets are handed over, within %" PRIu64 " ms", count,
                 took_ms);
    else if (r == -ERR_PRIMARY_MGMTD_NOT_FOUND)
        log_info(&s->node->log, "no cluster manager is there to hand %u targets over", count);
    else
        log_warn(&s->node->log, r, "%u targets are not handed over, after %" PRIu64 " ms", count,
                 took_ms);
    return r;
}
