/* fleet.h - a whole cluster in the simulator: cluster managers, metadata services, storages,
 * clients of the client library and an administrator, each a machine of its own; and what must hold
 * of them whatever dies.
 *
 *   fleet.c fleet_life.c   building, starting and ending
 *   fleet_file.c           a client's calls, repeated until their outcome is known
 *   fleet_model.c          what one client's own tree must look like
 *   fleet_work.c           operations of a client in its tree, each answer held against the model
 *   fleet_shared.c         operations of all clients in the same directories, and their ledger
 *   fleet_register.c       writes and reads of all clients in one file, and their history
 *   fleet_trouble.c        random faults, several at a time
 *   fleet_plot.c           faults that lead up to one moment
 *   fleet_watch.c          what is looked at all the time: primaries, routing, chains
 *   fleet_check.c fleet_tree.c fleet_chunks.c   what must hold when all is quiet again
 */
#pragma once
#include "client/file_io.h"
#include "client/meta_client.h"
#include "loop/fault.h"
#include "loop/sim_random.h"
#include "sim/place.h"

enum {
    FLEET_MGMTD_COUNT = 3,
    FLEET_META_COUNT = 3,
    FLEET_STORAGE_COUNT = 5,
    FLEET_SERVER_COUNT = FLEET_MGMTD_COUNT + FLEET_META_COUNT + FLEET_STORAGE_COUNT,
    FLEET_STORAGE_ID = 1001, /* node id of the first one */
    FLEET_CLIENT_COUNT_MAX = 6,
    FLEET_CHAIN_COUNT = 5,
    FLEET_REPLICA_COUNT = 3,
    FLEET_STRIPE = 2,
    FLEET_CHUNK_BYTES = 64 << 10,
    FLEET_TABLE = 1,
    FLEET_DEAD_COUNT_MAX = 16
};

/* Kinds of faults; any number of them at a time. */
enum fleet_fault {
    FLEET_CRASH = 1,         /* power cuts, kills and stops of servers */
    FLEET_FREEZE = 2,        /* of servers, also for longer than a lease */
    FLEET_CUT = 4,           /* of links, one way or both */
    FLEET_NET = 8,           /* loss, resets and delays everywhere for a while */
    FLEET_CLOCK = 16,        /* drift within its bound; jumps of wall clocks */
    FLEET_KV_FLAKY = 32,     /* conflicts and unknown commits */
    FLEET_KV_SLOW = 64,      /* for seconds */
    FLEET_KV_GONE = 128,     /* for up to a minute */
    FLEET_DISK = 256,        /* slow disks that stall */
    FLEET_CLIENT = 512,      /* clients crash, and their like comes back as another */
    FLEET_OLD_CLOCKS = 1024, /* clocks of cluster managers slower than their bound allows */
    FLEET_DISK_ERROR = 2048, /* disks that fail reads and writes */
    FLEET_DISK_FULL = 4096,  /* others have filled them */
    FLEET_ROT = 8192,        /* bits of one storage's chunks change */
    FLEET_REPEAT = 16384     /* messages come twice, and late, all the time */
};
#define FLEET_DISK_FAULTS ((unsigned)FLEET_DISK_ERROR | FLEET_DISK_FULL | FLEET_ROT)
#define FLEET_ALL_FAULTS  (1023u | FLEET_DISK_FAULTS | FLEET_REPEAT)

struct fleet;
struct fleet_file;
struct history;
struct fleet_options {
    uint64_t seed;
    uint32_t client_count;
    uint32_t ops_per_client;
    uint64_t op_pause_max_ns;
    uint32_t shared_percent;   /* of operations that are in shared directories */
    uint32_t register_percent; /* of operations that are on the shared file */
    uint32_t faults;           /* of fleet_fault */
    bool names_only;           /* no operation on content */
    uint64_t trouble_ns;
    uint32_t fault_gap_ns_max;                     /* between the beginnings of two faults */
    int (*plot)(struct fleet *f, uint64_t end_ns); /* instead of random faults; may be NULL */
    int mutant;                                    /* enum mutant, -1: none */
    bool is_tracing, is_logging;
};
struct fleet_options fleet_options_default(uint64_t seed);

/* What a run contained. */
struct fleet_counts {
    uint32_t crashes, kills, stops, freezes, cuts, net_spells, clock_changes, kv_spells, kv_gone,
        disk_spells, client_crashes, disk_errors, disks_replaced, disks_full, flips;
    uint64_t repeats, late; /* messages that came twice, or late */
    uint64_t takeovers;     /* of the primary */
    uint64_t repairs;       /* of chunks */
    uint64_t resyncs, rolled_forward, retries_recognised, collected, pruned, trims;
    uint64_t done, refused, unknown; /* operations; refused: as the model expects */
    uint64_t virtual_ns, events;
};

struct model;
struct fleet_client {
    struct fleet *fleet;
    uint32_t index;
    uint32_t life; /* how often it was started */
    char name[32];
    struct machine *machine;
    struct node *node; /* NULL: not there */
    struct mgmtd_client *mgmtd;
    struct meta_client *meta;
    struct storage_client *storage;
    struct uuid id;
    struct scope scope;  /* of its operations */
    struct model *model; /* NULL: it has no tree of its own */
    bool is_done;
    uint64_t routing_version, routing_term; /* as seen last: they never shrink */
};

/* What a server says of the routing that it holds; within one life it never shrinks. */
struct server_view {
    uint32_t life;
    uint64_t routing_version, routing_term;
};

/* When clients saw a target SERVING last. */
struct target_view {
    bool is_serving;
    uint64_t routing_version;
};

/* A link count that operations in shared directories must have led to. */
struct ledger_line {
    uint64_t inode;
    int64_t links;
    bool is_directory;
};
struct ledger {
    struct ledger_line *lines;
    uint32_t count, capacity;
    bool is_doubtful; /* a client died in the middle of such an operation */
};

struct fleet {
    struct fleet_options options;
    struct place place;
    struct process servers[FLEET_SERVER_COUNT]; /* mgmtd, then meta, then storages */
    struct fleet_client clients[FLEET_CLIENT_COUNT_MAX];
    struct fleet_client admin; /* never in trouble */
    struct kv *kv;             /* of the administrator: for checks */
    struct sim_random random;
    struct ledger ledger;
    struct fleet_file *registers;             /* the shared file; owned */
    struct history *history;                  /* of its blocks; owned */
    uint64_t last_value;                      /* that was written to it */
    struct model *dead[FLEET_DEAD_COUNT_MAX]; /* trees of clients that crashed */
    uint32_t dead_count;
    struct scope watch;
    struct server_view views[FLEET_SERVER_COUNT];
    struct target_view targets[FLEET_CHAIN_COUNT][FLEET_REPLICA_COUNT];
    struct node *lease_writer; /* who wrote the managers' lease last */
    char lease_writer_name[32];
    bool is_lease_written; /* since trouble looked last */
    uint64_t kv_gone_until_ns;
    uint32_t bad_disks; /* a bit for each storage whose disk has failed it, ever */
    bool is_over;       /* trouble has ended: everything must come to rest */
    struct fleet_counts counts;
    char why[500]; /* of a failure */
    uint64_t trace_hash;
};

/* 0, or -ERR_FOUND_BUG with fleet.why set. */
int fleet_run(struct fleet *f, const struct fleet_options *options) must_check;

/* ---- for the parts ---- */

static inline struct process *fleet_mgmtd(struct fleet *f, uint32_t i)
{
    return &f->servers[i];
}
static inline struct process *fleet_meta(struct fleet *f, uint32_t i)
{
    return &f->servers[FLEET_MGMTD_COUNT + i];
}
static inline struct process *fleet_storage(struct fleet *f, uint32_t i)
{
    return &f->servers[FLEET_MGMTD_COUNT + FLEET_META_COUNT + i];
}
uint64_t fleet_now_ns(const struct fleet *f);
uint64_t fleet_random(struct fleet *f, uint64_t bound);
/* Notes the first failure; returns -ERR_FOUND_BUG. */
int fleet_fail(struct fleet *f, const char *fmt, ...) printf_(2, 3);
void fleet_start(struct fleet *f, struct process *p) fiber_fn;
void fleet_end(struct fleet *f, struct process *p, enum ending how) fiber_fn;
/* fn(@c, @arg) as a fiber of the client's node. */
int fleet_visit(struct fleet_client *c, int (*fn)(struct fleet_client *c, void *arg),
                void *arg) fiber_fn must_check;
/* It joins the cluster by fleet_client_join(), in a fiber of its own. */
void fleet_client_start(struct fleet_client *c);
/* A storage gets an empty disk, and its targets on it. */
void fleet_replace_disk(struct fleet *f, struct process *p) fiber_fn;
int fleet_client_join(struct fleet_client *c) fiber_fn must_check;
int fleet_client_work(struct fleet_client *c) must_check;
void fleet_client_end(struct fleet_client *c, bool is_crash) fiber_fn;

/* ---- fleet_trouble.c, fleet_plot.c, fleet_watch.c ---- */

int fleet_make_trouble(struct fleet *f, uint64_t end_ns) fiber_fn must_check;
/* Plots: as fleet_make_trouble(), but the caller heals. */
int plot_late_answers(struct fleet *f, uint64_t end_ns) fiber_fn must_check;
int plot_old_primary(struct fleet *f, uint64_t end_ns) fiber_fn must_check;
void fleet_heal(struct fleet *f) fiber_fn;
int fleet_watch_start(struct fleet *f) must_check;
uint64_t fleet_metric(const struct process *p, const char *name); /* 0: it is down */

/* ---- fleet_work.c, fleet_shared.c, fleet_register.c: one operation, chosen by chance; 0, or the
 * run is over ---- */

int fleet_tree_begin(struct fleet_client *c) fiber_fn must_check;
int fleet_tree_step(struct fleet_client *c) fiber_fn must_check;
/* Closes what is open. */
int fleet_tree_end(struct fleet_client *c) fiber_fn must_check;
/* As another client sees it. */
int fleet_tree_verify(struct fleet_client *by, const struct model *m) fiber_fn must_check;
int fleet_shared_begin(struct fleet_client *c) fiber_fn must_check;
int fleet_shared_step(struct fleet_client *c) fiber_fn must_check;
int fleet_registers_begin(struct fleet_client *c) fiber_fn must_check;
int fleet_register_step(struct fleet_client *c) fiber_fn must_check;
int fleet_registers_check(struct fleet_client *c, void *arg) fiber_fn must_check;
void fleet_registers_free(struct fleet *f);

/* ---- fleet_check.c ---- */

bool fleet_is_whole(const struct fleet *f); /* as the administrator sees it */
/* Does a storage report a target that cannot be used? */
bool fleet_lacks_disk(const struct fleet *f, const struct process *p);
int fleet_wait_whole(struct fleet *f, uint64_t timeout_ns) fiber_fn must_check;
int fleet_check(struct fleet *f) fiber_fn must_check;
/* Chunks on the targets against the inodes of the store. */
struct live_inodes;
int fleet_tree_check(struct fleet *f, struct live_inodes **ret) fiber_fn must_check;
struct live_inodes *live_inodes_free(struct live_inodes *live);
/* NULL: there is no such file. */
const struct inode *live_inodes_find(const struct live_inodes *live, uint64_t id);
int fleet_chunks_check(struct fleet_client *c, void *live) fiber_fn must_check;
