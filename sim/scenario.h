/* scenario.h - what a world goes through, by name: for the tests and for campaigns over seeds. */
#pragma once
#include "sim/chain_world.h"

struct scenario {
    const char *name, *text;
    void (*set)(struct world_options *o); /* may be NULL */
    int (*body)(struct world *w);
};
extern const struct scenario scenarios[];
extern const uint32_t scenario_count;
const struct scenario *scenario_find(const char *name); /* NULL: none of that name */

/* One run; @w is allocated by the caller and tells what happened. As world_run(). */
int scenario_run(const struct scenario *s, const struct world_options *options,
                 struct world *w) must_check;
/* One line about a run that has ended. */
void scenario_sum_up(const struct world *w, char *buf, size_t size);
