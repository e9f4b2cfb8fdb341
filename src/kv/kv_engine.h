/* kv_engine.h - what an engine of kv.h implements; private to src/kv.
 *
 * The common part (kv.c) keeps the written and the read set of a transaction, its limits and its
 * retries; an engine gives out snapshots, reads them, and commits: it compares what a transaction
 * read with what is there now, by value, and applies the writes, all in one atomic durable step.
 *
 * Rules for every operation: 0 or more or a negative error; fiber_fn ones may suspend, end at the
 * fiber's deadline with -ERR_TIMEOUT and on cancellation with -ERR_CANCELED. A commit that was
 * interrupted after it may have taken effect says -ERR_TXN_MAYBE_COMMITTED (-ERR_CANCELED when the
 * fiber is cancelled).
 */
#pragma once
#include "kv/kv.h"
#include "kv/kv_digest.h"

struct kv_snapshot;

enum { KV_PAGE_BYTES = 1 << 20, KV_PAGE_COUNT_MAX = 10000 };
/* Counted for each write and each read of a transaction besides its bytes: what it takes anywhere
 * else. */
enum { KV_ITEM_BYTES = 24 };

/* What a snapshot shows, and for how long.
 * DURABLE: all that is durable. NEWEST: also what is committed and not durable yet, so that what
 * depends on one another can share a sync; nothing that was seen may be told to anybody before
 * settle() or a commit. LONG: as DURABLE, until it is closed, for backups; an engine that cannot,
 * ends it as any other. */
enum kv_view { KV_VIEW_DURABLE, KV_VIEW_NEWEST, KV_VIEW_LONG };

struct kv_range {
    struct bytes begin, end;
    uint32_t limit;     /* of pairs, at least 1 */
    uint32_t bytes_max; /* ends behind the pair that reaches it */
    bool is_reverse;
};

/* Something that was read: a key ([begin, begin + "\0"), end unused) or a range. Without a digest:
 * the range must be now as it is in the snapshot. */
struct kv_check {
    struct bytes begin, end;
    bool is_key, has_digest;
    uint64_t digest;
};

enum kv_write_kind { KV_WRITE_SET, KV_WRITE_CLEAR, KV_WRITE_CLEAR_RANGE };
struct kv_write {
    enum kv_write_kind kind;
    struct bytes key, value; /* CLEAR_RANGE: [key, value) */
};

/* All borrowed until commit returns. Keys are of 1 … KV_KEY_BYTES_MAX bytes, values within limits;
 * the ends of ranges may be a byte longer. Writes apply in order. */
struct kv_commit {
    struct kv_check *checks; /* the engine may fill in digests */
    uint32_t check_count;
    const struct kv_write *writes;
    uint32_t write_count;
    struct kv_digest_key digest_key;
};

struct kv_ops {
    const char *name;
    int (*snapshot_open)(struct kv *kv, enum kv_view view, struct kv_snapshot **ret) fiber_fn;
    void (*snapshot_close)(struct kv *kv, struct kv_snapshot *snapshot);
    /* What is returned is copied into @arena. */
    int (*get_many)(struct kv *kv, struct kv_snapshot *snapshot, const struct bytes *keys,
                    uint32_t count, struct arena *arena, bool *ret_found,
                    struct bytes *ret_values) fiber_fn;
    int (*get_range)(struct kv *kv, struct kv_snapshot *snapshot, const struct kv_range *range,
                     struct arena *arena, struct kv_pairs *ret) fiber_fn;
    /* @snapshot: NULL for a transaction that read nothing (checks without a digest then hold). */
    int (*commit)(struct kv *kv, struct kv_snapshot *snapshot, struct kv_commit *commit) fiber_fn;
    /* Until all that a NEWEST snapshot shows is durable. NULL: it always is. */
    int (*settle)(struct kv *kv, struct kv_snapshot *snapshot) fiber_fn;
    void (*close)(struct kv *kv) fiber_fn; /* frees; no transaction is left */
    const char *(*describe)(const struct kv *kv);
    bool (*is_local)(const struct kv *kv); /* NULL: never */
};

/* Base part of an open engine; the engine embeds it first. */
struct kv {
    const struct kv_ops *ops;
    struct node *node; /* who opened it */
    struct kv_digest_key digest_key;
    uint64_t retry_wait_min_ns; /* of the second retry; the first is at once */
    uint32_t txn_count;
};
void kv_base_init(struct kv *kv, const struct kv_ops *ops, struct node *node);

/* kv_begin() with another view. A transaction with LONG has no age limit, where the engine can. */
int kv_begin_view(struct kv *kv, enum kv_view view, struct kv_txn **ret) fiber_fn must_check;
/* When it returns 0, what the transaction has read may be told; so does a commit. */
int kv_settle(struct kv_txn *txn) fiber_fn must_check;

/* The digests of a check and of what @snapshot has there; for checks that came without. */
int kv_check_resolve(struct kv *kv, struct kv_snapshot *snapshot, const struct kv_digest_key *key,
                     struct kv_check *check) fiber_fn must_check;
