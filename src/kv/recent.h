/* recent.h - what was committed and is not (or not for every snapshot) in the base: versions in
 * memory.
 *
 * Each key has a chain of versions, newest first; all versions also stand in one list in order of
 * commit, so that the oldest can be dropped without a search. Written from one loop; another thread
 * may read the bytes of keys and values, which never change.
 */
#pragma once
#include "base/cleanup.h"
#include "base/list.h"
#include "kv/kv_map.h"

struct recent_key;
struct recent_version {
    struct list node; /* of recent.in_order */
    struct recent_key *key;
    struct recent_version *older, *newer; /* of the same key */
    uint64_t number;
    bool is_clear;
    struct bytes value;
};
struct recent_key {
    struct kv_map_entry entry;
    struct recent_version *newest;
};

struct recent {
    struct kv_map keys;   /* of recent_key */
    struct list in_order; /* of recent_version */
    size_t bytes;         /* of memory, about */
    uint64_t version_count;
};

void recent_init(struct recent *recent);
void recent_done(struct recent *recent);
/* @value NULL clears. @number is not below any that was put; the same key and number again
 * replaces. */
void recent_put(struct recent *recent, uint64_t number, struct bytes key,
                const struct bytes *value);
/* The newest version of the key at or below @number; NULL: the base knows. @key may be NULL. */
const struct recent_version *recent_at(const struct recent_key *key, uint64_t number);
static inline struct recent_key *recent_key_of(struct kv_map_entry *entry)
{
    return entry ? container_of(entry, struct recent_key, entry) : NULL;
}
/* Drops what is at or below @number, at most @count_max versions; true when that was not all. */
bool recent_trim(struct recent *recent, uint64_t number, uint64_t count_max);
