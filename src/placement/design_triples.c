/* design_triples.c - groups of three in which every pair meets at least once: hill climbing.
 *
 * How often each pair is to meet is laid down first: the floor of the mean for all, and once more
 * for the pairs at some distances, so that every node has the same number of meetings. Such a
 * multigraph is then taken apart into triangles after Stinson: a node with meetings left is joined
 * with two that it still has to meet; when these two need not meet any more, the triple in which
 * they do gives way. The number of triples never falls, and it nearly always reaches the end, also
 * where no design looks the same from every node (v = 12 or 18 modulo 24 and r = v / 2).
 */
#include "placement/design_internal.h"

#include "base/check.h"
#include <stdlib.h>
#include <string.h>

struct triples {
    struct design *d;
    uint32_t r;
    uint8_t *missing;   /* node_count × node_count: meetings that are left, symmetric */
    uint32_t *groups;   /* node_count × r: the groups of each node */
    uint32_t *count_of; /* groups of each node */
    uint32_t count;     /* groups in d->members, which are the first ones */
};

static uint8_t *missing_of(const struct triples *t, uint32_t x, uint32_t y)
{
    return &t->missing[(size_t)x * t->d->node_count + y];
}

/* Once more for the pairs at @distance. */
static void raise_distance(struct triples *t, uint32_t distance)
{
    uint32_t v = t->d->node_count;
    for (uint32_t x = 0; x < v; x++) {
        uint32_t y = (x + distance) % v;
        ++*missing_of(t, x, y);
        if (distance * 2 != v) ++*missing_of(t, y, x);
    }
}

static void lay_down(struct triples *t, struct chance *chance)
{
    uint32_t v = t->d->node_count, low = 2 * t->r / (v - 1), more = 2 * t->r % (v - 1);
    memset(t->missing, (int)low, (size_t)v * v);
    for (uint32_t x = 0; x < v; x++)
        *missing_of(t, x, x) = 0;
    if (more % 2) raise_distance(t, v / 2); /* v is even then: v × (v - 1) - v × 2r is */
    bool *is_raised = xcalloc(v, 1);
    for (uint32_t left = more / 2; left > 0;) {
        uint32_t distance = 1 + chance_below(chance, (v - 1) / 2);
        if (is_raised[distance]) continue;
        is_raised[distance] = true;
        raise_distance(t, distance);
        left--;
    }
    free(is_raised);
}

static void count_meetings(struct triples *t, const uint32_t *group, int change)
{
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t j = 0; j < 3; j++) {
            uint8_t *missing = missing_of(t, group[i], group[j]);
            if (i != j) *missing = (uint8_t)(*missing + change);
        }
    }
}

static void add_group(struct triples *t, uint32_t x, uint32_t y, uint32_t z)
{
    uint32_t *group = t->d->members + (size_t)t->count * 3;
    group[0] = x;
    group[1] = y;
    group[2] = z;
    count_meetings(t, group, -1);
    for (uint32_t i = 0; i < 3; i++)
        t->groups[(size_t)group[i] * t->r + t->count_of[group[i]]++] = t->count;
    t->count++;
}

/* Replaces @from by @to in the list of a node; the last one takes the place of one that goes. */
static void rename_group(struct triples *t, uint32_t node, uint32_t from, uint32_t to, bool goes)
{
    uint32_t *groups = t->groups + (size_t)node * t->r, at = 0;
    while (groups[at] != from)
        at++;
    groups[at] = goes ? groups[--t->count_of[node]] : to;
}

static void remove_group(struct triples *t, uint32_t which)
{
    uint32_t *members = t->d->members, last = t->count - 1;
    count_meetings(t, members + (size_t)which * 3, 1);
    for (uint32_t i = 0; i < 3; i++)
        rename_group(t, members[(size_t)which * 3 + i], which, 0, true);
    if (which != last) {
        for (uint32_t i = 0; i < 3; i++)
            rename_group(t, members[(size_t)last * 3 + i], last, which, false);
        memcpy(members + (size_t)which * 3, members + (size_t)last * 3, 3 * sizeof *members);
    }
    t->count--;
}

/* A group in which the two meet, any of them. */
static uint32_t group_with(const struct triples *t, uint32_t y, uint32_t z, struct chance *chance)
{
    const uint32_t *groups = t->groups + (size_t)y * t->r;
    uint32_t count = t->count_of[y], first = chance_below(chance, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t which = groups[(first + i) % count];
        const uint32_t *members = t->d->members + (size_t)which * 3;
        if (members[0] == z || members[1] == z || members[2] == z) return which;
    }
    check(!"two nodes that have met have no group");
    return 0;
}

/* The next node from a random one on that @x still has to meet, other than @but; v when there is
 * none. */
static uint32_t pick_missing(const struct triples *t, uint32_t x, uint32_t but,
                             struct chance *chance)
{
    uint32_t v = t->d->node_count, first = chance_below(chance, v);
    for (uint32_t i = 0; i < v; i++) {
        uint32_t y = (first + i) % v;
        if (y != but && *missing_of(t, x, y)) return y;
    }
    return v;
}

static void climb_step(struct triples *t, struct chance *chance)
{
    uint32_t v = t->d->node_count, x = chance_below(chance, v);
    while (t->count_of[x] == t->r)
        x = (x + 1) % v;
    uint32_t y = pick_missing(t, x, v, chance), z = pick_missing(t, x, y, chance);
    if (z == v) { /* it has to meet one node twice: something else gives way */
        check(t->count_of[x] > 0);
        remove_group(t, t->groups[(size_t)x * t->r + chance_below(chance, t->count_of[x])]);
        return;
    }
    if (!*missing_of(t, y, z)) remove_group(t, group_with(t, y, z, chance));
    add_group(t, x, y, z);
}

bool design_of_triples(struct design *d, uint32_t r, struct chance *chance)
{
    enum { STEPS_PER_GROUP = 400 };
    uint32_t v = d->node_count;
    if (d->group_size != 3 || v < 4 || 2 * r < v - 1) return false;
    struct triples t = { .d = d,
                         .r = r,
                         .missing = xcalloc((size_t)v * v, 1),
                         .groups = xcalloc((size_t)v * r, sizeof *t.groups),
                         .count_of = xcalloc(v, sizeof *t.count_of) };
    lay_down(&t, chance);
    for (uint32_t step = 0; step < STEPS_PER_GROUP * d->group_count && t.count < d->group_count;
         step++)
        climb_step(&t, chance);
    bool is_done = t.count == d->group_count;
    free(t.missing);
    free(t.groups);
    free(t.count_of);
    return is_done;
}
