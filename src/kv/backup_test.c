/* backup_test.c - backups in the simulator: there and back, damaged in every byte, cut at every
 * length, crashes. */
#include "base/check.h"
#include "kv/kv_suite.h"
#include "loop/file.h"
#include "loop/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#define B(s) BYTES_LITERAL(s)

struct world {
    struct sim *sim;
    struct machine *machine;
    struct node *node;
    void (*fn)(struct world *w);
};

static int run_fiber(void *arg) fiber_fn
{
    struct world *w = arg;
    w->fn(w);
    return 0;
}

static void run_world(void (*fn)(struct world *w))
{
    struct sim_options options = { .seed = 1 };
    struct world w = { .fn = fn };
    w.sim = sim_new(&options);
    w.machine = sim_machine_new(w.sim, "host");
    w.node = node_new(sim_loop(w.sim), w.machine, "user");
    int r = sim_run(w.sim, run_fiber, &w, 10000 * SEC);
    assert_int_equal(r, 0);
    node_free(w.node);
    sim_free(w.sim);
}

static struct kv *fill(struct world *w, struct kv_mem_store *store, uint32_t count,
                       size_t value_size) fiber_fn
{
    struct kv *kv = NULL;
    cleanup_(freep) char *value = xcalloc(1, value_size + 1);
    int r = kv_mem_open(w->node, store, &kv);
    check(r == 0);
    for (uint32_t i = 0; i < count;) {
        cleanup_(kv_endp) struct kv_txn *txn = NULL;
        r = kv_begin(kv, &txn);
        check(r == 0);
        for (uint32_t end = MIN_OF(count, i + 90); i < end; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%07u", i);
            memset(value, 'a' + (int)(i % 26), value_size);
            kv_set(txn, bytes_of_text(key), bytes_of(value, i % 7 ? value_size : 0));
        }
        r = kv_commit(txn);
        check(r == 0);
    }
    return kv;
}

/* Equal in every pair. */
static bool same(struct kv *a, struct kv *b) fiber_fn
{
    cleanup_(kv_endp) struct kv_txn *ta = NULL;
    cleanup_(kv_endp) struct kv_txn *tb = NULL;
    cleanup_arena_ struct arena arena = { 0 };
    int r = kv_begin(a, &ta);
    if (r >= 0) r = kv_begin(b, &tb);
    check(r == 0);
    struct bytes pos = B("");
    for (bool has_more = true; has_more;) {
        struct kv_pairs pa, pb;
        r = kv_get_range(ta, pos, B("\xff"), 0, KV_SNAPSHOT, &arena, &pa);
        if (r >= 0) r = kv_get_range(tb, pos, B("\xff"), 0, KV_SNAPSHOT, &arena, &pb);
        check(r == 0);
        if (pa.count != pb.count || pa.has_more != pb.has_more) return false;
        for (uint32_t i = 0; i < pa.count; i++) {
            if (!bytes_equal(pa.items[i].key, pb.items[i].key)) return false;
            if (!bytes_equal(pa.items[i].value, pb.items[i].value)) return false;
        }
        has_more = pa.has_more;
        if (has_more) pos = kv_key_after(&arena, pa.items[pa.count - 1].key);
    }
    return true;
}

static void run_there_and_back(struct world *w) fiber_fn
{
    static const struct {
        uint32_t count;
        size_t value_size;
    } cases[] = { { 0, 0 }, { 1, 10 }, { 30000, 20 }, { 300, 99999 } };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct kv_mem_store *from = kv_mem_store_new(1), *to = kv_mem_store_new(2);
        struct kv *a = fill(w, from, cases[i].count, cases[i].value_size), *b = fill(w, to, 0, 0);
        int r = kv_backup(a, "/backup", NULL);
        check(r == 0);
        r = kv_restore(b, "/backup", NULL);
        check(r == 0);
        check(same(a, b));
        check(!path_exists(w->node, "/backup.tmp"));
        r = kv_restore(b, "/backup", NULL);
        check(r == (cases[i].count ? -ERR_META_EXISTS : 0));
        kv_close(a);
        kv_close(b);
        kv_mem_store_free(from);
        kv_mem_store_free(to);
    }
}

static void test_there_and_back(void **state)
{
    run_world(run_there_and_back);
}

static bool is_empty(struct kv *kv) fiber_fn
{
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_pairs pairs;
    int r = kv_begin(kv, &txn);
    if (r >= 0) r = kv_get_range(txn, B(""), B("\xff"), 1, KV_SNAPSHOT, &arena, &pairs);
    check(r == 0);
    return pairs.count == 0;
}

static void run_damaged(struct world *w) fiber_fn
{
    struct kv_mem_store *from = kv_mem_store_new(1), *to = kv_mem_store_new(2);
    struct kv *a = fill(w, from, 20, 9), *b = fill(w, to, 0, 0);
    cleanup_(freep) char *good = NULL;
    size_t size;
    int r = kv_backup(a, "/backup", NULL);
    if (r >= 0) r = file_read_all(w->node, "/backup", 1 << 20, &good, &size);
    check(r >= 0);
    for (size_t at = 0; at < size; at++) {
        good[at] ^= (char)(1 << (at % 8));
        r = file_replace(w->node, "/damaged", good, size, 0600);
        check(r == 0);
        r = kv_restore(b, "/damaged", NULL);
        check(r == -ERR_DATA_CORRUPTION || (at < 8 && r == -ERR_INVALID_FORMAT));
        good[at] ^= (char)(1 << (at % 8));
        r = file_replace(w->node, "/damaged", good, at, 0600);
        check(r == 0);
        r = kv_restore(b, "/damaged", NULL);
        check(r == -ERR_DATA_CORRUPTION);
    }
    check(is_empty(b));
    r = kv_restore(b, "/nowhere", NULL);
    check(r < 0);
    kv_close(a);
    kv_close(b);
    kv_mem_store_free(from);
    kv_mem_store_free(to);
}

static void test_damaged(void **state)
{
    run_world(run_damaged);
}

/* A restore that its deadline ends leaves a half; run again it ends with the whole. */
static void run_interrupted(struct world *w) fiber_fn
{
    struct kv_mem_store *from = kv_mem_store_new(1), *to = kv_mem_store_new(2);
    struct kv *a = fill(w, from, 60000, 90), *b = fill(w, to, 0, 0);
    int r = kv_backup(a, "/backup", NULL);
    check(r == 0);
    kv_mem_store_set(
        to, &(struct kv_mem_profile){ .delay_min_ns = 50 * MSEC, .delay_max_ns = 50 * MSEC });
    for (uint32_t tries = 1; tries <= 3; tries++) {
        FIBER_TIMEOUT(tries * 120 * MSEC);
        r = kv_restore(b, "/backup", NULL);
        check(r < 0);
    }
    kv_mem_store_set(to, &(struct kv_mem_profile){ 0 });
    check(!is_empty(b));
    r = kv_backup(b, "/half", NULL);
    check(r == -ERR_BUSY);
    check(!path_exists(w->node, "/half"));
    check(!path_exists(w->node, "/half.tmp"));
    r = kv_restore(b, "/backup", NULL);
    check(r == 0);
    check(same(a, b));
    kv_close(a);
    kv_close(b);
    kv_mem_store_free(from);
    kv_mem_store_free(to);
}

static void test_interrupted(void **state)
{
    run_world(run_interrupted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
