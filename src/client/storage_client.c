/* storage_client.c - attempts, pauses and channels, and the calls that go to a chain's head. */
#include "client/storage_client.h"
#include "base/check.h"
#include "client/storage_client_internal.h"
#include "loop/fault.h"
#include <errno.h>

enum {
    CHANNEL_COUNT_DEFAULT = 1024,
    REQUEST_COUNT_MAX = 256,
    PEER_REQUEST_COUNT_MAX = 64,
    REMOVE_COUNT = 1024
};
#define PAUSE_MIN_NS     (5 * MSEC)
#define PAUSE_MAX_NS     (200 * MSEC)
#define OBSOLETE_LOOK_NS (50 * MSEC)
/* A call to a peer that is gone waits for the next attempt to connect, up to half a second; until
 * it is out of its chains, there are others. */
#define SHUN_NS (3 * SEC)

struct storage_client *storage_client_new(struct node *node, struct mgmtd_client *mgmtd,
                                          const struct storage_client_options *options)
{
    struct storage_client *c = new_zero(struct storage_client);
    c->node = node;
    c->mgmtd = mgmtd;
    c->routing = mgmtd_client_routing(mgmtd);
    c->options = *options;
    if (!c->options.total_timeout_ns) c->options.total_timeout_ns = 60 * SEC;
    if (!c->options.attempt_timeout_ns) c->options.attempt_timeout_ns = 5 * SEC;
    if (!c->options.channel_count) c->options.channel_count = CHANNEL_COUNT_DEFAULT;
    map_init(&c->peers, node_random_u64(node));
    fiber_semaphore_init(&c->slots, REQUEST_COUNT_MAX);
    uint32_t count = c->options.channel_count;
    fiber_semaphore_init(&c->channels_free, count);
    c->channels = xcalloc(count, sizeof *c->channels);
    for (uint32_t i = 0; i < count; i++) {
        c->channels[i] = count - i;
    }
    c->channel_top = count;
    return c;
}

struct storage_client *storage_client_free(struct storage_client *c)
{
    if (!c) return NULL;
    size_t at = 0;
    struct storage_peer *peer;
    while ((peer = map_next(&c->peers, &at))) {
        free(peer);
    }
    map_done(&c->peers);
    free(c->channels);
    free(c);
    return NULL;
}

struct storage_peer *client_peer(struct storage_client *c, uint32_t node_id)
{
    struct storage_peer *peer = map_get(&c->peers, node_id);
    if (peer) return peer;
    peer = new_zero(struct storage_peer);
    peer->node_id = node_id;
    fiber_semaphore_init(&peer->slots, PEER_REQUEST_COUNT_MAX);
    map_put(&c->peers, node_id, peer);
    return peer;
}

uint32_t chain_serving_count(const struct chain_info *chain)
{
    uint32_t n = 0;
    while (n < chain->members.count && chain->members.items[n].public_state == PUBLIC_SERVING) {
        n++;
    }
    return n;
}

int backoff_wait(struct storage_client *c, struct backoff *b)
{
    b->pause_ns = b->pause_ns ? MIN_OF(b->pause_ns * 2, (uint64_t)PAUSE_MAX_NS) : PAUSE_MIN_NS;
    int r;
    {
        /* Half of it at random, so that many clients do not come back at once. */
        uint64_t half = b->pause_ns / 2;
        FIBER_TIMEOUT(half + node_random_below(c->node, half + 1));
        r = wait_queue_wait(&c->routing->changed, "retry");
    }
    if (r != -ERR_TIMEOUT) return r;
    return fiber_remaining_ns() == 0 ? -ERR_TIMEOUT : 0;
}

/* ---- one attempt ---- */

struct attempt {
    struct attempt_call *call;
    uint64_t timeout_ns;
    struct wait_queue ended;
    bool is_done;
    int result;
};

static int attempt_fiber(void *arg)
{
    struct attempt *a = arg;
    struct attempt_call *call = a->call;
    struct storage_client *c = call->client;
    FIBER_TIMEOUT(a->timeout_ns);
    struct net_address address;
    a->result = routing_address(c->routing, call->node_id, &address);
    if (a->result == 0) {
        struct rpc_target to = { mgmtd_client_pool(c->mgmtd), &address, call->class };
        a->result = rpc_call(to, &storage_service, call->method, &call->options, call->request,
                             call->reply);
    }
    a->is_done = true;
    wait_queue_wake_all(&a->ended);
    return 0;
}

static int wait_a_while(struct wait_queue *q)
{
    FIBER_TIMEOUT(OBSOLETE_LOOK_NS);
    return wait_queue_wait(q, "answer of a storage");
}

static int attempt_wait(struct attempt *a)
{
    while (!a->is_done) {
        int r = wait_a_while(&a->ended);
        if (a->is_done) break;
        if (r == -ERR_CANCELED) return r;
        if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
        if (a->call->is_obsolete && a->call->is_obsolete(a->call)) return -ERR_NOT_AVAILABLE;
    }
    return a->result;
}

static int attempt_in_slots(struct attempt_call *call)
{
    struct attempt a = { .call = call };
    a.timeout_ns = MIN_OF(fiber_remaining_ns(), call->client->options.attempt_timeout_ns);
    wait_queue_init(&a.ended);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    int r = fiber_spawn(&scope, "storage-call", attempt_fiber, &a);
    return r < 0 ? r : attempt_wait(&a);
}

static bool is_gone(int r)
{
    return r == -ERR_RPC_CONNECT_FAILED || r == -ERR_RPC_SOCKET_CLOSED ||
           r == -ERR_RPC_SEND_FAILED || r == -ERR_RPC_REQUEST_REFUSED;
}

int attempt_run(struct attempt_call *call)
{
    struct storage_client *c = call->client;
    struct storage_peer *peer = client_peer(c, call->node_id);
    int r = fiber_semaphore_take(&peer->slots, 1);
    if (r < 0) return r;
    r = fiber_semaphore_take(&c->slots, 1);
    if (r == 0) {
        r = attempt_in_slots(call);
        fiber_semaphore_give(&c->slots, 1);
    }
    fiber_semaphore_give(&peer->slots, 1);
    if (is_gone(r)) {
        peer->shun_until_ns = node_now_ns(c->node) + SHUN_NS;
        *metrics_cell(c->node->metrics, "storage_client.found_gone") += 1;
    }
    if (r >= 0) peer->shun_until_ns = 0;
    /* A server that stops says so too; only we know whether we were cancelled. */
    return r == -ERR_CANCELED && !fiber_is_cancelled() ? -ERR_RPC_REQUEST_REFUSED : r;
}

bool head_is_obsolete(const struct attempt_call *call)
{
    const struct chain_info *chain = routing_chain(call->client->routing, call->chain_id);
    return !chain || chain_serving_count(chain) == 0 ||
           chain->members.items[0].node_id != call->node_id;
}

/* ---- calls to the head ---- */

/* What the head may say of a trouble that passes. */
static bool may_retry(int r)
{
    if (error_action(r) != ACTION_FAIL) return true;
    return r == -ERR_CHUNK_WRITE_FAILED || r == -ERR_CHUNK_READ_FAILED ||
           r == -ERR_MGMTD_NODE_NOT_FOUND || r == -ERR_FAULT_INJECTION ||
           r == error_from_errno(EIO); /* of its disk, which it gives up for that */
}

static int call_head_once(struct storage_client *c, struct attempt_call *call,
                          uint32_t *request_chain_version)
{
    const struct chain_info *chain = routing_chain(c->routing, call->chain_id);
    if (!chain) return -ERR_ROUTING_ERROR;
    if (chain_serving_count(chain) == 0) return -ERR_NOT_AVAILABLE;
    *request_chain_version = chain->version;
    call->node_id = chain->members.items[0].node_id;
    return attempt_run(call);
}

int head_call(struct storage_client *c, uint32_t chain_id, const struct rpc_method *method,
              enum rpc_class class, void *request, uint32_t *request_chain_version, void *reply,
              const struct rpc_options *options)
{
    struct backoff backoff = { 0 };
    uint32_t mismatch_count = 0;
    for (;;) {
        struct attempt_call call = { .client = c,
                                     .class = class,
                                     .method = method,
                                     .request = request,
                                     .reply = reply,
                                     .options = *options,
                                     .is_obsolete = head_is_obsolete,
                                     .chain_id = chain_id };
        int r = call_head_once(c, &call, request_chain_version);
        if (r >= 0) return r;
        if (fiber_is_cancelled()) return -ERR_CANCELED;
        /* Data may be damaged on its way; data that is wrong again and again is ours. */
        bool is_damaged = r == -ERR_CHECKSUM_MISMATCH && ++mismatch_count < 3;
        if (!may_retry(r) && !is_damaged) return r;
        int waited = backoff_wait(c, &backoff);
        if (waited < 0) return waited == -ERR_TIMEOUT ? r : waited;
        if (MUTANT(RETRY_UNDER_NEW_IDENTITY) && method == RPC_METHOD(storage, write))
            ((struct write_request *)request)->update.seq = ++c->seq;
    }
}

int chunks_query_last(struct storage_client *c, uint32_t chain_id, uint64_t inode,
                      uint32_t index_begin, uint64_t index_end, struct last_chunk_reply *ret)
{
    FIBER_TIMEOUT(c->options.total_timeout_ns);
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct chunk_range_request req = {
        .chain_id = chain_id, .inode = inode, .index_begin = index_begin, .index_end = index_end
    };
    int r = head_call(c, chain_id, RPC_METHOD(storage, query_last_chunk), RPC_CONTROL, &req,
                      &req.chain_version, ret, &options);
    return r < 0 ? r : 0;
}

int chunks_remove_range(struct storage_client *c, uint32_t chain_id, uint64_t inode,
                        uint32_t index_begin, uint64_t index_end, uint32_t generation,
                        uint64_t *ret_removed)
{
    uint64_t removed = 0;
    for (;;) {
        FIBER_TIMEOUT(c->options.total_timeout_ns);
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        struct rpc_options options = { .arena = &arena };
        struct chunk_range_request req = { .chain_id = chain_id,
                                           .inode = inode,
                                           .index_begin = index_begin,
                                           .index_end = index_end,
                                           .count_max = REMOVE_COUNT,
                                           .generation = generation,
                                           .update = { c->options.client, 0, c->seq + 1 } };
        c->seq += REMOVE_COUNT;
        struct remove_chunks_reply reply;
        int r = head_call(c, chain_id, RPC_METHOD(storage, remove_chunks), RPC_CONTROL, &req,
                          &req.chain_version, &reply, &options);
        if (r < 0) return r;
        removed += reply.removed_count;
        if (!reply.more) break;
    }
    if (ret_removed) *ret_removed = removed;
    return 0;
}

int chunks_set_floor(struct storage_client *c, uint32_t chain_id, uint64_t inode,
                     uint32_t generation)
{
    FIBER_TIMEOUT(c->options.total_timeout_ns);
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct set_floor_request req = { .chain_id = chain_id,
                                     .inode = inode,
                                     .generation = generation };
    struct empty_record reply;
    int r = head_call(c, chain_id, RPC_METHOD(storage, set_floor), RPC_CONTROL, &req,
                      &req.chain_version, &reply, &options);
    return r < 0 ? r : 0;
}

int chunks_query(struct storage_client *c, struct arena *arena, uint32_t chain_id,
                 struct chunk_id chunk, struct chunk_reply **ret, uint32_t *ret_count)
{
    FIBER_TIMEOUT(c->options.total_timeout_ns);
    const struct chain_info *chain = routing_chain(c->routing, chain_id);
    if (!chain) return -ERR_ROUTING_ERROR;
    uint32_t count = MIN_OF(chain->members.count, (uint32_t)CHAIN_TARGET_COUNT_MAX);
    struct chunk_reply *replies = arena_array(arena, struct chunk_reply, count);
    uint32_t nodes[CHAIN_TARGET_COUNT_MAX];
    for (uint32_t i = 0; i < count; i++) {
        replies[i].target_id = chain->members.items[i].target_id;
        nodes[i] = chain->members.items[i].node_id;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct chunk_request req = { .chain_id = chain_id, .chunk = chunk };
        struct chunk_reply reply;
        struct attempt_call call = { .client = c,
                                     .node_id = nodes[i],
                                     .class = RPC_CONTROL,
                                     .method = RPC_METHOD(storage, query_chunk),
                                     .request = &req,
                                     .reply = &reply,
                                     .options = { .arena = arena } };
        int r = attempt_run(&call);
        if (fiber_is_cancelled()) return -ERR_CANCELED;
        if (r >= 0) replies[i] = reply;
    }
    *ret = replies;
    *ret_count = count;
    return 0;
}
