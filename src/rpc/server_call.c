/* server_call.c - one call on the server: routing, decoding, the handler, the reply.
 *
 * Call objects are reused; the first 4 KiB of a call's arena are inside of it, so that a small call
 * allocates nothing.
 */
#include "rpc/server.h"

#include "base/check.h"
#include "loop/loop.h"
#include <stdarg.h>

struct server_call *server_call_new(struct rpc_server *server, struct server_conn *conn)
{
    struct list *node = list_pop_front(&server->free_calls);
    struct server_call *c =
        node ? list_entry(node, struct server_call, link) : xmalloc(sizeof(struct server_call));
    if (node) server->free_call_count--;
    memset(c, 0, offsetof(struct server_call, reply_bytes));
    c->call.node = server->node;
    c->call.arena = &c->arena;
    c->call.peer = &c->peer;
    list_init(&c->link);
    list_init(&c->send.link);
    c->server = server;
    c->conn = conn;
    c->arena.pos = c->arena_bytes;
    c->arena.end = c->arena_bytes + sizeof c->arena_bytes;
    server->running_count++;
    ++*server->requests;
    if (conn) {
        conn->running_count++;
        c->peer = conn->peer;
        c->call.peer_text = stream_peer(conn->link.stream);
    }
    return c;
}

static void call_push_done(struct server_call *c)
{
    void (*done)(void *) = c->call.reply_done;
    c->call.reply_done = NULL;
    if (done) done(c->call.reply_done_arg);
}

void server_call_release(struct server_call *c)
{
    struct rpc_server *server = c->server;
    call_push_done(c);
    c->call.bulk = buffer_give(c->call.bulk);
    if (c->body_heap) {
        fiber_semaphore_give(&server->body_bytes, c->body.size);
        free(c->body_heap);
    }
    wire_out_free(&c->reply);
    arena_done(&c->arena);
    if (c->conn && c->conn->running_count-- == server->options.request_count_max)
        wait_queue_wake_all(&c->conn->room);
    if (--server->running_count == 0) wait_queue_wake_all(&server->idle);
    if (server->free_call_count < SERVER_FREE_CALL_COUNT_MAX) {
        list_push_front(&server->free_calls, &c->link);
        server->free_call_count++;
    } else {
        free(c);
    }
}

int server_call_route(struct server_call *c, uint16_t service_id, uint16_t method_id)
{
    struct rpc_server *server = c->server;
    c->service_id = service_id;
    c->call.method = method_id;
    for (size_t i = 0; i < server->service_count && !c->service; i++) {
        if (server->services[i].service->id == service_id) c->service = &server->services[i];
    }
    /* A server that has none yet is starting: its callers come again. */
    if (!c->service)
        return server->service_count ? -ERR_RPC_INVALID_SERVICE : -ERR_RPC_REQUEST_REFUSED;
    const struct rpc_service *service = c->service->service;
    for (size_t i = 0; i < service->method_count && !c->method; i++) {
        if (service->methods[i].id == method_id) c->method = &service->methods[i];
    }
    return c->method ? 0 : -ERR_RPC_INVALID_METHOD;
}

/* The room for the header before the reply's body. */
static void reply_begin(struct server_call *c)
{
    wire_out_free(&c->reply);
    c->reply = wire_out_lent(c->reply_bytes, sizeof c->reply_bytes);
    check(wire_reserve(&c->reply, RPC_FRAME_BYTES));
}

void server_call_fail(struct server_call *c, int r, const char *text)
{
    check(r < 0);
    c->status = r;
    c->call.reply_bulk_count = 0;
    reply_begin(c);
    size_t size = text ? strlen(text) : 0;
    uint8_t *p = wire_reserve(&c->reply, size);
    if (p && size) memcpy(p, text, size);
}

/* What a user showed at connect may be void by now. */
static bool is_revoked(const struct server_call *c)
{
    const struct auth_keys *keys = c->server->options.keys;
    bool is_user = c->peer.kind == AUTH_CAPABILITY || c->peer.kind == AUTH_TOKEN;
    return is_user && keys && keys->is_revoked && keys->is_revoked(keys->is_revoked_arg, &c->peer);
}

static int call_handler(struct server_call *c, const void *request, void *reply) fiber_fn
{
    rpc_handler handler;
    memcpy(&handler, (const char *)c->service->handlers + c->method->handler_offset,
           sizeof handler);
    if (!handler) return -ERR_NOT_IMPLEMENTED;
    if (is_revoked(c))
        return rpc_fail(&c->call, -ERR_AUTH_REVOKED, "user %u was removed, or changed since",
                        c->peer.uid);
    struct sched *sched = loop_sched(c->server->node->loop);
    uint64_t begin = sched_now_ns(sched);
    if (begin >= c->deadline_ns) return -ERR_TIMEOUT;
    const struct method_cells *cells = &c->service->cells[c->method - c->service->service->methods];
    FIBER_TIMEOUT(c->deadline_ns - begin);
    int r = handler(c->service->self, &c->call, request, reply);
    ++*cells->calls;
    if (r < 0) ++*cells->errors;
    *cells->busy_ns += sched_now_ns(sched) - begin;
    return r;
}

void server_call_execute(struct server_call *c)
{
    const struct rpc_method *method = c->method;
    void *request = arena_zalloc(&c->arena, method->request_size);
    void *reply = arena_zalloc(&c->arena, method->reply_size);
    struct wire_in in = wire_in_of(c->body, &c->arena);
    method->request_get(&in, request);
    if (in.failed || in.pos != in.end) {
        server_call_fail(c, -ERR_RPC_VERIFY_REQUEST, NULL);
        return;
    }
    int r = call_handler(c, request, reply);
    if (r < 0) {
        server_call_fail(c, r, c->call.error_text);
        return;
    }
    c->status = r;
    reply_begin(c);
    method->reply_put(&c->reply, reply);
    if (c->reply.failed) {
        log_error(&c->server->node->log, -ERR_FOUND_BUG, "%s.%s: the reply is larger than %u bytes",
                  c->service->service->name, method->name, RPC_BODY_BYTES_MAX);
        server_call_fail(c, -ERR_FOUND_BUG, "the reply is too large");
    }
}

static void call_sent(struct rpc_send *send, int r)
{
    server_call_release(container_of(send, struct server_call, send));
}

void server_call_send(struct server_call *c)
{
    uint64_t bulk_size = 0;
    for (int i = 0; i < c->call.reply_bulk_count; i++) {
        bulk_size += c->call.reply_bulk[i].iov_len;
    }
    struct bytes frame = wire_out_bytes(&c->reply);
    struct rpc_frame header = { .kind = RPC_FRAME_REPLY,
                                .service = c->service_id,
                                .method = c->call.method,
                                .status = c->status,
                                .request_id = c->request_id,
                                .bulk_size = (uint32_t)bulk_size };
    rpc_frame_seal(&header, bytes_of(frame.base + RPC_FRAME_BYTES, frame.size - RPC_FRAME_BYTES));
    memcpy(c->reply.start, &header, sizeof header);
    c->send.frame = frame;
    c->send.bulk = c->call.reply_bulk;
    c->send.bulk_count = c->call.reply_bulk_count;
    c->send.done = call_sent;
    if (rpc_link_send(&c->conn->link, &c->send) < 0) server_call_release(c);
}

int server_call_main(void *arg)
{
    struct server_call *c = arg;
    server_call_execute(c);
    server_call_send(c);
    return 0;
}

/* ---- what handlers call ---- */

void rpc_push(struct rpc_call *call, const struct iovec *iov, int count, void (*done)(void *arg),
              void *arg)
{
    check(call->reply_bulk_count == 0 && !call->reply_done);
    check(count >= 0 && count <= RPC_REPLY_IOV_MAX);
    uint64_t size = 0;
    for (int i = 0; i < count; i++) {
        call->reply_bulk[i] = iov[i];
        size += iov[i].iov_len;
    }
    check(size <= UINT32_MAX);
    call->reply_bulk_count = count;
    call->reply_done = done;
    call->reply_done_arg = arg;
}

int rpc_fail(struct rpc_call *call, int r, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    call->error_text = arena_text(call->arena, bytes_of_text(text));
    return r;
}
