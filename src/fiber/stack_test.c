/* stack_test.c - guards of both kinds, reuse, the limits of what stays resident. */
#include "fiber/stack.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { STACK_BYTES = 64 * 1024, COUNT = 3000 };

/* Asks the kernel to read a byte, which is an error instead of a signal where that is not allowed.
 */
static int can_read(const uint8_t *at)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    ssize_t n = write(fds[1], at, 1);
    int eno = errno;
    close(fds[0]);
    close(fds[1]);
    assert_true(n == 1 || eno == EFAULT);
    return n == 1;
}

static void check_pool(struct stack_pool *pool)
{
    static uint8_t *stacks[COUNT];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            stacks[i] = stack_get(pool);
            assert_non_null(stacks[i]);
            stacks[i][stack_usable(pool) - 1] = 1;
        }
        for (int i = 0; i < COUNT; i += 97) {
            assert_int_equal(can_read(stacks[i]), 1);
            assert_int_equal(can_read(stacks[i] - 1), 0);
            assert_int_equal(can_read(stacks[i] - pool->page_bytes), 0);
        }
        for (int i = 0; i < COUNT; i++) {
            stack_put(pool, stacks[i]);
        }
    }
    assert_in_range(pool->total_count, COUNT, COUNT + 256);
    /* Those that gave their memory back are zero again; their guards are still there. */
    assert_true(pool->cold_count > 0);
    uint8_t *cold = pool->cold[pool->cold_count - 1];
    assert_int_equal(cold[stack_usable(pool) - 1], 0);
    assert_int_equal(can_read(cold - 1), 0);
}

static void test_guards(void **state)
{
    for (int is_light = 0; is_light < 2; is_light++) {
        struct stack_pool pool;
        stack_pool_init(&pool, STACK_BYTES, false);
        pool.has_light_guards = is_light; /* cleared by the first use where the kernel has none */
        check_pool(&pool);
        stack_pool_done(&pool);
    }
}

static void test_painting(void **state)
{
    struct stack_pool pool;
    stack_pool_init(&pool, STACK_BYTES, true);
    uint8_t *low = stack_get(&pool);
    low[stack_usable(&pool) - 5000] = 0;
    stack_put(&pool, low);
    assert_int_equal(pool.used_bytes_max, 5000);
    low = stack_get(&pool);
    stack_put(&pool, low);
    assert_int_equal(pool.used_bytes_max, 5000);
    stack_pool_done(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_painting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
