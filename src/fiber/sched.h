/* sched.h - what a fiber and its scheduler look like inside; private to src/fiber.
 *
 * Timers are lazy: a fiber keeps one in the heap, armed no later than the end of its current wait.
 * A wait that is over leaves it there; when it rings early it is moved, or dropped if the fiber is
 * not waiting. So most waits below a deadline touch the heap not at all.
 */
#pragma once
#include "fiber/context.h"
#include "fiber/fiber.h"
#include "fiber/stack.h"
#include "fiber/timer.h"

enum fiber_state { FIBER_READY, FIBER_RUNNING, FIBER_WAITING, FIBER_DONE };

/* Lives at the top of its own stack. */
struct fiber {
    struct sched *sched;
    struct scope *scope;
    struct list run_link;   /* in sched->ready or sched->frozen when READY */
    struct list scope_link; /* in scope->children */
    struct list all_link;   /* in sched->fibers */
    const char *name, *wait;
    int (*fn)(void *arg);
    void *arg;
    void *local;
    enum fiber_state state;
    int wait_result;
    bool is_cancelled;
    bool is_in_io, is_io_done; /* fiber_wait_io(): its wake-up came, whatever ended the wait */
    uint32_t shield_depth;
    uint64_t deadline_ns;
    uint64_t sleep_end_ns; /* TIME_NEVER unless in fiber_sleep() */
    uint64_t wait_end_ns;  /* of the current wait: the earlier of the two, or TIME_NEVER */
    uint64_t wait_since_ns;
    struct timer timer;
    struct context context;
    void *stack_low;
};

struct sched {
    struct sched_options options;
    struct context context; /* of sched_run_ready() while a fiber runs */
    struct fiber *running;
    struct list ready, frozen, fibers;
    uint32_t ready_count, fiber_count;
    bool is_round_over;             /* fiber_yield_to_loop() */
    uint64_t turn_ns;               /* the clock, read at least once per sched_run_ready() */
    uint64_t first_ns, first_ticks; /* one moment in both units */
    uint64_t turn_ticks;            /* when the turn began */
    uint64_t slow_ticks;            /* a turn of fewer ticks is certainly not slow */
    struct sched_slow_turns slow_turns;
    struct timer_heap timers;
    struct stack_pool stacks;
};

/* scope.c: @fiber of @scope has returned @result. */
void scope_child_ended(struct scope *scope, struct fiber *fiber, int result);
