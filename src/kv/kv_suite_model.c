/* kv_suite_model.c - one transaction after the other, random steps, every answer compared with an
 * array.
 *
 * Keys are two letters of a small alphabet, so that ranges, single writes and cleared ranges meet
 * often.
 */
#include "kv/kv_suite_model.h"
#include "base/check.h"

#include <stdio.h>

enum { LETTERS = 8, KEYS = LETTERS * LETTERS, STEPS_PER_TXN_MAX = 24 };

/* 0: absent. The value of a key is the decimal number. */
struct model {
    uint32_t committed[KEYS], current[KEYS];
    uint64_t random;
    uint32_t next_value;
};

static uint32_t below(struct model *m, uint32_t bound)
{
    uint64_t x = m->random += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)((x ^ (x >> 31)) % bound);
}

static struct bytes key_of(struct arena *arena, uint32_t at)
{
    char text[3] = { (char)('a' + at / LETTERS), (char)('a' + at % LETTERS), 0 };
    return at == KEYS ? BYTES_LITERAL("zz") : arena_copy(arena, bytes_of_text(text));
}

static struct bytes value_of(struct arena *arena, uint32_t value)
{
    return bytes_of_text(arena_printf(arena, "%u", value));
}

static void compare_get(struct model *m, struct kv_txn *txn, struct arena *arena) fiber_fn
{
    uint32_t at = below(m, KEYS);
    enum kv_read mode = below(m, 2) ? KV_SNAPSHOT : KV_SERIALIZABLE;
    struct bytes value;
    int r = kv_get(txn, key_of(arena, at), mode, arena, &value);
    check(r == (m->current[at] != 0));
    if (r == 1) check(bytes_equal(value, value_of(arena, m->current[at])));
}

static void compare_get_many(struct model *m, struct kv_txn *txn, struct arena *arena) fiber_fn
{
    struct bytes keys[8], values[8];
    uint32_t at[8];
    bool found[8];
    uint32_t count = 1 + below(m, 8);
    for (uint32_t i = 0; i < count; i++) {
        at[i] = below(m, KEYS);
        keys[i] = key_of(arena, at[i]);
    }
    int r = kv_get_many(txn, keys, count, KV_SERIALIZABLE, arena, found, values);
    check(r == 0);
    for (uint32_t i = 0; i < count; i++) {
        check(found[i] == (m->current[at[i]] != 0));
        if (found[i]) check(bytes_equal(values[i], value_of(arena, m->current[at[i]])));
    }
}

static void compare_range(struct model *m, struct kv_txn *txn, struct arena *arena) fiber_fn
{
    uint32_t from = below(m, KEYS + 1), to = below(m, KEYS + 1);
    uint32_t limit = below(m, 3) ? 1 + below(m, KEYS) : 0;
    bool is_reverse = below(m, 2) != 0;
    enum kv_read mode = is_reverse ? KV_REVERSE : KV_SERIALIZABLE;
    struct kv_pairs pairs;
    int r = kv_get_range(txn, key_of(arena, from), key_of(arena, to), limit, mode, arena, &pairs);
    check(r == 0);

    uint32_t count = 0;
    bool has_more = false;
    for (uint32_t i = from; i < to; i++) {
        uint32_t at = is_reverse ? to - 1 - (i - from) : i;
        if (m->current[at] == 0) continue;
        if (limit && count == limit) {
            has_more = true;
            break;
        }
        check(count < pairs.count);
        check(bytes_equal(pairs.items[count].key, key_of(arena, at)));
        check(bytes_equal(pairs.items[count].value, value_of(arena, m->current[at])));
        count++;
    }
    check(count == pairs.count);
    if (has_more) check(pairs.has_more);
    if (!limit) check(!pairs.has_more);
}

static void change(struct model *m, struct kv_txn *txn, struct arena *arena)
{
    uint32_t at = below(m, KEYS), to = below(m, KEYS + 1);
    switch (below(m, 4)) {
    case 0:
        kv_clear(txn, key_of(arena, at));
        m->current[at] = 0;
        break;
    case 1:
        kv_clear_range(txn, key_of(arena, at), key_of(arena, to));
        for (uint32_t i = at; i < to && below(m, 4); i++) {
            /* goes with the second clear */
            kv_set(txn, key_of(arena, i), value_of(arena, m->next_value));
        }
        kv_clear_range(txn, key_of(arena, at), key_of(arena, to));
        for (uint32_t i = at; i < to; i++) {
            m->current[i] = 0;
        }
        break;
    default:
        m->current[at] = ++m->next_value;
        kv_set(txn, key_of(arena, at), value_of(arena, m->current[at]));
    }
}

void kv_suite_model_run(struct kv *kv, struct kv *other, uint64_t seed, uint32_t step_count)
{
    struct model m = { .random = seed };
    for (uint32_t step = 0; step < step_count;) {
        cleanup_(kv_endp) struct kv_txn *txn = NULL;
        int r = kv_begin(below(&m, 2) ? kv : other, &txn);
        check(r == 0);
        memcpy(m.current, m.committed, sizeof(m.current));
        for (uint32_t n = below(&m, STEPS_PER_TXN_MAX); n > 0; n--, step++) {
            cleanup_arena_ struct arena arena = { 0 };
            switch (below(&m, 5)) {
            case 0: compare_get(&m, txn, &arena); break;
            case 1: compare_get_many(&m, txn, &arena); break;
            case 2: compare_range(&m, txn, &arena); break;
            default: change(&m, txn, &arena);
            }
        }
        step++;
        if (below(&m, 4) == 0) continue; /* dropped */
        r = kv_commit(txn);
        check(r == 0);
        memcpy(m.committed, m.current, sizeof(m.current));
    }
    fprintf(stderr, "%s: model ok, seed %llu\n", kv_describe(kv), (unsigned long long)seed);
}
