/* linearizability_loose.c - reads that may see what is not committed (yet): they are in no order
 * with the others, but what they saw somebody must have begun to write before they ended, and it
 * must not be older than what was overwritten before they began.
 */
#include "base/check.h"
#include "sim/linearizability_internal.h"
#include <inttypes.h>
#include <stdio.h>

static bool is_write_of(const struct history_op *op, const struct history_op *read)
{
    return op->kind == HISTORY_WRITE && op->object == read->object;
}

/* The write that @read may have seen; NULL without any. Refused ones count: they were pending. */
static const struct history_op *find_write(const struct history_op *ops, size_t count,
                                           const struct history_op *read)
{
    for (size_t i = 0; i < count; i++) {
        if (is_write_of(&ops[i], read) && ops[i].value == read->value &&
            ops[i].invoked < read->completed)
            return &ops[i];
    }
    return NULL;
}

/* Acknowledged before @read began, and begun after what it saw was acknowledged. */
static const struct history_op *find_newer(const struct history_op *ops, size_t count,
                                           const struct history_op *read, uint64_t seen_completed)
{
    for (size_t i = 0; i < count; i++) {
        if (is_write_of(&ops[i], read) && ops[i].completed < read->invoked &&
            ops[i].invoked > seen_completed)
            return &ops[i];
    }
    return NULL;
}

int loose_reads_check(const struct history_op *ops, size_t count, char *why, size_t why_size)
{
    static const struct history_op beginning = { .kind = HISTORY_WRITE };
    char text[128];
    for (size_t i = 0; i < count; i++) {
        const struct history_op *read = &ops[i];
        if (read->kind != HISTORY_LOOSE_READ || read->completed == HISTORY_NEVER) continue;
        const struct history_op *seen =
            read->value == HISTORY_INITIAL ? &beginning : find_write(ops, count, read);
        const struct history_op *newer =
            seen ? find_newer(ops, count, read, seen->completed) : NULL;
        if (seen && !newer) continue;
        snprintf(why, why_size, "object %" PRIu64 ": %s: %s", read->object,
                 seen ? "an uncommitted read went back"
                      : "an uncommitted read of what nobody wrote",
                 history_op_to_text(read, i, text, sizeof text));
        return -ERR_FOUND_BUG;
    }
    return 0;
}
