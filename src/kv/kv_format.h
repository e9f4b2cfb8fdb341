/* kv_format.h - a backup of a store as a file: all pairs at one snapshot, in order of key; nothing
 * else is here.
 *
 *   header | block | block | … | end
 *
 * Little-endian. A block is its header and payload_bytes of pairs, each { u16 key size, u32 value
 * size, key, value }. The end is a block with no pairs, whose payload is struct kv_backup_end;
 * nothing follows it. A file that breaks off anywhere has no end. Every header and payload carries
 * its CRC32C; keys ascend strictly through the whole file.
 */
#pragma once
#include <stdint.h>

#define KV_BACKUP_MAGIC "C3FSKVB1"
enum { KV_BACKUP_VERSION = 1, KV_BACKUP_PAIR_HEADER_BYTES = 6 };
/* Blocks are ended at KV_PAGE_BYTES, so the last pair may reach beyond. */
enum { KV_BACKUP_BLOCK_BYTES_MAX = 2 << 20 };

struct kv_backup_header {
    char magic[8];
    uint32_t version; /* a reader refuses greater ones */
    uint32_t reserved;
    uint64_t created_wall_ns;
    uint32_t zero;
    uint32_t crc; /* of the bytes before */
};
_Static_assert(sizeof(struct kv_backup_header) == 32, "on disk");

struct kv_backup_block {
    uint32_t payload_bytes;
    uint32_t pair_count;
    uint32_t payload_crc;
    uint32_t crc; /* of the bytes before */
};
_Static_assert(sizeof(struct kv_backup_block) == 16, "on disk");

struct kv_backup_end {
    uint64_t pair_count;
    uint64_t payload_bytes; /* of all blocks before */
};
_Static_assert(sizeof(struct kv_backup_end) == 16, "on disk");
