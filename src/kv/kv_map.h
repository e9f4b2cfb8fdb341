/* kv_map.h - ordered map from bytes to whatever embeds an entry: a skip list.
 *
 * The heights come from a generator with a fixed seed, not from the keys, so no choice of keys
 * makes it slow and every run looks the same. Entries and their keys belong to the caller; the map
 * owns only the towers. Find, insert and remove take O(log n); next is one load. 24 levels suffice
 * for any map that fits in memory.
 */
#pragma once
#include "base/bytes.h"
#include <stddef.h>

enum { KV_MAP_HEIGHT_MAX = 24 };

struct kv_map_entry {
    struct bytes key;           /* set by the caller, unchanged while inside */
    struct kv_map_entry **next; /* tower; level 0 links all entries in order */
    uint8_t height;
};

struct kv_map {
    struct kv_map_entry *head[KV_MAP_HEIGHT_MAX];
    size_t count;
    uint64_t random;
};

void kv_map_init(struct kv_map *map);
/* The first entry, the entry equal to, the first at or behind, the last before @key; NULL if there
 * is none. */
struct kv_map_entry *kv_map_first(const struct kv_map *map);
struct kv_map_entry *kv_map_find(const struct kv_map *map, struct bytes key);
struct kv_map_entry *kv_map_at_least(const struct kv_map *map, struct bytes key);
struct kv_map_entry *kv_map_before(const struct kv_map *map, struct bytes key);
static inline struct kv_map_entry *kv_map_next(const struct kv_map_entry *entry)
{
    return entry->next[0];
}
/* The key must not be inside yet. */
void kv_map_insert(struct kv_map *map, struct kv_map_entry *entry);
void kv_map_remove(struct kv_map *map, struct kv_map_entry *entry);
/* Takes out any one entry, NULL when empty: to free them all in linear time. */
struct kv_map_entry *kv_map_pop(struct kv_map *map);
