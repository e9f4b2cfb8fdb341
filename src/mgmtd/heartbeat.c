/* heartbeat.c - liveness and leases.
 *
 * A target's local state becomes OFFLINE when its process says so (or no longer lists it), or when
 * its lease has certainly ended. A heartbeat is answered with a lease only if the node knows of
 * every exclusion of its targets (docs/mgmtd.md): so whoever holds a lease acts on chain versions
 * in which its targets really serve.
 */
#include "mgmtd/heartbeat.h"

#include "base/check.h"
#include "client/names.h"
#include "cluster/schema.h"

/* ---- the node ---- */

static int check_request(const struct heartbeat_request *request, const char **ret_why)
{
    const struct node_info *node = &request->node;
    bool is_server =
        node->type == NODE_MGMTD || node->type == NODE_META || node->type == NODE_STORAGE;
    if (node->node_id == 0 || !is_server) {
        *ret_why = "a heartbeat needs a node id and the type of a server";
        return -ERR_MGMTD_HEARTBEAT_FAIL;
    }
    for (uint32_t i = 0; i < request->targets.count; i++) {
        uint8_t local = request->targets.items[i].local_state;
        if (local == LOCAL_UPTODATE || local == LOCAL_ONLINE || local == LOCAL_OFFLINE) continue;
        *ret_why = "a target has an unknown local state";
        return -ERR_MGMTD_HEARTBEAT_FAIL;
    }
    return 0;
}

static int check_node(const struct state *s, struct arena *arena, const struct member_node *node,
                      const struct heartbeat_request *request, const char **ret_why)
{
    const struct node_info *held = node->info, *said = &request->node;
    if (held->type != said->type) {
        *ret_why = "this node id is registered with another type";
        return -ERR_MGMTD_NODE_TYPE_MISMATCH;
    }
    if (node->is_disabled) {
        *ret_why = "this node is disabled (enable it with set-node-tags)";
        return -ERR_MGMTD_HEARTBEAT_FAIL;
    }
    if (said->incarnation < held->incarnation && state_now_ns(s) < node->alive_until_ns) {
        *ret_why = arena_printf(
            arena, "a newer process of node %u is alive (pid %u): two have the same node id",
            held->node_id, held->pid);
        return -ERR_MGMTD_HEARTBEAT_STALE;
    }
    if (said->incarnation == held->incarnation && request->seq <= node->seq) {
        *ret_why = "a later heartbeat of this process has come already";
        return -ERR_MGMTD_HEARTBEAT_STALE;
    }
    return 0;
}

static bool is_same_identity(const struct node_info *a, const struct node_info *b)
{
    if (a->addresses.count != b->addresses.count) return false;
    for (uint32_t i = 0; i < a->addresses.count; i++) {
        if (!bytes_equal(a->addresses.items[i], b->addresses.items[i])) return false;
    }
    return bytes_equal(a->hostname, b->hostname);
}

/* The record that the heartbeat makes of @held (may be NULL). */
static struct node_info next_info(const struct state *s, const struct node_info *held,
                                  const struct node_info *said)
{
    struct node_info info = *said;
    if (held) info.tags = held->tags;
    info.status = held ? held->status : NODE_HEARTBEAT_CONNECTING;
    info.last_heartbeat_wall_ns = node_wall_ns(s->options.node);
    info.removed = 0;
    return info;
}

static int write_node_in(struct kv_txn *txn, void *arg)
{
    return schema_set_node(txn, arg);
}

/* Stores the node's identity. The state may have changed meanwhile: the caller looks again. */
static int register_node(struct state *s, const struct node_info *said)
{
    int r = state_lock(s);
    if (r < 0) return r;
    const struct member_node *node = state_node(s, said->node_id);
    if (!node || !is_same_identity(node->info, said)) {
        struct node_info info = next_info(s, node ? node->info : NULL, said);
        info.incarnation = node ? node->info->incarnation : 0;
        r = state_write(s, write_node_in, &info);
        if (r == 0 && !node)
            events_note(s, EVENT_NODE, said->node_id, 0, "%s %u on %.*s came for the first time",
                        node_type_name(said->type), said->node_id, (int)said->hostname.size,
                        (const char *)said->hostname.base);
        if (r == 0) state_put_node(s, &info);
    }
    fiber_mutex_unlock(&s->writer);
    return r;
}

/* The node, registered, for a heartbeat that is in order. */
static int find_node(struct state *s, struct arena *arena, const struct heartbeat_request *request,
                     struct member_node **ret, const char **ret_why)
{
    for (;;) {
        struct member_node *node = state_node(s, request->node.node_id);
        if (node) {
            int r = check_node(s, arena, node, request, ret_why);
            if (r < 0) return r;
            if (is_same_identity(node->info, &request->node)) {
                *ret = node;
                return 0;
            }
        }
        int r = register_node(s, &request->node);
        if (r < 0) return r;
    }
}

/* What a heartbeat says of the node's life. That it is heard by a new primary is nothing new. */
static void tell_life(struct state *s, const struct node_info *held,
                      const struct heartbeat_request *request)
{
    const struct node_info *said = &request->node;
    const char *what = NULL;
    if (request->stopping && held->status != NODE_HEARTBEAT_FAILED)
        what = "stops in order";
    else if (!request->stopping && held->status == NODE_HEARTBEAT_FAILED)
        what = held->incarnation == said->incarnation ? "is heard again" : "is back, started anew";
    else if (held->status == NODE_HEARTBEAT_CONNECTED && held->incarnation != said->incarnation)
        what = "was started anew";
    if (what)
        events_note(s, EVENT_NODE, said->node_id, 0, "%s %u %s, pid %u", node_type_name(said->type),
                    said->node_id, what, said->pid);
}

static void take_node(struct state *s, struct member_node *node,
                      const struct heartbeat_request *request)
{
    const struct node_info *said = &request->node;
    struct node_info *held = node->info;
    bool is_changed = held->pid != said->pid || held->incarnation != said->incarnation ||
                      held->config_version != said->config_version ||
                      held->config_status != said->config_status ||
                      held->has_store != said->has_store ||
                      !bytes_equal(held->release, said->release);
    tell_life(s, held, request);
    if (is_changed) {
        struct node_info info = next_info(s, held, said);
        state_put_node(s, &info);
    }
    node->info->last_heartbeat_wall_ns = node_wall_ns(s->options.node);
    if (said->type == NODE_MGMTD) s->has_heard_peers = true;
    s->heard_ns = state_now_ns(s);
    node->seq = request->seq;
    node->beat = ++s->beat;
    node->alive_until_ns = request->stopping ? state_now_ns(s) : state_grace_end_ns(s);
    if (node->info->status != NODE_PRIMARY_MGMTD)
        state_set_node_status(s, node,
                              request->stopping ? NODE_HEARTBEAT_FAILED : NODE_HEARTBEAT_CONNECTED);
}

/* ---- its disks, and the targets that are in no chain ---- */

static void take_report(struct state *s, struct member_node *node,
                        const struct heartbeat_request *request)
{
    if (!node->report) node->report = new_zero(struct node_report);
    struct node_report *report = node->report;
    arena_done(&report->arena);
    report->disks = (struct disk_info_list){
        arena_array(&report->arena, struct disk_info, request->disks.count), request->disks.count
    };
    for (uint32_t i = 0; i < request->disks.count; i++) {
        struct disk_info *disk = &report->disks.items[i];
        *disk = request->disks.items[i];
        disk->path = arena_copy(&report->arena, disk->path);
        uint64_t *targets = arena_array(&report->arena, uint64_t, disk->targets.count);
        if (disk->targets.count)
            memcpy(targets, disk->targets.items, disk->targets.count * sizeof *targets);
        disk->targets.items = targets;
    }
    report->orphans.items =
        arena_array(&report->arena, struct local_target, request->targets.count);
    report->orphans.count = 0;
    for (uint32_t i = 0; i < request->targets.count; i++) {
        const struct local_target *target = &request->targets.items[i];
        if (!state_target(s, target->target_id))
            report->orphans.items[report->orphans.count++] = *target;
    }
}

/* ---- its targets ---- */

static struct chain_member *member_of(const struct member_target *target)
{
    struct chain_info *info = target->chain->info;
    for (uint32_t i = 0; i < info->members.count; i++) {
        if (info->members.items[i].target_id == target->target_id) return &info->members.items[i];
    }
    check(!"a target is a member of its chain");
    return NULL;
}

static void take_place(struct state *s, struct member_target *target,
                       const struct member_node *node, const struct local_target *said)
{
    struct chain_member *member = member_of(target);
    member->used_bytes = said->used_bytes;
    member->sync_permille = said->sync_permille;
    if (member->node_id == node->info->node_id && member->disk_index == said->disk_index) return;
    member->node_id = node->info->node_id;
    member->disk_index = said->disk_index;
    target->chain->is_place_dirty = true;
    state_touch(s, &target->chain->record);
    state_mark_dirty(s, target->chain);
}

/* Somebody acts on the chain: those of a new chain that were not heard from get a lease's time
 * from now. */
static void take_use(struct state *s, struct member_chain *chain)
{
    if (chain->is_used) return;
    chain->is_used = true;
    for (uint32_t i = 0; i < chain->info->members.count; i++) {
        struct member_target *target = state_member(s, chain->info, i);
        if (!target->node) target->alive_until_ns = state_grace_end_ns(s);
    }
    state_mark_dirty(s, chain);
}

/* The local state that the report amounts to; LOCAL_INVALID: it says nothing new. A report that was
 * made under an earlier chain version (0: the process has not seen its chain yet) only tells that
 * the target is alive. */
static uint8_t reported_local(const struct member_target *target, const struct local_target *said)
{
    if (said->local_state == LOCAL_OFFLINE) return LOCAL_OFFLINE;
    uint32_t version = target->chain->info->version;
    if (said->chain_version == version) return said->local_state;
    bool was_alive = target->is_known && target->local_state != LOCAL_OFFLINE;
    bool is_serving = member_of(target)->public_state == PUBLIC_SERVING;
    return said->chain_version < version && is_serving && !was_alive ? LOCAL_ONLINE : LOCAL_INVALID;
}

static bool has_other_holder(const struct state *s, const struct member_target *target,
                             const struct member_node *node)
{
    return target->node && target->node != node && target->alive_until_ns > state_now_ns(s) &&
           !(target->is_known && target->local_state == LOCAL_OFFLINE);
}

/* A target that was taken out of its chain and has not heard of it may think that it serves. */
static bool take_orphan(const struct state *s, const struct local_target *said)
{
    const struct member_chain *chain = state_chain(s, said->chain_id);
    if (!chain || said->local_state == LOCAL_OFFLINE) return true;
    return said->chain_version >= chain->info->version;
}

/* False when the node must not get a lease for this report. */
static bool take_target(struct state *s, struct member_node *node, const struct local_target *said)
{
    struct member_target *target = state_target(s, said->target_id);
    if (!target) return take_orphan(s, said);
    if (has_other_holder(s, target, node)) {
        if (target->rival_node_id != node->info->node_id)
            log_warn(&s->options.node->log, 0,
                     "target %" PRIu64 " is reported by node %u, but node %u has it",
                     said->target_id, node->info->node_id, target->node->info->node_id);
        target->rival_node_id = node->info->node_id;
        return said->local_state == LOCAL_OFFLINE;
    }
    if (target->node != node) {
        list_remove(&target->by_node);
        list_push_back(&node->targets, &target->by_node);
        target->node = node;
    }
    if (target->incarnation != node->info->incarnation) {
        /* the process before is gone: this one has its disk */
        target->incarnation = node->info->incarnation;
        target->lease_until_ns = state_now_ns(s);
    }
    target->beat = node->beat;
    target->alive_until_ns = node->alive_until_ns;
    bool is_ahead = said->chain_version > target->chain->info->version;
    if (is_ahead && said->chain_version != target->reported_version)
        log_error(&s->options.node->log, -ERR_CHAIN_VERSION_MISMATCH,
                  "target %" PRIu64
                  " acts on version %u of chain %u, which is at %u: was the store restored?",
                  said->target_id, said->chain_version, target->chain->info->chain_id,
                  target->chain->info->version);
    target->reported_version = said->chain_version;
    take_place(s, target, node, said);
    uint8_t local = reported_local(target, said);
    if (local != LOCAL_INVALID) state_set_local(s, target, local);
    if (said->chain_version > 0) take_use(s, target->chain);
    if (said->local_state == LOCAL_OFFLINE) return true;
    return said->chain_version >= target->excluded_version && !is_ahead;
}

/* Targets that the process itself no longer lists, or all of them when it stops, are offline
 * now. */
static void drop_unlisted(struct state *s, struct member_node *node, bool is_stopping)
{
    list_for_each (it, &node->targets) {
        struct member_target *target = list_entry(it, struct member_target, by_node);
        bool is_listed = target->beat == node->beat;
        bool is_of_this_process = target->incarnation == node->info->incarnation;
        if (is_of_this_process && (!is_listed || is_stopping))
            state_set_local(s, target, LOCAL_OFFLINE);
    }
}

static void grant(struct state *s, struct member_node *node)
{
    list_for_each (it, &node->targets) {
        struct member_target *target = list_entry(it, struct member_target, by_node);
        if (target->beat == node->beat) target->lease_until_ns = node->alive_until_ns;
    }
}

static void fill_reply(const struct state *s, const struct heartbeat_request *request,
                       bool is_granted, struct heartbeat_reply *reply)
{
    const struct latest_config *config = &s->configs[request->node.type];
    reply->term = s->term;
    reply->lease_ns = is_granted ? s->options.timing->node_lease_ns : 0;
    reply->interval_ns = s->options.timing->heartbeat_ns;
    reply->routing_version = s->version;
    reply->config_version = config->version;
    reply->revoked = s->revoked;
    if (config->version > request->node.config_version) reply->config = config->content;
}

int heartbeat_accept(struct state *s, struct arena *arena, const struct heartbeat_request *request,
                     struct heartbeat_reply *reply, const char **ret_why)
{
    struct member_node *node;
    int r = check_request(request, ret_why);
    if (r == 0) r = find_node(s, arena, request, &node, ret_why);
    if (r < 0) return r;
    if (!state_is_valid(s)) return -ERR_MGMTD_NOT_PRIMARY;
    take_node(s, node, request);
    take_report(s, node, request);
    bool is_granted = !request->stopping;
    for (uint32_t i = 0; i < request->targets.count; i++) {
        bool may_have = take_target(s, node, &request->targets.items[i]);
        is_granted = is_granted && may_have;
    }
    drop_unlisted(s, node, request->stopping);
    if (is_granted) grant(s, node);
    fill_reply(s, request, is_granted, reply);
    return state_is_valid(s) ? 0 : -ERR_MGMTD_NOT_PRIMARY;
}

void heartbeat_adopt_orphans(struct state *s)
{
    for (size_t i = 0; i < s->nodes.count; i++) {
        struct member_node *node = s->nodes.slots[i].value;
        if (!node->report || node->alive_until_ns <= state_now_ns(s)) continue;
        for (uint32_t j = 0; j < node->report->orphans.count; j++) {
            const struct local_target *said = &node->report->orphans.items[j];
            const struct member_target *target = state_target(s, said->target_id);
            if (target && !target->node) take_target(s, node, said);
        }
    }
}

/* ---- the end of leases ---- */

static void expire_nodes(struct state *s, uint64_t now, uint64_t *next)
{
    for (size_t i = 0; i < s->nodes.count; i++) {
        struct member_node *node = s->nodes.slots[i].value;
        uint8_t status = node->info->status;
        if (status != NODE_HEARTBEAT_CONNECTED && status != NODE_HEARTBEAT_CONNECTING) continue;
        if (node->alive_until_ns > now) {
            *next = MIN_OF(*next, node->alive_until_ns);
            continue;
        }
        log_warn(&s->options.node->log, 0, "node %u is not heard from any more",
                 node->info->node_id);
        events_note(s, EVENT_NODE, node->info->node_id, 0, "%s %u is not heard from any more",
                    node_type_name(node->info->type), node->info->node_id);
        state_set_node_status(s, node, NODE_HEARTBEAT_FAILED);
    }
}

/* Nobody was heard for more than two heartbeats, not even the other managers that were before: more
 * likely this one is cut off than that all have died at once. */
static bool is_deaf(const struct state *s, uint64_t now)
{
    return s->has_heard_peers && now - s->heard_ns > 5 * s->options.timing->heartbeat_ns / 2;
}

void heartbeat_expire(struct state *s)
{
    uint64_t now = state_now_ns(s), next = now + s->options.timing->node_lease_ns;
    if (now < s->expiry_ns) return;
    if (is_deaf(s, now)) {
        log_warn(&s->options.node->log, 0, "hears nobody any more: lets another manager decide");
        s->is_deaf = true;
        state_retire(s);
        return;
    }
    expire_nodes(s, now, &next);
    for (size_t i = 0; i < s->chains.count; i++) {
        struct member_chain *chain = s->chains.slots[i].value;
        for (uint32_t j = 0; j < chain->info->members.count; j++) {
            struct member_target *target = state_member(s, chain->info, j);
            if (target->is_known && target->local_state == LOCAL_OFFLINE) continue;
            if (target->alive_until_ns <= now)
                state_set_local(s, target, LOCAL_OFFLINE);
            else
                next = MIN_OF(next, target->alive_until_ns);
        }
    }
    s->expiry_ns = next;
}
