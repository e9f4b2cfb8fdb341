/* kv.c - transactions over any engine: snapshot on first use, own writes over it, what was read,
 * limits.
 *
 * Reads take the snapshot at the first one of them, so a transaction of writes only costs one trip.
 * A range read goes segment by segment: cleared ranges of the transaction itself are jumped over
 * (and are no read), between them a page of the snapshot is merged with the single writes.
 */
#include "base/check.h"
#include "kv/kv_engine.h"
#include "kv/read_set.h"
#include "kv/write_buffer.h"
#include "loop/fault.h"

struct kv_txn {
    struct kv *kv;
    struct kv_snapshot *snapshot;
    uint64_t begin_ns;
    enum kv_view view;
    bool is_done; /* committed or failed to: nothing more can be done with it */
    int error;    /* of a write beyond the limits: what the commit says */
    struct kv_write_buffer writes;
    struct kv_read_set reads;
};

void kv_base_init(struct kv *kv, const struct kv_ops *ops, struct node *node)
{
    *kv = (struct kv){ .ops = ops, .node = node, .retry_wait_min_ns = 250 * USEC };
    node_random_bytes(node, &kv->digest_key, sizeof(kv->digest_key));
}

struct kv *kv_close(struct kv *kv)
{
    if (!kv) return NULL;
    check(kv->txn_count == 0);
    kv->ops->close(kv);
    return NULL;
}

const char *kv_describe(const struct kv *kv)
{
    return kv->ops->describe(kv);
}

bool kv_is_local(const struct kv *kv)
{
    return kv->ops->is_local && kv->ops->is_local(kv);
}

/* ---- life ---- */

static struct kv_txn *txn_new(struct kv *kv, enum kv_view view)
{
    struct kv_txn *txn = new_zero(struct kv_txn);
    txn->kv = kv;
    txn->begin_ns = node_now_ns(kv->node);
    txn->view = view;
    kv_write_buffer_init(&txn->writes);
    kv_read_set_init(&txn->reads);
    kv->txn_count++;
    return txn;
}

static int interruption(void)
{
    if (fiber_is_cancelled()) return -ERR_CANCELED;
    return fiber_remaining_ns() == 0 ? -ERR_TIMEOUT : 0;
}

int kv_begin_view(struct kv *kv, enum kv_view view, struct kv_txn **ret)
{
    int r = interruption();
    if (r < 0) return r;
    *ret = txn_new(kv, view);
    return 0;
}

int kv_begin(struct kv *kv, struct kv_txn **ret)
{
    return kv_begin_view(kv, KV_VIEW_DURABLE, ret);
}

int kv_begin_long(struct kv *kv, struct kv_txn **ret)
{
    return kv_begin_view(kv, KV_VIEW_LONG, ret);
}

static void drop_snapshot(struct kv_txn *txn)
{
    if (txn->snapshot) txn->kv->ops->snapshot_close(txn->kv, txn->snapshot);
    txn->snapshot = NULL;
}

struct kv_txn *kv_end(struct kv_txn *txn)
{
    if (!txn) return NULL;
    drop_snapshot(txn);
    kv_write_buffer_done(&txn->writes);
    kv_read_set_done(&txn->reads);
    txn->kv->txn_count--;
    free(txn);
    return NULL;
}

/* May the transaction go on? Also sees to it that a transaction's sets are bounded. */
static int txn_state(const struct kv_txn *txn)
{
    if (txn->is_done) return -ERR_TXN_CANCELED;
    if (txn->reads.bytes + txn->writes.bytes > KV_TXN_BYTES_MAX) return -ERR_TXN_TOO_LARGE;
    if (txn->view == KV_VIEW_LONG) return 0;
    uint64_t age_ns = node_now_ns(txn->kv->node) - txn->begin_ns;
    return age_ns > KV_TXN_AGE_NS_MAX ? -ERR_TXN_TOO_OLD : 0;
}

static int need_snapshot(struct kv_txn *txn)
{
    int r = txn_state(txn);
    if (r < 0 || txn->snapshot) return r;
    return txn->kv->ops->snapshot_open(txn->kv, txn->view, &txn->snapshot);
}

/* ---- single reads ---- */

static uint64_t digest_of_key(const struct kv *kv, struct bytes key, bool found, struct bytes value)
{
    struct kv_digest digest;
    kv_digest_init(&digest, &kv->digest_key);
    if (found) kv_digest_pair(&digest, key, value);
    return kv_digest_final(&digest);
}

/* Answers from the transaction's own writes; the indices of the other keys go to @rest. */
static uint32_t get_own(struct kv_txn *txn, const struct bytes *keys, uint32_t count,
                        struct arena *arena, bool *ret_found, struct bytes *ret_values,
                        uint32_t *rest)
{
    uint32_t rest_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        ret_values[i] = (struct bytes){ 0 };
        enum kv_state state = kv_write_buffer_get(&txn->writes, keys[i], &ret_values[i]);
        ret_found[i] = state == KV_STATE_PRESENT;
        if (state == KV_STATE_PRESENT) ret_values[i] = arena_copy(arena, ret_values[i]);
        if (state == KV_STATE_UNKNOWN) rest[rest_count++] = i;
    }
    return rest_count;
}

static int get_from_engine(struct kv_txn *txn, const struct bytes *keys, uint32_t count,
                           enum kv_read mode, struct arena *arena, bool *ret_found,
                           struct bytes *ret_values) fiber_fn
{
    struct kv *kv = txn->kv;
    int r = need_snapshot(txn);
    if (r < 0) return r;
    r = kv->ops->get_many(kv, txn->snapshot, keys, count, arena, ret_found, ret_values);
    if (r < 0) return r;
    if (mode & KV_SNAPSHOT) return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t digest = digest_of_key(kv, keys[i], ret_found[i], ret_values[i]);
        kv_read_set_add_key(&txn->reads, keys[i], &digest);
    }
    return 0;
}

int kv_get_many(struct kv_txn *txn, const struct bytes *keys, uint32_t count, enum kv_read mode,
                struct arena *arena, bool *ret_found, struct bytes *ret_values)
{
    int r = txn_state(txn);
    if (r < 0 || count == 0) return r;
    uint32_t *rest = arena_array(arena, uint32_t, count);
    uint32_t rest_count = get_own(txn, keys, count, arena, ret_found, ret_values, rest);
    if (rest_count == 0) return 0;
    if (rest_count == count) {
        return get_from_engine(txn, keys, count, mode, arena, ret_found, ret_values);
    }

    struct bytes *rest_keys = arena_array(arena, struct bytes, rest_count);
    struct bytes *rest_values = arena_array(arena, struct bytes, rest_count);
    bool *rest_found = arena_array(arena, bool, rest_count);
    for (uint32_t i = 0; i < rest_count; i++) {
        rest_keys[i] = keys[rest[i]];
    }
    r = get_from_engine(txn, rest_keys, rest_count, mode, arena, rest_found, rest_values);
    if (r < 0) return r;
    for (uint32_t i = 0; i < rest_count; i++) {
        ret_found[rest[i]] = rest_found[i];
        ret_values[rest[i]] = rest_values[i];
    }
    return 0;
}

int kv_get(struct kv_txn *txn, struct bytes key, enum kv_read mode, struct arena *arena,
           struct bytes *ret)
{
    bool found = false;
    struct bytes value = { 0 };
    uint32_t rest;
    int r = txn_state(txn);
    if (r < 0) return r;
    if (get_own(txn, &key, 1, arena, &found, &value, &rest) == 1) {
        r = get_from_engine(txn, &key, 1, mode, arena, &found, &value);
        if (r < 0) return r;
    }
    *ret = found ? value : (struct bytes){ 0 };
    return found;
}

/* ---- ranges ---- */

/* A range read under way: [begin, end) is what is left of it. */
struct range_read {
    struct kv_txn *txn;
    enum kv_read mode;
    struct arena *arena;
    struct bytes begin, end;
    uint32_t limit;
    uint32_t capacity;
    size_t bytes;
    struct kv_pairs out;
};

static bool is_reverse(const struct range_read *read)
{
    return (read->mode & KV_REVERSE) != 0;
}

static bool range_is_full(const struct range_read *read)
{
    return read->out.count >= read->limit || read->bytes >= KV_PAGE_BYTES;
}

static void emit(struct range_read *read, struct bytes key, struct bytes value)
{
    if (read->out.count == read->capacity) {
        uint32_t capacity = read->capacity ? read->capacity * 2 : 16;
        struct kv_pair *items = arena_array(read->arena, struct kv_pair, capacity);
        if (read->out.count) memcpy(items, read->out.items, read->out.count * sizeof(*items));
        read->out.items = items;
        read->capacity = capacity;
    }
    read->out.items[read->out.count++] = (struct kv_pair){ key, value };
    read->bytes += key.size + value.size;
}

static struct kv_written *point_of(struct kv_map_entry *entry)
{
    return entry ? container_of(entry, struct kv_written, entry) : NULL;
}

/* The first single write of [begin, end), or the last. */
static struct kv_written *first_point(const struct range_read *read, struct bytes begin,
                                      struct bytes end)
{
    const struct kv_map *points = &read->txn->writes.points;
    if (points->count == 0) return NULL;
    struct kv_written *e =
        point_of(is_reverse(read) ? kv_map_before(points, end) : kv_map_at_least(points, begin));
    bool is_inside =
        e && bytes_compare(e->entry.key, begin) >= 0 && bytes_compare(e->entry.key, end) < 0;
    return is_inside ? e : NULL;
}

static struct kv_written *next_point(const struct range_read *read, const struct kv_written *e,
                                     struct bytes begin, struct bytes end)
{
    if (is_reverse(read)) return first_point(read, begin, e->entry.key);
    struct kv_written *next = point_of(kv_map_next(&e->entry));
    return next && bytes_compare(next->entry.key, end) < 0 ? next : NULL;
}

/* What was looked at up to and with @key is done. */
static void advance_behind(struct range_read *read, struct bytes key)
{
    if (is_reverse(read)) {
        read->end = key;
    } else {
        read->begin = kv_key_after(read->arena, key);
    }
}

/* Emits the pairs of one page, which is all that the snapshot has in [begin, end), with the single
 * writes there on top. Ends early when the read is full; what is left then begins behind the last
 * pair. */
static void merge(struct range_read *read, struct bytes begin, struct bytes end,
                  const struct kv_pairs *page)
{
    struct kv_written *e = first_point(read, begin, end);
    int sign = is_reverse(read) ? -1 : 1;
    uint32_t at = 0;
    while (!range_is_full(read) && (at < page->count || e)) {
        const struct kv_pair *pair = at < page->count ? &page->items[at] : NULL;
        int order = !pair ? 1 : !e ? -1 : sign * bytes_compare(pair->key, e->entry.key);
        if (order < 0) {
            emit(read, pair->key, pair->value);
            advance_behind(read, pair->key);
            at++;
            continue;
        }
        struct bytes key = arena_copy(read->arena, e->entry.key);
        if (!e->is_clear) emit(read, key, arena_copy(read->arena, e->value));
        advance_behind(read, key);
        if (order == 0) at++;
        e = next_point(read, e, begin, end);
    }
    if (at < page->count || e) return;
    if (is_reverse(read)) {
        read->end = begin;
    } else {
        read->begin = end;
    }
}

static uint64_t digest_of_page(const struct kv *kv, const struct kv_pairs *page, bool reversed)
{
    struct kv_digest digest;
    kv_digest_init(&digest, &kv->digest_key);
    for (uint32_t i = 0; i < page->count; i++) {
        const struct kv_pair *pair = &page->items[reversed ? page->count - 1 - i : i];
        kv_digest_pair(&digest, pair->key, pair->value);
    }
    return kv_digest_final(&digest);
}

/* One page of the snapshot from a segment without cleared ranges. */
static int read_page(struct range_read *read, const struct kv_segment *segment) fiber_fn
{
    struct kv_txn *txn = read->txn;
    struct kv_pairs page = { 0 };
    struct kv_range range = { .begin = segment->begin,
                              .end = segment->end,
                              .limit = read->limit - read->out.count,
                              .bytes_max = KV_PAGE_BYTES,
                              .is_reverse = is_reverse(read) };
    int r = need_snapshot(txn);
    if (r < 0) return r;
    r = txn->kv->ops->get_range(txn->kv, txn->snapshot, &range, read->arena, &page);
    if (r < 0) return r;

    struct bytes begin = segment->begin, end = segment->end;
    if (page.has_more) {
        check(page.count > 0);
        struct bytes last = page.items[page.count - 1].key;
        if (is_reverse(read)) {
            begin = last;
        } else {
            end = kv_key_after(read->arena, last);
        }
    }
    if (!(read->mode & KV_SNAPSHOT) && !MUTANT(KV_RANGE_NOT_CHECKED)) {
        uint64_t digest = digest_of_page(txn->kv, &page, is_reverse(read));
        kv_read_set_add_range(&txn->reads, begin, end, &digest);
    }
    merge(read, begin, end, &page);
    return 0;
}

int kv_get_range(struct kv_txn *txn, struct bytes begin, struct bytes end, uint32_t limit,
                 enum kv_read mode, struct arena *arena, struct kv_pairs *ret)
{
    struct range_read read = {
        .txn = txn, .mode = mode, .arena = arena, .begin = begin, .end = end
    };
    read.limit = limit == 0 ? KV_PAGE_COUNT_MAX : MIN_OF(limit, (uint32_t)KV_PAGE_COUNT_MAX);
    int r = txn_state(txn);
    if (r < 0) return r;

    while (!range_is_full(&read) && bytes_compare(read.begin, read.end) < 0) {
        struct kv_segment segment =
            kv_write_buffer_segment(&txn->writes, read.begin, read.end, is_reverse(&read));
        /* The buffer may change while the engine reads: another fiber of the caller. */
        segment.begin = arena_copy(arena, segment.begin);
        segment.end = arena_copy(arena, segment.end);
        if (segment.is_cleared) {
            merge(&read, segment.begin, segment.end, &(struct kv_pairs){ 0 });
            continue;
        }
        r = read_page(&read, &segment);
        if (r < 0) return r;
    }
    read.out.has_more = bytes_compare(read.begin, read.end) < 0;
    *ret = read.out;
    return 0;
}

/* ---- writes ---- */

static bool key_is_good(struct kv_txn *txn, struct bytes key)
{
    bool is_long = key.size > KV_KEY_BYTES_MAX;
    if (key.size > 0 && key.base[0] != 0xff && !is_long) return true;
    if (txn->error == 0) txn->error = is_long ? -ERR_TXN_TOO_LARGE : -ERR_INVALID_ARG;
    return false;
}

/* The sets stop growing once they are too large; the commit then says so. */
static bool is_full(const struct kv_txn *txn)
{
    return txn->reads.bytes + txn->writes.bytes > KV_TXN_BYTES_MAX;
}

void kv_set(struct kv_txn *txn, struct bytes key, struct bytes value)
{
    if (!key_is_good(txn, key) || is_full(txn)) return;
    if (value.size > KV_VALUE_BYTES_MAX) {
        if (txn->error == 0) txn->error = -ERR_TXN_TOO_LARGE;
        return;
    }
    kv_write_buffer_set(&txn->writes, key, value);
}

void kv_clear(struct kv_txn *txn, struct bytes key)
{
    if (key_is_good(txn, key) && !is_full(txn)) kv_write_buffer_clear(&txn->writes, key);
}

/* Bounds may be keys or what kv_key_after() makes of one; a longer one cannot part any two keys. */
static struct bytes clip_bound(struct bytes bound)
{
    return bytes_of(bound.base, MIN_OF(bound.size, (size_t)KV_KEY_BYTES_MAX + 1));
}

void kv_clear_range(struct kv_txn *txn, struct bytes begin, struct bytes end)
{
    if (!is_full(txn))
        kv_write_buffer_clear_range(&txn->writes, clip_bound(begin), clip_bound(end));
}

void kv_forget_writes(struct kv_txn *txn)
{
    kv_write_buffer_done(&txn->writes);
    kv_write_buffer_init(&txn->writes);
    txn->error = 0;
}

void kv_add_conflict(struct kv_txn *txn, struct bytes key)
{
    if (key_is_good(txn, key) && !is_full(txn)) kv_read_set_add_key(&txn->reads, key, NULL);
}

void kv_add_conflict_range(struct kv_txn *txn, struct bytes begin, struct bytes end)
{
    if (!is_full(txn)) kv_read_set_add_range(&txn->reads, clip_bound(begin), clip_bound(end), NULL);
}

/* ---- commit ---- */

int kv_check_resolve(struct kv *kv, struct kv_snapshot *snapshot, const struct kv_digest_key *key,
                     struct kv_check *item)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_range range = { .begin = item->begin,
                              .end = item->is_key ? kv_key_after(&arena, item->begin) : item->end,
                              .limit = KV_PAGE_COUNT_MAX,
                              .bytes_max = KV_PAGE_BYTES };
    struct kv_pairs page = { .has_more = true };
    struct kv_digest digest;
    struct bytes pos = range.begin;

    kv_digest_init(&digest, key);
    while (page.has_more) {
        cleanup_arena_ struct arena page_arena = { 0 };
        range.begin = pos;
        int r = kv->ops->get_range(kv, snapshot, &range, &page_arena, &page);
        if (r < 0) return r;
        for (uint32_t i = 0; i < page.count; i++) {
            kv_digest_pair(&digest, page.items[i].key, page.items[i].value);
        }
        if (page.has_more) pos = kv_key_after(&arena, page.items[page.count - 1].key);
    }
    item->digest = kv_digest_final(&digest);
    item->has_digest = true;
    return 0;
}

int kv_settle(struct kv_txn *txn)
{
    const struct kv_ops *ops = txn->kv->ops;
    if (!txn->snapshot || txn->view != KV_VIEW_NEWEST || !ops->settle) return 0;
    return ops->settle(txn->kv, txn->snapshot);
}

int kv_commit(struct kv_txn *txn)
{
    if (txn->is_done) return -ERR_TXN_CANCELED;
    if (txn->error < 0) return txn->error;
    int r = txn_state(txn);
    if (r >= 0) r = interruption();
    if (r < 0) return r;
    if (kv_write_buffer_is_empty(&txn->writes)) {
        txn->is_done = true;
        r = kv_settle(txn);
        drop_snapshot(txn);
        return r;
    }
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_commit commit = { .digest_key = txn->kv->digest_key };
    kv_read_set_list(&txn->reads, &arena, &commit);
    kv_write_buffer_list(&txn->writes, &arena, &commit);
    txn->is_done = true;
    r = txn->kv->ops->commit(txn->kv, txn->snapshot, &commit);
    drop_snapshot(txn);
    return r;
}
