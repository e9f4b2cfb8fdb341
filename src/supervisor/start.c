/* start.c - a supervisor is a process that outlives the shell; whoever started it hears of its
 * start through a pipe.
 */
#include "supervisor/start.h"

#include "supervisor/state.h"
#include "supervisor/supervise.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int binary_find(struct arena *arena, const char **ret, const char **ret_error)
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
static int run(const char *dir, const struct plan *plan, int notify_fd, struct arena *arena)
{
    const char *log_path = arena_printf(arena, "%s/log/supervisor.log", dir), *error = NULL;
    int lock_fd = supervisor_lock(dir, arena, &error);
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
        .dir = dir, .plan = plan, .lock_fd = lock_fd, .notify_fd = notify_fd
    };
    return supervise(&supervise_options);
}

int supervisor_run(const char *dir, const struct plan *plan)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    return run(dir, plan, -1, &arena);
}

/* Twice fork(): the supervisor is nobody's child and leads no session that a terminal could end.
 * What can be read of its start, or -1. */
static int fork_supervisor(const char *dir, const struct plan *plan, struct arena *arena)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fds[0]);
        setsid();
        if (fork() == 0) _exit(run(dir, plan, pipe_fds[1], arena));
        _exit(0);
    }
    close(pipe_fds[1]);
    if (pid > 0) waitpid(pid, NULL, 0);
    return pipe_fds[0];
}

/* What the supervisor says, until it is ready; after a failure until it has ended. */
static int follow(const char *who, int fd, const char *dir)
{
    FILE *in = fdopen(fd, "r");
    char *line = NULL;
    size_t capacity = 0;
    int status = -1;
    while (in && status != 0 && getline(&line, &capacity, in) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == 'E') fprintf(stderr, "%s: %s\n", who, line + 1);
        if (line[0] == 'E') status = 1;
        if (line[0] == 'R') status = 0;
    }
    free(line);
    if (in) fclose(in);
    if (status < 0)
        fprintf(stderr, "%s: the supervisor ended; see %s/log/supervisor.log\n", who, dir);
    return status == 0 ? 0 : 1;
}

int supervisor_start(const char *who, const char *dir, const struct plan *plan)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    int fd = fork_supervisor(dir, plan, &arena);
    if (fd >= 0) return follow(who, fd, dir);
    fprintf(stderr, "%s: %s\n", who, strerrordesc_np(errno));
    return 1;
}
