/* backend.h - what a back end of the loop implements; private to src/loop.
 *
 * Code above the seam calls the front doors (loop.h, node.h, file.h, net.h); they do what is common
 * to all back ends (arguments, whole transfers from partial ones, life cycle of listeners, composed
 * operations) and call one table of functions for the rest. A back end embeds struct loop, struct
 * file, struct listener and struct stream as first members of its own and fills the base parts
 * before it hands the object out.
 *
 * Rules for every operation below:
 *  - results are 0 or more, or a negative error (error_from_errno() for system errors);
 *  - `fiber_fn` ones may suspend, end at the fiber's deadline with -ERR_TIMEOUT and on cancellation
 * with -ERR_CANCELED, and return only when nothing refers to the caller's memory any more;
 *  - ret_* are written only on success.
 */
#pragma once
#include "loop/file.h"
#include "loop/loop.h"
#include "loop/net.h"
#include "loop/node.h"

struct loop_ops;

/* Base part of a loop. The back end's constructor makes @sched and sets @ops; the front door does
 * the rest. */
struct loop {
    const struct loop_ops *ops;
    struct sched *sched;
    bool is_quitting; /* loop_quit() was called: loop_run() returns @quit_result after this turn */
    int quit_result;
    void *rpc_slot; /* see loop_rpc_slot() */
    void *kv_slot;  /* see loop_kv_slot() */
};

struct file {
    struct node *node;
};

struct listener {
    struct node *node;
    struct net_address address; /* with the real port; set by ops->listen */
    uint32_t accepting_count;   /* front door: fibers inside listener_accept() */
    bool is_closed;             /* front door: set before ops->listener_stop() */
};

enum { PEER_TEXT_SIZE = 256 };

struct stream {
    struct node *node;
    bool is_reading, is_writing; /* front door: one reader and one writer at a time */
    bool is_shut; /* front door: set before ops->stream_shutdown(); no operation is called after */
    char peer[PEER_TEXT_SIZE]; /* set by ops->accept and ops->connect */
};

struct loop_ops {
    const char *name; /* "uring", "posix", "sim" */
    bool is_simulated;

    /* ---- the loop ---- */

    /* Frees all, the sched too. No fiber is left. */
    void (*destroy)(struct loop *loop);
    /* Submits what was prepared, waits until @until_ns of scheduler time (0: do not wait;
     * TIME_NEVER: no limit) or until something happened, and wakes the fibers concerned; then
     * returns. Runs no fiber itself. */
    void (*poll)(struct loop *loop, uint64_t until_ns);
    /* See loop_post(): from any thread; makes a waiting poll() return. */
    void (*post)(struct loop *loop, void (*fn)(void *arg), void *arg);

    /* ---- nodes; the first three may be NULL ---- */

    void (*node_added)(struct node *node);   /* at the end of node_new() */
    void (*node_removed)(struct node *node); /* at the start of node_free() */
    bool (*is_up)(const struct node *node);  /* NULL: always */
    uint64_t (*now_ns)(struct node *node);
    uint64_t (*wall_ns)(struct node *node);
    void (*random_bytes)(struct node *node, void *buf, size_t size);
    int (*blocking_run)(struct node *node, int (*fn)(void *arg), void *arg) fiber_fn;

    /* ---- descriptors and signals: NULL where the back end has none (sim) ---- */

    int (*fd_wait)(struct node *node, int fd, int events) fiber_fn;

    /* ---- files. Transfers may be short for any reason: the front door goes on; 0 bytes read is
     * the end ---- */

    int (*file_open)(struct node *node, const char *path, int flags, mode_t mode,
                     struct file **ret) fiber_fn;
    void (*file_close)(struct file *file); /* frees */
    ssize_t (*file_readv)(struct file *file, const struct iovec *iov, int count,
                          uint64_t offset) fiber_fn;
    ssize_t (*file_writev)(struct file *file, const struct iovec *iov, int count,
                           uint64_t offset) fiber_fn;
    /* Like file_writev, and what it wrote is durable; NULL: file_writev and file_sync. */
    ssize_t (*file_writev_durable)(struct file *file, const struct iovec *iov, int count,
                                   uint64_t offset) fiber_fn;
    int (*file_sync)(struct file *file) fiber_fn;
    int (*file_truncate)(struct file *file, uint64_t size) fiber_fn;
    int (*file_allocate)(struct file *file, uint64_t offset, uint64_t size) fiber_fn;
    int (*file_punch_hole)(struct file *file, uint64_t offset, uint64_t size) fiber_fn;
    int (*file_size)(struct file *file, uint64_t *ret_bytes);
    int (*file_try_lock)(struct file *file);

    /* ---- paths ---- */

    int (*dir_make)(struct node *node, const char *path,
                    mode_t mode) fiber_fn; /* 0 also if present */
    int (*dir_sync)(struct node *node, const char *path) fiber_fn;
    /* Unsorted; the front door sorts. */
    int (*dir_list)(struct node *node, const char *path, char ***ret_names,
                    size_t *ret_count) fiber_fn;
    int (*path_rename)(struct node *node, const char *from, const char *to) fiber_fn;
    int (*path_unlink)(struct node *node, const char *path) fiber_fn;
    bool (*path_exists)(struct node *node, const char *path) fiber_fn;
    int (*path_space)(struct node *node, const char *path, struct disk_space *ret) fiber_fn;

    /* ---- streams ---- */

    int (*listen)(struct node *node, const struct net_address *at, struct listener **ret) fiber_fn;
    int (*accept)(struct listener *l, struct stream **ret) fiber_fn;
    /* Every fiber inside accept returns -ERR_CANCELED soon; later connects are refused. */
    void (*listener_stop)(struct listener *l);
    void (*listener_free)(struct listener *l); /* stopped before; no fiber is inside */
    int (*connect)(struct node *node, const struct net_address *to, struct stream **ret) fiber_fn;
    /* At least one byte, 0 at the end of the stream, -ERR_RPC_SOCKET_CLOSED when it is broken. */
    ssize_t (*stream_readv)(struct stream *s, const struct iovec *iov, int count) fiber_fn;
    /* At least one byte. */
    ssize_t (*stream_writev)(struct stream *s, const struct iovec *iov, int count) fiber_fn;
    /* A fiber inside readv or writev returns -ERR_RPC_SOCKET_CLOSED soon. */
    void (*stream_shutdown)(struct stream *s);
    void (*stream_close)(struct stream *s); /* frees */
    int (*stream_peer_credentials)(const struct stream *s, int *ret_pid, unsigned *ret_uid);
};

/* Front door's part of a back end's constructor and destructor. */
void loop_base_init(struct loop *loop, const struct loop_ops *ops, struct sched *sched);

/* Constructors of the real back ends. */
int loop_posix_new(struct loop **ret) must_check;
int loop_uring_new(struct loop **ret,
                   const char **ret_why) must_check; /* *ret_why: set on failure */
