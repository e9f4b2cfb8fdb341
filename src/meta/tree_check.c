/* tree_check.c - first all inodes are read, then the records that name them, in order of keys; then
 * what each inode says of itself is compared with what was found.
 */
#include "meta/tree_check.h"

#include "base/check.h"
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

enum { PAGE_COUNT = 4096, WHERE_BYTES = 400, WHAT_BYTES = 200 };

const char *tree_fault_name(enum tree_fault fault)
{
#define TREE_FAULT_NAME(name, text) text,
    static const char *const names[] = { TREE_FAULTS(TREE_FAULT_NAME) };
    return names[fault];
}

const struct tree_inode *tree_find(const struct tree *tree, uint64_t id)
{
    return map_get(&tree->by_id, id + 1);
}

static struct tree_inode *find(struct tree *tree, uint64_t id)
{
    return map_get(&tree->by_id, id + 1);
}

void tree_done(struct tree *tree)
{
    map_done(&tree->by_id);
    arena_done(&tree->arena);
    free(tree->inodes);
    free(tree->sessions);
    *tree = (struct tree){ 0 };
}

/* ---- reports ---- */

static void printf_(5, 6) report(struct tree *tree, enum tree_fault fault, uint64_t inode,
                                 const char *where, const char *fmt, ...)
{
    char what[WHAT_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    tree->report(tree->arg, fault, inode, where, what);
}

static const char *inode_text(char buf[WHERE_BYTES], uint64_t id)
{
    snprintf(buf, WHERE_BYTES, "0x%llx", (unsigned long long)id);
    return buf;
}

/* "0x1000/name"; bytes that are not printable as '?'. */
static const char *entry_text(char buf[WHERE_BYTES], uint64_t parent, struct bytes name)
{
    int n = snprintf(buf, WHERE_BYTES, "0x%llx/", (unsigned long long)parent);
    size_t size = MIN_OF(name.size, (size_t)(WHERE_BYTES - n - 1));
    for (size_t i = 0; i < size; i++)
        buf[n + (int)i] = name.base[i] < 0x20 || name.base[i] == 0x7f ? '?' : (char)name.base[i];
    buf[n + (int)size] = 0;
    return buf;
}

static void report_damage(struct tree *tree, const char prefix[4], uint64_t id)
{
    char where[WHERE_BYTES];
    report(tree, TREE_DAMAGED_RECORD, id, inode_text(where, id),
           "the %.4s record of this id cannot be read", prefix);
}

/* ---- reading ---- */

struct visit {
    struct tree *tree;
    struct arena *arena; /* of a page */
    struct bytes key, value;
};

/* The id in a key of 4 + 8 bytes or more; INODE_MAX + 1 for one that is shorter. */
static uint64_t id_of(struct bytes key)
{
    uint64_t id = 0;
    if (key.size < 12) return INODE_MAX + 1;
    for (size_t i = 4; i < 12; i++)
        id = id << 8 | key.base[i];
    return id;
}

static int scan(struct tree *tree, struct kv_txn *txn, const char prefix[4],
                void (*fn)(struct visit *v))
{
    struct meta_key begin = key_prefix(prefix), end = key_after_prefix(&begin), from = begin;
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct kv_pairs pairs;
        int r = kv_get_range(txn, meta_key_bytes(&from), meta_key_bytes(&end), PAGE_COUNT,
                             KV_SNAPSHOT, &arena, &pairs);
        if (r < 0) return r;
        for (uint32_t i = 0; i < pairs.count; i++) {
            struct visit v = { tree, &arena, pairs.items[i].key, pairs.items[i].value };
            fn(&v);
        }
        tree->record_count += pairs.count;
        if (tree->progress) tree->progress(tree->arg, tree->record_count);
        if (!pairs.has_more || !pairs.count) return 0;
        struct bytes last = pairs.items[pairs.count - 1].key;
        if (last.size >= sizeof from.data) return -ERR_META_INCONSISTENT;
        memcpy(from.data, last.base, last.size);
        from.data[last.size] = 0;
        from.size = last.size + 1;
    }
}

static void visit_inode(struct visit *v)
{
    struct tree *tree = v->tree;
    struct stored_inode stored;
    uint64_t id = id_of(v->key);
    bool is_read = RECORD_DECODE(v->arena, stored_inode, v->value, &stored) >= 0;
    if (!is_read || stored.inode.id != id) {
        report_damage(tree, "INOD", id);
        return;
    }
    struct tree_inode *inode = arena_array(&tree->arena, struct tree_inode, 1);
    *inode = (struct tree_inode){ .id = id,
                                  .parent = stored.inode.parent,
                                  .length = stored.inode.length,
                                  .mode = stored.inode.mode,
                                  .nlink = stored.inode.nlink,
                                  .layout = stored.inode.layout };
    const struct u32_list *chains = &stored.inode.layout.chains;
    inode->layout.chains.items = arena_array(&tree->arena, uint32_t, chains->count);
    for (uint32_t i = 0; i < chains->count; i++)
        inode->layout.chains.items[i] = chains->items[i];
    if (tree->inode_count == tree->inode_capacity) {
        tree->inode_capacity = tree->inode_capacity ? tree->inode_capacity * 2 : 1024;
        tree->inodes = xrealloc(tree->inodes, tree->inode_capacity * sizeof *tree->inodes);
    }
    tree->inodes[tree->inode_count++] = inode;
    map_put(&tree->by_id, id + 1, inode);
}

static void visit_entry(struct visit *v)
{
    struct tree *tree = v->tree;
    struct stored_dentry entry;
    char buf[WHERE_BYTES];
    uint64_t parent = id_of(v->key);
    const char *where = entry_text(buf, parent, key_name_of(v->key));
    tree->entry_count++;
    if (RECORD_DECODE(v->arena, stored_dentry, v->value, &entry) < 0) {
        report(tree, TREE_DAMAGED_RECORD, parent, where, "the entry cannot be read");
        return;
    }
    struct tree_inode *dir = find(tree, parent), *child = find(tree, entry.inode);
    if (!dir) report(tree, TREE_ENTRY_OF_NOTHING, parent, where, "its directory does not exist");
    if (dir && !S_ISDIR(dir->mode))
        report(tree, TREE_ENTRY_IN_FILE, parent, where, "what it is in is no directory");
    if (!child) {
        report(tree, TREE_DANGLING_ENTRY, entry.inode, where,
               "it leads to inode 0x%llx, which does not exist", (unsigned long long)entry.inode);
        return;
    }
    child->entry_count++;
    if ((child->mode & S_IFMT) != (entry.mode & S_IFMT))
        report(tree, TREE_WRONG_TYPE, child->id, where, "it tells another type than its inode");
    if (!S_ISDIR(child->mode)) return;
    if (dir) dir->subdirectory_count++;
    if (child->parent != parent && child->nlink > 0)
        report(tree, TREE_WRONG_PARENT, child->id, where,
               "directory 0x%llx says that it is in 0x%llx", (unsigned long long)child->id,
               (unsigned long long)child->parent);
}

static void visit_links(struct visit *v)
{
    struct directory_links links;
    struct tree_inode *dir = find(v->tree, id_of(v->key));
    if (RECORD_DECODE(v->arena, directory_links, v->value, &links) < 0) {
        report_damage(v->tree, "DSUB", id_of(v->key));
    } else if (dir) {
        dir->told_subdirectory_count = links.subdirectory_count;
    }
}

static void visit_garbage(struct visit *v)
{
    char buf[WHERE_BYTES];
    uint64_t id = key_inode_of_gc(v->key);
    struct tree_inode *inode = find(v->tree, id);
    if (!inode) return; /* the collector takes what is left of it */
    inode->is_garbage = true;
    if (inode->nlink > 0)
        report(v->tree, TREE_LIVE_GARBAGE, id, inode_text(buf, id),
               "it waits to be collected, but has link count %u", inode->nlink);
}

static void visit_session(struct visit *v)
{
    struct tree *tree = v->tree;
    struct tree_session session = { 0 };
    struct stored_session stored;
    char buf[WHERE_BYTES];
    session.inode = key_inode_of_session(v->key, &session.session);
    if (RECORD_DECODE(v->arena, stored_session, v->value, &stored) < 0) {
        report_damage(tree, "INOS", session.inode);
        return;
    }
    session.client = stored.client;
    session.writes = stored.writes;
    session.opened_ns = stored.opened_ns;
    if (!find(tree, session.inode)) {
        report(tree, TREE_SESSION_OF_NOTHING, session.inode, inode_text(buf, session.inode),
               "client %016llx%016llx has it open, but it does not exist",
               (unsigned long long)session.client.high, (unsigned long long)session.client.low);
        return;
    }
    if (tree->session_count == tree->session_capacity) {
        tree->session_capacity = tree->session_capacity ? tree->session_capacity * 2 : 64;
        tree->sessions = xrealloc(tree->sessions, tree->session_capacity * sizeof session);
    }
    tree->sessions[tree->session_count++] = session;
}

static void visit_xattr(struct visit *v)
{
    char buf[WHERE_BYTES];
    uint64_t id = id_of(v->key);
    if (!find(v->tree, id))
        report(v->tree, TREE_XATTR_OF_NOTHING, id, entry_text(buf, id, key_name_of(v->key)),
               "an extended attribute of an inode that does not exist");
}

/* ---- comparing ---- */

static bool is_root(uint64_t id)
{
    return id == INODE_ROOT || id == INODE_GC_ROOT;
}

static void compare_garbage(struct tree *tree, const struct tree_inode *inode)
{
    char buf[WHERE_BYTES];
    const char *where = inode_text(buf, inode->id);
    if (!inode->is_garbage)
        report(tree, TREE_LEAKED_GARBAGE, inode->id, where,
               "it has no links, and does not wait to be collected");
    if (inode->entry_count > 0)
        report(tree, TREE_WRONG_LINK_COUNT, inode->id, where,
               "it says that it has no links, but %u entries lead to it", inode->entry_count);
}

static void compare_directory(struct tree *tree, const struct tree_inode *dir)
{
    char buf[WHERE_BYTES];
    const char *where = inode_text(buf, dir->id);
    if (dir->entry_count == 0)
        report(tree, TREE_ORPHAN_INODE, dir->id, where, "no entry leads to this directory");
    if (dir->entry_count > 1)
        report(tree, TREE_WRONG_LINK_COUNT, dir->id, where, "%u entries lead to this directory",
               dir->entry_count);
}

static void compare_inode(struct tree *tree, const struct tree_inode *inode)
{
    char buf[WHERE_BYTES];
    const char *where = inode_text(buf, inode->id);
    if (inode->nlink == 0 && !is_root(inode->id)) {
        compare_garbage(tree, inode);
        return;
    }
    if (S_ISDIR(inode->mode) && !is_root(inode->id)) compare_directory(tree, inode);
    if (S_ISDIR(inode->mode) && inode->subdirectory_count != inode->told_subdirectory_count)
        report(tree, TREE_WRONG_SUBDIRECTORY_COUNT, inode->id, where,
               "it counts %u subdirectories, but has %u", inode->told_subdirectory_count,
               inode->subdirectory_count);
    if (S_ISDIR(inode->mode) || inode->entry_count == inode->nlink) return;
    if (inode->entry_count == 0) {
        report(tree, TREE_ORPHAN_INODE, inode->id, where, "no entry leads to it; link count %u",
               inode->nlink);
        return;
    }
    report(tree, TREE_WRONG_LINK_COUNT, inode->id, where,
           "its link count is %u, but %u entries lead to it", inode->nlink, inode->entry_count);
}

/* Up from each directory. A walk ends where an earlier one came by, so each directory is looked at
 * once; one that comes by itself again has found a cycle. */
static void find_cycles(struct tree *tree)
{
    char buf[WHERE_BYTES];
    uint32_t walk = 0;
    for (uint64_t i = 0; i < tree->inode_count; i++) {
        struct tree_inode *at = tree->inodes[i];
        if (!S_ISDIR(at->mode) || at->walk) continue;
        walk++;
        while (at && S_ISDIR(at->mode) && !at->walk) {
            at->walk = walk;
            at = is_root(at->id) || at->nlink == 0 ? NULL : find(tree, at->parent);
        }
        if (at && at->walk == walk)
            report(tree, TREE_CYCLE, at->id, inode_text(buf, at->id),
                   "this directory is below itself: its parent is 0x%llx",
                   (unsigned long long)at->parent);
    }
}

int tree_check(struct tree *tree, struct kv_txn *txn, uint64_t seed)
{
    static const struct {
        char prefix[5];
        void (*fn)(struct visit *v);
    } scans[] = { { "INOD", visit_inode },   { "DENT", visit_entry },   { "DSUB", visit_links },
                  { "GCEN", visit_garbage }, { "INOS", visit_session }, { "XATR", visit_xattr } };
    char buf[WHERE_BYTES];
    map_init(&tree->by_id, seed);
    for (size_t i = 0; i < ARRAY_SIZE(scans); i++) {
        int r = scan(tree, txn, scans[i].prefix, scans[i].fn);
        if (r < 0) return r;
    }
    if (!find(tree, INODE_ROOT))
        report(tree, TREE_NO_ROOT, INODE_ROOT, inode_text(buf, INODE_ROOT),
               "the root directory does not exist");
    for (uint64_t i = 0; i < tree->inode_count; i++)
        compare_inode(tree, tree->inodes[i]);
    find_cycles(tree);
    return 0;
}
