/* chain_steps.c - worlds in which one thing goes wrong at one chosen moment, in the simulator.
 */
#include "sim/chain_steps.h"
#include <stdio.h>

#define STEP_LIMIT_NS (60 * SEC)

/* ---- an operation in the background ---- */

enum op_kind { OP_WRITE, OP_REMOVE, OP_READ };
struct op {
    struct world_client *client;
    enum op_kind kind;
    uint32_t chunk;
    uint32_t target_index; /* of a read */
    bool is_done;
    int result;
};

static int op_fiber(void *arg)
{
    struct op *op = arg;
    switch (op->kind) {
    case OP_WRITE: op->result = world_write(op->client, op->chunk, 0, 2); break;
    case OP_REMOVE: op->result = world_remove(op->client, op->chunk); break;
    case OP_READ:
        op->result = world_read_from(op->client, op->chunk, 0, 2, op->target_index);
        break;
    }
    op->is_done = true;
    return 0;
}

static int start_op(struct op *op)
{
    return fiber_spawn(&op->client->scope, "op", op_fiber, op);
}

static int join_op(struct op *op)
{
    struct world *w = op->client->world;
    uint64_t end_ns = world_now_ns(w) + STEP_LIMIT_NS;
    while (!op->is_done) {
        if (world_now_ns(w) > end_ns) return world_fail(w, "an operation does not end");
        int r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

static int run_op(struct op op)
{
    int r = start_op(&op);
    if (r == 0) r = join_op(&op);
    return r < 0 ? r : op.result;
}

static void check_chunk(struct world_client *c, void *arg)
{
    const uint32_t *chunk = arg;
    world_check_chunk(c, *chunk);
}

static int check_now(struct world *w, uint32_t chunk)
{
    int r = world_visit(&w->clients[0], check_chunk, &chunk);
    return r == 0 && w->why[0] ? -ERR_FOUND_BUG : r;
}

/* ---- each step of an update fails once, or is the last thing that a machine does ---- */

static const char *const points[] = {
    "storage.update.before_stage", "storage.update.before_forward",
    "storage.forward.before_send", "storage.update.before_commit",
    "storage.update.before_reply", "storage.recover.before_forward",
};

struct step {
    const char *point;
    struct process *victim;
    enum op_kind kind;
    bool is_crash;
};

/* Until the step is reached, or the operation has ended without it. */
static int crash_at(struct world *w, const struct step *s, const struct op *op)
{
    uint32_t before = fault_hits(s->victim->node, s->point);
    while (!op->is_done && fault_hits(s->victim->node, s->point) == before) {
        int r = fiber_sleep(100 * USEC);
        if (r < 0) return r;
    }
    if (fault_hits(s->victim->node, s->point) == before) return 0;
    world_end(w, s->victim, ENDING_POWER);
    world_start(w, s->victim);
    return w->why[0] ? -ERR_FOUND_BUG : 0;
}

static int run_step(struct world *w, const struct step *s)
{
    uint32_t chunk = (uint32_t)world_random(w, w->options.chunk_count);
    struct op op = { .client = &w->clients[0], .kind = OP_WRITE, .chunk = chunk };
    int r = run_op(op);
    if (r < 0) return world_fail(w, "the write before: %s", error_name(r));
    op.kind = s->kind;
    struct fault_rule rule = { .point = s->point,
                               .kind = s->is_crash ? FAULT_SUSPEND : FAULT_FAIL,
                               .error = -ERR_FAULT_INJECTION,
                               .hit_count = 1 };
    fault_add(s->victim->node, &rule);
    r = start_op(&op);
    if (r == 0 && s->is_crash) r = crash_at(w, s, &op);
    int joined = join_op(&op);
    if (r == 0) r = joined;
    fault_clear(s->victim->node);
    if (r == 0 && op.result < 0)
        r = world_fail(w, "%s of %s at %s: %s", s->is_crash ? "crash" : "failure", s->victim->name,
                       s->point, error_name(op.result));
    if (r == 0) r = world_wait_whole(w, STEP_LIMIT_NS);
    return r < 0 ? r : check_now(w, chunk);
}

int steps_each(struct world *w)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(points) * w->options.storage_count * 4; i++) {
        struct step s = { .point = points[i / 4 % ARRAY_SIZE(points)],
                          .victim = &w->storages[i / 4 / ARRAY_SIZE(points)],
                          .kind = i % 2 ? OP_REMOVE : OP_WRITE,
                          .is_crash = i / 2 % 2 };
        int r = run_step(w, &s);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- a node that its chain goes on without ---- */

static void cut_from_others(struct world *w, struct process *p,
                            void (*how)(struct machine *, struct machine *))
{
    how(p->machine, w->manager.machine);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (&w->storages[i] != p) how(p->machine, w->storages[i].machine);
    }
}

/* As the last client sees it: 0 when the storage is no member. */
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
        if (world_now_ns(w) > end_ns) return world_fail(w, "%s: wrong state for ever", p->name);
        int r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

static void add_rule(struct world *w, uint32_t storage, const char *point, enum fault_kind kind)
{
    struct fault_rule rule = { .point = point, .kind = kind, .error = -ERR_FAULT_INJECTION };
    fault_add(w->storages[storage].node, &rule);
}

/* Chain: storage 0, 1, 2. The tail has chosen what to read, and stands still; meanwhile it leaves
 * the chain and comes back to be filled. What it then has may not be committed: nobody may see it.
 */
int steps_late_read(struct world *w)
{
    struct world_client *stale = &w->clients[0], *writer = &w->clients[1], *third = &w->clients[2];
    struct process *tail = &w->storages[2];
    struct op read = { .client = stale, .kind = OP_READ, .target_index = 2 };
    struct op write = { .client = writer, .kind = OP_WRITE };
    int r = run_op(write);
    if (r < 0) return world_fail(w, "the first write: %s", error_name(r));
    world_cut(stale->machine, w->manager.machine); /* goes on asking the old tail */
    add_rule(w, 2, "storage.read.before_pin", FAULT_SUSPEND);
    r = start_op(&read);
    if (r == 0) r = fiber_sleep(20 * MSEC);
    cut_from_others(w, tail, world_cut);
    if (r == 0) r = wait_state(w, tail, PUBLIC_OFFLINE);
    add_rule(w, 1, "storage.resync.before_done", FAULT_FAIL);
    cut_from_others(w, tail, world_mend);
    if (r == 0) r = wait_state(w, tail, PUBLIC_SYNCING);
    add_rule(w, 1, "storage.update.before_commit", FAULT_SUSPEND);
    if (r == 0) r = start_op(&write);
    /* Committed at the one that is filled, and nowhere else. */
    if (r == 0) r = fiber_sleep(500 * MSEC);
    fault_resume(tail->node, "storage.read.before_pin");
    fault_clear(tail->node);
    if (r == 0) r = fiber_sleep(20 * MSEC);
    if (r == 0) r = run_op((struct op){ .client = third, .kind = OP_READ, .target_index = 1 });
    world_mend(stale->machine, w->manager.machine);
    fault_clear(w->storages[1].node);
    int joined = join_op(&write);
    if (joined == 0) joined = join_op(&read);
    return r < 0 ? world_fail(w, "the third's read: %s", error_name(r)) : joined;
}

static int stop_fiber(void *arg)
{
    struct process *p = arg;
    world_end(p->place->arg, p, ENDING_STOP);
    return 0;
}

/* The tail stops in order; that its chain has gone on without it reaches neither it nor one of the
 * clients. What is written now must not be hidden from that client by what the tail has. */
int steps_leaving_read(struct world *w)
{
    struct world_client *stale = &w->clients[0], *writer = &w->clients[1];
    struct process *tail = &w->storages[2];
    struct op read = { .client = stale, .kind = OP_READ, .target_index = 2 };
    struct op write = { .client = writer, .kind = OP_WRITE };
    int r = run_op(write);
    if (r < 0) return world_fail(w, "the first write: %s", error_name(r));
    world_cut(stale->machine, w->manager.machine);
    sim_cut(w->manager.machine, tail->machine); /* which is heard, and hears nothing */
    struct scope stopping;
    scope_init(&stopping, NULL);
    r = fiber_spawn(&stopping, "stop", stop_fiber, tail);
    if (r == 0) r = wait_state(w, tail, PUBLIC_OFFLINE);
    if (r == 0) r = run_op(write);
    if (r == 0) r = start_op(&read);
    int ended = scope_wait(&stopping);
    world_heal(w);
    int joined = join_op(&read);
    if (r < 0) return world_fail(w, "a tail that leaves: %s", error_name(r));
    return ended < 0 ? ended : joined;
}

/* The head leaves with an update that nobody else has; its version is given to another one of
 * @kind, which comes back to it before its resync has. */
static int same_version(struct world *w, enum op_kind kind)
{
    struct world_client *lost = &w->clients[0], *writer = &w->clients[1];
    struct process *head = &w->storages[0];
    struct op first = { .client = lost, .kind = OP_WRITE };
    struct op second = { .client = writer, .kind = OP_WRITE };
    int r = run_op(second);
    if (r < 0) return world_fail(w, "the first write: %s", error_name(r));
    for (uint32_t i = 1; i < w->options.storage_count; i++) {
        world_cut(lost->machine, w->storages[i].machine);
    }
    world_cut(lost->machine, w->manager.machine);
    cut_from_others(w, head, world_cut);
    r = start_op(&first);
    if (r == 0) r = wait_state(w, head, PUBLIC_OFFLINE);
    if (r == 0) r = join_op(&first); /* it gives up */
    add_rule(w, 1, "storage.resync.before_chunk", FAULT_FAIL);
    add_rule(w, 2, "storage.resync.before_chunk", FAULT_FAIL);
    cut_from_others(w, head, world_mend);
    if (r == 0) r = wait_state(w, head, PUBLIC_SYNCING);
    if (r == 0) r = fiber_sleep(300 * MSEC);
    if (r == 0 && state_of(w, head) != PUBLIC_SYNCING)
        r = world_fail(w, "the resync was not held back");
    second.kind = kind;
    if (r == 0) r = run_op(second);
    if (r < 0) return world_fail(w, "the second update: %s", error_name(r));
    fault_clear(w->storages[1].node);
    fault_clear(w->storages[2].node);
    world_heal(w);
    return world_wait_whole(w, STEP_LIMIT_NS);
}

int steps_same_version(struct world *w)
{
    return same_version(w, OP_WRITE);
}

int steps_remove_over(struct world *w)
{
    return same_version(w, OP_REMOVE);
}
