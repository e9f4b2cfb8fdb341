/* shard_content.c - the bytes of an update: which come from the caller, which from the old content,
 * which are zero.
 *
 *   row of fresh units   |  head (scratch)  |  core: the caller's own memory  |  tail (scratch)  |
 *                        begin        core_begin                        core_end               end
 *
 * Core: whole blocks of the update whose memory is aligned for direct I/O; nothing is copied there.
 * Scratch: blocks that are merged with old content, padded with zeros, or not aligned. Old content
 * is verified as it is read; a block that the update does not touch keeps its old CRC.
 */
#include "base/check.h"
#include "base/crc32c.h"
#include "storage/shard_memory.h"
#include "storage/shard_stage.h"

enum {
    CRC_SLICE_BLOCKS = 1024,   /* between two yields */
    CORE_BYTES_MIN = 64 << 10, /* a smaller part is copied between the old bytes around it */
};

struct row {
    uint32_t begin, core_begin, core_end, end; /* bytes of the chunk, whole blocks */
    uint8_t *head, *tail;
};

static void row_done(struct row *row)
{
    free(row->head);
    free(row->tail);
}

static uint32_t block_up(uint32_t at)
{
    return (at + BLOCK_BYTES - 1) & ~(uint32_t)(BLOCK_BYTES - 1);
}

static uint32_t block_down(uint32_t at)
{
    return at & ~(uint32_t)(BLOCK_BYTES - 1);
}

/* Old bytes of [from, to), whole blocks, into @out; those that the old content does not have stay
 * as they are. */
static int read_old(struct stage *g, uint32_t from, uint32_t to, uint8_t *out)
{
    to = MIN_OF(to, block_up(g->old_length));
    if (!g->base || from >= to) return 0;
    return shard_read_blocks(g->s, g->base, from, to - from, out);
}

/* Scratch memory for [from, to): old bytes around the update's, zeros elsewhere. */
static int scratch_fill(struct stage *g, uint32_t from, uint32_t to, uint8_t **ret)
{
    if (from == to) return 0;
    uint8_t *buf = *ret = block_memory(to - from);
    uint32_t begin = MAX_OF(from, g->write_begin), end = MIN_OF(to, g->write_end);
    uint32_t zeros = MAX_OF(from, g->base ? block_down(g->old_length) : 0);
    if (zeros < to) memset(buf + (zeros - from), 0, to - zeros);
    if (begin >= end) return read_old(g, from, to, buf);

    uint32_t left_end = block_up(begin), right_begin = MAX_OF(block_down(end), left_end);
    bool has_left = begin > from, has_right = end < g->old_length && right_begin < to;
    int r = 0;
    /* one read, though some of it is not needed; if just that is damaged, the update repairs it */
    bool is_one = has_left && has_right && right_begin - left_end < CORE_BYTES_MIN;
    if (is_one) r = read_old(g, from, to, buf);
    if (!is_one || r == -ERR_CHECKSUM_MISMATCH) {
        r = 0;
        if (has_left) r = read_old(g, from, left_end, buf);
        if (r >= 0 && has_right) r = read_old(g, right_begin, to, buf + (right_begin - from));
    }
    if (r < 0) return r;
    memcpy(buf + (begin - from), g->update->data.base + (begin - g->write_begin), end - begin);
    return 0;
}

/* Decides what of the row is core, and fills the scratch around it. */
static int row_fill(struct stage *g, struct row *row)
{
    uint32_t begin = MAX_OF(row->begin, g->write_begin), end = MIN_OF(row->end, g->write_end);
    row->core_begin = row->core_end = row->begin;
    if (begin < end) {
        uint32_t core_begin = block_up(begin), core_end = block_down(end);
        const uint8_t *memory = g->update->data.base + (core_begin - g->write_begin);
        bool is_whole = row->begin == core_begin && row->end == core_end;
        bool is_worth_it =
            is_whole || (core_begin < core_end && core_end - core_begin >= CORE_BYTES_MIN);
        if (is_worth_it && (uintptr_t)memory % BLOCK_BYTES == 0) {
            row->core_begin = core_begin;
            row->core_end = core_end;
        }
    }
    int r = scratch_fill(g, row->begin, row->core_begin, &row->head);
    return r < 0 ? r : scratch_fill(g, row->core_end, row->end, &row->tail);
}

/* Where the bytes of the row from @at on are in memory. */
static const uint8_t *row_at(const struct stage *g, const struct row *row, uint32_t at)
{
    if (at < row->core_begin) return row->head + (at - row->begin);
    if (at < row->core_end) return g->update->data.base + (at - g->write_begin);
    return row->tail + (at - row->core_end);
}

/* CRCs of the row's blocks, but for those that the old content had just so. */
static void row_crcs(struct stage *g, const struct row *row)
{
    uint32_t slice = 0;
    for (uint32_t at = row->begin; at < row->end; at += BLOCK_BYTES) {
        uint32_t block = at / BLOCK_BYTES, length = block_length(block, g->new_length);
        bool is_touched = at < g->write_end && at + BLOCK_BYTES > g->write_begin;
        if (!is_touched && block_length(block, g->old_length) == length) continue;
        g->record->block_crcs[block] = crc32c(0, row_at(g, row, at), length);
        if (++slice % CRC_SLICE_BLOCKS == 0) fiber_yield();
    }
}

/* Whether the caller's bytes have the CRC that they should have; in the core the block CRCs say it.
 */
static int data_check(struct stage *g, const struct row *row)
{
    if (g->update->block_crcs) return 0; /* damaged, as was said */
    const uint8_t *data = g->update->data.base;
    uint32_t crc = 0, at = g->write_begin;
    if (row->core_begin < row->core_end) {
        crc = crc32c(crc, data, row->core_begin - at);
        for (at = row->core_begin; at < row->core_end; at += BLOCK_BYTES) {
            crc = crc_append_block(&g->s->crc, crc, g->record->block_crcs[at / BLOCK_BYTES]);
        }
    }
    crc = crc32c(crc, data + (at - g->write_begin), g->write_end - at);
    return crc == g->update->data_crc32c ? 0 : -ERR_CHECKSUM_MISMATCH;
}

/* Bytes [from, to) of the row as pieces of memory. */
static int row_pieces(const struct stage *g, const struct row *row, uint32_t from, uint32_t to,
                      struct iovec *iov)
{
    const uint32_t ends[] = { row->core_begin, row->core_end, row->end };
    int count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        uint32_t end = MIN_OF(to, ends[i]);
        if (from >= end) continue;
        iov[count++] = (struct iovec){ (void *)(uintptr_t)row_at(g, row, from), end - from };
        from = end;
    }
    return count;
}

/* The number of units from place @at on that lie behind each other on the disk too. */
static uint32_t run_length(const struct stage *g, uint32_t at, uint32_t end)
{
    uint32_t n = 1;
    while (at + n < end && g->units[at + n] == g->units[at] + n &&
           g->units[at + n] % UNIT_FILE_UNITS) {
        n++;
    }
    return n;
}

static int row_write(struct stage *g, const struct row *row)
{
    uint32_t end = (row->end + UNIT_BYTES - 1) / UNIT_BYTES;
    for (uint32_t at = row->begin / UNIT_BYTES; at < end;) {
        uint32_t n = run_length(g, at, end);
        struct iovec iov[3];
        int count =
            row_pieces(g, row, at * UNIT_BYTES, MIN_OF((at + n) * UNIT_BYTES, row->end), iov);
        int r = units_write(g->s->units, g->units[at], 0, iov, count);
        if (r < 0) return r;
        at += n;
    }
    return 0;
}

/* One row of neighbouring fresh units, from place @at on; *ret_next: behind it. */
static int stage_row(struct stage *g, uint32_t at, uint32_t *ret_next)
{
    uint32_t next = at;
    while (next < g->unit_count && g->is_fresh[next]) {
        next++;
    }
    *ret_next = next;
    cleanup_(row_done) struct row row = { .begin = at * UNIT_BYTES };
    row.end = MIN_OF(next * UNIT_BYTES, block_up(g->new_length));
    int r = row_fill(g, &row);
    if (r < 0) return r;
    row_crcs(g, &row);
    /* the bytes of an update lie in one row */
    if (g->write_begin < g->write_end && g->write_begin >= row.begin && g->write_begin < row.end) {
        check(g->write_end <= row.end);
        r = data_check(g, &row);
        if (r < 0) return r;
    }
    return row_write(g, &row);
}

/* CRCs of the blocks that are not written: as they were, or of zeros in holes. */
static void old_crcs(struct stage *g)
{
    for (uint32_t block = 0; block < g->record->head.block_count; block++) {
        uint32_t length = block_length(block, g->new_length);
        uint32_t unit = g->units[block / UNIT_BLOCKS];
        if (g->base && block_length(block, g->old_length) == length) {
            g->record->block_crcs[block] = g->base->block_crcs[block];
        } else if (unit == UNIT_NONE) {
            g->record->block_crcs[block] =
                length == BLOCK_BYTES ? g->s->crc.zero_block : crc_of_zeros(length);
        }
    }
}

/* A content that became shorter: its last block's CRC covers fewer bytes now. */
static int cut_crc(struct stage *g)
{
    uint32_t last = g->new_length / BLOCK_BYTES, length = g->new_length % BLOCK_BYTES;
    if (g->new_length >= g->old_length || length == 0) return 0;
    if (g->units[last / UNIT_BLOCKS] == UNIT_NONE) return 0;
    cleanup_(freep) uint8_t *buf = block_memory(BLOCK_BYTES);
    int r = shard_read_blocks(g->s, g->base, last * BLOCK_BYTES, BLOCK_BYTES, buf);
    if (r >= 0) g->record->block_crcs[last] = crc32c(0, buf, length);
    return r;
}

/* What is damaged stays recognisable: the CRCs are those of the data as it was. */
static int take_block_crcs(struct stage *g)
{
    const struct chunk_update *u = g->update;
    memcpy(g->record->block_crcs, u->block_crcs,
           g->record->head.block_count * sizeof(*u->block_crcs));
    uint32_t crc = crc_of_blocks(&g->s->crc, g->record->block_crcs, g->new_length);
    return crc == u->data_crc32c ? 0 : -ERR_CHECKSUM_MISMATCH;
}

int stage_content(struct stage *g)
{
    old_crcs(g);
    int r = cut_crc(g);
    for (uint32_t at = 0; r >= 0 && at < g->unit_count;) {
        if (g->is_fresh[at]) {
            r = stage_row(g, at, &at);
        } else {
            at++;
        }
    }
    return r >= 0 && g->update->block_crcs ? take_block_crcs(g) : r;
}
