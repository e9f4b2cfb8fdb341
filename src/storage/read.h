/* read.h - batch reads, and the tail's answers about what is committed. */
#pragma once
#include "proto/storage.h"
#include "rpc/rpc.h"

struct storage;
struct target;

int read_batch(struct storage *s, struct rpc_call *call, const struct batch_read_request *req,
               struct batch_read_reply *reply) fiber_fn must_check;
/* As the tail: which version of the chunk is committed. */
int read_committed_version(struct target *t, const struct chunk_request *req,
                           struct chunk_reply *reply) fiber_fn must_check;
