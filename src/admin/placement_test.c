/* placement_test.c - loads equal, heads near equal, nodes of a chain distinct, over a table of
 * sizes. */
#include "admin/placement.h"

#include "base/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void hold_against_rules(uint32_t nodes, uint32_t replicas, uint32_t targets)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct placement p;
    assert_int_equal(placement_make(&arena, nodes, replicas, targets, &p), 0);
    assert_true(p.targets_per_disk >= targets);
    assert_int_equal(p.chain_count * replicas, nodes * p.targets_per_disk);
    uint32_t *loads = arena_array(&arena, uint32_t, nodes),
             *heads = arena_array(&arena, uint32_t, nodes);
    for (uint32_t c = 0; c < p.chain_count; c++) {
        const uint32_t *chain = p.members + (size_t)c * replicas;
        heads[chain[0]]++;
        for (uint32_t i = 0; i < replicas; i++) {
            assert_true(chain[i] < nodes);
            loads[chain[i]]++;
            for (uint32_t j = 0; j < i; j++)
                assert_int_not_equal(chain[i], chain[j]);
        }
    }
    uint32_t fair = p.chain_count / nodes;
    for (uint32_t n = 0; n < nodes; n++) {
        assert_int_equal(loads[n], p.targets_per_disk);
        assert_true(heads[n] + 1 >= fair && heads[n] <= fair + 2);
    }
}

static void test_rules(void **state)
{
    for (uint32_t nodes = 1; nodes <= 40; nodes++) {
        for (uint32_t replicas = 1; replicas <= 5 && replicas <= nodes; replicas++) {
            hold_against_rules(nodes, replicas, 1);
            hold_against_rules(nodes, replicas, 6);
        }
    }
}

static void test_impossible(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct placement p;
    assert_int_equal(placement_make(&arena, 2, 3, 6, &p), -ERR_INVALID_ARG);
    assert_int_equal(placement_make(&arena, 2, 0, 6, &p), -ERR_INVALID_ARG);
    assert_int_equal(placement_make(&arena, 7, 3, 100, &p), -ERR_INVALID_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_impossible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
