/* checkpoint_block.c - see checkpoint_block.h. */
#include "storage/checkpoint_block.h"
#include "base/crc32c.h"

static uint32_t header_crc(const struct checkpoint_disk *head)
{
    struct checkpoint_disk copy = *head;
    copy.crc32c = 0;
    return crc32c(0, &copy, sizeof(copy));
}

void checkpoint_header_seal(struct checkpoint_disk *head)
{
    head->crc32c = header_crc(head);
}

int checkpoint_header_check(const struct checkpoint_disk *head, uint64_t uuid_high,
                            uint64_t uuid_low)
{
    if (head->magic != CHECKPOINT_MAGIC || head->crc32c != header_crc(head))
        return -ERR_DATA_CORRUPTION;
    if (head->version > CHECKPOINT_FORMAT_VERSION) return -ERR_FORMAT_TOO_NEW;
    if (head->uuid_high != uuid_high || head->uuid_low != uuid_low)
        return -ERR_STORAGE_UUID_MISMATCH;
    if (head->sequence == 0 || head->journal_epoch == 0 || head->first_lsn == 0)
        return -ERR_DATA_CORRUPTION;
    return head->body_bytes % CHECKPOINT_ALIGN_BYTES ? -ERR_DATA_CORRUPTION : 0;
}

static uint32_t block_header_crc(const struct block_disk *head)
{
    struct block_disk copy = *head;
    copy.header_crc32c = 0;
    return crc32c(0, &copy, sizeof(copy));
}

void checkpoint_block_seal(uint8_t *block, struct block_disk *head)
{
    head->magic = CHECKPOINT_BLOCK_MAGIC;
    head->body_crc32c = crc32c(0, block + sizeof(*head), head->size - sizeof(*head));
    head->header_crc32c = block_header_crc(head);
    memcpy(block, head, sizeof(*head));
}

uint32_t checkpoint_block_size(struct bytes in, uint64_t sequence, uint32_t number)
{
    struct block_disk head;
    if (in.size < sizeof(head)) return 0;
    memcpy(&head, in.base, sizeof(head));
    if (head.magic != CHECKPOINT_BLOCK_MAGIC || head.header_crc32c != block_header_crc(&head))
        return 0;
    if (head.sequence != sequence || head.number != number) return 0;
    if (head.size == 0 || head.size % CHECKPOINT_ALIGN_BYTES ||
        head.size > CHECKPOINT_BLOCK_BYTES_MAX)
        return 0;
    return head.size;
}

int checkpoint_block_check(struct bytes in, struct block_disk *ret)
{
    struct block_disk head;
    if (in.size < sizeof(head)) return -ERR_DATA_CORRUPTION;
    memcpy(&head, in.base, sizeof(head));
    if (checkpoint_block_size(in, head.sequence, head.number) == 0 || head.size > in.size)
        return -ERR_DATA_CORRUPTION;
    if (head.body_crc32c != crc32c(0, in.base + sizeof(head), head.size - sizeof(head)))
        return -ERR_DATA_CORRUPTION;
    *ret = head;
    return 0;
}

int checkpoint_block_each(struct bytes in, const struct block_disk *head, enum index_file file,
                          uint64_t offset,
                          int (*fn)(void *arg, uint64_t locator, const struct entry *entry),
                          void *arg)
{
    uint32_t at = sizeof(*head);
    for (uint32_t i = 0; i < head->entry_count; i++) {
        struct entry entry;
        int r = entry_get(bytes_of(in.base + at, head->size - at), &entry);
        if (r < 0) return r;
        r = fn(arg, locator_make(file, offset + at, entry.size), &entry);
        if (r < 0) return r;
        at += entry.size;
    }
    return 0;
}
