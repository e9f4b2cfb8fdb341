/* kv_suite.c - see kv_suite.h; the random part is in kv_suite_model.c. */
#include "kv/kv_suite.h"
#include "base/check.h"
#include "kv/kv_suite_model.h"

#include <stdio.h>

struct suite {
    struct kv *kv, *other;
    struct node *node;
    const struct kv_suite_options *options;
};

#define B(s) BYTES_LITERAL(s)

/* ---- small steps that must succeed ---- */

static struct kv_txn *begin(struct kv *kv) fiber_fn
{
    struct kv_txn *txn = NULL;
    int r = kv_begin(kv, &txn);
    check(r == 0);
    return txn;
}

static void commit(struct kv_txn *txn) fiber_fn
{
    int r = kv_commit(txn);
    check(r == 0);
    kv_end(txn);
}

static void commit_conflicts(struct kv_txn *txn) fiber_fn
{
    int r = kv_commit(txn);
    check(r == -ERR_TXN_CONFLICT);
    kv_end(txn);
}

static void put(struct kv *kv, const char *key, const char *value) fiber_fn
{
    struct kv_txn *txn = begin(kv);
    kv_set(txn, bytes_of_text(key), bytes_of_text(value));
    commit(txn);
}

static void drop(struct kv *kv, const char *key) fiber_fn
{
    struct kv_txn *txn = begin(kv);
    kv_clear(txn, bytes_of_text(key));
    commit(txn);
}

static bool reads(struct kv_txn *txn, const char *key, enum kv_read mode, const char *want) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes value = B("?");
    int r = kv_get(txn, bytes_of_text(key), mode, &arena, &value);
    check(r == 0 || r == 1);
    if (r == 0) check(value.size == 0);
    return want ? r == 1 && bytes_equal_text(value, want) : r == 0;
}

static bool holds(struct kv *kv, const char *key, const char *want) fiber_fn
{
    struct kv_txn *txn = begin(kv);
    bool result = reads(txn, key, KV_SERIALIZABLE, want);
    kv_end(txn);
    return result;
}

/* The keys and values of a range as "a=1 b=2". */
static const char *range_text(struct kv_txn *txn, const char *from, const char *to, uint32_t limit,
                              enum kv_read mode, struct arena *arena) fiber_fn
{
    struct kv_pairs pairs = { 0 };
    int r = kv_get_range(txn, bytes_of_text(from), bytes_of_text(to), limit, mode, arena, &pairs);
    check(r == 0);
    const char *text = "";
    for (uint32_t i = 0; i < pairs.count; i++) {
        text = arena_printf(arena, "%s%s%s=%s", text, i ? " " : "",
                            arena_text(arena, pairs.items[i].key),
                            arena_text(arena, pairs.items[i].value));
    }
    return pairs.has_more ? arena_printf(arena, "%s ...", text) : text;
}

static bool ranges(struct kv_txn *txn, const char *from, const char *to, uint32_t limit,
                   enum kv_read mode, const char *want) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    const char *text = range_text(txn, from, to, limit, mode, &arena);
    bool is_same = strcmp(text, want) == 0;
    if (!is_same) fprintf(stderr, "range: %s\n want: %s\n", text, want);
    return is_same;
}

static void clear_all(struct kv *kv) fiber_fn
{
    struct kv_txn *txn = begin(kv);
    kv_clear_range(txn, B(""), B("\xff"));
    commit(txn);
}

/* ---- cases ---- */

static void case_basics(struct suite *s) fiber_fn
{
    check(holds(s->kv, "a", NULL));
    put(s->kv, "a", "1");
    check(holds(s->kv, "a", "1"));
    check(holds(s->other, "a", "1"));
    put(s->other, "a", "");
    check(holds(s->kv, "a", ""));
    drop(s->kv, "a");
    check(holds(s->other, "a", NULL));

    struct kv_txn *txn = begin(s->kv);
    kv_set(txn, B("a"), B("2"));
    kv_end(txn);
    check(holds(s->kv, "a", NULL)); /* dropped, not committed */

    txn = begin(s->kv);
    kv_set(txn, B("a"), B("2"));
    int r = kv_commit(txn);
    check(r == 0);
    r = kv_commit(txn);
    check(r == -ERR_TXN_CANCELED);
    kv_end(txn);
    check(kv_describe(s->kv)[0] != 0);
}

static void case_get_many(struct suite *s) fiber_fn
{
    put(s->kv, "a", "1");
    put(s->kv, "c", "3");
    put(s->kv, "d", "4");
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes keys[] = { B("a"), B("b"), B("c"), B("d"), B("e"), B("a") }, values[6];
    bool found[6];
    struct kv_txn *txn = begin(s->other);
    kv_set(txn, B("b"), B("own"));
    kv_clear(txn, B("c"));
    int r = kv_get_many(txn, keys, 6, KV_SERIALIZABLE, &arena, found, values);
    check(r == 0);
    check(found[0] && bytes_equal_text(values[0], "1"));
    check(found[1] && bytes_equal_text(values[1], "own"));
    check(!found[2] && values[2].size == 0);
    check(found[3] && bytes_equal_text(values[3], "4"));
    check(!found[4]);
    check(found[5] && bytes_equal_text(values[5], "1"));
    put(s->kv, "e", "now"); /* an absence that was read */
    commit_conflicts(txn);
}

static void case_snapshot(struct suite *s) fiber_fn
{
    put(s->kv, "a", "1");
    put(s->kv, "b", "1");
    struct kv_txn *old = begin(s->other);
    check(reads(old, "a", KV_SERIALIZABLE, "1"));
    put(s->kv, "b", "2");
    drop(s->kv, "a");
    put(s->kv, "c", "2");
    check(reads(old, "b", KV_SERIALIZABLE, "1"));
    check(reads(old, "a", KV_SERIALIZABLE, "1"));
    check(ranges(old, "a", "z", 0, KV_SERIALIZABLE, "a=1 b=1"));
    int r = kv_commit(old); /* nothing written: commits, whatever it read */
    check(r == 0);
    kv_end(old);
    check(holds(s->other, "b", "2"));
}

static void case_own_writes(struct suite *s) fiber_fn
{
    put(s->kv, "a", "1");
    put(s->kv, "b", "1");
    put(s->kv, "c", "1");
    struct kv_txn *txn = begin(s->kv);
    kv_set(txn, B("b"), B("2"));
    kv_clear(txn, B("a"));
    kv_set(txn, B("d"), B("2"));
    kv_set(txn, B("bb"), B("2"));
    check(reads(txn, "a", KV_SERIALIZABLE, NULL));
    check(reads(txn, "b", KV_SERIALIZABLE, "2"));
    check(ranges(txn, "a", "z", 0, KV_SERIALIZABLE, "b=2 bb=2 c=1 d=2"));
    check(ranges(txn, "a", "z", 0, KV_REVERSE, "d=2 c=1 bb=2 b=2"));
    check(ranges(txn, "a", "z", 2, KV_SERIALIZABLE, "b=2 bb=2 ..."));
    check(ranges(txn, "a", "z", 2, KV_REVERSE, "d=2 c=1 ..."));
    kv_clear_range(txn, B("b"), B("c"));
    check(ranges(txn, "a", "z", 0, KV_SERIALIZABLE, "c=1 d=2"));
    kv_set(txn, B("ba"), B("3"));
    check(reads(txn, "bb", KV_SERIALIZABLE, NULL));
    check(ranges(txn, "a", "z", 0, KV_SERIALIZABLE, "ba=3 c=1 d=2"));
    check(ranges(txn, "a", "z", 0, KV_REVERSE, "d=2 c=1 ba=3"));
    check(ranges(txn, "ba", "c", 0, KV_REVERSE, "ba=3"));
    check(ranges(txn, "z", "a", 0, KV_SERIALIZABLE, ""));
    commit(txn);
    txn = begin(s->other);
    check(ranges(txn, "a", "z", 0, KV_SERIALIZABLE, "ba=3 c=1 d=2"));
    kv_end(txn);
}

static void case_key_conflicts(struct suite *s) fiber_fn
{
    put(s->kv, "a", "1");
    struct kv_txn *txn = begin(s->kv);
    check(reads(txn, "a", KV_SERIALIZABLE, "1"));
    kv_set(txn, B("x"), B("1"));
    put(s->other, "a", "2");
    commit_conflicts(txn);
    check(holds(s->kv, "x", NULL));

    txn = begin(s->kv); /* a snapshot read does not conflict */
    check(reads(txn, "a", KV_SNAPSHOT, "2"));
    kv_set(txn, B("x"), B("1"));
    put(s->other, "a", "3");
    commit(txn);
    check(holds(s->kv, "x", "1"));

    txn = begin(s->kv); /* unless it was said to */
    check(reads(txn, "a", KV_SNAPSHOT, "3"));
    kv_add_conflict(txn, B("a"));
    kv_set(txn, B("x"), B("2"));
    put(s->other, "a", "4");
    commit_conflicts(txn);

    txn = begin(s->kv); /* absence */
    check(reads(txn, "n", KV_SERIALIZABLE, NULL));
    kv_set(txn, B("x"), B("2"));
    put(s->other, "n", "");
    commit_conflicts(txn);

    txn = begin(s->kv); /* removal */
    check(reads(txn, "n", KV_SERIALIZABLE, ""));
    kv_set(txn, B("x"), B("2"));
    drop(s->other, "n");
    commit_conflicts(txn);

    txn = begin(s->kv); /* by value: there and back is no change */
    check(reads(txn, "a", KV_SERIALIZABLE, "4"));
    kv_set(txn, B("x"), B("2"));
    put(s->other, "a", "5");
    put(s->other, "a", "4");
    commit(txn);

    txn = begin(s->kv); /* own writes are no reads */
    kv_set(txn, B("a"), B("own"));
    check(reads(txn, "a", KV_SERIALIZABLE, "own"));
    put(s->other, "a", "6");
    commit(txn);
    check(holds(s->kv, "a", "own"));

    txn = begin(s->kv); /* blind writes never conflict */
    kv_set(txn, B("a"), B("7"));
    put(s->other, "a", "8");
    commit(txn);
    check(holds(s->kv, "a", "7"));
}

static void case_range_conflicts(struct suite *s) fiber_fn
{
    static const struct {
        const char *key, *value; /* what the other commits */
        uint32_t limit;
        enum kv_read mode;
        bool is_conflict;
    } cases[] = {
        { "bb", "1", 0, KV_SERIALIZABLE, true }, /* a phantom */
        { "a", "2", 0, KV_SERIALIZABLE, true },  /* a change */
        { "a", NULL, 0, KV_SERIALIZABLE, true },
        { "a", "1", 0, KV_SERIALIZABLE, false }, /* the same again */
        { "z", "1", 0, KV_SERIALIZABLE, false }, /* behind the end */
        { "bb", "1", 0, KV_SNAPSHOT, false },
        { "bb", "1", 2, KV_SERIALIZABLE, false }, /* behind what the page had */
        { "aa", "1", 2, KV_SERIALIZABLE, true },
        { "bb", "1", 2, KV_REVERSE, true },
        { "aa", "1", 2, KV_REVERSE, false },
        { "0", "1", 0, KV_REVERSE, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        clear_all(s->kv);
        put(s->kv, "a", "1");
        put(s->kv, "b", "1");
        put(s->kv, "c", "1");
        cleanup_arena_ struct arena arena = { 0 };
        struct kv_txn *txn = begin(s->kv);
        range_text(txn, "a", "z", cases[i].limit, cases[i].mode, &arena);
        kv_set(txn, B("x"), B("1"));
        if (cases[i].value) {
            put(s->other, cases[i].key, cases[i].value);
        } else {
            drop(s->other, cases[i].key);
        }
        int r = kv_commit(txn);
        check(r == (cases[i].is_conflict ? -ERR_TXN_CONFLICT : 0));
        kv_end(txn);
    }
    struct kv_txn *txn = begin(s->kv);
    check(reads(txn, "a", KV_SNAPSHOT, "1"));
    kv_add_conflict_range(txn, B("p"), B("q"));
    kv_set(txn, B("y"), B("1"));
    put(s->other, "pp", "1");
    commit_conflicts(txn);
    txn = begin(s->kv); /* what the transaction itself cleared was not read */
    kv_clear_range(txn, B("p"), B("q"));
    check(ranges(txn, "p", "q", 0, KV_SERIALIZABLE, ""));
    put(s->other, "pq", "1");
    commit(txn);
    check(holds(s->kv, "pq", NULL));
}

/* Two doctors, one must stay on call: both see two, each signs off. */
static void case_write_skew(struct suite *s) fiber_fn
{
    put(s->kv, "alice", "on");
    put(s->kv, "bob", "on");
    struct kv_txn *a = begin(s->kv), *b = begin(s->other);
    check(reads(a, "bob", KV_SERIALIZABLE, "on"));
    check(reads(b, "alice", KV_SERIALIZABLE, "on"));
    kv_set(a, B("alice"), B("off"));
    kv_set(b, B("bob"), B("off"));
    commit(a);
    commit_conflicts(b);
    check(holds(s->kv, "bob", "on"));
}

static struct bytes number_key(char prefix, uint32_t i, char buf[16])
{
    int n = snprintf(buf, 16, "%c%08u", prefix, i);
    check(n == 9);
    return bytes_of(buf, 9);
}

static void case_large_scan(struct suite *s) fiber_fn
{
    uint32_t count = s->options->scan_count;
    char buf[16];
    for (uint32_t i = 0; i < count;) {
        struct kv_txn *txn = begin(s->kv);
        for (uint32_t end = MIN_OF(count, i + 20000); i < end; i++) {
            struct bytes key = number_key('k', i, buf);
            kv_set(txn, key, key);
        }
        commit(txn);
    }
    for (int pass = 0; pass < 2; pass++) {
        enum kv_read mode = pass ? KV_REVERSE : KV_SERIALIZABLE;
        struct kv_txn *txn = begin(s->other);
        cleanup_arena_ struct arena bounds = { 0 };
        struct bytes from = B("k"), to = B("l");
        uint32_t seen = 0;
        struct kv_pairs page = { .has_more = true };
        while (page.has_more) {
            cleanup_arena_ struct arena arena = { 0 };
            int r = kv_get_range(txn, from, to, 0, mode, &arena, &page);
            check(r == 0 && page.count <= 10000);
            for (uint32_t i = 0; i < page.count; i++, seen++) {
                struct bytes key = number_key('k', pass ? count - 1 - seen : seen, buf);
                check(bytes_equal(page.items[i].key, key));
                check(bytes_equal(page.items[i].value, key));
            }
            if (!page.has_more) break;
            struct bytes last = page.items[page.count - 1].key;
            if (pass) {
                to = arena_copy(&bounds, last);
            } else {
                from = kv_key_after(&bounds, last);
            }
        }
        check(seen == count);
        kv_set(txn, B("scan"), B("done")); /* the whole read set is checked */
        commit(txn);
    }
}

static void case_limits(struct suite *s) fiber_fn
{
    static uint8_t const zeros[KV_VALUE_BYTES_MAX + 1];
    struct bytes value = bytes_of(zeros, KV_VALUE_BYTES_MAX);
    char name[KV_KEY_BYTES_MAX + 1];
    memset(name, 'k', sizeof(name));
    struct bytes key = bytes_of(name, KV_KEY_BYTES_MAX);
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes got;

    struct kv_txn *txn = begin(s->kv);
    kv_set(txn, key, value);
    commit(txn);
    txn = begin(s->other);
    int r = kv_get(txn, key, KV_SERIALIZABLE, &arena, &got);
    check(r == 1 && bytes_equal(got, value));
    struct kv_pairs pairs;
    r = kv_get_range(txn, key, kv_key_after(&arena, key), 1, KV_SERIALIZABLE, &arena, &pairs);
    check(r == 0 && pairs.count == 1);
    r = kv_get(txn, bytes_of(name, sizeof(name)), KV_SERIALIZABLE, &arena, &got);
    check(r == 0);
    kv_end(txn);

    const struct {
        struct bytes key, value;
        int want;
    } cases[] = {
        { bytes_of(name, sizeof(name)), B(""), -ERR_TXN_TOO_LARGE },
        { B("a"), bytes_of(zeros, sizeof(zeros)), -ERR_TXN_TOO_LARGE },
        { B(""), B(""), -ERR_INVALID_ARG },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        txn = begin(s->kv);
        kv_set(txn, B("b"), B("1"));
        kv_set(txn, cases[i].key, cases[i].value);
        r = kv_commit(txn);
        check(r == cases[i].want);
        kv_end(txn);
        check(holds(s->kv, "b", NULL));
    }
    for (uint32_t count = 99; count <= 101; count += 2) {
        txn = begin(s->kv);
        for (uint32_t i = 0; i < count; i++) {
            char buf[16];
            kv_set(txn, number_key('v', i, buf), value);
        }
        r = kv_commit(txn);
        check(r == (count < 100 ? 0 : -ERR_TXN_TOO_LARGE));
        kv_end(txn);
    }
}

static void case_age(struct suite *s) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes got;
    if (s->options->without_age) return;
    struct kv_txn *txn = begin(s->kv);
    check(reads(txn, "b", KV_SERIALIZABLE, NULL));
    kv_set(txn, B("b"), B("1"));
    int r = fiber_sleep(KV_TXN_AGE_NS_MAX + 100 * MSEC);
    check(r == 0);
    r = kv_get(txn, B("b2"), KV_SERIALIZABLE, &arena, &got);
    check(r == -ERR_TXN_TOO_OLD);
    r = kv_commit(txn);
    check(r == -ERR_TXN_TOO_OLD);
    kv_end(txn);
}

/* ---- many fibers ---- */

struct counter {
    struct kv *kv;
    uint32_t count;
};

static int increment(struct kv_txn *txn, void *arg) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes value;
    uint64_t n = 0;
    int r = kv_get(txn, B("counter"), KV_SERIALIZABLE, &arena, &value);
    if (r < 0) return r;
    if (r == 1) memcpy(&n, value.base, sizeof(n));
    n++;
    kv_set(txn, B("counter"), bytes_of(&n, sizeof(n)));
    return 0;
}

static int counter_fiber(void *arg) fiber_fn
{
    struct counter *c = arg;
    for (uint32_t i = 0; i < c->count;) {
        int r = kv_transact(c->kv, KV_RETRY_SAFE, increment, NULL);
        check(r == 0 || r == -ERR_TXN_CONFLICT); /* out of tries: nothing was done */
        i += r == 0;
    }
    return 0;
}

static void case_counters(struct suite *s) fiber_fn
{
    enum { FIBERS = 50 };
    struct counter counters[FIBERS];
    struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = s->node;
    for (uint32_t i = 0; i < FIBERS; i++) {
        counters[i] = (struct counter){ i % 2 ? s->kv : s->other, s->options->counter_count };
        int r = fiber_spawn(&scope, "counter", counter_fiber, &counters[i]);
        check(r == 0);
    }
    int r = scope_wait(&scope);
    check(r == 0);
    scope_done(&scope);

    uint64_t n = FIBERS * s->options->counter_count;
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes value;
    struct kv_txn *txn = begin(s->kv);
    r = kv_get(txn, B("counter"), KV_SERIALIZABLE, &arena, &value);
    check(r == 1 && bytes_equal(value, bytes_of(&n, sizeof(n))));
    kv_end(txn);
}

static int fail_with_no_space(struct kv_txn *txn, void *arg) fiber_fn
{
    uint32_t *calls = arg;
    (*calls)++;
    kv_set(txn, B("a"), B("1"));
    return -ERR_NO_SPACE;
}

static int conflict_twice(struct kv_txn *txn, void *arg) fiber_fn
{
    struct suite *s = arg;
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes value;
    int r = kv_get(txn, B("tries"), KV_SERIALIZABLE, &arena, &value);
    if (r < 0) return r;
    if (r == 0) put(s->other, "tries", "1");
    if (r == 1 && bytes_equal_text(value, "1")) put(s->other, "tries", "2");
    kv_set(txn, B("done"), r ? value : B("none"));
    return 7;
}

static void case_transact(struct suite *s) fiber_fn
{
    uint32_t calls = 0;
    int r = kv_transact(s->kv, KV_RETRY_SAFE, fail_with_no_space, &calls);
    check(r == -ERR_NO_SPACE && calls == 1);
    check(holds(s->kv, "a", NULL));
    r = kv_transact(s->kv, KV_RETRY_SAFE, conflict_twice, s);
    check(r == 7);
    check(holds(s->kv, "done", "2"));
}

static void case_helpers(struct suite *s) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    check(bytes_equal_text(kv_prefix_end(&arena, B("ab")), "ac"));
    check(bytes_equal_text(kv_prefix_end(&arena, B("a\xff\xff")), "b"));
    check(bytes_equal(kv_key_after(&arena, B("a")), B("a\0")));
    check(bytes_equal(kv_key_after(&arena, B("")), B("\0")));
}

static const struct {
    const char *name;
    void (*fn)(struct suite *s);
} cases[] = {
    { "basics", case_basics },
    { "get many", case_get_many },
    { "snapshot", case_snapshot },
    { "own writes", case_own_writes },
    { "key conflicts", case_key_conflicts },
    { "range conflicts", case_range_conflicts },
    { "write skew", case_write_skew },
    { "large scan", case_large_scan },
    { "limits", case_limits },
    { "age", case_age },
    { "counters", case_counters },
    { "transact", case_transact },
    { "helpers", case_helpers },
};

void kv_suite_run(struct kv *kv, struct kv *other, struct node *node,
                  const struct kv_suite_options *options)
{
    struct suite s = { .kv = kv, .other = other, .node = node, .options = options };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        clear_all(kv);
        cases[i].fn(&s);
        fprintf(stderr, "%s: %s ok\n", kv_describe(kv), cases[i].name);
    }
    clear_all(kv);
    kv_suite_model_run(kv, other, options->seed, options->model_count);
    clear_all(kv);
}
