/* frame.h - sealing and checking of frame headers; pure. */
#pragma once
#include "rpc/rpc_format.h"

struct rpc_frame_limits {
    uint32_t body_size_max, bulk_size_max;
};

/* Fills what all frames share, the body's size and CRC, and the header's CRC. */
void rpc_frame_seal(struct rpc_frame *frame, struct bytes body);
/* 0, -ERR_RPC_INVALID_MESSAGE, or -ERR_FORMAT_TOO_NEW. Sizes are within @limits afterwards; the
 * body's CRC is not looked at. */
int rpc_frame_check(const struct rpc_frame *frame,
                    const struct rpc_frame_limits *limits) must_check;
/* 0 or -ERR_RPC_INVALID_MESSAGE. */
int rpc_frame_check_body(const struct rpc_frame *frame, const void *body) must_check;
/* The status of a REPLY as an int error: a code unknown to this release becomes -ERR_UNKNOWN. */
int rpc_frame_status(const struct rpc_frame *frame);
