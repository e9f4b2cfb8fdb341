/* link.h - one stream of frames: a receive buffer for one reading fiber, a send queue with a
 * writing fiber.
 *
 * Sending: rpc_link_send() queues a frame (with bulk pieces behind it) and returns; the writer
 * fiber takes all that is queued by then into one writev(), so frames that are made in one turn of
 * the loop share a system call. A frame's memory is lent until its done() is called, exactly once.
 * done() must not suspend.
 *
 * Receiving: headers and bodies come through a 64 KiB buffer, usually several by one read; bulk
 * data is read past it straight into its final memory, with the buffer as the last piece so that
 * the next header comes along.
 *
 * A link breaks once and for good: by an error of its stream, a peer that stops inside a frame or
 * takes nothing for RPC_STALL_NS, or rpc_link_break().
 */
#pragma once
#include "fiber/sync.h"
#include "loop/net.h"
#include "rpc/frame.h"

#define RPC_STALL_NS (30 * SEC)

enum { RPC_LINK_BUFFER_BYTES = 64 << 10 };

struct rpc_send {
    struct list link;
    struct bytes frame; /* header and body */
    const struct iovec *bulk;
    int bulk_count;
    int next;        /* piece to write next: 0 the frame, then the bulk pieces */
    size_t skip;     /* bytes of it that are written */
    bool is_started; /* the writer holds the memory */
    void (*done)(struct rpc_send *send, int r);
};

struct rpc_link {
    struct node *node;
    struct stream *stream;
    bool is_broken;

    /* of the reading fiber */
    uint8_t *buffer;
    size_t start, end;    /* received and not consumed */
    bool expects_bulk;    /* the last frame had much: read little ahead of it */
    uint64_t received_ns; /* when bytes came last */
    size_t burst_bytes;   /* received since others were let run */

    /* of the writer fiber */
    struct list queue;
    struct wait_queue wake;
    struct scope scope;
};

/* Takes over @stream (NULL: broken from the start). */
void rpc_link_init(struct rpc_link *link, struct node *node, struct stream *stream);
/* Before it frames are sent with rpc_link_write(). */
int rpc_link_start_writer(struct rpc_link *link) must_check;
/* Breaks the link, joins the writer (every frame is done then) and closes the stream. No reader is
 * inside. */
void rpc_link_done(struct rpc_link *link) fiber_fn;
void rpc_link_break(struct rpc_link *link);

/* Queues @send; its done() is called later. -ERR_RPC_SOCKET_CLOSED when broken: done() is not
 * called. */
int rpc_link_send(struct rpc_link *link, struct rpc_send *send) must_check;
/* Takes a frame back that the writer has not started; done() is not called. */
void rpc_link_unsend(struct rpc_send *send);
/* Writes a frame now, without the queue. */
int rpc_link_write(struct rpc_link *link, struct bytes frame) fiber_fn must_check;

/* Waits for a header, as long as it takes, and checks it. */
int rpc_link_read_frame(struct rpc_link *link, const struct rpc_frame_limits *limits,
                        struct rpc_frame *ret) fiber_fn must_check;
/* The body, verified. In the receive buffer when it fits there (valid until the next call on the
 * link), else in heap memory that *ret_heap is set to for the caller to free; else *ret_heap is
 * NULL. */
int rpc_link_read_body(struct rpc_link *link, const struct rpc_frame *frame, struct bytes *ret,
                       uint8_t **ret_heap) fiber_fn must_check;

/* A position in a row of pieces that bulk data is received into. */
struct rpc_sink {
    const struct iovec *iov;
    int count;
    size_t skip; /* bytes of iov[0] that are filled */
};
/* Receives 1 to @size bytes to the sink's position (which has room for @size) and moves it. Bytes
 * received. A -ERR_TIMEOUT of the caller's own deadline loses nothing: the rest may be read to
 * elsewhere. */
ssize_t rpc_link_read_some(struct rpc_link *link, struct rpc_sink *sink,
                           size_t size) fiber_fn must_check;
int rpc_link_read_bulk(struct rpc_link *link, void *to, size_t size) fiber_fn must_check;
int rpc_link_skip(struct rpc_link *link, size_t size) fiber_fn must_check;
