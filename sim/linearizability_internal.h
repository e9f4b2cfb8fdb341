/* linearizability_internal.h - between the history and its two methods; private to
 * sim/linearizability*.c. */
#pragma once
#include "sim/linearizability.h"
#include <stdbool.h>

#define HISTORY_NEVER UINT64_MAX

struct history_op {
    uint64_t object, value;
    uint64_t invoked,
        completed; /* sequence numbers; completed: HISTORY_NEVER while the outcome is unknown */
    uint64_t invoked_ns, completed_ns;
    uint32_t client;
    enum history_kind kind;
    bool is_failed;
};

/* "write 17 by client 3 of 42 at 1.5-1.7 s": @size of 96 holds it. Returns @buf. */
const char *history_op_to_text(const struct history_op *op, size_t id, char *buf, size_t size);

/* What both methods work on: operations on one register that matter, in order of invocation. Every
 * read in it is completed, every write is completed or was read. */
struct register_history {
    const struct history_op *all; /* ids are places in it */
    const size_t *ids;
    size_t count;
};

/* Results as history_check(). */
int loose_reads_check(const struct history_op *ops, size_t count, char *why,
                      size_t why_size) must_check;
/* Wing, Gong and Lowe. Results as history_check(). */
int linearizability_search(const struct register_history *r, size_t state_count_max, char *why,
                           size_t why_size) must_check;
