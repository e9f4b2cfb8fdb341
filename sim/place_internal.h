/* place_internal.h - what a real place does, for the choice in place_sim.c. */
#pragma once
#include "sim/place.h"

int real_process_start(struct process *p) fiber_fn must_check;
int real_process_end(struct process *p, enum ending how) fiber_fn must_check;
bool real_process_has_failed(struct process *p);
