/* fleet_scenario.h - what a fleet goes through, by name. */
#pragma once
#include "sim/fleet.h"

struct fleet_scenario {
    const char *name, *text;
    void (*set)(struct fleet_options *o);
};
extern const struct fleet_scenario fleet_scenarios[];
extern const uint32_t fleet_scenario_count;

const struct fleet_scenario *fleet_scenario_find(const char *name); /* NULL if there is none */
/* As fleet_run(); the scenario sets what @options leaves as it is by default. */
int fleet_scenario_run(const struct fleet_scenario *s, const struct fleet_options *options,
                       struct fleet *f) must_check;
/* One line: what happened. */
void fleet_sum_up(const struct fleet *f, char *buf, size_t size);
