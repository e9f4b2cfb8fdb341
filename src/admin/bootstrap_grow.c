/* bootstrap_grow.c - storages and disks that came after the chain table was made: targets on them,
 * chains of these, and the next version of the table with the old chains first.
 *
 * Nothing that is there is changed: files stay where they are, as their layouts name the version of
 * the table that they were made with; new files use the new chains, too. A disk is unused when no
 * chain has a target there. Where enough nodes have unused disks they share a design; nodes that
 * are new and too few for that get chains together with the disks of other nodes that have the
 * fewest targets, each new disk as many as --targets-per-disk says. A run that was interrupted is
 * found again: its targets by their numbers, its chains as those of our numbers in no table.
 */
#include "admin/bootstrap_plan.h"
#include "client/routing_record.h"
#include "placement/design.h"

/* A disk that may get another target. */
struct room {
    uint32_t node_id, disk;
    uint32_t target_count; /* there and planned */
    uint32_t number_next;  /* of its targets */
    uint32_t wanted;       /* a new disk: so many more */
};

struct growth {
    struct bootstrap *b;
    const struct chain_table *table;
    struct plan plan;
    struct storages all, fresh; /* fresh: the same nodes with their unused disks only */
    struct room *rooms;         /* one of each node: its new disk, or its least used one */
    uint32_t room_count;
};

/* ---- what is there ---- */

/* A target's disk by its number, and where it was seen last: a disk that was replaced is used. */
static bool is_on(const struct chain_member *m, uint32_t node_id, uint32_t disk)
{
    bool is_named = m->target_id / 100 == target_id_of(node_id, disk, 0) / 100;
    return is_named || (m->node_id == node_id && m->disk_index == disk);
}

/* The targets of chains on a disk; *ret_next: a number that none of them has. */
static uint32_t targets_on(const struct routing *routing, uint32_t node_id, uint32_t disk,
                           uint32_t *ret_next)
{
    const struct chain_info *chain;
    uint32_t count = 0, next = 0;
    size_t at = 0;
    while ((chain = map_next(&routing->chains, &at))) {
        for (uint32_t i = 0; i < chain->members.count; i++) {
            const struct chain_member *m = &chain->members.items[i];
            if (!is_on(m, node_id, disk)) continue;
            count++;
            next = MAX_OF(next, (uint32_t)(m->target_id % 100));
        }
    }
    if (ret_next) *ret_next = next;
    return count;
}

static void find_fresh(struct growth *g)
{
    struct arena *arena = &g->b->arena;
    const struct routing *routing = mgmtd_client_routing(g->b->mgmtd);
    g->fresh = (struct storages){ .places = arena_array(arena, struct place, g->all.count) };
    for (uint32_t i = 0; i < g->all.count; i++) {
        const struct place *place = &g->all.places[i];
        struct place *to = &g->fresh.places[g->fresh.count];
        *to = (struct place){ .node_id = place->node_id,
                              .disks = arena_array(arena, uint32_t, place->disk_count) };
        for (uint32_t d = 0; d < place->disk_count; d++)
            if (targets_on(routing, place->node_id, place->disks[d], NULL) == 0)
                to->disks[to->disk_count++] = place->disks[d];
        g->fresh.count += to->disk_count > 0;
    }
}

static bool is_listed(const struct routing *routing, uint32_t chain_id)
{
    const struct chain_table *table;
    size_t at = 0;
    while ((table = map_next(&routing->tables, &at))) {
        for (uint32_t i = 0; i < table->chains.count; i++)
            if (table->chains.items[i] == chain_id) return true;
    }
    return false;
}

static int compare_ids(const void *x, const void *y)
{
    const uint32_t *a = x, *b = y;
    return (*a > *b) - (*a < *b);
}

/* The chains of the next table before those of the plan: as now, and what an interrupted run left
 * in no table. Sets the first round of new chains, too. */
static uint32_t *chains_before(struct growth *g, uint32_t *ret_count)
{
    const struct routing *routing = mgmtd_client_routing(g->b->mgmtd);
    uint32_t count = g->table->chains.count;
    uint32_t *chains = arena_array(&g->b->arena, uint32_t, count + routing->chains.count);
    const struct chain_info *chain;
    size_t at = 0;
    if (count) memcpy(chains, g->table->chains.items, count * sizeof *chains);
    while ((chain = map_next(&routing->chains, &at))) {
        int round = chain_round_of(chain->chain_id);
        if (round < 0) continue;
        g->plan.first_round = MAX_OF(g->plan.first_round, (uint32_t)round + 1);
        if (!is_listed(routing, chain->chain_id)) chains[count++] = chain->chain_id;
    }
    uint32_t listed = g->table->chains.count;
    qsort(chains + listed, count - listed, sizeof *chains, compare_ids);
    *ret_count = count;
    return chains;
}

/* ---- too few new nodes for chains of their own ---- */

static bool has_chains(const struct growth *g, const struct place *place)
{
    const struct routing *routing = mgmtd_client_routing(g->b->mgmtd);
    for (uint32_t d = 0; d < place->disk_count; d++)
        if (targets_on(routing, place->node_id, place->disks[d], NULL)) return true;
    return false;
}

static const struct place *fresh_place(const struct growth *g, uint32_t node_id)
{
    for (uint32_t i = 0; i < g->fresh.count; i++)
        if (g->fresh.places[i].node_id == node_id) return &g->fresh.places[i];
    return NULL;
}

/* One room of each node: a new node's disk number @round, another one's least used disk. Returns
 * how many new disks there are. */
static uint32_t make_rooms(struct growth *g, uint32_t round)
{
    const struct routing *routing = mgmtd_client_routing(g->b->mgmtd);
    uint32_t new_count = 0;
    g->rooms = arena_array(&g->b->arena, struct room, g->all.count);
    g->room_count = 0;
    for (uint32_t i = 0; i < g->all.count; i++) {
        const struct place *place = &g->all.places[i], *fresh = fresh_place(g, place->node_id);
        struct room *room = &g->rooms[g->room_count];
        *room = (struct room){ .node_id = place->node_id, .target_count = UINT32_MAX };
        if (fresh && !has_chains(g, place)) {
            if (round >= fresh->disk_count) continue;
            room->disk = fresh->disks[round];
            room->target_count = 0;
            room->wanted = g->b->options->target_count;
            new_count++;
        }
        for (uint32_t d = 0; d < place->disk_count && !room->wanted; d++) {
            uint32_t next, count = targets_on(routing, place->node_id, place->disks[d], &next);
            if (count == 0 || count >= room->target_count) continue;
            *room = (struct room){ .node_id = place->node_id,
                                   .disk = place->disks[d],
                                   .target_count = count,
                                   .number_next = next };
        }
        g->room_count += room->target_count != UINT32_MAX;
    }
    return new_count;
}

/* A new disk that wants more, then the one with fewer targets, then the lower node. */
static bool is_better(const struct room *a, const struct room *b)
{
    if (!b) return true;
    if (a->wanted != b->wanted) return a->wanted > b->wanted;
    return a->target_count < b->target_count;
}

static struct room *best_room(struct growth *g, struct room *const *taken, uint32_t taken_count)
{
    struct room *best = NULL;
    for (uint32_t i = 0; i < g->room_count; i++) {
        struct room *room = &g->rooms[i];
        bool is_taken = room->number_next >= DESIGN_TARGETS_PER_DISK_MAX;
        for (uint32_t j = 0; j < taken_count; j++)
            is_taken |= taken[j] == room;
        if (!is_taken && is_better(room, best)) best = room;
    }
    return best;
}

static int plan_mixed_chain(struct growth *g, uint32_t round, uint32_t at)
{
    struct bootstrap *b = g->b;
    struct room *members[CHAIN_TARGET_COUNT_MAX];
    uint32_t k = g->plan.replica_count;
    for (uint32_t i = 0; i < k; i++) {
        members[i] = best_room(g, members, i);
        if (!members[i])
            return bootstrap_say(b, LOG_ERROR, -ERR_NO_SPACE,
                                 "only %u nodes have a disk with less than %d targets, a chain "
                                 "needs %u",
                                 i, DESIGN_TARGETS_PER_DISK_MAX, k);
    }
    struct chain_spec *spec = plan_chain(b, &g->plan);
    *spec = (struct chain_spec){ .chain_id = chain_id_of(g->plan.first_round + round, at),
                                 .targets = { arena_array(&b->arena, uint64_t, k), k } };
    for (uint32_t i = 0; i < k; i++) {
        struct room *room = members[(at + i) % k]; /* heads in turn */
        uint64_t id = target_id_of(room->node_id, room->disk, room->number_next++);
        room->target_count++;
        if (room->wanted) room->wanted--;
        spec->targets.items[i] = id;
        *plan_creation(b, &g->plan) = (struct creation){ .b = b,
                                                         .node_id = room->node_id,
                                                         .request = { .target_id = id,
                                                                      .disk_index = room->disk,
                                                                      .chain_id = spec->chain_id,
                                                                      .allow_existing = 1 } };
    }
    return 0;
}

static bool wants_more(const struct growth *g)
{
    for (uint32_t i = 0; i < g->room_count; i++)
        if (g->rooms[i].wanted) return true;
    return false;
}

static int plan_mixed(struct growth *g, uint32_t round)
{
    uint32_t new_count = make_rooms(g, round), chain_count = 0;
    int r = 0;
    if (new_count == 0) return 0;
    for (; r >= 0 && wants_more(g); chain_count++)
        r = plan_mixed_chain(g, round, chain_count);
    if (r >= 0)
        bootstrap_say(g->b, LOG_INFO, 0,
                      "Placement on %u new and %u other nodes: %u chains of %u replicas", new_count,
                      g->room_count - new_count, chain_count, g->plan.replica_count);
    return r;
}

/* ---- all of it ---- */

static int plan_growth(struct growth *g)
{
    struct bootstrap *b = g->b;
    uint32_t disk_count = 0, round_count = 0;
    for (uint32_t i = 0; i < g->fresh.count; i++) {
        disk_count += g->fresh.places[i].disk_count;
        round_count = MAX_OF(round_count, g->fresh.places[i].disk_count);
    }
    if (disk_count == 0) return 0;
    bootstrap_say(b, LOG_INFO, 0, "Found %u disk%s without chains on %u of %u storages", disk_count,
                  disk_count == 1 ? "" : "s", g->fresh.count, g->all.count);
    int r = 0;
    for (uint32_t round = 0; r >= 0 && round < round_count; round++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < g->fresh.count; i++)
            n += g->fresh.places[i].disk_count > round;
        r = n >= g->plan.replica_count ? plan_round(b, &g->plan, &g->fresh, round)
                                       : plan_mixed(g, round);
    }
    if (r >= 0 && g->plan.chain_count == 0)
        bootstrap_say(b, LOG_INFO, 0,
                      "They stay empty: chains of %u replicas need a disk more on as many nodes",
                      g->plan.replica_count);
    return r;
}

static uint32_t replicas_of(const struct growth *g)
{
    const struct routing *routing = mgmtd_client_routing(g->b->mgmtd);
    const struct chain_info *first =
        g->table->chains.count ? routing_chain(routing, g->table->chains.items[0]) : NULL;
    uint32_t wanted = g->b->options->replica_count;
    if (g->b->keeps_replicas && first) wanted = first->members.count;
    return MIN_OF(wanted, g->all.count);
}

int bootstrap_grow(struct bootstrap *b, const struct chain_table *table)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct growth g = { .b = b, .table = chain_table_copy(table) };
    uint32_t before_count = 0, *before = NULL;
    int r = storages_list(b, &arena, &g.all);
    if (r >= 0 && g.all.count > 0) {
        g.plan.replica_count = replicas_of(&g);
        before = chains_before(&g, &before_count);
        find_fresh(&g);
        r = plan_growth(&g);
    }
    bool is_loose = before_count > g.table->chains.count;
    if (r >= 0 && is_loose)
        bootstrap_say(b, LOG_INFO, 0, "Found %u chains that are in no table",
                      before_count - g.table->chains.count);
    if (r >= 0 && (is_loose || g.plan.chain_count)) {
        r = plan_carry_out(b, &g.plan, before, before_count);
        uint32_t *chains = arena_array(&b->arena, uint32_t, g.plan.chain_count);
        for (uint32_t i = 0; i < g.plan.chain_count; i++)
            chains[i] = g.plan.chains[i].chain_id;
        if (r >= 0) r = chains_wait_serving(b, chains, g.plan.chain_count);
        if (r >= 0 && g.plan.chain_count)
            bootstrap_say(b, LOG_INFO, 0, "All %u new chains serve with all replicas",
                          g.plan.chain_count);
    }
    free((void *)(uintptr_t)g.table);
    return MIN_OF(r, 0);
}
