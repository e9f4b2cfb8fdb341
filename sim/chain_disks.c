/* chain_disks.c - disks that fail, are replaced, full or rotten. */
#include "sim/chain_disks.h"
#include <stdio.h>

#define STEP_LIMIT_NS (60 * SEC)
#define JOIN_LIMIT_NS (300 * SEC)

static int check_all_succeeded(struct world *w)
{
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        if (w->clients[i].failed_count)
            return world_fail(w, "client %u: %u operations failed", i, w->clients[i].failed_count);
    }
    return 0;
}

static uint64_t metric(const struct process *p, const char *name)
{
    return metrics_value(p->node->metrics, name);
}

/* The state of a storage's target in a chain, as the first client sees it. */
static enum public_state state_in(const struct world *w, uint32_t chain_id, const struct process *p)
{
    const struct routing *routing = mgmtd_client_routing(w->clients[0].mgmtd);
    const struct chain_info *chain = routing_chain(routing, chain_id);
    for (uint32_t i = 0; chain && i < chain->members.count; i++) {
        if (chain->members.items[i].node_id == p->role.node_id)
            return (enum public_state)chain->members.items[i].public_state;
    }
    return PUBLIC_INVALID;
}

struct making {
    uint32_t chain, replica;
    int result;
};

static void make_visit(struct world_client *c, void *arg)
{
    struct making *m = arg;
    m->result = world_make_target(c, m->chain, m->replica);
}

/* create-target, for all chains that have a target on the storage. */
static int make_targets(struct world *w, uint32_t storage)
{
    for (uint32_t chain = 1; chain <= w->options.chain_count; chain++) {
        uint32_t replica =
            (storage + w->options.storage_count - (chain - 1) % w->options.storage_count) %
            w->options.storage_count;
        if (replica >= w->options.replica_count) continue;
        struct making m = { .chain = chain, .replica = replica };
        int r = world_visit(&w->clients[0], make_visit, &m);
        if (r == 0) r = m.result;
        if (r < 0)
            return world_fail(w, "target of chain %u at %s: %s", chain, w->storages[storage].name,
                              error_name(r));
    }
    return 0;
}

/* ---- one of two disks ---- */

/* The chain of which the storage's target has left; 0 in the beginning. */
static int wait_one_gone(struct world *w, const struct process *p, uint32_t *ret_chain)
{
    uint64_t end_ns = world_now_ns(w) + STEP_LIMIT_NS;
    *ret_chain = 0;
    while (*ret_chain == 0) {
        for (uint32_t chain = 1; chain <= w->options.chain_count; chain++) {
            if (state_in(w, chain, p) == PUBLIC_OFFLINE) *ret_chain = chain;
        }
        if (world_now_ns(w) > end_ns) return world_fail(w, "no target goes offline");
        int r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

int disks_one_fails(struct world *w)
{
    uint32_t victim = (uint32_t)world_random(w, w->options.storage_count), gone = 0;
    struct process *p = &w->storages[victim];
    int r = world_start_clients(w);
    if (r == 0) r = fiber_sleep(500 * MSEC + world_random(w, 500 * MSEC));
    struct fault_rule rule = { .point = "storage.units.before_sync",
                               .kind = FAULT_FAIL,
                               .error = -ERR_CHUNK_WRITE_FAILED,
                               .hit_count = 1 };
    fault_add(p->node, &rule);
    if (r == 0) r = wait_one_gone(w, p, &gone);
    uint64_t end_ns = world_now_ns(w) + 2 * SEC;
    while (r == 0 && world_now_ns(w) < end_ns) {
        for (uint32_t chain = 1; chain <= w->options.chain_count; chain++) {
            if (chain != gone && state_in(w, chain, p) != PUBLIC_SERVING)
                return world_fail(w, "the other disk's target of chain %u went too", chain);
        }
        r = fiber_sleep(20 * MSEC);
        if (r == 0) r = world_check_alive(w);
    }
    /* The disk is good again, or another one is in its place. */
    if (r == 0) r = make_targets(w, victim);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    return r < 0 ? r : check_all_succeeded(w);
}

/* ---- a new disk ---- */

int disks_replaced(struct world *w)
{
    static const uint64_t pauses_ns[] = { 0, 100 * MSEC, 3 * SEC };
    int r = world_start_clients(w);
    for (uint32_t round = 0; r == 0 && round < 4; round++) {
        uint32_t victim = (uint32_t)world_random(w, w->options.storage_count);
        struct process *p = &w->storages[victim];
        r = fiber_sleep(world_random(w, 1 * SEC));
        if (r < 0) return r;
        world_end(w, p, ENDING_POWER);
        snprintf(p->role.dir, sizeof p->role.dir, "/new-%u", round);
        r = fiber_sleep(pauses_ns[world_random(w, ARRAY_SIZE(pauses_ns))]);
        if (r < 0) return r;
        world_start(w, p);
        r = make_targets(w, victim);
        if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    }
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    return r < 0 ? r : check_all_succeeded(w);
}

/* ---- full ---- */

struct filling {
    uint32_t written_count;
    int refusal;
    uint64_t refusal_ns; /* how long it took */
};

static void fill_visit(struct world_client *c, void *arg)
{
    struct filling *f = arg;
    struct world *w = c->world;
    f->refusal = 0;
    for (uint32_t chunk = 0; chunk < w->options.chunk_count && f->refusal == 0; chunk++) {
        uint64_t began_ns = world_now_ns(w);
        f->refusal = world_write(c, chunk, 0, WORLD_BLOCKS);
        f->refusal_ns = world_now_ns(w) - began_ns;
        if (f->refusal == 0) f->written_count = chunk + 1;
    }
}

static void read_visit(struct world_client *c, void *arg)
{
    const struct filling *f = arg;
    for (uint32_t chunk = 0; chunk < f->written_count; chunk++) {
        int r = world_read(c, chunk, 0, WORLD_BLOCKS);
        if (r < 0) (void)world_fail(c->world, "chunk %u of a full disk: %s", chunk, error_name(r));
    }
}

static void remove_visit(struct world_client *c, void *arg)
{
    const struct filling *f = arg;
    for (uint32_t chunk = 0; chunk < f->written_count / 2; chunk++) {
        int r = world_remove(c, chunk);
        if (r < 0)
            (void)world_fail(c->world, "removal of chunk %u of a full disk: %s", chunk,
                             error_name(r));
    }
}

static void write_again_visit(struct world_client *c, void *arg)
{
    int r = world_write(c, 0, 0, WORLD_BLOCKS);
    if (r < 0) (void)world_fail(c->world, "a write where space is free again: %s", error_name(r));
}

static int visit(struct world *w, void (*fn)(struct world_client *c, void *arg), void *arg)
{
    int r = world_visit(&w->clients[0], fn, arg);
    return r == 0 && w->why[0] ? -ERR_FOUND_BUG : r;
}

int disks_full(struct world *w)
{
    struct process *away = &w->storages[world_random(w, w->options.storage_count)];
    struct filling f = { 0 };
    int r = visit(w, fill_visit, &f);
    if (r == 0 && f.refusal != -ERR_NO_SPACE)
        r = world_fail(w, "full disks: %s", error_name(f.refusal));
    if (r == 0 && f.refusal_ns > 1 * SEC)
        r = world_fail(w, "the refusal took %" PRIu64 " ms", (uint64_t)(f.refusal_ns / MSEC));
    if (r == 0) r = visit(w, read_visit, &f);
    world_end(w, away, ENDING_POWER);
    if (r == 0) r = visit(w, remove_visit, &f);
    world_start(w, away);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    if (r == 0) r = visit(w, write_again_visit, NULL);
    /* More space, for what is checked in the end. */
    for (uint32_t i = 0; r == 0 && i < w->options.storage_count; i++) {
        world_end(w, &w->storages[i], ENDING_STOP);
        w->storages[i].role.capacity_bytes = 64 * MIB;
        world_start(w, &w->storages[i]);
        r = world_wait_whole(w, STEP_LIMIT_NS);
    }
    return r;
}

static struct process *storage_of(struct world *w, uint32_t chain, uint32_t replica)
{
    return &w->storages[(chain - 1 + replica) % w->options.storage_count];
}

static void write_once_visit(struct world_client *c, void *arg)
{
    int *result = arg;
    *result = world_write(c, 0, 0, WORLD_BLOCKS);
}

static void read_each_visit(struct world_client *c, void *arg)
{
    for (uint32_t i = 0; i < c->world->options.replica_count; i++) {
        int r = world_read_from(c, 0, 0, WORLD_BLOCKS, i);
        if (r < 0 && !arg) (void)world_fail(c->world, "replica %u: %s", i, error_name(r));
    }
}

int disks_refused(struct world *w)
{
    uint32_t chain = world_chain_of(w, 0);
    struct process *away = storage_of(w, chain, 1), *full = storage_of(w, chain, 2);
    struct fault_rule no_space = { .point = "storage.update.before_stage",
                                   .kind = FAULT_FAIL,
                                   .error = -ERR_NO_SPACE };
    int result = 0;
    int r = visit(w, write_once_visit, &result);
    if (r == 0 && result < 0) r = world_fail(w, "a write: %s", error_name(result));
    /* The head has it on its disk, and waits for who is away until the chain goes on. */
    world_end(w, away, ENDING_POWER);
    fault_add(full->node, &no_space);
    if (r == 0) r = visit(w, write_once_visit, &result);
    if (r == 0 && result != -ERR_NO_SPACE)
        r = world_fail(w, "a full member: %s", error_name(result));
    fault_clear(full->node);
    if (r == 0) r = visit(w, read_each_visit, w);
    world_start(w, away);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    if (r == 0) r = visit(w, read_each_visit, NULL);
    if (r == 0) r = visit(w, write_again_visit, NULL);
    if (r == 0) r = visit(w, read_each_visit, NULL);
    return r;
}

/* ---- rot ---- */

static int wait_scrubbed(struct world *w, const struct process *p)
{
    uint64_t wanted = metric(p, "storage.scrub_rounds") + 2;
    uint64_t end_ns = world_now_ns(w) + STEP_LIMIT_NS;
    while (metric(p, "storage.scrub_rounds") < wanted) {
        if (world_now_ns(w) > end_ns) return world_fail(w, "%s does not scrub", p->name);
        int r = fiber_sleep(10 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

static bool are_clients_done(const struct world *w)
{
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        if (!w->clients[i].is_done) return false;
    }
    return true;
}

int disks_rot(struct world *w)
{
    enum { UNIT_COUNT = 24 }; /* about what is in use */
    struct process *p = &w->storages[world_random(w, w->options.storage_count)];
    uint32_t flip_count = 0;
    int r = world_start_clients(w);
    while (r == 0 && !are_clients_done(w)) {
        uint64_t at = world_random(w, (uint64_t)UNIT_COUNT * WORLD_CHUNK_BYTES);
        if (sim_flip_bit(p->machine, "/data/shard-00/units-0000", at,
                         (uint8_t)world_random(w, 8)) == 0)
            flip_count++;
        r = fiber_sleep(world_random(w, 50 * MSEC));
        if (r == 0) r = world_check_alive(w);
    }
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    if (r == 0) r = wait_scrubbed(w, p);
    if (r == 0 && metric(p, "storage.repairs") == 0)
        r = world_fail(w, "%u bits were flipped, and nothing was repaired", flip_count);
    return r < 0 ? r : check_all_succeeded(w);
}

static void flip_in_all_units(struct process *p)
{
    enum { UNIT_COUNT = 64 };
    for (uint64_t at = 0; at < UNIT_COUNT; at++) {
        /* A hole has no bits. */
        int r = sim_flip_bit(p->machine, "/data/shard-00/units-0000", at * WORLD_CHUNK_BYTES, 0);
        (void)r;
    }
}

int disks_damaged_alone(struct world *w)
{
    struct filling f = { 0 };
    struct process *last = &w->storages[world_random(w, w->options.storage_count)];
    int r = visit(w, fill_visit, &f);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (&w->storages[i] != last) world_end(w, &w->storages[i], ENDING_STOP);
    }
    if (r == 0) r = fiber_sleep(3 * SEC); /* until they are excluded */
    flip_in_all_units(last);
    if (r == 0) r = world_start_clients(w);
    if (r == 0) r = fiber_sleep(1 * SEC + world_random(w, 3 * SEC));
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (&w->storages[i] != last) world_start(w, &w->storages[i]);
    }
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    return r < 0 ? r : check_all_succeeded(w);
}

/* ---- reads ---- */

enum { READ_COUNT = 300 };

static void spread_visit(struct world_client *c, void *arg)
{
    struct world *w = c->world;
    uint64_t *worst_ns = arg;
    for (uint32_t i = 0; i < READ_COUNT; i++) {
        uint64_t began_ns = world_now_ns(w);
        int r = world_read(c, (uint32_t)world_random(w, w->options.chunk_count), 0, 1);
        if (r < 0) (void)world_fail(w, "a read: %s", error_name(r));
        *worst_ns = MAX_OF(*worst_ns, world_now_ns(w) - began_ns);
    }
}

int disks_spread_reads(struct world *w)
{
    struct filling f = { 0 };
    uint64_t worst_ns = 0, before[WORLD_STORAGE_COUNT_MAX] = { 0 };
    int r = visit(w, fill_visit, &f);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        before[i] = metric(&w->storages[i], "storage.read_ios");
    }
    if (r == 0) r = visit(w, spread_visit, &worst_ns);
    for (uint32_t i = 0; r == 0 && i < w->options.storage_count; i++) {
        uint64_t count = metric(&w->storages[i], "storage.read_ios") - before[i];
        if (count < READ_COUNT / w->options.storage_count / 2)
            r = world_fail(w, "%s has served %" PRIu64 " of %d reads", w->storages[i].name, count,
                           READ_COUNT);
    }
    struct fault_rule rule = { .point = "storage.read.before_disk",
                               .kind = FAULT_FAIL,
                               .error = -ERR_CHUNK_READ_FAILED };
    fault_add(w->storages[world_random(w, w->options.storage_count)].node, &rule);
    worst_ns = 0;
    if (r == 0) r = visit(w, spread_visit, &worst_ns);
    if (r == 0 && worst_ns > 50 * MSEC)
        r = world_fail(w, "a read took %" PRIu64 " ms", (uint64_t)(worst_ns / MSEC));
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        fault_clear(w->storages[i].node);
    }
    return r;
}
