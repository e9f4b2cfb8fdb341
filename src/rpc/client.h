/* client.h - the inside of a pool: a peer is one (address, class) with at most one connection;
 * private.
 *
 *   IDLE --a call--> CONNECTING --> CONNECTED --broken--> CLOSING --> IDLE
 *     ^------------------' fails: the waiting calls fail, the next attempt waits for a pause
 *
 * One fiber takes a peer through one round of this, and is the reader while it is connected. A call
 * is a struct rpc_pending on its caller's stack, in the peer's table until its reply comes or it
 * leaves.
 */
#pragma once
#include "base/map.h"
#include "fiber/sync.h"
#include "rpc/link.h"
#include "rpc/rpc.h"

#define CLIENT_CONNECT_NS   (3 * SEC)
#define CLIENT_PAUSE_MIN_NS (10 * MSEC)
#define CLIENT_PAUSE_MAX_NS (500 * MSEC)
#define CLIENT_TIMEOUT_NS   (60 * SEC)
#define CLIENT_PING_NS      (5 * SEC)  /* of silence while a call waits: ask */
#define CLIENT_SILENCE_NS   (10 * SEC) /* then: the connection is dead */
#define CLIENT_LET_GO_NS    (100 * MSEC)

enum { CLIENT_FREE_SEND_COUNT_MAX = 256 };

struct client_send;

struct rpc_pending {
    uint64_t id; /* 0: not in the table */
    uint16_t service, method;
    struct event done;
    int status;
    struct arena *arena; /* the caller's: body lies there */
    struct bytes body;
    struct rpc_sink sink; /* the caller's memory for bulk data */
    uint64_t sink_bytes;
    uint32_t bulk_size; /* received */
    uint64_t begin_ns, deadline_ns;
    bool is_receiving;        /* the reader writes to the sink: the caller may not leave */
    struct client_send *send; /* not written yet; with bulk data the caller may not leave either */
    bool is_started, is_sent;
    struct wait_queue moved; /* is_receiving or send changed */
};

struct pending_table {
    struct rpc_pending **slots;
    uint32_t *free; /* stack of free slots */
    uint32_t free_count, capacity;
    uint64_t sequence;
};

/* A frame on its way; outlives its caller when there is no bulk data. */
struct client_send {
    struct rpc_send send;
    struct list link; /* in pool->free_sends */
    struct rpc_pool *pool;
    struct rpc_pending *owner;
    struct wire_out out;
    uint8_t bytes[512];
};

enum peer_state { PEER_IDLE, PEER_CONNECTING, PEER_CONNECTED, PEER_CLOSING };

struct pool_peer {
    struct list link; /* in pool->peers */
    struct rpc_pool *pool;
    struct net_address address;
    enum peer_state state;
    struct rpc_link rpc_link;
    struct pending_table pending;
    struct wait_queue changed; /* state */
    uint64_t attempt_count;    /* that ended */
    int attempt_result;        /* of the last */
    uint64_t pause_ns, try_after_ns;
    bool has_answered; /* this connection */
    uint64_t pinged_ns;
    uint64_t shown_count;       /* identity_count when the connection was made */
    uint64_t local_incarnation; /* of the server that local_auth is for; 0: none */
    struct auth_peer local_auth;
};

struct rpc_pool {
    struct node *node;
    struct auth_identity identity;
    uint64_t identity_count; /* grows with each */
    int (*renew)(void *arg);
    void *renew_arg;
    struct fiber_mutex renewing;
    struct map peer_map; /* by scheme, port, class, host */
    struct list peers;
    struct scope scope;       /* peers' fibers */
    struct event stop, ended; /* of the keeper */
    bool is_closed;
    uint32_t call_count;
    struct wait_queue idle;
    struct list local_callers; /* waiting for a handler on this loop */
    struct list free_sends;
    uint32_t free_send_count;
    bool has_logged_rdma;
    uint64_t log_after_ns; /* no line about bad peers before */
    uint64_t *late_replies, *resets, *bad_frames;
};

/* ---- pool (client.c) ---- */

/* Makes it at the first call. */
struct pool_peer *pool_get_peer(struct rpc_pool *pool, const struct net_address *address,
                                enum rpc_class class);
struct client_send *client_send_new(struct rpc_pool *pool, struct rpc_pending *owner);
void client_send_free(struct client_send *s); /* not queued */

/* ---- peer (client_peer.c) ---- */

/* Waits until the peer is connected, connecting it if need be. Without a suspension after it, a
 * frame can be queued. -ERR_RPC_CONNECT_FAILED, -ERR_AUTH_FAIL, -ERR_CANCELED. */
int peer_connected(struct pool_peer *peer) fiber_fn must_check;
void pending_add(struct pending_table *t, struct rpc_pending *p); /* gives it an id */
void pending_remove(struct pending_table *t, struct rpc_pending *p);
struct rpc_pending *pending_find(const struct pending_table *t, uint64_t id);
void pending_done(struct pending_table *t);

/* ---- local transport (local.c) ---- */

/* -ERR_RPC_CONNECT_FAILED with *ret_is_local false when no server of this loop is at the peer's
 * address. */
int rpc_call_local(struct pool_peer *peer, const struct rpc_service *service,
                   const struct rpc_method *method, const struct rpc_options *options,
                   const void *request, void *reply, bool *ret_is_local) fiber_fn must_check;
/* The callers who wait leave with -ERR_CANCELED. */
void pool_release_local(struct rpc_pool *pool);
/* What is common to all transports: the reply or the error's text from @body (in options->arena).
 */
int rpc_finish(const struct rpc_method *method, const struct rpc_options *options, int status,
               struct bytes body, uint32_t bulk_size, void *reply);
