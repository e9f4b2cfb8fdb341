/* shard_read.c - reading blocks of a content and verifying every one of them. */
#include "base/check.h"
#include "base/crc32c.h"
#include "storage/shard.h"

enum { VERIFY_SLICE_BLOCKS = 1024 }; /* between two yields */

/* Bytes of block @block that the content has. */
static uint32_t real_length(const struct record *record, uint32_t block)
{
    return MIN_OF((uint32_t)BLOCK_BYTES, record->head.length - block * BLOCK_BYTES);
}

int shard_check_blocks(const struct record *record, uint32_t offset, uint32_t size, uint8_t *buf)
{
    uint32_t begin = offset / BLOCK_BYTES, end = (offset + size) / BLOCK_BYTES;
    for (uint32_t block = begin; block < end; block++, buf += BLOCK_BYTES) {
        uint32_t length = real_length(record, block);
        if (crc32c(0, buf, length) != record->block_crcs[block]) return -ERR_CHECKSUM_MISMATCH;
        if (length < BLOCK_BYTES) memset(buf + length, 0, BLOCK_BYTES - length);
        if ((block - begin + 1) % VERIFY_SLICE_BLOCKS == 0) fiber_yield();
    }
    return 0;
}

static bool is_told(struct shard *s, const struct record *record)
{
    for (uint32_t i = 0; i < DAMAGE_TOLD_COUNT; i++) {
        if (s->damage_told[i].version == record->head.version &&
            chunk_key_compare(&s->damage_told[i].key, &record->head.key) == 0)
            return true;
    }
    uint32_t at = s->damage_told_next++ % DAMAGE_TOLD_COUNT;
    s->damage_told[at].key = record->head.key;
    s->damage_told[at].version = record->head.version;
    return false;
}

static int report_damage(struct shard *s, const struct record *record, uint32_t offset,
                         uint32_t size)
{
    const struct chunk_key *key = &record->head.key;
    ++*s->checksum_errors;
    if (is_told(s, record)) return -ERR_CHECKSUM_MISMATCH;
    return log_error(&s->node->log, -ERR_CHECKSUM_MISMATCH,
                     "%s: chunk %llx-%x version %llu: bytes %u to %u are damaged", s->path,
                     (unsigned long long)key->inode, key->index,
                     (unsigned long long)record->head.version, offset, offset + size - 1);
}

int shard_read_blocks(struct shard *s, const struct record *record, uint32_t offset, uint32_t size,
                      uint8_t *out)
{
    uint32_t end = offset + size;
    check(offset % BLOCK_BYTES == 0 && size % BLOCK_BYTES == 0);
    check(end / BLOCK_BYTES <= record->head.block_count);
    while (offset < end) {
        uint32_t piece_end, at = offset / UNIT_BYTES;
        const struct extent_disk *e = record_find_extent(record, at, &piece_end);
        uint32_t n = MIN_OF(end, piece_end * UNIT_BYTES) - offset;
        if (e) {
            int r = units_read(s->units, e->unit + (at - e->at), offset % UNIT_BYTES, out, n);
            if (r >= 0) r = shard_check_blocks(record, offset, n, out);
            if (r == -ERR_CHECKSUM_MISMATCH) return report_damage(s, record, offset, n);
            if (r < 0) return r;
        } else {
            memset(out, 0, n);
        }
        offset += n;
        out += n;
    }
    return 0;
}

/* Of a unit that cannot be read at once, block by block what can. */
static void read_what_can_be(struct shard *s, uint32_t unit, uint32_t size, uint8_t *out)
{
    if (units_read(s->units, unit, 0, out, size) >= 0) return;
    for (uint32_t at = 0; at < size; at += BLOCK_BYTES) {
        if (units_read(s->units, unit, at, out + at, BLOCK_BYTES) < 0)
            memset(out + at, 0, BLOCK_BYTES);
    }
}

void shard_read_unverified(struct shard *s, const struct record *record, uint8_t *out)
{
    uint32_t size = record->head.block_count * BLOCK_BYTES;
    for (uint32_t offset = 0; offset < size; offset += UNIT_BYTES) {
        uint32_t piece_end, at = offset / UNIT_BYTES;
        uint32_t n = MIN_OF(size - offset, (uint32_t)UNIT_BYTES);
        const struct extent_disk *e = record_find_extent(record, at, &piece_end);
        if (e)
            read_what_can_be(s, e->unit + (at - e->at), n, out + offset);
        else
            memset(out + offset, 0, n);
    }
}

/* The CRC of [begin, end) of the content, whose blocks have been verified; @bytes are those from
 * @begin on. */
static uint32_t range_crc(const struct shard *s, const struct record *record, uint32_t begin,
                          uint32_t end, const uint8_t *bytes)
{
    uint32_t crc = 0, at = begin;
    while (at < end) {
        uint32_t block = at / BLOCK_BYTES;
        uint32_t n = MIN_OF(end, (block + 1) * BLOCK_BYTES) - at;
        if (n == BLOCK_BYTES) {
            crc = crc_append_block(&s->crc, crc, record->block_crcs[block]);
        } else {
            crc = crc32c(crc, bytes + (at - begin), n);
        }
        at += n;
    }
    return crc;
}

int shard_read(struct shard *s, struct record *record, uint32_t offset, uint32_t length,
               struct buffer_pool *pool, struct buffer **ret, uint32_t *ret_skip,
               uint32_t *ret_length, uint32_t *ret_crc32c)
{
    uint32_t real = offset < record->head.length ? MIN_OF(length, record->head.length - offset) : 0;
    *ret_skip = *ret_length = *ret_crc32c = 0;
    *ret = NULL;
    if (real == 0) return 0;

    uint32_t begin = offset / BLOCK_BYTES * BLOCK_BYTES;
    uint32_t size = (offset + real - begin + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    int r = buffer_take(pool, size, &buffer);
    if (r >= 0) r = shard_read_blocks(s, record, begin, size, buffer->base);
    if (r < 0) return r;
    *ret_skip = offset - begin;
    *ret_length = real;
    *ret_crc32c = range_crc(s, record, offset, offset + real, buffer->base + *ret_skip);
    *ret = TAKE_PTR(buffer);
    return 0;
}
