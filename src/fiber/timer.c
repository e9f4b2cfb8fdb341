/* timer.c - the heap behind deadlines and sleeps. */
#include "fiber/timer.h"
#include "base/arena.h"

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void place(struct timer_heap *heap, struct timer *timer, uint32_t index)
{
    heap->timers[index] = timer;
    timer->index = index;
}

static void sift_up(struct timer_heap *heap, struct timer *timer, uint32_t index)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (!is_before(timer, heap->timers[parent])) break;
        place(heap, heap->timers[parent], index);
        index = parent;
    }
    place(heap, timer, index);
}

static void sift_down(struct timer_heap *heap, struct timer *timer, uint32_t index)
{
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && is_before(heap->timers[child + 1], heap->timers[child]))
            child++;
        if (!is_before(heap->timers[child], timer)) break;
        place(heap, heap->timers[child], index);
        index = child;
    }
    place(heap, timer, index);
}

void timer_heap_done(struct timer_heap *heap)
{
    free(heap->timers);
    *heap = (struct timer_heap){ 0 };
}

void timer_start(struct timer_heap *heap, struct timer *timer, uint64_t at_ns)
{
    timer_stop(heap, timer);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 64;
        heap->timers = xrealloc(heap->timers, heap->capacity * sizeof(struct timer *));
    }
    timer->at_ns = at_ns;
    timer->order = heap->order_next++;
    sift_up(heap, timer, heap->count++);
}

void timer_stop(struct timer_heap *heap, struct timer *timer)
{
    uint32_t index = timer->index;
    if (index == TIMER_UNLINKED) return;
    timer->index = TIMER_UNLINKED;
    struct timer *last = heap->timers[--heap->count];
    if (last == timer) return;
    if (index > 0 && is_before(last, heap->timers[(index - 1) / 2])) {
        sift_up(heap, last, index);
    } else {
        sift_down(heap, last, index);
    }
}
