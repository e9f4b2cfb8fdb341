/* routing_answer.h - get_routing: deltas for watchers, complete sets for newcomers, in parts of
 * about 1 MiB.
 */
#pragma once
#include "mgmtd/state.h"

/* Waits as the request asks. Lists are @arena's, but borrow the records: encode before
 * suspending. */
int routing_answer(struct state *s, struct arena *arena, const struct get_routing_request *request,
                   struct get_routing_reply *reply) fiber_fn must_check;
