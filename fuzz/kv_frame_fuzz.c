/* kv_frame_fuzz.c - what a process of the host may send to the holder of an embedded store: frames
 * of a stream, and the records in their bodies.
 *
 * Input: a byte of options, then the stream. With option 1 the CRCs of frames are made right first.
 * A body is taken for every record there is; what decodes can be printed.
 */
#include "base/arena.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "kv/embedded_frame.h"
#include "kv/embedded_wire.h"
#include "loop/sim.h"

#include <stdio.h>

enum { FIX_CRCS = 1 };

struct run {
    struct node *node;
    struct bytes input;
    struct listener *listener;
};

#define DECODE(record)                                                                             \
    do {                                                                                           \
        struct record value = { 0 };                                                               \
        struct wire_in in = wire_in_of(body, &arena);                                              \
        record##_get(&in, &value);                                                                 \
        if (!in.failed) record##_to_text(out, &value);                                             \
    } while (0)

static void decode_body(struct bytes body, FILE *out)
{
    cleanup_arena_ struct arena arena = { 0 };
    DECODE(kv_wire_hello);
    DECODE(kv_wire_snapshot);
    DECODE(kv_wire_get);
    DECODE(kv_wire_got);
    DECODE(kv_wire_range);
    DECODE(kv_wire_pairs);
    DECODE(kv_wire_commit);
}

/* Sends the input and closes. */
static int peer_fiber(void *arg)
{
    struct run *run = arg;
    cleanup_(stream_closep) struct stream *stream = NULL;
    int r = net_connect(run->node, listener_address(run->listener), &stream);
    check(r >= 0);
    struct iovec iov = { (void *)(uintptr_t)run->input.base, run->input.size };
    r = run->input.size ? stream_writev(stream, &iov, 1) : 0;
    return r < 0; /* the holder may have closed before */
}

static void take_frames(struct stream *stream, FILE *out)
{
    struct kv_frame_in in;
    struct kv_frame frame;
    struct bytes body;
    int r;
    kv_frame_in_init(&in, stream);
    while ((r = kv_frame_next(&in, &frame, &body)) == 0) {
        check(body.size == frame.body_bytes && body.size <= KV_FRAME_BODY_BYTES_MAX);
        decode_body(body, out);
    }
    check(r == -ERR_RPC_INVALID_MESSAGE || r == -ERR_RPC_SOCKET_CLOSED);
    kv_frame_in_done(&in);
}

static int holder_fiber(void *arg)
{
    struct run *run = arg;
    char *text = NULL;
    size_t text_size = 0;
    FILE *out = open_memstream(&text, &text_size);
    check(out);
    cleanup_(stream_closep) struct stream *stream = NULL;
    int r = listener_accept(run->listener, &stream);
    check(r >= 0);
    take_frames(stream, out);
    fclose(out);
    free(text);
    return 0;
}

static int both_fiber(void *arg)
{
    struct run *run = arg;
    struct net_address at;
    int r = net_address_parse("TCP://holder:7000", &at);
    if (r >= 0) r = net_listen(run->node, &at, &run->listener);
    check(r >= 0);
    {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        scope.local = run->node;
        r = fiber_spawn(&scope, "holder", holder_fiber, run);
        if (r >= 0) r = fiber_spawn(&scope, "peer", peer_fiber, run);
        check(r >= 0);
        r = scope_wait(&scope);
        check(r >= 0);
    }
    listener_close(run->listener);
    return 0;
}

static int run_main(void *arg)
{
    struct run *run = arg;
    int r = fiber_spawn(&run->node->scope, "both", both_fiber, run);
    check(r == 0);
    r = scope_wait(&run->node->scope);
    check(r >= 0);
    node_stop(run->node);
    return 0;
}

static void fix_crcs(uint8_t *data, size_t size)
{
    struct kv_frame frame;
    for (size_t at = 0; at + sizeof(frame) <= size; at += sizeof(frame) + frame.body_bytes) {
        memcpy(&frame, data + at, sizeof(frame));
        frame.magic = KV_FRAME_MAGIC;
        frame.body_bytes = (uint32_t)MIN_OF((size_t)frame.body_bytes, size - at - sizeof(frame));
        frame.body_crc = crc32c(0, data + at + sizeof(frame), frame.body_bytes);
        frame.crc = crc32c(0, &frame, offsetof(struct kv_frame, crc));
        memcpy(data + at, &frame, sizeof(frame));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 100000) return 0;
    cleanup_(freep) uint8_t *copy = xmalloc(size);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & FIX_CRCS) fix_crcs(copy, size - 1);
    struct run run = { .input = bytes_of(copy, size - 1) };
    struct sim_options options = sim_options_default(1);
    cleanup_(sim_freep) struct sim *sim = sim_new(&options);
    run.node = node_new(sim_loop(sim), sim_machine_new(sim, "holder"), "holder");
    run.node->log.level = LOG_LEVEL_MAX;
    int r = sim_run(sim, run_main, &run, 1000 * SEC);
    check(r == 0);
    node_free(run.node);
    return 0;
}
