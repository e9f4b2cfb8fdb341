/* test_world.c - see rpc_test.h. */
#include "rpc/rpc_test.h"

#include <stdio.h>

void world_start_server(struct test_world *w)
{
    struct rpc_server_options o = w->options.server;
    o.listen = w->address;
    int r = rpc_server_start(w->server_node, &o, &w->server);
    check(r == 0);
    rpc_server_add(w->server, &echo_service, &echo_service_handlers, &w->echo);
    w->address = *rpc_server_address(w->server);
}

uint64_t world_now_ns(const struct test_world *w)
{
    return sched_now_ns(loop_sched(w->loop));
}

static int world_main(void *arg) fiber_fn
{
    struct test_world *w = arg;
    world_start_server(w);
    w->pool = rpc_pool_new(w->client_node, w->options.identity);
    w->result = w->body(w);
    w->pool = rpc_pool_free(w->pool);
    w->server = rpc_server_stop(w->server, 0);
    check(w->echo.push_done_count == w->echo.push_count);
    node_stop(w->client_node);
    node_stop(w->server_node);
    return w->result;
}

static void world_run_sim(struct test_world *w, bool is_local)
{
    struct sim_options o = { .seed = w->options.seed,
                             .net = w->options.net,
                             .shuffle_ready = w->options.shuffle_ready };
    if (!o.net.delay_max_ns) {
        o.net.delay_min_ns = 20 * USEC;
        o.net.delay_max_ns = 200 * USEC;
    }
    w->sim = sim_new(&o);
    w->loop = sim_loop(w->sim);
    w->server_machine = sim_machine_new(w->sim, "server");
    w->client_machine = is_local ? w->server_machine : sim_machine_new(w->sim, "client");
    w->server_node = node_new(w->loop, w->server_machine, "server");
    w->client_node = node_new(w->loop, w->client_machine, "client");
    check(net_address_parse("TCP://server:8000", &w->address) == 0);
    int r = sim_run(w->sim, world_main, w, w->options.limit_ns ? w->options.limit_ns : 3600 * SEC);
    if (r < 0) fprintf(stderr, "seed %lu: %s\n", w->options.seed, error_name(r));
    check(r == 0);
    node_free(w->server_node);
    node_free(w->client_node);
    if (w->options.ret_trace_hash) *w->options.ret_trace_hash = sim_trace_hash(w->sim);
    sim_free(w->sim);
}

static void world_run_real(struct test_world *w, enum loop_backend backend)
{
    check(loop_new(backend, &w->loop, NULL) == 0);
    w->server_node = node_new(w->loop, NULL, "server");
    w->client_node = node_new(w->loop, NULL, "client");
    struct node *world_node = node_new(w->loop, NULL, "world");
    check(net_address_parse("TCP://127.0.0.1:0", &w->address) == 0);
    int r = loop_run_main(w->loop, world_node, world_main, w);
    check(r == 0);
    node_free(world_node);
    node_free(w->server_node);
    node_free(w->client_node);
    loop_free(w->loop);
}

void world_run(enum world_kind kind, const struct world_options *options,
               int (*body)(struct test_world *w))
{
    struct test_world w = { .body = body };
    if (options) {
        w.options = *options;
        w.arg = options->arg;
    }
    if (!w.options.seed) w.options.seed = 1;
    bool is_local = kind == WORLD_SIM_LOCAL || kind == WORLD_AUTO_LOCAL;
    w.options.server.without_local = !is_local;
    if (kind == WORLD_SIM || kind == WORLD_SIM_LOCAL)
        world_run_sim(&w, is_local);
    else
        world_run_real(&w, kind == WORLD_POSIX ? LOOP_POSIX : LOOP_AUTO);
}

int echo_run(struct test_world *w, const struct echo_call *call, struct echo_reply *rep)
{
    cleanup_arena_ struct arena arena = { 0 };
    uint32_t out_size = call->bulk_size, in_size = call->req.reply_bulk_size;
    if (in_size && out_size) in_size = out_size;
    uint8_t *out = xmalloc(out_size), *in = xmalloc(in_size);
    for (uint32_t i = 0; i < out_size; i++) {
        out[i] = bulk_byte(call->req.number, i);
    }
    /* In odd pieces. */
    struct iovec iov_out[] = { { out, out_size / 3 },
                               { out + out_size / 3, out_size - out_size / 3 } };
    struct iovec iov_in[] = { { in, in_size / 5 },
                              { in, 0 },
                              { in + in_size / 5, in_size - in_size / 5 } };
    uint32_t got = 0;
    struct rpc_options o = { .timeout_ns = call->timeout_ns,
                             .arena = &arena,
                             .bulk_out = iov_out,
                             .bulk_out_count = out_size ? 2 : 0,
                             .bulk_in = iov_in,
                             .bulk_in_count = 3,
                             .ret_bulk_in_size = &got };
    struct rpc_target target = { .pool = w->pool, .address = &w->address, .class = call->class };
    struct echo_reply reply = { 0 };
    int r = echo_echo(target, &o, &call->req, &reply);
    if (r >= 0) {
        check(got == in_size);
        for (uint32_t i = 0; i < in_size; i++) {
            check(in[i] == bulk_byte(call->req.number, i));
        }
        check(reply.number == call->req.number);
        check(bytes_equal(reply.payload, call->req.payload));
    }
    if (rep) *rep = reply;
    free(in);
    free(out);
    return r;
}
