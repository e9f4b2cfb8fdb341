/* store_view.c - the state of the store at a version, to read, to compare, to clear. */
#include "kv/store_internal.h"

#define STORE_END BYTES_LITERAL("\xff")

int view_get(const struct store *store, struct base_reader *reader, uint64_t version,
             struct bytes key, struct bytes *ret)
{
    const struct recent_key *recent = recent_key_of(kv_map_find(&store->recent.keys, key));
    const struct recent_version *v = recent_at(recent, version);
    if (!v) return base_get(reader, key, ret);
    if (v->is_clear) return 0;
    *ret = v->value;
    return 1;
}

/* Leaves view->entry at an entry of the range that has a version to show, from @entry on. */
static void settle_entry(struct view *view, struct kv_map_entry *entry)
{
    for (; entry; entry = view->is_reverse ? kv_map_before(&view->store->recent.keys, entry->key)
                                           : kv_map_next(entry)) {
        bool is_inside =
            bytes_compare(entry->key, view->begin) >= 0 && bytes_compare(entry->key, view->end) < 0;
        if (!is_inside) break;
        if (!recent_at(recent_key_of(entry), view->version)) continue;
        view->entry = entry;
        return;
    }
    view->entry = NULL;
}

static void advance_entry(struct view *view)
{
    settle_entry(view, view->is_reverse ? kv_map_before(&view->store->recent.keys, view->entry->key)
                                        : kv_map_next(view->entry));
}

static int settle_pair(struct view *view, int r)
{
    if (r < 0) return r;
    view->has_pair = r == 1 && bytes_compare(view->pair.key, view->begin) >= 0 &&
                     bytes_compare(view->pair.key, view->end) < 0;
    return 0;
}

static int advance_pair(struct view *view)
{
    return settle_pair(view, base_step(view->reader, view->is_reverse, &view->pair));
}

int view_start(struct view *view)
{
    const struct kv_map *keys = &view->store->recent.keys;
    if (bytes_compare(view->end, STORE_END) > 0) view->end = STORE_END;
    settle_entry(view, view->is_reverse ? kv_map_before(keys, view->end)
                                        : kv_map_at_least(keys, view->begin));
    struct bytes from = view->is_reverse ? view->end : view->begin;
    return settle_pair(view, base_seek(view->reader, from, view->is_reverse, &view->pair));
}

int view_next(struct view *view, struct kv_pair *ret)
{
    while (view->entry || view->has_pair) {
        int order = !view->has_pair ? -1 : !view->entry ? 1 : 0;
        if (order == 0) {
            order = bytes_compare(view->entry->key, view->pair.key);
            if (view->is_reverse) order = -order;
        }
        if (order > 0) {
            *ret = view->pair;
            int r = advance_pair(view);
            return r < 0 ? r : 1;
        }
        if (order == 0) { /* recent hides it */
            int r = advance_pair(view);
            if (r < 0) return r;
        }
        const struct recent_version *v = recent_at(recent_key_of(view->entry), view->version);
        *ret = (struct kv_pair){ view->entry->key, v->value };
        advance_entry(view);
        if (!v->is_clear) return 1;
    }
    return 0;
}

int view_digest(const struct store *store, struct base_reader *reader, uint64_t version,
                const struct kv_check *item, const struct kv_digest_key *key, uint64_t *ret)
{
    struct kv_digest digest;
    kv_digest_init(&digest, key);
    if (item->is_key) {
        struct bytes value;
        int r = view_get(store, reader, version, item->begin, &value);
        if (r < 0) return r;
        if (r == 1) kv_digest_pair(&digest, item->begin, value);
        *ret = kv_digest_final(&digest);
        return 0;
    }
    struct view view = {
        .store = store, .reader = reader, .version = version, .begin = item->begin, .end = item->end
    };
    struct kv_pair pair;
    int r = view_start(&view);
    while (r >= 0 && (r = view_next(&view, &pair)) == 1) {
        kv_digest_pair(&digest, pair.key, pair.value);
    }
    if (r < 0) return r;
    *ret = kv_digest_final(&digest);
    return 0;
}
