/* design_blocks.h - base blocks under a symmetry, and annealing that balances the orbits of pairs.
 *
 * A full base block stands for its images under all additions and turns. A short one is a union of
 * cosets of the subgroup of @short_order elements, and stands for its size ÷ short_order different
 * images; it is not turned, so that there are turns only when it is one whole coset.
 */
#pragma once
#include "placement/design_internal.h"
#include "placement/design_symmetry.h"

struct block_plan {
    struct symmetry_spec symmetry;
    uint32_t full_count; /* base blocks, after turns */
    uint32_t short_count, short_order;
};

/* How often pairs are to meet: what is outside costs the square of how far. */
struct block_window {
    uint32_t least, most;
};

struct block_search {
    const struct symmetry *symmetry;
    const struct block_plan *plan;
    uint32_t group_size, block_count;
    uint32_t *members;    /* of each base block; of a short one the first node of each coset */
    int32_t *met;         /* for each orbit of pairs */
    const int32_t *costs; /* of each number of meetings */
    int64_t cost;
    uint64_t work; /* meetings counted: what the time goes into */
    /* Called now and then while annealing; may be NULL. */
    void (*tick)(void *arg, const struct block_search *s);
    void *tick_arg;
};

void blocks_init(struct block_search *s, const struct symmetry *symmetry,
                 const struct block_plan *plan, uint32_t group_size);
void blocks_done(struct block_search *s);
/* Random base blocks that put every node into equally many groups. */
void blocks_fill(struct block_search *s, struct chance *chance);
/* So many changes of a member, from many that cost more to nearly none; ends when nothing is
 * outside of the window. */
void blocks_anneal(struct block_search *s, const struct block_window *window, uint64_t steps,
                   struct chance *chance);
/* The least and the most that a pair meets. */
void blocks_range(const struct block_search *s, uint32_t *ret_least, uint32_t *ret_most);
/* All groups, into the room of @d. */
void blocks_develop(const struct block_search *s, struct design *d);
