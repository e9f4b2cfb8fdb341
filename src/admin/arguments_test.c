/* arguments_test.c - tables of lines, words and arguments, good and bad. */
#include "admin/arguments.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_words(void **state)
{
    static const struct {
        const char *line;
        uint32_t piece_count; /* 0: refused */
        const char *first;    /* words of the first piece, joined by '|' */
    } cases[] = {
        { "list-nodes", 1, "list-nodes" },
        { "a b;c", 2, "a|b" },
        { "a 'b;c' ; d", 2, "a|b;c" },
        { "a \"x y\"z", 1, "a|x yz" },
        { "a b\\ c \\\"", 1, "a|b c|\"" },
        { "a '' b", 1, "a||b" },
        { "a # b ; c", 1, "a" },
        { "a#b", 1, "a#b" },
        { "", 1, "" },
        { "a;", 2, "a" },
        { "a 'b", 0, NULL },
        { "a \\", 0, NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        char **pieces, **words;
        uint32_t piece_count, word_count;
        const char *error = NULL;
        int r = words_split_pieces(&arena, cases[i].line, &pieces, &piece_count, &error);
        if (cases[i].piece_count == 0) {
            assert_int_equal(r, -ERR_WRONG_USAGE);
            assert_non_null(error);
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(piece_count, cases[i].piece_count);
        assert_int_equal(words_split(&arena, pieces[0], &words, &word_count, &error), 0);
        char *joined = arena_printf(&arena, "%s", "");
        for (uint32_t w = 0; w < word_count; w++)
            joined = arena_printf(&arena, "%s%s%s", joined, w ? "|" : "", words[w]);
        assert_string_equal(joined, cases[i].first);
    }
}

static const struct argument_spec spec[] = {
    { "path", NULL, ARG_TEXT, true, "" },         { "--limit", "-l", ARG_U32, false, "" },
    { "--recursive", "-r", ARG_FLAG, false, "" }, { "--size", NULL, ARG_SIZE, false, "" },
    { "--perm", "-p", ARG_OCTAL, false, "" },     { "--ids", NULL, ARG_U64S, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static void test_arguments(void **state)
{
    static const struct {
        const char *line;
        const char *error; /* part of it; NULL: accepted */
    } cases[] = {
        { "/a", NULL },
        { "/a -r -l 5 --size 4KB --perm 0644", NULL },
        { "--limit=7 /a", NULL },
        { "/a --ids 1 2 3 -r", NULL },
        { "", "path is missing" },
        { "/a /b", "unexpected argument '/b'" },
        { "/a --limt 5", "did you mean '--limit'" },
        { "/a -l", "--limit needs" },
        { "/a -l x", "'x' is not a number" },
        { "/a -l 4294967296", "'4294967296' is not a number" },
        { "/a --perm 999", "octal" },
        { "/a --size 4XB", "size" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        char **words;
        uint32_t count;
        const char *error = NULL;
        struct arguments a;
        assert_int_equal(words_split(&arena, cases[i].line, &words, &count, &error), 0);
        int r = arguments_parse(&arena, spec, words, count, &a, &error);
        assert_int_equal(r, cases[i].error ? -ERR_WRONG_USAGE : 0);
        if (cases[i].error) assert_non_null(strstr(error, cases[i].error));
        if (i == 1) {
            assert_true(argument_flag(&a, "--recursive"));
            assert_int_equal(argument_number(&a, "--limit", 0), 5);
            assert_int_equal(argument_number(&a, "--size", 0), 4096);
            assert_int_equal(argument_number(&a, "--perm", 0), 0644);
            assert_string_equal(argument_text(&a, "path", ""), "/a");
        }
        if (i == 3) {
            assert_int_equal(argument(&a, "--ids")->count, 3);
            assert_int_equal(argument(&a, "--ids")->numbers[2], 3);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
