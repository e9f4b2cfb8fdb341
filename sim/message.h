/* message.h - calls as the simulated network sees them: what may come twice, or late. */
#pragma once
#include "loop/sim.h"

extern const struct sim_framing message_framing;

/* Adds to @p what a network does to messages that is in trouble: some come twice, some late, by up
 * to seconds, which is longer than callers wait for an attempt. */
void message_trouble(struct sim_net_profile *p);
