/* scenario.c - the table of scenarios. */
#include "sim/scenario.h"
#include "sim/chain_absence.h"
#include "sim/chain_disks.h"
#include "sim/chain_rot.h"
#include "sim/chain_steps.h"
#include <stdio.h>
#include <string.h>

#define JOIN_LIMIT_NS (300 * SEC)

static int check_all_succeeded(struct world *w)
{
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        if (w->clients[i].failed_count)
            return world_fail(w, "client %u: %u operations failed", i, w->clients[i].failed_count);
    }
    return 0;
}

static int just_run(struct world *w)
{
    int r = world_start_clients(w);
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    return r < 0 ? r : check_all_succeeded(w);
}

static void set_removes(struct world_options *o)
{
    o->remove_percent = 8;
}

static void set_late(struct world_options *o)
{
    o->with_late_report = true;
}

/* ---- the one that also runs on real processes ---- */

/* Every storage ends while clients work, now hard, now in order, and comes back: at once, or when
 * the chain has gone on without it. Nobody may see more of it than a pause. */
static int restart_storages(struct world *w)
{
    static const uint64_t pauses_ns[] = { 0, 300 * MSEC, 3 * SEC };
    int r = world_start_clients(w);
    for (uint32_t i = 0; i < w->options.storage_count * 2 && r == 0; i++) {
        struct process *victim = &w->storages[world_random(w, w->options.storage_count)];
        r = fiber_sleep(world_random(w, 500 * MSEC));
        if (r < 0) return r;
        world_end(w, victim, world_random(w, 4) ? ENDING_POWER : ENDING_STOP);
        r = fiber_sleep(pauses_ns[world_random(w, ARRAY_SIZE(pauses_ns))]);
        if (r < 0) return r;
        world_start(w, victim);
        r = world_wait_whole(w, 60 * SEC);
    }
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    return r < 0 ? r : check_all_succeeded(w);
}

/* All storages are stopped in order, one after the other, and started again, while clients work:
 * each hands over first, so nobody waits, and no call finds its storage gone. */
static int stop_storages(struct world *w)
{
    const uint64_t wait_ns_max = 500 * MSEC;
    uint64_t gone_count = 0;
    int r = world_start_clients(w);
    for (uint32_t i = 0; i < w->options.storage_count * 2 && r == 0; i++) {
        struct process *victim = &w->storages[i % w->options.storage_count];
        r = fiber_sleep(world_random(w, 200 * MSEC));
        if (r == 0) world_end(w, victim, ENDING_STOP);
        if (r == 0) r = fiber_sleep(world_random(w, 2) ? 0 : world_random(w, SEC));
        if (r < 0) return r;
        world_start(w, victim);
        r = world_wait_whole(w, 60 * SEC);
    }
    for (uint32_t i = 0; i < w->options.client_count; i++)
        gone_count += metrics_value(w->clients[i].node->metrics, "storage_client.found_gone");
    if (r == 0 && gone_count)
        r = world_fail(w, "%" PRIu64 " calls found their storage gone", gone_count);
    if (r == 0 && w->worst_wait_ns > wait_ns_max)
        r = world_fail(w, "a call has waited %" PRIu64 " ms", (uint64_t)(w->worst_wait_ns / MSEC));
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    return r < 0 ? r : check_all_succeeded(w);
}

/* Enough work for all of the stops. */
static void set_stop(struct world_options *o)
{
    o->ops_per_client = 2000;
    o->op_pause_max_ns = 10 * MSEC;
    o->remove_percent = 8;
}

static void set_restart(struct world_options *o)
{
    o->ops_per_client = 400;
    o->op_pause_max_ns = 20 * MSEC;
}

/* ---- trouble ---- */

static int trouble(struct world *w)
{
    int r = world_start_clients(w);
    if (r == 0) r = world_make_trouble(w, world_now_ns(w) + 15 * SEC);
    if (r == 0) r = world_join_clients(w, JOIN_LIMIT_NS);
    return r;
}

static void set_trouble(struct world_options *o)
{
    o->ops_per_client = 300;
    o->client_count = 4;
}

static void set_steps(struct world_options *o)
{
    set_trouble(o);
    o->with_points = true;
}

static void set_one_chunk(struct world_options *o)
{
    o->chunk_count = 1;
}

static void set_repeats(struct world_options *o)
{
    set_trouble(o);
    o->with_repeats = true;
    o->remove_percent = 5;
}

/* One chunk of few blocks, so that a wrong state is seen before the next write mends it. */
static void set_hot(struct world_options *o)
{
    o->ops_per_client = 400;
    o->client_count = 6;
    o->chunk_count = 1;
    o->block_count = 3;
    o->read_percent = 70;
    o->with_points = true;
}

static void set_uncommitted(struct world_options *o)
{
    set_hot(o);
    o->loose_percent = 30;
}

static void set_repeats_hot(struct world_options *o)
{
    set_hot(o);
    o->with_repeats = true;
    o->remove_percent = 5;
}

static void set_blinks(struct world_options *o)
{
    set_hot(o);
    o->with_blinks = true;
    o->with_points = false;
}

static void set_islands(struct world_options *o)
{
    set_hot(o);
    o->with_points = false;
    o->with_islands = true;
}

/* Removals write the same value: the search for an order is dear, so these are short. */
static void set_trouble_removes(struct world_options *o)
{
    o->ops_per_client = 60;
    o->op_pause_max_ns = 200 * MSEC;
    o->block_count = 2;
    o->remove_percent = 30;
    o->with_blinks = true;
    o->with_points = true;
}

static void set_floors(struct world_options *o)
{
    set_trouble(o);
    o->with_floors = true;
    o->with_blinks = true;
}

/* ---- storages that are away, disks that go bad ---- */

static void set_all_chunks(struct world_options *o)
{
    o->chunk_count = WORLD_CHUNK_COUNT_MAX;
}

static void set_two_replicas(struct world_options *o)
{
    o->storage_count = o->replica_count = 2;
    o->chunk_count = 1;
}

static void set_late_replacements(struct world_options *o)
{
    set_two_replicas(o);
    o->chunk_count = WORLD_CHUNK_COUNT_MAX;
}

static void set_two_disks(struct world_options *o)
{
    o->disk_count = o->chain_count = 2;
    o->ops_per_client = 300;
    o->read_percent = 30;
}

static void set_replaced(struct world_options *o)
{
    o->ops_per_client = 300;
}

static void set_full(struct world_options *o)
{
    o->chunk_count = WORLD_CHUNK_COUNT_MAX;
    o->capacity_bytes = 8 * WORLD_CHUNK_BYTES;
}

static void set_rot(struct world_options *o)
{
    o->ops_per_client = 200;
    o->chunk_count = 12;
    o->with_rot = true;
}

static void set_damaged_alone(struct world_options *o)
{
    o->ops_per_client = 60;
    o->chunk_count = 12;
    o->with_rot = true;
}

static void set_rot_at(struct world_options *o)
{
    o->with_rot = true;
}

/* An operation lives at most 20 s. */
static void set_tombstones(struct world_options *o)
{
    o->ops_per_client = 150;
    o->op_pause_max_ns = 1 * SEC;
    o->block_count = 2;
    o->remove_percent = 30;
    o->tombstone_age_ns = 30 * SEC;
}

const struct scenario scenarios[] = {
    { "quiet", "writes, reads and removals without faults", set_removes, just_run },
    { "late", "mgmtd learns where targets are after the chains were made", set_late, just_run },
    { "restart", "storages end and come back; also runs on real processes", set_restart,
      restart_storages },
    { "trouble", "crashes, kills, freezes, cuts of links", set_trouble, trouble },
    { "steps", "the same, and steps of the protocol are delayed or fail", set_steps, trouble },
    { "hot", "the same on one small chunk", set_hot, trouble },
    { "uncommitted", "the same, and reads that do not wait for commits", set_uncommitted, trouble },
    { "repeats", "the same, and messages come twice and late", set_repeats, trouble },
    { "repeats-hot", "the same on one small chunk, with steps that fail", set_repeats_hot,
      trouble },
    { "blinks", "processes end and are back below a lease, one small chunk", set_blinks, trouble },
    { "islands", "a storage and a client are cut off together", set_islands, trouble },
    { "removes", "chunks are removed while processes end", set_trouble_removes, trouble },
    { "floors", "generations rise while processes end", set_floors, trouble },
    { "each-step", "each step of an update fails, or ends a machine, once", NULL, steps_each },
    { "stop", "storages are stopped in order and started again; nobody waits for it", set_stop,
      stop_storages },
    { "leaving-read", "a storage that hands over hears late that its chain goes on", NULL,
      steps_leaving_read },
    { "late-read", "a read outlives its target's place in the chain", NULL, steps_late_read },
    { "same-version", "a former head has another update of one version", set_one_chunk,
      steps_same_version },
    { "remove-over", "the same, and the chunk was removed meanwhile", set_one_chunk,
      steps_remove_over },
    { "power", "all machines lose power at once, again and again", set_trouble, absence_of_all },
    { "lastsrv", "all go one after the other; the last server comes back last", set_one_chunk,
      absence_lastsrv },
    { "away", "one is away for a minute while little changes", set_all_chunks,
      absence_short_return },
    { "throttle", "one is filled at a bounded rate", set_all_chunks, absence_throttled_return },
    { "late-replacements", "what fills one comes again, after newer updates", set_late_replacements,
      absence_late_replacements },
    { "retry-filled", "a lost answer is asked for again at a member that was filled since",
      set_two_replicas, absence_retry_at_filled },
    { "left-pending", "others are filled before the head has passed on what it holds", NULL,
      absence_left_pending },
    { "retry-refilled", "the same, and it came while that member was being filled, twice",
      set_two_replicas, absence_retry_at_refilled },
    { "retry-former", "the same at a former head that was filled since", set_two_replicas,
      absence_retry_at_former_head },
    { "disk-error", "one of two disks fails, and is taken into use again", set_two_disks,
      disks_one_fails },
    { "replaced", "storages come back with empty disks", set_replaced, disks_replaced },
    { "full", "disks fill up", set_full, disks_full },
    { "refused", "a full member refuses what the head has begun", NULL, disks_refused },
    { "rot", "bits flip on one storage's disk", set_rot, disks_rot },
    { "damaged-alone", "the only storage that serves is damaged", set_damaged_alone,
      disks_damaged_alone },
    { "rot-behind", "an update that is pending behind the head rots", set_rot_at,
      rot_pending_behind },
    { "rot-at-head", "an update that nobody else has rots on the head", set_rot_at,
      rot_pending_at_head },
    { "rot-elsewhere", "what rots on the only one serving is pending on others", set_rot_at,
      rot_pending_elsewhere },
    { "rot-others-older", "what rots on the only one serving the others never had", set_rot_at,
      rot_others_older },
    { "rot-everywhere", "one block rots on all replicas, and one disk is replaced", set_rot_at,
      rot_everywhere },
    { "rot-in-turns", "another block rots on each replica", set_rot_at, rot_in_turns },
    { "spread", "reads use all replicas, and avoid one that fails", NULL, disks_spread_reads },
    { "tombstones", "chunks are removed, forgotten and made anew", set_tombstones, just_run },
};
const uint32_t scenario_count = ARRAY_SIZE(scenarios);

const struct scenario *scenario_find(const char *name)
{
    for (uint32_t i = 0; i < scenario_count; i++) {
        if (strcmp(scenarios[i].name, name) == 0) return &scenarios[i];
    }
    return NULL;
}

int scenario_run(const struct scenario *s, const struct world_options *options, struct world *w)
{
    struct world_options o = *options;
    if (s->set) s->set(&o);
    return world_run(w, &o, s->body);
}

void scenario_sum_up(const struct world *w, char *buf, size_t size)
{
    uint32_t done = 0, failed = 0;
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        done += w->clients[i].done_count;
        failed += w->clients[i].failed_count;
    }
    snprintf(buf, size,
             "seed %" PRIu64 ": %.1f s, %" PRIu64 " events, %u done, %u failed; crashes %u kills "
             "%u freezes %u cuts %u; chain version %u, resyncs %" PRIu64 ", rolled forward %" PRIu64
             ", taken back %" PRIu64 ", retries recognised %" PRIu64 ", forward retries %" PRIu64
             ", rounds %" PRIu64 ", tail asked %" PRIu64 ", messages twice %" PRIu64
             " late %" PRIu64 "; trace %016" PRIx64,
             w->options.seed, (double)w->end_ns / 1e9, w->event_count, done, failed, w->crash_count,
             w->kill_count, w->freeze_count, w->cut_count, w->chain_version, w->resyncs_done,
             w->rolled_forward, w->taken_back, w->retries_recognised, w->forward_retries,
             w->confirm_rounds, w->tail_questions, w->repeats, w->late, w->trace_hash);
}
