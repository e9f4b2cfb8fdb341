/* shard.c - life of a shard, and loading of records. */
#include "storage/shard.h"
#include "base/arena.h"
#include "base/check.h"
#include "storage/shard_memory.h"

#include <string.h>

/* ---- pendings ---- */

struct pending *shard_pending_of(const struct shard *s, const struct index_entry *entry)
{
    return entry->pending ? s->pendings[entry->pending - 1] : NULL;
}

uint32_t shard_pending_add(struct shard *s, struct record *record, uint64_t lsn, uint64_t locator)
{
    uint32_t slot = 0;
    if (s->pending_count == s->pending_capacity) {
        uint32_t capacity = s->pending_capacity ? 2 * s->pending_capacity : 64;
        s->pendings = xrealloc(s->pendings, capacity * sizeof(struct pending *));
        memset(s->pendings + s->pending_capacity, 0,
               (capacity - s->pending_capacity) * sizeof(struct pending *));
        slot = s->pending_capacity;
        s->pending_capacity = capacity;
    }
    while (s->pendings[slot]) {
        slot++;
    }
    struct pending *pending = new_zero(struct pending);
    *pending = (struct pending){ .record = record_ref(record), .lsn = lsn, .locator = locator };
    s->pendings[slot] = pending;
    s->pending_count++;
    return slot + 1;
}

struct record *shard_pending_take(struct shard *s, struct index_entry *entry)
{
    check(entry->pending);
    struct pending *pending = s->pendings[entry->pending - 1];
    struct record *record = pending->record;
    s->pendings[entry->pending - 1] = NULL;
    s->pending_count--;
    entry->pending = 0;
    free(pending);
    return record;
}

/* ---- records ---- */

void record_become_committed(struct record *record, uint32_t chain_version)
{
    record->head.state = RECORD_COMMITTED;
    record->head.chain_version = chain_version;
    record->head.free_count = 0;
}

int shard_parse_record(const struct index_entry *entry, struct bytes in, struct record **ret)
{
    cleanup_(record_unrefp) struct record *record = NULL;
    struct entry e;
    int r = entry_get(in, &e);
    if (r >= 0)
        r = e.kind == ENTRY_RECORD ? record_decode(e.payload, &record) : -ERR_DATA_CORRUPTION;
    if (r < 0) return r;
    if (chunk_key_compare(&record->head.key, &entry->key) != 0 ||
        record->head.version != entry->version ||
        record_is_tombstone(record) != entry->is_tombstone)
        return -ERR_DATA_CORRUPTION;
    record_become_committed(record, entry->chain_version);
    *ret = TAKE_PTR(record);
    return 0;
}

/* The bytes of an entry, in fresh memory. */
static int read_entry(struct shard *s, uint64_t locator, uint8_t **ret_memory, struct bytes *ret)
{
    enum index_file where = locator_file(locator);
    struct file *file = where <= JOURNAL_B ? journal_file(s->journal, where)
                                           : checkpoint_file(s->checkpoint, where);
    uint64_t offset = locator_offset(locator), begin = offset / BLOCK_BYTES * BLOCK_BYTES;
    uint32_t skip = (uint32_t)(offset - begin), size = locator_size(locator);
    *ret_memory = block_memory(skip + size);
    ssize_t n = file_read(file, *ret_memory, round_to_block(skip + size), begin);
    if (n < 0) return (int)n;
    *ret = bytes_of(*ret_memory + skip, size);
    return (size_t)n < skip + size ? -ERR_DATA_CORRUPTION : 0;
}

int shard_load_record(struct shard *s, const struct chunk_key *key, struct record **ret)
{
    for (;;) {
        struct index_entry *entry = chunk_index_find(&s->index, key);
        if (!entry || !entry->locator) return 0;
        struct record *cached = record_cache_get(&s->cache, key);
        if (cached) {
            *ret = record_ref(cached);
            return 1;
        }
        uint64_t locator = entry->locator;
        cleanup_(freep) uint8_t *memory = NULL;
        struct bytes in;
        int r = read_entry(s, locator, &memory, &in);
        if (r == -ERR_CANCELED || r == -ERR_TIMEOUT) return r;
        /* A checkpoint or an update may have moved it meanwhile, and the old place may be used
         * again. */
        entry = chunk_index_find(&s->index, key);
        if (!entry || entry->locator != locator || record_cache_get(&s->cache, key)) continue;
        if (r >= 0) r = shard_parse_record(entry, in, ret);
        if (r < 0) {
            ++*s->checksum_errors;
            return log_error(&s->node->log, r == -ERR_DATA_CORRUPTION ? -ERR_CHECKSUM_MISMATCH : r,
                             "%s: the record of chunk %llx-%x is damaged", s->path,
                             (unsigned long long)key->inode, key->index);
        }
        record_cache_put(&s->cache, *ret);
        return 1;
    }
}

void shard_pin(struct shard *s, struct record *record)
{
    record_pin(record);
    /* so that the commit that supersedes it finds it; a full cache may have let it go already */
    bool is_current = record->head.state == RECORD_COMMITTED && !record->is_superseded;
    if (is_current && !record->is_cached) record_cache_put(&s->cache, record);
}

static void append_run(struct extent_disk *ret, uint32_t *count, uint32_t unit)
{
    if (*count > 0) {
        struct extent_disk *last = &ret[*count - 1];
        if (last->unit + last->count == unit && unit % UNIT_FILE_UNITS != 0) {
            last->count++;
            return;
        }
    }
    ret[(*count)++] = (struct extent_disk){ .unit = unit, .count = 1 };
}

bool record_has_unit(const struct record *record, uint32_t at, uint32_t unit)
{
    uint32_t end;
    const struct extent_disk *e = record_find_extent(record, at, &end);
    return e && e->unit + (at - e->at) == unit;
}

/* Records share a unit only at the same place of the chunk. */
uint32_t record_subtract(const struct record *record, const struct record *other,
                         struct extent_disk *ret, uint32_t *ret_unit_count)
{
    uint32_t count = 0;
    *ret_unit_count = 0;
    for (uint32_t i = 0; i < record->head.extent_count; i++) {
        const struct extent_disk *e = &record->extents[i];
        for (uint32_t n = 0; n < e->count; n++) {
            if (other && record_has_unit(other, e->at + n, e->unit + n)) continue;
            append_run(ret, &count, e->unit + n);
            ++*ret_unit_count;
        }
    }
    return count;
}

void shard_entry_set(struct shard *s, struct index_entry *entry, const struct record *record,
                     uint64_t locator)
{
    const struct record_disk *head = &record->head;
    entry->locator = locator;
    entry->version = head->version;
    entry->chain_version = head->chain_version;
    entry->is_tombstone = record_is_tombstone(record);
    entry->size_class = (head->size_log2 - CHUNK_SIZE_LOG2_MIN) & 15;
    entry->crc32c = head->crc32c;
    entry->length = entry->is_tombstone ? (uint32_t)(node_now_ns(s->node) / SEC) : head->length;
}

static void state_of_pending(const struct record *record, struct chunk_state *ret)
{
    const struct record_disk *head = &record->head;
    ret->has_pending = true;
    ret->pending_version = head->version;
    ret->pending_chain_version = head->chain_version;
    ret->pending_kind = (enum update_kind)head->kind;
    ret->pending_length = head->length;
    ret->pending_chunk_size = record_chunk_size(record);
    ret->pending_crc32c = head->crc32c;
    ret->pending_offset = head->update_offset;
    ret->pending_update_length = head->update_length;
    ret->pending_update = (struct update_id){ .client = { head->client_high, head->client_low },
                                              .channel = head->channel,
                                              .seq = head->seq };
    ret->pending_generation = head->generation;
}

void shard_state_of(const struct shard *s, const struct index_entry *entry, struct chunk_state *ret)
{
    *ret = (struct chunk_state){ .chunk = { entry->key.inode, entry->key.index } };
    if (entry->locator) {
        ret->version = entry->version;
        ret->chain_version = entry->chain_version;
        ret->is_tombstone = entry->is_tombstone;
        ret->chunk_size = UINT32_C(1) << (entry->size_class + CHUNK_SIZE_LOG2_MIN);
        if (!entry->is_tombstone) {
            ret->length = entry->length;
            ret->crc32c = entry->crc32c;
        }
    }
    const struct pending *pending = shard_pending_of(s, entry);
    if (pending) state_of_pending(pending->record, ret);
}

/* ---- life ---- */

int shard_failure(struct shard *s)
{
    if (s->failure) return s->failure;
    int r = journal_failure(s->journal);
    return r ? r : units_failure(s->units);
}

void shard_fail(struct shard *s, int r, const char *what)
{
    if (s->failure || r == -ERR_CANCELED) return;
    s->failure = r;
    log_error(&s->node->log, r, "%s: %s: nothing can be written here any more", s->path, what);
}

static void durable(void *arg, uint64_t lsn)
{
    struct shard *s = arg;
    quarantine_durable(&s->quarantine, lsn);
}

/* Small for small stores; a longer one would hold up the batch that it grows for. */
static uint32_t journal_step(const struct shard_options *options)
{
    uint64_t step = options->checkpoint_journal_bytes / 16 / BLOCK_BYTES * BLOCK_BYTES;
    return (uint32_t)MIN_OF(MAX_OF(step, 64 * KIB), 4 * MIB);
}

static uint64_t data_lsn(void *arg)
{
    return shard_data_lsn(arg);
}

static struct journal_options journal_options_of(const struct shard_options *options,
                                                 struct shard *s)
{
    return (struct journal_options){ .node = options->node,
                                     .path = options->path,
                                     .uuid_high = options->uuid_high,
                                     .uuid_low = options->uuid_low,
                                     .step_bytes = journal_step(options),
                                     .durable = durable,
                                     .data_lsn = data_lsn,
                                     .arg = s };
}

static struct checkpoint_options checkpoint_options_of(const struct shard_options *options)
{
    return (struct checkpoint_options){ .node = options->node,
                                        .path = options->path,
                                        .uuid_high = options->uuid_high,
                                        .uuid_low = options->uuid_low };
}

int shard_format(const struct shard_options *options)
{
    struct journal_options journal = journal_options_of(options, NULL);
    struct checkpoint_options checkpoint = checkpoint_options_of(options);
    int r = dir_make(options->node, options->path, 0700);
    if (r >= 0) r = journal_format(&journal);
    if (r >= 0) r = checkpoint_format(&checkpoint);
    return r < 0 ? r : dir_sync(options->node, options->path);
}

static void shard_free(struct shard *s)
{
    for (uint32_t slot = 0; slot < s->pending_capacity; slot++) {
        if (!s->pendings[slot]) continue;
        record_unref(s->pendings[slot]->record);
        free(s->pendings[slot]);
    }
    free(s->pendings);
    shard_data_done(s);
    record_cache_done(&s->cache);
    quarantine_done(&s->quarantine);
    chunk_index_done(&s->index);
    identity_table_done(&s->identities);
    floor_table_done(&s->floors);
    for (uint32_t i = 0; i < s->target_count; i++) {
        free(s->targets[i]);
    }
    free(s->targets);
    journal_free(s->journal);
    checkpoint_free(s->checkpoint);
    units_free(s->units);
    free(s->path);
    free(s);
}

static struct shard *shard_new(const struct shard_options *options)
{
    struct shard *s = new_zero(struct shard);
    s->node = options->node;
    s->path = xstrdup(options->path);
    scope_init(&s->scope, sched_current());
    s->scope.local = options->node;
    chunk_index_init(&s->index);
    record_cache_init(&s->cache, options->record_cache_bytes);
    quarantine_init(&s->quarantine, NULL);
    identity_table_init(&s->identities, node_random_u64(s->node), IDENTITY_COUNT_MAX);
    floor_table_init(&s->floors, node_random_u64(s->node));
    crc_table_init(&s->crc);
    list_init(&s->unsynced);
    wait_queue_init(&s->checkpoint_asked);
    wait_queue_init(&s->checkpoint_ended);
    s->checkpoint_journal_bytes = options->checkpoint_journal_bytes;
    s->checksum_errors = metrics_cell(s->node->metrics, "storage.checksum_errors");
    return s;
}

static int open_files(struct shard *s, const struct shard_options *options)
{
    struct journal_options journal = journal_options_of(options, s);
    struct checkpoint_options checkpoint = checkpoint_options_of(options);
    struct units_options units = { .node = options->node,
                                   .path = options->path,
                                   .reserve_bytes = options->reserve_bytes,
                                   .capacity_bytes = options->capacity_bytes };
    /* a killed process may have made files and not have come to this */
    int r = dir_sync(options->node, options->path);
    if (r >= 0) r = checkpoint_open(&checkpoint, &s->checkpoint);
    if (r >= 0) r = journal_open(&journal, &s->journal);
    if (r >= 0) r = units_open(&units, &s->units);
    s->quarantine.units = s->units;
    return r;
}

int shard_open(const struct shard_options *options, struct shard **ret)
{
    struct shard *s = shard_new(options);
    int r = open_files(s, options);
    if (r >= 0) r = shard_replay(s);
    if (r >= 0) r = units_start(s->units, &s->scope);
    if (r >= 0) r = journal_start(s->journal, &s->scope);
    if (r >= 0) r = shard_checkpoint_start(s);
    if (r < 0) {
        scope_done(&s->scope);
        shard_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct shard *shard_close(struct shard *s, bool clean)
{
    if (!s) return NULL;
    if (clean && !shard_failure(s)) {
        int r = shard_checkpoint(s);
        if (r < 0 && r != -ERR_CANCELED) log_warn(&s->node->log, r, "%s: last checkpoint", s->path);
    }
    scope_done(&s->scope);
    shard_free(s);
    return NULL;
}
