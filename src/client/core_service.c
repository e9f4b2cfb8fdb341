/* core_service.c - a node tells its settings and its counters, and takes settings by hand. */
#include "client/core_service.h"

#include "proto/core.h"

static int check_caller(struct rpc_call *call)
{
    const struct auth_peer *peer = call->peer;
    bool may = peer->kind == AUTH_SERVER || peer->kind == AUTH_NONE ||
               (peer->rights & (AUTH_RIGHT_ADMIN | AUTH_RIGHT_ROOT));
    return may ? 0 : rpc_fail(call, -ERR_MGMTD_NOT_ADMIN, "user %u is no admin", peer->uid);
}

static int on_get_config(void *self, struct rpc_call *call, const struct empty_record *request,
                         struct core_config_reply *reply)
{
    struct node *node = self;
    int r = check_caller(call);
    if (r < 0) return r;
    if (!node->show_config) return rpc_fail(call, -ERR_NOT_IMPLEMENTED, "no settings to show");
    reply->content = bytes_of_text(node->show_config(node->config_arg, call->arena));
    reply->name = bytes_of_text(node->name);
    return 0;
}

static int on_hot_update_config(void *self, struct rpc_call *call,
                                const struct hot_update_request *request,
                                struct empty_record *reply)
{
    struct node *node = self;
    const char *error = "";
    int r = check_caller(call);
    if (r < 0) return r;
    if (!node->take_config) return rpc_fail(call, -ERR_NOT_IMPLEMENTED, "no settings to change");
    r = node->take_config(node->config_arg, node, request->content, CONFIG_BY_HAND, call->arena,
                          &error);
    return r < 0 ? rpc_fail(call, r, "%s", error) : 0;
}

static int on_get_last_config_update(void *self, struct rpc_call *call,
                                     const struct empty_record *request,
                                     struct config_update_reply *reply)
{
    const struct node *node = self;
    int r = check_caller(call);
    if (r < 0) return r;
    const struct config_update *last = &node->last_config_update;
    *reply = (struct config_update_reply){ .name = bytes_of_text(node->name),
                                           .wall_ns = last->wall_ns,
                                           .source = (uint8_t)last->source,
                                           .status = (uint32_t)-last->result,
                                           .error = arena_copy(call->arena,
                                                               bytes_of_text(last->error)) };
    return 0;
}

struct collection {
    struct arena *arena;
    struct metric_list *list; /* NULL: only counts */
    uint32_t count;
};

static void collect(void *arg, const char *name, uint64_t value)
{
    struct collection *c = arg;
    c->count++;
    if (!c->list) return;
    c->list->items[c->list->count++] =
        (struct metric){ arena_copy(c->arena, bytes_of_text(name)), value };
}

static int on_get_metrics(void *self, struct rpc_call *call, const struct empty_record *request,
                          struct core_metrics_reply *reply)
{
    const struct node *node = self;
    int r = check_caller(call);
    if (r < 0) return r;
    struct collection c = { .arena = call->arena };
    metrics_each(node->metrics, collect, &c);
    reply->metrics.items = arena_array(call->arena, struct metric, c.count);
    c.list = &reply->metrics;
    metrics_each(node->metrics, collect, &c);
    return 0;
}

#define HANDLER(service, id, name, request, reply) .name = on_##name,
static const struct core_handlers core_service_handlers = { CORE_METHODS(HANDLER, core) };

void core_serve(struct rpc_server *server, struct node *node)
{
    rpc_server_add(server, &core_service, &core_service_handlers, node);
}
