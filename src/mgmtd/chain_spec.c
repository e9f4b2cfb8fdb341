/* chain_spec.c - uploaded chains against each other and against what storages have reported. */
#include "mgmtd/chain_spec.h"

struct unused_target {
    uint32_t node_id, chain_id;
};

void spec_check_init(struct spec_check *c, const struct state *s, struct arena *arena,
                     uint32_t chain_count)
{
    *c = (struct spec_check){ .s = s, .arena = arena };
    map_init(&c->targets, chain_count);
    map_init(&c->chains, chain_count);
    map_init(&c->unused, chain_count);
    for (size_t i = 0; i < s->nodes.count; i++) {
        const struct member_node *node = s->nodes.slots[i].value;
        for (uint32_t j = 0; node->report && j < node->report->orphans.count; j++) {
            const struct local_target *said = &node->report->orphans.items[j];
            struct unused_target *unused = arena_alloc(arena, sizeof *unused);
            *unused = (struct unused_target){ node->info->node_id, said->chain_id };
            map_put(&c->unused, said->target_id, unused);
        }
    }
}

void spec_check_done(struct spec_check *c)
{
    map_done(&c->targets);
    map_done(&c->chains);
    map_done(&c->unused);
}

static int refuse(struct spec_check *c, int r, const char **ret_why, const struct chain_spec *spec,
                  uint64_t target_id, const char *what)
{
    *ret_why =
        arena_printf(c->arena, "chain %u: target %" PRIu64 " %s", spec->chain_id, target_id, what);
    return r;
}

/* 0: nobody has reported it. */
static uint32_t node_of(const struct spec_check *c, uint64_t target_id)
{
    const struct member_target *target = state_target(c->s, target_id);
    if (target && target->node) return target->node->info->node_id;
    const struct unused_target *unused = map_get(&c->unused, target_id);
    return unused ? unused->node_id : 0;
}

static int check_target(struct spec_check *c, const struct chain_spec *spec, uint32_t at,
                        const char **ret_why)
{
    uint64_t id = spec->targets.items[at];
    const struct member_target *target = state_target(c->s, id);
    const struct unused_target *unused = map_get(&c->unused, id);
    if (id == 0)
        return refuse(c, -ERR_MGMTD_INVALID_CHAIN_TABLE, ret_why, spec, id, "is no target");
    if (map_put(&c->targets, id, c) != NULL)
        return refuse(c, -ERR_MGMTD_TARGET_EXISTED, ret_why, spec, id, "is given twice");
    if (target && target->chain != state_chain(c->s, spec->chain_id))
        return refuse(
            c, -ERR_MGMTD_TARGET_EXISTED, ret_why, spec, id,
            arena_printf(c->arena, "is in chain %u already", target->chain->info->chain_id));
    if (!target && unused && unused->chain_id != spec->chain_id)
        return refuse(c, -ERR_MGMTD_INVALID_CHAIN_TABLE, ret_why, spec, id,
                      arena_printf(c->arena,
                                   "was made for chain %u: remove-target it, or name that chain",
                                   unused->chain_id));
    uint32_t node_id = node_of(c, id);
    for (uint32_t i = 0; node_id && i < at; i++) {
        if (node_of(c, spec->targets.items[i]) != node_id) continue;
        return refuse(c, -ERR_MGMTD_INVALID_CHAIN_TABLE, ret_why, spec, id,
                      arena_printf(c->arena,
                                   "is on node %u like target %" PRIu64
                                   ": each replica needs a node of its own",
                                   node_id, spec->targets.items[i]));
    }
    return 0;
}

int spec_check(struct spec_check *c, const struct chain_spec *spec, const char **ret_why)
{
    const struct u64_list *targets = &spec->targets;
    if (spec->chain_id == 0 || targets->count == 0 || targets->count > CHAIN_TARGET_COUNT_MAX) {
        *ret_why = arena_printf(c->arena, "chain %u: a chain has a number and 1 to %d targets",
                                spec->chain_id, CHAIN_TARGET_COUNT_MAX);
        return -ERR_MGMTD_INVALID_CHAIN_TABLE;
    }
    if (map_put(&c->chains, spec->chain_id, c) != NULL) {
        *ret_why = arena_printf(c->arena, "chain %u is given twice", spec->chain_id);
        return -ERR_MGMTD_INVALID_CHAIN_TABLE;
    }
    for (uint32_t i = 0; i < targets->count; i++) {
        int r = check_target(c, spec, i, ret_why);
        if (r < 0) return r;
    }
    const struct member_chain *held = state_chain(c->s, spec->chain_id);
    if (!held) return 1;
    bool is_same = held->info->members.count == targets->count;
    for (uint32_t i = 0; i < targets->count && is_same; i++) {
        const struct member_target *target = state_target(c->s, targets->items[i]);
        is_same = target && target->chain == held;
    }
    if (is_same) return 0;
    *ret_why =
        arena_printf(c->arena, "chain %u exists with other targets: update-chain changes a chain",
                     spec->chain_id);
    return -ERR_MGMTD_INVALID_CHAIN_TABLE;
}

int spec_check_add(const struct state *s, struct arena *arena, const struct member_chain *chain,
                   uint64_t target_id, const char **ret_why)
{
    const struct chain_info *info = chain->info;
    struct chain_spec spec = {
        .chain_id = info->chain_id,
        .targets.items = arena_array(arena, uint64_t, info->members.count + 1u),
    };
    /* One that is OFFLINE may be about to be replaced, on the same node as well. */
    uint32_t count = 0;
    for (uint32_t i = 0; i < info->members.count; i++)
        if (info->members.items[i].public_state != PUBLIC_OFFLINE)
            spec.targets.items[count++] = info->members.items[i].target_id;
    spec.targets.items[count] = target_id;
    spec.targets.count = count + 1;
    struct spec_check c;
    spec_check_init(&c, s, arena, 1);
    int r = check_target(&c, &spec, count, ret_why);
    spec_check_done(&c);
    return r;
}
