/* host_disk.c - directories for disks: what file system, how much room, whether files can be made
 * there and written past the page cache. Each is tried with a file of its own, removed at once.
 */
#include "doctor/host_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096 };

static int try_direct(const char *path)
{
    void *block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
    int fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 || !block) {
        int error = fd < 0 ? errno : ENOMEM;
        if (fd >= 0) close(fd);
        free(block);
        return error;
    }
    memset(block, 0, BLOCK_BYTES);
    int error = pwrite(fd, block, BLOCK_BYTES, 0) == BLOCK_BYTES && fdatasync(fd) == 0 ? 0 : errno;
    close(fd);
    free(block);
    return error;
}

static void try_file(struct arena *arena, struct host_disk *disk)
{
    char *path = arena_printf(arena, "%s/.c3fs-doctor-XXXXXX", disk->path);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        disk->write_error = errno;
        return;
    }
    close(fd);
    disk->direct_error = try_direct(path);
    if (disk->direct_error == ENOSPC) disk->write_error = ENOSPC;
    unlink(path);
}

static void look_at(struct arena *arena, struct host_disk *disk)
{
    struct stat st;
    struct statfs fs;
    disk->error = stat(disk->path, &st) == 0 ? 0 : errno;
    if (!disk->error && !S_ISDIR(st.st_mode)) disk->error = ENOTDIR;
    if (!disk->error && statfs(disk->path, &fs) != 0) disk->error = errno;
    if (disk->error) return;
    disk->device = st.st_dev;
    disk->magic = (uint32_t)fs.f_type;
    disk->size_bytes = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    disk->free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    disk->free_inodes = fs.f_ffree;
    disk->has_inode_limit = fs.f_files > 0;
    try_file(arena, disk);
}

void host_look_at_disks(const struct host_question *q, struct arena *arena, struct host_facts *f)
{
    f->disks = arena_array(arena, struct host_disk, q->disk_count + 1u);
    f->disk_count = q->disk_count;
    for (uint32_t i = 0; i < q->disk_count; i++) {
        f->disks[i] = (struct host_disk){ .path = q->disks[i] };
        look_at(arena, &f->disks[i]);
    }
}
