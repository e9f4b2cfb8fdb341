/* read_set.c - see read_set.h. */
#include "kv/read_set.h"

struct read_key {
    struct kv_map_entry entry;
    bool has_digest;
    uint64_t digest;
};

struct kv_read_range {
    struct kv_read_range *next;
    struct bytes begin, end;
    bool has_digest;
    uint64_t digest;
};

void kv_read_set_init(struct kv_read_set *set)
{
    *set = (struct kv_read_set){ 0 };
    kv_map_init(&set->keys);
}

void kv_read_set_done(struct kv_read_set *set)
{
    struct kv_map_entry *e;
    while ((e = kv_map_pop(&set->keys))) {
        free(container_of(e, struct read_key, entry));
    }
    while (set->ranges) {
        struct kv_read_range *range = set->ranges;
        set->ranges = range->next;
        free(range);
    }
}

void kv_read_set_add_key(struct kv_read_set *set, struct bytes key, const uint64_t *digest)
{
    struct kv_map_entry *old = kv_map_find(&set->keys, key);
    if (!old) {
        struct read_key *fresh = xmalloc(sizeof(*fresh) + key.size);
        uint8_t *bytes = (uint8_t *)(fresh + 1);
        if (key.size) memcpy(bytes, key.base, key.size);
        *fresh = (struct read_key){ .entry.key = bytes_of(bytes, key.size) };
        kv_map_insert(&set->keys, &fresh->entry);
        set->bytes += KV_ITEM_BYTES + key.size;
        old = &fresh->entry;
    }
    struct read_key *e = container_of(old, struct read_key, entry);
    if (e->has_digest || !digest) return;
    e->has_digest = true;
    e->digest = *digest;
}

void kv_read_set_add_range(struct kv_read_set *set, struct bytes begin, struct bytes end,
                           const uint64_t *digest)
{
    if (bytes_compare(begin, end) >= 0) return;
    struct kv_read_range *range = xmalloc(sizeof(*range) + begin.size + end.size);
    uint8_t *bytes = (uint8_t *)(range + 1);
    if (begin.size) memcpy(bytes, begin.base, begin.size);
    memcpy(bytes + begin.size, end.base, end.size);
    *range = (struct kv_read_range){ .next = set->ranges,
                                     .begin = bytes_of(bytes, begin.size),
                                     .end = bytes_of(bytes + begin.size, end.size),
                                     .has_digest = digest != NULL,
                                     .digest = digest ? *digest : 0 };
    set->ranges = range;
    set->range_count++;
    set->bytes += KV_ITEM_BYTES + begin.size + end.size;
}

void kv_read_set_list(const struct kv_read_set *set, struct arena *arena, struct kv_commit *commit)
{
    size_t count = set->keys.count + set->range_count;
    struct kv_check *checks = arena_array(arena, struct kv_check, count);
    size_t n = 0;
    for (struct kv_map_entry *at = kv_map_first(&set->keys); at; at = kv_map_next(at)) {
        struct read_key *e = container_of(at, struct read_key, entry);
        checks[n++] = (struct kv_check){
            .begin = at->key, .is_key = true, .has_digest = e->has_digest, .digest = e->digest
        };
    }
    for (struct kv_read_range *range = set->ranges; range; range = range->next) {
        checks[n++] = (struct kv_check){ .begin = range->begin,
                                         .end = range->end,
                                         .has_digest = range->has_digest,
                                         .digest = range->digest };
    }
    commit->checks = checks;
    commit->check_count = (uint32_t)n;
}
