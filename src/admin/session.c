/* session.c - the connections of the admin tool, opened when a command first needs them. */
#include "admin/admin.h"

#include "base/check.h"
#include "cluster/cluster_init.h"
#include "loop/file.h"
#include "proto/storage.h"
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#define SETTING_STRUCT_NAME admin_settings
SETTINGS_TABLE(admin_settings_table, ADMIN_SETTINGS)

int admin_fail(struct admin *a, int r, const char *fmt, ...)
{
    char code[64];
    va_list args;
    error_to_text(r, code, sizeof code);
    va_start(args, fmt);
    if (a->printer.is_json) {
        print_json_pair(&a->printer, "Error", code, "Message", fmt, args);
    } else {
        fprintf(a->printer.out, "Encounter error: %s\n", code);
        vfprintf(a->printer.out, fmt, args);
        fputc('\n', a->printer.out);
    }
    va_end(args);
    return r;
}

void admin_say(struct admin *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (a->printer.is_json) {
        print_json_pair(&a->printer, NULL, NULL, "Result", fmt, args);
    } else {
        vfprintf(a->printer.out, fmt, args);
        fputc('\n', a->printer.out);
    }
    va_end(args);
}

const char *admin_token(const struct admin *a)
{
    return a->token ?: a->settings->token;
}

int admin_need_kv(struct admin *a)
{
    if (a->kv) return 0;
    if (!a->settings->kv_path[0])
        return admin_fail(a, -ERR_INVALID_CONFIG,
                          "this command works on the store: set kv_path (--config.kv_path=DIR)");
    struct kv_embedded_options options = { .dir = a->settings->kv_path };
    int r = kv_embedded_open(a->node, &options, &a->kv);
    if (r < 0) return admin_fail(a, r, "cannot open the store in %s", a->settings->kv_path);
    return 0;
}

static int identity_of_token(struct admin *a, struct auth_identity *ret)
{
    const struct admin_settings *s = a->settings;
    const char *token = admin_token(a);
    char *text = NULL;
    size_t size;
    if (!token[0] && s->token_file[0] && path_exists(a->node, s->token_file)) {
        int r = file_read_all(a->node, s->token_file, 4096, &text, &size);
        if (r < 0) return admin_fail(a, r, "cannot read the token file %s", s->token_file);
        text[strcspn(text, "\r\n")] = 0;
        token = arena_printf(&a->arena, "%s", text);
        free(text);
    }
    if (!token[0])
        return admin_fail(a, -ERR_AUTH_FAIL,
                          "no token: give --config.user_info.token, or have it in %s",
                          s->token_file);
    if (strlen(token) > AUTH_TOKEN_BYTES_MAX)
        return admin_fail(a, -ERR_AUTH_FAIL, "the token is longer than %d bytes",
                          AUTH_TOKEN_BYTES_MAX);
    *ret = (struct auth_identity){ .kind = AUTH_TOKEN };
    memcpy(ret->token, token, strlen(token));
    return 0;
}

/* Whoever can read the key or the store is the operator; others show their token. */
static int identity_make(struct admin *a, struct auth_identity *ret)
{
    const struct admin_settings *s = a->settings;
    bool has_key = s->cluster_key[0] || (s->kv_path[0] && !s->token[0]);
    if (!has_key || a->token) return identity_of_token(a, ret);
    *ret = (struct auth_identity){ .kind = AUTH_SERVER };
    if (s->cluster_key[0]) {
        int r = auth_cluster_key_parse(s->cluster_key, ret->key);
        return r < 0 ? admin_fail(a, r, "cluster_key is not of the form k1:<64 hex digits>") : 0;
    }
    int r = admin_need_kv(a);
    if (r < 0) return r;
    r = cluster_key_get(a->kv, NULL, ret->key);
    return r < 0 ? admin_fail(a, r, "the store in %s has no cluster key: run init-cluster",
                              s->kv_path)
                 : 0;
}

/* Why there is no cluster manager: who answers and refuses is another matter than silence. */
static const char *connect_failure(struct admin *a, int r)
{
    const struct admin_settings *s = a->settings;
    if (error_to_errno(r) == EACCES) {
        bool shows_token = a->token || !(s->cluster_key[0] || (s->kv_path[0] && !s->token[0]));
        return arena_printf(&a->arena, "the cluster manager refused the %s (%s)",
                            shows_token ? "token" : "key", error_sentence(r));
    }
    return arena_printf(&a->arena, "no cluster manager answers at %s within %.1f s (%s)",
                        s->mgmtd.items[0], (double)s->timeout_ns / SEC, error_sentence(r));
}

/* Who has no root's token can only speak for the token's user: so unless another one was asked
 * for, that is who we are. */
static void speak_for_user(struct admin *a, const struct auth_peer *user)
{
    if (a->has_chosen_user || a->settings->uid != UINT32_MAX || (user->rights & AUTH_RIGHT_ROOT))
        return;
    a->user = (struct user_info){ .uid = user->uid, .gid = user->gid };
}

int admin_need_mgmtd(struct admin *a)
{
    if (a->mgmtd) return 0;
    const struct admin_settings *s = a->settings;
    if (s->mgmtd.count == 0)
        return admin_fail(a, -ERR_INVALID_CONFIG,
                          "mgmtd_server_addresses is not set (--config.mgmtd_server_addresses "
                          "'[\"TCP://ip:8000\"]')");
    struct net_address *servers = arena_array(&a->arena, struct net_address, s->mgmtd.count);
    for (uint32_t i = 0; i < s->mgmtd.count; i++) {
        int r = net_address_parse(s->mgmtd.items[i], &servers[i]);
        if (r < 0)
            return admin_fail(
                a, r, "mgmtd_server_addresses: '%s' is no address such as TCP://10.0.0.1:8000",
                s->mgmtd.items[i]);
    }
    struct auth_identity identity;
    int r = identity_make(a, &identity);
    if (r < 0) return r;
    struct mgmtd_client_options options = { .cluster_id = s->cluster_id,
                                            .servers = servers,
                                            .server_count = s->mgmtd.count,
                                            .identity = &identity };
    cleanup_(mgmtd_client_freep) struct mgmtd_client *mgmtd = mgmtd_client_new(a->node, &options);
    FIBER_TIMEOUT(s->timeout_ns);
    if (identity.kind == AUTH_TOKEN) {
        r = mgmtd_client_start_session(mgmtd, NODE_CLIENT, a->client, "admin_cli");
        if (r < 0) return admin_fail(a, r, "%s", connect_failure(a, r));
    }
    r = mgmtd_client_wait_ready(mgmtd);
    if (r < 0) return admin_fail(a, r, "%s", connect_failure(a, r));
    if (identity.kind == AUTH_TOKEN) speak_for_user(a, mgmtd_client_user(mgmtd));
    a->mgmtd = TAKE_PTR(mgmtd);
    return 0;
}

int admin_need_meta(struct admin *a)
{
    int r = admin_need_mgmtd(a);
    if (r < 0 || a->meta) return r;
    struct meta_client_options options = { .client = a->client,
                                           .total_timeout_ns = a->settings->timeout_ns };
    a->meta = meta_client_new(a->node, a->mgmtd, &options);
    return 0;
}

int admin_need_storage(struct admin *a)
{
    int r = admin_need_mgmtd(a);
    if (r < 0 || a->storage) return r;
    struct storage_client_options options = { .client = a->client,
                                              .total_timeout_ns = a->settings->timeout_ns,
                                              .verify_reads = true };
    a->storage = storage_client_new(a->node, a->mgmtd, &options);
    return 0;
}

static void disconnect(struct admin *a)
{
    a->storage = storage_client_free(a->storage);
    a->meta = meta_client_free(a->meta);
    a->mgmtd = mgmtd_client_free(a->mgmtd);
}

void admin_switch_token(struct admin *a, const char *token)
{
    disconnect(a);
    free(a->token);
    a->token = xstrdup(token);
}

void admin_close(struct admin *a)
{
    disconnect(a);
    if (a->kv) kv_close(a->kv);
    arena_done(&a->arena);
    free(a->cwd);
    free(a->token);
}

struct routing *admin_routing(struct admin *a)
{
    return mgmtd_client_routing(a->mgmtd);
}

int admin_mgmtd(struct admin *a, const struct rpc_method *method, const void *req, void *rep)
{
    const char *text = NULL;
    struct rpc_options options = { .arena = &a->arena,
                                   .timeout_ns = a->settings->timeout_ns,
                                   .ret_error_text = &text };
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    r = mgmtd_client_call(a->mgmtd, method, &options, req, rep);
    return r < 0 ? admin_fail(a, r, "%s: %s", method->name, text ?: error_sentence(r)) : r;
}

int admin_meta(struct admin *a, const struct rpc_method *method, void *req, void *rep)
{
    const char *text = NULL;
    int r = admin_need_meta(a);
    if (r < 0) return r;
    r = meta_call(a->meta, method, &a->arena, req, rep, &text);
    return r < 0 ? admin_fail(a, r, "%s: %s", method->name, text ?: error_sentence(r)) : r;
}

int admin_address(struct admin *a, const char *who, const struct net_address *address,
                  const struct rpc_service *service, const struct rpc_method *method,
                  const void *req, void *rep)
{
    const char *text = NULL;
    struct rpc_options options = { .arena = &a->arena,
                                   .timeout_ns = a->settings->timeout_ns,
                                   .ret_error_text = &text };
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    struct rpc_target target = { mgmtd_client_pool(a->mgmtd), address, RPC_CONTROL };
    r = rpc_call(target, service, method, &options, req, rep);
    return r < 0 ? admin_fail(a, r, "%s, %s: %s", who, method->name, text ?: error_sentence(r)) : r;
}

int admin_node(struct admin *a, uint32_t node_id, const struct rpc_service *service,
               const struct rpc_method *method, const void *req, void *rep)
{
    struct net_address address;
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    r = routing_address(admin_routing(a), node_id, &address);
    if (r < 0) return admin_fail(a, r, "node %u is unknown or has no address", node_id);
    return admin_address(a, arena_printf(&a->arena, "node %u", node_id), &address, service, method,
                         req, rep);
}

int admin_storage(struct admin *a, uint32_t node_id, const struct rpc_method *method,
                  const void *req, void *rep)
{
    return admin_node(a, node_id, &storage_service, method, req, rep);
}

void admin_meta_base(struct admin *a, struct meta_base *base)
{
    meta_base_init(a->meta, &a->user, base);
}

const char *admin_path(struct admin *a, const char *path)
{
    if (path[0] == '/') return path;
    return arena_printf(&a->arena, "%s/%s", strcmp(a->cwd, "/") != 0 ? a->cwd : "", path);
}

int admin_walk(struct admin *a, const char *path, bool follow, struct inode *ret)
{
    int r = admin_need_meta(a);
    if (r < 0) return r;
    r = meta_walk(a->meta, &a->user, &a->arena, admin_path(a, path), follow, ret);
    return r < 0 ? admin_fail(a, r, "%s: %s", path, error_sentence(r)) : 0;
}

int admin_walk_parent(struct admin *a, const char *path, struct inode *ret, struct bytes *ret_name)
{
    int r = admin_need_meta(a);
    if (r < 0) return r;
    r = meta_walk_parent(a->meta, &a->user, &a->arena, admin_path(a, path), ret, ret_name);
    return r < 0 ? admin_fail(a, r, "%s: %s", path, error_sentence(r)) : 0;
}
