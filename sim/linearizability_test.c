/* linearizability_test.c - known good and bad histories, generated ones, and the two methods
 * against each other and against trying every order. */
#include "sim/linearizability.h"

#include "base/arena.h"
#include "base/check.h"
#include "loop/sim_random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A history as text: tokens "w1(5" begins write 1 of 5, "r2(" begins read 2, ")1" ends operation 1,
 * ")2=5" ends read 2 with 5, "!1" fails operation 1. Operations are numbered 0-9. */
static int check_text(const char *text, bool through_search)
{
    struct history *h cleanup_(history_freep) = history_new();
    size_t ids[10] = { 0 };
    char why[300];
    for (const char *p = text; *p; p++) {
        int n = p[1] - '0';
        if (*p == 'w') {
            ids[n] = history_invoke(h, 0, 0, 1, HISTORY_WRITE, (uint64_t)(p[3] - '0'));
            p += 3;
        } else if (*p == 'r') {
            ids[n] = history_invoke(h, 0, 0, 1, HISTORY_READ, 0);
            p += 2;
        } else if (*p == ')') {
            history_complete(h, 0, ids[n], p[2] == '=' ? (uint64_t)(p[3] - '0') : 0);
            p += p[2] == '=' ? 3 : 1;
        } else if (*p == '!') {
            history_fail(h, ids[n]);
            p += 1;
        }
    }
    if (through_search) { /* a value that is written twice rules out the zones */
        for (int i = 0; i < 2; i++)
            history_complete(h, 0, history_invoke(h, 0, 0, 1, HISTORY_WRITE, 99), 0);
    }
    return history_check(h, why, sizeof why);
}

static void known_histories(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {
        { "", true },
        { "r1( )1=0", true },
        { "r1( )1=5", false }, /* out of the blue */
        { "w1(5 )1 r2( )2=5", true },
        { "w1(5 )1 r2( )2=0", false },          /* lost */
        { "w1(5 r2( )2=0 )1", true },           /* not yet */
        { "w1(5 r2( )2=5 )1", true },           /* already */
        { "w1(5 r2( )2=5 r3( )3=0 )1", false }, /* back again */
        { "w1(5 r2( r3( )2=5 )3=0 )1", true },  /* the two reads overlap */
        { "r2( )2=5 w1(5 )1", false },          /* from the future */
        { "w1(1 )1 w2(2 )2 r3( )3=1", false },  /* stale */
        { "w1(1 w2(2 )1 )2 r3( )3=1", true },   /* either order */
        { "w1(1 w2(2 )1 )2 r3( )3=2", true },
        { "w1(1 w2(2 )1 )2 r3( )3=1 r4( )4=2", false },       /* but one order */
        { "w1(1 w2(2 )1 )2 r3( r4( )3=1 )4=2", false },       /* both reads are after both writes */
        { "w1(5 r2( )2=0 r3( )3=5", true },                   /* unknown, it happened */
        { "w1(5 r2( )2=0 r3( )3=0", true },                   /* unknown, it did not */
        { "w1(5 r2( )2=5 r3( )3=0", false },                  /* unknown, but seen */
        { "w1(5 w2(6 )2 r3( )3=6 r4( )4=5", true },           /* unknown, late */
        { "w1(5 w2(6 )2 r3( )3=5 r4( )4=6", false },          /* the other one had ended before */
        { "w1(5 w2(6 )2 r3( )3=5 r4( )4=6 r5( )5=5", false }, /* not twice */
        { "w1(5 )1 w2(6 r3( )3=6 )2 w4(7 )4 r5( )5=6", false },
        { "w1(5 !1 r2( )2=5", false }, /* failed means failed */
        { "w1(5 !1 r2( )2=0", true },
        { "r1( w2(5 )2", true }, /* reads without an answer say nothing */
        { "r1( !1 w2(5 )2 r3( )3=5", true },
        { "w1(1 )1 r2( w3(3 )3 )2=1 r4( )4=3", true },
        { "w1(1 )1 r2( w3(3 )3 )2=3 r4( )4=1", false },
        { "w1(1 w2(2 w3(3 )3 r4( )4=1 r5( )5=2 r6( )6=3 )1 )2", false },
        { "w1(1 w2(2 w3(3 r4( )4=1 r5( )5=2 r6( )6=3 )3 )1 )2", true },
        { "w1(1 )1 w2(0 )2 r3( )3=0", true }, /* removed */
        { "w1(1 )1 w2(0 )2 r3( )3=1", false },
        { "w1(1 )1 w2(0 )2 w4(2 )4 w5(0 )5 r3( )3=0", true }, /* removed twice: the same value */
        { "w1(1 )1 w2(0 r6( )6=0 w4(2 )4 r7( )7=0 r8( )8=2 )2", false },
        { "w1(1 )1 w2(0 r6( )6=0 w4(2 r7( )7=0 r8( )8=2 )4 )2", true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int through_search = 0; through_search < 2; through_search++) {
            int r = check_text(cases[i].text, through_search);
            if ((r == 0) != cases[i].is_good || (r < 0 && r != -ERR_FOUND_BUG))
                fail_msg("\"%s\" (%d): %d", cases[i].text, through_search, r);
        }
    }
}

static void violations_are_explained(void **state)
{
    struct history *h cleanup_(history_freep) = history_new();
    char why[300];
    history_complete(h, 2000000000, history_invoke(h, 1000000000, 7, 42, HISTORY_WRITE, 5), 0);
    history_complete(h, 4000000000, history_invoke(h, 3000000000, 8, 42, HISTORY_READ, 0), 6);
    assert_int_equal(history_check(h, why, sizeof why), -ERR_FOUND_BUG);
    assert_non_null(strstr(why, "object 42: a value that nobody wrote: read 1 by client 8 of 6 at "
                                "3.000000-4.000000 s"));
}

/* ---- a small machine that tries every order ---- */

enum { SMALL_MAX = 7 };

struct small_op {
    bool is_write, is_unknown;
    uint64_t value;
    int begin, end;
};

/* Depth first over sets of done operations, with a stack of its own. */
static bool brute_force(const struct small_op *ops, int count)
{
    struct frame {
        unsigned done;
        uint64_t value;
        int next;
    } stack[SMALL_MAX + 1] = { { 0 } };
    int depth = 0;
    while (depth >= 0) {
        struct frame *f = &stack[depth];
        bool is_over = true;
        for (int i = 0; i < count; i++)
            is_over &= (f->done >> i & 1) || ops[i].is_unknown;
        if (is_over) return true;
        if (f->next == count) {
            depth--;
            continue;
        }
        int at = f->next++;
        bool fits = !(f->done >> at & 1) && (ops[at].is_write || ops[at].value == f->value);
        for (int i = 0; i < count; i++)
            fits &=
                i == at || (f->done >> i & 1) || ops[i].is_unknown || ops[i].end > ops[at].begin;
        if (!fits) continue;
        stack[depth + 1] =
            (struct frame){ f->done | 1u << at, ops[at].is_write ? ops[at].value : f->value, 0 };
        depth++;
    }
    return false;
}

/* @through_search: adds the two equal writes at the end. */
static int check_small(const struct small_op *ops, int count, bool through_search)
{
    struct history *h cleanup_(history_freep) = history_new();
    size_t ids[SMALL_MAX];
    char why[300];
    for (int time = 0; time < 2 * SMALL_MAX; time++) {
        for (int i = 0; i < count; i++) {
            enum history_kind kind = ops[i].is_write ? HISTORY_WRITE : HISTORY_READ;
            if (ops[i].begin == time)
                ids[i] = history_invoke(h, 0, 0, 1, kind, ops[i].is_write ? ops[i].value : 0);
            if (ops[i].end == time && !ops[i].is_unknown)
                history_complete(h, 0, ids[i], ops[i].value);
        }
    }
    for (int i = 0; i < 2 && through_search; i++)
        history_complete(h, 0, history_invoke(h, 0, 0, 1, HISTORY_WRITE, 99), 0);
    return history_check(h, why, sizeof why);
}

/* Random times, all different; random values. */
static void small_make(struct sim_random *random, struct small_op *ops, int count, bool is_unique)
{
    int times[2 * SMALL_MAX] = { 0 };
    for (int i = 0; i < 2 * count; i++)
        times[i] = i;
    for (int i = 2 * count - 1; i > 0; i--) {
        int j = (int)sim_random_under(random, (uint64_t)i + 1);
        int t = times[i];
        times[i] = times[j];
        times[j] = t;
    }
    uint64_t written = 0;
    for (int i = 0; i < count; i++) {
        int a = times[2 * i], b = times[2 * i + 1];
        ops[i] = (struct small_op){ .begin = MIN_OF(a, b), .end = MAX_OF(a, b) };
        ops[i].is_write = sim_random_one_in(random, 2);
        ops[i].is_unknown = ops[i].is_write && sim_random_one_in(random, 3);
        if (ops[i].is_write) ops[i].value = is_unique ? ++written : sim_random_under(random, 3);
    }
    for (int i = 0; i < count; i++)
        if (!ops[i].is_write) ops[i].value = sim_random_under(random, is_unique ? written + 1 : 3);
}

static void methods_agree(void **state)
{
    struct sim_random random;
    int good = 0, bad = 0;
    sim_random_init(&random, 1);
    for (int round = 0; round < 60000; round++) {
        struct small_op ops[SMALL_MAX];
        int count = 1 + (int)sim_random_under(&random, SMALL_MAX);
        bool is_unique = round % 2;
        small_make(&random, ops, count, is_unique);
        bool expected = brute_force(ops, count);
        for (int through_search = 0; through_search < 2; through_search++) {
            int r = check_small(ops, count, through_search);
            if ((r == 0) != expected) fail_msg("round %d: %d, expected %d", round, r, expected);
        }
        good += expected;
        bad += !expected;
    }
    assert_true(good > 10000);
    assert_true(bad > 10000);
}

/* ---- long histories of a register that is atomic ---- */

struct client {
    size_t op;
    bool is_busy, is_write, has_happened;
    uint64_t value;
    int steps_left;
};

enum { CLIENT_COUNT = 12, OBJECT_COUNT = 5 };

/* Clients that begin, take effect and end at random. @removes: some writes are removals. */
static struct history *long_history(uint64_t seed, int steps, bool removes, size_t spoil_op)
{
    struct history *h = history_new();
    struct client clients[CLIENT_COUNT] = { { 0 } };
    uint64_t registers[OBJECT_COUNT] = { 0 }, written = 0;
    struct sim_random random;
    sim_random_init(&random, seed);
    for (int step = 0; step < steps; step++) {
        uint32_t at = (uint32_t)sim_random_under(&random, CLIENT_COUNT);
        struct client *c = &clients[at];
        uint64_t *cell = &registers[at % OBJECT_COUNT];
        if (!c->is_busy) {
            bool is_removal = removes && sim_random_one_in(&random, 4);
            *c = (struct client){ .is_busy = true, .is_write = sim_random_one_in(&random, 2) };
            if (c->is_write) c->value = is_removal ? HISTORY_INITIAL : ++written;
            c->op = history_invoke(h, (uint64_t)step, at, at % OBJECT_COUNT,
                                   c->is_write ? HISTORY_WRITE : HISTORY_READ, c->value);
        } else if (!c->has_happened) {
            c->has_happened = true;
            if (c->is_write) {
                *cell = c->value;
            } else {
                c->value = *cell;
            }
            if (sim_random_one_in(&random, 20)) c->is_busy = false; /* its answer is lost */
        } else {
            if (!c->is_write && c->op >= spoil_op) { /* a value from long ago */
                c->value = c->value > 200 ? c->value - 200 : c->value + 1;
                spoil_op = SIZE_MAX;
            }
            c->is_busy = false;
            history_complete(h, (uint64_t)step, c->op, c->value);
        }
    }
    return h;
}

static void atomic_registers_pass_and_spoilt_ones_do_not(void **state)
{
    char why[300];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (int removes = 0; removes < 2; removes++) {
            struct history *good cleanup_(history_freep) =
                long_history(seed, 6000, removes, SIZE_MAX);
            assert_int_equal(history_check(good, why, sizeof why), 0);
            struct history *bad cleanup_(history_freep) = long_history(seed, 6000, removes, 1500);
            assert_int_equal(history_check(bad, why, sizeof why), -ERR_FOUND_BUG);
        }
    }
}

static void long_histories_are_quick(void **state)
{
    char why[300];
    struct history *h cleanup_(history_freep) = long_history(1, 1000000, false, SIZE_MAX);
    clock_t start = clock();
    assert_int_equal(history_check(h, why, sizeof why), 0);
    print_message("%zu operations in %.2f s\n", history_op_count(h),
                  (double)(clock() - start) / CLOCKS_PER_SEC);
}

static size_t write_done(struct history *h, uint64_t value)
{
    size_t id = history_invoke(h, 0, 0, 1, HISTORY_WRITE, value);
    history_complete(h, 0, id, 0);
    return id;
}

static int loose_read(struct history *h, uint64_t value)
{
    char why[300];
    history_complete(h, 0, history_invoke(h, 0, 1, 1, HISTORY_LOOSE_READ, 0), value);
    return history_check(h, why, sizeof why);
}

/* They see what is pending, also what is refused later, and go back to what is committed; but never
 * behind that. */
static void loose_reads_are_judged_apart(void **state)
{
    struct history *h cleanup_(history_freep) = history_new();
    assert_int_equal(loose_read(h, HISTORY_INITIAL), 0);
    (void)write_done(h, 1);
    size_t refused = history_invoke(h, 0, 0, 1, HISTORY_WRITE, 2);
    assert_int_equal(loose_read(h, 2), 0);
    history_fail(h, refused);
    assert_int_equal(loose_read(h, 1), 0);
    size_t running = history_invoke(h, 0, 0, 1, HISTORY_WRITE, 3);
    (void)write_done(h, 4);
    assert_int_equal(loose_read(h, 3), 0);
    history_complete(h, 0, running, 0);
    struct history *old cleanup_(history_freep) = history_new();
    (void)write_done(old, 1);
    (void)write_done(old, 2);
    assert_int_equal(loose_read(old, 1), -ERR_FOUND_BUG);
    assert_int_equal(loose_read(h, 9), -ERR_FOUND_BUG);
}

/* Many concurrent writes of equal values and a read that nothing explains: every subset would have
 * to be seen. */
static void a_search_that_gives_up_is_no_success(void **state)
{
    enum { WRITERS = 24 };
    struct history *h cleanup_(history_freep) = history_new();
    size_t ids[WRITERS];
    char why[300];
    for (size_t i = 0; i < WRITERS; i++)
        ids[i] = history_invoke(h, 0, 0, 1, HISTORY_WRITE, 1 + i / 2);
    size_t read = history_invoke(h, 0, 0, 1, HISTORY_READ, 0);
    for (size_t i = 0; i < WRITERS; i++)
        history_complete(h, 0, ids[i], 0);
    history_complete(h, 0, read, 77);
    history_set_search_limit(h, 10000);
    assert_int_equal(history_check(h, why, sizeof why), -ERR_BUSY);
    assert_non_null(strstr(why, "gave up"));
    /* A violation elsewhere is still found, whichever comes first. */
    for (uint64_t object = 0; object < 3; object += 2)
        history_complete(h, 0, history_invoke(h, 0, 0, object, HISTORY_READ, 0), object);
    assert_int_equal(history_check(h, why, sizeof why), -ERR_FOUND_BUG);
}

static void count_line(void *arg, const char *line)
{
    int *count = arg;
    assert_non_null(strstr(line, "by client"));
    (*count)++;
}

static void registers_are_printed(void **state)
{
    struct history *h cleanup_(history_freep) = long_history(1, 1000, false, SIZE_MAX);
    int sum = 0;
    for (uint64_t object = 0; object < OBJECT_COUNT; object++)
        history_print(h, object, count_line, &sum);
    assert_int_equal(sum, history_op_count(h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_histories),
        cmocka_unit_test(violations_are_explained),
        cmocka_unit_test(methods_agree),
        cmocka_unit_test(atomic_registers_pass_and_spoilt_ones_do_not),
        cmocka_unit_test(long_histories_are_quick),
        cmocka_unit_test(loose_reads_are_judged_apart),
        cmocka_unit_test(a_search_that_gives_up_is_no_success),
        cmocka_unit_test(registers_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
