/* embedded_test.c - the embedded engine on real loops: conformance where the store is held and from
 * another process, several nodes on one loop, reopening, full maps, refusals.
 */
#include "kv/embedded_test_world.h"
#include "kv/kv_suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
/* cmocka.h wants the first three */
#include <cmocka.h>

#define B(s) BYTES_LITERAL(s)

static const struct kv_suite_options suite_options = {
    .seed = 1, .scan_count = 100000, .model_count = 10000, .counter_count = 10
};

static enum loop_backend backends[] = { LOOP_POSIX, LOOP_AUTO };

static void suite_in_holder(struct process *p) fiber_fn
{
    process_open(p);
    struct kv *other = NULL;
    struct node *node = node_new(p->loop, NULL, "other"); /* another role on the same loop */
    int r = kv_embedded_open(node, &(struct kv_embedded_options){ .dir = p->dir }, &other);
    check(r == 0);
    check(strcmp(kv_describe(other), kv_describe(p->kv)) == 0);
    struct kv_suite_options options = suite_options;
    options.without_age = p->backend != LOOP_POSIX || p->arg;
    kv_suite_run(p->kv, other, p->node, &options);
    kv_close(other);
    node_stop(node);
    node_free(node);
}

static void test_suite_in_holder(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        struct process p = { .dir = test_dir_make(), .backend = backends[i] };
        process_run(&p, suite_in_holder);
        p.arg = &p;
        process_run(&p, suite_in_holder); /* what the first left is no hindrance */
        test_dir_remove((char *)(uintptr_t)p.dir);
    }
}

struct pipes {
    int ready[2], done[2];
};

static void serve_until_done(struct process *p) fiber_fn
{
    struct pipes *pipes = p->arg;
    char c = 'r';
    process_open(p);
    ssize_t n = write(pipes->ready[1], &c, 1);
    check(n == 1);
    int r = fd_wait(p->node, pipes->done[0], 1 /* POLLIN */);
    check(r == 0);
}

static void suite_from_afar(struct process *p) fiber_fn
{
    process_open(p);
    char self[32];
    snprintf(self, sizeof(self), "pid %d", (int)getpid());
    check(!strstr(kv_describe(p->kv), self));
    struct kv_suite_options options = suite_options;
    options.without_age = p->backend != LOOP_POSIX;
    kv_suite_run(p->kv, p->kv, p->node, &options);
}

static void test_suite_from_afar(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        struct process p = { .dir = test_dir_make(), .backend = backends[i] };
        struct pipes pipes;
        char c;
        assert_int_equal(pipe(pipes.ready), 0);
        assert_int_equal(pipe(pipes.done), 0);
        pid_t pid = process_fork(&p, serve_until_done, &pipes);
        assert_int_equal(read(pipes.ready[0], &c, 1), 1);
        process_run(&p, suite_from_afar);
        assert_int_equal(write(pipes.done[1], "x", 1), 1);
        assert_int_equal(process_join(pid), 0);
        close(pipes.ready[0]);
        close(pipes.ready[1]);
        close(pipes.done[0]);
        close(pipes.done[1]);
        test_dir_remove((char *)(uintptr_t)p.dir);
    }
}

/* ---- reopening ---- */

static int set_number(struct kv_txn *txn, void *arg) fiber_fn
{
    const uint32_t *n = arg;
    char key[16];
    int size = snprintf(key, sizeof(key), "n%08u", *n);
    kv_set(txn, bytes_of(key, (size_t)size), bytes_of(n, sizeof(*n)));
    return 0;
}

static int count_numbers(struct kv_txn *txn, void *arg) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_pairs pairs;
    int r = kv_get_range(txn, B("n"), B("o"), 0, KV_SNAPSHOT, &arena, &pairs);
    if (r >= 0) *(uint32_t *)arg = pairs.count;
    return r;
}

static void write_some(struct process *p) fiber_fn
{
    uint32_t *count = p->arg, seen;
    process_open(p);
    int r = kv_read_only(p->kv, count_numbers, &seen);
    check(r == 0 && seen == *count);
    for (uint32_t i = 0; i < 100; i++, (*count)++) {
        r = kv_transact(p->kv, KV_RETRY_SAFE, set_number, count);
        check(r == 0);
    }
}

static void test_reopen(void **state)
{
    uint32_t count = 0;
    struct process p = { .dir = test_dir_make(), .backend = LOOP_POSIX, .arg = &count };
    for (int i = 0; i < 5; i++) {
        process_run(&p, write_some);
    }
    test_dir_remove((char *)(uintptr_t)p.dir);
}

/* ---- a full map ---- */

static int set_large(struct kv_txn *txn, void *arg) fiber_fn
{
    static const uint8_t value[50000];
    const uint32_t *n = arg;
    char key[16];
    int size = snprintf(key, sizeof(key), "n%08u", *n);
    kv_set(txn, bytes_of(key, (size_t)size), bytes_of(value, sizeof(value)));
    return 0;
}

static int clear_all(struct kv_txn *txn, void *arg) fiber_fn
{
    kv_clear_range(txn, B("n"), B("o"));
    return 0;
}

static void fill_up(struct process *p) fiber_fn
{
    struct kv_embedded_options options = { .dir = p->dir, .map_bytes = 32 * MIB };
    int r = kv_embedded_open(p->node, &options, &p->kv);
    check(r == 0);
    for (int pass = 0; pass < 2; pass++) {
        uint32_t n = 0, seen;
        for (r = 0; r >= 0; n += r >= 0) {
            check(n < 1000);
            r = kv_transact(p->kv, KV_RETRY_SAFE, set_large, &n);
        }
        check(r == -ERR_KV_FULL);
        check(n > 100);
        r = kv_read_only(p->kv, count_numbers, &seen);
        check(r == 0 && seen > 0); /* reading goes on; a page of 1 MiB */
        r = kv_transact(p->kv, KV_RETRY_SAFE, clear_all, NULL);
        check(r == 0); /* and so does making room */
        r = fiber_sleep(3 * SEC);
        check(r == 0);
    }
}

static void test_full(void **state)
{
    struct process p = { .dir = test_dir_make(), .backend = LOOP_POSIX };
    process_run(&p, fill_up);
    test_dir_remove((char *)(uintptr_t)p.dir);
}

/* ---- places ---- */

static void open_only(struct process *p) fiber_fn
{
    process_open(p);
    uint32_t n = 1;
    int r = kv_transact(p->kv, KV_RETRY_SAFE, set_number, &n);
    check(r == 0);
}

/* A path that is too long for a socket's name, made as it is needed; opened by two processes. */
static void test_long_path(void **state)
{
    char *top = test_dir_make(), path[400];
    int n = snprintf(path, sizeof(path), "%s/%0120d/%0100d", top, 1, 2);
    assert_true(n > 200);
    struct process p = { .dir = path, .backend = LOOP_POSIX };
    struct pipes pipes;
    char c;
    assert_int_equal(pipe(pipes.ready), 0);
    assert_int_equal(pipe(pipes.done), 0);
    pid_t pid = process_fork(&p, serve_until_done, &pipes);
    assert_int_equal(read(pipes.ready[0], &c, 1), 1);
    process_run(&p, open_only);
    assert_int_equal(write(pipes.done[1], "x", 1), 1);
    assert_int_equal(process_join(pid), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);

    test_dir_remove(strdup(path));
    *strrchr(path, '/') = 0;
    assert_int_equal(rmdir(path), 0);
    test_dir_remove(top);
}

static void refuse(struct process *p) fiber_fn
{
    struct kv_embedded_options options = { .dir = p->dir };
    int r = kv_embedded_open(p->node, &options, &p->kv);
    check(r < 0);
}

static void test_refused(void **state)
{
    struct process p = { .dir = "/proc/self/kv", .backend = LOOP_POSIX };
    process_run(&p, refuse);
    p.dir = "/dev/null/kv";
    process_run(&p, refuse);
}

/* ---- who yields waits a moment for somebody else, then serves; afar it is not local ---- */

static void yield(struct process *p) fiber_fn
{
    struct kv_embedded_options options = { .dir = p->dir, .map_bytes = GIB, .yields = true };
    uint64_t begin_ns = clock_now_ns();
    int r = kv_embedded_open(p->node, &options, &p->kv);
    check(r == 0);
    check(kv_is_local(p->kv) == !p->arg);
    check(p->arg || clock_now_ns() - begin_ns >= 200 * MSEC);
}

static void test_yields(void **state)
{
    struct process p = { .dir = test_dir_make(), .backend = LOOP_POSIX };
    struct pipes pipes;
    char c;
    process_run(&p, yield);
    assert_int_equal(pipe(pipes.ready), 0);
    assert_int_equal(pipe(pipes.done), 0);
    pid_t pid = process_fork(&p, serve_until_done, &pipes);
    assert_int_equal(read(pipes.ready[0], &c, 1), 1);
    p.arg = &pipes; /* another one holds it */
    process_run(&p, yield);
    assert_int_equal(write(pipes.done[1], "x", 1), 1);
    assert_int_equal(process_join(pid), 0);
    close(pipes.ready[0]);
    close(pipes.ready[1]);
    close(pipes.done[0]);
    close(pipes.done[1]);
    test_dir_remove((char *)(uintptr_t)p.dir);
}

/* ---- backup of a large store while others write ---- */

static void back_up(struct process *p) fiber_fn
{
    char path[512];
    snprintf(path, sizeof(path), "%s/backup", p->dir);
    process_open(p);
    for (uint32_t n = 0; n < 200; n++) {
        int r = kv_transact(p->kv, KV_RETRY_SAFE, set_large, &n);
        check(r == 0);
    }
    int r = kv_backup(p->kv, path, NULL);
    check(r == 0);
    r = kv_restore(p->kv, path, NULL);
    check(r == -ERR_META_EXISTS);
    r = kv_transact(p->kv, KV_RETRY_SAFE, clear_all, NULL);
    if (r >= 0) r = kv_restore(p->kv, path, NULL);
    check(r == 0);
    cleanup_arena_ struct arena arena = { 0 };
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    struct bytes pos = B("n"), value;
    struct kv_pairs pairs = { .has_more = true };
    uint32_t count = 0;
    r = kv_begin(p->kv, &txn);
    check(r == 0);
    while (pairs.has_more) {
        r = kv_get_range(txn, pos, B("o"), 0, KV_SNAPSHOT, &arena, &pairs);
        check(r == 0);
        count += pairs.count;
        if (pairs.count) pos = kv_key_after(&arena, pairs.items[pairs.count - 1].key);
    }
    check(count == 200);
    r = kv_get(txn, B("n00000007"), KV_SNAPSHOT, &arena, &value);
    check(r == 1 && value.size == 50000);
}

static void test_backup(void **state)
{
    struct process p = { .dir = test_dir_make(), .backend = LOOP_AUTO };
    process_run(&p, back_up);
    test_dir_remove((char *)(uintptr_t)p.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite_in_holder), cmocka_unit_test(test_suite_from_afar),
        cmocka_unit_test(test_reopen),          cmocka_unit_test(test_full),
        cmocka_unit_test(test_long_path),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_yields),          cmocka_unit_test(test_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
