/* target.c - roles and local states of one target. */
#include "storage/target.h"
#include "base/check.h"
#include "client/names.h"
#include "storage/forward.h"
#include "storage/storage_internal.h"

struct target *target_new(struct storage *storage, struct disk *disk,
                          const struct store_target *stored)
{
    struct target *t = new_zero(struct target);
    t->storage = storage;
    t->disk = disk;
    t->store = disk->store;
    t->target_id = stored->target_id;
    t->chain_id = stored->chain_id;
    t->local_state = LOCAL_ONLINE;
    list_init(&t->link);
    list_init(&t->attempts);
    wait_queue_init(&t->changed);
    chunk_locks_init(&t->locks);
    confirm_init(&t->confirm);
    recover_init(&t->recover);
    t->sync_receiver.epoch_last = node_random_u64(storage->node) >> 1;
    return t;
}

struct target *target_free(struct target *t)
{
    if (!t) return NULL;
    check(t->user_count == 0);
    recover_done(&t->recover);
    free(t);
    return NULL;
}

void target_use(struct target *t)
{
    t->user_count++;
}

struct target *target_unuse(struct target *t)
{
    check(t->user_count > 0);
    if (--t->user_count == 0) wait_queue_wake_all(&t->changed);
    return NULL;
}

void target_set_local_state(struct target *t, enum local_state state, const char *why)
{
    if (t->local_state == state) return;
    log_info(&t->storage->node->log, "target %" PRIu64 " of chain %u: %s -> %s (%s)", t->target_id,
             t->chain_id, local_state_name(t->local_state), local_state_name(state), why);
    t->local_state = state;
    forward_interrupt(t);
    wait_queue_wake_all(&t->changed);
    mgmtd_client_kick_heartbeat(t->storage->mgmtd);
}

void target_fail(struct target *t, int error)
{
    if (t->local_state == LOCAL_OFFLINE) return;
    log_error(&t->storage->node->log, error, "target %" PRIu64 " on %s goes offline", t->target_id,
              t->disk->path);
    target_set_local_state(t, LOCAL_OFFLINE, "disk failed");
}

/* Takes over order and states; no suspension. */
static void take_members(struct target *t, const struct chain_info *chain)
{
    uint32_t count = MIN_OF(chain->members.count, (uint32_t)CHAIN_TARGET_COUNT_MAX);
    t->all_count = t->self_at = count;
    t->member_count = t->serving_count = 0;
    t->public_state = PUBLIC_INVALID;
    for (uint32_t i = 0; i < count; i++) {
        const struct chain_member *m = &chain->members.items[i];
        t->all[i] = (struct member){ m->target_id, m->node_id, m->public_state };
        if (m->target_id == t->target_id) {
            t->self_at = i;
            t->public_state = m->public_state;
        }
        bool is_serving = m->public_state == PUBLIC_SERVING && t->serving_count == i;
        bool is_member = is_serving || (m->public_state == PUBLIC_SYNCING && i > 0);
        if (is_serving) t->serving_count++;
        if (is_member && t->member_count == i) t->member_count++;
    }
}

/* What the target is locally under its new public state. */
static enum local_state state_under(const struct target *t, enum public_state before)
{
    if (t->is_stopped || t->is_too_empty || t->disk->error) return LOCAL_OFFLINE;
    switch (t->public_state) {
    case PUBLIC_SERVING: return LOCAL_UPTODATE;
    case PUBLIC_SYNCING:
        /* Filled under an earlier version, and updates have come here ever since. */
        return before == PUBLIC_SYNCING && t->local_state == LOCAL_UPTODATE ? LOCAL_UPTODATE
                                                                            : LOCAL_ONLINE;
    case PUBLIC_INVALID:
    case PUBLIC_LASTSRV:
    case PUBLIC_WAITING:
    case PUBLIC_OFFLINE: break;
    }
    return LOCAL_ONLINE;
}

/* An empty store where mgmtd expects data, seen when a target meets its chain: a new disk under an
 * old id. As OFFLINE it leaves the chain and comes back through a resync; never as last server. */
static void judge_emptiness(struct target *t, uint32_t stored_version)
{
    bool expects_data = t->public_state == PUBLIC_SERVING || t->public_state == PUBLIC_LASTSRV;
    bool is_new_here = stored_version == 0 && t->chain_version > 1;
    bool was_too_empty = t->is_too_empty;
    t->is_too_empty = expects_data && (is_new_here || was_too_empty);
    if (t->is_too_empty && !was_too_empty)
        log_error(&t->storage->node->log, -ERR_TARGET_STATE_INVALID,
                  "target %" PRIu64 " is new, but chain %u version %u calls it %s: offline until "
                  "the chain goes on without it",
                  t->target_id, t->chain_id, t->chain_version, public_state_name(t->public_state));
}

static void enter_version(struct target *t, const struct chain_info *chain, uint32_t stored_version)
{
    bool is_first = t->chain_version == 0;
    enum public_state before = t->public_state;
    take_members(t, chain);
    t->chain_version = chain->version;
    judge_emptiness(t, stored_version);
    if (t->public_state == PUBLIC_SERVING && (is_first || before != PUBLIC_SERVING))
        t->needs_round = true;
    t->sync_receiver.epoch = 0;
    log_info(&t->storage->node->log, "target %" PRIu64 " of chain %u: version %u, %s, %u of %u",
             t->target_id, t->chain_id, t->chain_version, public_state_name(t->public_state),
             t->self_at + 1, t->all_count);
    target_set_local_state(t, state_under(t, before), "chain changed");
    forward_interrupt(t);
    wait_queue_wake_all(&t->changed);
    mgmtd_client_kick_heartbeat(t->storage->mgmtd);
    if (target_is_serving(t)) recover_scan(t);
    resync_consider(t);
}

void target_apply(struct target *t, const struct chain_info *chain)
{
    if (chain->version <= t->chain_version || t->is_going) return;
    const struct store_target *stored = store_target_find(t->store, t->target_id);
    if (!stored) return;
    uint32_t stored_version = stored->chain_version;
    if (chain->version < stored_version) {
        log_warn(&t->storage->node->log, -ERR_CHAIN_VERSION_MISMATCH,
                 "target %" PRIu64 " has acted on version %u of chain %u, routing has %u: waiting",
                 t->target_id, stored_version, t->chain_id, chain->version);
        return;
    }
    /* The routing may drop @chain while we wait for the disk. */
    struct chain_member members[CHAIN_TARGET_COUNT_MAX];
    struct chain_info copy = *chain;
    copy.members.count = MIN_OF(chain->members.count, (uint32_t)CHAIN_TARGET_COUNT_MAX);
    copy.members.items = members;
    if (copy.members.count)
        memcpy(members, chain->members.items, copy.members.count * sizeof *members);
    if (copy.version > stored_version) {
        FIBER_SHIELD();
        int r = store_target_set_chain_version(t->store, t->target_id, copy.version);
        if (r < 0) {
            target_fail(t, r);
            return;
        }
    }
    enter_version(t, &copy, stored_version);
}

void target_locate_members(struct target *t, const struct chain_info *chain)
{
    if (chain->version != t->chain_version) return;
    bool is_news = false;
    for (uint32_t i = 0; i < t->all_count && i < chain->members.count; i++) {
        const struct chain_member *m = &chain->members.items[i];
        if (m->target_id != t->all[i].target_id || m->node_id == t->all[i].node_id) continue;
        t->all[i].node_id = m->node_id;
        is_news = true;
    }
    /* A forward that pauses because it found nobody goes on. */
    if (is_news) wait_queue_wake_all(&t->changed);
}

int target_check_member(const struct target *t, uint32_t chain_version)
{
    if (t->local_state == LOCAL_OFFLINE) return -ERR_TARGET_OFFLINE;
    if (t->chain_version != chain_version) return -ERR_CHAIN_VERSION_MISMATCH;
    return target_is_member(t) ? 0 : -ERR_TARGET_STATE_INVALID;
}

int target_check_serving(const struct target *t, uint32_t chain_version)
{
    int r = target_check_member(t, chain_version);
    if (r < 0) return r;
    return target_is_serving(t) ? 0 : -ERR_TARGET_STATE_INVALID;
}
