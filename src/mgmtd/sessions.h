/* sessions.h - who uses the file system: sessions that clients extend, in memory only.
 *
 * A new primary knows of none; for the length of a session's timeout its list is therefore
 * incomplete, and says so, so that nobody takes a client that merely has not been heard yet for
 * dead.
 */
#pragma once
#include "mgmtd/state.h"

enum { SESSION_COUNT_MAX = 100000 };

/* -ERR_MGMTD_SESSION_STALE, -ERR_MGMTD_SESSION_MISMATCH (another client's type or start),
 * -ERR_BUSY. */
int sessions_extend(struct state *s, const struct extend_session_request *request,
                    struct extend_session_reply *reply) must_check;
/* Drops those that were not extended in time. */
void sessions_expire(struct state *s);
/* Gives a client settings by hand and waits for what it makes of them; they live as long as its
 * process. -ERR_MGMTD_SESSION_NOT_FOUND, -ERR_BUSY, or why the client has refused all of them. */
int sessions_update_client(struct state *s, const struct update_client_request *request,
                           struct arena *arena, const char **ret_why) fiber_fn must_check;
void sessions_list(struct state *s, struct arena *arena, struct list_sessions_reply *reply);
