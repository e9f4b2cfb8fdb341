/* mgmtd_session.c - a client's login and session: kept up until the client is freed.
 */
#include "base/release.h"
#include "client/mgmtd_client_internal.h"

static int login(struct mgmtd_client *c)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct empty_record request = { 0 };
    struct login_reply reply;
    struct rpc_options options = { .arena = &arena };
    int r = mgmtd_client_call(c, RPC_METHOD(mgmtd, login), &options, &request, &reply);
    if (r < 0) return r;
    c->session.renew_at_ns = node_now_ns(c->node) + reply.renew_ns;
    if (c->identity.kind != AUTH_TOKEN) return 0;
    c->user.uid = reply.user.uid;
    c->user.gid = reply.user.gid;
    c->user.rights = AUTH_RIGHT_DATA | AUTH_RIGHT_META;
    if (reply.user.admin) c->user.rights |= AUTH_RIGHT_ADMIN;
    if (reply.user.root) c->user.rights |= AUTH_RIGHT_ROOT;
    struct auth_identity identity = { .kind = AUTH_CAPABILITY,
                                      .capability_size = reply.capability.size };
    if (reply.capability.size == 0) return 0; /* an open cluster */
    if (reply.capability.size > sizeof identity.capability ||
        reply.session_key.size != sizeof identity.key)
        return -ERR_RPC_VERIFY_RESPONSE;
    memcpy(identity.capability, reply.capability.base, reply.capability.size);
    memcpy(identity.key, reply.session_key.base, sizeof identity.key);
    rpc_pool_set_identity(c->service_pool, &identity);
    return 0;
}

/* What the client shows to meta and storage is void: the user was removed, or has other rights. */
static int renew_capability(void *client)
{
    struct mgmtd_client *c = client;
    int r = login(c);
    if (r >= 0)
        log_info(&c->node->log, "user %u has logged in again: rights were changed", c->user.uid);
    return r;
}

void mgmtd_client_renew_by_login(struct mgmtd_client *c)
{
    if (c->service_pool != c->pool) rpc_pool_set_renew(c->service_pool, renew_capability, c);
}

static void take_host_tags(struct mgmtd_client *c, const struct tag_list *tags)
{
    struct bytes zone = { 0 };
    for (uint32_t i = 0; i < tags->count; i++)
        if (bytes_equal_text(tags->items[i].key, ZONE_TAG)) zone = tags->items[i].value;
    routing_set_zone(&c->routing, zone);
}

static void make_request(const struct mgmtd_client *c, bool is_ending,
                         struct extend_session_request *request)
{
    const struct mgmtd_session *session = &c->session;
    const struct config_update *last = &c->node->last_config_update;
    *request = (struct extend_session_request){ .cluster_id = c->cluster_id,
                                                .session = session->info,
                                                .ending = is_ending,
                                                .order_id = session->order_id };
    struct client_session *info = &request->session;
    info->config_status = mgmtd_client_config_status(c, info->config_status);
    info->update_wall_ns = last->wall_ns;
    info->update_source = (uint8_t)last->source;
    info->update_status = (uint32_t)-last->result;
    info->update_error = bytes_of_text(last->error);
}

/* Settings by hand, which a client gets by way of its session, as it answers no calls. */
static void take_order(struct mgmtd_client *c, const struct extend_session_reply *reply)
{
    struct mgmtd_session *session = &c->session;
    struct node *node = c->node;
    cleanup_arena_ struct arena arena = { 0 };
    const char *error = "";
    session->has_outcome = reply->order_id && reply->order_id != session->order_id;
    if (!session->has_outcome) return;
    session->order_id = reply->order_id;
    if (node->take_config) {
        /* What became of it the node remembers. */
        (void)node->take_config(node->config_arg, node, reply->order, CONFIG_BY_HAND, &arena,
                                &error);
    } else {
        node->last_config_update = (struct config_update){ .wall_ns = node_wall_ns(node),
                                                           .source = CONFIG_BY_HAND,
                                                           .result = -ERR_NOT_IMPLEMENTED,
                                                           .error = "no settings to change" };
    }
}

static int extend(struct mgmtd_client *c, bool is_ending)
{
    struct mgmtd_session *session = &c->session;
    cleanup_arena_ struct arena arena = { 0 };
    session->info.version++;
    struct extend_session_request request;
    make_request(c, is_ending, &request);
    struct extend_session_reply reply;
    struct rpc_options options = { .timeout_ns = MGMTD_ATTEMPT_NS, .arena = &arena };
    int r = mgmtd_client_try(c, RPC_METHOD(mgmtd, extend_session), &options, &request, &reply);
    if (r < 0) return r;
    session->interval_ns = reply.interval_ns;
    if (reply.config_version > session->info.config_version)
        session->info.config_status = mgmtd_client_take_config(c, reply.config);
    session->info.config_version = reply.config_version;
    take_host_tags(c, &reply.tags);
    take_order(c, &reply);
    return 0;
}

static int session_fiber(void *arg)
{
    struct mgmtd_client *c = arg;
    struct mgmtd_session *session = &c->session;
    uint64_t pause_ns = 0;
    int last_error = 0;
    for (;;) {
        int r = fiber_sleep(last_error || session->has_outcome ? 0 : session->interval_ns);
        if (r < 0) return r;
        r = extend(c, false);
        if (r == 0 && node_now_ns(c->node) >= session->renew_at_ns) r = login(c);
        if (r == -ERR_CANCELED) return r;
        if (r < 0 && r != last_error) log_warn(&c->node->log, r, "cannot extend the session");
        if (r == 0) pause_ns = 0;
        last_error = r;
        if (r < 0 && mgmtd_client_pause(c, &pause_ns, MGMTD_PAUSE_MAX_NS) < 0) return -ERR_CANCELED;
    }
}

/* The first extension: retried as calls are. */
static int begin_session(struct mgmtd_client *c)
{
    uint64_t pause_ns = 0;
    for (;;) {
        int r = extend(c, false);
        if (r >= 0 || !mgmtd_client_moves_on(r)) return r;
        if (mgmtd_client_pause(c, &pause_ns, MGMTD_PAUSE_MAX_NS) < 0) return r;
    }
}

int mgmtd_client_start_session(struct mgmtd_client *c, enum node_type type, struct uuid client,
                               const char *description)
{
    struct mgmtd_session *session = &c->session;
    if (session->is_started) return -ERR_INVALID_ARG;
    int r = login(c);
    if (r < 0) return r;
    session->info =
        (struct client_session){ .client = client,
                                 .type = (uint8_t)type,
                                 .desc = arena_copy(&c->arena, bytes_of_text(description)),
                                 .hostname = bytes_of_text(c->node->host),
                                 .release = bytes_of_text(release_text()),
                                 .client_start_wall_ns = c->incarnation };
    r = begin_session(c);
    if (r == 0) r = mgmtd_client_spawn(c, "mgmtd-session", session_fiber);
    session->is_started = r == 0;
    return r < 0 ? r : mgmtd_client_start_upload(c, type);
}

void mgmtd_client_end_session(struct mgmtd_client *c)
{
    if (!c->session.is_started) return;
    FIBER_SHIELD();
    FIBER_TIMEOUT(MGMTD_PROBE_NS);
    int r = extend(c, true);
    if (r < 0) log_info(&c->node->log, "the session ends by its timeout");
}
