/* shard_memory.h - memory for direct I/O: aligned to 4 KiB, whole multiples of it, not zeroed. */
#pragma once
#include "base/check.h"
#include "storage/record_format.h"

static inline size_t round_to_block(size_t size)
{
    return (size + BLOCK_BYTES - 1) & ~(size_t)(BLOCK_BYTES - 1);
}

/* Never NULL; free() it. */
static inline uint8_t *block_memory(size_t size)
{
    uint8_t *p = aligned_alloc(BLOCK_BYTES, round_to_block(size ? size : 1));
    check(p);
    return p;
}
