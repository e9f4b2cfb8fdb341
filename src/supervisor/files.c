/* files.c - small files of the supervisor. */
#include "supervisor/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 1 << 20 };

static int fail(struct arena *arena, const char *path, int eno, const char **ret_error)
{
    *ret_error = arena_printf(arena, "%s: %s", path, strerrordesc_np(eno));
    return error_from_errno(eno);
}

int text_read(const char *path, struct arena *arena, struct bytes *ret, const char **ret_error)
{
    FILE *f = fopen(path, "re");
    if (!f) return fail(arena, path, errno, ret_error);
    char *text = arena_alloc(arena, TEXT_BYTES_MAX + 1);
    size_t size = fread(text, 1, TEXT_BYTES_MAX + 1, f);
    int eno = ferror(f) ? errno : size > TEXT_BYTES_MAX ? EFBIG : 0;
    fclose(f);
    if (eno) return fail(arena, path, eno, ret_error);
    text[size] = '\0';
    *ret = bytes_of(text, size);
    return 0;
}

int text_write(const char *path, const char *text, unsigned mode, struct arena *arena,
               const char **ret_error)
{
    const char *part = arena_printf(arena, "%s.part", path);
    unlink(part);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), eno = 0;
    if (fd < 0) return fail(arena, part, errno, ret_error);
    for (size_t left = strlen(text); left > 0 && !eno;) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno != EINTR) eno = errno;
        if (n > 0) {
            text += n;
            left -= (size_t)n;
        }
    }
    if (!eno && fsync(fd) < 0) eno = errno;
    if (close(fd) < 0 && !eno) eno = errno;
    if (!eno && rename(part, path) < 0) eno = errno;
    if (eno) unlink(part);
    return eno ? fail(arena, path, eno, ret_error) : 0;
}

bool mount_point_is_empty(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) return true;
    uint32_t count = 0;
    while (count < 3 && readdir(directory))
        count++;
    closedir(directory);
    return count < 3; /* . and .. */
}

int directory_make(const char *path, struct arena *arena, const char **ret_error)
{
    char *at = arena_printf(arena, "%s", path);
    for (char *p = at + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        if (mkdir(at, 0755) < 0 && errno != EEXIST) return fail(arena, at, errno, ret_error);
        *p = '/';
    }
    if (mkdir(at, 0755) < 0 && errno != EEXIST) return fail(arena, at, errno, ret_error);
    return 0;
}
