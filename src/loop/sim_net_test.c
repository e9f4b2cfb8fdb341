/* sim_net_test.c - the simulated network: streams, back-pressure, cuts, crashes of the peer,
 * connecting. */
#include "loop/sim.h"

#include "base/arena.h"
#include "base/check.h"
#include "loop/net.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { SEED_COUNT = 100 };

/* A server machine and a client machine with a stream between them. */
struct pair {
    struct sim *sim;
    struct machine *server, *client;
    struct node *server_node, *client_node;
    struct listener *listener;
    struct stream *at_server, *at_client;
    int counts[8];
    uint64_t ended_ns;
};

static const struct net_address any_port = { .scheme = NET_TCP, .host = "0.0.0.0" };

static int pair_run(const struct sim_options *options, int (*fn)(void *arg), struct pair *p)
{
    p->sim = sim_new(options);
    p->server = sim_machine_new(p->sim, "server");
    p->client = sim_machine_new(p->sim, "client");
    p->server_node = node_new(sim_loop(p->sim), p->server, "server");
    p->client_node = node_new(sim_loop(p->sim), p->client, "client");
    int r = sim_run(p->sim, fn, p, 1000 * SEC);
    node_freep(&p->server_node);
    node_freep(&p->client_node);
    p->sim = sim_free(p->sim);
    return r;
}

static int pair_run_seed(uint64_t seed, int (*fn)(void *arg), struct pair *p)
{
    struct sim_options options = sim_options_default(seed);
    return pair_run(&options, fn, p);
}

static struct net_address address_of(const struct pair *p)
{
    struct net_address to = *listener_address(p->listener);
    snprintf(to.host, sizeof to.host, "server");
    return to;
}

static void pair_open(struct pair *p)
{
    check(net_listen(p->server_node, &any_port, &p->listener) == 0);
    struct net_address to = address_of(p);
    check(net_connect(p->client_node, &to, &p->at_client) == 0);
    check(listener_accept(p->listener, &p->at_server) == 0);
}

static void pair_close(struct pair *p)
{
    p->at_client = stream_close(p->at_client);
    p->at_server = stream_close(p->at_server);
    p->listener = listener_close(p->listener);
}

static int write_text(struct stream *s, const char *text)
{
    return stream_writev(s, &(struct iovec){ (void *)(uintptr_t)text, strlen(text) }, 1);
}

/* Reads in the background; the result and its time stay in the pair. */
static int server_reader(void *arg)
{
    struct pair *p = arg;
    char buf[30000];
    ssize_t n;
    while ((n = stream_read(p->at_server, buf, sizeof buf)) > 0)
        p->counts[0] += (int)n;
    p->counts[1] = (int)n;
    p->counts[2] = 1;
    p->ended_ns = sim_now_ns(p->sim);
    return 0;
}

static int client_reader(void *arg)
{
    struct pair *p = arg;
    char byte;
    p->counts[3] = (int)stream_read(p->at_client, &byte, 1);
    p->counts[4] = 1;
    p->ended_ns = sim_now_ns(p->sim);
    return 0;
}

/* ---- bytes ---- */

enum { TRANSFER_BYTES = 3 << 20 };

static uint8_t transfer_byte(size_t at)
{
    return (uint8_t)(at * 2654435761u >> 13);
}

static int transfer_writer(void *arg)
{
    struct pair *p = arg;
    uint8_t *data cleanup_(freep) = xmalloc(TRANSFER_BYTES);
    for (size_t i = 0; i < TRANSFER_BYTES; i++)
        data[i] = transfer_byte(i);
    struct iovec iov[] = { { data, 1 }, { data + 1, 0 }, { data + 1, TRANSFER_BYTES - 1 } };
    check(stream_writev(p->at_client, iov, 3) == 0);
    stream_shutdown(p->at_client);
    return 0;
}

static int transfer_main(void *arg)
{
    struct pair *p = arg;
    size_t at = 0;
    pair_open(p);
    check(fiber_spawn(&p->client_node->scope, "writer", transfer_writer, p) == 0);
    for (;;) {
        uint8_t a[1000], b[50000];
        ssize_t n =
            stream_readv(p->at_server, (struct iovec[]){ { a, sizeof a }, { b, sizeof b } }, 2);
        check(n >= 0);
        if (n == 0) break;
        for (size_t i = 0; i < (size_t)n; i++)
            check((i < sizeof a ? a[i] : b[i - sizeof a]) == transfer_byte(at + i));
        at += (size_t)n;
    }
    assert_int_equal(at, TRANSFER_BYTES);
    node_stop(p->client_node);
    pair_close(p);
    return 0;
}

static void bytes_arrive_in_order(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct pair p = { 0 };
        struct sim_options options = sim_options_default(seed);
        options.net.loss_ppm = 20000;
        assert_int_equal(pair_run(&options, transfer_main, &p), 0);
    }
}

static int bandwidth_main(void *arg)
{
    struct pair *p = arg;
    uint64_t start = sim_now_ns(p->sim);
    int r = transfer_main(arg);
    p->counts[5] = (int)((sim_now_ns(p->sim) - start) / MSEC);
    return r;
}

static void bandwidth_is_limited(void **state)
{
    struct pair p = { 0 };
    struct sim_options options = sim_options_default(1);
    options.net.bytes_per_sec = 1 << 20;
    assert_int_equal(pair_run(&options, bandwidth_main, &p), 0);
    assert_in_range(p.counts[5], 2990, 3100);
}

static int pressure_writer(void *arg)
{
    struct pair *p = arg;
    uint8_t *data cleanup_(freep) = xcalloc(1, 1 << 20);
    p->counts[6] = stream_writev(p->at_client, &(struct iovec){ data, 1 << 20 }, 1);
    p->counts[7] = 1;
    return 0;
}

static int pressure_main(void *arg)
{
    struct pair *p = arg;
    pair_open(p);
    check(fiber_spawn(&p->client_node->scope, "writer", pressure_writer, p) == 0);
    check(fiber_sleep(10 * SEC) == 0);
    assert_int_equal(p->counts[7], 0); /* nobody reads: the writer waits, and does not give up */
    check(fiber_sleep(60 * SEC) == 0);
    assert_int_equal(p->counts[7], 0);
    check(fiber_spawn(&p->server_node->scope, "reader", server_reader, p) == 0);
    check(fiber_sleep(1 * SEC) == 0);
    assert_int_equal(p->counts[7], 1);
    assert_int_equal(p->counts[6], 0);
    assert_int_equal(p->counts[0], 1 << 20);
    node_stop(p->server_node);
    pair_close(p);
    return 0;
}

static void slow_readers_hold_writers(void **state)
{
    struct pair p = { 0 };
    assert_int_equal(pair_run_seed(1, pressure_main, &p), 0);
}

static int close_main(void *arg)
{
    struct pair *p = arg;
    char buf[10];
    pair_open(p);
    /* Bytes and then the end. */
    check(write_text(p->at_client, "abc") == 0);
    p->at_client = stream_close(p->at_client);
    check(stream_read_full(p->at_server, buf, 3) == 0);
    assert_int_equal(stream_read(p->at_server, buf, 1), 0);
    assert_int_equal(stream_read_full(p->at_server, buf, 1), -ERR_RPC_SOCKET_CLOSED);
    /* Writing to nobody: a reset comes back. */
    check(write_text(p->at_server, "x") == 0);
    check(fiber_sleep(10 * MSEC) == 0);
    assert_int_equal(write_text(p->at_server, "x"), -ERR_RPC_SOCKET_CLOSED);
    pair_close(p);
    /* Unread bytes at the close make it a reset. */
    pair_open(p);
    check(write_text(p->at_client, "abc") == 0);
    check(fiber_sleep(10 * MSEC) == 0);
    p->at_server = stream_close(p->at_server);
    check(fiber_sleep(10 * MSEC) == 0);
    assert_int_equal(stream_read(p->at_client, buf, 1), -ERR_RPC_SOCKET_CLOSED);
    pair_close(p);
    /* A listener that closes takes the unaccepted with it. */
    check(net_listen(p->server_node, &any_port, &p->listener) == 0);
    struct net_address to = address_of(p);
    check(net_connect(p->client_node, &to, &p->at_client) == 0);
    p->listener = listener_close(p->listener);
    assert_int_equal(stream_read(p->at_client, buf, 1), 0);
    pair_close(p);
    return 0;
}

static void ends_and_resets(void **state)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct pair p = { 0 };
        assert_int_equal(pair_run_seed(seed, close_main, &p), 0);
    }
}

static int reset_main(void *arg)
{
    struct pair *p = arg;
    int r = 0;
    pair_open(p);
    check(fiber_spawn(&p->server_node->scope, "reader", server_reader, p) == 0);
    for (int i = 0; i < 1000 && r == 0; i++) {
        r = write_text(p->at_client, "0123456789");
        check(fiber_sleep(1 * MSEC) == 0);
    }
    assert_int_equal(r, -ERR_RPC_SOCKET_CLOSED);
    assert_int_equal(p->counts[1], -ERR_RPC_SOCKET_CLOSED);
    pair_close(p);
    return 0;
}

static void streams_break_on_their_own(void **state)
{
    struct pair p = { 0 };
    struct sim_options options = sim_options_default(1);
    options.net.reset_ppm = 20000;
    assert_int_equal(pair_run(&options, reset_main, &p), 0);
}

static int corrupt_main(void *arg)
{
    struct pair *p = arg;
    char sent[64] = { 0 }, got[64];
    pair_open(p);
    for (int i = 0; i < 1000; i++) {
        check(stream_writev(p->at_client, &(struct iovec){ sent, sizeof sent }, 1) == 0);
        check(stream_read_full(p->at_server, got, sizeof got) == 0);
        for (size_t at = 0; at < sizeof got; at++)
            p->counts[0] += __builtin_popcount((uint8_t)got[at]);
    }
    pair_close(p);
    return 0;
}

static void bits_flip_as_asked(void **state)
{
    struct sim_options options = sim_options_default(1);
    struct pair p = { 0 };
    assert_int_equal(pair_run(&options, corrupt_main, &p), 0);
    assert_int_equal(p.counts[0], 0);
    options.net.corrupt_ppm = 100000;
    p = (struct pair){ 0 };
    assert_int_equal(pair_run(&options, corrupt_main, &p), 0);
    assert_in_range(p.counts[0], 70, 150);
}

/* ---- cuts ---- */

static int short_cut_main(void *arg)
{
    struct pair *p = arg;
    pair_open(p);
    check(fiber_spawn(&p->server_node->scope, "reader", server_reader, p) == 0);
    sim_cut(p->client, p->server);
    check(write_text(p->at_client, "hello") == 0);
    check(fiber_sleep(8 * SEC) == 0);
    assert_int_equal(p->counts[0], 0);
    sim_heal(p->client, p->server);
    check(fiber_sleep(4 * SEC) == 0);
    assert_int_equal(p->counts[0], 5);
    assert_int_equal(p->counts[2], 0);
    check(write_text(p->at_client, "again") == 0);
    check(fiber_sleep(10 * MSEC) == 0);
    assert_int_equal(p->counts[0], 10);
    node_stop(p->server_node);
    pair_close(p);
    return 0;
}

static void short_cuts_delay(void **state)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct pair p = { 0 };
        assert_int_equal(pair_run_seed(seed, short_cut_main, &p), 0);
    }
}

/* @way 0: client to server, 1: back, 2: both. Either end breaks by itself in the end, busy or idle.
 */
static int long_cut(struct pair *p, int way, bool is_busy)
{
    pair_open(p);
    check(fiber_spawn(&p->server_node->scope, "reader", server_reader, p) == 0);
    check(fiber_spawn(&p->client_node->scope, "reader", client_reader, p) == 0);
    if (way != 1) sim_cut(p->client, p->server);
    if (way != 0) sim_cut(p->server, p->client);
    if (is_busy) check(write_text(p->at_client, "hello") == 0);
    check(fiber_sleep(10 * SEC) == 0);
    assert_int_equal(p->counts[2], 0);
    assert_int_equal(p->counts[4], 0);
    /* Only the way back is cut: bytes arrive, their sender does not know. */
    assert_int_equal(p->counts[0], is_busy && way == 1 ? 5 : 0);
    check(fiber_sleep(20 * SEC) == 0);
    assert_int_equal(p->counts[2], 1);
    assert_int_equal(p->counts[1], -ERR_RPC_SOCKET_CLOSED);
    assert_int_equal(p->counts[4], 1);
    assert_int_equal(p->counts[3], -ERR_RPC_SOCKET_CLOSED);
    pair_close(p);
    sim_heal_all(p->sim);
    return 0;
}

static int long_cuts_main(void *arg)
{
    struct pair *p = arg;
    for (int way = 0; way < 3; way++) {
        for (int is_busy = 0; is_busy < 2; is_busy++) {
            memset(p->counts, 0, sizeof p->counts);
            int r = long_cut(p, way, is_busy);
            if (r < 0) return r;
        }
    }
    return 0;
}

static void long_cuts_break_both_ends(void **state)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct pair p = { 0 };
        assert_int_equal(pair_run_seed(seed, long_cuts_main, &p), 0);
    }
}

/* ---- crashes of the peer ---- */

static int peer_crash_main(void *arg)
{
    struct pair *p = arg;
    pair_open(p);
    check(fiber_spawn(&p->client_node->scope, "reader", client_reader, p) == 0);
    check(fiber_sleep(1 * SEC) == 0);
    uint64_t start = sim_now_ns(p->sim);
    sim_crash(p->server);
    p->at_server = stream_close(p->at_server);
    p->listener = listener_close(p->listener);
    p->server_node = node_free(p->server_node);
    if (p->counts[7]) { /* back before the client could notice */
        check(fiber_sleep(100 * MSEC) == 0);
        sim_restart(p->server);
    }
    check(fiber_sleep(30 * SEC) == 0);
    assert_int_equal(p->counts[4], 1);
    assert_int_equal(p->counts[3], -ERR_RPC_SOCKET_CLOSED);
    p->counts[5] = (int)((p->ended_ns - start) / MSEC);
    p->at_client = stream_close(p->at_client);
    return 0;
}

static void peers_learn_of_crashes(void **state)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct sim_options options = sim_options_default(seed);
        struct pair p = { 0 };
        options.net.crash_silent_ppm = 0;
        assert_int_equal(pair_run(&options, peer_crash_main, &p), 0);
        assert_in_range(p.counts[5], 0, 10);

        options.net.crash_silent_ppm = 1000000;
        p = (struct pair){ 0 };
        assert_int_equal(pair_run(&options, peer_crash_main, &p), 0);
        assert_in_range(p.counts[5], 15000, 25000);

        p = (struct pair){ .counts[7] = 1 };
        assert_int_equal(pair_run(&options, peer_crash_main, &p), 0);
        assert_in_range(p.counts[5], 100,
                        6000); /* the first probe meets a machine that knows nothing */
    }
}

/* ---- connecting ---- */

static int connect_main(void *arg)
{
    struct pair *p = arg;
    struct stream *s = NULL;
    struct net_address nobody = { .scheme = NET_TCP, .port = 1, .host = "server" };
    struct net_address unknown = { .scheme = NET_TCP, .port = 1, .host = "nowhere" };
    assert_int_equal(net_connect(p->client_node, &nobody, &s), -ERR_RPC_CONNECT_FAILED);
    assert_int_equal(net_connect(p->client_node, &unknown, &s), -ERR_RPC_CONNECT_FAILED);
    pair_open(p);
    struct listener *l = NULL;
    assert_int_equal(net_listen(p->server_node, listener_address(p->listener), &l),
                     -ERR_RPC_LISTEN_FAILED);
    struct net_address to = address_of(p);
    for (int way = 0; way < 2; way++) {
        struct machine *from = way ? p->server : p->client, *back = way ? p->client : p->server;
        sim_cut(from, back);
        uint64_t start = sim_now_ns(p->sim);
        {
            FIBER_TIMEOUT(2500 * MSEC);
            assert_int_equal(net_connect(p->client_node, &to, &s), -ERR_TIMEOUT);
        }
        assert_int_equal(sim_now_ns(p->sim) - start, 2500 * MSEC);
        assert_int_equal(net_connect(p->client_node, &to, &s), -ERR_RPC_CONNECT_FAILED);
        assert_in_range(sim_now_ns(p->sim) - start, 10 * SEC, 60 * SEC);
        sim_heal(from, back);
        assert_int_equal(net_connect(p->client_node, &to, &s), 0);
        s = stream_close(s);
    }
    /* A listener on the loopback is not reachable from elsewhere. */
    struct net_address own = { .scheme = NET_TCP, .port = 77, .host = "127.0.0.1" };
    assert_int_equal(net_listen(p->server_node, &own, &l), 0);
    assert_int_equal(net_connect(p->server_node, &own, &s), 0);
    s = stream_close(s);
    snprintf(own.host, sizeof own.host, "server");
    assert_int_equal(net_connect(p->client_node, &own, &s), -ERR_RPC_CONNECT_FAILED);
    l = listener_close(l);
    pair_close(p);
    return 0;
}

static void connecting(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair p = { 0 };
        assert_int_equal(pair_run_seed(seed, connect_main, &p), 0);
    }
}

static int unix_main(void *arg)
{
    struct pair *p = arg;
    const struct net_address at = { .scheme = NET_UNIX, .host = "/run/c3fs.sock" };
    struct listener *other = NULL;
    char byte;
    int pid = 0, own_pid = 0;
    unsigned uid = 1;
    check(net_listen(p->server_node, &at, &p->listener) == 0);
    check(net_listen(p->client_node, &at, &other) == 0); /* each machine has its own paths */
    other = listener_close(other);
    assert_int_equal(net_connect(p->client_node, &at, &p->at_client), -ERR_RPC_CONNECT_FAILED);
    struct node *second = node_new(sim_loop(p->sim), p->server, "second");
    check(net_connect(second, &at, &p->at_client) == 0);
    check(listener_accept(p->listener, &p->at_server) == 0);
    sim_cut(p->server, p->client); /* has nothing to do with it */
    check(write_text(p->at_client, "x") == 0);
    assert_int_equal(stream_read(p->at_server, &byte, 1), 1);
    assert_int_equal(stream_peer_credentials(p->at_server, &pid, &uid), 0);
    assert_int_equal(stream_peer_credentials(p->at_client, &own_pid, &uid), 0);
    assert_int_equal(uid, 0);
    assert_true(pid > 0 && own_pid > 0 && pid != own_pid);
    pair_close(p);
    node_free(second);
    return 0;
}

static void unix_sockets_belong_to_a_machine(void **state)
{
    struct pair p = { 0 };
    assert_int_equal(pair_run_seed(1, unix_main, &p), 0);
}

/* A frozen machine's kernel still takes connections and bytes, up to the window. */
static int freeze_main(void *arg)
{
    struct pair *p = arg;
    pair_open(p);
    check(fiber_spawn(&p->server_node->scope, "reader", server_reader, p) == 0);
    check(fiber_sleep(1 * MSEC) == 0);
    sim_freeze(p->server);
    check(write_text(p->at_client, "hello") == 0);
    struct stream *s = NULL;
    struct net_address to = address_of(p);
    check(net_connect(p->client_node, &to, &s) == 0);
    s = stream_close(s);
    check(fiber_sleep(60 * SEC) == 0);
    assert_int_equal(p->counts[0], 0);
    sim_thaw(p->server);
    check(fiber_sleep(1 * MSEC) == 0);
    assert_int_equal(p->counts[0], 5);
    assert_int_equal(p->counts[2], 0);
    node_stop(p->server_node);
    pair_close(p);
    return 0;
}

static void frozen_machines_keep_their_sockets(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair p = { 0 };
        assert_int_equal(pair_run_seed(seed, freeze_main, &p), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order),
        cmocka_unit_test(bandwidth_is_limited),
        cmocka_unit_test(slow_readers_hold_writers),
        cmocka_unit_test(ends_and_resets),
        cmocka_unit_test(streams_break_on_their_own),
        cmocka_unit_test(bits_flip_as_asked),
        cmocka_unit_test(short_cuts_delay),
        cmocka_unit_test(long_cuts_break_both_ends),
        cmocka_unit_test(peers_learn_of_crashes),
        cmocka_unit_test(connecting),
        cmocka_unit_test(unix_sockets_belong_to_a_machine),
        cmocka_unit_test(frozen_machines_keep_their_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
