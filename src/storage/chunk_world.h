/* chunk_world.h - one node with a disk directory, simulated or real, for the tests of the chunk
 * store. */
#pragma once
#include "loop/sim.h"
#include "storage/chunk_store.h"

#include <stdio.h>

#define TRY(expr)                                                                                  \
    do {                                                                                           \
        int try_r_ = (expr);                                                                       \
        if (try_r_ < 0) {                                                                          \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expr, error_name(try_r_));     \
            return try_r_;                                                                         \
        }                                                                                          \
    } while (0)
#define EXPECT(expr)                                                                               \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #expr);                     \
            return -ERR_FOUND_BUG;                                                                 \
        }                                                                                          \
    } while (0)

enum { WORLD_TARGET = 5 };

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

/* Runs @w->body as a fiber of a node named "disk"; its result. With @seed a simulated machine, else
 * the posix loop and a fresh directory below the current one, which is removed afterwards. */
int chunk_world_run_sim(struct chunk_world *w, const struct sim_options *options);
int chunk_world_run_real(struct chunk_world *w);

/* From the body. */
int world_open(struct chunk_world *w) fiber_fn must_check;
void world_close(struct chunk_world *w, bool clean) fiber_fn;

/* Units neither free nor waiting to be free nor used by a record that the index knows: must be 0.
 */
int64_t world_lost_units(struct chunk_world *w) fiber_fn;

/* Chunks of WORLD_TARGET, of size 1 MiB, by number. */
struct chunk_id world_chunk(uint32_t number);
int world_open_with_target(struct chunk_world *w) fiber_fn must_check;
/* @size equal bytes from the start, staged and committed as @version. */
int world_put(struct chunk_world *w, uint32_t number, uint64_t version, uint32_t size,
              uint8_t byte) fiber_fn must_check;
int world_take(struct chunk_world *w, uint32_t number,
               uint64_t version) fiber_fn must_check; /* a removal */
/* The byte of which the first @size bytes of the chunk consist, or an error. */
int world_look(struct chunk_world *w, uint32_t number, uint32_t size) fiber_fn must_check;
/* chunk_world_run_sim() of a fresh world; @options may be NULL. */
int world_run_sim(int (*body)(struct chunk_world *w), const struct chunk_store_options *options);
