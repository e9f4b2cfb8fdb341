/* heartbeat.h - what a node says of itself, taken into the state; the lease it gets for it.
 */
#pragma once
#include "mgmtd/state.h"

/* Registers the node when it is new. Refusals (with a sentence in *ret_why, @arena or literal):
 * -ERR_MGMTD_HEARTBEAT_STALE, -ERR_MGMTD_HEARTBEAT_FAIL (disabled, malformed),
 * -ERR_MGMTD_NODE_TYPE_MISMATCH. */
int heartbeat_accept(struct state *s, struct arena *arena, const struct heartbeat_request *request,
                     struct heartbeat_reply *reply, const char **ret_why) fiber_fn must_check;
/* Ends what was not heard from; sets state->expiry_ns to when to look again. Retires the state,
 * deciding nothing, when it hears nobody any more though there are other managers. */
void heartbeat_expire(struct state *s);
/* Targets that came into a chain, and were reported before as being in none, become known by
 * that report. */
void heartbeat_adopt_orphans(struct state *s);
