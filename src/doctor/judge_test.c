/* judge_test.c - each rule: a good host, and the same host with one thing wrong. */
#include "doctor/judge.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define GIB (1ull << 30)

static const char *const disks[] = { "/a", "/b" };
static const char *const addresses[] = { "TCP://m:8000" };
static const uint64_t ports[] = { 8000 };

struct host {
    struct host_question q;
    struct host_facts f;
    struct host_disk disks[2];
    struct host_address addresses[1];
    struct host_port ports[1];
    struct host_mount mounts[1];
    struct rdma_port rdma[2];
};

static void host_init(struct host *h)
{
    *h = (struct host){
        .q = { .disks = disks,
               .disk_count = 2,
               .addresses = addresses,
               .address_count = 1,
               .ports = ports,
               .port_count = 1,
               .mountpoint = "/mnt/3fs" },
        .f = { .kernel_major = 6,
               .kernel_minor = 1,
               .kernel = "6.1.0",
               .has_fusermount = true,
               .nofile_soft = 65536,
               .nofile_hard = 65536,
               .memlock_soft = UINT64_MAX,
               .shm_size_bytes = 4 * GIB,
               .memory_bytes = 24 * GIB,
               .clock_is_known = true,
               .clock_is_synchronised = true,
               .mount_is_shared = true,
               .mountpoint_is_there = true,
               .disk_count = 2,
               .address_count = 1,
               .port_count = 1,
               .mount_count = 1 },
        .disks = { { .path = "/a",
                     .magic = 0xef53,
                     .size_bytes = 100 * GIB,
                     .free_bytes = 50 * GIB,
                     .has_inode_limit = true,
                     .free_inodes = 100000,
                     .device = 1 },
                   { .path = "/b",
                     .magic = 0x58465342,
                     .size_bytes = 100 * GIB,
                     .free_bytes = 50 * GIB,
                     .device = 2 } },
        .addresses = { { .text = "TCP://m:8000", .took_ns = 100000 } },
        .ports = { { .port = 8000 } },
        .mounts = { { .path = "/mnt/other" } },
        .rdma = { { .device = "mlx5_0", .link_layer = "Ethernet", .is_active = true },
                  { .device = "mlx5_1", .link_layer = "InfiniBand" } },
    };
    h->f.disks = h->disks;
    h->f.addresses = h->addresses;
    h->f.ports = h->ports;
    h->f.mounts = h->mounts;
    h->f.rdma.items = h->rdma;
}

/* Exactly one finding is not GOOD: of that check and verdict, and its two texts say what they
 * should. */
static void expect(const struct host *h, const char *check, enum verdict verdict, const char *what,
                   const char *remedy)
{
    struct arena arena;
    struct findings findings;
    uint32_t count = 0;
    arena_init(&arena);
    host_judge(&h->q, &h->f, &arena, &findings);
    for (uint32_t i = 0; i < findings.count; i++) {
        const struct finding *f = &findings.items[i];
        if (f->verdict == VERDICT_GOOD) assert_string_equal(f->remedy, "");
        if (f->verdict == VERDICT_GOOD) continue;
        count++;
        assert_string_not_equal(f->remedy, "");
        if (strcmp(f->check, check) != 0 || f->verdict != verdict || !strstr(f->what, what) ||
            !strstr(f->remedy, remedy))
            fail_msg("%s, %s: %s; %s", f->check, verdict_name(f->verdict), f->what, f->remedy);
    }
    assert_int_equal(count, check[0] ? 1 : 0);
    arena_done(&arena);
}

/* A good host with one change. */
#define WRONG(change, ...)                                                                         \
    do {                                                                                           \
        struct host h;                                                                             \
        host_init(&h);                                                                             \
        change;                                                                                    \
        expect(&h, __VA_ARGS__);                                                                   \
    } while (0)

static void all_is_well(void **state)
{
    WRONG((void)0, "", VERDICT_GOOD, "", "");
    WRONG(h.f.clock_is_known = h.f.clock_is_synchronised = false, "", VERDICT_GOOD, "", "");
    WRONG(h.f.rdma.count = 1, "", VERDICT_GOOD, "", "");
    WRONG((h.f.uid = 1000, h.f.allows_other = true), "", VERDICT_GOOD, "", "");
}

static void kernel_and_limits(void **state)
{
    WRONG((h.f.kernel_major = 4, h.f.kernel_minor = 19), "kernel", VERDICT_BAD, "older than 5.4",
          "newer kernel");
    WRONG((h.f.kernel_major = 5, h.f.kernel_minor = 3), "kernel", VERDICT_BAD, "", "");
    WRONG((h.f.kernel_major = 5, h.f.kernel_minor = 4), "", VERDICT_GOOD, "", "");
    WRONG(h.f.uring_error = EPERM, "io_uring", VERDICT_WARN, "not permitted", "seccomp");
    WRONG((h.f.uring_error = EPERM, h.f.uring_disabled = 2), "io_uring", VERDICT_WARN, "epoll",
          "sysctl kernel.io_uring_disabled=0");
    WRONG(h.f.uring_error = ENOSYS, "io_uring", VERDICT_WARN, "", "CONFIG_IO_URING");
    WRONG(h.f.uring_error = ENOMEM, "io_uring", VERDICT_WARN, "", "MEMLOCK");
    WRONG(h.f.nofile_soft = 256, "open files", VERDICT_BAD, "256", "LimitNOFILE");
    WRONG(h.f.nofile_soft = 1024, "open files", VERDICT_WARN, "1024", "LimitNOFILE");
    WRONG(h.f.nofile_soft = UINT64_MAX, "", VERDICT_GOOD, "", "");
    WRONG((h.f.memlock_soft = 65536), "", VERDICT_GOOD, "", "");
    WRONG((h.f.memlock_soft = 65536, h.f.uid = 7, h.f.allows_other = true, h.f.kernel_major = 5,
           h.f.kernel_minor = 10),
          "locked memory", VERDICT_WARN, "0 MiB", "memlock");
    WRONG(h.f.memory_bytes = GIB, "memory", VERDICT_WARN, "1.0 GiB", "buffers");
    WRONG(h.f.shm_size_bytes = 64 << 20, "/dev/shm", VERDICT_WARN, "64 MiB", "--shm-size");
    WRONG(h.f.shm_error = ENOENT, "/dev/shm", VERDICT_WARN, "No such file", "tmpfs");
    WRONG(h.f.clock_is_synchronised = false, "clock", VERDICT_WARN, "30 s", "chrony");
}

static void mounts(void **state)
{
    WRONG(h.f.fuse_error = ENOENT, "fuse", VERDICT_BAD, "/dev/fuse: No such file", "modprobe fuse");
    WRONG((h.f.fuse_error = ENOENT, h.q.mountpoint = NULL), "fuse", VERDICT_WARN, "", "");
    WRONG(h.f.fuse_error = EACCES, "fuse", VERDICT_BAD, "", "chmod 666");
    WRONG(h.f.fuse_error = EPERM, "fuse", VERDICT_BAD, "", "--privileged");
    WRONG((h.f.uid = 9, h.f.allows_other = true, h.f.has_fusermount = false), "fusermount3",
          VERDICT_BAD, "only root", "apt-get install fuse3");
    WRONG(h.f.uid = 9, "fuse.conf", VERDICT_WARN, "own user", "user_allow_other");
    WRONG(h.f.is_in_user_namespace = true, "user namespace", VERDICT_WARN, "not the host's", "");
    WRONG((h.f.is_in_user_namespace = true, h.q.mountpoint = NULL), "", VERDICT_GOOD, "", "");
    WRONG(h.f.mount_is_shared = false, "mount /mnt/3fs", VERDICT_WARN, "private", "make-shared");
    WRONG(h.f.mountpoint_error = ENOENT, "mount /mnt/3fs", VERDICT_WARN, "no such",
          "mkdir -p /mnt/3fs");
    WRONG(h.f.mountpoint_error = ENOTDIR, "mount /mnt/3fs", VERDICT_BAD, "Not a directory",
          "another directory");
    WRONG(h.mounts[0].error = ENOTCONN, "mounted /mnt/other", VERDICT_BAD, "is gone",
          "umount -l /mnt/other");
    WRONG(h.mounts[0].error = ETIMEDOUT, "mounted /mnt/other", VERDICT_BAD, "does not answer",
          "list-nodes");
}

static void disks_of_a_storage(void **state)
{
    WRONG(h.disks[0].error = ENOENT, "disk /a", VERDICT_BAD, "No such file", "mkdir -p /a");
    WRONG(h.disks[0].error = EACCES, "disk /a", VERDICT_BAD, "Permission", "reached");
    WRONG(h.disks[0].write_error = EROFS, "disk /a", VERDICT_BAD, "Read-only", "read-write");
    WRONG(h.disks[0].write_error = EACCES, "disk /a", VERDICT_BAD, "Permission", "chown");
    WRONG(h.disks[0].write_error = ENOSPC, "disk /a", VERDICT_BAD, "No space", "make room");
    WRONG(h.disks[1].direct_error = EINVAL, "disk /b", VERDICT_WARN, "O_DIRECT", "xfs");
    WRONG(h.disks[1].free_bytes = 5 * GIB, "disk /b", VERDICT_WARN, "only 5.0 GiB", "make room");
    WRONG(h.disks[1].free_bytes = GIB / 2, "disk /b", VERDICT_BAD, "only 512 MiB", "make room");
    WRONG(h.disks[0].free_inodes = 3, "disk /a", VERDICT_BAD, "3 inodes", "inodes");
    WRONG(h.disks[1].device = 1, "disk /b", VERDICT_WARN, "same file system as /a", "each disk");
    WRONG(h.disks[0].magic = 0x6969, "disk /a", VERDICT_BAD, "NFS", "local disk");
    WRONG(h.disks[0].magic = 0x65735546, "disk /a", VERDICT_BAD, "FUSE", "local disk");
    WRONG(h.disks[0].magic = 0x01021994, "disk /a", VERDICT_WARN, "tmpfs", "on a disk");
    WRONG(h.disks[0].magic = 0x794c7630, "disk /a", VERDICT_WARN, "overlayfs", "volume");
    WRONG(h.disks[0].magic = 0x9123683e, "disk /a", VERDICT_WARN, "btrfs", "chattr +C");
    WRONG(h.disks[0].magic = 0x12345, "", VERDICT_GOOD, "", "");
}

static void network(void **state)
{
    WRONG(h.ports[0].error = EADDRINUSE, "port 8000", VERDICT_BAD, "already in use", "ss -ltnp");
    WRONG(h.ports[0].error = EACCES, "port 8000", VERDICT_BAD, "root", "1023");
    WRONG(h.addresses[0].error = ECONNREFUSED, "manager TCP://m:8000", VERDICT_BAD,
          "nobody listens", "start the cluster manager");
    WRONG(h.addresses[0].error = EADDRNOTAVAIL, "manager TCP://m:8000", VERDICT_BAD,
          "name is unknown", "DNS");
    WRONG(h.addresses[0].error = EINVAL, "manager TCP://m:8000", VERDICT_BAD, "no address",
          "TCP://");
    WRONG(h.addresses[0].error = ETIMEDOUT, "manager TCP://m:8000", VERDICT_BAD, "timed out",
          "firewalls");
    WRONG(h.addresses[0].took_ns = 50000000, "manager TCP://m:8000", VERDICT_WARN, "50 ms", "link");
    WRONG(h.f.rdma.count = 2, "rdma", VERDICT_WARN, "must not be mixed", "DEVICE_FILTER");
    WRONG((h.f.rdma.count = 1, h.f.rdma_cm_error = ENOENT), "rdma", VERDICT_WARN, "rdma_cm",
          "modprobe rdma_ucm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well), cmocka_unit_test(kernel_and_limits),
        cmocka_unit_test(mounts),      cmocka_unit_test(disks_of_a_storage),
        cmocka_unit_test(network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
