/* write_log.c - disks whose every write and flush is logged in order, so that the moment of a power
 * cut can be chosen afterwards.
 *
 *     write_log MOUNTPOINT DIRECTORY DISK_COUNT DISK_BYTES
 *
 * A FUSE file system with the files disk-0, disk-1, ... for loop devices, and mark, whose writes
 * are texts in the log. It runs until it is unmounted. DIRECTORY gets the images and the file log:
 * records of log_head and length bytes. One thread: the log has one order for all disks.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DISK_COUNT_MAX = 16, RECORD_WRITE = 1, RECORD_FLUSH = 2, RECORD_MARK = 3 };

struct log_head {
    uint32_t kind, disk;
    uint64_t offset, length; /* of the data behind; a flush has none */
};

struct write_log {
    int images[DISK_COUNT_MAX], log;
    uint32_t disk_count;
    off_t disk_bytes;
};

static struct write_log *self(void)
{
    return fuse_get_context()->private_data;
}

/* The disk of a path, or -1. */
static int disk_of(const char *path)
{
    unsigned disk;
    return sscanf(path, "/disk-%u", &disk) == 1 && disk < self()->disk_count ? (int)disk : -1;
}

static int write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        ssize_t n = write(fd, at, size);
        if (n < 0) return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int record(struct log_head head, const void *data)
{
    int r = write_all(self()->log, &head, sizeof head);
    return r < 0 ? r : write_all(self()->log, data, head.length);
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    *st = (struct stat){ .st_mode = S_IFREG | 0600, .st_nlink = 1 };
    if (strcmp(path, "/") == 0) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
    } else if (disk_of(path) >= 0) {
        st->st_size = self()->disk_bytes;
    } else if (strcmp(path, "/mark") != 0) {
        return -ENOENT;
    }
    return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi)
{
    fi->direct_io = strcmp(path, "/mark") == 0;
    return 0;
}

static int on_read(const char *path, char *buf, size_t size, off_t offset,
                   struct fuse_file_info *fi)
{
    int disk = disk_of(path);
    if (disk < 0) return -EINVAL;
    ssize_t n = pread(self()->images[disk], buf, size, offset);
    return n < 0 ? -errno : (int)n;
}

static int on_write(const char *path, const char *buf, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    int disk = disk_of(path);
    struct log_head head = { disk < 0 ? RECORD_MARK : RECORD_WRITE, disk < 0 ? 0 : (uint32_t)disk,
                             (uint64_t)offset, size };
    if (disk >= 0 && pwrite(self()->images[disk], buf, size, offset) != (ssize_t)size) return -EIO;
    int r = record(head, buf);
    return r < 0 ? r : (int)size;
}

static int on_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
    int disk = disk_of(path);
    return disk < 0 ? 0 : record((struct log_head){ RECORD_FLUSH, (uint32_t)disk, 0, 0 }, NULL);
}

static int on_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
    return 0; /* opening the mark may come with it */
}

static const struct fuse_operations operations = { .getattr = on_getattr,
                                                   .open = on_open,
                                                   .read = on_read,
                                                   .write = on_write,
                                                   .fsync = on_fsync,
                                                   .truncate = on_truncate };

static int open_files(struct write_log *w, const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/log", directory);
    w->log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->log < 0) return -errno;
    for (uint32_t i = 0; i < w->disk_count; i++) {
        snprintf(path, sizeof path, "%s/image-%u", directory, i);
        w->images[i] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (w->images[i] < 0 || ftruncate(w->images[i], w->disk_bytes) < 0) return -errno;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct write_log w = { 0 };
    if (argc != 5) {
        fprintf(stderr, "usage: write_log MOUNTPOINT DIRECTORY DISK_COUNT DISK_BYTES\n");
        return 2;
    }
    w.disk_count = (uint32_t)strtoul(argv[3], NULL, 10);
    w.disk_bytes = (off_t)strtoull(argv[4], NULL, 10);
    if (w.disk_count == 0 || w.disk_count > DISK_COUNT_MAX) return 2;
    int r = open_files(&w, argv[2]);
    if (r < 0) {
        fprintf(stderr, "write_log: %s: %s\n", argv[2], strerrordesc_np(-r));
        return 1;
    }
    char *arguments[] = { argv[0], argv[1], (char[]){ "-f" }, (char[]){ "-s" }, NULL };
    return fuse_main(4, arguments, &operations, &w);
}
