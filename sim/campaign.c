/* campaign.c - ./dev sim: scenarios over many seeds, until one fails.
 *
 *   sim_campaign [--scenario NAME] [--seeds A-B] [--mutant NAME] [--all] [--log] [--trace]
 *   sim_campaign --list
 *
 * Exit status 0: nothing was found; 1: something was, and how to see it again is printed; 2: usage.
 * With --mutant the same, so that 1 means that the mutant is caught. --all goes on after a failure
 * and counts.
 */
#include "sim/scenario.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct campaign {
    const char *scenario, *mutant; /* NULL: all scenarios; no mutant */
    uint64_t first, last;
    bool goes_on;
    struct world_options options;
    uint64_t run_count, failed_count;
};

static int usage(const char *what)
{
    fprintf(stderr,
            "sim: %s\nusage: ./dev sim [--scenario NAME] [--seeds A-B] [--mutant NAME] [--all] "
            "[--log] [--trace] [--list]\n",
            what);
    return 2;
}

static void list_names(void)
{
    for (uint32_t i = 0; i < scenario_count; i++) {
        printf("scenario %-13s %s\n", scenarios[i].name, scenarios[i].text);
    }
    for (int i = 0; i < MUTANT_MAX; i++) {
        printf("mutant %-30s %s\n", mutant_name((enum mutant)i), mutant_rule((enum mutant)i));
    }
}

static int parse_seeds(struct campaign *c, const char *text)
{
    char *end;
    c->first = c->last = strtoull(text, &end, 10);
    if (*end == '-') c->last = strtoull(end + 1, &end, 10);
    return *text && !*end && c->first && c->first <= c->last ? 0 : usage("--seeds takes A or A-B");
}

/* 0, or the exit status. */
static int parse(struct campaign *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(flag, "--all") == 0) {
            c->goes_on = true;
        } else if (strcmp(flag, "--log") == 0) {
            c->options.is_logging = true;
        } else if (strcmp(flag, "--trace") == 0) {
            c->options.is_tracing = true;
        } else if (strcmp(flag, "--seeds") == 0 && value) {
            int e = parse_seeds(c, value);
            if (e) return e;
            i++;
        } else if (strcmp(flag, "--scenario") == 0 && value) {
            c->scenario = value;
            if (!scenario_find(value)) return usage("there is no such scenario; --list names them");
            i++;
        } else if (strcmp(flag, "--mutant") == 0 && value) {
            c->mutant = value;
            c->options.mutant = mutant_parse(value);
            if (c->options.mutant < 0) return usage("there is no such mutant; --list names them");
            i++;
        } else {
            return usage(flag);
        }
    }
    return 0;
}

/* True when something was found. */
static bool run_one(struct campaign *c, const struct scenario *s, uint64_t seed, struct world *w)
{
    c->options.seed = seed;
    int r = scenario_run(s, &c->options, w);
    c->run_count++;
    char text[500];
    scenario_sum_up(w, text, sizeof text);
    if (r < 0 || c->first == c->last) printf("%s: %s\n", s->name, text);
    if (r == 0) return false;
    c->failed_count++;
    printf("%s: seed %" PRIu64 ": %s\nsee it again: ./dev sim --scenario %s --seeds %" PRIu64
           "%s%s --log\n",
           s->name, seed, w->why[0] ? w->why : error_name(r), s->name, seed,
           c->mutant ? " --mutant " : "", c->mutant ?: "");
    return true;
}

static void run(struct campaign *c, struct world *w)
{
    for (uint64_t seed = c->first; seed <= c->last; seed++) {
        for (uint32_t i = 0; i < scenario_count; i++) {
            if (c->scenario && strcmp(c->scenario, scenarios[i].name) != 0) continue;
            if (run_one(c, &scenarios[i], seed, w) && !c->goes_on) return;
        }
        if (seed % 50 == 0) printf("seed %" PRIu64 "\n", seed);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct campaign c = { .first = 1, .last = 100, .options = world_options_default(1) };
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list_names();
        return 0;
    }
    int e = parse(&c, argc, argv);
    if (e) return e;
    struct world *w = calloc(1, sizeof *w);
    run(&c, w);
    printf("%" PRIu64 " runs, %" PRIu64 " failed\n", c.run_count, c.failed_count);
    free(w);
    return c.failed_count ? 1 : 0;
}
