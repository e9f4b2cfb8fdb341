/* embedded_frame.h - messages between the process that holds an embedded store and the others of
 * its host.
 *
 *   frame: header, then body_bytes of one record of embedded_wire.h
 *
 * Little-endian, one host. A reply has the request's number and kind; its body is empty when the
 * status is an error. A frame that is malformed ends the connection and nothing else. Private to
 * src/kv.
 */
#pragma once
#include "base/arena.h"
#include "fiber/sync.h"
#include "loop/net.h"

enum {
    KV_FRAME_MAGIC = 0x4d4b3343,
    KV_FRAME_BODY_BYTES_MAX = 15 << 20,
    KV_FRAME_OUT_BYTES_MAX = 8 << 20, /* beyond it who answers waits for the peer */
};

struct kv_frame {
    uint32_t magic;
    uint32_t body_bytes;
    uint64_t number;
    uint32_t kind;
    int32_t status;
    uint32_t body_crc;
    uint32_t crc; /* of the bytes before */
};
_Static_assert(sizeof(struct kv_frame) == 32, "on the wire");

/* ---- reading ---- */

struct kv_frame_in {
    struct stream *stream;
    uint8_t *buf;
    size_t begin, end, capacity; /* [begin, end) is read and not taken */
};
void kv_frame_in_init(struct kv_frame_in *in, struct stream *stream);
void kv_frame_in_done(struct kv_frame_in *in);
/* *ret_body is borrowed until the next call. -ERR_RPC_SOCKET_CLOSED at the end,
 * -ERR_RPC_INVALID_MESSAGE. */
int kv_frame_next(struct kv_frame_in *in, struct kv_frame *ret,
                  struct bytes *ret_body) fiber_fn must_check;

/* ---- writing ---- */

struct kv_frame_buffer {
    uint8_t *base;
    size_t size, capacity;
};

struct kv_frame_out {
    struct stream *stream;
    struct kv_frame_buffer pending, writing;
    struct wait_queue work, drained;
    bool is_broken;
};
void kv_frame_out_init(struct kv_frame_out *out, struct stream *stream);
void kv_frame_out_done(struct kv_frame_out *out); /* the writer has ended */
/* Never suspends; nothing happens once the stream is broken. @header: number, kind and status. */
void kv_frame_put(struct kv_frame_out *out, const struct kv_frame *header, struct bytes body);
/* As kv_frame_put(), but goes with the next one that is not lazy. */
void kv_frame_put_lazily(struct kv_frame_out *out, const struct kv_frame *header,
                         struct bytes body);
/* Fiber (arg is the kv_frame_out): writes until the stream breaks, which it then shuts down. */
int kv_frame_writer(void *arg) fiber_fn;
/* Until less than KV_FRAME_OUT_BYTES_MAX wait to be written. */
int kv_frame_wait_drained(struct kv_frame_out *out) fiber_fn must_check;
