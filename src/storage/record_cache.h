/* record_cache.h - committed records in memory, by chunk, least recently used out first.
 *
 * The bound is on bytes; pinned records do not leave, so that the cache finds every record that a
 * reader has.
 */
#pragma once
#include "storage/record.h"

struct record_cache {
    struct record **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t record_count;
    uint64_t bytes, bytes_max;
    struct list lru; /* oldest first */
};

void record_cache_init(struct record_cache *cache, uint64_t bytes_max);
void record_cache_done(struct record_cache *cache); /* nothing is pinned */
/* NULL when it is not in memory. Borrowed. */
struct record *record_cache_get(struct record_cache *cache, const struct chunk_key *key);
/* Takes a count of its own. The chunk has no record in the cache. */
void record_cache_put(struct record_cache *cache, struct record *record);
/* The record leaves the cache, with the cache's count; NULL when there is none. */
struct record *record_cache_take(struct record_cache *cache, const struct chunk_key *key);
