/* complete.h - what the tab key adds to a line: commands, their options, paths of the file system.
 *
 * A line is read as arguments.h reads it: quotes, backslashes, pieces between ';'. Only what stands
 * before the cursor counts.
 */
#pragma once
#include "admin/arguments.h"

enum { COMPLETE_COUNT_MAX = 1000 };

struct complete_names {
    const char **items; /* directories end with '/' */
    uint32_t count;
};

struct completion {
    const char *insert;          /* at the cursor; "": nothing is certain */
    struct complete_names shown; /* what it could be, when there are several */
};

/* Adds the names in @dir ("" for the current one) that begin with @start, in order; at most
 * COMPLETE_COUNT_MAX. None when it cannot be read. */
typedef void (*complete_list_fn)(void *arg, struct arena *arena, const char *dir, const char *start,
                                 struct complete_names *ret) fiber_fn;

/* All in @arena. */
void complete_line(struct arena *arena, const char *line, complete_list_fn list, void *arg,
                   struct completion *ret) fiber_fn;
