/* update.h - updates of chunks: a client's at the head, a predecessor's at every other member. */
#pragma once
#include "proto/storage.h"
#include "rpc/rpc.h"

struct target;

int update_from_client(struct target *t, struct rpc_call *call, const struct write_request *req,
                       struct write_reply *reply) fiber_fn must_check;
int update_from_member(struct target *t, struct rpc_call *call, const struct update_request *req,
                       struct write_reply *reply) fiber_fn must_check;
/* Removes one chunk through the chain, as the head. 1 when there was one, else 0. */
int update_remove_chunk(struct target *t, uint32_t chain_version, struct chunk_id chunk,
                        uint32_t generation, const struct update_id *update) fiber_fn must_check;
