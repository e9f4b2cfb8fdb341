/* chunk_index_fuzz.c - the start of a chunk store on a disk whose checkpoint and journal say
 * anything, under CRCs that are right.
 *
 * Input: how many entries stand in the checkpoint, the lsn up to which it claims to contain the
 * journal, the lsn up to which the journal claims data, a zero; then entries: kind, size (two
 * bytes, little-endian), payload. The start may refuse; if it does not, reading, committing,
 * dropping and writing whatever is there, a checkpoint and another start must work, and no unit be
 * lost.
 */
#include "base/check.h"
#include "base/crc32c.h"
#include "storage/checkpoint_block.h"
#include "storage/chunk_store_internal.h"
#include "storage/chunk_world.h"
#include "storage/journal_batch.h"
#include "storage/shard_memory.h"
#include "storage/superblock.h"

#include <fcntl.h>

enum { HEAD_BYTES = 4, ENTRY_HEAD_BYTES = 3, SPACE_BYTES = 4 << 20, CHUNKS_MAX = 32 };

struct input {
    const uint8_t *head;
    struct bytes rest;
};

/* The next entry; false at the end. */
static bool next_entry(struct input *in, enum entry_kind *ret_kind, struct bytes *ret)
{
    if (in->rest.size < ENTRY_HEAD_BYTES) return false;
    const uint8_t *p = in->rest.base;
    size_t size = (size_t)p[1] | (size_t)p[2] << 8;
    size = MIN_OF(size, in->rest.size - ENTRY_HEAD_BYTES);
    *ret_kind = (enum entry_kind)p[0];
    *ret = bytes_of(p + ENTRY_HEAD_BYTES, size);
    in->rest = bytes_of(p + ENTRY_HEAD_BYTES + size, in->rest.size - ENTRY_HEAD_BYTES - size);
    return true;
}

static struct iovec part(struct bytes bytes)
{
    return (struct iovec){ (void *)(uintptr_t)bytes.base, bytes.size };
}

/* ---- files ---- */

static int write_file(struct chunk_world *w, const char *name, const void *bytes, size_t size,
                      uint64_t offset)
{
    char path[100];
    cleanup_(file_closep) struct file *file = NULL;
    snprintf(path, sizeof(path), "%s/shard-00/%s", w->dir, name);
    int r = file_open(w->node, path, O_RDWR | O_CREAT, 0600, &file);
    return r < 0 ? r : file_write(file, bytes, size, offset);
}

static int write_checkpoint(struct chunk_world *w, const struct superblock_disk *owner,
                            struct input *in)
{
    uint32_t at = sizeof(struct block_disk), count = 0;
    enum entry_kind kind;
    struct bytes payload;
    cleanup_(freep) uint8_t *block = block_memory(256 << 10);
    while (count < in->head[0] && next_entry(in, &kind, &payload)) {
        entry_put(block + at, kind, &(struct iovec){ part(payload).iov_base, payload.size }, 1);
        at += entry_size(&(struct iovec){ NULL, payload.size }, 1);
        count++;
    }
    uint32_t whole = (uint32_t)round_to_block(at);
    memset(block + at, 0, whole - at);
    struct block_disk head = { .sequence = 2,
                               .lsn = in->head[1],
                               .range_end = { UINT64_MAX, UINT32_MAX, UINT32_MAX },
                               .entry_count = count,
                               .size = whole };
    checkpoint_block_seal(block, &head);
    struct checkpoint_disk disk = { .magic = CHECKPOINT_MAGIC,
                                    .version = CHECKPOINT_FORMAT_VERSION,
                                    .uuid_high = owner->uuid_high,
                                    .uuid_low = owner->uuid_low,
                                    .sequence = 2,
                                    .journal_epoch = 1,
                                    .first_lsn = 1,
                                    .end_lsn = in->head[1],
                                    .body_bytes = whole,
                                    .block_count = 1,
                                    .target_number_next = 1 };
    checkpoint_header_seal(&disk);
    int r = write_file(w, "checkpoint-B", block, whole, sizeof(disk));
    return r < 0 ? r : write_file(w, "checkpoint-B", &disk, sizeof(disk), 0);
}

static int write_journal(struct chunk_world *w, const struct superblock_disk *owner,
                         struct input *in)
{
    struct batch like = { .file = JOURNAL_A, .epoch = 1, .nonce = 1 };
    struct batch *batch = batch_new(&like, JOURNAL_BLOCK_BYTES, 1);
    struct journal_disk head = { .magic = JOURNAL_MAGIC,
                                 .version = JOURNAL_FORMAT_VERSION,
                                 .uuid_high = owner->uuid_high,
                                 .uuid_low = owner->uuid_low,
                                 .epoch = 1,
                                 .first_lsn = 1,
                                 .nonce = 1 };
    enum entry_kind kind;
    struct bytes payload;
    while (next_entry(in, &kind, &payload)) {
        struct iovec iov = part(payload);
        batch_add(batch, kind, &iov, 1);
    }
    journal_header_seal(&head);
    int r = write_file(w, "journal-A", &head, sizeof(head), 0);
    if (r >= 0 && batch->entry_count > 0) {
        batch_seal(batch, in->head[2]);
        r = write_file(w, "journal-A", batch->buf, batch->size, JOURNAL_BLOCK_BYTES);
    }
    batch_free(batch);
    return r;
}

static int make_disk(struct chunk_world *w, struct input *in)
{
    struct superblock_disk owner;
    TRY(world_open(w));
    world_close(w, false);
    TRY(superblock_read(w->node, w->dir, &owner));
    TRY(write_checkpoint(w, &owner, in));
    TRY(write_journal(w, &owner, in));
    static const uint8_t last;
    return write_file(w, "units-0000", &last, 1, SPACE_BYTES - 1);
}

/* ---- what a start that succeeded must allow ---- */

struct found {
    uint64_t target_id;
    struct chunk_id chunks[CHUNKS_MAX];
    uint32_t count;
};

static int on_chunk(void *arg, const struct chunk_state *state)
{
    struct found *f = arg;
    f->chunks[f->count++] = state->chunk;
    return f->count == CHUNKS_MAX;
}

static void read_chunk(struct chunk_world *w, const struct found *f, uint32_t i,
                       enum chunk_pin_which which)
{
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    struct chunk_state state;
    uint32_t skip, length, crc;
    int r = chunk_pin(w->store, f->target_id, f->chunks[i], which, &pin, &state);
    if (r <= 0) return;
    r = chunk_read(pin, 4000, 300000, w->pool, &buffer, &skip, &length, &crc);
    check(r < 0 || length <= 300000);
}

static void change_chunk(struct chunk_world *w, const struct found *f, uint32_t i)
{
    static const uint8_t bytes[5000];
    struct chunk_state s;
    int r = chunk_get(w->store, f->target_id, f->chunks[i], &s);
    if (r <= 0) return;
    if (s.has_pending && i % 2)
        r = chunk_commit(w->store, f->target_id, s.chunk, s.pending_version, 9);
    else if (s.has_pending)
        r = chunk_drop(w->store, f->target_id, s.chunk, CHUNK_PENDING);
    if (chunk_get(w->store, f->target_id, f->chunks[i], &s) <= 0 || s.version > UINT32_MAX) return;
    struct chunk_update u = { .kind = i % 3 ? UPDATE_WRITE : UPDATE_TRUNCATE,
                              .version = s.version + 1,
                              .chain_version = 9,
                              .update = { { 1, 1 }, 1, i + 1 },
                              .chunk_size = s.chunk_size ? s.chunk_size : 1 << 20,
                              .length = sizeof(bytes) };
    if (u.kind == UPDATE_WRITE) u.data = bytes_of(bytes, sizeof(bytes));
    u.data_crc32c = crc32c(0, bytes, sizeof(bytes));
    r = chunk_stage(w->store, f->target_id, s.chunk, &u);
    if (r >= 0) r = chunk_commit(w->store, f->target_id, s.chunk, u.version, 9);
    check(r < 0 || r == 0);
}

static void use_target(struct chunk_world *w, uint64_t target_id)
{
    struct found f = { .target_id = target_id };
    int r = chunk_each(w->store, target_id, NULL, on_chunk, &f);
    check(r >= 0);
    for (uint32_t i = 0; i < f.count; i++) {
        read_chunk(w, &f, i, CHUNK_COMMITTED);
        read_chunk(w, &f, i, CHUNK_PENDING);
        change_chunk(w, &f, i);
    }
}

static int body(struct chunk_world *w)
{
    struct input *in = w->arg;
    w->node->log.level = LOG_LEVEL_MAX;
    TRY(make_disk(w, in));
    if (world_open(w) < 0) return 0;
    EXPECT(world_lost_units(w) == 0);
    for (uint32_t i = 0; i < store_target_count(w->store); i++) {
        use_target(w, store_target_at(w->store, i)->target_id);
    }
    TRY(chunk_store_sync(w->store));
    EXPECT(world_lost_units(w) == 0);
    world_close(w, true);
    TRY(world_open(w));
    EXPECT(world_lost_units(w) == 0);
    world_close(w, false);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES || size > 100000) return 0;
    struct input in = { data, bytes_of(data + HEAD_BYTES, size - HEAD_BYTES) };
    struct chunk_world w = { .body = body, .seed = 1, .arg = &in };
    w.options = (struct chunk_store_options){ .node_id = 7,
                                              .reserve_bytes = 1,
                                              .capacity_bytes = SPACE_BYTES,
                                              .record_cache_bytes = 4 * KIB,
                                              .checkpoint_journal_bytes = 64 * KIB };
    int r = chunk_world_run_sim(&w, NULL);
    check(r == 0);
    return 0;
}
