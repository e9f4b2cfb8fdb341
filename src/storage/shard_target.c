/* shard_target.c - targets of a shard: their table, what they hold in sum, making and removing
 * them. */
#include "base/arena.h"
#include "base/check.h"
#include "storage/shard.h"

enum { TARGET_COUNT_MAX = 4096 };

struct shard_target *shard_target_find(const struct shard *s, uint64_t target_id)
{
    for (uint32_t i = 0; i < s->target_count; i++) {
        if (s->targets[i]->info.target_id == target_id) return s->targets[i];
    }
    return NULL;
}

struct shard_target *shard_target_by_number(const struct shard *s, uint32_t number)
{
    uint32_t low = 0, high = s->target_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (s->targets[mid]->number == number) return s->targets[mid];
        if (s->targets[mid]->number < number) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

/* Numbers only grow, so a new one goes to the end. */
struct shard_target *shard_target_add(struct shard *s, const struct target_disk *disk)
{
    struct shard_target *t = new_zero(struct shard_target);
    t->info = (struct store_target){ .target_id = disk->target_id,
                                     .chain_id = disk->chain_id,
                                     .chain_version = disk->chain_version,
                                     .dropped_version = disk->dropped_version };
    t->number = disk->number;
    s->targets = xrealloc(s->targets, (s->target_count + 1) * sizeof(struct shard_target *));
    s->targets[s->target_count++] = t;
    if (disk->number >= s->target_number_next) s->target_number_next = disk->number + 1;
    return t;
}

void shard_target_parts(const struct shard_target *t, struct target_disk *ret)
{
    *ret = (struct target_disk){ .target_id = t->info.target_id,
                                 .number = t->number,
                                 .chain_id = t->info.chain_id,
                                 .chain_version = t->info.chain_version,
                                 .dropped_version = t->info.dropped_version };
}

static uint64_t append_target(struct shard *s, const struct shard_target *t)
{
    struct target_disk disk;
    shard_target_parts(t, &disk);
    return journal_append(s->journal, ENTRY_TARGET, &(struct iovec){ &disk, sizeof(disk) }, 1,
                          NULL);
}

int shard_target_create(struct shard *s, uint64_t target_id, uint32_t chain_id)
{
    if (shard_target_find(s, target_id)) return -ERR_META_EXISTS;
    if (s->target_count == TARGET_COUNT_MAX) return -ERR_BUSY;
    struct target_disk disk = { .target_id = target_id,
                                .number = s->target_number_next,
                                .chain_id = chain_id };
    uint64_t lsn = append_target(s, shard_target_add(s, &disk));
    return journal_wait(s->journal, lsn);
}

int shard_target_set_chain_version(struct shard *s, struct shard_target *t, uint32_t chain_version)
{
    t->info.chain_version = chain_version;
    return journal_wait(s->journal, append_target(s, t));
}

void shard_target_forget(struct shard *s, uint32_t number)
{
    for (uint32_t i = 0; i < s->target_count; i++) {
        if (s->targets[i]->number != number) continue;
        free(s->targets[i]);
        s->target_count--;
        memmove(&s->targets[i], &s->targets[i + 1],
                (s->target_count - i) * sizeof(struct shard_target *));
        break;
    }
    identity_table_remove_target(&s->identities, number);
    floor_table_remove_target(&s->floors, number);
}

/* Gives the units of a record back that no live record has any more. */
static void release_record(struct shard *s, struct record *record, const struct record *other)
{
    cleanup_(freep) struct extent_disk *extents =
        xcalloc(record_unit_count(record) + 1, sizeof(*extents));
    uint32_t unit_count;
    uint32_t count = record_subtract(record, other, extents, &unit_count);
    quarantine_supersede(&s->quarantine, record);
    quarantine_add(&s->quarantine, 0, extents, count);
}

/* One chunk of a target that is gone for good. */
static int forget_chunk(struct shard *s, const struct chunk_key *key)
{
    cleanup_(record_unrefp) struct record *committed = NULL, *pending = NULL;
    int r = shard_load_record(s, key, &committed);
    if (r == -ERR_CANCELED || r == -ERR_TIMEOUT) return r;
    /* a damaged record costs its units until the next start, which derives free space anew */
    struct index_entry *entry = chunk_index_find(&s->index, key);
    if (!entry) return 0;
    if (entry->pending) pending = shard_pending_take(s, entry);
    record_unref(record_cache_take(&s->cache, key));
    if (pending) release_record(s, pending, committed);
    if (committed) release_record(s, committed, NULL);
    chunk_index_remove(&s->index, key);
    return 0;
}

int shard_target_remove(struct shard *s, struct shard_target *t)
{
    struct target_remove_disk disk = { .number = t->number };
    uint32_t number = t->number;
    uint64_t lsn = journal_append(s->journal, ENTRY_TARGET_REMOVE,
                                  &(struct iovec){ &disk, sizeof(disk) }, 1, NULL);
    shard_target_forget(s, number);
    int r = journal_wait(s->journal, lsn);
    if (r < 0) return r;

    /* Nothing finds the target any more; what is left of it only takes space. */
    struct chunk_key key = { .target = number };
    for (;;) {
        const struct index_entry *entry = chunk_index_next(&s->index, &key, true);
        if (!entry || entry->key.target != number) return 0;
        key = entry->key;
        r = forget_chunk(s, &key);
        if (r < 0) return r;
    }
}

/* ---- sums ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

uint32_t chunk_bucket(struct chunk_id chunk)
{
    return (uint32_t)(mix(mix(chunk.inode + 0x9e3779b97f4a7c15ull) + chunk.index) %
                      SYNC_BUCKET_COUNT);
}

/* Stands for (chunk, pair, CRC) in a bucket's sum. */
static uint64_t digest(const struct index_entry *entry)
{
    uint64_t x = mix(entry->key.inode + 0x9e3779b97f4a7c15ull);
    x = mix(x + entry->key.index);
    x = mix(x + entry->version);
    return mix(x + ((uint64_t)entry->chain_version << 32 | entry->crc32c));
}

void shard_target_count(struct shard *s, const struct index_entry *entry, int sign)
{
    if (!entry->locator || entry->is_tombstone) return;
    struct shard_target *t = shard_target_by_number(s, entry->key.target);
    if (!t) return;
    uint64_t d = digest(entry);
    uint64_t *bucket =
        &t->buckets[chunk_bucket((struct chunk_id){ entry->key.inode, entry->key.index })];
    *bucket += sign > 0 ? d : -d;
    t->info.chunk_count += sign > 0 ? 1 : UINT64_MAX;
}
