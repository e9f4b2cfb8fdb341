/* floor.c - see floor.h. */
#include "storage/floor.h"
#include "base/arena.h"

struct floor_key {
    uint64_t inode;
    uint64_t target;
};

static struct bytes bytes_of_key(const struct floor_key *key)
{
    return bytes_of(key, sizeof(*key));
}

void floor_table_init(struct floor_table *table, uint64_t seed)
{
    map_init(&table->map, seed);
    list_init(&table->floors);
}

static void floor_remove(struct floor_table *table, struct generation_floor *f)
{
    struct floor_key key = { f->disk.inode, f->disk.target };
    map_remove_bytes(&table->map, bytes_of_key(&key));
    list_remove(&f->node);
    free(f);
}

void floor_table_done(struct floor_table *table)
{
    while (!list_empty(&table->floors)) {
        floor_remove(table, list_entry(list_first(&table->floors), struct generation_floor, node));
    }
    map_done(&table->map);
}

uint32_t floor_table_get(const struct floor_table *table, uint32_t target, uint64_t inode)
{
    struct floor_key key = { inode, target };
    const struct generation_floor *f = map_get_bytes(&table->map, bytes_of_key(&key));
    return f ? f->disk.generation : 0;
}

bool floor_table_set(struct floor_table *table, const struct floor_disk *disk)
{
    struct floor_key key = { disk->inode, disk->target };
    struct generation_floor *f = map_get_bytes(&table->map, bytes_of_key(&key));
    if (disk->generation == 0) {
        if (f) floor_remove(table, f);
        return f != NULL;
    }
    if (f && f->disk.generation >= disk->generation) return false;
    if (!f) {
        f = new_zero(struct generation_floor);
        list_push_back(&table->floors, &f->node);
        map_put_bytes(&table->map, bytes_of_key(&key), f);
    }
    f->disk = *disk;
    return true;
}

void floor_table_remove_target(struct floor_table *table, uint32_t target)
{
    list_for_each_safe (it, &table->floors) {
        struct generation_floor *f = list_entry(it, struct generation_floor, node);
        if (f->disk.target == target) floor_remove(table, f);
    }
}
