/* service.c - the calls of mgmtd: who may, is this the primary, then the module that does it.
 *
 * Nothing that a caller sends ends the process; every refusal is a status and a sentence.
 */
#include "base/check.h"
#include "client/names.h"
#include "cluster/schema.h"
#include "cluster/users.h"
#include "mgmtd/chains.h"
#include "mgmtd/heartbeat.h"
#include "mgmtd/holds.h"
#include "mgmtd/mgmtd_internal.h"
#include "mgmtd/nodes.h"
#include "mgmtd/routing_answer.h"
#include "mgmtd/sessions.h"
#include "mgmtd/tags.h"

enum caller { ANYBODY, SERVER, MANAGER };

static bool is_server(const struct auth_peer *peer)
{
    return peer->kind == AUTH_SERVER || peer->kind == AUTH_NONE;
}

static int check_caller(struct rpc_call *call, enum caller caller)
{
    if (caller == SERVER && !is_server(call->peer))
        return rpc_fail(call, -ERR_AUTH_FAIL, "only servers of the cluster may do this");
    if (caller == MANAGER && !users_is_manager(call->peer))
        return rpc_fail(call, -ERR_MGMTD_NOT_ADMIN, "user %u is no admin", call->peer->uid);
    return 0;
}

static int not_primary(const struct mgmtd *m, struct rpc_call *call)
{
    if (m->lease.primary_id == 0 || m->lease.primary_id == m->options.node_id)
        return rpc_fail(call, -ERR_MGMTD_NOT_PRIMARY, "no primary is known yet");
    return rpc_fail(call, -ERR_MGMTD_NOT_PRIMARY, "the primary is node %u at %s",
                    m->lease.primary_id, m->lease.primary_address);
}

/* A reference to the state, for a caller who may; the wrappers below give it back. */
static int enter(struct mgmtd *m, struct rpc_call *call, enum caller caller, struct state **ret)
{
    int r = check_caller(call, caller);
    if (r < 0) return r;
    if (!m->state || !state_is_valid(m->state)) return not_primary(m, call);
    *ret = state_ref(m->state);
    return 0;
}

/* The status of a call, with its sentence. */
static int leave(struct mgmtd *m, struct rpc_call *call, int r, const char *why)
{
    if (r == -ERR_MGMTD_NOT_PRIMARY) return not_primary(m, call);
    return r < 0 && why ? rpc_fail(call, r, "%s", why) : r;
}

/* Begins a handler: m, s (a reference, given back at the end of the block) and why. */
#define ENTER(caller)                                                                              \
    struct mgmtd *m = self;                                                                        \
    unused_ const char *why = NULL;                                                                \
    cleanup_(state_unrefp) struct state *s = NULL;                                                 \
    int r = enter(m, call, caller, &s);                                                            \
    if (r < 0) return r;                                                                           \
    check(s)

static int check_cluster(const struct mgmtd *m, struct rpc_call *call, struct bytes cluster_id)
{
    if (bytes_equal_text(cluster_id, m->options.cluster_id)) return 0;
    return rpc_fail(call, -ERR_MGMTD_CLUSTER_ID_MISMATCH, "this is cluster '%s', not '%.*s'",
                    m->options.cluster_id, (int)MIN_OF(cluster_id.size, (size_t)64),
                    (const char *)cluster_id.base);
}

/* ---- the primary, heartbeats, routing ---- */

static int on_get_primary(void *self, struct rpc_call *call, const struct empty_record *request,
                          struct get_primary_reply *reply)
{
    const struct mgmtd *m = self;
    reply->node_id = m->lease.primary_id;
    reply->term = m->lease.seen_term;
    reply->is_self = m->state && state_is_valid(m->state);
    bool is_self = m->lease.primary_id == m->options.node_id;
    reply->address = is_self ? m->self_address
                             : arena_copy(call->arena, bytes_of_text(m->lease.primary_address));
    return 0;
}

static int on_heartbeat(void *self, struct rpc_call *call, const struct heartbeat_request *request,
                        struct heartbeat_reply *reply)
{
    ENTER(SERVER);
    r = check_cluster(m, call, request->cluster_id);
    if (r < 0) return r;
    if (request->node.node_id == m->options.node_id)
        return rpc_fail(call, -ERR_MGMTD_HEARTBEAT_FAIL, "node id %u is that of the primary mgmtd",
                        m->options.node_id);
    r = heartbeat_accept(s, call->arena, request, reply, &why);
    return leave(m, call, r, why);
}

static int on_get_routing(void *self, struct rpc_call *call,
                          const struct get_routing_request *request,
                          struct get_routing_reply *reply)
{
    ENTER(ANYBODY);
    r = check_cluster(m, call, request->cluster_id);
    if (r < 0) return r;
    r = routing_answer(s, call->arena, request, reply);
    if (r == -ERR_MGMTD_INVALID_ROUTING_VERSION)
        return rpc_fail(call, r,
                        "term %" PRIu64 " version %" PRIu64 " is not known here (now: %" PRIu64
                        ", %" PRIu64 "): was the store restored?",
                        request->term, request->version, s->term, s->version);
    return leave(m, call, r, NULL);
}

/* ---- nodes ---- */

static int on_register_node(void *self, struct rpc_call *call,
                            const struct register_node_request *request, struct empty_record *reply)
{
    ENTER(MANAGER);
    r = nodes_register(s, request, &why);
    return leave(m, call, r, why);
}

static int on_unregister_node(void *self, struct rpc_call *call,
                              const struct register_node_request *request,
                              struct empty_record *reply)
{
    ENTER(MANAGER);
    r = nodes_unregister(s, request, &why);
    return leave(m, call, r, why);
}

static int on_enable_node(void *self, struct rpc_call *call, const struct node_request *request,
                          struct empty_record *reply)
{
    ENTER(MANAGER);
    r = nodes_set_enabled(s, call->arena, request->node_id, true, &why);
    return leave(m, call, r, why);
}

static int on_disable_node(void *self, struct rpc_call *call, const struct node_request *request,
                           struct empty_record *reply)
{
    ENTER(MANAGER);
    r = nodes_set_enabled(s, call->arena, request->node_id, false, &why);
    return leave(m, call, r, why);
}

static int on_set_node_tags(void *self, struct rpc_call *call,
                            const struct set_node_tags_request *request, struct node_reply *reply)
{
    ENTER(MANAGER);
    r = nodes_set_tags(s, call->arena, request, &reply->node, &why);
    return leave(m, call, r, why);
}

static int on_set_host_tags(void *self, struct rpc_call *call,
                            const struct set_host_tags_request *request, struct host_tags *reply)
{
    ENTER(MANAGER);
    r = hosts_set_tags(s, call->arena, request, reply, &why);
    return leave(m, call, r, why);
}

static int on_list_disks(void *self, struct rpc_call *call, const struct empty_record *request,
                         struct list_disks_reply *reply)
{
    ENTER(ANYBODY);
    nodes_list_disks(s, call->arena, &reply->nodes);
    return 0;
}

static int on_hold_node(void *self, struct rpc_call *call, const struct hold_node_request *request,
                        struct hold_node_reply *reply)
{
    ENTER(MANAGER);
    if (!state_node(s, request->node_id)) return -ERR_MGMTD_NODE_NOT_FOUND;
    r = holds_take(s, request, reply);
    reply->desc = arena_copy(call->arena, reply->desc);
    return leave(m, call, r, why);
}

static int on_list_events(void *self, struct rpc_call *call,
                          const struct list_events_request *request,
                          struct list_events_reply *reply)
{
    ENTER(ANYBODY);
    r = events_list(s, call->arena, request, &reply->events);
    return leave(m, call, r, why);
}

/* ---- configurations ---- */

struct config_op {
    struct config_info config;
};

static int config_in(struct kv_txn *txn, void *arg)
{
    const struct config_op *op = arg;
    return schema_set_config(txn, &op->config);
}

/* Whether a service's own file may become the next version: 1, 0 when it is the latest already, or
 * a refusal. */
static int check_upload(struct rpc_call *call, const struct latest_config *latest,
                        struct bytes content, const char **ret_why)
{
    if (latest->version && bytes_compare(latest->content, content) == 0) return 0;
    if (!latest->version || latest->is_from_service) return 1;
    *ret_why = arena_printf(
        call->arena, "version %" PRIu64 " was set by a person and stays%s%.*s%s", latest->version,
        latest->desc.size ? " (" : "", (int)MIN_OF(latest->desc.size, (size_t)64),
        (const char *)latest->desc.base, latest->desc.size ? ")" : "");
    return -ERR_CONFIG_UPDATE_FAILED;
}

static int set_config(struct mgmtd *m, struct rpc_call *call, struct state *s,
                      const struct set_config_request *request, struct config_info *ret,
                      const char **ret_why)
{
    const struct latest_config *latest = &s->configs[request->type];
    ret->type = request->type;
    ret->version = latest->version;
    if (request->expected_version && request->expected_version != latest->version) {
        *ret_why = "another version was set meanwhile";
        return -ERR_MGMTD_INVALID_CONFIG_VERSION;
    }
    int r = request->from_service ? check_upload(call, latest, request->content, ret_why) : 1;
    if (r <= 0) return r;
    struct config_op op = { .config = { .type = request->type,
                                        .version = latest->version + 1,
                                        .content = request->content,
                                        .desc = request->desc,
                                        .from_service = request->from_service != 0 } };
    r = state_write(s, config_in, &op);
    if (r == -ERR_INVALID_CONFIG) *ret_why = "the text is too long";
    if (r < 0) return r;
    state_put_config(s, &op.config);
    events_note(s, EVENT_CONFIG, 0, 0, "configuration %s has version %" PRIu64 "%s%.*s",
                node_type_name(request->type), op.config.version, request->desc.size ? ": " : "",
                (int)MIN_OF(request->desc.size, (size_t)256), (const char *)request->desc.base);
    if (request->type == NODE_MGMTD) mgmtd_take_own_config(m, s);
    ret->version = op.config.version;
    return 0;
}

static int on_set_config(void *self, struct rpc_call *call,
                         const struct set_config_request *request, struct config_info *reply)
{
    ENTER(MANAGER);
    if (request->type >= NODE_TYPE_MAX)
        return rpc_fail(call, -ERR_INVALID_ARG, "no such type of node");
    r = mgmtd_validate_config(m, call->arena, request->type, request->content, &why);
    if (r < 0) return leave(m, call, r, why);
    r = state_lock(s);
    if (r < 0) return leave(m, call, r, NULL);
    r = set_config(m, call, s, request, reply, &why);
    fiber_mutex_unlock(&s->writer);
    return leave(m, call, r, why);
}

struct get_config_op {
    struct arena *arena;
    const struct get_config_request *request;
    struct config_info *reply;
};

static int get_config_in(struct kv_txn *txn, void *arg)
{
    const struct get_config_op *op = arg;
    int r = schema_get_config(txn, op->arena, op->request->type, op->request->version, op->reply);
    return r == 0 ? -ERR_MGMTD_INVALID_CONFIG_VERSION : r;
}

static int on_get_config(void *self, struct rpc_call *call,
                         const struct get_config_request *request, struct config_info *reply)
{
    ENTER(ANYBODY);
    if (request->type >= NODE_TYPE_MAX)
        return rpc_fail(call, -ERR_INVALID_ARG, "no such type of node");
    const struct latest_config *latest = &s->configs[request->type];
    reply->type = request->type;
    if (request->version == 0 || request->version == latest->version) {
        reply->version = latest->version;
        reply->content = latest->content;
        reply->desc = latest->desc;
        reply->from_service = latest->is_from_service;
        return 0;
    }
    struct get_config_op op = { call->arena, request, reply };
    r = kv_read_only(m->options.kv, get_config_in, &op);
    return r < 0 ? leave(m, call, r, error_sentence(r)) : 0;
}

static int on_get_config_versions(void *self, struct rpc_call *call,
                                  const struct empty_record *request,
                                  struct config_versions_reply *reply)
{
    ENTER(ANYBODY);
    reply->configs.items = arena_array(call->arena, struct config_info, NODE_TYPE_MAX);
    reply->configs.count = NODE_TYPE_MAX;
    for (uint32_t type = 0; type < NODE_TYPE_MAX; type++) {
        const struct latest_config *latest = &s->configs[type];
        reply->configs.items[type] =
            (struct config_info){ .type = (uint8_t)type,
                                  .version = latest->version,
                                  .desc = latest->desc,
                                  .from_service = latest->is_from_service };
    }
    return 0;
}

/* ---- chains ---- */

static int on_set_chains(void *self, struct rpc_call *call,
                         const struct set_chains_request *request, struct empty_record *reply)
{
    ENTER(MANAGER);
    r = chains_set(s, call->arena, request, &why);
    return leave(m, call, r, why);
}

static int on_set_chain_table(void *self, struct rpc_call *call,
                              const struct set_chain_table_request *request,
                              struct set_chain_table_reply *reply)
{
    ENTER(MANAGER);
    r = chains_set_table(s, call->arena, request, &reply->version, &why);
    return leave(m, call, r, why);
}

static int on_rotate_lastsrv(void *self, struct rpc_call *call, const struct chain_request *request,
                             struct chain_reply *reply)
{
    ENTER(MANAGER);
    r = chains_rotate_lastsrv(s, request, &reply->chain, &why);
    return leave(m, call, r, why);
}

static int on_set_preferred_order(void *self, struct rpc_call *call,
                                  const struct chain_request *request, struct chain_reply *reply)
{
    ENTER(MANAGER);
    r = chains_set_preferred(s, request, &reply->chain, &why);
    return leave(m, call, r, why);
}

static int on_rotate_as_preferred_order(void *self, struct rpc_call *call,
                                        const struct chain_request *request,
                                        struct chain_reply *reply)
{
    ENTER(MANAGER);
    r = chains_rotate_preferred(s, request, &reply->chain, &why);
    return leave(m, call, r, why);
}

static int on_update_chain(void *self, struct rpc_call *call, const struct chain_request *request,
                           struct chain_reply *reply)
{
    ENTER(MANAGER);
    r = chains_update(s, call->arena, request, &reply->chain, &why);
    return leave(m, call, r, why);
}

static int on_list_orphan_targets(void *self, struct rpc_call *call,
                                  const struct empty_record *request,
                                  struct orphan_targets_reply *reply)
{
    ENTER(ANYBODY);
    chains_list_orphans(s, call->arena, &reply->targets);
    return 0;
}

/* ---- sessions ---- */

static int on_extend_session(void *self, struct rpc_call *call,
                             const struct extend_session_request *request,
                             struct extend_session_reply *reply)
{
    ENTER(ANYBODY);
    r = check_cluster(m, call, request->cluster_id);
    if (r < 0) return r;
    return leave(m, call, sessions_extend(s, request, reply), NULL);
}

static int on_list_sessions(void *self, struct rpc_call *call, const struct empty_record *request,
                            struct list_sessions_reply *reply)
{
    ENTER(MANAGER);
    sessions_list(s, call->arena, reply);
    return 0;
}

static int on_update_client(void *self, struct rpc_call *call,
                            const struct update_client_request *request, struct empty_record *reply)
{
    ENTER(MANAGER);
    r = sessions_update_client(s, request, call->arena, &why);
    return leave(m, call, r, why);
}

/* ---- users: every instance has the store ---- */

static void hide_tokens(struct rpc_call *call, struct user_attr *user)
{
    if (!users_is_manager(call->peer) && call->peer->uid != user->uid)
        user->tokens = (struct user_token_list){ 0 };
}

static int on_login(void *self, struct rpc_call *call, const struct empty_record *request,
                    struct login_reply *reply)
{
    struct mgmtd *m = self;
    struct auth_peer peer = *call->peer;
    if (peer.kind == AUTH_TOKEN || peer.kind == AUTH_CAPABILITY) {
        int r = users_get(m->options.kv, call->arena, peer.uid, &reply->user);
        if (r < 0)
            return rpc_fail(call, r == -ERR_META_NOT_FOUND ? -ERR_AUTH_FAIL : r,
                            "user %u is unknown", peer.uid);
        users_to_peer(&reply->user, AUTH_CAPABILITY, &peer);
        r = users_issue_time(m->node, m->options.kv, peer.uid, &peer.issued_wall_ns);
        if (r < 0) return r;
        reply->user.tokens = (struct user_token_list){ 0 };
    }
    reply->renew_ns = m->options.capability_ns / 4;
    if (!m->options.cluster_key) return 0;
    struct auth_identity identity;
    uint64_t lifetime_ns = MIN_OF(m->options.capability_ns, USER_CAPABILITY_NS_MAX);
    uint64_t expires = node_wall_ns(m->node) + lifetime_ns;
    auth_capability_issue(m->options.cluster_key, &peer, expires, node_random_u64(m->node),
                          &identity);
    reply->capability =
        arena_copy(call->arena, bytes_of(identity.capability, identity.capability_size));
    reply->session_key = arena_copy(call->arena, bytes_of(identity.key, sizeof identity.key));
    return 0;
}

static int on_user_add(void *self, struct rpc_call *call, const struct user_request *request,
                       struct user_reply *reply)
{
    struct mgmtd *m = self;
    const char *why = NULL;
    int r = check_caller(call, MANAGER);
    if (r < 0) return r;
    r = users_add(m->node, m->options.kv, call->arena, request, &reply->user, &why);
    return leave(m, call, r, why);
}

static int on_user_remove(void *self, struct rpc_call *call, const struct user_request *request,
                          struct empty_record *reply)
{
    struct mgmtd *m = self;
    int r = check_caller(call, MANAGER);
    if (r < 0) return r;
    r = users_remove(m->node, m->options.kv, request->user.uid);
    return leave(m, call, r, r == -ERR_META_NOT_FOUND ? "no such user" : NULL);
}

static int on_user_set(void *self, struct rpc_call *call, const struct user_request *request,
                       struct user_reply *reply)
{
    struct mgmtd *m = self;
    const char *why = NULL;
    int r = check_caller(call, MANAGER);
    if (r < 0) return r;
    r = users_set(m->node, m->options.kv, call->arena, request, &reply->user, &why);
    return leave(m, call, r, why);
}

static int on_user_set_token(void *self, struct rpc_call *call, const struct user_request *request,
                             struct user_reply *reply)
{
    struct mgmtd *m = self;
    const char *why = NULL;
    int r = check_caller(call, MANAGER);
    if (r < 0) return r;
    r = users_set_token(m->node, m->options.kv, call->arena, request, &reply->user, &why);
    return leave(m, call, r, why);
}

static int on_user_list(void *self, struct rpc_call *call, const struct empty_record *request,
                        struct user_list_reply *reply)
{
    struct mgmtd *m = self;
    int r = users_list(m->options.kv, call->arena, &reply->users);
    for (uint32_t i = 0; r == 0 && i < reply->users.count; i++) {
        hide_tokens(call, &reply->users.items[i]);
    }
    return r;
}

static int on_user_stat(void *self, struct rpc_call *call, const struct user_request *request,
                        struct user_reply *reply)
{
    struct mgmtd *m = self;
    if (!users_is_manager(call->peer) && call->peer->uid != request->user.uid)
        return check_caller(call, MANAGER);
    int r = users_get(m->options.kv, call->arena, request->user.uid, &reply->user);
    return leave(m, call, r, r == -ERR_META_NOT_FOUND ? "no such user" : NULL);
}

#define HANDLER(service, id, name, request, reply) .name = on_##name,
const struct mgmtd_handlers mgmtd_service_handlers = { MGMTD_METHODS(HANDLER, mgmtd) };
