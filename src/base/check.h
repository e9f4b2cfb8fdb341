/* check.h - assertions that are never compiled out: a failed one is a bug of ours and ends the
 * process.
 *
 * What comes from the environment (wire, disk, user, shared memory) is never asserted: it is an
 * error.
 */
#pragma once
#include "base/cleanup.h"

noreturn_ void check_failed(const char *expr, const char *file, int line, const char *func);

#define check(expr)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(expr), 0)) check_failed(#expr, __FILE__, __LINE__, __func__);       \
    } while (0)
