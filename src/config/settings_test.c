/* settings_test.c - a role's settings from every source, and the messages for what is wrong. */
#include "config/settings.h"

#include "base/units.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SAMPLE_SETTINGS(S)                                                                         \
    S(U32, node_id, "node_id", "0", NODE, "number of this node")                                   \
    S(TEXT_LIST, paths, "storage.paths", "", NODE, "where the data is")                            \
    S(BOOL, is_readonly, "storage.readonly", "false", HOT, "refuse writes")                        \
    S(DURATION, grace_ns, "stop.grace", "5s", HOT, "how long a stop waits")                        \
    S(SIZE, buffer_bytes, "storage.buffer", "64MB", COLD, "memory for transfers")                  \
    S(DOUBLE, ratio, "storage.ratio", "0.5", HOT, "how full is full")                              \
    S(U64, seed, "seed", "7", COLD, "of hashes")                                                   \
    S(TEXT, cluster_id, "cluster_id", "default", COLD, "name of the cluster")
SETTINGS_STRUCT(sample_settings, SAMPLE_SETTINGS)
#define SETTING_STRUCT_NAME sample_settings
static SETTINGS_TABLE(table, SAMPLE_SETTINGS)

    struct fixture {
    struct arena arena;
    struct sample_settings settings;
    const char *error;
};

static int setup(void **state)
{
    struct fixture *f = new_zero(struct fixture);
    settings_init(table, &f->settings, &f->arena);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_done(&f->arena);
    free(f);
    return 0;
}

static int set(struct fixture *f, const char *key, const char *text)
{
    return settings_set(table, &f->settings, &f->arena, key, text, &f->error);
}

static int load(struct fixture *f, const char *text)
{
    struct toml_value root;
    int r = toml_parse(&f->arena, bytes_of_text(text), &root, &f->error);
    return r < 0 ? r : settings_load(table, &f->settings, &f->arena, &root, &f->error);
}

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->settings.node_id, 0);
    assert_int_equal(f->settings.paths.count, 0);
    assert_false(f->settings.is_readonly);
    assert_true(f->settings.grace_ns == 5 * SEC);
    assert_true(f->settings.buffer_bytes == 64 * MIB);
    assert_true(f->settings.ratio == 0.5);
    assert_true(f->settings.seed == 7);
    assert_string_equal(f->settings.cluster_id, "default");
}

static void test_set(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(set(f, "node_id", "4294967295"), 0);
    assert_int_equal(f->settings.node_id, UINT32_MAX);
    assert_int_equal(set(f, "storage.paths", " /a b , /c,,/d"), 0);
    assert_int_equal(f->settings.paths.count, 3);
    assert_string_equal(f->settings.paths.items[0], "/a b");
    assert_string_equal(f->settings.paths.items[2], "/d");
    assert_int_equal(set(f, "storage.paths", "[\"/x,y\", '/z']"), 0);
    assert_int_equal(f->settings.paths.count, 2);
    assert_string_equal(f->settings.paths.items[0], "/x,y");
    assert_int_equal(set(f, "storage.readonly", "true"), 0);
    assert_true(f->settings.is_readonly);
    assert_int_equal(set(f, "stop.grace", "1min 30s"), 0);
    assert_true(f->settings.grace_ns == 90 * SEC);
    assert_int_equal(set(f, "cluster_id", "\"quoted\""), 0);
    assert_string_equal(f->settings.cluster_id, "quoted");
    assert_int_equal(set(f, "cluster_id", "\"half"), 0);
    assert_string_equal(f->settings.cluster_id, "\"half");
    assert_int_equal(set(f, "cluster_id", "'a' # b"), 0);
    assert_string_equal(f->settings.cluster_id, "a");
    assert_int_equal(set(f, "cluster_id", ""), 0);
    assert_string_equal(f->settings.cluster_id, "");
    assert_int_equal(set(f, "storage.ratio", "1e-2"), 0);
    assert_true(f->settings.ratio == 0.01);
}

static void test_set_refused(void **state)
{
    static const struct {
        const char *key, *text;
        int error;
        const char *message;
    } cases[] = {
        { "node_id", "x", ERR_CONFIG_INVALID_TYPE,
          "key 'node_id': 'x' is not a whole number below 2^32" },
        { "node_id", "4294967296", ERR_CONFIG_INVALID_VALUE, NULL },
        { "node_id", "-1", ERR_CONFIG_INVALID_TYPE, NULL },
        { "node_id", "", ERR_CONFIG_INVALID_TYPE, NULL },
        { "node_id", "1 ", ERR_CONFIG_INVALID_TYPE, NULL },
        { "seed", "9223372036854775808", ERR_CONFIG_INVALID_VALUE, NULL },
        { "storage.readonly", "yes", ERR_CONFIG_INVALID_TYPE,
          "key 'storage.readonly': 'yes' is not true or false" },
        { "stop.grace", "5", ERR_CONFIG_INVALID_VALUE,
          "key 'stop.grace': '5' is not a time span, as \"5s\"" },
        { "storage.buffer", "many", ERR_CONFIG_INVALID_VALUE, NULL },
        { "storage.ratio", "inf", ERR_CONFIG_INVALID_TYPE, NULL },
        { "storage.ratio", "1e999", ERR_CONFIG_INVALID_VALUE, NULL },
        { "stop.grce", "5s", ERR_CONFIG_REDUNDANT_KEY,
          "unknown key 'stop.grce'; did you mean 'stop.grace'?" },
        { "quite.another", "5s", ERR_CONFIG_REDUNDANT_KEY, "unknown key 'quite.another'" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(set(f, cases[i].key, cases[i].text), -cases[i].error);
        if (cases[i].message) assert_string_equal(f->error, cases[i].message);
    }
    test_defaults(state);
}

static void test_environment(void **state)
{
    struct fixture *f = *state;
    const char *good[] = { "HOME=/",       "C3FS_NODE_ID=9",  "C3FS_STORAGE_READONLY=true",
                           "C3FS_OTHER=1", "C3FS_NODE_IDS=1", NULL };
    assert_int_equal(settings_set_environment(table, &f->settings, &f->arena, good, &f->error), 0);
    assert_int_equal(f->settings.node_id, 9);
    assert_true(f->settings.is_readonly);
    const char *bad[] = { "C3FS_SEED=q", NULL };
    assert_int_equal(settings_set_environment(table, &f->settings, &f->arena, bad, &f->error),
                     -ERR_CONFIG_INVALID_TYPE);
    assert_string_equal(f->error,
                        "variable C3FS_SEED: key 'seed': 'q' is not a whole number below 2^63");
}

static void test_load(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f,
                          "node_id = 1001\ncluster_id = \"stage\"\nstop.grace = \"2s\"\n[storage]\n"
                          "paths = [\"/d1\", \"/d2\"]\nbuffer = 4096\nratio = 1\n[empty]\n"),
                     0);
    assert_int_equal(f->settings.node_id, 1001);
    assert_true(f->settings.grace_ns == 2 * SEC);
    assert_string_equal(f->settings.paths.items[1], "/d2");
    assert_true(f->settings.buffer_bytes == 4096);
    assert_true(f->settings.ratio == 1.0);
    assert_int_equal(load(f, "[storage]\nbuffer = \"1MB\""), 0);
    assert_true(f->settings.buffer_bytes == MIB);
    assert_int_equal(f->settings.node_id, 1001);
}

static void test_load_refused(void **state)
{
    static const struct {
        const char *text;
        int error;
        const char *message;
    } cases[] = {
        { "node_id = 5\n[stop]\n  grce = \"1s\"", ERR_CONFIG_REDUNDANT_KEY,
          "line 3, column 3: unknown key 'stop.grce'; did you mean 'stop.grace'?" },
        { "node_id = \"5\"", ERR_CONFIG_INVALID_TYPE,
          "line 1, column 1: key 'node_id' must be a whole number below 2^32" },
        { "node_id = -5", ERR_CONFIG_INVALID_VALUE, NULL },
        { "node_id = 4294967296", ERR_CONFIG_INVALID_VALUE, NULL },
        { "[node_id]\nx = 1", ERR_CONFIG_INVALID_TYPE, NULL },
        { "[node_id]", ERR_CONFIG_INVALID_TYPE, NULL },
        { "stop = 1", ERR_CONFIG_REDUNDANT_KEY, NULL },
        { "[nothing.at.all]\nx = 1", ERR_CONFIG_REDUNDANT_KEY,
          "line 2, column 1: unknown key 'nothing.at.all.x'" },
        { "[storage]\npaths = \"/d\"", ERR_CONFIG_INVALID_TYPE, NULL },
        { "[storage]\npaths = [1]", ERR_CONFIG_INVALID_TYPE, NULL },
        { "cluster_id = \"a\\u0000b\"", ERR_CONFIG_INVALID_VALUE, NULL },
        { "\"node_id\\u0000\" = 1", ERR_CONFIG_REDUNDANT_KEY, NULL },
        { "stop.grace = 5", ERR_CONFIG_INVALID_TYPE, NULL },
        { "storage.ratio = nan", ERR_CONFIG_INVALID_VALUE, NULL },
        { "node_id = 1\nnode_id = 2", ERR_CONFIG_PARSE_ERROR, NULL },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        f->error = NULL;
        assert_int_equal(load(f, cases[i].text), -cases[i].error);
        assert_non_null(f->error);
        if (cases[i].message) assert_string_equal(f->error, cases[i].message);
    }
    test_defaults(state); /* nothing of them was taken over */
}

static int update(struct fixture *f, const char *text)
{
    struct toml_value root;
    assert_int_equal(toml_parse(&f->arena, bytes_of_text(text), &root, &f->error), 0);
    return settings_update(table, &f->settings, &f->arena, &root, &f->error);
}

static void test_update(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(update(f, "stop.grace = \"9s\"\nnode_id = 0\nstorage.paths = []"), 0);
    assert_true(f->settings.grace_ns == 9 * SEC);
    assert_int_equal(update(f, "stop.grace = \"1s\"\nseed = 8"), -ERR_CONFIG_UPDATE_FAILED);
    assert_string_equal(f->error, "line 2, column 1: key 'seed' cannot change while running");
    assert_true(f->settings.grace_ns == 9 * SEC);
    assert_int_equal(update(f, "storage.paths = [\"/new\"]"), -ERR_CONFIG_UPDATE_FAILED);
}

static void test_template(void **state)
{
    struct fixture *f = *state;
    struct toml_value root;
    assert_int_equal(toml_parse(&f->arena, bytes_of_text("seed = 8"), &root, &f->error), 0);
    assert_int_equal(settings_check_template(table, &f->arena, &root, &f->error), 0);
    assert_int_equal(toml_parse(&f->arena, bytes_of_text("node_id = 8"), &root, &f->error), 0);
    assert_int_equal(settings_check_template(table, &f->arena, &root, &f->error),
                     -ERR_CONFIG_UPDATE_FAILED);
}

/* What is printed is read again as the same. */
static void test_print(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(set(f, "storage.paths", "/a,/b \"q\""), 0);
    assert_int_equal(set(f, "stop.grace", "1min 1s"), 0);
    const char *text = settings_to_toml(table, &f->settings, &f->arena);
    assert_non_null(strstr(text, "# how full is full\nratio = 0.5\n"));
    assert_non_null(strstr(text, "\n[storage]\n"));
    settings_init(table, &f->settings, &f->arena);
    assert_int_equal(load(f, text), 0);
    assert_string_equal(settings_to_toml(table, &f->settings, &f->arena), text);
    assert_string_equal(f->settings.paths.items[1], "/b \"q\"");
    const char *rows = settings_to_markdown(table, &f->arena);
    assert_non_null(strstr(rows, "| `stop.grace` | a time span, as \"5s\" | `5s` | at once | "));
}

static void test_nearest(void **state)
{
    static const char *const names[] = { "list-nodes", "list-clients", "stat", "mkdir", "rm" };
    static const struct {
        const char *name, *nearest;
    } cases[] = {
        { "list-node", "list-nodes" },
        { "lsit-nodes", "list-nodes" },
        { "statt", "stat" },
        { "tsat", "stat" },
        { "mkdri", "mkdir" },
        { "m", "rm" },
        { "quite-other", NULL },
        { "", NULL },
        { "rn", "rm" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *near = nearest_name(cases[i].name, names, ARRAY_SIZE(names));
        if (!cases[i].nearest) {
            assert_null(near);
        } else {
            assert_non_null(near);
            assert_string_equal(near, cases[i].nearest);
        }
    }
    assert_null(nearest_name("x", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_template, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print, setup, teardown),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
