/* remove.c - unlink, rmdir, and the removal of whole trees; what becomes garbage and what is erased
 * at once.
 *
 * A tree goes by one transaction for the caller: its entry moves to the collector, which takes it
 * apart.
 */
#include "meta/meta_internal.h"

#include "rpc/rpc.h"
#include <sys/stat.h>

void gc_store(struct kv_txn *txn, struct op *op, const struct inode *inode, struct bytes name)
{
    struct meta_key key = key_gc(inode->id);
    struct stored_gc entry = { .since_ns = op->now_ns,
                               .mode = inode->mode & S_IFMT,
                               .origin = name };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(op->arena, stored_gc, &entry));
}

int sessions_exist(struct kv_txn *txn, struct arena *arena, uint64_t inode,
                   const struct uuid *except)
{
    struct meta_key begin = key_session(inode, NULL), end = key_after_prefix(&begin);
    struct kv_pairs pairs;
    int r = kv_get_range(txn, meta_key_bytes(&begin), meta_key_bytes(&end), 2, KV_SERIALIZABLE,
                         arena, &pairs);
    if (r < 0) return r;
    for (uint32_t i = 0; i < pairs.count; i++) {
        struct uuid session;
        key_inode_of_session(pairs.items[i].key, &session);
        if (!except || !uuid_equal(session, *except)) return 1;
    }
    return 0;
}

int inode_drop_link(struct kv_txn *txn, struct op *op, struct inode *inode, struct bytes name)
{
    if (inode->nlink == 0) return -ERR_META_INCONSISTENT;
    inode->nlink--;
    inode->ctime_ns = op->now_ns;
    inode->change++;
    if (inode->nlink == 0) {
        bool has_chunks = S_ISREG(inode->mode) && (inode->length || inode->trim_from != TRIM_NONE);
        int r = sessions_exist(txn, op->arena, inode->id, NULL);
        if (r < 0) return r;
        if (!has_chunks && r == 0) {
            inode_erase(txn, inode);
            return 0;
        }
        gc_store(txn, op, inode, name);
    }
    inode_store(txn, op->arena, inode);
    return 0;
}

static int remove_directory(struct kv_txn *txn, struct op *op, struct inode *dir, uint64_t parent,
                            struct bytes name, bool with_tree)
{
    int r = directory_is_empty(txn, op->arena, dir->id);
    if (r < 0) return r;
    if (r > 0) {
        inode_erase(txn, dir);
    } else {
        if (!with_tree) return -ERR_META_NOT_EMPTY;
        r = access_check_owner(&op->actor, dir);
        if (r < 0) return r;
        r = access_check(&op->actor, dir, ACCESS_READ | ACCESS_WRITE | ACCESS_SEARCH);
        if (r < 0) return r;
        /* nlink 0 stops creations directly inside; deeper ones are collected with the rest. */
        dir->nlink = 0;
        dir->parent = INODE_GC_ROOT;
        dir->ctime_ns = op->now_ns;
        inode_store(txn, op->arena, dir);
        gc_store(txn, op, dir, name);
    }
    return directory_add_links(txn, op->arena, parent, -1);
}

static int remove_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct remove_request *req = op->request;
    struct inode_reply *rep = op->reply;
    struct idempotency_record first;
    int r = idem_find(txn, op, &first);
    if (r < 0) return r;
    if (r > 0) {
        rep->inode = first.inode;
        return 0;
    }
    struct inode dir;
    struct stored_dentry entry;
    r = load_parent_entry(txn, op->arena, req->parent, req->name, KV_SERIALIZABLE, &dir, &entry);
    if (r < 0) return r;
    if (r == 0) {
        r = access_check(&op->actor, &dir, ACCESS_SEARCH);
        return r < 0 ? r : -ERR_META_NOT_FOUND;
    }
    if (req->inode && entry.inode != req->inode) return -ERR_META_NOT_FOUND;
    r = inode_load_bare(txn, op->arena, entry.inode, KV_SERIALIZABLE, &rep->inode);
    if (r < 0) return r == -ERR_META_NOT_FOUND ? -ERR_META_INCONSISTENT : r;
    r = access_check_entry(&op->actor, &dir, &rep->inode);
    if (r < 0) return r;
    entry_retire(txn, op, &entry, &rep->inode);
    bool is_directory = S_ISDIR(rep->inode.mode);
    if (is_directory && req->kind == REMOVE_FILE) return -ERR_META_IS_DIRECTORY;
    if (!is_directory && req->kind == REMOVE_DIRECTORY) return -ERR_META_NOT_DIRECTORY;
    if (is_directory) {
        r = remove_directory(txn, op, &rep->inode, req->parent, req->name,
                             req->kind == REMOVE_TREE);
    } else {
        r = inode_drop_link(txn, op, &rep->inode, req->name);
    }
    if (r < 0) return r;
    dentry_erase(txn, req->parent, req->name);
    directory_touch(txn, op->arena, req->parent, op->now_ns);
    idem_store(txn, op, &rep->inode, 0);
    return 0;
}

int on_remove(void *self, struct rpc_call *call, const struct remove_request *req,
              struct inode_reply *rep)
{
    struct meta *m = self;
    int r = name_check(req->name);
    if (r < 0) return r;
    if (req->kind > REMOVE_TREE)
        return rpc_fail(call, -ERR_INVALID_ARG, "remove kind %u is unknown", req->kind);
    bool counts_links = req->kind != REMOVE_FILE;
    if (counts_links) r = inode_lock(&m->locks, req->parent);
    if (r < 0) return r;
    r = op_transact(m, call, &req->base, remove_txn, req, rep);
    if (counts_links) inode_unlock(&m->locks, req->parent);
    return r;
}
