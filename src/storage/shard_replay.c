/* shard_replay.c - the start of a shard: the newest checkpoint, then the journal, then the space
 * that is left.
 *
 * Replay is exact, not approximate: a block of the checkpoint says up to which lsn it contains what
 * happened to its keys; entries of the journal up to there are passed over, later ones must fit
 * what is in memory, or something is damaged. What records say of units is kept in a ledger on the
 * side and settled at the end, when it is known which records still count; a unit that two of them
 * claim is damage.
 */
#include "base/arena.h"
#include "base/check.h"
#include "storage/shard.h"

/* Up to @end (and behind the block before) the checkpoint speaks as of @lsn. */
struct range {
    struct chunk_key end;
    uint64_t lsn;
};

/* The units of one record that was committed when it was seen. */
struct ledger_item {
    struct chunk_key key;
    uint64_t locator;
    uint32_t extent_first, extent_count;
};

struct replay {
    struct shard *s;
    struct range *ranges;
    uint32_t range_count, range_capacity;
    struct ledger_item *items;
    uint64_t item_count, item_capacity;
    struct extent_disk *extents;
    uint64_t extent_count, extent_capacity;
};

static void replay_done(struct replay *p)
{
    free(p->ranges);
    free(p->items);
    free(p->extents);
}

/* ---- ledger ---- */

static void ledger_add(struct replay *p, const struct chunk_key *key, uint64_t locator,
                       const struct record *record)
{
    uint32_t count = record->head.extent_count;
    if (p->item_count == p->item_capacity) {
        p->item_capacity = p->item_capacity ? 2 * p->item_capacity : 1024;
        p->items = xrealloc(p->items, p->item_capacity * sizeof(*p->items));
    }
    if (p->extent_count + count > p->extent_capacity) {
        p->extent_capacity = MAX_OF(2 * p->extent_capacity, p->extent_count + count);
        p->extents = xrealloc(p->extents, p->extent_capacity * sizeof(*p->extents));
    }
    p->items[p->item_count++] =
        (struct ledger_item){ *key, locator, (uint32_t)p->extent_count, count };
    if (count) memcpy(&p->extents[p->extent_count], record->extents, count * sizeof(*p->extents));
    p->extent_count += count;
}

static int mark(struct shard *s, const struct chunk_key *key, const struct extent_disk *extents,
                uint32_t count)
{
    struct shard_target *t = shard_target_by_number(s, key->target);
    for (uint32_t i = 0; i < count; i++) {
        int r = units_mark(s->units, extents[i].unit, extents[i].count);
        if (r < 0)
            return log_error(
                &s->node->log, r,
                "%s: chunk %llx-%x claims units %u to %u, which are taken or not there", s->path,
                (unsigned long long)key->inode, key->index, extents[i].unit,
                extents[i].unit + extents[i].count - 1);
        if (t) t->info.used_bytes += (uint64_t)extents[i].count * UNIT_BYTES;
    }
    return 0;
}

/* What the commit of a pending record frees is what only the committed one has, in its order. */
static int check_frees(struct shard *s, const struct record *pending,
                       const struct record *committed)
{
    cleanup_(freep) struct extent_disk *frees =
        xcalloc(committed ? record_unit_count(committed) + 1 : 1, sizeof(*frees));
    const struct record_disk *head = &pending->head;
    uint32_t unit_count, count = 0;
    if (committed) count = record_subtract(committed, pending, frees, &unit_count);
    bool is_sound = count == head->free_count;
    for (uint32_t i = 0; is_sound && i < count; i++) {
        is_sound =
            frees[i].unit == pending->frees[i].unit && frees[i].count == pending->frees[i].count;
    }
    if (is_sound) return 0;
    return log_error(&s->node->log, -ERR_DATA_CORRUPTION,
                     "%s: chunk %llx-%x: version %llu would free units that are not its to free",
                     s->path, (unsigned long long)head->key.inode, head->key.index,
                     (unsigned long long)head->version);
}

static int mark_pending(struct shard *s, const struct chunk_key *key, const struct record *pending)
{
    cleanup_(record_unrefp) struct record *committed = NULL;
    int r = shard_load_record(s, key, &committed);
    if (r >= 0) r = check_frees(s, pending, committed);
    if (r < 0) return r;
    cleanup_(freep) struct extent_disk *extents =
        xcalloc(record_unit_count(pending) + 1, sizeof(*extents));
    uint32_t unit_count;
    uint32_t count = record_subtract(pending, committed, extents, &unit_count);
    return mark(s, key, extents, count);
}

/* Marks what committed records that still count have, then what pendings have of their own. */
static int ledger_settle(struct replay *p)
{
    struct shard *s = p->s;
    for (uint64_t i = 0; i < p->item_count; i++) {
        const struct ledger_item *item = &p->items[i];
        const struct index_entry *entry = chunk_index_find(&s->index, &item->key);
        if (!entry || entry->locator != item->locator) continue;
        if (item->extent_count == 0) continue; /* all of it is a hole */
        int r = mark(s, &item->key, &p->extents[item->extent_first], item->extent_count);
        if (r < 0) return r;
    }
    for (uint32_t slot = 0; slot < s->pending_capacity; slot++) {
        if (!s->pendings[slot]) continue;
        const struct record *record = s->pendings[slot]->record;
        int r = mark_pending(s, &record->head.key, record);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- ranges ---- */

static int on_block(void *arg, const struct chunk_key *range_end, uint64_t lsn)
{
    struct replay *p = arg;
    if (p->range_count > 0 && chunk_key_compare(range_end, &p->ranges[p->range_count - 1].end) < 0)
        return -ERR_DATA_CORRUPTION;
    if (p->range_count == p->range_capacity) {
        p->range_capacity = p->range_capacity ? 2 * p->range_capacity : 64;
        p->ranges = xrealloc(p->ranges, p->range_capacity * sizeof(*p->ranges));
    }
    p->ranges[p->range_count++] = (struct range){ *range_end, lsn };
    return 0;
}

/* Whether the checkpoint contains what entry @lsn did to @key. */
static bool is_contained(const struct replay *p, const struct chunk_key *key, uint64_t lsn)
{
    uint32_t low = 0, high = p->range_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (chunk_key_compare(&p->ranges[mid].end, key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < p->range_count && lsn <= p->ranges[low].lsn;
}

/* ---- entries ---- */

static int read_fixed(const struct entry *entry, void *ret, size_t size)
{
    if (entry->payload.size != size) return -ERR_DATA_CORRUPTION;
    memcpy(ret, entry->payload.base, size);
    return 0;
}

static int apply_target(struct replay *p, const struct entry *entry)
{
    struct target_disk disk;
    int r = read_fixed(entry, &disk, sizeof(disk));
    if (r < 0) return r;
    struct shard_target *t = shard_target_by_number(p->s, disk.number);
    if (t) {
        t->info.chain_version = disk.chain_version;
        t->info.dropped_version = MAX_OF(t->info.dropped_version, disk.dropped_version);
        return t->info.target_id == disk.target_id ? 0 : -ERR_DATA_CORRUPTION;
    }
    if (disk.number == 0 || disk.number >= 1u << 31) return -ERR_DATA_CORRUPTION;
    /* one that was removed later, in an epoch that the checkpoint contains */
    if (disk.number < p->s->target_number_next) return 0;
    if (shard_target_find(p->s, disk.target_id)) return -ERR_DATA_CORRUPTION;
    shard_target_add(p->s, &disk);
    return 0;
}

static int apply_target_remove(struct replay *p, const struct entry *entry)
{
    struct shard *s = p->s;
    struct target_remove_disk disk;
    int r = read_fixed(entry, &disk, sizeof(disk));
    if (r < 0) return r;
    shard_target_forget(s, disk.number);
    struct chunk_key key = { .target = disk.number };
    for (;;) {
        struct index_entry *e = chunk_index_next(&s->index, &key, true);
        if (!e || e->key.target != disk.number) return 0;
        key = e->key;
        if (e->pending) record_unref(shard_pending_take(s, e));
        chunk_index_remove(&s->index, &key);
    }
}

/* The pending record of its chunk, also until the next insert. */
static struct pending *apply_pending(struct replay *p, uint64_t lsn, uint64_t locator,
                                     struct record *record)
{
    struct index_entry *entry = chunk_index_insert(&p->s->index, &record->head.key);
    if (entry->pending) record_unref(shard_pending_take(p->s, entry));
    entry->pending = shard_pending_add(p->s, record, lsn, locator) & 0x7ffffff;
    return shard_pending_of(p->s, entry);
}

/* The identity of a record of the journal enters the table; *ret_before: what it took the place of.
 */
static void put_identity(struct replay *p, const struct record *record,
                         struct identity_disk *ret_before)
{
    struct identity_disk own;
    record_identity(&record->head, &own);
    const struct identity_disk *before = identity_table_find(
        &p->s->identities, own.key.target, own.client_high, own.client_low, own.channel);
    *ret_before = before && before->seq < own.seq ? *before : (struct identity_disk){ 0 };
    identity_table_put(&p->s->identities, &own);
}

/* A record of the journal: always a pending one. */
static int apply_record(struct replay *p, uint64_t lsn, uint64_t locator, const struct entry *entry)
{
    cleanup_(record_unrefp) struct record *record = NULL;
    int r = record_decode(entry->payload, &record);
    if (r < 0) return r;
    if (record->head.state != RECORD_PENDING) return -ERR_DATA_CORRUPTION;
    struct identity_disk before;
    bool is_known = shard_target_by_number(p->s, record->head.key.target) != NULL;
    if (is_known) put_identity(p, record, &before);
    if (is_contained(p, &record->head.key, lsn)) return 0;
    if (!is_known) return -ERR_DATA_CORRUPTION;
    apply_pending(p, lsn, locator, record)->before = before;
    return 0;
}

static int apply_commit(struct replay *p, uint64_t lsn, const struct entry *entry)
{
    struct shard *s = p->s;
    struct commit_disk disk;
    int r = read_fixed(entry, &disk, sizeof(disk));
    if (r < 0) return r;
    if (is_contained(p, &disk.key, lsn)) return 0;
    struct index_entry *e = chunk_index_find(&s->index, &disk.key);
    struct pending *pending = e ? shard_pending_of(s, e) : NULL;
    if (!pending || pending->record->head.version != disk.version || disk.chain_version == 0)
        return -ERR_DATA_CORRUPTION;
    ledger_add(p, &disk.key, pending->locator, pending->record);
    record_unref(record_cache_take(&s->cache, &disk.key));
    shard_make_committed(s, e, disk.chain_version);
    return 0;
}

static int apply_drop(struct replay *p, uint64_t lsn, const struct entry *entry)
{
    struct shard *s = p->s;
    struct drop_disk disk;
    int r = read_fixed(entry, &disk, sizeof(disk));
    if (r < 0) return r;
    struct shard_target *t = shard_target_by_number(s, disk.key.target);
    if (disk.state == RECORD_PENDING) {
        identity_table_take_back(&s->identities, &disk);
    } else if (t) {
        t->info.dropped_version = MAX_OF(t->info.dropped_version, disk.version);
    }
    if (is_contained(p, &disk.key, lsn)) return 0;
    struct index_entry *e = chunk_index_find(&s->index, &disk.key);
    if (!e) return -ERR_DATA_CORRUPTION;
    if (disk.state == RECORD_PENDING) {
        struct pending *pending = shard_pending_of(s, e);
        if (!pending || pending->record->head.version != disk.version) return -ERR_DATA_CORRUPTION;
        record_unref(shard_pending_take(s, e));
    } else {
        if (!e->locator || e->version != disk.version) return -ERR_DATA_CORRUPTION;
        shard_target_count(s, e, -1);
        record_unref(record_cache_take(&s->cache, &disk.key));
        e->locator = e->version = 0;
        e->is_tombstone = 0;
    }
    if (!e->locator && !e->pending) chunk_index_remove(&s->index, &disk.key);
    return 0;
}

static int apply_identity(struct replay *p, const struct entry *entry)
{
    struct identity_disk disk;
    int r = read_fixed(entry, &disk, sizeof(disk));
    if (r >= 0 && shard_target_by_number(p->s, disk.key.target))
        identity_table_put(&p->s->identities, &disk);
    return r;
}

static int apply_floor(struct replay *p, const struct entry *entry)
{
    struct floor_disk disk;
    int r = read_fixed(entry, &disk, sizeof(disk));
    if (r >= 0 && shard_target_by_number(p->s, disk.target)) floor_table_set(&p->s->floors, &disk);
    return r;
}

static int on_journal_entry(void *arg, uint64_t lsn, uint64_t locator, const struct entry *entry)
{
    struct replay *p = arg;
    struct target_remove_disk clear;
    int r;
    switch (entry->kind) {
    case ENTRY_TARGET: return apply_target(p, entry);
    case ENTRY_TARGET_REMOVE: return apply_target_remove(p, entry);
    case ENTRY_RECORD: return apply_record(p, lsn, locator, entry);
    case ENTRY_COMMIT: return apply_commit(p, lsn, entry);
    case ENTRY_DROP: return apply_drop(p, lsn, entry);
    case ENTRY_IDENTITY: return apply_identity(p, entry);
    case ENTRY_IDENTITY_CLEAR:
        r = read_fixed(entry, &clear, sizeof(clear));
        if (r >= 0) identity_table_remove_target(&p->s->identities, clear.number);
        return r;
    case ENTRY_FLOOR: return apply_floor(p, entry);
    case ENTRY_CHECKPOINT:
    case ENTRY_DATA_SYNCED: return 0;
    }
    return -ERR_FORMAT_TOO_NEW;
}

/* ---- the checkpoint ---- */

static int load_record(struct replay *p, uint64_t locator, const struct entry *entry)
{
    struct shard *s = p->s;
    cleanup_(record_unrefp) struct record *record = NULL;
    int r = record_decode(entry->payload, &record);
    if (r < 0) return r;
    const struct chunk_key *key = &record->head.key;
    if (!shard_target_by_number(s, key->target)) return -ERR_DATA_CORRUPTION;
    if (record->head.state == RECORD_PENDING) {
        /* its data was synced before the checkpoint counted */
        apply_pending(p, 0, locator, record);
        return 0;
    }
    struct index_entry *e = chunk_index_insert(&s->index, key);
    if (e->locator || e->pending) return -ERR_DATA_CORRUPTION;
    shard_entry_set(s, e, record, locator);
    shard_target_count(s, e, 1);
    ledger_add(p, key, locator, record);
    return 0;
}

static int on_checkpoint_entry(void *arg, uint64_t locator, const struct entry *entry)
{
    struct replay *p = arg;
    switch ((int)entry->kind) {
    case ENTRY_TARGET: return apply_target(p, entry);
    case ENTRY_RECORD: return load_record(p, locator, entry);
    case ENTRY_IDENTITY: return apply_identity(p, entry);
    case ENTRY_FLOOR: return apply_floor(p, entry);
    default: return -ERR_FORMAT_TOO_NEW;
    }
}

int shard_replay(struct shard *s)
{
    cleanup_(replay_done) struct replay p = { .s = s };
    const struct checkpoint_disk *head = checkpoint_head(s->checkpoint);
    struct checkpoint_reader reader = { .block = on_block,
                                        .entry = on_checkpoint_entry,
                                        .arg = &p };
    s->target_number_next = 1;
    int r = checkpoint_read(s->checkpoint, &reader);
    if (r < 0) return r;
    s->target_number_next = MAX_OF(s->target_number_next, head->target_number_next);
    r = journal_replay(s->journal, head->journal_epoch, head->first_lsn, on_journal_entry, &p);
    if (r >= 0) r = shard_doubt_unsynced(s);
    return r < 0 ? r : ledger_settle(&p);
}
