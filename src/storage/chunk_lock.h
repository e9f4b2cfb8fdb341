/* chunk_lock.h - the locks of one target's chunks: FIFO, made on demand, gone when unused.
 *
 * Whoever changes a chunk (update, roll-forward, resync) holds its lock from before it looks at the
 * state until the outcome is known, forwards included. Lock order is chain order: a holder waits
 * only for the same chunk's lock on members behind it. Readers take no lock; beside a pending
 * record they wait here for the commit.
 */
#pragma once
#include "fiber/sync.h"
#include "proto/storage.h"

enum { CHUNK_LOCK_BUCKET_COUNT = 64 };

struct chunk_locks {
    struct list buckets[CHUNK_LOCK_BUCKET_COUNT]; /* chunk_lock */
};

struct chunk_lock {
    struct list link;
    struct chunk_locks *locks;
    struct chunk_id chunk;
    uint32_t user_count; /* holder, those who wait for the lock, readers who wait for the commit */
    struct fiber_mutex mutex;
    struct wait_queue committed; /* woken when the holder has committed or given up */
    /* What the holder itself has staged under this chain version; version 0: nothing. It was never
     * exposed: see rule 5 of docs/replication.md. */
    uint64_t live_version;
    uint32_t live_chain_version;
};

void chunk_locks_init(struct chunk_locks *locks);
/* The caller checks again whatever it knew before: everything may have changed. */
int chunk_lock_take(struct chunk_locks *locks, struct chunk_id chunk,
                    struct chunk_lock **ret) fiber_fn must_check;
/* Releases a lock that is held; NULL is fine; returns NULL. Wakes the readers. */
struct chunk_lock *chunk_lock_release(struct chunk_lock *lock);
CLEANUP_FUNC(struct chunk_lock *, chunk_lock_release)
/* NULL when nobody holds or awaits it. */
struct chunk_lock *chunk_lock_find(struct chunk_locks *locks, struct chunk_id chunk);
/* Waits until the holder of @lock commits or releases. */
int chunk_lock_wait_commit(struct chunk_lock *lock) fiber_fn must_check;
/* Waits until every lock of @inode's chunks that is held now has been released once. */
int chunk_locks_drain(struct chunk_locks *locks, uint64_t inode) fiber_fn must_check;
