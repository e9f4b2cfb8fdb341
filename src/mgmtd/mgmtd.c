/* mgmtd.c - an instance: its server, its fibers, what it checks itself. */
#include "mgmtd/mgmtd.h"
#include "base/release.h"

#include "base/check.h"
#include "client/core_service.h"
#include "client/revocations.h"
#include "cluster/users.h"
#include "config/toml.h"
#include "mgmtd/mgmtd_internal.h"

#define SETTING_STRUCT_NAME mgmtd_settings
SETTINGS_TABLE(mgmtd_settings_table, MGMTD_SETTINGS)

int mgmtd_validate_config(const struct mgmtd *m, struct arena *arena, enum node_type type,
                          struct bytes toml, const char **ret_error)
{
    struct toml_value root;
    int r = toml_parse(arena, toml, &root, ret_error);
    if (r < 0) return r;
    const struct mgmtd_hooks *hooks = &m->options.hooks;
    if (type == NODE_MGMTD && !hooks->validate_config) {
        struct mgmtd_settings settings;
        settings_init(mgmtd_settings_table, &settings, arena);
        r = settings_load(mgmtd_settings_table, &settings, arena, &root, ret_error);
        if (r < 0) return r;
    }
    return hooks->validate_config ? hooks->validate_config(hooks->arg, arena, type, toml, ret_error)
                                  : 0;
}

void mgmtd_take_config(struct mgmtd *m, uint64_t version, struct bytes toml)
{
    if (version <= m->self.config_version) return;
    cleanup_arena_ struct arena arena = { 0 };
    const char *error;
    int r = m->node->take_config ? m->node->take_config(m->node->config_arg, m->node, toml,
                                                        CONFIG_PUSHED, &arena, &error)
                                 : 0;
    m->self.config_version = version;
    m->has_refused_config = r < 0;
    mgmtd_note_config(m);
}

void mgmtd_note_config(struct mgmtd *m)
{
    m->self.config_status = m->has_refused_config      ? CONFIG_FAILED
                            : m->node->config_is_dirty ? CONFIG_DIRTY
                                                       : CONFIG_NORMAL;
}

void mgmtd_take_own_config(struct mgmtd *m, struct state *s)
{
    const struct latest_config *latest = &s->configs[NODE_MGMTD];
    mgmtd_take_config(m, latest->version, latest->content);
    mgmtd_note_config(m);
    struct member_node *self = state_node(s, m->options.node_id);
    bool is_known = self && self->info->config_version == m->self.config_version &&
                    self->info->config_status == m->self.config_status;
    if (!self || is_known) return;
    self->info->config_version = m->self.config_version;
    self->info->config_status = m->self.config_status;
    state_touch(s, &self->record);
}

static int check_token(void *arg, struct bytes token, struct auth_peer *ret)
{
    struct mgmtd *m = arg;
    cleanup_arena_ struct arena arena = { 0 };
    struct user_attr user;
    int r = users_check_token(m->node, m->options.kv, &arena, token, &user);
    if (r < 0) return r;
    users_to_peer(&user, AUTH_TOKEN, ret);
    return users_issue_time(m->node, m->options.kv, ret->uid, &ret->issued_wall_ns);
}

/* As the primary knows; what a client asks of another instance is answered from the store. */
static bool is_revoked(void *arg, const struct auth_peer *peer)
{
    const struct mgmtd *m = arg;
    for (uint32_t i = 0; m->state && i < m->state->revoked.count; i++)
        if (revocation_is_for(&m->state->revoked.items[i], peer)) return true;
    return false;
}

static void take_options(struct mgmtd *m, const struct mgmtd_options *options)
{
    m->options = *options;
    m->options.cluster_id = arena_printf(&m->arena, "%s", options->cluster_id);
    m->options.hostname = arena_printf(&m->arena, "%s", options->hostname ? options->hostname : "");
    if (options->cluster_key) {
        m->options.cluster_key =
            arena_copy(&m->arena, bytes_of(options->cluster_key, AUTH_KEY_BYTES)).base;
        memcpy(m->keys.cluster_key, options->cluster_key, AUTH_KEY_BYTES);
        m->keys.cluster_key_size = AUTH_KEY_BYTES;
    }
    m->keys.check_token = check_token;
    m->keys.check_token_arg = m;
    m->keys.is_revoked = is_revoked;
    m->keys.is_revoked_arg = m;
}

/* Where others reach this instance: one that listens everywhere is known by its host's name. */
static const char *own_address(struct mgmtd *m, const char *advertise)
{
    if (advertise && advertise[0]) return advertise;
    struct net_address address = *rpc_server_address(m->server);
    bool is_everywhere = strcmp(address.host, "0.0.0.0") == 0 || strcmp(address.host, "::") == 0;
    if (is_everywhere && m->options.hostname[0])
        snprintf(address.host, sizeof address.host, "%s", m->options.hostname);
    else if (is_everywhere)
        log_warn(&m->node->log, 0, "advertise is not set: only this host can reach this instance");
    char *text = arena_zalloc(&m->arena, LEASE_ADDRESS_BYTES + 16);
    return net_address_to_text(&address, text, LEASE_ADDRESS_BYTES + 16);
}

static int describe_self(struct mgmtd *m, const char *advertise)
{
    const char *text = own_address(m, advertise);
    struct net_address address;
    int r = net_address_parse(text, &address);
    if (r < 0 || strlen(text) >= LEASE_ADDRESS_BYTES) return -ERR_RPC_INVALID_ADDR;
    rpc_server_add_alias(m->server, &address);
    m->self_address = bytes_of_text(arena_printf(&m->arena, "%s", text));
    m->self = (struct node_info){ .node_id = m->options.node_id,
                                  .type = NODE_MGMTD,
                                  .hostname = bytes_of_text(
                                      m->options.hostname[0] ? m->options.hostname : m->node->host),
                                  .pid = m->node->pid,
                                  .release = bytes_of_text(release_text()),
                                  .addresses = { &m->self_address, 1 },
                                  .incarnation = m->incarnation };
    return 0;
}

static int start_fibers(struct mgmtd *m)
{
    lease_init(&m->lease, m->node, m->options.kv, &m->options.timing, m->options.node_id,
               (const char *)m->self_address.base);
    int r = fiber_spawn(&m->scope, "mgmtd-elect", mgmtd_elect, m);
    return r < 0 ? r : fiber_spawn(&m->scope, "mgmtd-stand-by", mgmtd_stand_by, m);
}

enum { HEALTH_LEASE_COUNT = 4 };

/* Another one counts as the primary while its renewals are seen in the store. */
static bool check_health(void *arg, struct arena *arena, const char **ret_text)
{
    const struct mgmtd *m = arg;
    const struct lease *lease = &m->lease;
    uint64_t silent_ns = node_now_ns(m->node) - lease->seen_since_ns;
    *ret_text = "is the primary";
    if (mgmtd_is_primary(m)) return true;
    *ret_text = "is taking over, or no primary is known yet";
    if (lease_is_valid(lease) || !lease->primary_id) return false;
    *ret_text = arena_printf(arena, "stands by; the primary is node %u", lease->primary_id);
    if (silent_ns < HEALTH_LEASE_COUNT * m->options.timing.lease_ns) return true;
    *ret_text =
        arena_printf(arena, "has seen no primary in the store for %.1f s", (double)silent_ns / SEC);
    return false;
}

int mgmtd_start(struct node *node, const struct mgmtd_options *options, struct mgmtd **ret)
{
    struct mgmtd *m = new_zero(struct mgmtd);
    m->node = node;
    m->incarnation = node_wall_ns(node);
    take_options(m, options);
    scope_init(&m->scope, sched_current());
    m->scope.local = node;
    struct auth_identity identity = { .kind = options->cluster_key ? AUTH_SERVER : AUTH_NONE };
    if (options->cluster_key) memcpy(identity.key, options->cluster_key, AUTH_KEY_BYTES);
    m->pool = rpc_pool_new(node, &identity);
    struct rpc_server_options server = { .listen = options->listen,
                                         .keys = options->cluster_key ? &m->keys : NULL };
    int r = rpc_server_start(node, &server, &m->server);
    if (r == 0) {
        r = describe_self(m, options->advertise);
    }
    if (r == 0) {
        rpc_server_add(m->server, &mgmtd_service, &mgmtd_service_handlers, m);
        core_serve(m->server, node);
        node->health_arg = m;
        node->check_health = check_health;
        r = start_fibers(m);
    }
    if (r < 0) {
        mgmtd_stop(m);
        return r;
    }
    *ret = m;
    return 0;
}

struct mgmtd *mgmtd_stop(struct mgmtd *m)
{
    if (!m) return NULL;
    m->node->check_health = NULL;
    scope_done(&m->scope); /* resigns */
    if (m->server) rpc_server_stop(m->server, 0);
    rpc_pool_free(m->pool);
    arena_done(&m->arena);
    free(m);
    return NULL;
}

const struct net_address *mgmtd_address(const struct mgmtd *m)
{
    return rpc_server_address(m->server);
}

bool mgmtd_is_primary(const struct mgmtd *m)
{
    return m->state && state_is_valid(m->state);
}
