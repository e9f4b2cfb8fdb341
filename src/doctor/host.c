/* host.c - the kernel, limits, FUSE, mounts. */
#include "doctor/host_internal.h"

#include "loop/mount_table.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 8192 };

/* ---- the kernel ---- */

static void look_at_kernel(struct arena *arena, struct host_facts *f)
{
    struct utsname name;
    f->kernel = "";
    if (uname(&name) != 0) return;
    char *end;
    f->kernel = arena_printf(arena, "%s", name.release);
    f->kernel_major = (uint32_t)strtoul(name.release, &end, 10);
    if (*end == '.') f->kernel_minor = (uint32_t)strtoul(end + 1, NULL, 10);
}

static int open_error(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

static int uring_error(void)
{
    struct io_uring_params params = { 0 };
    int fd = (int)syscall(SYS_io_uring_setup, 2, &params);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

static uint64_t number_in(struct arena *arena, const char *path)
{
    char line[64] = "";
    FILE *f = fopen(path, "re");
    if (f && !fgets(line, sizeof line, f)) line[0] = 0;
    if (f) fclose(f);
    return strtoull(line, NULL, 10);
}

/* Is @word the first one of a line of the file? */
static bool has_line(const char *path, const char *word)
{
    char line[LINE_BYTES_MAX];
    size_t size = strlen(word);
    bool is_found = false;
    FILE *f = fopen(path, "re");
    while (f && !is_found && fgets(line, sizeof line, f))
        is_found = strncmp(line, word, size) == 0 && strchr(" \t\n", line[size]) != NULL;
    if (f) fclose(f);
    return is_found;
}

static bool is_in_path(struct arena *arena, const char *program)
{
    const char *path = getenv("PATH") ?: "/usr/sbin:/usr/bin:/sbin:/bin";
    while (*path) {
        size_t size = strcspn(path, ":");
        if (access(arena_printf(arena, "%.*s/%s", (int)size, path, program), X_OK) == 0)
            return true;
        path += size + (path[size] == ':');
    }
    return false;
}

/* The host's own one maps all numbers to themselves. */
static bool is_in_user_namespace(struct arena *arena, const char *proc)
{
    unsigned long inside = 0, outside = 0, count = UINT32_MAX;
    FILE *f = fopen(arena_printf(arena, "%s/self/uid_map", proc), "re");
    bool is_read = f && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3;
    if (f) fclose(f);
    return is_read && (inside != 0 || outside != 0 || count < UINT32_MAX);
}

static uint64_t limit_of(rlim_t limit)
{
    return limit == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit;
}

static void look_at_limits(struct host_facts *f)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        f->nofile_soft = limit_of(limit.rlim_cur);
        f->nofile_hard = limit_of(limit.rlim_max);
    }
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) f->memlock_soft = limit_of(limit.rlim_cur);
    struct statvfs shm;
    f->shm_error = statvfs("/dev/shm", &shm) == 0 ? 0 : errno;
    if (!f->shm_error) {
        f->shm_size_bytes = (uint64_t)shm.f_blocks * shm.f_frsize;
        f->shm_free_bytes = (uint64_t)shm.f_bavail * shm.f_frsize;
    }
    f->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct timex clock = { .modes = 0 };
    int state = adjtimex(&clock);
    f->clock_is_known = state >= 0;
    f->clock_is_synchronised = state >= 0 && state != TIME_ERROR && !(clock.status & STA_UNSYNC);
}

/* ---- mounts ---- */

/* Of the mount that @path would be in: the last one of the longest path above it. */
static bool is_shared(const char *mountinfo, const char *path)
{
    char line[LINE_BYTES_MAX], at[4096];
    bool is_found_shared = false;
    size_t longest = 0;
    FILE *f = fopen(mountinfo, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%*d %*d %*s %*s %4095s", at) != 1) continue;
        size_t size = strcmp(at, "/") == 0 ? 0 : strlen(at);
        bool is_above = strncmp(path, at, size) == 0 && (path[size] == '/' || path[size] == 0);
        if (!is_above || size < longest) continue;
        longest = size;
        is_found_shared = strstr(line, " shared:") != NULL;
    }
    if (f) fclose(f);
    return is_found_shared;
}

static void look_at_mountpoint(const struct host_question *q, struct arena *arena,
                               struct host_facts *f)
{
    if (!q->mountpoint) return;
    bool is_mounted = mount_is_ours(q->mountpoint); /* whose daemon may hang */
    struct stat st;
    f->mountpoint_is_there = is_mounted || stat(q->mountpoint, &st) == 0;
    f->mountpoint_error = f->mountpoint_is_there ? 0 : errno;
    if (!is_mounted && f->mountpoint_is_there && !S_ISDIR(st.st_mode))
        f->mountpoint_error = ENOTDIR;
    f->mount_is_shared =
        is_shared(arena_printf(arena, "%s/self/mountinfo", q->proc), q->mountpoint);
}

/* Each mount of ours is asked whether it lives. */
static void look_at_mounts(const struct host_question *q, struct arena *arena, struct host_facts *f)
{
    char line[LINE_BYTES_MAX], at[4096], type[128];
    FILE *file = fopen(arena_printf(arena, "%s/self/mounts", q->proc), "re");
    f->mounts = arena_array(arena, struct host_mount, HOST_ITEM_COUNT_MAX);
    while (file && fgets(line, sizeof line, file) && f->mount_count < HOST_ITEM_COUNT_MAX) {
        if (sscanf(line, "%*s %4095s %127s", at, type) != 2) continue;
        if (strcmp(type, "fuse.hf3fs") != 0) continue;
        f->mounts[f->mount_count++].path = arena_printf(arena, "%s", at);
    }
    if (file) fclose(file);
    for (uint32_t i = 0; i < f->mount_count; i++)
        f->mounts[i].error = mount_ask(f->mounts[i].path, q->timeout_ns);
}

/* ---- */

void host_look(const struct host_question *q, struct arena *arena, struct host_facts *ret)
{
    struct host_facts facts = { .uid = geteuid() };
    look_at_kernel(arena, &facts);
    facts.is_in_user_namespace = is_in_user_namespace(arena, q->proc);
    facts.fuse_error = open_error("/dev/fuse");
    facts.has_fusermount = is_in_path(arena, "fusermount3");
    facts.allows_other = has_line("/etc/fuse.conf", "user_allow_other");
    facts.uring_error = uring_error();
    facts.uring_disabled =
        (uint32_t)number_in(arena, arena_printf(arena, "%s/sys/kernel/io_uring_disabled", q->proc));
    look_at_limits(&facts);
    look_at_mountpoint(q, arena, &facts);
    look_at_mounts(q, arena, &facts);
    rdma_list(q->sysfs, arena, &facts.rdma);
    facts.rdma_cm_error = open_error("/dev/infiniband/rdma_cm");
    host_look_at_disks(q, arena, &facts);
    host_look_at_network(q, arena, &facts);
    *ret = facts;
}
