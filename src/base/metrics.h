/* metrics.h - named counters and gauges of one node, read by the monitor and by tests.
 *
 * A counter only grows, a gauge is set. Names are as operators of 3FS know them where such a one
 * exists.
 */
#pragma once
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

struct metrics;
struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
CLEANUP_FUNC(struct metrics *, metrics_free)

/* The cell of @name, made at the first call; stays valid as long as @m. @name is copied. */
uint64_t *metrics_cell(struct metrics *m, const char *name);
/* 0 for a name that nobody made. */
uint64_t metrics_value(const struct metrics *m, const char *name);
/* Calls @fn for every cell in order of name. */
void metrics_each(const struct metrics *m, void (*fn)(void *arg, const char *name, uint64_t value),
                  void *arg);
