/* design_test.c - every size gives loads that are right; balance where it is known to exist. */
#include "placement/design_internal.h"

#include "base/check.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct design make(struct arena *arena, uint32_t v, uint32_t k, uint32_t r)
{
    struct design d;
    design_make(arena, v, k, r, 1, NULL, &d);
    const char *wrong = design_verify(&d, arena);
    if (wrong) fail_msg("v %u k %u r %u: %s", v, k, r, wrong);
    return d;
}

/* Known block designs and sizes of the reference: all pairs as even as counting allows. */
static void test_balance(void **state)
{
    static const struct {
        uint32_t v, k, r;
    } sizes[] = {
        { 5, 3, 6 },    { 6, 3, 5 },    { 7, 3, 3 },     { 9, 3, 4 },     { 13, 3, 6 },
        { 13, 4, 4 },   { 15, 3, 7 },   { 16, 4, 5 },    { 21, 5, 5 },    { 25, 3, 12 },
        { 25, 5, 6 },   { 31, 6, 6 },   { 31, 3, 15 },   { 57, 8, 8 },    { 73, 9, 9 },
        { 91, 10, 10 }, { 10, 2, 9 },   { 20, 2, 19 },   { 10, 9, 9 },    { 25, 20, 4 },
        { 10, 3, 6 },   { 50, 3, 27 },  { 100, 3, 51 },  { 64, 8, 9 },    { 200, 3, 99 },
        { 5, 4, 4 },    { 8, 2, 7 },    { 12, 3, 6 },    { 1000, 3, 99 }, { 28, 4, 9 },
        { 65, 5, 16 },  { 126, 6, 25 }, { 36, 3, 18 },   { 180, 3, 90 },  { 198, 3, 99 },
        { 199, 3, 99 }, { 150, 3, 75 }, { 30, 3, 20 },   { 100, 3, 99 },  { 25, 4, 8 },
        { 37, 4, 12 },  { 50, 4, 18 },  { 64, 5, 20 },   { 41, 5, 10 },   { 21, 6, 12 },
        { 31, 6, 12 },  { 15, 7, 7 },   { 19, 9, 9 },    { 23, 11, 11 },  { 37, 9, 9 },
        { 50, 6, 15 },  { 100, 4, 50 }, { 1000, 4, 99 }, { 1000, 8, 40 }, { 40, 4, 13 },
        { 85, 5, 42 },  { 64, 4, 30 },  { 125, 5, 31 },  { 729, 9, 91 },  { 820, 10, 91 },
        { 100, 4, 33 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct design d = make(&arena, sizes[i].v, sizes[i].k, sizes[i].r);
        struct design_balance b = design_balance(&d);
        if (b.least != b.least_bound || b.most != b.most_bound)
            fail_msg("v %u k %u r %u: pairs meet %u to %u times, not %u to %u", sizes[i].v,
                     sizes[i].k, sizes[i].r, b.least, b.most, b.least_bound, b.most_bound);
    }
}

/* Sizes for which a theorem says that pairs differ by two at the least, and some that exist. */
static void test_excluded(void **state)
{
    static const struct {
        uint32_t v, k, r;
        const char *by;
    } sizes[] = {
        { 16, 6, 3, "Fisher's inequality" },
        { 45, 12, 4, "Fisher's inequality" },
        { 12, 6, 3, "the rank of its matrix" },
        { 25, 10, 4, "the rank of its matrix" },
        { 22, 7, 7, "Bruck, Ryser and Chowla" },    /* an even number of nodes: 5 is no square */
        { 29, 8, 8, "Bruck, Ryser and Chowla" },    /* odd: by Hilbert's symbols */
        { 43, 7, 7, "Bruck, Ryser and Chowla" },    /* the plane of order 6 */
        { 211, 15, 15, "Bruck, Ryser and Chowla" }, /* the plane of order 14 */
        { 15, 5, 7, "Hall and Connor" },
        { 21, 6, 8, "Hall and Connor" },
        { 36, 6, 7, "Hall and Connor" },
        { 111, 11, 11, "an exhaustive search" },
        { 13, 4, 4, NULL },
        { 25, 9, 9, NULL },
        { 31, 10, 10, NULL },
        { 37, 9, 9, NULL },
        { 91, 10, 10, NULL }, /* order 9: no objection of the theorem */
        { 79, 13, 13, NULL },
        { 56, 11, 11, NULL },
        { 41, 16, 16, NULL },
        { 70, 24, 24, NULL },
        { 10, 4, 6, NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        const char *by = design_excluded(sizes[i].v, sizes[i].k, sizes[i].r);
        const char *wanted = sizes[i].by;
        if (!by != !wanted || (by && strcmp(by, wanted) != 0))
            fail_msg("v %u k %u r %u: excluded by %s, not %s", sizes[i].v, sizes[i].k, sizes[i].r,
                     by ? by : "nothing", wanted ? wanted : "nothing");
    }
}

/* Sizes that nobody can have within one come within two; never outside of what a proof says. */
static void test_nearly_balanced(void **state)
{
    static const struct {
        uint32_t v, k, r, spread;
    } sizes[] = {
        { 8, 4, 3, 2 },  { 15, 5, 4, 2 }, { 20, 5, 5, 2 },  { 16, 10, 5, 2 }, { 22, 7, 7, 2 },
        { 36, 6, 7, 2 }, { 43, 7, 7, 2 }, { 45, 12, 4, 2 }, { 50, 20, 4, 3 }, { 64, 12, 9, 3 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct design d = make(&arena, sizes[i].v, sizes[i].k, sizes[i].r);
        struct design_balance b = design_balance(&d);
        if (b.most - b.least > sizes[i].spread || (b.excluded && b.most - b.least < 2))
            fail_msg("v %u k %u r %u: pairs meet %u to %u times", sizes[i].v, sizes[i].k,
                     sizes[i].r, b.least, b.most);
    }
}

/* Groups of three in which all pairs meet: always as even as counting allows. */
static void test_all_triples(void **state)
{
    for (uint32_t v = 4; v <= 40; v++) {
        for (uint32_t r = (v + 1) / 2; r <= 60; r += v < 16 ? 1 : 7) {
            cleanup_arena_ struct arena arena = { 0 };
            if (v * r % 3 != 0) continue;
            struct design d = make(&arena, v, 3, r);
            struct design_balance b = design_balance(&d);
            if (b.least != b.least_bound || b.most != b.most_bound)
                fail_msg("v %u r %u: pairs meet %u to %u times", v, r, b.least, b.most);
        }
    }
}

/* All small sizes, those too that leave targets unused, with heads. */
static void test_all_small(void **state)
{
    for (uint32_t v = 1; v <= 8; v++) {
        for (uint32_t k = 1; k <= v; k++) {
            for (uint32_t r = 1; r <= 7; r++) {
                cleanup_arena_ struct arena arena = { 0 };
                if (!design_is_possible(v, k, r)) continue;
                struct design d = make(&arena, v, k, r);
                uint32_t *heads = design_heads(&d, &arena), counts[8] = { 0 };
                for (uint32_t g = 0; g < d.group_count; g++)
                    counts[d.members[g * k + heads[g]]]++;
                for (uint32_t x = 0; x < v; x++)
                    assert_in_range(counts[x], d.group_count / v, (d.group_count + v - 1) / v);
            }
        }
    }
}

static void test_same_seed(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct design a = make(&arena, 14, 4, 8), b = make(&arena, 14, 4, 8), c;
    assert_memory_equal(a.members, b.members, (size_t)a.group_count * 4 * sizeof *a.members);
    design_make(&arena, 14, 4, 8, 2, NULL, &c);
    assert_memory_not_equal(a.members, c.members, (size_t)a.group_count * 4 * sizeof *a.members);
}

static uint32_t kept(const struct design *before, const struct design *after)
{
    uint32_t k = before->group_size, count = 0;
    for (uint32_t g = 0; g < before->group_count; g++)
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t j = 0; j < k; j++)
                count += before->members[g * k + i] == after->members[g * k + j];
    return count;
}

/* Twice the nodes: each keeps half of what it had, which is the least that must move. */
static void test_extend(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct design before = make(&arena, 5, 3, 6), after;
    uint32_t moved = 0;
    assert_int_equal(design_extend(&arena, &before, 10, 6, 1, NULL, &after, &moved), 0);
    assert_null(design_verify(&after, &arena));
    assert_int_equal(moved, 15);
    assert_int_equal(kept(&before, &after), 15);
    assert_int_equal(after.group_count, 20);
    /* Larger groups: what moves is also spread over the new nodes. */
    before = make(&arena, 25, 9, 9);
    assert_int_equal(design_extend(&arena, &before, 40, 9, 1, NULL, &after, &moved), 0);
    assert_null(design_verify(&after, &arena));
    assert_int_equal(moved, 75); /* 25 x 9 replicas, of which 6 stay with each */
    assert_int_equal(kept(&before, &after), 150);
    struct design_balance b = design_balance(&after);
    if (b.most > 5) fail_msg("after growing pairs meet up to %u times", b.most);
    before = make(&arena, 5, 3, 6);
    assert_int_equal(design_extend(&arena, &before, 4, 6, 1, NULL, &after, &moved),
                     -ERR_INVALID_ARG);
}

/* The verdict on designs that are wrong. */
static void test_verify(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct design d = make(&arena, 7, 3, 3);
    uint32_t first = d.members[0];
    d.members[0] = d.members[1];
    assert_non_null(strstr(design_verify(&d, &arena), "twice"));
    d.members[0] = 7;
    assert_non_null(strstr(design_verify(&d, &arena), "disk 8 of 7"));
    d.members[0] = first;
    assert_null(design_verify(&d, &arena));
    d.members[2] = d.members[2] == 6 ? 5 : 6;
    assert_non_null(strstr(design_verify(&d, &arena), "where each should be in 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balance),   cmocka_unit_test(test_all_small),
        cmocka_unit_test(test_same_seed), cmocka_unit_test(test_extend),
        cmocka_unit_test(test_verify),    cmocka_unit_test(test_all_triples),
        cmocka_unit_test(test_excluded),  cmocka_unit_test(test_nearly_balanced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
