/* journal_batch.h - a batch of the journal: checking one that was read, building one in memory. */
#pragma once
#include "base/error.h"
#include "base/list.h"
#include "storage/journal_entry.h"
#include "storage/journal_format.h"

/* ---- what was read; not trusted ---- */

/* -ERR_DATA_CORRUPTION, -ERR_FORMAT_TOO_NEW, -ERR_STORAGE_UUID_MISMATCH (of another store), or 0.
 */
int journal_header_check(const struct journal_disk *head, uint64_t uuid_high,
                         uint64_t uuid_low) must_check;
void journal_header_seal(struct journal_disk *head); /* sets the CRC */
/* Whether a batch header stands at the start of @in; its body may still be damaged. */
bool batch_header_is_sound(struct bytes in);
/* 0 when the whole batch lies at the start of @in and is sound, with its header. */
int batch_check(struct bytes in, struct batch_disk *ret) must_check;
/* Calls @fn for the entries of a checked batch that lies at @offset of @file. */
int batch_each(struct bytes in, const struct batch_disk *head, enum index_file file,
               uint64_t offset,
               int (*fn)(void *arg, uint64_t lsn, uint64_t locator, const struct entry *entry),
               void *arg) must_check;

/* ---- being filled ---- */

struct batch {
    struct list node;
    enum index_file file;
    uint64_t offset; /* in the file */
    uint64_t epoch, nonce;
    uint64_t first_lsn;
    uint32_t entry_count;
    uint32_t size, capacity; /* of buf; size includes the header */
    uint8_t *buf;
    bool begins_epoch; /* the file's header is written before it */
};

/* Empty, at @offset of the file that @like is for, in its epoch; @like is only looked at. */
struct batch *batch_new(const struct batch *like, uint64_t offset, uint64_t first_lsn);
struct batch *batch_free(struct batch *b);
/* The entry's place in the file. */
uint64_t batch_add(struct batch *b, enum entry_kind kind, const struct iovec *parts, int count);
/* Pads it and writes its header; size is then what is to be written. */
void batch_seal(struct batch *b, uint64_t data_lsn);
