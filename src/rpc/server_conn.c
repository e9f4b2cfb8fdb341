/* server_conn.c - the reading fiber of one accepted connection. */
#include "base/check.h"
#include "loop/loop.h"
#include "rpc/auth_proof.h"
#include "rpc/server.h"

#define REMAINING_US_MAX (24 * 3600 * SEC / USEC)

void server_log_peer(struct rpc_server *server, int r, const char *peer, const char *what)
{
    uint64_t now = sched_now_ns(loop_sched(server->node->loop));
    if (now < server->log_after_ns) return;
    server->log_after_ns = now + SEC;
    log_warn(&server->node->log, r, "rpc: connection from %s: %s", peer, what);
}

static int conn_handshake(struct server_conn *conn) fiber_fn
{
    struct rpc_server *server = conn->server;
    int r;
    {
        FIBER_TIMEOUT(SERVER_HANDSHAKE_NS);
        r = handshake_as_server(&conn->link, server->options.keys, &conn->peer);
    }
    server->handshake_count--;
    wait_queue_wake_all(&server->accept_room);
    bool is_quiet = r >= 0 || r == -ERR_RPC_SOCKET_CLOSED || r == -ERR_CANCELED;
    if (!is_quiet && r != -ERR_RPC_INVALID_MESSAGE && r != -ERR_FORMAT_TOO_NEW) {
        ++*server->auth_failures;
        server_log_peer(server, r, stream_peer(conn->link.stream), "handshake failed");
    }
    return r;
}

/* Consumes the frame's body into @c. */
static int conn_read_body(struct server_conn *conn, const struct rpc_frame *frame,
                          struct server_call *c) fiber_fn
{
    bool is_large = frame->body_size > RPC_LINK_BUFFER_BYTES;
    if (is_large) {
        int r = fiber_semaphore_take(&conn->server->body_bytes, frame->body_size);
        if (r < 0) return r;
    }
    struct bytes body;
    uint8_t *heap = NULL;
    int r = rpc_link_read_body(&conn->link, frame, &body, &heap);
    check(r < 0 || is_large == (heap != NULL));
    if (r < 0) {
        if (is_large) fiber_semaphore_give(&conn->server->body_bytes, frame->body_size);
        return r;
    }
    c->body_heap = heap;
    c->body = heap ? body : arena_copy(&c->arena, body);
    return 0;
}

/* Consumes the bulk data into a buffer, or drops it. 0, or the status to answer with in
 * *ret_status. */
static int conn_read_bulk(struct server_conn *conn, uint32_t size, struct server_call *c,
                          int *ret_status) fiber_fn
{
    struct buffer_pool *pool = conn->server->pool;
    if (*ret_status == 0) {
        uint64_t now = sched_now_ns(loop_sched(conn->server->node->loop));
        uint64_t left = c->deadline_ns > now ? c->deadline_ns - now : 0;
        FIBER_TIMEOUT(MIN_OF(left, (uint64_t)SERVER_BULK_WAIT_NS));
        bool is_server = conn->peer.kind == AUTH_SERVER;
        int r = is_server ? buffer_take(pool, size, &c->call.bulk)
                          : buffer_take_for_client(pool, size, &c->call.bulk);
        if (r == -ERR_CANCELED) return r;
        if (r < 0) *ret_status = r == -ERR_TIMEOUT ? -ERR_BUSY : r;
    }
    if (*ret_status < 0) return rpc_link_skip(&conn->link, size);
    c->call.bulk_size = size;
    return rpc_link_read_bulk(&conn->link, c->call.bulk->base, size);
}

static int conn_read_request(struct server_conn *conn, const struct rpc_frame *frame,
                             struct server_call *c) fiber_fn
{
    struct rpc_server *server = conn->server;
    uint64_t remaining_us = MIN_OF(frame->remaining_us, (uint64_t)REMAINING_US_MAX);
    c->request_id = frame->request_id;
    c->deadline_ns = sched_now_ns(loop_sched(server->node->loop)) + remaining_us * USEC;
    int status = server_call_route(c, frame->service, frame->method);
    if (server->is_stopping) status = -ERR_RPC_REQUEST_REFUSED;
    int r = conn_read_body(conn, frame, c);
    if (r == 0 && frame->bulk_size) r = conn_read_bulk(conn, frame->bulk_size, c, &status);
    if (r < 0) return r;

    if (status == 0) {
        r = fiber_spawn(&conn->calls, c->method->name, server_call_main, c);
        if (r == 0) return 0;
        status = -ERR_BUSY;
    }
    server_call_fail(c, status, NULL);
    server_call_send(c);
    return 0;
}

static void pong_sent(struct rpc_send *send, int r)
{
    container_of(send, struct server_conn, pong)->is_ponging = false;
}

/* One answer at a time: who asks more often than it reads gets fewer. */
static int conn_pong(struct server_conn *conn)
{
    if (conn->is_ponging) return 0;
    struct rpc_frame frame = { .kind = RPC_FRAME_PONG };
    rpc_frame_seal(&frame, bytes_of(NULL, 0));
    memcpy(conn->pong_frame, &frame, sizeof frame);
    conn->pong = (struct rpc_send){ .frame = bytes_of(conn->pong_frame, sizeof conn->pong_frame),
                                    .done = pong_sent };
    int r = rpc_link_send(&conn->link, &conn->pong);
    conn->is_ponging = r == 0;
    return r;
}

static int conn_read_loop(struct server_conn *conn) fiber_fn
{
    struct rpc_server *server = conn->server;
    const struct rpc_frame_limits limits = { .body_size_max = RPC_BODY_BYTES_MAX,
                                             .bulk_size_max = server->options.bulk_size_max };
    for (;;) {
        while (conn->running_count >= server->options.request_count_max) {
            int r = wait_queue_wait(&conn->room, "room for a request");
            if (r < 0) return r;
        }
        struct rpc_frame frame;
        int r = rpc_link_read_frame(&conn->link, &limits, &frame);
        if (r < 0) return r;
        if (frame.kind == RPC_FRAME_PING && frame.body_size == 0) {
            r = conn_pong(conn);
        } else if (frame.kind == RPC_FRAME_REQUEST) {
            struct server_call *c = server_call_new(server, conn);
            r = conn_read_request(conn, &frame, c);
            if (r < 0) server_call_release(c);
        } else {
            r = -ERR_RPC_INVALID_MESSAGE;
        }
        if (r < 0) return r;
    }
}

static void conn_free(struct server_conn *conn) fiber_fn
{
    struct rpc_server *server = conn->server;
    rpc_link_break(&conn->link);
    int r = scope_wait(&conn->calls); /* they run on; only the end of the server cancels them */
    if (r < 0) scope_done(&conn->calls);
    rpc_link_done(&conn->link);
    check(conn->running_count == 0);
    free(conn);
    *server->connections = --server->connection_count;
    wait_queue_wake_all(&server->accept_room);
}

int server_conn_main(void *arg)
{
    struct server_conn *conn = arg;
    struct rpc_server *server = conn->server;
    int r = conn_handshake(conn);
    if (r == 0) r = rpc_link_start_writer(&conn->link);
    if (r == 0) r = conn_read_loop(conn);
    if (r == -ERR_RPC_INVALID_MESSAGE || r == -ERR_FORMAT_TOO_NEW) {
        ++*server->bad_frames;
        server_log_peer(server, r, stream_peer(conn->link.stream), "bad frame");
    }
    conn_free(conn);
    return 0;
}
