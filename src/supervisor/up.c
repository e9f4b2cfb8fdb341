/* up.c - c3fs up: checks, starts the supervisor, waits until all of it is ready. */
#include "supervisor/supervisor.h"

#include "base/log.h"
#include "base/units.h"
#include "loop/mount_table.h"
#include "supervisor/files.h"
#include "supervisor/report.h"
#include "supervisor/start.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FOLLOW_TIMEOUT_NS (90 * SEC)
#define FOLLOW_PAUSE_NS   (50 * MSEC)

enum { EXIT_USAGE = 2 };

/* ---- what must be so before anything is started ---- */

static int check_mount_point(const char *path, struct arena *arena, const char **ret_error)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        int eno = errno;
        *ret_error =
            arena_printf(arena, "/dev/fuse: %s; --no-mount goes without it", strerrordesc_np(eno));
        return error_from_errno(eno);
    }
    close(fd);
    if (!mount_clear(path)) {
        *ret_error = arena_printf(arena, "%s: a stale mount cannot be taken away", path);
        return -ERR_BUSY;
    }
    const char *type = mount_type(path, arena);
    if (type) {
        *ret_error = arena_printf(arena, "%s: a %s is mounted there; --mount names another place",
                                  path, type);
        return -ERR_BUSY;
    }
    int r = directory_make(path, arena, ret_error);
    if (r >= 0 && !mount_point_is_empty(path)) {
        *ret_error = arena_printf(arena, "%s is not empty; --mount names another place", path);
        return -ERR_META_NOT_EMPTY;
    }
    return r;
}

/* The ports that processes of an earlier supervisor still use; 0 when none is left. */
static uint16_t kept_port_base(const char *dir, struct arena *arena)
{
    struct cluster_state *state = arena_new(arena, struct cluster_state);
    const char *error;
    if (cluster_state_load(dir, arena, state, &error) < 0) return 0;
    for (uint32_t i = 0; i < state->child_count; i++) {
        if (process_is_alive(state->children[i].process)) return state->port_base;
    }
    return 0;
}

static int prepare(const struct cluster_options *options, struct arena *arena, struct plan *ret,
                   const char **ret_error)
{
    const char *binary = NULL;
    int r = binary_find(arena, &binary, ret_error);
    uint16_t kept = kept_port_base(options->dir, arena);
    if (r >= 0 && !options->settings.no_mount && !kept) {
        r = check_mount_point(options->settings.mount, arena, ret_error);
    }
    if (r >= 0) r = cluster_options_save(options, arena, ret_error);
    if (r >= 0) r = plan_make(options, binary, kept, arena, ret, ret_error);
    return r;
}

/* ---- the process that the user waits for ---- */

/* Another up has started it, perhaps just now. */
static int follow_running(const struct cluster_options *options)
{
    uint64_t give_up_ns = monotonic_ns() + FOLLOW_TIMEOUT_NS;
    for (; monotonic_ns() < give_up_ns; pause_ns(FOLLOW_PAUSE_NS)) {
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        struct cluster_state *state = arena_new(&arena, struct cluster_state);
        const char *error = NULL;
        if (!supervisor_find(options->dir, &arena)) break;
        if (cluster_state_load(options->dir, &arena, state, &error) < 0) continue;
        if (state->is_ready) return report_print(options, false);
        if (state->is_stopping) break;
    }
    fprintf(stderr, "c3fs up: the cluster in %s does not become ready; see c3fs status\n",
            options->dir);
    return 1;
}

static void print_help(void)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    puts("c3fs up - starts a cluster on this host, or finds the one that runs\n\n"
         "usage: c3fs up [OPTION]...\n\n"
         "  --dir DIR            where everything is (/var/lib/c3fs, or ~/.local/share/c3fs)\n"
         "  --foreground         stays, with its log on standard error");
    for (const struct setting *s = cluster_settings_table; s->key; s++) {
        char *name = arena_printf(&arena, "--%s", s->key);
        for (char *p = name; *p; p++) {
            if (*p == '_') *p = '-';
        }
        printf("  %-20s %s%s%s%s\n", name, s->doc, s->default_text[0] ? " (" : "", s->default_text,
               s->default_text[0] ? ")" : "");
    }
}

int up_main(int argc, char *const *argv)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct cluster_options options;
    struct plan *plan = arena_new(&arena, struct plan);
    const char *error = NULL;
    char text[64];
    int r = cluster_options_parse(argc, argv, &arena, &options, &error);
    if (r < 0) {
        fprintf(stderr, "c3fs up: %s: %s\n", error_to_text(r, text, sizeof text), error);
        return EXIT_USAGE;
    }
    if (options.help) {
        print_help();
        return 0;
    }
    if (options.is_joined) {
        fprintf(stderr,
                "c3fs up: %s is a storage of another machine's cluster: c3fs join --dir %s starts "
                "it; --dir names another place\n",
                options.dir, options.dir);
        return 1;
    }
    if (supervisor_find(options.dir, &arena)) return follow_running(&options);
    r = prepare(&options, &arena, plan, &error);
    if (r < 0) {
        fprintf(stderr, "c3fs up: %s: %s\n", error_to_text(r, text, sizeof text), error);
        return 1;
    }
    if (options.foreground) return supervisor_run(options.dir, plan);
    return supervisor_start("c3fs up", options.dir, plan) == 0 ? report_print(&options, false) : 1;
}
