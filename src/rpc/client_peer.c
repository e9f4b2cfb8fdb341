/* client_peer.c - a peer's fiber: connect, read replies, fail what is left when the connection
 * ends. */
#include "rpc/client.h"

#include "base/check.h"
#include "loop/loop.h"
#include "rpc/auth_proof.h"

/* ---- the table of pending calls: an id is a sequence number and a slot ---- */

enum { SLOT_BITS = 20 };

void pending_add(struct pending_table *t, struct rpc_pending *p)
{
    if (t->free_count == 0) {
        uint32_t capacity = t->capacity ? t->capacity * 2 : 16;
        check(capacity <= 1u << SLOT_BITS); /* far above the limit of fibers */
        t->slots = xrealloc(t->slots, capacity * sizeof(struct rpc_pending *));
        t->free = xrealloc(t->free, capacity * sizeof *t->free);
        for (uint32_t i = capacity; i-- > t->capacity;) {
            t->slots[i] = NULL;
            t->free[t->free_count++] = i;
        }
        t->capacity = capacity;
    }
    uint32_t slot = t->free[--t->free_count];
    t->slots[slot] = p;
    p->id = ++t->sequence << SLOT_BITS | slot;
}

struct rpc_pending *pending_find(const struct pending_table *t, uint64_t id)
{
    uint64_t slot = id & ((1u << SLOT_BITS) - 1);
    struct rpc_pending *p = slot < t->capacity ? t->slots[slot] : NULL;
    return p && p->id == id ? p : NULL;
}

void pending_remove(struct pending_table *t, struct rpc_pending *p)
{
    if (!p->id) return;
    uint32_t slot = p->id & ((1u << SLOT_BITS) - 1);
    check(t->slots[slot] == p);
    t->slots[slot] = NULL;
    t->free[t->free_count++] = slot;
    p->id = 0;
}

void pending_done(struct pending_table *t)
{
    check(t->free_count == t->capacity);
    free(t->slots);
    free(t->free);
}

static void pending_complete(struct rpc_pending *p, int status)
{
    p->status = status;
    p->is_receiving = false;
    wait_queue_wake_all(&p->moved);
    event_set(&p->done, 0);
}

/* ---- replies ---- */

/* Receives bulk data into the caller's memory, for as long as the caller waits; a rest is dropped.
 */
static int peer_receive_bulk(struct pool_peer *peer, struct rpc_pending *p, uint32_t size,
                             int status) fiber_fn
{
    uint32_t left = size;
    p->is_receiving = true;
    while (left > 0) {
        uint64_t now = sched_now_ns(loop_sched(peer->pool->node->loop));
        FIBER_TIMEOUT(p->deadline_ns > now ? p->deadline_ns - now : 0);
        ssize_t n = rpc_link_read_some(&peer->rpc_link, &p->sink, left);
        if (n == -ERR_TIMEOUT) break;
        if (n < 0) {
            pending_complete(p, -ERR_RPC_SOCKET_CLOSED);
            return (int)n;
        }
        left -= (uint32_t)n;
    }
    if (left == 0) {
        p->bulk_size = size;
        pending_complete(p, status);
        return 0;
    }
    p->is_receiving = false; /* the caller's deadline has passed: it leaves with that */
    wait_queue_wake_all(&p->moved);
    return rpc_link_skip(&peer->rpc_link, left);
}

static int peer_take_reply(struct pool_peer *peer, const struct rpc_frame *frame,
                           struct bytes body) fiber_fn
{
    struct rpc_pending *p = pending_find(&peer->pending, frame->request_id);
    if (!p) {
        ++*peer->pool->late_replies;
        return rpc_link_skip(&peer->rpc_link, frame->bulk_size);
    }
    if (p->service != frame->service || p->method != frame->method) return -ERR_RPC_INVALID_MESSAGE;
    pending_remove(&peer->pending, p);
    p->body = arena_copy(p->arena, body);
    int status = rpc_frame_status(frame);
    if (frame->bulk_size == 0) {
        pending_complete(p, status);
        return 0;
    }
    if (frame->bulk_size <= p->sink_bytes)
        return peer_receive_bulk(peer, p, frame->bulk_size, status);
    pending_complete(p, -ERR_RPC_VERIFY_RESPONSE);
    return rpc_link_skip(&peer->rpc_link, frame->bulk_size);
}

static int peer_read_loop(struct pool_peer *peer) fiber_fn
{
    static const struct rpc_frame_limits limits = { .body_size_max = RPC_BODY_BYTES_MAX,
                                                    .bulk_size_max = UINT32_MAX };
    for (;;) {
        struct rpc_frame frame;
        int r = rpc_link_read_frame(&peer->rpc_link, &limits, &frame);
        if (r < 0) return r;
        if (frame.kind == RPC_FRAME_PONG && frame.body_size == 0) continue;
        if (frame.kind != RPC_FRAME_REPLY) return -ERR_RPC_INVALID_MESSAGE;
        struct bytes body;
        cleanup_(freep) uint8_t *heap = NULL;
        r = rpc_link_read_body(&peer->rpc_link, &frame, &body, &heap);
        if (r < 0) return r;
        peer->has_answered = true;
        r = peer_take_reply(peer, &frame, body);
        if (r < 0) return r;
    }
}

/* ---- the connection ---- */

/* Devices for RDMA are not used by this release. */
static struct net_address peer_dial(struct pool_peer *peer)
{
    struct net_address address = peer->address;
    struct rpc_pool *pool = peer->pool;
    if (address.scheme == NET_RDMA && !pool->has_logged_rdma) {
        pool->has_logged_rdma = true;
        char text[256];
        log_warn(&pool->node->log, 0,
                 "rpc: %s is reached over TCP: this host has no RDMA device in use",
                 net_address_to_text(&address, text, sizeof text));
    }
    if (address.scheme != NET_UNIX) address.scheme = NET_TCP;
    return address;
}

static int peer_open(struct pool_peer *peer) fiber_fn
{
    struct rpc_pool *pool = peer->pool;
    uint64_t now = sched_now_ns(loop_sched(pool->node->loop));
    if (peer->try_after_ns > now) {
        int r = fiber_sleep(peer->try_after_ns - now);
        if (r < 0) return r;
    }
    FIBER_TIMEOUT(CLIENT_CONNECT_NS);
    struct net_address address = peer_dial(peer);
    struct stream *stream;
    int r = net_connect(pool->node, &address, &stream);
    if (r < 0) return r;
    rpc_link_init(&peer->rpc_link, pool->node, stream);
    peer->shown_count = pool->identity_count;
    r = handshake_as_client(&peer->rpc_link, &pool->identity);
    if (r == 0) r = rpc_link_start_writer(&peer->rpc_link);
    if (r < 0) rpc_link_done(&peer->rpc_link);
    return r;
}

/* No connection came about, or one that never answered: pause before the next attempt. */
static void peer_pause(struct pool_peer *peer)
{
    uint64_t now = sched_now_ns(loop_sched(peer->pool->node->loop));
    uint64_t pause = peer->pause_ns ? peer->pause_ns * 2 : CLIENT_PAUSE_MIN_NS;
    peer->pause_ns = MIN_OF(pause, (uint64_t)CLIENT_PAUSE_MAX_NS);
    peer->try_after_ns = now + peer->pause_ns;
}

static void peer_set_state(struct pool_peer *peer, enum peer_state state)
{
    peer->state = state;
    wait_queue_wake_all(&peer->changed);
}

/* After the link's end: no frame is on its way any more, so it is known what became of each. */
static void peer_fail_pending(struct pool_peer *peer, int r)
{
    for (uint32_t slot = 0; slot < peer->pending.capacity; slot++) {
        struct rpc_pending *p = peer->pending.slots[slot];
        if (!p) continue;
        int status = p->is_sent      ? -ERR_RPC_SOCKET_CLOSED
                     : p->is_started ? -ERR_RPC_SEND_FAILED
                                     : -ERR_RPC_CONNECT_FAILED;
        pending_remove(&peer->pending, p);
        pending_complete(p, r == -ERR_CANCELED ? r : status);
    }
}

static void peer_note_bad_frame(struct pool_peer *peer, int r)
{
    struct rpc_pool *pool = peer->pool;
    ++*pool->bad_frames;
    uint64_t now = sched_now_ns(loop_sched(pool->node->loop));
    if (now < pool->log_after_ns) return;
    pool->log_after_ns = now + SEC;
    log_warn(&pool->node->log, r, "rpc: bad frame from %s", stream_peer(peer->rpc_link.stream));
}

static void peer_serve(struct pool_peer *peer) fiber_fn
{
    peer->has_answered = false;
    peer->try_after_ns = 0;
    peer_set_state(peer, PEER_CONNECTED);
    int r = peer_read_loop(peer);
    if (r == -ERR_RPC_INVALID_MESSAGE || r == -ERR_FORMAT_TOO_NEW) peer_note_bad_frame(peer, r);
    peer_set_state(peer, PEER_CLOSING);
    rpc_link_done(&peer->rpc_link);
    peer_fail_pending(peer, r);
    if (peer->has_answered)
        peer->pause_ns = 0;
    else
        peer_pause(peer);
}

static int peer_main(void *arg) fiber_fn
{
    struct pool_peer *peer = arg;
    int r = peer_open(peer);
    peer->attempt_count++;
    peer->attempt_result = r;
    if (r == 0)
        peer_serve(peer);
    else
        peer_pause(peer);
    peer_set_state(peer, PEER_IDLE);
    return 0;
}

/* What a caller gets to know of a failed attempt: its request was surely not executed. */
static int peer_attempt_error(const struct pool_peer *peer)
{
    int r = peer->attempt_result;
    bool is_of_transport = r == -ERR_TIMEOUT || r == -ERR_RPC_SOCKET_CLOSED || r == -ERR_BUSY ||
                           r == -ERR_CANCELED || r <= -ERR_SYSTEM_BASE;
    if (peer->pool->is_closed) return -ERR_CANCELED;
    return is_of_transport ? -ERR_RPC_CONNECT_FAILED : r;
}

int peer_connected(struct pool_peer *peer)
{
    struct rpc_pool *pool = peer->pool;
    uint64_t attempt_count = peer->attempt_count;
    while (peer->state != PEER_CONNECTED || peer->rpc_link.is_broken) {
        if (pool->is_closed) return -ERR_CANCELED;
        if (peer->attempt_count != attempt_count && peer->attempt_result < 0)
            return peer_attempt_error(peer);
        attempt_count = peer->attempt_count;
        if (peer->state == PEER_IDLE) {
            int r = fiber_spawn(&pool->scope, "rpc client", peer_main, peer);
            if (r < 0) return r;
            peer_set_state(peer, PEER_CONNECTING);
        }
        int r = wait_queue_wait(&peer->changed, "connection");
        if (r < 0) return r == -ERR_TIMEOUT ? -ERR_RPC_CONNECT_FAILED : r;
    }
    return 0;
}
