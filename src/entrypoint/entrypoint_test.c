/* entrypoint_test.c - the file that each service gets, and what is refused. */
#include "entrypoint/entrypoint.h"

#include "base/check.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { VARIABLE_COUNT_MAX = 12 };

static const char head[] = "# rendered from the variables of the container; changes are lost\n";

static void test_rendered(void **state)
{
    static const struct {
        const char *service, *environment[VARIABLE_COUNT_MAX];
        const char *file, *text;
    } cases[] = {
        { "mgmtd",
          { "MGMTD_NODE_ID=1", "TARGET_PATHS=/x", NULL },
          "mgmtd_main.toml",
          "cluster_id = \"default\"\nlog.level = \"info\"\nnode_id = 1\n"
          "listen = \"TCP://0.0.0.0:8000\"\nadvertise = \"TCP://10.1.2.3:8000\"\n"
          "kv_path = \"/var/lib/3fs/kv\"\n" },
        { "meta",
          { "META_NODE_ID=101", "MGMTD_SERVER_ADDRESSES=RDMA://a:8000, TCP://b:8000,",
            "CLUSTER_ID=stage", "PORT=7001", "ADVERTISE=[fd00::1]", "LISTEN=10.0.0.9",
            "KV_PATH=/kv", "LOG_LEVEL=ERR", NULL },
          "meta_main.toml",
          "cluster_id = \"stage\"\nlog.level = \"error\"\nnode_id = 101\n"
          "listen = \"TCP://10.0.0.9:7001\"\nadvertise = \"TCP://[fd00::1]:7001\"\n"
          "mgmtd_server_addresses = [\"RDMA://a:8000\", \"TCP://b:8000\"]\nkv_path = \"/kv\"\n"
          "upload_template = true\n" },
        { "storage",
          { "STORAGE_NODE_ID=1001", "MGMTD_SERVER_ADDRESSES=TCP://b:8000",
            "TARGET_PATHS=/3fs/data,/3fs/b", "CLUSTER_KEY=k1:00", NULL },
          "storage_main.toml",
          "cluster_id = \"default\"\nlog.level = \"info\"\nnode_id = 1001\n"
          "listen = \"TCP://0.0.0.0:8000\"\nadvertise = [\"TCP://10.1.2.3:8000\"]\n"
          "mgmtd_server_addresses = [\"TCP://b:8000\"]\n"
          "target_paths = [\"/3fs/data\", \"/3fs/b\"]\nupload_template = true\n" },
        { "fuse",
          { "MGMTD_SERVER_ADDRESSES=TCP://b:8000", "TOKEN=secret", NULL },
          "hf3fs_fuse_main.toml",
          "cluster_id = \"default\"\nlog.level = \"info\"\n"
          "mgmtd_server_addresses = [\"TCP://b:8000\"]\nmountpoint = \"/mnt/3fs\"\n"
          "upload_template = true\n" },
        { "admin_cli",
          { "MGMTD_SERVER_ADDRESSES=TCP://b:8000", "KV_PATH=/kv", NULL },
          "admin_cli.toml",
          "cluster_id = \"default\"\nmgmtd_server_addresses = [\"TCP://b:8000\"]\n"
          "token_file = \"/opt/3fs/etc/token.txt\"\nkv_path = \"/kv\"\n" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct entry_plan plan;
        const char *error = NULL;
        int r = entry_plan_make(cases[i].service, cases[i].environment, "10.1.2.3", &arena, &plan,
                                &error);
        if (r < 0) fail_msg("case %zu: %s", i, error);
        assert_string_equal(plan.file, cases[i].file);
        assert_string_equal(plan.text, arena_printf(&arena, "%s%s", head, cases[i].text));
        assert_null(strstr(plan.text, "secret"));
        assert_null(strstr(plan.text, "k1:"));
    }
}

static void test_secrets_and_notes(void **state)
{
    static const char *const environment[] = { "MGMTD_SERVER_ADDRESSES=TCP://b:8000",
                                               "STORAGE_NODE_ID=1001",
                                               "TARGET_PATHS=/d",
                                               "KV_PATH=/kv",
                                               "DEVICE_FILTER=mlx5_0",
                                               "REMOTE_IP=10.0.0.1:10000",
                                               NULL };
    cleanup_arena_ struct arena arena = { 0 };
    struct entry_plan plan;
    const char *error = NULL;
    assert_int_equal(entry_plan_make("storage", environment, "", &arena, &plan, &error), 0);
    assert_string_equal(plan.kv_path, "/kv");
    assert_null(plan.cluster_key);
    assert_null(strstr(plan.text, "advertise"));
    assert_non_null(strstr(plan.notes[0], "DEVICE_FILTER"));
    assert_non_null(strstr(plan.notes[1], "REMOTE_IP"));
    assert_null(plan.notes[2]);
}

static void test_refused(void **state)
{
    static const struct {
        const char *service, *environment[VARIABLE_COUNT_MAX], *error;
    } cases[] = {
        { "storrage", { NULL }, "did you mean 'storage'" },
        { "monitor", { NULL }, "no monitor" },
        { "mgmtd", { NULL }, "MGMTD_NODE_ID is missing" },
        { "mgmtd", { "MGMTD_NODE_ID=", NULL }, "MGMTD_NODE_ID is missing" },
        { "mgmtd", { "MGMTD_NODE_ID=0", NULL }, "MGMTD_NODE_ID: '0' is no number from 1" },
        { "mgmtd", { "MGMTD_NODE_ID=1x", NULL }, "MGMTD_NODE_ID: '1x'" },
        { "mgmtd", { "MGMTD_NODE_ID=1", "PORT=99999", NULL }, "PORT: '99999'" },
        { "mgmtd", { "MGMTD_NODE_ID=1", "CORE_PORT=no", NULL }, "CORE_PORT: 'no'" },
        { "mgmtd", { "MGMTD_NODE_ID=1", "LOG_LEVEL=loud", NULL }, "LOG_LEVEL: 'loud'" },
        { "mgmtd", { "MGMTD_NODE_ID=1", "ADVERTISE=a b", NULL }, "ADVERTISE: 'a b'" },
        { "mgmtd", { "MGMTD_NODE_ID=1", "FDB_CLUSTER=a:b@c:1", NULL }, "set KV_PATH" },
        { "meta", { "META_NODE_ID=101", NULL }, "MGMTD_SERVER_ADDRESSES is missing" },
        { "meta",
          { "META_NODE_ID=101", "MGMTD_SERVER_ADDRESSES=b:8000", NULL },
          "'b:8000' is no address" },
        { "meta", { "META_NODE_ID=101", "MGMTD_SERVER_ADDRESSES=,", NULL }, "names no address" },
        { "fuse", { "MGMTD_SERVER_ADDRESSES=TCP://b:1", NULL }, "TOKEN is missing" },
        { "fuse",
          { "MGMTD_SERVER_ADDRESSES=TCP://b:1", "TOKEN=t", "MOUNTPOINT=mnt", NULL },
          "MOUNTPOINT: 'mnt'" },
        { "storage",
          { "MGMTD_SERVER_ADDRESSES=TCP://b:1", "STORAGE_NODE_ID=1001", NULL },
          "TARGET_PATHS is missing" },
        { "storage",
          { "MGMTD_SERVER_ADDRESSES=TCP://b:1", "STORAGE_NODE_ID=1001", "TARGET_PATHS=d", NULL },
          "'d' is no absolute path" },
        { "storage",
          { "MGMTD_SERVER_ADDRESSES=TCP://b:1", "STORAGE_NODE_ID=1001", "TARGET_PATHS=/d,/d",
            NULL },
          "'/d' is there twice" },
        { "storage",
          { "MGMTD_SERVER_ADDRESSES=TCP://b:1", "STORAGE_NODE_ID=1001", "TARGET_PATHS=/d", NULL },
          "CLUSTER_KEY is missing" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct entry_plan plan;
        const char *error = "";
        assert_int_equal(entry_plan_make(cases[i].service, cases[i].environment, "10.1.2.3", &arena,
                                         &plan, &error),
                         -ERR_WRONG_USAGE);
        if (!strstr(error, cases[i].error)) fail_msg("case %zu: %s", i, error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rendered),
        cmocka_unit_test(test_secrets_and_notes),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
