/* metrics_test.c - cells stay where they are, names come in order. */
#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_order(void *arg, const char *name, uint64_t value)
{
    char *last = arg;
    assert_true(strcmp(last, name) < 0);
    snprintf(last, 32, "%s", name);
    assert_int_equal(value, strtoull(name + 1, NULL, 10));
}

static void test_metrics(void **state)
{
    struct metrics *m = metrics_new();
    uint64_t *first = metrics_cell(m, "m500");
    *first = 500;
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "m%d", i * 7919 % 1000);
        *metrics_cell(m, name) = (uint64_t)(i * 7919 % 1000);
    }
    assert_ptr_equal(metrics_cell(m, "m500"), first);
    assert_int_equal(metrics_value(m, "m7"), 7);
    assert_int_equal(metrics_value(m, "nothing"), 0);
    char last[32] = "";
    metrics_each(m, check_order, last);
    assert_string_equal(last, "m999");
    metrics_free(m);
    assert_null(metrics_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_metrics) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
