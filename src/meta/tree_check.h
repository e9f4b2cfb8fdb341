/* tree_check.h - is the tree of files sound? All of its records are read and held against one
 * another.
 *
 * Reads one transaction's snapshot, so what is found is of one moment; a long one (kv_begin_long())
 * for trees that take longer than 5 s. Keeps about 200 bytes for each inode in memory, and the
 * chains of its layout. Nothing is changed.
 */
#pragma once
#include "base/map.h"
#include "meta/schema.h"

/* What may be wrong: name here, and as it is shown. */
#define TREE_FAULTS(F)                                                                             \
    F(DAMAGED_RECORD, "damaged-record")                                                            \
    F(NO_ROOT, "no-root")                                                                          \
    F(DANGLING_ENTRY, "dangling-dentry")                                                           \
    F(ENTRY_OF_NOTHING, "dentry-of-nothing")                                                       \
    F(ENTRY_IN_FILE, "dentry-in-file")                                                             \
    F(WRONG_TYPE, "wrong-type")                                                                    \
    F(WRONG_PARENT, "wrong-parent")                                                                \
    F(ORPHAN_INODE, "orphan-inode")                                                                \
    F(WRONG_LINK_COUNT, "wrong-link-count")                                                        \
    F(WRONG_SUBDIRECTORY_COUNT, "wrong-subdirectory-count")                                        \
    F(CYCLE, "cycle")                                                                              \
    F(LEAKED_GARBAGE, "leaked-garbage")                                                            \
    F(LIVE_GARBAGE, "live-garbage")                                                                \
    F(SESSION_OF_NOTHING, "session-of-nothing")                                                    \
    F(XATTR_OF_NOTHING, "xattr-of-nothing")
#define TREE_FAULT_ENUM(name, text) TREE_##name,
enum tree_fault { TREE_FAULTS(TREE_FAULT_ENUM) TREE_FAULT_COUNT };
const char *tree_fault_name(enum tree_fault fault);

struct tree_inode {
    uint64_t id, parent, length;
    uint32_t mode, nlink;
    struct layout layout; /* chains in the tree's arena */
    uint32_t entry_count, subdirectory_count;
    uint32_t told_subdirectory_count; /* by the directory's own record */
    bool is_garbage;                  /* the collector has it */
    uint32_t walk;                    /* that came by last, in the search for cycles */
};

struct tree_session {
    uint64_t inode;
    struct uuid client, session;
    bool writes;
    int64_t opened_ns;
};

struct tree {
    struct arena arena;
    struct map by_id; /* id + 1 -> struct tree_inode, in the arena */
    struct tree_inode **inodes;
    struct tree_session *sessions;
    uint64_t inode_count, inode_capacity, session_count, session_capacity, entry_count;
    /* Of whoever checks; @where and @what are valid during the call. @inode: 0 if it is not about
     * one. */
    void (*report)(void *arg, enum tree_fault fault, uint64_t inode, const char *where,
                   const char *what);
    void (*progress)(void *arg, uint64_t record_count); /* may be NULL */
    void *arg;
    uint64_t record_count;
};

/* Reads everything and reports what is not sound. @seed is for a table's hash. 0, or an error of
 * the store. To be done in any case. */
int tree_check(struct tree *tree, struct kv_txn *txn, uint64_t seed) fiber_fn must_check;
void tree_done(struct tree *tree);
const struct tree_inode *tree_find(const struct tree *tree, uint64_t id);
