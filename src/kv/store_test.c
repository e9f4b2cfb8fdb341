/* store_test.c - the embedded store in the simulator, over a base that is a file: conformance,
 * crashes at any time on a disk that loses and tears what was not synced, damage to the journal.
 */
#include "base/check.h"
#include "fiber/sync.h"
#include "kv/journal_format.h"
#include "kv/kv_suite.h"
#include "kv/store.h"
#include "loop/file.h"
#include "loop/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#define B(s) BYTES_LITERAL(s)

/* ---- an engine that is the store and nothing else ---- */

struct direct {
    struct kv base;
    struct store *store;
};

static struct store *store_of(struct kv *kv)
{
    return container_of(kv, struct direct, base)->store;
}

static int direct_snapshot_open(struct kv *kv, enum kv_view view, struct kv_snapshot **ret)
{
    return store_snapshot_open(store_of(kv), view, (struct store_snapshot **)ret);
}

static void direct_snapshot_close(struct kv *kv, struct kv_snapshot *snapshot)
{
    store_snapshot_close((struct store_snapshot *)snapshot);
}

static int direct_get_many(struct kv *kv, struct kv_snapshot *snapshot, const struct bytes *keys,
                           uint32_t count, struct arena *arena, bool *ret_found,
                           struct bytes *ret_values)
{
    return store_get_many((struct store_snapshot *)snapshot, keys, count, arena, ret_found,
                          ret_values);
}

static int direct_get_range(struct kv *kv, struct kv_snapshot *snapshot,
                            const struct kv_range *range, struct arena *arena, struct kv_pairs *ret)
{
    return store_get_range((struct store_snapshot *)snapshot, range, arena, ret);
}

static int direct_commit(struct kv *kv, struct kv_snapshot *snapshot, struct kv_commit *commit)
{
    return store_commit(store_of(kv), (struct store_snapshot *)snapshot, commit);
}

static int direct_settle(struct kv *kv, struct kv_snapshot *snapshot)
{
    return store_settle((struct store_snapshot *)snapshot);
}

static void direct_close(struct kv *kv)
{
    store_close(store_of(kv));
    free(container_of(kv, struct direct, base));
}

static const char *direct_describe(const struct kv *kv)
{
    return "store";
}

static const struct kv_ops direct_ops = {
    .name = "store",
    .snapshot_open = direct_snapshot_open,
    .snapshot_close = direct_snapshot_close,
    .get_many = direct_get_many,
    .get_range = direct_get_range,
    .commit = direct_commit,
    .settle = direct_settle,
    .close = direct_close,
    .describe = direct_describe,
};

static int direct_open(struct node *node, struct kv **ret) fiber_fn
{
    struct store_options options = { .dir = "/kv" };
    struct store *store = NULL;
    int r = dir_make(node, "/kv", 0700);
    if (r >= 0) r = dir_sync(node, "/");
    if (r >= 0) r = store_open(node, &options, &store);
    if (r < 0) return r;
    struct direct *direct = new_zero(struct direct);
    kv_base_init(&direct->base, &direct_ops, node);
    direct->store = store;
    *ret = &direct->base;
    return 0;
}

/* ---- worlds ---- */

/* More of them when there is time: C3FS_LONG=1. */
static uint64_t seed_count(uint64_t usual)
{
    return getenv("C3FS_LONG") ? usual * 20 : usual;
}

struct world {
    struct sim *sim;
    struct machine *machine;
    uint64_t seed;
    void (*fn)(struct world *w);
};

static int run_fiber(void *arg) fiber_fn
{
    struct world *w = arg;
    w->fn(w);
    return 0;
}

static void run_world(uint64_t seed, void (*fn)(struct world *w))
{
    struct sim_options options = {
        .seed = seed,
        .shuffle_ready = true,
        .disk = { .delay_min_ns = 20 * USEC,
                  .delay_max_ns = 200 * USEC,
                  .sync_min_ns = 100 * USEC,
                  .sync_max_ns = 3 * MSEC,
                  .capacity_bytes = 1 * GIB,
                  .is_honest = true },
    };
    struct world w = { .seed = seed, .fn = fn };
    w.sim = sim_new(&options);
    w.machine = sim_machine_new(w.sim, "host");
    int r = sim_run(w.sim, run_fiber, &w, 100000 * SEC);
    assert_int_equal(r, 0);
    sim_free(w.sim);
}

/* ---- conformance ---- */

static int suite_fiber(void *arg) fiber_fn
{
    struct world *w = arg;
    struct node *node = node_self();
    struct kv_suite_options options = {
        .seed = w->seed, .scan_count = 30000, .model_count = 10000, .counter_count = 10
    };
    struct kv *kv = NULL;
    int r = direct_open(node, &kv);
    check(r == 0);
    kv_suite_run(kv, kv, node, &options);
    kv_close(kv);
    return 0;
}

static void run_suite(struct world *w) fiber_fn
{
    struct node *node = node_new(sim_loop(w->sim), w->machine, "user");
    int r = fiber_spawn(&node->scope, "suite", suite_fiber, w);
    if (r >= 0) r = scope_wait(&node->scope);
    check(r == 0);
    node_free(node);
}

static void test_suite(void **state)
{
    run_world(1, run_suite);
}

/* ---- crashes ---- */

enum { WRITERS = 6, ROUNDS = 12 };

/* Each writer counts in two keys of its own at once, and all of them in one common key. */
struct crash_test {
    struct world *world;
    uint64_t tried[WRITERS], acknowledged[WRITERS], common_acknowledged;
    uint32_t open_count;
};

struct writer {
    struct crash_test *test;
    struct kv *kv;
    uint32_t at;
    uint64_t common;
};

static int get_u64(struct kv_txn *txn, struct bytes key, uint64_t *ret) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes value;
    *ret = 0;
    int r = kv_get(txn, key, KV_SERIALIZABLE, &arena, &value);
    if (r == 1) memcpy(ret, value.base, sizeof(*ret));
    return r < 0 ? r : 0;
}

static struct bytes writer_key(char prefix, uint32_t at, char buf[4])
{
    buf[0] = prefix;
    buf[1] = (char)('0' + at);
    return bytes_of(buf, 2);
}

static int count_up(struct kv_txn *txn, void *arg) fiber_fn
{
    struct writer *w = arg;
    struct crash_test *t = w->test;
    char low[4], high[4];
    uint8_t filler[4000] = { 0 };
    uint64_t n = ++t->tried[w->at];
    int r = get_u64(txn, B("common"), &w->common);
    if (r < 0) return r;
    w->common++;
    kv_set(txn, B("common"), bytes_of(&w->common, sizeof(w->common)));
    kv_set(txn, writer_key('a', w->at, low), bytes_of(&n, sizeof(n)));
    kv_set(txn, writer_key('z', w->at, high), bytes_of(&n, sizeof(n)));
    kv_set(txn, B("filler"), bytes_of(filler, (n * 977) % sizeof(filler)));
    kv_clear_range(txn, B("g"), B("h"));
    if (n % 3) kv_set(txn, B("gone"), B(""));
    return 0;
}

/* Writes nothing and fails, as creating what exists does: what it tells must be durable too. */
static int observe(struct kv_txn *txn, void *arg) fiber_fn
{
    struct writer *w = arg;
    int r = get_u64(txn, B("common"), &w->common);
    return r < 0 ? r : -ERR_META_EXISTS;
}

static int writer_fiber(void *arg) fiber_fn
{
    struct writer *w = arg;
    for (;;) {
        if (w->test->tried[w->at] % 2) {
            int o = kv_transact(w->kv, KV_RETRY_SAFE, observe, w);
            if (o == -ERR_CANCELED || o == -ERR_TXN_RETRYABLE) return 0;
            check(o == -ERR_META_EXISTS);
            w->test->common_acknowledged = MAX_OF(w->test->common_acknowledged, w->common);
        }
        int r = kv_transact(w->kv, KV_RETRY_SAFE, count_up, w);
        if (r == -ERR_CANCELED || r == -ERR_TXN_RETRYABLE) return 0;
        check(r == 0 || r == -ERR_TXN_CONFLICT || r == -ERR_TXN_MAYBE_COMMITTED);
        if (r < 0) continue;
        w->test->acknowledged[w->at] = w->test->tried[w->at];
        w->test->common_acknowledged = MAX_OF(w->test->common_acknowledged, w->common);
    }
}

static void compare(struct crash_test *t, struct kv *kv) fiber_fn
{
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    uint64_t common, sum = 0;
    int r = kv_begin(kv, &txn);
    if (r >= 0) r = get_u64(txn, B("common"), &common);
    check(r == 0 && common >= t->common_acknowledged);
    for (uint32_t i = 0; i < WRITERS; i++) {
        char low[4], high[4];
        uint64_t a = 0, z = 0;
        r = get_u64(txn, writer_key('a', i, low), &a);
        if (r >= 0) r = get_u64(txn, writer_key('z', i, high), &z);
        check(r == 0 && a == z);
        check(a >= t->acknowledged[i] && a <= t->tried[i]);
        t->tried[i] = MAX_OF(t->tried[i], a);
        sum += a > 0;
    }
    check(sum == 0 || common > 0);
}

static int crash_main(void *arg) fiber_fn
{
    struct crash_test *t = arg;
    struct writer writers[WRITERS];
    cleanup_(kv_closep) struct kv *kv = NULL;
    int r = direct_open(node_self(), &kv);
    if (r == -ERR_CANCELED) return 0;
    check(r == 0);
    compare(t, kv);
    t->open_count++;
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = node_self();
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .test = t, .kv = kv, .at = i };
        r = fiber_spawn(&scope, "writer", writer_fiber, &writers[i]);
        if (r < 0) return 0;
    }
    r = scope_wait(&scope);
    return r == -ERR_CANCELED ? 0 : r;
}

static void run_crashes(struct world *w) fiber_fn
{
    struct crash_test t = { .world = w };
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct node *node = node_new(sim_loop(w->sim), w->machine, "user");
        node->log.level = LOG_ERROR;
        int r = fiber_spawn(&node->scope, "crash", crash_main, &t);
        check(r == 0);
        uint64_t bound_ns = round % 3 ? 100 * MSEC : 6 * SEC;
        r = fiber_sleep(sim_random_below(w->sim, bound_ns));
        check(r == 0);
        sim_crash(w->machine);
        node_free(node);
        sim_restart(w->machine);
    }
    check(t.open_count > ROUNDS / 3);
    check(t.common_acknowledged > 100);
}

static void test_crashes(void **state)
{
    for (uint64_t seed = 1; seed <= seed_count(4); seed++) {
        run_world(seed, run_crashes);
    }
}

/* ---- damage ---- */

struct filled {
    uint64_t count;
    struct event done;
};

static int fill_fiber(void *arg) fiber_fn
{
    struct filled *filled = arg;
    struct kv *kv = NULL;
    int r = direct_open(node_self(), &kv);
    check(r == 0);
    for (uint64_t n = 1; n <= 50; n++) {
        cleanup_(kv_endp) struct kv_txn *txn = NULL;
        r = kv_begin(kv, &txn);
        if (r < 0) break;
        kv_set(txn, B("n"), bytes_of(&n, sizeof(n)));
        r = kv_commit(txn);
        if (r < 0) break;
        filled->count = n;
    }
    event_set(&filled->done, 0);
    r = fiber_sleep(SEC); /* to be crashed before a checkpoint */
    kv_close(kv);
    return r < 0 ? 0 : -ERR_TIMEOUT;
}

struct reopened {
    int result;
    uint64_t count;
};

static int reopen_fiber(void *arg) fiber_fn
{
    struct reopened *out = arg;
    cleanup_(kv_closep) struct kv *kv = NULL;
    out->result = direct_open(node_self(), &kv);
    if (out->result < 0) return 0;
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    int r = kv_begin(kv, &txn);
    if (r >= 0) r = get_u64(txn, B("n"), &out->count);
    check(r == 0);
    return 0;
}

/* One bit of one synced group: all is there, or the open says that it is not; the last group proves
 * nothing. */
static void run_damage(struct world *w) fiber_fn
{
    struct filled filled = { 0 };
    struct reopened out = { 0 };
    event_init(&filled.done);
    struct node *node = node_new(sim_loop(w->sim), w->machine, "user");
    int r = fiber_spawn(&node->scope, "fill", fill_fiber, &filled);
    if (r >= 0) r = event_wait(&filled.done, "filled");
    check(r == 0 && filled.count == 50);
    sim_crash(w->machine);
    node_free(node);
    sim_restart(w->machine);

    /* Groups of one record each: 512 bytes from 4096 on; the first 8 of the header name the format.
     */
    uint64_t at = w->seed % 4 == 0 ? sim_random_below(w->sim, sizeof(struct journal_header))
                                   : JOURNAL_HEADER_BYTES + 512 * sim_random_below(w->sim, 49) +
                                         sim_random_below(w->sim, 60);
    r = sim_flip_bit(w->machine, "/kv/journal-0", at, (uint8_t)sim_random_below(w->sim, 8));
    check(r == 0);
    node = node_new(sim_loop(w->sim), w->machine, "user");
    r = fiber_spawn(&node->scope, "reopen", reopen_fiber, &out);
    if (r >= 0) r = scope_wait(&node->scope);
    check(r == 0);
    node_free(node);
    if (out.result < 0) {
        check(out.result == -ERR_DATA_CORRUPTION || out.result == -ERR_FORMAT_TOO_NEW);
    } else {
        check(out.count == 50); /* the bit was in padding */
    }
}

static void test_damage(void **state)
{
    for (uint64_t seed = 1; seed <= seed_count(25); seed++) {
        run_world(seed, run_damage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
