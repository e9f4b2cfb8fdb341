/* place_sim.c - processes as machines of the simulator, and the choice between the two places. */
#include "base/check.h"
#include "sim/message.h"
#include "sim/place_internal.h"
#include <stdio.h>

uint64_t place_now_ns(const struct place *p)
{
    return p->sim ? sim_now_ns(p->sim) : node_now_ns(p->node);
}

struct node *place_node_new(struct place *p, struct machine *machine, const char *name)
{
    return node_new(p->loop, machine, name);
}

void process_init(struct process *p, struct place *place, enum role_kind kind, uint32_t node_id)
{
    *p = (struct process){ .place = place, .role = { .kind = kind, .node_id = node_id } };
    struct role *role = &p->role;
    snprintf(p->name, sizeof p->name, "%s-%u", role_kind_name(kind), node_id);
    if (place->sim) {
        p->machine = sim_machine_new(place->sim, p->name);
        role->store = place->store;
        snprintf(role->dir, sizeof role->dir, "/data");
        snprintf(role->listen, sizeof role->listen, "TCP://%s:8000", p->name);
    } else {
        snprintf(role->dir, sizeof role->dir, "%s/%s", place->dir, p->name);
        snprintf(role->listen, sizeof role->listen, "TCP://127.0.0.1:0");
    }
}

static int sim_process_fiber(void *arg)
{
    struct process *p = arg;
    p->result = role_run(p->node, &p->role);
    p->is_running = false;
    return 0;
}

static int start_in_sim(struct process *p)
{
    p->node = place_node_new(p->place, p->machine, p->name);
    if (p->place->prepare) p->place->prepare(p);
    p->is_running = true;
    p->result = 0;
    scope_init(&p->main, NULL);
    p->main.local = p->node;
    return fiber_spawn(&p->main, p->name, sim_process_fiber, p);
}

static void end_in_sim(struct process *p, enum ending how)
{
    if (how == ENDING_POWER) sim_crash(p->machine);
    if (how == ENDING_KILL) sim_kill(p->machine);
    scope_done(&p->main); /* connections live until it has ended, as on SIGTERM */
    node_stop(p->node);
    if (p->place->ended) p->place->ended(p);
    p->node = node_free(p->node);
    if (how != ENDING_STOP) sim_restart(p->machine);
}

int process_start(struct process *p)
{
    check(!p->is_up);
    p->is_up = true;
    p->start_count++;
    return p->place->sim ? start_in_sim(p) : real_process_start(p);
}

int process_end(struct process *p, enum ending how)
{
    check(p->is_up);
    p->is_up = false;
    if (!p->place->sim) return real_process_end(p, how);
    end_in_sim(p, how);
    return 0;
}

bool process_has_failed(struct process *p)
{
    if (!p->is_up) return false;
    return p->place->sim ? !p->is_running : real_process_has_failed(p);
}

int place_sim_run(struct place *p, const struct sim_options *options, int (*main_fn)(void *arg),
                  void *arg, uint64_t limit_ns)
{
    p->sim = sim_new(options);
    sim_set_framing(p->sim, &message_framing);
    p->loop = sim_loop(p->sim);
    p->store = kv_mem_store_new(options->seed);
    return sim_run(p->sim, main_fn, arg, limit_ns);
}

void place_sim_done(struct place *p)
{
    p->store = kv_mem_store_free(p->store);
    p->sim = sim_free(p->sim);
    p->loop = NULL;
}
