/* log_test.c - the form of a line. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct capture {
    char text[8192];
    size_t size;
    int count;
};

static void capture_line(void *arg, enum log_level level, const char *line, size_t size)
{
    struct capture *c = arg;
    assert_true(size < sizeof(c->text));
    memcpy(c->text, line, size);
    c->text[size] = 0;
    c->size = size;
    c->count++;
}

static uint64_t fixed_wall(void *clock)
{
    return *(uint64_t *)clock;
}

static const char *fiber_context(void)
{
    return "write";
}

static const char *no_context(void)
{
    return "";
}

static void test_line(void **state)
{
    struct capture capture = { 0 };
    uint64_t wall = 1795359845123456789;
    struct log log = { .level = LOG_INFO,
                       .who = "storage-1001",
                       .wall_ns = fixed_wall,
                       .clock = &wall,
                       .context = fiber_context,
                       .sink = capture_line,
                       .sink_arg = &capture };

    int r = log_warn(&log, -ERR_CHUNK_WRITE_FAILED, "chunk %s: cannot stage", "0-1");
    assert_int_equal(r, -ERR_CHUNK_WRITE_FAILED);
    assert_string_equal(capture.text, "2026-11-22T15:04:05.123456 WARN  storage-1001 [write] "
                                      "chunk 0-1: cannot stage: 4011(ChunkWriteFailed)\n");
    log.context = no_context;
    log.wall_ns = NULL;
    log_info(&log, "up");
    assert_string_equal(capture.text, "INFO  storage-1001 up\n");
    log.who = NULL;
    log_error(&log, 0, "%s", "a\nb\033[1m");
    assert_string_equal(capture.text, "ERROR a?b?[1m\n");

    int count = capture.count;
    assert_int_equal(log_debug(&log, "not seen"), 0);
    log.level = LOG_ERROR;
    assert_int_equal(log_warn(&log, -ERR_BUSY, "not seen"), -ERR_BUSY);
    assert_int_equal(capture.count, count);
}

static void test_long_line_is_cut(void **state)
{
    struct capture capture = { 0 };
    struct log log = { .sink = capture_line, .sink_arg = &capture };
    char text[6000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    log_error(&log, -ERR_BUSY, "%s", text);
    assert_int_equal(capture.size, 4096);
    assert_int_equal(capture.text[4095], '\n');
}

static void test_levels(void **state)
{
    for (int i = 0; i < LOG_LEVEL_MAX; i++) {
        assert_int_equal(log_level_parse(log_level_name((enum log_level)i)), i);
    }
    assert_int_equal(log_level_parse("warn"), LOG_WARN);
    assert_int_equal(log_level_parse("loud"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_long_line_is_cut),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
