/* storage_read.c - reads of chunks: spread over replicas, grouped by node, moved to another replica
 * at once when one fails.
 *
 * A call goes in rounds: every read that is not done gets a replica, those of one node travel
 * together, and what fails in a way that another replica or a newer routing may cure is in the next
 * round. A round waits only for its own requests.
 */
#include "base/check.h"
#include "base/crc32c.h"
#include "client/storage_client_internal.h"
#include "loop/fault.h"

enum { BATCH_IO_COUNT = 256, BATCH_BYTES = 4 << 20 };

/* One read on its way. */
struct reading {
    struct chunk_read *read;
    bool is_done;
    uint32_t tried;   /* targets by position that failed since the last pause, as bits */
    uint32_t damaged; /* those of this chain version whose data is bad */
    uint32_t chain_version;
    uint32_t target_at;
    uint32_t node_id; /* chosen for this round; 0: none */
};

struct read_call {
    struct storage_client *client;
    const struct read_options *options;
    struct reading *readings;
    uint32_t count;
    uint64_t timeout_ns;
};

/* Reads of one node in one request. */
struct read_batch {
    struct read_call *call;
    uint32_t node_id;
    struct reading *ios[BATCH_IO_COUNT];
    uint32_t count;
    uint64_t bytes;
};

static bool is_tried(const struct reading *g, uint32_t at)
{
    return g->tried & (1u << at);
}

/* The lower, the better. */
enum rank { NEAR, FAR, SHUNNED, RANK_COUNT };

/* The serving ones that have not failed; of these the best: near, else anywhere, and those whose
 * nodes do not answer only when there are no others. */
static uint32_t list_candidates(struct storage_client *c, const struct chain_info *chain,
                                const struct reading *g, uint32_t serving,
                                uint32_t ret[CHAIN_TARGET_COUNT_MAX])
{
    uint32_t count = 0;
    enum rank best = RANK_COUNT;
    uint64_t now = node_now_ns(c->node);
    for (uint32_t i = 0; i < MIN_OF(serving, (uint32_t)CHAIN_TARGET_COUNT_MAX); i++) {
        uint32_t node_id = chain->members.items[i].node_id;
        if (is_tried(g, i) || !node_id) continue;
        enum rank rank = client_peer(c, node_id)->shun_until_ns > now ? SHUNNED
                         : routing_is_near(c->routing, node_id)       ? NEAR
                                                                      : FAR;
        if (rank > best) continue;
        if (rank < best) count = 0;
        best = rank;
        ret[count++] = i;
    }
    return count;
}

/* A candidate, the less loaded of two at random; UINT32_MAX for none. */
static uint32_t choose_spread(struct storage_client *c, const struct chain_info *chain,
                              const struct reading *g, uint32_t serving)
{
    uint32_t candidates[CHAIN_TARGET_COUNT_MAX];
    uint32_t count = list_candidates(c, chain, g, serving, candidates);
    if (count == 0) return UINT32_MAX;
    uint32_t first = candidates[node_random_below(c->node, count)];
    uint32_t second = candidates[node_random_below(c->node, count)];
    const struct storage_peer *a = client_peer(c, chain->members.items[first].node_id);
    const struct storage_peer *b = client_peer(c, chain->members.items[second].node_id);
    return b->outstanding_bytes < a->outstanding_bytes ? second : first;
}

/* Sets the node for this round; 0 or why there is none. */
static int choose(struct read_call *call, struct reading *g)
{
    struct storage_client *c = call->client;
    g->node_id = 0;
    const struct chain_info *chain = routing_chain(c->routing, g->read->chain_id);
    if (!chain) return -ERR_ROUTING_ERROR;
    uint32_t serving = chain_serving_count(chain), at = 0;
    if (serving == 0) return -ERR_NOT_AVAILABLE;
    switch (call->options->choice) {
    case TARGET_SPREAD: at = choose_spread(c, chain, g, serving); break;
    case TARGET_HEAD: break;
    case TARGET_TAIL: at = serving - 1; break;
    case TARGET_INDEX: at = call->options->target_index; break;
    }
    if (at >= serving || is_tried(g, at)) return -ERR_NOT_AVAILABLE;
    /* mgmtd does not know yet where that target is. */
    if (!chain->members.items[at].node_id) return -ERR_NOT_AVAILABLE;
    if (g->chain_version != chain->version) g->damaged = 0;
    g->target_at = at;
    g->chain_version = chain->version;
    g->node_id = chain->members.items[at].node_id;
    client_peer(c, g->node_id)->outstanding_bytes += g->read->length;
    return 0;
}

static bool batch_is_obsolete(const struct attempt_call *attempt)
{
    const struct read_batch *b = attempt->arg;
    const struct routing *routing = attempt->client->routing;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct chain_info *chain = routing_chain(routing, b->ios[i]->read->chain_id);
        if (!chain) return true;
        uint32_t serving = chain_serving_count(chain), at = 0;
        while (at < serving && chain->members.items[at].node_id != b->node_id) {
            at++;
        }
        if (at == serving) return true;
    }
    return false;
}

/* ---- results ---- */

static int take_result(struct read_call *call, struct chunk_read *read,
                       const struct read_result *res)
{
    int status = -(int)res->status;
    if (res->status && !error_number_is_known((int)res->status)) status = -ERR_UNKNOWN;
    if (status < 0 && status != -ERR_CHUNK_NOT_FOUND) return status;
    if (res->length > read->length) return -ERR_RPC_VERIFY_RESPONSE;
    if (call->client->options.verify_reads && crc32c(0, read->to, read->length) != res->crc32c) {
        *metrics_cell(call->client->node->metrics, "storage_client.checksum_mismatch") += 1;
        return -ERR_CHECKSUM_MISMATCH;
    }
    read->real_length = status == 0 ? res->length : 0;
    read->version = res->version;
    return status;
}

static bool is_final(int r)
{
    if (r == 0 || r == -ERR_CHUNK_NOT_FOUND) return true;
    return r == -ERR_INVALID_ARG || r == -ERR_AUTH_FAIL || r == -ERR_NOT_IMPLEMENTED ||
           r == -ERR_RPC_INVALID_METHOD || r == -ERR_RPC_INVALID_SERVICE;
}

static void finish_reading(struct reading *g, int r)
{
    g->read->status = r;
    g->is_done = is_final(r);
    if (g->is_done) return;
    g->tried |= 1u << g->target_at;
    if (r == -ERR_CHECKSUM_MISMATCH || r == -ERR_CHUNK_READ_FAILED)
        g->damaged |= 1u << g->target_at;
}

static int run_request(struct read_batch *b, struct arena *arena, struct batch_read_reply *reply)
{
    struct storage_client *c = b->call->client;
    struct read_io *ios = arena_array(arena, struct read_io, b->count);
    struct iovec *iov = arena_array(arena, struct iovec, b->count);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct reading *g = b->ios[i];
        ios[i] = (struct read_io){ g->read->chain_id, g->chain_version, g->read->chunk,
                                   g->read->offset, g->read->length };
        iov[i] = (struct iovec){ g->read->to, g->read->length };
    }
    struct batch_read_request req = { .ios = { ios, b->count }, .flags = b->call->options->flags };
    uint32_t bulk_size = 0;
    struct attempt_call attempt = { .client = c,
                                    .node_id = b->node_id,
                                    .class = RPC_BULK,
                                    .method = RPC_METHOD(storage, batch_read),
                                    .request = &req,
                                    .reply = reply,
                                    .options = { .arena = arena,
                                                 .bulk_in = iov,
                                                 .bulk_in_count = (int)b->count,
                                                 .ret_bulk_in_size = &bulk_size },
                                    .is_obsolete = batch_is_obsolete,
                                    .arg = b };
    int r = attempt_run(&attempt);
    if (r < 0) return r;
    return reply->results.count == b->count && bulk_size == b->bytes ? 0 : -ERR_RPC_VERIFY_RESPONSE;
}

static int batch_fiber(void *arg)
{
    struct read_batch *b = arg;
    struct read_call *call = b->call;
    FIBER_TIMEOUT(call->timeout_ns);
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct batch_read_reply reply;
    int r = run_request(b, &arena, &reply);
    for (uint32_t i = 0; i < b->count; i++) {
        struct reading *g = b->ios[i];
        client_peer(call->client, b->node_id)->outstanding_bytes -= g->read->length;
        finish_reading(g, r < 0 ? r : take_result(call, g->read, &reply.results.items[i]));
    }
    return 0;
}

/* ---- rounds ---- */

static struct read_batch *batch_open(struct read_call *call, struct arena *arena, struct map *open,
                                     const struct reading *g)
{
    struct read_batch *b = map_get(open, g->node_id);
    bool fits = b && b->count < BATCH_IO_COUNT &&
                (b->count == 0 || b->bytes + g->read->length <= BATCH_BYTES);
    if (fits) return b;
    b = arena_new(arena, struct read_batch);
    b->call = call;
    b->node_id = g->node_id;
    map_put(open, g->node_id, b);
    return b;
}

/* Sends all that has a node; returns when all of it is answered. */
static int run_batches(struct read_call *call, struct arena *arena)
{
    cleanup_(map_done) struct map open;
    map_init(&open, 0);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    struct read_batch *only = NULL;
    uint32_t batch_count = 0;
    struct read_batch **batches = arena_array(arena, struct read_batch *, call->count);
    for (uint32_t i = 0; i < call->count; i++) {
        struct reading *g = &call->readings[i];
        if (g->is_done || !g->node_id) continue;
        struct read_batch *b = batch_open(call, arena, &open, g);
        if (b->count == 0) batches[batch_count++] = only = b;
        b->ios[b->count++] = g;
        b->bytes += g->read->length;
    }
    if (batch_count == 1) return batch_fiber(only);
    for (uint32_t i = 0; i < batch_count; i++) {
        int r = fiber_spawn(&scope, "read-batch", batch_fiber, batches[i]);
        if (r == -ERR_BUSY) r = batch_fiber(batches[i]);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

/* Gives every read that is not done a node, where one is left. 0 when all are done. */
static int next_round(struct read_call *call, bool *ret_pause)
{
    *ret_pause = false;
    int left = 0;
    for (uint32_t i = 0; i < call->count; i++) {
        struct reading *g = &call->readings[i];
        if (g->is_done) continue;
        left = 1;
        int r = choose(call, g);
        if (r == 0) continue;
        *ret_pause = true;
        if (!g->tried) g->read->status = r;
    }
    return left;
}

/* Damaged data does not heal by waiting: is it so wherever this call may read? */
static bool is_hopeless(const struct read_call *call, const struct reading *g)
{
    const struct chain_info *chain = routing_chain(call->client->routing, g->read->chain_id);
    if (!g->damaged || !chain || chain->version != g->chain_version) return false;
    if (call->options->choice != TARGET_SPREAD) return true;
    uint32_t serving = chain_serving_count(chain);
    if (serving < chain->members.count) return false; /* who comes back may have it whole */
    uint32_t all = (1u << MIN_OF(serving, 31u)) - 1;
    return (g->damaged & all) == all;
}

/* After a pause every replica may be tried again. */
static void forget_tries(struct read_call *call)
{
    for (uint32_t i = 0; i < call->count; i++) {
        struct reading *g = &call->readings[i];
        if (!g->is_done && is_hopeless(call, g)) g->is_done = true;
        g->tried = 0;
    }
}

static int run_rounds(struct read_call *call)
{
    struct backoff backoff = { 0 };
    for (;;) {
        bool must_pause;
        if (next_round(call, &must_pause) == 0) return 0;
        {
            cleanup_arena_ struct arena arena;
            arena_init(&arena);
            int r = run_batches(call, &arena);
            if (fiber_is_cancelled()) return -ERR_CANCELED;
            if (r < 0 && r != -ERR_TIMEOUT) return r;
        }
        if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
        if (!must_pause) continue;
        forget_tries(call);
        int r = backoff_wait(call->client, &backoff);
        if (r < 0) return r;
    }
}

int chunks_read(struct storage_client *c, struct chunk_read *reads, uint32_t count,
                const struct read_options *options)
{
    FIBER_TIMEOUT(c->options.total_timeout_ns);
    static const struct read_options spread = { .choice = TARGET_SPREAD };
    struct read_call call = { .client = c,
                              .options = options ? options : &spread,
                              .count = count,
                              .timeout_ns = fiber_remaining_ns() };
    call.readings = xcalloc(count + 1, sizeof *call.readings);
    int r = 0;
    for (uint32_t i = 0; i < count; i++) {
        call.readings[i].read = &reads[i];
        reads[i].status = -ERR_TIMEOUT;
        reads[i].real_length = 0;
        if (reads[i].length > BATCH_READ_BYTES_MAX) r = -ERR_INVALID_ARG;
    }
    if (r == 0) r = run_rounds(&call);
    free(call.readings);
    for (uint32_t i = 0; i < count && r >= 0; i++) {
        bool is_absent = reads[i].status == -ERR_CHUNK_NOT_FOUND;
        if (is_absent && call.options->ret_absent_count) ++*call.options->ret_absent_count;
        if (reads[i].status < 0 && !is_absent) r = reads[i].status;
    }
    return r;
}
