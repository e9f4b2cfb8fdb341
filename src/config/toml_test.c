/* toml_test.c - the grammar of TOML 1.0 as tables of valid and invalid documents, and round trips.
 */
#include "config/toml.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- valid: the document and what toml_to_text() makes of it ---- */

struct valid_case {
    const char *text, *printed;
};

static const struct valid_case valid_documents[] = {
    /* layout */
    { "", "" },
    { "\n\n# only a comment", "" },
    { "\xef\xbb\xbf"
      "a = 1",
      "a = 1\n" },
    { "a = 1 # behind\r\nb = 2\r\n", "a = 1\nb = 2\n" },
    { "\ta\t=\t1\t", "a = 1\n" },
    { "# tab\tin a comment and \xc3\xa9\na=1", "a = 1\n" },
    /* keys */
    { "bare_key-1 = 1\n1234 = 2\n-1 = 3", "bare_key-1 = 1\n1234 = 2\n-1 = 3\n" },
    { "\"quoted key\" = 1\n'lit\"eral' = 2\n\"\" = 3",
      "\"quoted key\" = 1\n\"lit\\\"eral\" = 2\n\"\" = 3\n" },
    { "a . \"b c\" . d = 1", "a.\"b c\".d = 1\n" },
    { "3.14 = 1", "3.14 = 1\n" },
    { "a.b = 1\na.c = 2", "a.b = 1\na.c = 2\n" },
    { "\xca\x8e = 1", NULL },
    { "\"\xca\x8e\" = 1", "\"\xca\x8e\" = 1\n" },
    { "true = 1\ninf = 2\n2020-01-01 = 3", "true = 1\ninf = 2\n2020-01-01 = 3\n" },
    /* integers */
    { "a = [0, +0, -0, 42, +99, -17, 1_000, 5_349_221]",
      "a = [0, 0, 0, 42, 99, -17, 1000, 5349221]\n" },
    { "a = [0xDEADBEEF, 0xdead_beef, 0o01234567, 0b1101_0110, 0x00]",
      "a = [3735928559, 3735928559, 342391, 214, 0]\n" },
    { "a = [9223372036854775807, -9223372036854775808]",
      "a = [9223372036854775807, -9223372036854775808]\n" },
    /* floats */
    { "a = [1.0, +1.0, -0.01, 3.1415]", "a = [1.0, 1.0, -0.01, 3.1415]\n" },
    { "a = [5e+22, 1e06, -2E-2, 6.626e-34, 224_617.445_991_228]",
      "a = [5e+22, 1000000.0, -0.02, 6.626e-34, 224617.445991228]\n" },
    { "a = [inf, +inf, -inf, nan, +nan, -nan, -0.0]",
      "a = [inf, inf, -inf, nan, nan, -nan, -0.0]\n" },
    { "a = 0.1", "a = 0.1\n" },
    { "a = 1e1_0", "a = 10000000000.0\n" },
    /* booleans */
    { "a = [true, false]", "a = [true, false]\n" },
    /* dates and times */
    { "a = 1979-05-27T07:32:00Z", "a = 1979-05-27T07:32:00Z\n" },
    { "a = 1979-05-27t00:32:00.999999-07:00", "a = 1979-05-27t00:32:00.999999-07:00\n" },
    { "a = 1979-05-27 07:32:00z # UTC", "a = 1979-05-27 07:32:00z\n" },
    { "a = [1979-05-27T07:32:00, 1979-05-27 , 07:32:00.5,00:00:00]",
      "a = [1979-05-27T07:32:00, 1979-05-27, 07:32:00.5, 00:00:00]\n" },
    { "a = [2000-02-29, 2024-02-29, 0000-01-01, 9999-12-31]",
      "a = [2000-02-29, 2024-02-29, 0000-01-01, 9999-12-31]\n" },
    /* basic strings */
    { "a = \"\"", "a = \"\"\n" },
    { "a = \"\\b\\t\\n\\f\\r\\\"\\\\\"", "a = \"\\b\\t\\n\\f\\r\\\"\\\\\"\n" },
    { "a = \"\\u00e9\\U0001F600\\u0000\\u007F\"",
      "a = \"\xc3\xa9\xf0\x9f\x98\x80\\u0000\\u007F\"\n" },
    { "a = \"tab\there # no comment\"", "a = \"tab\\there # no comment\"\n" },
    /* multi-line basic strings */
    { "a = \"\"\"\"\"\"", "a = \"\"\n" },
    { "a = \"\"\"\nfirst\r\nsecond\"\"\"", "a = \"first\\nsecond\"\n" },
    { "a = \"\"\"one \\\n\n   two \\  \n\t three\"\"\"", "a = \"one two three\"\n" },
    { "a = \"\"\"a \"\" b\"\"\"\"\"", "a = \"a \\\"\\\" b\\\"\\\"\"\n" },
    { "a = \"\"\"x\\\"\"\"\"", "a = \"x\\\"\"\n" },
    { "a = \"\"\"\\\n\"\"\"", "a = \"\"\n" },
    /* literal strings */
    { "a = 'C:\\n\\\"x\"'", "a = \"C:\\\\n\\\\\\\"x\\\"\"\n" },
    { "a = '''\nraw \\n\n'' end'''''", "a = \"raw \\\\n\\n'' end''\"\n" },
    /* arrays */
    { "a = []", "a = []\n" },
    { "a = [ 1, \"two\", [ 3.0 ], { b = 4 } ]", "a = [1, \"two\", [3.0], {b = 4}]\n" },
    { "a = [ # c\n 1, # d\n\n 2\n , 3, ]", "a = [1, 2, 3]\n" },
    { "a = [[[]], []]", "a = [[[]], []]\n" },
    /* inline tables */
    { "a = {}", "a = {}\n" },
    { "a = { b = 1, c.d = 2, c.e = 3 }", "a.b = 1\na.c.d = 2\na.c.e = 3\n" },
    { "a = { b = [\n1,\n] }", "a.b = [1]\n" },
    /* tables */
    { "[a]\nb = 1\n[c.d]\ne = 2", "a.b = 1\nc.d.e = 2\n" },
    { "[ a . 'b.c' ]\nd = 1", "a.\"b.c\".d = 1\n" },
    { "[a.b.c]\nz = 1\n[a]\ny = 2", "a.b.c.z = 1\na.y = 2\n" },
    { "[a]\n[a.b]\n[c]", "a.b = {}\nc = {}\n" },
    { "[a]\nb.c = 1\n[a.b.d]\ne = 2", "a.b.c = 1\na.b.d.e = 2\n" },
    { "a.b = 1\n[a.c]\nd = 2", "a.b = 1\na.c.d = 2\n" },
    { "[a.b]\n[a]\nb2.c = 1", "a.b = {}\na.b2.c = 1\n" },
    /* arrays of tables */
    { "[[a]]\nb = 1\n[[a]]\n[[a]]\nb = 3", "a = [{b = 1}, {}, {b = 3}]\n" },
    { "[[a]]\n[a.b]\nc = 1\n[[a.d]]\ne = 2\n[[a.d]]\n[[a]]\n[a.b]\nc = 3",
      "a = [{b = {c = 1}, d = [{e = 2}, {}]}, {b = {c = 3}}]\n" },
    { "[[a.b]]\nc = 1\n[a]\nd = 2", "a.b = [{c = 1}]\na.d = 2\n" },
};

static void check_valid(const struct valid_case *c)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct toml_value root, again;
    const char *error = NULL;
    int r = toml_parse(&arena, bytes_of_text(c->text), &root, &error);
    if (!c->printed) {
        assert_int_equal(r, -ERR_CONFIG_PARSE_ERROR);
        return;
    }
    if (r < 0) fail_msg("'%s': %s", c->text, error);
    const char *text = toml_to_text(&arena, &root);
    assert_string_equal(text, c->printed);
    assert_int_equal(toml_parse(&arena, bytes_of_text(text), &again, &error), 0);
    assert_string_equal(toml_to_text(&arena, &again), text);
}

static void test_valid(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(valid_documents); i++)
        check_valid(&valid_documents[i]);
}

/* ---- invalid: where the error is ---- */

struct invalid_case {
    const char *text;
    uint32_t line, column;
};

static const struct invalid_case invalid_documents[] = {
    /* layout */
    { "a = 1 b = 2", 1, 7 },
    { "a = 1\rb = 2", 1, 6 },
    { "a = 1\n\x01", 2, 1 },
    { "# \x7f", 1, 3 },
    { "# \r", 1, 3 },
    { "a = \"\xff\"", 1, 6 },
    { "a = \"\xc0\x80\"", 1, 6 },
    { "a = \"\xed\xa0\x80\"", 1, 6 },
    { "a = \"\xf4\x90\x80\x80\"", 1, 6 },
    { "# \xe2\x82", 1, 3 },
    /* keys */
    { "= 1", 1, 1 },
    { "a", 1, 2 },
    { "a\n= 1", 1, 2 },
    { "a =", 1, 4 },
    { "a = \n1", 1, 5 },
    { "a b = 1", 1, 3 },
    { ".a = 1", 1, 1 },
    { "a. = 1", 1, 4 },
    { "a..b = 1", 1, 3 },
    { "\"\"\"a\"\"\" = 1", 1, 1 },
    { "\"a\nb\" = 1", 1, 3 },
    { "a! = 1", 1, 2 },
    { "\xc3\xa9 = 1", 1, 1 },
    { "a = 1\na = 2", 2, 1 },
    { "a = 1\n\"a\" = 2", 2, 1 },
    { "a = 1\na.b = 2", 2, 1 },
    { "a.b = 1\na.b.c = 2", 2, 3 },
    { "a.b = 1\na = 2", 2, 1 },
    /* integers */
    { "a = 01", 1, 5 },
    { "a = +01", 1, 5 },
    { "a = 0_1", 1, 5 },
    { "a = _1", 1, 5 },
    { "a = 1_", 1, 5 },
    { "a = 1__0", 1, 5 },
    { "a = +-1", 1, 5 },
    { "a = - 1", 1, 5 },
    { "a = 0x", 1, 5 },
    { "a = 0x_1", 1, 5 },
    { "a = 0xg", 1, 5 },
    { "a = 0X1", 1, 5 },
    { "a = 0o8", 1, 5 },
    { "a = 0b2", 1, 5 },
    { "a = -0x1", 1, 5 },
    { "a = 9223372036854775808", 1, 5 },
    { "a = -9223372036854775809", 1, 5 },
    { "a = 0xffffffffffffffff", 1, 5 },
    /* floats */
    { "a = .5", 1, 5 },
    { "a = 5.", 1, 5 },
    { "a = 1.e5", 1, 5 },
    { "a = 1e", 1, 5 },
    { "a = 1e+", 1, 5 },
    { "a = 1._5", 1, 5 },
    { "a = 1_.5", 1, 5 },
    { "a = 1e_5", 1, 5 },
    { "a = 00.5", 1, 5 },
    { "a = 1.2.3", 1, 5 },
    { "a = Inf", 1, 5 },
    { "a = NaN", 1, 5 },
    { "a = ++inf", 1, 5 },
    /* words */
    { "a = True", 1, 5 },
    { "a = truer", 1, 5 },
    { "a = text", 1, 5 },
    { "a = trueB", 1, 5 },
    /* dates and times */
    { "a = 1979-13-27", 1, 5 },
    { "a = 1979-00-27", 1, 5 },
    { "a = 1979-02-29", 1, 5 },
    { "a = 1900-02-29", 1, 5 },
    { "a = 1979-04-31", 1, 5 },
    { "a = 1979-5-27", 1, 5 },
    { "a = 1979-05-27T", 1, 5 },
    { "a = 1979-05-27T7:32:00", 1, 5 },
    { "a = 1979-05-27T07:32", 1, 5 },
    { "a = 1979-05-27T24:00:00", 1, 5 },
    { "a = 1979-05-27T07:60:00", 1, 5 },
    { "a = 1979-05-27T07:32:61", 1, 5 },
    { "a = 1979-05-27T07:32:00.", 1, 5 },
    { "a = 1979-05-27T07:32:00+24:00", 1, 5 },
    { "a = 1979-05-27T07:32:00+01:60", 1, 5 },
    { "a = 1979-05-27T07:32:00+0100", 1, 5 },
    { "a = 07:32", 1, 5 },
    { "a = 07:32:00Z", 1, 5 },
    /* strings */
    { "a = \"x", 1, 7 },
    { "a = \"x\ny\"", 1, 7 },
    { "a = 'x\ny'", 1, 7 },
    { "a = \"\x1f\"", 1, 6 },
    { "a = '\x01'", 1, 6 },
    { "a = \"\\e\"", 1, 7 },
    { "a = \"\\", 1, 7 },
    { "a = \"\\x41\"", 1, 7 },
    { "a = \"\\u12\"", 1, 7 },
    { "a = \"\\uD800\"", 1, 7 },
    { "a = \"\\U00110000\"", 1, 7 },
    { "a = \"\"\"x\"\"", 1, 11 },
    { "a = \"\"\"\"\"\"\"\"\"", 1, 13 },
    { "a = \"\"\"\\ x\"\"\"", 1, 9 },
    { "a = \"\"\"\x01\"\"\"", 1, 8 },
    { "a = \"\"\"\r\"\"\"", 1, 8 },
    { "a = '''x''", 1, 11 },
    { "a = 'x' 'y'", 1, 9 },
    /* arrays */
    { "a = [", 1, 6 },
    { "a = [1", 1, 7 },
    { "a = [1 2]", 1, 8 },
    { "a = [,]", 1, 6 },
    { "a = [1,,2]", 1, 8 },
    { "a = [1]]", 1, 8 },
    { "a = [1}", 1, 7 },
    { "a = ]", 1, 5 },
    /* inline tables */
    { "a = {", 1, 6 },
    { "a = { b = 1", 1, 12 },
    { "a = { b = 1, }", 1, 14 },
    { "a = { b = 1\n}", 1, 12 },
    { "a = {\nb = 1 }", 1, 6 },
    { "a = { # c\n}", 1, 7 },
    { "a = { b = 1 c = 2 }", 1, 13 },
    { "a = { b }", 1, 9 },
    { "a = { , }", 1, 7 },
    { "a = { b = 1, b = 2 }", 1, 14 },
    { "a = { b = { c = 1 }, b.d = 2 }", 1, 22 },
    { "a = { b = 1 ]", 1, 13 },
    /* headers */
    { "[]", 1, 2 },
    { "[a", 1, 3 },
    { "[a]]", 1, 4 },
    { "[[a]", 1, 5 },
    { "[[a] ]", 1, 5 },
    { "[ [a]]", 1, 3 },
    { "[a.]", 1, 4 },
    { "[a] b = 1", 1, 5 },
    { "[a\n]", 1, 3 },
    { "[a]\n[a]", 2, 2 },
    { "[a]\nb = 1\n[a.b]", 3, 4 },
    { "[a]\nb = 1\n[a.b.c]", 3, 4 },
    { "a = 1\n[a]", 2, 2 },
    { "a = {}\n[a]", 2, 2 },
    { "a = {}\n[a.b]", 2, 2 },
    { "a = { b.c = 1 }\n[a.b.d]", 2, 2 },
    { "a.b = 1\n[a]", 2, 2 },
    { "[a]\nb.c = 1\n[a.b]", 3, 4 },
    { "[a.b.c]\nz = 9\n[a]\nb.c.t = 1", 4, 3 },
    { "[a.b.c.d]\nz = 9\n[a]\nb.c.d.k.t = 1", 4, 5 },
    /* arrays of tables */
    { "a = []\n[[a]]", 2, 3 },
    { "a = [{}]\n[a.b]", 2, 2 },
    { "[a]\n[[a]]", 2, 3 },
    { "[a.b]\n[[a]]", 2, 3 },
    { "[[a]]\n[a]", 2, 2 },
    { "[[a.b]]\n[a]\nb.y = 2", 3, 1 },
    { "[[a]]\na = 1\n[[a.a]]", 3, 5 },
};

static void test_invalid(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(invalid_documents); i++) {
        const struct invalid_case *c = &invalid_documents[i];
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        struct toml_value root = { .line = 77 };
        const char *error = NULL;
        char where[64];
        int r = toml_parse(&arena, bytes_of_text(c->text), &root, &error);
        if (r != -ERR_CONFIG_PARSE_ERROR) fail_msg("'%s' was taken", c->text);
        assert_int_equal(root.line, 77); /* untouched */
        snprintf(where, sizeof where, "line %u, column %u: ", c->line, c->column);
        if (strncmp(error, where, strlen(where)) != 0) {
            fail_msg("'%s': '%s' is not at %s", c->text, error, where);
        }
        assert_null(strchr(error, '\n'));
    }
}

/* ---- access ---- */

static void test_access(void **state)
{
    static const char text[] = "top = 1\n[a.b]\n  c = 2.5\n  d = [true]\n";
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct toml_value root;
    const char *error;
    assert_int_equal(toml_parse(&arena, BYTES_LITERAL(text), &root, &error), 0);
    assert_int_equal(toml_find(&root, "top")->integer, 1);
    assert_null(toml_find(&root, "a.b"));
    assert_int_equal(toml_find_path(&root, "a.b")->kind, TOML_TABLE);
    const struct toml_value *c = toml_find_path(&root, "a.b.c");
    assert_true(c->real == 2.5);
    assert_int_equal(c->line, 3);
    assert_int_equal(c->column, 7);
    assert_null(toml_find_path(&root, "a.x.c"));
    assert_null(toml_find_path(&root, "top.c"));
    assert_null(toml_find_path(&root, "a."));
    const struct toml_value *d = toml_find_path(&root, "a.b.d");
    assert_true(d->items[0].value.boolean);
    assert_string_equal(toml_kind_name(d->kind), "array");
    assert_string_equal(toml_to_text(&arena, d), "[true]");
}

/* ---- limits ---- */

static int parse_repeated(const char *begin, const char *middle, uint32_t count, const char *end)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    size_t size = strlen(begin) + strlen(middle) * count + strlen(end);
    char *text = arena_alloc(&arena, size + 1), *at = stpcpy(text, begin);
    for (uint32_t i = 0; i < count; i++)
        at = stpcpy(at, middle);
    stpcpy(at, end);
    struct toml_value root;
    const char *error;
    int r = toml_parse(&arena, bytes_of(text, size), &root, &error);
    if (r >= 0) toml_to_text(&arena, &root); /* must bear the same depth */
    return r;
}

static void test_limits(void **state)
{
    char ends[TOML_DEPTH_MAX + 2] = "";
    memset(ends, ']', TOML_DEPTH_MAX - 1);
    assert_int_equal(parse_repeated("a = ", "[", TOML_DEPTH_MAX - 1, ends), 0);
    memset(ends, ']', TOML_DEPTH_MAX + 1);
    assert_true(parse_repeated("a = ", "[", TOML_DEPTH_MAX + 1, ends) < 0);
    assert_int_equal(parse_repeated("a", ".a", TOML_DEPTH_MAX - 1, " = 1"), 0);
    assert_true(parse_repeated("a", ".a", TOML_DEPTH_MAX, " = 1") < 0);
    assert_int_equal(parse_repeated("[a", ".a", TOML_DEPTH_MAX - 2, "]\nb = {}"), 0);
    assert_true(parse_repeated("[a", ".a", TOML_DEPTH_MAX - 1, "]\nb = 1") < 0);
    assert_true(parse_repeated("a = ", "{a.b.c.d = ", TOML_DEPTH_MAX / 2, "1") < 0);
    assert_true(parse_repeated("", "[[a.b]]\n", 100000, "") >= 0);
    assert_true(parse_repeated("", "[", TOML_TEXT_BYTES_MAX, "") < 0);
    assert_true(parse_repeated("a = '", "x", TOML_TEXT_BYTES_MAX, "'") < 0);
}

static void test_many_keys(void **state)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    char *text = arena_zalloc(&arena, 64 * 1024), *at = text;
    struct toml_value root;
    const char *error;
    for (int i = 0; i < TOML_TABLE_KEYS_MAX; i++)
        at += snprintf(at, 32, "k%d=%d\n", i, i);
    assert_int_equal(toml_parse(&arena, bytes_of_text(text), &root, &error), 0);
    assert_int_equal(root.item_count, TOML_TABLE_KEYS_MAX);
    assert_int_equal(toml_find(&root, "k4095")->integer, 4095);
    stpcpy(at, "more=1\n");
    assert_true(toml_parse(&arena, bytes_of_text(text), &root, &error) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),     cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_access),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
