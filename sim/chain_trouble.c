/* chain_trouble.c - random faults on the servers of a world in the simulator. */
#include "sim/chain_world.h"
#include "sim/message.h"

/* What is broken now; one fault per server at a time, so that healing is simple. */
struct fault {
    enum { HEALTHY, DOWN, FROZEN, CUT } kind;
    uint64_t until_ns;
    struct world_client *islander; /* of a cut: who is alone with the victim */
};

void world_cut(struct machine *a, struct machine *b)
{
    sim_cut(a, b);
    sim_cut(b, a);
}

void world_mend(struct machine *a, struct machine *b)
{
    sim_heal(a, b);
    sim_heal(b, a);
}

static void cut_some(struct world *w, struct process *victim)
{
    w->cut_count++;
    bool is_manager = victim == &w->manager;
    if (!is_manager && world_random(w, 2)) world_cut(victim->machine, w->manager.machine);
    uint64_t ways = world_random(w, 3);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        struct process *other = &w->storages[i];
        if (other == victim || world_random(w, 3) == 0) continue;
        if (ways != 1) sim_cut(victim->machine, other->machine);
        if (ways != 2) sim_cut(other->machine, victim->machine);
    }
    if (world_random(w, 3)) return;
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        sim_cut(victim->machine, w->clients[i].machine);
    }
}

/* The victim and one client are alone with each other, while all others go on without them. */
static void make_island(struct world *w, struct process *victim, struct fault *f)
{
    struct world_client *c = &w->clients[world_random(w, w->options.client_count)];
    if (victim == &w->manager || c->island) return;
    w->cut_count++;
    f->islander = c;
    c->island = victim->role.node_id;
    world_cut(victim->machine, w->manager.machine);
    world_cut(c->machine, w->manager.machine);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (&w->storages[i] == victim) continue;
        world_cut(victim->machine, w->storages[i].machine);
        world_cut(c->machine, w->storages[i].machine);
    }
}

static void leave_island(struct world *w, struct world_client *c)
{
    c->island = 0;
    world_mend(c->machine, w->manager.machine);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        world_mend(c->machine, w->storages[i].machine);
    }
}

static void heal_cuts(struct world *w, struct process *victim)
{
    for (uint32_t i = 0; i <= w->options.storage_count; i++) {
        struct process *other = i < w->options.storage_count ? &w->storages[i] : &w->manager;
        if (other == victim) continue;
        world_mend(victim->machine, other->machine);
    }
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        world_mend(victim->machine, w->clients[i].machine);
    }
}

/* An end, and a start that comes before any lease has run out. */
static void blink(struct world *w, struct process *victim, struct fault *f)
{
    world_end(w, victim, world_random(w, 3) ? ENDING_POWER : ENDING_KILL);
    f->kind = DOWN;
    f->until_ns = world_now_ns(w) + 1 + world_random(w, 100 * MSEC);
}

static void begin_fault(struct world *w, struct process *victim, struct fault *f)
{
    if (w->options.with_blinks && world_random(w, 4)) {
        blink(w, victim, f);
        return;
    }
    if (w->options.with_islands && world_random(w, 2)) {
        make_island(w, victim, f);
        f->kind = CUT;
        f->until_ns = world_now_ns(w) + 2 * SEC + world_random(w, 3 * SEC);
        return;
    }
    switch (world_random(w, 6)) {
    case 0:
    case 1:
        world_end(w, victim, ENDING_POWER);
        f->kind = DOWN;
        break;
    case 2:
        world_end(w, victim, world_random(w, 4) ? ENDING_KILL : ENDING_STOP);
        f->kind = DOWN;
        break;
    case 3:
        w->freeze_count++;
        sim_freeze(victim->machine);
        f->kind = FROZEN;
        break;
    default:
        cut_some(w, victim);
        f->kind = CUT;
        break;
    }
    /* Often shorter than a lease: the chain does not change. */
    f->until_ns = world_now_ns(w) +
                  (world_random(w, 2) ? world_random(w, 300 * MSEC) : world_random(w, 5 * SEC));
}

static void end_fault(struct world *w, struct process *victim, struct fault *f)
{
    switch (f->kind) {
    case HEALTHY: break;
    case DOWN: world_start(w, victim); break;
    case FROZEN: sim_thaw(victim->machine); break;
    case CUT: heal_cuts(w, victim); break;
    }
    if (f->islander) leave_island(w, f->islander);
    *f = (struct fault){ .kind = HEALTHY };
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
    struct process *p = &w->storages[world_random(w, w->options.storage_count)];
    if (!p->node) return;
    bool is_delay = world_random(w, 3) > 0;
    struct fault_rule rule = { .point = points[world_random(w, ARRAY_SIZE(points))],
                               .kind = is_delay ? FAULT_DELAY : FAULT_FAIL,
                               .error = -ERR_FAULT_INJECTION,
                               .delay_ns = world_random(w, 4) ? world_random(w, 50 * MSEC)
                                                              : world_random(w, 4 * SEC),
                               .skip_count = (uint32_t)world_random(w, 4),
                               .hit_count = 1 + (uint32_t)world_random(w, 3) };
    fault_add(p->node, &rule);
}

static void trouble_steps(struct world *w)
{
    for (uint64_t n = world_random(w, 3); n > 0; n--) {
        add_rule(w);
    }
    if (world_random(w, 4)) return;
    /* A client that hears of changes late. */
    struct machine *client = w->clients[world_random(w, w->options.client_count)].machine;
    if (world_random(w, 2))
        world_cut(w->manager.machine, client);
    else
        world_mend(w->manager.machine, client);
}

static struct process *pick_victim(struct world *w)
{
    uint64_t i = world_random(w, w->options.storage_count * 4 + 1);
    return i < w->options.storage_count * 4 ? &w->storages[i / 4] : &w->manager;
}

int world_make_trouble(struct world *w, uint64_t end_ns)
{
    struct fault faults[WORLD_STORAGE_COUNT_MAX + 1] = { 0 };
    struct sim_net_profile net = sim_options_default(0).net;
    uint64_t next_ns = world_now_ns(w);
    if (w->options.with_repeats) message_trouble(&net);
    sim_set_net_profile(w->place.sim, &net);
    while (world_now_ns(w) < end_ns && !w->why[0]) {
        int r = fiber_sleep(5 * MSEC);
        if (r == 0) r = world_check_alive(w);
        if (r < 0) return r;
        uint64_t now_ns = world_now_ns(w);
        for (uint32_t i = 0; i <= w->options.storage_count; i++) {
            if (!faults[i].until_ns || faults[i].until_ns > now_ns) continue;
            end_fault(w, i < w->options.storage_count ? &w->storages[i] : &w->manager, &faults[i]);
        }
        if (now_ns < next_ns) continue;
        next_ns = now_ns + world_random(w, w->options.with_blinks ? 400 * MSEC : 1500 * MSEC);
        if (w->options.with_points) trouble_steps(w);
        struct process *victim = pick_victim(w);
        struct fault *f = victim == &w->manager ? &faults[w->options.storage_count]
                                                : &faults[victim - w->storages];
        if (f->kind == HEALTHY) begin_fault(w, victim, f);
    }
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        w->clients[i].island = 0;
    }
    net = sim_options_default(0).net;
    sim_set_net_profile(w->place.sim, &net);
    world_heal(w);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        fault_clear(w->storages[i].node);
    }
    return 0;
}
