/* map_test.c - both kinds of keys against an array as the model. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEY_COUNT = 600, STEP_COUNT = 200000 };

static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* Key number i in both forms: numbers that collide in their low bits, texts of all lengths. */
static uint64_t number_key(size_t i)
{
    return (uint64_t)i << 32;
}

static struct bytes text_key(size_t i, char *buf)
{
    snprintf(buf, 64, "%zu%.*s", i, (int)(i % 40), "----------------------------------------");
    return i == 0 ? (struct bytes){ 0 } : bytes_of_text(buf);
}

static void *op(struct map *m, bool is_bytes, size_t i, int what, void *value)
{
    char buf[64];
    if (is_bytes) {
        struct bytes key = text_key(i, buf);
        return what == 0   ? map_get_bytes(m, key)
               : what == 1 ? map_put_bytes(m, key, value)
                           : map_remove_bytes(m, key);
    }
    uint64_t key = number_key(i);
    return what == 0 ? map_get(m, key) : what == 1 ? map_put(m, key, value) : map_remove(m, key);
}

static void run_model(bool is_bytes, uint64_t seed)
{
    static const char values[16];
    void *model[KEY_COUNT] = { 0 };
    size_t model_count = 0;
    struct map m;
    map_init(&m, seed);
    for (int step = 0; step < STEP_COUNT; step++) {
        /* The share of removals moves, so that the table fills and empties. */
        size_t i = random_next(&seed) % KEY_COUNT;
        bool is_filling = step / 20000 % 2 == 0;
        uint64_t dice = random_next(&seed) % 10;
        int what = dice < 2 ? 0 : (dice < 8) == is_filling ? 1 : 2;
        void *value = (void *)(uintptr_t)&values[random_next(&seed) % sizeof(values)];
        void *before = model[i];
        assert_ptr_equal(op(&m, is_bytes, i, what, value), before);
        if (what) model[i] = what == 1 ? value : NULL;
        model_count += (model[i] != NULL) - (before != NULL);
        assert_int_equal(m.count, model_count);
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        assert_ptr_equal(op(&m, is_bytes, i, 0, NULL), model[i]);
    }
    assert_in_range(m.capacity, model_count, 4096);
    map_done(&m);
    assert_null(op(&m, is_bytes, 1, 0, NULL));
}

static void test_model(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        run_model(false, seed);
        run_model(true, seed);
    }
}

static void test_iteration_with_removal(void **state)
{
    struct map m;
    map_init(&m, 99);
    static const char values[KEY_COUNT];
    for (size_t i = 0; i < KEY_COUNT; i++) {
        assert_null(map_put(&m, number_key(i), (void *)(uintptr_t)&values[i]));
    }
    bool seen[KEY_COUNT] = { 0 };
    size_t at = 0;
    uint64_t key;
    const char *value;
    while ((value = map_next_key(&m, &at, &key))) {
        size_t i = (size_t)(value - values);
        assert_int_equal(key, number_key(i));
        assert_false(seen[i]);
        seen[i] = true;
        if (i % 3 == 0) assert_ptr_equal(map_remove(&m, key), value);
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        assert_true(seen[i]);
        assert_int_equal(map_get(&m, number_key(i)) != NULL, i % 3 != 0);
    }
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_iteration_with_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
