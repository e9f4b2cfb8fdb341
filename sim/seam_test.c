/* seam_test.c - the proof of the seam: one source, a cluster manager, three storages and clients
 * that write, read and see storages restart, on the simulator and on both real back ends; what they
 * saw must be linearizable and the replicas equal on all three.
 *
 *   seam_test sim|posix|uring
 */
#include "sim/scenario.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_SKIP = 77, SEED_COUNT = 40, SEED_COUNT_LONG = 2000 };

/* 0, or the exit status. */
static int run_once(uint64_t seed, enum loop_backend backend, struct world *w)
{
    struct world_options o = world_options_default(seed);
    o.backend = backend;
    int r = scenario_run(scenario_find("restart"), &o, w);
    char text[500];
    scenario_sum_up(w, text, sizeof text);
    if (r < 0 || backend != LOOP_AUTO) printf("%s\n", text);
    if (r == 0) return 0;
    if (w->why[0] || backend == LOOP_AUTO) {
        printf("failed: %s\n", w->why[0] ? w->why : error_name(r));
        return 1;
    }
    printf("skipped: this back end is not allowed here: %s\n", error_name(r));
    return EXIT_SKIP;
}

/* Two runs of one seed are one trace; other seeds are others. */
static int run_seeds(uint64_t count, struct world *w)
{
    uint64_t last_hash = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        int e = run_once(seed, LOOP_AUTO, w);
        uint64_t hash = w->trace_hash;
        if (e == 0 && seed % 8 == 1) e = run_once(seed, LOOP_AUTO, w);
        if (e) return e;
        if (hash != w->trace_hash || hash == last_hash) {
            printf("seed %" PRIu64 ": traces %016" PRIx64 " and %016" PRIx64 ", and %016" PRIx64
                   " of the seed before\n",
                   seed, hash, w->trace_hash, last_hash);
            return 1;
        }
        last_hash = hash;
    }
    printf("%" PRIu64 " seeds\n", count);
    return 0;
}

int main(int argc, char **argv)
{
    int e = place_child_main(argc, argv);
    if (e >= 0) return e;
    const char *name = argc == 2 ? argv[1] : "";
    struct world *w = calloc(1, sizeof *w);
    if (strcmp(name, "sim") == 0)
        e = run_seeds(getenv("C3FS_LONG") ? SEED_COUNT_LONG : SEED_COUNT, w);
    else if (strcmp(name, "posix") == 0 || strcmp(name, "uring") == 0)
        e = run_once(1, name[0] == 'p' ? LOOP_POSIX : LOOP_URING, w);
    else
        fprintf(stderr, "usage: seam_test sim|posix|uring\n");
    free(w);
    return e < 0 ? 2 : e;
}
