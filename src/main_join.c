/* main_join.c - c3fs join TCP://host:port --key K --disk DIR: learns from a cluster manager what
 * the cluster is called and where all managers are, takes a number for the node, and starts a
 * storage under a supervisor, as c3fs up does. Everything on this host is checked before the
 * cluster is asked for anything; the number is taken before it is used, so that two machines never
 * share one. Without an address it starts again what joined in that directory.
 */
#include "main_join.h"

#include "base/units.h"
#include "client/mgmtd_client.h"
#include "loop/net.h"
#include "main_role.h"
#include "main_tool.h"
#include "proto/core.h"
#include "supervisor/files.h"
#include "supervisor/join.h"
#include "supervisor/report.h"
#include "supervisor/start.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static const char tool[] = "c3fs join";
#define CALL_NS   (10 * SEC)
#define APPEAR_NS (30 * SEC)
enum {
    NODE_ID_FIRST = 1001,
    NODE_ID_MAX = 999999,
    NODE_ID_TRY_COUNT = 1000,
    PORT_FIRST = 8000,
    PORT_TRY_COUNT = 100,
    MANAGER_COUNT_MAX = 32
};

struct join {
    struct arena *arena;
    const char *dir, *address, *key;
    uint32_t node_id; /* 0: any */
    struct join_settings settings;
    struct net_address manager;
    struct auth_identity identity;
    struct node *node;
    uint32_t pid; /* of the storage */
    int result;   /* of a fiber; the message was printed */
};

#define TEXT(...) arena_printf(j->arena, __VA_ARGS__)

/* ---- this host ---- */

/* The address by which this host talks to the manager: what others reach it by. */
static const char *own_address(struct join *j)
{
    struct addrinfo *all = NULL, hints = { .ai_socktype = SOCK_DGRAM };
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    char host[NI_MAXHOST], port[8];
    const char *found = "";
    snprintf(port, sizeof port, "%u", j->manager.port);
    if (getaddrinfo(j->manager.host, port, &hints, &all) != 0) return found;
    int fd = socket(all->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_known = fd >= 0 && connect(fd, all->ai_addr, all->ai_addrlen) == 0 &&
                    getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
                    getnameinfo((const struct sockaddr *)&own, size, host, sizeof host, NULL, 0,
                                NI_NUMERICHOST) == 0;
    if (is_known) found = TEXT(strchr(host, ':') ? "[%s]" : "%s", host);
    if (fd >= 0) close(fd);
    freeaddrinfo(all);
    return found;
}

static int choose_addresses(struct join *j, const struct arguments *args)
{
    const char *listen = argument_text(args, "--listen", "0.0.0.0");
    const char *advertise = argument_text(args, "--advertise", NULL);
    uint64_t port = argument_number(args, "--port", 0);
    struct net_address address;
    if (argument(args, "--port")->is_set && (port < 1 || port > 65535))
        return tool_fail(tool, "--port: there are ports from 1 to 65535");
    if (port && !port_is_free((uint16_t)port, listen))
        return tool_fail(tool, "--port: %u is in use at %s", (unsigned)port, listen);
    for (uint32_t i = 0; !port && i < PORT_TRY_COUNT; i++)
        if (port_is_free((uint16_t)(PORT_FIRST + i), listen)) port = PORT_FIRST + i;
    if (!port) return tool_fail(tool, "no port from %d on is free: name one by --port", PORT_FIRST);
    bool is_everywhere = !strcmp(listen, "0.0.0.0") || !strcmp(listen, "[::]");
    if (!advertise) advertise = is_everywhere ? own_address(j) : listen;
    j->settings.listen = TEXT("TCP://%s:%u", listen, (unsigned)port);
    j->settings.advertise = TEXT("TCP://%s:%u", advertise, (unsigned)port);
    if (net_address_parse(j->settings.listen, &address) < 0)
        return tool_fail(tool, "--listen: '%s' is no host", listen);
    if (!advertise[0] || net_address_parse(j->settings.advertise, &address) < 0)
        return tool_fail(tool, "--advertise: %s",
                         advertise[0] ? TEXT("'%s' is no host", advertise)
                                      : "name the address of this host");
    return 0;
}

static int prepare_disks(struct join *j, const struct arguments *args)
{
    const struct argument_value *given = argument(args, "--disk");
    char here[4096] = "", *at;
    if (!given->is_set) return tool_fail(tool, "--disk is missing: a directory for each disk");
    if (!getcwd(here, sizeof here)) here[0] = 0;
    setting_TEXT_LIST *disks = &j->settings.disks;
    *disks = (setting_TEXT_LIST){ arena_array(j->arena, const char *, given->count), 0 };
    for (uint32_t i = 0; i < given->count; i++) {
        const char *error = NULL, *path = given->texts[i];
        if (path[0] != '/') path = TEXT("%s/%s", here, path);
        if (directory_make(path, j->arena, &error) < 0) return tool_fail(tool, "--disk: %s", error);
        at = realpath(path, NULL);
        path = TEXT("%s", at ?: path);
        free(at);
        if (access(path, W_OK) != 0)
            return tool_fail(tool, "--disk: %s: %s", path, strerrordesc_np(errno));
        for (uint32_t k = 0; k < disks->count; k++)
            if (!strcmp(disks->items[k], path))
                return tool_fail(tool, "--disk: %s is there twice", path);
        disks->items[disks->count++] = path;
    }
    return 0;
}

/* ---- the cluster ---- */

static int fail_call(struct join *j, int r, const char *what)
{
    char where[256];
    net_address_to_text(&j->manager, where, sizeof where);
    j->result = error_to_errno(r) == EACCES
                    ? tool_fail(tool,
                                "%s refuses the key: it is in cluster.key of the cluster's "
                                "directory",
                                where)
                    : tool_fail(tool, "%s: %s: %s", where, what, error_sentence(r));
    return r;
}

/* The name of the cluster, out of the manager's settings. */
static int ask_cluster_id(struct join *j) fiber_fn
{
    struct rpc_pool *pool = rpc_pool_new(j->node, &j->identity);
    struct rpc_options options = { .timeout_ns = CALL_NS, .arena = j->arena };
    struct rpc_target target = { pool, &j->manager, RPC_CONTROL };
    struct empty_record none = { 0 };
    struct core_config_reply reply;
    struct toml_value root;
    const char *error = NULL;
    int r = core_get_config(target, &options, &none, &reply);
    rpc_pool_free(pool);
    if (r < 0) return fail_call(j, r, "cannot ask the cluster manager");
    const char *name = TEXT("%.*s", (int)reply.name.size, (const char *)reply.name.base);
    const struct toml_value *id = NULL;
    if (strncmp(name, "mgmtd", 5) == 0 && toml_parse(j->arena, reply.content, &root, &error) >= 0)
        id = toml_find(&root, "cluster_id");
    if (!id || id->kind != TOML_STRING) {
        j->result = tool_fail(tool, "%s: that is %s, not a cluster manager", j->address, name);
        return -ERR_INVALID_ARG;
    }
    j->settings.cluster_id = arena_text(j->arena, id->text);
    return 0;
}

static void list_managers(struct join *j, struct mgmtd_client *mgmtd)
{
    setting_TEXT_LIST *list = &j->settings.mgmtd;
    struct routing *routing = mgmtd_client_routing(mgmtd);
    const struct node_info *node;
    *list = (setting_TEXT_LIST){ arena_array(j->arena, const char *, MANAGER_COUNT_MAX + 1), 0 };
    list->items[list->count++] = j->address;
    for (size_t at = 0;
         (node = map_next(&routing->nodes, &at)) && list->count < MANAGER_COUNT_MAX;) {
        if (node->type != NODE_MGMTD || node->removed || !node->addresses.count) continue;
        const char *text = arena_text(j->arena, node->addresses.items[0]);
        if (strcmp(text, j->address) != 0) list->items[list->count++] = text;
    }
}

/* Takes the number for this machine: the one that was asked for, or the first that nobody has. */
static int take_node_id(struct join *j, struct mgmtd_client *mgmtd) fiber_fn
{
    struct routing *routing = mgmtd_client_routing(mgmtd);
    uint32_t id = j->node_id ?: NODE_ID_FIRST;
    for (uint32_t i = 0; i < NODE_ID_TRY_COUNT; i++, id++) {
        if (!j->node_id && routing_node(routing, id)) continue;
        const char *why = NULL;
        struct rpc_options options = { .timeout_ns = CALL_NS,
                                       .arena = j->arena,
                                       .ret_error_text = &why };
        struct register_node_request request = { .node_id = id, .type = NODE_STORAGE };
        struct empty_record none;
        int r =
            mgmtd_client_call(mgmtd, RPC_METHOD(mgmtd, register_node), &options, &request, &none);
        if (r >= 0) {
            j->settings.node_id = id;
            return 0;
        }
        if (r == -ERR_MGMTD_REGISTER_FAIL && !j->node_id) continue;
        j->result = tool_fail(tool, "node %u: %s", id, why ?: error_sentence(r));
        return r;
    }
    j->result =
        tool_fail(tool, "no number from %d on is free: name one by --node-id", NODE_ID_FIRST);
    return -ERR_MGMTD_REGISTER_FAIL;
}

static struct mgmtd_client *connect_to(struct join *j) fiber_fn
{
    struct mgmtd_client_options options = { .cluster_id = j->settings.cluster_id,
                                            .servers = &j->manager,
                                            .server_count = 1,
                                            .identity = &j->identity };
    return mgmtd_client_new(j->node, &options);
}

static int enter_cluster(void *arg) fiber_fn
{
    struct join *j = arg;
    int r = ask_cluster_id(j);
    if (r < 0) return r;
    cleanup_(mgmtd_client_freep) struct mgmtd_client *mgmtd = connect_to(j);
    FIBER_TIMEOUT(CALL_NS);
    r = mgmtd_client_wait_ready(mgmtd);
    if (r < 0) return fail_call(j, r, "no primary cluster manager");
    list_managers(j, mgmtd);
    return take_node_id(j, mgmtd);
}

/* The cluster has heard of the process that was started. */
static bool has_appeared(struct join *j, struct mgmtd_client *mgmtd)
{
    const struct node_info *node = routing_node(mgmtd_client_routing(mgmtd), j->settings.node_id);
    return node && node->status == NODE_HEARTBEAT_CONNECTED && node->pid == j->pid;
}

static int wait_to_appear(void *arg) fiber_fn
{
    struct join *j = arg;
    cleanup_(mgmtd_client_freep) struct mgmtd_client *mgmtd = connect_to(j);
    struct routing *routing = mgmtd_client_routing(mgmtd);
    FIBER_TIMEOUT(APPEAR_NS);
    while (!has_appeared(j, mgmtd)) {
        int r = routing_wait_newer(routing, routing->version);
        if (r < 0) return r;
    }
    return 0;
}

static int run_fiber(struct join *j, int (*fn)(void *arg))
{
    struct common_settings common = { .log_level = "warn", .loop_backend = "posix" };
    cleanup_(loop_freep) struct loop *loop = NULL;
    if (role_loop_new(&common, tool, &loop) < 0) return -ERR_SYSTEM_BASE;
    cleanup_(node_freep) struct node *node = node_new(loop, NULL, "join");
    node->log.level = LOG_ERROR;
    j->node = node;
    return loop_run_main(loop, node, fn, j);
}

/* ---- the steps ---- */

static int parse_manager(struct join *j, const char *key)
{
    if (net_address_parse(j->address, &j->manager) < 0)
        return tool_fail(tool, "'%s' is no address such as TCP://10.0.0.1:18000", j->address);
    j->identity.kind = AUTH_SERVER;
    if (auth_cluster_key_parse(key, j->identity.key) < 0)
        return tool_fail(tool, "--key: that is not of the form k1:<64 hex digits>, as in "
                               "cluster.key of the cluster's directory");
    return 0;
}

static int read_key(struct join *j, const char *path)
{
    struct bytes text;
    const char *error = NULL;
    if (text_read(path, j->arena, &text, &error) < 0) return tool_fail(tool, "%s", error);
    char *key = arena_text(j->arena, text);
    key[strcspn(key, "\r\n")] = 0;
    j->key = key;
    return 0;
}

static int find_key(struct join *j, const struct arguments *args)
{
    const char *path = argument_text(args, "--key-file", NULL);
    if (j->key) return 0;
    if (path) return read_key(j, path);
    return tool_fail(tool,
                     "--key or --key-file is missing: cluster.key of the cluster's directory");
}

static int join_anew(struct join *j, const struct arguments *args)
{
    const char *error = NULL;
    int r = find_key(j, args);
    if (!r) r = parse_manager(j, j->key);
    if (!r) r = choose_addresses(j, args);
    if (!r) r = prepare_disks(j, args);
    if (r) return r;
    if (directory_make(j->dir, j->arena, &error) < 0 || access(j->dir, W_OK) != 0)
        return tool_fail(tool, "--dir: %s", error ?: TEXT("%s cannot be written", j->dir));
    r = run_fiber(j, enter_cluster);
    if (r < 0) return j->result ?: tool_fail(tool, "%s", error_sentence(r));
    if (join_save(j->dir, &j->settings, j->key, j->arena, &error) < 0)
        return tool_fail(tool, "%s", error);
    return 0;
}

/* What joined in the directory before, with nothing changed. */
static int join_again(struct join *j, const struct arguments *args)
{
    static const char *const fixed[] = { "--disk", "--node-id", "--listen", "--advertise",
                                         "--port" };
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        if (argument(args, fixed[i])->is_set)
            return tool_fail(tool,
                             "%s: %s joined before, as its join.toml says; --dir names "
                             "another place",
                             fixed[i], j->dir);
    if (!j->settings.mgmtd.count)
        return tool_fail(tool, "%s/join.toml names no cluster manager", j->dir);
    if (!j->address) j->address = j->settings.mgmtd.items[0];
    int r = read_key(j, TEXT("%s/cluster.key", j->dir));
    return r ? r : parse_manager(j, j->key);
}

static int print_next(struct join *j)
{
    printf("storage %u has joined cluster '%s' at %s, with %u disk%s\n"
           "c3fs down --dir %s stops it, c3fs join --dir %s starts it again; its data stays\n"
           "no data moves here by itself: on the cluster's machine, `c3fs admin list-nodes` shows "
           "the new node, and chains put data on it (see `c3fs admin help`: bootstrap, drain, "
           "create-target, update-chain)\n",
           j->settings.node_id, j->settings.cluster_id, j->settings.advertise,
           j->settings.disks.count, j->settings.disks.count == 1 ? "" : "s", j->dir, j->dir);
    return 0;
}

/* The storage's process, as the supervisor says. */
static uint32_t storage_pid(struct join *j)
{
    const char *error;
    struct cluster_state *state = arena_new(j->arena, struct cluster_state);
    if (cluster_state_load(j->dir, j->arena, state, &error) < 0 || !state->child_count) return 0;
    return (uint32_t)state->children[0].process.pid;
}

static int start(struct join *j, bool in_foreground)
{
    const char *binary = NULL, *error = NULL;
    struct plan *plan = arena_new(j->arena, struct plan);
    int r = binary_find(j->arena, &binary, &error);
    if (r >= 0) r = join_plan_make(j->dir, &j->settings, binary, j->arena, plan, &error);
    if (r < 0) return tool_fail(tool, "%s", error);
    if (in_foreground) return supervisor_run(j->dir, plan);
    if (supervisor_start(tool, j->dir, plan) != 0) return TOOL_EXIT_FAILED;
    j->pid = storage_pid(j);
    r = run_fiber(j, wait_to_appear);
    if (r < 0)
        return tool_fail(tool,
                         "storage %u was started, but the cluster has not heard of it: %s; "
                         "see %s/log/storage-%u.log",
                         j->settings.node_id, error_sentence(r), j->dir, j->settings.node_id);
    return print_next(j);
}

/* The key is read and then wiped: a process's words can be seen by everybody. */
static void wipe_key(int argc, char *const *argv)
{
    for (int i = 1; i < argc && argv[i]; i++) {
        char *value = strncmp(argv[i], "--key=", 6) == 0 ? argv[i] + 6
                      : strcmp(argv[i], "--key") == 0    ? argv[i + 1]
                                                         : NULL;
        if (value) memset(value, 'x', strlen(value));
    }
}

static int run(struct join *j, const struct arguments *args)
{
    struct cluster_options options;
    const char *error = NULL, *dir = argument_text(args, "--dir", NULL);
    char *words[] = { TEXT("join"), TEXT("--dir"), TEXT("%s", dir ?: ""), NULL };
    if (cluster_options_parse(dir ? 3 : 1, words, j->arena, &options, &error) < 0)
        return tool_fail(tool, "%s", error);
    j->dir = options.dir;
    if (!options.is_new)
        return tool_fail(tool, "%s is a cluster of c3fs up; --dir names another place", j->dir);
    if (options.is_joined && supervisor_find(j->dir, j->arena))
        return report_print(&options, false);
    int r = join_load(j->dir, j->arena, &j->settings, &error);
    if (r < 0) return tool_fail(tool, "%s", error);
    if (r == 0 && !j->address)
        return tool_fail(tool, "nothing has joined in %s: give the address of a cluster manager",
                         j->dir);
    r = r ? join_again(j, args) : join_anew(j, args);
    return r ? r : start(j, argument_flag(args, "--foreground"));
}

int join_main(int argc, char *const *argv)
{
    static const struct argument_spec spec[] = {
        { "address", NULL, ARG_TEXT, false,
          "of a cluster manager, TCP://host:port; without one: what joined before" },
        { "--key", NULL, ARG_TEXT, false, "the cluster's key, k1:..." },
        { "--key-file", NULL, ARG_TEXT, false, "a copy of cluster.key of the cluster's directory" },
        { "--disk", NULL, ARG_TEXTS, false, "a directory for each disk" },
        { "--node-id", NULL, ARG_U32, false, "number of the node; the first from 1001 on" },
        { "--dir", NULL, ARG_TEXT, false, "its files (/var/lib/c3fs, or ~/.local/share/c3fs)" },
        { "--listen", NULL, ARG_TEXT, false, "address to listen at; 0.0.0.0: all" },
        { "--advertise", NULL, ARG_TEXT, false,
          "host that others reach it by; as it reaches them" },
        { "--port", NULL, ARG_U32, false, "the first free one from 8000 on" },
        { "--foreground", NULL, ARG_FLAG, false, "stays, with its log on standard error" },
        { NULL, NULL, ARG_FLAG, false, NULL },
    };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(&arena, tool,
                           "c3fs join ADDRESS - makes this machine a storage of a cluster that "
                           "another one runs",
                           "The cluster must listen for others: c3fs up --listen ADDRESS.\n"
                           "example:\n  c3fs join TCP://10.0.0.1:18000 --key-file cluster.key "
                           "--disk /data1 --disk /data2\n",
                           spec, argc, argv, &args);
    if (r >= 0) return r;
    struct join j = { .arena = &arena,
                      .address = argument_text(&args, "address", NULL),
                      .node_id = (uint32_t)argument_number(&args, "--node-id", 0) };
    if (argument(&args, "--node-id")->is_set && (j.node_id < 1 || j.node_id > NODE_ID_MAX)) {
        tool_fail(tool, "--node-id: there are numbers from 1 to %d", NODE_ID_MAX);
        return TOOL_EXIT_USAGE;
    }
    const char *key = argument_text(&args, "--key", NULL);
    if (key) j.key = arena_printf(&arena, "%s", key);
    wipe_key(argc, argv);
    settings_init(join_settings_table, &j.settings, &arena);
    return run(&j, &args);
}
