/* pace.h - a bound on bytes a second for background work: whoever has moved bytes says so, and
 * waits before the next ones until they are paid for. A changed rate counts at once.
 */
#pragma once
#include "loop/node.h"

struct pace {
    uint64_t debt_bytes, as_of_ns;
};

/* @bytes were moved. */
static inline void pace_charge(struct pace *p, uint64_t bytes)
{
    p->debt_bytes += bytes;
}
/* Waits while more was moved than *bytes_per_sec allows; 0 there: no bound. */
int pace_wait(struct pace *p, struct node *node, const uint64_t *bytes_per_sec) fiber_fn must_check;
