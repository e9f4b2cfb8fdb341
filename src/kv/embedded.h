/* embedded.h - the embedded engine of one process (or loop) and one directory; private to src/kv.
 *
 *          lock taken                        holder greets
 *   NONE ------------> (opening) -> HOLDER     NONE ------------> REMOTE
 *     ^                               |          ^                   |
 *     +---- the store failed ---------+          +-- it died, or ----+
 *                                                    was stuck and killed
 *
 * All handles that nodes of one loop open on one directory share one engine. Its fibers belong to a
 * node of its own, so that it outlives the node that came first. `epoch` grows with every change of
 * role: a snapshot of an earlier one is too old.
 */
#pragma once
#include "fiber/sync.h"
#include "kv/embedded_client.h"
#include "kv/embedded_host.h"
#include "kv/embedded_server.h"
#include "kv/kv_engine.h"

#include <limits.h>

enum kv_role { KV_ROLE_NONE, KV_ROLE_HOLDER, KV_ROLE_REMOTE };

struct embedded {
    struct embedded *next; /* of the loop */
    struct node *node;
    struct kv_dir dir;
    uint64_t map_bytes;
    bool is_tool; /* every handle is a tool's */
    bool yields;  /* every handle does */
    uint32_t ref_count;
    enum kv_role role;
    uint64_t epoch;
    uint32_t operation_count; /* inside of store or client */
    int fatal;                /* why there will never be a role */
    struct store *store;      /* HOLDER */
    struct kv_server *server;
    struct kv_client *client; /* REMOTE, or about to be */
    struct wait_queue role_changed, idle;
    char text[PATH_MAX + 64]; /* of kv_describe() */
};

/* Fiber: takes roles until it is cancelled. */
int embedded_role_fiber(void *arg) fiber_fn;
void embedded_set_role(struct embedded *e, enum kv_role role);
/* Until no operation is inside of what belongs to the last role. */
void embedded_wait_idle(struct embedded *e) fiber_fn;

/* embedded_watch.c: returns when the connection to the holder has ended; ends the holder when it is
 * stuck. */
void embedded_watch(struct embedded *e) fiber_fn;
