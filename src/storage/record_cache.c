/* record_cache.c - see record_cache.h. A hash table with chains through the records. */
#include "storage/record_cache.h"
#include "base/arena.h"
#include "base/check.h"

enum { BUCKETS_FIRST = 64 };

void record_cache_init(struct record_cache *cache, uint64_t bytes_max)
{
    *cache = (struct record_cache){ .bytes_max = bytes_max, .bucket_count = BUCKETS_FIRST };
    cache->buckets = xcalloc(BUCKETS_FIRST, sizeof(struct record *));
    list_init(&cache->lru);
}

void record_cache_done(struct record_cache *cache)
{
    while (!list_empty(&cache->lru)) {
        struct record *record = list_entry(list_first(&cache->lru), struct record, node);
        check(record->pin_count == 0);
        record_unref(record_cache_take(cache, &record->head.key));
    }
    free(cache->buckets);
    cache->buckets = NULL;
}

static uint32_t bucket_of(const struct record_cache *cache, const struct chunk_key *key)
{
    uint64_t x = key->inode * 0x9e3779b97f4a7c15ull ^ ((uint64_t)key->target << 32 | key->index);
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
    return (uint32_t)(x >> 32) & (cache->bucket_count - 1);
}

struct record *record_cache_get(struct record_cache *cache, const struct chunk_key *key)
{
    struct record *record = cache->buckets[bucket_of(cache, key)];
    while (record && chunk_key_compare(&record->head.key, key) != 0) {
        record = record->hash_next;
    }
    if (!record) return NULL;
    list_remove(&record->node);
    list_push_back(&cache->lru, &record->node);
    return record;
}

struct record *record_cache_take(struct record_cache *cache, const struct chunk_key *key)
{
    struct record **at = &cache->buckets[bucket_of(cache, key)];
    while (*at && chunk_key_compare(&(*at)->head.key, key) != 0) {
        at = &(*at)->hash_next;
    }
    struct record *record = *at;
    if (!record) return NULL;
    *at = record->hash_next;
    record->hash_next = NULL;
    record->is_cached = false;
    list_remove(&record->node);
    cache->record_count--;
    cache->bytes -= record_bytes(record);
    return record;
}

static void grow(struct record_cache *cache)
{
    struct record **old = cache->buckets;
    uint32_t old_count = cache->bucket_count;
    cache->bucket_count *= 2;
    cache->buckets = xcalloc(cache->bucket_count, sizeof(struct record *));
    for (uint32_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct record *record = old[i];
            old[i] = record->hash_next;
            struct record **at = &cache->buckets[bucket_of(cache, &record->head.key)];
            record->hash_next = *at;
            *at = record;
        }
    }
    free(old);
}

/* Lets the oldest go until the bound is kept; pinned ones are passed over, a few at a time. */
static void shrink(struct record_cache *cache)
{
    enum { PINNED_PASSED_MAX = 64 };
    uint32_t passed = 0;
    struct list *it = cache->lru.next;
    while (cache->bytes > cache->bytes_max && it != &cache->lru && passed < PINNED_PASSED_MAX) {
        struct record *record = list_entry(it, struct record, node);
        it = it->next;
        if (record->pin_count > 0) {
            passed++;
            continue;
        }
        record_unref(record_cache_take(cache, &record->head.key));
    }
}

void record_cache_put(struct record_cache *cache, struct record *record)
{
    if (cache->record_count == cache->bucket_count) grow(cache);
    struct record **at = &cache->buckets[bucket_of(cache, &record->head.key)];
    record_ref(record);
    record->hash_next = *at;
    *at = record;
    list_push_back(&cache->lru, &record->node);
    record->is_cached = true;
    cache->record_count++;
    cache->bytes += record_bytes(record);
    shrink(cache);
}
