/* error_test.c - the table is sorted, its names are unique, system errors go there and back. */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    int number, eno;
    const char *name, *sentence;
} rows[] = {
#define ROW(sym, number, name, eno, action, text) { number, eno, name, text },
    ERROR_TABLE(ROW)
#undef ROW
};

static void test_table(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_in_range(rows[i].number, 1, ERR_SYSTEM_BASE - 1);
        if (i) assert_true(rows[i - 1].number < rows[i].number);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(rows[i].name, rows[k].name);
        }
        assert_in_range(rows[i].eno, 1, 4095);
        assert_string_equal(error_name(-rows[i].number), rows[i].name);
        assert_string_equal(error_sentence(-rows[i].number), rows[i].sentence);
        assert_int_equal(error_to_errno(-rows[i].number), rows[i].eno);
        assert_true(error_number_is_known(rows[i].number));
    }
}

static void test_system_errors(void **state)
{
    for (int eno = 1; eno < 134; eno++) {
        int r = error_from_errno(eno);
        assert_true(r < 0);
        if (eno != ECANCELED) assert_int_equal(error_to_errno(r), eno);
    }
    assert_int_equal(error_from_errno(0), 0);
    assert_int_equal(error_from_errno(ETIMEDOUT), -ERR_TIMEOUT);
    assert_int_equal(error_from_errno(ECANCELED), -ERR_CANCELED);
    assert_int_equal(error_from_errno(100000), -ERR_UNKNOWN);
    assert_string_equal(error_name(error_from_errno(EIO)), "EIO");
}

static void test_texts(void **state)
{
    char text[64];
    assert_string_equal(error_to_text(-ERR_META_NOT_FOUND, text, sizeof(text)), "3000(NotFound)");
    assert_string_equal(error_to_text(0, text, sizeof(text)), "0(OK)");
    assert_string_equal(error_name(-19999), "Unknown");
    assert_int_equal(error_to_errno(-19999), EIO);
    assert_false(error_number_is_known(19999));
    assert_false(error_number_is_known(-5));
    assert_int_equal(error_action(-ERR_BUSY), ACTION_RETRY);
    assert_int_equal(error_action(-19999), ACTION_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_system_errors),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
