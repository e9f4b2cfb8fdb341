/* attack_test.c - what a server makes of hostile bytes: the connection closes, a counter moves, and
 * everybody else is served as before. Seeded random streams, damaged frames of every kind, sizes
 * that lie, peers that stop in the middle, read nothing, or never authenticate.
 */
#include "rpc/auth_proof.h"
#include "rpc/frame.h"
#include "rpc/rpc_test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t server_metric(const struct test_world *w, const char *name)
{
    return metrics_value(w->server_node->metrics, name);
}

static struct stream *attack_connect(struct test_world *w) fiber_fn
{
    struct stream *s;
    check(net_connect(w->client_node, &w->address, &s) == 0);
    return s;
}

static int attack_write(struct stream *s, const void *data, size_t size) fiber_fn
{
    if (size == 0) return 0;
    return stream_writev(s, &(struct iovec){ (void *)(uintptr_t)data, size }, 1);
}

/* True when the server closes the connection before @ns have passed. */
static bool attack_is_closed(struct stream *s, uint64_t ns) fiber_fn
{
    uint8_t buf[4096];
    FIBER_TIMEOUT(ns);
    for (;;) {
        ssize_t n = stream_read(s, buf, sizeof buf);
        if (n == -ERR_TIMEOUT) return false;
        if (n <= 0) return true;
    }
}

static void still_serves(struct test_world *w) fiber_fn
{
    struct echo_call call = { .req = { .number = 4, .reply_bulk_size = 5000 }, .bulk_size = 5000 };
    check(echo_run(w, &call, NULL) == 0);
}

/* A frame of @kind with a good CRC around @body; returns its size. */
static size_t frame_put(uint8_t *to, struct rpc_frame frame, struct bytes body)
{
    rpc_frame_seal(&frame, body);
    memcpy(to, &frame, sizeof frame);
    if (body.size) memcpy(to + sizeof frame, body.base, body.size);
    return sizeof frame + body.size;
}

/* HELLO and PROOF of a client that shows nothing: an open server answers both. */
static size_t open_handshake(uint8_t *to)
{
    uint8_t nonce[RPC_NONCE_BYTES] = { 7 }, body[256];
    struct rpc_hello hello = { .protocol = 1, .nonce = bytes_of(nonce, sizeof nonce) };
    struct rpc_proof proof = { 0 };
    struct wire_out out = wire_out_fixed(body, sizeof body);
    rpc_hello_put(&out, &hello);
    size_t size =
        frame_put(to, (struct rpc_frame){ .kind = RPC_FRAME_HELLO }, wire_out_bytes(&out));
    out = wire_out_fixed(body, sizeof body);
    rpc_proof_put(&out, &proof);
    return size + frame_put(to + size, (struct rpc_frame){ .kind = RPC_FRAME_PROOF },
                            wire_out_bytes(&out));
}

static struct stream *attack_authenticated(struct test_world *w) fiber_fn
{
    uint8_t bytes[1024];
    size_t size = open_handshake(bytes);
    struct stream *s = attack_connect(w);
    check(attack_write(s, bytes, size) == 0);
    return s;
}

/* ---- before authentication ---- */

static int random_streams(struct test_world *w) fiber_fn
{
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[2048];
        struct stream *s = attack_connect(w);
        size_t size = node_random_below(w->client_node, sizeof bytes) + 64;
        size = MIN_OF(size, sizeof bytes);
        node_random_bytes(w->client_node, bytes, size);
        if (i % 4 == 0) memcpy(bytes, &(uint32_t){ RPC_FRAME_MAGIC }, 4);
        (void)!attack_write(s, bytes, size);
        check(attack_is_closed(s, SEC));
        stream_close(s);
    }
    check(server_metric(w, "rpc.bad_frames") == 200);
    still_serves(w);
    check(server_metric(w, "rpc.connections") == 1);
    return 0;
}

static void random_bytes(void **state)
{
    world_run(WORLD_SIM, NULL, random_streams);
    world_run(WORLD_POSIX, NULL, random_streams);
}

/* Each bit of the handshake flipped, one at a time; and every prefix of it, then silence. */
static int damaged_handshakes(struct test_world *w) fiber_fn
{
    uint8_t good[1024], bytes[1024];
    size_t size = open_handshake(good);
    for (size_t bit = 0; bit < size * 8; bit += 3) {
        memcpy(bytes, good, size);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct stream *s = attack_connect(w);
        (void)!attack_write(s, bytes, size);
        check(attack_is_closed(s, 6 * SEC));
        stream_close(s);
    }
    check(server_metric(w, "rpc.bad_frames") == (size * 8 + 2) / 3);
    for (size_t cut = 0; cut < size; cut += 13) {
        struct stream *s = attack_connect(w);
        check(attack_write(s, good, cut) == 0);
        if (cut % 2) check(attack_is_closed(s, 6 * SEC)); /* the deadline of handshakes */
        stream_close(s);
    }
    check(fiber_sleep(SEC) == 0);
    check(server_metric(w, "rpc.auth_failures") > 0);
    still_serves(w);
    check(server_metric(w, "rpc.connections") == 1);
    return 0;
}

static void handshakes_with_flipped_bits(void **state)
{
    world_run(WORLD_SIM, NULL, damaged_handshakes);
}

static int requests_without_authentication(struct test_world *w) fiber_fn
{
    uint8_t bytes[256];
    static const uint8_t kinds[] = { RPC_FRAME_REQUEST, RPC_FRAME_PING, RPC_FRAME_REPLY,
                                     RPC_FRAME_WELCOME };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct rpc_frame frame = {
            .kind = kinds[i], .service = 77, .method = 1, .remaining_us = 1000000
        };
        size_t size = frame_put(bytes, frame, BYTES_LITERAL("\0\0\0\0"));
        struct stream *s = attack_connect(w);
        check(attack_write(s, bytes, size) == 0);
        check(attack_is_closed(s, SEC));
        stream_close(s);
    }
    check(w->echo.call_count == 0);
    still_serves(w);
    return 0;
}

static void requests_come_after_the_handshake(void **state)
{
    world_run(WORLD_SIM, NULL, requests_without_authentication);
}

/* ---- after it ---- */

static const struct bad_frame {
    struct rpc_frame frame;
    bool is_closed; /* the connection; else the request is answered with an error */
} bad_frames[] = {
    { { .kind = RPC_FRAME_REPLY, .service = 77, .method = 1 }, true },
    { { .kind = RPC_FRAME_HELLO }, true },
    { { .kind = RPC_FRAME_PONG }, true },
    { { .kind = RPC_FRAME_PING, .bulk_size = 1 }, true },
    { { .kind = 0 }, true },
    { { .kind = 200 }, true },
    { { .kind = RPC_FRAME_REQUEST, .flags = 1, .service = 77, .method = 1 }, true },
    { { .kind = RPC_FRAME_REQUEST, .reserved = { 0, 0, 1 }, .service = 77, .method = 1 }, true },
    { { .kind = RPC_FRAME_REQUEST, .service = 77, .method = 1, .bulk_size = UINT32_MAX }, true },
    { { .kind = RPC_FRAME_REQUEST, .service = 77, .method = 1, .bulk_size = (64 << 20) + 4097 },
      true },
    { { .kind = RPC_FRAME_REQUEST, .service = 77, .method = 999 }, false },
    { { .kind = RPC_FRAME_REQUEST, .service = 999, .method = 1 }, false },
    { { .kind = RPC_FRAME_REQUEST, .service = 77, .method = 1, .remaining_us = UINT64_MAX },
      false },
    { { .kind = RPC_FRAME_REQUEST, .service = 77, .method = 1, .remaining_us = 0 }, false },
};

static int bad_frames_after_handshake(struct test_world *w) fiber_fn
{
    uint64_t closed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(bad_frames); i++) {
        uint8_t bytes[256];
        size_t size =
            frame_put(bytes, bad_frames[i].frame, BYTES_LITERAL("\1\0\0\0")); /* no record */
        struct stream *s = attack_authenticated(w);
        check(attack_write(s, bytes, size) == 0);
        check(attack_is_closed(s, SEC) == bad_frames[i].is_closed);
        stream_close(s);
        closed += bad_frames[i].is_closed;
        check(server_metric(w, "rpc.bad_frames") == closed);
    }
    /* Sizes in a header whose CRC is right, and a body that is not. */
    struct rpc_frame frame = { .kind = RPC_FRAME_REQUEST, .service = 77, .method = 1 };
    uint8_t bytes[256];
    size_t size = frame_put(bytes, frame, BYTES_LITERAL("\0\0\0\0"));
    bytes[size - 1] ^= 1;
    struct stream *s = attack_authenticated(w);
    check(attack_write(s, bytes, size) == 0);
    check(attack_is_closed(s, SEC));
    stream_close(s);
    check(server_metric(w, "rpc.bad_frames") == closed + 1);
    check(w->echo.call_count == 0);
    still_serves(w);
    return 0;
}

static void frames_that_lie(void **state)
{
    world_run(WORLD_SIM, NULL, bad_frames_after_handshake);
    world_run(WORLD_POSIX, NULL, bad_frames_after_handshake);
}

/* Every prefix of a request with bulk data, then a close; and one of them with silence instead. */
static int requests_cut_short(struct test_world *w) fiber_fn
{
    uint8_t body[256], bytes[512] = { 0 };
    struct wire_out out = wire_out_fixed(body, sizeof body);
    struct echo_request req = { .number = 1, .payload = BYTES_LITERAL("payload") };
    echo_request_put(&out, &req);
    struct rpc_frame frame = { .kind = RPC_FRAME_REQUEST,
                               .service = 77,
                               .method = 1,
                               .remaining_us = 1000000,
                               .bulk_size = 100 };
    size_t size = frame_put(bytes, frame, wire_out_bytes(&out)) + 100;
    for (size_t cut = 0; cut < size; cut++) {
        struct stream *s = attack_authenticated(w);
        check(attack_write(s, bytes, cut) == 0);
        stream_close(s);
    }
    check(fiber_sleep(SEC) == 0);
    check(w->echo.call_count == 0);
    check(server_metric(w, "rpc.connections") == 0);

    struct stream *s = attack_authenticated(w);
    check(attack_write(s, bytes, size - 1) == 0);
    check(!attack_is_closed(s, 20 * SEC));
    check(attack_is_closed(s, 20 * SEC)); /* it may not keep a buffer for ever */
    stream_close(s);
    still_serves(w);
    return 0;
}

static void truncated_requests(void **state)
{
    world_run(WORLD_SIM, NULL, requests_cut_short);
}

/* Asks for far more than it reads: the server keeps a bounded number of replies for it, then lets
 * go. */
static int reads_nothing(struct test_world *w) fiber_fn
{
    uint8_t body[256], bytes[512];
    struct wire_out out = wire_out_fixed(body, sizeof body);
    struct echo_request req = { .number = 1, .reply_bulk_size = 1 << 20 };
    echo_request_put(&out, &req);
    struct rpc_frame frame = {
        .kind = RPC_FRAME_REQUEST, .service = 77, .method = 1, .remaining_us = 60000000
    };
    size_t size = frame_put(bytes, frame, wire_out_bytes(&out));
    struct stream *s = attack_authenticated(w);
    {
        FIBER_TIMEOUT(10 * SEC);
        for (int i = 0; i < 100000; i++) {
            if (attack_write(s, bytes, size) < 0) break;
        }
    }
    check(w->echo.call_count <= 16 + 4);
    check(w->echo.push_count - w->echo.push_done_count <= 16);
    still_serves(w);
    check(fiber_sleep(40 * SEC) == 0);
    check(w->echo.push_count == w->echo.push_done_count);
    stream_close(s);
    still_serves(w);
    return 0;
}

static void slow_readers_hold_little(void **state)
{
    struct world_options o = { .server.request_count_max = 16 };
    world_run(WORLD_SIM, &o, reads_nothing);
}

/* Many who connect and say nothing: those beyond the limit wait their turn, and nobody stays longer
 * than 5 s. */
static int silent_crowd(struct test_world *w) fiber_fn
{
    enum { CROWD = 600 };
    static const uint64_t handshakes_ns = 11 * SEC; /* the last begin when the first end */
    struct stream **crowd = xcalloc(CROWD, sizeof(struct stream *));
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = attack_connect(w);
    }
    check(server_metric(w, "rpc.connections") <= 512);
    check(fiber_sleep(handshakes_ns) == 0);
    check(server_metric(w, "rpc.connections") == 0);
    for (int i = 0; i < CROWD; i++) {
        stream_close(crowd[i]);
    }
    free(crowd);
    still_serves(w);
    return 0;
}

static void handshakes_are_bounded(void **state)
{
    world_run(WORLD_SIM, NULL, silent_crowd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(handshakes_with_flipped_bits),
        cmocka_unit_test(requests_come_after_the_handshake),
        cmocka_unit_test(frames_that_lie),
        cmocka_unit_test(truncated_requests),
        cmocka_unit_test(slow_readers_hold_little),
        cmocka_unit_test(handshakes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
