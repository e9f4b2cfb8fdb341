/* chunk_world.h - one node with a disk directory, simulated or real, for the tests of the chunk store. */
#pragma once
#include "loop/sim.h"
#include "storage/chunk_store.h"

struct chunk_world {
    struct sim *sim; /* NULL on a real loop */
    struct machine *machine;
    struct loop *loop;
    struct node *node;
    struct buffer_pool *pool;
    struct chunk_store *store;
    struct chunk_store_options options;
    char dir[64];
    int (*body)(struct chunk_world *w);
    uint64_t seed;
    void *arg; /* the body's */
};

/* Runs @w->body as a fiber of a node named "disk"; its result. With @seed a simulated machine, else the posix loop
 * and a fresh directory below the current one, which is removed afterwards. */
int chunk_world_run_sim(struct chunk_world *w, const struct sim_options *options);
int chunk_world_run_real(struct chunk_world *w);

/* From the body. */
int world_open(struct chunk_world *w) fiber_fn must_check;
void world_close(struct chunk_world *w, bool clean) fiber_fn;

/* Units neither free nor waiting to be free nor used by a record that the index knows: must be 0. */
int64_t world_lost_units(struct chunk_world *w) fiber_fn;
