/* design_cycle.c - designs that look the same from every node: base blocks developed through the
 * integers modulo v.
 *
 * A base block with all its v shifts puts every node into k groups, and two nodes at distance δ
 * meet as often as δ is a difference of the block. A base block that is a union of cosets of the
 * subgroup of order d = gcd(v, k) has only v/d different shifts and puts every node into k/d
 * groups. With r ÷ k of the former and (r mod k) ÷ (k/d) of the latter every r is reached for which
 * v × r is divisible by k. So instead of v²/2 counts only v/2 have to be balanced: annealing over
 * the few base blocks does it.
 */
#include "placement/design_internal.h"

#include "base/check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct block {
    uint32_t order; /* of the subgroup: 1 or d */
    uint32_t count; /* of representatives: k / order */
    uint32_t members[DESIGN_GROUP_SIZE_MAX];
};

struct cycle {
    uint32_t v;
    uint32_t block_count;
    struct block blocks[DESIGN_TARGETS_PER_DISK_MAX + DESIGN_GROUP_SIZE_MAX];
    int32_t *met; /* for each distance */
    int64_t cost; /* sum of their squares */
};

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void count_distance(struct cycle *c, uint32_t distance, int32_t change)
{
    int32_t *met = &c->met[distance];
    c->cost += change * (2 * *met + change);
    *met += change;
}

/* What representative @at of a block adds to the counts (or takes away) with each of the others. */
static void count_member(struct cycle *c, const struct block *b, uint32_t at, int32_t change)
{
    uint32_t step = c->v / b->order;
    for (uint32_t i = 0; i < b->count; i++) {
        if (i == at) continue;
        uint32_t distance = (b->members[at] + c->v - b->members[i]) % c->v;
        for (uint32_t turn = 0; turn < b->order; turn++) {
            uint32_t d = (distance + turn * step) % c->v;
            count_distance(c, d, change);
            count_distance(c, (c->v - d) % c->v, change);
        }
    }
}

static bool is_free(const struct cycle *c, const struct block *b, uint32_t member)
{
    uint32_t step = c->v / b->order;
    for (uint32_t i = 0; i < b->count; i++)
        if (b->members[i] % step == member % step) return false;
    return true;
}

static void block_fill(struct cycle *c, struct block *b, struct chance *chance)
{
    uint32_t wanted = b->count;
    b->count = 0;
    while (b->count < wanted) {
        uint32_t member = chance_below(chance, c->v);
        if (!is_free(c, b, member)) continue;
        b->members[b->count++] = member;
        count_member(c, b, b->count - 1, 1);
    }
    for (uint32_t turn = 1; turn < b->order; turn++)
        count_distance(c, turn * (c->v / b->order), 1);
}

/* The cost when every count is one of the two next to the mean. */
static int64_t cost_bound(const struct cycle *c)
{
    int64_t sum = 0, n = c->v - 1;
    check(n > 0);
    for (uint32_t d = 1; d < c->v; d++)
        sum += c->met[d];
    int64_t low = sum / n, high_count = sum % n;
    return (n - high_count) * low * low + high_count * (low + 1) * (low + 1);
}

/* From many bad moves allowed to none. */
static void anneal(struct cycle *c, struct chance *chance)
{
    enum { COOLING_COUNT = 400 };
    int64_t bound = cost_bound(c);
    uint32_t stage_steps = MIN_OF(10 * c->v, 1000u);
    double heat = 8;
    for (uint32_t step = 0; step < COOLING_COUNT * stage_steps && c->cost > bound; step++) {
        if (step % stage_steps == 0) heat *= 0.985;
        struct block *b = &c->blocks[chance_below(chance, c->block_count)];
        uint32_t at = chance_below(chance, b->count), member = chance_below(chance, c->v);
        if (!is_free(c, b, member)) continue;
        int64_t before = c->cost;
        uint32_t old = b->members[at];
        count_member(c, b, at, -1);
        b->members[at] = member;
        count_member(c, b, at, 1);
        double worse = (double)(c->cost - before);
        double luck = (double)(chance_next(chance) >> 11) * 0x1p-53;
        if (worse <= 0 || luck < exp(-worse / heat)) continue;
        count_member(c, b, at, -1);
        b->members[at] = old;
        count_member(c, b, at, 1);
    }
}

static void develop(const struct cycle *c, struct design *d)
{
    uint32_t *at = d->members;
    for (uint32_t i = 0; i < c->block_count; i++) {
        const struct block *b = &c->blocks[i];
        uint32_t step = c->v / b->order;
        for (uint32_t shift = 0; shift < step; shift++)
            for (uint32_t j = 0; j < b->count; j++)
                for (uint32_t turn = 0; turn < b->order; turn++)
                    *at++ = (b->members[j] + shift + turn * step) % c->v;
    }
    check(at == d->members + (size_t)d->group_count * d->group_size);
}

static void set_up(struct cycle *c, uint32_t k, uint32_t r, struct chance *chance)
{
    uint32_t order = common_divisor(c->v, k), full_count = r / k;
    uint32_t short_count = r % k / (k / order);
    memset(c->met, 0, c->v * sizeof *c->met);
    c->cost = 0;
    c->block_count = full_count + short_count;
    check(c->block_count <= ARRAY_SIZE(c->blocks));
    for (uint32_t i = 0; i < c->block_count; i++) {
        c->blocks[i].order = i < full_count ? 1 : order;
        c->blocks[i].count = k / c->blocks[i].order;
        block_fill(c, &c->blocks[i], chance);
    }
}

void design_of_cycle(struct design *d, uint32_t r, struct chance *chance)
{
    enum { TRY_COUNT = 40 };
    struct cycle *best = NULL;
    for (uint32_t i = 0; i < TRY_COUNT; i++) {
        struct cycle *c = new_zero(struct cycle);
        c->v = d->node_count;
        c->met = xcalloc(c->v, sizeof *c->met);
        set_up(c, d->group_size, r, chance);
        anneal(c, chance);
        bool is_better = !best || c->cost < best->cost;
        struct cycle *worse = is_better ? best : c;
        if (is_better) best = c;
        if (worse) {
            free(worse->met);
            free(worse);
        }
        if (best->cost <= cost_bound(best)) break;
    }
    develop(best, d);
    free(best->met);
    free(best);
}
