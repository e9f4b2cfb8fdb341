/* uring.c - the io_uring back end: disk requests, socket reads and polls are entries of one ring.
 *
 * A request is a struct request on its fiber's stack; the kernel may hold its memory until the
 * completion has come, so a fiber whose deadline or cancellation comes first submits ASYNC_CANCEL
 * and waits for the original completion all the same; what completed in the race wins. Entries are
 * submitted in batches, once a turn of the loop. The ring is enabled by the thread that polls
 * first: it must be the only one (SINGLE_ISSUER).
 */
#include "base/arena.h"
#include "base/check.h"
#include "loop/real.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SQ_ENTRIES = 512, CQ_ENTRIES = 4096 };

/* user_data of completions that belong to no request. */
enum { TAG_IGNORE = 0, TAG_INBOX = 1 };

struct uring_loop {
    struct real_loop real;
    struct io_uring ring;
    bool is_enabled;
    bool has_poll_first; /* IORING_RECVSEND_POLL_FIRST */
    bool is_inbox_armed; /* a poll of the inbox's event_fd is with the kernel */
};

struct request {
    struct uring_loop *loop;
    struct fiber *fiber;
    int result;
};

static struct uring_loop *uring_of(struct real_loop *loop)
{
    return container_of(loop, struct uring_loop, real);
}

static struct uring_loop *uring_of_node(const struct node *node)
{
    return uring_of(real_loop_of(node));
}

/* ---- completions ---- */

static void handle_completion(struct uring_loop *loop, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == TAG_IGNORE) return;
    if (cqe->user_data == TAG_INBOX) {
        inbox_clear_event(&loop->real.inbox);
        loop->is_inbox_armed = false;
        return;
    }
    struct request *request = (struct request *)(uintptr_t)cqe->user_data;
    request->result = cqe->res;
    fiber_wake(request->fiber);
}

/* Takes what has completed. */
static void reap(struct uring_loop *loop)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&loop->ring, head, cqe)
    {
        handle_completion(loop, cqe);
        count++;
    }
    io_uring_cq_advance(&loop->ring, count);
}

static void enable(struct uring_loop *loop)
{
    /* io_uring_enable_rings() is missing from the symbols of liburing 2.3. */
    long result =
        syscall(__NR_io_uring_register, loop->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    check(result == 0);
    loop->is_enabled = true;
    int r = io_uring_register_ring_fd(&loop->ring);
    (void)r; /* saves a look-up per system call, where the kernel has it */
}

/* A free entry; when the queue is full, what is in it goes to the kernel first. */
static struct io_uring_sqe *entry_get(struct uring_loop *loop)
{
    struct io_uring_sqe *sqe;
    if (!loop->is_enabled) enable(loop);
    while (!(sqe = io_uring_get_sqe(&loop->ring))) {
        int n = io_uring_submit(&loop->ring);
        check(n >= 0 || n == -EAGAIN || n == -EBUSY || n == -EINTR);
        if (n < 0) reap(loop);
    }
    return sqe;
}

static void inbox_arm(struct uring_loop *loop)
{
    struct io_uring_sqe *sqe = entry_get(loop);
    io_uring_prep_poll_add(sqe, loop->real.inbox.event_fd, POLLIN);
    sqe->user_data = TAG_INBOX;
    loop->is_inbox_armed = true;
}

/* ---- requests ---- */

static void request_cancel(void *arg)
{
    struct request *request = arg;
    struct io_uring_sqe *sqe = entry_get(request->loop);
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)request, 0);
    sqe->user_data = TAG_IGNORE;
}

/* Waits for the completion of @sqe, prepared by the caller; its result or a negative error. */
static int request_run(struct uring_loop *loop, struct io_uring_sqe *sqe, const char *what)
{
    struct request request = { .loop = loop, .fiber = fiber_self() };
    sqe->user_data = (uint64_t)(uintptr_t)&request;
    fiber_wait_io(what, request_cancel, &request);
    if (request.result >= 0) return request.result;
    bool is_ended_early = request.result == -ECANCELED || request.result == -EINTR;
    int r = is_ended_early ? fiber_interruption() : 0;
    return r < 0 ? r : error_from_errno(-request.result);
}

/* ---- sockets ---- */

static int uring_sock_add(struct real_loop *loop, struct sock *sock)
{
    return 0;
}

static void uring_sock_remove(struct real_loop *loop, struct sock *sock)
{
}

/* The shutdown() of the caller ends every poll and receive. */
static void uring_sock_wake(struct real_loop *loop, struct sock *sock)
{
}

static int poll_fd(struct uring_loop *loop, int fd, int events, const char *what)
{
    int r = fiber_interruption();
    if (r < 0) return r;
    struct io_uring_sqe *sqe = entry_get(loop);
    io_uring_prep_poll_add(sqe, fd, (unsigned)events);
    r = request_run(loop, sqe, what);
    return r < 0 ? r : 0;
}

static int uring_sock_wait(struct real_loop *loop, struct sock *sock, int events)
{
    return poll_fd(uring_of(loop), sock->fd, events,
                   events & POLLIN ? "socket read" : "socket write");
}

static ssize_t uring_sock_receive(struct real_loop *base, struct sock *sock,
                                  const struct iovec *iov, int count)
{
    struct uring_loop *loop = uring_of(base);
    ssize_t n = sock->is_readable ? sock_receive_now(sock, iov, count) : -ERR_BUSY;
    if (n != -ERR_BUSY) return n;
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov,
                              .msg_iovlen = (size_t)count };
    struct io_uring_sqe *sqe = entry_get(loop);
    if (count == 1) {
        io_uring_prep_recv(sqe, sock->fd, iov->iov_base, iov->iov_len, 0);
    } else {
        io_uring_prep_recvmsg(sqe, sock->fd, &message, 0);
    }
    /* The socket is known to be empty: no first try that fails. */
    if (loop->has_poll_first) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    int r = request_run(loop, sqe, "socket read");
    if (r == -ERR_CANCELED || r == -ERR_TIMEOUT) return r;
    if (r < 0) return -ERR_RPC_SOCKET_CLOSED;
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += iov[i].iov_len;
    }
    sock->is_readable = (size_t)r == size;
    return r;
}

static const struct real_ops uring_real_ops = {
    .sock_add = uring_sock_add,
    .sock_remove = uring_sock_remove,
    .sock_wait = uring_sock_wait,
    .sock_receive = uring_sock_receive,
    .sock_wake = uring_sock_wake,
};

static int uring_fd_wait(struct node *node, int fd, int events)
{
    return poll_fd(uring_of_node(node), fd, events, "descriptor");
}

/* ---- files ---- */

static ssize_t uring_file_readv(struct file *base, const struct iovec *iov, int count,
                                uint64_t offset)
{
    struct real_file *file = container_of(base, struct real_file, base);
    int r = fiber_interruption();
    if (r < 0) return r;
    ssize_t n = real_file_read_now(file, iov, count, offset);
    if (n != -ERR_BUSY) return n;
    r = real_file_check_offset(file, offset);
    if (r <= 0) return r;
    struct uring_loop *loop = uring_of_node(base->node);
    struct io_uring_sqe *sqe = entry_get(loop);
    io_uring_prep_readv(sqe, file->fd, iov, (unsigned)count, offset);
    return request_run(loop, sqe, "file read");
}

static ssize_t uring_file_writev(struct file *base, const struct iovec *iov, int count,
                                 uint64_t offset)
{
    struct real_file *file = container_of(base, struct real_file, base);
    int r = fiber_interruption();
    if (r < 0) return r;
    ssize_t n = real_file_write_now(file, iov, count, offset);
    if (n != -ERR_BUSY) return n;
    struct uring_loop *loop = uring_of_node(base->node);
    struct io_uring_sqe *sqe = entry_get(loop);
    io_uring_prep_writev(sqe, file->fd, iov, (unsigned)count, offset);
    return request_run(loop, sqe, "file write");
}

static ssize_t uring_file_writev_durable(struct file *base, const struct iovec *iov, int count,
                                         uint64_t offset)
{
    int r = fiber_interruption();
    if (r < 0) return r;
    struct uring_loop *loop = uring_of_node(base->node);
    struct io_uring_sqe *sqe = entry_get(loop);
    io_uring_prep_writev2(sqe, container_of(base, struct real_file, base)->fd, iov, (unsigned)count,
                          offset, RWF_DSYNC);
    return request_run(loop, sqe, "file write");
}

static int uring_file_sync(struct file *base)
{
    int r = fiber_interruption();
    if (r < 0) return r;
    struct uring_loop *loop = uring_of_node(base->node);
    struct io_uring_sqe *sqe = entry_get(loop);
    io_uring_prep_fsync(sqe, container_of(base, struct real_file, base)->fd, IORING_FSYNC_DATASYNC);
    return request_run(loop, sqe, "file sync");
}

static int file_fallocate(struct file *base, int mode, uint64_t offset, uint64_t size)
{
    int r = fiber_interruption();
    if (r < 0) return r;
    struct uring_loop *loop = uring_of_node(base->node);
    struct io_uring_sqe *sqe = entry_get(loop);
    io_uring_prep_fallocate(sqe, container_of(base, struct real_file, base)->fd, mode,
                            (off_t)offset, (off_t)size);
    return request_run(loop, sqe, "file allocate");
}

static int uring_file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    return file_fallocate(file, 0, offset, size);
}

static int uring_file_punch_hole(struct file *file, uint64_t offset, uint64_t size)
{
    return file_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

/* ---- the loop ---- */

static void submit_and_wait(struct uring_loop *loop, uint64_t timeout_ns)
{
    struct io_uring_cqe *cqe;
    int r;
    if (timeout_ns == 0) {
        bool has_work = io_uring_sq_ready(&loop->ring) > 0 ||
                        io_uring_cq_has_overflow(&loop->ring) ||
                        (IO_URING_READ_ONCE(*loop->ring.sq.kflags) & IORING_SQ_TASKRUN);
        if (!has_work) return;
        r = io_uring_submit_and_get_events(&loop->ring);
    } else if (timeout_ns == TIME_NEVER) {
        r = io_uring_submit_and_wait(&loop->ring, 1);
    } else {
        struct __kernel_timespec ts = { (long long)(timeout_ns / SEC),
                                        (long long)(timeout_ns % SEC) };
        r = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &ts, NULL);
    }
    check(r >= 0 || r == -ETIME || r == -EINTR || r == -EAGAIN || r == -EBUSY);
}

static void uring_poll(struct loop *base, uint64_t until_ns)
{
    struct uring_loop *loop = container_of(base, struct uring_loop, real.base);
    struct inbox *inbox = &loop->real.inbox;
    uint64_t timeout_ns = until_ns;

    if (!loop->is_inbox_armed) inbox_arm(loop);
    if (until_ns != TIME_NEVER && until_ns != 0) {
        uint64_t now = real_now_ns(NULL);
        timeout_ns = until_ns > now ? until_ns - now : 0;
    }
    if (timeout_ns > 0 && !inbox_sleep(inbox)) timeout_ns = 0;
    real_charge_reset(&loop->real);
    submit_and_wait(loop, timeout_ns);
    inbox_awake(inbox);
    reap(loop);
    inbox_drain(inbox);
}

static void uring_destroy(struct loop *base)
{
    struct uring_loop *loop = container_of(base, struct uring_loop, real.base);
    io_uring_queue_exit(&loop->ring);
    real_loop_done(&loop->real);
    free(loop);
}

static const struct loop_ops uring_ops = {
    .name = "uring",
    .destroy = uring_destroy,
    .poll = uring_poll,
    .fd_wait = uring_fd_wait,
    .file_readv = uring_file_readv,
    .file_writev = uring_file_writev,
    .file_writev_durable = uring_file_writev_durable,
    .file_sync = uring_file_sync,
    .file_allocate = uring_file_allocate,
    .file_punch_hole = uring_file_punch_hole,
    REAL_LOOP_OPS,
};

/* ---- what this kernel can do ---- */

static bool has_opcodes(struct io_uring *ring)
{
    static const int needed[] = { IORING_OP_READV,       IORING_OP_WRITEV,  IORING_OP_FSYNC,
                                  IORING_OP_FALLOCATE,   IORING_OP_RECVMSG, IORING_OP_POLL_ADD,
                                  IORING_OP_ASYNC_CANCEL };
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool has_all = probe != NULL;
    for (size_t i = 0; has_all && i < ARRAY_SIZE(needed); i++) {
        has_all = io_uring_opcode_supported(probe, needed[i]);
    }
    if (probe) io_uring_free_probe(probe);
    return has_all;
}

/* The best flags that the kernel takes, best first. */
static int ring_init(struct io_uring *ring)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int r = -EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(flags) && r == -EINVAL; i++) {
        struct io_uring_params params = { .cq_entries = CQ_ENTRIES };
        params.flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED;
        r = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
    }
    return r;
}

static const char *why_not(int eno)
{
    switch (eno) {
    case ENOSYS: return "the kernel, or a seccomp profile, has no io_uring";
    case EPERM:
    case EACCES: return "io_uring is forbidden here (seccomp or kernel.io_uring_disabled)";
    case ENOMEM: return "io_uring may not lock enough memory (RLIMIT_MEMLOCK)";
    case EMFILE:
    case ENFILE: return "no descriptor is left for io_uring";
    default: return "io_uring cannot be set up";
    }
}

int loop_uring_new(struct loop **ret, const char **ret_why)
{
    struct uring_loop *loop = new_zero(struct uring_loop);
    int r = ring_init(&loop->ring);
    if (r < 0) {
        *ret_why = why_not(-r);
        free(loop);
        return error_from_errno(-r);
    }
    unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE;
    if ((loop->ring.features & needed) != needed || !has_opcodes(&loop->ring)) {
        *ret_why = "this kernel's io_uring is too old";
        io_uring_queue_exit(&loop->ring);
        free(loop);
        return error_from_errno(ENOSYS);
    }
    r = real_loop_init(&loop->real, &uring_ops, &uring_real_ops);
    if (r < 0) {
        *ret_why = "no descriptor is left";
        io_uring_queue_exit(&loop->ring);
        free(loop);
        return r;
    }
    loop->has_poll_first = loop->ring.flags & IORING_SETUP_SINGLE_ISSUER; /* one release younger */
    *ret = &loop->real.base;
    return 0;
}
