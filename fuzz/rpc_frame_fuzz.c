/* rpc_frame_fuzz.c - the frames of a connection and what the handshake makes of their bodies.
 *
 * Input: a byte of options, then frames as on the stream. With option 1 the CRCs are made right
 * first, so that the fuzzer gets past them.
 */
#include "base/check.h"
#include "base/error.h"
#include "rpc/auth.h"
#include "rpc/frame.h"

enum { FIX_CRCS = 1 };

static void read_hello(struct bytes body)
{
    static const uint8_t key[AUTH_KEY_BYTES] = { 1 };
    struct rpc_hello hello;
    struct wire_in in = wire_in_of(body, NULL);
    rpc_hello_get(&in, &hello);
    struct auth_peer peer;
    uint8_t session_key[AUTH_KEY_BYTES];
    struct bytes shown = in.failed ? body : hello.capability;
    /* Nobody finds a MAC by chance. */
    check(auth_capability_verify(key, shown, 0, &peer, session_key) < 0);
}

static void read_body(const struct rpc_frame *frame, struct bytes body)
{
    struct wire_in in = wire_in_of(body, NULL);
    struct rpc_challenge challenge;
    struct rpc_proof proof;
    switch (frame->kind) {
    case RPC_FRAME_HELLO: read_hello(body); break;
    case RPC_FRAME_CHALLENGE: rpc_challenge_get(&in, &challenge); break;
    case RPC_FRAME_PROOF: rpc_proof_get(&in, &proof); break;
    default: check(rpc_frame_status(frame) >= 0 || error_name(rpc_frame_status(frame))); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rpc_frame_limits limits = { .body_size_max = 4096, .bulk_size_max = 100 };
    if (size < 1) return 0;
    bool fixes = data[0] & FIX_CRCS;
    struct bytes left = bytes_of(data + 1, size - 1);
    while (left.size >= RPC_FRAME_BYTES) {
        struct rpc_frame frame;
        memcpy(&frame, left.base, sizeof frame);
        left = bytes_of(left.base + sizeof frame, left.size - sizeof frame);
        if (fixes) {
            size_t body_size = MIN_OF((size_t)frame.body_size, left.size);
            rpc_frame_seal(&frame, bytes_of(left.base, body_size));
        }
        if (rpc_frame_check(&frame, &limits) < 0) return 0;
        check(frame.body_size <= limits.body_size_max && frame.bulk_size <= limits.bulk_size_max);
        if (left.size < (size_t)frame.body_size + frame.bulk_size) return 0;
        if (rpc_frame_check_body(&frame, left.base) < 0) return 0;
        read_body(&frame, bytes_of(left.base, frame.body_size));
        size_t passed = (size_t)frame.body_size + frame.bulk_size;
        left = bytes_of(left.base + passed, left.size - passed);
    }
    return 0;
}
