/* fleet_scenario.c - the table of scenarios of whole clusters. */
#include "sim/fleet_scenario.h"
#include <stdio.h>
#include <string.h>

static void set_quiet(struct fleet_options *o)
{
    o->shared_percent = 50;
    o->op_pause_max_ns = 10 * MSEC;
}

static void set_all(struct fleet_options *o)
{
    o->faults = FLEET_ALL_FAULTS;
    o->trouble_ns = 20 * SEC;
}

/* What was asked is asked again, and done late: on top of all that dies. */
static void set_repeats(struct fleet_options *o)
{
    o->faults = FLEET_REPEAT | FLEET_CRASH | FLEET_FREEZE | FLEET_CUT | FLEET_NET | FLEET_CLIENT;
    o->trouble_ns = 20 * SEC;
}

/* The store says less than it knows while metadata services die: every change exactly once. */
static void set_meta(struct fleet_options *o)
{
    o->faults = FLEET_KV_FLAKY | FLEET_CRASH | FLEET_NET;
    o->trouble_ns = 10 * SEC;
    o->op_pause_max_ns = 40 * MSEC;
    o->shared_percent = 50;
    o->ops_per_client = 250;
}

/* Managers stand still or hear of their commits late: who is the primary? */
static void set_managers(struct fleet_options *o)
{
    o->faults = FLEET_KV_SLOW | FLEET_FREEZE | FLEET_CRASH | FLEET_CUT;
    o->trouble_ns = 30 * SEC;
    o->fault_gap_ns_max = 400 * MSEC;
    o->ops_per_client = 60;
    o->op_pause_max_ns = 500 * MSEC;
}

static void set_clients(struct fleet_options *o)
{
    o->faults = FLEET_CLIENT | FLEET_CRASH | FLEET_CLOCK;
    o->trouble_ns = 15 * SEC;
    o->shared_percent = 10;
}

static void set_kv_gone(struct fleet_options *o)
{
    o->faults = FLEET_KV_GONE | FLEET_CRASH;
    o->trouble_ns = 90 * SEC;
    o->op_pause_max_ns = SEC;
    o->ops_per_client = 100;
}

static void set_old_clocks(struct fleet_options *o)
{
    o->faults = FLEET_OLD_CLOCKS | FLEET_KV_SLOW | FLEET_CUT | FLEET_CRASH;
    o->names_only = true; /* leases of storages mean nothing then */
    o->register_percent = 0;
    o->trouble_ns = 30 * SEC;
    o->fault_gap_ns_max = 400 * MSEC;
    o->ops_per_client = 40;
    o->op_pause_max_ns = SEC;
}

static void set_late_answers(struct fleet_options *o)
{
    o->plot = plot_late_answers;
    o->trouble_ns = 25 * SEC;
    o->ops_per_client = 40;
    o->op_pause_max_ns = SEC;
}

static void set_old_primary(struct fleet_options *o)
{
    o->faults = FLEET_OLD_CLOCKS; /* that is what it is */
    o->plot = plot_old_primary;
    o->names_only = true;
    o->register_percent = 0;
    o->trouble_ns = 20 * SEC;
    o->ops_per_client = 40;
    o->op_pause_max_ns = SEC;
}

/* Space comes and goes while chains change: what was refused stays undone. */
static void set_full(struct fleet_options *o)
{
    o->faults = FLEET_DISK_FULL | FLEET_FREEZE | FLEET_CUT | FLEET_NET | FLEET_CRASH;
    o->trouble_ns = 20 * SEC;
    o->fault_gap_ns_max = 300 * MSEC;
    o->shared_percent = 0;
    o->register_percent = 80;
    o->ops_per_client = 300;
}

static void set_disk_faults(struct fleet_options *o)
{
    o->faults = FLEET_DISK_FAULTS | FLEET_DISK;
    o->trouble_ns = 25 * SEC;
    o->fault_gap_ns_max = 300 * MSEC;
    o->shared_percent = 5;
    o->register_percent = 40;
    o->ops_per_client = 300;
}

/* All write and read the same blocks. */
static void set_registers(struct fleet_options *o)
{
    o->faults = FLEET_CRASH | FLEET_FREEZE | FLEET_CUT | FLEET_NET | FLEET_DISK | FLEET_CLIENT;
    o->client_count = 4;
    o->trouble_ns = 20 * SEC;
    o->shared_percent = 0;
    o->register_percent = 95;
    o->ops_per_client = 600;
    o->op_pause_max_ns = 60 * MSEC;
}

const struct fleet_scenario fleet_scenarios[] = {
    { "fleet-quiet", "a whole cluster without faults; clients race for names", set_quiet },
    { "fleet", "a whole cluster with every kind of fault", set_all },
    { "fleet-repeats", "messages come twice and late; servers die", set_repeats },
    { "fleet-meta", "servers die while the store loses answers", set_meta },
    { "fleet-managers", "managers stand still, the store is slow", set_managers },
    { "fleet-clients", "clients die with files open; clocks go wrong", set_clients },
    { "fleet-kv-gone", "the store is gone for up to a minute", set_kv_gone },
    { "fleet-clocks", "managers whose clocks are slower than they may be", set_old_clocks },
    { "fleet-registers", "all write and read one file; its history is checked", set_registers },
    { "fleet-disks", "disks that fail, are full, and rot", set_disk_faults },
    { "fleet-full", "disks that others fill, while chains change", set_full },
    { "fleet-late", "who has a lease hears of it late, and is cut off", set_late_answers },
    { "fleet-deposed", "a deposed manager answers those who lost the new one", set_old_primary },
};
const uint32_t fleet_scenario_count = ARRAY_SIZE(fleet_scenarios);

const struct fleet_scenario *fleet_scenario_find(const char *name)
{
    for (uint32_t i = 0; i < fleet_scenario_count; i++) {
        if (strcmp(fleet_scenarios[i].name, name) == 0) return &fleet_scenarios[i];
    }
    return NULL;
}

int fleet_scenario_run(const struct fleet_scenario *s, const struct fleet_options *options,
                       struct fleet *f)
{
    struct fleet_options o = *options;
    s->set(&o);
    return fleet_run(f, &o);
}

void fleet_sum_up(const struct fleet *f, char *buf, size_t size)
{
    const struct fleet_counts *c = &f->counts;
    snprintf(buf, size,
             "seed %" PRIu64 ": %.1f s, %" PRIu64 " events, %" PRIu64 " done, %" PRIu64
             " refused, %" PRIu64
             " unknown; crashes %u kills %u stops %u freezes %u cuts %u net %u clocks %u kv %u "
             "(gone %u) disks %u (errors %u replaced %u full %u flips %u) "
             "clients %u, messages twice %" PRIu64 " late %" PRIu64 "; repairs %" PRIu64
             ", takeovers %" PRIu64 ", resyncs %" PRIu64 ", rolled forward %" PRIu64
             ", retries recognised %" PRIu64 ", collected %" PRIu64 ", pruned %" PRIu64
             ", trims %" PRIu64 "; trace %016" PRIx64,
             f->options.seed, (double)c->virtual_ns / 1e9, c->events, c->done, c->refused,
             c->unknown, c->crashes, c->kills, c->stops, c->freezes, c->cuts, c->net_spells,
             c->clock_changes, c->kv_spells, c->kv_gone, c->disk_spells, c->disk_errors,
             c->disks_replaced, c->disks_full, c->flips, c->client_crashes, c->repeats, c->late,
             c->repairs, c->takeovers, c->resyncs, c->rolled_forward, c->retries_recognised,
             c->collected, c->pruned, c->trims, f->trace_hash);
}
