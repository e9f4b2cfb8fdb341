/* embedded_frame.c - see embedded_frame.h. */
#include "kv/embedded_frame.h"
#include "base/check.h"
#include "base/crc32c.h"

enum { IN_BYTES_MIN = 64 << 10 };

/* ---- reading ---- */

void kv_frame_in_init(struct kv_frame_in *in, struct stream *stream)
{
    *in = (struct kv_frame_in){ .stream = stream };
}

void kv_frame_in_done(struct kv_frame_in *in)
{
    free(in->buf);
}

/* Makes [begin, begin + size) fit and reads until it is there. */
static int fill(struct kv_frame_in *in, size_t size) fiber_fn
{
    if (in->begin == in->end) in->begin = in->end = 0;
    if (in->begin > 0 && in->begin + size > in->capacity) {
        memmove(in->buf, in->buf + in->begin, in->end - in->begin);
        in->end -= in->begin;
        in->begin = 0;
    }
    if (size > in->capacity || !in->buf) {
        in->capacity = MAX_OF(size, (size_t)IN_BYTES_MIN);
        in->buf = xrealloc(in->buf, in->capacity);
    }
    while (in->end - in->begin < size) {
        ssize_t n = stream_read(in->stream, in->buf + in->end, in->capacity - in->end);
        if (n < 0) return (int)n;
        if (n == 0) return -ERR_RPC_SOCKET_CLOSED;
        in->end += (size_t)n;
    }
    return 0;
}

/* A buffer that one large message has grown is given back. */
static void shrink(struct kv_frame_in *in)
{
    if (in->begin != in->end || in->capacity <= 16 * IN_BYTES_MIN) return;
    free(in->buf);
    in->buf = NULL;
    in->begin = in->end = in->capacity = 0;
}

int kv_frame_next(struct kv_frame_in *in, struct kv_frame *ret, struct bytes *ret_body)
{
    struct kv_frame header;
    shrink(in);
    int r = fill(in, sizeof(header));
    if (r < 0) return r;
    memcpy(&header, in->buf + in->begin, sizeof(header));
    if (header.magic != KV_FRAME_MAGIC || header.body_bytes > KV_FRAME_BODY_BYTES_MAX ||
        header.crc != crc32c(0, &header, offsetof(struct kv_frame, crc))) {
        return -ERR_RPC_INVALID_MESSAGE;
    }
    r = fill(in, sizeof(header) + header.body_bytes);
    if (r < 0) return r;
    struct bytes body = bytes_of(in->buf + in->begin + sizeof(header), header.body_bytes);
    if (crc32c(0, body.base, body.size) != header.body_crc) return -ERR_RPC_INVALID_MESSAGE;
    in->begin += sizeof(header) + header.body_bytes;
    *ret = header;
    *ret_body = body;
    return 0;
}

/* ---- writing ---- */

void kv_frame_out_init(struct kv_frame_out *out, struct stream *stream)
{
    *out = (struct kv_frame_out){ .stream = stream };
    wait_queue_init(&out->work);
    wait_queue_init(&out->drained);
}

void kv_frame_out_done(struct kv_frame_out *out)
{
    free(out->pending.base);
    free(out->writing.base);
}

static uint8_t *reserve(struct kv_frame_buffer *b, size_t size)
{
    if (b->size + size > b->capacity) {
        b->capacity = MAX_OF(b->size + size, b->capacity * 2);
        b->capacity = MAX_OF(b->capacity, (size_t)4096);
        b->base = xrealloc(b->base, b->capacity);
    }
    uint8_t *p = b->base + b->size;
    b->size += size;
    return p;
}

void kv_frame_put_lazily(struct kv_frame_out *out, const struct kv_frame *header, struct bytes body)
{
    if (out->is_broken) return;
    check(body.size <= KV_FRAME_BODY_BYTES_MAX);
    struct kv_frame full = *header;
    full.magic = KV_FRAME_MAGIC;
    full.body_bytes = (uint32_t)body.size;
    full.body_crc = crc32c(0, body.base, body.size);
    full.crc = crc32c(0, &full, offsetof(struct kv_frame, crc));
    uint8_t *p = reserve(&out->pending, sizeof(full) + body.size);
    memcpy(p, &full, sizeof(full));
    if (body.size) memcpy(p + sizeof(full), body.base, body.size);
}

void kv_frame_put(struct kv_frame_out *out, const struct kv_frame *header, struct bytes body)
{
    kv_frame_put_lazily(out, header, body);
    wait_queue_wake_one(&out->work);
}

int kv_frame_writer(void *arg)
{
    struct kv_frame_out *out = arg;
    int r = 0;
    while (r >= 0) {
        if (out->pending.size == 0) {
            r = wait_queue_wait(&out->work, "kv: frames to send");
            continue;
        }
        struct kv_frame_buffer empty = out->writing;
        out->writing = out->pending;
        out->pending = empty;
        struct iovec iov = { out->writing.base, out->writing.size };
        r = stream_writev(out->stream, &iov, 1);
        out->writing.size = 0;
        wait_queue_wake_all(&out->drained);
    }
    out->is_broken = true;
    wait_queue_wake_all(&out->drained);
    stream_shutdown(out->stream);
    return 0;
}

int kv_frame_wait_drained(struct kv_frame_out *out)
{
    while (!out->is_broken && out->pending.size + out->writing.size > KV_FRAME_OUT_BYTES_MAX) {
        int r = wait_queue_wait(&out->drained, "kv: a slow reader of replies");
        if (r < 0) return r;
    }
    return out->is_broken ? -ERR_RPC_SOCKET_CLOSED : 0;
}
