/* chain_state.c - the transition table of chains.
 *
 * A pass looks at the targets in groups of their old state (SERVING, LASTSRV, SYNCING, WAITING,
 * OFFLINE) and puts each into its new group; the new order is the groups one after the other, each
 * in the order of arrival.
 */
#include "mgmtd/chain_state.h"

#include "base/check.h"

enum group { GROUP_SERVING, GROUP_LASTSRV, GROUP_SYNCING, GROUP_WAITING, GROUP_OFFLINE, GROUP_MAX };

static const uint8_t group_states[GROUP_MAX] = { PUBLIC_SERVING, PUBLIC_LASTSRV, PUBLIC_SYNCING,
                                                 PUBLIC_WAITING, PUBLIC_OFFLINE };

struct groups {
    uint32_t counts[GROUP_MAX];
    struct chain_slot slots[GROUP_MAX][CHAIN_TARGET_COUNT_MAX];
};

static enum group group_of(uint8_t public_state)
{
    switch (public_state) {
    case PUBLIC_SERVING: return GROUP_SERVING;
    case PUBLIC_LASTSRV: return GROUP_LASTSRV;
    case PUBLIC_SYNCING: return GROUP_SYNCING;
    case PUBLIC_WAITING: return GROUP_WAITING;
    default: return GROUP_OFFLINE;
    }
}

static void put(struct groups *g, enum group group, const struct chain_slot *slot)
{
    struct chain_slot *to = &g->slots[group][g->counts[group]++];
    *to = *slot;
    to->public_state = group_states[group];
}

/* Where a target of @old goes, given where those before it went. */
static enum group next_group(const struct groups *g, enum group old, uint8_t local_state)
{
    bool is_alive = local_state == LOCAL_ONLINE || local_state == LOCAL_UPTODATE;
    bool has_serving = g->counts[GROUP_SERVING] > 0;
    bool has_lastsrv = g->counts[GROUP_LASTSRV] > 0;
    bool has_syncing = g->counts[GROUP_SYNCING] > 0;
    switch (old) {
    case GROUP_SERVING:
        if (is_alive) return GROUP_SERVING;
        return has_lastsrv ? GROUP_OFFLINE : GROUP_LASTSRV;
    case GROUP_LASTSRV:
        if (has_serving) return GROUP_OFFLINE;
        if (is_alive) return GROUP_SERVING;
        return has_lastsrv ? GROUP_OFFLINE : GROUP_LASTSRV;
    case GROUP_SYNCING:
        if (local_state == LOCAL_UPTODATE) return GROUP_SERVING;
        if (local_state != LOCAL_ONLINE) return GROUP_OFFLINE;
        return has_serving && !has_syncing ? GROUP_SYNCING : GROUP_WAITING;
    case GROUP_WAITING:
    case GROUP_OFFLINE:
    case GROUP_MAX: break;
    }
    if (local_state == LOCAL_ONLINE && has_serving && !has_syncing) return GROUP_SYNCING;
    return is_alive ? GROUP_WAITING : GROUP_OFFLINE;
}

static void collect(const struct groups *g, struct chain_shape *chain)
{
    uint32_t count = 0;
    for (uint32_t group = 0; group < GROUP_MAX; group++) {
        for (uint32_t i = 0; i < g->counts[group]; i++) {
            chain->slots[count++] = g->slots[group][i];
        }
    }
    check(count == chain->count);
}

static bool is_same(const struct chain_shape *a, const struct chain_shape *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->slots[i].target_id != b->slots[i].target_id) return false;
        if (a->slots[i].public_state != b->slots[i].public_state) return false;
    }
    return true;
}

bool chain_evaluate(struct chain_shape *chain)
{
    check(chain->count <= CHAIN_TARGET_COUNT_MAX);
    struct groups g = { 0 };
    for (enum group old = 0; old < GROUP_MAX; old++) {
        for (uint32_t i = 0; i < chain->count; i++) {
            const struct chain_slot *slot = &chain->slots[i];
            if (group_of(slot->public_state) != old) continue;
            put(&g, next_group(&g, old, slot->local_state), slot);
        }
    }
    if (g.counts[GROUP_SERVING] > 0) {
        for (uint32_t i = 0; i < g.counts[GROUP_LASTSRV]; i++) {
            put(&g, GROUP_OFFLINE, &g.slots[GROUP_LASTSRV][i]);
        }
        g.counts[GROUP_LASTSRV] = 0;
    }
    struct chain_shape before = *chain;
    collect(&g, chain);
    return !is_same(&before, chain);
}

/* Moves the slot at @index behind all others. */
static void move_to_end(struct chain_shape *chain, uint32_t index)
{
    struct chain_slot slot = chain->slots[index];
    for (uint32_t i = index; i + 1 < chain->count; i++) {
        chain->slots[i] = chain->slots[i + 1];
    }
    chain->slots[chain->count - 1] = slot;
}

bool chain_rotate_lastsrv(struct chain_shape *chain)
{
    if (chain->count < 2 || chain->slots[0].public_state != PUBLIC_LASTSRV) return false;
    move_to_end(chain, 0);
    for (uint32_t i = 0; i < chain->count; i++) {
        chain->slots[i].public_state = i == 0 ? PUBLIC_LASTSRV : PUBLIC_OFFLINE;
    }
    return true;
}

int chain_preferred_victim(const struct chain_shape *chain, const struct u64_list *preferred)
{
    for (uint32_t i = 0; i < preferred->count && i < chain->count; i++) {
        if (chain->slots[i].target_id == preferred->items[i]) continue;
        int wanted = chain_find(chain, preferred->items[i]);
        if (wanted < 0 || chain->slots[wanted].public_state != PUBLIC_SERVING) return -1;
        /* a SERVING target behind this one: this one is SERVING too, and not the only one */
        return chain->slots[i].public_state == PUBLIC_SERVING ? (int)i : -1;
    }
    return -1;
}

void chain_displace(struct chain_shape *chain, uint32_t index)
{
    check(index < chain->count);
    chain->slots[index].public_state = PUBLIC_OFFLINE;
    chain->slots[index].local_state = LOCAL_OFFLINE;
    move_to_end(chain, index);
}

int chain_find(const struct chain_shape *chain, uint64_t target_id)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->slots[i].target_id == target_id) return (int)i;
    }
    return -1;
}

int chain_add(struct chain_shape *chain, uint64_t target_id)
{
    if (chain_find(chain, target_id) >= 0) return -ERR_MGMTD_TARGET_EXISTED;
    if (chain->count == CHAIN_TARGET_COUNT_MAX) return -ERR_MGMTD_INVALID_CHAIN_TABLE;
    chain->slots[chain->count++] = (struct chain_slot){ .target_id = target_id,
                                                        .public_state = PUBLIC_OFFLINE,
                                                        .local_state = LOCAL_OFFLINE };
    return 0;
}

int chain_remove(struct chain_shape *chain, uint64_t target_id)
{
    int index = chain_find(chain, target_id);
    if (index < 0) return -ERR_MGMTD_TARGET_NOT_FOUND;
    if (chain->slots[index].public_state != PUBLIC_OFFLINE) return -ERR_TARGET_STATE_INVALID;
    move_to_end(chain, (uint32_t)index);
    chain->count--;
    return 0;
}

const char *chain_broken_invariant(const struct chain_shape *chain)
{
    uint32_t counts[GROUP_MAX] = { 0 };
    enum group last = GROUP_SERVING;
    for (uint32_t i = 0; i < chain->count; i++) {
        enum group group = group_of(chain->slots[i].public_state);
        if (group_states[group] != chain->slots[i].public_state) return "a public state is unknown";
        if (group < last) return "targets are not in the order of their states";
        last = group;
        counts[group]++;
        for (uint32_t j = 0; j < i; j++) {
            if (chain->slots[j].target_id == chain->slots[i].target_id)
                return "a target is in it twice";
        }
    }
    if (counts[GROUP_SYNCING] > 1) return "more than one target is SYNCING";
    if (counts[GROUP_LASTSRV] > 1) return "more than one target is LASTSRV";
    if (counts[GROUP_LASTSRV] && counts[GROUP_SERVING]) return "LASTSRV beside SERVING";
    if (counts[GROUP_LASTSRV] && counts[GROUP_SYNCING]) return "LASTSRV beside SYNCING";
    if (counts[GROUP_SYNCING] && !counts[GROUP_SERVING]) return "SYNCING without SERVING";
    return NULL;
}
