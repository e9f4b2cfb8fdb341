/* server.h - the inside of a server: connections, running calls; private to src/rpc.
 *
 *   keeper (a fiber of the node) --ends--> scope: accepters, and per connection
 *                                            reader --spawns--> calls (a scope of the connection)
 *                                            writer (of its link)
 *
 * A connection that dies cancels no call: its reader waits for them to end, and their replies are
 * dropped. The end of the server (or of the node) cancels them.
 */
#pragma once
#include "fiber/sync.h"
#include "rpc/buffer_pool.h"
#include "rpc/link.h"
#include "rpc/rpc.h"

enum {
    SERVER_BODY_BYTES_MAX = 64 << 20, /* of requests with large bodies, all connections together */
    SERVER_CONNECTION_COUNT_MAX = 8192, /* more are closed at once */
    SERVER_HANDSHAKE_COUNT_MAX = 512,   /* of those not authenticated yet */
    SERVER_LOCAL_CALL_COUNT_MAX = 1024, /* running by way of the local transport */
    SERVER_FREE_CALL_COUNT_MAX = 256,   /* kept for reuse */
    SERVER_SERVICE_COUNT_MAX = 16,
    SERVER_ALIAS_COUNT_MAX = 16,
};
#define SERVER_HANDSHAKE_NS (5 * SEC)
#define SERVER_BULK_WAIT_NS (5 * SEC) /* for a buffer, while the connection stands still */

struct local_caller;

/* Cells of the node's metrics, "rpc.<service>.<method>.calls" and so on. */
struct method_cells {
    uint64_t *calls, *errors, *busy_ns; /* busy: from the handler's start to its end */
};

struct service_entry {
    const struct rpc_service *service;
    const void *handlers;
    void *self;
    struct method_cells *cells; /* by the method's position */
};

struct rpc_server {
    struct node *node;
    struct rpc_server_options options;
    struct service_entry services[SERVER_SERVICE_COUNT_MAX];
    size_t service_count;
    struct net_address addresses[1 + SERVER_ALIAS_COUNT_MAX]; /* [0]: of the listener */
    size_t address_count;
    struct listener *listener, *unix_listener;
    struct buffer_pool *pool;
    struct fiber_semaphore body_bytes;
    struct list free_calls;
    uint32_t free_call_count;

    uint32_t connection_count, handshake_count;
    struct wait_queue accept_room; /* one of them fell */
    uint32_t running_count;        /* calls, until their replies are sent */
    bool is_stopping;
    struct wait_queue idle; /* running_count fell to 0 */
    struct scope scope;
    struct event stop, ended; /* of the keeper */

    struct rpc_server *next_local; /* servers of this loop */
    uint64_t incarnation;
    struct scope local_calls;
    uint32_t local_count; /* calls from the local transport, also those handed to their callers */
    struct wait_queue local_room; /* local_count fell below its limit */
    struct wait_queue local_idle; /* local_count fell to 0 */

    uint64_t log_after_ns; /* no line about bad peers before */
    uint64_t *bad_frames, *auth_failures, *connections, *requests;
};

struct server_conn {
    struct rpc_server *server;
    struct rpc_link link;
    struct auth_peer peer;
    struct scope calls;
    uint32_t running_count;
    struct wait_queue room; /* running_count fell below its limit */
    struct rpc_send pong;
    uint8_t pong_frame[RPC_FRAME_BYTES];
    bool is_ponging;
};

struct server_call {
    struct rpc_call call; /* what the handler sees */
    struct list link;     /* in server->free_calls */
    struct rpc_server *server;
    struct server_conn *conn;    /* NULL: local */
    struct local_caller *caller; /* of a local call; NULL when it has left */
    const struct service_entry *service;
    const struct rpc_method *method;
    uint16_t service_id;
    uint64_t request_id;
    uint64_t deadline_ns;
    struct auth_peer peer;
    struct arena arena;
    struct bytes body;     /* of the request */
    uint8_t *body_heap;    /* where a large one lies; counted in server->body_bytes */
    struct wire_out reply; /* header and body */
    int status;
    struct rpc_send send;
    uint8_t reply_bytes[1024];
    _Alignas(16) uint8_t arena_bytes[4096];
};

/* ---- connections ---- */

/* Reads and serves until the connection ends. */
int server_conn_main(void *arg) fiber_fn;

/* ---- calls ---- */

/* Never fails. Counted as running until it is released. */
struct server_call *server_call_new(struct rpc_server *server, struct server_conn *conn);
void server_call_release(struct server_call *c);
/* Finds service and method. 0, or the status to answer with. */
int server_call_route(struct server_call *c, uint16_t service_id, uint16_t method_id);
/* Runs the handler and leaves status and encoded reply in @c. */
void server_call_execute(struct server_call *c) fiber_fn;
/* Leaves an error in @c as its reply; @text may be NULL. */
void server_call_fail(struct server_call *c, int r, const char *text);
/* Sends the reply of a call that came by a connection; releases the call when it is sent or lost.
 */
void server_call_send(struct server_call *c);
int server_call_main(void *arg) fiber_fn; /* execute and send */

/* A line about a bad peer, at most one a second. */
void server_log_peer(struct rpc_server *server, int r, const char *peer, const char *what);

/* ---- local transport ---- */

void server_register(struct rpc_server *server);
void server_unregister(struct rpc_server *server);
/* The server on @node's loop and machine that listens at @address, or NULL. */
struct rpc_server *server_find_local(struct node *node, const struct net_address *address);
