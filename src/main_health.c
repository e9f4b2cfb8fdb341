/* main_health.c - c3fs health [SERVICE]: for HEALTHCHECK, compose, probes of Kubernetes, and
 * people.
 *
 * A server is asked over its own port, with the cluster's key, by core.get_health: so the port, the
 * handshake, the loop and the role all work when it says yes. A mount is asked for its size, by
 * another process, which may hang without harm. Settings and key come from where the service has
 * them: its file of settings, variables C3FS_..., and those of the entrypoint. The key is read from
 * the store only after something listens at the service's port: a store that nobody holds is left
 * alone.
 *
 * Exit status: 0 healthy, 1 not, 2 for a wrong command line; one line.
 */
#include "main_health.h"

#include "base/units.h"
#include "cluster/cluster_init.h"
#include "kv/kv.h"
#include "loop/mount_table.h"
#include "loop/net.h"
#include "main_table.h"
#include "main_tool.h"
#include "proto/core.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char tool[] = "c3fs health";
#define TIMEOUT_TEXT "5s"
enum { FOUND_COUNT_MAX = 32 };

struct health {
    struct arena *arena;
    const char *role, *cfg, *address; /* NULL: not given */
    uint64_t timeout_ns;
    bool only_alive, must_be_settled;
    struct role_start start; /* the service's settings */
    struct net_address server;
    struct node *node;
    bool is_healthy;
    const char *state;
};

static int conclude(struct health *h, bool is_healthy, const char *fmt, ...) printf_(3, 4);
static int conclude(struct health *h, bool is_healthy, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    text[strcspn(text, "\n")] = 0;
    h->is_healthy = is_healthy;
    h->state = arena_printf(h->arena, "%s", text);
    return 0;
}

/* ---- where the service is, and its key ---- */

static const char *text_setting(const struct health *h, const char *key)
{
    const struct setting *s = settings_find(h->start.role->settings, key);
    if (!s || s->kind != SETTING_TEXT) return "";
    return *(const setting_TEXT *)((const char *)h->start.settings + s->offset);
}

/* The file that was named, or the one that the entrypoint writes, if there is one. */
static const char *find_cfg(const struct health *h)
{
    static const struct {
        const char *role, *path;
    } files[] = { { "mgmtd", "/opt/3fs/etc/mgmtd_main.toml" },
                  { "meta", "/opt/3fs/etc/meta_main.toml" },
                  { "storage", "/opt/3fs/etc/storage_main.toml" },
                  { "fuse", "/opt/3fs/etc/hf3fs_fuse_main.toml" } };
    for (size_t i = 0; i < ARRAY_SIZE(files) && !h->cfg; i++)
        if (!strcmp(files[i].role, h->role) && access(files[i].path, R_OK) == 0)
            return files[i].path;
    return h->cfg;
}

static int load_settings(struct health *h, const struct role *role)
{
    const char *error = NULL, *cfg = find_cfg(h);
    char *argv[] = { arena_printf(h->arena, "%s", role->name), arena_printf(h->arena, "--cfg"),
                     arena_printf(h->arena, "%s", cfg ?: ""), NULL };
    if (role_start_parse(role, cfg ? 3 : 1, argv, (const char *const *)environ, h->arena, &h->start,
                         &error) < 0) {
        tool_fail(tool, "%s", error);
        return TOOL_EXIT_USAGE;
    }
    return 0;
}

/* One that listens everywhere answers at the loopback. */
static int find_address(struct health *h)
{
    const char *text = h->address ?: text_setting(h, "listen");
    if (net_address_parse(text, &h->server) < 0) {
        tool_fail(tool, "'%s' is no address such as TCP://127.0.0.1:8000", text);
        return TOOL_EXIT_USAGE;
    }
    if (!strcmp(h->server.host, "0.0.0.0"))
        snprintf(h->server.host, sizeof h->server.host, "127.0.0.1");
    if (!strcmp(h->server.host, "::")) snprintf(h->server.host, sizeof h->server.host, "::1");
    return 0;
}

static const char *variable(const char *name)
{
    const char *text = getenv(name);
    return text && text[0] ? text : NULL;
}

static const char *given_key(struct health *h)
{
    const char *key = text_setting(h, "cluster_key"), *path = variable("CLUSTER_KEY_FILE");
    if (key[0]) return key;
    if (variable("CLUSTER_KEY")) return variable("CLUSTER_KEY");
    struct bytes text;
    if (!path || tool_read(h->arena, tool, path, &text)) return NULL;
    char *line = arena_text(h->arena, text);
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

static int key_of_store(struct health *h, uint8_t *ret_key)
{
    const char *path = text_setting(h, "kv_path");
    if (!path[0]) path = variable("KV_PATH") ?: "";
    if (!path[0]) {
        conclude(h, false,
                 "there is no key to ask with: set CLUSTER_KEY, CLUSTER_KEY_FILE, or KV_PATH with "
                 "the store");
        return -ERR_INVALID_CONFIG;
    }
    struct kv_embedded_options options = { .dir = path, .read_only_tool = true };
    cleanup_(kv_closep) struct kv *kv = NULL;
    int r = kv_embedded_open(h->node, &options, &kv);
    if (r >= 0) r = cluster_key_get(kv, NULL, ret_key);
    if (r < 0)
        conclude(h, false, "the key cannot be read from the store in %s: %s", path,
                 error_sentence(r));
    return r;
}

static int find_key(struct health *h, uint8_t *ret_key)
{
    const char *text = given_key(h);
    if (!text) return key_of_store(h, ret_key);
    int r = auth_cluster_key_parse(text, ret_key);
    if (r < 0) conclude(h, false, "the cluster key is not of the form k1:<64 hex digits>");
    return r;
}

/* ---- servers ---- */

static int check_port(struct health *h, const char *where)
{
    cleanup_(stream_closep) struct stream *stream = NULL;
    int r = net_connect(h->node, &h->server, &stream);
    if (r < 0) conclude(h, false, "nobody listens at %s (%s)", where, error_sentence(r));
    return r;
}

static int ask(struct health *h, const char *where, const struct auth_identity *identity)
{
    struct rpc_pool *pool = rpc_pool_new(h->node, identity);
    struct rpc_options options = { .timeout_ns = h->timeout_ns, .arena = h->arena };
    struct empty_record none = { 0 };
    struct core_health_reply reply;
    struct rpc_target target = { pool, &h->server, RPC_CONTROL };
    int r = core_get_health(target, &options, &none, &reply);
    if (r == -ERR_AUTH_FAIL) {
        conclude(h, false, "%s refuses the cluster key", where);
    } else if (r < 0) {
        conclude(h, false, "%s does not answer: %s", where, error_sentence(r));
    } else {
        bool is_settled = !h->must_be_settled || !reply.unsettled_count;
        const char *rest =
            is_settled ? ""
                       : arena_printf(h->arena, "; targets not in sync: %u", reply.unsettled_count);
        conclude(h, (reply.is_healthy || h->only_alive) && is_settled, "%.*s %.*s%s",
                 (int)reply.name.size, (const char *)reply.name.base, (int)reply.state.size,
                 (const char *)reply.state.base, rest);
    }
    rpc_pool_free(pool);
    return 0;
}

static int check_server(void *arg)
{
    struct health *h = arg;
    char where[256];
    net_address_to_text(&h->server, where, sizeof where);
    struct auth_identity identity = { .kind = AUTH_SERVER };
    FIBER_TIMEOUT(h->timeout_ns);
    if (check_port(h, where) < 0 || find_key(h, identity.key) < 0) return 0;
    return ask(h, where, &identity);
}

static int ask_server(struct health *h)
{
    struct common_settings common = { .log_level = "error", .loop_backend = "posix" };
    cleanup_(loop_freep) struct loop *loop = NULL;
    int r = find_address(h);
    if (r) return r;
    if (role_loop_new(&common, tool, &loop) < 0) return TOOL_EXIT_FAILED;
    cleanup_(node_freep) struct node *node = node_new(loop, NULL, "health");
    node->log.level = LOG_ERROR;
    h->node = node;
    r = loop_run_main(loop, node, check_server, h);
    if (r < 0) conclude(h, false, "%s", error_sentence(r));
    return 0;
}

/* ---- mounts ---- */

static int ask_mount(struct health *h)
{
    const char *path = h->address ?: text_setting(h, "mountpoint");
    if (!mount_is_ours(path)) return conclude(h, false, "nothing of c3fs is mounted at %s", path);
    int eno = mount_ask(path, h->timeout_ns);
    if (eno == ETIMEDOUT)
        return conclude(h, h->only_alive,
                        "%s does not answer within %.1f s: its servers are away, "
                        "or it hangs",
                        path, (double)h->timeout_ns / SEC);
    if (eno) return conclude(h, false, "%s: %s", path, strerrordesc_np(eno));
    return conclude(h, true, "%s is mounted and answers", path);
}

/* ---- */

static int check_service(struct health *h)
{
    if (!strcmp(h->role, "admin_cli")) return conclude(h, true, "admin_cli waits for commands");
    const struct role *role = role_table;
    while (role->name && strcmp(role->name, h->role) != 0)
        role++;
    if (!role->name || role->is_task) {
        tool_fail(tool, "SERVICE: '%s' is none of mgmtd, meta, storage, fuse, admin_cli", h->role);
        return TOOL_EXIT_USAGE;
    }
    int r = load_settings(h, role);
    if (r) return r;
    return !strcmp(h->role, "fuse") ? ask_mount(h) : ask_server(h);
}

static int print_state(const struct health *h)
{
    printf("%s: %s\n", h->is_healthy ? "healthy" : "unhealthy", h->state);
    return h->is_healthy ? 0 : TOOL_EXIT_FAILED;
}

/* All that runs here must be well; the first that is not decides. */
static int check_found(const struct health *asked)
{
    struct health_service found[FOUND_COUNT_MAX];
    uint32_t count = health_find(asked->arena, found, FOUND_COUNT_MAX);
    struct health h = *asked;
    conclude(&h, false, "no service of this binary runs here; name one");
    for (uint32_t i = 0; i < count; i++) {
        h.role = found[i].role;
        h.cfg = asked->cfg ?: found[i].cfg;
        bool waits = found[i].is_waiting && strcmp(h.role, "admin_cli") != 0;
        if (waits) conclude(&h, false, "%s has not started: its entrypoint waits", h.role);
        int r = waits ? 0 : check_service(&h);
        if (r) return r;
        if (!h.is_healthy) break;
    }
    return print_state(&h);
}

int health_main(int argc, char *const *argv)
{
    static const struct argument_spec spec[] = {
        { "service", NULL, ARG_TEXT, false,
          "mgmtd, meta, storage, fuse or admin_cli; without one: what runs here" },
        { "--cfg", NULL, ARG_TEXT, false, "its settings; that of the container's entrypoint" },
        { "--address", NULL, ARG_TEXT, false, "TCP://host:port, or a mountpoint; as it is set" },
        { "--timeout", NULL, ARG_TEXT, false, "how long an answer may take; " TIMEOUT_TEXT },
        { "--alive", NULL, ARG_FLAG, false,
          "healthy as long as it answers, whatever it lacks from others" },
        { "--settled", NULL, ARG_FLAG, false,
          "a storage that is still filled is not healthy: before the next one is stopped" },
        { NULL, NULL, ARG_FLAG, false, NULL },
    };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(&arena, tool,
                           "c3fs health [SERVICE] - asks a running service whether it can do its "
                           "work: 0 yes, 1 no",
                           "The cluster's key is that of the settings, of CLUSTER_KEY or "
                           "CLUSTER_KEY_FILE, or of the store.\n"
                           "example:\n  c3fs health storage --cfg /etc/3fs/storage.toml\n",
                           spec, argc, argv, &args);
    if (r >= 0) return r;
    struct health h = { .arena = &arena,
                        .role = argument_text(&args, "service", NULL),
                        .cfg = argument_text(&args, "--cfg", NULL),
                        .address = argument_text(&args, "--address", NULL),
                        .only_alive = argument_flag(&args, "--alive"),
                        .must_be_settled = argument_flag(&args, "--settled") };
    const char *timeout = argument_text(&args, "--timeout", TIMEOUT_TEXT);
    if (duration_parse(timeout, &h.timeout_ns) < 0 || h.timeout_ns < MSEC ||
        h.timeout_ns > 3600 * SEC) {
        tool_fail(tool, "--timeout: '%s' is no duration such as 5s", timeout);
        return TOOL_EXIT_USAGE;
    }
    if (!h.role) return check_found(&h);
    r = check_service(&h);
    return r ? r : print_state(&h);
}
