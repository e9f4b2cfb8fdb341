/* design.h - which nodes hold the replicas of which group: a block design, as balanced as can be.
 *
 * Nodes are positions from 0, groups become chains. A balanced incomplete block design lets every
 * pair of nodes meet in equally many groups, so that the peers of a failed disk share its recovery
 * evenly. Where none exists the counts of the pairs should differ by one at the most.
 * Everything here is a function of its arguments: the same seed gives the same design.
 */
#pragma once
#include "base/arena.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    DESIGN_NODE_COUNT_MAX = 1000,
    DESIGN_GROUP_SIZE_MAX = 64,
    DESIGN_GROUP_COUNT_MAX = 99999,  /* a chain's number has five digits */
    DESIGN_TARGETS_PER_DISK_MAX = 99 /* a target's number on its disk has two */
};

struct design {
    uint32_t node_count, group_size, group_count;
    uint32_t targets_per_disk; /* the most groups that a node is in */
    uint32_t *members;         /* group_count × group_size nodes, ascending in each group */
};

/* In how many groups two nodes meet: the least and the most over all pairs; and what counting says
 * about any design of this size: the least cannot be greater, the most not smaller. */
struct design_balance {
    uint32_t least, most;
    uint32_t least_bound, most_bound;
    const char *excluded; /* NULL, or by what no design keeps to these: then they differ by two */
};

struct design_progress {
    /* @done of @total steps of a search that has come to @least and @most; may be NULL. */
    void (*tell)(void *arg, uint64_t done, uint64_t total, uint32_t least, uint32_t most);
    void *arg;
};

/* Every node is in @r groups where node_count × r is divisible by group_size; else some are in one
 * less. Sizes must be those of design_is_possible(). */
void design_make(struct arena *arena, uint32_t node_count, uint32_t group_size, uint32_t r,
                 uint64_t seed, const struct design_progress *progress, struct design *ret);
/* The same for more nodes than @before has: the groups of @before stay as far as they can while no
 * node is in more of them than its share, and new ones fill every node up to @r. *ret_moved is how
 * many replicas change their node. -ERR_INVALID_ARG: @before is of another size. */
int design_extend(struct arena *arena, const struct design *before, uint32_t node_count, uint32_t r,
                  uint64_t seed, const struct design_progress *progress, struct design *ret,
                  uint32_t *ret_moved) must_check;

/* NULL, or what proves that no design of this size is as even as counting allows. */
const char *design_excluded(uint32_t node_count, uint32_t group_size, uint32_t r);
bool design_is_possible(uint32_t node_count, uint32_t group_size, uint32_t r);
/* Nodes in ascending order within each group. */
void design_sort_groups(struct design *d);
struct design_balance design_balance(const struct design *d);
/* NULL, or what is wrong: a node twice in a group, a node out of range, unequal loads. */
const char *design_verify(const struct design *d, struct arena *arena);
/* Chooses a head for each group so that each node is head in equally many (± 1): its position in
 * the group, for each group. */
uint32_t *design_heads(const struct design *d, struct arena *arena);
