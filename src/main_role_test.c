/* main_role_test.c - the command line of a role: where settings come from, and what is refused. */
#include "main_role.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLE_SETTINGS(S)                                                                         \
    S(U32, node_id, "node_id", "7", NODE, "number of this node")                                   \
    S(DURATION, grace_ns, "stop.grace", "5s", HOT, "how long a stop waits")
SETTINGS_STRUCT(sample_settings, SAMPLE_SETTINGS)
#define SETTING_STRUCT_NAME sample_settings
static SETTINGS_TABLE(sample_table, SAMPLE_SETTINGS)

    static int sample_run(struct node *node, void *settings)
{
    return 0;
}

static int sample_check(const void *settings, struct arena *arena, const char **ret_error)
{
    const struct sample_settings *s = settings;
    if (s->node_id != 13) return 0;
    *ret_error = arena_printf(arena, "key 'node_id': 13 brings bad luck");
    return -ERR_CONFIG_INVALID_VALUE;
}

static const struct role sample = { .name = "sample",
                                    .program = "sample_main",
                                    .help = "for this test",
                                    .settings = sample_table,
                                    .settings_size = sizeof(struct sample_settings),
                                    .run = sample_run,
                                    .check = sample_check };

struct line {
    const char *arguments[7];
    const char *variable; /* of the environment; may be NULL */
    int result;
    const char *error; /* what it must contain */
};

static int parse(const struct line *line, struct arena *arena, struct role_start *ret,
                 const char **ret_error)
{
    const char *environment[2] = { line->variable };
    char *argv[8] = { arena_printf(arena, "sample") };
    int argc = 1;
    while (argc < 7 && line->arguments[argc - 1]) {
        argv[argc] = arena_printf(arena, "%s", line->arguments[argc - 1]);
        argc++;
    }
    return role_start_parse(&sample, argc, argv, environment, arena, ret, ret_error);
}

static void test_refused(void **state)
{
    static const struct line lines[] = {
        { { "--chekc" },
          NULL,
          ERR_WRONG_USAGE,
          "unknown option '--chekc'; did you mean '--check'?" },
        { { "--verbose=3" }, NULL, ERR_WRONG_USAGE, "unknown option '--verbose'" },
        { { "extra" }, NULL, ERR_WRONG_USAGE, "unknown option 'extra'" },
        { { "-cfg" }, NULL, ERR_WRONG_USAGE, "--cfg needs a file" },
        { { "--cfg=a", "-cfg", "b" }, NULL, ERR_WRONG_USAGE, "--cfg is given twice" },
        { { "--launcher_cfg=" }, NULL, ERR_WRONG_USAGE, "--launcher_cfg needs a file" },
        { { "--config.node_id" }, NULL, ERR_WRONG_USAGE, "the last --config.KEY has no value" },
        { { "--config.node_ids=1" },
          NULL,
          ERR_CONFIG_REDUNDANT_KEY,
          "unknown key 'node_ids'; did you mean 'node_id'?" },
        { { "--config.node_id=x" }, NULL, ERR_CONFIG_INVALID_TYPE, "key 'node_id': 'x' is not" },
        { { NULL }, "C3FS_NODE_ID=x", ERR_CONFIG_INVALID_TYPE, "variable C3FS_NODE_ID" },
        { { "--config.log.level=loud" }, NULL, ERR_CONFIG_INVALID_VALUE, "'loud' is not debug" },
        { { "--config.log.level=inf" }, NULL, ERR_CONFIG_INVALID_VALUE, "nearest: info" },
        { { "--config.loop.backend=uringg" }, NULL, ERR_CONFIG_INVALID_VALUE, "nearest: uring" },
        { { "--config.node_id=13" }, NULL, ERR_CONFIG_INVALID_VALUE, "13 brings bad luck" },
        { { "--cfg", "/nowhere/x.toml" },
          NULL,
          ERR_SYSTEM_BASE + 2,
          "/nowhere/x.toml: No such file or directory" },
        { { "--cfg=/" }, NULL, ERR_SYSTEM_BASE + 21, "/: Is a directory" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        struct role_start start;
        const char *error = NULL;
        assert_int_equal(parse(&lines[i], &arena, &start, &error), -lines[i].result);
        assert_non_null(error);
        if (!strstr(error, lines[i].error)) fail_msg("'%s' lacks '%s'", error, lines[i].error);
        assert_null(strchr(error, '\n'));
    }
}

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_sources(void **state)
{
    char path[] = "/tmp/c3fs-role-XXXXXX";
    write_file(path, "node_id = 9\n[log]\nlevel = \"warn\"\n[stop]\ngrace = \"1s\"\n");
    const struct line lines[] = {
        { { NULL }, NULL, 7, "info" },
        { { NULL }, "C3FS_NODE_ID=8", 8, "info" },
        { { "--cfg", path }, "C3FS_NODE_ID=8", 9, "warn" },
        { { "-cfg", path, "--config.node_id", "10" }, "C3FS_NODE_ID=8", 10, "warn" },
        { { "--config.log.level=debug", "--config.node_id=1", "--config.node_id=2" },
          NULL,
          2,
          "debug" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        struct role_start start;
        const char *error = NULL;
        assert_int_equal(parse(&lines[i], &arena, &start, &error), 0);
        const struct sample_settings *settings = start.settings;
        assert_int_equal(settings->node_id, lines[i].result);
        assert_string_equal(start.common.log_level, lines[i].error);
    }
    unlink(path);
}

/* The reference's three files of a service. */
static void test_files(void **state)
{
    char app[] = "/tmp/c3fs-role-XXXXXX", launcher[] = "/tmp/c3fs-role-XXXXXX";
    char cfg[] = "/tmp/c3fs-role-XXXXXX";
    write_file(app, "allow_empty_node_id = true\nnode_id = 1001\n");
    write_file(launcher, "allow_dev_version = true\nlog.level = 'warn'\n[fdb]\nreadonly = false\n");
    write_file(cfg, "node_id = 1001\n[stop]\ngrace = \"1s\"\n[common.memory]\nprof = 1\n");
    const struct line line = {
        { "-app_cfg", app, "--launcher-cfg", launcher, "--cfg", cfg }, NULL, 0, NULL
    };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct role_start start;
    const char *error = "";
    assert_int_equal(parse(&line, &arena, &start, &error), 0);
    assert_int_equal(((const struct sample_settings *)start.settings)->node_id, 1001);
    assert_string_equal(start.common.log_level, "warn");
    assert_string_equal(start.files.template, "stop.grace = \"1s\"\n");
    assert_int_equal(start.files.notes.count, 3);
    assert_string_equal(start.files.notes.items[1],
                        arena_printf(&arena,
                                     "%s: keys of 3FS that mean nothing here are ignored: "
                                     "allow_dev_version, fdb.*",
                                     launcher));

    const struct line flags = { { "--app_config.node_id=5", "--launcher_config.fdb.readonly",
                                  "true", "--app_config.allow_empty_node_id=true" },
                                NULL,
                                0,
                                NULL };
    assert_int_equal(parse(&flags, &arena, &start, &error), 0);
    assert_int_equal(((const struct sample_settings *)start.settings)->node_id, 5);
    assert_int_equal(start.files.notes.count, 2);

    unlink(cfg);
    memcpy(cfg, "/tmp/c3fs-role-XXXXXX", sizeof cfg);
    write_file(cfg, "log.level = 'warn'\nnode_id = 1002\n");
    assert_int_equal(parse(&line, &arena, &start, &error), -ERR_CONFIG_INVALID_VALUE);
    assert_string_equal(error, arena_printf(&arena,
                                            "%s: line 2, column 1: key 'node_id' is 1002 here and "
                                            "1001 in %s, line 2",
                                            cfg, app));
    unlink(app);
    unlink(launcher);
    unlink(cfg);
}

/* Options that 3FS's units give. */
static void test_reference_options(void **state)
{
    const struct line lines[] = {
        { { "--use_local_cfg", "--cfg_persist_prefix=/x/y", "-dump-cfg" }, NULL, 0, "111000" },
        { { "-use-local-cfg=true", "--cfg-persist-prefix", "/x/y" }, NULL, 0, "110000" },
        { { "--use_local_cfg=false", "--config.node_id=9" }, NULL, 0, "000000" },
        { { "--dump_default_cfg", "--config.node_id=9" }, NULL, 0, "000100" },
        { { "--dump_default_app_cfg" }, NULL, 0, "000100" },
        { { "--dump-default-launcher-cfg" }, NULL, 0, "000100" },
        { { "--release_version" }, NULL, 0, "000010" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        struct role_start start;
        const char *error = "";
        assert_int_equal(parse(&lines[i], &arena, &start, &error), 0);
        const char *prefix = start.persist_prefix;
        char got[8];
        snprintf(got, sizeof got, "%d%d%d%d%d0", start.is_local, prefix != NULL, start.print_only,
                 start.defaults_only, start.version_only);
        assert_string_equal(got, lines[i].error);
        if (prefix) assert_string_equal(prefix, "/x/y");
        assert_non_null(strstr(start.defaults, "\nnode_id = 7\n"));
    }
    static const struct line bad[] = {
        { { "--use_local_cfg=perhaps" }, NULL, ERR_WRONG_USAGE, "is true or false, not 'perhaps'" },
        { { "--cfg_persist_prefix" }, NULL, ERR_WRONG_USAGE, "needs the beginning of a file" },
        { { "--dump_default" }, NULL, ERR_WRONG_USAGE, "unknown option '--dump_default'" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        struct role_start start;
        const char *error = "";
        assert_int_equal(parse(&bad[i], &arena, &start, &error), -bad[i].result);
        if (!strstr(error, bad[i].error)) fail_msg("'%s' lacks '%s'", error, bad[i].error);
    }
}

/* A pushed configuration is refused by who uses a local one; what is given by hand is taken, and
 * written down. */
static void test_local(void **state)
{
    char dir[] = "/tmp/c3fs-role-XXXXXX";
    assert_non_null(mkdtemp(dir));
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    const struct line line = { { "--use_local_cfg", "--cfg_persist_prefix",
                                 arena_printf(&arena, "%s/p", dir) },
                               NULL,
                               0,
                               NULL };
    struct role_start start;
    const char *error = "";
    cleanup_(loop_freep) struct loop *loop = NULL;
    assert_int_equal(parse(&line, &arena, &start, &error), 0);
    assert_int_equal(loop_new(LOOP_POSIX, &loop, &error), 0);
    cleanup_(node_freep) struct node *node = role_node_new(&start, loop);
    struct bytes toml = BYTES_LITERAL("log.level = 'error'");
    assert_int_equal(node->take_config(node->config_arg, node, toml, CONFIG_PUSHED, &arena, &error),
                     -ERR_CANNOT_PUSH_CONFIG);
    assert_int_equal(
        node->take_config(node->config_arg, node, toml, CONFIG_BY_HAND, &arena, &error), 0);
    glob_t found;
    assert_int_equal(
        glob(arena_printf(&arena, "%s/p_????????_??????_??????", dir), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    char text[8192] = "";
    FILE *in = fopen(found.gl_pathv[0], "r");
    assert_non_null(in);
    assert_true(fread(text, 1, sizeof text - 1, in) > 0);
    fclose(in);
    assert_non_null(strstr(text, "level = \"error\""));
    assert_int_equal(unlink(found.gl_pathv[0]), 0);
    globfree(&found);
    assert_int_equal(rmdir(dir), 0);
}

static void test_modes(void **state)
{
    const struct line line = { { "--check", "--print-config", "-h" }, NULL, 0, NULL };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct role_start start;
    const char *error;
    assert_int_equal(parse(&line, &arena, &start, &error), 0);
    assert_true(start.check_only && start.print_only && start.help_only);
    assert_non_null(strstr(start.config, "node_id = 7\n"));
    assert_non_null(
        strstr(start.config, "[log]\n# debug, info, warn or error\nlevel = \"info\"\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_sources),
        cmocka_unit_test(test_files),   cmocka_unit_test(test_reference_options),
        cmocka_unit_test(test_local),   cmocka_unit_test(test_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
