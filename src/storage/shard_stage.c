/* shard_stage.c - staging: plan which units an update writes anew, write them, make its record
 * pending.
 *
 * Copy-on-write is by page: where an update touches a page, all units that the page has are written
 * anew, so that a chunk never falls into more pieces than it has pages. Units that neither the old
 * content nor the update has stay holes.
 *
 * Data is written; then its sync and the journal's batch with the record go side by side, and both
 * have ended when the call returns; shard_data.c says why that is enough.
 */
#include "storage/shard_stage.h"
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"

/* ---- plan ---- */

static uint32_t base_unit(const struct stage *g, uint32_t at)
{
    uint32_t end;
    const struct extent_disk *e = g->base ? record_find_extent(g->base, at, &end) : NULL;
    return e ? e->unit + (at - e->at) : UNIT_NONE;
}

/* Pages that have bytes of [begin, end) are written anew; their holes only where the range itself
 * lies. */
static void touch(struct stage *g, uint32_t begin, uint32_t end)
{
    uint32_t page = page_unit_count(UINT32_C(1) << g->size_log2);
    uint32_t unit_begin = begin / UNIT_BYTES, unit_end = (end + UNIT_BYTES - 1) / UNIT_BYTES;
    uint32_t page_end = MIN_OF((unit_end + page - 1) / page * page, g->unit_count);
    for (uint32_t at = unit_begin / page * page; at < page_end; at++) {
        bool is_inside = at >= unit_begin && at < unit_end;
        if (is_inside || g->units[at] != UNIT_NONE) g->is_fresh[at] = true;
    }
}

static void plan(struct stage *g)
{
    g->unit_count = (g->new_length + UNIT_BYTES - 1) / UNIT_BYTES;
    g->units = xcalloc(g->unit_count + 1, sizeof(*g->units));
    g->is_fresh = xcalloc(g->unit_count + 1, sizeof(*g->is_fresh));
    for (uint32_t at = 0; at < g->unit_count; at++) {
        g->units[at] = base_unit(g, at);
    }
    if (g->write_begin < g->write_end) touch(g, g->write_begin, g->write_end);
    /* what lies behind the old end in its unit is not zeros on the disk, and is going to be read
     * now */
    uint32_t tail = g->old_length / UNIT_BYTES;
    if (g->new_length > g->old_length && g->old_length % UNIT_BYTES && g->units[tail] != UNIT_NONE)
        touch(g, g->old_length, g->old_length + 1);
    for (uint32_t at = 0; at < g->unit_count; at++) {
        g->fresh_count += g->is_fresh[at];
    }
}

static int take_units(struct stage *g)
{
    if (g->fresh_count == 0) return 0;
    g->runs = xcalloc(g->fresh_count, sizeof(*g->runs));
    int r = units_take(g->s->units, g->fresh_count, g->runs);
    if (r == -ERR_NO_SPACE && g->s->quarantine.waiting_unit_count > 0) {
        /* what was freed a moment ago only waits for its entry to be durable */
        r = journal_wait(g->s->journal, journal_last_lsn(g->s->journal));
        if (r >= 0) r = units_take(g->s->units, g->fresh_count, g->runs);
    }
    if (r < 0) return r;
    g->run_count = (uint32_t)r;
    uint32_t run = 0, used = 0;
    for (uint32_t at = 0; at < g->unit_count; at++) {
        if (!g->is_fresh[at]) continue;
        g->units[at] = g->runs[run].unit + used;
        if (++used == g->runs[run].count) {
            run++;
            used = 0;
        }
    }
    return 0;
}

/* ---- the record ---- */

static uint32_t put_extents(const struct stage *g, struct extent_disk *ret)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < g->unit_count; at++) {
        if (g->units[at] == UNIT_NONE) continue;
        struct extent_disk *last = count ? &ret[count - 1] : NULL;
        if (last && last->at + last->count == at && last->unit + last->count == g->units[at] &&
            g->units[at] % UNIT_FILE_UNITS) {
            last->count++;
        } else {
            ret[count++] =
                (struct extent_disk){ .unit = g->units[at], .at = (uint16_t)at, .count = 1 };
        }
    }
    return count;
}

/* Units of the committed record that the result does not have. */
static uint32_t put_frees(const struct stage *g, struct extent_disk *ret)
{
    uint32_t count = 0;
    for (uint32_t i = 0; g->committed && i < g->committed->head.extent_count; i++) {
        const struct extent_disk *e = &g->committed->extents[i];
        for (uint32_t n = 0; n < e->count; n++) {
            uint32_t at = e->at + n, unit = e->unit + n;
            if (at < g->unit_count && g->units[at] == unit) continue;
            struct extent_disk *last = count ? &ret[count - 1] : NULL;
            if (last && last->unit + last->count == unit && unit % UNIT_FILE_UNITS) {
                last->count++;
            } else {
                ret[count++] = (struct extent_disk){ .unit = unit, .count = 1 };
            }
        }
    }
    return count;
}

static void make_record(struct stage *g)
{
    const struct chunk_update *u = g->update;
    uint32_t old_units = g->committed ? record_unit_count(g->committed) : 0;
    cleanup_(freep) struct extent_disk *extents = xcalloc(g->unit_count + 1, sizeof(*extents));
    cleanup_(freep) struct extent_disk *frees = xcalloc(old_units + 1, sizeof(*frees));
    struct record_disk head = {
        .key = g->key,
        .version = u->version,
        .chain_version = u->chain_version,
        .generation = u->generation,
        .client_high = u->update.client.high,
        .client_low = u->update.client.low,
        .seq = u->update.seq,
        .channel = u->update.channel,
        .update_offset = u->offset,
        .update_length = u->length,
        .length = g->new_length,
        .block_count = (g->new_length + BLOCK_BYTES - 1) / BLOCK_BYTES,
        .extent_count = (uint16_t)put_extents(g, extents),
        .free_count = (uint16_t)put_frees(g, frees),
        .kind = (uint8_t)u->kind,
        .size_log2 = (uint8_t)g->size_log2,
        .state = RECORD_PENDING,
    };
    g->record = record_new(&head);
    memcpy(g->record->extents, extents, head.extent_count * sizeof(*extents));
    memcpy(g->record->frees, frees, head.free_count * sizeof(*frees));
}

static void put_identity(struct stage *g)
{
    const struct record_disk *head = &g->record->head;
    struct identity_disk disk;
    record_identity(head, &disk);
    identity_table_put(&g->s->identities, &disk);
}

/* The older pending record of the chunk goes; its own units are free once @lsn is durable. */
static void replace_pending(struct stage *g, struct index_entry *entry, struct shard_target *t,
                            uint64_t lsn)
{
    cleanup_(record_unrefp) struct record *old = shard_pending_take(g->s, entry);
    cleanup_(freep) struct extent_disk *extents =
        xcalloc(record_unit_count(old) + 1, sizeof(*extents));
    uint32_t unit_count;
    uint32_t count = record_subtract(old, g->committed, extents, &unit_count);
    t->info.used_bytes -= (uint64_t)unit_count * UNIT_BYTES;
    quarantine_supersede(&g->s->quarantine, old);
    quarantine_add(&g->s->quarantine, lsn, extents, count);
}

/* Memory and journal in one turn. */
static int publish(struct stage *g, struct pending **ret)
{
    struct shard *s = g->s;
    struct shard_target *t = shard_target_by_number(s, g->key.target);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    if (shard_failure(s)) return -ERR_CHUNK_WRITE_FAILED;
    struct index_entry *entry = chunk_index_insert(&s->index, &g->key);
    bool has_changed =
        g->committed && !record_is_tombstone(g->committed) && g->committed->is_superseded;
    if (has_changed) return -ERR_FOUND_BUG; /* somebody else commits without the chunk's lock */
    struct iovec parts[RECORD_PARTS];
    uint64_t locator;
    record_parts(g->record, parts);
    uint64_t lsn = journal_append(s->journal, ENTRY_RECORD, parts, RECORD_PARTS, &locator);
    if (entry->pending) replace_pending(g, entry, t, lsn);
    entry->pending = shard_pending_add(s, g->record, lsn, locator) & 0x7ffffff;
    *ret = shard_pending_of(s, entry);
    if (g->fresh_count > 0 && !g->is_synced) shard_begin_sync(s, *ret);
    t->info.used_bytes += (uint64_t)g->fresh_count * UNIT_BYTES;
    g->run_count = 0; /* the record has them now */
    put_identity(g);
    shard_appended(s);
    return 0;
}

/* ---- the call ---- */

static void stage_done(struct stage *g)
{
    for (uint32_t i = 0; i < g->run_count; i++) {
        units_give(g->s->units, g->runs[i].unit, g->runs[i].count);
    }
    if (g->committed) record_unpin(&g->s->quarantine, g->committed);
    record_unref(g->record);
    free(g->units);
    free(g->is_fresh);
    free(g->runs);
}

static int check_args(const struct chunk_update *u)
{
    bool has_data = u->kind == UPDATE_WRITE || u->kind == UPDATE_REPLACE;
    if (u->version == 0 || u->chain_version == 0) return -ERR_INVALID_ARG;
    switch (u->kind) {
    case UPDATE_WRITE:
    case UPDATE_REMOVE:
    case UPDATE_TRUNCATE:
    case UPDATE_EXTEND:
    case UPDATE_REPLACE: break;
    default: return -ERR_INVALID_ARG;
    }
    if (u->kind == UPDATE_REMOVE) return 0;
    if (u->chunk_size < CHUNK_BYTES_MIN || u->chunk_size > CHUNK_BYTES_MAX ||
        (u->chunk_size & (u->chunk_size - 1)))
        return -ERR_INVALID_ARG;
    if (has_data && u->data.size != u->length) return -ERR_INVALID_ARG;
    if ((u->block_crcs || u->is_anew) && u->kind != UPDATE_REPLACE) return -ERR_INVALID_ARG;
    if (u->kind == UPDATE_WRITE && u->length == 0) return -ERR_INVALID_ARG;
    uint32_t offset = u->kind == UPDATE_WRITE ? u->offset : 0;
    if (u->length > u->chunk_size || offset > u->chunk_size - u->length) return -ERR_INVALID_ARG;
    return u->kind == UPDATE_REPLACE && u->offset ? -ERR_INVALID_ARG : 0;
}

static bool same_identity(const struct record_disk *head, const struct update_id *id)
{
    return head->client_high == id->client.high && head->client_low == id->client.low &&
           head->channel == id->channel && head->seq == id->seq;
}

/* Whether the update may come on top of what the entry (may be NULL) says; 1: it is pending
 * already. */
static int check_order(const struct shard *s, const struct index_entry *entry,
                       const struct chunk_update *u)
{
    uint64_t committed = entry && entry->locator ? entry->version : 0;
    const struct pending *pending = entry ? shard_pending_of(s, entry) : NULL;
    if (pending) {
        const struct record_disk *head = &pending->record->head;
        bool is_same = same_identity(head, &u->update);
        if (is_same && head->version == u->version && head->chain_version == u->chain_version &&
            head->kind == u->kind && !u->is_anew)
            return 1;
        if (!is_same && u->kind != UPDATE_REPLACE) return -ERR_CHUNK_ADVANCE_UPDATE;
    }
    if (u->kind == UPDATE_REPLACE || u->kind == UPDATE_REMOVE) return 0;
    if (u->version <= committed) return -ERR_CHUNK_COMMITTED_UPDATE;
    bool has_content = committed && !entry->is_tombstone;
    return has_content && u->version != committed + 1 ? -ERR_CHUNK_MISSING_UPDATE : 0;
}

static int log2_of(uint32_t size)
{
    return 31 - __builtin_clz(size);
}

/* Sizes and lengths from the update and the base. */
static int measure(struct stage *g)
{
    const struct chunk_update *u = g->update;
    if (u->kind == UPDATE_REMOVE) {
        g->size_log2 = g->base ? g->base->head.size_log2 : CHUNK_SIZE_LOG2_MIN;
        g->base = NULL;
        return 0;
    }
    g->size_log2 = (uint32_t)log2_of(u->chunk_size);
    if (u->kind == UPDATE_REPLACE) g->base = NULL;
    if (g->base && g->base->head.size_log2 != g->size_log2) return -ERR_CHUNK_SIZE_MISMATCH;
    g->old_length = g->base ? g->base->head.length : 0;
    switch (u->kind) {
    case UPDATE_WRITE:
    case UPDATE_REPLACE:
        g->write_begin = u->offset;
        g->write_end = u->offset + u->length;
        g->new_length = MAX_OF(g->old_length, g->write_end);
        return 0;
    case UPDATE_EXTEND: g->new_length = MAX_OF(g->old_length, u->length); return 0;
    default: g->new_length = u->length; return 0;
    }
}

/* Loads and pins what is committed. */
static int find_base(struct stage *g)
{
    cleanup_(record_unrefp) struct record *record = NULL;
    int r = shard_load_record(g->s, &g->key, &record);
    if (r <= 0) return r;
    shard_pin(g->s, record);
    g->committed = record;
    if (!record_is_tombstone(record)) g->base = record;
    return 0;
}

/* Whether the update takes the place of a pending record: that one may have been acknowledged, and
 * must not be given up for one whose data a crash may take away. */
static bool has_predecessor(const struct stage *g)
{
    const struct index_entry *entry = chunk_index_find(&g->s->index, &g->key);
    return entry && entry->pending && !MUTANT(REPLACED_BEFORE_DATA);
}

static int write_data(struct stage *g)
{
    struct shard *s = g->s;
    int r = stage_content(g);
    if (r >= 0) r = FAULT("storage.stage.before_data_sync");
    if (r >= 0 && has_predecessor(g)) {
        r = units_sync(s->units);
        g->is_synced = true;
    }
    if (!units_failure(s->units)) return r;
    shard_fail(s, units_failure(s->units), "writing data");
    return -ERR_CHUNK_WRITE_FAILED;
}

static int settle(struct shard *s, const struct pending *pending, struct chunk_update *update)
{
    update->result_crc32c = pending->record->head.crc32c;
    update->result_length = pending->record->head.length;
    int r = shard_settle(s, pending);
    return r < 0 ? r : FAULT("storage.stage.after_sync");
}

int shard_stage(struct shard *s, struct shard_target *t, struct chunk_id chunk,
                struct chunk_update *update)
{
    cleanup_(stage_done) struct stage g = { .s = s, .update = update };
    g.key = (struct chunk_key){ .inode = chunk.inode, .index = chunk.index, .target = t->number };
    int r = check_args(update);
    if (r < 0) return r;
    const struct index_entry *entry = chunk_index_find(&s->index, &g.key);
    r = check_order(s, entry, update);
    if (r < 0) return r;
    if (r > 0) return settle(s, shard_pending_of(s, entry), update);

    r = find_base(&g);
    if (r >= 0) r = measure(&g);
    if (r < 0) return r;
    plan(&g);
    r = take_units(&g);
    if (r < 0) return r;
    make_record(&g);
    r = write_data(&g);
    if (r < 0) return r;
    g.record->head.crc32c = crc_of_blocks(&s->crc, g.record->block_crcs, g.new_length);
    r = journal_make_room(s->journal);
    if (r >= 0) r = FAULT("storage.stage.before_index_sync");
    struct pending *pending;
    if (r >= 0) r = publish(&g, &pending);
    return r < 0 ? r : settle(s, pending, update);
}
