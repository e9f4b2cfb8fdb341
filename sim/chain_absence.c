/* chain_absence.c - storages that go and come back, and what they must have then. */
#include "sim/chain_absence.h"
#include "client/names.h"

#define STEP_LIMIT_NS (60 * SEC)
#define JOIN_LIMIT_NS (300 * SEC)

/* ---- one operation of a client, waited for or not ---- */

struct errand {
    struct world_client *client;
    bool is_read;
    uint32_t chunk, block_count;
    bool is_done;
    int result;
};

static int errand_fiber(void *arg)
{
    struct errand *e = arg;
    e->result = e->is_read ? world_read(e->client, e->chunk, 0, e->block_count)
                           : world_write(e->client, e->chunk, 0, e->block_count);
    e->is_done = true;
    return 0;
}

static int start_errand(struct errand *e)
{
    return fiber_spawn(&e->client->scope, "errand", errand_fiber, e);
}

static int join_errand(struct errand *e)
{
    struct world *w = e->client->world;
    uint64_t end_ns = world_now_ns(w) + STEP_LIMIT_NS;
    while (!e->is_done) {
        if (world_now_ns(w) > end_ns) return world_fail(w, "an operation does not end");
        int r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    return e->result;
}

static int run_short_write(struct world_client *c, uint32_t chunk, uint32_t block_count)
{
    struct errand e = { .client = c, .chunk = chunk, .block_count = block_count };
    int r = start_errand(&e);
    if (r == 0) r = join_errand(&e);
    return r < 0 ? world_fail(c->world, "write of chunk %u: %s", chunk, error_name(r)) : 0;
}

static int run_write(struct world_client *c, uint32_t chunk)
{
    return run_short_write(c, chunk, WORLD_BLOCKS);
}

static int run_read(struct world_client *c, uint32_t chunk)
{
    struct errand e = { .client = c, .is_read = true, .chunk = chunk, .block_count = WORLD_BLOCKS };
    int r = start_errand(&e);
    if (r == 0) r = join_errand(&e);
    return r < 0 ? world_fail(c->world, "read of chunk %u: %s", chunk, error_name(r)) : 0;
}

/* ---- what the last client sees of the first chain ---- */

static enum public_state state_of(const struct world *w, const struct process *p)
{
    const struct world_client *c = &w->clients[w->options.client_count - 1];
    const struct chain_info *chain = routing_chain(mgmtd_client_routing(c->mgmtd), 1);
    for (uint32_t i = 0; chain && i < chain->members.count; i++) {
        if (chain->members.items[i].node_id == p->role.node_id)
            return (enum public_state)chain->members.items[i].public_state;
    }
    return PUBLIC_INVALID;
}

static int wait_state(struct world *w, const struct process *p, enum public_state state)
{
    uint64_t end_ns = world_now_ns(w) + STEP_LIMIT_NS;
    while (state_of(w, p) != state) {
        if (world_now_ns(w) > end_ns)
            return world_fail(w, "%s: %s, not %s, for ever", p->name,
                              public_state_name(state_of(w, p)), public_state_name(state));
        int r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

static void cut_client(struct world_client *c, void (*how)(struct machine *, struct machine *))
{
    struct world *w = c->world;
    how(c->machine, w->manager.machine);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        how(c->machine, w->storages[i].machine);
    }
}

/* ---- all at once ---- */

static int start_all(struct world *w)
{
    uint32_t count = w->options.storage_count;
    uint32_t first = (uint32_t)world_random(w, count);
    if (!w->manager.is_up) world_start(w, &w->manager);
    for (uint32_t i = 0; i < count; i++) {
        int r = fiber_sleep(world_random(w, 2) ? 0 : world_random(w, 3 * SEC));
        if (r < 0) return r;
        world_start(w, &w->storages[(first + i) % count]);
    }
    return 0;
}

int absence_of_all(struct world *w)
{
    int r = world_start_clients(w);
    for (uint32_t round = 0; r == 0 && round < 6; round++) {
        r = fiber_sleep(world_random(w, 1500 * MSEC));
        if (r < 0) return r;
        if (world_random(w, 3)) world_end(w, &w->manager, ENDING_POWER);
        for (uint32_t i = 0; i < w->options.storage_count; i++) {
            world_end(w, &w->storages[i], ENDING_POWER);
        }
        r = fiber_sleep(world_random(w, 4 * SEC));
        if (r == 0) r = start_all(w);
        if (r == 0 && world_random(w, 2)) r = world_wait_whole(w, STEP_LIMIT_NS);
    }
    return r < 0 ? r : world_join_clients(w, JOIN_LIMIT_NS);
}

/* ---- one after the other ---- */

int absence_lastsrv(struct world *w)
{
    struct process *last = &w->storages[2];
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < 2; i++) {
        r = run_write(&w->clients[1], 0);
        world_end(w, &w->storages[i], ENDING_POWER);
        if (r == 0) r = wait_state(w, &w->storages[i], PUBLIC_OFFLINE);
    }
    if (r == 0) r = run_write(&w->clients[1], 0);
    world_end(w, last, world_random(w, 2) ? ENDING_POWER : ENDING_KILL);
    if (r == 0) r = wait_state(w, last, PUBLIC_LASTSRV);
    world_start(w, &w->storages[0]);
    world_start(w, &w->storages[1]);
    /* What they have is old: whoever reads waits for the last one. */
    struct errand read = { .client = &w->clients[0], .is_read = true, .block_count = WORLD_BLOCKS };
    if (r == 0) r = start_errand(&read);
    if (r == 0) r = fiber_sleep(5 * SEC);
    if (r == 0 && read.is_done && read.result == 0)
        r = world_fail(w, "a read was answered without the last server");
    world_start(w, last);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    int joined = join_errand(&read);
    return r < 0 ? r : joined;
}

/* ---- the return ---- */

static uint64_t resync_bytes(const struct world *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        const struct process *p = &w->storages[i];
        if (p->is_up) sum += metrics_value(p->node->metrics, "storage.resync_bytes");
    }
    return sum;
}

static int write_all(struct world *w)
{
    int r = 0;
    for (uint32_t chunk = 0; r == 0 && chunk < w->options.chunk_count; chunk++) {
        r = run_write(&w->clients[0], chunk);
    }
    return r;
}

static int wait_return(struct world *w, uint64_t *ret_ns)
{
    uint64_t began_ns = world_now_ns(w);
    world_start(w, &w->storages[2]);
    /* It has to be seen as away first. */
    int r = wait_state(w, &w->storages[2], PUBLIC_SYNCING);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    *ret_ns = world_now_ns(w) - began_ns;
    return r;
}

int absence_short_return(struct world *w)
{
    enum { CHANGED_CHUNKS = 2 };
    uint64_t took_ns = 0, before = 0;
    int r = write_all(w);
    world_end(w, &w->storages[2], ENDING_POWER);
    for (uint32_t i = 0; r == 0 && i < 60; i++) {
        r = fiber_sleep(1 * SEC);
        if (r == 0) r = run_write(&w->clients[1], i % CHANGED_CHUNKS);
    }
    before = resync_bytes(w);
    if (r == 0) r = wait_return(w, &took_ns);
    uint64_t sent = resync_bytes(w) - before;
    /* And the last one before the crash, whose commit mark was not on the disk. */
    if (r == 0 && sent > (CHANGED_CHUNKS + 1) * WORLD_CHUNK_BYTES)
        r = world_fail(w, "%" PRIu64 " bytes were sent for %d chunks", sent, CHANGED_CHUNKS);
    if (r == 0 && took_ns > 5 * SEC)
        r = world_fail(w, "whole again only after %" PRIu64 " ms", (uint64_t)(took_ns / MSEC));
    return r;
}

int absence_throttled_return(struct world *w)
{
    const uint64_t bandwidth = 128 * KIB;
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        struct process *p = &w->storages[i];
        world_end(w, p, ENDING_STOP);
        p->role.resync_bandwidth = bandwidth;
        p->role.resync_concurrency = 1;
        world_start(w, p);
    }
    int r = world_wait_whole(w, STEP_LIMIT_NS);
    world_end(w, &w->storages[2], ENDING_POWER);
    if (r == 0) r = write_all(w);
    if (r == 0) r = wait_state(w, &w->storages[2], PUBLIC_OFFLINE);
    uint64_t began_ns = world_now_ns(w), worst_ns = 0;
    world_start(w, &w->storages[2]);
    if (r == 0) r = wait_state(w, &w->storages[2], PUBLIC_SYNCING);
    while (r == 0 && state_of(w, &w->storages[2]) != PUBLIC_SERVING) {
        uint64_t write_ns = world_now_ns(w);
        r = run_write(&w->clients[0], (uint32_t)world_random(w, 2));
        worst_ns = MAX_OF(worst_ns, world_now_ns(w) - write_ns);
        if (r == 0) r = fiber_sleep(50 * MSEC);
        if (r == 0 && world_now_ns(w) - began_ns > STEP_LIMIT_NS) r = world_fail(w, "never filled");
    }
    uint64_t took_ns = world_now_ns(w) - began_ns;
    /* Chunks that are written meanwhile come by themselves; the last one is not paid for. */
    uint64_t paid_bytes = (uint64_t)(w->options.chunk_count - 3) * WORLD_CHUNK_BYTES;
    if (r == 0 && took_ns < paid_bytes * SEC / bandwidth)
        r = world_fail(w, "filled within %" PRIu64 " ms, faster than allowed",
                       (uint64_t)(took_ns / MSEC));
    if (r == 0 && worst_ns > 300 * MSEC)
        r = world_fail(w, "a write waited %" PRIu64 " ms for the resync",
                       (uint64_t)(worst_ns / MSEC));
    return r;
}

/* The next passes of @p's fibers through @point take this long: as many as there are chunks. */
static void delay_point(const struct process *p, const char *point, uint64_t delay_ns)
{
    struct fault_rule rule = { .point = point,
                               .kind = FAULT_DELAY,
                               .delay_ns = delay_ns,
                               .hit_count = WORLD_CHUNK_COUNT_MAX };
    fault_add(p->node, &rule);
}

static int wait_hit(const struct process *p, const char *point)
{
    int r = 0;
    while (r == 0 && fault_hits(p->node, point) == 0) {
        r = fiber_sleep(1 * MSEC);
    }
    return r;
}

/* Two replicas. What replaces chunks of the second one is sent twice; the second copies come until
 * two seconds later, when newer updates have come by and the attempt is not over yet. */
int absence_late_replacements(struct world *w)
{
    struct process *head = &w->storages[0], *filled = &w->storages[1];
    struct sim_net_profile well = sim_options_default(0).net, net = well;
    net.repeat_ppm = 1000000;
    net.repeat_max_ns = 2 * SEC;
    world_end(w, filled, ENDING_POWER);
    int r = wait_state(w, filled, PUBLIC_OFFLINE);
    if (r == 0) r = write_all(w);
    /* The beginning of the attempt must not come twice: it would begin anew. */
    delay_point(head, "storage.resync.before_chunk", 20 * MSEC);
    delay_point(head, "storage.resync.before_done", 3 * SEC);
    world_start(w, filled);
    if (r == 0) r = wait_hit(head, "storage.resync.before_chunk");
    sim_set_net_profile(w->place.sim, &net);
    if (r == 0) r = wait_hit(head, "storage.resync.before_done");
    sim_set_net_profile(w->place.sim, &well);
    if (r == 0) r = write_all(w);
    return r < 0 ? r : wait_state(w, filled, PUBLIC_SERVING);
}

/* ---- exactly once ---- */

/* The client's write stands still before the answer, or before it is forwarded, and the client is
 * cut off. */
static int strand_write(struct world *w, struct errand *e, const char *point)
{
    struct process *head = &w->storages[0];
    struct fault_rule rule = { .point = point, .kind = FAULT_SUSPEND, .hit_count = 1 };
    uint32_t before = fault_hits(head->node, point);
    fault_add(head->node, &rule);
    int r = start_errand(e);
    while (r == 0 && fault_hits(head->node, point) == before) {
        r = fiber_sleep(1 * MSEC);
    }
    cut_client(e->client, world_cut);
    return r;
}

static void suspend_at(struct process *p, const char *point)
{
    struct fault_rule rule = { .point = point, .kind = FAULT_SUSPEND };
    fault_add(p->node, &rule);
}

/* Chain: storage 0, 1, 2. */
int absence_left_pending(struct world *w)
{
    struct process *head = &w->storages[0], *filled = &w->storages[1], *former = &w->storages[2];
    struct errand write = { .client = &w->clients[0], .block_count = 2 };
    world_end(w, filled, ENDING_POWER);
    int r = wait_state(w, filled, PUBLIC_OFFLINE);
    suspend_at(head, "storage.update.before_commit");
    if (r == 0) r = start_errand(&write);
    if (r == 0) r = fiber_sleep(200 * MSEC); /* the tail has committed it */
    world_end(w, former, ENDING_POWER);
    if (r == 0) r = wait_state(w, former, PUBLIC_OFFLINE);
    world_end(w, head, ENDING_POWER);
    if (r == 0) r = wait_state(w, head, PUBLIC_LASTSRV);
    world_start(w, filled);
    world_start(w, head);
    suspend_at(head, "storage.recover.before_forward");
    if (r == 0) r = fiber_sleep(3 * SEC);
    world_start(w, former);
    if (r == 0) r = fiber_sleep(3 * SEC);
    fault_clear(head->node);
    if (r == 0) r = join_errand(&write);
    return r < 0 ? world_fail(w, "the write: %s", error_name(r)) : 0;
}

/* Two replicas: 0 is the head. */
int absence_retry_at_filled(struct world *w)
{
    struct world_client *lost = &w->clients[0], *other = &w->clients[1];
    struct errand write = { .client = lost, .block_count = 2 };
    world_end(w, &w->storages[1], ENDING_POWER);
    int r = wait_state(w, &w->storages[1], PUBLIC_OFFLINE);
    if (r == 0) r = strand_write(w, &write, "storage.update.before_reply");
    /* Its answer goes nowhere. What it wrote is seen, and replaced, before the other one is filled:
     * only the table of identities still knows of it. */
    fault_clear(w->storages[0].node);
    if (r == 0) r = run_read(other, 0);
    if (r == 0) r = run_write(other, 0);
    world_start(w, &w->storages[1]);
    if (r == 0) r = wait_state(w, &w->storages[1], PUBLIC_SERVING);
    if (r == 0) r = run_read(other, 0);
    world_end(w, &w->storages[0], ENDING_POWER);
    if (r == 0) r = wait_state(w, &w->storages[0], PUBLIC_OFFLINE);
    if (r == 0 && write.is_done) r = world_fail(w, "the lost write has ended: %d", write.result);
    cut_client(lost, world_mend);
    if (r == 0) r = join_errand(&write);
    if (r == 0) r = run_read(other, 0);
    world_start(w, &w->storages[0]);
    return r < 0 ? r : world_wait_whole(w, STEP_LIMIT_NS);
}

int absence_retry_at_refilled(struct world *w)
{
    struct world_client *lost = &w->clients[0], *other = &w->clients[1];
    struct process *head = &w->storages[0], *filled = &w->storages[1];
    struct errand write = { .client = lost, .block_count = 2 };
    world_end(w, filled, ENDING_POWER);
    int r = wait_state(w, filled, PUBLIC_OFFLINE);
    delay_point(head, "storage.resync.before_done", STEP_LIMIT_NS);
    world_start(w, filled);
    if (r == 0) r = wait_hit(head, "storage.resync.before_done");
    /* The one that is being filled has it, the head does not know that. */
    if (r == 0) r = strand_write(w, &write, "storage.update.before_commit");
    world_end(w, head, ENDING_POWER);
    world_start(w, head);
    /* When identities are copied, it is still pending. */
    delay_point(head, "storage.recover.before_forward", 300 * MSEC);
    if (r == 0) r = wait_state(w, filled, PUBLIC_SERVING);
    if (r == 0) r = run_read(other, 0);
    if (r == 0) r = run_write(other, 0);
    world_end(w, head, ENDING_POWER);
    if (r == 0) r = wait_state(w, head, PUBLIC_OFFLINE);
    if (r == 0 && write.is_done) r = world_fail(w, "the lost write has ended: %d", write.result);
    cut_client(lost, world_mend);
    if (r == 0) r = join_errand(&write);
    if (r == 0) r = run_read(other, 0);
    world_start(w, head);
    return r < 0 ? r : world_wait_whole(w, STEP_LIMIT_NS);
}

int absence_retry_at_former_head(struct world *w)
{
    struct world_client *lost = &w->clients[0], *other = &w->clients[1];
    struct errand write = { .client = lost, .block_count = 2 };
    int r = run_write(other, 0);
    if (r == 0) r = strand_write(w, &write, "storage.update.before_forward");
    world_cut(w->storages[0].machine, w->manager.machine);
    world_cut(w->storages[0].machine, w->storages[1].machine);
    fault_clear(w->storages[0].node);
    if (r == 0) r = wait_state(w, &w->storages[0], PUBLIC_OFFLINE);
    /* One block of the two, so that the lost write shows in the other. */
    if (r == 0) r = run_short_write(other, 0, 1);
    world_mend(w->storages[0].machine, w->manager.machine);
    world_mend(w->storages[0].machine, w->storages[1].machine);
    if (r == 0) r = wait_state(w, &w->storages[0], PUBLIC_SERVING);
    world_end(w, &w->storages[1], ENDING_POWER);
    if (r == 0) r = wait_state(w, &w->storages[1], PUBLIC_OFFLINE);
    if (r == 0 && write.is_done) r = world_fail(w, "the lost write has ended: %d", write.result);
    cut_client(lost, world_mend);
    if (r == 0) r = join_errand(&write);
    if (r == 0) r = run_read(other, 0);
    world_start(w, &w->storages[1]);
    return r < 0 ? r : world_wait_whole(w, STEP_LIMIT_NS);
}
