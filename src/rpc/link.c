/* link.c - see link.h. */
#include "rpc/link.h"

#include "base/arena.h"
#include "base/check.h"
#include "loop/loop.h"

enum {
    BATCH_PIECES = 64,
    BATCH_BYTES = 256 << 10,   /* a writev() takes no more pieces after it */
    BATCH_BYTES_MAX = 4 << 20, /* nor more of a large one: what RPC_STALL_NS must suffice for */
    SINK_PIECES = 32,          /* of one readv() */
    BURST_BYTES = 1 << 20,
    BULK_IS_MUCH_BYTES = 32 << 10,
    AHEAD_OF_BULK_BYTES = 4096, /* header and body of the next frame, little of its bulk data */
};

void rpc_link_init(struct rpc_link *link, struct node *node, struct stream *stream)
{
    *link = (struct rpc_link){ .node = node, .stream = stream, .is_broken = !stream };
    link->buffer = xmalloc(RPC_LINK_BUFFER_BYTES);
    link->received_ns = sched_now_ns(loop_sched(node->loop));
    list_init(&link->queue);
    wait_queue_init(&link->wake);
    scope_init(&link->scope, loop_sched(node->loop));
    link->scope.local = node;
}

void rpc_link_break(struct rpc_link *link)
{
    if (link->is_broken) return;
    link->is_broken = true;
    stream_shutdown(link->stream);
    wait_queue_wake_all(&link->wake);
}

void rpc_link_done(struct rpc_link *link)
{
    rpc_link_break(link);
    scope_done(&link->scope);
    check(list_empty(&link->queue));
    link->stream = stream_close(link->stream);
    free(link->buffer);
    link->buffer = NULL;
}

/* ---- sending ---- */

static struct iovec send_piece(const struct rpc_send *send, int at)
{
    if (at > 0) return send->bulk[at - 1];
    return (struct iovec){ (void *)(uintptr_t)send->frame.base, send->frame.size };
}

/* Gathers what the next writev() takes. */
static int batch_gather(struct rpc_link *link, struct iovec iov[BATCH_PIECES], size_t *ret_bytes)
{
    int count = 0;
    size_t bytes = 0;
    list_for_each (it, &link->queue) {
        struct rpc_send *send = list_entry(it, struct rpc_send, link);
        size_t skip = send->skip;
        for (int at = send->next; at <= send->bulk_count; at++, skip = 0) {
            if (count == BATCH_PIECES || bytes >= BATCH_BYTES) break;
            struct iovec piece = send_piece(send, at);
            send->is_started = true;
            size_t size = MIN_OF(piece.iov_len - skip, BATCH_BYTES_MAX - bytes);
            iov[count++] = (struct iovec){ (char *)piece.iov_base + skip, size };
            bytes += size;
        }
        if (count == BATCH_PIECES || bytes >= BATCH_BYTES) break;
    }
    *ret_bytes = bytes;
    return count;
}

/* Moves @send on by up to @bytes that were written; returns how many of them were not its own. */
static size_t send_advance(struct rpc_send *send, size_t bytes)
{
    while (send->next <= send->bulk_count) {
        size_t left = send_piece(send, send->next).iov_len - send->skip;
        if (bytes < left) {
            send->skip += bytes;
            return 0;
        }
        bytes -= left;
        send->skip = 0;
        send->next++;
    }
    return bytes;
}

/* @bytes from the front of the queue were written. */
static void batch_written(struct rpc_link *link, size_t bytes)
{
    while (bytes > 0) {
        check(!list_empty(&link->queue));
        struct rpc_send *send = list_entry(link->queue.next, struct rpc_send, link);
        bytes = send_advance(send, bytes);
        if (send->next <= send->bulk_count) return;
        list_remove(&send->link);
        send->done(send, 0);
    }
}

static int link_write_queue(struct rpc_link *link) fiber_fn
{
    while (!link->is_broken) {
        struct iovec iov[BATCH_PIECES];
        size_t bytes;
        int count = batch_gather(link, iov, &bytes);
        int r;
        if (count == 0) {
            r = wait_queue_wait(&link->wake, "frames to send");
        } else {
            FIBER_TIMEOUT(RPC_STALL_NS);
            r = stream_writev(link->stream, iov, count);
        }
        if (r < 0) return r;
        batch_written(link, bytes);
    }
    return -ERR_RPC_SOCKET_CLOSED;
}

static int link_writer(void *arg) fiber_fn
{
    struct rpc_link *link = arg;
    int r = link_write_queue(link);
    rpc_link_break(link);
    struct list *node;
    while ((node = list_pop_front(&link->queue))) {
        struct rpc_send *send = list_entry(node, struct rpc_send, link);
        send->done(send, r);
    }
    return 0;
}

int rpc_link_start_writer(struct rpc_link *link)
{
    return fiber_spawn(&link->scope, "rpc writer", link_writer, link);
}

int rpc_link_send(struct rpc_link *link, struct rpc_send *send)
{
    if (link->is_broken) return -ERR_RPC_SOCKET_CLOSED;
    send->next = 0;
    send->skip = 0;
    send->is_started = false;
    list_push_back(&link->queue, &send->link);
    wait_queue_wake_one(&link->wake);
    return 0;
}

void rpc_link_unsend(struct rpc_send *send)
{
    check(!send->is_started);
    list_remove(&send->link);
}

int rpc_link_write(struct rpc_link *link, struct bytes frame)
{
    if (link->is_broken) return -ERR_RPC_SOCKET_CLOSED;
    struct iovec iov = { (void *)(uintptr_t)frame.base, frame.size };
    return stream_writev(link->stream, &iov, 1);
}

/* ---- receiving ---- */

/* What a read returned: the end of the stream becomes an error, bytes are noted. */
static ssize_t link_received(struct rpc_link *link, ssize_t n)
{
    if (n < 0) return n;
    if (n == 0) return -ERR_RPC_SOCKET_CLOSED;
    link->received_ns = sched_now_ns(loop_sched(link->node->loop));
    link->burst_bytes += (size_t)n;
    return n;
}

static ssize_t link_readv(struct rpc_link *link, const struct iovec *iov, int count) fiber_fn
{
    if (link->burst_bytes >= BURST_BYTES) { /* a fast peer might never let this fiber wait */
        link->burst_bytes = 0;
        fiber_yield();
    }
    if (link->is_broken) return -ERR_RPC_SOCKET_CLOSED;
    return link_received(link, stream_readv(link->stream, iov, count));
}

/* A read that the peer must not let wait: it is inside a frame. Its own deadline shows as
 * -ERR_TIMEOUT, the peer's silence as a closed connection. */
static ssize_t link_readv_inside(struct rpc_link *link, const struct iovec *iov, int count) fiber_fn
{
    ssize_t n;
    {
        FIBER_TIMEOUT(RPC_STALL_NS);
        n = link_readv(link, iov, count);
    }
    if (n == -ERR_TIMEOUT && fiber_remaining_ns() > 0) return -ERR_RPC_SOCKET_CLOSED;
    return n;
}

/* Makes at least @need bytes available in a row at link->start. @is_inside: of a frame whose header
 * was read. */
static int link_fill(struct rpc_link *link, size_t need, bool is_inside) fiber_fn
{
    check(need <= RPC_LINK_BUFFER_BYTES);
    while (link->end - link->start < need) {
        size_t have = link->end - link->start;
        if (have == 0) {
            link->start = link->end = 0;
        } else if (link->start + need > RPC_LINK_BUFFER_BYTES) {
            memmove(link->buffer, link->buffer + link->start, have);
            link->start = 0;
            link->end = have;
        }
        size_t room = RPC_LINK_BUFFER_BYTES - link->end;
        if (link->expects_bulk)
            room = MIN_OF(room, MAX_OF(need - have, (size_t)AHEAD_OF_BULK_BYTES));
        struct iovec iov = { link->buffer + link->end, room };
        ssize_t n =
            have || is_inside ? link_readv_inside(link, &iov, 1) : link_readv(link, &iov, 1);
        if (n < 0) return (int)n;
        link->end += (size_t)n;
    }
    return 0;
}

int rpc_link_read_frame(struct rpc_link *link, const struct rpc_frame_limits *limits,
                        struct rpc_frame *ret)
{
    int r = link_fill(link, RPC_FRAME_BYTES, false);
    if (r < 0) return r;
    struct rpc_frame frame;
    memcpy(&frame, link->buffer + link->start, sizeof frame);
    r = rpc_frame_check(&frame, limits);
    if (r < 0) return r;
    link->start += sizeof frame;
    link->expects_bulk = frame.bulk_size >= BULK_IS_MUCH_BYTES;
    *ret = frame;
    return 0;
}

int rpc_link_read_body(struct rpc_link *link, const struct rpc_frame *frame, struct bytes *ret,
                       uint8_t **ret_heap)
{
    size_t size = frame->body_size;
    cleanup_(freep) uint8_t *heap = NULL;
    const uint8_t *body;
    if (size <= RPC_LINK_BUFFER_BYTES) {
        int r = link_fill(link, size, true);
        if (r < 0) return r;
        body = link->buffer + link->start;
        link->start += size;
    } else {
        heap = xmalloc(size);
        int r = rpc_link_read_bulk(link, heap, size);
        if (r < 0) return r;
        body = heap;
    }
    int r = rpc_frame_check_body(frame, body);
    if (r < 0) return r;
    *ret = bytes_of(body, size);
    *ret_heap = TAKE_PTR(heap);
    return 0;
}

static void sink_advance(struct rpc_sink *sink, size_t size)
{
    while (sink->count > 0) {
        size_t left = sink->iov->iov_len - sink->skip;
        if (size < left) {
            sink->skip += size;
            return;
        }
        size -= left;
        sink->skip = 0;
        sink->iov++;
        sink->count--;
    }
    check(size == 0);
}

/* The sink's next pieces, at most @size bytes; *ret_bytes is how much they are. */
static int sink_window(const struct rpc_sink *sink, size_t size, struct iovec iov[SINK_PIECES],
                       size_t *ret_bytes)
{
    int count = 0;
    size_t bytes = 0, skip = sink->skip;
    for (int i = 0; i < sink->count && count < SINK_PIECES && bytes < size; i++, skip = 0) {
        size_t piece = MIN_OF(sink->iov[i].iov_len - skip, size - bytes);
        if (piece == 0) continue;
        iov[count++] = (struct iovec){ (char *)sink->iov[i].iov_base + skip, piece };
        bytes += piece;
    }
    check(bytes > 0);
    *ret_bytes = bytes;
    return count;
}

/* Bulk bytes that came with the header are in the receive buffer. */
static size_t sink_take_buffered(struct rpc_link *link, const struct iovec *iov, int count)
{
    size_t taken = 0;
    for (int i = 0; i < count && link->start < link->end; i++) {
        size_t n = MIN_OF(iov[i].iov_len, link->end - link->start);
        memcpy(iov[i].iov_base, link->buffer + link->start, n);
        link->start += n;
        taken += n;
    }
    return taken;
}

ssize_t rpc_link_read_some(struct rpc_link *link, struct rpc_sink *sink, size_t size)
{
    struct iovec iov[SINK_PIECES + 1];
    size_t bytes;
    int count = sink_window(sink, size, iov, &bytes);
    size_t done = sink_take_buffered(link, iov, count);
    if (done == 0) {
        link->start = link->end = 0;
        if (bytes == size) iov[count++] = (struct iovec){ link->buffer, AHEAD_OF_BULK_BYTES };
        ssize_t n = link_readv_inside(link, iov, count);
        if (n < 0) return n;
        done = MIN_OF((size_t)n, bytes);
        link->end = (size_t)n - done;
    }
    sink_advance(sink, done);
    return (ssize_t)done;
}

int rpc_link_read_bulk(struct rpc_link *link, void *to, size_t size)
{
    struct iovec iov = { to, size };
    struct rpc_sink sink = { .iov = &iov, .count = 1 };
    while (size > 0) {
        ssize_t n = rpc_link_read_some(link, &sink, size);
        if (n < 0) return (int)n;
        size -= (size_t)n;
    }
    return 0;
}

int rpc_link_skip(struct rpc_link *link, size_t size)
{
    link->expects_bulk = false;
    while (size > 0) {
        if (link->start == link->end) {
            int r = link_fill(link, 1, true);
            if (r < 0) return r;
        }
        size_t n = MIN_OF(size, link->end - link->start);
        link->start += n;
        size -= n;
    }
    return 0;
}
