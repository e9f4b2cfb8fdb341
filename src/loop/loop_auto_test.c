/* loop_auto_test.c - the choice of a back end: what is asked for, and posix with a reason where a
 * seccomp filter forbids io_uring, as container engines do.
 */
#include "base/check.h"
#include "loop/loop.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { EPERM_NUMBER = 1 };

static void test_forced_posix(void **state)
{
    struct loop *loop = NULL;
    const char *why = "untouched";
    assert_int_equal(loop_new(LOOP_POSIX, &loop, &why), 0);
    assert_string_equal(loop_backend_name(loop), "posix");
    assert_null(why);
    assert_false(loop_is_simulated(loop));
    assert_null(loop_free(loop));
    assert_null(loop_free(NULL));
}

static void test_auto(void **state)
{
    struct loop *loop = NULL;
    const char *why = NULL;
    assert_int_equal(loop_new(LOOP_AUTO, &loop, &why), 0);
    assert_int_equal(why != NULL, strcmp(loop_backend_name(loop), "posix") == 0);
    loop_free(loop);
    assert_int_equal(loop_new(LOOP_AUTO, &loop, NULL), 0);
    loop_free(loop);
}

static void forbid_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM_NUMBER),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };
    int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (r == 0) r = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    check(r == 0);
}

/* The last one: the filter stays. */
static void test_forbidden(void **state)
{
    struct loop *loop = NULL;
    const char *why = NULL;
    forbid_io_uring();
    assert_true(loop_new(LOOP_URING, &loop, &why) < 0);
    assert_null(loop);
    assert_non_null(why);
    why = NULL;
    assert_int_equal(loop_new(LOOP_AUTO, &loop, &why), 0);
    assert_string_equal(loop_backend_name(loop), "posix");
    assert_non_null(why);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forced_posix),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
