/* checkpoint.c - the base catches up: what the journal's rotated file holds goes there in one step.
 *
 *   1. rotate (flusher): V is the last version of the file that is left
 *   2. the state at V of every key that changed since the base's version
 *   3. base_apply() of that, and a new reader for the snapshots to come
 *   4. the file may be used again; recent is trimmed
 *
 * Until the step is durable the file stays as it is, so a crash anywhere replays it. When the base
 * has no room the step is tried again every second; the store takes no writes meanwhile and loses
 * nothing.
 */
#include "base/check.h"
#include "kv/store_internal.h"

#include <inttypes.h>

#define CHECKPOINT_DUE_NS (2 * SEC)
#define RETRY_NS          (1 * SEC)
enum { TRIM_COUNT = 2000, GATHER_COUNT = 2000 };

void store_want_checkpoint(struct store *store)
{
    store->wants_checkpoint = true;
    wait_queue_wake_all(&store->checkpointer);
}

/* The changes between the base and @version, sorted. The loop runs others in between: entries with
 * something newer than the base stay where they are. */
static struct base_change *gather(struct store *store, uint64_t version, size_t *ret_count) fiber_fn
{
    struct base_change *changes = NULL;
    size_t count = 0, capacity = 0;
    uint64_t base = base_version(store->base);
    struct kv_map_entry *e = kv_map_first(&store->recent.keys);
    for (; e; e = kv_map_next(e)) {
        const struct recent_version *v = recent_at(recent_key_of(e), version);
        if (!v || v->number <= base) continue;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            changes = xrealloc(changes, capacity * sizeof(*changes));
        }
        changes[count++] = (struct base_change){ e->key, v->value, v->is_clear };
        if (count % GATHER_COUNT == 0) fiber_yield();
    }
    *ret_count = count;
    return changes;
}

int store_checkpoint_to(struct store *store, uint64_t version)
{
    if (version > base_version(store->base)) {
        size_t count = 0;
        cleanup_(freep) struct base_change *changes = gather(store, version, &count);
        int r = base_apply(store->base, changes, count, version);
        if (r >= 0) r = store_renew_reader(store);
        if (r < 0) return r;
    }
    store->in_progress = (struct backlog){ 0 };
    store->is_full = false;
    return 0;
}

static int rotate(struct store *store) fiber_fn
{
    store->wants_rotate = true;
    wait_queue_wake_all(&store->flusher);
    while (store->wants_rotate) {
        int r = wait_queue_wait(&store->rotated, "kv: rotation of the journal");
        if (r < 0) return r;
        if (store->has_failed) return -ERR_TXN_RETRYABLE;
    }
    return 0;
}

static int checkpoint(struct store *store) fiber_fn
{
    store->has_work = false;
    store->wants_checkpoint = false;
    int r = rotate(store);
    if (r < 0) return r;
    while ((r = store_checkpoint_to(store, store->rotated_version)) == -ERR_KV_FULL) {
        if (!store->is_full) {
            log_error(
                &store->node->log, r,
                "kv: the store takes no writes until there is room on the disk or in its map");
        }
        store->is_full = true;
        wait_queue_wake_all(&store->room);
        r = fiber_sleep(RETRY_NS);
        if (r < 0) return r;
    }
    if (r < 0) return r;
    journal_release(store->journal);
    wait_queue_wake_all(&store->room);
    return 0;
}

static void trim(struct store *store) fiber_fn
{
    while (recent_trim(&store->recent, store_trim_version(store), TRIM_COUNT)) {
        fiber_yield();
        if (fiber_is_cancelled()) return;
    }
}

/* 0 when a checkpoint is due; the end of a wait by time is no error. */
static int wait_until_due(struct store *store) fiber_fn
{
    while (!store->has_work && !store->wants_checkpoint) {
        int r = wait_queue_wait(&store->checkpointer, "kv: commits");
        if (r < 0) return r;
    }
    FIBER_TIMEOUT(CHECKPOINT_DUE_NS);
    while (!store->wants_checkpoint) {
        int r = wait_queue_wait(&store->checkpointer, "kv: the next checkpoint");
        if (r == -ERR_TIMEOUT) return 0;
        if (r < 0) return r;
    }
    return 0;
}

int store_checkpoint_fiber(void *arg)
{
    struct store *store = arg;
    int r = 0;
    while (r >= 0 && !store->has_failed) {
        r = wait_until_due(store);
        if (r >= 0) r = checkpoint(store);
        if (r >= 0) trim(store);
    }
    if (r < 0) store_fail(store, r, "checkpoint");
    return 0;
}
