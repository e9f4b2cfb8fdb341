/* content.c - reading one whole content here, for this node or for a peer that lacks it. */
#include "storage/content.h"
#include "storage/storage_internal.h"

void content_done(struct content *content)
{
    content->buffer = buffer_give(content->buffer);
    free(content->block_crcs);
    content->block_crcs = NULL;
    content->data = (struct bytes){ 0 };
}

int content_read(struct target *t, struct chunk_id chunk, enum chunk_pin_which which,
                 uint64_t version, struct content *ret)
{
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    struct chunk_state state;
    int r = chunk_pin(t->store, t->target_id, chunk, which, &pin, &state);
    if (r < 0) return r;
    bool is_pending = which == CHUNK_PENDING;
    if (r == 0 || (is_pending ? state.pending_version : state.version) != version)
        return -ERR_CHUNK_VERSION_MISMATCH;
    uint32_t length = is_pending ? state.pending_length : state.length;
    uint32_t crc = 0, real = 0, skip = 0;
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    if (length > 0) {
        r = chunk_read(pin, 0, length, t->storage->pool, &buffer, &skip, &real, &crc);
        if (r < 0) return r;
    }
    if (real != length || crc != (is_pending ? state.pending_crc32c : state.crc32c))
        return -ERR_CHECKSUM_MISMATCH;
    *ret = (struct content){ .data = bytes_of(buffer ? buffer->base + skip : NULL, length) };
    ret->buffer = TAKE_PTR(buffer);
    return 0;
}

/* ---- for a peer ---- */

struct lent {
    struct storage *storage;
    struct buffer *buffer;
    uint64_t memory_bytes; /* taken from read_memory */
};

static struct lent *lent_free(struct lent *lent)
{
    if (!lent) return NULL;
    buffer_give(lent->buffer);
    fiber_semaphore_give(&lent->storage->read_memory, lent->memory_bytes);
    free(lent);
    return NULL;
}
CLEANUP_FUNC(struct lent *, lent_free)

static void lent_sent(void *arg)
{
    lent_free(arg);
}

/* Which of the chunk's contents the peer gets. */
static int choose(const struct chunk_state *state, const struct fetch_chunk_request *req,
                  enum chunk_pin_which *ret)
{
    bool is_there = chunk_live_version(state) > 0;
    bool has_other = state->has_pending && state->pending_kind != UPDATE_REMOVE;
    bool is_committed = is_there && state->version == req->version &&
                        state->chain_version == req->pair_chain_version &&
                        state->length == req->length && state->crc32c == req->crc32c;
    bool is_pending = has_other && state->pending_version == req->version &&
                      state->pending_chain_version == req->pair_chain_version &&
                      state->pending_length == req->length && state->pending_crc32c == req->crc32c;
    if (!is_committed && !is_pending && !(req->is_any && (is_there || has_other)))
        return -ERR_CHUNK_NOT_FOUND;
    *ret = is_pending || (!is_committed && !is_there) ? CHUNK_PENDING : CHUNK_COMMITTED;
    return 0;
}

int content_answer(struct target *t, struct rpc_call *call, const struct fetch_chunk_request *req,
                   struct fetch_chunk_reply *reply)
{
    struct chunk_state state;
    enum chunk_pin_which which;
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    int r = chunk_get(t->store, t->target_id, req->chunk, &state);
    if (r >= 0) r = r == 0 ? -ERR_CHUNK_NOT_FOUND : choose(&state, req, &which);
    if (r == 0) r = chunk_pin(t->store, t->target_id, req->chunk, which, &pin, &state);
    /* It was committed, or taken back, in this moment. */
    if (r == 0) r = -ERR_BUSY;
    if (r < 0) return r;
    bool is_pending = which == CHUNK_PENDING;
    uint32_t length = is_pending ? state.pending_length : state.length;
    reply->length = MIN_OF(length, req->length);
    if (reply->length == 0) return 0;
    cleanup_(lent_freep) struct lent *lent = new_zero(struct lent);
    lent->storage = t->storage;
    uint64_t size = (uint64_t)length + CHUNK_CRC_BLOCK_BYTES; /* all of it is read */
    r = fiber_semaphore_take(&t->storage->read_memory, size);
    if (r < 0) return r;
    lent->memory_bytes = size;
    r = buffer_take(t->storage->pool, size, &lent->buffer);
    if (r < 0) return r;
    chunk_read_unverified(pin, lent->buffer->base);
    struct iovec iov = { lent->buffer->base, reply->length };
    rpc_push(call, &iov, 1, lent_sent, TAKE_PTR(lent));
    return 0;
}
