/* nodes.c - registration, tags, removal.
 */
#include "mgmtd/nodes.h"

#include "client/names.h"
#include "cluster/schema.h"
#include "mgmtd/tags.h"

static int refuse(const char **ret_why, int r, const char *why)
{
    *ret_why = why;
    return r;
}

static int write_in(struct kv_txn *txn, void *arg)
{
    return schema_set_node(txn, arg);
}

static int clear_in(struct kv_txn *txn, void *arg)
{
    const struct node_info *info = arg;
    schema_clear_node(txn, info->node_id);
    return 0;
}

int nodes_register(struct state *s, const struct register_node_request *request,
                   const char **ret_why)
{
    if (request->node_id == 0 || request->type >= NODE_TYPE_MAX)
        return refuse(ret_why, -ERR_MGMTD_REGISTER_FAIL, "a node has a number and a type");
    int r = state_lock(s);
    if (r < 0) return r;
    struct node_info info = { .node_id = request->node_id,
                              .type = request->type,
                              .status = NODE_HEARTBEAT_CONNECTING };
    if (state_node(s, request->node_id))
        r = refuse(ret_why, -ERR_MGMTD_REGISTER_FAIL, "this node id is registered already");
    else
        r = state_write(s, write_in, &info);
    if (r == 0) state_put_node(s, &info)->alive_until_ns = state_grace_end_ns(s);
    fiber_mutex_unlock(&s->writer);
    return r;
}

static int check_unregister(const struct state *s, const struct member_node *node,
                            const struct register_node_request *request, const char **ret_why)
{
    if (!node) return refuse(ret_why, -ERR_MGMTD_NODE_NOT_FOUND, "no such node");
    if (node->info->type != request->type)
        return refuse(ret_why, -ERR_MGMTD_NODE_TYPE_MISMATCH, "the node has another type");
    uint8_t status = node->info->status;
    bool is_gone = status == NODE_HEARTBEAT_FAILED ||
                   (status == NODE_DISABLED && node->alive_until_ns <= state_now_ns(s));
    if (!is_gone)
        return refuse(ret_why, -ERR_INVALID_ARG, "the node must be disabled, or not heard from");
    for (size_t i = 0; i < s->chains.count; i++) {
        const struct member_chain *chain = s->chains.slots[i].value;
        for (uint32_t j = 0; j < chain->info->members.count; j++) {
            if (chain->info->members.items[j].node_id == request->node_id)
                return refuse(ret_why, -ERR_INVALID_ARG,
                              "targets of the node are in chains (update-chain first)");
        }
    }
    return 0;
}

int nodes_unregister(struct state *s, const struct register_node_request *request,
                     const char **ret_why)
{
    int r = state_lock(s);
    if (r < 0) return r;
    struct member_node *node = state_node(s, request->node_id);
    r = check_unregister(s, node, request, ret_why);
    if (r == 0) r = state_write(s, clear_in, node->info);
    if (r == 0) {
        node->info->removed = 1;
        events_note(s, EVENT_NODE, request->node_id, 0, "%s %u was unregistered",
                    node_type_name(request->type), request->node_id);
        state_touch(s, &node->record);
        if (node->report) {
            arena_done(&node->report->arena);
            node->report->disks = (struct disk_info_list){ 0 };
            node->report->orphans = (struct local_target_list){ 0 };
        }
    }
    fiber_mutex_unlock(&s->writer);
    return r;
}

/* ---- tags ---- */

static int change_tags(struct state *s, struct arena *arena, struct member_node *node,
                       const struct set_node_tags_request *request, const char **ret_why)
{
    struct node_info info = *node->info;
    int r =
        tags_apply(arena, &node->info->tags, request->mode, &request->tags, &info.tags, ret_why);
    if (r < 0) return r;
    bool is_disabled = tag_find(&info.tags, BYTES_LITERAL("Disable")) >= 0;
    if (is_disabled && info.status == NODE_PRIMARY_MGMTD)
        return refuse(ret_why, -ERR_INVALID_ARG, "the primary cannot be disabled");
    r = state_write(s, write_in, &info);
    if (r < 0) return r;
    bool was_disabled = node->is_disabled;
    struct tag_list tags = info.tags;
    info = *node->info; /* heartbeats may have come meanwhile */
    info.tags = tags;
    if (is_disabled) info.status = NODE_DISABLED;
    if (was_disabled && !is_disabled) info.status = NODE_HEARTBEAT_CONNECTING;
    state_put_node(s, &info);
    if (was_disabled != is_disabled)
        events_note(s, EVENT_NODE, info.node_id, 0, "%s %u was %s", node_type_name(info.type),
                    info.node_id, is_disabled ? "disabled" : "enabled");
    if (was_disabled && !is_disabled) node->alive_until_ns = state_grace_end_ns(s);
    return 0;
}

int nodes_set_tags(struct state *s, struct arena *arena,
                   const struct set_node_tags_request *request, struct node_info *ret,
                   const char **ret_why)
{
    int r = state_lock(s);
    if (r < 0) return r;
    struct member_node *node = state_node(s, request->node_id);
    if (node)
        r = change_tags(s, arena, node, request, ret_why);
    else
        r = refuse(ret_why, -ERR_MGMTD_NODE_NOT_FOUND, "no such node");
    if (r == 0) *ret = *node->info;
    fiber_mutex_unlock(&s->writer);
    return r;
}

int nodes_set_enabled(struct state *s, struct arena *arena, uint32_t node_id, bool enabled,
                      const char **ret_why)
{
    struct tag tag = { .key = BYTES_LITERAL("Disable") };
    struct set_node_tags_request request = { .node_id = node_id,
                                             .mode = enabled ? TAG_REMOVE : TAG_UPSERT,
                                             .tags = { &tag, 1 } };
    struct node_info info;
    return nodes_set_tags(s, arena, &request, &info, ret_why);
}

void nodes_list_disks(const struct state *s, struct arena *arena, struct node_disks_list *ret)
{
    *ret = (struct node_disks_list){ arena_array(arena, struct node_disks, s->nodes.count), 0 };
    for (size_t i = 0; i < s->nodes.count; i++) {
        const struct member_node *node = s->nodes.slots[i].value;
        if (!node->report || node->report->disks.count == 0) continue;
        ret->items[ret->count++] = (struct node_disks){ node->info->node_id, node->report->disks };
    }
}
