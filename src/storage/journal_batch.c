/* journal_batch.c - see journal_batch.h. */
#include "storage/journal_batch.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "storage/shard_memory.h"

enum { BATCH_BYTES_FIRST = 64 << 10 };

/* ---- what was read ---- */

static uint32_t header_crc(const struct journal_disk *head)
{
    struct journal_disk copy = *head;
    copy.crc32c = 0;
    return crc32c(0, &copy, sizeof(copy));
}

void journal_header_seal(struct journal_disk *head)
{
    head->crc32c = header_crc(head);
}

int journal_header_check(const struct journal_disk *head, uint64_t uuid_high, uint64_t uuid_low)
{
    if (head->magic != JOURNAL_MAGIC || head->crc32c != header_crc(head))
        return -ERR_DATA_CORRUPTION;
    if (head->version > JOURNAL_FORMAT_VERSION) return -ERR_FORMAT_TOO_NEW;
    if (head->uuid_high != uuid_high || head->uuid_low != uuid_low)
        return -ERR_STORAGE_UUID_MISMATCH;
    return head->epoch && head->first_lsn ? 0 : -ERR_DATA_CORRUPTION;
}

static uint32_t batch_header_crc(const struct batch_disk *head)
{
    struct batch_disk copy = *head;
    copy.header_crc32c = 0;
    return crc32c(0, &copy, sizeof(copy));
}

bool batch_header_is_sound(struct bytes in)
{
    struct batch_disk head;
    if (in.size < sizeof(head)) return false;
    memcpy(&head, in.base, sizeof(head));
    return head.magic == BATCH_MAGIC && head.header_crc32c == batch_header_crc(&head) &&
           head.size >= JOURNAL_BLOCK_BYTES && head.size % JOURNAL_BLOCK_BYTES == 0 &&
           head.size <= JOURNAL_BATCH_BYTES_MAX && head.entry_count > 0;
}

int batch_check(struct bytes in, struct batch_disk *ret)
{
    struct batch_disk head;
    if (!batch_header_is_sound(in)) return -ERR_DATA_CORRUPTION;
    memcpy(&head, in.base, sizeof(head));
    if (head.size > in.size) return -ERR_DATA_CORRUPTION;
    if (head.body_crc32c != crc32c(0, in.base + sizeof(head), head.size - sizeof(head)))
        return -ERR_DATA_CORRUPTION;
    *ret = head;
    return 0;
}

int batch_each(struct bytes in, const struct batch_disk *head, enum index_file file,
               uint64_t offset,
               int (*fn)(void *arg, uint64_t lsn, uint64_t locator, const struct entry *entry),
               void *arg)
{
    uint32_t at = sizeof(*head);
    for (uint32_t i = 0; i < head->entry_count; i++) {
        struct entry entry;
        int r = entry_get(bytes_of(in.base + at, head->size - at), &entry);
        if (r < 0) return r;
        r = fn(arg, head->first_lsn + i, locator_make(file, offset + at, entry.size), &entry);
        if (r < 0) return r;
        at += entry.size;
    }
    return 0;
}

/* ---- being filled ---- */

struct batch *batch_new(const struct batch *like, uint64_t offset, uint64_t first_lsn)
{
    struct batch *b = new_zero(struct batch);
    *b = (struct batch){ .file = like->file,
                         .offset = offset,
                         .epoch = like->epoch,
                         .nonce = like->nonce,
                         .first_lsn = first_lsn,
                         .size = sizeof(struct batch_disk),
                         .capacity = BATCH_BYTES_FIRST,
                         .buf = block_memory(BATCH_BYTES_FIRST) };
    list_init(&b->node);
    return b;
}

struct batch *batch_free(struct batch *b)
{
    if (!b) return NULL;
    list_remove(&b->node);
    free(b->buf);
    free(b);
    return NULL;
}

static void batch_grow(struct batch *b, uint32_t size)
{
    if (b->size + size <= b->capacity) return;
    uint32_t capacity = b->capacity;
    while (b->size + size > capacity) {
        capacity *= 2;
    }
    check(capacity <= JOURNAL_BATCH_BYTES_MAX);
    uint8_t *buf = block_memory(capacity);
    memcpy(buf, b->buf, b->size);
    free(b->buf);
    b->buf = buf;
    b->capacity = capacity;
}

uint64_t batch_add(struct batch *b, enum entry_kind kind, const struct iovec *parts, int count)
{
    uint32_t size = entry_size(parts, count);
    batch_grow(b, size);
    entry_put(b->buf + b->size, kind, parts, count);
    uint64_t locator = locator_make(b->file, b->offset + b->size, size);
    b->size += size;
    b->entry_count++;
    return locator;
}

void batch_seal(struct batch *b, uint64_t data_lsn)
{
    uint32_t whole = (uint32_t)round_to_block(b->size);
    memset(b->buf + b->size, 0, whole - b->size);
    b->size = whole;
    struct batch_disk head = {
        .magic = BATCH_MAGIC,
        .epoch = b->epoch,
        .nonce = b->nonce,
        .first_lsn = b->first_lsn,
        .entry_count = b->entry_count,
        .size = whole,
        .data_lsn = data_lsn,
        .body_crc32c = crc32c(0, b->buf + sizeof(head), whole - sizeof(head)),
    };
    head.header_crc32c = batch_header_crc(&head);
    memcpy(b->buf, &head, sizeof(head));
}
