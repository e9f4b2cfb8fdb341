/* store.c - life of the store, snapshots, commits; see store.h. */
#include "base/check.h"
#include "kv/store_internal.h"

#include <inttypes.h>

enum { JOURNAL_PERCENT_MAX = 50 }; /* then a checkpoint begins */
#define RECENT_BYTES_MAX (256 * MIB)
#define SNAPSHOT_NS_MAX  (KV_TXN_AGE_NS_MAX + SEC)
#define REAP_NS          SEC
#define CLOSE_NS_MAX     (30 * SEC)

void store_fail(struct store *store, int r, const char *what)
{
    if (store->has_failed) return;
    store->has_failed = true;
    if (r != -ERR_CANCELED) log_error(&store->node->log, r, "kv: the store is closed: %s", what);
    wait_queue_wake_all(&store->flusher);
    wait_queue_wake_all(&store->checkpointer);
    wait_queue_wake_all(&store->durable);
    wait_queue_wake_all(&store->room);
    wait_queue_wake_all(&store->rotated);
    wait_queue_wake_all(&store->failed);
}

bool store_has_failed(const struct store *store)
{
    return store->has_failed;
}

int store_wait_failed(struct store *store)
{
    while (!store->has_failed) {
        int r = wait_queue_wait(&store->failed, "kv: failure of the store");
        if (r < 0) return r;
    }
    return 0;
}

/* ---- readers of the base ---- */

void shared_reader_put(struct shared_reader *shared)
{
    if (!shared || --shared->ref_count > 0) return;
    list_remove(&shared->node);
    base_reader_close(shared->reader);
    free(shared);
}

static int shared_reader_new(struct store *store, struct shared_reader **ret)
{
    struct base_reader *reader;
    int r = base_reader_open(store->base, &reader);
    if (r < 0) return r;
    struct shared_reader *shared = new_zero(struct shared_reader);
    list_init(&shared->node);
    shared->reader = reader;
    shared->base_version = base_version(store->base);
    shared->ref_count = 1;
    *ret = shared;
    return 0;
}

int store_renew_reader(struct store *store)
{
    struct shared_reader *fresh;
    int r = shared_reader_new(store, &fresh);
    if (r < 0) return r;
    list_push_back(&store->readers, &fresh->node);
    shared_reader_put(store->newest_reader);
    store->newest_reader = fresh;
    return 0;
}

uint64_t store_trim_version(const struct store *store)
{
    const struct shared_reader *oldest = list_entry(store->readers.next, struct shared_reader,
                                                    node); /* there is always the newest */
    return oldest->base_version;
}

/* ---- applying ---- */

static int clear_range(struct store *store, uint64_t version, const struct kv_write *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    cleanup_(freep) struct bytes *keys = NULL;
    size_t count = 0, capacity = 0;
    struct view view = { .store = store,
                         .reader = store->newest_reader->reader,
                         .version = version,
                         .begin = w->key,
                         .end = w->value };
    struct kv_pair pair;
    int r = view_start(&view);
    while (r >= 0 && (r = view_next(&view, &pair)) == 1) {
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            keys = xrealloc(keys, capacity * sizeof(*keys));
        }
        keys[count++] = arena_copy(&arena, pair.key);
    }
    if (r < 0) return r;
    for (size_t i = 0; i < count; i++) {
        recent_put(&store->recent, version, keys[i], NULL);
    }
    return 0;
}

static int apply(struct store *store, uint64_t version, const struct kv_commit *commit)
{
    uint64_t count_before = store->recent.version_count, bytes_before = store->recent.bytes;
    for (uint32_t i = 0; i < commit->write_count; i++) {
        const struct kv_write *w = &commit->writes[i];
        if (w->kind == KV_WRITE_SET) {
            recent_put(&store->recent, version, w->key, &w->value);
        } else if (w->kind == KV_WRITE_CLEAR) {
            recent_put(&store->recent, version, w->key, NULL);
        } else {
            int r = clear_range(store, version, w);
            if (r < 0) return r;
        }
    }
    store->version = version;
    store->backlog.keys += store->recent.version_count - count_before;
    store->backlog.bytes += store->recent.bytes - bytes_before;
    return 0;
}

static int replay(void *arg, uint64_t version, const struct kv_commit *commit)
{
    return apply(arg, version, commit);
}

/* ---- fibers ---- */

static int flush_fiber(void *arg) fiber_fn
{
    struct store *store = arg;
    int r = 0;
    while (r >= 0 && !store->has_failed) {
        if (!journal_has_pending(store->journal) && !store->wants_rotate) {
            r = wait_queue_wait(&store->flusher, "kv: commits");
            continue;
        }
        if (journal_has_pending(store->journal)) {
            r = journal_flush(store->journal, &store->durable_version);
            if (r < 0) break;
            wait_queue_wake_all(&store->durable);
        }
        if (store->wants_rotate) {
            journal_rotate(store->journal);
            store->wants_rotate = false;
            store->rotated_version = store->durable_version;
            store->in_progress = store->backlog;
            store->backlog = (struct backlog){ 0 };
            wait_queue_wake_all(&store->rotated);
            wait_queue_wake_all(&store->room);
        }
    }
    if (r < 0) store_fail(store, r, "the journal cannot be written");
    return 0;
}

/* Snapshots that nobody closed must not hold versions for ever. */
static int reap_fiber(void *arg) fiber_fn
{
    struct store *store = arg;
    for (;;) {
        int r = fiber_sleep(REAP_NS);
        if (r < 0) return 0;
        uint64_t now_ns = node_now_ns(store->node);
        list_for_each (l, &store->snapshots) {
            struct store_snapshot *s = list_entry(l, struct store_snapshot, node);
            if (s->view == KV_VIEW_LONG) continue;
            if (now_ns - s->begin_ns < SNAPSHOT_NS_MAX) break;
            shared_reader_put(s->base);
            s->base = NULL;
        }
    }
}

/* ---- life ---- */

static void init_queues(struct store *store)
{
    list_init(&store->readers);
    list_init(&store->snapshots);
    recent_init(&store->recent);
    wait_queue_init(&store->flusher);
    wait_queue_init(&store->checkpointer);
    wait_queue_init(&store->durable);
    wait_queue_init(&store->room);
    wait_queue_init(&store->rotated);
    wait_queue_init(&store->failed);
    scope_init(&store->scope, sched_current());
    store->scope.local = store->node;
}

/* Base, then the journal into the base, then the journal anew. */
static int open_parts(struct store *store, const struct store_options *options) fiber_fn
{
    struct base_options base_options = { .dir = options->dir, .map_bytes = options->map_bytes };
    int r = base_open(store->node, &base_options, &store->base);
    if (r >= 0) r = store_renew_reader(store);
    if (r < 0) return r;
    uint64_t version = base_version(store->base);
    store->version = version;
    r = kv_journal_open(store->node, options->dir, version, replay, store, &store->journal);
    if (r >= 0) r = store_checkpoint_to(store, store->version);
    if (r < 0) return r;
    if (store->version > version) {
        log_info(&store->node->log, "kv: replayed %" PRIu64 " transactions of the journal",
                 store->version - version);
    }
    store->durable_version = store->version;
    store->backlog = (struct backlog){ 0 };
    recent_trim(&store->recent, store_trim_version(store), UINT64_MAX);
    kv_journal_start(store->journal, store->version);
    return 0;
}

static int start_fibers(struct store *store)
{
    int r = fiber_spawn(&store->scope, "kv journal", flush_fiber, store);
    if (r >= 0) r = fiber_spawn(&store->scope, "kv checkpoint", store_checkpoint_fiber, store);
    if (r >= 0) r = fiber_spawn(&store->scope, "kv reaper", reap_fiber, store);
    return r;
}

int store_open(struct node *node, const struct store_options *options, struct store **ret)
{
    struct store *store = new_zero(struct store);
    store->node = node;
    init_queues(store);
    int r = open_parts(store, options);
    if (r >= 0) r = start_fibers(store);
    if (r < 0) {
        store->has_failed = true;
        store_close(store);
        return r;
    }
    *ret = store;
    return 0;
}

static void checkpoint_before_close(struct store *store) fiber_fn
{
    FIBER_SHIELD();
    FIBER_TIMEOUT(CLOSE_NS_MAX);
    while (!store->has_failed && !store->is_full && base_version(store->base) < store->version) {
        store_want_checkpoint(store);
        if (wait_queue_wait(&store->room, "kv: the last checkpoint") < 0) return;
    }
}

struct store *store_close(struct store *store)
{
    if (!store) return NULL;
    checkpoint_before_close(store);
    store->has_failed = true;
    scope_done(&store->scope);
    while (!list_empty(&store->snapshots)) {
        struct store_snapshot *s = list_entry(store->snapshots.next, struct store_snapshot, node);
        list_remove(&s->node);
        shared_reader_put(s->base);
        s->base = NULL;
        s->store = NULL;
    }
    shared_reader_put(store->newest_reader);
    recent_done(&store->recent);
    journal_close(store->journal);
    base_close(store->base);
    free(store);
    return NULL;
}

/* ---- snapshots ---- */

/* A long one needs nothing of recent: the base first catches up, and it reads the base alone. */
static int catch_up(struct store *store) fiber_fn
{
    uint64_t version = store->durable_version;
    while (base_version(store->base) < version) {
        if (store->has_failed) return -ERR_TXN_RETRYABLE;
        if (store->is_full) return -ERR_KV_FULL;
        store_want_checkpoint(store);
        int r = wait_queue_wait(&store->room, "kv: checkpoint for a long snapshot");
        if (r < 0) return r;
    }
    return 0;
}

int store_snapshot_open(struct store *store, enum kv_view view, struct store_snapshot **ret)
{
    struct shared_reader *shared = NULL;
    if (view == KV_VIEW_LONG) {
        int r = catch_up(store);
        if (r >= 0) r = shared_reader_new(store, &shared);
        if (r < 0) return r;
    }
    if (store->has_failed) {
        shared_reader_put(shared);
        return -ERR_TXN_RETRYABLE;
    }
    bool is_long = shared != NULL;
    if (!is_long) {
        shared = store->newest_reader;
        shared->ref_count++;
    }
    struct store_snapshot *s = new_zero(struct store_snapshot);
    s->store = store;
    s->base = shared;
    s->version = is_long                  ? shared->base_version
                 : view == KV_VIEW_NEWEST ? store->version
                                          : store->durable_version;
    s->begin_ns = node_now_ns(store->node);
    s->view = view;
    list_push_back(&store->snapshots, &s->node);
    *ret = s;
    return 0;
}

void store_snapshot_close(struct store_snapshot *s)
{
    list_remove(&s->node);
    shared_reader_put(s->base);
    free(s);
}

bool store_snapshot_is_durable(const struct store_snapshot *s)
{
    return s->store && s->version <= s->store->durable_version;
}

static bool is_alive(const struct store_snapshot *s)
{
    return s->store && s->base;
}

int store_get_many(struct store_snapshot *s, const struct bytes *keys, uint32_t count,
                   struct arena *arena, bool *ret_found, struct bytes *ret_values)
{
    if (!is_alive(s)) return -ERR_TXN_TOO_OLD;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes value;
        int r = view_get(s->store, s->base->reader, s->version, keys[i], &value);
        if (r < 0) return r;
        ret_found[i] = r == 1;
        ret_values[i] = r == 1 ? arena_copy(arena, value) : (struct bytes){ 0 };
    }
    return 0;
}

static void add_pair(struct arena *arena, struct kv_pairs *out, uint32_t *capacity,
                     const struct kv_pair *pair)
{
    if (out->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        struct kv_pair *items = arena_array(arena, struct kv_pair, *capacity);
        if (out->count) memcpy(items, out->items, out->count * sizeof(*items));
        out->items = items;
    }
    out->items[out->count++] =
        (struct kv_pair){ arena_copy(arena, pair->key), arena_copy(arena, pair->value) };
}

int store_get_range(struct store_snapshot *s, const struct kv_range *range, struct arena *arena,
                    struct kv_pairs *ret)
{
    if (!is_alive(s)) return -ERR_TXN_TOO_OLD;
    struct view view = { .store = s->store,
                         .reader = s->base->reader,
                         .version = s->version,
                         .begin = range->begin,
                         .end = range->end,
                         .is_reverse = range->is_reverse };
    struct kv_pairs out = { 0 };
    struct kv_pair pair;
    uint32_t capacity = 0;
    size_t size = 0;
    int r = view_start(&view);
    while (r >= 0 && (r = view_next(&view, &pair)) == 1) {
        if (out.count >= range->limit || size >= range->bytes_max) {
            out.has_more = true;
            break;
        }
        add_pair(arena, &out, &capacity, &pair);
        size += pair.key.size + pair.value.size;
    }
    if (r < 0) return r;
    *ret = out;
    return 0;
}

/* ---- commit ---- */

/* Checks without a digest get that of the snapshot; without a snapshot they hold. */
static int resolve_checks(const struct store_snapshot *s, struct kv_commit *commit)
{
    for (uint32_t i = 0; s && i < commit->check_count; i++) {
        struct kv_check *item = &commit->checks[i];
        if (item->has_digest) continue;
        if (!is_alive(s)) return -ERR_TXN_TOO_OLD;
        int r = view_digest(s->store, s->base->reader, s->version, item, &commit->digest_key,
                            &item->digest);
        if (r < 0) return r;
        item->has_digest = true;
    }
    return 0;
}

/* 1 when what was read is what is there now, 0 when not, or an error. */
static int checks_hold(const struct store *store, const struct kv_commit *commit)
{
    for (uint32_t i = 0; i < commit->check_count; i++) {
        const struct kv_check *item = &commit->checks[i];
        uint64_t digest;
        if (!item->has_digest) continue;
        int r = view_digest(store, store->newest_reader->reader, store->version, item,
                            &commit->digest_key, &digest);
        if (r < 0) return r;
        if (digest != item->digest) return 0;
    }
    return 1;
}

static int wait_for_room(struct store *store, size_t size) fiber_fn
{
    for (;;) {
        if (store->has_failed) return -ERR_TXN_RETRYABLE;
        if (store->is_full) return -ERR_KV_FULL;
        if (journal_has_room(store->journal, size) && store->recent.bytes < RECENT_BYTES_MAX)
            return 0;
        store_want_checkpoint(store);
        int r = wait_queue_wait(&store->room, "kv: room in the journal");
        if (r < 0) return r;
    }
}

/* Room in the base is promised before anything is acknowledged. Clearing may use the reserve. */
static int check_base_room(struct store *store, const struct kv_commit *commit, size_t size)
{
    bool has_set = false;
    for (uint32_t i = 0; i < commit->write_count && !has_set; i++) {
        has_set = commit->writes[i].kind == KV_WRITE_SET;
    }
    uint64_t keys = store->backlog.keys + store->in_progress.keys + commit->write_count;
    uint64_t bytes = store->backlog.bytes + store->in_progress.bytes + size;
    bool has_room = base_has_room(store->base, keys, bytes);
    if (!has_room && !store->is_near_full) {
        log_error(&store->node->log, -ERR_KV_FULL, "kv: the map is full; only removals are taken");
    }
    store->is_near_full = !has_room;
    return has_room || !has_set ? 0 : -ERR_KV_FULL;
}

static int wait_durable(struct store *store, uint64_t version) fiber_fn
{
    while (store->durable_version < version) {
        if (store->has_failed) return -ERR_TXN_MAYBE_COMMITTED;
        int r = wait_queue_wait(&store->durable, "kv: durability");
        if (r == -ERR_CANCELED) return r;
        if (r < 0) return -ERR_TXN_MAYBE_COMMITTED;
    }
    return 0;
}

int store_settle(struct store_snapshot *s)
{
    if (!s->store) return -ERR_TXN_TOO_OLD;
    int r = wait_durable(s->store, s->version);
    return r == -ERR_TXN_MAYBE_COMMITTED ? -ERR_TXN_RETRYABLE : r;
}

int store_commit(struct store *store, struct store_snapshot *snapshot, struct kv_commit *commit)
{
    size_t size = journal_size_of(commit);
    int r = resolve_checks(snapshot, commit);
    if (r >= 0) r = wait_for_room(store, size);
    if (r < 0) return r;

    /* From here to the append nothing suspends: this is the order of commits. */
    r = checks_hold(store, commit);
    if (r < 0) return r;
    if (r == 0) {
        if (snapshot && snapshot->view == KV_VIEW_NEWEST) return -ERR_TXN_CONFLICT;
        /* The retry is to see what this one lost against. */
        r = wait_durable(store, store->version);
        return r == -ERR_CANCELED ? r : -ERR_TXN_CONFLICT;
    }
    r = check_base_room(store, commit, size);
    if (r < 0) return r;
    uint64_t version = store->version + 1;
    r = apply(store, version, commit);
    if (r < 0) {
        store_fail(store, r, "the base cannot be read");
        return -ERR_TXN_RETRYABLE;
    }
    kv_journal_append(store->journal, version, commit);
    wait_queue_wake_all(&store->flusher);
    if (!store->has_work) {
        store->has_work = true;
        wait_queue_wake_all(&store->checkpointer);
    }
    if (journal_used_percent(store->journal) >= JOURNAL_PERCENT_MAX) store_want_checkpoint(store);
    return wait_durable(store, version);
}
