/* core_service.c - a node tells its settings and its counters. */
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
