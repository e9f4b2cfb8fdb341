/* chain_table.h - a design over the disks of nodes becomes chains and the commands that make their
 * targets, in the forms that admin_cli reads.
 *
 * A target's number in decimal digits: prefix, node (6), disk + 1 (3), target + 1 (2); a chain's:
 * prefix, disk + 1 (3), group (5). The design serves every disk index of the nodes on its own, so a
 * chain never has two disks of one index apart. CR: a group is a chain, its head chosen so
 * that all nodes are heads equally often. EC: every member of a group is a chain of its own.
 */
#pragma once
#include "placement/design.h"

struct chain_table_options {
    bool is_ec;
    uint32_t node_id_begin, node_id_end; /* both belong */
    uint32_t disks_per_node, targets_per_disk;
    uint64_t target_id_prefix, chain_id_prefix;
    const uint64_t *chunk_sizes;
    uint32_t chunk_size_count;
};

/* The contents of the files. */
struct chain_table_files {
    char *create_targets, *remove_targets, *chains, *table;
    uint32_t target_count, chain_count;
};

/* -ERR_INVALID_ARG: sizes that contradict the design, or a number that would not fit; one line. */
int chain_table_make(struct arena *arena, const struct design *d,
                     const struct chain_table_options *options, struct chain_table_files *ret,
                     const char **ret_error) must_check;
