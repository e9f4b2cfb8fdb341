/* storage_client_internal.h - parts that reads and updates share; private to the storage client. */
#pragma once
#include "client/storage_client.h"

/* One storage node as this client uses it. */
struct storage_peer {
    uint32_t node_id;
    struct fiber_semaphore slots; /* requests that may run there */
    uint64_t outstanding_bytes;
    uint64_t shun_until_ns; /* it did not answer: reads go elsewhere if they can */
};

struct storage_client {
    struct node *node;
    struct mgmtd_client *mgmtd;
    struct routing *routing;
    struct storage_client_options options;
    struct map peers;             /* u32 node id -> struct storage_peer * */
    struct fiber_semaphore slots; /* requests that may run at all */
    struct fiber_semaphore channels_free;
    uint32_t *channels; /* free ones, a stack */
    uint32_t channel_top;
    uint64_t seq;
};

/* The peer of a node, made on first use; lives as long as the client. */
struct storage_peer *client_peer(struct storage_client *c, uint32_t node_id);

/* Pauses between attempts; they end early when the routing changes. */
struct backoff {
    uint64_t pause_ns;
};
/* -ERR_TIMEOUT at the deadline, -ERR_CANCELED. */
int backoff_wait(struct storage_client *c, struct backoff *b) fiber_fn must_check;

/* How many targets of @chain, from its head on, are SERVING. */
uint32_t chain_serving_count(const struct chain_info *chain);

/* One request to one node, given up when it takes attempt_timeout_ns, or when @is_obsolete (asked
 * now and then, and after the routing changed) says that the node is the wrong one by now. */
struct attempt_call {
    struct storage_client *client;
    uint32_t node_id;
    enum rpc_class class;
    const struct rpc_method *method;
    const void *request;
    void *reply;
    struct rpc_options options;
    bool (*is_obsolete)(const struct attempt_call *call);
    uint32_t chain_id; /* for head_is_obsolete() */
    const void *arg;
};
int attempt_run(struct attempt_call *call) fiber_fn must_check;
/* The node is not that of the head of chain_id any more. */
bool head_is_obsolete(const struct attempt_call *call);

/* A request to the head of a chain, retried until it is answered or the deadline ends.
 * @set_version stores the chain version in the request. */
int head_call(struct storage_client *c, uint32_t chain_id, const struct rpc_method *method,
              enum rpc_class class, void *request, uint32_t *request_chain_version, void *reply,
              const struct rpc_options *options) fiber_fn must_check;
