/* confirm.c - rounds of "are you still on this chain version?" among the members of a chain. */
#include "storage/confirm.h"
#include "loop/fault.h"
#include "storage/storage_internal.h"

/* A member that is alive answers at once; one that does not is about to leave the chain. */
#define CONFIRM_TIMEOUT_NS (500 * MSEC)
#define ENTER_PAUSE_NS     (20 * MSEC) /* the others may learn of the chain's version later */

void confirm_init(struct confirm *c)
{
    *c = (struct confirm){ 0 };
    wait_queue_init(&c->ended);
}

static bool has_lease(struct target *t)
{
    struct storage *s = t->storage;
    /* mgmtd was told that the target leaves, and need not wait for the lease's end. */
    if (t->is_leaving && !MUTANT(LEASE_KEPT_WHILE_LEAVING)) return false;
    /* A lease that was lost and is back says nothing of a chain version that is not applied yet. */
    const struct chain_info *chain = routing_chain(s->routing, t->chain_id);
    if (!chain || chain->version != t->chain_version) return false;
    return node_now_ns(s->node) < mgmtd_client_lease_end_ns(s->mgmtd);
}

int confirm_not_cut_off(struct target *t)
{
    return !target_is_alone(t) || has_lease(t) ? 0 : -ERR_TARGET_STATE_INVALID;
}

struct question {
    struct storage *storage;
    uint32_t node_id, chain_id, chain_version;
};

static int ask_member(void *arg)
{
    struct question *q = arg;
    FIBER_TIMEOUT(CONFIRM_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = storage_peer(q->storage, q->node_id, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct chain_version_request req = { .chain_id = q->chain_id,
                                         .chain_version = q->chain_version };
    struct empty_record reply;
    return storage_confirm_chain_version(to, &options, &req, &reply);
}

static int run_round(struct target *t)
{
    struct question questions[CHAIN_TARGET_COUNT_MAX];
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    scope.fail_fast = true;
    uint32_t version = t->chain_version;
    for (uint32_t i = 0; i < t->member_count; i++) {
        if (i == t->self_at) continue;
        questions[i] = (struct question){ t->storage, t->all[i].node_id, t->chain_id, version };
        int r = fiber_spawn(&scope, "confirm", ask_member, &questions[i]);
        if (r < 0) return r;
    }
    int r = scope_wait(&scope);
    if (r < 0) return r;
    return t->chain_version == version ? 0 : -ERR_CHAIN_VERSION_MISMATCH;
}

static int rounds_fiber(void *arg)
{
    struct target *t = arg;
    struct confirm *c = &t->confirm;
    do {
        c->begun++;
        int r = run_round(t);
        storage_count(t->storage, "storage.confirm_rounds", 1);
        c->result = r;
        c->done = c->begun;
        wait_queue_wake_all(&c->ended);
        /* Whoever came while the round ran needs the next one. */
        fiber_yield();
    } while (!fiber_is_cancelled() && !list_empty(&c->ended.waiters));
    c->is_running = false;
    target_unuse(t);
    return 0;
}

/* Waits for a round that begins after now. */
static int wait_round(struct target *t)
{
    struct confirm *c = &t->confirm;
    uint64_t wanted = c->begun + 1;
    while (c->done < wanted) {
        if (!c->is_running) {
            int r = fiber_spawn(&t->storage->scope, "confirm-rounds", rounds_fiber, t);
            if (r < 0) return r;
            target_use(t);
            c->is_running = true;
        }
        int r = wait_queue_wait(&c->ended, "confirmation of the chain version");
        if (r < 0) return r;
    }
    return c->result;
}

int confirm_read(struct target *t, uint32_t chain_version)
{
    int r = target_check_serving(t, chain_version);
    if (r < 0) return r;
    if (t->all_count == 1 || has_lease(t)) return 0;
    if (target_is_alone(t)) return -ERR_TARGET_STATE_INVALID;
    r = wait_round(t);
    if (r < 0) return r;
    return target_check_serving(t, chain_version);
}

int confirm_role(struct target *t)
{
    if (!t->needs_round) return 0;
    uint32_t version = t->chain_version;
    if (t->member_count > 1) {
        int r = wait_round(t);
        if (r < 0) return r;
    }
    if (t->chain_version != version) return -ERR_CHAIN_VERSION_MISMATCH;
    t->needs_round = false;
    return 0;
}

static int enter_fiber(void *arg)
{
    struct target *t = arg;
    int r = 0;
    while (r != -ERR_CANCELED && t->needs_round && target_is_serving(t)) {
        r = confirm_role(t);
        if (r < 0 && r != -ERR_CANCELED) r = fiber_sleep(ENTER_PAUSE_NS);
    }
    t->confirm.is_entering = false;
    target_unuse(t);
    return 0;
}

void confirm_role_soon(struct target *t)
{
    if (!t->needs_round || t->confirm.is_entering) return;
    if (fiber_spawn(&t->storage->scope, "confirm-role", enter_fiber, t) < 0) return;
    target_use(t);
    t->confirm.is_entering = true;
}
