/* tree_bench.c - how many names a second a directory takes: the system calls on any file system.
 *
 *     tree_bench [--processes 2] [--files 5000] [--one-directory] [--fsync] [--drop-caches]
 *                [--watch PID,PID,...] [--json] DIRECTORY
 *
 * Each process makes a directory of its own in DIRECTORY (or all share one), and in it FILES empty
 * files (open, close), asks for the attributes of each, lists the directory, renames each file, and
 * removes each: each phase when all processes have ended the one before. --fsync makes each
 * creation and removal durable by an fsync of the directory: what a file system with durable
 * metadata does unasked. --watch shows the CPU time that other processes (a server's) spend on an
 * operation.
 */
#include "team.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_COUNT_MAX = 10000000 };

enum phase { PHASE_MKDIR, PHASE_CREATE, PHASE_STAT, PHASE_READDIR, PHASE_RENAME, PHASE_UNLINK };
static const char *const phase_names[] = { "mkdir",  "create", "stat", "readdir",
                                           "rename", "unlink", NULL };

struct tree_bench {
    const char *directory;
    uint32_t file_count;
    bool is_shared, syncs;
};

struct worker {
    const struct tree_bench *bench;
    uint32_t index;
    char path[4096];
    int directory_fd;
};

static int failed(const char *what, const char *name)
{
    fprintf(stderr, "tree_bench: %s %s: %s\n", what, name, strerrordesc_np(errno));
    return -1;
}

static void file_name(const struct worker *w, const char *prefix, uint32_t i, char name[64])
{
    snprintf(name, 64, "%s-%u-%u", prefix, w->index, i);
}

static int make_directory(struct worker *w)
{
    const struct tree_bench *b = w->bench;
    int n = b->is_shared ? snprintf(w->path, sizeof w->path, "%s/shared", b->directory)
                         : snprintf(w->path, sizeof w->path, "%s/w%u", b->directory, w->index);
    if (n >= (int)sizeof w->path) errno = ENAMETOOLONG;
    if (n >= (int)sizeof w->path ||
        (mkdir(w->path, 0755) < 0 && !(b->is_shared && errno == EEXIST)))
        return failed("mkdir", w->path);
    w->directory_fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return w->directory_fd < 0 ? failed("open", w->path) : 0;
}

static int sync_directory(const struct worker *w)
{
    if (!w->bench->syncs || fsync(w->directory_fd) == 0) return 0;
    return failed("fsync", w->path);
}

static int one_operation(const struct worker *w, enum phase phase, uint32_t i)
{
    char made[64], renamed[64];
    struct stat st;
    file_name(w, "made", i, made);
    file_name(w, "renamed", i, renamed);
    switch (phase) {
    case PHASE_CREATE: {
        int fd = openat(w->directory_fd, made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || close(fd) < 0) return failed("create", made);
        return sync_directory(w);
    }
    case PHASE_STAT: return fstatat(w->directory_fd, made, &st, 0) < 0 ? failed("stat", made) : 0;
    case PHASE_RENAME:
        if (renameat(w->directory_fd, made, w->directory_fd, renamed) < 0)
            return failed("rename", made);
        return sync_directory(w);
    default:
        if (unlinkat(w->directory_fd, renamed, 0) < 0) return failed("unlink", renamed);
        return sync_directory(w);
    }
}

/* Entries seen, without the two of the directory itself. */
static int64_t list_directory(const struct worker *w)
{
    DIR *directory = opendir(w->path);
    int64_t count = 0;
    if (!directory) return failed("opendir", w->path);
    errno = 0;
    while (readdir(directory))
        count++;
    if (errno != 0) count = failed("readdir", w->path);
    closedir(directory);
    return count < 0 ? count : count - 2;
}

static int64_t run_phase(struct worker *w, enum phase phase)
{
    if (phase == PHASE_MKDIR) return make_directory(w);
    if (phase == PHASE_READDIR) return list_directory(w);
    for (uint32_t i = 0; i < w->bench->file_count; i++) {
        if (one_operation(w, phase, i) < 0) return -1;
    }
    return w->bench->file_count;
}

static int worker_main(struct team_member *m, void *arg)
{
    struct worker w = { .bench = arg, .index = m->index, .directory_fd = -1 };
    int phase;
    while ((phase = team_begin(m)) >= 0) {
        int64_t count = run_phase(&w, (enum phase)phase);
        if (count < 0) return -1;
        team_end(m, (uint64_t)count);
    }
    close(w.directory_fd);
    if (rmdir(w.path) < 0 && !w.bench->is_shared) return failed("rmdir", w.path);
    return 0;
}

int main(int argc, char **argv)
{
    struct tree_bench bench = { .file_count = 5000 };
    struct team_options team = {
        .member_count = 2, .phases = phase_names, .member = worker_main, .arg = &bench
    };
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *next = argv[i + 1]; /* argv[argc] is NULL */
        if (!strcmp(option, "--processes") || !strcmp(option, "--files") ||
            !strcmp(option, "--watch"))
            i++;
        if (!strcmp(option, "--processes")) {
            team.member_count = team_number(option, next, TEAM_MEMBER_COUNT_MAX);
        } else if (!strcmp(option, "--files")) {
            bench.file_count = team_number(option, next, FILE_COUNT_MAX);
        } else if (!strcmp(option, "--watch")) {
            team.watch = next;
        } else if (!strcmp(option, "--one-directory")) {
            bench.is_shared = true;
        } else if (!strcmp(option, "--fsync")) {
            bench.syncs = true;
        } else if (!strcmp(option, "--drop-caches")) {
            team.drops_caches = true;
        } else if (!strcmp(option, "--json")) {
            team.is_json = true;
        } else if (option[0] == '-' || bench.directory) {
            fprintf(stderr, "tree_bench: '%s' is not understood; see the top of tree_bench.c\n",
                    option);
            return 2;
        } else {
            bench.directory = option;
        }
    }
    if (!bench.directory) {
        fprintf(stderr, "usage: tree_bench [OPTION]... DIRECTORY\n");
        return 2;
    }
    return team_run(&team);
}
