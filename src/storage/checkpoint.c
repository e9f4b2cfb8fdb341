/* checkpoint.c - see checkpoint.h. */
#include "storage/checkpoint.h"
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"
#include "storage/checkpoint_block.h"
#include "storage/chunk_store_lock.h"
#include "storage/shard_memory.h"

#include <string.h>

enum {
    BLOCK_BYTES_FULL = 512 << 10,
    BLOCK_BUFFER_BYTES =
        (512 << 10) + (1 << 20) + 4096, /* full but for a byte, then the largest entry */
};
_Static_assert((int)BLOCK_BUFFER_BYTES >= (int)BLOCK_BYTES_FULL + (int)ENTRY_BYTES_MAX, "it fits");
_Static_assert((int)BLOCK_BUFFER_BYTES <= (int)CHECKPOINT_BLOCK_BYTES_MAX, "it can be read back");

static const char *const checkpoint_names[] = { "checkpoint-A", "checkpoint-B" };

struct checkpoint {
    struct checkpoint_options options; /* path is owned */
    struct file *files[2];
    int current; /* 0 or 1: which is the newest */
    struct checkpoint_disk head;
    /* being written, into the other file */
    struct checkpoint_disk next;
    uint8_t *block;
    uint32_t block_size, entry_count;
};

static int open_file(const struct checkpoint_options *options, int which, int flags,
                     struct file **ret)
{
    cleanup_(freep) char *path = NULL;
    if (asprintf(&path, "%s/%s", options->path, checkpoint_names[which]) < 0) return -ERR_NO_MEMORY;
    return file_open(options->node, path, O_RDWR | O_DIRECT | flags, 0600, ret);
}

static int write_header(struct file *file, struct checkpoint_disk *head)
{
    cleanup_(freep) struct checkpoint_disk *block = (void *)block_memory(sizeof(*block));
    checkpoint_header_seal(head);
    *block = *head;
    int r = file_write(file, block, sizeof(*block), 0);
    return r < 0 ? r : file_sync(file);
}

int checkpoint_format(const struct checkpoint_options *options)
{
    struct checkpoint_disk head = { .magic = CHECKPOINT_MAGIC,
                                    .version = CHECKPOINT_FORMAT_VERSION,
                                    .uuid_high = options->uuid_high,
                                    .uuid_low = options->uuid_low,
                                    .sequence = 1,
                                    .journal_epoch = 1,
                                    .first_lsn = 1,
                                    .target_number_next = 1 };
    for (int i = 0; i < 2; i++) {
        cleanup_(file_closep) struct file *file = NULL;
        int r = open_file(options, i, O_CREAT | O_TRUNC, &file);
        if (r >= 0) r = i == 0 ? write_header(file, &head) : file_sync(file);
        if (r < 0) return r;
    }
    return 0;
}

static int read_header(struct checkpoint *c, int which, struct checkpoint_disk *ret)
{
    cleanup_(freep) struct checkpoint_disk *block = (void *)block_memory(sizeof(*block));
    ssize_t n = file_read(c->files[which], block, sizeof(*block), 0);
    if (n < 0) return (int)n;
    if (n < (ssize_t)sizeof(*block)) return -ERR_DATA_CORRUPTION;
    *ret = *block;
    return checkpoint_header_check(block, c->options.uuid_high, c->options.uuid_low);
}

/* The greater sequence of the headers that are whole. */
static int find_current(struct checkpoint *c)
{
    bool found = false;
    for (int i = 0; i < 2; i++) {
        struct checkpoint_disk head;
        int r = read_header(c, i, &head);
        if (r == -ERR_DATA_CORRUPTION) continue;
        if (r < 0) return r;
        if (found && head.sequence < c->head.sequence) continue;
        c->head = head;
        c->current = i;
        found = true;
    }
    return found ? 0
                 : log_error(&c->options.node->log, -ERR_DATA_CORRUPTION,
                             "%s: no checkpoint is whole", c->options.path);
}

int checkpoint_open(const struct checkpoint_options *options, struct checkpoint **ret)
{
    cleanup_(checkpoint_freep) struct checkpoint *c = new_zero(struct checkpoint);
    c->options = *options;
    c->options.path = xstrdup(options->path);
    for (int i = 0; i < 2; i++) {
        int r = open_file(options, i, 0, &c->files[i]);
        if (r >= 0) r = disk_lock(c->files[i]);
        /* what is read must not vanish later, when only the process died */
        if (r >= 0) r = file_sync(c->files[i]);
        if (r < 0) return r;
    }
    int r = find_current(c);
    if (r < 0) return r;
    *ret = TAKE_PTR(c);
    return 0;
}

struct checkpoint *checkpoint_free(struct checkpoint *c)
{
    if (!c) return NULL;
    file_close(c->files[0]);
    file_close(c->files[1]);
    free(c->block);
    free((char *)(uintptr_t)c->options.path);
    free(c);
    return NULL;
}

const struct checkpoint_disk *checkpoint_head(const struct checkpoint *c)
{
    return &c->head;
}

struct file *checkpoint_file(struct checkpoint *c, enum index_file file)
{
    check(file == CHECKPOINT_A || file == CHECKPOINT_B);
    return c->files[file - CHECKPOINT_A];
}

static enum index_file index_file_of(int which)
{
    return which == 0 ? CHECKPOINT_A : CHECKPOINT_B;
}

/* ---- reading ---- */

/* The memory holds [offset, offset + size) of the file. */
struct window {
    uint8_t *buf;
    uint64_t offset;
    size_t size;
};

static void window_done(struct window *w)
{
    free(w->buf);
}

/* At least @size bytes at @offset, or an error. */
static int window_move(struct checkpoint *c, struct window *w, uint64_t offset, uint32_t size,
                       struct bytes *ret)
{
    if (offset + size > w->offset + w->size) {
        uint64_t end = CHECKPOINT_ALIGN_BYTES + c->head.body_bytes;
        size_t want = (size_t)MIN_OF((uint64_t)CHECKPOINT_BLOCK_BYTES_MAX, end - offset);
        ssize_t n = file_read(c->files[c->current], w->buf, want, offset);
        if (n < 0) return (int)n;
        w->offset = offset;
        w->size = (size_t)n;
        if (w->size < size) return -ERR_DATA_CORRUPTION;
    }
    *ret = bytes_of(w->buf + (offset - w->offset), w->size - (size_t)(offset - w->offset));
    return 0;
}

static int read_block(struct checkpoint *c, struct window *w, uint64_t offset, uint32_t number,
                      const struct checkpoint_reader *reader, uint32_t *ret_size)
{
    struct bytes in;
    struct block_disk head;
    int r = window_move(c, w, offset, CHECKPOINT_ALIGN_BYTES, &in);
    if (r < 0) return r;
    uint32_t size = checkpoint_block_size(in, c->head.sequence, number);
    if (size == 0) return -ERR_DATA_CORRUPTION;
    r = window_move(c, w, offset, size, &in);
    if (r >= 0) r = checkpoint_block_check(in, &head);
    if (r >= 0) r = reader->block(reader->arg, &head.range_end, head.lsn);
    if (r >= 0)
        r = checkpoint_block_each(in, &head, index_file_of(c->current), offset, reader->entry,
                                  reader->arg);
    *ret_size = size;
    return r;
}

int checkpoint_read(struct checkpoint *c, const struct checkpoint_reader *reader)
{
    size_t capacity = (size_t)MIN_OF((uint64_t)CHECKPOINT_BLOCK_BYTES_MAX, c->head.body_bytes);
    cleanup_(window_done) struct window w = { .buf = block_memory(capacity) };
    uint64_t offset = CHECKPOINT_ALIGN_BYTES;
    for (uint32_t number = 0; number < c->head.block_count; number++) {
        uint32_t size;
        int r = read_block(c, &w, offset, number, reader, &size);
        if (r == -ERR_CANCELED || r == -ERR_TIMEOUT) return r;
        if (r < 0)
            return log_error(&c->options.node->log, r, "%s/%s: block %u of %u at byte %llu",
                             c->options.path, checkpoint_names[c->current], number,
                             c->head.block_count, (unsigned long long)offset);
        offset += size;
    }
    return offset == CHECKPOINT_ALIGN_BYTES + c->head.body_bytes ? 0 : -ERR_DATA_CORRUPTION;
}

/* ---- writing ---- */

int checkpoint_reserve(struct checkpoint *c, uint64_t more_bytes)
{
    uint64_t size = CHECKPOINT_ALIGN_BYTES + c->head.body_bytes + more_bytes;
    int r = file_allocate(c->files[1 - c->current], 0, size + size / 8 + BLOCK_BUFFER_BYTES);
    return r == -ERR_NOT_SUPPORTED ? 0 : r;
}

void checkpoint_begin(struct checkpoint *c, uint64_t journal_epoch, uint64_t first_lsn,
                      uint32_t target_number_next)
{
    if (!c->block) c->block = block_memory(BLOCK_BUFFER_BYTES);
    c->next = (struct checkpoint_disk){ .magic = CHECKPOINT_MAGIC,
                                        .version = CHECKPOINT_FORMAT_VERSION,
                                        .uuid_high = c->options.uuid_high,
                                        .uuid_low = c->options.uuid_low,
                                        .sequence = c->head.sequence + 1,
                                        .journal_epoch = journal_epoch,
                                        .first_lsn = first_lsn,
                                        .target_number_next = target_number_next };
    c->block_size = sizeof(struct block_disk);
    c->entry_count = 0;
}

bool checkpoint_block_is_full(const struct checkpoint *c)
{
    return c->block_size >= BLOCK_BYTES_FULL;
}

bool checkpoint_block_is_empty(const struct checkpoint *c)
{
    return c->entry_count == 0;
}

uint64_t checkpoint_add(struct checkpoint *c, enum entry_kind kind, const struct iovec *parts,
                        int count)
{
    uint32_t size = entry_size(parts, count);
    check(c->block_size + size <= BLOCK_BUFFER_BYTES);
    entry_put(c->block + c->block_size, kind, parts, count);
    uint64_t offset = CHECKPOINT_ALIGN_BYTES + c->next.body_bytes + c->block_size;
    c->block_size += size;
    c->entry_count++;
    return locator_make(index_file_of(1 - c->current), offset, size);
}

int checkpoint_end_block(struct checkpoint *c, const struct chunk_key *range_end, uint64_t lsn)
{
    uint32_t whole = (uint32_t)round_to_block(c->block_size);
    memset(c->block + c->block_size, 0, whole - c->block_size);
    struct block_disk head = { .sequence = c->next.sequence,
                               .lsn = lsn,
                               .range_end = *range_end,
                               .number = c->next.block_count,
                               .entry_count = c->entry_count,
                               .size = whole };
    checkpoint_block_seal(c->block, &head);
    int r = file_write(c->files[1 - c->current], c->block, whole,
                       CHECKPOINT_ALIGN_BYTES + c->next.body_bytes);
    if (r < 0) return r;
    c->next.body_bytes += whole;
    c->next.block_count++;
    c->block_size = sizeof(struct block_disk);
    c->entry_count = 0;
    return 0;
}

int checkpoint_finish(struct checkpoint *c, uint64_t end_lsn)
{
    check(c->entry_count == 0);
    c->next.end_lsn = end_lsn;
    int r = file_sync(c->files[1 - c->current]);
    if (r >= 0) r = FAULT("storage.checkpoint.before_switch");
    if (r >= 0) r = write_header(c->files[1 - c->current], &c->next);
    if (r < 0) return r;
    c->current = 1 - c->current;
    c->head = c->next;
    free(c->block);
    c->block = NULL;
    return 0;
}
