/* placement.c - a greedy design: the least loaded nodes that have met the others least make the
 * next chain. */
#include "admin/placement.h"

#include "base/check.h"
#include "base/error.h"

struct maker {
    struct placement *p;
    uint32_t *loads, *heads;
    uint32_t *meetings; /* node_count × node_count */
};

static uint32_t meetings_with(const struct maker *m, uint32_t node, const uint32_t *chain,
                              uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += m->meetings[node * m->p->node_count + chain[i]];
    return sum;
}

static bool is_in(const uint32_t *chain, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < count; i++)
        if (chain[i] == node) return true;
    return false;
}

/* Loads never differ by more than one, so all are equal in the end. */
static uint32_t next_member(const struct maker *m, const uint32_t *chain, uint32_t count,
                            uint32_t turn)
{
    uint32_t n = m->p->node_count, best = UINT32_MAX, best_meetings = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = (turn + i) % n;
        if (is_in(chain, count, node)) continue;
        uint32_t met = meetings_with(m, node, chain, count);
        bool is_better = best == UINT32_MAX || m->loads[node] < m->loads[best] ||
                         (m->loads[node] == m->loads[best] && met < best_meetings);
        if (!is_better) continue;
        best = node;
        best_meetings = met;
    }
    return best;
}

static void put_head_first(struct maker *m, uint32_t *chain)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < m->p->replica_count; i++)
        if (m->heads[chain[i]] < m->heads[chain[best]]) best = i;
    uint32_t head = chain[best];
    chain[best] = chain[0];
    chain[0] = head;
    m->heads[head]++;
}

static void make_chain(struct maker *m, uint32_t index)
{
    uint32_t k = m->p->replica_count, n = m->p->node_count,
             *chain = m->p->members + (size_t)index * k;
    for (uint32_t i = 0; i < k; i++)
        chain[i] = next_member(m, chain, i, index);
    for (uint32_t i = 0; i < k; i++) {
        m->loads[chain[i]]++;
        for (uint32_t j = 0; j < k; j++)
            if (i != j) m->meetings[chain[i] * n + chain[j]]++;
    }
    put_head_first(m, chain);
}

int placement_make(struct arena *arena, uint32_t node_count, uint32_t replica_count,
                   uint32_t targets_per_disk_min, struct placement *ret)
{
    if (replica_count == 0 || replica_count > PLACEMENT_REPLICA_COUNT_MAX) return -ERR_INVALID_ARG;
    if (node_count < replica_count) return -ERR_INVALID_ARG;
    uint32_t r = MAX_OF(targets_per_disk_min, 1u);
    while (r <= PLACEMENT_TARGETS_PER_DISK_MAX && (uint64_t)node_count * r % replica_count)
        r++;
    if (r > PLACEMENT_TARGETS_PER_DISK_MAX) return -ERR_INVALID_ARG;
    *ret = (struct placement){ .node_count = node_count,
                               .replica_count = replica_count,
                               .targets_per_disk = r,
                               .chain_count = node_count * r / replica_count };
    ret->members = arena_array(arena, uint32_t, (size_t)ret->chain_count * replica_count);
    struct maker m = { .p = ret,
                       .loads = arena_array(arena, uint32_t, node_count),
                       .heads = arena_array(arena, uint32_t, node_count),
                       .meetings = arena_array(arena, uint32_t, (size_t)node_count * node_count) };
    for (uint32_t c = 0; c < ret->chain_count; c++)
        make_chain(&m, c);
    return 0;
}
