/* chaos_test.c - calls over a bad network to a server that comes and goes, over many seeds.
 *
 * Whatever happens, every call ends by its deadline, none is executed twice, a success was
 * executed, and -ERR_RPC_CONNECT_FAILED was not. When all is quiet again, calls succeed.
 */
#include "rpc/rpc_test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { CALLERS = 12, CALLS_EACH = 16, SEEDS = 100 };
/* A caller may have to wait until a stuck connection lets go of its memory. */
#define LET_GO_NS (150 * MSEC)

static const struct sim_net_profile quiet = { .delay_min_ns = 10 * USEC,
                                              .delay_max_ns = 100 * USEC };

struct chaos {
    struct test_world *w;
    uint64_t next_number;
    uint32_t success_count, failure_count;
    bool is_over;
};

static uint64_t chance(struct chaos *c, uint64_t bound)
{
    return sim_random_below(c->w->sim, bound);
}

static struct echo_call random_call(struct chaos *c)
{
    static const uint32_t sizes[] = { 0, 100, 5000, 70000, 400000 };
    struct echo_call call = {
        .req = { .number = c->next_number++ },
        .timeout_ns = MSEC << chance(c, 12),
        .class = (enum rpc_class)chance(c, RPC_CLASS_MAX),
    };
    if (chance(c, 3) == 0) call.req.sleep_ns = MSEC << chance(c, 10);
    if (chance(c, 2)) call.bulk_size = sizes[chance(c, ARRAY_SIZE(sizes))];
    if (chance(c, 2)) call.req.reply_bulk_size = sizes[chance(c, ARRAY_SIZE(sizes))];
    call.req.payload = bytes_of(&call.req.number, 0);
    return call;
}

static int caller(void *arg) fiber_fn
{
    struct chaos *c = arg;
    for (int i = 0; i < CALLS_EACH; i++) {
        struct echo_call call = random_call(c);
        uint64_t begin = world_now_ns(c->w);
        int r = echo_run(c->w, &call, NULL);
        uint64_t took = world_now_ns(c->w) - begin;
        uint8_t seen = c->w->echo.seen[call.req.number];
        check(took <= call.timeout_ns + LET_GO_NS);
        check(r != -ERR_CANCELED);
        if (r == 0) check(seen == 1);
        if (r == -ERR_RPC_CONNECT_FAILED) check(seen == 0);
        c->success_count += r == 0;
        c->failure_count += r < 0;
    }
    return 0;
}

static void restart_server(struct chaos *c, uint64_t grace_ns) fiber_fn
{
    struct test_world *w = c->w;
    w->server = rpc_server_stop(w->server, grace_ns);
    check(fiber_sleep(chance(c, 300 * MSEC)) == 0);
    world_start_server(w);
}

static void crash_server(struct chaos *c) fiber_fn
{
    struct test_world *w = c->w;
    sim_crash(w->server_machine);
    w->server = rpc_server_stop(w->server, SEC);
    check(w->echo.running_count == 0);
    node_stop(w->server_node);
    w->server_node = node_free(w->server_node);
    check(fiber_sleep(chance(c, 300 * MSEC)) == 0);
    sim_restart(w->server_machine);
    w->server_node = node_new(w->loop, w->server_machine, "server");
    world_start_server(w);
}

static int trouble(void *arg) fiber_fn
{
    struct chaos *c = arg;
    struct test_world *w = c->w;
    while (!c->is_over) {
        check(fiber_sleep(chance(c, 400 * MSEC)) == 0);
        switch (chance(c, 7)) {
        case 0: sim_cut(w->client_machine, w->server_machine); break;
        case 1: sim_cut(w->server_machine, w->client_machine); break;
        case 2:
            sim_freeze(w->server_machine);
            check(fiber_sleep(chance(c, 200 * MSEC)) == 0);
            sim_thaw(w->server_machine);
            break;
        case 3: restart_server(c, chance(c, 100 * MSEC)); break;
        case 4: crash_server(c); break;
        case 5: rpc_pool_reset(w->pool, &w->address); break;
        default: sim_heal_all(w->sim); break;
        }
    }
    return 0;
}

static void all_is_well_again(struct chaos *c) fiber_fn
{
    struct test_world *w = c->w;
    sim_heal_all(w->sim);
    sim_set_net_profile(w->sim, &quiet);
    check(fiber_sleep(20 * SEC) == 0); /* streams that were cut break by then */
    struct echo_call call = { .req.number = c->next_number++ };
    int r = echo_run(w, &call, NULL);
    if (r < 0)
        r = echo_run(w, &call, NULL); /* the first may find out that the connection is dead */
    check(r == 0);
    check(w->echo.running_count == 0);
}

static int chaos_run(struct test_world *w) fiber_fn
{
    enum { NUMBERS = CALLERS * CALLS_EACH + 1 };
    struct chaos c = { .w = w };
    w->echo.seen = xcalloc(NUMBERS, 1);
    w->echo.seen_count = NUMBERS;
    struct scope callers, troubles;
    scope_init(&callers, NULL);
    scope_init(&troubles, NULL);
    check(fiber_spawn(&troubles, "trouble", trouble, &c) == 0);
    for (int i = 0; i < CALLERS; i++) {
        check(fiber_spawn(&callers, "caller", caller, &c) == 0);
    }
    check(scope_wait(&callers) == 0);
    c.is_over = true;
    check(scope_wait(&troubles) == 0);
    all_is_well_again(&c);
    for (uint64_t i = 0; i < NUMBERS; i++) {
        check(w->echo.seen[i] <= 1 || i == NUMBERS - 1);
    }
    check(c.success_count > 0 && c.success_count + c.failure_count == CALLERS * CALLS_EACH);
    *(uint32_t *)(uintptr_t)w->arg += c.success_count;
    free(w->echo.seen);
    w->echo.seen = NULL;
    scope_done(&callers);
    scope_done(&troubles);
    return 0;
}

static struct world_options chaos_options(uint64_t seed, uint32_t *success_count)
{
    return (struct world_options){
        .seed = seed,
        .shuffle_ready = true,
        .net = { .delay_min_ns = 20 * USEC,
                 .delay_max_ns = 2 * MSEC,
                 .loss_ppm = (uint32_t)(seed % 4 * 5000),
                 .reset_ppm = (uint32_t)(seed % 3 * 2000),
                 .bytes_per_sec = seed % 2 ? 100 << 20 : 0,
                 .crash_silent_ppm = 300000 },
        .server = { .request_count_max = seed % 5 ? 64 : 3,
                    .bulk_bytes_max = seed % 5 ? 64 << 20 : 4 << 20,
                    .bulk_size_max = 2 << 20 },
        .arg = success_count,
    };
}

static void no_call_is_lost_or_doubled(void **state)
{
    uint32_t success_count = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world_options o = chaos_options(seed, &success_count);
        world_run(WORLD_SIM, &o, chaos_run);
    }
    print_message("%u of %u calls succeeded\n", success_count, SEEDS * CALLERS * CALLS_EACH);
    assert_true(success_count > SEEDS * CALLERS * CALLS_EACH / 10);
}

/* ---- a client that dies ---- */

static int doomed_caller(void *arg) fiber_fn
{
    struct chaos *c = arg;
    for (;;) {
        struct echo_call call = random_call(c);
        int r = echo_run(c->w, &call, NULL);
        if (r == -ERR_CANCELED) return r;
    }
}

/* Calls in every state lose their client; the server ends their connections and serves the next. */
static int client_dies(struct test_world *w) fiber_fn
{
    struct chaos c = { .w = w };
    for (int i = 0; i < CALLERS; i++) {
        check(fiber_spawn(&w->client_node->scope, "caller", doomed_caller, &c) == 0);
    }
    check(fiber_sleep(chance(&c, 100 * MSEC)) == 0);
    sim_crash(w->client_machine);
    w->pool = rpc_pool_free(w->pool);
    node_stop(w->client_node);
    node_free(w->client_node);
    sim_restart(w->client_machine);
    w->client_node = node_new(w->loop, w->client_machine, "client");
    w->pool = rpc_pool_new(w->client_node, NULL);
    sim_set_net_profile(w->sim, &quiet);
    struct echo_call call = { .req.number = 1 };
    check(echo_run(w, &call, NULL) == 0);
    check(fiber_sleep(60 * SEC) == 0);
    check(w->echo.running_count == 0 && w->echo.push_count == w->echo.push_done_count);
    return 0;
}

static void clients_die(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS / 2; seed++) {
        struct world_options o = chaos_options(seed, NULL);
        world_run(WORLD_SIM, &o, client_dies);
    }
}

/* ---- a network that flips bits ---- */

/* What the frames carry is what was sent, or the connection breaks; bulk data has its own CRCs. */
static int flipped_bits(struct test_world *w) fiber_fn
{
    uint32_t success_count = 0;
    for (uint64_t i = 0; i < 300; i++) {
        uint8_t payload[300];
        memset(payload, (int)i, sizeof payload);
        struct echo_call call = {
            .req = { .number = i, .payload = bytes_of(payload, sizeof payload) }, .timeout_ns = SEC
        };
        success_count += echo_run(w, &call, NULL) == 0; /* compares number and payload */
    }
    check(success_count > 100 && success_count < 300);
    check(metrics_value(w->server_node->metrics, "rpc.bad_frames") > 0);
    check(metrics_value(w->client_node->metrics, "rpc.bad_frames") > 0);
    return 0;
}

static void no_wrong_bytes(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world_options o = {
            .seed = seed,
            .net = { .delay_min_ns = 20 * USEC, .delay_max_ns = MSEC, .corrupt_ppm = 50000 }
        };
        world_run(WORLD_SIM, &o, flipped_bits);
    }
}

/* Nothing depends on addresses in memory, on time, or on the order of a hash table. */
static void same_seed_same_trace(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t hashes[2];
        for (int i = 0; i < 2; i++) {
            uint32_t success_count = 0;
            struct world_options o = chaos_options(seed, &success_count);
            o.ret_trace_hash = &hashes[i];
            world_run(WORLD_SIM, &o, chaos_run);
        }
        assert_int_equal(hashes[0], hashes[1]);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_call_is_lost_or_doubled),
        cmocka_unit_test(clients_die),
        cmocka_unit_test(no_wrong_bytes),
        cmocka_unit_test(same_seed_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
