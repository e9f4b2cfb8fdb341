/* child.c - fork, exec, wait, kill. */
#include "supervisor/child.h"

#include "base/check.h"
#include "base/units.h"
#include "loop/mount_table.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_MIN_NS (50 * MSEC)
#define PAUSE_MAX_NS (2 * SEC)
#define HEALTHY_NS   (10 * SEC)

enum { LOG_BYTES_MAX = 16 << 20, EXEC_FAILED = 127 };

const char *child_phase_name(enum child_phase phase)
{
    static const char *const names[] = {
        "idle", "running", "waiting", "done", "ending", "stopped"
    };
    return names[phase];
}

void child_init(struct child *child, const struct child_plan *plan)
{
    *child = (struct child){
        .plan = plan, .pidfd = -1, .due_ns = TIME_NEVER, .pause_ns = PAUSE_MIN_NS, .exit_status = -1
    };
}

static void set_phase(struct child *child, enum child_phase phase, uint64_t due_ns)
{
    child->phase = phase;
    child->due_ns = due_ns;
    child->since_wall_ns = wall_ns(NULL);
}

/* ---- start ---- */

/* In the new process: a session of its own, no signals blocked, output to the log. */
static void run_program(const struct child_plan *plan)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    int null = open("/dev/null", O_RDONLY);
    int log = open(plan->log_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (null < 0 || log < 0) _exit(EXEC_FAILED);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close(null);
    close(log);
    for (const char *const *e = plan->environment; e && *e; e++) {
        char *copy = strdup(*e);
        if (!copy || putenv(copy) != 0) _exit(EXEC_FAILED);
    }
    execv(plan->argv[0], plan->argv);
    fprintf(stderr, "%s: %s\n", plan->argv[0], strerrordesc_np(errno));
    _exit(EXEC_FAILED);
}

static void rotate_log(const char *path)
{
    struct stat st;
    char old[4096];
    if (stat(path, &st) < 0 || st.st_size < LOG_BYTES_MAX) return;
    if (snprintf(old, sizeof old, "%s.1", path) < (int)sizeof old) (void)rename(path, old);
}

static void wait_for_restart(struct child *child)
{
    set_phase(child, CHILD_WAITING, monotonic_ns() + child->pause_ns);
    child->pause_ns = MIN_OF(child->pause_ns * 2, PAUSE_MAX_NS);
}

void child_start(struct child *child, const struct log *log)
{
    const struct child_plan *plan = child->plan;
    if (plan->done_path && access(plan->done_path, F_OK) == 0) {
        set_phase(child, CHILD_DONE, TIME_NEVER);
        return;
    }
    /* A later one takes the stale mount away itself, when it is ready to mount. */
    bool is_first = child->restart_count == 0;
    if (plan->mount && is_first && !mount_clear(plan->mount)) {
        log_warn(log, -ERR_BUSY, "%s: a stale mount at %s cannot be taken away", plan->name,
                 plan->mount);
    }
    rotate_log(plan->log_path);
    child->started_ns = monotonic_ns();
    pid_t pid = fork();
    if (pid == 0) run_program(plan);
    if (pid > 0) child->process = process_identify(pid);
    if (pid > 0) child->pidfd = process_open_child(pid);
    if (pid < 0 || child->pidfd < 0) {
        log_error(log, error_from_errno(errno), "%s: cannot start", plan->name);
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        child->process = (struct process_id){ 0 };
        child->failure_count++;
        wait_for_restart(child);
        return;
    }
    child->process.pid = pid; /* also of one that has ended already */
    fcntl(child->pidfd, F_SETFD, FD_CLOEXEC);
    set_phase(child, CHILD_RUNNING, TIME_NEVER);
    log_info(log, "%s: started, pid %d", plan->name, (int)pid);
}

bool child_adopt(struct child *child, struct process_id process, const struct log *log)
{
    int fd = process.pid && process_is_alive(process) ? process_open(process) : -1;
    if (fd < 0) return false;
    child->process = process;
    child->pidfd = fd;
    child->started_ns = monotonic_ns();
    set_phase(child, CHILD_RUNNING, TIME_NEVER);
    log_info(log, "%s: runs already, pid %d", child->plan->name, (int)process.pid);
    return true;
}

/* ---- end ---- */

void child_stop(struct child *child, uint64_t grace_ns, const struct log *log)
{
    if (child->phase == CHILD_RUNNING) {
        log_info(log, "%s: stopping", child->plan->name);
        process_signal(child->process, SIGTERM);
        set_phase(child, CHILD_ENDING, monotonic_ns() + grace_ns);
    } else if (child->phase != CHILD_ENDING && child->phase != CHILD_DONE) {
        set_phase(child, CHILD_STOPPED, TIME_NEVER);
    }
}

/* How it ended. A process that is not our child does not tell. */
static void note_end(struct child *child)
{
    int status = 0;
    pid_t pid = waitpid(child->process.pid, &status, WNOHANG);
    child->exit_status = -1;
    if (pid == child->process.pid && WIFEXITED(status)) {
        child->exit_status = WEXITSTATUS(status);
        snprintf(child->last_end, sizeof child->last_end, "exit status %d", child->exit_status);
    } else if (pid == child->process.pid && WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        snprintf(child->last_end, sizeof child->last_end, "signal %d (%s)", WTERMSIG(status),
                 name ?: "?");
    } else {
        snprintf(child->last_end, sizeof child->last_end, "ended");
    }
    close(child->pidfd);
    child->pidfd = -1;
    child->process = (struct process_id){ 0 };
}

static bool has_ended(const struct child *child)
{
    struct pollfd fd = { .fd = child->pidfd, .events = POLLIN };
    return child->pidfd >= 0 && poll(&fd, 1, 0) > 0;
}

/* A task that is done leaves its mark, so that it never runs again. */
static void finish_task(struct child *child, const struct log *log)
{
    const char *path = child->plan->done_path;
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (fd >= 0) close(fd);
    if (path && fd < 0) log_error(log, error_from_errno(errno), "%s", path);
    set_phase(child, CHILD_DONE, TIME_NEVER);
    log_info(log, "%s: done", child->plan->name);
}

static void after_end(struct child *child, const struct log *log)
{
    const struct child_plan *plan = child->plan;
    enum child_phase before = child->phase;
    uint64_t lived_ns = monotonic_ns() - child->started_ns;
    note_end(child);
    if (before == CHILD_ENDING) {
        set_phase(child, CHILD_STOPPED, TIME_NEVER);
        log_info(log, "%s: stopped (%s)", plan->name, child->last_end);
        if (plan->mount) (void)mount_clear(plan->mount);
        return;
    }
    if (plan->is_task && child->exit_status == 0) {
        finish_task(child, log);
        return;
    }
    if (lived_ns >= HEALTHY_NS) {
        child->pause_ns = PAUSE_MIN_NS;
        child->failure_count = 0;
    }
    child->restart_count++;
    child->failure_count++;
    log_warn(log, 0, "%s: %s after %llu ms; starting it again in %llu ms", plan->name,
             child->last_end, (unsigned long long)(lived_ns / MSEC),
             (unsigned long long)(child->pause_ns / MSEC));
    wait_for_restart(child);
}

bool child_step(struct child *child, const struct log *log)
{
    if (has_ended(child)) {
        after_end(child, log);
        return true;
    }
    if (monotonic_ns() < child->due_ns) return false;
    if (child->phase == CHILD_WAITING) {
        child_start(child, log);
        return true;
    }
    check(child->phase == CHILD_ENDING);
    log_warn(log, 0, "%s: does not stop; killing it", child->plan->name);
    process_signal(child->process, SIGKILL);
    child->due_ns = TIME_NEVER;
    return true;
}
