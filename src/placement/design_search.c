/* design_search.c - any design made better: members of two groups change places.
 *
 * An exchange leaves the load of every node as it is. The cost is the sum of the squares of the
 * pairs' counts, which is least when all are one of the two numbers next to the mean.
 */
#include "placement/design_internal.h"

#include "base/check.h"
#include <math.h>
#include <stdlib.h>

struct search {
    struct design *d;
    uint8_t *met;             /* node_count × node_count, symmetric */
    uint64_t pairs_with[256]; /* how many pairs meet so often, each counted once */
    uint32_t low_bound, high_bound;
};

static void pair_change(struct search *s, uint32_t x, uint32_t y, int change)
{
    size_t v = s->d->node_count;
    uint8_t *met = &s->met[x * v + y];
    s->pairs_with[*met]--;
    *met = (uint8_t)(*met + change);
    s->pairs_with[*met]++;
    s->met[y * v + x] = *met;
}

static bool is_in(const struct design *d, uint32_t group, uint32_t node)
{
    const uint32_t *members = d->members + (size_t)group * d->group_size;
    for (uint32_t i = 0; i < d->group_size; i++)
        if (members[i] == node) return true;
    return false;
}

/* What the sum of squares gains when @in takes the place @at of @group from its member. */
static int gain_of(const struct search *s, uint32_t group, uint32_t at, uint32_t in,
                   uint32_t not_with)
{
    const uint32_t *members = s->d->members + (size_t)group * s->d->group_size;
    const uint8_t *of_out = s->met + (size_t)members[at] * s->d->node_count;
    const uint8_t *of_in = s->met + (size_t)in * s->d->node_count;
    int gain = 0;
    for (uint32_t i = 0; i < s->d->group_size; i++) {
        /* Who is in both groups meets the two as often as before. */
        if (i == at || is_in(s->d, not_with, members[i])) continue;
        gain += 2 * of_in[members[i]] + 1 - 2 * of_out[members[i]] + 1;
    }
    return gain;
}

static void put(struct search *s, uint32_t group, uint32_t at, uint32_t in)
{
    uint32_t *members = s->d->members + (size_t)group * s->d->group_size;
    for (uint32_t i = 0; i < s->d->group_size; i++) {
        if (i == at) continue;
        pair_change(s, members[at], members[i], -1);
        pair_change(s, in, members[i], 1);
    }
    members[at] = in;
}

static void search_begin(struct search *s, struct design *d)
{
    uint64_t v = d->node_count, k = d->group_size;
    *s = (struct search){ .d = d, .met = xcalloc(v * v, 1) };
    uint64_t pairs = v * (v - 1) / 2, all = d->group_count * k * (k - 1) / 2;
    s->pairs_with[0] = pairs;
    s->low_bound = (uint32_t)(all / pairs);
    s->high_bound = (uint32_t)((all + pairs - 1) / pairs);
    for (uint32_t g = 0; g < d->group_count; g++) {
        const uint32_t *members = d->members + g * k;
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t j = i + 1; j < k; j++)
                pair_change(s, members[i], members[j], 1);
    }
}

static void range_of(const struct search *s, uint32_t *ret_least, uint32_t *ret_most)
{
    uint32_t least = 0, most = 255;
    while (least < 255 && !s->pairs_with[least])
        least++;
    while (most && !s->pairs_with[most])
        most--;
    *ret_least = least;
    *ret_most = most;
}

static bool is_balanced(const struct search *s)
{
    uint64_t inside = s->pairs_with[s->low_bound];
    uint64_t v = s->d->node_count;
    if (s->high_bound != s->low_bound) inside += s->pairs_with[s->high_bound];
    return inside == v * (v - 1) / 2;
}

/* One exchange, when it is no worse or luck allows it. */
static void step(struct search *s, const uint8_t *kinds, struct chance *chance, double heat)
{
    struct design *d = s->d;
    uint32_t k = d->group_size;
    uint32_t g = chance_below(chance, d->group_count), h = chance_below(chance, d->group_count);
    uint32_t i = chance_below(chance, k), j = chance_below(chance, k);
    if (g == h) return;
    uint8_t kind = kinds ? kinds[(size_t)g * k + i] : 0;
    if (kinds && (kind == DESIGN_STAYS || kinds[(size_t)h * k + j] != kind)) return;
    uint32_t a = d->members[(size_t)g * k + i], b = d->members[(size_t)h * k + j];
    if (a == b || is_in(d, g, b) || is_in(d, h, a)) return;
    int gain = gain_of(s, g, i, b, h) + gain_of(s, h, j, a, g);
    if (gain > 0) {
        double luck = (double)(chance_next(chance) >> 11) * 0x1p-53;
        if (luck >= exp(-gain / heat)) return;
    }
    put(s, g, i, b);
    put(s, h, j, a);
}

void design_improve(struct design *d, const uint8_t *kinds, struct chance *chance,
                    const struct design_progress *progress)
{
    enum { ROUND_COUNT = 400 };
    if (d->node_count < 2 || d->group_count < 2) return;
    struct search s;
    search_begin(&s, d);
    uint64_t steps =
        MIN_OF(60000000u / (d->group_size + 3u), 4000u * (uint64_t)d->group_count * 10);
    double heat = 0.6;
    for (uint32_t round = 0; round < ROUND_COUNT && !is_balanced(&s); round++) {
        for (uint64_t i = 0; i < steps / ROUND_COUNT && !is_balanced(&s); i++)
            step(&s, kinds, chance, heat);
        heat *= 0.99;
        if (!progress || !progress->tell) continue;
        uint32_t least, most;
        range_of(&s, &least, &most);
        progress->tell(progress->arg, round + 1, ROUND_COUNT, least, most);
    }
    free(s.met);
}
