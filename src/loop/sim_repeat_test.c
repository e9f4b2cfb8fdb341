/* sim_repeat_test.c - messages that come twice or late: whole, between others, each as often as the
 * world says, and none after the end of the stream. */
#include "loop/sim.h"

#include "base/arena.h"
#include "base/check.h"
#include "loop/net.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MESSAGE_COUNT = 300, BODY_BYTES_MAX = 5000 };

struct header {
    uint32_t number, size;
    uint32_t is_second;
    uint32_t magic;
};
enum { MAGIC = 0x6d657373 };

static int64_t header_rest(const void *header)
{
    struct header h;
    memcpy(&h, header, sizeof h);
    return h.magic == MAGIC ? (int64_t)h.size : -1;
}

/* Every third is spared. */
static unsigned header_faults(const void *header)
{
    struct header h;
    memcpy(&h, header, sizeof h);
    return h.number % 3 ? (unsigned)SIM_REPEAT | SIM_LATE : 0;
}

static bool message_mark(void *message, size_t size)
{
    struct header h;
    memcpy(&h, message, sizeof h);
    check(size == sizeof h + h.size);
    h.is_second = 1;
    memcpy(message, &h, sizeof h);
    return true;
}

static const struct sim_framing framing = { .header_bytes = sizeof(struct header),
                                            .rest = header_rest,
                                            .faults = header_faults,
                                            .mark = message_mark };

struct pair {
    struct sim *sim;
    struct node *server, *client;
    struct listener *listener;
    struct stream *at_server, *at_client;
    uint32_t first[MESSAGE_COUNT], second[MESSAGE_COUNT]; /* how often they came */
    uint32_t overtaken;
};

static uint8_t body_byte(uint32_t number, size_t at)
{
    return (uint8_t)((number * 31 + at) * 2654435761u >> 11);
}

static int writer(void *arg)
{
    struct pair *p = arg;
    uint8_t body[BODY_BYTES_MAX];
    for (uint32_t i = 0; i < MESSAGE_COUNT; i++) {
        struct header h = { .number = i,
                            .size = (uint32_t)sim_random_below(p->sim, BODY_BYTES_MAX),
                            .magic = MAGIC };
        for (size_t at = 0; at < h.size; at++)
            body[at] = body_byte(i, at);
        struct iovec iov[] = { { &h, sizeof h }, { body, h.size } };
        check(stream_writev(p->at_client, iov, 2) == 0);
        check(fiber_sleep(sim_random_below(p->sim, 2 * MSEC)) == 0);
    }
    p->at_client = stream_close(p->at_client);
    return 0;
}

static ssize_t read_all(struct stream *s, void *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = stream_read(s, (char *)to + done, size - done);
        check(n >= 0);
        if (n == 0) break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int pair_main(void *arg)
{
    static const struct net_address any_port = { .scheme = NET_TCP, .host = "0.0.0.0" };
    struct pair *p = arg;
    check(net_listen(p->server, &any_port, &p->listener) == 0);
    struct net_address to = *listener_address(p->listener);
    snprintf(to.host, sizeof to.host, "server");
    check(net_connect(p->client, &to, &p->at_client) == 0);
    check(listener_accept(p->listener, &p->at_server) == 0);
    check(fiber_spawn(&p->client->scope, "writer", writer, p) == 0);
    struct header h;
    uint32_t newest = 0;
    while (read_all(p->at_server, &h, sizeof h) == sizeof h) {
        uint8_t body[BODY_BYTES_MAX];
        check(h.magic == MAGIC && h.number < MESSAGE_COUNT && h.size <= sizeof body);
        check(read_all(p->at_server, body, h.size) == (ssize_t)h.size);
        for (size_t at = 0; at < h.size; at++)
            check(body[at] == body_byte(h.number, at));
        if (h.is_second)
            p->second[h.number]++;
        else
            p->first[h.number]++;
        if (!h.is_second && h.number < newest) p->overtaken++;
        if (!h.is_second && h.number > newest) newest = h.number;
    }
    p->at_server = stream_close(p->at_server);
    p->listener = listener_close(p->listener);
    return 0;
}

static uint64_t run(uint64_t seed, uint32_t repeat_ppm, uint32_t late_ppm, struct pair *p)
{
    *p = (struct pair){ 0 };
    struct sim_options options = sim_options_default(seed);
    options.net.loss_ppm = 10000;
    options.net.repeat_ppm = repeat_ppm;
    options.net.late_ppm = late_ppm;
    options.net.repeat_max_ns = 700 * MSEC;
    p->sim = sim_new(&options);
    sim_set_framing(p->sim, &framing);
    p->server = node_new(sim_loop(p->sim), sim_machine_new(p->sim, "server"), "server");
    p->client = node_new(sim_loop(p->sim), sim_machine_new(p->sim, "client"), "client");
    assert_int_equal(sim_run(p->sim, pair_main, p, 100 * SEC), 0);
    uint64_t seconds = 0;
    for (uint32_t i = 0; i < MESSAGE_COUNT; i++) {
        assert_int_equal(p->first[i], 1);
        assert_true(p->second[i] <= (i % 3 != 0));
        seconds += p->second[i];
    }
    assert_int_equal(seconds, sim_repeat_count(p->sim));
    uint64_t hash = sim_trace_hash(p->sim);
    assert_int_equal(p->overtaken > 0, sim_late_count(p->sim) > 0);
    if (repeat_ppm) assert_true(seconds > 20);
    node_freep(&p->server);
    node_freep(&p->client);
    p->sim = sim_free(p->sim);
    return hash;
}

static void nothing_happens_unasked(void **state)
{
    struct pair p;
    (void)run(1, 0, 0, &p);
    assert_int_equal(p.overtaken, 0);
}

static void messages_come_twice_and_late(void **state)
{
    struct pair p;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t hash = run(seed, 200000, 100000, &p);
        assert_int_equal(run(seed, 200000, 100000, &p), hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happens_unasked),
        cmocka_unit_test(messages_come_twice_and_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
