/* shard_data.c - whether the data of a record is durable.
 *
 *   stage     data written ──► record appended ──► index sync ──┬──► acknowledged
 *                         └──► data sync asked for ──► done ────┘
 *
 * The syncs go side by side, so a crash may leave a record whose data never reached the disk. Every
 * batch of the journal says up to which record data was durable before the batch was written; what
 * is pending beyond that at the next start is doubted: the units that it brought are held against
 * its CRCs, and if they are not those the record is dropped. It was not acknowledged: that needs
 * both syncs. What was acknowledged is told by a batch of its own soon, if no other comes, so that
 * only a moment's records are ever doubted.
 *
 * Not doubted are committed records (a commit needs both syncs), records up to a checkpoint's end
 * (it counts only after a data sync), and records that take the place of another pending one, which
 * may have been acknowledged: these wait for their data before they are appended.
 */
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"
#include "storage/shard.h"
#include "storage/shard_memory.h"

/* ---- syncs under way ---- */

struct unsynced {
    struct list node;
    uint64_t lsn, ticket;
};

void shard_begin_sync(struct shard *s, struct pending *pending)
{
    struct unsynced *item = new_zero(struct unsynced);
    item->lsn = pending->lsn;
    item->ticket = pending->sync_ticket = units_sync_begin(s->units);
    list_push_back(&s->unsynced, &item->node);
}

uint64_t shard_data_lsn(struct shard *s)
{
    while (!list_empty(&s->unsynced)) {
        struct unsynced *item = list_entry(s->unsynced.next, struct unsynced, node);
        if (!units_are_synced(s->units, item->ticket)) return item->lsn - 1;
        list_remove(&item->node);
        free(item);
    }
    return journal_last_lsn(s->journal);
}

void shard_data_done(struct shard *s)
{
    while (!list_empty(&s->unsynced)) {
        free(list_entry(list_pop_front(&s->unsynced), struct unsynced, node));
    }
}

void shard_tell_synced(struct shard *s, uint64_t lsn)
{
    if (journal_told_data_lsn(s->journal) >= lsn || journal_is_filling(s->journal)) return;
    journal_append(s->journal, ENTRY_DATA_SYNCED, NULL, 0, NULL);
}

int shard_settle(struct shard *s, const struct pending *pending)
{
    uint64_t lsn = pending->lsn, ticket = pending->sync_ticket;
    int r = journal_wait(s->journal, lsn);
    if (r >= 0) r = units_sync_wait(s->units, ticket);
    int failure = shard_failure(s);
    if (failure) {
        shard_fail(s, failure, "writing an update");
        return -ERR_CHUNK_WRITE_FAILED;
    }
    if (r >= 0) shard_tell_synced(s, lsn);
    return r;
}

/* ---- doubts at start ---- */

/* 1 when the bytes of unit @at of the chunk are there, 0 when others are. */
static int has_bytes(struct shard *s, const struct record *record, uint32_t at, uint32_t unit)
{
    uint32_t begin = at * UNIT_BYTES;
    uint32_t size = MIN_OF((uint32_t)UNIT_BYTES, record->head.block_count * BLOCK_BYTES - begin);
    if (!units_exist(s->units, unit, 1)) return 0;
    cleanup_(freep) uint8_t *buf = block_memory(size);
    int r = units_read(s->units, unit, 0, buf, size);
    if (r < 0) return r;
    r = shard_check_blocks(record, begin, size, buf);
    return r == -ERR_CHECKSUM_MISMATCH ? 0 : r < 0 ? r : 1;
}

/* As has_bytes(), for all units that the record does not share with the committed one. */
static int has_data(struct shard *s, const struct record *record)
{
    cleanup_(record_unrefp) struct record *committed = NULL;
    int r = shard_load_record(s, &record->head.key, &committed);
    if (r < 0) return r;
    r = 1;
    for (uint32_t i = 0; r > 0 && i < record->head.extent_count; i++) {
        const struct extent_disk *e = &record->extents[i];
        for (uint32_t n = 0; r > 0 && n < e->count; n++) {
            if (committed && record_has_unit(committed, e->at + n, e->unit + n)) continue;
            r = has_bytes(s, record, e->at + n, e->unit + n);
        }
    }
    return r;
}

/* The channel's entry is what it was before the update, in memory and journal. */
static void restore_identity(struct shard *s, const struct identity_disk *before)
{
    if (before->seq == 0) return;
    if (identity_table_find(&s->identities, before->key.target, before->client_high,
                            before->client_low, before->channel))
        return;
    identity_table_put(&s->identities, before);
    journal_append(s->journal, ENTRY_IDENTITY,
                   &(struct iovec){ (void *)(uintptr_t)before, sizeof(*before) }, 1, NULL);
}

/* Its units were not marked as taken yet, so they are free. Whoever takes them before the entry is
 * durable changes nothing: after another crash the record is doubted again. */
static void drop_doubted(struct shard *s, const struct chunk_key *key)
{
    uint64_t lsn;
    struct index_entry *entry = chunk_index_find(&s->index, key);
    struct identity_disk before = shard_pending_of(s, entry)->before;
    cleanup_(record_unrefp) struct record *record = shard_forget_pending(s, entry, &lsn);
    restore_identity(s, &before);
    log_info(&s->node->log, "%s: chunk %llx-%x: version %llu had not reached the disk", s->path,
             (unsigned long long)key->inode, key->index, (unsigned long long)record->head.version);
}

static int doubt(struct shard *s, const struct chunk_key *key)
{
    const struct index_entry *entry = chunk_index_find(&s->index, key);
    cleanup_(record_unrefp) struct record *record = record_ref(shard_pending_of(s, entry)->record);
    int r = has_data(s, record);
    if (r == 0) drop_doubted(s, key);
    /* what cannot be read may be whole: it stays, and reading it says so */
    if (r == -ERR_CHUNK_READ_FAILED)
        return log_warn(&s->node->log, 0, "%s: data of chunk %llx-%x cannot be read", s->path,
                        (unsigned long long)key->inode, key->index);
    return r;
}

struct doubted {
    uint64_t lsn;
    struct chunk_key key;
};

static int compare_doubted(const void *a, const void *b)
{
    uint64_t x = ((const struct doubted *)a)->lsn, y = ((const struct doubted *)b)->lsn;
    return (x < y) - (x > y);
}

int shard_doubt_unsynced(struct shard *s)
{
    uint64_t data_lsn =
        MAX_OF(journal_told_data_lsn(s->journal), checkpoint_head(s->checkpoint)->end_lsn);
    uint32_t count = 0;
    cleanup_(freep) struct doubted *all = xcalloc(s->pending_count + 1, sizeof(*all));
    for (uint32_t slot = 0; slot < s->pending_capacity; slot++) {
        const struct pending *pending = s->pendings[slot];
        if (!pending || pending->lsn <= data_lsn || MUTANT(DATA_NOT_DOUBTED)) continue;
        all[count++] = (struct doubted){ pending->lsn, pending->record->head.key };
    }
    if (count == 0) return 0;
    /* the newest first, so that identities come back in the right order */
    qsort(all, count, sizeof(*all), compare_doubted);
    for (uint32_t i = 0; i < count; i++) {
        int r = doubt(s, &all[i].key);
        if (r < 0) return r;
    }
    /* what was found may still be on its way to the disk, when only the process died */
    int r = MUTANT(DOUBTED_NOT_SYNCED) ? 0 : units_sync_all(s->units);
    if (r >= 0) shard_tell_synced(s, all[0].lsn);
    return r;
}
