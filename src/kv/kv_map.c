/* kv_map.c - the skip list. */
#include "kv/kv_map.h"
#include "base/arena.h"
#include "base/check.h"

void kv_map_init(struct kv_map *map)
{
    *map = (struct kv_map){ .random = 0x9e3779b97f4a7c15ull };
}

/* Fills @links with the pointer to be changed on each level to insert at @key; returns what is
 * behind it. */
static struct kv_map_entry *find_links(struct kv_map *map, struct bytes key,
                                       struct kv_map_entry ***ret_links)
{
    struct kv_map_entry **tower = map->head;
    struct kv_map_entry *behind = NULL;
    for (int level = KV_MAP_HEIGHT_MAX - 1; level >= 0; level--) {
        /* What stopped the level above is not compared again. */
        for (struct kv_map_entry *e = tower[level]; e && e != behind; e = tower[level]) {
            if (bytes_compare(e->key, key) >= 0) {
                behind = e;
                break;
            }
            tower = e->next;
        }
        if (ret_links) ret_links[level] = &tower[level];
    }
    return behind;
}

struct kv_map_entry *kv_map_first(const struct kv_map *map)
{
    return map->head[0];
}

struct kv_map_entry *kv_map_at_least(const struct kv_map *map, struct bytes key)
{
    return find_links((struct kv_map *)(uintptr_t)map, key, NULL); /* changes nothing */
}

struct kv_map_entry *kv_map_find(const struct kv_map *map, struct bytes key)
{
    struct kv_map_entry *e = kv_map_at_least(map, key);
    return e && bytes_equal(e->key, key) ? e : NULL;
}

struct kv_map_entry *kv_map_before(const struct kv_map *map, struct bytes key)
{
    struct kv_map_entry *const *tower = map->head;
    struct kv_map_entry *before = NULL;
    for (int level = KV_MAP_HEIGHT_MAX - 1; level >= 0; level--) {
        for (struct kv_map_entry *e = tower[level]; e && bytes_compare(e->key, key) < 0;
             e = tower[level]) {
            before = e;
            tower = e->next;
        }
    }
    return before;
}

/* 1 with probability 3/4, 2 with 3/16, … */
static uint8_t draw_height(struct kv_map *map)
{
    uint64_t x = map->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    map->random = x;
    uint8_t height = 1;
    for (x = x * 0x2545f4914f6cdd1dull >> 8; (x & 3) == 0 && height < KV_MAP_HEIGHT_MAX; x >>= 2) {
        height++;
    }
    return height;
}

void kv_map_insert(struct kv_map *map, struct kv_map_entry *entry)
{
    struct kv_map_entry **links[KV_MAP_HEIGHT_MAX];
    struct kv_map_entry *behind = find_links(map, entry->key, links);
    check(!behind || !bytes_equal(behind->key, entry->key));

    entry->height = draw_height(map);
    entry->next = xmalloc(entry->height * sizeof(*entry->next));
    for (int level = 0; level < entry->height; level++) {
        entry->next[level] = *links[level];
        *links[level] = entry;
    }
    map->count++;
}

void kv_map_remove(struct kv_map *map, struct kv_map_entry *entry)
{
    struct kv_map_entry **links[KV_MAP_HEIGHT_MAX];
    check(find_links(map, entry->key, links) == entry);

    for (int level = 0; level < entry->height; level++) {
        *links[level] = entry->next[level];
    }
    free(entry->next);
    entry->next = NULL;
    map->count--;
}

struct kv_map_entry *kv_map_pop(struct kv_map *map)
{
    struct kv_map_entry *entry = map->head[0];
    if (!entry) return NULL;
    for (int level = 0; level < entry->height; level++) {
        map->head[level] = entry->next[level];
    }
    free(entry->next);
    entry->next = NULL;
    map->count--;
    return entry;
}
