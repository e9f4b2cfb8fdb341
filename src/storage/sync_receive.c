/* sync_receive.c - a SYNCING target's side of a resync. */
#include "loop/fault.h"
#include "storage/forward.h"
#include "storage/storage_internal.h"

enum { LIST_COUNT_MAX = 4096 };

static int check_epoch(struct target *t, uint32_t chain_version, uint64_t target_id, uint64_t epoch)
{
    int r = target_check_member(t, chain_version);
    if (r < 0) return r;
    if (target_id != t->target_id || t->public_state != PUBLIC_SYNCING ||
        t->local_state != LOCAL_ONLINE)
        return -ERR_TARGET_STATE_INVALID;
    return epoch != 0 && epoch == t->sync_receiver.epoch ? 0 : -ERR_SYNC_START_FAILED;
}

int sync_receive_start(struct target *t, const struct sync_request *req,
                       struct sync_start_reply *reply)
{
    int r = target_check_member(t, req->chain_version);
    if (r < 0) return r;
    if (req->target_id != t->target_id || t->public_state != PUBLIC_SYNCING ||
        t->local_state != LOCAL_ONLINE)
        return -ERR_TARGET_STATE_INVALID;
    /* From here on no message of an earlier attempt counts. */
    t->sync_receiver.epoch = 0;
    if (!MUTANT(IDENTITIES_NOT_CLEARED)) r = identity_clear(t->store, t->target_id);
    if (r == 0) r = target_check_member(t, req->chain_version);
    if (r < 0) return r;
    t->sync_receiver.epoch = ++t->sync_receiver.epoch_last;
    t->sync_receiver.permille = 0;
    reply->epoch = t->sync_receiver.epoch;
    log_info(&t->storage->node->log, "target %" PRIu64 " of chain %u is being filled", t->target_id,
             t->chain_id);
    return 0;
}

uint32_t sync_receive_permille(const struct target *t)
{
    bool is_filling = t->public_state == PUBLIC_SYNCING && t->local_state == LOCAL_ONLINE;
    return is_filling ? t->sync_receiver.permille : 0;
}

int sync_receive_identities(struct target *t, const struct identity_page *req)
{
    /* Each is waited for, and the next attempt may have begun: it has cleared the table. */
    int r = check_epoch(t, req->chain_version, req->target_id, req->epoch);
    for (uint32_t i = 0; i < req->entries.count && r == 0; i++) {
        r = identity_put(t->store, t->target_id, &req->entries.items[i]);
        if (r == 0) r = check_epoch(t, req->chain_version, req->target_id, req->epoch);
    }
    for (uint32_t i = 0; i < req->floors.count && r == 0; i++) {
        const struct floor_entry *f = &req->floors.items[i];
        if (floor_get(t->store, t->target_id, f->inode) < f->generation)
            r = floor_set(t->store, t->target_id, f->inode, f->generation);
    }
    if (r == 0) r = check_epoch(t, req->chain_version, req->target_id, req->epoch);
    return r;
}

static int add_pending(void *arg, const struct chunk_state *state)
{
    uint64_t *sums = arg;
    /* Any amount will do that no committed content is likely to have made up for. */
    sums[chunk_bucket(state->chunk)] += 0x9e3779b97f4a7c15ull * (state->pending_version * 2 + 1);
    return 0;
}

int sync_receive_buckets(struct target *t, struct rpc_call *call, const struct sync_request *req,
                         struct sync_buckets_reply *reply)
{
    int r = check_epoch(t, req->chain_version, req->target_id, req->epoch);
    if (r < 0) return r;
    const uint64_t *own = store_target_buckets(t->store, t->target_id);
    if (!own) return -ERR_TARGET_NOT_FOUND;
    uint64_t *sums = arena_array(call->arena, uint64_t, SYNC_BUCKET_COUNT);
    memcpy(sums, own, SYNC_BUCKET_COUNT * sizeof *sums);
    r = chunk_each_pending(t->store, t->target_id, add_pending, sums);
    if (r < 0) return r;
    reply->sums = (struct u64_list){ sums, SYNC_BUCKET_COUNT };
    return 0;
}

struct listing {
    struct chunk_meta_page *page;
    uint32_t count_max;
    bool is_wanted[SYNC_BUCKET_COUNT];
};

static int list_one(void *arg, const struct chunk_state *state)
{
    struct listing *l = arg;
    if (!l->is_wanted[chunk_bucket(state->chunk)]) return 0;
    if (l->page->metas.count == l->count_max) {
        l->page->more = 1;
        return 1;
    }
    chunk_meta_fill(&l->page->metas.items[l->page->metas.count++], state);
    return 0;
}

int sync_receive_list(struct target *t, struct rpc_call *call, const struct sync_request *req,
                      struct chunk_meta_page *reply)
{
    int r = check_epoch(t, req->chain_version, req->target_id, req->epoch);
    if (r < 0) return r;
    struct listing *l = arena_new(call->arena, struct listing);
    l->page = reply;
    l->count_max =
        req->count_max ? MIN_OF(req->count_max, (uint32_t)LIST_COUNT_MAX) : LIST_COUNT_MAX;
    for (uint32_t i = 0; i < req->buckets.count; i++) {
        if (req->buckets.items[i] < SYNC_BUCKET_COUNT) l->is_wanted[req->buckets.items[i]] = true;
    }
    reply->metas.items = arena_array(call->arena, struct chunk_meta, l->count_max);
    r = chunk_each(t->store, t->target_id, req->has_after ? &req->after : NULL, list_one, l);
    return r < 0 ? r : 0;
}

int sync_receive_done(struct target *t, const struct sync_request *req)
{
    int r = check_epoch(t, req->chain_version, req->target_id, req->epoch);
    if (r < 0) return r;
    t->sync_receiver.epoch = 0;
    target_set_local_state(t, LOCAL_UPTODATE, "filled");
    return 0;
}

/* ---- one chunk, under its lock ---- */

static int drop_pending(struct target *t, const struct chunk_state *state)
{
    if (!state->has_pending) return 0;
    FIBER_SHIELD();
    int r = chunk_drop(t->store, t->target_id, state->chunk, CHUNK_PENDING);
    return r < 0 ? r : 0;
}

/* Is the receiver's content still what the sender saw, or older than what comes? It was when the
 * sender looked, under its chunk lock. But the sender may have given up since, and newer updates
 * have come by, all within one epoch: a message that comes late must not undo them. */
static bool may_apply(const struct update_request *req, const struct chunk_state *state)
{
    bool is_seen =
        state->version == req->base_version && state->chain_version == req->base_chain_version;
    return is_seen || pair_compare(req->pair_chain_version, req->version, state->chain_version,
                                   state->version) > 0;
}

static int apply(struct target *t, const struct update_request *req, struct bytes data)
{
    struct chunk_update u = { .kind = req->kind,
                              .version = req->version,
                              .chain_version = req->pair_chain_version,
                              .generation = req->generation,
                              .update = req->update,
                              .chunk_size = req->chunk_size,
                              .length = req->length,
                              .data = data,
                              .data_crc32c = req->crc32c,
                              .block_crcs = req->block_crcs.count ? req->block_crcs.items : NULL };
    FIBER_SHIELD();
    int r = chunk_stage(t->store, t->target_id, req->chunk, &u);
    if (r < 0) {
        storage_check_disk(t->storage, t->disk);
        return r;
    }
    r = chunk_commit(t->store, t->target_id, req->chunk, req->version, req->pair_chain_version);
    return r < 0 ? r : 0;
}

int sync_receive_chunk(struct target *t, const struct update_request *req, struct bytes data,
                       struct write_reply *reply)
{
    struct chunk_state state;
    int r = chunk_get(t->store, t->target_id, req->chunk, &state);
    if (r == 0) state = (struct chunk_state){ .chunk = req->chunk };
    if (r >= 0) r = check_epoch(t, req->chain_version, t->target_id, req->epoch);
    if (r < 0) return r;
    t->sync_receiver.permille = MAX_OF(t->sync_receiver.permille, req->sync_permille);
    *reply = (struct write_reply){ .version = req->version,
                                   .chain_version = req->pair_chain_version,
                                   .chunk_length = req->length,
                                   .crc32c = req->crc32c };
    bool is_there = chunk_live_version(&state) > 0;
    bool is_same = req->kind == UPDATE_REMOVE
                       ? !is_there
                       : is_there && state.version == req->version &&
                             state.chain_version == req->pair_chain_version &&
                             state.crc32c == req->crc32c && state.length == req->length;
    if (is_same) return drop_pending(t, &state);
    if (!may_apply(req, &state) && !MUTANT(OLDER_REPLACEMENT)) return -ERR_CHUNK_STALE_UPDATE;
    if (req->kind == UPDATE_REMOVE) {
        r = drop_pending(t, &state);
        if (r < 0) return r;
    }
    return apply(t, req, data);
}
