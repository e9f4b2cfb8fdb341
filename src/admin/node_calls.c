/* node_calls.c - the nodes of a type, and calls to them that may fail one by one. */
#include "admin/node_calls.h"

static int compare_briefs(const void *x, const void *y)
{
    const struct node_brief *a = x, *b = y;
    return (a->node_id > b->node_id) - (a->node_id < b->node_id);
}

int nodes_of_type(struct admin *a, enum node_type type, struct node_brief **ret,
                  uint32_t *ret_count)
{
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    const struct routing *routing = admin_routing(a);
    struct node_brief *nodes = arena_array(&a->arena, struct node_brief, routing->nodes.count);
    const struct node_info *node;
    uint32_t count = 0;
    size_t at = 0;
    while ((node = map_next(&routing->nodes, &at))) {
        bool is_up = node->status == NODE_PRIMARY_MGMTD || node->status == NODE_HEARTBEAT_CONNECTED;
        if (node->type == type)
            nodes[count++] = (struct node_brief){ node->node_id, node->status, is_up };
    }
    qsort(nodes, count, sizeof *nodes, compare_briefs);
    *ret = nodes;
    *ret_count = count;
    return 0;
}

int node_try(struct admin *a, uint32_t node_id, const struct rpc_service *service,
             const struct rpc_method *method, const void *req, void *rep, const char **ret_why)
{
    struct net_address address;
    const char *why = NULL;
    struct rpc_options options = { .arena = &a->arena,
                                   .timeout_ns = a->settings->timeout_ns,
                                   .ret_error_text = &why };
    int r = routing_address(admin_routing(a), node_id, &address);
    if (r >= 0) {
        struct rpc_target to = { mgmtd_client_pool(a->mgmtd), &address, RPC_CONTROL };
        r = rpc_call(to, service, method, &options, req, rep);
    }
    if (r < 0) *ret_why = why ?: error_sentence(r);
    return r;
}
