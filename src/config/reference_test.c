/* reference_test.c - the files that 3FS ships, in short, and what becomes of each of their keys. */
#include "config/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SAMPLE_SETTINGS(S)                                                                         \
    S(U32, node_id, "node_id", "7", NODE, "number of this node")                                   \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name")                                     \
    S(TEXT, listen, "listen", "TCP://0.0.0.0:8000", NODE, "address")                               \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "managers")                            \
    S(TEXT_LIST, target_paths, "target_paths", "", NODE, "disks")                                  \
    S(TEXT, log_level, "log.level", "info", HOT, "level")                                          \
    S(DURATION, grace_ns, "stop.grace", "5s", HOT, "how long a stop waits")
SETTINGS_STRUCT(sample_settings, SAMPLE_SETTINGS)
#define SETTING_STRUCT_NAME sample_settings
static SETTINGS_TABLE(sample_table, SAMPLE_SETTINGS)

    struct translated {
    struct arena arena;
    struct sample_settings settings;
    struct setting_text_list ignored;
    const char *error;
    char *template;
};

static int translate(const char *text, struct translated *t)
{
    struct toml_value root, flat, ours;
    arena_init(&t->arena);
    t->error = "";
    settings_init(sample_table, &t->settings, &t->arena);
    assert_int_equal(toml_parse(&t->arena, bytes_of_text(text), &root, &t->error), 0);
    int r = settings_flatten(sample_table, &t->arena, &root, &flat, &t->error);
    if (r >= 0)
        r = reference_translate(sample_table, &t->arena, &flat, &ours, &t->ignored, &t->error);
    if (r >= 0) r = settings_load(sample_table, &t->settings, &t->arena, &ours, &t->error);
    if (r >= 0) t->template = settings_template(sample_table, &ours, &t->arena);
    return r;
}

static void test_files(void **state)
{
    struct translated t = { 0 };
    assert_int_equal(translate("allow_empty_node_id = true\nnode_id = 1001\n", &t), 0);
    assert_int_equal(t.settings.node_id, 1001);
    assert_int_equal(t.ignored.count, 1);
    arena_done(&t.arena);

    assert_int_equal(translate("allow_dev_version = true\ncluster_id = 'stage'\n"
                               "[client]\ndefault_timeout = '1s'\n[client.io_worker]\nnum = 1\n"
                               "[fdb]\nclusterFile = ''\nreadonly = false\n"
                               "[ib_devices]\nallow_no_usable_devices = false\nsubnets = []\n"
                               "[mgmtd_client]\nauto_refresh_interval = '10s'\n"
                               "mgmtd_server_addresses = ['RDMA://10.0.0.1:8000']\n",
                               &t),
                     0);
    assert_string_equal(t.settings.cluster_id, "stage");
    assert_int_equal(t.settings.mgmtd.count, 1);
    assert_string_equal(t.settings.mgmtd.items[0], "RDMA://10.0.0.1:8000");
    assert_int_equal(t.ignored.count, 5); /* each part once */
    assert_string_equal(t.template, "");
    arena_done(&t.arena);

    assert_int_equal(translate("[common.log]\ncategories = []\n"
                               "[[server.base.groups]]\nservices = ['Core']\n"
                               "listener = { listen_port = 9000 }\n"
                               "[[server.base.groups]]\nservices = ['StorageSerde']\n"
                               "[server.base.groups.listener]\nlisten_port = 8300\n"
                               "[server.targets]\ntarget_paths = ['/a', '/b']\n"
                               "allow_disk_without_uuid = false\n[stop]\ngrace = '7s'\n",
                               &t),
                     0);
    assert_string_equal(t.settings.listen, "TCP://0.0.0.0:8300");
    assert_int_equal(t.settings.target_paths.count, 2);
    assert_string_equal(t.template, "stop.grace = \"7s\"\n");
    arena_done(&t.arena);
}

static void test_template(void **state)
{
    /* The same settings in another order and form are the same text; nothing of one node is in it.
     */
    struct translated a = { 0 }, b = { 0 };
    assert_int_equal(translate("node_id = 1\nstop.grace = '5s'\n[log]\nlevel = 'warn'\n", &a), 0);
    assert_int_equal(translate("# x\nlog.level = \"warn\"\ntarget_paths = ['/a','/b','/c']\n"
                               "[stop]\ngrace = \"5s\"\n",
                               &b),
                     0);
    assert_string_equal(a.template, "log.level = \"warn\"\nstop.grace = \"5s\"\n");
    assert_string_equal(a.template, b.template);
    arena_done(&a.arena);
    arena_done(&b.arena);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *error;
    } cases[] = {
        { "node_idd = 1\n", ERR_CONFIG_REDUNDANT_KEY,
          "line 1, column 1: unknown key 'node_idd'; did you mean 'node_id'?" },
        { "[log]\nlevl = 'info'\n", ERR_CONFIG_REDUNDANT_KEY,
          "line 2, column 1: unknown key 'log.levl'; did you mean 'log.level'?" },
        { "[mgmtd_clien]\nmgmtd_server_addresses = []\n", ERR_CONFIG_REDUNDANT_KEY,
          "line 2, column 1: unknown key 'mgmtd_clien.mgmtd_server_addresses'; did you mean "
          "'mgmtd_client.mgmtd_server_addresses'?" },
        { "zzzz = 1\n", ERR_CONFIG_REDUNDANT_KEY, "line 1, column 1: unknown key 'zzzz'" },
        { "[fdb]\nclusterFile = '/etc/foundationdb/fdb.cluster'\n", ERR_CONFIG_INVALID_VALUE,
          "line 2, column 1: key 'fdb.clusterFile': this build has no FoundationDB; leave it empty "
          "and set kv_path" },
        { "use_memkv = true\n", ERR_CONFIG_INVALID_VALUE,
          "line 1, column 1: key 'use_memkv': metadata in memory is lost with the process; leave "
          "it false and set kv_path" },
        { "target_paths = ['/a']\n[server.targets]\ntarget_paths = ['/b']\n",
          ERR_CONFIG_INVALID_VALUE,
          "line 3, column 1: key 'server.targets.target_paths' and the one of line 1 both mean "
          "'target_paths'" },
        { "[mgmtd_client]\nmgmtd_server_addresses = 7\n", ERR_CONFIG_INVALID_TYPE,
          "line 2, column 1: key 'mgmtd_server_addresses' must be a list of texts" },
        { "node_id.x = 1\n", ERR_CONFIG_INVALID_TYPE,
          "line 1, column 1: key 'node_id' must be a whole number below 2^32" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct translated t = { 0 };
        assert_int_equal(translate(cases[i].text, &t), -cases[i].result);
        assert_string_equal(t.error, cases[i].error);
        arena_done(&t.arena);
    }
}

static void test_names(void **state)
{
    assert_string_equal(reference_key(sample_table, "stop.grace"), "stop.grace");
    assert_string_equal(reference_key(sample_table, "mgmtd_client.mgmtd_server_addresses"),
                        "mgmtd_server_addresses");
    assert_string_equal(reference_key(sample_table, "common.log.handlers"), "");
    assert_string_equal(reference_key(sample_table, "server.meta.gc.gc_file_delay"), "");
    assert_null(reference_key(sample_table, "stop.graze"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
