/* message.c - frames of rpc_format.h, for faults of whole messages (loop/sim.h).
 *
 * A request may come twice: the second one carries an id that its caller has not given, so that
 * nobody takes its answer for the first one's. Requests and replies may come late: whoever waits
 * gives up and asks again, while the first request is still executed or was long ago.
 *
 * Metadata services keep no record of what was answered at the first attempt, since nobody asks for
 * that again: of their requests only those come twice that were sent again.
 */
#include "sim/message.h"
#include "proto/meta.h"
#include "rpc/frame.h"

static int64_t frame_rest(const void *header)
{
    static const struct rpc_frame_limits limits = { .body_size_max = RPC_BODY_BYTES_MAX,
                                                    .bulk_size_max = UINT32_MAX };
    struct rpc_frame frame;
    memcpy(&frame, header, sizeof frame);
    if (rpc_frame_check(&frame, &limits) < 0) return -1;
    return (int64_t)frame.body_size + frame.bulk_size;
}

static unsigned frame_faults(const void *header)
{
    struct rpc_frame frame;
    memcpy(&frame, header, sizeof frame);
    switch (frame.kind) {
    case RPC_FRAME_REQUEST: return (unsigned)SIM_REPEAT | SIM_LATE;
    case RPC_FRAME_REPLY: return SIM_LATE;
    default: return 0;
    }
}

/* Was this request of a metadata service sent before? */
static bool is_sent_again(struct bytes body)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct wire_in in = wire_in_of(body, &arena);
    struct base_request request; /* what all of them begin with */
    base_request_get(&in, &request);
    return !in.failed && request.base.flags & META_SENT_AGAIN;
}

static bool frame_mark(void *message, size_t size)
{
    struct rpc_frame frame;
    memcpy(&frame, message, sizeof frame);
    struct bytes body = bytes_of((const char *)message + sizeof frame, frame.body_size);
    if (frame.service == meta_service.id && !is_sent_again(body)) return false;
    frame.request_id |= 1ull << 63;
    rpc_frame_seal(&frame, body);
    memcpy(message, &frame, sizeof frame);
    return true;
}

void message_trouble(struct sim_net_profile *p)
{
    p->repeat_ppm = 100000;
    p->late_ppm = 2000;
    p->repeat_max_ns = 8 * SEC;
}

const struct sim_framing message_framing = {
    .header_bytes = RPC_FRAME_BYTES,
    .rest = frame_rest,
    .faults = frame_faults,
    .mark = frame_mark,
};
