/* incidence_test.c - a matrix as text and back; what is malformed is refused with its line. */
#include "placement/incidence.h"

#include "base/check.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_there_and_back(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct design d, again;
    const char *error = NULL;
    design_make(&arena, 25, 3, 12, 1, NULL, &d);
    char *text = incidence_to_text(&d, "a comment", &arena);
    assert_int_equal(incidence_parse(&arena, bytes_of_text(text), &again, &error), 0);
    assert_int_equal(again.node_count, 25);
    assert_int_equal(again.group_count, 100);
    assert_int_equal(again.targets_per_disk, 12);
    assert_memory_equal(again.members, d.members, 300 * sizeof *d.members);
}

static void test_refused(void **state)
{
    static const char head[] = "c3fs incidence matrix 1\n";
    static const char sizes[] = "disks 3, groups 2, size 2, targets per disk 2\n";
    static const struct {
        const char *a, *b, *c;
        const char *error;
    } cases[] = {
        { "", "", "", "its first line is not" },
        { "\x80\x04\x95", "", "", "line 1: this is a Python pickle" },
        { head, "", "", "'disks V, groups B" },
        { head, "disks 3, groups 2, size 4, targets per disk 2\n", "", "line 2: these sizes" },
        { head, "disks 3, groups 4, size 2, targets per disk 2\n", "", "line 2: these sizes" },
        { head, "disks 3, groups 0, size 2, targets per disk 2\n", "", "line 2: these sizes" },
        { head, "disks 3000000000, groups 2, size 2, targets per disk 2\n", "", "these sizes" },
        { head, sizes, "1: 1 2\n", "'2:' and 2 different disks from 1 to 3" },
        { head, sizes, "1: 1 2\n3: 1 2\n", "line 4: '2:'" },
        { head, sizes, "1: 1 4\n", "line 3: '1:'" },
        { head, sizes, "1: 1 1\n", "line 3: '1:'" },
        { head, sizes, "1: 1 2 3\n", "line 3: '1:'" },
        { head, sizes, "1: 1 2\n2: 1 3\n3: 2 3\n", "line 5: there is more" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct design d;
        const char *error = NULL;
        char *text = arena_printf(&arena, "%s%s%s", cases[i].a, cases[i].b, cases[i].c);
        assert_int_equal(incidence_parse(&arena, bytes_of_text(text), &d, &error),
                         -ERR_INVALID_ARG);
        if (!strstr(error, cases[i].error)) fail_msg("case %zu: %s", i, error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
