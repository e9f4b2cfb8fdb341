/* chunk_model.h - chunks as plain bytes in memory, random updates of them, and a store held against
 * both; for the tests of the chunk store.
 *
 * A model holds a handful of chunks of one target, which one fiber updates: like the lock of
 * replication, that is all that keeps updates of a chunk apart. What it may not know after a crash
 * is how far the last calls got; model_adopt() reads that from the store and checks that it is one
 * of the possible outcomes.
 */
#pragma once
#include "base/check.h"
#include "loop/sim.h"
#include "storage/chunk_store.h"

enum { MODEL_CHUNKS = 5, MODEL_PINS = 4, MODEL_CHANNELS = 3 };

struct model_random {
    uint64_t state;
};
uint64_t model_random(struct model_random *r);
uint64_t model_below(struct model_random *r, uint64_t bound);

struct model_content {
    uint64_t version; /* 0: none */
    uint32_t chain_version;
    uint32_t length, crc32c;
    enum update_kind kind;
    struct update_id update;
    uint8_t *bytes; /* length of them; NULL for a removal */
};
struct model_chunk {
    struct chunk_id id;
    uint32_t chunk_size;
    struct model_content committed, pending;
    /* what a crash leaves open */
    struct model_content attempt; /* staged, but the call has not returned */
    struct model_content
        previous; /* what was committed before; as long as the commit may be lost */
    bool commit_is_open;
    bool drop_is_open; /* a drop of the pending record has not returned */
};
struct model_identity {
    uint64_t seq; /* 0: none */
    struct chunk_id chunk;
    uint64_t version;
    uint32_t length, crc32c;
};
struct model_pin {
    struct chunk_pin *pin;
    struct model_content content;
    struct chunk_id id;
};

struct model {
    struct chunk_store *store;
    struct buffer_pool *pool;
    uint64_t target_id;
    uint32_t number; /* of the model: its client id and its inodes */
    uint32_t chain_version;
    uint64_t seq;
    struct model_random random;
    struct model_chunk chunks[MODEL_CHUNKS];
    struct model_pin pins[MODEL_PINS];
    struct model_identity identities[MODEL_CHANNELS]; /* of channels 1 … */
    uint64_t stage_count, full_count, reject_count;
    uint64_t late_count; /* stages that ran out of time and left a pending record */
    bool has_violation;  /* says what on stderr */
};

void model_init(struct model *m, uint64_t target_id, uint32_t number, uint64_t seed);
void model_done(struct model *m); /* no pin is left */

/* One random step: stage, commit, drop, read, pin, unpin, walk. 0, or the store's error;
 * -ERR_FOUND_BUG when the store is wrong. -ERR_NO_SPACE of a stage is no error. */
int model_step(struct model *m) fiber_fn must_check;
/* Everything the store says of the model's chunks is as it should be, byte by byte. */
int model_compare(struct model *m) fiber_fn must_check;
/* After a restart: for each chunk one of the possible outcomes is there; it becomes the model's. */
int model_adopt(struct model *m) fiber_fn must_check;
void model_unpin_all(struct model *m);
/* Removes all chunks and drops the tombstones. */
int model_remove_all(struct model *m) fiber_fn must_check;
