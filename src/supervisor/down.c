/* down.c - c3fs down and c3fs status. */
#include "loop/mount_table.h"
#include "supervisor/report.h"
#include "supervisor/supervisor.h"

#include "base/units.h"
#include <signal.h>
#include <stdio.h>

#define DOWN_TIMEOUT_NS (60 * SEC)
#define DOWN_PAUSE_NS   (20 * MSEC)
#define ORPHAN_GRACE_NS (10 * SEC)

enum { EXIT_USAGE = 2 };

static int parse(int argc, char *const *argv, struct arena *arena, struct cluster_options *ret,
                 const char *help)
{
    const char *error = NULL;
    char text[64];
    int r = cluster_options_parse(argc, argv, arena, ret, &error);
    if (r >= 0 && ret->first_setting) {
        error = arena_printf(arena, "option '%s' is one of c3fs up", ret->first_setting);
        r = -ERR_WRONG_USAGE;
    }
    if (r < 0)
        fprintf(stderr, "c3fs %s: %s: %s\n", argv[0], error_to_text(r, text, sizeof text), error);
    if (r >= 0 && ret->help) puts(help);
    return r;
}

static bool any_is_alive(const struct cluster_state *state)
{
    for (uint32_t i = 0; i < state->child_count; i++) {
        if (state->children[i].process.pid && process_is_alive(state->children[i].process))
            return true;
    }
    return false;
}

static void signal_children(const struct cluster_state *state, int signal)
{
    for (uint32_t i = 0; i < state->child_count; i++) {
        if (state->children[i].process.pid) process_signal(state->children[i].process, signal);
    }
}

/* What a dead supervisor left running. */
static void stop_orphans(const struct cluster_state *state)
{
    signal_children(state, SIGTERM);
    uint64_t until_ns = monotonic_ns() + ORPHAN_GRACE_NS;
    while (any_is_alive(state) && monotonic_ns() < until_ns)
        pause_ns(DOWN_PAUSE_NS);
    signal_children(state, SIGKILL);
    while (any_is_alive(state))
        pause_ns(DOWN_PAUSE_NS);
    if (state->mount[0]) (void)mount_clear(state->mount);
}

int down_main(int argc, char *const *argv)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct cluster_options options;
    struct cluster_state *state = arena_new(&arena, struct cluster_state);
    const char *error = NULL;
    if (parse(argc, argv, &arena, &options,
              "c3fs down - stops the cluster of c3fs up; the data stays\n\n"
              "usage: c3fs down [--dir DIR]") < 0) {
        return EXIT_USAGE;
    }
    if (options.help) return 0;
    struct process_id supervisor = process_identify(supervisor_find(options.dir, &arena));
    bool has_state = cluster_state_load(options.dir, &arena, state, &error) >= 0;
    if (!supervisor.pid && !(has_state && any_is_alive(state))) {
        if (has_state && state->mount[0]) (void)mount_clear(state->mount);
        printf("c3fs in %s: was down\n", options.dir);
        return 0;
    }
    process_signal(supervisor, SIGTERM);
    uint64_t until_ns = monotonic_ns() + DOWN_TIMEOUT_NS;
    while (supervisor.pid && process_is_alive(supervisor)) {
        if (monotonic_ns() >= until_ns) {
            fprintf(stderr, "c3fs down: supervisor %d does not end; see %s/log/supervisor.log\n",
                    (int)supervisor.pid, options.dir);
            return 1;
        }
        pause_ns(DOWN_PAUSE_NS);
    }
    if (has_state) stop_orphans(state);
    printf("c3fs in %s: down; the data stays\n", options.dir);
    return 0;
}

int status_main(int argc, char *const *argv)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct cluster_options options;
    if (parse(argc, argv, &arena, &options,
              "c3fs status - shows what runs of the cluster of c3fs up\n\n"
              "usage: c3fs status [--dir DIR] [--json]\n\n"
              "Exit status: 0 when it is ready, 3 when it is not.") < 0) {
        return EXIT_USAGE;
    }
    return options.help ? 0 : report_print(&options, options.json);
}
