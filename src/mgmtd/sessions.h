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
void sessions_list(struct state *s, struct arena *arena, struct list_sessions_reply *reply);
