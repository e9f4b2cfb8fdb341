/* block.h - blocks of a value each: what tests write to chunks, so that a read tells which write it
 * saw, or that it saw pieces of several. */
#pragma once
#include <stdint.h>

enum { BLOCK_BYTES = 4096 };

/* Value 0 is what was never written. */
void block_fill(uint8_t *to, uint64_t value);
/* The value of a block, or -1 when it is not wholly of one. */
int64_t block_parse(const uint8_t *from);
