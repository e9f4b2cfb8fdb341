/* real.h - what the two real back ends (posix, uring) share; private to src/loop.
 *
 *   helper threads --done--> inbox --drained by poll()--> fibers made ready on the loop's thread
 *
 * Everything except the inbox and the pools belongs to the loop's thread. Sockets: the call is
 * tried first, and only what would block waits in the back end's way.
 */
#pragma once
#include "loop/backend.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- inbox: other threads' messages to the loop ---- */

struct inbox_node {
    struct inbox_node *next;
    void (*fn)(struct inbox_node *node); /* called on the loop's thread; owns the node then */
};

/* A lock-free stack that is taken whole and turned round, so that messages come in the order of
 * arrival. */
struct inbox {
    _Atomic(struct inbox_node *) top;
    atomic_bool is_sleeping; /* the loop may be waiting in the kernel: write to the event_fd */
    int event_fd;
};

int inbox_init(struct inbox *inbox) must_check;
void inbox_done(struct inbox *inbox);
void inbox_push(struct inbox *inbox, struct inbox_node *node); /* any thread */
bool inbox_drain(struct inbox *inbox);                         /* false when it was empty */
/* Announces that the loop is going to wait; false when there is something to drain first. */
bool inbox_sleep(struct inbox *inbox);
void inbox_awake(struct inbox *inbox);
void inbox_clear_event(struct inbox *inbox); /* after event_fd was readable */

/* ---- pool: helper threads for calls that block ---- */

struct job {
    struct inbox_node done;
    struct list link;
    struct pool *pool;
    int64_t (*fn)(void *arg);
    void *arg;
    int64_t result;
    struct fiber *fiber;
    bool is_started; /* below pool->lock */
};

struct pool {
    struct inbox *inbox;
    pthread_mutex_t lock;
    pthread_cond_t is_work;
    struct list jobs;
    pthread_t *threads;
    uint32_t thread_count, thread_count_max, idle_count, job_count;
    bool is_stopping;
};

/* Threads are started when they are needed first. */
void pool_init(struct pool *pool, struct inbox *inbox, uint32_t thread_count_max);
void pool_done(struct pool *pool); /* waits for the jobs that run */
/* Runs fn(arg) on a helper thread. A job that no thread has begun ends with the fiber's
 * cancellation or deadline; one that was begun is waited for, since it uses the caller's memory. */
int64_t pool_run(struct pool *pool, const char *what, int64_t (*fn)(void *arg), void *arg) fiber_fn;
/* Queues @job without waiting; job->done.fn is called on the loop's thread after it ran. */
void pool_start(struct pool *pool, struct job *job);

/* ---- loop ---- */

struct sock;
struct real_loop;

/* How a back end waits for sockets; spurious ends of a wait are allowed. */
struct real_ops {
    int (*sock_add)(struct real_loop *loop, struct sock *sock); /* a new descriptor */
    void (*sock_remove)(struct real_loop *loop, struct sock *sock);
    /* Until reading (POLLIN) or writing (POLLOUT) may succeed. 0, -ERR_CANCELED or -ERR_TIMEOUT. */
    int (*sock_wait)(struct real_loop *loop, struct sock *sock, int events) fiber_fn;
    /* As sock_receive_now(), waiting for the first byte. */
    ssize_t (*sock_receive)(struct real_loop *loop, struct sock *sock, const struct iovec *iov,
                            int count) fiber_fn;
    void (*sock_wake)(struct real_loop *loop, struct sock *sock); /* ends all waits */
};

enum {
    RANDOM_BUFFER_BYTES = 512,
    DISK_POOLS =
        /* the first for paths, the others for files by device: a disk that hangs stops its own */
    8,
};

struct real_loop {
    struct loop base;
    const struct real_ops *real;
    struct inbox inbox;
    struct pool disk_pools[DISK_POOLS], blocking_pool;
    uint32_t immediate_count; /* since the last poll: see real_charge() */
    uint64_t immediate_bytes;
    uint8_t random[RANDOM_BUFFER_BYTES];
    size_t random_used;
};

static inline struct real_loop *real_loop_of(const struct node *node)
{
    return container_of(node->loop, struct real_loop, base);
}

int real_loop_init(struct real_loop *loop, const struct loop_ops *ops,
                   const struct real_ops *real) must_check;
void real_loop_done(struct real_loop *loop);
uint64_t real_now_ns(void *unused);

/* Called after each operation that succeeded without waiting, with the bytes that it moved: now and
 * then gives the turn to the others and to poll(), so that a fiber that never has to wait does not
 * starve them. */
void real_charge(struct real_loop *loop, uint64_t bytes) fiber_fn;
/* By poll(). */
static inline void real_charge_reset(struct real_loop *loop)
{
    loop->immediate_count = 0;
    loop->immediate_bytes = 0;
}

void real_post(struct loop *loop, void (*fn)(void *arg), void *arg);
uint64_t real_node_now_ns(struct node *node);
uint64_t real_node_wall_ns(struct node *node);
void real_node_added(struct node *node);
void real_random_bytes(struct node *node, void *buf, size_t size);
int real_blocking_run(struct node *node, int (*fn)(void *arg), void *arg) fiber_fn;

/* ---- files and paths ---- */

struct real_file {
    struct file base;
    int fd;
    struct pool *pool;
    bool is_direct;
    bool can_read_nowait, can_write_nowait; /* RWF_NOWAIT is worth a try */
};

int real_file_open(struct node *node, const char *path, int flags, mode_t mode,
                   struct file **ret) fiber_fn;
void real_file_close(struct file *file);
int real_file_truncate(struct file *file, uint64_t size) fiber_fn;
int real_file_size(struct file *file, uint64_t *ret_bytes);
int real_file_try_lock(struct file *file);
/* 1 when a direct transfer may go on at @offset, 0 at the end of the file, or an error: a short
 * read at the end leaves an offset that the kernel would refuse. */
int real_file_check_offset(const struct real_file *file, uint64_t offset);

/* What the page cache can do at once; -ERR_BUSY: try in the back end's way. */
ssize_t real_file_read_now(struct real_file *file, const struct iovec *iov, int count,
                           uint64_t offset);
ssize_t real_file_write_now(struct real_file *file, const struct iovec *iov, int count,
                            uint64_t offset);

int real_dir_make(struct node *node, const char *path, mode_t mode) fiber_fn;
int real_dir_sync(struct node *node, const char *path) fiber_fn;
int real_dir_list(struct node *node, const char *path, char ***ret_names,
                  size_t *ret_count) fiber_fn;
int real_path_rename(struct node *node, const char *from, const char *to) fiber_fn;
int real_path_unlink(struct node *node, const char *path) fiber_fn;
bool real_path_exists(struct node *node, const char *path) fiber_fn;
int real_path_space(struct node *node, const char *path, struct disk_space *ret) fiber_fn;

/* ---- sockets ---- */

struct sock {
    int fd;
    bool is_readable, is_writable; /* a try may succeed; cleared by what would have blocked */
    bool is_hung_up;               /* the peer ended: reading never blocks again */
    bool is_one_shot;              /* of the posix back end, and the next: a foreign descriptor */
    struct list waiters;
};

int real_listen(struct node *node, const struct net_address *at, struct listener **ret) fiber_fn;
int real_accept(struct listener *l, struct stream **ret) fiber_fn;
void real_listener_stop(struct listener *l);
void real_listener_free(struct listener *l);
int real_connect(struct node *node, const struct net_address *to, struct stream **ret) fiber_fn;
ssize_t real_stream_readv(struct stream *s, const struct iovec *iov, int count) fiber_fn;
ssize_t real_stream_writev(struct stream *s, const struct iovec *iov, int count) fiber_fn;
void real_stream_shutdown(struct stream *s);
void real_stream_close(struct stream *s);
int real_stream_peer_credentials(const struct stream *s, int *ret_pid, unsigned *ret_uid);
/* Bytes, 0 at the end, -ERR_BUSY when it would block, -ERR_RPC_SOCKET_CLOSED. */
ssize_t sock_receive_now(struct sock *sock, const struct iovec *iov, int count);

/* The rows of struct loop_ops that both have. */
#define REAL_LOOP_OPS                                                                              \
    .post = real_post, .now_ns = real_node_now_ns, .wall_ns = real_node_wall_ns,                   \
    .node_added = real_node_added, .random_bytes = real_random_bytes,                              \
    .blocking_run = real_blocking_run, .file_open = real_file_open, .file_close = real_file_close, \
    .file_truncate = real_file_truncate, .file_size = real_file_size,                              \
    .file_try_lock = real_file_try_lock, .dir_make = real_dir_make, .dir_sync = real_dir_sync,     \
    .dir_list = real_dir_list, .path_rename = real_path_rename, .path_unlink = real_path_unlink,   \
    .path_exists = real_path_exists, .path_space = real_path_space, .listen = real_listen,         \
    .accept = real_accept, .listener_stop = real_listener_stop,                                    \
    .listener_free = real_listener_free, .connect = real_connect,                                  \
    .stream_readv = real_stream_readv, .stream_writev = real_stream_writev,                        \
    .stream_shutdown = real_stream_shutdown, .stream_close = real_stream_close,                    \
    .stream_peer_credentials = real_stream_peer_credentials
