/* sim_machine.c - machines: their clocks, their nodes, freeze, crash and restart; operations that
 * take time. */
#include "loop/sim_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include <stdio.h>

enum {
    BOOT_AGE_MAX_SEC = 1000000,
    LOCAL_DELAY_MIN_NS = 3000,
    LOCAL_DELAY_MAX_NS = 20000,
    BLOCKING_MIN_NS = 10000,
    BLOCKING_MAX_NS = 2000000,
};
/* 2026-01-01T00:00:00Z: the wall clock of every machine at world time 0. */
static const uint64_t wall_epoch_ns = 1767225600ull * SEC;

struct machine *sim_machine_new(struct sim *sim, const char *host)
{
    check(!sim_machine_find(sim, host));
    struct machine *m = new_zero(struct machine);
    m->sim = sim;
    m->id = sim->machine_count++;
    m->host = xstrdup(host);
    m->is_up = true;
    m->boot = 1;
    m->port_last = 32768;
    list_init(&m->nodes);
    list_init(&m->files);
    list_init(&m->ops);
    list_init(&m->waits);
    list_init(&m->listeners);
    list_init(&m->ends);
    list_init(&m->parked);
    m->clock_since_ns = sim->now_ns;
    m->clock_base_ns = (1 + sim_random_under(&sim->random, BOOT_AGE_MAX_SEC)) * SEC;
    sim_disk_init(&m->disk, &sim->random, &sim->options.disk);
    list_push_back(&sim->machines, &m->link);
    return m;
}

void sim_machine_free(struct machine *m)
{
    check(list_empty(&m->nodes)); /* node_free() before sim_free() */
    check(list_empty(&m->files));
    check(list_empty(&m->ends));
    check(list_empty(&m->listeners));
    sim_disk_done(&m->disk);
    list_remove(&m->link);
    free(m->cut_to);
    free(m->host);
    free(m);
}

struct machine *sim_machine_find(struct sim *sim, const char *host)
{
    list_for_each (it, &sim->machines) {
        struct machine *m = list_entry(it, struct machine, link);
        if (!strcmp(m->host, host)) return m;
    }
    return NULL;
}

const char *sim_machine_host(const struct machine *m)
{
    return m->host;
}

bool sim_machine_is_up(const struct machine *m)
{
    return m->is_up;
}

/* ---- nodes ---- */

bool sim_node_is_up(const struct node *node)
{
    return !node->machine || node->machine->is_up;
}

void sim_node_added(struct node *node)
{
    struct machine *m = node->machine;
    check(m); /* a node of the simulator lives on a machine */
    check(m->is_up);
    struct sim_node *n = new_zero(struct sim_node);
    n->node = node;
    n->pid = ++m->sim->pid_last;
    node->pid = (uint32_t)n->pid;
    snprintf(node->host, sizeof node->host, "%s", sim_machine_host(m));
    list_push_back(&m->nodes, &n->link);
}

static struct sim_node *sim_node_of(const struct node *node)
{
    list_for_each (it, &node->machine->nodes) {
        struct sim_node *n = list_entry(it, struct sim_node, link);
        if (n->node == node) return n;
    }
    check(!"the node is known");
    return NULL;
}

void sim_node_removed(struct node *node)
{
    struct sim_node *n = sim_node_of(node);
    list_remove(&n->link);
    free(n);
}

uint32_t sim_node_pid(const struct node *node)
{
    return sim_node_of(node)->pid;
}

void sim_random_of_node(struct node *node, void *buf, size_t size)
{
    uint8_t *to = buf;
    while (size) {
        uint64_t word = sim_random_next(&node->machine->sim->random);
        size_t n = MIN_OF(size, sizeof word);
        memcpy(to, &word, n);
        to += n;
        size -= n;
    }
}

/* ---- clocks ---- */

static uint64_t machine_now_ns(const struct machine *m)
{
    uint64_t elapsed = m->sim->now_ns - m->clock_since_ns;
    int64_t drift = (int64_t)((__int128)elapsed * m->drift_ppm / 1000000);
    return m->clock_base_ns + elapsed + (uint64_t)drift;
}

static void clock_rebase(struct machine *m, uint64_t base_ns)
{
    m->clock_base_ns = base_ns;
    m->clock_since_ns = m->sim->now_ns;
}

uint64_t sim_now_of_node(struct node *node)
{
    return machine_now_ns(node->machine);
}

uint64_t sim_wall_of_node(struct node *node)
{
    const struct machine *m = node->machine;
    return wall_epoch_ns + m->sim->now_ns + (uint64_t)m->wall_offset_ns;
}

void sim_clock_drift(struct machine *m, int32_t ppm)
{
    check(ppm > -1000000);
    clock_rebase(m, machine_now_ns(m));
    m->drift_ppm = ppm;
    sim_trace(m->sim, "clock.drift", m, (uint32_t)ppm, 0, 0);
}

void sim_clock_jump(struct machine *m, int64_t wall_ns)
{
    m->wall_offset_ns += wall_ns;
    sim_trace(m->sim, "clock.jump", m, (uint64_t)wall_ns, 0, 0);
}

/* ---- operations that take time ---- */

static void op_end(struct sim_op *op)
{
    list_remove(&op->link);
    op->is_done = true;
    fiber_wake(op->fiber);
}

static void op_perform(struct sim_op *op)
{
    op->is_performed = true;
    op->result = op->perform ? op->perform(op) : 0;
}

static void op_event(struct sim_event *event)
{
    struct sim_op *op = container_of(event, struct sim_op, event);
    struct machine *m = op->machine;
    if (op->is_interrupted) {
        op_end(op);
        return;
    }
    if ((op->flags & SIM_OP_NEEDS_CPU) && m->is_frozen) {
        list_remove(&op->link);
        list_push_back(&m->parked, &op->link);
        return;
    }
    if (!op->is_performed) op_perform(op);
    op_end(op);
}

/* Disks may finish what was asked to stop, or stop. */
static void op_interrupt(void *arg)
{
    struct sim_op *op = arg;
    struct sim *sim = op->machine->sim;
    if (op->is_done || (op->flags & SIM_OP_NO_INTERRUPT)) return;
    if (!(op->flags & SIM_OP_AT_END) && sim_random_one_in(&sim->random, 2)) return;
    op->is_interrupted = true;
    op->result = fiber_is_cancelled() ? -ERR_CANCELED : -ERR_TIMEOUT;
    sim_event_set(sim, &op->event, sim->now_ns);
}

ssize_t sim_op_run(struct sim_op *op, struct machine *m, uint64_t delay_ns, const char *what)
{
    struct sim *sim = m->sim;
    int r = op->flags & SIM_OP_NO_INTERRUPT ? 0 : fiber_interruption();
    if (!m->is_up) return -ERR_CANCELED;
    if (r < 0) return r;
    op->event = (struct sim_event){ .fn = op_event };
    op->machine = m;
    op->fiber = fiber_self();
    if (!(op->flags & SIM_OP_AT_END) && sim_random_one_in(&sim->random, 2)) op_perform(op);
    list_push_back(&m->ops, &op->link);
    sim_event_set(sim, &op->event, sim->now_ns + delay_ns);
    while (!op->is_done)
        fiber_wait_io(what, op_interrupt, op);
    return op->result;
}

int sim_op_sleep(struct machine *m, uint64_t delay_ns, const char *what)
{
    struct sim_op op = { .flags = SIM_OP_AT_END };
    return (int)sim_op_run(&op, m, delay_ns, what);
}

int sim_wait_on(struct machine *m, const char *what)
{
    if (!m->is_up) return -ERR_CANCELED;
    struct sim_wait wait = { .fiber = fiber_self() };
    list_push_back(&m->waits, &wait.link);
    int r = fiber_suspend(what);
    list_remove(&wait.link);
    return r;
}

struct blocking_op {
    struct sim_op op;
    int (*fn)(void *arg);
    void *arg;
};

static ssize_t blocking_perform(struct sim_op *op)
{
    struct blocking_op *b = container_of(op, struct blocking_op, op);
    return b->fn(b->arg);
}

int sim_blocking_run(struct node *node, int (*fn)(void *arg), void *arg)
{
    struct sim *sim = node->machine->sim;
    struct blocking_op b = {
        .op = { .perform = blocking_perform,
                .flags = SIM_OP_AT_END | SIM_OP_NO_INTERRUPT | SIM_OP_NEEDS_CPU },
        .fn = fn,
        .arg = arg,
    };
    uint64_t delay = sim_random_between(&sim->random, BLOCKING_MIN_NS, BLOCKING_MAX_NS);
    return (int)sim_op_run(&b.op, node->machine, delay, "blocking");
}

/* ---- freeze ---- */

void sim_freeze(struct machine *m)
{
    sim_trace(m->sim, "freeze", m, 0, 0, 0);
    m->is_frozen = true;
}

void sim_thaw(struct machine *m)
{
    struct list *it;
    if (!m->is_frozen) return;
    sim_trace(m->sim, "thaw", m, 0, 0, 0);
    m->is_frozen = false;
    while ((it = list_pop_front(&m->parked))) {
        struct sim_op *op = list_entry(it, struct sim_op, link);
        list_push_back(&m->ops, &op->link);
        sim_event_set(m->sim, &op->event, m->sim->now_ns);
    }
    sched_thaw(m->sim->base.sched);
}

/* ---- network paths ---- */

bool sim_path_is_dead(const struct machine *from, const struct machine *to)
{
    if (from == to) return false;
    if (!to->is_up && to->is_silent) return true;
    return to->id < from->cut_count && from->cut_to[to->id];
}

uint64_t sim_path_delay_ns(const struct machine *from, const struct machine *to)
{
    struct sim *sim = from->sim;
    const struct sim_net_profile *p = &sim->options.net;
    if (from == to) return sim_random_between(&sim->random, LOCAL_DELAY_MIN_NS, LOCAL_DELAY_MAX_NS);
    return sim_random_between(&sim->random, p->delay_min_ns, p->delay_max_ns);
}

void sim_cut(struct machine *from, struct machine *to)
{
    uint32_t count = from->sim->machine_count;
    if (count > from->cut_count) {
        from->cut_to = xrealloc(from->cut_to, count * sizeof(bool));
        memset(from->cut_to + from->cut_count, 0, (count - from->cut_count) * sizeof(bool));
        from->cut_count = count;
    }
    if (from == to || from->cut_to[to->id]) return;
    sim_trace(from->sim, "cut", from, to->id, 0, 0);
    from->cut_to[to->id] = true;
    sim_net_probe(from, to);
}

void sim_heal(struct machine *from, struct machine *to)
{
    if (to->id >= from->cut_count || !from->cut_to[to->id]) return;
    sim_trace(from->sim, "heal", from, to->id, 0, 0);
    from->cut_to[to->id] = false;
}

void sim_heal_all(struct sim *sim)
{
    list_for_each (a, &sim->machines)
        list_for_each (b, &sim->machines)
            sim_heal(list_entry(a, struct machine, link), list_entry(b, struct machine, link));
}

/* ---- crash and restart ---- */

static void crash_ops(struct machine *m, struct list *ops)
{
    while (!list_empty(ops)) {
        struct sim_op *op = list_entry(list_first(ops), struct sim_op, link);
        sim_event_clear(m->sim, &op->event);
        op->result = -ERR_CANCELED;
        op_end(op);
    }
}

/* From here on nothing that a fiber of the machine does has an effect. */
static void machine_down(struct machine *m)
{
    check(m->is_up);
    m->is_up = false;
    crash_ops(m, &m->ops);
    crash_ops(m, &m->parked);
    list_for_each (it, &m->waits)
        fiber_wake(list_entry(it, struct sim_wait, link)->fiber);
    list_for_each_safe (it, &m->files)
        sim_file_detach(list_entry(it, struct sim_file, link));
    sim_net_crash(m);
    sim_listener_crash(m);
}

static void machine_join(struct machine *m)
{
    check(!node_self() || node_self()->machine != m);
    sim_thaw(m);
    list_for_each (it, &m->nodes)
        scope_cancel(&list_entry(it, struct sim_node, link)->node->scope);
    list_for_each (it, &m->nodes)
        scope_done(&list_entry(it, struct sim_node, link)->node->scope);
}

void sim_crash(struct machine *m)
{
    struct sim *sim = m->sim;
    m->is_silent = sim_random_ppm(&sim->random, sim->options.net.crash_silent_ppm);
    sim_trace(sim, m->is_silent ? "crash.silent" : "crash", m, m->boot, 0, 0);
    machine_down(m);
    sim_disk_crash(&m->disk);
    machine_join(m);
}

void sim_kill(struct machine *m)
{
    m->is_silent = false;
    sim_trace(m->sim, "kill", m, m->boot, 0, 0);
    machine_down(m);
    machine_join(m);
}

void sim_restart(struct machine *m)
{
    check(!m->is_up);
    check(list_empty(&m->nodes)); /* node_free() the old ones before */
    m->is_up = true;
    m->is_silent = false;
    m->boot++;
    clock_rebase(m, (1 + sim_random_under(&m->sim->random, BOOT_AGE_MAX_SEC)) * SEC);
    sim_trace(m->sim, "restart", m, m->boot, 0, 0);
}

/* ---- the disk from outside ---- */

void sim_set_disk_profile(struct machine *m, const struct sim_disk_profile *p)
{
    m->disk.profile = *p;
}

int sim_flip_bit(struct machine *m, const char *path, uint64_t offset_bytes, uint8_t bit)
{
    struct sim_inode *inode;
    int r = sim_disk_find(&m->disk, path, &inode);
    if (r < 0) return r;
    sim_trace(m->sim, "flip", m, inode->id, offset_bytes, bit);
    return sim_data_flip(inode, offset_bytes, bit) ? 0 : -ERR_META_NOT_FOUND;
}

uint64_t sim_disk_used_bytes(const struct machine *m)
{
    return m->disk.used_blocks * SIM_BLOCK_SIZE;
}
