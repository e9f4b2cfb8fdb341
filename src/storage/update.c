/* update.c - the five steps of an update on every member: lock, check, stage, forward, commit. */
#include "storage/update.h"
#include "loop/fault.h"
#include "storage/confirm.h"
#include "storage/forward.h"
#include "storage/storage_internal.h"

/* Its CRC is verified where it is staged, in the pass that makes the CRCs of the blocks. */
static int check_payload(struct rpc_call *call, uint32_t length, struct bytes *ret)
{
    if (call->bulk_size != length)
        return rpc_fail(call, -ERR_INVALID_ARG, "%u bytes came, the request says %u",
                        call->bulk_size, length);
    *ret = bytes_of(length ? call->bulk->base : NULL, length);
    return 0;
}

static bool is_power_of_two(uint32_t v)
{
    return v && !(v & (v - 1));
}

static int check_shape(struct rpc_call *call, uint8_t kind, uint32_t chunk_size, uint32_t offset,
                       uint32_t length)
{
    if (kind == UPDATE_REMOVE) return 0;
    if (!is_power_of_two(chunk_size) || chunk_size < CHUNK_BYTES_MIN ||
        chunk_size > CHUNK_BYTES_MAX)
        return rpc_fail(call, -ERR_INVALID_ARG, "chunk size %u is not possible", chunk_size);
    if (offset > chunk_size || length > chunk_size - offset)
        return rpc_fail(call, -ERR_INVALID_ARG, "%u bytes at %u pass the chunk size %u", length,
                        offset, chunk_size);
    switch (kind) {
    case UPDATE_WRITE: return length ? 0 : rpc_fail(call, -ERR_INVALID_ARG, "a write of no bytes");
    case UPDATE_TRUNCATE:
    case UPDATE_EXTEND:
    case UPDATE_REPLACE:
        return offset == 0 ? 0 : rpc_fail(call, -ERR_INVALID_ARG, "an offset makes no sense here");
    default: return rpc_fail(call, -ERR_INVALID_ARG, "no update kind %u", kind);
    }
}

static int load_state(struct target *t, struct chunk_id chunk, struct chunk_state *state)
{
    int r = chunk_get(t->store, t->target_id, chunk, state);
    if (r == 0) *state = (struct chunk_state){ .chunk = chunk };
    return r < 0 ? r : 0;
}

/* Makes the update pending; the state with it is in @state. */
static int stage(struct target *t, struct chunk_lock *lock, struct chunk_update *u,
                 struct chunk_state *state)
{
    int r = FAULT("storage.update.before_stage");
    if (r < 0) return r;
    lock->live_version = u->version;
    lock->live_chain_version = t->chain_version;
    {
        /* What the disk has begun, it ends: a cancelled caller must not leave us guessing. */
        FIBER_SHIELD();
        r = chunk_stage(t->store, t->target_id, lock->chunk, u);
        if (r == 0) r = load_state(t, lock->chunk, state);
    }
    if (r < 0) {
        lock->live_version = 0;
        storage_check_disk(t->storage, t->disk);
        return r;
    }
    if (!state->has_pending) return -ERR_FOUND_BUG; /* somebody else works on it: no lock? */
    return 0;
}

static void reply_from_state(struct write_reply *reply, const struct chunk_state *state)
{
    *reply = (struct write_reply){ .version = state->version,
                                   .chain_version = state->chain_version,
                                   .chunk_length = state->is_tombstone ? 0 : state->length,
                                   .crc32c = state->is_tombstone ? 0 : state->crc32c };
}

/* The forward of a pending update has failed: it is taken back, or left to recover.c, and then it
 * may still come to pass, whatever the successor has said. */
static int give_up(struct target *t, struct chunk_lock *lock, const struct chunk_state *state,
                   uint32_t ended_chain_version, int r)
{
    if (is_refusal(r)) {
        int taken_back = recover_take_back(t, lock, state, ended_chain_version);
        if (taken_back != 0) return taken_back < 0 ? taken_back : r;
        r = -ERR_CHUNK_WRITE_FAILED;
    }
    bool is_own = lock->live_version == state->pending_version;
    recover_add(t, lock->chunk, state->pending_version, is_own ? lock->live_chain_version : 0);
    return r;
}

/* Forwards the pending update of @state, commits it and answers. */
static int forward_and_commit(struct target *t, struct chunk_lock *lock, struct chunk_state *state,
                              const struct update_request *original, struct bytes data,
                              struct write_reply *reply)
{
    struct forward f = {
        .state = state, .original = original, .data = data, .chain_version = t->chain_version
    };
    int r = FAULT("storage.update.before_forward");
    if (r == 0 && MUTANT(COMMIT_BEFORE_STAGE))
        r = chunk_commit(t->store, t->target_id, lock->chunk, state->pending_version,
                         state->pending_chain_version);
    /* Who came into the chain meanwhile must have it too before it counts as committed. */
    do {
        if (r == 0) r = forward_pending(t, &f);
        if (r == 0) r = FAULT("storage.update.before_commit");
    } while (r == 0 && t->chain_version != f.chain_version);
    if (r < 0) return give_up(t, lock, state, f.chain_version, r);
    if (!MUTANT(COMMIT_BEFORE_STAGE))
        r = chunk_commit(t->store, t->target_id, lock->chunk, state->pending_version,
                         state->pending_chain_version);
    if (r == 0) r = load_state(t, lock->chunk, state);
    if (r < 0) return r;
    reply_from_state(reply, state);
    return FAULT("storage.update.before_reply");
}

/* ---- the head ---- */

/* 1 and the reply when this very update was executed before; 0 when it is new. */
static int find_retry(struct target *t, struct chunk_lock *lock, const struct update_id *update,
                      struct write_reply *reply)
{
    if (update->channel == 0) return 0;
    struct identity_entry entry;
    int r = identity_find(t->store, t->target_id, &update->client, update->channel, &entry);
    if (r <= 0 || entry.update.seq < update->seq) return r < 0 ? r : 0;
    if (entry.update.seq > update->seq) return -ERR_DUPLICATE_UPDATE;
    if (chunk_id_compare(entry.chunk, lock->chunk) != 0) return -ERR_INVALID_ARG;
    struct chunk_state state;
    r = load_state(t, lock->chunk, &state);
    if (r == 0 && state.has_pending && update_id_equal(&state.pending_update, update)) {
        uint64_t version = state.pending_version;
        r = recover_resolve(t, lock, &state);
        if (r == 0 && state.version != version) return refusals_find(&t->refusals, update, 0);
    }
    if (r < 0) return r;
    storage_count(t->storage, "storage.retries_recognised", 1);
    *reply = (struct write_reply){ .version = entry.version,
                                   .chain_version = entry.chain_version,
                                   .chunk_length = entry.chunk_length,
                                   .crc32c = entry.crc32c };
    return 1;
}

/* Nothing would change; but only a member that may answer reads knows. To extend to nothing is to
 * touch: it goes through the chain all the same. */
static bool changes_nothing(const struct write_request *req, const struct chunk_state *state)
{
    bool is_there = chunk_live_version(state) > 0;
    if (req->kind == UPDATE_REMOVE) return !is_there;
    return req->kind == UPDATE_EXTEND && req->length > 0 && is_there &&
           state->length >= req->length;
}

/* Answers an update that changes nothing, and keeps its identity: the same request may come again,
 * late, when there is something to change. */
static int answer_unchanged(struct target *t, struct chunk_lock *lock,
                            const struct write_request *req, const struct chunk_state *state,
                            struct write_reply *reply)
{
    reply_from_state(reply, state);
    int r = confirm_read(t, req->chain_version);
    if (r < 0 || req->update.channel == 0) return r;
    struct identity_entry entry = { .update = req->update,
                                    .chunk = lock->chunk,
                                    .version = reply->version,
                                    .chain_version = reply->chain_version,
                                    .chunk_length = reply->chunk_length,
                                    .crc32c = reply->crc32c };
    r = identity_put(t->store, t->target_id, &entry);
    storage_check_disk(t->storage, t->disk);
    return r;
}

/* The mutant: the successor has it, and may answer, before it is durable here. */
static void forward_too_early(struct target *t, struct chunk_lock *lock,
                              const struct chunk_update *u, const struct update_request *original)
{
    struct chunk_state state;
    if (load_state(t, lock->chunk, &state) < 0) return;
    state.pending_version = u->version;
    state.pending_chain_version = u->chain_version;
    state.pending_kind = u->kind;
    state.pending_update = u->update;
    struct forward f = {
        .state = &state, .original = original, .data = u->data, .is_unstaged = true
    };
    int r = forward_pending(t, &f);
    (void)r;
}

/* A version that no content of the chunk has had: what was removed and forgotten counts too. */
static uint64_t next_version(struct target *t, const struct chunk_state *state)
{
    if (state->version > 0) return state->version + 1;
    const struct store_target *stored = store_target_find(t->store, t->target_id);
    return stored ? stored->dropped_version + 1 : 1;
}

static int stage_new(struct target *t, struct chunk_lock *lock, const struct write_request *req,
                     struct bytes data, struct chunk_state *state, struct update_request *down)
{
    struct chunk_update u = { .kind = req->kind,
                              .version = next_version(t, state),
                              .chain_version = t->chain_version,
                              .generation = req->generation,
                              .update = req->update,
                              .chunk_size = req->chunk_size,
                              .offset = req->offset,
                              .length = req->length,
                              .data = data,
                              .data_crc32c = req->crc32c };
    *down = (struct update_request){ .kind = req->kind,
                                     .generation = req->generation,
                                     .offset = req->offset,
                                     .length = req->length,
                                     .chunk_size = req->chunk_size,
                                     .crc32c = req->crc32c };
    if (MUTANT(FORWARD_BEFORE_SYNC)) forward_too_early(t, lock, &u, down);
    int r = stage(t, lock, &u, state);
    if (!is_damage(r)) return r;
    /* It is the data that came that is damaged, or ours below it. */
    int repaired = repair_locked(t, lock->chunk);
    if (repaired > 0) return stage(t, lock, &u, state);
    /* Who has it whole may be away: not the last word, unless all have said that they have not. */
    return repaired < 0 && repaired != -ERR_CHECKSUM_MISMATCH ? -ERR_CHUNK_READ_FAILED : r;
}

static int check_head(struct target *t, uint32_t chain_version)
{
    int r = target_check_serving(t, chain_version);
    if (r < 0) return r;
    if (!target_is_head(t)) return -ERR_TARGET_STATE_INVALID;
    return confirm_not_cut_off(t);
}

/* All of an update at the head under the chunk's lock. */
static int update_locked(struct target *t, struct chunk_lock *lock, const struct write_request *req,
                         struct bytes data, struct write_reply *reply)
{
    int r = check_head(t, req->chain_version);
    if (r < 0) return r;
    if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
    r = refusals_find(&t->refusals, &req->update, 0);
    if (r < 0) return r;
    r = find_retry(t, lock, &req->update, reply);
    if (r != 0) return r < 0 ? r : 0;
    struct chunk_state state;
    r = load_state(t, lock->chunk, &state);
    if (r == 0 && state.has_pending) r = recover_resolve(t, lock, &state);
    if (r < 0) return r;
    if (floor_get(t->store, t->target_id, req->chunk.inode) > req->generation &&
        !MUTANT(FLOOR_FORGOTTEN))
        return -ERR_CHUNK_STALE_GENERATION;
    if (changes_nothing(req, &state)) return answer_unchanged(t, lock, req, &state, reply);
    r = check_head(t, req->chain_version);
    if (r < 0) return r;
    struct update_request down;
    r = stage_new(t, lock, req, data, &state, &down);
    if (r == 0) r = forward_and_commit(t, lock, &state, &down, data, reply);
    if (is_refusal(r)) refusals_put(&t->refusals, &req->update, 0, r);
    return r;
}

int update_from_client(struct target *t, struct rpc_call *call, const struct write_request *req,
                       struct write_reply *reply)
{
    int r = check_head(t, req->chain_version);
    if (r < 0) return r;
    if (req->kind == UPDATE_REPLACE)
        return rpc_fail(call, -ERR_INVALID_ARG, "only members replace chunks");
    r = check_shape(call, req->kind, req->chunk_size, req->offset, req->length);
    struct bytes data = { 0 };
    if (r == 0) r = check_payload(call, req->kind == UPDATE_WRITE ? req->length : 0, &data);
    if (r < 0) return r;
    cleanup_(chunk_lock_releasep) struct chunk_lock *lock = NULL;
    r = chunk_lock_take(&t->locks, req->chunk, &lock);
    if (r < 0) return r;
    r = update_locked(t, lock, req, data, reply);
    /* Whoever is cut off must not answer, whatever it has done. */
    return r < 0 ? r : confirm_not_cut_off(t);
}

int update_remove_chunk(struct target *t, uint32_t chain_version, struct chunk_id chunk,
                        uint32_t generation, const struct update_id *update)
{
    cleanup_(chunk_lock_releasep) struct chunk_lock *lock = NULL;
    int r = chunk_lock_take(&t->locks, chunk, &lock);
    if (r < 0) return r;
    struct write_request req = { .chain_id = t->chain_id,
                                 .chain_version = chain_version,
                                 .chunk = chunk,
                                 .update = *update,
                                 .kind = UPDATE_REMOVE,
                                 .generation = generation };
    struct chunk_state before;
    r = load_state(t, chunk, &before);
    if (r < 0) return r;
    struct write_reply reply;
    r = update_locked(t, lock, &req, (struct bytes){ 0 }, &reply);
    if (r == 0) r = confirm_not_cut_off(t);
    if (r < 0) return r;
    return chunk_live_version(&before) > 0 || before.has_pending;
}

/* ---- the other members ---- */

/* Makes the committed content of a serving member the one below @req, or finds that it is not. */
static int reach_base(struct target *t, struct chunk_lock *lock, const struct update_request *req,
                      struct chunk_state *state)
{
    int r = 0;
    if (state->has_pending && state->pending_version == req->base_version &&
        state->pending_chain_version == req->base_chain_version &&
        state->pending_crc32c == req->base_crc32c && state->pending_kind != UPDATE_REMOVE) {
        /* The predecessor has committed it, so everybody behind it had. */
        r = chunk_commit(t->store, t->target_id, lock->chunk, state->pending_version,
                         state->pending_chain_version);
        if (r == 0) r = load_state(t, lock->chunk, state);
    } else if (state->has_pending) {
        r = recover_resolve(t, lock, state);
    }
    if (r < 0) return r;
    bool is_there = chunk_live_version(state) > 0;
    if (!is_there && req->base_version == 0) return 0;
    bool is_base = is_there && state->version == req->base_version &&
                   state->chain_version == req->base_chain_version &&
                   state->crc32c == req->base_crc32c && req->version == state->version + 1;
    /* What is below a removal does not matter. */
    return is_base || req->kind == UPDATE_REMOVE ? 0 : -ERR_CHUNK_MISSING_UPDATE;
}

/* May @req be staged over @state? 0, or an error. */
static int check_order(struct target *t, struct chunk_lock *lock, const struct update_request *req,
                       struct chunk_state *state)
{
    if (state->version == req->version && state->chain_version == req->pair_chain_version)
        return -ERR_CHUNK_COMMITTED_UPDATE;
    bool is_greater = pair_compare(req->pair_chain_version, req->version, state->chain_version,
                                   state->version) > 0;
    if (target_is_serving(t)) {
        if (!is_greater) return -ERR_CHUNK_STALE_UPDATE;
        if (req->kind == UPDATE_REPLACE) return 0;
        return reach_base(t, lock, req, state);
    }
    /* Being filled. What was written before the sync began counts for nothing. */
    if (req->kind != UPDATE_REPLACE && req->kind != UPDATE_REMOVE) return -ERR_CHUNK_MISSING_UPDATE;
    return is_greater || state->chain_version < req->chain_version ? 0 : -ERR_CHUNK_STALE_UPDATE;
}

/* An update that a member left unfinished before it was filled counts for nothing. Whole content
 * takes its place by itself (chunk_store.h); for a removal it goes first. */
static int clear_way(struct target *t, const struct update_request *req,
                     const struct chunk_state *state)
{
    if (target_is_serving(t) || !state->has_pending || req->kind != UPDATE_REMOVE) return 0;
    FIBER_SHIELD();
    int r = chunk_drop(t->store, t->target_id, req->chunk, CHUNK_PENDING);
    return r < 0 ? r : 0;
}

static int stage_forwarded(struct target *t, struct chunk_lock *lock,
                           const struct update_request *req, struct bytes data,
                           struct chunk_state *state)
{
    struct chunk_update u = { .kind = req->kind,
                              .version = req->version,
                              .chain_version = req->pair_chain_version,
                              .generation = req->generation,
                              .update = req->update,
                              .chunk_size = req->chunk_size,
                              .offset = req->offset,
                              .length = req->length,
                              .data = data,
                              .data_crc32c = req->crc32c,
                              .block_crcs = req->block_crcs.count ? req->block_crcs.items : NULL };
    return stage(t, lock, &u, state);
}

/* What came again is in the chunk already; but an attempt to fill this target that began after it
 * came the first time has cleared the table, and whoever sends it again does so because its
 * identity was not copied. */
static int keep_identity(struct target *t, const struct identity_entry *entry)
{
    const struct update_id *update = &entry->update;
    struct identity_entry known;
    if (update->channel == 0) return 0;
    int r = identity_find(t->store, t->target_id, &update->client, update->channel, &known);
    if (r < 0 || (r > 0 && known.update.seq >= update->seq)) return MIN_OF(r, 0);
    return identity_put(t->store, t->target_id, entry);
}

static int keep_committed_identity(struct target *t, const struct chunk_state *state)
{
    const struct identity_entry entry = { .update = state->update,
                                          .chunk = state->chunk,
                                          .version = state->version,
                                          .chain_version = state->chain_version,
                                          .chunk_length = state->length,
                                          .crc32c = state->crc32c };
    return keep_identity(t, &entry);
}

static int keep_pending_identity(struct target *t, const struct chunk_state *state)
{
    const struct identity_entry entry = { .update = state->pending_update,
                                          .chunk = state->chunk,
                                          .version = state->pending_version,
                                          .chain_version = state->pending_chain_version,
                                          .chunk_length = state->pending_length,
                                          .crc32c = state->pending_crc32c };
    return keep_identity(t, &entry);
}

static int member_locked(struct target *t, struct chunk_lock *lock,
                         const struct update_request *req, struct bytes data,
                         struct write_reply *reply)
{
    struct chunk_state state;
    int r = load_state(t, lock->chunk, &state);
    if (r < 0) return r;
    bool is_any = MUTANT(IDENTITY_NOT_COMPARED);
    if (state.version == req->version && (is_any || update_id_equal(&state.update, &req->update))) {
        reply_from_state(reply, &state);
        return keep_committed_identity(t, &state);
    }
    bool is_staged = state.has_pending && state.pending_version == req->version &&
                     (is_any || update_id_equal(&state.pending_update, &req->update));
    if (is_staged && !is_any && req->kind == UPDATE_REPLACE && state.pending_crc32c != req->crc32c)
        is_staged = false;
    if (!is_staged) {
        r = check_order(t, lock, req, &state);
        if (r == 0) r = target_check_member(t, req->chain_version);
        if (r == 0) r = clear_way(t, req, &state);
        if (r == 0) r = target_check_member(t, req->chain_version);
        if (r == 0) r = stage_forwarded(t, lock, req, data, &state);
    } else {
        r = keep_pending_identity(t, &state);
    }
    if (r < 0) return r;
    return forward_and_commit(t, lock, &state, is_staged ? NULL : req, data, reply);
}

/* A member that came into the chain after the update began cannot refuse it for all: others may
 * have acknowledged it before. */
static int refuse(struct target *t, const struct update_request *req, int error)
{
    if (t->member_since > req->pair_chain_version) return -ERR_CHUNK_WRITE_FAILED;
    refusals_put(&t->refusals, &req->update, req->life, error);
    return error;
}

/* None, or one for each block. */
static int check_block_crcs(struct rpc_call *call, const struct update_request *req)
{
    uint32_t count = req->block_crcs.count;
    uint32_t blocks = (req->length + CHUNK_CRC_BLOCK_BYTES - 1) / CHUNK_CRC_BLOCK_BYTES;
    if (count == 0 || (req->kind == UPDATE_REPLACE && count == blocks)) return 0;
    return rpc_fail(call, -ERR_INVALID_ARG, "%u CRCs of %u blocks", count, blocks);
}

int update_from_member(struct target *t, struct rpc_call *call, const struct update_request *req,
                       struct write_reply *reply)
{
    int r = target_check_member(t, req->chain_version);
    if (r < 0) return r;
    r = check_shape(call, req->kind, req->chunk_size, req->offset, req->length);
    struct bytes data = { 0 };
    bool has_data = req->kind == UPDATE_WRITE || req->kind == UPDATE_REPLACE;
    if (r == 0) r = check_payload(call, has_data ? req->length : 0, &data);
    if (r == 0) r = check_block_crcs(call, req);
    if (r < 0) return r;
    cleanup_(chunk_lock_releasep) struct chunk_lock *lock = NULL;
    r = chunk_lock_take(&t->locks, req->chunk, &lock);
    if (r < 0) return r;
    r = target_check_member(t, req->chain_version);
    if (r == 0 && t->self_at == 0) r = -ERR_TARGET_STATE_INVALID;
    if (r == 0 && fiber_remaining_ns() == 0) r = -ERR_TIMEOUT;
    if (r < 0) return r;
    if (req->is_resync) return sync_receive_chunk(t, req, data, reply);
    r = refusals_find(&t->refusals, &req->update, req->life);
    if (r < 0) return r;
    r = member_locked(t, lock, req, data, reply);
    return is_refusal(r) ? refuse(t, req, r) : r;
}
