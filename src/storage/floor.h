/* floor.h - the truncate generation below which writes to an inode are refused; one table a shard.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "storage/record_format.h"

struct generation_floor {
    struct list node;
    struct floor_disk disk;
};
struct floor_table {
    struct map map;
    struct list floors; /* in the order in which they were first set */
};

void floor_table_init(struct floor_table *table, uint64_t seed);
void floor_table_done(struct floor_table *table);
uint32_t floor_table_get(const struct floor_table *table, uint32_t target,
                         uint64_t inode); /* 0: none */
/* Raises the floor; 0 forgets it. False when that changes nothing. */
bool floor_table_set(struct floor_table *table, const struct floor_disk *disk);
void floor_table_remove_target(struct floor_table *table, uint32_t target);
