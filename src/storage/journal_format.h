/* journal_format.h - the two journal files of a shard.
 *
 * journal_disk (4 KiB) | batch | batch | …         each batch: batch_disk, entries, zeros to 4 KiB
 *
 * Entries are numbered: the lsn of the first in a batch stands in its header, the others follow. A
 * file belongs to one epoch at a time; when it is used again its header is overwritten first, with
 * a new random nonce that its batches repeat: what lies behind them from other times counts for
 * nothing. One batch at a time is written and synced, so a crash can only tear the last.
 *
 * The data of a record is synced beside the journal, not before it. data_lsn tells which records
 * were surely whole; later ones count only if their data has the CRCs that they say (shard_data.c).
 */
#pragma once
#include <stdint.h>

#define JOURNAL_MAGIC UINT64_C(0x314c4e4a53463343) /* "C3FSJNL1" */
#define BATCH_MAGIC   UINT64_C(0x3154414253463343) /* "C3FSBAT1" */
enum {
    JOURNAL_FORMAT_VERSION = 1,
    JOURNAL_BLOCK_BYTES = 4096,
    JOURNAL_BATCH_BYTES_MAX = 64 << 20,
};

struct journal_disk {
    uint64_t magic;
    uint32_t version;
    uint32_t crc32c;              /* of the block with this field zero */
    uint64_t uuid_high, uuid_low; /* of the store */
    uint64_t epoch;
    uint64_t first_lsn;
    uint64_t nonce;
    uint8_t zeros[4040];
};

struct batch_disk {
    uint64_t magic;
    uint64_t epoch;
    uint64_t nonce; /* the file header's */
    uint64_t first_lsn;
    uint32_t entry_count;
    uint32_t size;          /* whole, a multiple of 4 KiB */
    uint32_t body_crc32c;   /* of the size - 64 bytes behind the header */
    uint32_t header_crc32c; /* of the header with this field zero */
    uint64_t data_lsn;      /* data of records up to this one was durable before the batch was */
    uint8_t zeros[8];
};

_Static_assert(sizeof(struct journal_disk) == JOURNAL_BLOCK_BYTES, "format");
_Static_assert(sizeof(struct batch_disk) == 64, "format");
