/* history_file.h - lines that were typed, kept for the next shell.
 *
 * One a line, the oldest first, in a file of mode 0600. A line with a token in it is never kept.
 * Two shells at once share the file; in rare cases a line of one is lost.
 */
#pragma once
#include "base/arena.h"
#include "loop/node.h"

enum { HISTORY_LINE_COUNT = 500 };

struct history_lines {
    char **items;
    uint32_t count;
};

/* The latest lines (arena); none if there is no file yet. Makes its directories. */
int history_load(struct node *node, const char *path, struct arena *arena,
                 struct history_lines *ret) fiber_fn must_check;
/* Adds a line, unless it has a token in it. */
int history_add(struct node *node, const char *path, const char *line) fiber_fn must_check;
