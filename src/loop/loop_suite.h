/* loop_suite.h - the conformance suite that every back end of the loop must pass.
 *
 * A test program makes a loop and a node, and runs loop_suite_run() on a fiber of that node. A case
 * that fails prints what it expected and ends the process: there is no way back out of a fiber.
 */
#pragma once
#include "loop/loop.h"

struct loop_suite {
    struct node *node;
    const char *dir;  /* an empty directory of the node's machine */
    const char *host; /* where the node reaches itself: "127.0.0.1" */
    const char *only; /* NULL: all; else the one case of this name */
    bool has_unix_credentials;
};

/* Returns how many cases ran. */
int loop_suite_run(const struct loop_suite *suite) fiber_fn;

struct loop_suite_case {
    const char *name;
    void (*fn)(const struct loop_suite *suite);
};
/* Tables by subject; the last row has no name. */
extern const struct loop_suite_case loop_suite_file_cases[];
extern const struct loop_suite_case loop_suite_net_cases[];

void loop_suite_expect(const char *file, int line, const char *what, bool is_met);
void loop_suite_expect_equal(const char *file, int line, const char *what, int64_t a, int64_t b);

#define EXPECT(expr) loop_suite_expect(__FILE__, __LINE__, #expr, (expr))
#define EXPECT_EQUAL(a, b)                                                                         \
    loop_suite_expect_equal(__FILE__, __LINE__, #a " == " #b, (int64_t)(a), (int64_t)(b))

/* "DIR/NAME" in one of the caller's buffers. */
const char *loop_suite_path(const struct loop_suite *suite, const char *name, char *buf,
                            size_t size);
/* Byte @at of the pattern @seed, so that misplaced bytes are noticed. */
uint8_t loop_suite_byte(uint64_t seed, uint64_t at);
void loop_suite_fill(uint8_t *buf, size_t size, uint64_t seed, uint64_t at);
void loop_suite_expect_pattern(const uint8_t *buf, size_t size, uint64_t seed, uint64_t at);
