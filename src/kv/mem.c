/* mem.c - the engine in memory: every key has a chain of versions, newest first; a snapshot is a
 * version.
 *
 * It plays the external database for the simulator: it belongs to no node and outlives their
 * crashes (what a crashed node still asks has no effect), delays and fails as its profile says, and
 * draws all chance from its own seed. One loop only.
 *
 * Garbage: a version that a newer one has replaced is dropped once no snapshot is older than the
 * newer one. Each such key waits in a queue in order of version, so nothing is ever searched for.
 */
#include "base/check.h"
#include "fiber/sync.h"
#include "kv/kv_engine.h"
#include "kv/kv_map.h"

#include <stdio.h>

struct version {
    struct version *older;
    uint64_t number;
    bool is_absent;
    struct bytes value;
};

struct mem_key {
    struct kv_map_entry entry;
    struct version *newest;
    uint32_t garbage_count; /* times in the queue */
};

/* Key has something older than @number to drop. */
struct garbage {
    struct list node;
    struct mem_key *key;
    uint64_t number;
};

struct kv_mem_store {
    struct kv_map keys; /* of mem_key */
    struct list snapshots, garbage;
    uint64_t version; /* of the last commit */
    uint64_t random;
    struct kv_mem_profile profile;
    struct wait_queue gone; /* operations that wait for the store to come back */
    uint32_t open_count;
    void (*written)(void *arg, struct node *writer, struct bytes key); /* may be NULL */
    void *written_arg;
};

struct kv_snapshot {
    struct list node;
    uint64_t version;
};

struct kv_mem {
    struct kv base;
    struct kv_mem_store *store;
};

/* ---- the store ---- */

struct kv_mem_store *kv_mem_store_new(uint64_t seed)
{
    struct kv_mem_store *store = new_zero(struct kv_mem_store);
    kv_map_init(&store->keys);
    list_init(&store->snapshots);
    list_init(&store->garbage);
    wait_queue_init(&store->gone);
    store->random = seed;
    return store;
}

static void drop_versions(struct version *v)
{
    while (v) {
        struct version *older = v->older;
        free(v);
        v = older;
    }
}

struct kv_mem_store *kv_mem_store_free(struct kv_mem_store *store)
{
    if (!store) return NULL;
    check(store->open_count == 0);
    struct list *l;
    while ((l = list_pop_front(&store->garbage))) {
        free(list_entry(l, struct garbage, node));
    }
    struct kv_map_entry *e;
    while ((e = kv_map_pop(&store->keys))) {
        struct mem_key *key = container_of(e, struct mem_key, entry);
        drop_versions(key->newest);
        free(key);
    }
    free(store);
    return NULL;
}

void kv_mem_store_set(struct kv_mem_store *store, const struct kv_mem_profile *profile)
{
    store->profile = *profile;
    if (!profile->is_gone) wait_queue_wake_all(&store->gone);
}

void kv_mem_store_watch(struct kv_mem_store *store,
                        void (*written)(void *arg, struct node *writer, struct bytes key),
                        void *arg)
{
    store->written = written;
    store->written_arg = arg;
}

/* splitmix64 */
static uint64_t draw(struct kv_mem_store *store)
{
    uint64_t z = store->random += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static bool draw_ppm(struct kv_mem_store *store, uint32_t ppm)
{
    return ppm > 0 && draw(store) % 1000000 < ppm;
}

static uint64_t draw_delay_ns(struct kv_mem_store *store)
{
    const struct kv_mem_profile *p = &store->profile;
    if (p->delay_max_ns <= p->delay_min_ns) return p->delay_min_ns;
    return p->delay_min_ns + draw(store) % (p->delay_max_ns - p->delay_min_ns + 1);
}

/* ---- versions ---- */

static struct mem_key *key_of(struct kv_map_entry *entry)
{
    return entry ? container_of(entry, struct mem_key, entry) : NULL;
}

static const struct version *version_at(const struct mem_key *key, uint64_t number)
{
    const struct version *v = key ? key->newest : NULL;
    while (v && v->number > number) {
        v = v->older;
    }
    return v && !v->is_absent ? v : NULL;
}

static void collect_garbage(struct kv_mem_store *store)
{
    struct list *first = list_first(&store->snapshots);
    uint64_t oldest = first ? list_entry(first, struct kv_snapshot, node)->version : store->version;
    for (struct list *l; (l = list_first(&store->garbage));) {
        struct garbage *g = list_entry(l, struct garbage, node);
        if (g->number > oldest) return;
        struct version *keep = g->key->newest;
        while (keep && keep->number > g->number) {
            keep = keep->older;
        }
        if (keep) {
            drop_versions(keep->older);
            keep->older = NULL;
        }
        struct mem_key *key = g->key;
        key->garbage_count--;
        list_remove(&g->node);
        free(g);
        if (key->garbage_count == 0 && key->newest && key->newest->is_absent &&
            !key->newest->older) {
            kv_map_remove(&store->keys, &key->entry);
            drop_versions(key->newest);
            free(key);
        }
    }
}

static void put_version(struct kv_mem_store *store, struct mem_key *key, const struct bytes *value)
{
    struct version *v = xmalloc(sizeof(*v) + (value ? value->size : 0));
    *v = (struct version){ .older = key->newest, .number = store->version, .is_absent = !value };
    if (value) {
        v->value = bytes_of(v + 1, value->size);
        if (value->size) memcpy(v + 1, value->base, value->size);
    }
    bool has_garbage = v->older || v->is_absent;
    key->newest = v;
    if (!has_garbage) return;
    struct garbage *g = new_zero(struct garbage);
    g->key = key;
    g->number = v->number;
    key->garbage_count++;
    list_push_back(&store->garbage, &g->node);
}

static void set_key(struct kv_mem_store *store, struct bytes name, struct bytes value)
{
    struct mem_key *key = key_of(kv_map_find(&store->keys, name));
    if (!key) {
        key = xmalloc(sizeof(*key) + name.size);
        *key = (struct mem_key){ .entry.key = bytes_of(key + 1, name.size) };
        memcpy(key + 1, name.base, name.size);
        kv_map_insert(&store->keys, &key->entry);
    }
    put_version(store, key, &value);
}

static void clear_key(struct kv_mem_store *store, struct mem_key *key)
{
    if (key && !key->newest->is_absent) put_version(store, key, NULL);
}

static void apply(struct kv_mem_store *store, const struct kv_commit *commit)
{
    store->version++;
    for (uint32_t i = 0; i < commit->write_count; i++) {
        const struct kv_write *w = &commit->writes[i];
        if (w->kind == KV_WRITE_SET) {
            set_key(store, w->key, w->value);
        } else if (w->kind == KV_WRITE_CLEAR) {
            clear_key(store, key_of(kv_map_find(&store->keys, w->key)));
        } else {
            struct kv_map_entry *e = kv_map_at_least(&store->keys, w->key);
            for (; e && bytes_compare(e->key, w->value) < 0; e = kv_map_next(e)) {
                clear_key(store, key_of(e));
            }
        }
    }
    collect_garbage(store);
}

/* ---- operations ---- */

static int while_gone(struct kv_mem_store *store) fiber_fn
{
    while (store->profile.is_gone) {
        int r = wait_queue_wait(&store->gone, "kv: the store is gone");
        if (r == -ERR_TIMEOUT) return -ERR_TXN_NETWORK_ERROR;
        if (r < 0) return r;
    }
    return 0;
}

static int before_read(struct kv *kv) fiber_fn
{
    struct kv_mem_store *store = container_of(kv, struct kv_mem, base)->store;
    int r = while_gone(store);
    if (r < 0) return r;
    uint64_t delay_ns = draw_delay_ns(store);
    if (delay_ns > 0) r = fiber_sleep(delay_ns);
    if (r < 0) return r;
    if (!node_is_up(kv->node)) return -ERR_CANCELED;
    return draw_ppm(store, store->profile.too_old_ppm) ? -ERR_TXN_TOO_OLD : 0;
}

static int mem_snapshot_open(struct kv *kv, enum kv_view view, struct kv_snapshot **ret)
{
    struct kv_mem_store *store = container_of(kv, struct kv_mem, base)->store;
    int r = while_gone(store);
    if (r < 0) return r;
    struct kv_snapshot *snapshot = new_zero(struct kv_snapshot);
    snapshot->version = store->version;
    list_push_back(&store->snapshots, &snapshot->node);
    *ret = snapshot;
    return 0;
}

static void mem_snapshot_close(struct kv *kv, struct kv_snapshot *snapshot)
{
    list_remove(&snapshot->node);
    free(snapshot);
}

static int mem_get_many(struct kv *kv, struct kv_snapshot *snapshot, const struct bytes *keys,
                        uint32_t count, struct arena *arena, bool *ret_found,
                        struct bytes *ret_values) fiber_fn
{
    struct kv_mem_store *store = container_of(kv, struct kv_mem, base)->store;
    int r = before_read(kv);
    if (r < 0) return r;
    for (uint32_t i = 0; i < count; i++) {
        const struct version *v =
            version_at(key_of(kv_map_find(&store->keys, keys[i])), snapshot->version);
        ret_found[i] = v != NULL;
        ret_values[i] = v ? arena_copy(arena, v->value) : (struct bytes){ 0 };
    }
    return 0;
}

static struct mem_key *step(const struct kv_mem_store *store, const struct kv_range *range,
                            const struct mem_key *from)
{
    struct kv_map_entry *e;
    if (range->is_reverse) {
        e = kv_map_before(&store->keys, from ? from->entry.key : range->end);
        return e && bytes_compare(e->key, range->begin) >= 0 ? key_of(e) : NULL;
    }
    e = from ? kv_map_next(&from->entry) : kv_map_at_least(&store->keys, range->begin);
    return e && bytes_compare(e->key, range->end) < 0 ? key_of(e) : NULL;
}

/* Not a fiber_fn: the map stays as it is. */
static void collect_range(const struct kv_mem_store *store, uint64_t version,
                          const struct kv_range *range, struct arena *arena, struct kv_pairs *ret)
{
    struct kv_pairs out = { 0 };
    uint32_t capacity = 0;
    size_t size = 0;
    for (struct mem_key *key = step(store, range, NULL); key; key = step(store, range, key)) {
        const struct version *v = version_at(key, version);
        if (!v) continue;
        if (out.count == range->limit || size >= range->bytes_max) {
            out.has_more = true;
            break;
        }
        if (out.count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            struct kv_pair *items = arena_array(arena, struct kv_pair, capacity);
            if (out.count) memcpy(items, out.items, out.count * sizeof(*items));
            out.items = items;
        }
        out.items[out.count++] =
            (struct kv_pair){ arena_copy(arena, key->entry.key), arena_copy(arena, v->value) };
        size += key->entry.key.size + v->value.size;
    }
    *ret = out;
}

static int mem_get_range(struct kv *kv, struct kv_snapshot *snapshot, const struct kv_range *range,
                         struct arena *arena, struct kv_pairs *ret) fiber_fn
{
    struct kv_mem_store *store = container_of(kv, struct kv_mem, base)->store;
    int r = before_read(kv);
    if (r < 0) return r;
    collect_range(store, snapshot->version, range, arena, ret);
    return 0;
}

static uint64_t digest_at(const struct kv_mem_store *store, uint64_t version,
                          const struct kv_check *item, const struct kv_digest_key *key)
{
    struct kv_digest digest;
    kv_digest_init(&digest, key);
    struct kv_map_entry *e = item->is_key ? kv_map_find(&store->keys, item->begin)
                                          : kv_map_at_least(&store->keys, item->begin);
    while (e && (item->is_key || bytes_compare(e->key, item->end) < 0)) {
        const struct version *v = version_at(key_of(e), version);
        if (v) kv_digest_pair(&digest, e->key, v->value);
        if (item->is_key) break;
        e = kv_map_next(e);
    }
    return kv_digest_final(&digest);
}

static bool checks_hold(const struct kv_mem_store *store, const struct kv_snapshot *snapshot,
                        const struct kv_commit *commit)
{
    for (uint32_t i = 0; i < commit->check_count; i++) {
        const struct kv_check *item = &commit->checks[i];
        if (!item->has_digest && !snapshot) continue;
        uint64_t seen = item->has_digest
                            ? item->digest
                            : digest_at(store, snapshot->version, item, &commit->digest_key);
        if (digest_at(store, store->version, item, &commit->digest_key) != seen) return false;
    }
    return true;
}

static void tell_watcher(struct kv *kv, const struct kv_commit *commit)
{
    struct kv_mem_store *store = container_of(kv, struct kv_mem, base)->store;
    for (uint32_t i = 0; store->written && i < commit->write_count; i++)
        store->written(store->written_arg, kv->node, commit->writes[i].key);
}

static int commit_now(struct kv *kv, const struct kv_snapshot *snapshot,
                      const struct kv_commit *commit)
{
    struct kv_mem_store *store = container_of(kv, struct kv_mem, base)->store;
    const struct kv_mem_profile *p = &store->profile;
    if (draw_ppm(store, p->too_old_ppm)) return -ERR_TXN_TOO_OLD;
    if (draw_ppm(store, p->conflict_ppm)) return -ERR_TXN_CONFLICT;
    bool is_unknown = draw_ppm(store, p->maybe_committed_ppm);
    if (is_unknown && draw(store) % 2 == 0) return -ERR_TXN_MAYBE_COMMITTED;
    if (!checks_hold(store, snapshot, commit)) {
        return is_unknown ? -ERR_TXN_MAYBE_COMMITTED : -ERR_TXN_CONFLICT;
    }
    apply(store, commit);
    tell_watcher(kv, commit);
    return is_unknown ? -ERR_TXN_MAYBE_COMMITTED : 0;
}

/* The way there and the way back take time; who is interrupted on either does not know. */
static int mem_commit(struct kv *kv, struct kv_snapshot *snapshot,
                      struct kv_commit *commit) fiber_fn
{
    struct kv_mem_store *store = container_of(kv, struct kv_mem, base)->store;
    int r = while_gone(store);
    if (r < 0) return r;
    uint64_t delay_ns = draw_delay_ns(store);
    uint64_t there_ns = delay_ns > 0 ? draw(store) % (delay_ns + 1) : 0;
    if (there_ns > 0) r = fiber_sleep(there_ns);
    if (!node_is_up(kv->node)) return -ERR_CANCELED;
    bool is_lost = r < 0 && draw(store) % 2 == 0;
    int result = is_lost ? -ERR_TXN_MAYBE_COMMITTED : commit_now(kv, snapshot, commit);
    if (r >= 0 && delay_ns > there_ns) r = fiber_sleep(delay_ns - there_ns);
    if (r == -ERR_CANCELED) return r;
    return r < 0 ? -ERR_TXN_MAYBE_COMMITTED : result;
}

static void mem_close(struct kv *kv) fiber_fn
{
    struct kv_mem *mem = container_of(kv, struct kv_mem, base);
    mem->store->open_count--;
    free(mem);
}

static const char *mem_describe(const struct kv *kv)
{
    return "memory";
}

static bool mem_is_local(const struct kv *kv)
{
    return true;
}

static const struct kv_ops mem_ops = {
    .name = "mem",
    .snapshot_open = mem_snapshot_open,
    .snapshot_close = mem_snapshot_close,
    .get_many = mem_get_many,
    .get_range = mem_get_range,
    .commit = mem_commit,
    .close = mem_close,
    .describe = mem_describe,
    .is_local = mem_is_local,
};

int kv_mem_open(struct node *node, struct kv_mem_store *store, struct kv **ret)
{
    struct kv_mem *mem = new_zero(struct kv_mem);
    kv_base_init(&mem->base, &mem_ops, node);
    mem->store = store;
    store->open_count++;
    *ret = &mem->base;
    return 0;
}
