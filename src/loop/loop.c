/* loop.c - front door of the loop: choice of a back end, the run loop, what is common to all of
 * them.
 *
 * A round: run what is ready (at most TURNS_MAX turns, so that I/O is not starved), then poll the
 * back end, without waiting when fibers are ready still.
 */
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/backend.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { TURNS_MAX = 64 };

void loop_base_init(struct loop *loop, const struct loop_ops *ops, struct sched *sched)
{
    *loop = (struct loop){ .ops = ops, .sched = sched };
}

int loop_new(enum loop_backend backend, struct loop **ret, const char **ret_why)
{
    const char *why = NULL;
    int r = -ERR_NOT_SUPPORTED;

    if (backend == LOOP_AUTO || backend == LOOP_URING) r = loop_uring_new(ret, &why);
    if (backend == LOOP_POSIX || (backend == LOOP_AUTO && r < 0)) r = loop_posix_new(ret);
    if (ret_why) *ret_why = why;
    return r;
}

struct loop *loop_free(struct loop *loop)
{
    if (loop) loop->ops->destroy(loop);
    return NULL;
}

const char *loop_backend_name(const struct loop *loop)
{
    return loop->ops->name;
}

struct sched *loop_sched(struct loop *loop)
{
    return loop->sched;
}

bool loop_is_simulated(const struct loop *loop)
{
    return loop->ops->is_simulated;
}

void **loop_rpc_slot(struct loop *loop)
{
    return &loop->rpc_slot;
}

void **loop_kv_slot(struct loop *loop)
{
    return &loop->kv_slot;
}

int loop_run(struct loop *loop)
{
    while (!loop->is_quitting) {
        sched_run_ready(loop->sched, TURNS_MAX);
        if (loop->is_quitting) break;
        bool is_busy = sched_has_ready(loop->sched);
        loop->ops->poll(loop, is_busy ? 0 : sched_next_timer_ns(loop->sched));
    }
    loop->is_quitting = false;
    return loop->quit_result;
}

void loop_quit(struct loop *loop, int result)
{
    loop->is_quitting = true;
    loop->quit_result = result;
}

struct main_run {
    struct node *node;
    int (*fn)(void *arg);
    void *arg;
    int result;
    bool is_stopped; /* the node too */
    struct event ended;
};

static int main_fiber(void *arg) fiber_fn
{
    struct main_run *run = arg;
    run->result = run->fn(run->arg);
    event_set(&run->ended, 0);
    return 0;
}

/* Outside of the node's scope, so that it can stop the node. */
static int main_runner(void *arg) fiber_fn
{
    struct main_run *run = arg;
    run->result = fiber_spawn(&run->node->scope, "main", main_fiber, run);
    if (run->result >= 0) {
        FIBER_SHIELD();
        int r = event_wait(&run->ended, "main");
        check(r == 0);
    }
    node_stop(run->node);
    run->is_stopped = true;
    loop_quit(run->node->loop, run->result);
    return 0;
}

int loop_run_main(struct loop *loop, struct node *node, int (*main_fn)(void *arg), void *arg)
{
    struct main_run run = { .node = node, .fn = main_fn, .arg = arg };
    struct scope scope;

    event_init(&run.ended);
    scope_init(&scope, loop->sched);
    int r = fiber_spawn(&scope, "main runner", main_runner, &run);
    if (r < 0) return r;
    r = loop_run(loop);
    while (!run.is_stopped) { /* somebody else called loop_quit() */
        scope_cancel(&node->scope);
        loop_run(loop);
    }
    return r;
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    loop->ops->post(loop, fn, arg);
}

int blocking_run(struct node *node, int (*fn)(void *arg), void *arg)
{
    return node->loop->ops->blocking_run(node, fn, arg);
}

int fd_wait(struct node *node, int fd, int events)
{
    const struct loop_ops *ops = node->loop->ops;
    return ops->fd_wait ? ops->fd_wait(node, fd, events) : -ERR_NOT_SUPPORTED;
}

int signal_wait(struct node *node, const int *signals, size_t count)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++) {
        if (sigaddset(&set, signals[i]) < 0) return -ERR_INVALID_ARG;
    }
    if (!node->loop->ops->fd_wait) return -ERR_NOT_SUPPORTED;

    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) return error_from_errno(errno);
    struct signalfd_siginfo info;
    int r;
    for (;;) {
        ssize_t n = read(fd, &info, sizeof(info));
        if (n == (ssize_t)sizeof(info)) {
            r = (int)info.ssi_signo;
            break;
        }
        r = n < 0 && errno != EAGAIN ? error_from_errno(errno) : fd_wait(node, fd, POLLIN);
        if (r < 0) break;
    }
    close(fd);
    return r;
}
