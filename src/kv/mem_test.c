/* mem_test.c - the engine in memory, in the simulator: conformance, injected faults, crashes of its
 * users. */
#include "base/check.h"
#include "fiber/sync.h"
#include "kv/kv_suite.h"
#include "loop/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#define HOUR (3600 * SEC)
#define B(s) BYTES_LITERAL(s)

struct world {
    struct sim *sim;
    struct machine *machine;
    struct node *node;
    struct kv_mem_store *store;
    struct kv *kv;
    uint64_t seed;
    uint64_t result; /* folded outcomes, to hold runs against each other */
};

struct run {
    struct world *world;
    void (*fn)(struct world *w);
};

static int run_fiber(void *arg) fiber_fn
{
    struct run *run = arg;
    struct world *w = run->world;
    int r = kv_mem_open(w->node, w->store, &w->kv);
    check(r == 0);
    run->fn(w);
    kv_close(w->kv);
    return 0;
}

/* Returns w.result. */
static uint64_t run_world(uint64_t seed, void (*fn)(struct world *w))
{
    struct sim_options options = { .seed = seed, .shuffle_ready = true };
    struct world w = { .seed = seed };
    w.sim = sim_new(&options);
    w.machine = sim_machine_new(w.sim, "host");
    w.node = node_new(sim_loop(w.sim), w.machine, "user");
    w.store = kv_mem_store_new(seed);
    struct run run = { &w, fn };
    int r = sim_run(w.sim, run_fiber, &run, 100 * HOUR);
    assert_int_equal(r, 0);
    node_free(w.node);
    kv_mem_store_free(w.store);
    sim_free(w.sim);
    return w.result;
}

/* ---- conformance ---- */

static const struct kv_mem_profile slow = { .delay_min_ns = 10 * USEC, .delay_max_ns = 3 * MSEC };

static void run_suite(struct world *w) fiber_fn
{
    struct kv *other = NULL;
    int r = kv_mem_open(w->node, w->store, &other);
    check(r == 0);
    struct kv_suite_options options = {
        .seed = w->seed, .scan_count = 100000, .model_count = 10000, .counter_count = 20
    };
    if (w->seed % 2) kv_mem_store_set(w->store, &slow);
    kv_suite_run(w->kv, other, w->node, &options);
    kv_close(other);
}

static void test_suite(void **state)
{
    run_world(2, run_suite);
    run_world(3, run_suite);
}

/* ---- a bank: money moves, its sum stays ---- */

enum { ACCOUNTS = 20, TELLERS = 12, TRANSFERS = 40, MONEY = 100 };

struct teller {
    struct world *world;
    struct node *node;
    uint64_t id;
    uint32_t done_count, unknown_count;
};

struct transfer {
    struct teller *teller;
    uint32_t from, to, amount;
};

static struct bytes account_key(char *buf, uint64_t at)
{
    int n = snprintf(buf, 32, "account %04u", (unsigned)at);
    return bytes_of(buf, (size_t)n);
}

static int get_u32(struct kv_txn *txn, struct bytes key, uint32_t *ret) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes value;
    int r = kv_get(txn, key, KV_SERIALIZABLE, &arena, &value);
    if (r < 0) return r;
    check(r == 1 && value.size == sizeof(*ret));
    memcpy(ret, value.base, sizeof(*ret));
    return 0;
}

static int move_money(struct kv_txn *txn, void *arg) fiber_fn
{
    struct transfer *t = arg;
    char from_buf[32], to_buf[32];
    struct bytes from = account_key(from_buf, t->from), to = account_key(to_buf, t->to);
    uint32_t has, gets;
    int r = get_u32(txn, from, &has);
    if (r >= 0) r = get_u32(txn, to, &gets);
    if (r < 0 || t->from == t->to) return r;
    uint32_t amount = MIN_OF(t->amount, has);
    has -= amount;
    gets += amount;
    kv_set(txn, from, bytes_of(&has, sizeof(has)));
    kv_set(txn, to, bytes_of(&gets, sizeof(gets)));
    return 0;
}

static int sum_up(struct kv_txn *txn, void *arg) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_pairs pairs;
    int r = kv_get_range(txn, B("account"), B("b"), 0, KV_SERIALIZABLE, &arena, &pairs);
    if (r < 0) return r;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < pairs.count; i++) {
        uint32_t value;
        memcpy(&value, pairs.items[i].value.base, sizeof(value));
        sum += value;
    }
    *(uint32_t *)arg = sum;
    return 0;
}

static int open_bank(struct kv_txn *txn, void *arg) fiber_fn
{
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        char buf[32];
        uint32_t money = MONEY;
        kv_set(txn, account_key(buf, i), bytes_of(&money, sizeof(money)));
    }
    return 0;
}

static int teller_fiber(void *arg) fiber_fn
{
    struct teller *t = arg;
    cleanup_(kv_closep) struct kv *kv = NULL;
    int r = kv_mem_open(t->node, t->world->store, &kv);
    check(r == 0);
    for (uint32_t i = 0; i < TRANSFERS; i++) {
        struct transfer transfer = { t, (uint32_t)node_random_below(t->node, ACCOUNTS),
                                     (uint32_t)node_random_below(t->node, ACCOUNTS),
                                     (uint32_t)node_random_below(t->node, 50) };
        r = kv_transact(kv, KV_RETRY_SAFE, move_money, &transfer);
        if (r == -ERR_CANCELED) return r;
        check(r == 0 || r == -ERR_TXN_CONFLICT || r == -ERR_TXN_MAYBE_COMMITTED ||
              r == -ERR_TXN_TOO_OLD);
        t->done_count += r == 0;
        t->unknown_count += r == -ERR_TXN_MAYBE_COMMITTED;
        uint32_t sum = 0;
        r = kv_read_only(kv, sum_up, &sum);
        if (r == -ERR_CANCELED) return r;
        check(r < 0 || sum == ACCOUNTS * MONEY);
    }
    return 0;
}

static void run_bank(struct world *w) fiber_fn
{
    static const struct kv_mem_profile wild = { .delay_min_ns = 10 * USEC,
                                                .delay_max_ns = 5 * MSEC,
                                                .conflict_ppm = 50000,
                                                .maybe_committed_ppm = 50000,
                                                .too_old_ppm = 10000 };
    struct teller tellers[TELLERS];
    struct machine *doomed = sim_machine_new(w->sim, "doomed");
    struct node *victim = node_new(sim_loop(w->sim), doomed, "victim");
    int r = kv_transact(w->kv, KV_RETRY_SAFE, open_bank, NULL);
    check(r == 0);
    kv_mem_store_set(w->store, &wild);
    for (uint32_t i = 0; i < TELLERS; i++) {
        struct node *node = i % 3 ? w->node : victim;
        tellers[i] = (struct teller){ .world = w, .node = node, .id = i };
        r = fiber_spawn(&node->scope, "teller", teller_fiber, &tellers[i]);
        check(r == 0);
    }
    r = fiber_sleep(200 * MSEC);
    check(r == 0);
    sim_crash(doomed); /* in the middle of whatever its tellers do */
    node_free(victim);
    r = scope_wait(&w->node->scope);
    check(r == 0);

    uint32_t sum = 0, unknown_count = 0, done_count = 0;
    kv_mem_store_set(w->store, &(struct kv_mem_profile){ 0 });
    r = kv_read_only(w->kv, sum_up, &sum);
    check(r == 0 && sum == ACCOUNTS * MONEY);
    for (uint32_t i = 0; i < TELLERS; i++) {
        unknown_count += tellers[i].unknown_count;
        done_count += tellers[i].done_count;
    }
    check(unknown_count > 0);
    check(done_count > 100);
    w->result = sim_now_ns(w->sim) * 31 + unknown_count * 1000 + done_count;
}

static void test_bank(void **state)
{
    uint64_t results[10];
    for (uint64_t seed = 1; seed <= ARRAY_SIZE(results); seed++) {
        results[seed - 1] = run_world(seed, run_bank);
    }
    assert_true(results[0] != results[1]);
    for (uint64_t seed = 1; seed <= ARRAY_SIZE(results); seed++) {
        assert_true(results[seed - 1] == run_world(seed, run_bank));
    }
}

/* ---- single faults ---- */

static int set_a(struct kv_txn *txn, void *arg) fiber_fn
{
    uint32_t *n = arg;
    ++*n;
    kv_set(txn, B("a"), bytes_of(n, sizeof(*n)));
    return 0;
}

static void run_unknown(struct world *w) fiber_fn
{
    kv_mem_store_set(w->store, &(struct kv_mem_profile){ .maybe_committed_ppm = 1000000 });
    uint32_t committed_count = 0, n = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        int r = kv_transact(w->kv, KV_RETRY_SAFE, set_a, &n);
        check(r == -ERR_TXN_MAYBE_COMMITTED);
        check(n == i + 1);
        cleanup_(kv_endp) struct kv_txn *txn = NULL;
        cleanup_arena_ struct arena arena = { 0 };
        struct bytes value;
        r = kv_begin(w->kv, &txn);
        if (r >= 0) r = kv_get(txn, B("a"), KV_SERIALIZABLE, &arena, &value);
        check(r >= 0);
        committed_count += r == 1 && bytes_equal(value, bytes_of(&n, sizeof(n)));
    }
    check(committed_count > 400 && committed_count < 600);
    n = 0;
    int r = kv_transact(w->kv, KV_RETRY_MAYBE_COMMITTED, set_a, &n);
    check(r == -ERR_TXN_MAYBE_COMMITTED && n == 16); /* all tries were used up */
}

static void test_unknown(void **state)
{
    run_world(5, run_unknown);
}

static int come_back(void *arg) fiber_fn
{
    int r = fiber_sleep(2 * SEC);
    kv_mem_store_set(arg, &(struct kv_mem_profile){ 0 });
    return r;
}

static void run_gone(struct world *w) fiber_fn
{
    kv_mem_store_set(w->store, &(struct kv_mem_profile){ .is_gone = true });
    uint32_t n = 0;
    uint64_t begin_ns = sim_now_ns(w->sim);
    {
        FIBER_TIMEOUT(1 * SEC);
        int r = kv_transact(w->kv, KV_RETRY_SAFE, set_a, &n);
        check(r == -ERR_TXN_NETWORK_ERROR);
        check(sim_now_ns(w->sim) - begin_ns == 1 * SEC);
    }
    int r = fiber_spawn(&w->node->scope, "come back", come_back, w->store);
    check(r == 0);
    r = kv_transact(w->kv, KV_RETRY_SAFE, set_a, &n); /* waits, as it has the time */
    check(r == 0);
    check(sim_now_ns(w->sim) - begin_ns == 3 * SEC);
}

static void test_gone(void **state)
{
    run_world(6, run_gone);
}

/* A deadline in the middle of a commit: what it says about the outcome must be true. */
static void run_deadline(struct world *w) fiber_fn
{
    kv_mem_store_set(
        w->store, &(struct kv_mem_profile){ .delay_min_ns = 10 * MSEC, .delay_max_ns = 10 * MSEC });
    uint32_t n = 0, committed_count = 0;
    for (uint32_t i = 0; i < 200; i++) {
        {
            FIBER_TIMEOUT(5 * MSEC);
            int r = kv_transact(w->kv, KV_RETRY_SAFE, set_a, &n);
            check(r == -ERR_TXN_MAYBE_COMMITTED);
        }
        cleanup_(kv_endp) struct kv_txn *txn = NULL;
        cleanup_arena_ struct arena arena = { 0 };
        struct bytes value;
        int r = kv_begin(w->kv, &txn);
        if (r >= 0) r = kv_get(txn, B("a"), KV_SERIALIZABLE, &arena, &value);
        check(r >= 0);
        committed_count += r == 1 && bytes_equal(value, bytes_of(&n, sizeof(n)));
    }
    check(committed_count > 100 && committed_count < 200);
}

static void test_deadline(void **state)
{
    run_world(7, run_deadline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),    cmocka_unit_test(test_bank),
        cmocka_unit_test(test_unknown),  cmocka_unit_test(test_gone),
        cmocka_unit_test(test_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
