/* drain_hold.h - one run for a node at a time: a hold at the primary cluster manager, kept by a
 * fiber of its own. A run that ended without giving it back loses it within seconds.
 */
#pragma once
#include "admin/admin.h"

struct drain_hold {
    struct admin *a;
    uint32_t node_id;
    struct uuid holder;
    struct scope scope;
    uint64_t kept_ns, timeout_ns; /* it lasts until their sum at least */
    bool is_held;                 /* false: another has it */
};

/* Waits until an earlier run's hold has ended; -ERR_BUSY when that run lives. Failures are printed;
 * then there is nothing to end. */
int drain_hold_begin(struct drain_hold *h, struct admin *a, uint32_t node_id) fiber_fn must_check;
/* 1: ours; 0: perhaps not, wait; -ERR_BUSY: another run has it. */
int drain_hold_check(const struct drain_hold *h) must_check;
void drain_hold_end(struct drain_hold *h) fiber_fn;
