/* block.c - see block.h. */
#include "sim/block.h"
#include <string.h>

void block_fill(uint8_t *to, uint64_t value)
{
    uint64_t *words = (uint64_t *)(void *)to;
    for (uint64_t i = 0; i < BLOCK_BYTES / 8; i++) {
        words[i] = value * 0x9e3779b97f4a7c15ull + i * (value != 0);
    }
    words[0] = value;
}

int64_t block_parse(const uint8_t *from)
{
    uint8_t expected[BLOCK_BYTES];
    uint64_t value;
    memcpy(&value, from, sizeof value);
    block_fill(expected, value);
    return memcmp(expected, from, sizeof expected) == 0 ? (int64_t)value : -1;
}
