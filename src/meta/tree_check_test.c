/* tree_check_test.c - a sound tree is found sound; damage of each class is found and named.
 */
#include "meta/test_meta.h"
#include "meta/tree_check.h"

#include "base/check.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

/* /d/s/f, /d/g, /h (an empty directory); a file and a tree that wait to be collected. */
struct grown {
    struct inode d, s, f, g, h;
};

struct damage {
    enum tree_fault fault; /* TREE_FAULT_COUNT: none is expected */
    uint32_t count;        /* reports of that fault */
    void (*make)(struct kv_txn *txn, struct arena *arena, const struct grown *t);
};

static void put_inode(struct kv_txn *txn, struct arena *arena, struct inode inode, uint32_t nlink)
{
    inode.nlink = nlink;
    inode_store(txn, arena, &inode);
}

static void put_raw(struct kv_txn *txn, struct meta_key key)
{
    kv_set(txn, meta_key_bytes(&key), BYTES_LITERAL("\x01x"));
}

static void nothing(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
}
static void damaged_inode(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    put_raw(txn, key_inode(t->h.id + 1000));
}
static void damaged_entry(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    put_raw(txn, key_dentry(t->h.id, BYTES_LITERAL("bad")));
}
static void no_root(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct meta_key key = key_inode(INODE_ROOT);
    kv_clear(txn, meta_key_bytes(&key));
}
static void dangling(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct meta_key key = key_inode(t->g.id);
    kv_clear(txn, meta_key_bytes(&key));
}
static void of_nothing(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct stored_dentry entry = { .inode = t->g.id, .mode = S_IFREG };
    dentry_store(txn, arena, 0x999999, BYTES_LITERAL("lost"), &entry);
    put_inode(txn, arena, t->g, 2);
}
static void in_file(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct stored_dentry entry = { .inode = t->g.id, .mode = S_IFREG };
    dentry_store(txn, arena, t->f.id, BYTES_LITERAL("in"), &entry);
    put_inode(txn, arena, t->g, 2);
}
static void wrong_type(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct stored_dentry entry = { .inode = t->g.id, .mode = S_IFLNK };
    dentry_store(txn, arena, t->d.id, BYTES_LITERAL("g"), &entry);
}
static void wrong_parent(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct inode s = t->s;
    s.parent = t->h.id;
    inode_store(txn, arena, &s);
}
static void orphan_file(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    dentry_erase(txn, t->d.id, BYTES_LITERAL("g"));
}
static void orphan_directory(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    dentry_erase(txn, INODE_ROOT, BYTES_LITERAL("h"));
    check(directory_add_links(txn, arena, INODE_ROOT, -1) == 0);
}
static void too_many_links(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    put_inode(txn, arena, t->g, 3);
}
static void two_entries(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct stored_dentry entry = { .inode = t->h.id, .mode = S_IFDIR };
    dentry_store(txn, arena, INODE_ROOT, BYTES_LITERAL("again"), &entry);
    check(directory_add_links(txn, arena, INODE_ROOT, 1) == 0);
}
static void entry_to_removed(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct meta_key key = key_gc(t->g.id);
    struct stored_gc gc = { .mode = S_IFREG };
    put_inode(txn, arena, t->g, 0);
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(arena, stored_gc, &gc));
}
static void subdirectories(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    check(directory_add_links(txn, arena, t->d.id, 4) == 0);
}
/* /d goes below /d/s. */
static void cycle(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct stored_dentry entry = { .inode = t->d.id, .mode = S_IFDIR };
    struct inode d = t->d;
    dentry_erase(txn, INODE_ROOT, BYTES_LITERAL("d"));
    check(directory_add_links(txn, arena, INODE_ROOT, -1) == 0);
    dentry_store(txn, arena, t->s.id, BYTES_LITERAL("d"), &entry);
    check(directory_add_links(txn, arena, t->s.id, 1) == 0);
    d.parent = t->s.id;
    inode_store(txn, arena, &d);
}
static void leaked(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    dentry_erase(txn, t->d.id, BYTES_LITERAL("g"));
    put_inode(txn, arena, t->g, 0);
}
static void live_garbage(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct meta_key key = key_gc(t->g.id);
    struct stored_gc gc = { .mode = S_IFREG };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(arena, stored_gc, &gc));
}
static void session(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct stored_session stored = { .client = { 1, 2 } };
    struct meta_key key = key_session(0x999999, &(struct uuid){ 3, 4 });
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(arena, stored_session, &stored));
}
static void xattr(struct kv_txn *txn, struct arena *arena, const struct grown *t)
{
    struct meta_key key = key_xattr(0x999999, BYTES_LITERAL("user.x"));
    kv_set(txn, meta_key_bytes(&key), BYTES_LITERAL("v"));
}

static const struct damage damages[] = {
    { TREE_FAULT_COUNT, 0, nothing },
    { TREE_DAMAGED_RECORD, 1, damaged_inode },
    { TREE_DAMAGED_RECORD, 1, damaged_entry },
    { TREE_NO_ROOT, 1, no_root },
    { TREE_DANGLING_ENTRY, 1, dangling },
    { TREE_ENTRY_OF_NOTHING, 1, of_nothing },
    { TREE_ENTRY_IN_FILE, 1, in_file },
    { TREE_WRONG_TYPE, 1, wrong_type },
    { TREE_WRONG_PARENT, 1, wrong_parent },
    { TREE_ORPHAN_INODE, 1, orphan_file },
    { TREE_ORPHAN_INODE, 1, orphan_directory },
    { TREE_WRONG_LINK_COUNT, 1, too_many_links },
    { TREE_WRONG_LINK_COUNT, 1, two_entries },
    { TREE_WRONG_LINK_COUNT, 1, entry_to_removed },
    { TREE_WRONG_SUBDIRECTORY_COUNT, 1, subdirectories },
    { TREE_CYCLE, 1, cycle },
    { TREE_LEAKED_GARBAGE, 1, leaked },
    { TREE_LIVE_GARBAGE, 1, live_garbage },
    { TREE_SESSION_OF_NOTHING, 1, session },
    { TREE_XATTR_OF_NOTHING, 1, xattr },
};

static void grow(struct world *w, struct arena *a, struct grown *ret)
{
    struct inode tree, gone;
    check(make(w, a, INODE_ROOT, "d", S_IFDIR | 0755, 0, &ret->d) == 0);
    check(make(w, a, ret->d.id, "s", S_IFDIR | 0755, 0, &ret->s) == 0);
    check(make(w, a, ret->s.id, "f", S_IFREG | 0644, 0, &ret->f) == 0);
    check(make(w, a, ret->d.id, "g", S_IFREG | 0644, 0, &ret->g) == 0);
    check(make(w, a, INODE_ROOT, "h", S_IFDIR | 0755, 0, &ret->h) == 0);
    check(make(w, a, INODE_ROOT, "tree", S_IFDIR | 0755, 0, &tree) == 0);
    check(make(w, a, tree.id, "below", S_IFDIR | 0755, 0, &gone) == 0);
    check(make(w, a, gone.id, "file", S_IFREG | 0644, 0, &gone) == 0);
    check(drop(w, a, INODE_ROOT, "tree", REMOVE_TREE, 0) == 0);
    check(make(w, a, ret->h.id, "old", S_IFREG | 0644, 0, &gone) == 0);
    struct setattr_request longer = { .inode = gone.id, .set = SETATTR_LENGTH, .length = 5 };
    check(set(w, a, &longer, 0, &gone) == 0);
    check(drop(w, a, ret->h.id, "old", REMOVE_FILE, 0) == 0);
}

struct harm {
    const struct damage *damage;
    const struct grown *grown;
    struct arena *arena;
};

static int harm_txn(struct kv_txn *txn, void *arg)
{
    struct harm *h = arg;
    h->damage->make(txn, h->arena, h->grown);
    return 0;
}

static void count_report(void *arg, enum tree_fault fault, uint64_t inode, const char *where,
                         const char *what)
{
    uint32_t *counts = arg;
    counts[fault]++;
}

static void check_once(struct world *w, struct arena *a, const struct damage *damage)
{
    uint32_t counts[TREE_FAULT_COUNT] = { 0 };
    struct tree tree = { .report = count_report, .arg = counts };
    struct kv_txn *txn = NULL;
    check(kv_begin_long(w->kv, &txn) == 0);
    check(tree_check(&tree, txn, w->seed) == 0);
    kv_end(txn);
    tree_done(&tree);
    if (damage->fault == TREE_FAULT_COUNT) {
        for (int i = 0; i < TREE_FAULT_COUNT; i++)
            check(counts[i] == 0);
    } else {
        check(counts[damage->fault] == damage->count);
    }
}

static int one_damage(void *arg)
{
    struct world *w = arg;
    cleanup_arena_ struct arena arena = { 0 };
    const struct damage *damage = &damages[w->seed - 1];
    struct grown grown;
    grow(w, &arena, &grown);
    check_once(w, &arena, &damages[0]);
    struct harm harm = { damage, &grown, &arena };
    check(kv_transact(w->kv, KV_RETRY_MAYBE_COMMITTED, harm_txn, &harm) == 0);
    check_once(w, &arena, damage);
    return 0;
}

static void each_damage_is_named(void **state)
{
    bool is_tested[TREE_FAULT_COUNT + 1] = { false };
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        is_tested[damages[i].fault] = true;
        run_world(i + 1, one_damage, NULL);
    }
    for (int i = 0; i < TREE_FAULT_COUNT; i++)
        assert_true(is_tested[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_damage_is_named) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
