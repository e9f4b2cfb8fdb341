/* identity.c - see identity.h. */
#include "storage/identity.h"
#include "base/arena.h"
#include "base/check.h"

struct identity_key {
    uint64_t client_high, client_low;
    uint32_t target, channel;
};

static struct identity_key key_of(const struct identity_disk *disk)
{
    return (struct identity_key){ disk->client_high, disk->client_low, disk->key.target,
                                  disk->channel };
}

static struct bytes bytes_of_key(const struct identity_key *key)
{
    return bytes_of(key, sizeof(*key));
}

void identity_table_init(struct identity_table *table, uint64_t seed, uint32_t count_max)
{
    *table = (struct identity_table){ .count_max = count_max };
    map_init(&table->map, seed);
    list_init(&table->oldest_first);
}

static void identity_remove(struct identity_table *table, struct identity *identity)
{
    struct identity_key key = key_of(&identity->disk);
    map_remove_bytes(&table->map, bytes_of_key(&key));
    list_remove(&identity->node);
    table->count--;
    free(identity);
}

void identity_table_done(struct identity_table *table)
{
    while (!list_empty(&table->oldest_first)) {
        identity_remove(table, list_entry(list_first(&table->oldest_first), struct identity, node));
    }
    map_done(&table->map);
}

struct identity_disk *identity_table_find(const struct identity_table *table, uint32_t target,
                                          uint64_t client_high, uint64_t client_low,
                                          uint32_t channel)
{
    struct identity_key key = { client_high, client_low, target, channel };
    struct identity *identity = map_get_bytes(&table->map, bytes_of_key(&key));
    return identity ? &identity->disk : NULL;
}

/* The oldest entry that is no walk's marker. */
static struct identity *oldest(struct identity_table *table)
{
    list_for_each (it, &table->oldest_first) {
        struct identity *identity = list_entry(it, struct identity, node);
        if (!identity->is_walk) return identity;
    }
    return NULL;
}

bool identity_table_put(struct identity_table *table, const struct identity_disk *disk)
{
    if (disk->channel == 0) return false;
    struct identity_key key = key_of(disk);
    struct identity *identity = map_get_bytes(&table->map, bytes_of_key(&key));
    if (identity && identity->disk.seq > disk->seq) return false;
    if (!identity) {
        if (table->count >= table->count_max) identity_remove(table, oldest(table));
        identity = new_zero(struct identity);
        list_init(&identity->node);
        map_put_bytes(&table->map, bytes_of_key(&key), identity);
        table->count++;
    }
    identity->disk = *disk;
    list_remove(&identity->node);
    list_push_back(&table->oldest_first, &identity->node);
    return true;
}

void identity_table_take_back(struct identity_table *table, const struct drop_disk *drop)
{
    struct identity_disk *disk = identity_table_find(table, drop->key.target, drop->client_high,
                                                     drop->client_low, drop->channel);
    if (disk && disk->seq == drop->seq)
        identity_remove(table, container_of(disk, struct identity, disk));
}

void identity_table_remove_target(struct identity_table *table, uint32_t target)
{
    list_for_each_safe (it, &table->oldest_first) {
        struct identity *identity = list_entry(it, struct identity, node);
        if (!identity->is_walk && identity->disk.key.target == target)
            identity_remove(table, identity);
    }
}

void identity_walk_begin(struct identity_walk *walk, struct identity_table *table)
{
    walk->marker = (struct identity){ .is_walk = true };
    list_push_front(&table->oldest_first, &walk->marker.node);
}

const struct identity_disk *identity_walk_next(struct identity_walk *walk,
                                               struct identity_table *table)
{
    for (;;) {
        struct list *next = walk->marker.node.next;
        if (next == &table->oldest_first) return NULL;
        list_remove(&walk->marker.node);
        list_push_front(next, &walk->marker.node);
        struct identity *identity = list_entry(next, struct identity, node);
        if (!identity->is_walk) return &identity->disk;
    }
}

void identity_walk_end(struct identity_walk *walk)
{
    list_remove(&walk->marker.node);
}
