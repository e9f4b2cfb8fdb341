/* chunk_store_calls.c - targets, chunks, identities and floors of a store, as chunk_store.h
 * promises them. */
#include "base/arena.h"
#include "base/check.h"
#include "storage/chunk_store_internal.h"

enum { TURN_CHUNKS = 256 }; /* of a walk, between two yields */

/* ---- targets ---- */

int store_target_create(struct chunk_store *s, uint64_t target_id, uint32_t chain_id)
{
    if (s->is_closing) return -ERR_CANCELED;
    return shard_target_create(s->shard, target_id, chain_id);
}

int store_target_remove(struct chunk_store *s, uint64_t target_id)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    return r < 0 ? r : shard_target_remove(s->shard, op.target);
}

uint32_t store_target_count(const struct chunk_store *s)
{
    return s->shard->target_count;
}

const struct store_target *store_target_at(const struct chunk_store *s, uint32_t index)
{
    return index < s->shard->target_count ? &s->shard->targets[index]->info : NULL;
}

const struct store_target *store_target_find(const struct chunk_store *s, uint64_t target_id)
{
    const struct shard_target *t = shard_target_find(s->shard, target_id);
    return t ? &t->info : NULL;
}

int store_target_set_chain_version(struct chunk_store *s, uint64_t target_id,
                                   uint32_t chain_version)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    return r < 0 ? r : shard_target_set_chain_version(s->shard, op.target, chain_version);
}

const uint64_t *store_target_buckets(struct chunk_store *s, uint64_t target_id)
{
    const struct shard_target *t = shard_target_find(s->shard, target_id);
    return t ? t->buckets : NULL;
}

/* ---- chunks ---- */

static struct chunk_key key_of(const struct operation *op, struct chunk_id chunk)
{
    return (struct chunk_key){ .inode = chunk.inode,
                               .index = chunk.index,
                               .target = op->target->number };
}

static void put_update(const struct record *record, struct chunk_state *ret)
{
    ret->update =
        (struct update_id){ .client = { record->head.client_high, record->head.client_low },
                            .channel = record->head.channel,
                            .seq = record->head.seq };
}

int chunk_get(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
              struct chunk_state *ret)
{
    cleanup_(operation_end) struct operation op = { 0 };
    cleanup_(record_unrefp) struct record *record = NULL;
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    struct chunk_key key = key_of(&op, chunk);
    r = shard_load_record(s->shard, &key, &record);
    if (r < 0) return r;
    const struct index_entry *entry = chunk_index_find(&s->shard->index, &key);
    if (!entry) return 0;
    shard_state_of(s->shard, entry, ret);
    if (record) put_update(record, ret);
    return 1;
}

int chunk_stage(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
                struct chunk_update *update)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    if (shard_failure(s->shard)) return -ERR_CHUNK_WRITE_FAILED;
    return shard_stage(s->shard, op.target, chunk, update);
}

int chunk_settle(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    struct chunk_key key = key_of(&op, chunk);
    const struct index_entry *entry = chunk_index_find(&s->shard->index, &key);
    const struct pending *pending = entry ? shard_pending_of(s->shard, entry) : NULL;
    return pending ? shard_settle(s->shard, pending) : 0;
}

int chunk_commit(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk, uint64_t version,
                 uint32_t chain_version)
{
    struct shard_target *t = shard_target_find(s->shard, target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    if (chain_version == 0) return -ERR_INVALID_ARG;
    if (shard_failure(s->shard)) return -ERR_CHUNK_WRITE_FAILED;
    return shard_commit(s->shard, t, chunk, version, chain_version);
}

int chunk_drop(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
               enum chunk_pin_which which)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    return r < 0 ? r : shard_drop(s->shard, op.target, chunk, which);
}

int chunk_drop_tombstones(struct chunk_store *s, uint64_t target_id, uint64_t older_than_ns)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    return r < 0 ? r : shard_drop_tombstones(s->shard, op.target, older_than_ns);
}

/* ---- pins ---- */

struct chunk_pin {
    struct operation op;
    struct record *record;
};

static struct record *pick(struct shard *s, const struct index_entry *entry,
                           enum chunk_pin_which which, struct record *committed)
{
    const struct pending *pending = shard_pending_of(s, entry);
    struct record *record = which == CHUNK_COMMITTED ? committed : pending ? pending->record : NULL;
    return record && !record_is_tombstone(record) ? record : NULL;
}

int chunk_pin(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
              enum chunk_pin_which which, struct chunk_pin **ret, struct chunk_state *ret_state)
{
    cleanup_(operation_end) struct operation op = { 0 };
    cleanup_(record_unrefp) struct record *committed = NULL;
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    struct chunk_key key = key_of(&op, chunk);
    r = shard_load_record(s->shard, &key, &committed);
    if (r < 0) return r;
    const struct index_entry *entry = chunk_index_find(&s->shard->index, &key);
    struct record *record = entry ? pick(s->shard, entry, which, committed) : NULL;
    if (!record) return 0;

    shard_state_of(s->shard, entry, ret_state);
    if (committed) put_update(committed, ret_state);
    struct chunk_pin *pin = new_zero(struct chunk_pin);
    pin->op = op;
    op.store = NULL; /* the pin ends it */
    pin->record = record;
    shard_pin(s->shard, record);
    *ret = pin;
    return 1;
}

struct chunk_pin *chunk_unpin(struct chunk_pin *pin)
{
    if (!pin) return NULL;
    record_unpin(&pin->op.store->shard->quarantine, pin->record);
    operation_end(&pin->op);
    free(pin);
    return NULL;
}

int chunk_read(struct chunk_pin *pin, uint32_t offset, uint32_t length, struct buffer_pool *pool,
               struct buffer **ret, uint32_t *ret_skip, uint32_t *ret_length, uint32_t *ret_crc32c)
{
    return shard_read(pin->op.store->shard, pin->record, offset, length, pool, ret, ret_skip,
                      ret_length, ret_crc32c);
}

void chunk_read_unverified(struct chunk_pin *pin, uint8_t *to)
{
    shard_read_unverified(pin->op.store->shard, pin->record, to);
}

const uint32_t *chunk_block_crcs(const struct chunk_pin *pin, uint32_t *ret_count)
{
    *ret_count = pin->record->head.block_count;
    return pin->record->block_crcs;
}

/* ---- walks ---- */

int chunk_each(struct chunk_store *s, uint64_t target_id, const struct chunk_id *after,
               int (*fn)(void *arg, const struct chunk_state *state), void *arg)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    uint32_t number = op.target->number, count = 0;
    struct chunk_key key = { .target = number };
    if (after) key = key_of(&op, *after);
    bool is_inclusive = !after;
    for (;;) {
        const struct index_entry *entry = chunk_index_next(&s->shard->index, &key, is_inclusive);
        if (!entry || entry->key.target != number) return 0;
        key = entry->key;
        is_inclusive = false;
        struct chunk_state state;
        shard_state_of(s->shard, entry, &state);
        r = fn(arg, &state);
        if (r != 0) return r;
        if (++count % TURN_CHUNKS == 0) fiber_yield();
    }
}

int chunk_each_pending(struct chunk_store *s, uint64_t target_id,
                       int (*fn)(void *arg, const struct chunk_state *state), void *arg)
{
    const struct shard_target *t = shard_target_find(s->shard, target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    for (uint32_t slot = 0; slot < s->shard->pending_capacity; slot++) {
        const struct pending *pending = s->shard->pendings[slot];
        if (!pending || pending->record->head.key.target != t->number) continue;
        const struct index_entry *entry =
            chunk_index_find(&s->shard->index, &pending->record->head.key);
        struct chunk_state state;
        shard_state_of(s->shard, entry, &state);
        int r = fn(arg, &state);
        if (r != 0) return r;
    }
    return 0;
}

int chunk_last(struct chunk_store *s, uint64_t target_id, uint64_t inode, uint32_t begin,
               uint64_t end, struct chunk_state *ret)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    uint32_t number = op.target->number, count = 0;
    if (end == 0 || end <= begin) return 0;
    /* from the last index that may be it, downwards */
    struct chunk_key key = { .inode = inode,
                             .index = (uint32_t)(MIN_OF(end, UINT64_C(1) << 32) - 1),
                             .target = number };
    const struct index_entry *entry = chunk_index_find(&s->shard->index, &key);
    for (;;) {
        if (!entry) entry = chunk_index_prev(&s->shard->index, &key);
        if (!entry || entry->key.target != number || entry->key.inode != inode ||
            entry->key.index < begin)
            return 0;
        if (entry->locator && !entry->is_tombstone) break;
        key = entry->key;
        entry = NULL;
        if (++count % TURN_CHUNKS == 0) fiber_yield();
    }
    shard_state_of(s->shard, entry, ret);
    return 1;
}

/* ---- identities ---- */

static void entry_of(const struct identity_disk *disk, struct identity_entry *ret)
{
    *ret = (struct identity_entry){ .update = { .client = { disk->client_high, disk->client_low },
                                                .channel = disk->channel,
                                                .seq = disk->seq },
                                    .chunk = { disk->key.inode, disk->key.index },
                                    .version = disk->version,
                                    .chain_version = disk->chain_version,
                                    .chunk_length = disk->chunk_length,
                                    .crc32c = disk->crc32c };
}

int identity_find(struct chunk_store *s, uint64_t target_id, const struct uuid *client,
                  uint32_t channel, struct identity_entry *ret)
{
    const struct shard_target *t = shard_target_find(s->shard, target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    const struct identity_disk *disk =
        identity_table_find(&s->shard->identities, t->number, client->high, client->low, channel);
    if (!disk) return 0;
    entry_of(disk, ret);
    return 1;
}

int identity_put(struct chunk_store *s, uint64_t target_id, const struct identity_entry *entry)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    struct identity_disk disk = { .key = key_of(&op, entry->chunk),
                                  .client_high = entry->update.client.high,
                                  .client_low = entry->update.client.low,
                                  .seq = entry->update.seq,
                                  .version = entry->version,
                                  .channel = entry->update.channel,
                                  .chain_version = entry->chain_version,
                                  .chunk_length = entry->chunk_length,
                                  .crc32c = entry->crc32c };
    struct shard *shard = s->shard;
    if (identity_table_put(&shard->identities, &disk))
        journal_append(shard->journal, ENTRY_IDENTITY, &(struct iovec){ &disk, sizeof(disk) }, 1,
                       NULL);
    shard_appended(shard);
    return journal_wait(shard->journal, journal_last_lsn(shard->journal));
}

int identity_clear(struct chunk_store *s, uint64_t target_id)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    struct target_remove_disk disk = { .number = op.target->number };
    identity_table_remove_target(&s->shard->identities, disk.number);
    uint64_t lsn = journal_append(s->shard->journal, ENTRY_IDENTITY_CLEAR,
                                  &(struct iovec){ &disk, sizeof(disk) }, 1, NULL);
    return journal_wait(s->shard->journal, lsn);
}

int identity_each(struct chunk_store *s, uint64_t target_id,
                  int (*fn)(void *arg, const struct identity_entry *entry), void *arg)
{
    const struct shard_target *t = shard_target_find(s->shard, target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    list_for_each (it, &s->shard->identities.oldest_first) {
        const struct identity *identity = list_entry(it, struct identity, node);
        if (identity->is_walk || identity->disk.key.target != t->number) continue;
        struct identity_entry entry;
        entry_of(&identity->disk, &entry);
        int r = fn(arg, &entry);
        if (r != 0) return r;
    }
    return 0;
}

/* ---- generation floors ---- */

uint32_t floor_get(struct chunk_store *s, uint64_t target_id, uint64_t inode)
{
    const struct shard_target *t = shard_target_find(s->shard, target_id);
    return t ? floor_table_get(&s->shard->floors, t->number, inode) : 0;
}

int floor_set(struct chunk_store *s, uint64_t target_id, uint64_t inode, uint32_t generation)
{
    cleanup_(operation_end) struct operation op = { 0 };
    int r = operation_begin(&op, s, target_id);
    if (r < 0) return r;
    struct floor_disk disk = { .inode = inode,
                               .target = op.target->number,
                               .generation = generation };
    if (floor_table_set(&s->shard->floors, &disk))
        journal_append(s->shard->journal, ENTRY_FLOOR, &(struct iovec){ &disk, sizeof(disk) }, 1,
                       NULL);
    /* also when it was there already: it may not be durable yet */
    return journal_wait(s->shard->journal, journal_last_lsn(s->shard->journal));
}

int floor_each(struct chunk_store *s, uint64_t target_id,
               int (*fn)(void *arg, uint64_t inode, uint32_t generation), void *arg)
{
    const struct shard_target *t = shard_target_find(s->shard, target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    list_for_each (it, &s->shard->floors.floors) {
        const struct generation_floor *f = list_entry(it, struct generation_floor, node);
        if (f->disk.target != t->number) continue;
        int r = fn(arg, f->disk.inode, f->disk.generation);
        if (r != 0) return r;
    }
    return 0;
}
