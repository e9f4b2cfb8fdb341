/* local.c - calls to a server on the same loop: no socket, no checksums, the same meaning.
 *
 * Requests and replies are encoded and decoded as for a connection, so that neither side sees the
 * other's memory and a caller can leave at its deadline while the handler runs on. Bulk data is
 * copied once: into a buffer of the server's pool, or from what the handler pushed into the
 * caller's iovecs.
 *
 *   caller                              server_call, in server->local_calls
 *     makes the call, spawns it, waits
 *                                         copies bulk_out, runs the handler
 *     <- handed over ---------------------'   or, when the caller has left, released
 *     copies the reply, releases the call
 */
#include "base/check.h"
#include "loop/loop.h"
#include "rpc/auth_proof.h"
#include "rpc/client.h"
#include "rpc/server.h"

enum { COPY_SLICE_BYTES = 1 << 20 }; /* others run between slices */

struct local_caller {
    const struct iovec *bulk_out;
    int bulk_out_count;
    struct list link;  /* in pool->local_callers */
    struct event done; /* leave: with the call's result if it is answered */
    bool is_answered;  /* the call is the caller's to release */
};

/* ---- the servers of a loop: a list that hangs off it ---- */

void server_register(struct rpc_server *server)
{
    void **slot = loop_rpc_slot(server->node->loop);
    server->next_local = *slot;
    *slot = server;
}

void server_unregister(struct rpc_server *server)
{
    void **slot = loop_rpc_slot(server->node->loop);
    if (*slot == server) {
        *slot = server->next_local;
        return;
    }
    for (struct rpc_server *s = *slot; s; s = s->next_local) {
        if (s->next_local == server) s->next_local = server->next_local;
    }
}

static bool host_is_any(const char *host)
{
    return !strcmp(host, "0.0.0.0") || !strcmp(host, "::");
}

static bool host_is_loopback(const char *host)
{
    return !strcmp(host, "127.0.0.1") || !strcmp(host, "::1") || !strcmp(host, "localhost");
}

static bool address_reaches(const struct net_address *to, const struct net_address *at)
{
    bool is_by_path = to->scheme == NET_UNIX || to->scheme == NET_LOCAL;
    if (to->port != at->port || (is_by_path && to->scheme != at->scheme)) return false;
    if (!strcmp(to->host, at->host)) return is_by_path || at->scheme != NET_UNIX;
    return !is_by_path && host_is_any(at->host) && host_is_loopback(to->host);
}

struct rpc_server *server_find_local(struct node *node, const struct net_address *address)
{
    for (struct rpc_server *s = *loop_rpc_slot(node->loop); s; s = s->next_local) {
        if (s->node->machine != node->machine) continue;
        for (size_t i = 0; i < s->address_count; i++) {
            if (address_reaches(address, &s->addresses[i])) return s;
        }
    }
    return NULL;
}

/* ---- the server's side ---- */

static void local_leave(struct rpc_server *server)
{
    if (server->local_count-- == SERVER_LOCAL_CALL_COUNT_MAX)
        wait_queue_wake_all(&server->local_room);
    if (server->local_count == 0) wait_queue_wake_all(&server->local_idle);
}

static void local_release(struct server_call *c)
{
    struct rpc_server *server = c->server;
    server_call_release(c);
    local_leave(server);
}

/* Copies the caller's bulk data while the caller is there. -ERR_CANCELED when it has left. */
static int local_take_bulk(struct server_call *c, size_t size) fiber_fn
{
    uint64_t now = sched_now_ns(loop_sched(c->server->node->loop));
    FIBER_TIMEOUT(c->deadline_ns > now ? c->deadline_ns - now : 0);
    bool is_server = c->peer.kind == AUTH_SERVER;
    int r = is_server ? buffer_take(c->server->pool, size, &c->call.bulk)
                      : buffer_take_for_client(c->server->pool, size, &c->call.bulk);
    if (r < 0) return r == -ERR_TIMEOUT ? -ERR_BUSY : r;
    size_t done = 0, slice = 0;
    for (int i = 0; c->caller && i < c->caller->bulk_out_count; i++) {
        for (size_t at = 0; c->caller && at < c->caller->bulk_out[i].iov_len;) {
            const struct iovec *piece = &c->caller->bulk_out[i];
            size_t n = MIN_OF(piece->iov_len - at, COPY_SLICE_BYTES - slice);
            memcpy(c->call.bulk->base + done, (const char *)piece->iov_base + at, n);
            at += n;
            done += n;
            slice += n;
            if (slice == COPY_SLICE_BYTES && done < size) {
                slice = 0;
                fiber_yield();
            }
        }
    }
    c->call.bulk_size = (uint32_t)size;
    return c->caller ? 0 : -ERR_CANCELED;
}

static size_t local_bulk_bytes(const struct local_caller *caller)
{
    size_t size = 0;
    for (int i = 0; caller && i < caller->bulk_out_count; i++) {
        size += caller->bulk_out[i].iov_len;
    }
    return size;
}

static int local_main(void *arg) fiber_fn
{
    struct server_call *c = arg;
    size_t bulk_size = local_bulk_bytes(c->caller);
    int r = 0;
    if (bulk_size > c->server->options.bulk_size_max) r = -ERR_RPC_INVALID_MESSAGE;
    if (r == 0 && bulk_size) r = local_take_bulk(c, bulk_size);
    if (r == 0)
        server_call_execute(c);
    else
        server_call_fail(c, r, NULL);
    if (fiber_is_cancelled())
        server_call_fail(c, -ERR_RPC_SOCKET_CLOSED, NULL); /* the server ends */
    if (!c->caller) {
        local_release(c);
        return 0;
    }
    c->caller->is_answered = true;
    event_set(&c->caller->done, 0);
    return 0;
}

/* ---- the caller's side ---- */

void pool_release_local(struct rpc_pool *pool)
{
    list_for_each (it, &pool->local_callers) {
        event_set(&list_entry(it, struct local_caller, link)->done, -ERR_CANCELED);
    }
}

/* Who the peer is to @server, found out once for each pair of them. */
static int local_authenticate(struct pool_peer *peer, struct rpc_server *server) fiber_fn
{
    struct node *node = server->node;
    uint64_t incarnation = server->incarnation, shown_count = peer->pool->identity_count;
    struct auth_peer auth;
    server->local_count++; /* keeps the server and what its keys borrow */
    int r;
    {
        FIBER_TIMEOUT(SERVER_HANDSHAKE_NS);
        r = handshake_local(server->options.keys, &peer->pool->identity, node_wall_ns(node), &auth);
    }
    if (r < 0) {
        ++*server->auth_failures;
        server_log_peer(server, r, "this process", "handshake failed");
    } else {
        peer->local_incarnation = incarnation;
        peer->shown_count = shown_count;
        peer->local_auth = auth;
    }
    local_leave(server);
    return r;
}

/* A server that takes a call now, or NULL in *ret when there is none at the address. */
static int local_enter(struct pool_peer *peer, struct rpc_server **ret) fiber_fn
{
    for (;;) {
        struct rpc_server *server = server_find_local(peer->pool->node, &peer->address);
        *ret = server;
        if (!server) return 0;
        int r;
        bool is_known = peer->local_incarnation == server->incarnation &&
                        peer->shown_count == peer->pool->identity_count;
        if (!is_known)
            r = local_authenticate(peer, server);
        else if (server->local_count >= SERVER_LOCAL_CALL_COUNT_MAX)
            r = wait_queue_wait(&server->local_room, "room for a request");
        else
            return 0;
        if (r < 0) return r;
    }
}

static int local_encode(struct server_call *c, const struct rpc_method *method, const void *request)
{
    uint8_t bytes[1024];
    struct wire_out out = wire_out_lent(bytes, sizeof bytes);
    method->request_put(&out, request);
    bool has_failed = out.failed;
    if (!has_failed) c->body = arena_copy(&c->arena, wire_out_bytes(&out));
    wire_out_free(&out);
    return has_failed ? -ERR_INVALID_ARG : 0;
}

/* Copies what the handler pushed into the caller's iovecs. */
static int local_give_bulk(const struct server_call *c, const struct rpc_options *options,
                           uint32_t *ret_size) fiber_fn
{
    size_t room = 0, size = 0, slice = 0;
    for (int i = 0; i < options->bulk_in_count; i++) {
        room += options->bulk_in[i].iov_len;
    }
    for (int i = 0; i < c->call.reply_bulk_count; i++) {
        size += c->call.reply_bulk[i].iov_len;
    }
    if (size > room) return -ERR_RPC_VERIFY_RESPONSE;
    int to = 0;
    size_t to_at = 0;
    for (int from = 0; from < c->call.reply_bulk_count; from++) {
        struct iovec piece = c->call.reply_bulk[from];
        for (size_t at = 0; at < piece.iov_len;) {
            while (to_at == options->bulk_in[to].iov_len) {
                to++;
                to_at = 0;
            }
            size_t n = MIN_OF(piece.iov_len - at, options->bulk_in[to].iov_len - to_at);
            n = MIN_OF(n, COPY_SLICE_BYTES - slice);
            memcpy((char *)options->bulk_in[to].iov_base + to_at, (char *)piece.iov_base + at, n);
            at += n;
            to_at += n;
            slice += n;
            if (slice == COPY_SLICE_BYTES) {
                slice = 0;
                fiber_yield();
            }
        }
    }
    *ret_size = (uint32_t)size;
    return 0;
}

static int local_take_reply(struct server_call *c, const struct rpc_method *method,
                            const struct rpc_options *options, void *reply) fiber_fn
{
    struct bytes frame = wire_out_bytes(&c->reply);
    struct bytes body = bytes_of(frame.base + RPC_FRAME_BYTES, frame.size - RPC_FRAME_BYTES);
    uint32_t bulk_size = 0;
    int r = local_give_bulk(c, options, &bulk_size);
    if (r < 0) return r;
    if (c->status >= 0) body = arena_copy(options->arena, body);
    return rpc_finish(method, options, c->status, body, bulk_size, reply);
}

int rpc_call_local(struct pool_peer *peer, const struct rpc_service *service,
                   const struct rpc_method *method, const struct rpc_options *options,
                   const void *request, void *reply, bool *ret_is_local)
{
    struct rpc_server *server;
    int r = local_enter(peer, &server);
    *ret_is_local = r < 0 || server;
    if (r < 0) return r;
    if (!server) return -ERR_RPC_CONNECT_FAILED;

    struct local_caller caller = { .bulk_out = options->bulk_out,
                                   .bulk_out_count = options->bulk_out_count };
    event_init(&caller.done);
    struct server_call *c = server_call_new(server, NULL);
    server->local_count++;
    c->caller = &caller;
    c->peer = peer->local_auth;
    c->call.peer_text = "local";
    c->deadline_ns = fiber_deadline_ns();
    r = server_call_route(c, service->id, method->id);
    if (r == 0) r = local_encode(c, method, request);
    if (r == 0) r = fiber_spawn(&server->local_calls, c->method->name, local_main, c);
    if (r < 0) {
        local_release(c);
        return r;
    }
    list_push_back(&peer->pool->local_callers, &caller.link);
    r = event_wait(&caller.done, "local reply");
    list_remove(&caller.link);
    if (!caller.is_answered) {
        c->caller = NULL; /* the call runs on and releases itself */
        return r;
    }
    r = local_take_reply(c, method, options, reply);
    local_release(c);
    return r;
}
