/* chain_rot.c - bits that change where it hurts. */
#include "sim/chain_rot.h"
#include <stdio.h>

#define STEP_LIMIT_NS (60 * SEC)
/* After it no end of a process makes damage look like data that had not reached the disk. */
#define TOLD_NS (300 * MSEC)

/* One bit of block @block of everything that the storage's disk has; a hole has none. */
static void flip_block(struct process *p, uint32_t block)
{
    enum { UNIT_COUNT = 64 };
    for (uint64_t at = 0; at < UNIT_COUNT; at++) {
        int r = sim_flip_bit(p->machine, "/data/shard-00/units-0000",
                             at * WORLD_CHUNK_BYTES + (uint64_t)block * WORLD_BLOCK_BYTES, 0);
        (void)r;
    }
}

static void fail_at(struct process *p, const char *point, enum fault_kind kind)
{
    struct fault_rule rule = { .point = point, .kind = kind, .error = -ERR_FAULT_INJECTION };
    fault_add(p->node, &rule);
}

/* ---- operations of the first client ---- */

struct op {
    struct world_client *client;
    uint32_t chunk, first, count;
    bool is_done;
    int result;
};

static int write_fiber(void *arg)
{
    struct op *op = arg;
    op->result = world_write(op->client, op->chunk, op->first, op->count);
    op->is_done = true;
    return 0;
}

static int start_write(struct op *op)
{
    return fiber_spawn(&op->client->scope, "write", write_fiber, op);
}

static int join_write(struct op *op)
{
    struct world *w = op->client->world;
    uint64_t end_ns = world_now_ns(w) + STEP_LIMIT_NS;
    while (!op->is_done) {
        if (world_now_ns(w) > end_ns) return world_fail(w, "a write does not end");
        int r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    if (op->result < 0) return world_fail(w, "a write: %s", error_name(op->result));
    return 0;
}

static int run_write(struct world *w, uint32_t chunk)
{
    struct op op = { .client = &w->clients[0], .chunk = chunk, .count = WORLD_BLOCKS };
    int r = start_write(&op);
    return r < 0 ? r : join_write(&op);
}

/* What @fn does in the name of the first client. */
static int visit(struct world *w, void (*fn)(struct world_client *c, void *arg), void *arg)
{
    int r = world_visit(&w->clients[0], fn, arg);
    return r == 0 && w->why[0] ? -ERR_FOUND_BUG : r;
}

static void check_visit(struct world_client *c, void *arg)
{
    const uint32_t *chunk = arg;
    world_check_chunk(c, *chunk);
}

static uint64_t metric(const struct process *p, const char *name)
{
    return metrics_value(p->node->metrics, name);
}

/* ---- pending ---- */

int rot_pending_behind(struct world *w)
{
    struct process *second = &w->storages[1];
    uint32_t chunk = 0;
    struct op op = { .client = &w->clients[0], .chunk = chunk, .count = WORLD_BLOCKS };
    int r = run_write(w, chunk);
    fail_at(second, "storage.forward.before_send", FAULT_FAIL);
    if (r == 0) r = start_write(&op);
    if (r == 0) r = fiber_sleep(TOLD_NS);
    /* Only the pending record is left of it. */
    world_end(w, second, ENDING_KILL);
    flip_block(second, 3);
    world_start(w, second);
    if (r == 0) r = join_write(&op);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    return r < 0 ? r : visit(w, check_visit, &chunk);
}

int rot_pending_at_head(struct world *w)
{
    struct process *head = &w->storages[0];
    uint32_t chunk = 0;
    struct op op = { .client = &w->clients[0], .chunk = chunk, .count = WORLD_BLOCKS };
    int r = run_write(w, chunk);
    fail_at(head, "storage.forward.before_send", FAULT_FAIL);
    if (r == 0) r = start_write(&op);
    if (r == 0) r = fiber_sleep(TOLD_NS);
    world_end(w, head, ENDING_KILL);
    flip_block(head, 3);
    world_start(w, head);
    if (r == 0) r = join_write(&op);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    return r < 0 ? r : visit(w, check_visit, &chunk);
}

int rot_pending_elsewhere(struct world *w)
{
    struct process *tail = &w->storages[w->options.storage_count - 1];
    uint32_t chunk = 0;
    struct op op = { .client = &w->clients[0], .chunk = chunk, .count = WORLD_BLOCKS };
    int r = run_write(w, chunk);
    for (uint32_t i = 0; i + 1 < w->options.storage_count; i++) {
        fail_at(&w->storages[i], "storage.update.before_commit", FAULT_SUSPEND);
    }
    if (r == 0) r = start_write(&op);
    if (r == 0) r = fiber_sleep(TOLD_NS);
    for (uint32_t i = 0; i + 1 < w->options.storage_count; i++) {
        world_end(w, &w->storages[i], ENDING_KILL);
    }
    if (r == 0) r = join_write(&op); /* by the tail, which is alone */
    flip_block(tail, 3);
    world_heal(w);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    return r < 0 ? r : visit(w, check_visit, &chunk);
}

static void shorten_visit(struct world_client *c, void *arg)
{
    int r = world_remove(c, 0);
    if (r == 0) r = world_write(c, 0, 0, 1);
    if (r < 0) (void)world_fail(c->world, "a chunk made anew: %s", error_name(r));
}

int rot_others_older(struct world *w)
{
    struct process *last = &w->storages[world_random(w, w->options.storage_count)];
    int r = run_write(w, 0);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (&w->storages[i] != last) world_end(w, &w->storages[i], ENDING_KILL);
    }
    if (r == 0) r = visit(w, shorten_visit, NULL);
    if (r == 0) r = fiber_sleep(TOLD_NS);
    flip_block(last, 0);
    world_heal(w);
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    /* It is lost, and that is all. */
    return r < 0 ? r : run_write(w, 0);
}

/* ---- everywhere ---- */

/* All others are read; the damaged one answers an error, soon. */
static void read_damaged(struct world_client *c, uint32_t chunk, uint32_t damaged)
{
    struct world *w = c->world;
    for (uint32_t block = 0; block < WORLD_BLOCKS; block++) {
        uint64_t began_ns = world_now_ns(w);
        int r = world_read(c, chunk, block, 1);
        if (block == damaged ? r != -ERR_CHECKSUM_MISMATCH : r < 0)
            (void)world_fail(w, "chunk %u: reading block %u says %s", chunk, block, error_name(r));
        if (world_now_ns(w) - began_ns > 5 * SEC)
            (void)world_fail(w, "chunk %u: reading block %u takes too long", chunk, block);
    }
}

static void damaged_visit(struct world_client *c, void *arg)
{
    struct world *w = c->world;
    for (uint32_t chunk = 0; chunk < w->options.chunk_count; chunk++) {
        read_damaged(c, chunk, 3);
        /* Nobody can write beside a damaged block that must be copied; nor is that tried long. */
        int r = world_write(c, chunk, 5, 1);
        if (r != -ERR_CHECKSUM_MISMATCH)
            (void)world_fail(w, "chunk %u: a write beside damage says %s", chunk, error_name(r));
    }
}

static void mend_visit(struct world_client *c, void *arg)
{
    struct world *w = c->world;
    for (uint32_t chunk = 0; chunk < w->options.chunk_count; chunk++) {
        int r = chunk % 2 ? world_remove(c, chunk) : world_write(c, chunk, 0, WORLD_BLOCKS);
        if (r < 0)
            (void)world_fail(w, "chunk %u: its %s says %s", chunk,
                             chunk % 2 ? "removal" : "rewriting", error_name(r));
    }
}

static int write_all(struct world *w)
{
    int r = 0;
    for (uint32_t chunk = 0; r == 0 && chunk < w->options.chunk_count; chunk++) {
        r = run_write(w, chunk);
    }
    return r < 0 ? r : fiber_sleep(TOLD_NS);
}

struct making {
    uint32_t replica;
    int result;
};

static void make_visit(struct world_client *c, void *arg)
{
    struct making *m = arg;
    m->result = world_make_target(c, 1, m->replica);
}

/* One storage comes back with an empty disk. */
static int replace_disk(struct world *w, uint32_t replica)
{
    struct process *p = &w->storages[replica];
    world_end(w, p, ENDING_POWER);
    snprintf(p->role.dir, sizeof p->role.dir, "/new");
    int r = fiber_sleep(3 * SEC);
    world_start(w, p);
    struct making m = { .replica = replica };
    if (r == 0) r = visit(w, make_visit, &m);
    if (r == 0 && m.result < 0) r = world_fail(w, "the new target: %s", error_name(m.result));
    return r < 0 ? r : world_wait_whole(w, STEP_LIMIT_NS);
}

int rot_everywhere(struct world *w)
{
    int r = write_all(w);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        flip_block(&w->storages[i], 3);
    }
    if (r == 0) r = visit(w, damaged_visit, NULL);
    /* Who comes back with nothing is filled all the same, and tells no other bytes. */
    if (r == 0) r = replace_disk(w, (uint32_t)world_random(w, w->options.replica_count));
    if (r == 0) r = visit(w, damaged_visit, NULL);
    return r < 0 ? r : visit(w, mend_visit, NULL);
}

int rot_in_turns(struct world *w)
{
    int r = write_all(w);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        flip_block(&w->storages[i], i);
    }
    uint64_t end_ns = world_now_ns(w) + STEP_LIMIT_NS;
    for (uint32_t i = 0; r == 0 && i < w->options.storage_count;) {
        if (metric(&w->storages[i], "storage.repairs") >= w->options.chunk_count)
            i++;
        else if (world_now_ns(w) > end_ns)
            r = world_fail(w, "%s is not repaired", w->storages[i].name);
        else
            r = fiber_sleep(50 * MSEC);
    }
    return r;
}
