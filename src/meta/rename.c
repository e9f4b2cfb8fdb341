/* rename.c - moving an entry: replace, NOREPLACE, EXCHANGE; directories never below themselves. */
#include "meta/meta_internal.h"

#include "rpc/rpc.h"
#include <sys/stat.h>

enum { ANCESTOR_COUNT_MAX = 4096 };

struct side {
    struct inode dir;
    struct stored_dentry entry;
    struct inode inode;
    uint64_t parent;
    struct bytes name;
    bool exists;
};

static int side_load(struct kv_txn *txn, struct op *op, uint64_t parent, struct bytes name,
                     struct side *ret)
{
    *ret = (struct side){ .parent = parent, .name = name };
    int r =
        load_parent_entry(txn, op->arena, parent, name, KV_SERIALIZABLE, &ret->dir, &ret->entry);
    if (r < 0) return r;
    ret->exists = r > 0;
    if (!ret->exists) return 0;
    r = inode_load_bare(txn, op->arena, ret->entry.inode, KV_SERIALIZABLE, &ret->inode);
    return r == -ERR_META_NOT_FOUND ? -ERR_META_INCONSISTENT : r;
}

/* Reads every ancestor of @dir with conflict detection, so that two moves cannot tie a loop
 * together. */
static int check_not_below(struct kv_txn *txn, struct op *op, uint64_t dir, uint64_t moved)
{
    uint64_t id = dir;
    for (uint32_t depth = 0; id != INODE_ROOT; depth++) {
        if (id == moved) return -ERR_META_INVALID_MOVE;
        if (depth == ANCESTOR_COUNT_MAX) return -ERR_META_INCONSISTENT;
        if (id == INODE_GC_ROOT) return -ERR_META_NOT_FOUND;
        struct inode inode;
        int r = inode_load_bare(txn, op->arena, id, KV_SERIALIZABLE, &inode);
        if (r < 0) return r;
        id = inode.parent;
    }
    return 0;
}

/* The moved inode under its new parent; link counts of the parents follow a directory. */
static int move_inode(struct kv_txn *txn, struct op *op, struct side *from, const struct side *to)
{
    from->inode.ctime_ns = op->now_ns;
    from->inode.change++;
    int r = 0;
    if (S_ISDIR(from->inode.mode) && from->parent != to->parent) {
        from->inode.parent = to->parent;
        r = directory_add_links(txn, op->arena, from->parent, -1);
        if (r < 0) return r;
        r = directory_add_links(txn, op->arena, to->parent, 1);
    }
    inode_store(txn, op->arena, &from->inode);
    struct stored_dentry entry = from->entry;
    entry.request = (struct uuid){ 0 };
    dentry_store(txn, op->arena, to->parent, to->name, &entry);
    return r;
}

static int replace_target(struct kv_txn *txn, struct op *op, const struct side *from,
                          struct side *to)
{
    bool moves_directory = S_ISDIR(from->inode.mode);
    if (!S_ISDIR(to->inode.mode)) {
        if (moves_directory) return -ERR_META_NOT_DIRECTORY;
        return inode_drop_link(txn, op, &to->inode, to->name);
    }
    if (!moves_directory) return -ERR_META_IS_DIRECTORY;
    int r = directory_is_empty(txn, op->arena, to->inode.id);
    if (r < 0) return r;
    if (r == 0) return -ERR_META_NOT_EMPTY;
    inode_erase(txn, &to->inode);
    return directory_add_links(txn, op->arena, to->parent, -1);
}

static int check_moves(struct kv_txn *txn, struct op *op, const struct side *from,
                       const struct side *to, bool is_exchange)
{
    int r = access_check_entry(&op->actor, &from->dir, &from->inode);
    if (r < 0) return r;
    r = access_check_entry(&op->actor, &to->dir, to->exists ? &to->inode : NULL);
    if (r < 0) return r;
    if (from->parent == to->parent) return 0;
    if (S_ISDIR(from->inode.mode)) {
        /* Its ".." changes. */
        r = access_check(&op->actor, &from->inode, ACCESS_WRITE);
        if (r < 0) return r;
        r = check_not_below(txn, op, to->parent, from->inode.id);
        if (r < 0) return r;
    }
    if (is_exchange && S_ISDIR(to->inode.mode))
        return check_not_below(txn, op, from->parent, to->inode.id);
    return 0;
}

static int rename_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct rename_request *req = op->request;
    struct inode_reply *rep = op->reply;
    struct idempotency_record first;
    int r = idem_find(txn, op, &first);
    if (r < 0) return r;
    if (r > 0) {
        rep->inode = first.inode;
        return 0;
    }
    struct side from, to;
    r = side_load(txn, op, req->parent, req->name, &from);
    if (r < 0) return r;
    r = side_load(txn, op, req->new_parent, req->new_name, &to);
    if (r < 0) return r;
    bool is_exchange = req->flags & RENAME_FLAG_EXCHANGE;
    if (!from.exists || (is_exchange && !to.exists)) return -ERR_META_NOT_FOUND;
    if (to.exists && (req->flags & RENAME_FLAG_NOREPLACE)) return -ERR_META_EXISTS;
    r = check_moves(txn, op, &from, &to, is_exchange);
    if (r < 0) return r;
    if (to.exists && from.inode.id == to.inode.id) {
        /* Two links of one file, or the very same entry: nothing happens, says POSIX. */
        rep->inode = from.inode;
        /* Neither later, when the same request comes once more. */
        idem_store(txn, op, &rep->inode, 0);
        return 0;
    }
    entry_retire(txn, op, &from.entry, &from.inode);
    if (to.exists) entry_retire(txn, op, &to.entry, &to.inode);
    if (is_exchange) {
        r = move_inode(txn, op, &to, &from);
    } else {
        if (to.exists) r = replace_target(txn, op, &from, &to);
        dentry_erase(txn, from.parent, from.name);
    }
    if (r < 0) return r;
    r = move_inode(txn, op, &from, &to);
    if (r < 0) return r;
    directory_touch(txn, op->arena, from.parent, op->now_ns);
    if (from.parent != to.parent) directory_touch(txn, op->arena, to.parent, op->now_ns);
    rep->inode = from.inode;
    idem_store(txn, op, &rep->inode, 0);
    return 0;
}

int on_rename(void *self, struct rpc_call *call, const struct rename_request *req,
              struct inode_reply *rep)
{
    struct meta *m = self;
    int r = name_check(req->name);
    if (r < 0) return r;
    r = name_check(req->new_name);
    if (r < 0) return r;
    bool both = (req->flags & RENAME_FLAG_NOREPLACE) && (req->flags & RENAME_FLAG_EXCHANGE);
    if (both || req->flags & ~(uint32_t)(RENAME_FLAG_NOREPLACE | RENAME_FLAG_EXCHANGE))
        return rpc_fail(call, -ERR_INVALID_ARG, "rename flags %u are not possible", req->flags);
    uint64_t low = MIN_OF(req->parent, req->new_parent),
             high = MAX_OF(req->parent, req->new_parent);
    r = inode_lock(&m->locks, low);
    if (r < 0) return r;
    if (high != low) r = inode_lock(&m->locks, high);
    if (r >= 0) {
        r = op_transact(m, call, &req->base, rename_txn, req, rep);
        if (high != low) inode_unlock(&m->locks, high);
    }
    inode_unlock(&m->locks, low);
    return r;
}
