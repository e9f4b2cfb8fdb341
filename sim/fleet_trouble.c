/* fleet_trouble.c - random faults, several at a time: each server has at most one of its own, and
 * beside these the network, the store, the disks, the clocks and the clients have theirs.
 */
#include "sim/fleet_model.h"
#include "sim/message.h"
#include <stdio.h>
#include <string.h>

#define LOOK_AT_DISK_NS SEC
/* A bit that changes within 100 ms of its update's acknowledgement makes it look as if it had not
 * reached the disk when the process ends in that moment (docs/chunk-store.md). That needs a disk
 * that answers in time: a bit more. */
#define ROT_IS_TOLD_NS (200 * MSEC)

enum fault_kind_here { HEALTHY, DOWN, FROZEN, CUT, FAILING_DISK, FULL_DISK };
struct server_fault {
    enum fault_kind_here kind;
    uint64_t until_ns;
};

struct trouble {
    struct fleet *fleet;
    struct server_fault servers[FLEET_SERVER_COUNT];
    uint64_t net_until_ns, kv_until_ns, disk_until_ns; /* 0: well */
    uint32_t rotten;                                   /* the server whose bits change */
    uint64_t rot_told_ns;                              /* it does not end before that */
    bool has_lost_disk; /* a storage's, and it is not whole again since */
};

static bool has(const struct fleet *f, enum fleet_fault fault)
{
    return f->options.faults & fault;
}

/* Mostly shorter than a lease, sometimes much longer. */
static uint64_t any_length_ns(struct fleet *f)
{
    uint64_t dice = fleet_random(f, 10);
    return dice < 5   ? fleet_random(f, 300 * MSEC)
           : dice < 9 ? fleet_random(f, 5 * SEC)
                      : fleet_random(f, 15 * SEC);
}

/* ---- one server ---- */

static struct machine *machine_at(struct fleet *f, uint32_t i)
{
    return i < FLEET_SERVER_COUNT ? f->servers[i].machine
                                  : f->clients[i - FLEET_SERVER_COUNT].machine;
}

static uint32_t machine_count(const struct fleet *f)
{
    return FLEET_SERVER_COUNT + f->options.client_count;
}

/* From some or all others, one way or both. */
static void cut(struct fleet *f, struct machine *victim)
{
    f->counts.cuts++;
    uint64_t ways = fleet_random(f, 3);
    bool from_all = fleet_random(f, 2);
    for (uint32_t i = 0; i < machine_count(f); i++) {
        struct machine *other = machine_at(f, i);
        if (other == victim || (!from_all && fleet_random(f, 3) == 0)) continue;
        if (ways != 1) sim_cut(victim, other);
        if (ways != 2) sim_cut(other, victim);
    }
}

static void mend(struct fleet *f, struct machine *victim)
{
    for (uint32_t i = 0; i < machine_count(f); i++) {
        sim_heal(victim, machine_at(f, i));
        sim_heal(machine_at(f, i), victim);
    }
}

/* ---- the disk of one storage ---- */

static void begin_disk_fault(struct fleet *f, const struct process *p, bool is_full)
{
    struct sim_disk_profile profile = sim_options_default(0).disk;
    if (is_full) {
        f->counts.disks_full++;
        profile.capacity_bytes = sim_disk_used_bytes(p->machine) + fleet_random(f, 256 * KIB);
    } else {
        f->counts.disk_errors++;
        profile.read_error_ppm = (uint32_t)fleet_random(f, 20000);
        profile.write_error_ppm = (uint32_t)fleet_random(f, 20000);
    }
    f->bad_disks |= 1u << (p->role.node_id - FLEET_STORAGE_ID);
    sim_set_disk_profile(p->machine, &profile);
}

/* A full disk comes back by itself; one that failed is looked at again by the next process, and
 * replaced if that cannot use it. */
static void end_disk_fault(struct trouble *t, struct process *p, bool is_full)
{
    struct fleet *f = t->fleet;
    struct sim_disk_profile profile = sim_options_default(0).disk;
    sim_set_disk_profile(p->machine, &profile);
    if (is_full) return;
    fleet_end(f, p, fleet_random(f, 2) ? ENDING_POWER : ENDING_KILL);
    fleet_start(f, p);
    if (fiber_sleep(LOOK_AT_DISK_NS) < 0 || !fleet_lacks_disk(f, p)) return;
    f->counts.disks_replaced++;
    fleet_replace_disk(f, p);
}

/* One disk is lost at a time: the data is on the others, which must not go before it is back. */
static bool may_begin(struct trouble *t, uint32_t kind)
{
    struct fleet *f = t->fleet;
    bool is_whole = fleet_is_whole(f);
    bool is_quiet = true;
    for (uint32_t i = 0; i < FLEET_STORAGE_COUNT; i++) {
        enum fault_kind_here k = t->servers[FLEET_MGMTD_COUNT + FLEET_META_COUNT + i].kind;
        is_quiet = is_quiet && k == HEALTHY;
    }
    if (is_whole && is_quiet) t->has_lost_disk = false;
    if (t->has_lost_disk) return false;
    t->has_lost_disk = kind == FLEET_DISK_ERROR && is_whole && is_quiet;
    return kind != FLEET_DISK_ERROR || t->has_lost_disk;
}

/* Only while all is well, so that others have what is lost, and always on the same disk. */
static void flip_bits(struct trouble *t)
{
    enum { UNIT_COUNT = 48 }; /* about what is in use */
    struct fleet *f = t->fleet;
    const struct process *p = &f->servers[t->rotten];
    if (t->servers[t->rotten].kind != HEALTHY || !fleet_is_whole(f)) return;
    char path[160];
    snprintf(path, sizeof path, "%s/shard-00/units-0000", p->role.dir);
    for (uint64_t i = 1 + fleet_random(f, 8); i > 0; i--) {
        uint64_t at = fleet_random(f, (uint64_t)UNIT_COUNT * FLEET_CHUNK_BYTES);
        uint8_t bit = (uint8_t)fleet_random(f, 8);
        f->counts.flips += sim_flip_bit(p->machine, path, at, bit) == 0;
    }
    t->rot_told_ns = fleet_now_ns(f) + ROT_IS_TOLD_NS;
}

static void begin_server_fault(struct trouble *t, uint32_t at)
{
    struct fleet *f = t->fleet;
    struct process *p = &f->servers[at];
    struct server_fault *s = &t->servers[at];
    static const uint32_t kinds[] = { FLEET_CRASH,  FLEET_CRASH, FLEET_CRASH,
                                      FLEET_FREEZE, FLEET_CUT,   FLEET_DISK_ERROR,
                                      FLEET_FREEZE, FLEET_CUT,   FLEET_DISK_FULL };
    uint32_t kind = kinds[fleet_random(f, ARRAY_SIZE(kinds))];
    uint64_t length_ns = any_length_ns(f);
    if (!has(f, (enum fleet_fault)kind)) return;
    bool is_disk = kind == FLEET_DISK_ERROR || kind == FLEET_DISK_FULL;
    bool is_end = kind == FLEET_CRASH || kind == FLEET_DISK_ERROR;
    if (is_end && at == t->rotten && fleet_now_ns(f) < t->rot_told_ns) return;
    if (p->role.kind == ROLE_STORAGE ? !may_begin(t, kind) : is_disk) return;
    if (is_disk) {
        begin_disk_fault(f, p, kind == FLEET_DISK_FULL);
        s->kind = kind == FLEET_DISK_FULL ? FULL_DISK : FAILING_DISK;
    } else if (kind == FLEET_CRASH) {
        static const enum ending ends[] = { ENDING_POWER, ENDING_POWER, ENDING_KILL, ENDING_STOP };
        fleet_end(f, p, ends[fleet_random(f, ARRAY_SIZE(ends))]);
        s->kind = DOWN;
    } else if (kind == FLEET_FREEZE) {
        f->counts.freezes++;
        sim_freeze(p->machine);
        s->kind = FROZEN;
    } else {
        cut(f, p->machine);
        s->kind = CUT;
    }
    s->until_ns = fleet_now_ns(f) + 1 + length_ns;
}

static void end_server_fault(struct trouble *t, uint32_t at)
{
    struct fleet *f = t->fleet;
    struct process *p = &f->servers[at];
    switch (t->servers[at].kind) {
    case HEALTHY: break;
    case DOWN: fleet_start(f, p); break;
    case FROZEN:
        sim_thaw(p->machine);
        if (at == t->rotten) t->rot_told_ns = fleet_now_ns(f) + ROT_IS_TOLD_NS;
        break;
    case CUT: mend(f, p->machine); break;
    case FAILING_DISK:
    case FULL_DISK: end_disk_fault(t, p, t->servers[at].kind == FULL_DISK); break;
    }
    t->servers[at] = (struct server_fault){ .kind = HEALTHY };
}

/* ---- what all share ---- */

static void set_net(struct fleet *f, bool is_bad)
{
    struct sim_net_profile p = sim_options_default(0).net;
    if (has(f, FLEET_REPEAT)) message_trouble(&p);
    if (is_bad) {
        p.loss_ppm = (uint32_t)fleet_random(f, 60000);
        p.reset_ppm = (uint32_t)fleet_random(f, 3000);
        p.crash_silent_ppm = 300000;
        p.delay_max_ns = 1 * MSEC + fleet_random(f, 30 * MSEC);
    }
    sim_set_net_profile(f->place.sim, &p);
}

static void set_kv(struct fleet *f, uint32_t faults)
{
    struct kv_mem_profile p = { .delay_min_ns = 50 * USEC, .delay_max_ns = 2 * MSEC };
    if (faults & FLEET_KV_FLAKY) {
        p.conflict_ppm = (uint32_t)fleet_random(f, 100000);
        p.maybe_committed_ppm = (uint32_t)fleet_random(f, 100000);
        p.too_old_ppm = (uint32_t)fleet_random(f, 20000);
    }
    if (faults & FLEET_KV_SLOW) p.delay_max_ns = fleet_random(f, 1200 * MSEC);
    p.is_gone = faults & FLEET_KV_GONE;
    kv_mem_store_set(f->place.store, &p);
}

static void begin_kv_fault(struct trouble *t)
{
    struct fleet *f = t->fleet;
    static const uint32_t kinds[] = { FLEET_KV_FLAKY, FLEET_KV_FLAKY, FLEET_KV_SLOW,
                                      FLEET_KV_FLAKY | FLEET_KV_SLOW, FLEET_KV_GONE };
    uint32_t kind = kinds[fleet_random(f, ARRAY_SIZE(kinds))] & f->options.faults;
    if (!kind || t->kv_until_ns) return;
    f->counts.kv_spells++;
    uint64_t length_ns = 500 * MSEC + fleet_random(f, 6 * SEC);
    if (kind & FLEET_KV_GONE) {
        f->counts.kv_gone++;
        length_ns = fleet_random(f, 3) ? length_ns : fleet_random(f, 60 * SEC);
    }
    set_kv(f, kind);
    t->kv_until_ns = fleet_now_ns(f) + length_ns;
}

static void set_disks(const struct trouble *t, bool is_bad)
{
    struct fleet *f = t->fleet;
    struct sim_disk_profile p = sim_options_default(0).disk;
    for (uint32_t i = 0; i < FLEET_STORAGE_COUNT; i++) {
        enum fault_kind_here kind = t->servers[FLEET_MGMTD_COUNT + FLEET_META_COUNT + i].kind;
        if (kind == FAILING_DISK || kind == FULL_DISK) continue;
        struct sim_disk_profile one = p;
        if (is_bad && fleet_random(f, 2)) {
            one.sync_max_ns = fleet_random(f, 100 * MSEC);
            one.stall_ppm = 5000;
            one.stall_ns = fleet_random(f, 3 * SEC);
        }
        sim_set_disk_profile(fleet_storage(f, i)->machine, &one);
    }
}

static void change_clock(struct fleet *f)
{
    struct machine *m = machine_at(f, (uint32_t)fleet_random(f, machine_count(f)));
    f->counts.clock_changes++;
    if (fleet_random(f, 2))
        sim_clock_drift(m, (int32_t)fleet_random(f, 8000) - 4000); /* the bound is 1 % */
    else
        sim_clock_jump(m, (int64_t)fleet_random(f, 7200 * SEC) - (int64_t)(3600 * SEC));
}

/* The server that wrote the managers' lease last. */
static uint32_t lease_writer(const struct fleet *f)
{
    uint32_t at = 0;
    while (at + 1 < FLEET_MGMTD_COUNT && strcmp(f->servers[at].name, f->lease_writer_name) != 0)
        at++;
    return at;
}

/* The primary's clock becomes slow; the others' go right again. */
static void set_old_clocks(struct fleet *f)
{
    f->counts.clock_changes++;
    for (uint32_t i = 0; i < FLEET_MGMTD_COUNT; i++)
        sim_clock_drift(fleet_mgmtd(f, i)->machine, 0);
    sim_clock_drift(fleet_mgmtd(f, lease_writer(f))->machine,
                    -500000 - (int32_t)fleet_random(f, 450000));
}

/* A manager stands still when its lease is in the store and it has not heard of that. */
static void freeze_lease_writer(struct trouble *t)
{
    struct fleet *f = t->fleet;
    bool is_slow = t->kv_until_ns && has(f, FLEET_KV_SLOW) && has(f, FLEET_FREEZE);
    uint32_t at = lease_writer(f);
    if (!is_slow || !f->is_lease_written || t->servers[at].kind != HEALTHY) return;
    f->is_lease_written = false;
    if (fleet_random(f, 4)) return;
    f->counts.freezes++;
    sim_freeze(f->servers[at].machine);
    t->servers[at] = (struct server_fault){
        .kind = FROZEN, .until_ns = fleet_now_ns(f) + 200 * MSEC + fleet_random(f, 3 * SEC)
    };
}

/* A client dies; one like it begins anew, and what the dead one left is judged in the end. */
static int crash_client(struct fleet *f)
{
    struct fleet_client *c = &f->clients[fleet_random(f, f->options.client_count)];
    if (f->dead_count == FLEET_DEAD_COUNT_MAX || c->is_done) return 0;
    f->counts.client_crashes++;
    fleet_client_end(c, true);
    if (c->model) f->dead[f->dead_count++] = TAKE_PTR(c->model);
    fleet_client_start(c);
    return fleet_client_work(c);
}

/* ---- all of it ---- */

static int begin_fault(struct trouble *t)
{
    struct fleet *f = t->fleet;
    uint64_t dice = fleet_random(f, 20), now_ns = fleet_now_ns(f);
    if (has(f, FLEET_ROT) && fleet_random(f, 3) == 0) flip_bits(t);
    if (has(f, FLEET_OLD_CLOCKS) && fleet_random(f, 6) == 0) {
        set_old_clocks(f);
    } else if (dice < 12) {
        uint32_t at = (uint32_t)fleet_random(f, FLEET_SERVER_COUNT);
        if (t->servers[at].kind == HEALTHY) begin_server_fault(t, at);
    } else if (dice == 12 && has(f, FLEET_NET) && !t->net_until_ns) {
        f->counts.net_spells++;
        set_net(f, true);
        t->net_until_ns = now_ns + fleet_random(f, 5 * SEC);
    } else if (dice == 13 && has(f, FLEET_DISK) && !t->disk_until_ns) {
        f->counts.disk_spells++;
        set_disks(t, true);
        t->disk_until_ns = now_ns + fleet_random(f, 5 * SEC);
    } else if (dice == 14 && has(f, FLEET_CLOCK)) {
        change_clock(f);
    } else if (dice == 15 && has(f, FLEET_CLIENT)) {
        return crash_client(f);
    } else if (dice > 15) {
        begin_kv_fault(t);
    }
    return 0;
}

static bool is_past(uint64_t *until_ns, uint64_t now_ns)
{
    if (!*until_ns || *until_ns > now_ns) return false;
    *until_ns = 0;
    return true;
}

static void end_faults(struct trouble *t)
{
    struct fleet *f = t->fleet;
    uint64_t now_ns = fleet_now_ns(f);
    for (uint32_t i = 0; i < FLEET_SERVER_COUNT; i++) {
        if (is_past(&t->servers[i].until_ns, now_ns)) end_server_fault(t, i);
    }
    if (is_past(&t->net_until_ns, now_ns)) set_net(f, false);
    if (is_past(&t->kv_until_ns, now_ns)) set_kv(f, 0);
    if (is_past(&t->disk_until_ns, now_ns)) set_disks(t, false);
}

void fleet_heal(struct fleet *f)
{
    struct sim_net_profile well = sim_options_default(0).net;
    sim_heal_all(f->place.sim);
    sim_set_net_profile(f->place.sim, &well);
    set_kv(f, 0);
    set_disks(&(struct trouble){ .fleet = f }, false);
    for (uint32_t i = 0; i < machine_count(f); i++) {
        sim_thaw(machine_at(f, i));
        sim_clock_drift(machine_at(f, i), 0);
    }
    for (uint32_t i = 0; i < FLEET_SERVER_COUNT; i++) {
        if (!f->servers[i].is_up) fleet_start(f, &f->servers[i]);
    }
}

static int make_random_trouble(struct fleet *f, uint64_t end_ns)
{
    struct trouble t = { .fleet = f };
    t.rotten =
        FLEET_MGMTD_COUNT + FLEET_META_COUNT + (uint32_t)fleet_random(f, FLEET_STORAGE_COUNT);
    uint64_t next_ns = fleet_now_ns(f);
    set_net(f, false);
    while (fleet_now_ns(f) < end_ns && !f->why[0]) {
        int r = fiber_sleep(5 * MSEC);
        if (r < 0) return r;
        end_faults(&t);
        freeze_lease_writer(&t);
        if (fleet_now_ns(f) < next_ns) continue;
        next_ns = fleet_now_ns(f) + fleet_random(f, f->options.fault_gap_ns_max + 1ull);
        r = begin_fault(&t);
        if (r < 0) return r;
    }
    for (uint32_t i = 0; i < FLEET_SERVER_COUNT; i++) {
        bool is_disk = t.servers[i].kind == FAILING_DISK || t.servers[i].kind == FULL_DISK;
        if (is_disk) end_server_fault(&t, i);
    }
    return 0;
}

int fleet_make_trouble(struct fleet *f, uint64_t end_ns)
{
    int r = f->options.plot ? f->options.plot(f, end_ns) : make_random_trouble(f, end_ns);
    if (r < 0) return r;
    fleet_heal(f);
    return f->why[0] ? -ERR_FOUND_BUG : 0;
}
