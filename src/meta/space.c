/* space.c - see space.h. */
#include "meta/space.h"

struct device {
    struct bytes host;
    uint64_t id, capacity_bytes, free_bytes;
    uint32_t target_count;
};

static struct device *device_get(struct device *devices, uint32_t *count, struct bytes host,
                                 const struct disk_info *disk)
{
    for (uint32_t i = 0; i < *count; i++)
        if (devices[i].id == disk->device && bytes_equal(devices[i].host, host)) return &devices[i];
    struct device *d = &devices[(*count)++];
    *d = (struct device){ .host = host,
                          .id = disk->device,
                          .capacity_bytes = disk->capacity_bytes,
                          .free_bytes = disk->free_bytes };
    return d;
}

static uint32_t replica_count(const struct routing *routing)
{
    size_t at = 0;
    const struct chain_info *chain;
    uint32_t most = 1;
    while ((chain = map_next(&routing->chains, &at)))
        most = MAX_OF(most, chain->members.count);
    return most;
}

struct statfs_reply space_of_disks(const struct list_disks_reply *disks,
                                   const struct routing *routing, struct arena *arena)
{
    uint32_t disk_count = 0, count = 0;
    for (uint32_t i = 0; i < disks->nodes.count; i++)
        disk_count += disks->nodes.items[i].disks.count;
    struct device *devices = arena_array(arena, struct device, disk_count + 1);
    for (uint32_t i = 0; i < disks->nodes.count; i++) {
        const struct node_disks *of = &disks->nodes.items[i];
        const struct node_info *node = routing_node(routing, of->node_id);
        struct bytes host = node ? node->hostname : bytes_of(NULL, 0);
        for (uint32_t d = 0; d < of->disks.count; d++) {
            const struct disk_info *disk = &of->disks.items[d];
            if (disk->failed) continue;
            device_get(devices, &count, host, disk)->target_count += disk->targets.count;
        }
    }
    struct statfs_reply sum = { 0 };
    uint64_t target_count = 0, available = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        sum.capacity_bytes += devices[i].capacity_bytes;
        sum.free_bytes += devices[i].free_bytes;
        target_count += devices[i].target_count;
    }
    uint32_t replicas = replica_count(routing);
    for (uint32_t i = 0; i < count; i++) {
        const struct device *d = &devices[i];
        if (!d->target_count) continue;
        /* Of V bytes, each with its replicas, the device takes V * replicas * its share of targets.
         */
        double share = (double)d->target_count / (double)target_count;
        available = MIN_OF(available, (uint64_t)((double)d->free_bytes / share / replicas));
    }
    sum.capacity_bytes /= replicas;
    sum.free_bytes /= replicas;
    sum.available_bytes = MIN_OF(available, sum.free_bytes);
    return sum;
}
