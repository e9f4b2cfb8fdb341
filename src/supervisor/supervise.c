/* supervise.c - one loop over process descriptors, signals and times that are due.
 *
 *   starting: stage by stage ----> ready ----SIGTERM----> stopping: rank by rank ----> end
 *       \--- too long, or the same failure again and again ---^
 *
 * A supervisor that follows a dead one adopts what still runs of its children.
 */
#include "supervisor/supervise.h"

#include "base/check.h"
#include "base/units.h"
#include "loop/mount_table.h"
#include "supervisor/child.h"
#include "supervisor/files.h"
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TIMEOUT_NS (60 * SEC)
#define STOP_GRACE_NS    (10 * SEC)
#define MOUNT_POLL_NS    (20 * MSEC)

enum { START_FAILURE_MAX = 5, EXIT_STATUS_USAGE = 2, TAIL_BYTES = 600 };

struct supervisor {
    const struct supervise_options *options;
    const struct plan *plan;
    struct log log;
    struct child children[PLAN_CHILD_COUNT_MAX];
    uint32_t stage;      /* the one that starts; stage_count: ready */
    enum stop_rank rank; /* the one that stops */
    bool is_stopping;
    int exit_status, signal_fd;
    uint64_t start_by_ns;
    char trouble[1024];
    struct process_id self;
    char boot[40];
};

/* ---- telling ---- */

static void printf_(3, 4) notify(struct supervisor *s, char kind, const char *fmt, ...)
{
    char line[1200];
    va_list args;
    if (s->options->notify_fd < 0) return;
    line[0] = kind;
    va_start(args, fmt);
    int n = vsnprintf(line + 1, sizeof line - 2, fmt, args);
    va_end(args);
    size_t size = 1 + MIN_OF((size_t)n, sizeof line - 3);
    for (size_t i = 1; i < size; i++) {
        if (line[i] == '\n') line[i] = ' ';
    }
    line[size] = '\n';
    (void)!write(s->options->notify_fd, line, size + 1);
}

static void save_state(struct supervisor *s)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct cluster_state *state = arena_new(&arena, struct cluster_state);
    *state =
        (struct cluster_state){ .supervisor = s->self,
                                .boot = s->boot,
                                .mount = s->plan->mount ?: "",
                                .port_base = s->plan->port_base,
                                .is_ready = s->stage == s->plan->stage_count && !s->is_stopping,
                                .is_stopping = s->is_stopping,
                                .trouble = s->trouble,
                                .child_count = s->plan->count };
    for (uint32_t i = 0; i < s->plan->count; i++) {
        const struct child *c = &s->children[i];
        state->children[i] = (struct child_state){ .name = c->plan->name,
                                                   .state = child_phase_name(c->phase),
                                                   .last_end = c->last_end,
                                                   .process = c->process,
                                                   .restart_count = c->restart_count,
                                                   .since_wall_ns = c->since_wall_ns };
    }
    const char *error = NULL;
    int r = cluster_state_save(s->options->dir, state, &arena, &error);
    if (r < 0) log_error(&s->log, r, "%s", error);
}

/* ---- starting ---- */

/* The end of a child's log, where it says why it failed. */
static const char *log_tail(const char *path, struct arena *arena)
{
    struct bytes text;
    const char *error;
    if (text_read(path, arena, &text, &error) < 0) return "";
    if (text.size > TAIL_BYTES) {
        text = bytes_of(text.base + text.size - TAIL_BYTES, TAIL_BYTES);
    }
    while (text.size > 0 && text.base[text.size - 1] == '\n')
        text.size--;
    const uint8_t *newline = memrchr(text.base, '\n', text.size);
    if (newline) text = bytes_of(newline + 1, (size_t)(text.base + text.size - newline - 1));
    return arena_text(arena, text);
}

static void begin_stop(struct supervisor *s, int exit_status)
{
    s->is_stopping = true;
    s->exit_status = exit_status;
    s->rank = 0;
}

static void fail_start(struct supervisor *s, const struct child *child, const char *what)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    const char *path = child->plan->log_path;
    snprintf(s->trouble, sizeof s->trouble, "%s: %s; %s ends: %s", child->plan->name, what, path,
             log_tail(path, &arena));
    log_error(&s->log, 0, "%s", s->trouble);
    notify(s, 'E', "%s", s->trouble);
    begin_stop(s, 1);
}

static bool is_over(const struct supervisor *s, const struct child *child)
{
    if (child->plan->is_task) return child->phase == CHILD_DONE;
    if (child->phase != CHILD_RUNNING) return false;
    return !child->plan->mount || mount_is_ours(child->plan->mount);
}

/* Starts what belongs to the present stage, and goes on to the next ones as far as it can. */
static bool start_stages(struct supervisor *s)
{
    bool has_changed = false;
    while (s->stage < s->plan->stage_count) {
        bool is_done = true;
        for (uint32_t i = 0; i < s->plan->count; i++) {
            struct child *child = &s->children[i];
            if (child->plan->stage != s->stage) continue;
            if (child->phase == CHILD_IDLE) {
                child_start(child, &s->log);
                has_changed = true;
            }
            is_done = is_done && is_over(s, child);
        }
        if (!is_done) break;
        s->stage++;
        has_changed = true;
    }
    if (has_changed && s->stage == s->plan->stage_count) {
        s->trouble[0] = '\0';
        log_info(&s->log, "ready");
        save_state(s); /* before anybody is told */
        notify(s, 'R', "ready");
    }
    return has_changed;
}

/* A start that cannot succeed is ended, with the reason. */
static void check_start(struct supervisor *s)
{
    const struct child *late = NULL;
    for (uint32_t i = 0; i < s->plan->count && !s->is_stopping; i++) {
        const struct child *child = &s->children[i];
        if (child->plan->stage > s->stage) continue;
        if (!late && !is_over(s, child)) late = child;
        bool is_wrong = child->failure_count > 0 && child->exit_status == EXIT_STATUS_USAGE;
        if (is_wrong || child->failure_count >= START_FAILURE_MAX) {
            fail_start(s, child, child->last_end);
        }
    }
    if (!s->is_stopping && late && monotonic_ns() >= s->start_by_ns) {
        fail_start(s, late, late->plan->mount ? "nothing was mounted in time" : "not done in time");
    }
}

/* ---- stopping ---- */

static bool stop_ranks(struct supervisor *s)
{
    bool has_changed = false;
    uint64_t grace_ns = s->options->stop_grace_ns ?: STOP_GRACE_NS;
    while (s->rank < RANK_COUNT) {
        bool is_left = false;
        for (uint32_t i = 0; i < s->plan->count; i++) {
            struct child *child = &s->children[i];
            if (child->plan->rank != s->rank) continue;
            enum child_phase before = child->phase;
            child_stop(child, grace_ns, &s->log);
            has_changed |= child->phase != before;
            is_left |= child->phase == CHILD_ENDING;
        }
        if (is_left) break;
        s->rank++;
    }
    return has_changed;
}

/* ---- the loop ---- */

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD || s->is_stopping) continue;
        log_info(&s->log, "stopping: %s", sigabbrev_np((int)info.ssi_signo));
        notify(s, 'E', "stopped by signal %u", info.ssi_signo);
        begin_stop(s, 0);
    }
}

static void wait_for_events(struct supervisor *s)
{
    struct pollfd fds[PLAN_CHILD_COUNT_MAX + 1] = { { .fd = s->signal_fd, .events = POLLIN } };
    nfds_t count = 1;
    bool is_starting = s->stage < s->plan->stage_count && !s->is_stopping;
    uint64_t now = monotonic_ns(), due = is_starting ? now + MOUNT_POLL_NS : TIME_NEVER;
    for (uint32_t i = 0; i < s->plan->count; i++) {
        const struct child *child = &s->children[i];
        if (child->pidfd >= 0)
            fds[count++] = (struct pollfd){ .fd = child->pidfd, .events = POLLIN };
        due = MIN_OF(due, child->due_ns);
    }
    int timeout_ms = -1;
    if (due != TIME_NEVER) timeout_ms = due <= now ? 0 : (int)((due - now + MSEC - 1) / MSEC);
    (void)poll(fds, count, timeout_ms);
}

static void adopt_children(struct supervisor *s)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct cluster_state *state = arena_new(&arena, struct cluster_state);
    const char *error;
    if (cluster_state_load(s->options->dir, &arena, state, &error) < 0) return;
    for (uint32_t k = 0; k < state->child_count; k++) {
        const struct child_state *old = &state->children[k];
        bool is_ours = false;
        for (uint32_t i = 0; i < s->plan->count && !is_ours; i++) {
            struct child *child = &s->children[i];
            if (strcmp(child->plan->name, old->name) != 0 || child->phase != CHILD_IDLE) continue;
            is_ours = child_adopt(child, old->process, &s->log);
            if (is_ours) child->restart_count = old->restart_count;
        }
        if (!is_ours && old->process.pid && process_is_alive(old->process)) {
            log_info(&s->log, "%s: not wanted any more; stopping it", old->name);
            process_signal(old->process, SIGTERM);
        }
    }
}

static void set_up(struct supervisor *s)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    check(s->signal_fd >= 0);
    s->self = process_identify(getpid());
    boot_id(s->boot);
    for (uint32_t i = 0; i < s->plan->count; i++)
        child_init(&s->children[i], &s->plan->children[i]);
}

int supervise(const struct supervise_options *options)
{
    struct supervisor *s = new_zero(struct supervisor);
    s->options = options;
    s->plan = options->plan;
    s->log = (struct log){ .level = LOG_INFO, .who = "supervisor", .wall_ns = wall_ns };
    s->start_by_ns = monotonic_ns() + (options->start_timeout_ns ?: START_TIMEOUT_NS);
    set_up(s);
    adopt_children(s);
    for (bool has_changed = true; !s->is_stopping || s->rank < RANK_COUNT; has_changed = false) {
        for (uint32_t i = 0; i < s->plan->count; i++) {
            has_changed |= child_step(&s->children[i], &s->log);
        }
        if (!s->is_stopping) has_changed |= start_stages(s);
        if (!s->is_stopping && s->stage < s->plan->stage_count) check_start(s);
        if (s->is_stopping) has_changed |= stop_ranks(s);
        if (has_changed) save_state(s);
        if (s->is_stopping && s->rank == RANK_COUNT) break;
        wait_for_events(s);
        take_signals(s);
    }
    save_state(s);
    log_info(&s->log, "ended");
    int status = s->exit_status;
    close(s->signal_fd);
    free(s);
    return status;
}
