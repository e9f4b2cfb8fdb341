/* journal_entry.h - entries of journals and checkpoints: building them in memory, finding them in
 * what was read.
 *
 * What is read is not trusted: an entry that is cut short, has a wrong CRC or a size that cannot be
 * is an error.
 */
#pragma once
#include "base/error.h"
#include "storage/record_format.h"
#include <sys/uio.h>

/* The four files of a shard that hold entries. */
enum index_file { JOURNAL_A, JOURNAL_B, CHECKPOINT_A, CHECKPOINT_B, INDEX_FILE_COUNT };

/* Where an entry is: file, byte offset, size, in one number; 0 is nowhere. */
uint64_t locator_make(enum index_file file, uint64_t offset, uint32_t size);
enum index_file locator_file(uint64_t locator);
uint64_t locator_offset(uint64_t locator);
uint32_t locator_size(uint64_t locator); /* padded */

struct entry {
    enum entry_kind kind;
    struct bytes payload; /* borrowed */
    uint32_t size;        /* of the whole entry, padded */
};

/* The largest entry that entry_put() and entry_get() accept. */
enum { ENTRY_BYTES_MAX = 1 << 20, ENTRY_PARTS_MAX = 4 };

uint32_t entry_size(const struct iovec *parts, int count); /* padded */
/* Writes the entry to @out, which has room for entry_size() bytes. */
void entry_put(uint8_t *out, enum entry_kind kind, const struct iovec *parts, int count);
/* The entry at the start of @in; -ERR_DATA_CORRUPTION. Kinds are not judged but for 0. */
int entry_get(struct bytes in, struct entry *ret) must_check;
