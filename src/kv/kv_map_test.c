/* kv_map_test.c - the ordered map against a sorted array, random and in every position. */
#include "base/arena.h"
#include "kv/kv_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka.h wants these */
#include <cmocka.h>

enum { NUMBERS = 600 };

struct item {
    struct kv_map_entry entry;
    char text[8];
    bool is_inside;
};

struct model {
    struct kv_map map;
    struct item items[NUMBERS];
    uint64_t random;
};

static uint32_t below(struct model *m, uint32_t bound)
{
    m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(m->random >> 33) % bound;
}

static struct item *item_of(struct kv_map_entry *e)
{
    return e ? container_of(e, struct item, entry) : NULL;
}

static struct item *inside_from(struct model *m, int at, int step)
{
    for (; at >= 0 && at < NUMBERS; at += step) {
        if (m->items[at].is_inside) return &m->items[at];
    }
    return NULL;
}

static void compare(struct model *m, int at)
{
    struct bytes key = m->items[at].entry.key;
    struct item *same = m->items[at].is_inside ? &m->items[at] : NULL;
    assert_ptr_equal(item_of(kv_map_find(&m->map, key)), same);
    assert_ptr_equal(item_of(kv_map_at_least(&m->map, key)), inside_from(m, at, 1));
    assert_ptr_equal(item_of(kv_map_before(&m->map, key)), inside_from(m, at - 1, -1));
    assert_ptr_equal(item_of(kv_map_first(&m->map)), inside_from(m, 0, 1));
}

static void test_model(void **state)
{
    struct model *m = new_zero(struct model);
    m->random = 1;
    kv_map_init(&m->map);
    for (int i = 0; i < NUMBERS; i++) {
        int n = snprintf(m->items[i].text, sizeof(m->items[i].text), "%03d", i);
        m->items[i].entry.key = bytes_of(m->items[i].text, (size_t)n);
    }
    size_t count = 0;
    for (uint32_t step = 0; step < 100000; step++) {
        struct item *item = &m->items[below(m, NUMBERS)];
        if (item->is_inside) {
            kv_map_remove(&m->map, &item->entry);
        } else {
            kv_map_insert(&m->map, &item->entry);
        }
        item->is_inside = !item->is_inside;
        count += item->is_inside ? 1 : (size_t)-1;
        assert_int_equal(m->map.count, count);
        compare(m, (int)below(m, NUMBERS));
    }
    struct kv_map_entry *e = kv_map_first(&m->map);
    for (int i = 0; i < NUMBERS; i++) {
        compare(m, i);
        if (!m->items[i].is_inside) continue;
        assert_ptr_equal(item_of(e), &m->items[i]);
        e = kv_map_next(e);
    }
    assert_null(e);
    for (e = kv_map_pop(&m->map); e; e = kv_map_pop(&m->map)) {
        item_of(e)->is_inside = false;
        compare(m, (int)below(m, NUMBERS));
    }
    assert_int_equal(m->map.count, 0);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_model) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
