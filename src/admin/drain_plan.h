/* drain_plan.h - where the targets of a node that is to be emptied go, and what of it is on its
 * way.
 *
 * A chain never gets a second target on a node. Of the nodes that are left, the one with the fewest
 * targets for its disks takes it; among equals the one that meets the chain's other nodes least, so
 * that the spread stays. Pure: a function of what the cluster says.
 *
 * What is on its way is written into the node's tag Drain before anything is done, as
 * "old>new,old>new": so whoever goes on later knows what was begun. A new target's number names its
 * place, as those of gen_chain_table do: prefix, node (6 digits), disk + 1 (3), number (2).
 */
#pragma once
#include "proto/mgmtd.h"

#define DRAIN_TAG "Drain"
enum { DRAIN_MOVE_COUNT_MAX = 16, DRAIN_NODE_ID_MAX = 999999, DRAIN_DISK_INDEX_MAX = 998 };

struct drain_move {
    uint64_t old_target, new_target;
};

struct drain_moves {
    struct drain_move items[DRAIN_MOVE_COUNT_MAX];
    uint32_t count;
};

/* The cluster at one moment; all of it borrowed. */
struct drain_view {
    const struct node_info *const *nodes;
    uint32_t node_count;
    const struct chain_info *const *chains; /* in order of id */
    uint32_t chain_count;
    const struct node_disks_list *disks;
    const struct drain_moves *moves;
};

/* A node of a chain that a target could not be made on. */
struct drain_refusal {
    uint32_t chain_id, node_id;
};

/* May a node take targets: a storage that is connected and not being emptied itself. */
bool drain_may_take(const struct node_info *node);
bool drain_is_marked(const struct node_info *node, struct bytes *ret_value);

/* A target for @chain, instead of its one on @leaving_node_id. -ERR_NO_SPACE: there is no other
 * node with a usable disk that has @need_bytes free and a number left. */
int drain_choose(const struct drain_view *v, const struct chain_info *chain,
                 uint32_t leaving_node_id, uint64_t need_bytes,
                 const struct drain_refusal *refusals, uint32_t refusal_count,
                 uint64_t *ret_target) must_check;
/* The place that the number of a target names. */
uint32_t drain_node_of(uint64_t target_id);
uint32_t drain_disk_of(uint64_t target_id);

/* The tag's value and back. -ERR_INVALID_FORMAT. */
char *drain_moves_to_text(const struct drain_moves *moves, struct arena *arena);
int drain_moves_parse(struct bytes text, struct drain_moves *ret) must_check;
