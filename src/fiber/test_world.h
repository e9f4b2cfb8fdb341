/* test_world.h - a scheduler on a clock that jumps to the next timer; for the tests of src/fiber.
 */
#pragma once
#include "base/check.h"
#include "fiber/fiber.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

struct test_world {
    uint64_t now_ns;
    struct sched *sched;
    struct scope scope; /* of the test's main fiber */
    int (*main_fn)(struct test_world *w);
    int result;
    uint64_t random_state;
    bool shuffle;
    void *frozen_local;
};

static inline uint64_t test_random(struct test_world *w, uint64_t bound)
{
    uint64_t x = w->random_state += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return (x ^ (x >> 31)) % bound;
}

static inline uint64_t test_world_now(void *clock)
{
    return ((struct test_world *)clock)->now_ns;
}

static inline uint32_t test_world_pick(void *clock, uint32_t count)
{
    return (uint32_t)test_random(clock, count);
}

static inline bool test_world_is_frozen(void *clock, void *local)
{
    struct test_world *w = clock;
    return w->frozen_local && w->frozen_local == local;
}

static inline int test_world_main(void *arg)
{
    struct test_world *w = arg;
    w->result = w->main_fn(w);
    return 0;
}

/* Runs until no fiber is left or nothing can happen any more; returns main_fn's result. */
static inline int test_world_run(struct test_world *w, int (*main_fn)(struct test_world *w))
{
    struct sched_options options = {
        .now_ns = test_world_now,
        .clock = w,
        .fiber_count_max = 12000,
        .stack_bytes = 64 * 1024,
        .is_frozen = test_world_is_frozen,
    };
    if (w->shuffle) options.pick = test_world_pick;
    w->sched = sched_new(&options);
    scope_init(&w->scope, w->sched);
    w->main_fn = main_fn;
    w->result = -ERR_FOUND_BUG;
    int r = fiber_spawn(&w->scope, "main", test_world_main, w);
    check(r == 0);
    for (;;) {
        sched_run_ready(w->sched, 100);
        if (sched_has_ready(w->sched)) continue;
        uint64_t next = sched_next_timer_ns(w->sched);
        if (next == TIME_NEVER) break;
        w->now_ns = MAX_OF(w->now_ns, next);
    }
    check(sched_fiber_count(w->sched) == 0); /* else: deadlock */
    w->sched = sched_free(w->sched);
    return w->result;
}
