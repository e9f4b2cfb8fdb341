/* linearizability.h - is there an order of all reads and writes that explains what clients saw?
 *
 * A history is a list of operations on registers (chunks), each with the moment it was invoked and,
 * if its answer came, the moment it ended. It is linearizable if every operation can be given one
 * point between the two such that each read returns the last value written before it. Registers are
 * independent of each other, so each is checked by itself.
 *
 * Unknown outcomes: an operation that was never completed (a timeout, a crashed client) may have
 * had its effect at any moment after its invocation, or never. One that certainly had none is
 * history_fail()ed.
 *
 * Two methods, chosen for each register:
 *  - All written values differ (and none is HISTORY_INITIAL): the zones of Gibbons and Korach
 * ("Testing shared memories", 1997), exact in O(n log n), for histories of any length.
 *  - Else the search of Wing and Gong with Lowe's memoisation. It is exponential at worst and gives
 * up at a limit, which is an error and never a success. Removing a chunk is a write of
 * HISTORY_INITIAL. Nothing here waits or knows of the simulator; times are the caller's and only
 * for messages.
 */
#pragma once
#include "base/error.h"
#include <stdint.h>

enum history_kind {
    HISTORY_READ,
    HISTORY_WRITE,
    HISTORY_LOOSE_READ /* IO_ALLOW_UNCOMMITTED: judged apart, see linearizability_loose.c */
};

/* What a register holds before the first write. */
#define HISTORY_INITIAL ((uint64_t)0)

struct history;
struct history *history_new(void);
struct history *history_free(struct history *h); /* NULL is fine; returns NULL */
CLEANUP_FUNC(struct history *, history_free)

/* An operation begins now, after all calls so far. @value is what a write writes; reads give 0.
 * Returns its id, 0, 1, … in order of invocation. */
size_t history_invoke(struct history *h, uint64_t at_ns, uint32_t client, uint64_t object,
                      enum history_kind kind, uint64_t value);
/* It ended now, with success. @value is what a read returned; writes give anything. Once for an
 * operation. */
void history_complete(struct history *h, uint64_t at_ns, size_t op, uint64_t value);
/* It ended and certainly has had and will have no effect. A read that fails is best reported so,
 * too. */
void history_fail(struct history *h, size_t op);

size_t history_op_count(const struct history *h);
/* How many states the search may visit for one register before it gives up; default 1 000 000. */
void history_set_search_limit(struct history *h, size_t state_count_max);

/* 0 when all is linearizable; -ERR_FOUND_BUG when a register is not, and @why names operations that
 * cannot be explained together; -ERR_BUSY when the search gave up, and @why names the register. 300
 * bytes hold any @why. */
int history_check(const struct history *h, char *why, size_t why_size) must_check;
/* Calls @fn with one line for each operation of the register, in order of invocation: to look into
 * a failure. */
void history_print(const struct history *h, uint64_t object,
                   void (*fn)(void *arg, const char *line), void *arg);
