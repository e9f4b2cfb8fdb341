/* recover.h - orphans: pending records that nobody works on any more, rolled forward in the
 * background until none is left.
 *
 * They come from the store when a target starts to serve or its chain changes, and from updates
 * whose forward has failed. See rule 4 of docs/replication.md.
 */
#pragma once
#include "fiber/sync.h"
#include "proto/storage.h"

struct target;
struct chunk_lock;
struct chunk_state;

struct orphan {
    struct list link;
    struct chunk_id chunk;
    uint64_t version;
    /* Staged in this process life under this chain version; 0: unknown. While that is the tail's
     * chain version it was never exposed. */
    uint32_t staged_chain_version;
    uint64_t not_before_ns; /* node_now_ns(): pause after a failure */
    uint64_t pause_ns;
    bool is_running;
};

struct recover {
    struct list orphans;
    uint32_t orphan_count, running_count;
    struct wait_queue wake; /* the fiber's */
    bool is_scan_due;
    bool is_started;
};

void recover_init(struct recover *r);
void recover_done(struct recover *r);
/* Starts the target's fiber in the storage's scope. */
int recover_start(struct target *t) must_check;
/* Pending records of the store are to be looked for. */
void recover_scan(struct target *t);
/* An update gave up with its record pending. */
void recover_add(struct target *t, struct chunk_id chunk, uint64_t version,
                 uint32_t staged_chain_version);
/* NULL when the chunk is not known as an orphan. */
struct orphan *recover_find(struct target *t, struct chunk_id chunk);
/* Under the chunk's lock, with a pending record in @state: forwards and commits it, or takes it
 * back where that is allowed. @state is the new state on success. */
int recover_resolve(struct target *t, struct chunk_lock *lock,
                    struct chunk_state *state) fiber_fn must_check;
/* Under the chunk's lock, when the successor has refused the pending update of @state for good, at
 * @chain_version: takes it back if that is allowed (rule 4). 1: done, 0: it stays pending. */
int recover_take_back(struct target *t, const struct chunk_lock *lock,
                      const struct chunk_state *state, uint32_t chain_version) fiber_fn must_check;
/* Takes the lock and resolves whatever is pending. */
int recover_chunk(struct target *t, struct chunk_id chunk) fiber_fn must_check;
/* The same for all chunks of @inode whose records are pending now. */
int recover_inode(struct target *t, uint64_t inode) fiber_fn must_check;
