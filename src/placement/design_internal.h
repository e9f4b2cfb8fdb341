/* design_internal.h - shared by the ways to make a design. */
#pragma once
#include "placement/design.h"

/* xorshift64*: never zero. */
struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
    c->state ^= c->state >> 12;
    c->state ^= c->state << 25;
    c->state ^= c->state >> 27;
    return c->state * 0x2545f4914f6cdd1dull;
}

static inline uint32_t chance_below(struct chance *c, uint32_t limit)
{
    return (uint32_t)((chance_next(c) >> 32) * limit >> 32);
}

static inline struct chance chance_make(uint64_t seed)
{
    return (struct chance){ (seed + 1) * 0x9e3779b97f4a7c15ull | 1 };
}

/* Room for the groups; nothing in them. */
void design_init(struct design *d, struct arena *arena, uint32_t node_count, uint32_t group_size,
                 uint32_t group_count, uint32_t r);

/* Lines of an affine or projective space, when the size is one of theirs: any number of parallel
 * classes, or all lines some times; or the secants of a Hermitian curve: q³ + 1 nodes in groups of
 * q + 1. */
bool design_of_plane(struct design *d, uint32_t r);
/* Groups of three where every pair meets; false, and nothing of use in @d, when the sizes are
 * others or the climb does not arrive. */
bool design_of_triples(struct design *d, uint32_t r, struct chance *chance);
/* Base blocks under a group of symmetries; always possible when node_count × r is divisible by
 * group_size. */
void design_of_orbits(struct design *d, uint32_t r, struct chance *chance,
                      const struct design_progress *progress);
/* Exchanges members of groups until the balance is what counting allows, or for so many steps.
 * Only members of the same kind change places, and never those that stay; without @kinds all do. */
enum { DESIGN_STAYS = 255 };
void design_improve(struct design *d, const uint8_t *kinds, struct chance *chance,
                    const struct design_progress *progress);
