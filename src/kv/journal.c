/* journal.c - writing the journal; what is read at open is in journal_replay.c.
 *
 * Both files have their full size from the beginning and are only overwritten, so a sync has no
 * metadata to write and never lacks space.
 */
#include "kv/journal.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "kv/journal_internal.h"

#include <stdio.h>

struct buffer_bytes {
    uint8_t *base;
    size_t size, capacity;
};

struct journal {
    struct node *node;
    struct file *files[JOURNAL_FILES];
    uint32_t active;
    bool is_other_busy; /* rotated away, not released */
    bool needs_header;  /* nothing was written to the active file in this epoch */
    uint64_t epoch;
    uint64_t offset;  /* end of the last group in the active file */
    uint64_t version; /* last appended */
    uint64_t synced_version;
    struct buffer_bytes pending, flushing;
};

/* ---- open and close ---- */

/* A file of full size, zeros where nothing was written; made under another name, so that a half
 * never counts. */
static int make_file(struct node *node, const char *path) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    cleanup_(file_closep) struct file *file = NULL;
    const size_t step = 1 << 20;
    const char *temporary = arena_printf(&arena, "%s.tmp", path);
    void *zeros = arena_zalloc(&arena, step);
    int r = file_open(node, temporary, O_RDWR | O_CREAT | O_TRUNC, 0600, &file);
    for (uint64_t at = 0; r >= 0 && at < JOURNAL_FILE_BYTES; at += step) {
        r = file_write(file, zeros, step, at);
    }
    if (r >= 0) r = file_sync(file);
    return r < 0 ? r : path_rename(node, temporary, path);
}

static int open_files(struct journal *j, const char *dir) fiber_fn
{
    bool is_new = false;
    for (uint32_t i = 0; i < JOURNAL_FILES; i++) {
        cleanup_arena_ struct arena arena = { 0 };
        const char *path = arena_printf(&arena, "%s/journal-%u", dir, i);
        if (!path_exists(j->node, path)) {
            int r = make_file(j->node, path);
            if (r < 0) return r;
            is_new = true;
        }
        int r = file_open(j->node, path, O_RDWR, 0, &j->files[i]);
        if (r < 0) return r;
    }
    return is_new ? dir_sync(j->node, dir) : 0;
}

int kv_journal_open(struct node *node, const char *dir, uint64_t base_version,
                    journal_replay replay, void *arg, struct journal **ret)
{
    cleanup_(journal_closep) struct journal *j = new_zero(struct journal);
    j->node = node;
    int r = open_files(j, dir);
    if (r < 0) return r;
    struct journal_reading reading = {
        .node = node, .next_version = base_version + 1, .replay = replay, .arg = arg
    };
    r = journal_read_files(&reading, j->files);
    if (r < 0) return r;
    j->epoch = reading.epoch;
    *ret = TAKE_PTR(j);
    return 0;
}

struct journal *journal_close(struct journal *j)
{
    if (!j) return NULL;
    for (uint32_t i = 0; i < JOURNAL_FILES; i++) {
        file_close(j->files[i]);
    }
    free(j->pending.base);
    free(j->flushing.base);
    free(j);
    return NULL;
}

/* Greater than any before; random below that, so that what a crash left of a file whose header it
 * tore never looks like records of this epoch. */
static void begin_file(struct journal *j)
{
    uint32_t random;
    node_random_bytes(j->node, &random, sizeof(random));
    j->epoch = ((j->epoch >> 32) + 1) << 32 | random;
    j->offset = JOURNAL_HEADER_BYTES;
    j->needs_header = true;
}

void kv_journal_start(struct journal *j, uint64_t version)
{
    check(j->pending.size == 0);
    j->version = j->synced_version = version;
    j->is_other_busy = false;
    begin_file(j);
}

/* ---- appending ---- */

static size_t payload_size_of(const struct kv_commit *commit)
{
    size_t size = 0;
    for (uint32_t i = 0; i < commit->write_count; i++) {
        size +=
            JOURNAL_WRITE_HEADER_BYTES + commit->writes[i].key.size + commit->writes[i].value.size;
    }
    return size;
}

size_t journal_size_of(const struct kv_commit *commit)
{
    return sizeof(struct journal_record) + payload_size_of(commit);
}

/* The padding of both groups included. */
static uint64_t used_bytes(const struct journal *j)
{
    return j->offset + j->flushing.size + j->pending.size + JOURNAL_GROUP_ALIGN;
}

bool journal_has_room(const struct journal *j, size_t size)
{
    return used_bytes(j) + size + JOURNAL_GROUP_ALIGN <= JOURNAL_FILE_BYTES;
}

uint32_t journal_used_percent(const struct journal *j)
{
    return (uint32_t)(used_bytes(j) * 100 / JOURNAL_FILE_BYTES);
}

static uint8_t *reserve(struct buffer_bytes *b, size_t size)
{
    if (b->size + size > b->capacity) {
        b->capacity = MAX_OF(b->size + size, b->capacity * 2);
        b->capacity = MAX_OF(b->capacity, (size_t)1 << 16);
        b->base = xrealloc(b->base, b->capacity);
    }
    uint8_t *p = b->base + b->size;
    b->size += size;
    return p;
}

static uint8_t *put_write(uint8_t *p, const struct kv_write *w)
{
    uint16_t key_size = (uint16_t)w->key.size;
    uint32_t value_size = (uint32_t)w->value.size;
    p[0] = (uint8_t)w->kind;
    p[1] = 0;
    memcpy(p + 2, &key_size, sizeof(key_size));
    memcpy(p + 4, &value_size, sizeof(value_size));
    p += JOURNAL_WRITE_HEADER_BYTES;
    if (key_size) memcpy(p, w->key.base, key_size);
    if (value_size) memcpy(p + key_size, w->value.base, value_size);
    return p + key_size + value_size;
}

void kv_journal_append(struct journal *j, uint64_t version, const struct kv_commit *commit)
{
    size_t payload_size = payload_size_of(commit);
    struct journal_record record = { .magic = JOURNAL_RECORD_MAGIC,
                                     .payload_bytes = (uint32_t)payload_size,
                                     .version = version };
    check(version == j->version + 1);
    check(journal_has_room(j, sizeof(record) + payload_size));
    uint8_t *start = reserve(&j->pending, sizeof(record) + payload_size);
    uint8_t *p = start + sizeof(record);
    for (uint32_t i = 0; i < commit->write_count; i++) {
        p = put_write(p, &commit->writes[i]);
    }
    record.payload_crc = crc32c(0, start + sizeof(record), payload_size);
    memcpy(start, &record, sizeof(record));
    j->version = version;
}

bool journal_has_pending(const struct journal *j)
{
    return j->pending.size > 0;
}

/* ---- flushing ---- */

/* What is known only now: the file, and what is synced. */
static void stamp_records(struct journal *j)
{
    struct journal_record record;
    for (size_t at = 0; at < j->flushing.size; at += sizeof(record) + record.payload_bytes) {
        memcpy(&record, j->flushing.base + at, sizeof(record));
        record.epoch = j->epoch;
        record.synced_version = j->synced_version;
        record.crc = crc32c(0, &record, offsetof(struct journal_record, crc));
        memcpy(j->flushing.base + at, &record, sizeof(record));
    }
}

static int write_group(struct journal *j, uint64_t first_version) fiber_fn
{
    struct file *file = j->files[j->active];
    struct buffer_bytes *b = &j->flushing;
    struct iovec records = { b->base, b->size };
    if (!j->needs_header) return file_writev_durable(file, &records, 1, j->offset);

    _Alignas(8) uint8_t page[JOURNAL_HEADER_BYTES] = { 0 };
    struct journal_header header = { .format_version = JOURNAL_FORMAT_VERSION,
                                     .epoch = j->epoch,
                                     .first_version = first_version };
    memcpy(header.magic, JOURNAL_MAGIC, sizeof(header.magic));
    header.crc = crc32c(0, &header, offsetof(struct journal_header, crc));
    memcpy(page, &header, sizeof(header));
    struct iovec iov[] = { { page, sizeof(page) }, records };
    return file_writev_durable(file, iov, 2, 0);
}

int journal_flush(struct journal *j, uint64_t *ret_version)
{
    check(j->flushing.size == 0);
    check(j->pending.size > 0);
    struct buffer_bytes empty = j->flushing;
    j->flushing = j->pending;
    j->pending = empty;
    stamp_records(j);
    size_t padding = -j->flushing.size % JOURNAL_GROUP_ALIGN;
    if (padding) memset(reserve(&j->flushing, padding), 0, padding);
    uint64_t version = j->version;
    int r = write_group(j, j->synced_version + 1);
    if (r < 0) return r;
    j->offset += j->flushing.size;
    j->flushing.size = 0;
    j->needs_header = false;
    j->synced_version = version;
    *ret_version = version;
    return 0;
}

void journal_rotate(struct journal *j)
{
    check(j->flushing.size == 0);
    check(!j->is_other_busy);
    j->active = (j->active + 1) % JOURNAL_FILES;
    j->is_other_busy = true;
    begin_file(j);
}

void journal_release(struct journal *j)
{
    j->is_other_busy = false;
}
