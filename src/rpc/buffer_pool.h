/* buffer_pool.h - the server's side of the buffer pool; private to src/rpc. */
#pragma once
#include "rpc/rpc.h"

/* As buffer_take(), out of the half of the pool that is open to clients. Servers may take all of
 * it: what one server passes on to the next must not wait for what clients still bring. */
int buffer_take_for_client(struct buffer_pool *pool, size_t size,
                           struct buffer **ret) fiber_fn must_check;
