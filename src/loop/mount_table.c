/* mount_table.c - /proc/self/mounts and mountinfo, and umount by root or by fusermount3. */
#include "loop/mount_table.h"

#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAYER_COUNT_MAX = 16 };

/* The kernel writes blanks, tabs, newlines and backslashes as \ooo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        bool is_octal = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
                        p[3] >= '0' && p[3] <= '7';
        if (is_octal) {
            *to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
            p += 3;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
}

const char *mount_type(const char *path, struct arena *arena)
{
    FILE *f = fopen("/proc/self/mounts", "re");
    char *line = NULL;
    const char *found = NULL;
    size_t capacity = 0;
    if (!f) return NULL;
    while (getline(&line, &capacity, f) >
           0) { /* source, path, type, options; later ones are on top */
        char *save = NULL;
        (void)strtok_r(line, " ", &save);
        char *at = strtok_r(NULL, " ", &save), *type = strtok_r(NULL, " ", &save);
        if (!at || !type) continue;
        unescape(at);
        if (strcmp(at, path) == 0) found = arena_printf(arena, "%s", type);
    }
    free(line);
    fclose(f);
    return found;
}

bool mount_is_ours(const char *path)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    const char *type = mount_type(path, &arena);
    return type && strcmp(type, "fuse.hf3fs") == 0;
}

bool mount_answers(const char *path)
{
    /* Opening asks the daemon, as attributes need not: the kernel may still hold those. */
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno != ENOTCONN && errno != ECONNABORTED;
    close(fd);
    return true;
}

int mount_ask(const char *path, uint64_t timeout_ns)
{
    int status = 0;
    pid_t pid = fork();
    if (pid < 0) return errno;
    if (pid == 0) {
        struct statvfs st;
        _exit(statvfs(path, &st) == 0 ? 0 : errno & 0xff);
    }
    struct pollfd ended = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
    if (ended.fd < 0) return errno;
    bool is_answered = poll(&ended, 1, (int)(timeout_ns / MSEC)) == 1;
    close(ended.fd);
    if (!is_answered) kill(pid, SIGKILL);
    if (is_answered) waitpid(pid, &status, 0);
    return is_answered && WIFEXITED(status) ? WEXITSTATUS(status) : ETIMEDOUT;
}

struct mount_row {
    unsigned id, parent;
    char at[4096], type[64];
    bool is_shared;
};

/* "36 35 98:0 /root /at rw,noatime shared:1 - ext3 /dev/root rw"; optional fields end with " - ".
 */
static bool parse_row(const char *line, struct mount_row *ret)
{
    struct mount_row row = { 0 };
    const char *dash = strstr(line, " - "), *shared = strstr(line, " shared:");
    if (!dash || sscanf(line, "%u %u %*s %*s %4095s", &row.id, &row.parent, row.at) != 3)
        return false;
    if (sscanf(dash, " - %63s", row.type) != 1) return false;
    row.is_shared = shared && shared < dash;
    unescape(row.at);
    *ret = row;
    return true;
}

/* The last row at @path, or, without one, the row of mount @id. */
static bool find_row(const char *path, unsigned id, struct mount_row *ret)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t capacity = 0;
    struct mount_row row;
    bool is_found = false;
    while (f && getline(&line, &capacity, f) > 0) {
        if (!parse_row(line, &row)) continue;
        if (path ? strcmp(row.at, path) != 0 : row.id != id) continue;
        *ret = row;
        is_found = true;
    }
    free(line);
    if (f) fclose(f);
    return is_found;
}

bool mount_is_bound(const char *path)
{
    struct mount_row row, parent;
    if (!find_row(path, 0, &row) || !row.is_shared) return false;
    /* What is made or taken away on a shared mount happens on its peers too; the root of a
     * container has none, even where its runtime calls it shared. */
    return !find_row(NULL, row.parent, &parent) || !parent.is_shared ||
           strcmp(parent.type, "overlay") == 0;
}

/* For users who may not call umount(). */
static bool run_fusermount(const char *path)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-z", path, NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

bool mount_clear(const char *path)
{
    for (int i = 0; i < LAYER_COUNT_MAX && mount_is_ours(path); i++) {
        if (umount2(path, MNT_DETACH) < 0 && !run_fusermount(path)) break;
    }
    return !mount_is_ours(path);
}
