/* sim_internal.h - inside the simulated world; private to src/loop/sim*.c.
 *
 *   sim.c          the world: events in order of (time, sequence), the run loop, the trace
 *   sim_machine.c  machines, clocks, freeze, crash; operations that take time
 *   sim_file.c     files and paths: delays and errors on top of sim_disk
 *   sim_net.c      streams: two directed pipes of segments; stalls and resets
 *   sim_repeat.c   messages on streams that come twice or late
 *   sim_listen.c   listeners and connecting
 *
 * Everything happens either in an event (outside of fibers) or in a fiber's call. An object that a
 * fiber can hold (file, listener, stream) remembers the boot of its machine: after a crash it does
 * nothing any more.
 */
#pragma once
#include "loop/backend.h"
#include "loop/sim.h"
#include "loop/sim_disk.h"
#include "loop/sim_random.h"

/* ---- events ---- */

struct sim_event {
    uint64_t at_ns, sequence;
    size_t heap_index; /* 0: not scheduled; else one more than its place */
    void (*fn)(struct sim_event *event);
};

struct sim {
    struct loop base;
    struct sim_options options;
    struct sim_random random;
    uint64_t now_ns;
    uint64_t event_sequence, event_count;
    struct sim_event **heap;
    size_t heap_count, heap_capacity;
    uint64_t trace_hash;
    struct list machines; /* in order of creation */
    uint32_t machine_count, link_count, pid_last;
    bool is_leaking;                   /* a run was broken off and fibers are left */
    const struct sim_framing *framing; /* NULL: no message is known */
    uint64_t repeat_count, late_count;
};

/* (Re)schedules at @at_ns, or now if that is past. Events of one time run in the order of these
 * calls. */
void sim_event_set(struct sim *sim, struct sim_event *event, uint64_t at_ns);
void sim_event_clear(struct sim *sim, struct sim_event *event);
static inline bool sim_event_is_set(const struct sim_event *event)
{
    return event->heap_index != 0;
}

/* What happened, for the hash and the text trace. @machine may be NULL. @kind is a literal. */
void sim_trace(struct sim *sim, const char *kind, const struct machine *machine, uint64_t object,
               uint64_t size, uint32_t crc);
uint32_t sim_crc_iov(const struct iovec *iov, int count, size_t size);

/* ---- machines ---- */

struct machine {
    struct list link; /* in sim->machines */
    struct sim *sim;
    uint32_t id; /* 0, 1, … */
    char *host;
    bool is_up;
    bool is_silent; /* down and answering nothing; else the peers of a machine that is down see
                       resets */
    bool is_frozen;
    uint32_t boot;
    struct sim_disk disk;
    struct list nodes;      /* struct sim_node */
    struct list files;      /* struct sim_file, open */
    struct list ops;        /* struct sim_op, pending */
    struct list waits;      /* struct sim_wait */
    struct list listeners;  /* struct sim_listener */
    struct list ends;       /* struct sim_end, owned */
    struct list parked;     /* struct sim_op that wait for the thaw */
    bool *cut_to;           /* by machine id */
    uint32_t cut_count;     /* size of cut_to */
    uint64_t sent_until_ns; /* when its network card is free again */
    uint16_t port_last;
    /* clocks: machine time = clock_base + elapsed world time since clock_since, drifting */
    uint64_t clock_since_ns, clock_base_ns;
    int32_t drift_ppm;
    int64_t wall_offset_ns;
};

struct sim_node {
    struct list link;
    struct node *node;
    uint32_t pid;
};

void sim_machine_free(struct machine *m);
static inline bool sim_machine_is_at(const struct machine *m, uint32_t boot)
{
    return m->is_up && m->boot == boot;
}
uint32_t sim_node_pid(const struct node *node);
/* True when bytes from @from do not reach @to now: cut, or @to is down and silent. */
bool sim_path_is_dead(const struct machine *from, const struct machine *to);
/* One way, without bandwidth. */
uint64_t sim_path_delay_ns(const struct machine *from, const struct machine *to);
/* Loop operations of machines. */
uint64_t sim_now_of_node(struct node *node);
uint64_t sim_wall_of_node(struct node *node);
void sim_random_of_node(struct node *node, void *buf, size_t size);
int sim_blocking_run(struct node *node, int (*fn)(void *arg), void *arg) fiber_fn;
void sim_node_added(struct node *node);
bool sim_node_is_up(const struct node *node);
void sim_node_removed(struct node *node);

/* ---- operations that take time ---- */

enum sim_op_flags {
    SIM_OP_AT_END = 1, /* takes effect at the end; without: at the start or the end, by chance */
    SIM_OP_NO_INTERRUPT = 2, /* goes on whatever the fiber's deadline */
    SIM_OP_NEEDS_CPU = 4,    /* does not end while the machine is frozen */
};

/* Lives on the stack of the fiber that waits for it; embedded as first member. */
struct sim_op {
    struct sim_event event;
    struct list link; /* in machine->ops or machine->parked */
    struct machine *machine;
    struct fiber *fiber;
    ssize_t (*perform)(struct sim_op *op); /* may be NULL */
    unsigned flags;
    bool is_performed, is_done, is_interrupted;
    ssize_t result;
};

/* Waits @delay_ns and returns what perform() did. -ERR_CANCELED without effect when the machine is
 * down. On interruption the effect may or may not have happened. */
ssize_t sim_op_run(struct sim_op *op, struct machine *m, uint64_t delay_ns,
                   const char *what) fiber_fn;
/* Just passes time on a machine. */
int sim_op_sleep(struct machine *m, uint64_t delay_ns, const char *what) fiber_fn;

/* Waiting for a condition on a machine: woken by fiber_wake() or the crash; check the condition
 * again. */
struct sim_wait {
    struct list link;
    struct fiber *fiber;
};
int sim_wait_on(struct machine *m, const char *what) fiber_fn;

/* ---- files ---- */

struct sim_file {
    struct file base;
    struct list link;
    struct machine *machine;
    struct sim_inode *inode; /* NULL after a crash */
    int flags;
};

int sim_file_open(struct node *node, const char *path, int flags, mode_t mode,
                  struct file **ret) fiber_fn;
void sim_file_close(struct file *file);
/* Lets go of the disk, at a crash. */
void sim_file_detach(struct sim_file *f);
ssize_t sim_file_readv(struct file *file, const struct iovec *iov, int count,
                       uint64_t offset) fiber_fn;
ssize_t sim_file_writev(struct file *file, const struct iovec *iov, int count,
                        uint64_t offset) fiber_fn;
int sim_file_sync(struct file *file) fiber_fn;
int sim_file_truncate(struct file *file, uint64_t size) fiber_fn;
int sim_file_allocate(struct file *file, uint64_t offset, uint64_t size) fiber_fn;
int sim_file_punch_hole(struct file *file, uint64_t offset, uint64_t size) fiber_fn;
int sim_file_size(struct file *file, uint64_t *ret_bytes);
int sim_file_try_lock(struct file *file);

int sim_dir_make(struct node *node, const char *path, mode_t mode) fiber_fn;
int sim_dir_sync(struct node *node, const char *path) fiber_fn;
int sim_dir_list(struct node *node, const char *path, char ***ret_names,
                 size_t *ret_count) fiber_fn;
int sim_path_rename(struct node *node, const char *from, const char *to) fiber_fn;
int sim_path_unlink(struct node *node, const char *path) fiber_fn;
bool sim_path_exists(struct node *node, const char *path) fiber_fn;
int sim_path_space(struct node *node, const char *path, struct disk_space *ret) fiber_fn;

/* ---- network ---- */

/* What is known of the messages that are written to a pipe, and those of them that wait. */
struct sim_follower {
    uint8_t header[SIM_HEADER_BYTES_MAX];
    size_t header_bytes;     /* of the message that is being written; 0: none is */
    uint64_t rest_bytes;     /* of it, when its header is complete */
    struct sim_copy *taking; /* a copy of it in the making */
    struct list copies;      /* struct sim_copy */
    struct sim_event due;    /* of the first of them */
    bool is_lost;            /* these are no messages */
};

void sim_follower_init(struct sim_follower *f, void (*due)(struct sim_event *event));
void sim_follower_done(struct sim_follower *f, struct sim *sim);
void sim_follower_drop(struct sim_follower *f);
/* @bytes are written: takes out what is to come later; returns how many are left. */
size_t sim_follower_pass(struct sim_follower *f, struct sim *sim, uint8_t *bytes, size_t size);
/* The next message that is due by @until_ns and may go between others now; NULL: none. */
const uint8_t *sim_follower_next(struct sim_follower *f, struct sim *sim, uint64_t until_ns,
                                 uint64_t *ret_due_ns, size_t *ret_size);
void sim_follower_took(struct sim_follower *f); /* that one was sent */

/* One end of a link; @in and all that follows describe the pipe towards it. */
struct sim_end {
    struct sim_link *link;
    uint8_t side;
    struct list machine_link; /* in machine->ends while owned */
    struct machine *machine;
    uint32_t boot;
    uint32_t pid;
    bool is_owned;            /* a stream or a backlog refers to it */
    bool is_broken;           /* reads and writes of the owner fail */
    bool keeps_data;          /* broken, but what arrived before may be read first */
    struct list backlog_link; /* in a listener's backlog */
    struct fiber *reader, *writer;

    struct list in_flight; /* struct sim_segment, in order of arrival */
    struct list received;  /* arrived, not read */
    uint64_t window_used;  /* bytes that the sender may not replace yet */
    uint64_t received_bytes;
    uint64_t unacknowledged; /* arrived and read, but the sender does not know */
    bool has_ended;          /* the sender's end of stream arrived */
    uint64_t last_arrival_ns;
    struct sim_event arrival; /* of the first segment in flight */
    struct sim_event retry;   /* while stalled: see net_retry() */
    struct sim_event reset;   /* a reset on its way to this end */
    uint64_t stalled_since_ns, retry_after_ns;
    struct sim_follower follower; /* of what is written to this pipe */
};

struct sim_link {
    struct sim *sim;
    uint32_t id;
    bool is_unix;
    uint16_t client_port;
    struct sim_end ends[2];
};

struct sim_stream {
    struct stream base;
    struct sim_end *end;
};

struct sim_listener {
    struct listener base;
    struct list link; /* in machine->listeners */
    struct machine *machine;
    uint32_t boot;
    struct list backlog; /* struct sim_end, connected and not yet accepted */
    uint32_t backlog_count;
    struct list waits; /* struct accept_wait */
};

struct sim_link *sim_link_new(struct machine *a, struct machine *b, bool is_unix);
/* The owner lets go: the other end sees the end of the stream or a reset. May free the link. */
void sim_end_close(struct sim_end *end);
/* Network part of a crash or kill of @m. */
void sim_net_crash(struct machine *m);
/* Starts to probe idle streams between the two, as keep-alive does. */
void sim_net_probe(struct machine *a, struct machine *b);
void sim_listener_crash(struct machine *m);

int sim_listen(struct node *node, const struct net_address *at, struct listener **ret) fiber_fn;
int sim_accept(struct listener *l, struct stream **ret) fiber_fn;
void sim_listener_stop(struct listener *l);
void sim_listener_free(struct listener *l);
int sim_connect(struct node *node, const struct net_address *to, struct stream **ret) fiber_fn;
ssize_t sim_stream_readv(struct stream *s, const struct iovec *iov, int count) fiber_fn;
ssize_t sim_stream_writev(struct stream *s, const struct iovec *iov, int count) fiber_fn;
void sim_stream_shutdown(struct stream *s);
void sim_stream_close(struct stream *s);
int sim_stream_peer_credentials(const struct stream *s, int *ret_pid, unsigned *ret_uid);
