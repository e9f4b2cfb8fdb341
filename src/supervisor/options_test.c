/* options_test.c - flags of up over what the first up was told; ports, mounts, files and the plan.
 */
#include "supervisor/options.h"

#include "base/check.h"
#include "loop/mount_table.h"
#include "supervisor/files.h"
#include "supervisor/plan.h"
#include "supervisor/process.h"
#include "supervisor/state.h"
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct arena arena;
    char dir[64];
    const char *error;
};

static int setup(void **state)
{
    struct fixture *f = new_zero(struct fixture);
    snprintf(f->dir, sizeof f->dir, "/tmp/c3fs-options-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(system(arena_printf(&f->arena, "rm -rf '%s'", f->dir)), 0);
    arena_done(&f->arena);
    free(f);
    return 0;
}

/* "up --dir DIR" and the words of @line. */
static int parse(struct fixture *f, const char *line, struct cluster_options *ret)
{
    char *argv[16] = { arena_printf(&f->arena, "up"), arena_printf(&f->arena, "--dir"), f->dir };
    char *words = arena_printf(&f->arena, "%s", line), *save = NULL;
    int argc = 3;
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    f->error = NULL;
    return cluster_options_parse(argc, argv, &f->arena, ret, &f->error);
}

static void test_flags(void **state)
{
    struct fixture *f = *state;
    struct cluster_options options;
    assert_int_equal(parse(f, "", &options), 0);
    assert_true(options.is_new);
    assert_string_equal(options.dir, f->dir);
    assert_int_equal(options.settings.storage_count, 5);
    assert_int_equal(options.settings.replica_count, 3);
    assert_true(options.settings.one_process);
    assert_int_equal(
        parse(f,
              "--storages 7 --replicas=2 --one-process=false --mount /m/ --port-base 19000 "
              "--chunk-size 4MB --json",
              &options),
        0);
    assert_int_equal(options.settings.storage_count, 7);
    assert_int_equal(options.settings.replica_count, 2);
    assert_int_equal(options.settings.port_base, 19000);
    assert_int_equal(options.settings.chunk_bytes, 4 << 20);
    assert_true(!options.settings.one_process && options.json);
    assert_string_equal(options.settings.mount, "/m");
    assert_int_equal(parse(f, "--no-mount=false", &options), 0);
    assert_false(options.settings.no_mount);
}

static void test_refused(void **state)
{
    static const struct {
        const char *line;
        int result;
        const char *error;
    } cases[] = {
        { "--storags 7", ERR_WRONG_USAGE,
          "unknown option '--storags'; did you mean '--storages'?" },
        { "--quux", ERR_WRONG_USAGE, "unknown option '--quux'" },
        { "extra", ERR_WRONG_USAGE, "unknown option 'extra'" },
        { "--storages", ERR_WRONG_USAGE, "option '--storages' needs a value" },
        { "--json=1", ERR_WRONG_USAGE, "option '--json' takes no value" },
        { "--storages many", ERR_CONFIG_INVALID_TYPE,
          "option '--storages': 'many' is not a whole" },
        { "--storages 0", ERR_CONFIG_INVALID_VALUE, "'--storages' must be from 1 to 64" },
        { "--storages 2", ERR_CONFIG_INVALID_VALUE,
          "3 replicas need as many storages; there are 2" },
        { "--mgmtds 8", ERR_CONFIG_INVALID_VALUE, "'--mgmtds' must be from 1 to 7" },
        { "--listen 0.0.0.0", ERR_CONFIG_INVALID_VALUE, "'--advertise' is missing" },
        { "--listen a/b", ERR_CONFIG_INVALID_VALUE, "'--listen': 'a/b' is no host" },
        { "--listen=", ERR_CONFIG_INVALID_VALUE, "'--listen': '' is no host" },
        { "--advertise a:b:c", ERR_CONFIG_INVALID_VALUE, "'--advertise': 'a:b:c' is no host" },
        { "--port-base 80", ERR_CONFIG_INVALID_VALUE, "'--port-base' must be from 1024 to" },
        { "--chunk-size 3MB", ERR_CONFIG_INVALID_VALUE, "power of two" },
        { "--one-process=yes", ERR_CONFIG_INVALID_TYPE, "is not true or false" },
        { "--timeout 0s", ERR_CONFIG_INVALID_VALUE, "must be at least 1s" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cluster_options options;
        assert_int_equal(parse(f, cases[i].line, &options), -cases[i].result);
        if (!strstr(f->error, cases[i].error))
            fail_msg("'%s' lacks '%s'", f->error, cases[i].error);
    }
}

static void test_saved(void **state)
{
    struct fixture *f = *state;
    struct cluster_options options;
    assert_int_equal(parse(f, "--storages 4 --port-base 19000 --no-mount", &options), 0);
    assert_int_equal(cluster_options_save(&options, &f->arena, &f->error), 0);
    assert_int_equal(parse(f, "--port-base 20000 --storages 4", &options), 0);
    assert_false(options.is_new);
    assert_int_equal(options.settings.storage_count, 4);
    assert_int_equal(options.settings.port_base, 20000);
    assert_false(options.settings.no_mount); /* of one up only */
    assert_int_equal(parse(f, "--storages 5", &options), -ERR_CONFIG_UPDATE_FAILED);
    assert_non_null(strstr(f->error, "option '--storages': the cluster in "));
    const char *path = arena_printf(&f->arena, "%s/cluster.toml", f->dir);
    assert_int_equal(text_write(path, "storages = 4\nstorage = 5\n", 0644, &f->arena, &f->error),
                     0);
    assert_int_equal(parse(f, "", &options), -ERR_CONFIG_REDUNDANT_KEY);
    assert_non_null(strstr(f->error, "cluster.toml: line 2, column 1: unknown key 'storage'"));
}

static void test_ports(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    uint16_t base = port_block_find(21000, 10, "127.0.0.1");
    assert_true(base >= 21000 && base % 100 == 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_port = htons((uint16_t)(base + 9));
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(port_block_find(base, 9, "127.0.0.1"), base);
    assert_true(port_block_find(base, 10, "127.0.0.1") > base);
    close(fd);
    assert_int_equal(port_block_find(65500, 10, "127.0.0.1"), 0);
}

static void test_mounts(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(mount_type("/proc", &f->arena), "proc");
    assert_null(mount_type(f->dir, &f->arena));
    assert_false(mount_is_ours("/proc"));
    assert_true(mount_clear(f->dir));
}

static void test_files(void **state)
{
    struct fixture *f = *state;
    const char *deep = arena_printf(&f->arena, "%s/a/b/c", f->dir);
    const char *path = arena_printf(&f->arena, "%s/x", deep);
    struct bytes text;
    struct stat st;
    assert_int_equal(directory_make(deep, &f->arena, &f->error), 0);
    assert_int_equal(directory_make(deep, &f->arena, &f->error), 0);
    assert_true(mount_point_is_empty(deep));
    assert_false(mount_point_is_empty(arena_printf(&f->arena, "%s/a/b", f->dir)));
    assert_int_equal(text_write(path, "one", 0600, &f->arena, &f->error), 0);
    assert_int_equal(text_write(path, "two\n", 0600, &f->arena, &f->error), 0);
    assert_int_equal(text_read(path, &f->arena, &text, &f->error), 0);
    assert_true(bytes_equal_text(text, "two\n"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(directory_make(arena_printf(&f->arena, "%s/y", path), &f->arena, &f->error) < 0);
    assert_non_null(strstr(f->error, "Not a directory"));
    assert_true(text_read(deep, &f->arena, &text, &f->error) < 0);
}

static const struct child_plan *find(const struct plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->children[i].name, name) == 0) return &plan->children[i];
    }
    fail_msg("the plan has no %s", name);
    abort();
}

/* Every file of etc/ is valid TOML with the cluster's addresses. */
static void test_plan(void **state)
{
    static const char *const names[] = { "mgmtd-1",      "meta-101", "meta-102", "storage-1001",
                                         "storage-1003", "fuse",     "bootstrap" };
    struct fixture *f = *state;
    struct cluster_options options;
    struct plan *plan = arena_new(&f->arena, struct plan);
    assert_int_equal(
        parse(f, "--storages 3 --mount /m --port-base 21000 --one-process=false", &options), 0);
    assert_int_equal(plan_make(&options, "/bin/c3fs", 22000, &f->arena, plan, &f->error), 0);
    assert_int_equal(plan->count, 1 + 2 + 3 + 1 + 2);
    assert_int_equal(plan->stage_count, 4);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct bytes text;
        struct toml_value root;
        const char *path = arena_printf(&f->arena, "%s/etc/%s.toml", f->dir, names[i]);
        assert_int_equal(text_read(path, &f->arena, &text, &f->error), 0);
        assert_int_equal(toml_parse(&f->arena, text, &root, &f->error), 0);
        const struct toml_value *mgmtd = toml_find(&root, "mgmtd_server_addresses");
        const struct toml_value *address = i == 0  ? toml_find(&root, "advertise")
                                           : mgmtd ? &mgmtd->items[0].value
                                                   : NULL;
        check(address && address->kind == TOML_STRING);
        assert_true(bytes_equal_text(address->text, "TCP://127.0.0.1:22000"));
        const struct child_plan *child = find(plan, names[i]);
        assert_string_equal(child->argv[0], "/bin/c3fs");
        assert_int_equal(strncmp(child->environment[0], "C3FS_CLUSTER_KEY=k1:", 20), 0);
        assert_int_equal(strlen(child->environment[0]), 20 + 64);
    }
    assert_string_equal(find(plan, "fuse")->mount, "/m");
    const char *key = find(plan, "fuse")->environment[0];
    assert_int_equal(plan_make(&options, "/bin/c3fs", 0, &f->arena, plan, &f->error), 0);
    assert_string_equal(find(plan, "fuse")->environment[0], key);
    assert_true(plan->port_base >= 21000);

    assert_int_equal(parse(f, "--storages 3 --mount /m", &options), 0);
    assert_int_equal(plan_make(&options, "/bin/c3fs", 0, &f->arena, plan, &f->error), 0);
    assert_int_equal(plan->count, 2);
    const struct child_plan *all = find(plan, "cluster");
    assert_string_equal(all->mount, "/m");
    assert_string_equal(all->argv[1], "run");
    assert_int_equal(strncmp(all->argv[2], "meta:/", 6), 0);
    assert_int_equal(strncmp(all->argv[7], "mgmtd:/", 7), 0); /* stops before the storages */
    assert_int_equal(strncmp(all->argv[8], "bootstrap:/", 11), 0);
    assert_int_equal(strncmp(all->argv[9], "fuse:/", 6), 0);
    assert_null(all->argv[10]);
}

/* Each of several managers has a port of its own, and everybody knows all of them. */
static void test_plan_of_managers(void **state)
{
    static const char *const servers = "mgmtd_server_addresses = [\"TCP://127.0.0.1:22000\", "
                                       "\"TCP://127.0.0.1:22075\", \"TCP://127.0.0.1:22076\"]\n";
    static const char *const names[] = { "meta-101", "storage-1003", "fuse", "bootstrap",
                                         "admin_cli" };
    struct fixture *f = *state;
    struct cluster_options options;
    struct plan *plan = arena_new(&f->arena, struct plan);
    struct bytes text;
    assert_int_equal(parse(f, "--mgmtds 3 --storages 3 --mount /m --one-process=false", &options),
                     0);
    assert_int_equal(plan_make(&options, "/bin/c3fs", 22000, &f->arena, plan, &f->error), 0);
    assert_int_equal(plan->count, 3 + 2 + 3 + 1 + 2);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *path = arena_printf(&f->arena, "%s/etc/%s.toml", f->dir, names[i]);
        assert_int_equal(text_read(path, &f->arena, &text, &f->error), 0);
        if (!strstr((const char *)text.base, servers)) fail_msg("%s lacks %s", path, servers);
    }
    const char *path = arena_printf(&f->arena, "%s/etc/mgmtd-3.toml", f->dir);
    assert_int_equal(text_read(path, &f->arena, &text, &f->error), 0);
    assert_non_null(
        strstr((const char *)text.base, "node_id = 3\nlisten = \"TCP://127.0.0.1:22076"));
    assert_string_equal(find(plan, "mgmtd-3")->argv[1], "mgmtd");
}

/* For other machines: services listen at one address and are told by another. */
static void test_plan_for_others(void **state)
{
    struct fixture *f = *state;
    struct cluster_options options;
    struct plan *plan = arena_new(&f->arena, struct plan);
    struct bytes text;
    assert_int_equal(
        parse(f, "--listen 0.0.0.0 --advertise box.example --no-mount --storages 3", &options), 0);
    assert_int_equal(plan_make(&options, "/bin/c3fs", 22000, &f->arena, plan, &f->error), 0);
    const char *path = arena_printf(&f->arena, "%s/etc/storage-1002.toml", f->dir);
    assert_int_equal(text_read(path, &f->arena, &text, &f->error), 0);
    assert_non_null(strstr((const char *)text.base,
                           "listen = \"TCP://0.0.0.0:22012\"\n"
                           "advertise = [\"TCP://box.example:22012\"]\n"
                           "mgmtd_server_addresses = [\"TCP://box.example:22000\"]\n"));
    assert_int_equal(parse(f, "--listen 10.1.2.3", &options), 0);
    assert_int_equal(plan_make(&options, "/bin/c3fs", 22000, &f->arena, plan, &f->error), 0);
    path = arena_printf(&f->arena, "%s/etc/meta-101.toml", f->dir);
    assert_int_equal(text_read(path, &f->arena, &text, &f->error), 0);
    assert_non_null(strstr((const char *)text.base, "listen = \"TCP://10.1.2.3:22001\"\n"
                                                    "advertise = \"TCP://10.1.2.3:22001\"\n"));
}

static void test_state(void **state)
{
    struct fixture *f = *state;
    struct cluster_state *before = arena_new(&f->arena, struct cluster_state);
    struct cluster_state *after = arena_new(&f->arena, struct cluster_state);
    char boot[40];
    boot_id(boot);
    assert_int_equal(
        directory_make(arena_printf(&f->arena, "%s/run", f->dir), &f->arena, &f->error), 0);
    assert_int_equal(cluster_state_load(f->dir, &f->arena, after, &f->error),
                     -(ERR_SYSTEM_BASE + 2));
    *before = (struct cluster_state){ .supervisor = process_identify(getpid()),
                                      .boot = boot,
                                      .mount = "/m \"x\"\\",
                                      .port_base = 18100,
                                      .is_ready = true,
                                      .trouble = "a\nb",
                                      .child_count = 1 };
    before->children[0] = (struct child_state){ .name = "storage-1001",
                                                .state = "running",
                                                .last_end = "",
                                                .process = { 4711, 99 },
                                                .restart_count = 3,
                                                .since_wall_ns = 5 };
    assert_int_equal(cluster_state_save(f->dir, before, &f->arena, &f->error), 0);
    assert_int_equal(cluster_state_load(f->dir, &f->arena, after, &f->error), 0);
    assert_true(process_is_alive(after->supervisor));
    assert_string_equal(after->mount, before->mount);
    assert_string_equal(after->trouble, "a\nb");
    assert_int_equal(after->child_count, 1);
    assert_int_equal(after->children[0].process.pid, 4711);
    assert_int_equal(after->children[0].process.start_ticks, 99);
    assert_false(process_is_alive(after->children[0].process));
    before->boot = "another boot";
    assert_int_equal(cluster_state_save(f->dir, before, &f->arena, &f->error), 0);
    assert_int_equal(cluster_state_load(f->dir, &f->arena, after, &f->error), 0);
    assert_int_equal(after->supervisor.pid, 0);
    assert_int_equal(after->children[0].process.pid, 0);
}

static void test_lock(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        directory_make(arena_printf(&f->arena, "%s/run", f->dir), &f->arena, &f->error), 0);
    assert_int_equal(supervisor_find(f->dir, &f->arena), 0);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        int fd = supervisor_lock(f->dir, &f->arena, &f->error);
        if (write(fds[1], fd >= 0 ? "y" : "n", 1) == 1 && read(fds[0], &c, 0) == 0) pause();
        _exit(0);
    }
    char answer = 0;
    assert_int_equal(read(fds[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    assert_int_equal(supervisor_find(f->dir, &f->arena), pid);
    assert_int_equal(supervisor_lock(f->dir, &f->arena, &f->error), -ERR_BUSY);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(supervisor_find(f->dir, &f->arena), 0);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_saved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mounts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan_of_managers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
