/* host_test.c - what is found on the host that runs the test, and in files that it makes. */
#include "doctor/host.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static int set_up(void **state)
{
    snprintf(root, sizeof root, "/tmp/host-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static const char *put(struct arena *arena, const char *name, const char *text)
{
    const char *path = arena_printf(arena, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void this_host(void **state)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct host_question q = { .proc = "/proc", .sysfs = "/sys", .timeout_ns = 1000000000 };
    struct host_facts f;
    host_look(&q, &arena, &f);
    assert_true(f.kernel_major >= 4);
    assert_true(f.nofile_soft > 0 && f.nofile_soft <= f.nofile_hard);
    assert_true(f.memory_bytes > 1 << 20);
    assert_int_equal(f.disk_count + f.address_count + f.port_count, 0);
}

static void directories(void **state)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    const char *file = put(&arena, "file", "");
    const char *const disks[] = { root, "/nowhere/at/all", file, "/proc" };
    struct host_question q = { .proc = "/proc", .sysfs = "/sys", .disks = disks, .disk_count = 4 };
    struct host_facts f;
    host_look(&q, &arena, &f);
    assert_int_equal(f.disks[0].error, 0);
    assert_int_equal(f.disks[0].write_error, 0);
    assert_true(f.disks[0].size_bytes >= f.disks[0].free_bytes && f.disks[0].size_bytes > 0);
    assert_int_equal(f.disks[1].error, ENOENT);
    assert_int_equal(f.disks[2].error, ENOTDIR);
    assert_true(f.disks[3].error != 0 || f.disks[3].write_error != 0);
    /* nothing of it is left */
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(mkdir(root, 0755), 0);
}

static void addresses_and_ports(void **state)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    const char *const addresses[] = {
        arena_printf(&arena, "TCP://127.0.0.1:%u", ntohs(at.sin_port)),
        arena_printf(&arena, "TCP://localhost:%u", ntohs(at.sin_port)), "TCP://127.0.0.1:1",
        "nonsense", "TCP://no.such.name.invalid:1"
    };
    const uint64_t ports[] = { ntohs(at.sin_port), 0 };
    struct host_question q = { .proc = "/proc",
                               .sysfs = "/sys",
                               .addresses = addresses,
                               .address_count = 5,
                               .ports = ports,
                               .port_count = 2,
                               .timeout_ns = 1000000000 };
    struct host_facts f;
    host_look(&q, &arena, &f);
    assert_int_equal(f.addresses[0].error, 0);
    assert_int_equal(f.addresses[1].error, 0);
    assert_int_equal(f.addresses[2].error, ECONNREFUSED);
    assert_int_equal(f.addresses[3].error, EINVAL);
    assert_int_equal(f.addresses[4].error, EADDRNOTAVAIL);
    assert_int_equal(f.ports[0].error, EADDRINUSE);
    assert_int_equal(f.ports[1].error, 0); /* any */
    close(fd);
}

/* What is shared decides the longest mount above the place, and of those the last. */
static void propagation(void **state)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    static const struct {
        const char *mountpoint;
        bool is_shared;
    } cases[] = { { "/mnt/3fs", true },   { "/mnt/3fs/below", true }, { "/mnt", false },
                  { "/mntother", false }, { "/srv/a", false },        { "/srv", true },
                  { "/srv/ab", true },    { "/elsewhere", false } };
    assert_int_equal(mkdir(arena_printf(&arena, "%s/self", root), 0755), 0);
    put(&arena, "self/mounts", "");
    put(&arena, "self/uid_map", "0 1000 1\n");
    put(&arena, "self/mountinfo",
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 8:1 / /mnt/3fs rw - ext4 /dev/a rw\n"
        "3 1 8:1 / /mnt/3fs rw shared:7 - ext4 /dev/a rw\n"
        "4 1 8:2 / /srv rw shared:8 - ext4 /dev/b rw\n"
        "5 4 8:3 / /srv/a rw master:8 - ext4 /dev/c rw\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct host_question q = { .proc = root,
                                   .sysfs = "/sys",
                                   .mountpoint = cases[i].mountpoint };
        struct host_facts f;
        host_look(&q, &arena, &f);
        if (f.mount_is_shared != cases[i].is_shared) fail_msg("%s", cases[i].mountpoint);
        assert_true(f.is_in_user_namespace);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(this_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directories, set_up, tear_down),
        cmocka_unit_test_setup_teardown(addresses_and_ports, set_up, tear_down),
        cmocka_unit_test_setup_teardown(propagation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
