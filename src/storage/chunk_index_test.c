/* chunk_index_test.c - the index against a bitmap of which keys are in it, and what it weighs. */
#include "base/check.h"
#include "storage/chunk_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

enum { KEY_SPACE = 6000 };

static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* Numbers in order become keys in order. */
static struct chunk_key key_of(uint32_t number)
{
    return (struct chunk_key){ .target = 1 + number / 2000,
                               .inode = (uint64_t)(number % 2000 / 50) << 40 | 7,
                               .index = number % 50 * 0x01000000u };
}

static uint32_t number_of(const struct chunk_key *key)
{
    return (key->target - 1) * 2000 + (uint32_t)(key->inode >> 40) * 50 + key->index / 0x01000000u;
}

struct model {
    bool has[KEY_SPACE];
    uint32_t count;
};

static void check_all(const struct chunk_index *index, const struct model *model)
{
    struct chunk_key at = { 0 };
    uint32_t count = 0, expected = 0;
    for (struct index_entry *e = chunk_index_next(index, &at, true); e;
         e = chunk_index_next(index, &at, false)) {
        while (expected < KEY_SPACE && !model->has[expected]) {
            expected++;
        }
        assert_int_equal(number_of(&e->key), expected);
        assert_int_equal(e->version, expected + 1);
        expected++;
        count++;
        at = e->key;
    }
    assert_int_equal(count, model->count);
    assert_int_equal(index->entry_count, model->count);
}

static void check_neighbours(const struct chunk_index *index, const struct model *model,
                             uint32_t number)
{
    struct chunk_key key = key_of(number);
    int64_t before = (int64_t)number - 1, behind = (int64_t)number + 1;
    while (before >= 0 && !model->has[before]) {
        before--;
    }
    while (behind < KEY_SPACE && !model->has[behind]) {
        behind++;
    }
    const struct index_entry *prev = chunk_index_prev(index, &key);
    const struct index_entry *next = chunk_index_next(index, &key, false);
    assert_int_equal(prev ? (int64_t)number_of(&prev->key) : -1, before);
    assert_int_equal(next ? (int64_t)number_of(&next->key) : KEY_SPACE, behind);
    const struct index_entry *at = chunk_index_next(index, &key, true);
    if (model->has[number]) assert_int_equal(number_of(&at->key), number);
    assert_int_equal(chunk_index_find(index, &key) != NULL, model->has[number]);
}

static void test_random(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct chunk_index index;
        struct model model = { 0 };
        uint64_t chance = seed;
        chunk_index_init(&index);
        for (uint32_t step = 0; step < 30000; step++) {
            /* phases of growth and of shrinking; runs of neighbours now and then */
            bool is_growing = step / 5000 % 2 == 0;
            uint32_t number = (uint32_t)(random_next(&chance) % KEY_SPACE);
            uint32_t run = random_next(&chance) % 16 == 0 ? 60 : 1;
            for (uint32_t i = number; i < number + run && i < KEY_SPACE; i++) {
                struct chunk_key key = key_of(i);
                bool will_insert = random_next(&chance) % 8 ? is_growing : !is_growing;
                if (will_insert) {
                    chunk_index_insert(&index, &key)->version = i + 1;
                    model.count += !model.has[i];
                } else if (model.has[i]) {
                    chunk_index_remove(&index, &key);
                    model.count--;
                }
                model.has[i] = will_insert;
            }
            check_neighbours(&index, &model, number);
            if (step % 1000 == 0) check_all(&index, &model);
        }
        check_all(&index, &model);
        chunk_index_done(&index);
    }
}

/* Bytes of memory a chunk for files written in order (many at a time) and for random chunks. */
static void test_weight(void **state)
{
    enum { COUNT = 200000 };
    uint64_t chance = 3;
    for (int is_random = 0; is_random < 2; is_random++) {
        struct chunk_index index;
        chunk_index_init(&index);
        for (uint32_t i = 0; i < COUNT; i++) {
            struct chunk_key key = { .target = 1, .inode = i % 100, .index = i / 100 };
            if (is_random) key.inode = random_next(&chance);
            chunk_index_insert(&index, &key);
        }
        double weight = (double)index.bytes / (double)index.entry_count;
        print_message("%s keys: %.1f bytes a chunk\n", is_random ? "random" : "ordered", weight);
        assert_true(weight <= (is_random ? 64 : 52));
        chunk_index_done(&index);
        assert_int_equal(index.bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
