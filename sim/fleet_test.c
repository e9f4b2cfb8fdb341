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

static void servers_die_while_the_store_loses_answers(void **state)
{
    run_seeds("fleet-meta", 2);
}

static void there_is_one_primary(void **state)
{
    run_seeds("fleet-managers", 1);
    run_seeds("fleet-clocks", 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_race_in_a_sound_cluster),
        cmocka_unit_test(every_kind_of_fault),
        cmocka_unit_test(servers_die_while_the_store_loses_answers),
        cmocka_unit_test(there_is_one_primary),
        cmocka_unit_test(what_dead_clients_left_is_settled),
        cmocka_unit_test(the_store_may_be_gone),
        cmocka_unit_test(same_seed_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
