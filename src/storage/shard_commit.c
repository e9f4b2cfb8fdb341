/* shard_commit.c - what happens to records after they were staged: commit, drop, the end of
 * tombstones. */
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"
#include "storage/shard.h"

enum { TURN_CHUNKS = 512 }; /* between two yields of a walk */

static struct chunk_key key_of(const struct shard_target *t, struct chunk_id chunk)
{
    return (struct chunk_key){ .inode = chunk.inode, .index = chunk.index, .target = t->number };
}

/* The commit stamps the pair; the table of identities answers with it. */
static void stamp_identity(struct shard *s, const struct record_disk *head)
{
    struct identity_disk *identity = identity_table_find(
        &s->identities, head->key.target, head->client_high, head->client_low, head->channel);
    if (identity && identity->seq == head->seq) identity->chain_version = head->chain_version;
}

void shard_make_committed(struct shard *s, struct index_entry *entry, uint32_t chain_version)
{
    uint64_t locator = shard_pending_of(s, entry)->locator;
    cleanup_(record_unrefp) struct record *record = shard_pending_take(s, entry);
    shard_target_count(s, entry, -1);
    record_become_committed(record, chain_version);
    shard_entry_set(s, entry, record, locator);
    shard_target_count(s, entry, 1);
    stamp_identity(s, &record->head);
    record_cache_put(&s->cache, record);
}

int shard_commit(struct shard *s, struct shard_target *t, struct chunk_id chunk, uint64_t version,
                 uint32_t chain_version)
{
    struct chunk_key key = key_of(t, chunk);
    struct index_entry *entry = chunk_index_find(&s->index, &key);
    struct pending *pending = entry ? shard_pending_of(s, entry) : NULL;
    if (!pending || pending->record->head.version != version) {
        bool is_done = entry && entry->locator && entry->version == version;
        return is_done ? 0 : -ERR_CHUNK_MISSING_UPDATE;
    }
    bool has_data = units_are_synced(s->units, pending->sync_ticket) || MUTANT(COMMIT_BEFORE_DATA);
    if (pending->lsn > journal_durable_lsn(s->journal) || !has_data) return -ERR_CHUNK_NOT_COMMIT;

    struct commit_disk disk = { .key = key, .version = version, .chain_version = chain_version };
    uint64_t lsn =
        journal_append(s->journal, ENTRY_COMMIT, &(struct iovec){ &disk, sizeof(disk) }, 1, NULL);
    struct record *old = record_cache_take(&s->cache, &key);
    if (old) quarantine_supersede(&s->quarantine, old);
    const struct record *record = pending->record;
    for (uint32_t i = 0; i < record->head.free_count; i++) {
        t->info.used_bytes -= (uint64_t)record->frees[i].count * UNIT_BYTES;
    }
    quarantine_add(&s->quarantine, lsn, record->frees, record->head.free_count);
    shard_make_committed(s, entry, chain_version);
    record_unref(old);
    shard_appended(s);
    return 0;
}

/* ---- drop ---- */

static uint64_t append_drop(struct shard *s, const struct drop_disk *disk)
{
    return journal_append(s->journal, ENTRY_DROP,
                          &(struct iovec){ (void *)(uintptr_t)disk, sizeof(*disk) }, 1, NULL);
}

/* Units that only @record has go with it. */
static void drop_record(struct shard *s, struct shard_target *t, struct record *record,
                        const struct record *other, uint64_t lsn)
{
    cleanup_(freep) struct extent_disk *extents =
        xcalloc(record_unit_count(record) + 1, sizeof(*extents));
    uint32_t unit_count;
    uint32_t count = record_subtract(record, other, extents, &unit_count);
    t->info.used_bytes -= (uint64_t)unit_count * UNIT_BYTES;
    quarantine_supersede(&s->quarantine, record);
    quarantine_add(&s->quarantine, lsn, extents, count);
}

/* An entry that says nothing any more goes. */
static void tidy_entry(struct shard *s, const struct index_entry *entry)
{
    if (entry->locator || entry->pending) return;
    struct chunk_key key = entry->key;
    chunk_index_remove(&s->index, &key);
}

static void forget_committed(struct shard *s, struct index_entry *entry)
{
    shard_target_count(s, entry, -1);
    record_unref(record_cache_take(&s->cache, &entry->key));
    entry->locator = entry->version = 0;
    entry->is_tombstone = 0;
    tidy_entry(s, entry);
}

struct record *shard_forget_pending(struct shard *s, struct index_entry *entry, uint64_t *ret_lsn)
{
    struct record *pending = shard_pending_take(s, entry);
    const struct record_disk *head = &pending->head;
    /* Committed content written anew (storage/repair.c): its update was executed, and stays so. */
    bool is_rewrite = entry->locator && entry->version == head->version &&
                      entry->chain_version == head->chain_version;
    struct drop_disk disk = { .key = head->key,
                              .version = head->version,
                              .state = RECORD_PENDING,
                              .channel = is_rewrite ? 0 : head->channel,
                              .client_high = head->client_high,
                              .client_low = head->client_low,
                              .seq = head->seq };
    *ret_lsn = append_drop(s, &disk);
    identity_table_take_back(&s->identities, &disk);
    tidy_entry(s, entry);
    return pending;
}

static uint64_t drop_pending(struct shard *s, struct shard_target *t, struct index_entry *entry,
                             const struct record *committed)
{
    uint64_t lsn;
    cleanup_(record_unrefp) struct record *pending = shard_forget_pending(s, entry, &lsn);
    drop_record(s, t, pending, committed, lsn);
    return lsn;
}

static uint64_t drop_committed(struct shard *s, struct shard_target *t, struct index_entry *entry,
                               struct record *committed)
{
    struct drop_disk disk = { .key = entry->key,
                              .version = entry->version,
                              .state = RECORD_COMMITTED };
    uint64_t lsn = append_drop(s, &disk);
    t->info.dropped_version = MAX_OF(t->info.dropped_version, disk.version);
    forget_committed(s, entry);
    drop_record(s, t, committed, NULL, lsn);
    return lsn;
}

int shard_drop(struct shard *s, struct shard_target *t, struct chunk_id chunk,
               enum chunk_pin_which which)
{
    struct chunk_key key = key_of(t, chunk);
    uint32_t number = t->number;
    cleanup_(record_unrefp) struct record *committed = NULL;
    int r = shard_load_record(s, &key, &committed);
    if (r < 0) return r;
    t = shard_target_by_number(s, number);
    struct index_entry *entry = chunk_index_find(&s->index, &key);
    if (!t || !entry) return 0;
    uint64_t lsn;
    if (which == CHUNK_PENDING) {
        if (!entry->pending) return 0;
        lsn = drop_pending(s, t, entry, committed);
    } else {
        if (!committed) return 0;
        if (entry->pending) return -ERR_CHUNK_ADVANCE_UPDATE;
        lsn = drop_committed(s, t, entry, committed);
    }
    shard_appended(s);
    r = journal_wait(s->journal, lsn);
    return r < 0 ? r : 1;
}

int shard_drop_tombstones(struct shard *s, struct shard_target *t, uint64_t older_than_ns)
{
    struct chunk_key key = { .target = t->number };
    uint32_t count = 0, dropped = 0;
    for (struct index_entry *entry = chunk_index_next(&s->index, &key, true);
         entry && entry->key.target == key.target;
         entry = chunk_index_next(&s->index, &key, false)) {
        key = entry->key;
        /* seconds were rounded down, so a whole one more must have passed */
        bool is_old =
            (uint64_t)entry->length + 1 <= older_than_ns / SEC || MUTANT(TOMBSTONE_DROPPED_EARLY);
        if (entry->is_tombstone && !entry->pending && is_old) {
            append_drop(s, &(struct drop_disk){
                               .key = key, .version = entry->version, .state = RECORD_COMMITTED });
            if (!MUTANT(TOMBSTONE_DROPPED_EARLY))
                t->info.dropped_version = MAX_OF(t->info.dropped_version, entry->version);
            forget_committed(s, entry);
            dropped++;
        }
        if (++count % TURN_CHUNKS == 0) {
            int r = journal_make_room(s->journal);
            if (r < 0) return r;
            fiber_yield();
            t = shard_target_by_number(s, key.target);
            if (!t) return -ERR_TARGET_NOT_FOUND;
        }
    }
    shard_appended(s);
    return (int)MIN_OF(dropped, (uint32_t)INT32_MAX);
}
