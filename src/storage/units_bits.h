/* units_bits.h - one file's units: a bit each, set while taken; finding runs of free ones.
 *
 *   #####...##..####|.................     below the mark: used before, some free again
 *                   mark                   from the mark on: never written
 *
 * Units below the mark are taken first: their extents are on the disk, so that a sync after writing
 * them has no metadata of the file system to write, and files stay dense.
 */
#pragma once
#include "base/cleanup.h"
#include "storage/record_format.h"
#include <stdbool.h>

struct unit_bits {
    uint32_t unit_count; /* that the file has */
    uint32_t free_count;
    uint32_t mark;     /* no unit from there on was ever taken */
    uint32_t run_hint; /* no free run below the mark is longer */
    uint64_t words[UNIT_FILE_UNITS / 64];
};

void unit_bits_grow(struct unit_bits *b, uint32_t count);
/* All @count from @at: false when one is taken, or beyond the end. */
bool unit_bits_are(const struct unit_bits *b, uint32_t at, uint32_t count, bool is_taken);
void unit_bits_take(struct unit_bits *b, uint32_t at, uint32_t count);
void unit_bits_give(struct unit_bits *b, uint32_t at, uint32_t count);
/* The first run of @count free units below the mark at or behind @from, else from the start;
 * UINT32_MAX when there is none. */
uint32_t unit_bits_find(struct unit_bits *b, uint32_t from, uint32_t count);
/* The first free unit at or behind @from and how many follow it, at most @count_max; false when
 * none. */
bool unit_bits_piece(const struct unit_bits *b, uint32_t from, uint32_t count_max, uint32_t *ret_at,
                     uint32_t *ret_count);
