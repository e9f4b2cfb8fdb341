/* chain_trouble.c - random faults on the storages of a world. */
#include "sim/chain_world.h"

/* What is broken now; one fault per storage at a time, so that healing is simple. */
struct trouble {
    struct world *world;
    uint64_t until_ns[WORLD_STORAGE_COUNT_MAX]; /* of the fault of storage i; 0: none */
    enum { HEALTHY, DOWN, FROZEN, CUT } kind[WORLD_STORAGE_COUNT_MAX];
};

static void cut_some(struct world *w, uint32_t victim)
{
    bool from_mgmtd = world_random(w, 2) == 0;
    if (from_mgmtd) script_find_node(&w->script, w->storages[victim].node_id)->is_cut_off = true;
    uint64_t ways = world_random(w, 3);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (i == victim || world_random(w, 3) == 0) continue;
        if (ways != 1) world_cut(w, victim, i);
        if (ways != 2) world_cut(w, i, victim);
    }
    if (world_random(w, 3) == 0) sim_cut(w->storages[victim].machine, w->client_machine);
}

static void begin_fault(struct trouble *t, uint32_t victim)
{
    struct world *w = t->world;
    uint64_t now_ns = sim_now_ns(w->sim);
    switch (world_random(w, 6)) {
    case 0:
    case 1:
        world_crash_storage(w, victim);
        t->kind[victim] = DOWN;
        break;
    case 2:
        world_kill_storage(w, victim);
        t->kind[victim] = DOWN;
        break;
    case 3:
        w->freeze_count++;
        sim_freeze(w->storages[victim].machine);
        t->kind[victim] = FROZEN;
        break;
    default:
        cut_some(w, victim);
        t->kind[victim] = CUT;
        break;
    }
    /* Often shorter than a lease: the chain does not change. */
    t->until_ns[victim] =
        now_ns + (world_random(w, 2) ? world_random(w, 300 * MSEC) : world_random(w, 5 * SEC));
}

static void end_fault(struct trouble *t, uint32_t victim)
{
    struct world *w = t->world;
    switch (t->kind[victim]) {
    case HEALTHY: break;
    case DOWN: world_start_storage(w, victim); break;
    case FROZEN: sim_thaw(w->storages[victim].machine); break;
    case CUT:
        script_find_node(&w->script, w->storages[victim].node_id)->is_cut_off = false;
        for (uint32_t i = 0; i < w->options.storage_count; i++) {
            if (i == victim) continue;
            sim_heal(w->storages[victim].machine, w->storages[i].machine);
            sim_heal(w->storages[i].machine, w->storages[victim].machine);
        }
        sim_heal(w->storages[victim].machine, w->client_machine);
        break;
    }
    t->kind[victim] = HEALTHY;
    t->until_ns[victim] = 0;
}

/* The steps of an update, a read, a recovery and a resync at which something may go wrong. */
static const char *const points[] = {
    "storage.update.before_stage",    "storage.update.before_forward",
    "storage.forward.before_send",    "storage.update.before_commit",
    "storage.update.before_reply",    "storage.read.before_disk",
    "storage.recover.before_forward", "storage.resync.before_chunk",
    "storage.resync.before_done",
};

/* Delays or fails the next passes of one step on one storage. */
static void add_rule(struct world *w)
{
    struct world_storage *s = &w->storages[world_random(w, w->options.storage_count)];
    if (!s->node) return;
    bool is_delay = world_random(w, 3) > 0;
    struct fault_rule rule = { .point = points[world_random(w, ARRAY_SIZE(points))],
                               .kind = is_delay ? FAULT_DELAY : FAULT_FAIL,
                               .error = -ERR_FAULT_INJECTION,
                               .delay_ns = world_random(w, 4) ? world_random(w, 50 * MSEC)
                                                              : world_random(w, 4 * SEC),
                               .skip_count = (uint32_t)world_random(w, 4),
                               .hit_count = 1 + (uint32_t)world_random(w, 3) };
    fault_add(s->node, &rule);
}

/* A storage that gave up by itself is a failure of ours. */
static int check_alive(struct world *w)
{
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        const struct world_storage *s = &w->storages[i];
        if (s->node && !s->is_running)
            return world_fail(w, "%s ended by itself: %s", s->name, error_name(s->result));
    }
    return 0;
}

int world_make_trouble(struct world *w, uint64_t end_ns)
{
    struct trouble t = { .world = w };
    uint64_t next_ns = sim_now_ns(w->sim);
    while (sim_now_ns(w->sim) < end_ns && !w->why[0]) {
        int r = fiber_sleep(5 * MSEC);
        if (r == 0) r = check_alive(w);
        if (r < 0) return r;
        uint64_t now_ns = sim_now_ns(w->sim);
        for (uint32_t i = 0; i < w->options.storage_count; i++) {
            if (t.until_ns[i] && t.until_ns[i] <= now_ns) end_fault(&t, i);
        }
        if (now_ns < next_ns) continue;
        next_ns = now_ns + world_random(w, 1500 * MSEC);
        for (uint64_t n = world_random(w, 3); n > 0 && w->options.with_points; n--) {
            add_rule(w);
        }
        if (w->options.with_points && world_random(w, 4) == 0) {
            /* A client that hears of changes late. */
            struct world_client *c = &w->clients[world_random(w, w->options.client_count)];
            script_cut_client(c->mgmtd, world_random(w, 2));
        }
        uint32_t victim = (uint32_t)world_random(w, w->options.storage_count);
        if (t.kind[victim] == HEALTHY) begin_fault(&t, victim);
    }
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        end_fault(&t, i);
    }
    world_heal(w);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        fault_clear(w->storages[i].node);
    }
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        script_cut_client(w->clients[i].mgmtd, false);
    }
    return 0;
}
