/* kv.h - ordered keys and transactions, in FoundationDB's model, whatever engine is below.
 *
 * A transaction reads one snapshot (plus its own writes), remembers what it read (unless it said
 * KV_SNAPSHOT), and commits atomically only if nothing that it read has changed. It does only KV
 * work, may run twice, and ends within 5 s and 10 MB on every engine: KV_TXN_AGE_NS_MAX,
 * KV_TXN_BYTES_MAX.
 *
 * The snapshot is taken at the first read and holds every commit that was acknowledged before.
 * "Changed" is meant by value: a key overwritten with what it had is unchanged, except on fdb.
 *
 * Errors: TXN_CONFLICT, TXN_TOO_OLD, TXN_MAYBE_COMMITTED, … (error_table.h); kv_transact() retries
 * as they ask. When the fiber's deadline ends the wait, a read says TIMEOUT and a commit that is
 * under way TXN_MAYBE_COMMITTED. After any attempt to commit, a transaction can only be ended.
 *
 * Keys: 1 … 511 bytes, the first of them not 0xff. Values ≤ 100 000 bytes. The 10 MB count the keys
 * and values written, the keys and ranges read, and 24 bytes for each. One fiber at a time uses a
 * transaction.
 */
#pragma once
#include "base/arena.h"
#include "loop/node.h"

struct kv; /* an open engine as one node sees it */
struct kv_txn;

enum { KV_KEY_BYTES_MAX = 511, KV_VALUE_BYTES_MAX = 100000, KV_TXN_BYTES_MAX = 10000000 };
#define KV_TXN_AGE_NS_MAX (5 * SEC)

enum kv_read { KV_SERIALIZABLE = 0, KV_SNAPSHOT = 1, KV_REVERSE = 2 };

struct kv_pair {
    struct bytes key, value;
};
struct kv_pairs {
    struct kv_pair *items;
    uint32_t count;
    bool has_more; /* it ended at a limit: the range may go on behind the last item */
};

int kv_begin(struct kv *kv, struct kv_txn **ret) fiber_fn must_check;
/* One snapshot for as long as it is open, whatever its age: for reading all of a store. An engine
 * that cannot (fdb) ends it with TXN_TOO_OLD as any other. */
int kv_begin_long(struct kv *kv, struct kv_txn **ret) fiber_fn must_check;
/* Drops what was not committed. NULL is fine; returns NULL. */
struct kv_txn *kv_end(struct kv_txn *txn);
CLEANUP_FUNC(struct kv_txn *, kv_end)

/* 1 and the value (arena), 0 when absent (*ret then empty), or an error. */
int kv_get(struct kv_txn *txn, struct bytes key, enum kv_read mode, struct arena *arena,
           struct bytes *ret) fiber_fn must_check;
/* Keys in [begin, end), at most @limit (0: 10 000) and about 1 MiB; from the end with KV_REVERSE.
 */
int kv_get_range(struct kv_txn *txn, struct bytes begin, struct bytes end, uint32_t limit,
                 enum kv_read mode, struct arena *arena, struct kv_pairs *ret) fiber_fn must_check;
/* Several single reads in one trip. @ret_found[i] and @ret_values[i] as of kv_get(). */
int kv_get_many(struct kv_txn *txn, const struct bytes *keys, uint32_t count, enum kv_read mode,
                struct arena *arena, bool *ret_found, struct bytes *ret_values) fiber_fn must_check;
/* Writes are buffered (copied). A key or value that is too long makes the commit fail with
 * TXN_TOO_LARGE, a key that none can have with INVALID_ARG. */
void kv_set(struct kv_txn *txn, struct bytes key, struct bytes value);
void kv_clear(struct kv_txn *txn, struct bytes key);
void kv_clear_range(struct kv_txn *txn, struct bytes begin, struct bytes end);
/* Drops what the transaction has written; what it has read still counts. */
void kv_forget_writes(struct kv_txn *txn);
/* As if the key or range had been read: another commit that changes it makes this one conflict. */
void kv_add_conflict(struct kv_txn *txn, struct bytes key);
void kv_add_conflict_range(struct kv_txn *txn, struct bytes begin, struct bytes end);
/* 0 when durable. A transaction without writes always commits. */
int kv_commit(struct kv_txn *txn) fiber_fn must_check;

enum kv_retry { KV_RETRY_SAFE = 0, KV_RETRY_MAYBE_COMMITTED = 1 };
/* Begins, runs fn(txn, arg), commits, returns what fn returned. On conflicts and the like starts
 * over: at once, then after 250 µs (fdb: 10 ms) doubling to 1 s, with jitter, until the fiber's
 * deadline or 16 tries. fn's own error ends it without commit. TXN_MAYBE_COMMITTED is retried only
 * when @retry says that running twice is right. fn must reset its results at its start.
 * fn may see what is committed but not durable yet; kv_transact() returns when it is. So fn tells
 * nobody what it saw, and transactions that follow one another closely share a sync. */
int kv_transact(struct kv *kv, enum kv_retry retry, int (*fn)(struct kv_txn *txn, void *arg),
                void *arg) fiber_fn must_check;
/* Read-only: nothing is checked at the end. */
int kv_read_only(struct kv *kv, int (*fn)(struct kv_txn *txn, void *arg),
                 void *arg) fiber_fn must_check;

/* No transaction is left. NULL is fine; returns NULL. */
struct kv *kv_close(struct kv *kv) fiber_fn;
CLEANUP_FUNC(struct kv *, kv_close)
/* "embedded, /var/lib/3fs/kv, served by pid 17", for people. Borrowed until the next call. */
const char *kv_describe(const struct kv *kv);
/* Transactions run in this process now: an embedded store that it holds, or memory. */
bool kv_is_local(const struct kv *kv);

/* The first key behind every key that starts with @prefix; prefix must not be all 0xff. */
struct bytes kv_prefix_end(struct arena *arena, struct bytes prefix);
/* The smallest key greater than @key. */
struct bytes kv_key_after(struct arena *arena, struct bytes key);

/* ---- engines ---- */

/* Memory, shared by the nodes of one loop that open the same store; for the simulator and tests. */
struct kv_mem_store;
struct kv_mem_profile {
    uint64_t delay_min_ns, delay_max_ns; /* of reads and commits */
    uint32_t conflict_ppm, maybe_committed_ppm, too_old_ppm;
    bool is_gone; /* every operation waits for its deadline, then TXN_NETWORK_ERROR */
};
struct kv_mem_store *kv_mem_store_new(uint64_t seed);
struct kv_mem_store *kv_mem_store_free(struct kv_mem_store *store);
void kv_mem_store_set(struct kv_mem_store *store, const struct kv_mem_profile *profile);
/* From now on written(arg, @writer, key) for each key (of a range: its begin) of each commit as it
 * takes effect; it must not suspend. For checkers of who may write what. */
void kv_mem_store_watch(struct kv_mem_store *store,
                        void (*written)(void *arg, struct node *writer, struct bytes key),
                        void *arg);
int kv_mem_open(struct node *node, struct kv_mem_store *store, struct kv **ret) must_check;

/* LMDB below @dir, for the services of one host. The process that gets the store's lock opens it
 * and serves the others over <dir>/kv.sock; when it dies another takes over within a second. Local
 * file systems only. */
struct kv_embedded_options {
    const char *dir;
    uint64_t map_bytes;  /* 0: 64 GiB of address space; a full map refuses writes: KV_FULL */
    bool read_only_tool; /* admin tools: never becomes the holder when another process holds it */
    bool yields; /* leaves a free store to others for a moment: for those who use it little */
};
int kv_embedded_open(struct node *node, const struct kv_embedded_options *options,
                     struct kv **ret) fiber_fn must_check;

/* Told now and then how far it is, in bytes; @total 0: not known. */
struct kv_progress {
    void (*show)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};
/* Copies everything at one snapshot to a file (kv_format.h), which appears when it is whole.
 * @progress may be NULL. -ERR_BUSY: a restore into this store was interrupted. */
int kv_backup(struct kv *kv, const char *path,
              const struct kv_progress *progress) fiber_fn must_check;
/* Checks the file, then copies it into a store that is empty (else -ERR_META_EXISTS) or holds what
 * an interrupted restore left. @progress may be NULL. -ERR_INVALID_FORMAT, -ERR_FORMAT_TOO_NEW,
 * -ERR_DATA_CORRUPTION. */
int kv_restore(struct kv *kv, const char *path,
               const struct kv_progress *progress) fiber_fn must_check;
