/* rpc_test.c - calls over every transport and loop: sizes, concurrency, deadlines, restarts. */
#include "rpc/rpc_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void on_all(const struct world_options *options, int (*body)(struct test_world *w))
{
    for (int kind = 0; kind < WORLD_KIND_MAX; kind++) {
        world_run((enum world_kind)kind, options, body);
    }
}

static void on_connections(const struct world_options *options, int (*body)(struct test_world *w))
{
    world_run(WORLD_SIM, options, body);
    world_run(WORLD_POSIX, options, body);
    world_run(WORLD_AUTO, options, body);
}

/* ---- sizes ---- */

static int echo_sizes(struct test_world *w) fiber_fn
{
    static const uint32_t sizes[] = { 0,     1,      63,     64,      447,           448,    1000,
                                      4095,  4096,   8000,   65471,   65472,         65535,  65536,
                                      65537, 131072, 300000, 1 << 20, (1 << 20) + 1, 5 << 20 };
    uint64_t number = 0;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        uint8_t *payload = arena_zalloc(&arena, sizes[i] + 1);
        for (uint32_t at = 0; at < sizes[i]; at++) {
            payload[at] = bulk_byte(i, at);
        }
        struct echo_call call = { .req = { .number = ++number } };
        call.req.payload = bytes_of(payload, sizes[i]);
        check(echo_run(w, &call, NULL) == 0); /* body only */
        call.req.payload = bytes_of(payload, MIN_OF(sizes[i], 100u));
        call.bulk_size = sizes[i];
        check(echo_run(w, &call, NULL) == 0); /* bulk data out */
        call.req.reply_bulk_size = sizes[i];
        check(echo_run(w, &call, NULL) == 0); /* and in */
        call.bulk_size = 0;
        call.class = RPC_BULK;
        check(echo_run(w, &call, NULL) == 0); /* in only */
    }
    return 0;
}

static void all_sizes(void **state)
{
    on_all(NULL, echo_sizes);
}

static int results_and_errors(struct test_world *w) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    const char *text = NULL;
    struct rpc_options o = { .arena = &arena, .ret_error_text = &text };
    struct rpc_target target = { .pool = w->pool, .address = &w->address };
    struct echo_reply rep = { 0 };
    check(echo_echo(target, &o, &(struct echo_request){ .result = 12 }, &rep) == 12);
    check(!text);
    struct echo_request fails = { .number = 5, .result = -ERR_META_NOT_FOUND };
    check(echo_echo(target, &o, &fails, &rep) == -ERR_META_NOT_FOUND);
    check(text && !strcmp(text, "number 5"));
    text = NULL;
    check(echo_absent(target, &o, &fails, &rep) == -ERR_NOT_IMPLEMENTED);
    check(!text);

    struct rpc_method method = *RPC_METHOD(echo, echo);
    method.id = 99;
    check(rpc_call(target, &echo_service, &method, &o, &fails, &rep) == -ERR_RPC_INVALID_METHOD);
    struct rpc_service service = echo_service;
    service.id = 1;
    method.id = 1;
    check(rpc_call(target, &service, &method, &o, &fails, &rep) == -ERR_RPC_INVALID_SERVICE);

    /* More bulk data than the caller has room for; the connection goes on. */
    struct echo_request much = { .reply_bulk_size = 100000 };
    check(echo_echo(target, &o, &much, &rep) == -ERR_RPC_VERIFY_RESPONSE);
    /* A request too large to be sent. */
    struct echo_request large = { .payload = { xmalloc(17 << 20), 17 << 20 } };
    check(echo_echo(target, &o, &large, &rep) == -ERR_INVALID_ARG);
    free((void *)(uintptr_t)large.payload.base);
    check(echo_run(w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
    check(*metrics_cell(w->server_node->metrics, "rpc.bad_frames") == 0);
    return 0;
}

static void statuses_reach_the_caller(void **state)
{
    on_all(NULL, results_and_errors);
}

/* ---- many at once ---- */

struct many {
    struct test_world *w;
    uint64_t next;
    uint32_t bulk_size;
    uint64_t sleep_ns;
    int failed_count;
};

static int many_one(void *arg) fiber_fn
{
    struct many *m = arg;
    struct echo_call call = { .req = { .number = m->next++, .sleep_ns = m->sleep_ns },
                              .bulk_size = m->bulk_size,
                              .class = m->bulk_size ? RPC_BULK : RPC_CONTROL };
    call.req.reply_bulk_size = m->bulk_size;
    call.req.payload = bytes_of(&call.req.number, sizeof call.req.number);
    if (echo_run(m->w, &call, NULL) != 0) m->failed_count++;
    return 0;
}

static void many_run(struct many *m, int count) fiber_fn
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    for (int i = 0; i < count; i++) {
        check(fiber_spawn(&scope, "caller", many_one, m) == 0);
    }
    check(scope_wait(&scope) == 0);
}

static int thousand_calls(struct test_world *w) fiber_fn
{
    struct many m = { .w = w, .sleep_ns = MSEC };
    many_run(&m, 1000);
    check(m.failed_count == 0 && w->echo.call_count == 1000);
    m.bulk_size = 70000;
    many_run(&m, 200);
    check(m.failed_count == 0);
    return 0;
}

static void concurrent_calls(void **state)
{
    on_all(NULL, thousand_calls);
    struct world_options o = { .seed = 7, .shuffle_ready = true };
    world_run(WORLD_SIM, &o, thousand_calls);
}

/* Few requests at a time, and a pool of buffers that holds two of them: all the same all are
 * served. */
static int limited_calls(struct test_world *w) fiber_fn
{
    struct many m = { .w = w, .sleep_ns = MSEC };
    many_run(&m, 100);
    check(m.failed_count == 0);
    check(w->echo.running_count_max <= 4);
    m.bulk_size = 100000;
    many_run(&m, 50);
    check(m.failed_count == 0);
    return 0;
}

static void limits_hold_back(void **state)
{
    struct world_options o = { .server = { .request_count_max = 4,
                                           .bulk_bytes_max = 512 << 10,
                                           .bulk_size_max = 128 << 10 } };
    on_connections(&o, limited_calls);
}

/* ---- deadlines ---- */

static int deadlines(struct test_world *w) fiber_fn
{
    struct echo_reply rep;
    check(echo_run(w, &(struct echo_call){ .timeout_ns = 2 * SEC }, &rep) == 0);
    check(rep.remaining_ns <= 2 * SEC && rep.remaining_ns > 1 * SEC);
    check(echo_run(w, &(struct echo_call){ .req.number = 0 }, &rep) == 0); /* no deadline: 60 s */
    check(rep.remaining_ns <= 60 * SEC && rep.remaining_ns > 59 * SEC);
    {
        FIBER_TIMEOUT(500 * MSEC); /* the caller's own is earlier */
        check(echo_run(w, &(struct echo_call){ .timeout_ns = 2 * SEC }, &rep) == 0);
        check(rep.remaining_ns <= 500 * MSEC);
    }
    uint64_t begin = world_now_ns(w);
    struct echo_call late = { .req.sleep_ns = 10 * SEC, .timeout_ns = 30 * MSEC };
    check(echo_run(w, &late, NULL) == -ERR_TIMEOUT);
    check(world_now_ns(w) - begin < 130 * MSEC);
    check(fiber_sleep(50 * MSEC) == 0);
    check(w->echo.running_count == 0); /* the handler ended by the same deadline */
    {
        FIBER_TIMEOUT(0);
        uint64_t count = w->echo.call_count;
        check(echo_run(w, &(struct echo_call){ .req.number = 0 }, NULL) == -ERR_TIMEOUT);
        check(w->echo.call_count == count);
    }
    check(echo_run(w, &(struct echo_call){ .req.number = 3 }, NULL) == 0);
    return 0;
}

static void deadlines_travel(void **state)
{
    on_all(NULL, deadlines);
}

static int cancelled_call(void *arg) fiber_fn
{
    struct test_world *w = arg;
    struct echo_call call = { .req.sleep_ns = 10 * SEC, .bulk_size = 1 << 20 };
    call.req.reply_bulk_size = 1 << 20;
    check(echo_run(w, &call, NULL) == -ERR_CANCELED);
    return 0;
}

static int cancellation(struct test_world *w) fiber_fn
{
    for (uint64_t wait = 0; wait < 5 * MSEC; wait += 500 * USEC) {
        struct scope scope;
        scope_init(&scope, NULL);
        check(fiber_spawn(&scope, "caller", cancelled_call, w) == 0);
        if (wait) check(fiber_sleep(wait) == 0);
        uint64_t begin = world_now_ns(w);
        scope_done(&scope);
        check(world_now_ns(w) - begin < 300 * MSEC);
    }
    check(echo_run(w, &(struct echo_call){ .req.number = 3 }, NULL) == 0);
    return 0;
}

static void callers_leave_when_cancelled(void **state)
{
    on_all(NULL, cancellation);
}

/* ---- ends of servers and connections ---- */

static int restarts(struct test_world *w) fiber_fn
{
    for (int i = 0; i < 5; i++) {
        check(echo_run(w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
        w->server = rpc_server_stop(w->server, SEC);
        int r = echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL);
        check(r == -ERR_RPC_CONNECT_FAILED || r == -ERR_RPC_SOCKET_CLOSED ||
              r == -ERR_RPC_SEND_FAILED);
        check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) ==
              -ERR_RPC_CONNECT_FAILED);
        world_start_server(w);
        check(echo_run(w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
    }
    return 0;
}

static void clients_reconnect(void **state)
{
    on_all(NULL, restarts);
}

struct stop_caller {
    struct test_world *w;
    uint64_t sleep_ns;
    int result;
};

static int stop_one(void *arg) fiber_fn
{
    struct stop_caller *c = arg;
    struct echo_call call = { .req.sleep_ns = c->sleep_ns };
    c->result = echo_run(c->w, &call, NULL);
    return 0;
}

static int stop_with_grace(struct test_world *w) fiber_fn
{
    struct stop_caller quick = { w, 50 * MSEC, 1 }, slow = { w, 30 * SEC, 1 };
    struct scope scope;
    scope_init(&scope, NULL);
    check(fiber_spawn(&scope, "quick", stop_one, &quick) == 0);
    check(fiber_spawn(&scope, "slow", stop_one, &slow) == 0);
    check(fiber_sleep(20 * MSEC) == 0);
    check(w->echo.running_count == 2);
    uint64_t begin = world_now_ns(w);
    w->server = rpc_server_stop(w->server, 200 * MSEC);
    check(world_now_ns(w) - begin >= 200 * MSEC && world_now_ns(w) - begin < 400 * MSEC);
    check(w->echo.running_count == 0);
    check(scope_wait(&scope) == 0);
    check(quick.result == 0); /* within the grace */
    check(slow.result == -ERR_RPC_SOCKET_CLOSED);
    scope_done(&scope);
    world_start_server(w);
    return 0;
}

static void server_stops_in_order(void **state)
{
    on_all(NULL, stop_with_grace);
}

static int reset_by_hand(struct test_world *w) fiber_fn
{
    struct stop_caller slow = { w, 30 * SEC, 1 };
    struct scope scope;
    scope_init(&scope, NULL);
    check(fiber_spawn(&scope, "slow", stop_one, &slow) == 0);
    check(fiber_sleep(20 * MSEC) == 0);
    rpc_pool_reset(w->pool, &w->address);
    check(scope_wait(&scope) == 0);
    check(slow.result == -ERR_RPC_SOCKET_CLOSED);
    check(w->echo.running_count == 1); /* the handler runs on */
    scope_done(&scope);
    check(echo_run(w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
    return 0;
}

static void pool_reset_breaks_connections(void **state)
{
    on_connections(NULL, reset_by_hand);
}

static int pool_ends(struct test_world *w) fiber_fn
{
    struct stop_caller slow = { w, 30 * SEC, 1 };
    struct scope scope;
    scope_init(&scope, NULL);
    check(fiber_spawn(&scope, "slow", stop_one, &slow) == 0);
    check(fiber_sleep(20 * MSEC) == 0);
    check(w->echo.running_count == 1);
    uint64_t begin = world_now_ns(w);
    w->pool = rpc_pool_free(w->pool);
    check(world_now_ns(w) - begin < SEC);
    check(scope_wait(&scope) == 0);
    check(slow.result == -ERR_CANCELED);
    scope_done(&scope);
    w->pool = rpc_pool_new(w->client_node, NULL);
    check(echo_run(w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
    return 0;
}

static void end_of_a_pool_ends_its_calls(void **state)
{
    on_all(NULL, pool_ends);
}

static int nobody_listens(struct test_world *w) fiber_fn
{
    w->server = rpc_server_stop(w->server, 0);
    uint64_t begin = world_now_ns(w);
    for (int i = 0; i < 8; i++) {
        check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) ==
              -ERR_RPC_CONNECT_FAILED);
    }
    /* 10 + 20 + 40 + ... ms of pauses: neither a storm nor a standstill. */
    uint64_t took = world_now_ns(w) - begin;
    check(took > 500 * MSEC && took < 3 * SEC);
    struct many m = { .w = w };
    many_run(&m, 50); /* share one attempt */
    check(m.failed_count == 50 && world_now_ns(w) - begin - took < 2 * SEC);
    world_start_server(w);
    begin = world_now_ns(w);
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == 0);
    check(world_now_ns(w) - begin < 600 * MSEC);
    return 0;
}

static void attempts_are_paced(void **state)
{
    on_connections(NULL, nobody_listens);
}

/* ---- late replies ---- */

static int late_bulk_replies(struct test_world *w) fiber_fn
{
    for (int i = 0; i < 60; i++) {
        struct echo_call call = { .req = { .number = (uint64_t)i, .reply_bulk_size = 1 << 20 },
                                  .timeout_ns = 100 * USEC + (uint64_t)i * 100 * USEC,
                                  .class = RPC_BULK };
        int r = echo_run(w, &call, NULL); /* frees the memory at once: a write after it shows */
        check(r == 0 || r == -ERR_TIMEOUT || r == -ERR_RPC_CONNECT_FAILED ||
              r == -ERR_RPC_SOCKET_CLOSED);
    }
    struct echo_call call = { .req = { .number = 1, .reply_bulk_size = 3 << 20 },
                              .class = RPC_BULK };
    check(echo_run(w, &call, NULL) == 0);
    return 0;
}

static void late_replies_touch_nothing(void **state)
{
    on_all(NULL, late_bulk_replies);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world_options o = {
            .seed = seed,
            .net = { .delay_min_ns = 10 * USEC, .delay_max_ns = MSEC, .bytes_per_sec = 1 << 30 }
        };
        world_run(WORLD_SIM, &o, late_bulk_replies);
    }
}

/* A caller that leaves in the middle of a reply keeps the connection: others still wait on it. */
static int connection_survives_timeouts(struct test_world *w) fiber_fn
{
    struct stop_caller slow = { w, 3 * SEC, 1 };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    check(fiber_spawn(&scope, "slow", stop_one, &slow) == 0);
    check(fiber_sleep(10 * MSEC) == 0);
    for (int i = 0; i < 20; i++) {
        struct echo_call call = { .req = { .reply_bulk_size = 2 << 20 },
                                  .timeout_ns = 5 * MSEC + (uint64_t)i * MSEC };
        check(echo_run(w, &call, NULL) == -ERR_TIMEOUT); /* it takes some 100 ms */
    }
    check(scope_wait(&scope) == 0);
    check(slow.result == 0);
    check(metrics_value(w->client_node->metrics, "rpc.late_replies") > 0);
    return 0;
}

static void timeouts_keep_connections(void **state)
{
    struct world_options o = {
        .net = { .delay_min_ns = 10 * USEC, .delay_max_ns = 100 * USEC, .bytes_per_sec = 20 << 20 }
    };
    world_run(WORLD_SIM, &o, connection_survives_timeouts);
}

/* ---- silence ---- */

static int long_poll(struct test_world *w) fiber_fn
{
    struct echo_call call = { .req.sleep_ns = 45 * SEC };
    check(echo_run(w, &call, NULL) == 0); /* pings keep it alive */
    check(metrics_value(w->client_node->metrics, "rpc.silent_connections") == 0);
    sim_freeze(w->server_machine);
    uint64_t begin = world_now_ns(w);
    int r = echo_run(w, &call, NULL);
    check(r == -ERR_RPC_SOCKET_CLOSED);
    check(world_now_ns(w) - begin >= 10 * SEC && world_now_ns(w) - begin < 16 * SEC);
    check(metrics_value(w->client_node->metrics, "rpc.silent_connections") == 1);
    sim_thaw(w->server_machine);
    check(echo_run(w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
    return 0;
}

static void silent_connections_are_reset(void **state)
{
    world_run(WORLD_SIM, NULL, long_poll);
}

/* ---- unix sockets ---- */

static int over_unix_socket(struct test_world *w) fiber_fn
{
    w->address = w->options.server.listen_unix;
    check(echo_sizes(w) == 0);
    struct many m = { .w = w, .bulk_size = 70000 };
    many_run(&m, 50);
    check(m.failed_count == 0);
    return 0;
}

static void unix_sockets(void **state)
{
    char directory[] = "/tmp/rpc_test_XXXXXX";
    assert_non_null(mkdtemp(directory));
    struct world_options o = { .server.listen_unix.scheme = NET_UNIX };
    char *path = o.server.listen_unix.host;
    snprintf(path, sizeof o.server.listen_unix.host, "%s/socket", directory);
    world_run(WORLD_POSIX, &o, over_unix_socket);
    unlink(path);
    assert_int_equal(rmdir(directory), 0);
}

/* ---- local: no socket at all ---- */

static int local_only(void *arg) fiber_fn
{
    struct node *node = arg;
    struct echo_world echo = { 0 };
    struct rpc_server_options o = { 0 };
    check(net_address_parse("LOCAL://here", &o.listen) == 0);
    struct rpc_server *server;
    check(rpc_server_start(node, &o, &server) == 0);
    rpc_server_add(server, &echo_service, &echo_service_handlers, &echo);
    struct net_address alias, other;
    check(net_address_parse("TCP://storage-7.example:8000", &alias) == 0);
    check(net_address_parse("LOCAL://elsewhere", &other) == 0);
    rpc_server_add_alias(server, &alias);
    struct test_world w = { .pool = rpc_pool_new(node, NULL), .address = o.listen };
    check(echo_run(&w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
    w.address = alias;
    check(echo_run(&w, &(struct echo_call){ .req.number = 1 }, NULL) == 0);
    w.address = other;
    check(echo_run(&w, &(struct echo_call){ .req.number = 1 }, NULL) == -ERR_RPC_CONNECT_FAILED);
    check(echo.call_count == 2);
    rpc_server_stop(server, 0);
    rpc_pool_free(w.pool);
    return 0;
}

static void local_addresses(void **state)
{
    struct loop *loop;
    check(loop_new(LOOP_POSIX, &loop, NULL) == 0);
    struct node *node = node_new(loop, NULL, "one");
    check(loop_run_main(loop, node, local_only, node) == 0);
    node_free(node);
    loop_free(loop);
}

/* ---- a port that is held for a moment more ---- */

struct successor {
    struct test_world *w;
    int result;
    bool has_ended;
};

static int succeed(void *arg) fiber_fn
{
    struct successor *s = arg;
    struct rpc_server *server = NULL;
    struct rpc_server_options o = { .listen = s->w->address };
    s->result = rpc_server_start(s->w->server_node, &o, &server);
    if (server) rpc_server_stop(server, 0);
    s->has_ended = true;
    return 0;
}

static int port_is_freed_late(struct test_world *w) fiber_fn
{
    struct successor first = { .w = w }, second = { .w = w };
    uint64_t begin_ns = world_now_ns(w);
    succeed(&first); /* it is not freed at all */
    check(first.result == -ERR_RPC_LISTEN_FAILED && world_now_ns(w) - begin_ns < 10 * SEC);
    check(fiber_spawn(&w->server_node->scope, "successor", succeed, &second) == 0);
    check(fiber_sleep(200 * MSEC) == 0 && !second.has_ended);
    w->server = rpc_server_stop(w->server, 0);
    while (!second.has_ended)
        check(fiber_sleep(10 * MSEC) == 0);
    check(second.result == 0);
    world_start_server(w);
    return 0;
}

static void ports_are_waited_for(void **state)
{
    on_connections(NULL, port_is_freed_late);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes),
        cmocka_unit_test(statuses_reach_the_caller),
        cmocka_unit_test(concurrent_calls),
        cmocka_unit_test(limits_hold_back),
        cmocka_unit_test(deadlines_travel),
        cmocka_unit_test(callers_leave_when_cancelled),
        cmocka_unit_test(clients_reconnect),
        cmocka_unit_test(server_stops_in_order),
        cmocka_unit_test(pool_reset_breaks_connections),
        cmocka_unit_test(end_of_a_pool_ends_its_calls),
        cmocka_unit_test(attempts_are_paced),
        cmocka_unit_test(late_replies_touch_nothing),
        cmocka_unit_test(timeouts_keep_connections),
        cmocka_unit_test(silent_connections_are_reset),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(local_addresses),
        cmocka_unit_test(ports_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
