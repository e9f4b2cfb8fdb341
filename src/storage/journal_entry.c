/* journal_entry.c - see journal_entry.h.
 *
 * Locator: 2 bits of file, 42 of offset / 8, 20 of size / 8, so that files may have 32 TiB and
 * entries 8 MiB.
 */
#include "storage/journal_entry.h"
#include "base/check.h"
#include "base/crc32c.h"

enum { LOCATOR_SIZE_BITS = 20, LOCATOR_OFFSET_BITS = 42, ENTRY_ALIGN = 8 };

uint64_t locator_make(enum index_file file, uint64_t offset, uint32_t size)
{
    check(offset % ENTRY_ALIGN == 0 && size % ENTRY_ALIGN == 0 && size > 0);
    check(offset / ENTRY_ALIGN < UINT64_C(1) << LOCATOR_OFFSET_BITS && size <= ENTRY_BYTES_MAX);
    return (uint64_t)file << (LOCATOR_OFFSET_BITS + LOCATOR_SIZE_BITS) |
           offset / ENTRY_ALIGN << LOCATOR_SIZE_BITS | size / ENTRY_ALIGN;
}

enum index_file locator_file(uint64_t locator)
{
    return (enum index_file)(locator >> (LOCATOR_OFFSET_BITS + LOCATOR_SIZE_BITS));
}

uint64_t locator_offset(uint64_t locator)
{
    uint64_t mask = (UINT64_C(1) << LOCATOR_OFFSET_BITS) - 1;
    return (locator >> LOCATOR_SIZE_BITS & mask) * ENTRY_ALIGN;
}

uint32_t locator_size(uint64_t locator)
{
    uint64_t mask = (UINT64_C(1) << LOCATOR_SIZE_BITS) - 1;
    return (uint32_t)(locator & mask) * ENTRY_ALIGN;
}

static uint32_t padded(uint32_t size)
{
    return (size + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
}

uint32_t entry_size(const struct iovec *parts, int count)
{
    size_t size = sizeof(struct entry_disk);
    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    check(size <= ENTRY_BYTES_MAX);
    return padded((uint32_t)size);
}

void entry_put(uint8_t *out, enum entry_kind kind, const struct iovec *parts, int count)
{
    struct entry_disk head = { .kind = kind };
    size_t at = sizeof(head);
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len) memcpy(out + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    uint32_t whole = entry_size(parts, count);
    memset(out + at, 0, whole - at);
    head.size = (uint32_t)at;
    memcpy(out, &head, sizeof(head));
    head.crc32c = crc32c(0, out + sizeof(head.crc32c), whole - sizeof(head.crc32c));
    memcpy(out, &head.crc32c, sizeof(head.crc32c));
}

int entry_get(struct bytes in, struct entry *ret)
{
    struct entry_disk head;
    if (in.size < sizeof(head)) return -ERR_DATA_CORRUPTION;
    memcpy(&head, in.base, sizeof(head));
    if (head.size < sizeof(head) || head.size > ENTRY_BYTES_MAX) return -ERR_DATA_CORRUPTION;
    uint32_t whole = padded(head.size);
    if (whole > in.size || head.kind == 0) return -ERR_DATA_CORRUPTION;
    if (head.crc32c != crc32c(0, in.base + sizeof(head.crc32c), whole - sizeof(head.crc32c)))
        return -ERR_DATA_CORRUPTION;
    *ret = (struct entry){ .kind = (enum entry_kind)head.kind,
                           .payload = bytes_of(in.base + sizeof(head), head.size - sizeof(head)),
                           .size = whole };
    return 0;
}
