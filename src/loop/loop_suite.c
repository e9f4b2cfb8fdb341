/* loop_suite.c - the suite's runner, and the cases of time, randomness, cancellation and blocking
 * calls. */
#include "loop/loop_suite.h"
#include "fiber/sync.h"
#include "loop/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void loop_suite_expect(const char *file, int line, const char *what, bool is_met)
{
    if (is_met) return;
    fprintf(stderr, "%s:%d: in %s: expected %s\n", file, line, fiber_name(), what);
    abort();
}

void loop_suite_expect_equal(const char *file, int line, const char *what, int64_t a, int64_t b)
{
    char text_a[64], text_b[64];
    if (a == b) return;
    fprintf(stderr, "%s:%d: in %s: expected %s: %" PRId64 " %s, %" PRId64 " %s\n", file, line,
            fiber_name(), what, a, a < 0 ? error_to_text((int)a, text_a, 64) : "", b,
            b < 0 ? error_to_text((int)b, text_b, 64) : "");
    abort();
}

const char *loop_suite_path(const struct loop_suite *suite, const char *name, char *buf,
                            size_t size)
{
    snprintf(buf, size, "%s/%s", suite->dir, name);
    return buf;
}

uint8_t loop_suite_byte(uint64_t seed, uint64_t at)
{
    return (uint8_t)(((at * 0x9e3779b97f4a7c15ull) >> 53) + (at >> 12) + seed);
}

void loop_suite_fill(uint8_t *buf, size_t size, uint64_t seed, uint64_t at)
{
    for (size_t i = 0; i < size; i++) {
        buf[i] = loop_suite_byte(seed, at + i);
    }
}

void loop_suite_expect_pattern(const uint8_t *buf, size_t size, uint64_t seed, uint64_t at)
{
    for (size_t i = 0; i < size; i++) {
        if (buf[i] == loop_suite_byte(seed, at + i)) continue;
        loop_suite_expect_equal(__FILE__, __LINE__, "index == size", (int64_t)i, (int64_t)size);
    }
}

/* ---- time and randomness ---- */

static void case_clocks(const struct loop_suite *s)
{
    uint64_t last = node_now_ns(s->node), start = last;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = node_now_ns(s->node);
        EXPECT(now >= last);
        last = now;
    }
    EXPECT_EQUAL(fiber_sleep(20 * MSEC), 0);
    uint64_t passed = node_now_ns(s->node) - start;
    EXPECT(passed >= 20 * MSEC);
    EXPECT(passed < 20 * SEC);
    EXPECT(node_wall_ns(s->node) > 1600000000 * SEC);
}

static void case_random(const struct loop_suite *s)
{
    uint8_t a[700] = { 0 }, b[700] = { 0 };
    node_random_bytes(s->node, a, sizeof(a));
    node_random_bytes(s->node, b, sizeof(b));
    EXPECT(memcmp(a, b, sizeof(a)) != 0);
    EXPECT(node_random_u64(s->node) != node_random_u64(s->node));
    uint32_t seen[7] = { 0 };
    for (int i = 0; i < 7000; i++) {
        seen[node_random_below(s->node, 7)]++;
    }
    for (int i = 0; i < 7; i++) {
        EXPECT(seen[i] > 700 && seen[i] < 1300);
    }
    EXPECT_EQUAL(node_random_below(s->node, 1), 0);
}

static void case_deadline(const struct loop_suite *s)
{
    uint64_t start = node_now_ns(s->node);
    {
        FIBER_TIMEOUT(20 * MSEC);
        EXPECT_EQUAL(fiber_sleep(1000 * SEC), -ERR_TIMEOUT);
        EXPECT_EQUAL(fiber_sleep(1), -ERR_TIMEOUT);
    }
    uint64_t passed = node_now_ns(s->node) - start;
    EXPECT(passed >= 20 * MSEC && passed < 20 * SEC);
    EXPECT_EQUAL(fiber_sleep(1), 0);
}

/* ---- many sleepers, in order of their times ---- */

struct sleeper {
    uint64_t sleep_ns;
    int number, *finished;
};

static int sleeper_fiber(void *arg)
{
    const struct sleeper *sleeper = arg;
    int r = fiber_sleep(sleeper->sleep_ns);
    if (r < 0) return r;
    EXPECT_EQUAL(*sleeper->finished, sleeper->number);
    (*sleeper->finished)++;
    return 0;
}

static void case_sleep_order(const struct loop_suite *s)
{
    enum { COUNT = 20 };
    struct sleeper sleepers[COUNT];
    int finished = 0;
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    for (int i = 0; i < COUNT; i++) {
        int number = i * 7 % COUNT;
        sleepers[i] = (struct sleeper){ (uint64_t)(number + 1) * 3 * MSEC, number, &finished };
        EXPECT_EQUAL(fiber_spawn(&scope, "sleeper", sleeper_fiber, &sleepers[i]), 0);
    }
    EXPECT_EQUAL(scope_wait(&scope), 0);
    EXPECT_EQUAL(finished, COUNT);
}

/* ---- blocking calls ---- */

struct blocking {
    struct node *node;
    int input, output;
    int result;
};

static int double_it(void *arg)
{
    struct blocking *b = arg;
    b->output = b->input * 2;
    return b->input == 13 ? -ERR_BUSY : b->input;
}

static int blocking_fiber(void *arg)
{
    struct blocking *b = arg;
    b->result = blocking_run(b->node, double_it, b);
    return 0;
}

static void case_blocking_run(const struct loop_suite *s)
{
    enum { COUNT = 100 };
    struct blocking calls[COUNT];
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    for (int i = 0; i < COUNT; i++) {
        calls[i] = (struct blocking){ .node = s->node, .input = i };
        EXPECT_EQUAL(fiber_spawn(&scope, "blocking", blocking_fiber, &calls[i]), 0);
    }
    EXPECT_EQUAL(scope_wait(&scope), 0);
    for (int i = 0; i < COUNT; i++) {
        EXPECT_EQUAL(calls[i].output, 2 * i);
        EXPECT_EQUAL(calls[i].result, i == 13 ? -ERR_BUSY : i);
    }
}

/* A cancelled call has either run whole, or not at all and says so. */
static void case_blocking_cancel(const struct loop_suite *s)
{
    enum { COUNT = 100 };
    struct blocking calls[COUNT];
    struct scope scope;
    scope_init(&scope, sched_current());
    for (int i = 0; i < COUNT; i++) {
        calls[i] = (struct blocking){ .node = s->node, .input = i + 100, .result = -1 };
        EXPECT_EQUAL(fiber_spawn(&scope, "blocking", blocking_fiber, &calls[i]), 0);
    }
    fiber_yield();
    scope_done(&scope);
    for (int i = 0; i < COUNT; i++) {
        if (calls[i].result == -ERR_CANCELED) {
            EXPECT_EQUAL(calls[i].output, 0);
        } else {
            EXPECT_EQUAL(calls[i].result, i + 100);
            EXPECT_EQUAL(calls[i].output, 2 * (i + 100));
        }
    }
}

/* ---- node, posts, fault points ---- */

static int self_fiber(void *arg)
{
    EXPECT(node_self() == arg);
    return 0;
}

static void case_node_self(const struct loop_suite *s)
{
    EXPECT(node_self() == s->node);
    struct node *other = node_new(s->node->loop, s->node->machine, "other");
    EXPECT_EQUAL(fiber_spawn(&other->scope, "self", self_fiber, other), 0);
    EXPECT_EQUAL(scope_wait(&other->scope), 0);
    node_stop(other);
    EXPECT(node_free(other) == NULL);
    EXPECT(node_free(NULL) == NULL);
}

static void set_event(void *arg)
{
    EXPECT(fiber_self() == NULL);
    event_set(arg, 42);
}

static void case_post(const struct loop_suite *s)
{
    struct event event;
    event_init(&event);
    loop_post(s->node->loop, set_event, &event);
    FIBER_TIMEOUT(20 * SEC);
    EXPECT_EQUAL(event_wait(&event, "post"), 42);
}

static int fault_fiber(void *arg)
{
    int *result = arg;
    *result = FAULT("suite.point");
    return 0;
}

static void case_fault_points(const struct loop_suite *s)
{
    EXPECT_EQUAL(FAULT("suite.point"), 0); /* no table yet */
    fault_add(s->node, &(struct fault_rule){ .point = "suite.point",
                                             .kind = FAULT_FAIL,
                                             .error = -ERR_FAULT_INJECTION,
                                             .skip_count = 1,
                                             .hit_count = 2 });
    static const int expected[] = { 0, -ERR_FAULT_INJECTION, -ERR_FAULT_INJECTION, 0, 0 };
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        EXPECT_EQUAL(FAULT("suite.point"), expected[i]);
    }
    EXPECT_EQUAL(FAULT("suite.other"), 0);
    EXPECT_EQUAL(fault_hits(s->node, "suite.point"), 5);
    fault_clear(s->node);

    uint64_t start = node_now_ns(s->node);
    fault_add(s->node, &(struct fault_rule){
                           .point = "suite.point", .kind = FAULT_DELAY, .delay_ns = 15 * MSEC });
    EXPECT_EQUAL(FAULT("suite.point"), 0);
    EXPECT(node_now_ns(s->node) - start >= 15 * MSEC);
    fault_clear(s->node);

    /* Suspended until resumed, then until the rules are cleared. */
    for (int round = 0; round < 2; round++) {
        int result = 1;
        fault_add(s->node, &(struct fault_rule){ .point = "suite.point", .kind = FAULT_SUSPEND });
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        EXPECT_EQUAL(fiber_spawn(&scope, "suspended", fault_fiber, &result), 0);
        EXPECT_EQUAL(fiber_sleep(5 * MSEC), 0);
        EXPECT_EQUAL(result, 1);
        if (round == 0) fault_resume(s->node, "suite.point");
        if (round == 1) fault_clear(s->node);
        EXPECT_EQUAL(scope_wait(&scope), 0);
        EXPECT_EQUAL(result, 0);
    }
    fault_clear(s->node);
    for (int i = 0; i < MUTANT_MAX; i++) {
        EXPECT_EQUAL(mutant_parse(mutant_name((enum mutant)i)), i);
    }
    EXPECT_EQUAL(mutant_parse("none such"), -1);
    EXPECT(!MUTANT(SKIP_DATA_SYNC));
}

static const struct loop_suite_case basic_cases[] = {
    { "clocks", case_clocks },
    { "random", case_random },
    { "deadline", case_deadline },
    { "sleep order", case_sleep_order },
    { "blocking run", case_blocking_run },
    { "blocking cancel", case_blocking_cancel },
    { "node self", case_node_self },
    { "post", case_post },
    { "fault points", case_fault_points },
    { 0 },
};

int loop_suite_run(const struct loop_suite *suite)
{
    const struct loop_suite_case *const tables[] = { basic_cases, loop_suite_file_cases,
                                                     loop_suite_net_cases };
    int count = 0;
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        for (const struct loop_suite_case *c = tables[t]; c->name; c++) {
            if (suite->only && strcmp(suite->only, c->name) != 0) continue;
            uint64_t start = node_now_ns(suite->node);
            uint32_t fibers = sched_fiber_count(sched_current());
            c->fn(suite);
            EXPECT_EQUAL(sched_fiber_count(sched_current()), fibers);
            printf("%s: %s: ok, %.1f ms\n", loop_backend_name(suite->node->loop), c->name,
                   (double)(node_now_ns(suite->node) - start) / 1e6);
            count++;
        }
    }
    return count;
}
