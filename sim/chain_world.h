/* chain_world.h - a cluster manager, storages and clients, and what must hold of them: histories,
 * equal replicas, recovery. They live in a place (place.h): in the simulator or on this host.
 *
 * Registers are the 4 KiB blocks of a few chunks: a write gives all its blocks one value that no
 * other write has, a read must find each block to be wholly of one value. So torn data shows at
 * once, and the rest is judged by sim/linearizability.h.
 */
#pragma once
#include "client/storage_client.h"
#include "loop/fault.h"
#include "loop/sim_random.h"
#include "sim/block.h"
#include "sim/linearizability.h"
#include "sim/place.h"

#define WORLD_ANY_TARGET UINT32_MAX

enum {
    WORLD_STORAGE_COUNT_MAX = 8,
    WORLD_CLIENT_COUNT_MAX = 8,
    WORLD_CHUNK_COUNT_MAX = 16,
    WORLD_CHUNK_BYTES = 64 << 10,
    WORLD_BLOCK_BYTES = BLOCK_BYTES,
    WORLD_BLOCKS = WORLD_CHUNK_BYTES / WORLD_BLOCK_BYTES
};

struct world_options {
    uint64_t seed;
    enum loop_backend backend; /* LOOP_AUTO: the simulator */
    uint32_t storage_count;    /* at least replica_count */
    uint32_t replica_count, chain_count, client_count;
    uint32_t chunk_count; /* spread over the chains */
    uint32_t block_count; /* of a chunk that are used */
    uint32_t ops_per_client;
    uint32_t op_pause_max_ns;
    uint32_t read_percent;
    uint32_t loose_percent;  /* of operations: reads that may see what is not committed */
    uint32_t remove_percent; /* of updates */
    bool with_late_report;   /* mgmtd hears last of where the chains' tails are. Simulator only */
    bool with_floors;        /* generations rise; writes of older ones must be refused */
    /* Of trouble. */
    bool with_points;  /* steps are delayed or fail, and clients hear late of changes */
    bool with_blinks;  /* most faults are short ends of a process, below a lease */
    bool with_islands; /* a storage and a client see only each other */
    bool with_repeats; /* messages come twice and late */
    /* Of the storages' disks. */
    uint32_t disk_count;       /* of a storage, 1 or 2; chains take turns */
    uint64_t capacity_bytes;   /* of a disk; 0: much */
    uint64_t tombstone_age_ns; /* 0: as usual */
    bool with_rot; /* bits flip on a disk: damage is no bug, and a short scrub interval finds it */
    int mutant;    /* enum mutant, -1: none. 0 is a mutant: use world_options_default() */
    bool is_tracing, is_logging;
};
struct world_options world_options_default(uint64_t seed);

struct world;
struct world_client {
    struct world *world;
    uint32_t index;
    char name[32];
    struct machine *machine; /* in the simulator */
    struct node *node;
    struct mgmtd_client *mgmtd;
    struct storage_client *storage;
    struct scope scope; /* of its operations */
    uint32_t island;    /* node id: it only reads, and from there; 0: as usual */
    uint32_t done_count, failed_count;
    bool is_done;
};

struct world {
    struct world_options options;
    struct place place;
    struct process manager;
    struct process storages[WORLD_STORAGE_COUNT_MAX];
    struct world_client clients[WORLD_CLIENT_COUNT_MAX];
    struct history *history;
    struct sim_random random;
    uint64_t next_value;
    uint64_t worst_wait_ns; /* of any operation of a client */
    /* Of each inode: what writes carry, and the floor that set_floor has acknowledged. */
    uint32_t generations[WORLD_CHUNK_COUNT_MAX], floors[WORLD_CHUNK_COUNT_MAX];
    /* The greatest pair of a write that was acknowledged. */
    struct {
        uint32_t chain_version;
        uint64_t version;
    } newest[WORLD_CHUNK_COUNT_MAX];
    uint32_t crash_count, kill_count, freeze_count, cut_count;
    int (*body)(struct world *w);
    char why[400]; /* of a failure */
    uint64_t trace_hash, event_count, end_ns;
    uint32_t chain_version; /* of the first chain, in the end */
    uint64_t resyncs_done, rolled_forward, retries_recognised, forward_retries, taken_back;
    uint64_t confirm_rounds, tail_questions;
    uint64_t repeats, late; /* messages that came twice, or late */
};

/* Runs @body in a world with the chains made and serving; then checks what must hold. 0, or an
 * error with world.why set (-ERR_FOUND_BUG), or of a back end that is not allowed here. */
int world_run(struct world *w, const struct world_options *options,
              int (*body)(struct world *w)) must_check;

/* ---- for bodies ---- */

uint64_t world_now_ns(const struct world *w);
uint64_t world_random(struct world *w, uint64_t bound);
/* Both ways. Simulator only. */
void world_cut(struct machine *a, struct machine *b);
void world_mend(struct machine *a, struct machine *b);
int world_fail(struct world *w, const char *fmt, ...) printf_(2, 3);
void world_start(struct world *w, struct process *p) fiber_fn;
void world_end(struct world *w, struct process *p, enum ending how) fiber_fn;
/* Ends all faults, starts what is down. */
void world_heal(struct world *w) fiber_fn;
/* Waits until every chain is whole, as the first client sees it. */
int world_wait_whole(struct world *w, uint64_t timeout_ns) fiber_fn must_check;
/* -ERR_FOUND_BUG: a process that should be up has ended by itself. */
int world_check_alive(struct world *w) must_check;
/* fn(@c, @arg) as a fiber of the client's node. */
int world_visit(struct world_client *c, void (*fn)(struct world_client *c, void *arg),
                void *arg) fiber_fn must_check;
/* Makes the target, retried until the storage is up and mgmtd knows where. */
int world_make_target(struct world_client *c, uint32_t chain, uint32_t replica) fiber_fn must_check;
/* In the background; world_join_clients() waits for their end. */
int world_start_clients(struct world *w) fiber_fn must_check;
int world_join_clients(struct world *w, uint64_t timeout_ns) fiber_fn must_check;

/* ---- one operation of a client on blocks [first, first + count) of a chunk, recorded ---- */

int world_write(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count) fiber_fn;
int world_read(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count) fiber_fn;
/* From one place of the chain. */
int world_read_from(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count,
                    uint32_t target_index) fiber_fn;
int world_remove(struct world_client *c, uint32_t chunk) fiber_fn;
/* Raises the generation of a chunk's inode, and with it the floor. */
int world_raise_floor(struct world_client *c, uint32_t chunk) fiber_fn;
uint32_t world_chain_of(const struct world *w, uint32_t chunk);
struct chunk_id world_chunk_id(uint32_t chunk);

/* As soon as nothing of it is pending, all replicas of a chunk must be equal, and readable. */
void world_check_chunk(struct world_client *c, uint32_t chunk) fiber_fn;
/* Everybody reads and writes, replicas are equal; then the history. Sets world.why. */
int world_check(struct world *w) fiber_fn must_check;
/* Random faults until @end_ns of the world's clock, then healed. Simulator only. */
int world_make_trouble(struct world *w, uint64_t end_ns) fiber_fn must_check;
