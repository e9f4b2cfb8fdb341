/* holds.h - which run of an administrator's tool works on which node, so that no two do.
 *
 * In memory only. A new primary knows of none: for as long as a hold lasts it lets only those go on
 * who say that they had one.
 */
#pragma once
#include "mgmtd/state.h"

enum { HOLD_COUNT_MAX = 256, HOLD_DESC_BYTES_MAX = 128 };

struct hold {
    struct list link; /* in state->holds */
    uint32_t node_id;
    struct uuid holder;
    char desc[HOLD_DESC_BYTES_MAX];
    uint64_t end_ns, kept_count;
};

/* -ERR_INVALID_ARG; -ERR_BUSY: there are too many. The reply's text is borrowed from the state. */
int holds_take(struct state *s, const struct hold_node_request *request,
               struct hold_node_reply *reply) must_check;
void holds_drop_all(struct state *s);
