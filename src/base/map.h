/* map.h - hash table from a u64 or a run of bytes to a pointer; open addressing, grows by doubling.
 *
 * Byte keys are copied. The seed of the hash is given, so that the simulator's order is its own;
 * iteration order is unspecified and must never reach the wire or decide anything.
 */
#pragma once
#include "base/bytes.h"
#include "base/cleanup.h"

struct map_slot;
struct map {
    struct map_slot *slots;
    size_t count, capacity, used; /* used: with tombstones */
    bool has_byte_keys;
    uint64_t seed;
};

static inline void map_init(struct map *m, uint64_t seed)
{
    *m = (struct map){ .seed = seed };
}
/* Frees the table, not the values. */
void map_done(struct map *m);

void *map_get(const struct map *m, uint64_t key); /* NULL if absent */
void *map_put(struct map *m, uint64_t key,
              void *value);                    /* the replaced value or NULL; value != NULL */
void *map_remove(struct map *m, uint64_t key); /* the removed value or NULL */
void *map_get_bytes(const struct map *m, struct bytes key);
void *map_put_bytes(struct map *m, struct bytes key, void *value);
void *map_remove_bytes(struct map *m, struct bytes key);

/* Iterates: size_t at = 0; while ((v = map_next(m, &at))). Removing the current entry is allowed.
 */
void *map_next(const struct map *m, size_t *at);
/* As map_next(), also giving the key of a u64 map. */
void *map_next_key(const struct map *m, size_t *at, uint64_t *ret_key);
