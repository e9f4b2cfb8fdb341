/* setattr.c - attributes and truncation.
 *
 * Truncate is one transaction: length, generation + 1, trim_from. The chunks behind go right after
 * it; growing, or writing behind trim_from, waits until they are gone (finish_trim), so old bytes
 * never come back as new ones. When they are gone the generation rises again: several servers may
 * trim, and one that comes late must not take what was written since for what it has to remove.
 */
#include "meta/meta_internal.h"

#include "rpc/rpc.h"
#include <linux/fs.h>
#include <sys/stat.h>

#define FLAGS_SETTABLE ((uint32_t)(FS_IMMUTABLE_FL))

int inode_truncate(struct kv_txn *txn, struct op *op, struct inode *inode, uint64_t length)
{
    if (inode->trim_from != TRIM_NONE)
        return -ERR_META_BUSY; /* the caller finishes it and comes again */
    uint64_t limit = (uint64_t)inode->layout.chunk_size << 32;
    if (length > limit || length > INT64_MAX) return -ERR_META_FILE_TOO_LARGE;
    int r = length == inode->length ? sessions_exist(txn, op->arena, inode->id, NULL) : 0;
    if (r < 0) return r;
    bool leaves_chunks = length < inode->length || r > 0;
    inode->length = length;
    inode->mtime_ns = inode->ctime_ns = op->now_ns;
    if (!leaves_chunks) return 0;
    if (inode->generation > UINT32_MAX - 3) return -ERR_META_FILE_TOO_LARGE;
    inode->generation++;
    inode->trim_from = length;
    struct meta_key key = key_trim(inode->id);
    struct trim_record record = { .time_ns = op->now_ns, .generation = inode->generation };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(op->arena, trim_record, &record));
    op->trim_inode = inode->id;
    return 0;
}

struct trim {
    struct arena *arena;
    struct inode inode;
    uint32_t generation;
};

static int trim_load_txn(struct kv_txn *txn, void *arg)
{
    struct trim *t = arg;
    return inode_load_bare(txn, t->arena, t->inode.id, KV_SNAPSHOT, &t->inode);
}

static int trim_done_txn(struct kv_txn *txn, void *arg)
{
    struct trim *t = arg;
    struct meta_key key = key_trim(t->inode.id);
    struct inode inode;
    int r = inode_load_bare(txn, t->arena, t->inode.id, KV_SERIALIZABLE, &inode);
    if (r == -ERR_META_NOT_FOUND) {
        kv_clear(txn, meta_key_bytes(&key));
        return 0;
    }
    if (r < 0) return r;
    if (inode.generation != t->generation || inode.trim_from == TRIM_NONE) return 0;
    inode.trim_from = TRIM_NONE;
    inode.generation++;
    inode.change++;
    inode_store(txn, t->arena, &inode);
    kv_clear(txn, meta_key_bytes(&key));
    return 0;
}

int trim_finish(struct meta *m, struct arena *arena, uint64_t inode)
{
    struct trim t = { .arena = arena, .inode = { .id = inode } };
    int r = kv_read_only(m->kv, trim_load_txn, &t);
    if (r < 0 || t.inode.trim_from == TRIM_NONE) return r;
    t.generation = t.inode.generation;
    r = m->data->trim(m->data_arg, &t.inode, t.inode.trim_from);
    if (r < 0) return r;
    ++*m->metric_trims;
    return kv_transact(m->kv, KV_RETRY_MAYBE_COMMITTED, trim_done_txn, &t);
}

static int change_owner(struct op *op, const struct setattr_request *req, struct inode *inode)
{
    const struct actor *a = &op->actor;
    bool sets_uid = (req->set & SETATTR_UID) && req->uid != inode->uid;
    bool sets_gid = (req->set & SETATTR_GID) && req->gid != inode->gid;
    if (!a->kernel_checked && a->uid != 0) {
        if (sets_uid) return -ERR_META_NO_PERMISSION;
        if (sets_gid && (a->uid != inode->uid || !actor_is_in_group(a, req->gid)))
            return -ERR_META_NO_PERMISSION;
    }
    if (req->set & SETATTR_UID) inode->uid = req->uid;
    if (req->set & SETATTR_GID) inode->gid = req->gid;
    bool is_executable_file = S_ISREG(inode->mode) && (inode->mode & 0111);
    if ((sets_uid || sets_gid) && is_executable_file && a->uid != 0)
        inode->mode &= ~(uint32_t)(S_ISUID | S_ISGID);
    return 0;
}

static int change_times(struct op *op, const struct setattr_request *req, struct inode *inode)
{
    bool is_explicit = req->set & (SETATTR_ATIME | SETATTR_MTIME);
    if (is_explicit && !op->actor.kernel_checked) {
        int r = access_check_owner(&op->actor, inode);
        if (r < 0) return r;
    } else if (access_check_owner(&op->actor, inode) < 0) {
        int r = access_check(&op->actor, inode, ACCESS_WRITE);
        if (r < 0) return r;
    }
    if (req->set & SETATTR_ATIME) inode->atime_ns = req->atime_ns;
    if (req->set & SETATTR_MTIME) inode->mtime_ns = req->mtime_ns;
    if (req->set & SETATTR_ATIME_NOW) inode->atime_ns = op->now_ns;
    if (req->set & SETATTR_MTIME_NOW) inode->mtime_ns = op->now_ns;
    return 0;
}

static int change_length(struct kv_txn *txn, struct op *op, const struct setattr_request *req,
                         struct inode *inode)
{
    if (S_ISDIR(inode->mode)) return -ERR_META_IS_DIRECTORY;
    if (!S_ISREG(inode->mode)) return -ERR_INVALID_ARG;
    if (!req->via_open_file) {
        int r = access_check(&op->actor, inode, ACCESS_WRITE);
        if (r < 0) return r;
    }
    if ((req->set & SETATTR_EXTEND_ONLY) && req->length <= inode->length) return 0;
    return inode_truncate(txn, op, inode, req->length);
}

static int change_layout(struct op *op, const struct setattr_request *req, struct inode *inode)
{
    if (!S_ISDIR(inode->mode)) return -ERR_META_NOT_DIRECTORY;
    int r = access_check(&op->actor, inode, ACCESS_WRITE);
    if (r < 0) return r;
    r = layout_check(&req->layout);
    if (r < 0) return r;
    inode->layout = req->layout;
    return 0;
}

static int apply(struct kv_txn *txn, struct op *op, const struct setattr_request *req,
                 struct inode *inode)
{
    int r = 0;
    bool is_immutable = inode->flags & FS_IMMUTABLE_FL;
    if (is_immutable && (req->set & ~(uint32_t)SETATTR_FLAGS)) return -ERR_META_NO_PERMISSION;
    if (req->set & SETATTR_FLAGS) {
        if (op->actor.uid != 0 || req->flags & ~FLAGS_SETTABLE) return -ERR_META_NO_PERMISSION;
        inode->flags = req->flags;
    }
    if (req->set & SETATTR_MODE) {
        r = op->actor.kernel_checked ? 0 : access_check_owner(&op->actor, inode);
        if (r < 0) return r;
        inode->mode = (inode->mode & S_IFMT) | (req->mode & 07777);
        if (!op->actor.kernel_checked && op->actor.uid != 0 &&
            !actor_is_in_group(&op->actor, inode->gid))
            inode->mode &= ~(uint32_t)S_ISGID;
    }
    if (req->set & (SETATTR_UID | SETATTR_GID)) r = change_owner(op, req, inode);
    if (r >= 0 && (req->set & SETATTR_LENGTH)) r = change_length(txn, op, req, inode);
    if (r >= 0 &&
        (req->set & (SETATTR_ATIME | SETATTR_MTIME | SETATTR_ATIME_NOW | SETATTR_MTIME_NOW)))
        r = change_times(op, req, inode);
    if (r >= 0 && (req->set & SETATTR_LAYOUT)) r = change_layout(op, req, inode);
    if (req->set & SETATTR_KILL_SUID) {
        inode->mode &= ~(uint32_t)S_ISUID;
        if (inode->mode & S_IXGRP) inode->mode &= ~(uint32_t)S_ISGID;
    }
    return r;
}

static int setattr_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct setattr_request *req = op->request;
    struct inode_reply *rep = op->reply;
    struct idempotency_record first;
    op->trim_inode = INODE_MAX;
    int r = idem_find(txn, op, &first);
    if (r < 0) return r;
    if (r > 0) {
        rep->inode = first.inode;
        if (first.inode.trim_from != TRIM_NONE) op->trim_inode = first.inode.id;
        return 0;
    }
    r = inode_load_bare(txn, op->arena, req->inode, KV_SERIALIZABLE, &rep->inode);
    if (r < 0) return r;
    bool is_directory = S_ISDIR(rep->inode.mode);
    r = is_directory ? inode_merge_directory(txn, op->arena, &rep->inode) : 0;
    if (r < 0) return r;
    r = apply(txn, op, req, &rep->inode);
    if (r < 0) return r;
    rep->inode.ctime_ns = op->now_ns;
    rep->inode.change++;
    inode_store(txn, op->arena, &rep->inode);
    if (is_directory && rep->inode.nlink)
        directory_set_times(txn, op->arena, rep->inode.id, rep->inode.mtime_ns, op->now_ns);
    idem_store(txn, op, &rep->inode, 0);
    return 0;
}

int on_setattr(void *self, struct rpc_call *call, const struct setattr_request *req,
               struct inode_reply *rep)
{
    struct meta *m = self;
    struct op op;
    int r = op_begin(m, call, &req->base, req, rep, &op);
    if (r < 0) return r;
    if (req->inode == INODE_ROOT && (req->set & SETATTR_FLAGS)) return -ERR_META_NO_PERMISSION;
    r = inode_lock(&m->locks, req->inode);
    if (r < 0) return r;
    r = op_commit(&op, setattr_txn);
    if (r == -ERR_META_BUSY) {
        r = trim_finish(m, call->arena, req->inode);
        if (r >= 0) r = op_commit(&op, setattr_txn);
    }
    if (r >= 0 && op.trim_inode != INODE_MAX) {
        /* The truncate is done and durable; a trim that fails now is finished by the next one who
         * needs it. */
        int trimmed = trim_finish(m, call->arena, op.trim_inode);
        if (trimmed >= 0) {
            rep->inode.trim_from = TRIM_NONE;
            rep->inode.generation++;
            rep->inode.change++;
        }
    }
    inode_unlock(&m->locks, req->inode);
    return r;
}

static int reload_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct inode_request *req = op->request;
    struct inode_reply *rep = op->reply;
    return inode_load(txn, op->arena, req->inode, KV_SNAPSHOT, &rep->inode);
}

int on_finish_trim(void *self, struct rpc_call *call, const struct inode_request *req,
                   struct inode_reply *rep)
{
    struct meta *m = self;
    struct op op;
    int r = op_begin(m, call, &req->base, req, rep, &op);
    if (r < 0) return r;
    r = trim_finish(m, call->arena, req->inode);
    return r < 0 ? r : kv_read_only(m->kv, reload_txn, &op);
}
