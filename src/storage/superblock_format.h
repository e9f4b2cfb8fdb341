/* superblock_format.h - who a disk directory belongs to: 4 KiB in the file "superblock", replaced
 * as a whole. */
#pragma once
#include <stdint.h>

#define SUPERBLOCK_MAGIC UINT64_C(0x3150555353463343) /* "C3FSSUP1" */
enum {
    SUPERBLOCK_FORMAT_VERSION = 1,
    SUPERBLOCK_BYTES = 4096,
    SUPERBLOCK_CLUSTER_ID_BYTES_MAX = 255
};

struct superblock_disk {
    uint64_t magic;
    uint32_t version; /* of this block and of all files beside it */
    uint32_t crc32c;  /* of the block with this field zero */
    uint64_t uuid_high, uuid_low;
    uint32_t node_id;
    uint32_t shard_count;
    uint32_t is_formatted; /* 0 until the shards' files are complete */
    uint32_t cluster_id_bytes;
    uint8_t cluster_id[256];
    uint8_t zeros[3792];
};
_Static_assert(sizeof(struct superblock_disk) == SUPERBLOCK_BYTES, "format");
