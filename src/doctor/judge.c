/* judge.c - the rules. Each names what services need and why. */
#include "doctor/judge.h"

#include "base/check.h"
#include "base/units.h"
#include <errno.h>

enum {
    FINDING_COUNT_MAX = 16 + 5 * HOST_ITEM_COUNT_MAX,
    KERNEL_MAJOR_MIN = 5, /* 5.4: FUSE and pidfd as we use them */
    KERNEL_MINOR_MIN = 4,
    FILES_MIN = 512,
    FILES_GOOD = 4096
};
#define SHM_BYTES_GOOD    (64ull << 20)
#define DISK_BYTES_MIN    (1ull << 30)
#define DISK_BYTES_GOOD   (10ull << 30)
#define INODES_MIN        1000
#define MEMORY_GOOD       (2ull << 30)
#define LOCKED_BYTES_GOOD (8ull << 20)
#define SLOW_NS           (5 * MSEC)

struct judge {
    const struct host_question *q;
    const struct host_facts *f;
    struct arena *arena;
    struct findings *findings;
};

static void add(struct judge *j, enum verdict verdict, const char *check, const char *what,
                const char *remedy)
{
    struct findings *all = j->findings;
    if (all->count == FINDING_COUNT_MAX) return;
    all->items[all->count++] = (struct finding){ check, verdict, what, remedy };
}

static void good(struct judge *j, const char *check, const char *what)
{
    add(j, VERDICT_GOOD, check, what, "");
}

#define TEXT(...) arena_printf(j->arena, __VA_ARGS__)

static const char *size_text(struct judge *j, uint64_t bytes)
{
    if (bytes >= 10ull << 30) return TEXT("%.0f GiB", (double)bytes / (1ull << 30));
    if (bytes >= 1ull << 30) return TEXT("%.1f GiB", (double)bytes / (1ull << 30));
    return TEXT("%.0f MiB", (double)bytes / (1ull << 20));
}

/* ---- kernel, limits ---- */

static void judge_kernel(struct judge *j)
{
    const struct host_facts *f = j->f;
    bool is_new = f->kernel_major > KERNEL_MAJOR_MIN ||
                  (f->kernel_major == KERNEL_MAJOR_MIN && f->kernel_minor >= KERNEL_MINOR_MIN);
    if (is_new) {
        good(j, "kernel", TEXT("Linux %s", f->kernel));
        return;
    }
    add(j, VERDICT_BAD, "kernel", TEXT("Linux %s is older than 5.4", f->kernel),
        "boot a newer kernel: pidfd and what mounts need of FUSE are missing before 5.4");
}

static void judge_uring(struct judge *j)
{
    const struct host_facts *f = j->f;
    if (!f->uring_error) {
        good(j, "io_uring", "allowed");
        return;
    }
    const char *remedy = "allow io_uring_setup, io_uring_enter and io_uring_register in the "
                         "container's seccomp profile (--privileged, or a profile of its own)";
    if (f->uring_disabled) remedy = "sysctl kernel.io_uring_disabled=0";
    if (f->uring_error == ENOSYS) remedy = "boot a kernel with CONFIG_IO_URING";
    if (f->uring_error == ENOMEM)
        remedy = "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=infinity)";
    add(j, VERDICT_WARN, "io_uring",
        TEXT("%s: services use epoll and threads instead, which is slower",
             strerrordesc_np(f->uring_error)),
        remedy);
}

/* Up to 5.11 rings count as locked memory; of root they do not. */
static void judge_locked_memory(struct judge *j)
{
    const struct host_facts *f = j->f;
    bool is_counted = f->uid != 0 && f->kernel_major == 5 && f->kernel_minor < 12;
    const char *what = f->memlock_soft == UINT64_MAX ? "no limit" : size_text(j, f->memlock_soft);
    if (is_counted && f->memlock_soft < LOCKED_BYTES_GOOD)
        add(j, VERDICT_WARN, "locked memory", TEXT("%s: io_uring takes some on this kernel", what),
            "ulimit -l unlimited, LimitMEMLOCK=infinity, or --ulimit memlock=-1:-1");
    else
        good(j, "locked memory", what);
}

static void judge_limits(struct judge *j)
{
    const struct host_facts *f = j->f;
    const char *remedy = "ulimit -n 65536, LimitNOFILE=65536, or --ulimit nofile=65536:65536";
    const char *what = f->nofile_soft == UINT64_MAX
                           ? "no limit"
                           : TEXT("%llu", (unsigned long long)f->nofile_soft);
    if (f->nofile_soft < FILES_MIN)
        add(j, VERDICT_BAD, "open files", TEXT("%s: too few", what), remedy);
    else if (f->nofile_soft < FILES_GOOD)
        add(j, VERDICT_WARN, "open files", TEXT("%s: each client takes some at each server", what),
            remedy);
    else
        good(j, "open files", what);
    judge_locked_memory(j);
    if (f->memory_bytes < MEMORY_GOOD)
        add(j, VERDICT_WARN, "memory", TEXT("%s", size_text(j, f->memory_bytes)),
            "give a storage at least 2 GiB, or set its `buffers` lower");
    else
        good(j, "memory", size_text(j, f->memory_bytes));
}

static void judge_shm(struct judge *j)
{
    const struct host_facts *f = j->f;
    const char *remedy = "mount a tmpfs there; for a container --shm-size=4g or --ipc=host";
    if (f->shm_error)
        add(j, VERDICT_WARN, "/dev/shm", strerrordesc_np(f->shm_error), remedy);
    else if (f->shm_size_bytes <= SHM_BYTES_GOOD)
        add(j, VERDICT_WARN, "/dev/shm",
            TEXT("%s: memory that applications share with the mount will not fit",
                 size_text(j, f->shm_size_bytes)),
            remedy);
    else
        good(j, "/dev/shm",
             TEXT("%s, %s free", size_text(j, f->shm_size_bytes), size_text(j, f->shm_free_bytes)));
}

static void judge_clock(struct judge *j)
{
    if (!j->f->clock_is_known || j->f->clock_is_synchronised) {
        good(j, "clock", j->f->clock_is_known ? "synchronised" : "cannot be asked");
        return;
    }
    add(j, VERDICT_WARN, "clock",
        "the kernel says that nobody keeps it right: times of files are wrong by as much, and "
        "clients more than 30 s off are refused",
        "run chrony, ntpd or systemd-timesyncd on the host");
}

/* ---- FUSE ---- */

static void judge_fuse(struct judge *j)
{
    const struct host_facts *f = j->f;
    enum verdict verdict = j->q->mountpoint ? VERDICT_BAD : VERDICT_WARN;
    if (f->fuse_error == 0) {
        good(j, "fuse", "/dev/fuse can be opened");
    } else {
        const char *remedy = f->fuse_error == ENOENT ? "modprobe fuse; for a container --device "
                                                       "/dev/fuse --cap-add SYS_ADMIN, or "
                                                       "--privileged"
                             : f->fuse_error == EACCES
                                 ? "chmod 666 /dev/fuse as root"
                                 : "allow the device: --privileged, or --device /dev/fuse";
        add(j, verdict, "fuse", TEXT("/dev/fuse: %s", strerrordesc_np(f->fuse_error)), remedy);
    }
    if (f->is_in_user_namespace && j->q->mountpoint)
        add(j, VERDICT_WARN, "user namespace",
            "this is not the host's root: what is mounted here is seen in here alone",
            "mount as the host's root, or in a container that it starts");
    if (f->uid == 0) return;
    if (!f->has_fusermount)
        add(j, verdict, "fusermount3", "it is not there, and only root can mount without it",
            "apt-get install fuse3");
    if (!f->allows_other)
        add(j, VERDICT_WARN, "fuse.conf", "a mount will be for its own user alone",
            "add the line user_allow_other to /etc/fuse.conf");
}

static void judge_mountpoint(struct judge *j)
{
    const struct host_facts *f = j->f;
    const char *path = j->q->mountpoint;
    if (!path) return;
    const char *check = TEXT("mount %s", path);
    if (f->mountpoint_error && f->mountpoint_error != ENOENT)
        add(j, VERDICT_BAD, check, strerrordesc_np(f->mountpoint_error),
            "name another directory, or put this one in order");
    else if (f->mountpoint_error)
        add(j, VERDICT_WARN, check, "there is no such directory", TEXT("mkdir -p %s", path));
    if (f->mount_is_shared)
        good(j, check, "mounts there are seen by containers that share the directory");
    else
        add(j, VERDICT_WARN, check,
            "mounts there are private: what a container mounts stays in it, and what the host "
            "mounts does not reach containers",
            TEXT("share the directory above it: mount --bind DIR DIR; mount --make-shared DIR; and "
                 "bind-propagation=shared for the container"));
}

static void judge_mounts(struct judge *j)
{
    for (uint32_t i = 0; i < j->f->mount_count; i++) {
        const struct host_mount *m = &j->f->mounts[i];
        const char *check = TEXT("mounted %s", m->path);
        if (m->error == 0)
            good(j, check, "answers");
        else if (m->error == ETIMEDOUT)
            add(j, VERDICT_BAD, check, "does not answer",
                "look at its servers (admin_cli list-nodes) and at the log of its c3fs fuse");
        else
            add(j, VERDICT_BAD, check, TEXT("its c3fs fuse is gone: %s", strerrordesc_np(m->error)),
                TEXT("start c3fs fuse again, which clears it, or umount -l %s", m->path));
    }
}

/* ---- disks ---- */

struct file_system {
    uint64_t magic;
    const char *name;
    enum verdict verdict;
    const char *what, *remedy;
};

static const struct file_system file_systems[] = {
    { 0xef53, "ext4", VERDICT_GOOD, "", "" },
    { 0x58465342, "xfs", VERDICT_GOOD, "", "" },
    { 0xf2f52010, "f2fs", VERDICT_GOOD, "", "" },
    { 0x9123683e, "btrfs", VERDICT_WARN, "copies what is written over, and checks it twice",
      "use xfs or ext4, or chattr +C on the empty directory" },
    { 0x2fc12fc1, "zfs", VERDICT_WARN, "copies what is written over, and checks it twice",
      "use xfs or ext4" },
    { 0xca451a4e, "bcachefs", VERDICT_WARN, "copies what is written over, and checks it twice",
      "use xfs or ext4" },
    { 0x01021994, "tmpfs", VERDICT_WARN, "is memory: the data is gone at the next boot",
      "use a directory on a disk" },
    { 0x858458f6, "ramfs", VERDICT_BAD, "is memory without a limit", "use a directory on a disk" },
    { 0x794c7630, "overlayfs", VERDICT_WARN,
      "is a container's own layer: slow, and gone with the container",
      "give the container a volume: -v /3fs/data:/3fs/data" },
    { 0x6969, "NFS", VERDICT_BAD, "is on another machine", "use a local disk" },
    { 0xff534d42, "CIFS", VERDICT_BAD, "is on another machine", "use a local disk" },
    { 0xfe534d42, "SMB", VERDICT_BAD, "is on another machine", "use a local disk" },
    { 0x00c36400, "Ceph", VERDICT_BAD, "is on another machine", "use a local disk" },
    { 0x01021997, "9p", VERDICT_BAD, "is on another machine", "use a local disk" },
    { 0x65735546, "FUSE", VERDICT_BAD, "keeps no promise about what a sync makes durable",
      "use a local disk" },
};

static const struct file_system *file_system_of(uint64_t magic)
{
    for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
        if (file_systems[i].magic == magic) return &file_systems[i];
    return NULL;
}

/* What keeps a storage from starting there; false when nothing does. */
static bool judge_use(struct judge *j, const struct host_disk *d, const char *check)
{
    if (d->error) {
        add(j, VERDICT_BAD, check, strerrordesc_np(d->error),
            d->error == ENOENT ? TEXT("mount the disk, or mkdir -p %s", d->path)
                               : "name a directory that can be reached");
        return true;
    }
    if (d->write_error) {
        add(j, VERDICT_BAD, check,
            TEXT("no file can be written there: %s", strerrordesc_np(d->write_error)),
            d->write_error == EROFS    ? "mount it read-write; dmesg says why it is not"
            : d->write_error == ENOSPC ? "make room"
                                       : "chown it to the user that c3fs runs as");
        return true;
    }
    return false;
}

static void judge_disk(struct judge *j, const struct host_disk *d)
{
    const char *check = TEXT("disk %s", d->path);
    const struct file_system *fs = file_system_of(d->magic);
    if (judge_use(j, d, check)) return;
    const char *kind = fs ? fs->name : TEXT("a file system 0x%llx", (unsigned long long)d->magic);
    const char *what =
        TEXT("%s, %s free of %s", kind, size_text(j, d->free_bytes), size_text(j, d->size_bytes));
    if (fs && fs->verdict != VERDICT_GOOD)
        add(j, fs->verdict, check, TEXT("%s: it %s", what, fs->what), fs->remedy);
    else
        good(j, check, what);
    if (d->direct_error)
        add(j, VERDICT_WARN, check,
            TEXT("O_DIRECT: %s: data goes through the page cache, which costs memory and a copy",
                 strerrordesc_np(d->direct_error)),
            "use xfs or ext4 on the disk itself");
    if (d->free_bytes < DISK_BYTES_GOOD)
        add(j, d->free_bytes < DISK_BYTES_MIN ? VERDICT_BAD : VERDICT_WARN, check,
            TEXT("only %s are free", size_text(j, d->free_bytes)), "make room, or add a disk");
    if (d->has_inode_limit && d->free_inodes < INODES_MIN)
        add(j, VERDICT_BAD, check, TEXT("%llu inodes are free", (unsigned long long)d->free_inodes),
            "remove small files there, or make the file system with more inodes");
}

static void judge_disks(struct judge *j)
{
    for (uint32_t i = 0; i < j->f->disk_count; i++) {
        const struct host_disk *d = &j->f->disks[i];
        judge_disk(j, d);
        for (uint32_t k = 0; k < i; k++) {
            const struct host_disk *other = &j->f->disks[k];
            if (d->error || other->error || d->device != other->device) continue;
            add(j, VERDICT_WARN, TEXT("disk %s", d->path),
                TEXT("is the same file system as %s: they fill and fail together", other->path),
                "one directory for each disk");
            break;
        }
    }
}

/* ---- network ---- */

static void judge_ports(struct judge *j)
{
    for (uint32_t i = 0; i < j->f->port_count; i++) {
        const struct host_port *p = &j->f->ports[i];
        const char *check = TEXT("port %u", p->port);
        if (!p->error)
            good(j, check, "free");
        else if (p->error == EACCES)
            add(j, VERDICT_BAD, check, "only root may listen there",
                "PORT with a number above 1023, or CAP_NET_BIND_SERVICE");
        else
            add(j, VERDICT_BAD, check, strerrordesc_np(p->error),
                TEXT("ss -ltnp 'sport = :%u' shows who has it; PORT takes another", p->port));
    }
}

static void judge_addresses(struct judge *j)
{
    for (uint32_t i = 0; i < j->f->address_count; i++) {
        const struct host_address *a = &j->f->addresses[i];
        const char *check = TEXT("manager %s", a->text);
        double took_ms = (double)a->took_ns / MSEC;
        if (!a->error && a->took_ns <= SLOW_NS)
            good(j, check, TEXT("reached in %.2f ms", took_ms));
        else if (!a->error)
            add(j, VERDICT_WARN, check, TEXT("reached, but it took %.0f ms", took_ms),
                "look for a slow or lossy link between the hosts");
        else if (a->error == EINVAL)
            add(j, VERDICT_BAD, check, "is no address", "TCP://10.0.0.1:8000");
        else if (a->error == EADDRNOTAVAIL)
            add(j, VERDICT_BAD, check, "the name is unknown here",
                "use an address, or put the name in /etc/hosts or DNS");
        else if (a->error == ECONNREFUSED)
            add(j, VERDICT_BAD, check, "nobody listens there",
                "start the cluster manager (c3fs up listens on the loopback alone unless "
                "--listen says otherwise)");
        else
            add(j, VERDICT_BAD, check, strerrordesc_np(a->error),
                "look at routes and firewalls between the hosts");
    }
}

static void judge_rdma(struct judge *j)
{
    const struct rdma_ports *ports = &j->f->rdma;
    bool has_roce = false, has_infiniband = false;
    uint32_t active_count = 0;
    for (uint32_t i = 0; i < ports->count; i++) {
        has_roce |= strcmp(ports->items[i].link_layer, "Ethernet") == 0;
        has_infiniband |= strcmp(ports->items[i].link_layer, "InfiniBand") == 0;
        active_count += ports->items[i].is_active;
    }
    if (ports->count == 0)
        good(j, "rdma", "no device; TCP is used");
    else
        good(j, "rdma",
             TEXT("%u of %u ports are active; this build uses TCP", active_count, ports->count));
    if (has_roce && has_infiniband)
        add(j, VERDICT_WARN, "rdma", "there are InfiniBand and RoCE, which must not be mixed",
            "DEVICE_FILTER with the devices of one kind");
    if (ports->count && j->f->rdma_cm_error)
        add(j, VERDICT_WARN, "rdma",
            TEXT("/dev/infiniband/rdma_cm: %s", strerrordesc_np(j->f->rdma_cm_error)),
            "modprobe rdma_ucm; for a container --privileged, or --device /dev/infiniband");
}

/* ---- */

void host_judge(const struct host_question *question, const struct host_facts *facts,
                struct arena *arena, struct findings *ret)
{
    struct judge judge = { question, facts, arena, ret };
    *ret = (struct findings){ arena_array(arena, struct finding, FINDING_COUNT_MAX), 0 };
    judge_kernel(&judge);
    judge_uring(&judge);
    judge_limits(&judge);
    judge_shm(&judge);
    judge_clock(&judge);
    judge_fuse(&judge);
    judge_mountpoint(&judge);
    judge_mounts(&judge);
    judge_disks(&judge);
    judge_ports(&judge);
    judge_addresses(&judge);
    judge_rdma(&judge);
}

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = { "ok", "warning", "BAD" };
    return names[verdict];
}
