/* shard_checkpoint.c - writing a checkpoint while operations go on.
 *
 * The journal is switched first, so that everything since is in the new epoch. Then the walk: each
 * block takes what the index says of a range of keys in one turn, without suspending, and notes the
 * lsn of that moment; what happens to those chunks later has a greater lsn and is replayed. A
 * record that is not in memory ends the block; it is read, kept at hand, and the next block begins
 * with it. Behind a written block the entries that have not changed meanwhile point at their new
 * places.
 */
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"
#include "storage/shard.h"
#include "storage/shard_memory.h"

enum {
    HAND_COUNT = 256,       /* records read ahead of a block */
    WINDOW_BYTES = 1 << 20, /* of the old checkpoint, read at once */
};
#define NO_SPACE_PAUSE_NS (5 * SEC)

/* An entry of the block being filled, and where it will be. */
struct placed {
    struct chunk_key key;
    uint64_t from, to;
    bool is_pending;
};

/* A record kept in memory for the next block. */
struct at_hand {
    struct record *record;
    uint64_t locator; /* of the entry when it was read: while that is the same, so is the content */
};

struct walk {
    struct shard *s;
    struct chunk_key at; /* everything up to it is in blocks */
    bool is_begun, is_over;
    struct placed *placed;
    uint32_t placed_count, placed_capacity;
    struct at_hand hand[HAND_COUNT]; /* in order of key */
    uint32_t hand_count, hand_at;
    uint8_t *window; /* bytes [window_offset, + window_size) of window_file */
    enum index_file window_file;
    uint64_t window_offset;
    size_t window_size;
};

static void hand_drop(struct walk *w)
{
    for (uint32_t i = 0; i < w->hand_count; i++) {
        record_unref(w->hand[i].record);
    }
    w->hand_count = w->hand_at = 0;
}

static void walk_done(struct walk *w)
{
    hand_drop(w);
    free(w->placed);
    free(w->window);
}

/* ---- one block ---- */

static void place(struct walk *w, const struct record *record, uint64_t from, bool is_pending)
{
    struct iovec parts[RECORD_PARTS];
    record_parts(record, parts);
    uint64_t to = checkpoint_add(w->s->checkpoint, ENTRY_RECORD, parts, RECORD_PARTS);
    if (w->placed_count == w->placed_capacity) {
        w->placed_capacity = w->placed_capacity ? 2 * w->placed_capacity : 512;
        w->placed = xrealloc(w->placed, w->placed_capacity * sizeof(*w->placed));
    }
    w->placed[w->placed_count++] = (struct placed){
        .key = record->head.key, .from = from, .to = to, .is_pending = is_pending
    };
}

/* The committed record of @entry if it is in memory. Borrowed. Called in order of key. The journal
 * is not switched during a walk, so a content that came meanwhile has a locator of its own;
 * versions do not tell, a replacement may have the same one. */
static const struct record *record_at_hand(struct walk *w, const struct index_entry *entry)
{
    while (w->hand_at < w->hand_count &&
           chunk_key_compare(&w->hand[w->hand_at].record->head.key, &entry->key) < 0) {
        w->hand_at++;
    }
    const struct at_hand *hand = w->hand_at < w->hand_count ? &w->hand[w->hand_at] : NULL;
    if (hand && hand->locator == entry->locator &&
        chunk_key_compare(&hand->record->head.key, &entry->key) == 0)
        return hand->record;
    return record_cache_get(&w->s->cache, &entry->key);
}

static const struct index_entry *walk_next(const struct walk *w)
{
    return chunk_index_next(&w->s->index, &w->at, !w->is_begun);
}

/* Fills a block with what there is in memory; does not suspend. */
static void fill_block(struct walk *w)
{
    struct checkpoint *c = w->s->checkpoint;
    while (!checkpoint_block_is_full(c)) {
        const struct index_entry *entry = walk_next(w);
        if (!entry) {
            w->is_over = true;
            w->at = (struct chunk_key){ UINT64_MAX, UINT32_MAX, UINT32_MAX };
            return;
        }
        const struct record *record = entry->locator ? record_at_hand(w, entry) : NULL;
        if (entry->locator && !record) return;
        if (record) place(w, record, entry->locator, false);
        const struct pending *pending = shard_pending_of(w->s, entry);
        if (pending) place(w, pending->record, pending->locator, true);
        w->at = entry->key;
        w->is_begun = true;
    }
}

/* Points the entries of the written block at their new places. */
static void move_entries(struct walk *w)
{
    for (uint32_t i = 0; i < w->placed_count; i++) {
        const struct placed *p = &w->placed[i];
        struct index_entry *entry = chunk_index_find(&w->s->index, &p->key);
        if (!entry) continue;
        struct pending *pending = shard_pending_of(w->s, entry);
        if (pending && pending->locator == p->from) {
            pending->locator = p->to;
        } else if (entry->locator == p->from) {
            entry->locator = p->to;
        }
    }
    w->placed_count = 0;
}

/* ---- reading ahead ---- */

/* The bytes of an entry of the old checkpoint, whose records come in the same order as the walk. */
static int window_get(struct walk *w, uint64_t locator, struct bytes *ret)
{
    uint64_t offset = locator_offset(locator);
    uint32_t size = locator_size(locator);
    enum index_file file = locator_file(locator);
    if (!w->window) w->window = block_memory(WINDOW_BYTES);
    if (file != w->window_file || offset < w->window_offset ||
        offset + size > w->window_offset + w->window_size) {
        uint64_t begin = offset / BLOCK_BYTES * BLOCK_BYTES;
        w->window_size = 0;
        ssize_t n =
            file_read(checkpoint_file(w->s->checkpoint, file), w->window, WINDOW_BYTES, begin);
        if (n < 0) return (int)n;
        w->window_file = file;
        w->window_offset = begin;
        w->window_size = (size_t)n;
    }
    uint64_t skip = offset - w->window_offset;
    if (skip + size > w->window_size) return -ERR_DATA_CORRUPTION;
    *ret = bytes_of(w->window + skip, size);
    return 0;
}

/* The committed record of @key, from the cache, the window or its place; as shard_load_record(). */
static int load(struct walk *w, const struct chunk_key *key, struct record **ret)
{
    const struct index_entry *entry = chunk_index_find(&w->s->index, key);
    bool is_old = entry->locator && locator_file(entry->locator) >= CHECKPOINT_A;
    if (!is_old || record_cache_get(&w->s->cache, key)) return shard_load_record(w->s, key, ret);
    uint64_t locator = entry->locator;
    struct bytes in;
    int r = window_get(w, locator, &in);
    if (r == -ERR_CANCELED || r == -ERR_TIMEOUT) return r;
    entry = chunk_index_find(&w->s->index, key);
    if (r >= 0 && entry && entry->locator == locator) r = shard_parse_record(entry, in, ret);
    if (r < 0 || !entry || entry->locator != locator) return shard_load_record(w->s, key, ret);
    return 1;
}

/* Reads the records of the next chunks and keeps them in memory. */
static int read_ahead(struct walk *w)
{
    struct chunk_key key = w->at;
    bool is_inclusive = !w->is_begun;
    hand_drop(w);
    while (w->hand_count < HAND_COUNT) {
        const struct index_entry *entry = chunk_index_next(&w->s->index, &key, is_inclusive);
        if (!entry) return 0;
        key = entry->key;
        is_inclusive = false;
        if (!entry->locator) continue;
        struct record *record;
        int r = load(w, &key, &record);
        if (r < 0) return r;
        if (r == 0) continue;
        uint64_t locator = chunk_index_find(&w->s->index, &key)->locator;
        w->hand[w->hand_count++] = (struct at_hand){ record, locator };
    }
    return 0;
}

/* ---- the walk ---- */

static int end_block(struct walk *w)
{
    struct shard *s = w->s;
    int r = checkpoint_end_block(s->checkpoint, &w->at, journal_last_lsn(s->journal));
    if (r >= 0) move_entries(w);
    return r;
}

static int walk_chunks(struct shard *s)
{
    cleanup_(walk_done) struct walk w = { .s = s };
    while (!w.is_over) {
        int r = read_ahead(&w);
        if (r < 0) return r;
        fill_block(&w);
        if (!w.is_over && checkpoint_block_is_empty(s->checkpoint)) continue;
        r = end_block(&w);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- what comes before the chunks ---- */

static int add_entry(struct shard *s, enum entry_kind kind, const void *disk, size_t size)
{
    static const struct chunk_key none = { 0 };
    checkpoint_add(s->checkpoint, kind, &(struct iovec){ (void *)(uintptr_t)disk, size }, 1);
    if (!checkpoint_block_is_full(s->checkpoint)) return 0;
    return checkpoint_end_block(s->checkpoint, &none, 0);
}

/* Targets are exactly those of the moment when the epoch began: they fit into one block. */
static void add_targets(struct shard *s)
{
    for (uint32_t i = 0; i < s->target_count; i++) {
        struct target_disk disk;
        shard_target_parts(s->targets[i], &disk);
        checkpoint_add(s->checkpoint, ENTRY_TARGET, &(struct iovec){ &disk, sizeof(disk) }, 1);
    }
}

static uint32_t copy_floors(struct shard *s, struct floor_disk **ret)
{
    uint32_t count = 0, capacity = 0;
    *ret = NULL;
    list_for_each (it, &s->floors.floors) {
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            *ret = xrealloc(*ret, capacity * sizeof(**ret));
        }
        (*ret)[count++] = list_entry(it, struct generation_floor, node)->disk;
    }
    return count;
}

static int add_floors(struct shard *s)
{
    cleanup_(freep) struct floor_disk *floors = NULL;
    uint32_t count = copy_floors(s, &floors);
    for (uint32_t i = 0; i < count; i++) {
        int r = add_entry(s, ENTRY_FLOOR, &floors[i], sizeof(floors[i]));
        if (r < 0) return r;
    }
    return 0;
}

static int add_identities(struct shard *s)
{
    cleanup_(identity_walk_end) struct identity_walk walk;
    identity_walk_begin(&walk, &s->identities);
    for (;;) {
        const struct identity_disk *disk = identity_walk_next(&walk, &s->identities);
        if (!disk) return 0;
        int r = add_entry(s, ENTRY_IDENTITY, disk, sizeof(*disk));
        if (r < 0) return r;
    }
}

/* ---- the whole ---- */

/* After a crash during a checkpoint two epochs are live: the one before the current must not be
 * taken over yet. The new checkpoint then begins with the current one, whose entries the blocks
 * contain already. */
static void begin(struct shard *s)
{
    uint64_t epoch, first_lsn;
    const struct checkpoint_disk *head = checkpoint_head(s->checkpoint);
    if (journal_epoch(s->journal, &first_lsn) == head->journal_epoch) {
        journal_switch(s->journal, &epoch, &first_lsn);
        /* an epoch is on the disk with its first entry, and it must be before the checkpoint counts
         */
        struct checkpoint_mark_disk mark = { .sequence = head->sequence + 1 };
        journal_append(s->journal, ENTRY_CHECKPOINT, &(struct iovec){ &mark, sizeof(mark) }, 1,
                       NULL);
    } else {
        epoch = journal_epoch(s->journal, &first_lsn);
    }
    checkpoint_begin(s->checkpoint, epoch, first_lsn, s->target_number_next);
    add_targets(s);
}

static int write_checkpoint(struct shard *s, bool *ret_has_begun)
{
    /* the whole of the old one and all that was appended since is more than the new one can be */
    int r = checkpoint_reserve(s->checkpoint, journal_size(s->journal));
    if (r == -ERR_NO_SPACE)
        return log_warn(&s->node->log, r, "%s: no space for a checkpoint now", s->path);
    if (r < 0) return r;
    *ret_has_begun = true;
    begin(s);
    r = add_floors(s);
    if (r >= 0) r = add_identities(s);
    if (r >= 0) r = walk_chunks(s);
    if (r >= 0) r = FAULT("storage.checkpoint.before_wait");
    uint64_t end_lsn = journal_last_lsn(s->journal);
    if (r >= 0) r = journal_wait(s->journal, end_lsn);
    /* a record in a checkpoint is not doubted */
    if (r >= 0 && !MUTANT(CHECKPOINT_BEFORE_DATA)) r = units_sync(s->units);
    if (r >= 0) r = checkpoint_finish(s->checkpoint, end_lsn);
    if (r >= 0) s->checkpoint_count++;
    return r;
}

int shard_checkpoint(struct shard *s)
{
    while (s->checkpoint_is_running) {
        int r = wait_queue_wait(&s->checkpoint_ended, "checkpoint");
        if (r < 0) return r;
    }
    s->checkpoint_is_running = true;
    bool has_begun = false;
    int r = write_checkpoint(s, &has_begun);
    s->checkpoint_is_running = false;
    wait_queue_wake_all(&s->checkpoint_ended);
    /* entries point into the unfinished file, which another attempt would overwrite */
    if (r < 0 && has_begun) shard_fail(s, r, "writing a checkpoint");
    return r;
}

static bool is_due(struct shard *s)
{
    uint64_t body_bytes = checkpoint_head(s->checkpoint)->body_bytes;
    return journal_size(s->journal) > MAX_OF((uint64_t)s->checkpoint_journal_bytes, body_bytes);
}

static int checkpoint_fiber(void *arg)
{
    struct shard *s = arg;
    for (;;) {
        while (!is_due(s)) {
            int r = wait_queue_wait(&s->checkpoint_asked, "journal to grow");
            if (r < 0) return r;
        }
        int r = shard_checkpoint(s);
        if (r == -ERR_NO_SPACE) r = fiber_sleep(NO_SPACE_PAUSE_NS);
        if (r < 0) return r;
    }
}

int shard_checkpoint_start(struct shard *s)
{
    return fiber_spawn(&s->scope, "checkpoint", checkpoint_fiber, s);
}

void shard_appended(struct shard *s)
{
    if (!s->checkpoint_is_running && is_due(s)) wait_queue_wake_one(&s->checkpoint_asked);
}
