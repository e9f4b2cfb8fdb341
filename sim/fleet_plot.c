/* fleet_plot.c - troubles that are not left to chance alone: each leads up to the one moment that a
 * rule of leases or of routing is for, again and again.
 */
#include "sim/fleet.h"
#include <string.h>

#define LOOK_NS      (1 * MSEC)
#define HEARTBEAT_NS (400 * MSEC) /* of the default timing */

/* Returns when @name does not hold the managers' lease any more, or after @limit_ns. */
static int wait_deposed(struct fleet *f, const char *name, uint64_t limit_ns)
{
    uint64_t end_ns = fleet_now_ns(f) + limit_ns;
    while (strcmp(f->lease_writer_name, name) == 0 && fleet_now_ns(f) < end_ns) {
        int r = fiber_sleep(LOOK_NS);
        if (r < 0) return r;
    }
    return 0;
}

static int freeze_for(struct fleet *f, struct machine *m, uint64_t length_ns)
{
    f->counts.freezes++;
    sim_freeze(m);
    int r = fiber_sleep(length_ns);
    sim_thaw(m);
    return r;
}

static struct process *lease_writer(struct fleet *f)
{
    for (uint32_t i = 0; i < FLEET_MGMTD_COUNT; i++) {
        if (strcmp(fleet_mgmtd(f, i)->name, f->lease_writer_name) == 0) return fleet_mgmtd(f, i);
    }
    return NULL;
}

static int wait_lease_write(struct fleet *f)
{
    f->is_lease_written = false;
    while (!f->is_lease_written) {
        int r = fiber_sleep(LOOK_NS);
        if (r < 0) return r;
    }
    return 0;
}

static void set_kv_delay(struct fleet *f, uint64_t min_ns, uint64_t max_ns)
{
    struct kv_mem_profile p = { .delay_min_ns = min_ns, .delay_max_ns = max_ns };
    kv_mem_store_set(f->place.store, &p);
}

/* The primary hears late that its lease is renewed, and then stands still until others may take
 * over. */
static int manager_hears_late(struct fleet *f)
{
    set_kv_delay(f, 20 * MSEC, 40 * MSEC); /* there is time between a commit and its answer */
    int r = wait_lease_write(f);
    set_kv_delay(f, 50 * USEC, 2 * MSEC);
    struct process *p = lease_writer(f);
    if (r < 0 || !p) return r;
    char name[sizeof f->lease_writer_name];
    memcpy(name, f->lease_writer_name, sizeof name);
    r = freeze_for(f, p->machine, 500 * MSEC + fleet_random(f, 300 * MSEC));
    if (r >= 0) r = fiber_sleep(50 * MSEC + fleet_random(f, 150 * MSEC));
    f->counts.freezes++;
    sim_freeze(p->machine);
    if (r >= 0) r = wait_deposed(f, name, 3 * SEC);
    if (r >= 0) r = fiber_sleep(300 * MSEC);
    sim_thaw(p->machine);
    return r;
}

static void set_net_delay(struct fleet *f, uint64_t min_ns, uint64_t max_ns)
{
    struct sim_net_profile p = sim_options_default(0).net;
    p.delay_min_ns = min_ns;
    p.delay_max_ns = max_ns;
    sim_set_net_profile(f->place.sim, &p);
}

/* Until a heartbeat was answered, or @limit_ns. */
static int wait_lease_grows(struct fleet *f, const struct process *p, uint64_t limit_ns)
{
    uint64_t end_ns = fleet_now_ns(f) + limit_ns;
    uint64_t lease_ns = fleet_metric(p, "mgmtd_client.lease_end_ns");
    while (fleet_metric(p, "mgmtd_client.lease_end_ns") == lease_ns && fleet_now_ns(f) < end_ns) {
        int r = fiber_sleep(LOOK_NS);
        if (r < 0) return r;
    }
    return 0;
}

/* A storage hears late that its heartbeat was taken, and then is cut off until it is excluded. */
static int storage_hears_late(struct fleet *f)
{
    const struct process *p = fleet_storage(f, (uint32_t)fleet_random(f, FLEET_STORAGE_COUNT));
    set_net_delay(f, 30 * MSEC, 40 * MSEC);
    int r = wait_lease_grows(f, p, 2 * SEC);
    /* The next one has come to the primary, its answer is on its way back. */
    if (r >= 0) r = fiber_sleep(HEARTBEAT_NS + 45 * MSEC);
    if (r >= 0) r = freeze_for(f, p->machine, 200 * MSEC + fleet_random(f, 200 * MSEC));
    set_net_delay(f, 50 * USEC, 500 * USEC);
    if (r >= 0) r = fiber_sleep(5 * MSEC);
    f->counts.cuts++;
    for (uint32_t i = 0; i < FLEET_MGMTD_COUNT; i++) {
        sim_cut(fleet_mgmtd(f, i)->machine, p->machine);
        sim_cut(p->machine, fleet_mgmtd(f, i)->machine);
    }
    if (r >= 0) r = fiber_sleep(2500 * MSEC);
    sim_heal_all(f->place.sim);
    return r;
}

int plot_late_answers(struct fleet *f, uint64_t end_ns)
{
    int r = 0;
    while (r >= 0 && fleet_now_ns(f) < end_ns && !f->why[0]) {
        r = fleet_random(f, 2) ? manager_hears_late(f) : storage_hears_late(f);
        if (r >= 0) r = fiber_sleep(500 * MSEC + fleet_random(f, SEC));
    }
    return r;
}

/* ---- a deposed manager that does not know it ---- */

/* It stands still with a clock that nearly does, too, until another has taken over and all know it.
 * Then the other one dies, and while the store is slow to tell it, the old one believes in its
 * lease and answers whoever looks for a primary. */
static int old_primary_answers(struct fleet *f)
{
    struct process *old = lease_writer(f);
    if (!old) return 0;
    f->counts.clock_changes++;
    f->counts.freezes++;
    sim_clock_drift(old->machine, -950000);
    sim_freeze(old->machine);
    int r = wait_deposed(f, old->name, 5 * SEC);
    if (r >= 0) r = fiber_sleep(2 * SEC);
    struct process *new = lease_writer(f);
    set_kv_delay(f, 400 * MSEC, 600 * MSEC);
    sim_thaw(old->machine);
    if (new &&new != old) fleet_end(f, new, ENDING_KILL);
    if (r >= 0) r = fiber_sleep(1500 * MSEC);
    set_kv_delay(f, 50 * USEC, 2 * MSEC);
    sim_clock_drift(old->machine, 0);
    if (new &&new != old) fleet_start(f, new);
    return r;
}

int plot_old_primary(struct fleet *f, uint64_t end_ns)
{
    int r = 0;
    while (r >= 0 && fleet_now_ns(f) < end_ns && !f->why[0]) {
        r = old_primary_answers(f);
        if (r >= 0) r = fiber_sleep(fleet_random(f, 2 * SEC));
    }
    return r;
}
