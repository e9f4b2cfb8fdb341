/* backup.c - a store to a file and back.
 *
 * A backup reads one long snapshot and appears under its name only when it is whole and durable. A
 * restore first reads the file to its end and checks it all, then writes block by block; a marker
 * key stands in the store meanwhile, so that a restore that was interrupted can be run again and
 * nothing takes the half for a whole.
 */
#include "base/check.h"
#include "base/crc32c.h"
#include "kv/kv_engine.h"
#include "kv/kv_format.h"
#include "loop/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#define MARKER    BYTES_LITERAL("KVRS")
#define STORE_END BYTES_LITERAL("\xff")

/* ---- writing ---- */

struct backup {
    struct kv_txn *txn;
    struct file *file;
    uint64_t offset;
    struct kv_backup_end end;
    uint8_t *block; /* KV_BACKUP_BLOCK_BYTES_MAX */
    const struct kv_progress *progress;
};

static int write_block(struct backup *b, size_t size, uint32_t pair_count) fiber_fn
{
    struct kv_backup_block header = { .payload_bytes = (uint32_t)size,
                                      .pair_count = pair_count,
                                      .payload_crc = crc32c(0, b->block, size) };
    header.crc = crc32c(0, &header, offsetof(struct kv_backup_block, crc));
    struct iovec iov[] = { { &header, sizeof(header) }, { b->block, size } };
    int r = file_writev(b->file, iov, 2, b->offset);
    b->offset += sizeof(header) + size;
    return r;
}

static size_t pack_pair(uint8_t *to, const struct kv_pair *pair)
{
    uint16_t key_size = (uint16_t)pair->key.size;
    uint32_t value_size = (uint32_t)pair->value.size;
    memcpy(to, &key_size, sizeof(key_size));
    memcpy(to + sizeof(key_size), &value_size, sizeof(value_size));
    to += KV_BACKUP_PAIR_HEADER_BYTES;
    memcpy(to, pair->key.base, key_size);
    if (value_size) memcpy(to + key_size, pair->value.base, value_size);
    return KV_BACKUP_PAIR_HEADER_BYTES + pair->key.size + pair->value.size;
}

static int write_pairs(struct backup *b) fiber_fn
{
    cleanup_arena_ struct arena pos_arena = { 0 };
    struct bytes pos = BYTES_LITERAL("");
    struct kv_pairs page = { .has_more = true };
    while (page.has_more) {
        cleanup_arena_ struct arena arena = { 0 };
        int r = kv_get_range(b->txn, pos, STORE_END, 0, KV_SNAPSHOT, &arena, &page);
        if (r < 0) return r;
        if (page.count == 0) break;
        size_t size = 0;
        for (uint32_t i = 0; i < page.count; i++) {
            if (bytes_equal(page.items[i].key, MARKER)) return -ERR_BUSY;
            size += pack_pair(b->block + size, &page.items[i]);
        }
        r = write_block(b, size, page.count);
        if (r < 0) return r;
        b->end.pair_count += page.count;
        b->end.payload_bytes += size;
        if (b->progress) b->progress->show(b->progress->arg, b->offset, 0);
        arena_done(&pos_arena);
        pos = kv_key_after(&pos_arena, page.items[page.count - 1].key);
    }
    memcpy(b->block, &b->end, sizeof(b->end));
    return write_block(b, sizeof(b->end), 0);
}

static int write_all(struct kv *kv, struct file *file, const struct kv_progress *progress) fiber_fn
{
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    cleanup_(freep) uint8_t *block = xmalloc(KV_BACKUP_BLOCK_BYTES_MAX);
    struct kv_backup_header header = { .version = KV_BACKUP_VERSION,
                                       .created_wall_ns = node_wall_ns(kv->node) };
    memcpy(header.magic, KV_BACKUP_MAGIC, sizeof(header.magic));
    header.crc = crc32c(0, &header, offsetof(struct kv_backup_header, crc));
    int r = file_write(file, &header, sizeof(header), 0);
    if (r >= 0) r = kv_begin_view(kv, KV_VIEW_LONG, &txn);
    if (r < 0) return r;
    struct backup b = {
        .txn = txn, .file = file, .offset = sizeof(header), .block = block, .progress = progress
    };
    r = write_pairs(&b);
    return r < 0 ? r : file_sync(file);
}

static int sync_dir_of(struct node *node, const char *path) fiber_fn
{
    cleanup_(freep) char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (!slash) return dir_sync(node, ".");
    slash[slash == dir ? 1 : 0] = 0;
    return dir_sync(node, dir);
}

int kv_backup(struct kv *kv, const char *path, const struct kv_progress *progress)
{
    cleanup_arena_ struct arena arena = { 0 };
    const char *temporary = arena_printf(&arena, "%s.tmp", path);
    struct node *node = kv->node;
    struct file *file = NULL;
    int r = file_open(node, temporary, O_RDWR | O_CREAT | O_TRUNC, 0600, &file);
    if (r < 0) return r;
    r = write_all(kv, file, progress);
    file_close(file);
    if (r >= 0) r = path_rename(node, temporary, path);
    if (r >= 0) return sync_dir_of(node, path);

    FIBER_SHIELD();
    FIBER_TIMEOUT(1 * SEC);
    int ignored = path_unlink(node, temporary);
    (void)ignored;
    return r;
}

/* ---- reading ---- */

/* A block's pairs, borrowed from the reader until the next. */
struct backup_reader {
    struct file *file;
    uint64_t offset;
    uint8_t *block;
    struct kv_pair *pairs;
    uint32_t pair_count;
    bool is_at_end;
    struct kv_backup_end seen;
    uint8_t last_key[KV_KEY_BYTES_MAX];
    size_t last_key_size;
};

static int read_exactly(struct backup_reader *reader, void *buf, size_t size) fiber_fn
{
    ssize_t n = file_read(reader->file, buf, size, reader->offset);
    if (n < 0) return (int)n;
    reader->offset += size;
    return (size_t)n == size ? 0 : -ERR_DATA_CORRUPTION;
}

static int read_header(struct backup_reader *reader) fiber_fn
{
    struct kv_backup_header header;
    int r = read_exactly(reader, &header, sizeof(header));
    if (r < 0) return r;
    if (memcmp(header.magic, KV_BACKUP_MAGIC, sizeof(header.magic)) != 0)
        return -ERR_INVALID_FORMAT;
    if (header.crc != crc32c(0, &header, offsetof(struct kv_backup_header, crc))) {
        return -ERR_DATA_CORRUPTION;
    }
    return header.version > KV_BACKUP_VERSION ? -ERR_FORMAT_TOO_NEW : 0;
}

/* False when the pair is not one that a backup can hold here. */
static bool unpack_pair(struct backup_reader *reader, struct bytes *in, struct kv_pair *ret)
{
    uint16_t key_size;
    uint32_t value_size;
    if (in->size < KV_BACKUP_PAIR_HEADER_BYTES) return false;
    memcpy(&key_size, in->base, sizeof(key_size));
    memcpy(&value_size, in->base + sizeof(key_size), sizeof(value_size));
    if (key_size == 0 || key_size > KV_KEY_BYTES_MAX || value_size > KV_VALUE_BYTES_MAX)
        return false;
    size_t size = KV_BACKUP_PAIR_HEADER_BYTES + (size_t)key_size + value_size;
    if (in->size < size) return false;
    struct bytes key = bytes_of(in->base + KV_BACKUP_PAIR_HEADER_BYTES, key_size);
    *ret = (struct kv_pair){ key, bytes_of(key.base + key_size, value_size) };
    *in = bytes_of(in->base + size, in->size - size);

    if (bytes_compare(bytes_of(reader->last_key, reader->last_key_size), key) >= 0) return false;
    memcpy(reader->last_key, key.base, key_size);
    reader->last_key_size = key_size;
    return true;
}

static int unpack_end(struct backup_reader *reader, struct bytes in) fiber_fn
{
    struct kv_backup_end end;
    uint64_t file_bytes;
    if (in.size != sizeof(end)) return -ERR_DATA_CORRUPTION;
    memcpy(&end, in.base, sizeof(end));
    int r = file_size(reader->file, &file_bytes);
    if (r < 0) return r;
    bool is_whole = end.pair_count == reader->seen.pair_count &&
                    end.payload_bytes == reader->seen.payload_bytes && file_bytes == reader->offset;
    reader->is_at_end = true;
    return is_whole ? 0 : -ERR_DATA_CORRUPTION;
}

static int read_block(struct backup_reader *reader) fiber_fn
{
    struct kv_backup_block header;
    int r = read_exactly(reader, &header, sizeof(header));
    if (r < 0) return r;
    if (header.crc != crc32c(0, &header, offsetof(struct kv_backup_block, crc)) ||
        header.payload_bytes > KV_BACKUP_BLOCK_BYTES_MAX || header.pair_count > KV_PAGE_COUNT_MAX) {
        return -ERR_DATA_CORRUPTION;
    }
    r = read_exactly(reader, reader->block, header.payload_bytes);
    if (r < 0) return r;
    struct bytes in = bytes_of(reader->block, header.payload_bytes);
    if (crc32c(0, in.base, in.size) != header.payload_crc) return -ERR_DATA_CORRUPTION;
    reader->pair_count = header.pair_count;
    if (header.pair_count == 0) return unpack_end(reader, in);

    for (uint32_t i = 0; i < header.pair_count; i++) {
        if (!unpack_pair(reader, &in, &reader->pairs[i])) return -ERR_DATA_CORRUPTION;
    }
    reader->seen.pair_count += header.pair_count;
    reader->seen.payload_bytes += header.payload_bytes;
    return in.size == 0 ? 0 : -ERR_DATA_CORRUPTION;
}

/* ---- restoring ---- */

static int restore_begin(struct kv_txn *txn, void *arg) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_pairs any;
    struct bytes empty;
    int has_marker = kv_get(txn, MARKER, KV_SERIALIZABLE, &arena, &empty);
    if (has_marker < 0) return has_marker;
    if (has_marker) {
        kv_clear_range(txn, BYTES_LITERAL(""), STORE_END);
    } else {
        int r = kv_get_range(txn, BYTES_LITERAL(""), STORE_END, 1, KV_SERIALIZABLE, &arena, &any);
        if (r < 0) return r;
        if (any.count > 0) return -ERR_META_EXISTS;
    }
    kv_set(txn, MARKER, BYTES_LITERAL(""));
    return 0;
}

static int restore_block(struct kv_txn *txn, void *arg) fiber_fn
{
    const struct backup_reader *reader = arg;
    for (uint32_t i = 0; i < reader->pair_count; i++) {
        kv_set(txn, reader->pairs[i].key, reader->pairs[i].value);
    }
    return 0;
}

static int restore_end(struct kv_txn *txn, void *arg) fiber_fn
{
    kv_clear(txn, MARKER);
    return 0;
}

/* Reads the file from begin to end; with @kv, writes what it has: the second half of the work. */
static int read_all(struct file *file, struct kv *kv, const struct kv_progress *progress) fiber_fn
{
    uint64_t size = 0;
    cleanup_(freep) uint8_t *block = xmalloc(KV_BACKUP_BLOCK_BYTES_MAX);
    cleanup_(freep) struct kv_pair *pairs = xcalloc(KV_PAGE_COUNT_MAX, sizeof(*pairs));
    struct backup_reader reader = { .file = file, .block = block, .pairs = pairs };
    int r = file_size(file, &size);
    if (r >= 0) r = read_header(&reader);
    while (r >= 0 && !reader.is_at_end) {
        r = read_block(&reader);
        if (r >= 0 && kv && reader.pair_count > 0) {
            r = kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, restore_block, &reader);
        }
        if (progress) progress->show(progress->arg, reader.offset + (kv ? size : 0), 2 * size);
    }
    return r < 0 ? r : 0;
}

int kv_restore(struct kv *kv, const char *path, const struct kv_progress *progress)
{
    cleanup_(file_closep) struct file *file = NULL;
    int r = file_open(kv->node, path, O_RDONLY, 0, &file);
    if (r >= 0) r = read_all(file, NULL, progress);
    if (r >= 0) r = kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, restore_begin, NULL);
    if (r >= 0) r = read_all(file, kv, progress);
    if (r >= 0) r = kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, restore_end, NULL);
    return r;
}
