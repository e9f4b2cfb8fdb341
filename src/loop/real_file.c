/* real_file.c - files and directories of the real back ends, as far as both do them alike: on the
 * disk pool. */
#include "base/arena.h"
#include "loop/real.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* What a job of this file works on; each uses the fields that it needs. */
struct path_job {
    const char *path, *to;
    int flags, fd;
    mode_t mode;
    uint64_t size, device;
    bool is_direct;
    char **names;
    size_t count;
    struct disk_space space;
};

static int run_on_disk_pool(struct node *node, int64_t (*fn)(void *arg), struct path_job *job)
{
    return (int)pool_run(&real_loop_of(node)->disk_pools[0], "disk", fn, job);
}

static int64_t result_of(int r)
{
    return r < 0 ? error_from_errno(errno) : r;
}

/* ---- files ---- */

static int64_t do_open(void *arg)
{
    struct path_job *job = arg;
    int flags = job->flags | O_CLOEXEC | O_NOCTTY;
    job->fd = open(job->path, flags, job->mode);
    job->is_direct = (flags & O_DIRECT) != 0;
    if (job->fd < 0 && errno == EINVAL && job->is_direct) {
        job->is_direct = false;
        job->fd = open(job->path, flags & ~O_DIRECT, job->mode);
    }
    if (job->fd < 0) return error_from_errno(errno);
    struct stat st;
    job->device = fstat(job->fd, &st) == 0 ? st.st_dev : 0;
    return 0;
}

static struct pool *pool_of_device(struct node *node, uint64_t device)
{
    return &real_loop_of(node)->disk_pools[1 + device % (DISK_POOLS - 1)];
}

int real_file_open(struct node *node, const char *path, int flags, mode_t mode, struct file **ret)
{
    struct path_job job = { .path = path, .flags = flags, .mode = mode };
    int r = run_on_disk_pool(node, do_open, &job);
    if (r < 0) return r;
    struct real_file *file = new_zero(struct real_file);
    *file = (struct real_file){ .base.node = node,
                                .fd = job.fd,
                                .pool = pool_of_device(node, job.device),
                                .is_direct = job.is_direct,
                                .can_read_nowait = !job.is_direct,
                                .can_write_nowait = !job.is_direct };
    *ret = &file->base;
    return 0;
}

static struct real_file *real_file_of(struct file *file)
{
    return container_of(file, struct real_file, base);
}

void real_file_close(struct file *base)
{
    struct real_file *file = real_file_of(base);
    close(file->fd);
    free(file);
}

static int64_t do_truncate(void *arg)
{
    const struct path_job *job = arg;
    return result_of(ftruncate(job->fd, (off_t)job->size));
}

int real_file_truncate(struct file *file, uint64_t size)
{
    struct path_job job = { .fd = real_file_of(file)->fd, .size = size };
    return (int)pool_run(real_file_of(file)->pool, "file truncate", do_truncate, &job);
}

int real_file_size(struct file *file, uint64_t *ret_bytes)
{
    struct stat st;
    if (fstat(real_file_of(file)->fd, &st) < 0) return error_from_errno(errno);
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

int real_file_try_lock(struct file *file)
{
    if (flock(real_file_of(file)->fd, LOCK_EX | LOCK_NB) == 0) return 0;
    return errno == EWOULDBLOCK ? -ERR_BUSY : error_from_errno(errno);
}

int real_file_check_offset(const struct real_file *file, uint64_t offset)
{
    enum { ALIGNMENT = 512 };
    if (!file->is_direct || offset % ALIGNMENT == 0) return 1;
    struct stat st;
    if (fstat(file->fd, &st) < 0) return error_from_errno(errno);
    return offset >= (uint64_t)st.st_size ? 0 : error_from_errno(EINVAL);
}

ssize_t real_file_read_now(struct real_file *file, const struct iovec *iov, int count,
                           uint64_t offset)
{
    if (!file->can_read_nowait) return -ERR_BUSY;
    ssize_t n = preadv2(file->fd, iov, count, (off_t)offset, RWF_NOWAIT);
    if (n >= 0) {
        real_charge(real_loop_of(file->base.node), (uint64_t)n);
        return n;
    }
    if (errno == EOPNOTSUPP) file->can_read_nowait = false;
    return -ERR_BUSY;
}

ssize_t real_file_write_now(struct real_file *file, const struct iovec *iov, int count,
                            uint64_t offset)
{
    if (!file->can_write_nowait) return -ERR_BUSY;
    ssize_t n = pwritev2(file->fd, iov, count, (off_t)offset, RWF_NOWAIT);
    if (n > 0) {
        real_charge(real_loop_of(file->base.node), (uint64_t)n);
        return n;
    }
    if (n < 0 && errno == EOPNOTSUPP) file->can_write_nowait = false;
    return -ERR_BUSY;
}

/* ---- paths ---- */

static int64_t do_dir_make(void *arg)
{
    const struct path_job *job = arg;
    if (mkdir(job->path, job->mode) == 0) return 0;
    struct stat st;
    int eno = errno;
    bool is_there = eno == EEXIST && stat(job->path, &st) == 0 && S_ISDIR(st.st_mode);
    return is_there ? 0 : error_from_errno(eno);
}

int real_dir_make(struct node *node, const char *path, mode_t mode)
{
    return run_on_disk_pool(node, do_dir_make, &(struct path_job){ .path = path, .mode = mode });
}

static int64_t do_dir_sync(void *arg)
{
    const struct path_job *job = arg;
    int fd = open(job->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return error_from_errno(errno);
    int64_t r = result_of(fsync(fd));
    close(fd);
    return r;
}

int real_dir_sync(struct node *node, const char *path)
{
    return run_on_disk_pool(node, do_dir_sync, &(struct path_job){ .path = path });
}

static int64_t do_dir_list(void *arg)
{
    struct path_job *job = arg;
    size_t capacity = 0;
    DIR *dir = opendir(job->path);
    if (!dir) return error_from_errno(errno);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) break;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (job->count == capacity) {
            capacity = capacity ? capacity * 2 : 32;
            job->names = xrealloc(job->names, capacity * sizeof(char *));
        }
        job->names[job->count++] = xstrdup(entry->d_name);
    }
    int eno = errno;
    closedir(dir);
    if (eno == 0) return 0;
    names_free(job->names, job->count);
    return error_from_errno(eno);
}

int real_dir_list(struct node *node, const char *path, char ***ret_names, size_t *ret_count)
{
    struct path_job job = { .path = path };
    int r = run_on_disk_pool(node, do_dir_list, &job);
    if (r < 0) return r;
    *ret_names = job.names;
    *ret_count = job.count;
    return 0;
}

static int64_t do_rename(void *arg)
{
    const struct path_job *job = arg;
    return result_of(rename(job->path, job->to));
}

int real_path_rename(struct node *node, const char *from, const char *to)
{
    return run_on_disk_pool(node, do_rename, &(struct path_job){ .path = from, .to = to });
}

static int64_t do_unlink(void *arg)
{
    const struct path_job *job = arg;
    return result_of(unlink(job->path));
}

int real_path_unlink(struct node *node, const char *path)
{
    return run_on_disk_pool(node, do_unlink, &(struct path_job){ .path = path });
}

static int64_t do_exists(void *arg)
{
    const struct path_job *job = arg;
    return access(job->path, F_OK) == 0;
}

bool real_path_exists(struct node *node, const char *path)
{
    return run_on_disk_pool(node, do_exists, &(struct path_job){ .path = path }) > 0;
}

static int64_t do_space(void *arg)
{
    struct path_job *job = arg;
    struct statvfs vfs;
    struct stat st;
    if (statvfs(job->path, &vfs) < 0 || stat(job->path, &st) < 0) return error_from_errno(errno);
    job->space = (struct disk_space){
        .capacity_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize,
        .free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize,
        .device = st.st_dev,
    };
    return 0;
}

int real_path_space(struct node *node, const char *path, struct disk_space *ret)
{
    struct path_job job = { .path = path };
    int r = run_on_disk_pool(node, do_space, &job);
    if (r >= 0) *ret = job.space;
    return r < 0 ? r : 0;
}
