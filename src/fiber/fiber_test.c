/* fiber_test.c - order of turns, waits, deadlines, cancellation, shields, scopes, stacks. */
#include "base/arena.h"
#include "fiber/context.h"
#include "fiber/fiber.h"
#include "fiber/test_world.h"

#include <stdio.h>
#include <string.h>

/* ---- order ---- */

struct recorder {
    char text[256];
    size_t size;
};

static void record(struct recorder *r, char c)
{
    check(r->size + 1 < sizeof(r->text));
    r->text[r->size++] = c;
    r->text[r->size] = 0;
}

struct step_fiber {
    struct recorder *recorder;
    char letter;
    int step_count;
};

static int yield_steps(void *arg)
{
    struct step_fiber *s = arg;
    for (int i = 0; i < s->step_count; i++) {
        record(s->recorder, s->letter);
        fiber_yield();
    }
    return 0;
}

static int fifo_main(struct test_world *w)
{
    struct recorder recorder = { 0 };
    struct step_fiber steps[] = { { &recorder, 'a', 3 },
                                  { &recorder, 'b', 1 },
                                  { &recorder, 'c', 2 } };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        assert_int_equal(fiber_spawn(&scope, "step", yield_steps, &steps[i]), 0);
    }
    assert_string_equal(recorder.text, ""); /* children run at a later turn */
    assert_int_equal(scope_wait(&scope), 0);
    assert_string_equal(recorder.text, "abcaca");
    return 0;
}

static void test_fifo(void **state)
{
    struct test_world w = { 0 };
    assert_int_equal(test_world_run(&w, fifo_main), 0);
}

/* With a shuffled order every fiber still takes all of its steps, and the order differs from FIFO.
 */
static int shuffle_main(struct test_world *w)
{
    struct recorder recorder = { 0 };
    struct step_fiber steps[] = { { &recorder, 'a', 9 },
                                  { &recorder, 'b', 9 },
                                  { &recorder, 'c', 9 } };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        assert_int_equal(fiber_spawn(&scope, "step", yield_steps, &steps[i]), 0);
    }
    assert_int_equal(scope_wait(&scope), 0);
    assert_int_equal(recorder.size, 27);
    assert_string_not_equal(recorder.text, "abcabcabcabcabcabcabcabcabc");
    return 0;
}

static void test_shuffle(void **state)
{
    struct test_world w = { .shuffle = true, .random_state = 7 };
    assert_int_equal(test_world_run(&w, shuffle_main), 0);
}

/* ---- how a wait ends ---- */

enum action { NONE, WAKE, CANCEL };
struct wait_case {
    const char *name;
    uint64_t timeout_ns; /* of the waiter; 0: none */
    bool in_shield;      /* a shield outside of the timeout */
    struct {
        enum action action;
        uint64_t at_ns;
    } steps[2]; /* equal times: in the same turn, in order */
    int expected;
    uint64_t expected_ns;
};

static const struct wait_case wait_cases[] = {
    { "woken", 0, false, { { WAKE, 10 } }, 0, 10 },
    { "woken before the deadline", 20, false, { { WAKE, 10 } }, 0, 10 },
    { "deadline", 20, false, { { WAKE, 30 } }, -ERR_TIMEOUT, 20 },
    { "cancelled", 20, false, { { CANCEL, 10 } }, -ERR_CANCELED, 10 },
    { "cancelled without a deadline", 0, false, { { CANCEL, 10 } }, -ERR_CANCELED, 10 },
    { "a wake-up that came first wins", 20, false, { { WAKE, 10 }, { CANCEL, 10 } }, 0, 10 },
    { "a cancellation that came first",
      20,
      false,
      { { CANCEL, 10 }, { WAKE, 10 } },
      -ERR_CANCELED,
      10 },
    { "cancellation in a shield", 20, true, { { CANCEL, 10 }, { WAKE, 15 } }, 0, 15 },
    { "cancellation in a shield, deadline", 20, true, { { CANCEL, 10 } }, -ERR_TIMEOUT, 20 },
};

struct waiting {
    const struct wait_case *c;
    struct fiber *fiber;
    int result;
    uint64_t end_ns, start_ns;
    struct test_world *w;
};

static int waiter_fiber(void *arg)
{
    struct waiting *waiting = arg;
    waiting->fiber = fiber_self();
    struct fiber_shield shield;
    if (waiting->c->in_shield) shield = fiber_shield_begin();
    {
        FIBER_TIMEOUT(waiting->c->timeout_ns ?: TIME_NEVER);
        waiting->result = fiber_suspend("test");
        waiting->end_ns = waiting->w->now_ns - waiting->start_ns;
    }
    if (waiting->c->in_shield) fiber_shield_end(&shield);
    return 0;
}

static int wait_main(struct test_world *w)
{
    for (size_t i = 0; i < ARRAY_SIZE(wait_cases); i++) {
        const struct wait_case *c = &wait_cases[i];
        struct waiting waiting = { .c = c, .w = w, .start_ns = w->now_ns };
        cleanup_scope_ struct scope scope;
        scope_init(&scope, w->sched);
        assert_int_equal(fiber_spawn(&scope, "waiter", waiter_fiber, &waiting), 0);
        fiber_yield();
        for (size_t k = 0; k < ARRAY_SIZE(c->steps) && c->steps[k].action != NONE; k++) {
            uint64_t at = waiting.start_ns + c->steps[k].at_ns;
            if (at > w->now_ns) assert_int_equal(fiber_sleep(at - w->now_ns), 0);
            if (waiting.end_ns) break;
            if (c->steps[k].action == WAKE) fiber_wake(waiting.fiber);
            if (c->steps[k].action == CANCEL) fiber_cancel(waiting.fiber);
        }
        assert_int_equal(scope_wait(&scope), 0);
        if (waiting.result != c->expected || waiting.end_ns != c->expected_ns) {
            fail_msg("%s: %d at %lu", c->name, waiting.result, (unsigned long)waiting.end_ns);
        }
    }
    return 0;
}

static void test_wait_ends(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, wait_main), 0);
}

/* Deadline and cancellation in the same instant, before the waiter runs: cancellation outranks. */
static int outranks_main(struct test_world *w)
{
    struct wait_case c = { .timeout_ns = 50 };
    struct waiting waiting = { .c = &c, .w = w, .start_ns = w->now_ns };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    assert_int_equal(fiber_spawn(&scope, "waiter", waiter_fiber, &waiting), 0);
    /* Sleeps longer than the waiter's deadline but is first in the queue when the clock jumps past
     * both. */
    fiber_yield();
    w->now_ns += 100;
    fiber_cancel(waiting.fiber);
    assert_int_equal(scope_wait(&scope), 0);
    assert_int_equal(waiting.result, -ERR_CANCELED);
    return 0;
}

static int late_cancel_fiber(void *arg)
{
    struct waiting *waiting = arg;
    int r = fiber_sleep(50); /* ends at the waiter's deadline, armed before it: runs first */
    fiber_cancel(waiting->fiber);
    return r;
}

static int outranks_unseen_timeout_main(struct test_world *w)
{
    struct wait_case c = { .timeout_ns = 50 };
    struct waiting waiting = { .c = &c, .w = w, .start_ns = w->now_ns };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    assert_int_equal(fiber_spawn(&scope, "canceller", late_cancel_fiber, &waiting), 0);
    assert_int_equal(fiber_spawn(&scope, "waiter", waiter_fiber, &waiting), 0);
    assert_int_equal(scope_wait(&scope), 0);
    assert_int_equal(waiting.result, -ERR_CANCELED);
    assert_int_equal(waiting.end_ns, 50);
    return 0;
}

static void test_cancel_outranks_timeout(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, outranks_main), 0);
    assert_int_equal(test_world_run(&w, outranks_unseen_timeout_main), 0);
}

/* ---- deadlines ---- */

static int deadlines_main(struct test_world *w)
{
    uint64_t start = w->now_ns;
    assert_true(fiber_deadline_ns() == TIME_NEVER);
    assert_true(fiber_remaining_ns() == TIME_NEVER);
    {
        FIBER_TIMEOUT(100);
        assert_int_equal(fiber_remaining_ns(), 100);
        {
            FIBER_TIMEOUT(500); /* only ever tightened */
            assert_int_equal(fiber_remaining_ns(), 100);
        }
        {
            FIBER_TIMEOUT(40);
            assert_int_equal(fiber_sleep(30), 0);
            assert_int_equal(fiber_sleep(30), -ERR_TIMEOUT);
            assert_int_equal(w->now_ns, start + 40);
            assert_int_equal(fiber_suspend("past"),
                             -ERR_TIMEOUT); /* also a wait that begins after it */
            assert_int_equal(fiber_remaining_ns(), 0);
            assert_int_equal(fiber_interruption(), -ERR_TIMEOUT);
        }
        assert_int_equal(fiber_sleep(60),
                         0); /* ends exactly at the outer deadline: the sleep is over */
        assert_int_equal(w->now_ns, start + 100);
        assert_int_equal(fiber_sleep(1), -ERR_TIMEOUT);
        {
            FIBER_SHIELD();
            assert_true(fiber_remaining_ns() == TIME_NEVER);
            assert_int_equal(fiber_sleep(5), 0);
            FIBER_TIMEOUT(5);
            assert_int_equal(fiber_sleep(6), -ERR_TIMEOUT);
        }
        assert_int_equal(fiber_sleep(0), -ERR_TIMEOUT);
    }
    assert_int_equal(fiber_sleep(1000), 0);
    assert_int_equal(fiber_sleep(0), 0);
    FIBER_TIMEOUT(TIME_NEVER - 1); /* does not wrap */
    assert_int_equal(fiber_sleep(10), 0);
    return 0;
}

static void test_deadlines(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, deadlines_main), 0);
}

static int sticky_fiber(void *arg)
{
    int *count = arg;
    assert_int_equal(fiber_suspend("a"), -ERR_CANCELED);
    assert_true(fiber_is_cancelled());
    assert_int_equal(fiber_interruption(), -ERR_CANCELED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fiber_suspend("b"), -ERR_CANCELED);
        assert_int_equal(fiber_sleep(1), -ERR_CANCELED);
    }
    {
        FIBER_SHIELD();
        {
            FIBER_SHIELD();
            assert_false(fiber_is_cancelled());
            assert_int_equal(fiber_interruption(), 0);
            assert_int_equal(fiber_sleep(10), 0);
        }
        assert_int_equal(fiber_sleep(10), 0);
    }
    assert_int_equal(fiber_sleep(10), -ERR_CANCELED);
    fiber_yield();
    (*count)++;
    return -ERR_CANCELED;
}

static int sticky_main(struct test_world *w)
{
    int count = 0;
    struct scope scope;
    scope_init(&scope, w->sched);
    assert_int_equal(fiber_spawn(&scope, "sticky", sticky_fiber, &count), 0);
    assert_int_equal(fiber_sleep(1), 0);
    scope_cancel(&scope);
    assert_int_equal(fiber_spawn(&scope, "late", sticky_fiber, &count), -ERR_CANCELED);
    assert_int_equal(scope_wait(&scope), 0); /* a cancellation of the scope is no error */
    assert_int_equal(count, 1);
    scope_done(&scope);
    return 0;
}

static void test_cancellation_is_sticky(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, sticky_main), 0);
}

/* ---- scopes ---- */

struct job {
    uint64_t sleep_ns;
    int result, seen;
};

static int job_fiber(void *arg)
{
    struct job *job = arg;
    job->seen = fiber_sleep(job->sleep_ns);
    return job->seen < 0 ? job->seen : job->result;
}

static int scope_main(struct test_world *w)
{
    uint64_t start = w->now_ns;
    struct job jobs[] = { { 30, 0, 1 }, { 10, -ERR_BUSY, 1 }, { 20, -ERR_NO_SPACE, 1 } };
    struct scope scope;

    scope_init(&scope, w->sched);
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        assert_int_equal(fiber_spawn(&scope, "job", job_fiber, &jobs[i]), 0);
    }
    assert_int_equal(scope_wait(&scope), -ERR_BUSY); /* the first error, after all have ended */
    assert_int_equal(w->now_ns, start + 30);
    assert_int_equal(jobs[0].seen, 0);
    scope_done(&scope);

    start = w->now_ns;
    scope_init(&scope, w->sched);
    scope.fail_fast = true;
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        assert_int_equal(fiber_spawn(&scope, "job", job_fiber, &jobs[i]), 0);
    }
    assert_int_equal(scope_wait(&scope), -ERR_BUSY);
    assert_int_equal(w->now_ns, start + 10);
    assert_int_equal(jobs[0].seen, -ERR_CANCELED);
    assert_int_equal(jobs[2].seen, -ERR_CANCELED);
    scope_done(&scope);

    /* The waiter's own deadline; then the end of the scope joins in spite of it. */
    start = w->now_ns;
    scope_init(&scope, w->sched);
    assert_int_equal(fiber_spawn(&scope, "job", job_fiber, &jobs[0]), 0);
    FIBER_TIMEOUT(5);
    assert_int_equal(scope_wait(&scope), -ERR_TIMEOUT);
    assert_false(scope_is_empty(&scope));
    scope_done(&scope);
    assert_true(scope_is_empty(&scope));
    assert_int_equal(w->now_ns, start + 5);
    assert_int_equal(jobs[0].seen, -ERR_CANCELED);
    return 0;
}

static void test_scope(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, scope_main), 0);
}

static int grandchild_fiber(void *arg)
{
    assert_ptr_equal(fiber_local(), arg);
    assert_string_equal(fiber_name(), "grandchild");
    return 0;
}

static int child_fiber(void *arg)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    assert_ptr_equal(fiber_local(), arg);
    assert_int_equal(fiber_spawn(&scope, "grandchild", grandchild_fiber, arg), 0);
    return scope_wait(&scope);
}

static int local_main(struct test_world *w)
{
    int marker;
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    scope.local = &marker;
    assert_null(fiber_local());
    assert_int_equal(fiber_spawn(&scope, "child", child_fiber, &marker), 0);
    return scope_wait(&scope);
}

static void test_local_is_inherited(void **state)
{
    struct test_world w = { 0 };
    assert_int_equal(test_world_run(&w, local_main), 0);
    assert_null(fiber_self());
    assert_null(fiber_local());
    assert_string_equal(fiber_name(), "");
}

/* ---- fiber_wait_io ---- */

struct io {
    struct fiber *fiber;
    int cancel_count;
    uint64_t after_cancel_ns; /* how long the "kernel" keeps the memory after the cancellation */
    bool done_in_cancel;
    uint64_t end_ns;
    struct test_world *w;
    struct scope *scope;
};

static int io_complete_later(void *arg)
{
    struct io *io = arg;
    FIBER_SHIELD();
    int r = fiber_sleep(io->after_cancel_ns);
    fiber_wake(io->fiber);
    return r;
}

static void io_cancel(void *arg)
{
    struct io *io = arg;
    io->cancel_count++;
    if (io->done_in_cancel) {
        fiber_wake(io->fiber);
        return;
    }
    assert_int_equal(fiber_spawn(&io->w->scope, "completion", io_complete_later, io), 0);
}

static int io_fiber(void *arg)
{
    struct io *io = arg;
    FIBER_TIMEOUT(50);
    io->fiber = fiber_self();
    fiber_wait_io("io", io_cancel, io);
    io->end_ns = io->w->now_ns;
    return 0;
}

static int wait_io_main(struct test_world *w)
{
    static const struct {
        uint64_t wake_at, cancel_at, after_cancel;
        bool done_in_cancel;
        int cancel_count;
        uint64_t end;
    } cases[] = {
        { 10, 0, 0, false, 0, 10 },  /* completes */
        { 0, 0, 30, false, 1, 80 },  /* deadline at 50, the kernel is done at 80 */
        { 0, 20, 30, false, 1, 50 }, /* cancelled; the deadline meanwhile changes nothing */
        { 0, 20, 90, false, 1, 110 }, { 0, 20, 0, true, 1, 20 },
        { 20, 20, 0, false, 0, 20 }, /* completed and cancelled in one turn */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t start = w->now_ns;
        struct io io = { .w = w,
                         .after_cancel_ns = cases[i].after_cancel,
                         .done_in_cancel = cases[i].done_in_cancel };
        struct scope scope;
        scope_init(&scope, w->sched);
        assert_int_equal(fiber_spawn(&scope, "io", io_fiber, &io), 0);
        fiber_yield();
        if (cases[i].cancel_at) {
            assert_int_equal(fiber_sleep(cases[i].cancel_at), 0);
            scope_cancel(&scope);
        }
        if (cases[i].wake_at) {
            uint64_t wake_at = start + cases[i].wake_at;
            if (wake_at > w->now_ns) assert_int_equal(fiber_sleep(wake_at - w->now_ns), 0);
            fiber_wake(
                io.fiber); /* after a cancellation in the same turn: it counts all the same */
        }
        assert_int_equal(scope_wait(&scope), 0);
        assert_int_equal(io.cancel_count, cases[i].cancel_count);
        assert_int_equal(io.end_ns - start, cases[i].end);
        scope_done(&scope);
        assert_int_equal(fiber_sleep(200), 0);
    }
    return 0;
}

static void test_wait_io(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, wait_io_main), 0);
}

/* ---- freezing ---- */

static int frozen_fiber(void *arg)
{
    struct recorder *r = arg;
    for (;;) {
        int result = fiber_sleep(10);
        if (result < 0) return result;
        record(r, 'x');
    }
}

static int freeze_main(struct test_world *w)
{
    struct recorder recorder = { 0 };
    int marker;
    struct scope scope;
    scope_init(&scope, w->sched);
    scope.local = &marker;
    assert_int_equal(fiber_spawn(&scope, "frozen", frozen_fiber, &recorder), 0);
    assert_int_equal(fiber_sleep(25), 0);
    assert_string_equal(recorder.text, "xx");
    w->frozen_local = &marker;
    assert_int_equal(fiber_sleep(100), 0);
    assert_string_equal(recorder.text, "xx");
    w->frozen_local = NULL;
    sched_thaw(w->sched);
    assert_int_equal(fiber_sleep(5), 0);
    assert_string_equal(recorder.text, "xxx"); /* the sleep that ended meanwhile, once */
    scope_done(&scope);
    return 0;
}

static void test_freeze(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, freeze_main), 0);
}

/* ---- many ---- */

enum { MANY = 10000 };

static int many_fiber(void *arg)
{
    uint64_t *sum = arg;
    char page[512];
    memset(page, (int)*sum & 0xff, sizeof(page));
    int r = fiber_sleep(1 + (*sum)++ % 97);
    return r < 0 ? r : (page[17] == page[400] ? 0 : -ERR_FOUND_BUG);
}

static int many_main(struct test_world *w)
{
    uint64_t sum = 0;
    for (int round = 0; round < 2; round++) {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, w->sched);
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(fiber_spawn(&scope, "one of many", many_fiber, &sum), 0);
        }
        assert_int_equal(sched_fiber_count(w->sched), MANY + 1);
        assert_int_equal(scope_wait(&scope), 0);
    }
    assert_int_equal(sum, 2 * MANY);

    /* The limit (12 000) is an error of the caller, not the end of the process. */
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    int r = 0, count = 0;
    while ((r = fiber_spawn(&scope, "too many", many_fiber, &sum)) == 0) {
        count++;
    }
    assert_int_equal(r, -ERR_BUSY);
    assert_int_equal(count, 12000 - 1);
    return 0;
}

static void test_many(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, many_main), 0);
}

/* ---- timers against a model: 400 fibers sleep at random, each must wake exactly on time ---- */

static int random_sleeper(void *arg)
{
    struct test_world *w = arg;
    for (int i = 0; i < 50; i++) {
        uint64_t ns = test_random(w, 1000), limit = test_random(w, 1000), start = w->now_ns;
        FIBER_TIMEOUT(limit);
        int r = fiber_sleep(ns);
        assert_int_equal(r, ns <= limit ? 0 : -ERR_TIMEOUT);
        assert_int_equal(w->now_ns - start, MIN_OF(ns, limit));
    }
    return 0;
}

static int random_main(struct test_world *w)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(fiber_spawn(&scope, "sleeper", random_sleeper, w), 0);
    }
    return scope_wait(&scope);
}

static void test_random_sleeps(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct test_world w = { .now_ns = 1000, .random_state = seed, .shuffle = seed % 2 };
        assert_int_equal(test_world_run(&w, random_main), 0);
    }
}

/* ---- listing, painting ---- */

static void list_line(void *arg, const char *name, const char *wait, uint64_t waited_ns)
{
    char *text = arg;
    size_t size = strlen(text);
    snprintf(text + size, 256 - size, "%s:%s:%lu ", name, wait, (unsigned long)waited_ns);
}

static int each_main(struct test_world *w)
{
    char text[256] = "";
    struct job job = { .sleep_ns = 500 };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    assert_int_equal(fiber_spawn(&scope, "job", job_fiber, &job), 0);
    assert_int_equal(fiber_sleep(70), 0);
    sched_each(w->sched, list_line, text);
    assert_string_equal(text, "main:running:0 job:sleep:70 ");
    return 0;
}

static void test_each(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, each_main), 0);
}

static int deep_fiber(void *arg)
{
    volatile char deep[20000];
    for (size_t i = 0; i < sizeof(deep); i++) {
        deep[i] = 1;
    }
    fiber_yield();
    return deep[0] - 1;
}

static uint64_t zero_clock(void *clock)
{
    return 0;
}

static void test_painted_stacks(void **state)
{
    struct sched_options options = { .now_ns = zero_clock, .paint_stacks = true };
    struct sched *sched = sched_new(&options);
    struct scope scope;
    scope_init(&scope, sched);
    assert_int_equal(fiber_spawn(&scope, "deep", deep_fiber, NULL), 0);
    sched_run_ready(sched, 100);
    assert_true(scope_is_empty(&scope));
#if !defined(CONTEXT_ASAN) && !defined(CONTEXT_TSAN) /* there large arrays live on a fake stack */
    assert_in_range(sched_stack_used_max(sched), 20000, 60000);
#endif
    sched_free(sched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifo),      cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_wait_ends), cmocka_unit_test(test_cancel_outranks_timeout),
        cmocka_unit_test(test_deadlines), cmocka_unit_test(test_cancellation_is_sticky),
        cmocka_unit_test(test_scope),     cmocka_unit_test(test_local_is_inherited),
        cmocka_unit_test(test_wait_io),   cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_many),      cmocka_unit_test(test_random_sleeps),
        cmocka_unit_test(test_each),      cmocka_unit_test(test_painted_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
