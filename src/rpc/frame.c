/* frame.c - see frame.h. */
#include "rpc/frame.h"

#include "base/crc32c.h"
#include "base/error.h"

static uint32_t header_crc(const struct rpc_frame *frame)
{
    return crc32c(0, frame, offsetof(struct rpc_frame, header_crc32c));
}

void rpc_frame_seal(struct rpc_frame *frame, struct bytes body)
{
    frame->magic = RPC_FRAME_MAGIC;
    frame->version = RPC_FRAME_VERSION;
    frame->body_size = (uint32_t)body.size;
    frame->body_crc32c = body.size ? crc32c(0, body.base, body.size) : 0;
    frame->header_crc32c = header_crc(frame);
}

int rpc_frame_check(const struct rpc_frame *frame, const struct rpc_frame_limits *limits)
{
    if (frame->magic != RPC_FRAME_MAGIC || frame->header_crc32c != header_crc(frame))
        return -ERR_RPC_INVALID_MESSAGE;
    if (frame->version != RPC_FRAME_VERSION) return -ERR_FORMAT_TOO_NEW;
    bool has_reserved = frame->flags != 0;
    for (size_t i = 0; i < ARRAY_SIZE(frame->reserved); i++) {
        has_reserved |= frame->reserved[i] != 0;
    }
    if (has_reserved) return -ERR_FORMAT_TOO_NEW;
    if (frame->kind == 0 || frame->kind >= RPC_FRAME_KIND_END) return -ERR_RPC_INVALID_MESSAGE;
    bool may_have_bulk = frame->kind == RPC_FRAME_REQUEST || frame->kind == RPC_FRAME_REPLY;
    if (frame->body_size > limits->body_size_max ||
        frame->bulk_size > (may_have_bulk ? limits->bulk_size_max : 0))
        return -ERR_RPC_INVALID_MESSAGE;
    return 0;
}

int rpc_frame_check_body(const struct rpc_frame *frame, const void *body)
{
    uint32_t crc = frame->body_size ? crc32c(0, body, frame->body_size) : 0;
    return crc == frame->body_crc32c ? 0 : -ERR_RPC_INVALID_MESSAGE;
}

int rpc_frame_status(const struct rpc_frame *frame)
{
    if (frame->status >= 0) return frame->status;
    bool is_known = frame->status != INT32_MIN && error_number_is_known(-frame->status);
    return is_known ? frame->status : -ERR_UNKNOWN;
}
