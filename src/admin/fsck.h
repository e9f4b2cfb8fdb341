/* fsck.h - what the parts of fsck share: the findings, the tree of one snapshot. */
#pragma once
#include "admin/progress.h"
#include "meta/tree_check.h"

struct fsck {
    struct admin *a;
    bool repairs, is_forced;
    struct tree tree; /* of one snapshot of the store, older than the lists of chunks */
    struct print_table table;
    struct progress progress;
    uint64_t finding_count, repaired_count;
    uint64_t chunk_count, target_count, replica_count; /* looked at */
    uint32_t incomplete_chain_count;                   /* not all replicas serve */
};

/* A row: class, place, what is wrong, and what was done about it ("" for nothing). */
void fsck_report(struct fsck *f, const char *class, const char *where, const char *what,
                 const char *done);
/* Lists the chunks of all targets that serve. Reports chunks of no inode, chunks on another chain
 * than their file's, replicas that differ. Failures are printed. */
int fsck_chunks(struct fsck *f) fiber_fn must_check;

/* Chunks one after another on one chain, of one inode, with the same fault. */
struct chunk_run {
    uint32_t chain_id;
    uint64_t inode, bytes;
    uint32_t first_index, last_index, count;
};
struct chunk_runs {
    struct chunk_run *items;
    size_t count, capacity;
};
