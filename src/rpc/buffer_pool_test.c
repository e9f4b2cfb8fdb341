/* buffer_pool_test.c - takers and givers at random against what the bounds allow. */
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/sim.h"
#include "rpc/buffer_pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { POOL_BYTES = 1 << 20, FIBERS = 40, ROUNDS = 50 };

struct world {
    struct sim *sim;
    struct buffer_pool *pool;
    uint64_t taken_bytes, client_bytes; /* capacities */
    uint64_t taken_max, timeout_count;
};

static int user(void *arg) fiber_fn
{
    struct world *w = arg;
    bool is_client = sim_random_below(w->sim, 2);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t bits = sim_random_below(w->sim, is_client ? 19 : 20);
        size_t size = 1 + sim_random_below(w->sim, (uint64_t)1 << bits);
        struct buffer *b = NULL;
        int r;
        {
            FIBER_TIMEOUT(sim_random_below(w->sim, 20) * MSEC);
            r = is_client ? buffer_take_for_client(w->pool, size, &b)
                          : buffer_take(w->pool, size, &b);
        }
        if (r < 0) {
            check(r == -ERR_TIMEOUT && !b);
            w->timeout_count++;
            continue;
        }
        check(b->size == size && b->capacity >= size && b->capacity % 4096 == 0);
        check(b->capacity <= size + size / 4 + 4096);
        check(((uintptr_t)b->base & 4095) == 0);
        w->taken_bytes += b->capacity;
        if (is_client) w->client_bytes += b->capacity;
        w->taken_max = MAX_OF(w->taken_max, w->taken_bytes);
        check(w->taken_bytes <= POOL_BYTES);
        check(w->client_bytes <= POOL_BYTES / 2);
        uint8_t mark = (uint8_t)i;
        memset(b->base, mark, b->size);
        check(fiber_sleep(sim_random_below(w->sim, 5) * MSEC) == 0);
        check(b->base[0] == mark && b->base[size - 1] == mark); /* nobody else has it */
        w->taken_bytes -= b->capacity;
        if (is_client) w->client_bytes -= b->capacity;
        check(!buffer_give(b));
    }
    return 0;
}

static int random_users(void *arg) fiber_fn
{
    struct world *w = arg;
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    for (int i = 0; i < FIBERS; i++) {
        check(fiber_spawn(&scope, "user", user, w) == 0);
    }
    return scope_wait(&scope);
}

static void with_world(int (*body)(void *arg), struct world *w, uint64_t seed)
{
    struct sim_options o = { .seed = seed, .shuffle_ready = true };
    w->sim = sim_new(&o);
    w->pool = buffer_pool_new(POOL_BYTES);
    assert_int_equal(sim_run(w->sim, body, w, 3600 * SEC), 0);
    buffer_pool_free(w->pool);
    sim_free(w->sim);
}

static void bounds_hold(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w = { 0 };
        with_world(random_users, &w, seed);
        assert_true(w.taken_max > POOL_BYTES / 2);
        assert_true(w.timeout_count > 0 && w.timeout_count < FIBERS * ROUNDS / 2);
    }
}

/* Clients who hold their whole share leave the rest to servers; a request beyond the pool fails at
 * once. */
static int shares(void *arg) fiber_fn
{
    struct world *w = arg;
    struct buffer *client, *other = NULL, *server;
    FIBER_TIMEOUT(SEC);
    check(buffer_take_for_client(w->pool, POOL_BYTES / 2, &client) == 0);
    {
        FIBER_TIMEOUT(MSEC);
        check(buffer_take_for_client(w->pool, 1, &other) == -ERR_TIMEOUT);
    }
    check(buffer_take(w->pool, POOL_BYTES / 2, &server) == 0);
    buffer_give(server);
    buffer_give(client);
    check(buffer_take_for_client(w->pool, POOL_BYTES, &client) == 0); /* larger than the share */
    buffer_give(client);
    check(buffer_take(w->pool, POOL_BYTES + 1, &other) == -ERR_NO_MEMORY);
    check(buffer_take(w->pool, SIZE_MAX, &other) == -ERR_NO_MEMORY);
    check(!buffer_give(NULL) && !other);
    return 0;
}

static void clients_have_a_share(void **state)
{
    struct world w = { 0 };
    with_world(shares, &w, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(clients_have_a_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
