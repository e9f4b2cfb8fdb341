/* embedded_client.h - the other processes' side: one connection to the holder of the store. Private
 * to src/kv.
 *
 * When the connection ends, reads under way say TXN_RETRYABLE and commits TXN_MAYBE_COMMITTED.
 */
#pragma once
#include "kv/embedded_host.h"
#include "kv/kv_engine.h"

struct kv_client;
/* Connects. -ERR_RPC_CONNECT_FAILED: nobody listens; -ERR_AUTH_FAIL: it is another user's. */
int kv_client_open(struct node *node, const char *path, struct kv_client **ret) fiber_fn must_check;
/* Ends the connection. The client lives on, dead, until the last operation has left and it is
 * closed. */
void kv_client_break(struct kv_client *client);
struct kv_client *kv_client_close(struct kv_client *client) fiber_fn; /* no operation is inside */

/* Waits until the holder has its store open. */
int kv_client_hello(struct kv_client *client) fiber_fn must_check;
/* The end of the connection, at most @timeout_ns: true when it has ended. */
bool kv_client_wait_dead(struct kv_client *client, uint64_t timeout_ns) fiber_fn;
bool kv_client_is_dead(const struct kv_client *client);
bool kv_client_has_greeted(const struct kv_client *client);
/* Sends a ping that nobody waits for. */
void kv_client_ping(struct kv_client *client);
/* Counts frames that came: what makes it grow proves that the holder lives. */
uint64_t kv_client_frame_count(const struct kv_client *client);
/* The process that was at the other end when the connection was made. */
const struct kv_process *kv_client_holder(const struct kv_client *client);

/* A snapshot on the holder's side, which opens it with the first read. */
struct kv_remote {
    uint64_t number;
    bool is_newest;  /* KV_VIEW_NEWEST */
    bool is_open;    /* the holder may have it */
    bool is_durable; /* it said so of what was read */
};
struct kv_remote kv_client_snapshot(struct kv_client *client, enum kv_view view);
int kv_client_open_long(struct kv_client *client, struct kv_remote *snapshot) fiber_fn must_check;
void kv_client_drop(struct kv_client *client, struct kv_remote *snapshot);
/* As of struct kv_ops; settling and committing also end the snapshot. */
int kv_client_get_many(struct kv_client *client, struct kv_remote *snapshot,
                       const struct bytes *keys, uint32_t count, struct arena *arena,
                       bool *ret_found, struct bytes *ret_values) fiber_fn must_check;
int kv_client_get_range(struct kv_client *client, struct kv_remote *snapshot,
                        const struct kv_range *range, struct arena *arena,
                        struct kv_pairs *ret) fiber_fn must_check;
int kv_client_settle(struct kv_client *client, struct kv_remote *snapshot) fiber_fn must_check;
/* @snapshot NULL: none. */
int kv_client_commit(struct kv_client *client, struct kv_remote *snapshot,
                     const struct kv_commit *commit) fiber_fn must_check;
