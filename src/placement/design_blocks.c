/* design_blocks.c - base blocks and their annealing. */
#include "placement/design_blocks.h"

#include "base/check.h"
#include <math.h>
#include <stdlib.h>

enum { MEETINGS_MAX = 1024, WORSE_MAX = 64 };

static uint32_t order_of(const struct block_search *s, uint32_t block)
{
    return block < s->plan->full_count ? 1 : s->plan->short_order;
}

static uint32_t *members_of(const struct block_search *s, uint32_t block)
{
    return s->members + (size_t)block * s->group_size;
}

static inline void count_orbit(struct block_search *s, uint32_t orbit, int32_t sign)
{
    int32_t change = sign * (int32_t)s->symmetry->weights[orbit], before = s->met[orbit],
            after = before + change;
    s->cost += s->costs[after] - s->costs[before];
    s->met[orbit] = after;
}

/* What the member @at of a block adds to its meetings with the first @count, or takes away. */
static void count_member(struct block_search *s, uint32_t block, uint32_t at, uint32_t count,
                         int32_t sign)
{
    const struct symmetry *symmetry = s->symmetry;
    const uint32_t *members = members_of(s, block);
    uint32_t order = order_of(s, block), from = members[at];
    s->work += s->group_size;
    for (uint32_t i = 0; i < count; i++) {
        if (i == at) continue;
        uint32_t node = members[i];
        count_orbit(s, symmetry_orbit(symmetry, from, node), sign);
        for (uint32_t turn = 1; turn < order; turn++) {
            node = symmetry_move(symmetry, node, symmetry->spec.size / order);
            count_orbit(s, symmetry_orbit(symmetry, from, node), sign);
        }
    }
}

/* The meetings within each coset of a short block: once for each distance. */
static void count_cosets(struct block_search *s, uint32_t block)
{
    uint32_t order = order_of(s, block);
    bool *is_counted = xcalloc(s->symmetry->orbit_count, 1);
    for (uint32_t turn = 1; turn < order; turn++) {
        uint32_t orbit = symmetry_orbit(s->symmetry, 0, turn * (s->symmetry->spec.size / order));
        if (is_counted[orbit]) continue;
        is_counted[orbit] = true;
        s->met[orbit] += (int32_t)(s->group_size / order);
    }
    free(is_counted);
}

/* No member of the first @count is @node, or of its coset. */
static bool is_free(const struct block_search *s, uint32_t block, uint32_t count, uint32_t node)
{
    const uint32_t *members = members_of(s, block);
    uint32_t order = order_of(s, block), step = s->symmetry->spec.size / order;
    for (uint32_t i = 0; i < count; i++) {
        if (members[i] == node) return false;
        if (order > 1 && members[i] % step == node % step) return false;
    }
    return true;
}

void blocks_init(struct block_search *s, const struct symmetry *symmetry,
                 const struct block_plan *plan, uint32_t group_size)
{
    *s = (struct block_search){ .symmetry = symmetry,
                                .plan = plan,
                                .group_size = group_size,
                                .block_count = plan->full_count + plan->short_count };
    s->members = xcalloc((size_t)s->block_count * group_size, sizeof *s->members);
    s->met = xcalloc(symmetry->orbit_count, sizeof *s->met);
}

void blocks_done(struct block_search *s)
{
    free(s->members);
    free(s->met);
}

void blocks_fill(struct block_search *s, struct chance *chance)
{
    static const int32_t no_costs[MEETINGS_MAX];
    uint32_t size = s->symmetry->spec.size, classes = s->symmetry->spec.class_count, class = 0;
    for (uint32_t i = 0; i < s->symmetry->orbit_count; i++)
        s->met[i] = 0;
    s->costs = no_costs;
    for (uint32_t block = 0; block < s->block_count; block++) {
        uint32_t count = s->group_size / order_of(s, block), *members = members_of(s, block);
        for (uint32_t i = 0; i < count; class = (class + 1) % classes) {
            uint32_t node = class * size + chance_below(chance, size);
            while (!is_free(s, block, i, node))
                node = class * size + chance_below(chance, size);
            members[i] = node;
            count_member(s, block, i, i, 1);
            i++;
        }
        if (order_of(s, block) > 1) count_cosets(s, block);
    }
}

/* ---- annealing ---- */

struct heat {
    uint64_t limits[WORSE_MAX]; /* of a random number of 53 bits, for each difference of cost */
};

static void heat_set(struct heat *h, double heat)
{
    for (uint32_t i = 0; i < WORSE_MAX; i++)
        h->limits[i] = (uint64_t)(exp(-(double)i / heat) * 0x1p53);
}

static bool is_accepted(const struct heat *h, int64_t worse, struct chance *chance)
{
    if (worse <= 0) return true;
    return worse < WORSE_MAX && (chance_next(chance) >> 11) < h->limits[worse];
}

static void replace(struct block_search *s, uint32_t block, uint32_t at, uint32_t node)
{
    uint32_t count = s->group_size / order_of(s, block);
    count_member(s, block, at, count, -1);
    members_of(s, block)[at] = node;
    count_member(s, block, at, count, 1);
}

/* A member becomes another node of its class. */
static void shift_member(struct block_search *s, const struct heat *h, struct chance *chance)
{
    uint32_t size = s->symmetry->spec.size, block = chance_below(chance, s->block_count);
    uint32_t count = s->group_size / order_of(s, block), at = chance_below(chance, count);
    uint32_t old = members_of(s, block)[at];
    uint32_t node = old - old % size + chance_below(chance, size);
    if (!is_free(s, block, count, node)) return;
    int64_t before = s->cost;
    replace(s, block, at, node);
    if (!is_accepted(h, s->cost - before, chance)) replace(s, block, at, old);
}

/* Two members of different blocks and classes become nodes of each other's class. */
static void exchange_members(struct block_search *s, const struct heat *h, struct chance *chance)
{
    uint32_t size = s->symmetry->spec.size, k = s->group_size;
    uint32_t a = chance_below(chance, s->block_count), b = chance_below(chance, s->block_count);
    uint32_t i = chance_below(chance, k), j = chance_below(chance, k);
    uint32_t old_a = members_of(s, a)[i], old_b = members_of(s, b)[j];
    if (a == b || old_a / size == old_b / size) return;
    uint32_t new_a = old_b - old_b % size + chance_below(chance, size);
    uint32_t new_b = old_a - old_a % size + chance_below(chance, size);
    if (!is_free(s, a, k, new_a) || !is_free(s, b, k, new_b)) return;
    int64_t before = s->cost;
    replace(s, a, i, new_a);
    replace(s, b, j, new_b);
    if (is_accepted(h, s->cost - before, chance)) return;
    replace(s, a, i, old_a);
    replace(s, b, j, old_b);
}

static void costs_set(struct block_search *s, const struct block_window *w, int32_t *costs)
{
    for (int32_t i = 0; i < MEETINGS_MAX; i++) {
        int32_t off = i < (int32_t)w->least  ? (int32_t)w->least - i
                      : i > (int32_t)w->most ? i - (int32_t)w->most
                                             : 0;
        costs[i] = off * off;
    }
    s->costs = costs;
    s->cost = 0;
    for (uint32_t i = 0; i < s->symmetry->orbit_count; i++)
        s->cost += costs[s->met[i]];
}

void blocks_anneal(struct block_search *s, const struct block_window *window, uint64_t steps,
                   struct chance *chance)
{
    enum { STAGE_COUNT = 200 };
    const double hottest = 0.4, coldest = 0.08;
    int32_t costs[MEETINGS_MAX];
    struct heat heat;
    bool can_shift = s->symmetry->spec.size > 1 && s->plan->full_count > 0;
    bool can_exchange = s->symmetry->spec.class_count > 1 && s->block_count > 1;
    costs_set(s, window, costs);
    can_shift |= s->plan->short_count && s->plan->short_order < s->group_size;
    if (!can_shift && !can_exchange) return;
    for (uint32_t stage = 0; stage < STAGE_COUNT && s->cost; stage++) {
        heat_set(&heat, hottest * pow(coldest / hottest, (double)stage / STAGE_COUNT));
        for (uint64_t i = 0; i < steps / STAGE_COUNT + 1 && s->cost; i++) {
            if (can_exchange && (!can_shift || (chance_next(chance) >> 63)))
                exchange_members(s, &heat, chance);
            else
                shift_member(s, &heat, chance);
        }
        if (s->tick) s->tick(s->tick_arg, s);
    }
}

/* ---- the result ---- */

void blocks_range(const struct block_search *s, uint32_t *ret_least, uint32_t *ret_most)
{
    int32_t least = INT32_MAX, most = 0;
    for (uint32_t i = 0; i < s->symmetry->orbit_count; i++) {
        least = MIN_OF(least, s->met[i]);
        most = MAX_OF(most, s->met[i]);
    }
    *ret_least = (uint32_t)least;
    *ret_most = (uint32_t)most;
}

void blocks_develop(const struct block_search *s, struct design *d)
{
    uint32_t *at = d->members, size = s->symmetry->spec.size;
    for (uint32_t block = 0; block < s->block_count; block++) {
        uint32_t order = order_of(s, block), step = size / order;
        uint32_t turns = order == 1 ? s->symmetry->spec.turn_order : 1;
        uint32_t count = s->group_size / order, turned[DESIGN_GROUP_SIZE_MAX];
        for (uint32_t i = 0; i < count; i++)
            turned[i] = members_of(s, block)[i];
        for (uint32_t turn = 0; turn < turns; turn++) {
            for (uint32_t by = 0; by < step; by++)
                for (uint32_t i = 0; i < count; i++)
                    for (uint32_t j = 0; j < order; j++)
                        *at++ = symmetry_move(s->symmetry, turned[i], by + j * step);
            for (uint32_t i = 0; i < count; i++)
                turned[i] = symmetry_turn(s->symmetry, turned[i]);
        }
    }
    check(at == d->members + (size_t)d->group_count * d->group_size);
}
