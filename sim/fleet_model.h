/* fleet_model.h - a tree of directories and files as one client has made it: what POSIX says that
 * each operation answers, and what must be there afterwards. No I/O.
 *
 * Inodes are numbered from 0 (the client's own root) and never freed, so that an index stays good.
 */
#pragma once
#include "sim/fleet_file.h"

enum { MODEL_NAME_COUNT = 5, MODEL_INODE_COUNT_MAX = 2000, MODEL_FILE_BYTES_MAX = 5 << 16 };

struct model_inode {
    uint64_t id;
    bool is_directory;
    int link_count;                /* names; a directory has one, or none once it is removed */
    int parent;                    /* directories */
    int entries[MODEL_NAME_COUNT]; /* directories: index of an inode, -1: none */
    uint8_t *bytes;                /* files: MODEL_FILE_BYTES_MAX */
    uint64_t length;
    struct fleet_file file; /* is_open: of the client */
};

enum { MODEL_TOUCHED_COUNT_MAX = 4 };
struct model {
    struct model_inode *inodes[MODEL_INODE_COUNT_MAX];
    int count;
    /* By the operation that runs: when its client dies, nobody knows what became of these. */
    const struct model_inode *touched[MODEL_TOUCHED_COUNT_MAX];
    int touched_count;
    bool is_all_touched;
};

struct model *model_new(uint64_t root_id);
struct model *model_free(struct model *m); /* NULL is fine; returns NULL */
const char *model_name(int name);
bool model_is_full(const struct model *m);

static inline struct model_inode *model_at(const struct model *m, int inode)
{
    return m->inodes[inode];
}
/* The inode at an entry, or NULL. */
struct model_inode *model_entry(const struct model *m, int dir, int name);

void model_touch(struct model *m, const struct model_inode *inode); /* NULL is fine */
void model_untouch(struct model *m);
bool model_is_touched(const struct model *m, const struct model_inode *inode);

/* What is expected of an operation: 0 or an error. Nothing changes. */
int model_expect_create(const struct model *m, int dir, int name);
int model_expect_remove(const struct model *m, int dir, int name, enum remove_kind kind);
/* Has every file below only the name that is there? Then its links are known at once when the tree
 * goes. */
bool model_is_plain_tree(const struct model *m, int dir);
int model_expect_rename(const struct model *m, int dir, int name, int new_dir, int new_name);
int model_expect_link(const struct model *m, int new_dir, int new_name);

/* The change itself, of an operation that is expected to succeed. */
struct model_inode *model_create(struct model *m, int dir, int name, uint64_t id,
                                 bool is_directory);
void model_remove(struct model *m, int dir, int name);
void model_rename(struct model *m, int dir, int name, int new_dir, int new_name);
void model_link(struct model *m, int inode, int new_dir, int new_name);
void model_write(struct model_inode *file, const void *from, size_t size, uint64_t offset);
void model_truncate(struct model_inode *file, uint64_t length);
