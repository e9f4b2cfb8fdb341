/* sim_image.h - the content of a simulated file at one moment: 4 KiB blocks, allocated ranges, a
 * size.
 *
 * Blocks are counted and shared between the newest and the durable content and the writes in
 * between; a block is never changed after it was made (but by sim_block_flip(), which is damage and
 * meant to show in all of them). So a sync copies pointers, and a sparse file of a terabyte costs
 * what was written.
 */
#pragma once
#include "base/map.h"

enum { SIM_BLOCK_SIZE = 4096, SIM_SECTOR_SIZE = 512 };

struct sim_block {
    uint32_t ref_count;
    uint8_t data[SIM_BLOCK_SIZE];
};

struct sim_block *sim_block_new(const struct sim_block *from); /* a copy; NULL: zeros */
struct sim_block *sim_block_new_raw(void);                     /* the caller fills all of it */
struct sim_block *sim_block_ref(struct sim_block *b);          /* NULL is fine */
struct sim_block *sim_block_unref(struct sim_block *b);        /* NULL is fine; returns NULL */
void sim_block_flip(struct sim_block *b, uint32_t offset, uint8_t bit);

/* A set of numbers as sorted disjoint half-open ranges. */
struct sim_range {
    uint64_t begin, end;
};
struct sim_ranges {
    struct sim_range *items;
    size_t count, capacity;
    uint64_t total; /* numbers in the set */
};
void sim_ranges_done(struct sim_ranges *s);
void sim_ranges_add(struct sim_ranges *s, uint64_t begin, uint64_t end);
void sim_ranges_remove(struct sim_ranges *s, uint64_t begin, uint64_t end);
bool sim_ranges_has(const struct sim_ranges *s, uint64_t number);
/* How many numbers of [begin, end) are in the set. */
uint64_t sim_ranges_overlap(const struct sim_ranges *s, uint64_t begin, uint64_t end);
void sim_ranges_copy(struct sim_ranges *to, const struct sim_ranges *from);

struct sim_image {
    struct map blocks;           /* block number -> struct sim_block, counted */
    struct sim_ranges allocated; /* block numbers that take space; a superset of blocks' */
    uint64_t size_bytes;
};
void sim_image_init(struct sim_image *image);
void sim_image_done(struct sim_image *image);
void sim_image_copy(struct sim_image *to,
                    const struct sim_image *from); /* @to: initialised, replaced */
struct sim_block *sim_image_get(const struct sim_image *image,
                                uint64_t number); /* NULL: a hole, zeros */
void sim_image_set(struct sim_image *image, uint64_t number, struct sim_block *block);
/* Makes [begin, end) holes that take no space. */
void sim_image_clear(struct sim_image *image, uint64_t begin, uint64_t end);
/* Bytes of [offset, offset + size), which is clipped to the file's size by the caller. */
void sim_image_read(const struct sim_image *image, void *buf, size_t size, uint64_t offset);
