/* sim_data.c - the content of simulated files: writes on top of what is durable, syncs, crashes. */
#include "loop/sim_disk.h"

#include "base/arena.h"
#include "base/check.h"
#include <errno.h>

enum change_kind { CHANGE_WRITE, CHANGE_SIZE, CHANGE_ALLOCATE, CHANGE_PUNCH };

/* An unsynced system call. Blocks hold the whole new content of their 4 KiB. */
struct data_change {
    struct list node;
    uint64_t seq;
    enum change_kind kind;
    uint64_t begin,
        end; /* WRITE: its blocks; ALLOCATE: blocks; PUNCH and SIZE: blocks that are freed */
    uint64_t size_bytes; /* SIZE: exactly; else at least this */
    uint32_t block_count;
    struct sim_block *blocks[]; /* WRITE: begin..end; others: edges, at most two */
};

enum {
    UNSYNCED_MAX = 4096, /* more are written back in the background, oldest first */
    SECTOR_COUNT = SIM_BLOCK_SIZE / SIM_SECTOR_SIZE,
    TORN_SECTORS_ONE_IN = 16,
    HOLLOW_ONE_IN = 8, /* a lost write that had grown the file leaves zeros there */
};

static uint64_t blocks_of(uint64_t size_bytes)
{
    return size_bytes / SIM_BLOCK_SIZE + (size_bytes % SIM_BLOCK_SIZE != 0);
}

static struct data_change *change_new(struct sim_inode *inode, enum change_kind kind,
                                      uint32_t block_count)
{
    struct data_change *c = xcalloc(1, sizeof *c + block_count * sizeof c->blocks[0]);
    c->kind = kind;
    c->block_count = block_count;
    c->seq = ++inode->change_seq;
    return c;
}

static void change_free(struct sim_inode *inode, struct data_change *c)
{
    for (uint32_t i = 0; i < c->block_count; i++)
        sim_block_unref(c->blocks[i]);
    list_remove(&c->node);
    inode->change_count--;
    free(c);
}

/* Edge blocks of PUNCH and SIZE lie around the freed blocks: just before them, and just after. */
static uint64_t change_block_number(const struct data_change *c, uint32_t i)
{
    if (c->kind == CHANGE_WRITE) return c->begin + i;
    return i == 0 ? c->begin - 1 : c->end;
}

static void change_apply(const struct data_change *c, struct sim_image *image)
{
    switch (c->kind) {
    case CHANGE_WRITE: break;
    case CHANGE_SIZE:
    case CHANGE_PUNCH: sim_image_clear(image, c->begin, c->end); break;
    case CHANGE_ALLOCATE: sim_ranges_add(&image->allocated, c->begin, c->end); break;
    }
    for (uint32_t i = 0; i < c->block_count; i++)
        if (c->blocks[i]) sim_image_set(image, change_block_number(c, i), c->blocks[i]);
    if (c->kind == CHANGE_SIZE || c->size_bytes > image->size_bytes)
        image->size_bytes = c->size_bytes;
}

/* Applies a new change to the newest state and queues it for the durable one. */
static void change_add(struct sim_disk *disk, struct sim_inode *inode, struct data_change *c)
{
    uint64_t before = inode->newest.allocated.total;
    change_apply(c, &inode->newest);
    disk->used_blocks += inode->newest.allocated.total - before;
    list_push_back(&inode->changes, &c->node);
    if (++inode->change_count <= UNSYNCED_MAX) return;
    struct data_change *oldest = list_entry(inode->changes.next, struct data_change, node);
    change_apply(oldest, &inode->durable);
    change_free(inode, oldest);
}

static uint64_t space_left(const struct sim_disk *disk)
{
    uint64_t capacity = sim_disk_capacity_blocks(disk);
    return disk->used_blocks < capacity ? capacity - disk->used_blocks : 0;
}

/* ---- reading and writing ---- */

ssize_t sim_data_read(struct sim_inode *inode, const struct iovec *iov, int count, uint64_t offset)
{
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        if (offset >= inode->newest.size_bytes) break;
        size_t n = (size_t)MIN_OF(inode->newest.size_bytes - offset, (uint64_t)iov[i].iov_len);
        sim_image_read(&inode->newest, iov[i].iov_base, n, offset);
        done += n;
        offset += n;
        if (n < iov[i].iov_len) break;
    }
    return (ssize_t)done;
}

/* The bytes of an iovec, taken from the front. */
struct iov_cursor {
    const struct iovec *iov;
    size_t used; /* of the first */
};

static void iov_take(struct iov_cursor *c, uint8_t *to, size_t size)
{
    while (size) {
        size_t n = MIN_OF(size, c->iov->iov_len - c->used);
        if (n) memcpy(to, (const uint8_t *)c->iov->iov_base + c->used, n);
        c->used += n;
        to += n;
        size -= n;
        if (c->used == c->iov->iov_len) {
            c->iov++;
            c->used = 0;
        }
    }
}

/* How much of a write fits; blocks that have space already cost none. */
static uint64_t write_clip(const struct sim_disk *disk, const struct sim_inode *inode,
                           uint64_t offset, uint64_t size)
{
    uint64_t begin = offset / SIM_BLOCK_SIZE, end = blocks_of(offset + size);
    uint64_t left = space_left(disk), n = begin;
    if (end - begin - sim_ranges_overlap(&inode->newest.allocated, begin, end) <= left) return size;
    for (; n < end; n++) {
        if (sim_ranges_has(&inode->newest.allocated, n)) continue;
        if (left == 0) break;
        left--;
    }
    uint64_t fits_to = n * SIM_BLOCK_SIZE;
    return fits_to <= offset ? 0 : MIN_OF(size, fits_to - offset);
}

ssize_t sim_data_write(struct sim_disk *disk, struct sim_inode *inode, const struct iovec *iov,
                       int count, uint64_t offset)
{
    uint64_t size = 0;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    if (size == 0) return 0;
    if (offset > INT64_MAX - size) return error_from_errno(EFBIG);
    size = write_clip(disk, inode, offset, size);
    if (size == 0) return error_from_errno(ENOSPC);

    uint64_t begin = offset / SIM_BLOCK_SIZE, end = blocks_of(offset + size), left = size;
    struct data_change *c = change_new(inode, CHANGE_WRITE, (uint32_t)(end - begin));
    struct iov_cursor cursor = { iov, 0 };
    c->begin = begin;
    c->end = end;
    c->size_bytes = offset + size;
    for (uint64_t at = offset, n = begin; n < end; n++) {
        size_t within = at % SIM_BLOCK_SIZE;
        size_t part = (size_t)MIN_OF(left, (uint64_t)(SIM_BLOCK_SIZE - within));
        bool is_whole = part == SIM_BLOCK_SIZE;
        struct sim_block *b =
            is_whole ? sim_block_new_raw() : sim_block_new(sim_image_get(&inode->newest, n));
        iov_take(&cursor, b->data + within, part);
        c->blocks[n - begin] = b;
        at += part;
        left -= part;
    }
    change_add(disk, inode, c);
    return (ssize_t)size;
}

/* ---- size and space ---- */

/* A copy of block @number of the newest state with bytes [from, to) zeroed; NULL when it is a hole.
 */
static struct sim_block *block_with_zeros(const struct sim_inode *inode, uint64_t number,
                                          size_t from, size_t to)
{
    const struct sim_block *old = sim_image_get(&inode->newest, number);
    if (!old) return NULL;
    struct sim_block *b = sim_block_new(old);
    memset(b->data + from, 0, to - from);
    return b;
}

int sim_data_truncate(struct sim_disk *disk, struct sim_inode *inode, uint64_t size_bytes)
{
    if (size_bytes > INT64_MAX) return error_from_errno(EFBIG);
    if (size_bytes == inode->newest.size_bytes) return 0;
    struct data_change *c = change_new(inode, CHANGE_SIZE, 1);
    size_t within = size_bytes % SIM_BLOCK_SIZE;
    c->size_bytes = size_bytes;
    c->begin = blocks_of(size_bytes);
    c->end = size_bytes < inode->newest.size_bytes ? UINT64_MAX : c->begin;
    if (within && c->end > c->begin)
        c->blocks[0] = block_with_zeros(inode, c->begin - 1, within, SIM_BLOCK_SIZE);
    change_add(disk, inode, c);
    return 0;
}

int sim_data_allocate(struct sim_disk *disk, struct sim_inode *inode, uint64_t offset,
                      uint64_t size)
{
    if (size == 0 || offset > INT64_MAX - size) return error_from_errno(EINVAL);
    uint64_t begin = offset / SIM_BLOCK_SIZE, end = blocks_of(offset + size);
    uint64_t fresh = end - begin - sim_ranges_overlap(&inode->newest.allocated, begin, end);
    if (fresh > space_left(disk)) return error_from_errno(ENOSPC);
    struct data_change *c = change_new(inode, CHANGE_ALLOCATE, 0);
    c->begin = begin;
    c->end = end;
    c->size_bytes = offset + size;
    change_add(disk, inode, c);
    return 0;
}

int sim_data_punch_hole(struct sim_disk *disk, struct sim_inode *inode, uint64_t offset,
                        uint64_t size)
{
    if (size == 0 || offset > INT64_MAX - size) return error_from_errno(EINVAL);
    uint64_t end = offset + size;
    size_t head = offset % SIM_BLOCK_SIZE, tail = end % SIM_BLOCK_SIZE;
    if (offset / SIM_BLOCK_SIZE == end / SIM_BLOCK_SIZE) { /* within one block: a write of zeros */
        struct data_change *c = change_new(inode, CHANGE_WRITE, 1);
        c->begin = offset / SIM_BLOCK_SIZE;
        c->end = c->begin + 1;
        c->blocks[0] = block_with_zeros(inode, c->begin, head, tail);
        change_add(disk, inode, c);
        return 0;
    }
    struct data_change *c = change_new(inode, CHANGE_PUNCH, 2);
    c->begin = blocks_of(offset);
    c->end = end / SIM_BLOCK_SIZE;
    if (head) c->blocks[0] = block_with_zeros(inode, c->begin - 1, head, SIM_BLOCK_SIZE);
    if (tail) c->blocks[1] = block_with_zeros(inode, c->end, 0, tail);
    change_add(disk, inode, c);
    return 0;
}

/* ---- syncs ---- */

void sim_data_sync(struct sim_inode *inode, uint64_t seq)
{
    list_for_each_safe (it, &inode->changes) {
        struct data_change *c = list_entry(it, struct data_change, node);
        if (c->seq > seq) break;
        change_apply(c, &inode->durable);
        change_free(inode, c);
    }
}

void sim_data_sync_fail(struct sim_disk *disk, struct sim_inode *inode)
{
    list_for_each_safe (it, &inode->changes) {
        struct data_change *c = list_entry(it, struct data_change, node);
        if (sim_random_one_in(disk->random, 2)) change_apply(c, &inode->durable);
        change_free(inode, c);
    }
}

/* ---- crashes ---- */

/* What the crash made of one file so far. */
struct crash {
    struct sim_random *random;
    struct sim_image *durable;
    struct sim_ranges lost; /* blocks that lost truncations and holes would have freed */
    bool metadata_ended;
};

static struct sim_block *block_torn(struct crash *crash, const struct sim_block *old,
                                    const struct sim_block *fresh)
{
    struct sim_block *b = sim_block_new(old);
    for (uint32_t s = 0; s < SECTOR_COUNT; s++)
        if (sim_random_one_in(crash->random, 2))
            memcpy(b->data + s * SIM_SECTOR_SIZE, fresh->data + s * SIM_SECTOR_SIZE,
                   SIM_SECTOR_SIZE);
    return b;
}

static void crash_write(struct crash *crash, const struct data_change *c)
{
    enum { KEPT, LOST, TORN } fate = (int)sim_random_under(crash->random, 3);
    uint64_t kept_end = 0;
    for (uint32_t i = 0; i < c->block_count && fate != LOST; i++) {
        uint64_t number = c->begin + i;
        if (!c->blocks[i] || sim_ranges_has(&crash->lost, number)) continue;
        if (fate == TORN && sim_random_one_in(crash->random, 2)) continue;
        if (fate == TORN && sim_random_one_in(crash->random, TORN_SECTORS_ONE_IN)) {
            struct sim_block *b =
                block_torn(crash, sim_image_get(crash->durable, number), c->blocks[i]);
            sim_image_set(crash->durable, number, b);
            sim_block_unref(b);
        } else {
            sim_image_set(crash->durable, number, c->blocks[i]);
        }
        kept_end = MIN_OF(c->size_bytes, (number + 1) * SIM_BLOCK_SIZE);
    }
    if (sim_random_one_in(crash->random, HOLLOW_ONE_IN) && !crash->metadata_ended)
        kept_end = c->size_bytes;
    crash->durable->size_bytes = MAX_OF(crash->durable->size_bytes, kept_end);
}

static void crash_metadata(struct crash *crash, const struct data_change *c)
{
    if (sim_random_one_in(crash->random, 3)) crash->metadata_ended = true;
    if (!crash->metadata_ended) {
        change_apply(c, crash->durable);
    } else if (c->kind != CHANGE_ALLOCATE) {
        sim_ranges_add(&crash->lost, c->begin, c->end);
    }
}

/* Bytes after the end read as zeros should the file grow again. */
static void crash_trim(struct sim_image *image)
{
    size_t within = image->size_bytes % SIM_BLOCK_SIZE;
    struct sim_block *last = sim_image_get(image, image->size_bytes / SIM_BLOCK_SIZE);
    if (!within || !last) return;
    struct sim_block *b = sim_block_new(last);
    memset(b->data + within, 0, SIM_BLOCK_SIZE - within);
    sim_image_set(image, image->size_bytes / SIM_BLOCK_SIZE, b);
    sim_block_unref(b);
}

void sim_data_crash(struct sim_disk *disk, struct sim_inode *inode)
{
    if (list_empty(&inode->changes)) {
        /* The two may still differ after a sync that failed. */
        sim_image_copy(&inode->newest, &inode->durable);
        return;
    }
    struct crash crash = { .random = disk->random, .durable = &inode->durable };
    list_for_each_safe (it, &inode->changes) {
        struct data_change *c = list_entry(it, struct data_change, node);
        if (c->kind == CHANGE_WRITE) {
            crash_write(&crash, c);
        } else {
            crash_metadata(&crash, c);
        }
        change_free(inode, c);
    }
    sim_ranges_done(&crash.lost);
    crash_trim(&inode->durable);
    sim_image_copy(&inode->newest, &inode->durable);
}

void sim_data_done(struct sim_inode *inode)
{
    list_for_each_safe (it, &inode->changes)
        change_free(inode, list_entry(it, struct data_change, node));
    sim_image_done(&inode->newest);
    sim_image_done(&inode->durable);
}

bool sim_data_flip(struct sim_inode *inode, uint64_t offset, uint8_t bit)
{
    uint64_t number = offset / SIM_BLOCK_SIZE;
    uint32_t within = (uint32_t)(offset % SIM_BLOCK_SIZE);
    struct sim_block *newest = sim_image_get(&inode->newest, number);
    struct sim_block *durable = sim_image_get(&inode->durable, number);
    if (newest) sim_block_flip(newest, within, bit);
    if (durable && durable != newest) sim_block_flip(durable, within, bit);
    return newest || durable;
}
