/* embedded_host.c - see embedded_host.h. This is the machine itself: system calls that the loop
 * does not offer. */
#include "kv/embedded_host.h"
#include "base/arena.h"
#include "loop/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- opening ---- */

static int make_dirs(struct node *node, const char *path) fiber_fn
{
    cleanup_(freep) char *part = xstrdup(path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        int r = path_exists(node, part) ? 0 : dir_make(node, part, 0755);
        if (r < 0) return r;
        *p = '/';
    }
    return dir_make(node, part, 0700);
}

static int open_files(struct kv_dir *dir)
{
    struct stat st;
    dir->dir_fd = open(dir->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir->dir_fd < 0 || fstat(dir->dir_fd, &st) < 0) return error_from_errno(errno);
    dir->device = st.st_dev;
    dir->inode = st.st_ino;
    dir->lock_fd = openat(dir->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return dir->lock_fd < 0 ? error_from_errno(errno) : 0;
}

static void name_socket(struct kv_dir *dir)
{
    size_t size_max = sizeof(((struct sockaddr_un *)NULL)->sun_path);
    int n = snprintf(dir->socket_path, sizeof(dir->socket_path), "%s/kv.sock", dir->path);
    if (n > 0 && (size_t)n < size_max) return;
    snprintf(dir->socket_path, sizeof(dir->socket_path), "/proc/self/fd/%d/kv.sock", dir->dir_fd);
}

int kv_dir_open(struct node *node, const char *path, struct kv_dir *ret)
{
    if (!path[0]) return -ERR_INVALID_ARG;
    struct kv_dir dir = { .dir_fd = -1, .lock_fd = -1 };
    int r = make_dirs(node, path);
    if (r < 0) return r;
    dir.path = realpath(path, NULL);
    r = dir.path ? open_files(&dir) : error_from_errno(errno);
    if (r < 0) {
        kv_dir_close(&dir);
        return r;
    }
    name_socket(&dir);
    *ret = dir;
    return 0;
}

void kv_dir_close(struct kv_dir *dir)
{
    if (dir->lock_fd >= 0) close(dir->lock_fd);
    if (dir->dir_fd >= 0) close(dir->dir_fd);
    free(dir->path);
    *dir = (struct kv_dir){ .dir_fd = -1, .lock_fd = -1 };
}

/* ---- the lock ---- */

bool kv_dir_try_lock(struct kv_dir *dir)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(dir->lock_fd, F_OFD_SETLK, &lock) == 0;
}

void kv_dir_unlock(struct kv_dir *dir)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    int r = fcntl(dir->lock_fd, F_OFD_SETLK, &lock);
    (void)r; /* unlocking what is ours cannot fail */
}

/* ---- processes ---- */

int kv_process_own(void)
{
    return (int)getpid();
}

unsigned kv_user_own(void)
{
    return geteuid();
}

struct kv_process kv_process_open(int pid)
{
    struct kv_process process = { .pid = MAX_OF(pid, 0), .fd = -1 };
    if (pid > 0) process.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return process;
}

void kv_process_close(struct kv_process *process)
{
    if (process->fd >= 0) close(process->fd);
    process->fd = -1;
}

/* The state letter in /proc/<pid>/task/<tid>/stat, 0 when the thread is gone. */
static char thread_state(int task_fd, const char *tid)
{
    char path[300], text[512];
    snprintf(path, sizeof(path), "%s/stat", tid);
    int fd = openat(task_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    const char *name_end = strrchr(text, ')'); /* a name may have anything inside */
    return name_end && name_end[1] ? name_end[2] : 0;
}

bool kv_process_is_busy(const struct kv_process *process)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", process->pid);
    DIR *tasks = opendir(path);
    if (!tasks) return false;
    bool is_busy = false;
    for (struct dirent *e; !is_busy && (e = readdir(tasks));) {
        char state = thread_state(dirfd(tasks), e->d_name);
        is_busy = state == 'R' || state == 'D';
    }
    closedir(tasks);
    return is_busy;
}

static bool has_open(int pid, int file_fd)
{
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *fds = opendir(path);
    if (!fds) return false;
    bool is_open = false;
    if (fstat(file_fd, &own) == 0) {
        for (struct dirent *e; !is_open && (e = readdir(fds));) {
            is_open = fstatat(dirfd(fds), e->d_name, &other, 0) == 0 &&
                      other.st_dev == own.st_dev && other.st_ino == own.st_ino;
        }
    }
    closedir(fds);
    return is_open;
}

static bool has_ended(const struct kv_process *process)
{
    struct pollfd fd = { .fd = process->fd, .events = POLLIN };
    return poll(&fd, 1, 0) > 0;
}

int kv_process_end(const struct kv_process *process, const struct kv_dir *dir)
{
    if (process->fd < 0 || process->pid == kv_process_own()) return -ERR_NOT_SUPPORTED;
    if (has_ended(process)) return 0; /* others watch it too */
    if (!has_open(process->pid, dir->lock_fd)) return -ERR_NOT_SUPPORTED;
    long r = syscall(SYS_pidfd_send_signal, process->fd, SIGKILL, NULL, 0);
    return r < 0 && errno != ESRCH ? error_from_errno(errno) : 0;
}
