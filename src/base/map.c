/* map.c - open addressing with linear probing and tombstones.
 *
 * A slot is a key and a value; a NULL value is a free slot. Of a map with byte keys the key is the
 * address of a block that holds a copy of the bytes and their hash. A table is at most 3/4 used,
 * tombstones included.
 */
#include "base/map.h"
#include "base/arena.h"
#include "base/check.h"

#include <string.h>

struct map_slot {
    uint64_t key;
    void *value;
};

struct key_block {
    uint64_t hash;
    size_t size;
    uint8_t bytes[];
};

enum { CAPACITY_MIN = 16 };

static const char tombstone_mark;

static void *tombstone(void)
{
    return (void *)(uintptr_t)&tombstone_mark;
}

static bool is_live(const struct map_slot *slot)
{
    return slot->value && slot->value != tombstone();
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static uint64_t hash_bytes(uint64_t seed, struct bytes key)
{
    uint64_t hash = mix(seed ^ key.size);
    size_t at = 0;
    for (; at + 8 <= key.size; at += 8) {
        uint64_t word;
        memcpy(&word, key.base + at, 8);
        hash = mix(hash ^ word) + 0x9e3779b97f4a7c15ull;
    }
    uint64_t rest = 0;
    if (at < key.size) memcpy(&rest, key.base + at, key.size - at);
    return mix(hash ^ rest);
}

static struct key_block *block_of(const struct map_slot *slot)
{
    return (struct key_block *)(uintptr_t)slot->key;
}

static uint64_t hash_of_slot(const struct map *m, const struct map_slot *slot)
{
    return m->has_byte_keys ? block_of(slot)->hash : mix(slot->key ^ m->seed);
}

static bool slot_has(const struct map_slot *slot, uint64_t key)
{
    return slot->value != tombstone() && slot->key == key;
}

static bool slot_has_bytes(const struct map_slot *slot, struct bytes key, uint64_t hash)
{
    if (slot->value == tombstone()) return false;
    const struct key_block *block = block_of(slot);
    return block->hash == hash && bytes_equal(bytes_of(block->bytes, block->size), key);
}

void map_done(struct map *m)
{
    for (size_t i = 0; m->has_byte_keys && i < m->capacity; i++) {
        if (is_live(&m->slots[i])) free(block_of(&m->slots[i]));
    }
    free(m->slots);
    map_init(m, m->seed);
}

/* Finds the slot of a key: its own, or NULL. */
static struct map_slot *find(const struct map *m, uint64_t key)
{
    if (m->count == 0) return NULL;
    size_t mask = m->capacity - 1;
    for (size_t i = mix(key ^ m->seed) & mask; m->slots[i].value; i = (i + 1) & mask) {
        if (slot_has(&m->slots[i], key)) return &m->slots[i];
    }
    return NULL;
}

static struct map_slot *find_bytes(const struct map *m, struct bytes key, uint64_t hash)
{
    if (m->count == 0) return NULL;
    size_t mask = m->capacity - 1;
    for (size_t i = hash & mask; m->slots[i].value; i = (i + 1) & mask) {
        if (slot_has_bytes(&m->slots[i], key, hash)) return &m->slots[i];
    }
    return NULL;
}

/* Puts a key that is not in the table into the first slot that is free or a tombstone. */
static void insert(struct map *m, uint64_t hash, struct map_slot entry)
{
    size_t mask = m->capacity - 1, i = hash & mask;
    while (is_live(&m->slots[i])) {
        i = (i + 1) & mask;
    }
    m->used += m->slots[i].value == NULL;
    m->count++;
    m->slots[i] = entry;
}

/* Makes room for one more; also clears the tombstones when they are many. */
static void reserve(struct map *m)
{
    if ((m->used + 1) * 4 <= m->capacity * 3) return;
    struct map old = *m;
    m->capacity = MAX_OF(m->capacity, (size_t)CAPACITY_MIN);
    while ((m->count + 1) * 2 > m->capacity) {
        m->capacity *= 2;
    }
    m->slots = xcalloc(m->capacity, sizeof(struct map_slot));
    m->count = m->used = 0;
    for (size_t i = 0; i < old.capacity; i++) {
        if (is_live(&old.slots[i])) insert(m, hash_of_slot(m, &old.slots[i]), old.slots[i]);
    }
    free(old.slots);
}

static void *remove_slot(struct map *m, struct map_slot *slot)
{
    if (!slot) return NULL;
    void *value = slot->value;
    if (m->has_byte_keys) free(block_of(slot));
    size_t next = ((size_t)(slot - m->slots) + 1) & (m->capacity - 1);
    bool ends_run = m->slots[next].value == NULL;
    *slot = (struct map_slot){ .value = ends_run ? NULL : tombstone() };
    m->used -= ends_run;
    m->count--;
    return value;
}

void *map_get(const struct map *m, uint64_t key)
{
    const struct map_slot *slot = find(m, key);
    return slot ? slot->value : NULL;
}

void *map_put(struct map *m, uint64_t key, void *value)
{
    check(value && !m->has_byte_keys);
    struct map_slot *slot = find(m, key);
    if (slot) {
        void *old = slot->value;
        slot->value = value;
        return old;
    }
    reserve(m);
    insert(m, mix(key ^ m->seed), (struct map_slot){ key, value });
    return NULL;
}

void *map_remove(struct map *m, uint64_t key)
{
    return remove_slot(m, find(m, key));
}

void *map_get_bytes(const struct map *m, struct bytes key)
{
    const struct map_slot *slot = find_bytes(m, key, hash_bytes(m->seed, key));
    return slot ? slot->value : NULL;
}

void *map_put_bytes(struct map *m, struct bytes key, void *value)
{
    check(value && (m->has_byte_keys || m->count == 0));
    m->has_byte_keys = true;
    uint64_t hash = hash_bytes(m->seed, key);
    struct map_slot *slot = find_bytes(m, key, hash);
    if (slot) {
        void *old = slot->value;
        slot->value = value;
        return old;
    }
    reserve(m);
    struct key_block *block = xmalloc(sizeof(*block) + key.size);
    block->hash = hash;
    block->size = key.size;
    if (key.size) memcpy(block->bytes, key.base, key.size);
    insert(m, hash, (struct map_slot){ (uintptr_t)block, value });
    return NULL;
}

void *map_remove_bytes(struct map *m, struct bytes key)
{
    return remove_slot(m, find_bytes(m, key, hash_bytes(m->seed, key)));
}

void *map_next_key(const struct map *m, size_t *at, uint64_t *ret_key)
{
    while (*at < m->capacity) {
        const struct map_slot *slot = &m->slots[(*at)++];
        if (!is_live(slot)) continue;
        if (ret_key) *ret_key = slot->key;
        return slot->value;
    }
    return NULL;
}

void *map_next(const struct map *m, size_t *at)
{
    return map_next_key(m, at, NULL);
}
