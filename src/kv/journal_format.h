/* journal_format.h - the embedded store's journal on disk; nothing else is here.
 *
 *   two files, written in turn, each: header, padded to a page | group | group | …
 *   group:  record | record | … | zeros up to a multiple of 512     written and synced as one
 *   record: header | writes                                         one transaction
 *   write:  { u8 kind, u8 0, u16 key size, u32 value size } key value
 *
 * The value of a cleared range is its end. Little-endian. Versions of records are consecutive,
 * through the end of one file into the next epoch's. A file ends where no good record of its epoch
 * with the next version stands: that is the tail that a crash may leave. A later record in the file
 * which says that the missing one was synced tells damage from such a tail.
 */
#pragma once
#include <stdint.h>

#define JOURNAL_MAGIC "C3FSKVJ1"
enum {
    JOURNAL_FORMAT_VERSION = 1,
    JOURNAL_FILES = 2,
    JOURNAL_FILE_BYTES = 16 << 20, /* holds any transaction with room to spare */
    JOURNAL_HEADER_BYTES = 4096,
    JOURNAL_GROUP_ALIGN = 512,
    JOURNAL_RECORD_MAGIC = 0x4a52434b,
    JOURNAL_WRITE_HEADER_BYTES = 8,
};

struct journal_header {
    char magic[8];
    uint32_t format_version;
    uint32_t zero;
    uint64_t epoch;         /* greater than that of the other file, if this one is newer */
    uint64_t first_version; /* of its first record */
    uint32_t reserved;
    uint32_t crc; /* of the bytes before */
};
_Static_assert(sizeof(struct journal_header) == 40, "on disk");

struct journal_record {
    uint32_t magic;
    uint32_t payload_bytes;
    uint64_t version;
    uint64_t epoch;
    uint64_t synced_version; /* all up to it were durable before this was written */
    uint32_t payload_crc;
    uint32_t crc; /* of the bytes before */
};
_Static_assert(sizeof(struct journal_record) == 40, "on disk");
