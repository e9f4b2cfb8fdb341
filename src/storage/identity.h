/* identity.h - the last update of every (client, channel) of a target and what came of it.
 *
 * An entry only gives way to a newer update of its channel. The table is bounded: the entry that
 * was written longest ago goes first. Channel 0 is not kept. Walks go from the oldest to the newest
 * and may suspend in between with an identity_walk: they see every entry that stays, some perhaps
 * twice.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "storage/record_format.h"

enum { IDENTITY_COUNT_MAX = 1 << 17 }; /* some 200 bytes each */

struct identity {
    struct list node;
    bool is_walk;
    struct identity_disk disk;
};
struct identity_table {
    struct map map;
    struct list oldest_first;
    uint32_t count, count_max;
};
struct identity_walk {
    struct identity marker;
};

void identity_table_init(struct identity_table *table, uint64_t seed, uint32_t count_max);
void identity_table_done(struct identity_table *table);
/* NULL when there is none. Borrowed. */
struct identity_disk *identity_table_find(const struct identity_table *table, uint32_t target,
                                          uint64_t client_high, uint64_t client_low,
                                          uint32_t channel);
/* False when what is there is newer. Equal ones are replaced. */
bool identity_table_put(struct identity_table *table, const struct identity_disk *disk);
/* The update was taken back: its entry goes, unless it is of another seq. */
void identity_table_take_back(struct identity_table *table, const struct drop_disk *drop);
void identity_table_remove_target(struct identity_table *table, uint32_t target);

void identity_walk_begin(struct identity_walk *walk, struct identity_table *table);
const struct identity_disk *identity_walk_next(struct identity_walk *walk,
                                               struct identity_table *table);
void identity_walk_end(struct identity_walk *walk);
