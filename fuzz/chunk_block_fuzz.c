/* chunk_block_fuzz.c - what is read from a disk of chunks, before anything of it is believed.
 *
 * Input: a byte of options, then the bytes of a superblock, a header or batch of a journal, a
 * header or block of a checkpoint, or a record. With option 8 the CRCs are made right first.
 */
#include "base/check.h"
#include "base/crc32c.h"
#include "storage/checkpoint_block.h"
#include "storage/journal_batch.h"
#include "storage/record.h"
#include "storage/superblock.h"

#include <stdlib.h>

enum { SUPERBLOCK, JOURNAL_HEADER, BATCH, CHECKPOINT_HEADER, BLOCK, RECORD, KIND_COUNT };
enum { FIX_CRCS = 8 };

/* Sets the CRC at @at of a structure of @size bytes, which is of all of it with that field zero. */
static void fix(uint8_t *data, size_t size, size_t at)
{
    uint32_t crc = 0;
    memcpy(data + at, &crc, sizeof(crc));
    crc = crc32c(0, data, size);
    memcpy(data + at, &crc, sizeof(crc));
}

static void fix_batch(uint8_t *data, size_t size)
{
    struct batch_disk head;
    memcpy(&head, data, sizeof(head));
    if (head.size > size || head.size < sizeof(head)) head.size = (uint32_t)size;
    head.body_crc32c = crc32c(0, data + sizeof(head), head.size - sizeof(head));
    memcpy(data, &head, sizeof(head));
    fix(data, sizeof(head), offsetof(struct batch_disk, header_crc32c));
}

static void fix_block(uint8_t *data, size_t size)
{
    struct block_disk head;
    memcpy(&head, data, sizeof(head));
    if (head.size > size || head.size < sizeof(head)) head.size = (uint32_t)size;
    head.body_crc32c = crc32c(0, data + sizeof(head), head.size - sizeof(head));
    memcpy(data, &head, sizeof(head));
    fix(data, sizeof(head), offsetof(struct block_disk, header_crc32c));
}

static void fix_crcs(int kind, uint8_t *data, size_t size)
{
    if (kind == SUPERBLOCK && size >= sizeof(struct superblock_disk))
        fix(data, sizeof(struct superblock_disk), offsetof(struct superblock_disk, crc32c));
    if (kind == JOURNAL_HEADER && size >= sizeof(struct journal_disk))
        fix(data, sizeof(struct journal_disk), offsetof(struct journal_disk, crc32c));
    if (kind == CHECKPOINT_HEADER && size >= sizeof(struct checkpoint_disk))
        fix(data, sizeof(struct checkpoint_disk), offsetof(struct checkpoint_disk, crc32c));
    if (kind == BATCH && size >= sizeof(struct batch_disk)) fix_batch(data, size);
    if (kind == BLOCK && size >= sizeof(struct block_disk)) fix_block(data, size);
}

/* Whatever decodes answers questions about itself. */
static void decode_record(struct bytes payload)
{
    cleanup_(record_unrefp) struct record *record = NULL;
    int r = record_decode(payload, &record);
    if (r < 0) return;
    uint32_t count = 0;
    for (uint32_t at = 0; at < CHUNK_UNIT_COUNT_MAX; at++) {
        uint32_t end;
        count += record_find_extent(record, at, &end) != NULL;
        check(end > at);
    }
    check(count == record_unit_count(record));
    struct iovec parts[RECORD_PARTS];
    record_parts(record, parts);
    check(entry_size(parts, RECORD_PARTS) >= payload.size);
}

static int on_journal_entry(void *arg, uint64_t lsn, uint64_t locator, const struct entry *entry)
{
    check(locator_size(locator) == entry->size);
    if (entry->kind == ENTRY_RECORD) decode_record(entry->payload);
    return 0;
}

static int on_checkpoint_entry(void *arg, uint64_t locator, const struct entry *entry)
{
    return on_journal_entry(arg, 0, locator, entry);
}

static void decode_batch(struct bytes in)
{
    struct batch_disk head;
    if (batch_check(in, &head) < 0) return;
    int r = batch_each(in, &head, JOURNAL_A, JOURNAL_BLOCK_BYTES, on_journal_entry, NULL);
    check(r == 0 || r == -ERR_DATA_CORRUPTION);
}

static void decode_block(struct bytes in)
{
    struct block_disk head;
    if (checkpoint_block_check(in, &head) < 0) return;
    int r = checkpoint_block_each(in, &head, CHECKPOINT_A, CHECKPOINT_ALIGN_BYTES,
                                  on_checkpoint_entry, NULL);
    check(r == 0 || r == -ERR_DATA_CORRUPTION);
}

static void decode(int kind, const uint8_t *data, size_t size)
{
    struct superblock_disk superblock;
    int r = 0;
    switch (kind) {
    case SUPERBLOCK:
        r = superblock_decode(data, size, &superblock);
        check(r < 0 || superblock.cluster_id_bytes <= SUPERBLOCK_CLUSTER_ID_BYTES_MAX);
        break;
    case JOURNAL_HEADER:
        if (size >= sizeof(struct journal_disk)) r = journal_header_check((const void *)data, 1, 2);
        break;
    case CHECKPOINT_HEADER:
        if (size >= sizeof(struct checkpoint_disk))
            r = checkpoint_header_check((const void *)data, 1, 2);
        break;
    case BATCH: decode_batch(bytes_of(data, size)); break;
    case BLOCK: decode_block(bytes_of(data, size)); break;
    case RECORD: decode_record(bytes_of(data, size)); break;
    default: break;
    }
    check(r <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    int kind = data[0] % 8 % KIND_COUNT;
    /* aligned as what is read from a disk */
    cleanup_(freep) uint8_t *copy = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    check(copy);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & FIX_CRCS) fix_crcs(kind, copy, size - 1);
    decode(kind, copy, size - 1);
    return 0;
}
