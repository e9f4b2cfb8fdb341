/* timer.h - binary heap of points in time, earliest first, equal ones in the order of their start;
 * private to src/fiber. A timer knows its place in the heap, so that it can be moved or removed.
 */
#pragma once
#include "base/units.h"
#include <stdbool.h>

enum { TIMER_UNLINKED = UINT32_MAX };

struct timer {
    uint64_t at_ns, order;
    uint32_t index; /* TIMER_UNLINKED when not in the heap */
};

struct timer_heap {
    struct timer **timers;
    uint32_t count, capacity;
    uint64_t order_next;
};

void timer_heap_done(struct timer_heap *heap);
/* Inserts, or moves one that is in the heap. */
void timer_start(struct timer_heap *heap, struct timer *timer, uint64_t at_ns);
void timer_stop(struct timer_heap *heap, struct timer *timer); /* nothing for an unlinked one */

static inline struct timer *timer_heap_first(const struct timer_heap *heap)
{
    return heap->count ? heap->timers[0] : NULL;
}
