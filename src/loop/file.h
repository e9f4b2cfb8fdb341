/* file.h - files and directories through the seam. All calls may suspend and honour the fiber's
 * deadline.
 *
 * In the simulator each machine has its own tree; a crash drops or tears what was not synced: file
 * data by file_sync(), a new or renamed name by dir_sync() of its directory. Errors: system codes
 * unless said.
 */
#pragma once
#include "loop/node.h"
#include <fcntl.h>
#include <sys/uio.h>

struct file;

/* @flags: O_RDONLY|O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_DIRECT (falls back to buffered where the
 * file system refuses it). With O_DIRECT offsets, lengths and memory are multiples of 4096. */
int file_open(struct node *node, const char *path, int flags, mode_t mode,
              struct file **ret) fiber_fn must_check;
struct file *file_close(struct file *file); /* NULL is fine; returns NULL; does not sync */
CLEANUP_FUNC(struct file *, file_close)

/* All or an error: a read past the end is short (returns what there is), a write is never short. */
ssize_t file_read(struct file *file, void *buf, size_t size, uint64_t offset) fiber_fn must_check;
ssize_t file_readv(struct file *file, const struct iovec *iov, int count,
                   uint64_t offset) fiber_fn must_check;
int file_write(struct file *file, const void *buf, size_t size,
               uint64_t offset) fiber_fn must_check;
int file_writev(struct file *file, const struct iovec *iov, int count,
                uint64_t offset) fiber_fn must_check;
int file_sync(struct file *file) fiber_fn must_check; /* fdatasync */
/* A write and its sync in one request to the kernel; what was written before may stay unsynced. */
int file_writev_durable(struct file *file, const struct iovec *iov, int count,
                        uint64_t offset) fiber_fn must_check;
int file_truncate(struct file *file, uint64_t size) fiber_fn must_check;
int file_allocate(struct file *file, uint64_t offset,
                  uint64_t size) fiber_fn must_check; /* fallocate */
int file_punch_hole(struct file *file, uint64_t offset, uint64_t size) fiber_fn must_check;
int file_size(struct file *file, uint64_t *ret_bytes) must_check;
/* Exclusive flock() on this very file description; -ERR_BUSY when another holds it. */
int file_try_lock(struct file *file) must_check;

int dir_make(struct node *node, const char *path,
             mode_t mode) fiber_fn must_check; /* 0 also if present */
int dir_sync(struct node *node, const char *path) fiber_fn must_check;
/* Names in @path without . and .., sorted; in @ret, allocated one by one and as an array:
 * names_free(). */
int dir_list(struct node *node, const char *path, char ***ret_names,
             size_t *ret_count) fiber_fn must_check;
void names_free(char **names, size_t count);
int path_rename(struct node *node, const char *from, const char *to) fiber_fn must_check;
int path_unlink(struct node *node, const char *path) fiber_fn must_check;
bool path_exists(struct node *node, const char *path) fiber_fn;

struct disk_space {
    uint64_t capacity_bytes, free_bytes; /* free: for an unprivileged writer */
    uint64_t device;                     /* st_dev: equal for directories on one file system */
};
int path_space(struct node *node, const char *path, struct disk_space *ret) fiber_fn must_check;

/* Whole small files: read into a fresh NUL-terminated buffer; replaced atomically and durably
 * (temporary file PATH.tmp, sync, rename, sync of the directory), by one fiber at a time a path. */
int file_read_all(struct node *node, const char *path, size_t size_max, char **ret,
                  size_t *ret_size) fiber_fn must_check;
int file_replace(struct node *node, const char *path, const void *data, size_t size,
                 mode_t mode) fiber_fn must_check;
