/* up.c - c3fs up: checks, starts the supervisor away from the shell, waits until all of it is
 * ready. */
#include "supervisor/supervisor.h"

#include "base/log.h"
#include "base/units.h"
#include "loop/mount_table.h"
#include "supervisor/files.h"
#include "supervisor/report.h"
#include "supervisor/supervise.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
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

static int find_binary(struct arena *arena, const char **ret, const char **ret_error)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0) {
        *ret_error = arena_printf(arena, "/proc/self/exe: %s", strerrordesc_np(errno));
        return error_from_errno(errno);
    }
    *ret = arena_text(arena, bytes_of(path, (size_t)n));
    return 0;
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
    int r = find_binary(arena, &binary, ret_error);
    uint16_t kept = kept_port_base(options->dir, arena);
    if (r >= 0 && !options->settings.no_mount && !kept) {
        r = check_mount_point(options->settings.mount, arena, ret_error);
    }
    if (r >= 0) r = cluster_options_save(options, arena, ret_error);
    if (r >= 0) r = plan_make(options, binary, kept, arena, ret, ret_error);
    return r;
}

/* ---- the supervisor process ---- */

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Only the lock, the pipe and the log stay open; the rest belongs to the shell. */
static int leave_shell(const char *log_path)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (null < 0 || log < 0 || chdir("/") < 0) return -1;
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    return 0;
}

/* @notify_fd: -1 in the foreground. */
static int run_supervisor(const struct cluster_options *options, const struct plan *plan,
                          int notify_fd, struct arena *arena)
{
    const char *log_path = arena_printf(arena, "%s/log/supervisor.log", options->dir),
               *error = NULL;
    int lock_fd = supervisor_lock(options->dir, arena, &error);
    if (lock_fd >= 0 && notify_fd >= 0 && leave_shell(log_path) < 0) {
        error = arena_printf(arena, "%s: %s", log_path, strerrordesc_np(errno));
        close(lock_fd);
        lock_fd = -1;
    }
    if (lock_fd < 0) {
        dprintf(notify_fd >= 0 ? notify_fd : STDERR_FILENO, "E%s\n", error);
        return 1;
    }
    raise_file_limit();
    struct supervise_options supervise_options = {
        .dir = options->dir, .plan = plan, .lock_fd = lock_fd, .notify_fd = notify_fd
    };
    return supervise(&supervise_options);
}

/* Twice fork(): the supervisor is nobody's child and leads no session that a terminal could end. */
static int start_supervisor(const struct cluster_options *options, const struct plan *plan,
                            struct arena *arena)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fds[0]);
        setsid();
        if (fork() == 0) _exit(run_supervisor(options, plan, pipe_fds[1], arena));
        _exit(0);
    }
    close(pipe_fds[1]);
    if (pid > 0) waitpid(pid, NULL, 0);
    return pipe_fds[0];
}

/* ---- the process that the user waits for ---- */

/* What the supervisor says, until it is ready; after a failure until it has ended. */
static int follow_start(int fd, const struct cluster_options *options)
{
    FILE *in = fdopen(fd, "r");
    char *line = NULL;
    size_t capacity = 0;
    int status = -1;
    while (in && status != 0 && getline(&line, &capacity, in) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == 'E') fprintf(stderr, "c3fs up: %s\n", line + 1);
        if (line[0] == 'E') status = 1;
        if (line[0] == 'R') status = 0;
    }
    free(line);
    if (in) fclose(in);
    if (status < 0) {
        fprintf(stderr, "c3fs up: the supervisor ended; see %s/log/supervisor.log\n", options->dir);
    }
    return status == 0 ? report_print(options, false) : 1;
}

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
    if (supervisor_find(options.dir, &arena)) return follow_running(&options);
    r = prepare(&options, &arena, plan, &error);
    if (r < 0) {
        fprintf(stderr, "c3fs up: %s: %s\n", error_to_text(r, text, sizeof text), error);
        return 1;
    }
    if (options.foreground) return run_supervisor(&options, plan, -1, &arena);
    int fd = start_supervisor(&options, plan, &arena);
    if (fd < 0) {
        fprintf(stderr, "c3fs up: %s\n", strerrordesc_np(errno));
        return 1;
    }
    return follow_start(fd, &options);
}
