/* main_entrypoint.c - c3fs entrypoint SERVICE: writes the settings that the container's variables
 * mean, waits for what must be there first, and becomes the service.
 *
 * Secrets (key, token) are handed on as variables of the process and are in no file. The
 * container of the admin tool has no service: it stays until it is told to end, for `exec`.
 */
#include "main_entrypoint.h"

#include "cluster/cluster_init.h"
#include "entrypoint/entrypoint.h"
#include "kv/kv.h"
#include "main_role.h"
#include "main_tool.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_SAY_NS (10 * SEC)

enum { ASKED_TO_END = -1 }; /* by a signal while it waited; the status of the process is 0 */

static const char tool[] = "c3fs entrypoint";

/* The first IPv4 address of an interface that is up and not the loopback; "" if there is none. */
static const char *host_address(struct arena *arena)
{
    struct ifaddrs *all = NULL;
    const char *found = "";
    if (getifaddrs(&all) != 0) return found;
    for (const struct ifaddrs *i = all; i && !found[0]; i = i->ifa_next) {
        char text[INET_ADDRSTRLEN];
        bool is_usable = i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
                         (i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK);
        if (!is_usable) continue;
        struct sockaddr_in address;
        memcpy(&address, i->ifa_addr, sizeof address);
        if (inet_ntop(AF_INET, &address.sin_addr, text, sizeof text))
            found = arena_printf(arena, "%s", text);
    }
    freeifaddrs(all);
    return found;
}

/* ---- the cluster's key ---- */

struct key_reader {
    struct node *node;
    const char *kv_path;
    struct scope scope; /* of the fiber that reads */
    uint8_t key[AUTH_KEY_BYTES];
    int result;
    bool is_asked_to_end;
};

/* Waits until somebody has initialised the store, and says now and then that it does. */
static int read_key(struct key_reader *k, struct kv *kv)
{
    uint64_t begin_ns = node_now_ns(k->node), say_ns = begin_ns;
    for (;;) {
        int r = cluster_key_get(kv, NULL, k->key);
        if (r != -ERR_META_BAD_FILE_SYSTEM) return r;
        uint64_t now_ns = node_now_ns(k->node);
        if (now_ns >= say_ns) {
            fprintf(stderr,
                    "%s: waiting for init-cluster in %s: the store has no cluster key (%llu s)\n",
                    tool, k->kv_path, (unsigned long long)((now_ns - begin_ns) / SEC));
            say_ns = now_ns + WAIT_SAY_NS;
        }
        r = fiber_sleep(500 * MSEC);
        if (r < 0) return r;
    }
}

static int open_and_read_key(void *arg)
{
    struct key_reader *k = arg;
    struct kv_embedded_options options = { .dir = k->kv_path };
    cleanup_(kv_closep) struct kv *kv = NULL;
    int r = kv_embedded_open(k->node, &options, &kv);
    k->result = r < 0 ? r : read_key(k, kv);
    return 0;
}

static int watch_signals(void *arg)
{
    struct key_reader *k = arg;
    int r = role_wait_signal(k->node);
    if (r < 0) return r;
    k->is_asked_to_end = true;
    scope_cancel(&k->scope);
    return 0;
}

static int read_key_or_end(void *arg)
{
    struct key_reader *k = arg;
    struct scope signals;
    scope_init(&signals, NULL);
    scope_init(&k->scope, NULL);
    int r = fiber_spawn(&signals, "signals", watch_signals, k);
    if (r >= 0) r = fiber_spawn(&k->scope, "key", open_and_read_key, k);
    if (r >= 0) r = scope_wait(&k->scope);
    scope_done(&k->scope);
    scope_done(&signals);
    return r < 0 ? r : k->result;
}

static int key_of_store(struct arena *arena, const char *kv_path, const char **ret)
{
    struct common_settings common = { .log_level = "warn", .loop_backend = "posix" };
    cleanup_(loop_freep) struct loop *loop = NULL;
    if (role_loop_new(&common, "entrypoint", &loop) < 0) return TOOL_EXIT_FAILED;
    cleanup_(node_freep) struct node *node = node_new(loop, NULL, "entrypoint");
    node->log.level = LOG_WARN;
    struct key_reader k = { .node = node, .kv_path = kv_path };
    int r = loop_run_main(loop, node, read_key_or_end, &k);
    if (k.is_asked_to_end) return ASKED_TO_END;
    if (r < 0)
        return tool_fail(tool, "KV_PATH: the cluster's key cannot be read from the store in %s: %s",
                         kv_path, error_sentence(r));
    char *text = arena_printf(arena, "k1:%0*d", 2 * AUTH_KEY_BYTES, 0);
    for (size_t i = 0; i < AUTH_KEY_BYTES; i++)
        snprintf(text + 3 + 2 * i, 3, "%02x", k.key[i]);
    *ret = text;
    return 0;
}

static int find_key(struct arena *arena, const struct entry_plan *plan, const char **ret)
{
    *ret = plan->cluster_key;
    if (plan->kv_path) return key_of_store(arena, plan->kv_path, ret);
    if (!plan->cluster_key_file) return 0;
    struct bytes text;
    int r = tool_read(arena, tool, plan->cluster_key_file, &text);
    if (r) return r;
    char *key = arena_text(arena, text);
    key[strcspn(key, "\r\n")] = 0;
    *ret = key;
    return 0;
}

/* ---- the mount ---- */

/* A mount made where mounts are private stays in the container: that is said, and how to mend it.
 */
static void check_propagation(const char *mountpoint)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[8192], at[4096];
    bool is_shared = false;
    size_t longest = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%*d %*d %*s %*s %4095s", at) != 1) continue;
        size_t size = strcmp(at, "/") == 0 ? 0 : strlen(at);
        bool is_above = strncmp(mountpoint, at, size) == 0 &&
                        (mountpoint[size] == '/' || mountpoint[size] == 0);
        if (!is_above || size < longest) continue;
        longest = size;
        is_shared = strstr(line, " shared:") != NULL;
    }
    if (f) fclose(f);
    if (is_shared) return;
    fprintf(stderr,
            "%s: warning: mounts at %s are private to this container, so the host will not "
            "see the file system: give the container --mount type=bind,source=DIR,target=DIR,"
            "bind-propagation=shared with the directory above it, and where the host's own mount "
            "is private, run `mount --make-shared` on it first\n",
            tool, mountpoint);
}

static int prepare_mount(const char *mountpoint)
{
    if (mkdir(mountpoint, 0755) != 0 && errno != EEXIST && errno != ENOTCONN)
        return tool_fail(tool, "MOUNTPOINT: cannot make %s: %s", mountpoint,
                         strerrordesc_np(errno));
    check_propagation(mountpoint);
    return 0;
}

/* ---- */

static int stay(void)
{
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    fprintf(stderr, "%s: ready; admin_cli -cfg /opt/3fs/etc/admin_cli.toml COMMAND\n", tool);
    sigwait(&set, &number);
    return 0;
}

static int become(const struct entry_plan *plan, const char *path, const char *key)
{
    if (key && setenv("C3FS_CLUSTER_KEY", key, 1) != 0) return tool_fail(tool, "out of memory");
    if (plan->token && setenv("C3FS_TOKEN", plan->token, 1) != 0)
        return tool_fail(tool, "out of memory");
    execl("/proc/self/exe", "c3fs", plan->role, "--cfg", path, NULL);
    return tool_fail(tool, "cannot start c3fs %s: %s", plan->role, strerrordesc_np(errno));
}

static int run(struct arena *arena, const char *service, const char *directory)
{
    struct entry_plan plan;
    const char *error = NULL, *key = NULL;
    /* As the first process of a container it would not be ended by a signal; blocked, one that
     * comes early waits for the service. */
    role_block_signals();
    if (entry_plan_make(service, (const char *const *)environ, host_address(arena), arena, &plan,
                        &error) < 0) {
        tool_fail(tool, "%s", error);
        return TOOL_EXIT_USAGE;
    }
    for (const char *const *note = plan.notes; *note; note++)
        fprintf(stderr, "%s: %s\n", tool, *note);
    int r = tool_write(arena, tool, directory, plan.file, plan.text);
    if (!r && !plan.role) return stay();
    if (!r) r = find_key(arena, &plan, &key);
    if (!r && plan.mountpoint) r = prepare_mount(plan.mountpoint);
    return r ? r : become(&plan, arena_printf(arena, "%s/%s", directory, plan.file), key);
}

int entrypoint_main(int argc, char *const *argv)
{
    static const struct argument_spec spec[] = {
        { "service", NULL, ARG_TEXT, true, "admin_cli, mgmtd, meta, storage or fuse" },
        { "--directory", NULL, ARG_TEXT, false, "of the files of settings; /opt/3fs/etc" },
        { NULL, NULL, ARG_FLAG, false, NULL },
    };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(&arena, tool,
                           "c3fs entrypoint SERVICE - becomes the service that the variables of a "
                           "container describe",
                           "example:\n  MGMTD_NODE_ID=1 c3fs entrypoint mgmtd\n", spec, argc, argv,
                           &args);
    if (r >= 0) return r;
    r = run(&arena, argument_text(&args, "service", ""),
            argument_text(&args, "--directory", "/opt/3fs/etc"));
    return r == ASKED_TO_END ? 0 : r;
}
