/* store.h - the embedded store, open in this process: a base, a journal, memory between them.
 *
 *   commit      compare the read set with the newest state, put the writes in memory ("recent")
 *               and in the journal; answered when the journal is synced
 *   checkpoint  every few seconds or MiB: what a file of the journal holds goes into the base in
 *               one step, then the file may be used again
 *   snapshot    a version, and a reader of the base: recent above, the base below
 *
 * A commit compares and applies in one turn of the loop, so commits are ordered without a lock;
 * many share one sync. A snapshot shows what is durable, or (KV_VIEW_NEWEST) all that was applied,
 * whose owner settles before anything it saw is told. Who read only what is durable and conflicts
 * with what is not yet is told so when it is, so that a retry sees what it lost against.
 *
 * Limits: journal_format.h; at most RECENT_BYTES_MAX of memory above the base, then commits wait
 * for the checkpoint. One loop; reads never suspend.
 */
#pragma once
#include "kv/kv_engine.h"

struct store;
struct store_snapshot;

struct store_options {
    const char *dir; /* exists */
    uint64_t map_bytes;
};

/* Replays the journal. Errors of base_open() and kv_journal_open(). */
int store_open(struct node *node, const struct store_options *options,
               struct store **ret) fiber_fn must_check;
/* Brings everything into the base, unless the store has failed. No operation is under way;
 * snapshots that are open may only be closed afterwards. NULL is fine; returns NULL. */
struct store *store_close(struct store *store) fiber_fn;
CLEANUP_FUNC(struct store *, store_close)

/* The disk failed: what was not answered may be there or not after the store was opened anew. */
bool store_has_failed(const struct store *store);
/* 0 when the store has failed. */
int store_wait_failed(struct store *store) fiber_fn must_check;

int store_snapshot_open(struct store *store, enum kv_view view, struct store_snapshot **ret)
    fiber_fn must_check; /* suspends only if LONG */
void store_snapshot_close(
    struct store_snapshot *snapshot); /* also when the store is closed already */

/* Is all that it shows durable? And until it is. */
bool store_snapshot_is_durable(const struct store_snapshot *snapshot);
int store_settle(struct store_snapshot *snapshot) fiber_fn must_check;

/* As of struct kv_ops. -ERR_TXN_TOO_OLD when the snapshot was open for too long. */
int store_get_many(struct store_snapshot *snapshot, const struct bytes *keys, uint32_t count,
                   struct arena *arena, bool *ret_found, struct bytes *ret_values) must_check;
int store_get_range(struct store_snapshot *snapshot, const struct kv_range *range,
                    struct arena *arena, struct kv_pairs *ret) must_check;
/* @snapshot may be NULL. -ERR_KV_FULL, -ERR_TXN_CONFLICT, -ERR_TXN_MAYBE_COMMITTED, … */
int store_commit(struct store *store, struct store_snapshot *snapshot,
                 struct kv_commit *commit) fiber_fn must_check;
