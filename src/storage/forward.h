/* forward.h - one update down the chain: from a member that has it pending to its successor.
 *
 * An attempt runs in a fiber of its own, so that a chain change ends it at once, however long the
 * old successor takes to answer. See rules 2 to 4 of docs/replication.md.
 */
#pragma once
#include "proto/storage.h"
#include "storage/chunk_store.h"

struct target;

struct forward {
    const struct chunk_state *state;       /* with the pending record and the pair below it */
    const struct update_request *original; /* NULL: the whole pending content goes */
    struct bytes data;                     /* bulk data of @original */
    bool is_unstaged;                      /* a mutant forwards what it has not staged yet */
    uint32_t chain_version; /* out: version under which it ended; differs from the first one if the
                             * chain changed meanwhile */
};

/* Returns 0 when every member behind has committed the pending version, also when there is none.
 * -ERR_NO_SPACE, _CHUNK_SIZE_MISMATCH, _INVALID_ARG: the successor refused it for good.
 * -ERR_CHECKSUM_MISMATCH: the replicas have come to different contents. -ERR_TIMEOUT.
 * -ERR_TARGET_STATE_INVALID: the target is no member any more. */
int forward_pending(struct target *t, struct forward *f) fiber_fn must_check;
/* The chain has changed: running attempts end. */
void forward_interrupt(struct target *t);
