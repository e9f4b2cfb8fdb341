/* chain_steps.h - bodies of worlds in which one thing goes wrong at one chosen moment. Simulator
 * only. */
#pragma once
#include "sim/chain_world.h"

/* Every step of an update fails once, and is once the last thing before a power cut, on every
 * member. No operation fails, and the replicas are equal after each. */
int steps_each(struct world *w) fiber_fn must_check;
/* A storage that is stopped in order, and hears late that its chain has gone on. */
int steps_leaving_read(struct world *w) fiber_fn must_check;
/* A read that stands still while its target leaves the chain and is filled again. */
int steps_late_read(struct world *w) fiber_fn must_check;
/* One version for two updates, one of which only a former head has. */
int steps_same_version(struct world *w) fiber_fn must_check;
/* The same, and the one that all others have is a removal. */
int steps_remove_over(struct world *w) fiber_fn must_check;
