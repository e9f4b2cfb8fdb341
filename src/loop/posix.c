/* posix.c - the back end for everywhere: epoll for descriptors, helper threads for disks.
 *
 * Sockets are registered once, edge-triggered; an edge sets the socket's flags and wakes its
 * waiters. Foreign descriptors (fd_wait) are armed one-shot for each wait. Reads of cached file
 * data are tried without blocking first: a request that stays on one thread is many times faster
 * than one that visits a helper.
 */
#include "base/arena.h"
#include "base/check.h"
#include "loop/real.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 128 };

/* A descriptor that others own, by number. */
struct foreign {
    struct sock sock;
};

struct posix_loop {
    struct real_loop real;
    int epoll_fd;
    bool lacks_pwait2;
    struct foreign **foreign; /* by descriptor */
    size_t foreign_capacity;
};

struct sock_waiter {
    struct list link;
    struct fiber *fiber;
    int events;
};

static struct posix_loop *posix_of(struct real_loop *loop)
{
    return container_of(loop, struct posix_loop, real);
}

/* ---- waiting for descriptors ---- */

static void sock_wake_for(struct sock *sock, int events)
{
    list_for_each_safe (it, &sock->waiters) {
        struct sock_waiter *w = list_entry(it, struct sock_waiter, link);
        if (!(w->events & events)) continue;
        list_remove(&w->link);
        fiber_wake(w->fiber);
    }
}

static int posix_sock_wait(struct real_loop *loop, struct sock *sock, int events)
{
    struct sock_waiter self = { .fiber = fiber_self(), .events = events };
    list_push_back(&sock->waiters, &self.link);
    int r = fiber_suspend(events & POLLIN ? "socket read" : "socket write");
    list_remove(&self.link);
    return r;
}

static void posix_sock_wake(struct real_loop *loop, struct sock *sock)
{
    sock_wake_for(sock, POLLIN | POLLOUT);
}

static int posix_sock_add(struct real_loop *loop, struct sock *sock)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = sock };
    int r = epoll_ctl(posix_of(loop)->epoll_fd, EPOLL_CTL_ADD, sock->fd, &event);
    return r < 0 ? error_from_errno(errno) : 0;
}

static void posix_sock_remove(struct real_loop *loop, struct sock *sock)
{
    check(list_empty(&sock->waiters));
    epoll_ctl(posix_of(loop)->epoll_fd, EPOLL_CTL_DEL, sock->fd, NULL);
}

static ssize_t posix_sock_receive(struct real_loop *loop, struct sock *sock,
                                  const struct iovec *iov, int count)
{
    for (;;) {
        ssize_t n = sock->is_readable ? sock_receive_now(sock, iov, count) : -ERR_BUSY;
        if (n != -ERR_BUSY) return n;
        int r = posix_sock_wait(loop, sock, POLLIN);
        if (r < 0) return r;
        sock->is_readable = true;
    }
}

static const struct real_ops posix_real_ops = {
    .sock_add = posix_sock_add,
    .sock_remove = posix_sock_remove,
    .sock_wait = posix_sock_wait,
    .sock_receive = posix_sock_receive,
    .sock_wake = posix_sock_wake,
};

static struct foreign *foreign_of(struct posix_loop *loop, int fd)
{
    size_t index = (size_t)fd;
    if (index >= loop->foreign_capacity) {
        size_t capacity = MAX_OF(index + 1, loop->foreign_capacity * 2);
        loop->foreign = xrealloc(loop->foreign, capacity * sizeof(struct foreign *));
        memset(loop->foreign + loop->foreign_capacity, 0,
               (capacity - loop->foreign_capacity) * sizeof(struct foreign *));
        loop->foreign_capacity = capacity;
    }
    if (!loop->foreign[index]) {
        struct foreign *foreign = new_zero(struct foreign);
        foreign->sock.fd = fd;
        foreign->sock.is_one_shot = true;
        list_init(&foreign->sock.waiters);
        loop->foreign[index] = foreign;
    }
    return loop->foreign[index];
}

/* Arms for what all its waiters want; 1 when the descriptor is of a kind that is always ready. */
static int foreign_arm(struct posix_loop *loop, struct foreign *foreign, int events)
{
    list_for_each_safe (it, &foreign->sock.waiters) {
        events |= list_entry(it, struct sock_waiter, link)->events;
    }
    struct epoll_event event = { .events = EPOLLONESHOT, .data.ptr = &foreign->sock };
    if (events & POLLIN) event.events |= EPOLLIN | EPOLLRDHUP;
    if (events & POLLOUT) event.events |= EPOLLOUT;
    int fd = foreign->sock.fd;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0) return 0;
    if (errno == ENOENT && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return 0;
    return errno == EPERM ? 1 : error_from_errno(errno);
}

static void handle_event(struct posix_loop *loop, const struct epoll_event *event)
{
    struct sock *sock = event->data.ptr;
    int events = 0;
    if (event->events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
        sock->is_hung_up = true;
        events |= POLLIN;
    }
    if (event->events & (EPOLLHUP | EPOLLERR)) events |= POLLOUT;
    if (event->events & EPOLLIN) events |= POLLIN;
    if (event->events & EPOLLOUT) events |= POLLOUT;
    sock->is_readable = sock->is_readable || (events & POLLIN);
    sock->is_writable = sock->is_writable || (events & POLLOUT);
    sock_wake_for(sock, events);
    /* Waiters for the other direction: any event has disarmed it. */
    bool is_wanted = sock->is_one_shot && !list_empty(&sock->waiters);
    if (is_wanted) foreign_arm(loop, container_of(sock, struct foreign, sock), 0);
}

static int posix_fd_wait(struct node *node, int fd, int events)
{
    struct real_loop *loop = real_loop_of(node);
    if (fd < 0) return error_from_errno(EBADF);
    struct foreign *foreign = foreign_of(posix_of(loop), fd);
    int r = foreign_arm(posix_of(loop), foreign, events);
    if (r < 0) return r;
    return r == 1 ? 0 : posix_sock_wait(loop, &foreign->sock, events);
}

/* ---- the loop ---- */

static int wait_events(struct posix_loop *loop, struct epoll_event *events, uint64_t timeout_ns)
{
    if (!loop->lacks_pwait2) {
        struct timespec ts = { (time_t)(timeout_ns / SEC), (long)(timeout_ns % SEC) };
        int n = epoll_pwait2(loop->epoll_fd, events, EVENTS_MAX,
                             timeout_ns == TIME_NEVER ? NULL : &ts, NULL);
        /* An old seccomp profile answers EPERM to calls that it does not know. */
        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
        loop->lacks_pwait2 = true;
    }
    uint64_t ms = timeout_ns / MSEC + (timeout_ns % MSEC != 0);
    return epoll_wait(loop->epoll_fd, events, EVENTS_MAX,
                      timeout_ns == TIME_NEVER ? -1 : (int)MIN_OF(ms, (uint64_t)INT32_MAX));
}

static void posix_poll(struct loop *base, uint64_t until_ns)
{
    struct posix_loop *loop = container_of(base, struct posix_loop, real.base);
    struct inbox *inbox = &loop->real.inbox;
    struct epoll_event events[EVENTS_MAX];
    uint64_t timeout_ns = until_ns;

    if (until_ns != TIME_NEVER && until_ns != 0) {
        uint64_t now = real_now_ns(NULL);
        timeout_ns = until_ns > now ? until_ns - now : 0;
    }
    if (timeout_ns > 0 && !inbox_sleep(inbox)) timeout_ns = 0;
    real_charge_reset(&loop->real);
    int n = wait_events(loop, events, timeout_ns);
    check(n >= 0 || errno == EINTR);
    inbox_awake(inbox);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) {
            handle_event(loop, &events[i]);
        } else {
            inbox_clear_event(inbox);
        }
    }
    inbox_drain(inbox);
}

static void posix_destroy(struct loop *base)
{
    struct posix_loop *loop = container_of(base, struct posix_loop, real.base);
    real_loop_done(&loop->real);
    for (size_t i = 0; i < loop->foreign_capacity; i++) {
        free(loop->foreign[i]);
    }
    free(loop->foreign);
    close(loop->epoll_fd);
    free(loop);
}

/* ---- files ---- */

struct transfer {
    int fd;
    const struct iovec *iov;
    int count;
    uint64_t offset, size;
};

static int64_t result_of(ssize_t n)
{
    return n < 0 ? error_from_errno(errno) : n;
}

static int64_t do_read(void *arg)
{
    const struct transfer *t = arg;
    return result_of(preadv(t->fd, t->iov, t->count, (off_t)t->offset));
}

static int64_t do_write(void *arg)
{
    const struct transfer *t = arg;
    return result_of(pwritev(t->fd, t->iov, t->count, (off_t)t->offset));
}

static int64_t do_write_durable(void *arg)
{
    const struct transfer *t = arg;
    return result_of(pwritev2(t->fd, t->iov, t->count, (off_t)t->offset, RWF_DSYNC));
}

static int64_t do_sync(void *arg)
{
    const struct transfer *t = arg;
    return result_of(fdatasync(t->fd));
}

static int64_t do_allocate(void *arg)
{
    const struct transfer *t = arg;
    return result_of(fallocate(t->fd, 0, (off_t)t->offset, (off_t)t->size));
}

static int64_t do_punch_hole(void *arg)
{
    const struct transfer *t = arg;
    return result_of(fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)t->offset,
                               (off_t)t->size));
}

static int64_t run_transfer(struct file *base, const char *what, int64_t (*fn)(void *arg),
                            struct transfer *transfer)
{
    struct real_file *file = container_of(base, struct real_file, base);
    transfer->fd = file->fd;
    return pool_run(file->pool, what, fn, transfer);
}

static ssize_t posix_file_readv(struct file *base, const struct iovec *iov, int count,
                                uint64_t offset)
{
    struct real_file *file = container_of(base, struct real_file, base);
    int r = fiber_interruption();
    if (r < 0) return r;
    ssize_t n = real_file_read_now(file, iov, count, offset);
    if (n != -ERR_BUSY) return n;
    r = real_file_check_offset(file, offset);
    if (r <= 0) return r;
    struct transfer transfer = { .iov = iov, .count = count, .offset = offset };
    return run_transfer(base, "file read", do_read, &transfer);
}

static ssize_t posix_file_writev(struct file *base, const struct iovec *iov, int count,
                                 uint64_t offset)
{
    struct real_file *file = container_of(base, struct real_file, base);
    int r = fiber_interruption();
    if (r < 0) return r;
    ssize_t n = real_file_write_now(file, iov, count, offset);
    if (n != -ERR_BUSY) return n;
    struct transfer transfer = { .iov = iov, .count = count, .offset = offset };
    return run_transfer(base, "file write", do_write, &transfer);
}

static ssize_t posix_file_writev_durable(struct file *base, const struct iovec *iov, int count,
                                         uint64_t offset)
{
    struct transfer transfer = { .iov = iov, .count = count, .offset = offset };
    return run_transfer(base, "file write", do_write_durable, &transfer);
}

static int posix_file_sync(struct file *base)
{
    struct transfer transfer = { 0 };
    return (int)run_transfer(base, "file sync", do_sync, &transfer);
}

static int posix_file_allocate(struct file *base, uint64_t offset, uint64_t size)
{
    struct transfer transfer = { .offset = offset, .size = size };
    return (int)run_transfer(base, "file allocate", do_allocate, &transfer);
}

static int posix_file_punch_hole(struct file *base, uint64_t offset, uint64_t size)
{
    struct transfer transfer = { .offset = offset, .size = size };
    return (int)run_transfer(base, "file punch", do_punch_hole, &transfer);
}

static const struct loop_ops posix_ops = {
    .name = "posix",
    .destroy = posix_destroy,
    .poll = posix_poll,
    .fd_wait = posix_fd_wait,
    .file_readv = posix_file_readv,
    .file_writev = posix_file_writev,
    .file_writev_durable = posix_file_writev_durable,
    .file_sync = posix_file_sync,
    .file_allocate = posix_file_allocate,
    .file_punch_hole = posix_file_punch_hole,
    REAL_LOOP_OPS,
};

int loop_posix_new(struct loop **ret)
{
    struct posix_loop *loop = new_zero(struct posix_loop);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return error_from_errno(errno);
    }
    int r = real_loop_init(&loop->real, &posix_ops, &posix_real_ops);
    if (r < 0) {
        close(loop->epoll_fd);
        free(loop);
        return r;
    }
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->real.inbox.event_fd, &event);
    if (r < 0) {
        r = error_from_errno(errno);
        posix_destroy(&loop->real.base);
        return r;
    }
    *ret = &loop->real.base;
    return 0;
}
