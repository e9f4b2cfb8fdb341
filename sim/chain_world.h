/* chain_world.h - storages, clients and a script of a cluster manager in the simulator, and what
 * must hold of them: histories, equal replicas, recovery.
 *
 * Registers are the 4 KiB blocks of a few chunks: a write gives all its blocks one value that no
 * other write has, a read must find each block to be wholly of one value. So torn data shows at
 * once, and the rest is judged by sim/linearizability.h.
 */
#pragma once
#include "loop/fault.h"
#include "loop/sim.h"
#include "sim/linearizability.h"
#include "sim/script_mgmtd.h"
#include "storage/storage.h"

enum {
    WORLD_STORAGE_COUNT_MAX = 8,
    WORLD_CLIENT_COUNT_MAX = 8,
    WORLD_CHUNK_BYTES = 64 << 10,
    WORLD_BLOCK_BYTES = 4096,
    WORLD_BLOCKS = WORLD_CHUNK_BYTES / WORLD_BLOCK_BYTES
};

struct world_options {
    uint64_t seed;
    uint32_t storage_count; /* 0: 3 */
    uint32_t replica_count; /* 0: 3 */
    uint32_t chain_count;   /* 0: 1 */
    uint32_t client_count;  /* 0: 2 */
    uint32_t chunk_count;   /* 0: 4; spread over the chains */
    uint32_t ops_per_client;
    uint32_t op_pause_max_ns;
    bool with_removes;
    bool with_points; /* trouble also delays and fails steps, and keeps news from clients */
    int mutant;       /* enum mutant, -1: none. 0 is a mutant: use world_options_default() */
    struct sim_net_profile *net;
    struct sim_disk_profile *disk;
    bool is_tracing, is_logging;
};
struct world_options world_options_default(uint64_t seed);

struct world;
struct world_storage {
    struct world *world;
    uint32_t index, node_id;
    char name[32], path[32], listen[64], mgmtd[64], key[80];
    struct machine *machine;
    struct node *node; /* NULL: down */
    struct storage_settings settings;
    struct arena arena;
    const char *paths[1], *mgmtds[1], *advertised[1];
    int result;      /* of storage_run() when it ended by itself */
    bool is_running; /* storage_run() has not returned */
    uint32_t start_count;
};

struct world_client {
    struct world *world;
    uint32_t index;
    struct node *node;
    struct mgmtd_client *mgmtd;
    struct storage_client *storage;
    struct scope scope; /* of its operations */
    uint32_t done_count, failed_count;
    bool is_done;
};

struct world {
    struct world_options options;
    struct sim *sim;
    struct script script;
    struct world_storage storages[WORLD_STORAGE_COUNT_MAX];
    struct machine *client_machine;
    struct world_client clients[WORLD_CLIENT_COUNT_MAX];
    struct history *history;
    struct scope scope; /* the script, the workload */
    uint64_t next_value;
    uint32_t crash_count, kill_count, freeze_count, cut_count;
    int (*body)(struct world *w);
    char why[400]; /* of a failure */
    uint64_t trace_hash, event_count, end_ns;
    uint64_t resyncs_done, rolled_forward, retries_recognised, forward_retries, taken_back;
    uint64_t confirm_rounds, tail_questions;
};

/* Runs @body in a world with the chains made and serving; then checks what must hold. 0, or an
 * error with world.why set. */
int world_run(struct world *w, const struct world_options *options,
              int (*body)(struct world *w)) must_check;

/* ---- for bodies ---- */

void world_start_storage(struct world *w, uint32_t index) fiber_fn;
/* Power off (what was not synced is lost) or kill -9. */
void world_crash_storage(struct world *w, uint32_t index) fiber_fn;
void world_kill_storage(struct world *w, uint32_t index) fiber_fn;
/* SIGTERM. */
void world_stop_storage(struct world *w, uint32_t index) fiber_fn;
void world_cut(struct world *w, uint32_t from, uint32_t to);
/* Ends all faults, starts what is down. */
void world_heal(struct world *w) fiber_fn;
/* Waits until every chain is whole. */
int world_wait_whole(struct world *w, uint64_t timeout_ns) fiber_fn must_check;
/* Runs the clients' random operations to their end. */
int world_run_clients(struct world *w) fiber_fn must_check;
/* Starts them in the background; world_join_clients() waits for their end. */
int world_start_clients(struct world *w) fiber_fn must_check;
int world_join_clients(struct world *w, uint64_t timeout_ns) fiber_fn must_check;
uint64_t world_random(struct world *w, uint64_t bound);
int world_fail(struct world *w, const char *fmt, ...) printf_(2, 3);
/* One operation of a client on blocks [first, first + count) of a chunk, recorded. */
int world_write(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count) fiber_fn;
int world_read(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count) fiber_fn;
int world_remove(struct world_client *c, uint32_t chunk) fiber_fn;
uint32_t world_chain_of(const struct world *w, uint32_t chunk);
/* A metric, summed over the storages that run. */
uint64_t world_metric(const struct world *w, const char *name);
/* Random faults until @end_ns of the world's clock, then healed. */
int world_make_trouble(struct world *w, uint64_t end_ns) fiber_fn must_check;
