/* mount_keeper.c - a child process: a thread that waits for its own process's answer could never
 * be killed.
 */
#include "loop/mount_keeper.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct mount_keeper {
    pid_t pid;
    int fd; /* the child ends when it is closed, so also when this process is killed */
};

/* A stat() costs no request while the kernel is sure. After fork() of a process with threads only
 * calls to the kernel are allowed. */
static void keep(const char *path, uint64_t refresh_ns, int end_fd)
{
    uint64_t age_ns = 0;
    for (;;) {
        struct pollfd ended = { .fd = end_fd, .events = POLLIN };
        if (poll(&ended, 1, MOUNT_KEEPER_LOOK_MS) > 0) _exit(0);
        age_ns += MOUNT_KEEPER_LOOK_MS * MSEC;
        int flags = age_ns >= refresh_ns ? AT_STATX_FORCE_SYNC : AT_STATX_SYNC_AS_STAT;
        if (flags == AT_STATX_FORCE_SYNC) age_ns = 0;
        struct statx known;
        (void)statx(AT_FDCWD, path, flags, STATX_BASIC_STATS, &known);
    }
}

int mount_keeper_start(const char *path, uint64_t refresh_ns, struct mount_keeper **ret)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return error_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        prctl(PR_SET_NAME, "c3fs-keeper");
        keep(path, refresh_ns, ends[0]);
    }
    int eno = errno;
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return error_from_errno(eno);
    }
    struct mount_keeper *k = new_zero(struct mount_keeper);
    *k = (struct mount_keeper){ .pid = pid, .fd = ends[1] };
    *ret = k;
    return 0;
}

struct mount_keeper *mount_keeper_stop(struct mount_keeper *k)
{
    if (!k) return NULL;
    close(k->fd);
    while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    free(k);
    return NULL;
}
