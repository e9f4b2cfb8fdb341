/* retry.c - running a transaction function until it commits, and small helpers on keys.
 *
 * The first retry is at once: the usual loser of a race wins the next one, and an engine of this
 * host commits in a fraction of a millisecond. After that the wait doubles from the engine's
 * minimum to 1 s, with jitter so that losers spread.
 */
#include "base/check.h"
#include "kv/kv_engine.h"

enum { TRIES_MAX = 16 };
#define WAIT_NS_MAX SEC

static bool is_retryable(int r, enum kv_retry retry)
{
    switch (-r) {
    case ERR_TXN_CONFLICT:
    case ERR_TXN_THROTTLED:
    case ERR_TXN_TOO_OLD:
    case ERR_TXN_RETRYABLE:
    case ERR_TXN_RESOURCE_CONSTRAINED:
    case ERR_TXN_PROCESS_BEHIND:
    case ERR_TXN_FUTURE_VERSION: return true;
    case ERR_TXN_MAYBE_COMMITTED: return retry == KV_RETRY_MAYBE_COMMITTED;
    default: return false;
    }
}

/* Waits before try @try_count + 1. */
static int back_off(struct kv *kv, uint32_t try_count) fiber_fn
{
    if (try_count == 1) {
        fiber_yield();
        return 0;
    }
    uint64_t wait_ns = kv->retry_wait_min_ns << (try_count - 2);
    wait_ns = MIN_OF(wait_ns, (uint64_t)WAIT_NS_MAX);
    return fiber_sleep(wait_ns / 2 + node_random_below(kv->node, wait_ns));
}

struct attempt {
    int (*fn)(struct kv_txn *txn, void *arg);
    void *arg;
    bool is_read_only;
};

/* A transaction that may write sees the newest state, so that those which depend on one another
 * need not wait for a sync each; so the error of its function is told only when what it saw is
 * durable. */
static int attempt_once(struct kv *kv, const struct attempt *attempt) fiber_fn
{
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    enum kv_view view = attempt->is_read_only ? KV_VIEW_DURABLE : KV_VIEW_NEWEST;
    int r = kv_begin_view(kv, view, &txn);
    if (r < 0) return r;
    r = attempt->fn(txn, attempt->arg);
    if (attempt->is_read_only) return r;
    int c = r < 0 ? kv_settle(txn) : kv_commit(txn);
    return c < 0 ? c : r;
}

static int run(struct kv *kv, enum kv_retry retry, const struct attempt *attempt) fiber_fn
{
    for (uint32_t try_count = 1;; try_count++) {
        int r = attempt_once(kv, attempt);
        if (r >= 0 || !is_retryable(r, retry) || try_count == TRIES_MAX) return r;
        /* An interrupted wait tells less than why it had to wait. */
        if (back_off(kv, try_count) < 0) return r;
    }
}

int kv_transact(struct kv *kv, enum kv_retry retry, int (*fn)(struct kv_txn *txn, void *arg),
                void *arg)
{
    return run(kv, retry, &(struct attempt){ .fn = fn, .arg = arg });
}

int kv_read_only(struct kv *kv, int (*fn)(struct kv_txn *txn, void *arg), void *arg)
{
    return run(kv, KV_RETRY_SAFE, &(struct attempt){ .fn = fn, .arg = arg, .is_read_only = true });
}

struct bytes kv_prefix_end(struct arena *arena, struct bytes prefix)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.base[size - 1] == 0xff) {
        size--;
    }
    check(size > 0);
    uint8_t *end = arena_alloc(arena, size);
    memcpy(end, prefix.base, size);
    end[size - 1]++;
    return bytes_of(end, size);
}

struct bytes kv_key_after(struct arena *arena, struct bytes key)
{
    uint8_t *after = arena_alloc(arena, key.size + 1);
    if (key.size) memcpy(after, key.base, key.size);
    after[key.size] = 0;
    return bytes_of(after, key.size + 1);
}
