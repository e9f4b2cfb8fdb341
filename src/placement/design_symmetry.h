/* design_symmetry.h - a group that acts on the nodes, and which pairs of nodes it makes alike.
 *
 * The nodes are class_count copies of an abelian group of @size elements: node class × size + x.
 * The group acts on each copy by addition, and @turn, one of its automorphisms, acts on all copies
 * alike. A base block stands for all its images, so that two pairs which are images of each other
 * meet equally often: only the orbits of pairs have to be balanced. With addition alone a pair of
 * one class is known by its distance; a turn of order n makes n distances alike.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { SYMMETRY_DIGITS_MAX = 10 };

struct symmetry_spec {
    uint32_t class_count, size;
    bool is_split;       /* a sum of groups of prime order, not the integers modulo @size */
    uint32_t turn_order; /* 1: addition alone */
    uint32_t multiplier; /* the turn of the integers modulo @size; unused when split */
};

struct symmetry {
    struct symmetry_spec spec;
    uint32_t node_count;
    uint32_t digit_count, radices[SYMMETRY_DIGITS_MAX]; /* an element's digits, the least first */
    uint32_t *turn;                                     /* of each element */
    uint32_t orbit_count;
    /* The way to the orbit of a pair, small enough to stay near: the place of each node (class ×
     * size in the high half, its element in the low one); the distances of two elements, size ×
     * size; and the orbits of the distances between two classes, class_count² × size. */
    uint32_t *places;
    uint16_t *distances;
    uint32_t *orbits;
    uint32_t *weights; /* of each orbit: how many elements of the group keep such a pair */
};

/* False: there is no such turn. *ret is to be ended with symmetry_done() in any case. */
bool symmetry_init(struct symmetry *ret, const struct symmetry_spec *spec);
void symmetry_done(struct symmetry *s);
static inline uint32_t symmetry_orbit(const struct symmetry *s, uint32_t a, uint32_t b)
{
    uint32_t from = s->places[a], to = s->places[b], size = s->spec.size;
    uint32_t distance = s->distances[(from & 0xffff) * size + (to & 0xffff)];
    return s->orbits[(from >> 16) * s->spec.class_count + (to >> 16) + distance];
}

/* The node that is @node moved by the element @by. */
uint32_t symmetry_move(const struct symmetry *s, uint32_t node, uint32_t by);
uint32_t symmetry_turn(const struct symmetry *s, uint32_t node);
/* Numbers whose powers are different groups of @order turns of the integers modulo @size; how many,
 * not more than @most. */
uint32_t symmetry_multipliers(uint32_t size, uint32_t order, uint32_t most, uint32_t *ret);
/* Whether the split group of @size elements has a turn of @order that keeps nothing but zero. */
bool symmetry_can_split(uint32_t size, uint32_t order);
