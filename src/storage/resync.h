/* resync.h - filling a SYNCING target: the sender is the last SERVING target of the chain.
 *
 * Sender: sync_start (an epoch; the receiver forgets its identities), identities and floors, then
 * passes over the digest buckets that differ until one has nothing to send, then sync_done. Any
 * error or chain change ends the attempt; another follows after a pause. See rule 7 of
 * docs/replication.md.
 */
#pragma once
#include "fiber/sync.h"
#include "proto/storage.h"
#include "rpc/rpc.h"

struct target;
struct chunk_lock;

struct sync_sender {
    bool is_running;
    uint64_t sent_count, sent_bytes; /* of the running or last attempt */
};

struct sync_receiver {
    uint64_t epoch; /* accepted; 0: none */
    uint64_t epoch_last;
    uint32_t permille; /* how far it is, as the sender said last */
};

/* Starts an attempt fiber when the target is the last SERVING one before a SYNCING one. */
void resync_consider(struct target *t);

/* ---- the receiver's side: handlers, called with a target in use ---- */

int sync_receive_start(struct target *t, const struct sync_request *req,
                       struct sync_start_reply *reply) fiber_fn must_check;
int sync_receive_identities(struct target *t, const struct identity_page *req) fiber_fn must_check;
int sync_receive_buckets(struct target *t, struct rpc_call *call, const struct sync_request *req,
                         struct sync_buckets_reply *reply) fiber_fn must_check;
int sync_receive_list(struct target *t, struct rpc_call *call, const struct sync_request *req,
                      struct chunk_meta_page *reply) fiber_fn must_check;
int sync_receive_done(struct target *t, const struct sync_request *req) fiber_fn must_check;
/* For people: how far the running resync is; 0 when none runs. */
uint32_t sync_receive_permille(const struct target *t);
/* A resync update, under the chunk's lock. */
int sync_receive_chunk(struct target *t, const struct update_request *req, struct bytes data,
                       struct write_reply *reply) fiber_fn must_check;
