/* main_persist.c - small files, written at once: at the start, and when a configuration comes. */
#include "main_persist.h"

#include "base/units.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return error_from_errno(errno);
    size_t size = strlen(text);
    ssize_t n = write(fd, text, size);
    int r = n == (ssize_t)size ? 0 : error_from_errno(n < 0 ? errno : ENOSPC);
    close(fd);
    return r;
}

void config_persist(struct node *node, const char *prefix, const char *toml)
{
    char when[32] = "", path[4096];
    uint64_t wall_ns = node_wall_ns(node);
    time_t seconds = (time_t)(wall_ns / SEC);
    struct tm tm;
    if (localtime_r(&seconds, &tm)) strftime(when, sizeof when, "%Y%m%d_%H%M%S", &tm);
    int size =
        snprintf(path, sizeof path, "%s_%s_%06u", prefix, when, (unsigned)(wall_ns % SEC / 1000));
    int r = size < (int)sizeof path ? write_file(path, toml) : -ERR_INVALID_ARG;
    if (r < 0) log_warn(&node->log, r, "the configuration is not kept in %s", path);
}
