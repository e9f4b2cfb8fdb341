/* chains.c - creation, tables, rotations, membership.
 */
#include "mgmtd/chains.h"

#include "base/check.h"
#include "cluster/schema.h"
#include "mgmtd/chain_spec.h"
#include "mgmtd/evaluate.h"
#include "mgmtd/heartbeat.h"

static int refuse(const char **ret_why, int r, const char *why)
{
    *ret_why = why;
    return r;
}

/* ---- creation ---- */

struct set_op {
    struct chain_info *chains; /* to be stored */
    uint32_t count;
};

static int set_in(struct kv_txn *txn, void *arg)
{
    const struct set_op *op = arg;
    for (uint32_t i = 0; i < op->count; i++) {
        int r = schema_set_chain(txn, &op->chains[i]);
        if (r < 0) return r;
    }
    return 0;
}

static struct chain_info new_chain(struct arena *arena, const struct chain_spec *spec)
{
    struct chain_info info = { .chain_id = spec->chain_id, .version = 1 };
    info.members.items = arena_array(arena, struct chain_member, spec->targets.count);
    info.members.count = spec->targets.count;
    for (uint32_t i = 0; i < spec->targets.count; i++) {
        info.members.items[i] = (struct chain_member){ .target_id = spec->targets.items[i],
                                                       .public_state = PUBLIC_SERVING };
    }
    return info;
}

static int plan_chains(const struct state *s, struct arena *arena,
                       const struct set_chains_request *request, struct set_op *op,
                       const char **ret_why)
{
    struct spec_check check;
    spec_check_init(&check, s, arena, request->chains.count);
    op->chains = arena_array(arena, struct chain_info, request->chains.count);
    int r = 0;
    for (uint32_t i = 0; i < request->chains.count && r >= 0; i++) {
        const struct chain_spec *spec = &request->chains.items[i];
        r = spec_check(&check, spec, ret_why);
        if (r < 0 || (r == 0 && !request->set_preferred_order)) continue;
        struct chain_info info =
            r == 1 ? new_chain(arena, spec) : *state_chain(s, spec->chain_id)->info;
        if (request->set_preferred_order) info.preferred_order = spec->targets;
        op->chains[op->count++] = info;
    }
    spec_check_done(&check);
    return r < 0 ? r : 0;
}

int chains_set(struct state *s, struct arena *arena, const struct set_chains_request *request,
               const char **ret_why)
{
    if (request->chains.count > SET_CHAINS_COUNT_MAX)
        return refuse(ret_why, -ERR_INVALID_ARG, "more than 10000 chains in one request");
    int r = state_lock(s);
    if (r < 0) return r;
    struct set_op op = { 0 };
    r = plan_chains(s, arena, request, &op, ret_why);
    if (r == 0 && op.count) r = state_write(s, set_in, &op);
    uint32_t new_count = 0;
    for (uint32_t i = 0; i < op.count && r == 0; i++) {
        struct member_chain *chain = state_chain(s, op.chains[i].chain_id);
        new_count += !chain;
        if (chain) { /* its members may have news since the plan */
            struct u64_list preferred = op.chains[i].preferred_order;
            op.chains[i] = *chain->info;
            op.chains[i].preferred_order = preferred;
        }
        chain = state_put_chain(s, &op.chains[i]);
        state_mark_dirty(s, chain);
    }
    if (new_count)
        events_note(s, EVENT_TABLE, 0, 0, "%u chains were made, the first is %u", new_count,
                    op.chains[0].chain_id);
    if (r == 0) heartbeat_adopt_orphans(s);
    fiber_mutex_unlock(&s->writer);
    return r;
}

/* ---- tables ---- */

static int set_table_in(struct kv_txn *txn, void *arg)
{
    return schema_set_table(txn, arg);
}

/* One chain of a table: it is there, is there once, and has as many replicas as the first. */
static int check_member(const struct state *s, struct arena *arena, const struct u32_list *chains,
                        uint32_t at, struct map *seen, const char **ret_why)
{
    uint32_t id = chains->items[at];
    const struct member_chain *chain = state_chain(s, id);
    if (!chain) {
        *ret_why = arena_printf(arena, "chain %u does not exist: upload-chains makes it", id);
        return -ERR_MGMTD_CHAIN_NOT_FOUND;
    }
    if (map_put(seen, id, seen) != NULL) {
        *ret_why = arena_printf(arena, "chain %u is given twice", id);
        return -ERR_MGMTD_INVALID_CHAIN_TABLE;
    }
    const struct member_chain *first = state_chain(s, chains->items[0]);
    if (chain->info->members.count == first->info->members.count) return 0;
    *ret_why =
        arena_printf(arena,
                     "chain %u has %u targets, chain %u has %u: the chains of a table have "
                     "as many replicas",
                     id, chain->info->members.count, chains->items[0], first->info->members.count);
    return -ERR_MGMTD_INVALID_CHAIN_TABLE;
}

static int check_table(const struct state *s, struct arena *arena,
                       const struct set_chain_table_request *request, const char **ret_why)
{
    const struct u32_list *chains = &request->chains;
    if (request->table_id == 0 || chains->count == 0 || chains->count > CHAIN_TABLE_CHAIN_COUNT_MAX)
        return refuse(ret_why, -ERR_MGMTD_INVALID_CHAIN_TABLE,
                      "a table has a number and 1 to 131072 chains");
    struct map seen;
    map_init(&seen, chains->count);
    int r = 0;
    for (uint32_t i = 0; i < chains->count && r >= 0; i++)
        r = check_member(s, arena, chains, i, &seen, ret_why);
    map_done(&seen);
    return r;
}

static bool is_same_list(const struct u32_list *a, const struct u32_list *b)
{
    return a->count == b->count && memcmp(a->items, b->items, a->count * sizeof *a->items) == 0;
}

static int set_table(struct state *s, struct arena *arena,
                     const struct set_chain_table_request *request, uint32_t *ret_version,
                     const char **ret_why)
{
    int r = check_table(s, arena, request, ret_why);
    if (r < 0) return r;
    const struct member_table *latest = state_latest_table(s, request->table_id);
    if (latest && is_same_list(&latest->info->chains, &request->chains)) {
        *ret_version = latest->info->version;
        return 0;
    }
    struct chain_table table = { .table_id = request->table_id,
                                 .version = latest ? latest->info->version + 1 : 1,
                                 .chains = request->chains,
                                 .desc = request->desc };
    if (latest && table.desc.size == 0) table.desc = latest->info->desc;
    r = state_write(s, set_table_in, &table);
    if (r < 0) return r;
    state_put_table(s, &table);
    events_note(s, EVENT_TABLE, 0, 0, "chain table %u has version %u, of %u chains", table.table_id,
                table.version, table.chains.count);
    *ret_version = table.version;
    return 0;
}

int chains_set_table(struct state *s, struct arena *arena,
                     const struct set_chain_table_request *request, uint32_t *ret_version,
                     const char **ret_why)
{
    int r = state_lock(s);
    if (r < 0) return r;
    r = set_table(s, arena, request, ret_version, ret_why);
    fiber_mutex_unlock(&s->writer);
    return r;
}

/* ---- single chains ---- */

/* The writer mutex and the chain. */
static int lock_chain(struct state *s, uint32_t chain_id, struct chain_change *ret,
                      const char **ret_why)
{
    int r = state_lock(s);
    if (r < 0) return r;
    struct member_chain *chain = state_chain(s, chain_id);
    *ret = (struct chain_change){ .chain = chain };
    if (chain) {
        chain_to_shape(chain->info, &ret->shape);
        return 0;
    }
    fiber_mutex_unlock(&s->writer);
    return refuse(ret_why, -ERR_MGMTD_CHAIN_NOT_FOUND, "no such chain");
}

static int unlock_chain(struct state *s, int r, const struct chain_change *change,
                        struct chain_info *ret)
{
    if (r >= 0) *ret = *change->chain->info;
    fiber_mutex_unlock(&s->writer);
    return r;
}

int chains_rotate_lastsrv(struct state *s, const struct chain_request *request,
                          struct chain_info *ret, const char **ret_why)
{
    struct chain_change change;
    int r = lock_chain(s, request->chain_id, &change, ret_why);
    if (r < 0) return r;
    change.is_new_version = chain_rotate_lastsrv(&change.shape);
    if (change.is_new_version)
        r = evaluate_commit(s, &change, 1);
    else
        r = refuse(ret_why, -ERR_TARGET_STATE_INVALID,
                   "the chain needs two targets, and the first must be LASTSRV");
    return unlock_chain(s, r, &change, ret);
}

int chains_set_preferred(struct state *s, const struct chain_request *request,
                         struct chain_info *ret, const char **ret_why)
{
    struct chain_change change;
    int r = lock_chain(s, request->chain_id, &change, ret_why);
    if (r < 0) return r;
    change.preferred_order = &request->targets;
    if (request->targets.count == 0) r = refuse(ret_why, -ERR_INVALID_ARG, "no target is given");
    for (uint32_t i = 0; i < request->targets.count && r == 0; i++) {
        uint64_t id = request->targets.items[i];
        if (chain_find(&change.shape, id) < 0)
            r = refuse(ret_why, -ERR_MGMTD_TARGET_NOT_FOUND, "a target is not in this chain");
        for (uint32_t j = 0; j < i && r == 0; j++) {
            if (request->targets.items[j] == id)
                r = refuse(ret_why, -ERR_INVALID_ARG, "a target is given twice");
        }
    }
    if (r == 0) r = evaluate_commit(s, &change, 1);
    return unlock_chain(s, r, &change, ret);
}

/* Nobody may read at the target any more when it is taken out: no more leases, and the last one
 * is waited for. */
static int wait_lease_end(struct state *s, uint64_t target_id)
{
    for (;;) {
        struct member_target *target = state_target(s, target_id);
        if (!state_is_valid(s)) return -ERR_MGMTD_NOT_PRIMARY;
        if (!target) return -ERR_MGMTD_TARGET_NOT_FOUND;
        uint64_t now = state_now_ns(s);
        if (target->lease_until_ns <= now) return 0;
        int r = fiber_sleep(target->lease_until_ns - now);
        if (r < 0) return r;
    }
}

static void lift_denial(struct state *s, uint64_t target_id, uint32_t version)
{
    struct member_target *target = state_target(s, target_id);
    if (target && target->excluded_version == version && target->chain->info->version < version)
        target->excluded_version = 0;
}

/* One displacement of @victim, which was chosen at @version; leases were denied from then on. */
static int displace(struct state *s, uint32_t chain_id, uint64_t victim_id, uint32_t version,
                    struct chain_info *ret, const char **ret_why)
{
    struct chain_change change;
    int r = lock_chain(s, chain_id, &change, ret_why);
    if (r < 0) return r;
    const struct chain_info *info = change.chain->info;
    int victim = chain_preferred_victim(&change.shape, &info->preferred_order);
    bool is_as_planned = info->version == version && victim >= 0 &&
                         change.shape.slots[victim].target_id == victim_id &&
                         state_target(s, victim_id)->lease_until_ns <= state_now_ns(s);
    if (is_as_planned) {
        chain_displace(&change.shape, (uint32_t)victim);
        change.is_new_version = true;
        r = evaluate_commit(s, &change, 1);
    } else {
        r = refuse(ret_why, -ERR_BUSY, "the chain changed meanwhile");
    }
    return unlock_chain(s, r, &change, ret);
}

int chains_rotate_preferred(struct state *s, const struct chain_request *request,
                            struct chain_info *ret, const char **ret_why)
{
    struct chain_change change;
    int r = lock_chain(s, request->chain_id, &change, ret_why);
    if (r < 0) return r;
    uint32_t version = change.chain->info->version;
    int victim = chain_preferred_victim(&change.shape, &change.chain->info->preferred_order);
    if (victim < 0) return unlock_chain(s, 0, &change, ret);
    uint64_t victim_id = change.shape.slots[victim].target_id;
    state_target(s, victim_id)->excluded_version = version + 1;
    fiber_mutex_unlock(&s->writer);
    r = wait_lease_end(s, victim_id);
    if (r == 0) r = displace(s, request->chain_id, victim_id, version, ret, ret_why);
    if (r < 0) lift_denial(s, victim_id, version + 1);
    return r;
}

static int add_member(struct state *s, struct arena *arena, const struct chain_request *request,
                      struct chain_change *change, struct u64_list *preferred, const char **ret_why)
{
    uint64_t id = request->targets.items[0];
    if (id == 0) return refuse(ret_why, -ERR_INVALID_ARG, "0 is no target");
    if (state_target(s, id))
        return refuse(ret_why, -ERR_MGMTD_TARGET_EXISTED, "the target is in a chain already");
    const struct u64_list *old = &change->chain->info->preferred_order;
    if (old->count && old->count == change->shape.count) {
        preferred->items = arena_array(arena, uint64_t, old->count + 1);
        memcpy(preferred->items, old->items, old->count * sizeof *old->items);
        preferred->items[old->count] = id;
        preferred->count = old->count + 1;
        change->preferred_order = preferred;
    }
    int r = spec_check_add(s, arena, change->chain, id, ret_why);
    if (r < 0) return r;
    r = chain_add(&change->shape, id);
    return r < 0 ? refuse(ret_why, r, "the chain is full") : 0;
}

static int remove_member(struct arena *arena, const struct chain_request *request,
                         struct chain_change *change, struct u64_list *preferred,
                         const char **ret_why)
{
    uint64_t id = request->targets.items[0];
    const struct u64_list *old = &change->chain->info->preferred_order;
    preferred->items = arena_array(arena, uint64_t, old->count);
    for (uint32_t i = 0; i < old->count; i++) {
        if (old->items[i] != id) preferred->items[preferred->count++] = old->items[i];
    }
    change->preferred_order = preferred;
    if (change->shape.count == 1)
        return refuse(ret_why, -ERR_TARGET_STATE_INVALID, "it is the only target");
    int r = chain_remove(&change->shape, id);
    if (r == -ERR_TARGET_STATE_INVALID)
        return refuse(ret_why, r, "only an OFFLINE target can be removed (offline-target first)");
    return r < 0 ? refuse(ret_why, r, "the target is not in this chain") : 0;
}

int chains_update(struct state *s, struct arena *arena, const struct chain_request *request,
                  struct chain_info *ret, const char **ret_why)
{
    if (request->targets.count != 1 || request->mode > CHAIN_REMOVE)
        return refuse(ret_why, -ERR_INVALID_ARG, "one target is to be added or removed");
    struct chain_change change;
    struct u64_list preferred = { 0 };
    int r = lock_chain(s, request->chain_id, &change, ret_why);
    if (r < 0) return r;
    r = request->mode == CHAIN_ADD ? add_member(s, arena, request, &change, &preferred, ret_why)
                                   : remove_member(arena, request, &change, &preferred, ret_why);
    change.is_new_version = true;
    if (r == 0) r = evaluate_commit(s, &change, 1);
    if (r == 0) heartbeat_adopt_orphans(s);
    return unlock_chain(s, r, &change, ret);
}

void chains_list_orphans(const struct state *s, struct arena *arena, struct orphan_target_list *ret)
{
    uint32_t count = 0;
    for (size_t i = 0; i < s->nodes.count; i++) {
        const struct member_node *node = s->nodes.slots[i].value;
        if (node->report) count += node->report->orphans.count;
    }
    *ret = (struct orphan_target_list){ arena_array(arena, struct orphan_target, count), 0 };
    for (size_t i = 0; i < s->nodes.count; i++) {
        const struct member_node *node = s->nodes.slots[i].value;
        for (uint32_t j = 0; node->report && j < node->report->orphans.count; j++) {
            const struct local_target *said = &node->report->orphans.items[j];
            if (state_target(s, said->target_id)) continue;
            ret->items[ret->count++] = (struct orphan_target){ .target_id = said->target_id,
                                                               .local_state = said->local_state,
                                                               .node_id = node->info->node_id,
                                                               .disk_index = said->disk_index,
                                                               .used_bytes = said->used_bytes,
                                                               .chain_id = said->chain_id };
        }
    }
}
