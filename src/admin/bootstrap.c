/* bootstrap.c - the first step, on the store, and the role that takes both. */
#include "admin/bootstrap.h"

#include "cluster/cluster_init.h"
#include "cluster/users.h"
#include "loop/file.h"
#include "meta/meta.h"
#include <stdarg.h>

#define SETTING_STRUCT_NAME bootstrap_options
SETTINGS_TABLE(bootstrap_settings_table, BOOTSTRAP_SETTINGS)

int bootstrap_check(const void *options, struct arena *arena, const char **ret_error)
{
    const struct bootstrap_options *o = options;
    if (o->replica_count == 0 || o->replica_count > CHAIN_TARGET_COUNT_MAX)
        *ret_error = arena_printf(arena, "key 'replicas': %u is not from 1 to %d", o->replica_count,
                                  CHAIN_TARGET_COUNT_MAX);
    else if (o->target_count == 0 || o->target_count > 99)
        *ret_error =
            arena_printf(arena, "key 'targets_per_disk': %u is not from 1 to 99", o->target_count);
    else if (o->chain_table == 0)
        *ret_error = arena_printf(arena, "key 'chain_table': a chain table has a number from 1");
    else
        return 0;
    return -ERR_CONFIG_INVALID_VALUE;
}

#define WAIT_NS (120 * SEC)
#define CALL_NS (20 * SEC)

int bootstrap_say(struct bootstrap *b, enum log_level level, int r, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    b->say(b->arg, level, r, text);
    return r;
}

/* ---- the root user ---- */

static int write_token(struct bootstrap *b, const struct user_attr *user)
{
    const char *path = b->options->token_file;
    if (!path[0] || path_exists(b->node, path)) return 0;
    if (user->tokens.count == 0) return -ERR_META_INCONSISTENT;
    struct bytes token = user->tokens.items[0].token;
    char *line = arena_printf(&b->arena, "%.*s\n", (int)token.size, (const char *)token.base);
    int r = file_replace(b->node, path, line, strlen(line), 0600);
    if (r < 0)
        return bootstrap_say(b, LOG_ERROR, r, "cannot write the root user's token to %s", path);
    bootstrap_say(b, LOG_INFO, 0, "The root user's token is in %s", path);
    return 0;
}

static int mgmtd_call(struct bootstrap *b, const struct rpc_method *method, const void *request,
                      void *reply, const char **ret_why)
{
    struct rpc_options options = { .arena = &b->arena,
                                   .timeout_ns = CALL_NS,
                                   .ret_error_text = ret_why };
    return mgmtd_client_call(b->mgmtd, method, &options, request, reply);
}

static int list_users(struct bootstrap *b, struct user_attr_list *ret)
{
    if (b->kv) return users_list(b->kv, &b->arena, ret);
    struct empty_record none = { 0 };
    struct user_list_reply reply = { 0 };
    int r = mgmtd_call(b, RPC_METHOD(mgmtd, user_list), &none, &reply, NULL);
    if (r >= 0) *ret = reply.users;
    return r;
}

static int add_user(struct bootstrap *b, const struct user_request *request, struct user_attr *ret,
                    const char **ret_why)
{
    if (b->kv) return users_add(b->node, b->kv, &b->arena, request, ret, ret_why);
    struct user_reply reply = { 0 };
    int r = mgmtd_call(b, RPC_METHOD(mgmtd, user_add), request, &reply, ret_why);
    if (r >= 0) *ret = reply.user;
    return r;
}

int bootstrap_user(struct bootstrap *b)
{
    struct user_attr_list users;
    int r = list_users(b, &users);
    if (r < 0) return bootstrap_say(b, LOG_ERROR, r, "cannot see which users there are");
    for (uint32_t i = 0; i < users.count; i++)
        if (users.items[i].uid == 0) return write_token(b, &users.items[i]);
    struct user_request request = {
        .user = { .uid = 0, .name = BYTES_LITERAL("root"), .root = 1, .admin = 1 }
    };
    struct user_attr user;
    const char *why = NULL;
    r = add_user(b, &request, &user, &why);
    if (r < 0)
        return bootstrap_say(b, LOG_ERROR, r, "cannot make the root user: %s",
                             why ?: error_sentence(r));
    bootstrap_say(b, LOG_INFO, 0, "Made the user root (uid 0, root, admin)");
    return write_token(b, &user);
}

/* ---- the store ---- */

static int make_root(struct bootstrap *b)
{
    const struct bootstrap_options *o = b->options;
    struct layout root = { .table_id = o->chain_table,
                           .chunk_size = (uint32_t)MIN_OF(o->chunk_bytes, (uint64_t)UINT32_MAX),
                           .stripe = o->stripe };
    struct user_info owner = { .uid = o->owner_uid, .gid = o->owner_gid };
    int r = meta_init_file_system(b->node, b->kv, &root, &owner);
    if (r < 0)
        return bootstrap_say(b, LOG_ERROR, r,
                             "the root directory cannot have chunk size %llu (64KB to 64MB, a "
                             "power of two) and stripe %u",
                             (unsigned long long)o->chunk_bytes, o->stripe);
    return 0;
}

int bootstrap_store(struct bootstrap *b, uint8_t ret_key[AUTH_KEY_BYTES])
{
    const struct bootstrap_options *o = b->options;
    struct cluster_init_options init = { .cluster_id = o->cluster_id,
                                         .allow_existing_config = true };
    struct cluster_identity identity;
    uint8_t given[AUTH_KEY_BYTES];
    bool was_there = cluster_load(b->kv, &identity) >= 0;
    if (o->cluster_key[0]) {
        int r = auth_cluster_key_parse(o->cluster_key, given);
        if (r < 0)
            return bootstrap_say(b, LOG_ERROR, r,
                                 "cluster_key is not of the form k1:<64 hex digits>");
        init.key = given;
    }
    int r = cluster_init(b->node, b->kv, &init, &identity, NULL);
    if (r < 0)
        return bootstrap_say(b, LOG_ERROR, r, "the store %s cannot become that of cluster '%s'",
                             o->kv_path, o->cluster_id);
    memcpy(ret_key, identity.key, sizeof identity.key);
    r = make_root(b);
    if (r < 0) return r;
    if (was_there)
        bootstrap_say(b, LOG_INFO, 0, "The store is that of cluster '%s' already", o->cluster_id);
    else
        bootstrap_say(b, LOG_INFO, 0,
                      "Init filesystem, root directory layout: chain table ChainTableId(%u), "
                      "chunksize %llu, stripesize %u",
                      o->chain_table, (unsigned long long)o->chunk_bytes, o->stripe);
    return bootstrap_user(b);
}

/* ---- the role ---- */

static int connect_mgmtd(struct bootstrap *b, const uint8_t key[AUTH_KEY_BYTES])
{
    const struct bootstrap_options *o = b->options;
    struct net_address *servers = arena_array(&b->arena, struct net_address, o->mgmtd.count);
    if (o->mgmtd.count == 0)
        return bootstrap_say(b, LOG_ERROR, -ERR_INVALID_CONFIG,
                             "mgmtd_server_addresses is not set");
    for (uint32_t i = 0; i < o->mgmtd.count; i++) {
        int r = net_address_parse(o->mgmtd.items[i], &servers[i]);
        if (r < 0)
            return bootstrap_say(
                b, LOG_ERROR, r,
                "mgmtd_server_addresses: '%s' is no address such as TCP://10.0.0.1:8000",
                o->mgmtd.items[i]);
    }
    struct auth_identity identity = { .kind = AUTH_SERVER };
    memcpy(identity.key, key, sizeof identity.key);
    struct mgmtd_client_options options = { .cluster_id = o->cluster_id,
                                            .servers = servers,
                                            .server_count = o->mgmtd.count,
                                            .identity = &identity };
    b->mgmtd = mgmtd_client_new(b->node, &options);
    return mgmtd_client_wait_ready(b->mgmtd);
}

static void say_to_log(void *arg, enum log_level level, int r, const char *text)
{
    struct node *node = arg;
    switch (level) {
    case LOG_ERROR: log_error(&node->log, r, "%s", text); break;
    case LOG_WARN: log_warn(&node->log, r, "%s", text); break;
    default: log_info(&node->log, "%s", text); break;
    }
}

static int both_steps(struct bootstrap *b)
{
    uint8_t key[AUTH_KEY_BYTES];
    int r = bootstrap_store(b, key);
    if (r < 0 || b->options->store_only) return r;
    r = connect_mgmtd(b, key);
    return r < 0 ? r : bootstrap_chains(b);
}

int cluster_bootstrap(struct node *node, const struct bootstrap_options *options)
{
    FIBER_TIMEOUT(WAIT_NS);
    struct bootstrap b = { .node = node, .options = options, .say = say_to_log, .arg = node };
    struct kv_embedded_options kv_options = { .dir = options->kv_path };
    int r = kv_embedded_open(node, &kv_options, &b.kv);
    if (r < 0)
        log_error(&node->log, r, "cannot open the store in %s", options->kv_path);
    else
        r = both_steps(&b);
    {
        FIBER_SHIELD();
        mgmtd_client_free(b.mgmtd);
        if (b.kv) kv_close(b.kv);
    }
    arena_done(&b.arena);
    return MIN_OF(r, 0);
}
