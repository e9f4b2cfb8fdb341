/* target.c - roles and local states of one target. */
#include "storage/target.h"
#include "base/check.h"
#include "client/names.h"
#include "loop/fault.h"
#include "storage/forward.h"
#include "storage/storage_internal.h"

#define LOOK_TIMEOUT_NS (500 * MSEC)

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
    refusals_init(&t->refusals, node_random_u64(storage->node));
    t->sync_receiver.epoch_last = node_random_u64(storage->node) >> 1;
    return t;
}

struct target *target_free(struct target *t)
{
    if (!t) return NULL;
    check(t->user_count == 0);
    recover_done(&t->recover);
    refusals_done(&t->refusals);
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

void target_withdraw(struct target *t, const char *why)
{
    if (t->is_unsound || t->local_state == LOCAL_OFFLINE) return;
    t->is_unsound = true;
    storage_count(t->storage, "storage.targets_withdrawn", 1);
    log_warn(&t->storage->node->log, -ERR_TARGET_STATE_INVALID,
             "target %" PRIu64 " leaves chain %u, to be filled again: %s", t->target_id,
             t->chain_id, why);
    target_set_local_state(t, LOCAL_OFFLINE, why);
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
    if (t->is_stopped || t->is_too_empty || t->is_unsound || t->disk->error) return LOCAL_OFFLINE;
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

/* ---- a new disk under an old id ---- */

/* Whether another member holds anything; records of removed chunks count. */
static int holds_anything(struct target *t, const struct chain_member *member)
{
    FIBER_TIMEOUT(LOOK_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = storage_peer(t->storage, member->node_id, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct list_chunks_request req = { .target_id = member->target_id, .count_max = 1 };
    struct chunk_meta_page reply;
    r = storage_list_chunks(to, &options, &req, &reply);
    /* It was not made yet, or made anew as ours. */
    if (r == -ERR_TARGET_NOT_FOUND) return 0;
    return r < 0 ? r : reply.metas.count > 0;
}

/* Our store has never seen the chain, in which we are to have data: is that a new chain, or a new
 * disk? What the chain has acknowledged every other serving member has. 1: it is a new disk, 0: a
 * new chain; an error: nobody can tell yet. */
static int is_disk_new(struct target *t, const struct chain_info *chain)
{
    bool has_asked = false;
    for (uint32_t i = 0; i < chain->members.count; i++) {
        const struct chain_member *m = &chain->members.items[i];
        if (m->target_id == t->target_id || m->public_state != PUBLIC_SERVING) continue;
        int r = holds_anything(t, m);
        if (r != 0) return r;
        has_asked = true;
    }
    return !has_asked && chain->version > 1;
}

static bool expects_data(const struct target *t, const struct chain_info *chain)
{
    for (uint32_t i = 0; i < chain->members.count; i++) {
        const struct chain_member *m = &chain->members.items[i];
        if (m->target_id == t->target_id)
            return m->public_state == PUBLIC_SERVING || m->public_state == PUBLIC_LASTSRV;
    }
    return false;
}

/* 1: as OFFLINE the target leaves the chain and comes back through a resync; never as last server.
 */
static int judge_emptiness(struct target *t, const struct chain_info *chain,
                           uint32_t stored_version)
{
    if (stored_version > 0 || !expects_data(t, chain) || MUTANT(EMPTY_DISK_TRUSTED)) return 0;
    int r = is_disk_new(t, chain);
    if (r > 0 && !t->is_too_empty)
        log_error(&t->storage->node->log, -ERR_TARGET_STATE_INVALID,
                  "target %" PRIu64 " is new, but chain %u version %u has data: offline until the "
                  "chain goes on without it",
                  t->target_id, t->chain_id, chain->version);
    return r;
}

static void enter_version(struct target *t, const struct chain_info *chain)
{
    bool is_first = t->chain_version == 0;
    bool was_member = t->self_at < t->member_count && chain->version == t->chain_version + 1;
    enum public_state before = t->public_state;
    take_members(t, chain);
    if (is_first || !was_member) t->member_since = chain->version;
    t->chain_version = chain->version;
    if (t->public_state == PUBLIC_SERVING && (is_first || before != PUBLIC_SERVING))
        t->needs_round = true;
    t->sync_receiver.epoch = 0;
    log_info(&t->storage->node->log, "target %" PRIu64 " of chain %u: version %u, %s, %u of %u",
             t->target_id, t->chain_id, t->chain_version, public_state_name(t->public_state),
             t->self_at + 1, t->all_count);
    /* It has left; or all others have, and it goes on as it is. */
    if (t->public_state != PUBLIC_SERVING || t->serving_count == 1) t->is_unsound = false;
    target_set_local_state(t, state_under(t, before), "chain changed");
    forward_interrupt(t);
    wait_queue_wake_all(&t->changed);
    mgmtd_client_kick_heartbeat(t->storage->mgmtd);
    if (target_is_serving(t)) {
        recover_scan(t);
        confirm_role_soon(t);
    }
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
    int too_empty = judge_emptiness(t, &copy, stored_version);
    if (too_empty < 0) {
        targets_apply_again(t->storage);
        return;
    }
    /* While the version is not kept, a restart judges again. */
    if (copy.version > stored_version && !too_empty) {
        FIBER_SHIELD();
        int r = store_target_set_chain_version(t->store, t->target_id, copy.version);
        if (r < 0) {
            target_fail(t, r);
            return;
        }
    }
    /* Somebody else was faster. */
    if (copy.version <= t->chain_version || t->is_going) return;
    t->is_too_empty = too_empty;
    enter_version(t, &copy);
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
