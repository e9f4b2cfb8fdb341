/* read_set.h - what a transaction read and its commit depends on; private to src/kv.
 *
 * Keys once each, ranges as they were really read (a page that was cut short ends behind its last
 * pair). What was read is remembered as a digest; a conflict that was added without a read has
 * none, and the engine takes it from the snapshot.
 */
#pragma once
#include "kv/kv_engine.h"
#include "kv/kv_map.h"

struct kv_read_range;
struct kv_read_set {
    struct kv_map keys;
    struct kv_read_range *ranges; /* in reverse order of reading */
    uint32_t range_count;
    size_t bytes;
};

void kv_read_set_init(struct kv_read_set *set);
void kv_read_set_done(struct kv_read_set *set);
/* @digest NULL: as the snapshot has it. */
void kv_read_set_add_key(struct kv_read_set *set, struct bytes key, const uint64_t *digest);
void kv_read_set_add_range(struct kv_read_set *set, struct bytes begin, struct bytes end,
                           const uint64_t *digest);
void kv_read_set_list(const struct kv_read_set *set, struct arena *arena, struct kv_commit *commit);
