/* chain_test.c - chains of storages under a scripted cluster manager, in the simulator. */
#include "sim/chain_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void sum_up(const struct world *w, bool is_wanted)
{
    uint32_t done = 0, failed = 0;
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        done += w->clients[i].done_count;
        failed += w->clients[i].failed_count;
    }
    if (is_wanted)
        print_message("seed %lu: %.1f s, %lu events, %u done, %u failed; crashes %u kills %u "
                      "freezes %u cuts %u; chain changes %u, resyncs %lu, rolled forward %lu, "
                      "taken back %lu, retries recognised %lu, forward retries %lu, rounds %lu, "
                      "tail asked %lu; trace %016lx\n",
                      w->options.seed, (double)w->end_ns / 1e9, w->event_count, done, failed,
                      w->crash_count, w->kill_count, w->freeze_count, w->cut_count,
                      w->script.change_count, w->resyncs_done, w->rolled_forward, w->taken_back,
                      w->retries_recognised, w->forward_retries, w->confirm_rounds,
                      w->tail_questions, w->trace_hash);
}

/* Runs @body for @count seeds; a failure names the seed. */
static void run_seeds(const char *name, struct world_options options, uint64_t count,
                      int (*body)(struct world *w))
{
    const char *one = getenv("SIM_SEED");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    if (getenv("C3FS_LONG")) count *= 20;
    options.is_logging = one && getenv("SIM_LOG");
    if (getenv("SIM_MUTANT")) options.mutant = mutant_parse(getenv("SIM_MUTANT"));
    options.is_tracing = one && getenv("SIM_TRACE");
    for (uint64_t seed = first; seed < first + (one ? 1 : count); seed++) {
        options.seed = seed;
        struct world *w = calloc(1, sizeof *w);
        int r = world_run(w, &options, body);
        sum_up(w, one != NULL);
        if (r < 0) fail_msg("%s, SIM_SEED=%lu: %s", name, seed, w->why);
        free(w);
    }
}

/* ---- no faults ---- */

static int just_run(struct world *w)
{
    return world_run_clients(w);
}

static void writes_and_reads_through_three_replicas(void **state)
{
    struct world_options o = world_options_default(1);
    o.with_removes = true;
    run_seeds(__func__, o, 5, just_run);
}

/* ---- crashes, kills, freezes, cuts ---- */

static int trouble_body(struct world *w)
{
    int r = world_start_clients(w);
    if (r == 0) r = world_make_trouble(w, sim_now_ns(w->sim) + 15 * SEC);
    if (r == 0) r = world_join_clients(w, 120 * SEC);
    return r;
}

static void stays_linearizable_under_trouble(void **state)
{
    struct world_options o = world_options_default(1);
    o.ops_per_client = 300;
    o.client_count = 4;
    run_seeds(__func__, o, 20, trouble_body);
}

static void stays_linearizable_when_steps_fail(void **state)
{
    struct world_options o = world_options_default(1);
    o.ops_per_client = 300;
    o.client_count = 4;
    o.with_points = true;
    run_seeds(__func__, o, 20, trouble_body);
}

static void same_seed_same_trace(void **state)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        struct world_options o = world_options_default(7);
        o.ops_per_client = 50;
        struct world *w = calloc(1, sizeof *w);
        int r = world_run(w, &o, trouble_body);
        if (r < 0) fail_msg("%s", w->why);
        hashes[i] = w->trace_hash;
        free(w);
    }
    assert_int_equal(hashes[0], hashes[1]);
}

/* Each rule that is taken out must be missed within a few seeds. */
static const struct {
    enum mutant mutant;
    uint64_t seed_count; /* at most that many are needed; about twice what was seen */
} biting[] = {
    { MUTANT_SKIP_FORWARD, 5 },        { MUTANT_NO_CHUNK_LOCK, 5 },
    { MUTANT_COMMIT_BEFORE_STAGE, 5 }, { MUTANT_RESYNC_SKIPS_BUCKET, 10 },
    { MUTANT_SKIP_INDEX_SYNC, 10 },    { MUTANT_SKIP_DATA_SYNC, 10 },
};

static void mutants_are_caught(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(biting); i++) {
        int r = 0;
        for (uint64_t seed = 1; seed <= biting[i].seed_count && r == 0; seed++) {
            struct world_options o = world_options_default(seed);
            o.ops_per_client = 300;
            o.client_count = 4;
            o.mutant = (int)biting[i].mutant;
            struct world *w = calloc(1, sizeof *w);
            r = world_run(w, &o, trouble_body);
            free(w);
        }
        if (r == 0) fail_msg("nobody misses: %s", mutant_rule(biting[i].mutant));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads_through_three_replicas),
        cmocka_unit_test(stays_linearizable_under_trouble),
        cmocka_unit_test(stays_linearizable_when_steps_fail),
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(mutants_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
