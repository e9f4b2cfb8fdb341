/* content_gather.c - a damaged content put together, block by block, from what the targets of a
 * chain have. */
#include "base/arena.h"
#include "base/crc32c.h"
#include "storage/content.h"
#include "storage/storage_internal.h"

enum { BLOCK = CHUNK_CRC_BLOCK_BYTES };
#define MEMBER_TIMEOUT_NS (5 * SEC)
#define OTHER_TIMEOUT_NS  (1 * SEC) /* a member no more: it may well be gone */

struct gathering {
    struct target *target;
    struct fetch_chunk_request request;
    struct member all[CHAIN_TARGET_COUNT_MAX]; /* as it was in the beginning */
    uint32_t all_count, member_count;
    struct buffer *buffer; /* whole blocks */
    uint32_t *block_crcs;
    uint32_t block_count;
    uint32_t bad_count;
    uint32_t node_id;
};

static void gathering_done(struct gathering *g)
{
    buffer_give(g->buffer);
    free(g->block_crcs);
}

static bool is_block_good(const struct gathering *g, uint32_t block, const uint8_t *bytes,
                          uint32_t length)
{
    uint32_t begin = block * BLOCK;
    uint32_t n = MIN_OF((uint32_t)BLOCK, g->request.length - begin);
    return begin + n <= length && crc32c(0, bytes + begin, n) == g->block_crcs[block];
}

/* Blocks that are bad here and good in the @length bytes of @bytes. */
static uint32_t adopt(struct gathering *g, const uint8_t *bytes, uint32_t length)
{
    uint32_t count = 0;
    for (uint32_t block = 0; block < g->block_count; block++) {
        if (is_block_good(g, block, g->buffer->base, g->request.length)) continue;
        if (!is_block_good(g, block, bytes, length)) continue;
        size_t begin = (size_t)block * BLOCK;
        memcpy(g->buffer->base + begin, bytes + begin,
               MIN_OF((size_t)BLOCK, g->request.length - begin));
        count++;
    }
    g->bad_count -= count;
    return count;
}

/* 0: the member has something, and what was needed of it is here. */
static int fetch_from(struct gathering *g, const struct member *from, bool is_member, bool is_any)
{
    FIBER_TIMEOUT(is_member ? MEMBER_TIMEOUT_NS : OTHER_TIMEOUT_NS);
    struct storage *s = g->target->storage;
    struct net_address address;
    struct rpc_target peer;
    int r = storage_peer(s, from->node_id, RPC_BULK, &address, &peer);
    if (r < 0) return r;
    uint32_t size = 0, room = g->request.length;
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    r = buffer_take(s->pool, room, &buffer);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct iovec iov = { buffer->base, room };
    struct rpc_options options = {
        .arena = &arena, .bulk_in = &iov, .bulk_in_count = 1, .ret_bulk_in_size = &size
    };
    struct fetch_chunk_request req = g->request;
    req.is_any = is_any;
    struct fetch_chunk_reply reply;
    r = storage_fetch_chunk(peer, &options, &req, &reply);
    if (r < 0) return r;
    if (size != reply.length) return -ERR_RPC_VERIFY_RESPONSE;
    if (adopt(g, buffer->base, size) > 0) g->node_id = from->node_id;
    return 0;
}

/* Asks everybody until nothing is missing. */
static int ask_all(struct gathering *g, bool is_any, struct gathered *ret)
{
    ret->have_members_said = ret->have_all_said = true;
    for (uint32_t i = 0; i < g->all_count && g->bad_count > 0; i++) {
        const struct member *from = &g->all[i];
        if (from->target_id == g->target->target_id) continue;
        bool is_member = i < g->member_count;
        int r = fetch_from(g, from, is_member, is_any);
        if (fiber_is_cancelled()) return -ERR_CANCELED;
        if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
        bool has_said = r == 0 || r == -ERR_CHUNK_NOT_FOUND;
        if (!has_said) ret->have_all_said = false;
        if (!has_said && is_member) ret->have_members_said = false;
    }
    return 0;
}

/* What is here, good or bad. */
static int begin(struct gathering *g, struct chunk_id chunk, enum chunk_pin_which which,
                 uint64_t version)
{
    struct target *t = g->target;
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    struct chunk_state state;
    int r = chunk_pin(t->store, t->target_id, chunk, which, &pin, &state);
    if (r < 0) return r;
    bool is_pending = which == CHUNK_PENDING;
    if (r == 0 || (is_pending ? state.pending_version : state.version) != version)
        return -ERR_CHUNK_VERSION_MISMATCH;
    g->request = (struct fetch_chunk_request){
        .chain_id = t->chain_id,
        .chunk = chunk,
        .version = version,
        .pair_chain_version = is_pending ? state.pending_chain_version : state.chain_version,
        .length = is_pending ? state.pending_length : state.length,
        .crc32c = is_pending ? state.pending_crc32c : state.crc32c,
    };
    const uint32_t *crcs = chunk_block_crcs(pin, &g->block_count);
    g->block_crcs = xcalloc(g->block_count + 1, sizeof *crcs);
    memcpy(g->block_crcs, crcs, g->block_count * sizeof *crcs);
    if (g->block_count == 0) return 0;
    r = buffer_take(t->storage->pool, (size_t)g->block_count * BLOCK, &g->buffer);
    if (r < 0) return r;
    chunk_read_unverified(pin, g->buffer->base);
    for (uint32_t block = 0; block < g->block_count; block++) {
        g->bad_count += !is_block_good(g, block, g->buffer->base, g->request.length);
    }
    return 0;
}

int content_gather(struct target *t, struct chunk_id chunk, enum chunk_pin_which which,
                   uint64_t version, struct gathered *ret)
{
    cleanup_(gathering_done) struct gathering g = { .target = t,
                                                    .all_count = t->all_count,
                                                    .member_count = t->member_count };
    memcpy(g.all, t->all, sizeof g.all);
    struct gathered out = { .have_members_said = true, .have_all_said = true };
    int r = begin(&g, chunk, which, version);
    if (r == 0 && g.bad_count > 0) r = ask_all(&g, false, &out);
    if (r == 0 && g.bad_count > 0) {
        struct gathered last_resort;
        r = ask_all(&g, true, &last_resort);
    }
    if (r < 0) return r;
    out.node_id = g.node_id;
    out.content.data = bytes_of(g.buffer ? g.buffer->base : NULL, g.request.length);
    out.content.buffer = TAKE_PTR(g.buffer);
    if (g.bad_count > 0) {
        out.content.block_crcs = TAKE_PTR(g.block_crcs);
        out.content.block_count = g.block_count;
    }
    *ret = out;
    return 0;
}
