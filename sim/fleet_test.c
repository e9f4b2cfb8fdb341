/* fleet_test.c - whole clusters in trouble, in the simulator, with a fixed list of seeds. More of
 * them: C3FS_LONG=1, or ./dev sim.
 */
#include "sim/fleet_scenario.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void run_seeds(const char *name, uint64_t count)
{
    if (getenv("C3FS_LONG")) count *= 20;
    struct fleet *f = calloc(1, sizeof *f);
    for (uint64_t seed = 1; seed <= count; seed++) {
        struct fleet_options o = fleet_options_default(seed);
        if (fleet_scenario_run(fleet_scenario_find(name), &o, f) < 0)
            fail_msg("%s (./dev sim --scenario %s --seed %lu --log)", f->why, name,
                     (unsigned long)seed);
    }
    free(f);
}

static void clients_race_in_a_sound_cluster(void **state)
{
    run_seeds("fleet-quiet", 2);
}

static void every_kind_of_fault(void **state)
{
    run_seeds("fleet", 2);
}

static void messages_come_twice_and_late(void **state)
{
    run_seeds("fleet-repeats", 3);
}

static void servers_die_while_the_store_loses_answers(void **state)
{
    run_seeds("fleet-meta", 2);
}

static void there_is_one_primary(void **state)
{
    run_seeds("fleet-managers", 1);
    run_seeds("fleet-clocks", 1);
}

static void one_file_of_several_writers_is_linearizable(void **state)
{
    run_seeds("fleet-registers", 2);
}

static void disks_fail_fill_up_and_rot(void **state)
{
    run_seeds("fleet-disks", 3);
}

static void leases_and_routing_at_their_moment(void **state)
{
    run_seeds("fleet-late", 3);
    run_seeds("fleet-deposed", 3);
}

static void what_dead_clients_left_is_settled(void **state)
{
    run_seeds("fleet-clients", 1);
}

static void the_store_may_be_gone(void **state)
{
    run_seeds("fleet-kv-gone", 1);
}

static void same_seed_same_trace(void **state)
{
    uint64_t hashes[2];
    struct fleet *f = calloc(1, sizeof *f);
    for (int i = 0; i < 2; i++) {
        struct fleet_options o = fleet_options_default(9);
        if (fleet_scenario_run(fleet_scenario_find("fleet"), &o, f) < 0) fail_msg("%s", f->why);
        hashes[i] = f->trace_hash;
    }
    free(f);
    assert_int_equal(hashes[0], hashes[1]);
}

/* Each rule that is taken out must be missed within a few seeds; the others of the table are missed
 * in sim/chain_test.c and storage/chunk_crash_test.c. */
static const struct {
    enum mutant mutant;
    const char *scenario;
    uint64_t seed_count; /* at most that many are needed; about twice what was seen */
} biting[] = {
    { MUTANT_LENGTH_SHRUNK_BY_HINT, "fleet-meta", 4 },
    { MUTANT_IDEMPOTENCY_LOST, "fleet-meta", 8 },
    { MUTANT_OPEN_FILE_COLLECTED, "fleet-meta", 2 },
    { MUTANT_KV_RANGE_NOT_CHECKED, "fleet-quiet", 40 },
    { MUTANT_SESSION_PRUNED_EARLY, "fleet", 8 },
    { MUTANT_TERM_NOT_CHECKED, "fleet-clocks", 54 },
    { MUTANT_LEASE_FROM_REPLY, "fleet-late", 8 },
    { MUTANT_NODE_LEASE_FROM_REPLY, "fleet-late", 4 },
    { MUTANT_ROUTING_BACKWARDS, "fleet-deposed", 4 },
    { MUTANT_NO_CHUNK_LOCK, "fleet-registers", 10 },
};

static void mutants_are_caught(void **state)
{
    struct fleet *f = calloc(1, sizeof *f);
    for (size_t i = 0; i < ARRAY_SIZE(biting); i++) {
        int r = 0;
        for (uint64_t seed = 1; seed <= biting[i].seed_count && r == 0; seed++) {
            struct fleet_options o = fleet_options_default(seed);
            o.mutant = (int)biting[i].mutant;
            r = fleet_scenario_run(fleet_scenario_find(biting[i].scenario), &o, f);
        }
        if (r == 0)
            fail_msg("%s: nobody misses: %s", biting[i].scenario, mutant_rule(biting[i].mutant));
    }
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_race_in_a_sound_cluster),
        cmocka_unit_test(every_kind_of_fault),
        cmocka_unit_test(messages_come_twice_and_late),
        cmocka_unit_test(servers_die_while_the_store_loses_answers),
        cmocka_unit_test(there_is_one_primary),
        cmocka_unit_test(one_file_of_several_writers_is_linearizable),
        cmocka_unit_test(disks_fail_fill_up_and_rot),
        cmocka_unit_test(leases_and_routing_at_their_moment),
        cmocka_unit_test(what_dead_clients_left_is_settled),
        cmocka_unit_test(the_store_may_be_gone),
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(mutants_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
