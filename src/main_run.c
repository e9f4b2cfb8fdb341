/* main_run.c - c3fs run: the roles start in the order given; a task is awaited before the next
 * starts.
 *
 * They end together: at a signal in reverse order, each before the one that it depends on, and at
 * once when one of them fails, so that the supervisor starts them anew.
 */
#include "main_run.h"

#include "fiber/sync.h"
#include "main_table.h"
#include <stdio.h>
#include <unistd.h>

enum { PART_COUNT_MAX = 128, EXIT_USAGE = 2 };

struct run;
struct part {
    struct run *run;
    struct role_start start;
    struct node *node;
    struct scope scope;
    bool has_started, has_ended;
};

struct run {
    struct part parts[PART_COUNT_MAX];
    uint32_t count;
    struct node *node; /* of the process itself: signals */
    struct wait_queue changed;
    bool is_asked_to_end;
    int result; /* the first failure */
};

/* ---- fibers ---- */

static int watch_signals(void *arg)
{
    struct run *run = arg;
    int r = role_wait_signal(run->node);
    if (r < 0) return r;
    run->is_asked_to_end = true;
    wait_queue_wake_all(&run->changed);
    return 0;
}

static int run_part(void *arg)
{
    struct part *part = arg;
    int r = part->start.role->run(part->node, part->start.settings);
    bool is_early = !part->start.role->is_task && !part->run->is_asked_to_end;
    if (r < 0 || is_early) {
        log_error(&part->node->log, r, "ended");
        if (part->run->result == 0) part->run->result = r < 0 ? r : -ERR_FOUND_BUG;
    }
    part->has_ended = true;
    wait_queue_wake_all(&part->run->changed);
    return r;
}

static bool goes_on(const struct run *run)
{
    return !run->is_asked_to_end && run->result == 0;
}

static int start_part(struct run *run, struct part *part)
{
    scope_init(&part->scope, NULL);
    part->scope.local = part->node;
    part->has_started = true;
    int r = fiber_spawn(&part->scope, part->start.role->name, run_part, part);
    while (r >= 0 && part->start.role->is_task && goes_on(run) && !part->has_ended) {
        r = wait_queue_wait(&run->changed, "task");
    }
    return r;
}

static int main_fiber(void *arg)
{
    struct run *run = arg;
    struct scope signals;
    scope_init(&signals, NULL);
    int r = fiber_spawn(&signals, "signals", watch_signals, run);
    for (uint32_t i = 0; i < run->count && r >= 0 && goes_on(run); i++) {
        r = start_part(run, &run->parts[i]);
    }
    while (r >= 0 && goes_on(run))
        r = wait_queue_wait(&run->changed, "the end");
    for (uint32_t i = run->count; i-- > 0;) {
        struct part *part = &run->parts[i];
        if (!part->has_started) continue;
        scope_done(&part->scope);
        node_stop(part->node);
    }
    scope_done(&signals);
    return run->result < 0 ? run->result : r;
}

/* ---- the process ---- */

static const struct role *find_role(const char *text, size_t size)
{
    for (const struct role *role = role_table; role->name; role++) {
        if (strlen(role->name) == size && memcmp(role->name, text, size) == 0) return role;
    }
    return NULL;
}

/* "ROLE:FILE" */
static int parse_part(const char *text, struct arena *arena, struct role_start *ret,
                      const char **ret_error)
{
    const char *colon = strchr(text, ':');
    const struct role *role = colon ? find_role(text, (size_t)(colon - text)) : NULL;
    if (!role) {
        const char *names[PART_COUNT_MAX], *near;
        size_t count = 0;
        for (const struct role *r = role_table; r->name; r++)
            names[count++] = r->name;
        near = nearest_name(arena_text(arena, bytes_of(text, strcspn(text, ":"))), names, count);
        *ret_error =
            arena_printf(arena, "'%s' is not ROLE:FILE with a role of c3fs help%s%s%s", text,
                         near ? "; did you mean '" : "", near ?: "", near ? "'?" : "");
        return -ERR_WRONG_USAGE;
    }
    char *argv[] = { arena_printf(arena, "%s", role->name), arena_printf(arena, "--cfg"),
                     arena_printf(arena, "%s", colon + 1) };
    return role_start_parse(role, ARRAY_SIZE(argv), argv, (const char *const *)environ, arena, ret,
                            ret_error);
}

static int run_all(struct run *run)
{
    role_block_signals();
    cleanup_(loop_freep) struct loop *loop = NULL;
    if (role_loop_new(&run->parts[0].start.common, "c3fs run", &loop) < 0) return 1;
    run->node = node_new(loop, NULL, "process");
    wait_queue_init(&run->changed);
    for (uint32_t i = 0; i < run->count; i++) {
        run->parts[i].run = run;
        run->parts[i].node = role_node_new(&run->parts[i].start, loop);
    }
    int r = loop_run_main(loop, run->node, main_fiber, run);
    for (uint32_t i = 0; i < run->count; i++)
        node_free(run->parts[i].node);
    node_free(run->node);
    return r < 0 && !run->is_asked_to_end ? 1 : 0;
}

int run_main(int argc, char *const *argv)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct run *run = arena_new(&arena, struct run);
    const char *error = "needs ROLE:FILE...";
    int r = argc > 1 && argc <= PART_COUNT_MAX ? 0 : -ERR_WRONG_USAGE;
    for (int i = 1; i < argc && r >= 0; i++) {
        r = parse_part(argv[i], &arena, &run->parts[run->count].start, &error);
        if (r >= 0) run->count++;
    }
    if (r < 0) {
        char text[64];
        fprintf(stderr, "c3fs run: %s: %s\n", error_to_text(r, text, sizeof text), error);
        return EXIT_USAGE;
    }
    return run_all(run);
}
