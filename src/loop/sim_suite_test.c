/* sim_suite_test.c - the conformance suite of the loop on the simulated back end, over several
 * seeds, by way of sim_run() and of loop_run_main(). Usage: sim_suite_test [case [seed]]
 */
#include "base/check.h"
#include "loop/file.h"
#include "loop/loop_suite.h"
#include "loop/sim.h"

#include <stdio.h>

enum { SEED_COUNT = 8, LIMIT_SEC = 100000 };

static int suite_main(void *arg)
{
    struct loop_suite *suite = arg;
    int r = dir_make(suite->node, suite->dir, 0755);
    check(r == 0);
    return loop_suite_run(suite);
}

/* The suite runs on a fiber of the node, the world's fiber waits for it. */
static int world_main(void *arg)
{
    struct loop_suite *suite = arg;
    int r = fiber_spawn(&suite->node->scope, "suite", suite_main, suite);
    check(r == 0);
    r = scope_wait(&suite->node->scope);
    node_stop(suite->node);
    return r;
}

static void run_seed(uint64_t seed, const char *only)
{
    struct sim_options options = sim_options_default(seed);
    options.shuffle_ready = seed % 2;
    struct sim *sim = sim_new(&options);
    struct machine *m = sim_machine_new(sim, "here");
    struct loop_suite suite = { .node = node_new(sim_loop(sim), m, "suite"),
                                .dir = "/suite",
                                .host = seed % 3 ? "here" : "127.0.0.1",
                                .only = only,
                                .has_unix_credentials = false };
    int r = seed % 4 ? sim_run(sim, world_main, &suite, LIMIT_SEC * SEC)
                     : loop_run_main(sim_loop(sim), suite.node, suite_main, &suite);
    if (r < 0) fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, error_name(r));
    check(r >= 0);
    node_free(suite.node);
    sim_free(sim);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : NULL;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t count = argc > 2 ? 1 : SEED_COUNT;
    for (uint64_t seed = first; seed < first + count; seed++)
        run_seed(seed, only);
    return 0;
}
