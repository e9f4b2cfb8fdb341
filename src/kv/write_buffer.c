/* write_buffer.c - see write_buffer.h. */
#include "kv/write_buffer.h"

static struct kv_written *written_of(struct kv_map_entry *entry)
{
    return entry ? container_of(entry, struct kv_written, entry) : NULL;
}

/* One allocation holds the entry and its bytes. */
static struct kv_written *written_new(struct bytes key, struct bytes value, bool is_clear)
{
    struct kv_written *e = xmalloc(sizeof(*e) + key.size + value.size);
    uint8_t *bytes = (uint8_t *)(e + 1);
    *e = (struct kv_written){ .is_clear = is_clear };
    if (key.size) memcpy(bytes, key.base, key.size);
    if (value.size) memcpy(bytes + key.size, value.base, value.size);
    e->entry.key = bytes_of(bytes, key.size);
    e->value = bytes_of(bytes + key.size, value.size);
    return e;
}

static void written_remove(struct kv_map *map, struct kv_written *e)
{
    kv_map_remove(map, &e->entry);
    free(e);
}

void kv_write_buffer_init(struct kv_write_buffer *w)
{
    kv_map_init(&w->points);
    kv_map_init(&w->cleared);
    w->bytes = 0;
}

void kv_write_buffer_done(struct kv_write_buffer *w)
{
    struct kv_written *e;
    while ((e = written_of(kv_map_pop(&w->points)))) {
        free(e);
    }
    while ((e = written_of(kv_map_pop(&w->cleared)))) {
        free(e);
    }
}

bool kv_write_buffer_is_empty(const struct kv_write_buffer *w)
{
    return w->points.count == 0 && w->cleared.count == 0;
}

static bool is_cleared(const struct kv_write_buffer *w, struct bytes key)
{
    struct kv_map_entry *at = kv_map_find(&w->cleared, key);
    struct kv_written *e = written_of(at ? at : kv_map_before(&w->cleared, key));
    return e && bytes_compare(e->value, key) > 0;
}

static void put_point(struct kv_write_buffer *w, struct kv_written *e)
{
    struct kv_written *old = written_of(kv_map_find(&w->points, e->entry.key));
    if (old) written_remove(&w->points, old);
    kv_map_insert(&w->points, &e->entry);
}

void kv_write_buffer_set(struct kv_write_buffer *w, struct bytes key, struct bytes value)
{
    w->bytes += KV_ITEM_BYTES + key.size + value.size;
    put_point(w, written_new(key, value, false));
}

void kv_write_buffer_clear(struct kv_write_buffer *w, struct bytes key)
{
    w->bytes += KV_ITEM_BYTES + key.size;
    if (!is_cleared(w, key)) {
        put_point(w, written_new(key, (struct bytes){ 0 }, true));
        return;
    }
    struct kv_written *old = written_of(kv_map_find(&w->points, key));
    if (old) written_remove(&w->points, old);
}

void kv_write_buffer_clear_range(struct kv_write_buffer *w, struct bytes begin, struct bytes end)
{
    if (bytes_compare(begin, end) >= 0) return;
    w->bytes += KV_ITEM_BYTES + begin.size + end.size;

    struct kv_written *e;
    while ((e = written_of(kv_map_at_least(&w->points, begin))) &&
           bytes_compare(e->entry.key, end) < 0) {
        written_remove(&w->points, e);
    }
    /* What overlaps or touches becomes one; the new one copies the bytes before the old ones go. */
    struct kv_written *low = written_of(kv_map_before(&w->cleared, begin));
    struct bytes from = low && bytes_compare(low->value, begin) >= 0 ? low->entry.key : begin;
    struct bytes to = end;
    e = written_of(kv_map_at_least(&w->cleared, from));
    for (; e && bytes_compare(e->entry.key, end) <= 0; e = written_of(kv_map_next(&e->entry))) {
        if (bytes_compare(e->value, to) > 0) to = e->value;
    }
    struct kv_written *merged = written_new(from, to, true);
    while ((e = written_of(kv_map_at_least(&w->cleared, merged->entry.key))) &&
           bytes_compare(e->entry.key, merged->value) <= 0) {
        written_remove(&w->cleared, e);
    }
    kv_map_insert(&w->cleared, &merged->entry);
}

enum kv_state kv_write_buffer_get(const struct kv_write_buffer *w, struct bytes key,
                                  struct bytes *ret)
{
    if (kv_write_buffer_is_empty(w)) return KV_STATE_UNKNOWN;
    struct kv_written *e = written_of(kv_map_find(&w->points, key));
    if (e && e->is_clear) return KV_STATE_ABSENT;
    if (e) {
        *ret = e->value;
        return KV_STATE_PRESENT;
    }
    return is_cleared(w, key) ? KV_STATE_ABSENT : KV_STATE_UNKNOWN;
}

static struct bytes lesser(struct bytes a, struct bytes b)
{
    return bytes_compare(a, b) <= 0 ? a : b;
}

static struct bytes greater(struct bytes a, struct bytes b)
{
    return bytes_compare(a, b) >= 0 ? a : b;
}

struct kv_segment kv_write_buffer_segment(const struct kv_write_buffer *w, struct bytes begin,
                                          struct bytes end, bool is_reverse)
{
    if (is_reverse) {
        struct kv_written *last = written_of(kv_map_before(&w->cleared, end));
        if (!last) return (struct kv_segment){ begin, end, false };
        bool is_inside = bytes_compare(last->value, end) >= 0;
        struct bytes low = is_inside ? last->entry.key : last->value;
        return (struct kv_segment){ greater(begin, low), end, is_inside };
    }
    struct kv_map_entry *next = kv_map_at_least(&w->cleared, begin);
    struct kv_written *at = written_of(next);
    if (!at || !bytes_equal(at->entry.key, begin))
        at = written_of(kv_map_before(&w->cleared, begin));
    if (at && bytes_compare(at->value, begin) > 0) {
        return (struct kv_segment){ begin, lesser(end, at->value), true };
    }
    return (struct kv_segment){ begin, next ? lesser(end, next->key) : end, false };
}

void kv_write_buffer_list(const struct kv_write_buffer *w, struct arena *arena,
                          struct kv_commit *commit)
{
    size_t count = w->points.count + w->cleared.count;
    struct kv_write *writes = arena_array(arena, struct kv_write, count);
    size_t n = 0;
    struct kv_map_entry *at = kv_map_first(&w->cleared);
    for (; at; at = kv_map_next(at)) {
        writes[n++] = (struct kv_write){ KV_WRITE_CLEAR_RANGE, at->key, written_of(at)->value };
    }
    for (at = kv_map_first(&w->points); at; at = kv_map_next(at)) {
        struct kv_written *e = written_of(at);
        writes[n++] =
            (struct kv_write){ e->is_clear ? KV_WRITE_CLEAR : KV_WRITE_SET, at->key, e->value };
    }
    commit->writes = writes;
    commit->write_count = (uint32_t)n;
}
