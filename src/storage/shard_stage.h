/* shard_stage.h - an update on its way to become pending; shared by shard_stage.c and
 * shard_content.c. */
#pragma once
#include "storage/shard.h"

#define UNIT_NONE UINT32_MAX /* a hole */

struct stage {
    struct shard *s;
    struct chunk_key key;
    struct chunk_update *update;
    struct record
        *committed; /* pinned; NULL: none. Its units are freed where the new record has others */
    struct record *base; /* what the update builds on: committed, or NULL */
    uint32_t size_log2;
    uint32_t old_length, new_length; /* of base, of the result */
    uint32_t write_begin, write_end; /* bytes of the chunk that update->data has; equal: none */

    uint32_t unit_count; /* of the result */
    uint32_t *units;     /* by place: where the result has its bytes, or UNIT_NONE */
    bool *is_fresh;      /* by place: to be written now */
    struct unit_run *runs;
    uint32_t run_count; /* taken for the fresh ones */
    uint32_t fresh_count;
    bool is_synced;        /* they are durable already */
    struct record *record; /* the result */
};

/* Bytes of block @block that a content of @length has. */
static inline uint32_t block_length(uint32_t block, uint32_t length)
{
    uint32_t begin = block * BLOCK_BYTES;
    return begin >= length ? 0 : MIN_OF((uint32_t)BLOCK_BYTES, length - begin);
}

/* Sets the record's CRCs and writes the fresh units. */
int stage_content(struct stage *g) fiber_fn must_check;
