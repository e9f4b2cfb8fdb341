/* chain_test.c - chains of storages under trouble, in the simulator, and whether taking out a rule
 * is noticed. More seeds: C3FS_LONG=1, or ./dev sim.
 */
#include "sim/scenario.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void run_seeds(const char *name, uint64_t count)
{
    if (getenv("C3FS_LONG")) count *= 20;
    struct world *w = calloc(1, sizeof *w);
    for (uint64_t seed = 1; seed <= count; seed++) {
        struct world_options o = world_options_default(seed);
        int r = scenario_run(scenario_find(name), &o, w);
        if (r < 0)
            fail_msg("%s (./dev sim --scenario %s --seeds %lu --log)", w->why, name,
                     (unsigned long)seed);
    }
    free(w);
}

static void writes_and_reads_through_three_replicas(void **state)
{
    run_seeds("quiet", 5);
}

static void whereabouts_may_come_after_the_chain(void **state)
{
    run_seeds("late", 3);
}

static void stays_linearizable_under_trouble(void **state)
{
    run_seeds("trouble", 15);
}

static void stays_linearizable_when_steps_fail(void **state)
{
    run_seeds("steps", 15);
}

static void stays_linearizable_on_a_hot_chunk(void **state)
{
    run_seeds("hot", 5);
    run_seeds("uncommitted", 3);
    run_seeds("blinks", 5);
    run_seeds("islands", 5);
}

static void messages_come_twice_and_late(void **state)
{
    run_seeds("repeats", 15);
    run_seeds("repeats-hot", 5);
}

static void keeps_removals_and_generations(void **state)
{
    run_seeds("removes", 5);
    run_seeds("floors", 5);
}

static void one_thing_goes_wrong_at_one_moment(void **state)
{
    run_seeds("each-step", 2);
    run_seeds("late-read", 3);
    run_seeds("same-version", 3);
    run_seeds("remove-over", 3);
}

static void hands_over_before_it_ends(void **state)
{
    run_seeds("stop", 3);
    run_seeds("leaving-read", 3);
}

static void survives_absences(void **state)
{
    run_seeds("power", 4);
    run_seeds("lastsrv", 3);
    run_seeds("away", 2);
    run_seeds("throttle", 2);
    run_seeds("late-replacements", 2);
    run_seeds("retry-filled", 2);
    run_seeds("retry-refilled", 2);
    run_seeds("left-pending", 2);
    run_seeds("retry-former", 2);
}

static void survives_bad_disks(void **state)
{
    run_seeds("disk-error", 4);
    run_seeds("replaced", 4);
    run_seeds("full", 3);
    run_seeds("refused", 3);
    run_seeds("rot", 4);
    run_seeds("damaged-alone", 3);
    run_seeds("spread", 2);
    run_seeds("tombstones", 2);
}

static void survives_rot_where_it_hurts(void **state)
{
    run_seeds("rot-behind", 2);
    run_seeds("rot-at-head", 2);
    run_seeds("rot-elsewhere", 2);
    run_seeds("rot-others-older", 2);
    run_seeds("rot-everywhere", 2);
    run_seeds("rot-in-turns", 2);
}

static void same_seed_same_trace(void **state)
{
    uint64_t hashes[2];
    struct world *w = calloc(1, sizeof *w);
    for (int i = 0; i < 2; i++) {
        struct world_options o = world_options_default(7);
        int r = scenario_run(scenario_find("steps"), &o, w);
        if (r < 0) fail_msg("%s", w->why);
        hashes[i] = w->trace_hash;
    }
    free(w);
    assert_int_equal(hashes[0], hashes[1]);
}

/* Each rule that is taken out must be missed within a few seeds. What concerns one disk only is
 * taken out in storage/chunk_crash_test.c. */
static const struct {
    enum mutant mutant;
    const char *scenario;
    uint64_t seed_count; /* at most that many are needed; about twice what was seen */
} biting[] = {
    { MUTANT_SKIP_DATA_SYNC, "blinks", 10 },
    { MUTANT_SKIP_INDEX_SYNC, "trouble", 10 },
    { MUTANT_SKIP_FORWARD, "trouble", 5 },
    { MUTANT_NO_CHUNK_LOCK, "trouble", 5 },
    { MUTANT_STALE_READ_ALLOWED, "late-read", 5 },
    { MUTANT_STALE_READ_ALLOWED, "islands", 10 },
    { MUTANT_LEASE_KEPT_WHILE_LEAVING, "leaving-read", 4 },
    { MUTANT_LEASE_CHECKED_BEFORE_READ, "late-read", 5 },
    { MUTANT_READ_COMMITTED_BESIDE_PENDING, "hot", 20 },
    { MUTANT_COMMIT_BEFORE_STAGE, "trouble", 5 },
    { MUTANT_FORWARD_BEFORE_SYNC, "blinks", 5 },
    { MUTANT_IDENTITY_NOT_COMPARED, "same-version", 5 },
    { MUTANT_ORPHAN_NOT_ROLLED_FORWARD, "each-step", 2 },
    { MUTANT_ORPHAN_NOT_ROLLED_FORWARD, "blinks", 5 },
    { MUTANT_PENDING_REMOVE_BECOMES_WRITE, "each-step", 2 },
    { MUTANT_RESYNC_SKIPS_BUCKET, "trouble", 10 },
    { MUTANT_OLDER_REPLACEMENT, "late-replacements", 4 },
    { MUTANT_FLOOR_FORGOTTEN, "floors", 5 },
    { MUTANT_RETRY_UNDER_NEW_IDENTITY, "blinks", 12 },
    { MUTANT_TOMBSTONE_DROPPED_EARLY, "tombstones", 2 },
    { MUTANT_IDENTITIES_NOT_COPIED, "retry-filled", 2 },
    { MUTANT_IDENTITIES_NOT_CLEARED, "retry-former", 2 },
    { MUTANT_SYNCING_LEFT_OUT, "repeats", 4 },
    { MUTANT_EMPTY_DISK_TRUSTED, "replaced", 4 },
};

static void mutants_are_caught(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    for (size_t i = 0; i < ARRAY_SIZE(biting); i++) {
        int r = 0;
        for (uint64_t seed = 1; seed <= biting[i].seed_count && r == 0; seed++) {
            struct world_options o = world_options_default(seed);
            o.mutant = (int)biting[i].mutant;
            r = scenario_run(scenario_find(biting[i].scenario), &o, w);
        }
        if (r == 0)
            fail_msg("%s: nobody misses: %s", biting[i].scenario, mutant_rule(biting[i].mutant));
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads_through_three_replicas),
        cmocka_unit_test(whereabouts_may_come_after_the_chain),
        cmocka_unit_test(stays_linearizable_under_trouble),
        cmocka_unit_test(stays_linearizable_when_steps_fail),
        cmocka_unit_test(stays_linearizable_on_a_hot_chunk),
        cmocka_unit_test(messages_come_twice_and_late),
        cmocka_unit_test(keeps_removals_and_generations),
        cmocka_unit_test(one_thing_goes_wrong_at_one_moment),
        cmocka_unit_test(hands_over_before_it_ends),
        cmocka_unit_test(survives_absences),
        cmocka_unit_test(survives_bad_disks),
        cmocka_unit_test(survives_rot_where_it_hurts),
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(mutants_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
