/* check.c - what a failed assertion prints. */
#include "base/check.h"

#include <stdio.h>

void check_failed(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "%s:%d: %s: check failed: %s\n", file, line, func, expr);
    abort();
}
