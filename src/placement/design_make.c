/* design_make.c - which way a design is made: a plane, base blocks in a cycle, or a search. */
#include "placement/design_internal.h"

#include "base/check.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

/* Groups from @first on of the nodes that lack most, so that in the end nobody lacks any. Nodes
 * are turned so that equals take turns. */
static void fill_groups(struct design *d, uint32_t first, uint32_t *lacks)
{
    uint32_t v = d->node_count, k = d->group_size, turn = 0;
    bool *is_taken = xcalloc(v, 1);
    for (uint32_t g = first; g < d->group_count; g++) {
        memset(is_taken, 0, v);
        for (uint32_t i = 0; i < k; i++) {
            uint32_t best = UINT32_MAX;
            for (uint32_t x = 0; x < v; x++) {
                uint32_t node = (turn + x) % v;
                if (is_taken[node]) continue;
                if (best == UINT32_MAX || lacks[node] > lacks[best]) best = node;
            }
            is_taken[best] = true;
            if (lacks[best]) lacks[best]--;
            d->members[(size_t)g * k + i] = best;
            turn = (best + 1) % v;
        }
    }
    free(is_taken);
}

static void copy_of(struct design *to, const struct design *from)
{
    memcpy(to->members, from->members,
           (size_t)from->group_count * from->group_size * sizeof *from->members);
}

/* Every node is in exactly @r groups. */
static void make_even(struct design *d, uint32_t r, struct chance *chance,
                      const struct design_progress *progress)
{
    if (design_of_plane(d, r) || design_of_triples(d, r, chance)) return;
    design_of_orbits(d, r, chance, progress);
}

/* Groups of all but a few: whoever is in none of the complement's group is in this one, and what
 * is balanced there is balanced here. */
static void make_complement(struct design *d, struct arena *arena, uint32_t r,
                            struct chance *chance, const struct design_progress *progress)
{
    uint32_t v = d->node_count, k = d->group_size, rest = v - k;
    struct design small;
    design_init(&small, arena, v, rest, d->group_count, d->group_count - r);
    make_even(&small, d->group_count - r, chance, progress);
    design_sort_groups(&small);
    for (uint32_t g = 0; g < d->group_count; g++) {
        const uint32_t *out = small.members + (size_t)g * rest;
        uint32_t *at = d->members + (size_t)g * k, skipped = 0;
        for (uint32_t node = 0; node < v; node++) {
            if (skipped < rest && out[skipped] == node) {
                skipped++;
            } else {
                *at++ = node;
            }
        }
    }
}

void design_make(struct arena *arena, uint32_t node_count, uint32_t group_size, uint32_t r,
                 uint64_t seed, const struct design_progress *progress, struct design *ret)
{
    check(design_is_possible(node_count, group_size, r));
    uint32_t v = node_count, k = group_size, count = v * r / k;
    struct chance chance = chance_make(seed);
    design_init(ret, arena, v, k, count, r);
    bool is_even = v * r % k == 0;
    if (k == v || k == 1 || !is_even) {
        uint32_t *lacks = arena_array(arena, uint32_t, v);
        for (uint32_t x = 0; x < v; x++)
            lacks[x] = r;
        fill_groups(ret, 0, lacks);
        design_improve(ret, NULL, &chance, progress);
    } else if (2 * k > v && count > r) {
        make_complement(ret, arena, r, &chance, progress);
    } else {
        make_even(ret, r, &chance, progress);
    }
    design_sort_groups(ret);
}

/* ---- more nodes ---- */

/* Takes from nodes that are in more than @share of the groups of before; new nodes take over, the
 * least loaded first. */
static uint32_t move_surplus(struct design *d, const struct design *before, uint32_t share,
                             uint32_t *loads)
{
    uint32_t k = d->group_size, moved = 0, v = d->node_count;
    for (uint32_t g = 0; g < before->group_count; g++) {
        uint32_t *group = d->members + (size_t)g * k;
        for (uint32_t i = 0; i < k; i++) {
            if (loads[group[i]] <= share) continue;
            uint32_t best = UINT32_MAX;
            for (uint32_t x = 0; x < v; x++) {
                bool is_member = false;
                for (uint32_t j = 0; j < k; j++)
                    is_member |= group[j] == x;
                if (is_member || loads[x] >= share) continue;
                if (best == UINT32_MAX || loads[x] < loads[best]) best = x;
            }
            if (best == UINT32_MAX) continue;
            loads[group[i]]--;
            loads[best]++;
            group[i] = best;
            moved++;
        }
    }
    return moved;
}

int design_extend(struct arena *arena, const struct design *before, uint32_t node_count, uint32_t r,
                  uint64_t seed, const struct design_progress *progress, struct design *ret,
                  uint32_t *ret_moved)
{
    uint32_t k = before->group_size, v = node_count;
    if (!design_is_possible(v, k, r) || v < before->node_count) return -ERR_INVALID_ARG;
    uint32_t count = v * r / k, places = before->group_count * k;
    if (count < before->group_count) return -ERR_INVALID_ARG;
    struct design d;
    struct chance chance = chance_make(seed);
    design_init(&d, arena, v, k, count, r);
    copy_of(&d, before);
    uint32_t *loads = arena_array(arena, uint32_t, v);
    uint8_t *kinds = arena_array(arena, uint8_t, (size_t)count * k);
    for (uint32_t i = 0; i < places; i++)
        loads[before->members[i]]++;
    uint32_t share = MIN_OF((places + v - 1) / v, r);
    uint32_t moved = move_surplus(&d, before, share, loads);
    for (uint32_t x = 0; x < v; x++) {
        if (loads[x] > r || r - loads[x] > count - before->group_count) return -ERR_INVALID_ARG;
        loads[x] = r - loads[x];
    }
    fill_groups(&d, before->group_count, loads);
    /* What has its data stays; what moves may as well change places with what else moves. */
    for (uint32_t i = 0; i < places; i++)
        kinds[i] = d.members[i] == before->members[i] ? DESIGN_STAYS : 1;
    design_improve(&d, kinds, &chance, progress);
    design_sort_groups(&d);
    *ret = d;
    *ret_moved = moved;
    return 0;
}
