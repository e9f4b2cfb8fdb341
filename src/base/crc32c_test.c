/* crc32c_test.c - known vectors, splitting, combining, copying. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The definition, bit by bit. */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
        }
    }
    return ~crc;
}

static void test_vectors(void **state)
{
    uint8_t bytes[32];
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    /* RFC 3720 B.4 */
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
}

enum { SIZE = 70000 };

static void fill(uint8_t *data)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < SIZE; i++) {
        x = x * 1664525u + 1013904223u;
        data[i] = (uint8_t)(x >> 24);
    }
}

static void test_against_definition(void **state)
{
    uint8_t *data = malloc(SIZE), *copy = malloc(SIZE);
    assert_non_null(data);
    assert_non_null(copy);
    fill(data);
    static const size_t sizes[] = { 0, 1, 7, 8, 63, 64, 65, 4095, 4096, 4097, 8192, 65536, SIZE };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = sizes[i];
        uint32_t crc = crc_by_bits(0, data, size);
        assert_int_equal(crc32c(0, data, size), crc);
        memset(copy, 0, SIZE);
        assert_int_equal(crc32c_copy(copy, data, size), crc);
        assert_memory_equal(copy, data, size);
        for (size_t cut = 0; cut <= size; cut += 1 + size / 7) {
            uint32_t a = crc32c(0, data, cut), b = crc32c(0, data + cut, size - cut);
            assert_int_equal(crc32c(a, data + cut, size - cut), crc);
            assert_int_equal(crc32c_combine(a, b, size - cut), crc);
        }
    }
    free(data);
    free(copy);
}

/* Combining with an enormous run of zeros, against appending it in halves. */
static void test_combine_is_additive(void **state)
{
    uint32_t a = 0xdeadbeef, zero_crc = 0;
    uint32_t whole = crc32c_combine(a, zero_crc, (size_t)5 << 40);
    uint32_t halves = crc32c_combine(crc32c_combine(a, 0, (size_t)2 << 40), 0, (size_t)3 << 40);
    assert_int_equal(whole, halves);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_combine_is_additive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
