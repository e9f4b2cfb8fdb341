/* placement.h - chains over nodes: distinct nodes, equal loads, equal heads, pairs met about
 * equally often.
 *
 * The simple design behind `bootstrap`: each disk index of the nodes is a design of its own, and a
 * chain never mixes disk indexes. Deterministic for its arguments.
 */
#pragma once
#include "base/arena.h"
#include <stdint.h>

enum { PLACEMENT_TARGETS_PER_DISK_MAX = 99, PLACEMENT_REPLICA_COUNT_MAX = 16 };

struct placement {
    uint32_t node_count, replica_count;
    uint32_t targets_per_disk; /* as chosen */
    uint32_t chain_count;      /* node_count × targets_per_disk ÷ replica_count */
    uint32_t *members;         /* chain_count × replica_count positions of nodes, the head first */
};

/* Chooses the least number of targets per disk ≥ @targets_per_disk_min that divides evenly.
 * -ERR_INVALID_ARG when there are fewer nodes than replicas, or no such number up to
 * PLACEMENT_TARGETS_PER_DISK_MAX. */
int placement_make(struct arena *arena, uint32_t node_count, uint32_t replica_count,
                   uint32_t targets_per_disk_min, struct placement *ret) must_check;
