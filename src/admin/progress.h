/* progress.h - how far a long command is, on one line of a terminal.
 *
 * Shown on standard error, only when that is a terminal and results are not JSON; wiped at the end.
 * At most five times a second.
 */
#pragma once
#include "admin/admin.h"

struct progress {
    struct admin *admin;
    const char *what, *unit; /* "fsck", "inodes" */
    uint64_t total;          /* 0: not known */
    uint64_t next_ns;
    bool is_shown, is_terminal;
};
void progress_begin(struct progress *p, struct admin *a, const char *what, const char *unit,
                    uint64_t total);
void progress_show(struct progress *p, uint64_t done);
/* Wipes it, so that a line can be printed; it comes back. */
void progress_hide(struct progress *p);
void progress_end(struct progress *p);
