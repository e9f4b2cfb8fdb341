/* superblock.c - see superblock.h. */
#include "storage/superblock.h"
#include "base/arena.h"
#include "base/crc32c.h"
#include "loop/file.h"

#include <stdio.h>
#include <string.h>

static uint32_t block_crc(const struct superblock_disk *block)
{
    struct superblock_disk copy = *block;
    copy.crc32c = 0;
    return crc32c(0, &copy, sizeof(copy));
}

int superblock_decode(const void *data, size_t size, struct superblock_disk *ret)
{
    struct superblock_disk block;
    if (size < sizeof(block)) return -ERR_DATA_CORRUPTION;
    memcpy(&block, data, sizeof(block));
    if (block.magic != SUPERBLOCK_MAGIC || block.crc32c != block_crc(&block))
        return -ERR_DATA_CORRUPTION;
    if (block.version > SUPERBLOCK_FORMAT_VERSION) return -ERR_FORMAT_TOO_NEW;
    if (block.cluster_id_bytes > SUPERBLOCK_CLUSTER_ID_BYTES_MAX || block.shard_count == 0)
        return -ERR_DATA_CORRUPTION;
    *ret = block;
    return 0;
}

static char *path_in(const char *dir)
{
    char *path = NULL;
    return asprintf(&path, "%s/superblock", dir) < 0 ? NULL : path;
}

int superblock_read(struct node *node, const char *dir, struct superblock_disk *ret)
{
    cleanup_(freep) char *path = path_in(dir);
    if (!path) return -ERR_NO_MEMORY;
    if (!path_exists(node, path)) return 0;
    cleanup_(freep) char *data = NULL;
    size_t size = 0;
    int r = file_read_all(node, path, 2 * SUPERBLOCK_BYTES, &data, &size);
    if (r >= 0) r = superblock_decode(data, size, ret);
    return r < 0 ? r : 1;
}

int superblock_write(struct node *node, const char *dir, struct superblock_disk *block)
{
    cleanup_(freep) char *path = path_in(dir);
    if (!path) return -ERR_NO_MEMORY;
    block->crc32c = block_crc(block);
    return file_replace(node, path, block, sizeof(*block), 0600);
}
