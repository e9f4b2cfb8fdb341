/* units_test.c - texts of durations and sizes, both ways. */
#include "base/error.h"
#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BAD = 1 };

struct text_case {
    const char *text;
    uint64_t value;
    int is_bad;
    const char *canonical; /* NULL: the text itself */
};

static const struct text_case durations[] = {
    { "5s", 5 * SEC, 0, NULL },
    { "1min 30s", 90 * SEC, 0, NULL },
    { "90s", 90 * SEC, 0, "1min 30s" },
    { "250ms", 250 * MSEC, 0, NULL },
    { "1h", 3600 * SEC, 0, NULL },
    { "2day 1h 1min 1s 1ms 1us 1ns", 176461001001001, 0, NULL },
    { " 7 us ", 7 * USEC, 0, "7us" },
    { "1min30s", 90 * SEC, 0, "1min 30s" },
    { "0", 0, 0, "0s" },
    { "0s", 0, 0, NULL },
    { "1ns", 1, 0, NULL },
    { "", 0, BAD, NULL },
    { "5", 0, BAD, NULL },
    { "s", 0, BAD, NULL },
    { "5 parsecs", 0, BAD, NULL },
    { "5s 5s", 0, BAD, NULL },
    { "5s 1min", 0, BAD, NULL },
    { "-5s", 0, BAD, NULL },
    { "1.5s", 0, BAD, NULL },
    { "5s,", 0, BAD, NULL },
    { "99999999999999999999s", 0, BAD, NULL },
    { "18446744073709551615ns", 0, BAD, NULL },
    { "18446744073s 999999999999ns", 0, BAD, NULL },
    { "999999999day", 0, BAD, NULL },
};

static const struct text_case sizes[] = {
    { "4KB", 4096, 0, NULL },
    { "4K", 4000, 0, "4000B" },
    { "4kb", 4096, 0, "4KB" },
    { "4KiB", 4096, 0, "4KB" },
    { "512", 512, 0, "512B" },
    { "512B", 512, 0, NULL },
    { "1MB", MIB, 0, NULL },
    { "1G", 1000000000, 0, "1000000000B" },
    { "3TB", 3 * TIB, 0, NULL },
    { "1025KB", 1025 * KIB, 0, NULL },
    { "2PB", 2048 * TIB, 0, NULL },
    { "0", 0, 0, "0B" },
    { " 64 MB ", 64 * MIB, 0, "64MB" },
    { "", 0, BAD, NULL },
    { "KB", 0, BAD, NULL },
    { "4XB", 0, BAD, NULL },
    { "4KBs", 0, BAD, NULL },
    { "-1", 0, BAD, NULL },
    { "99999999999999999999", 0, BAD, NULL },
    { "18446744073709551615KB", 0, BAD, NULL },
};

static void run_cases(const struct text_case *cases, size_t count,
                      int (*parse)(const char *, uint64_t *),
                      const char *(*to_text)(uint64_t, char *, size_t))
{
    for (size_t i = 0; i < count; i++) {
        const struct text_case *c = &cases[i];
        uint64_t value = 4711;
        int r = parse(c->text, &value);
        if (r != (c->is_bad ? -ERR_INVALID_ARG : 0)) fail_msg("\"%s\": %d", c->text, r);
        if (c->is_bad) {
            assert_int_equal(value, 4711);
            continue;
        }
        assert_int_equal(value, c->value);
        char text[64];
        assert_string_equal(to_text(value, text, sizeof(text)), c->canonical ?: c->text);
    }
}

static void test_durations(void **state)
{
    run_cases(durations, ARRAY_SIZE(durations), duration_parse, duration_to_text);
}

static void test_sizes(void **state)
{
    run_cases(sizes, ARRAY_SIZE(sizes), size_parse, size_to_text);
}

static void test_longest(void **state)
{
    char text[64];
    uint64_t value;
    assert_in_range(strlen(duration_to_text(UINT64_MAX - 1, text, sizeof(text))), 1, 62);
    assert_int_equal(duration_parse(text, &value), 0);
    assert_true(value == UINT64_MAX - 1);
    assert_in_range(strlen(size_to_text(UINT64_MAX, text, sizeof(text))), 1, 62);
    assert_int_equal(size_parse(text, &value), 0);
    assert_true(value == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
