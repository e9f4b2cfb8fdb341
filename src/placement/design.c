/* design.c - sizes, balance and heads of a design. */
#include "placement/design_internal.h"

#include "base/check.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

bool design_is_possible(uint32_t node_count, uint32_t group_size, uint32_t r)
{
    return group_size >= 1 && group_size <= DESIGN_GROUP_SIZE_MAX && node_count >= group_size &&
           node_count <= DESIGN_NODE_COUNT_MAX && r >= 1 && r <= DESIGN_TARGETS_PER_DISK_MAX &&
           (uint64_t)node_count * r >= group_size &&
           (uint64_t)node_count * r / group_size <= DESIGN_GROUP_COUNT_MAX;
}

void design_init(struct design *d, struct arena *arena, uint32_t node_count, uint32_t group_size,
                 uint32_t group_count, uint32_t r)
{
    *d = (struct design){ .node_count = node_count,
                          .group_size = group_size,
                          .group_count = group_count,
                          .targets_per_disk = r };
    d->members = arena_array(arena, uint32_t, (size_t)group_count * group_size);
}

static int compare_nodes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void design_sort_groups(struct design *d)
{
    for (uint32_t g = 0; g < d->group_count; g++)
        qsort(d->members + (size_t)g * d->group_size, d->group_size, sizeof *d->members,
              compare_nodes);
}

/* ---- balance ---- */

struct design_balance design_balance(const struct design *d)
{
    uint32_t v = d->node_count, k = d->group_size;
    struct design_balance b = { .least = UINT32_MAX };
    if (v < 2) return (struct design_balance){ 0 };
    uint32_t *meetings = xcalloc((size_t)v * v, sizeof *meetings);
    for (uint32_t g = 0; g < d->group_count; g++) {
        const uint32_t *group = d->members + (size_t)g * k;
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t j = i + 1; j < k; j++)
                meetings[(size_t)MIN_OF(group[i], group[j]) * v + MAX_OF(group[i], group[j])]++;
    }
    for (uint32_t x = 0; x < v; x++) {
        for (uint32_t y = x + 1; y < v; y++) {
            b.least = MIN_OF(b.least, meetings[(size_t)x * v + y]);
            b.most = MAX_OF(b.most, meetings[(size_t)x * v + y]);
        }
    }
    free(meetings);
    uint64_t all = (uint64_t)d->group_count * k * (k - 1) / 2, pairs = (uint64_t)v * (v - 1) / 2;
    b.least_bound = (uint32_t)(all / pairs);
    b.most_bound = (uint32_t)((all + pairs - 1) / pairs);
    b.excluded = design_excluded(v, k, d->targets_per_disk);
    return b;
}

const char *design_verify(const struct design *d, struct arena *arena)
{
    uint32_t v = d->node_count, k = d->group_size, most = 0, least = UINT32_MAX;
    uint32_t *loads = arena_array(arena, uint32_t, v);
    for (uint32_t g = 0; g < d->group_count; g++) {
        const uint32_t *group = d->members + (size_t)g * k;
        for (uint32_t i = 0; i < k; i++) {
            if (group[i] >= v)
                return arena_printf(arena, "group %u has disk %u of %u", g + 1, group[i] + 1, v);
            if (i && group[i] <= group[i - 1])
                return arena_printf(arena, "group %u has disk %u twice", g + 1, group[i] + 1);
            loads[group[i]]++;
        }
    }
    for (uint32_t x = 0; x < v; x++) {
        most = MAX_OF(most, loads[x]);
        least = MIN_OF(least, loads[x]);
    }
    bool is_even = (uint64_t)d->group_count * k == (uint64_t)v * d->targets_per_disk;
    if (most > d->targets_per_disk || (is_even && least != most) || most > least + 1)
        return arena_printf(arena, "disks are in %u to %u groups, where each should be in %u",
                            least, most, d->targets_per_disk);
    return NULL;
}

/* ---- heads ---- */

struct heads {
    const struct design *d;
    uint32_t *heads;  /* for each group the member's place */
    uint32_t *counts; /* for each node */
    /* Breadth first from a node that is head too often: the group through which each node was
     * reached. */
    uint32_t *via, *queue;
};

static uint32_t head_of(const struct heads *h, uint32_t group)
{
    return h->d->members[(size_t)group * h->d->group_size + h->heads[group]];
}

/* Gives each group on the way back from @to the head that it was reached by. */
static void hand_on(struct heads *h, uint32_t from, uint32_t to)
{
    const struct design *d = h->d;
    for (uint32_t node = to; node != from;) {
        uint32_t group = h->via[node], before = head_of(h, group), place = 0;
        while (d->members[(size_t)group * d->group_size + place] != node)
            place++;
        h->heads[group] = place;
        node = before;
    }
    h->counts[from]--;
    h->counts[to]++;
}

/* A head less for @from, one more for a node with fewer than @limit; false: there is no way. */
static bool relieve(struct heads *h, const uint32_t *groups_of, const uint32_t *first,
                    uint32_t from, uint32_t limit)
{
    const struct design *d = h->d;
    uint32_t begin = 0, end = 0;
    for (uint32_t i = 0; i < d->node_count; i++)
        h->via[i] = UINT32_MAX;
    h->queue[end++] = from;
    while (begin < end) {
        uint32_t node = h->queue[begin++];
        if (h->counts[node] < limit) {
            hand_on(h, from, node);
            return true;
        }
        for (uint32_t i = first[node]; i < first[node + 1]; i++) {
            uint32_t group = groups_of[i];
            if (head_of(h, group) != node) continue;
            for (uint32_t j = 0; j < d->group_size; j++) {
                uint32_t next = d->members[(size_t)group * d->group_size + j];
                if (next == from || h->via[next] != UINT32_MAX) continue;
                h->via[next] = group;
                h->queue[end++] = next;
            }
        }
    }
    return false;
}

uint32_t *design_heads(const struct design *d, struct arena *arena)
{
    uint32_t v = d->node_count, k = d->group_size;
    size_t places = (size_t)d->group_count * k;
    check(v > 0);
    struct heads h = { .d = d,
                       .heads = arena_array(arena, uint32_t, d->group_count),
                       .counts = arena_array(arena, uint32_t, v),
                       .via = arena_array(arena, uint32_t, v),
                       .queue = arena_array(arena, uint32_t, v) };
    uint32_t *first = arena_array(arena, uint32_t, v + 2);
    uint32_t *groups_of = arena_array(arena, uint32_t, places);
    for (size_t i = 0; i < places; i++)
        first[d->members[i] + 2]++;
    for (uint32_t x = 0; x < v; x++)
        first[x + 1] += first[x];
    for (size_t i = 0; i < places; i++)
        groups_of[first[d->members[i] + 1]++] = (uint32_t)(i / k);
    /* first[x] is now where the groups of x begin, first[x + 1] where they end. */
    for (uint32_t g = 0; g < d->group_count; g++) {
        for (uint32_t i = 1; i < k; i++)
            if (h.counts[d->members[(size_t)g * k + i]] < h.counts[head_of(&h, g)]) h.heads[g] = i;
        h.counts[head_of(&h, g)]++;
    }
    uint32_t most = (d->group_count + v - 1) / v, least = d->group_count / v;
    for (uint32_t x = 0; x < v; x++)
        while (h.counts[x] > most && relieve(&h, groups_of, first, x, most))
            ;
    /* Those with too few take from whoever has more than the least. */
    for (uint32_t x = 0; x < v; x++)
        while (h.counts[x] > least && relieve(&h, groups_of, first, x, least))
            ;
    return h.heads;
}
