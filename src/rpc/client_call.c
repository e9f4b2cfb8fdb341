/* client_call.c - one call, from the caller's side.
 *
 * The caller leaves at its deadline whatever the connection does, but never while others still use
 * its memory: a frame with bulk data that is being written, or a reply being received into its
 * iovecs, first has to let go. Normally that takes no time; a connection that is stuck in the
 * middle is broken for it.
 */
#include "rpc/client.h"

#include "base/check.h"
#include "loop/loop.h"
#include <errno.h>

int rpc_finish(const struct rpc_method *method, const struct rpc_options *options, int status,
               struct bytes body, uint32_t bulk_size, void *reply)
{
    if (status < 0) {
        if (options->ret_error_text && body.size)
            *options->ret_error_text = arena_text(options->arena, body);
        return status;
    }
    struct wire_in in = wire_in_of(body, options->arena);
    method->reply_get(&in, reply);
    if (in.failed || in.pos != in.end) return -ERR_RPC_VERIFY_RESPONSE;
    if (options->ret_bulk_in_size) *options->ret_bulk_in_size = bulk_size;
    return status;
}

static uint64_t iov_bytes(const struct iovec *iov, int count)
{
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        bytes += iov[i].iov_len;
    }
    return bytes;
}

/* Encodes the request's frame; @p has its id already. */
static int call_encode(struct client_send *s, const struct rpc_pending *p,
                       const struct rpc_method *method, const struct rpc_options *options,
                       const void *request)
{
    uint64_t bulk_size = iov_bytes(options->bulk_out, options->bulk_out_count);
    check(wire_reserve(&s->out, RPC_FRAME_BYTES));
    method->request_put(&s->out, request);
    if (s->out.failed || bulk_size > UINT32_MAX) return -ERR_INVALID_ARG;
    s->send.frame = wire_out_bytes(&s->out);
    s->send.bulk = options->bulk_out;
    s->send.bulk_count = options->bulk_out_count;
    struct rpc_frame header = { .kind = RPC_FRAME_REQUEST,
                                .service = p->service,
                                .method = p->method,
                                .request_id = p->id,
                                .remaining_us = fiber_remaining_ns() / USEC,
                                .bulk_size = (uint32_t)bulk_size };
    struct bytes frame = s->send.frame;
    rpc_frame_seal(&header, bytes_of(frame.base + RPC_FRAME_BYTES, frame.size - RPC_FRAME_BYTES));
    memcpy(s->out.start, &header, sizeof header);
    return 0;
}

static void peer_ping(struct pool_peer *peer, uint64_t now)
{
    peer->pinged_ns = now;
    struct client_send *s = client_send_new(peer->pool, NULL);
    struct rpc_frame frame = { .kind = RPC_FRAME_PING };
    rpc_frame_seal(&frame, bytes_of(NULL, 0));
    memcpy(wire_reserve(&s->out, sizeof frame), &frame, sizeof frame);
    s->send.frame = wire_out_bytes(&s->out);
    if (rpc_link_send(&peer->rpc_link, &s->send) < 0) client_send_free(s);
}

/* Called while @p waits: asks a silent connection for a sign of life, breaks one that gives none.
 */
static void peer_check_silence(struct pool_peer *peer, const struct rpc_pending *p)
{
    if (peer->state != PEER_CONNECTED) return;
    uint64_t now = sched_now_ns(loop_sched(peer->pool->node->loop));
    uint64_t heard = MAX_OF(peer->rpc_link.received_ns, p->begin_ns);
    if (now - heard >= CLIENT_SILENCE_NS) {
        ++*peer->pool->resets;
        rpc_link_break(&peer->rpc_link);
    } else if (now - heard >= CLIENT_PING_NS && now - peer->pinged_ns >= CLIENT_PING_NS) {
        peer_ping(peer, now);
    }
}

/* 0 when p->status is there; else why the caller leaves. */
static int call_wait(struct pool_peer *peer, struct rpc_pending *p) fiber_fn
{
    for (;;) {
        int r;
        {
            FIBER_TIMEOUT(CLIENT_PING_NS);
            r = event_wait(&p->done, "rpc reply");
        }
        if (p->done.is_set) return 0;
        if (r == -ERR_CANCELED) return r;
        if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
        peer_check_silence(peer, p);
    }
}

static bool call_is_held(const struct rpc_pending *p)
{
    return p->is_receiving || p->send;
}

/* Waits until nobody uses the caller's memory. */
static void call_let_go(struct pool_peer *peer, struct rpc_pending *p) fiber_fn
{
    struct client_send *s = p->send;
    if (s && !s->send.is_started) {
        rpc_link_unsend(&s->send);
        client_send_free(s);
        p->send = NULL;
    } else if (s && s->send.bulk_count == 0) {
        s->owner = NULL;
        p->send = NULL;
    }
    if (!call_is_held(p)) return;
    FIBER_SHIELD();
    {
        FIBER_TIMEOUT(CLIENT_LET_GO_NS);
        while (call_is_held(p)) {
            if (wait_queue_wait(&p->moved, "own memory") < 0) break;
        }
    }
    if (call_is_held(p)) rpc_link_break(&peer->rpc_link);
    while (call_is_held(p)) {
        int r = wait_queue_wait(&p->moved, "own memory");
        check(r == 0);
    }
}

static int call_remote(struct pool_peer *peer, const struct rpc_service *service,
                       const struct rpc_method *method, const struct rpc_options *options,
                       const void *request, void *reply) fiber_fn
{
    int r = peer_connected(peer);
    if (r < 0) return r;
    struct rpc_pending p = { .service = service->id,
                             .method = method->id,
                             .arena = options->arena,
                             .sink = { .iov = options->bulk_in, .count = options->bulk_in_count },
                             .sink_bytes = iov_bytes(options->bulk_in, options->bulk_in_count),
                             .begin_ns = sched_now_ns(loop_sched(peer->pool->node->loop)),
                             .deadline_ns = fiber_deadline_ns() };
    event_init(&p.done);
    wait_queue_init(&p.moved);
    p.send = client_send_new(peer->pool, &p);
    pending_add(&peer->pending, &p);
    r = call_encode(p.send, &p, method, options, request);
    if (r == 0) r = rpc_link_send(&peer->rpc_link, &p.send->send);
    if (r < 0) {
        pending_remove(&peer->pending, &p);
        client_send_free(p.send);
        return r;
    }
    r = call_wait(peer, &p);
    pending_remove(&peer->pending, &p);
    call_let_go(peer, &p);
    if (!p.done.is_set) return r;
    return rpc_finish(method, options, p.status, p.body, p.bulk_size, reply);
}

static int call_once(struct pool_peer *peer, const struct rpc_service *service,
                     const struct rpc_method *method, const struct rpc_options *options,
                     const void *request, void *reply) fiber_fn
{
    bool is_local = false;
    int r = rpc_call_local(peer, service, method, options, request, reply, &is_local);
    if (!is_local && peer->address.scheme != NET_LOCAL)
        r = call_remote(peer, service, method, options, request, reply);
    return r;
}

/* What identity number @shown_count was given is void since: there is another one when this
 * returns 0. Those who come at the same time share it. */
static int pool_renew(struct rpc_pool *pool, uint64_t shown_count) fiber_fn
{
    int r = fiber_mutex_lock(&pool->renewing);
    if (r < 0) return r;
    if (pool->identity_count == shown_count && pool->renew) r = pool->renew(pool->renew_arg);
    if (r == 0 && pool->identity_count == shown_count) pool->identity_count++; /* as it is, anew */
    fiber_mutex_unlock(&pool->renewing);
    return r;
}

/* For a call that was refused, and so not executed: its peer is connected anew, with what the pool
 * has now. */
static int peer_renew(struct pool_peer *peer) fiber_fn
{
    struct rpc_pool *pool = peer->pool;
    int r = pool_renew(pool, peer->shown_count);
    if (r < 0) return error_to_errno(r) == EACCES ? -ERR_AUTH_FAIL : r;
    if (peer->state == PEER_CONNECTED && peer->shown_count != pool->identity_count)
        rpc_link_break(&peer->rpc_link);
    return 0;
}

int rpc_call(struct rpc_target target, const struct rpc_service *service,
             const struct rpc_method *method, const struct rpc_options *options,
             const void *request, void *reply)
{
    struct rpc_pool *pool = target.pool;
    check(fiber_self() && options->arena);
    FIBER_TIMEOUT(options->timeout_ns ? options->timeout_ns : CLIENT_TIMEOUT_NS);
    if (fiber_is_cancelled() || pool->is_closed) return -ERR_CANCELED;
    if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;

    pool->call_count++;
    struct pool_peer *peer = pool_get_peer(pool, target.address, target.class);
    int r = call_once(peer, service, method, options, request, reply);
    /* The connection may be older than what the pool has, and that void, too. */
    for (int i = 0; i < 2 && r == -ERR_AUTH_REVOKED; i++) {
        r = peer_renew(peer);
        if (r == 0) r = call_once(peer, service, method, options, request, reply);
    }
    if (r == -ERR_AUTH_REVOKED) r = -ERR_AUTH_FAIL;
    if (--pool->call_count == 0) wait_queue_wake_all(&pool->idle);
    return r;
}
