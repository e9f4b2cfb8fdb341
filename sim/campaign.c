/* campaign.c - c3fs-sim (./dev sim): scenarios over many seeds, until one fails.
 *
 * Exit status 0: nothing was found; 1: something was, and the command that shows it again is
 * printed; 2: usage. With --mutant the same, so that 1 means that the mutant is caught. Every tenth
 * run is made twice: the same seed must be the same trace. --hashes prints what the trace of each
 * run comes to, so that builds can be compared.
 */
#include "sim/fleet_scenario.h"
#include "sim/scenario.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TWICE_EVERY = 10 };

struct totals {
    uint64_t runs, failed, virtual_ns, crashes, freezes, cuts, takeovers, resyncs, kv_spells,
        net_spells, disk_spells, disk_faults, clock_changes, client_crashes, repeats, late,
        operations;
};

struct campaign {
    const char *scenario, *mutant; /* NULL: all scenarios; no mutant */
    int mutant_number;             /* -1: none */
    uint64_t first, last, seed_count;
    double minutes; /* 0: until the last seed */
    bool goes_on, is_logging, is_tracing, prints_hashes;
    struct totals totals;
    struct world *world;
    struct fleet *fleet;
};

static int usage(const char *what)
{
    fprintf(stderr,
            "c3fs-sim: %s\nusage: c3fs-sim [--seed N] [--seeds A..B] [--scenario NAME] [--minutes "
            "M] [--mutant NAME] [--all] [--hashes] [--log] [--trace] [--list] [--list-mutants]\n",
            what);
    return 2;
}

static void list_scenarios(void)
{
    for (uint32_t i = 0; i < fleet_scenario_count; i++)
        printf("%-16s %s\n", fleet_scenarios[i].name, fleet_scenarios[i].text);
    for (uint32_t i = 0; i < scenario_count; i++)
        printf("%-16s one chain: %s\n", scenarios[i].name, scenarios[i].text);
}

static void list_mutants(void)
{
    for (int i = 0; i < MUTANT_MAX; i++)
        printf("%-30s %s\n", mutant_name((enum mutant)i), mutant_rule((enum mutant)i));
}

/* A, A..B or A-B. */
static int parse_seeds(struct campaign *c, const char *text)
{
    char *end;
    c->first = c->last = strtoull(text, &end, 10);
    size_t gap = strncmp(end, "..", 2) == 0 ? 2 : *end == '-';
    if (gap) c->last = strtoull(end + gap, &end, 10);
    return *text && !*end && c->first && c->first <= c->last ? 0 : usage("--seeds takes A..B");
}

static int parse_scenario(struct campaign *c, const char *name)
{
    c->scenario = name;
    if (scenario_find(name) || fleet_scenario_find(name)) return 0;
    return usage("there is no such scenario; --list names them");
}

static int parse_mutant(struct campaign *c, const char *name)
{
    c->mutant = name;
    c->mutant_number = mutant_parse(name);
    return c->mutant_number >= 0 ? 0 : usage("there is no such mutant; --list-mutants names them");
}

static int parse_minutes(struct campaign *c, const char *text)
{
    char *end;
    c->minutes = strtod(text, &end);
    c->last = UINT64_MAX;
    return *text && !*end && c->minutes > 0 ? 0 : usage("--minutes takes a number");
}

/* An option and its value. */
static int parse_value(struct campaign *c, const char *flag, const char *value)
{
    if (!value) return usage(flag);
    if (strcmp(flag, "--seeds") == 0 || strcmp(flag, "--seed") == 0) return parse_seeds(c, value);
    if (strcmp(flag, "--scenario") == 0) return parse_scenario(c, value);
    if (strcmp(flag, "--mutant") == 0) return parse_mutant(c, value);
    if (strcmp(flag, "--minutes") == 0) return parse_minutes(c, value);
    return usage(flag);
}

/* 0, or the exit status. */
static int parse(struct campaign *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0) {
            c->goes_on = true;
        } else if (strcmp(argv[i], "--hashes") == 0) {
            c->prints_hashes = true;
        } else if (strcmp(argv[i], "--log") == 0) {
            c->is_logging = true;
        } else if (strcmp(argv[i], "--trace") == 0) {
            c->is_tracing = true;
        } else {
            int e = parse_value(c, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            if (e) return e;
            i++;
        }
    }
    return 0;
}

/* ---- one run of either kind ---- */

struct run {
    const char *name;
    const struct scenario *chain; /* or */
    const struct fleet_scenario *fleet;
    uint64_t seed;
    char sum[700];
    const char *why;
    uint64_t hash;
};

static void add_world(struct totals *t, const struct world *w)
{
    t->virtual_ns += w->end_ns;
    t->crashes += w->crash_count + w->kill_count;
    t->freezes += w->freeze_count;
    t->cuts += w->cut_count;
    t->resyncs += w->resyncs_done;
    t->repeats += w->repeats;
    t->late += w->late;
    for (uint32_t i = 0; i < w->options.client_count; i++)
        t->operations += w->clients[i].done_count;
}

static void add_fleet(struct totals *t, const struct fleet_counts *c)
{
    t->virtual_ns += c->virtual_ns;
    t->crashes += c->crashes + c->kills + c->stops;
    t->freezes += c->freezes;
    t->cuts += c->cuts;
    t->resyncs += c->resyncs;
    t->takeovers += c->takeovers;
    t->kv_spells += c->kv_spells;
    t->net_spells += c->net_spells;
    t->disk_spells += c->disk_spells;
    t->disk_faults += c->disk_errors + c->disks_full + c->flips;
    t->clock_changes += c->clock_changes;
    t->client_crashes += c->client_crashes;
    t->repeats += c->repeats;
    t->late += c->late;
    t->operations += c->done + c->refused;
}

static int run_world(struct campaign *c, struct run *run)
{
    struct world_options o = world_options_default(run->seed);
    o.mutant = c->mutant_number;
    o.is_logging = c->is_logging;
    o.is_tracing = c->is_tracing;
    int r = scenario_run(run->chain, &o, c->world);
    scenario_sum_up(c->world, run->sum, sizeof run->sum);
    add_world(&c->totals, c->world);
    run->hash = c->world->trace_hash;
    run->why = c->world->why;
    return r;
}

static int run_fleet(struct campaign *c, struct run *run)
{
    struct fleet_options o = fleet_options_default(run->seed);
    o.mutant = c->mutant_number;
    o.is_logging = c->is_logging;
    o.is_tracing = c->is_tracing;
    int r = fleet_scenario_run(run->fleet, &o, c->fleet);
    fleet_sum_up(c->fleet, run->sum, sizeof run->sum);
    add_fleet(&c->totals, &c->fleet->counts);
    run->hash = c->fleet->trace_hash;
    run->why = c->fleet->why;
    return r;
}

static int run_once(struct campaign *c, struct run *run)
{
    c->totals.runs++;
    return run->chain ? run_world(c, run) : run_fleet(c, run);
}

/* True when something was found. */
static bool run_one(struct campaign *c, struct run *run)
{
    int r = run_once(c, run);
    uint64_t hash = run->hash;
    if (r >= 0 && c->totals.runs % TWICE_EVERY == 1) r = run_once(c, run);
    bool is_other = hash != run->hash;
    if (r < 0 || is_other || c->first == c->last) printf("%s: %s\n", run->name, run->sum);
    if (c->prints_hashes)
        printf("trace %s %" PRIu64 " %016" PRIx64 "\n", run->name, run->seed, hash);
    if (r >= 0 && !is_other) return false;
    c->totals.failed++;
    printf("%s: seed %" PRIu64 ": %s\nsee it again: ./dev sim --scenario %s --seed %" PRIu64
           "%s%s --log\n",
           run->name, run->seed,
           is_other      ? "the same seed gave another trace"
           : run->why[0] ? run->why
                         : error_name(r),
           run->name, run->seed, c->mutant ? " --mutant " : "", c->mutant ?: "");
    return true;
}

/* ---- many ---- */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool is_chosen(const struct campaign *c, const char *name)
{
    return !c->scenario || strcmp(c->scenario, name) == 0;
}

/* True when something was found, and that is enough. */
static bool run_seed(struct campaign *c, uint64_t seed)
{
    for (uint32_t i = 0; i < fleet_scenario_count + scenario_count; i++) {
        struct run run = { .seed = seed };
        if (i < fleet_scenario_count)
            run.fleet = &fleet_scenarios[i];
        else
            run.chain = &scenarios[i - fleet_scenario_count];
        run.name = run.chain ? run.chain->name : run.fleet->name;
        if (is_chosen(c, run.name) && run_one(c, &run) && !c->goes_on) return true;
        fflush(stdout);
    }
    return false;
}

static void print_totals(const struct campaign *c, double seconds)
{
    const struct totals *t = &c->totals;
    printf("%" PRIu64 " runs of %" PRIu64 " seeds in %.0f s, %.2f virtual hours, %" PRIu64
           " operations: %" PRIu64 " crashes of servers, %" PRIu64 " of clients, %" PRIu64
           " freezes, %" PRIu64 " partitions, %" PRIu64 " bad networks, %" PRIu64
           " slow disks, %" PRIu64 " failed, full and rotten ones, %" PRIu64
           " clock changes, %" PRIu64 " messages twice, %" PRIu64 " late, %" PRIu64
           " KV faults, %" PRIu64 " failovers, %" PRIu64 " resyncs\n%" PRIu64 " failed\n",
           t->runs, c->seed_count, seconds, (double)t->virtual_ns / 3600e9, t->operations,
           t->crashes, t->client_crashes, t->freezes, t->cuts, t->net_spells, t->disk_spells,
           t->disk_faults, t->clock_changes, t->repeats, t->late, t->kv_spells, t->takeovers,
           t->resyncs, t->failed);
}

int main(int argc, char **argv)
{
    struct campaign c = { .first = 1, .last = 100, .mutant_number = -1 };
    bool lists = argc == 2 && strcmp(argv[1], "--list") == 0;
    bool lists_mutants = argc == 2 && strcmp(argv[1], "--list-mutants") == 0;
    if (lists) list_scenarios();
    if (lists_mutants) list_mutants();
    if (lists || lists_mutants) return 0;
    int e = parse(&c, argc, argv);
    if (e) return e;
    c.world = calloc(1, sizeof *c.world);
    c.fleet = calloc(1, sizeof *c.fleet);
    double begin_s = now_s();
    for (uint64_t seed = c.first; seed <= c.last; seed++) {
        if (c.minutes > 0 && now_s() - begin_s > c.minutes * 60) break;
        c.seed_count++;
        if (run_seed(&c, seed)) break;
        if (seed % 50 == 0) printf("seed %" PRIu64 "\n", seed);
    }
    print_totals(&c, now_s() - begin_s);
    free(c.world);
    free(c.fleet);
    return c.totals.failed ? 1 : 0;
}
