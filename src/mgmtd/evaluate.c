/* evaluate.c - one turn: end leases, evaluate the chains that have news, store what changed, show
 * it.
 *
 * A chain is left alone while a member is unknown (neither heard from in this term nor its lease
 * over), and at version 1 until somebody has acted on it, and all who live: a new chain is not torn
 * apart because its storages are still starting, and a target that meets its chain at a later
 * version, with an empty store, knows that it has lost something.
 *
 * A change is decided, then stored, then applied and shown. From the decision on, the targets that
 * lose SERVING get no lease (excluded_version), so what was true at the decision is still true when
 * it is shown.
 */
#include "mgmtd/evaluate.h"

#include "base/check.h"
#include "client/names.h"
#include "cluster/schema.h"
#include "mgmtd/heartbeat.h"
#include "mgmtd/load.h"

enum { CHANGE_COUNT_MAX = 256 }; /* of one transaction */
#define SETTLE_NS (2 * MSEC)     /* news that come together are looked at together */

/* ---- storing and applying ---- */

struct commit_op {
    const struct chain_change *changes;
    uint32_t count;
};

/* The chain's record after the change; members are @members. */
static struct chain_info changed_info(const struct chain_change *change,
                                      struct chain_member *members)
{
    struct chain_info info = *change->chain->info;
    for (uint32_t i = 0; i < change->shape.count; i++) {
        const struct chain_slot *slot = &change->shape.slots[i];
        members[i] = (struct chain_member){ .target_id = slot->target_id };
        for (uint32_t j = 0; j < info.members.count; j++) {
            if (info.members.items[j].target_id == slot->target_id)
                members[i] = info.members.items[j];
        }
        members[i].public_state = slot->public_state;
    }
    info.members = (struct chain_member_list){ members, change->shape.count };
    info.version += change->is_new_version;
    if (change->preferred_order) info.preferred_order = *change->preferred_order;
    return info;
}

static int commit_in(struct kv_txn *txn, void *arg)
{
    const struct commit_op *op = arg;
    for (uint32_t i = 0; i < op->count; i++) {
        struct chain_member members[CHAIN_TARGET_COUNT_MAX];
        struct chain_info info = changed_info(&op->changes[i], members);
        int r = schema_set_chain(txn, &info);
        if (r < 0) return r;
    }
    return 0;
}

/* Of the members that lose SERVING by @change. */
static void deny_leases(struct state *s, const struct chain_change *change)
{
    const struct chain_info *info = change->chain->info;
    for (uint32_t i = 0; i < info->members.count; i++) {
        const struct chain_member *member = &info->members.items[i];
        int at = chain_find(&change->shape, member->target_id);
        bool serves = at >= 0 && change->shape.slots[at].public_state == PUBLIC_SERVING;
        if (member->public_state == PUBLIC_SERVING && !serves)
            state_member(s, info, i)->excluded_version = info->version + 1;
    }
}

/* In the log, and for those who ask what happened. */
static void tell_change(struct state *s, const struct chain_info *info)
{
    char text[CHAIN_TARGET_COUNT_MAX * 48];
    size_t size = 0;
    for (uint32_t i = 0; i < info->members.count && size < sizeof text; i++) {
        const struct chain_member *member = &info->members.items[i];
        size += (size_t)snprintf(text + size, sizeof text - size, " %" PRIu64 "(%s-%s)",
                                 member->target_id, public_state_name(member->public_state),
                                 local_state_name(member->local_state));
    }
    log_info(&s->options.node->log, "chain %u version %u:%s", info->chain_id, info->version, text);
    events_note(s, EVENT_CHAIN, 0, info->chain_id, "chain %u version %u:%s", info->chain_id,
                info->version, text);
}

static void apply(struct state *s, const struct chain_change *change)
{
    struct chain_member members[CHAIN_TARGET_COUNT_MAX];
    struct chain_info info = changed_info(change, members);
    struct member_chain *chain = state_put_chain(s, &info);
    for (uint32_t i = 0; i < info.members.count; i++) {
        if (members[i].public_state == PUBLIC_SERVING)
            state_member(s, chain->info, i)->excluded_version = 0;
    }
    if (change->is_new_version) tell_change(s, chain->info);
    state_mark_dirty(s, chain); /* what it is now may lead on */
}

int evaluate_commit(struct state *s, const struct chain_change *changes, uint32_t count)
{
    struct commit_op op = { changes, count };
    for (uint32_t i = 0; i < count; i++) {
        deny_leases(s, &changes[i]);
        changes[i].chain->is_place_dirty = false;
    }
    int r = state_write(s, commit_in, &op);
    for (uint32_t i = 0; i < count; i++) {
        if (r == 0) {
            apply(s, &changes[i]);
        } else {
            changes[i].chain->is_place_dirty = true;
            state_mark_dirty(s, changes[i].chain);
        }
    }
    return r;
}

/* ---- deciding ---- */

static bool may_evaluate(const struct state *s, const struct member_chain *chain)
{
    bool is_new = chain->info->version == 1;
    if (is_new && !chain->is_used) return false;
    for (uint32_t i = 0; i < chain->info->members.count; i++) {
        const struct member_target *target = state_member(s, chain->info, i);
        if (!target->is_known) return false;
        if (is_new && target->reported_version == 0 && target->local_state != LOCAL_OFFLINE)
            return false;
    }
    return true;
}

/* True when something is to be stored. */
static bool decide(const struct state *s, struct member_chain *chain, struct chain_change *ret)
{
    *ret = (struct chain_change){ .chain = chain };
    chain_to_shape(chain->info, &ret->shape);
    if (may_evaluate(s, chain)) ret->is_new_version = chain_evaluate(&ret->shape);
    return ret->is_new_version || chain->is_place_dirty;
}

static int evaluate_dirty(struct state *s)
{
    int r = state_lock(s);
    if (r < 0) return r;
    cleanup_(freep) struct chain_change *changes = xcalloc(CHANGE_COUNT_MAX, sizeof *changes);
    while (r == 0 && !list_empty(&s->dirty_chains)) {
        uint32_t count = 0;
        for (struct list *it;
             count < CHANGE_COUNT_MAX && (it = list_pop_front(&s->dirty_chains));) {
            struct member_chain *chain = list_entry(it, struct member_chain, dirty_link);
            if (decide(s, chain, &changes[count])) count++;
        }
        if (count) r = evaluate_commit(s, changes, count);
    }
    if (r == 0) r = state_reserve_versions(s);
    fiber_mutex_unlock(&s->writer);
    return r;
}

static void show(struct state *s)
{
    if (s->shown_version == s->version) return;
    s->shown_version = s->version;
    wait_queue_wake_all(&s->watchers);
}

static int wait_for_news(struct state *s)
{
    uint64_t now = state_now_ns(s);
    if (s->expiry_ns <= now) return 0;
    FIBER_TIMEOUT(s->expiry_ns - now);
    int r = event_wait(&s->kick, "news of the cluster");
    return r == -ERR_TIMEOUT ? 0 : r;
}

int evaluate_run(struct state *s)
{
    while (s->is_current) {
        int r = wait_for_news(s);
        if (r == 0 && s->kick.is_set) r = fiber_sleep(SETTLE_NS);
        if (r < 0) return r;
        event_reset(&s->kick);
        heartbeat_expire(s);
        if (!s->is_current) break;
        r = evaluate_dirty(s);
        if (r < 0 && r != -ERR_MGMTD_NOT_PRIMARY)
            log_warn(&s->options.node->log, r, "cannot store the chains");
        show(s);
        if (r < 0 && fiber_sleep(s->options.timing->renew_ns) < 0) return -ERR_CANCELED;
    }
    return 0;
}
