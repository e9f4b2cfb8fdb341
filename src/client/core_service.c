/* core_service.c - a node tells its settings and its counters, takes settings by hand, and faults
 * where its settings allow that.
 */
#include "client/core_service.h"

#include "loop/fault.h"
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

static int on_verify_config(void *self, struct rpc_call *call,
                            const struct hot_update_request *request,
                            struct verify_config_reply *reply)
{
    const struct node *node = self;
    int r = check_caller(call);
    if (r < 0) return r;
    if (!node->try_config) return rpc_fail(call, -ERR_NOT_IMPLEMENTED, "no settings to change");
    const char *error = "";
    r = node->try_config(node->config_arg, request->content, false, call->arena, &error);
    reply->cold_changed = r > 0;
    reply->cold_status = r < 0 ? (uint32_t)-r : 0;
    reply->cold_error = bytes_of_text(r < 0 ? error : "");
    r = node->try_config(node->config_arg, request->content, true, call->arena, &error);
    reply->hot_changed = r > 0;
    reply->hot_status = r < 0 ? (uint32_t)-r : 0;
    reply->hot_error = bytes_of_text(r < 0 ? error : "");
    return 0;
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

/* No secret: whoever may connect may ask. */
static int on_get_health(void *self, struct rpc_call *call, const struct empty_record *request,
                         struct core_health_reply *reply)
{
    struct node *node = self;
    const char *state = "runs";
    bool is_healthy =
        !node->check_health || node->check_health(node->health_arg, call->arena, &state);
    *reply = (struct core_health_reply){ .name = bytes_of_text(node->name),
                                         .is_healthy = is_healthy,
                                         .state = bytes_of_text(state) };
    if (node->count_unsettled) reply->unsettled_count = node->count_unsettled(node->health_arg);
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

/* ---- faults ---- */

static int check_faults(const struct node *node, struct rpc_call *call)
{
    int r = check_caller(call);
    if (r < 0 || node->allows_faults) return r;
    return rpc_fail(call, -ERR_NOT_SUPPORTED,
                    "%s takes no faults: its setting fault_injection is false", node->name);
}

static int on_add_fault(void *self, struct rpc_call *call, const struct core_fault *request,
                        struct empty_record *reply)
{
    struct node *node = self;
    int r = check_faults(node, call);
    if (r < 0) return r;
    if (request->kind > FAULT_SUSPEND || request->point.size == 0)
        return rpc_fail(call, -ERR_INVALID_ARG, "no such kind of fault, or no point");
    if (request->kind == FAULT_FAIL && !error_number_is_known((int)request->error))
        return rpc_fail(call, -ERR_INVALID_ARG, "%u is no status code", request->error);
    struct fault_rule rule = { .point = arena_text(call->arena, request->point),
                               .kind = (enum fault_kind)request->kind,
                               .error = -(int)request->error,
                               .delay_ns = request->delay_ns,
                               .skip_count = request->skip_count,
                               .hit_count = request->hit_count };
    fault_add(node, &rule);
    log_warn(&node->log, 0, "fault point %s has a rule by command", rule.point);
    return 0;
}

struct fault_listing {
    struct arena *arena;
    struct core_faults_reply *reply; /* NULL: only counts */
    uint32_t count;
};

static void list_point(void *arg, const char *point, uint32_t hits, const struct fault_rule *rules,
                       uint32_t rule_count)
{
    struct fault_listing *l = arg;
    l->count++;
    if (!l->reply) return;
    struct core_fault_point *p = &l->reply->points.items[l->reply->points.count++];
    *p = (struct core_fault_point){ .point = arena_copy(l->arena, bytes_of_text(point)),
                                    .hits = hits };
    p->rules.items = arena_array(l->arena, struct core_fault, rule_count);
    for (uint32_t i = 0; i < rule_count; i++) {
        if (rules[i].hit_count == UINT32_MAX) continue; /* used up */
        p->rules.items[p->rules.count++] = (struct core_fault){ .point = p->point,
                                                                .kind = (uint8_t)rules[i].kind,
                                                                .error = (uint32_t)-rules[i].error,
                                                                .delay_ns = rules[i].delay_ns,
                                                                .skip_count = rules[i].skip_count,
                                                                .hit_count = rules[i].hit_count };
    }
}

static int on_list_faults(void *self, struct rpc_call *call, const struct empty_record *request,
                          struct core_faults_reply *reply)
{
    const struct node *node = self;
    int r = check_faults(node, call);
    if (r < 0) return r;
    struct fault_listing l = { .arena = call->arena };
    fault_each(node, list_point, &l);
    reply->points.items = arena_array(call->arena, struct core_fault_point, l.count);
    l.reply = reply;
    fault_each(node, list_point, &l);
    return 0;
}

static int on_clear_faults(void *self, struct rpc_call *call,
                           const struct core_fault_filter *request, struct empty_record *reply)
{
    struct node *node = self;
    int r = check_faults(node, call);
    if (r < 0) return r;
    if (request->point.size > 0)
        fault_clear_point(node, arena_text(call->arena, request->point));
    else
        fault_clear(node);
    return 0;
}

#define HANDLER(service, id, name, request, reply) .name = on_##name,
static const struct core_handlers core_service_handlers = { CORE_METHODS(HANDLER, core) };

void core_serve(struct rpc_server *server, struct node *node)
{
    rpc_server_add(server, &core_service, &core_service_handlers, node);
}
