/* file.c - front door of files: whole transfers out of short ones, sorted lists, atomic
 * replacement. */
#include "loop/file.h"
#include "base/arena.h"
#include "base/check.h"
#include "loop/backend.h"
#include "loop/iov.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static const struct loop_ops *ops_of(const struct file *file)
{
    return file->node->loop->ops;
}

int file_open(struct node *node, const char *path, int flags, mode_t mode, struct file **ret)
{
    return node->loop->ops->file_open(node, path, flags, mode, ret);
}

struct file *file_close(struct file *file)
{
    if (file) ops_of(file)->file_close(file);
    return NULL;
}

ssize_t file_readv(struct file *file, const struct iovec *iov, int count, uint64_t offset)
{
    struct iov_cursor cursor;
    size_t done = 0;

    iov_cursor_advance(iov_cursor_init(&cursor, iov, count), 0);
    while (!iov_cursor_at_end(&cursor)) {
        const struct iovec *window;
        int window_count = iov_cursor_window(&cursor, &window);
        ssize_t n = ops_of(file)->file_readv(file, window, window_count, offset + done);
        if (n < 0) return n;
        if (n == 0) break;
        done += (size_t)n;
        iov_cursor_advance(&cursor, (size_t)n);
    }
    return (ssize_t)done;
}

ssize_t file_read(struct file *file, void *buf, size_t size, uint64_t offset)
{
    return file_readv(file, &(struct iovec){ buf, size }, 1, offset);
}

static int write_all(struct file *file,
                     ssize_t (*write)(struct file *file, const struct iovec *iov, int count,
                                      uint64_t offset),
                     const struct iovec *iov, int count, uint64_t offset) fiber_fn
{
    struct iov_cursor cursor;

    iov_cursor_advance(iov_cursor_init(&cursor, iov, count), 0);
    while (!iov_cursor_at_end(&cursor)) {
        const struct iovec *window;
        int window_count = iov_cursor_window(&cursor, &window);
        ssize_t n = write(file, window, window_count, offset);
        if (n < 0) return (int)n;
        if (n == 0) return error_from_errno(EIO);
        offset += (uint64_t)n;
        iov_cursor_advance(&cursor, (size_t)n);
    }
    return 0;
}

int file_writev(struct file *file, const struct iovec *iov, int count, uint64_t offset)
{
    return write_all(file, ops_of(file)->file_writev, iov, count, offset);
}

int file_writev_durable(struct file *file, const struct iovec *iov, int count, uint64_t offset)
{
    if (ops_of(file)->file_writev_durable)
        return write_all(file, ops_of(file)->file_writev_durable, iov, count, offset);
    int r = file_writev(file, iov, count, offset);
    return r < 0 ? r : file_sync(file);
}

int file_write(struct file *file, const void *buf, size_t size, uint64_t offset)
{
    return file_writev(file, &(struct iovec){ (void *)(uintptr_t)buf, size }, 1, offset);
}

int file_sync(struct file *file)
{
    return ops_of(file)->file_sync(file);
}

int file_truncate(struct file *file, uint64_t size)
{
    return ops_of(file)->file_truncate(file, size);
}

int file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    return ops_of(file)->file_allocate(file, offset, size);
}

int file_punch_hole(struct file *file, uint64_t offset, uint64_t size)
{
    return ops_of(file)->file_punch_hole(file, offset, size);
}

int file_size(struct file *file, uint64_t *ret_bytes)
{
    return ops_of(file)->file_size(file, ret_bytes);
}

int file_try_lock(struct file *file)
{
    return ops_of(file)->file_try_lock(file);
}

int dir_make(struct node *node, const char *path, mode_t mode)
{
    return node->loop->ops->dir_make(node, path, mode);
}

int dir_sync(struct node *node, const char *path)
{
    return node->loop->ops->dir_sync(node, path);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int dir_list(struct node *node, const char *path, char ***ret_names, size_t *ret_count)
{
    char **names = NULL;
    size_t count = 0;
    int r = node->loop->ops->dir_list(node, path, &names, &count);
    if (r < 0) return r;
    if (count > 1) qsort(names, count, sizeof(*names), compare_names);
    *ret_names = names;
    *ret_count = count;
    return 0;
}

void names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
}

int path_rename(struct node *node, const char *from, const char *to)
{
    return node->loop->ops->path_rename(node, from, to);
}

int path_unlink(struct node *node, const char *path)
{
    return node->loop->ops->path_unlink(node, path);
}

bool path_exists(struct node *node, const char *path)
{
    return node->loop->ops->path_exists(node, path);
}

int path_space(struct node *node, const char *path, struct disk_space *ret)
{
    return node->loop->ops->path_space(node, path, ret);
}

int file_read_all(struct node *node, const char *path, size_t size_max, char **ret,
                  size_t *ret_size)
{
    cleanup_(file_closep) struct file *file = NULL;
    cleanup_(freep) char *text = NULL;
    uint64_t size;

    int r = file_open(node, path, O_RDONLY, 0, &file);
    if (r < 0) return r;
    r = file_size(file, &size);
    if (r < 0) return r;
    if (size > size_max) return error_from_errno(EFBIG);
    text = malloc(size + 1);
    if (!text) return -ERR_NO_MEMORY;
    ssize_t n = file_read(file, text, size, 0);
    if (n < 0) return (int)n;
    text[n] = 0;
    if (ret_size) *ret_size = (size_t)n;
    *ret = TAKE_PTR(text);
    return 0;
}

/* The directory of @path: "." without a slash, "/" for names in the root. */
static char *dir_of_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return xstrdup(".");
    char *dir = xstrdup(path);
    dir[slash == path ? 1 : slash - path] = 0;
    return dir;
}

static int write_new_file(struct node *node, const char *path, const void *data, size_t size,
                          mode_t mode)
{
    cleanup_(file_closep) struct file *file = NULL;
    int r = file_open(node, path, O_RDWR | O_CREAT | O_TRUNC, mode, &file);
    if (r < 0) return r;
    r = file_write(file, data, size, 0);
    return r < 0 ? r : file_sync(file);
}

int file_replace(struct node *node, const char *path, const void *data, size_t size, mode_t mode)
{
    static const char suffix[] = ".tmp";
    size_t path_size = strlen(path);
    if (path_size + sizeof(suffix) > PATH_MAX) return error_from_errno(ENAMETOOLONG);
    cleanup_(freep) char *temporary = xmalloc(path_size + sizeof(suffix));
    memcpy(temporary, path, path_size);
    memcpy(temporary + path_size, suffix, sizeof(suffix));

    int r = write_new_file(node, temporary, data, size, mode);
    if (r >= 0) r = path_rename(node, temporary, path);
    if (r < 0) {
        FIBER_SHIELD();
        FIBER_TIMEOUT(1 * SEC);
        int ignored = path_unlink(node, temporary);
        (void)ignored;
        return r;
    }
    cleanup_(freep) char *dir = dir_of_path(path);
    return dir_sync(node, dir);
}
