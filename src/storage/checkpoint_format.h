/* checkpoint_format.h - the two checkpoint files of a shard, used in turns.
 *
 *   checkpoint_disk (4 KiB) | block | block | …    a block: block_disk, entries, zeros to 4 KiB
 *
 * The header is written after all blocks are durable, so a header that is whole stands for a whole
 * checkpoint; of two, the greater sequence counts. First come targets, floors and identities as
 * they were when the journal's epoch began, then the records of all chunks in order of key.
 *
 * Writers do not stop for a checkpoint. Each block says for which keys (behind the previous block's
 * range_end, up to its own) it speaks, and at which lsn: entries of the journal up to that lsn that
 * concern a chunk of the range are in it already.
 */
#pragma once
#include "storage/record_format.h"

#define CHECKPOINT_MAGIC       UINT64_C(0x31504b4353463343) /* "C3FSCKP1" */
#define CHECKPOINT_BLOCK_MAGIC UINT64_C(0x314b4c4253463343) /* "C3FSBLK1" */
enum {
    CHECKPOINT_FORMAT_VERSION = 1,
    CHECKPOINT_ALIGN_BYTES = 4096,
    CHECKPOINT_BLOCK_BYTES_MAX = 4 << 20,
};

struct checkpoint_disk {
    uint64_t magic;
    uint32_t version;
    uint32_t crc32c; /* of the block with this field zero */
    uint64_t uuid_high, uuid_low;
    uint64_t sequence;
    uint64_t journal_epoch; /* replay begins with this one */
    uint64_t first_lsn;     /* of that epoch */
    uint64_t end_lsn;       /* greatest lsn that a block may contain; journal and data up to it are
                            durable before */
    uint64_t body_bytes;    /* of all blocks */
    uint32_t block_count;
    uint32_t target_number_next; /* when the epoch began */
    uint8_t zeros[4016];
};

struct block_disk {
    uint64_t magic;
    uint64_t sequence; /* the checkpoint's */
    uint64_t lsn;
    struct chunk_key range_end;
    uint32_t number; /* 0 … block_count - 1 */
    uint32_t entry_count;
    uint32_t size; /* whole, a multiple of 4 KiB */
    uint32_t body_crc32c;
    uint32_t header_crc32c; /* of the header with this field zero */
    uint32_t zero;
};

_Static_assert(sizeof(struct checkpoint_disk) == CHECKPOINT_ALIGN_BYTES, "format");
_Static_assert(sizeof(struct block_disk) == 64, "format");
