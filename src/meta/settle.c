/* settle.c - open files: sessions, lengths and times that writers report, ranges reserved by
 * appenders.
 *
 * A length hint of the present generation raises the length. One of an older generation says
 * nothing about what survived the truncate, so the storage is asked instead.
 */
#include "meta/meta_internal.h"

#include "loop/fault.h"
#include "rpc/rpc.h"
#include <linux/fs.h>
#include <sys/stat.h>

static int open_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct open_request *req = op->request;
    struct inode_reply *rep = op->reply;
    op->trim_inode = INODE_MAX;
    struct idempotency_record first;
    int r = idem_find(txn, op, &first);
    if (r < 0) return r;
    if (r > 0) {
        rep->inode = first.inode;
        if (first.inode.trim_from != TRIM_NONE) op->trim_inode = first.inode.id;
        return 0;
    }
    r = inode_load_bare(txn, op->arena, req->inode, KV_SERIALIZABLE, &rep->inode);
    if (r < 0) return r;
    bool writes = req->access & ACCESS_WRITE;
    if (S_ISDIR(rep->inode.mode)) return writes || req->truncate ? -ERR_META_IS_DIRECTORY : 0;
    if (!S_ISREG(rep->inode.mode)) return -ERR_META_NOT_FILE;
    if ((writes || req->truncate) && (rep->inode.flags & FS_IMMUTABLE_FL))
        return -ERR_META_NO_PERMISSION;
    r = access_check(&op->actor, &rep->inode, req->access & (ACCESS_READ | ACCESS_WRITE));
    if (r < 0) return r;
    /* Its chunks may be going already: only a session from before holds them. */
    if (rep->inode.nlink == 0 && !uuid_is_zero(req->session)) {
        r = sessions_exist(txn, op->arena, req->inode, NULL);
        if (r <= 0) return r < 0 ? r : -ERR_META_STALE;
    }
    if (req->truncate) {
        r = inode_truncate(txn, op, &rep->inode, 0);
        if (r < 0) return r;
        rep->inode.change++;
        inode_store(txn, op->arena, &rep->inode);
        idem_store(txn, op, &rep->inode, 0);
    }
    session_store(txn, op, &rep->inode, &req->session, writes);
    return 0;
}

int on_open(void *self, struct rpc_call *call, const struct open_request *req,
            struct inode_reply *rep)
{
    struct meta *m = self;
    struct op op;
    int r = op_begin(m, call, &req->base, req, rep, &op);
    if (r < 0) return r;
    r = inode_lock(&m->locks, req->inode);
    if (r < 0) return r;
    r = op_commit(&op, open_txn);
    if (r == -ERR_META_BUSY) {
        r = trim_finish(m, call->arena, req->inode);
        if (r >= 0) r = op_commit(&op, open_txn);
    }
    if (r >= 0 && op.trim_inode != INODE_MAX && trim_finish(m, call->arena, op.trim_inode) >= 0) {
        rep->inode.trim_from = TRIM_NONE;
        rep->inode.generation++;
        rep->inode.change++;
    }
    inode_unlock(&m->locks, req->inode);
    return r;
}

static int settle_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct settle_request *req = op->request;
    struct inode_reply *rep = op->reply;
    op->needs_query = false;
    int r = inode_load_bare(txn, op->arena, req->inode, KV_SERIALIZABLE, &rep->inode);
    if (r < 0) return r;
    struct inode *inode = &rep->inode;
    if (req->wrote) {
        bool is_current = req->generation == inode->generation;
        if (!is_current && !op->has_queried) {
            op->needs_query = true;
            return -ERR_META_BUSY;
        }
        uint64_t end = is_current ? req->length_hint : op->queried_length;
        if (end > inode->length || MUTANT(LENGTH_SHRUNK_BY_HINT)) inode->length = end;
        if (req->mtime_ns) inode->mtime_ns = req->mtime_ns;
        inode->ctime_ns = op->now_ns;
        inode->change++;
    }
    if (req->atime_ns > inode->atime_ns) inode->atime_ns = req->atime_ns;
    if (req->wrote || req->atime_ns) inode_store(txn, op->arena, inode);
    return 0;
}

int on_settle(void *self, struct rpc_call *call, const struct settle_request *req,
              struct inode_reply *rep)
{
    struct meta *m = self;
    struct op op;
    int r = op_begin(m, call, &req->base, req, rep, &op);
    if (r < 0) return r;
    r = inode_lock(&m->locks, req->inode);
    if (r < 0) return r;
    r = op_commit(&op, settle_txn);
    if (r == -ERR_META_BUSY && op.needs_query) {
        r = trim_finish(m, call->arena, req->inode);
        if (r >= 0) r = m->data->query_length(m->data_arg, &rep->inode, &op.queried_length);
        op.has_queried = r >= 0;
        if (r >= 0) r = op_commit(&op, settle_txn);
    }
    inode_unlock(&m->locks, req->inode);
    return r;
}

/* Not a change of the file: nobody's cache is worth less for it. */
static int access_time_advance(struct kv_txn *txn, struct op *op, const struct open_file *file)
{
    struct inode inode;
    int r = inode_load_bare(txn, op->arena, file->inode, KV_SERIALIZABLE, &inode);
    if (r < 0) return r == -ERR_META_NOT_FOUND ? 0 : r;
    int64_t atime_ns = MIN_OF(file->atime_ns, op->now_ns);
    if (!S_ISREG(inode.mode) || atime_ns <= inode.atime_ns) return 0;
    inode.atime_ns = atime_ns;
    inode_store(txn, op->arena, &inode);
    return 0;
}

/* Sessions are not read: their end conflicts with nothing but the collector, which looks for them.
 */
static int close_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct close_request *req = op->request;
    for (uint32_t i = 0; i < req->files.count; i++) {
        const struct open_file *file = &req->files.items[i];
        struct meta_key key = key_session(file->inode, &file->session);
        if (!uuid_is_zero(file->session)) kv_clear(txn, meta_key_bytes(&key));
        int r = file->atime_ns ? access_time_advance(txn, op, file) : 0;
        if (r < 0) return r;
    }
    return 0;
}

int on_close(void *self, struct rpc_call *call, const struct close_request *req,
             struct empty_record *rep)
{
    if (req->files.count > CLOSE_COUNT_MAX)
        return rpc_fail(call, -ERR_INVALID_ARG, "%u sessions in one close: the most is %d",
                        req->files.count, CLOSE_COUNT_MAX);
    for (uint32_t i = 0; i < req->files.count; i++)
        if (uuid_is_zero(req->files.items[i].session) && !req->files.items[i].atime_ns)
            return rpc_fail(call, -ERR_INVALID_ARG, "a session to close is zero");
    return op_transact(self, call, &req->base, close_txn, req, rep);
}

static int append_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct append_request *req = op->request;
    struct append_reply *rep = op->reply;
    struct idempotency_record first;
    int r = idem_find(txn, op, &first);
    if (r < 0) return r;
    if (r > 0) {
        rep->inode = first.inode;
        rep->offset = first.offset;
        return 0;
    }
    r = inode_load_bare(txn, op->arena, req->inode, KV_SERIALIZABLE, &rep->inode);
    if (r < 0) return r;
    struct inode *inode = &rep->inode;
    if (!S_ISREG(inode->mode)) return -ERR_META_NOT_FILE;
    if (inode->trim_from != TRIM_NONE) return -ERR_META_BUSY;
    uint64_t limit = MIN_OF((uint64_t)inode->layout.chunk_size << 32, (uint64_t)INT64_MAX);
    if (req->length > limit || inode->length > limit - req->length) return -ERR_META_FILE_TOO_LARGE;
    rep->offset = inode->length;
    inode->length += req->length;
    inode->mtime_ns = inode->ctime_ns = op->now_ns;
    inode->change++;
    inode_store(txn, op->arena, inode);
    idem_store(txn, op, inode, rep->offset);
    return 0;
}

int on_append(void *self, struct rpc_call *call, const struct append_request *req,
              struct append_reply *rep)
{
    struct meta *m = self;
    struct op op;
    int r = op_begin(m, call, &req->base, req, rep, &op);
    if (r < 0) return r;
    r = inode_lock(&m->locks, req->inode);
    if (r < 0) return r;
    r = op_commit(&op, append_txn);
    if (r == -ERR_META_BUSY) {
        r = trim_finish(m, call->arena, req->inode);
        if (r >= 0) r = op_commit(&op, append_txn);
    }
    inode_unlock(&m->locks, req->inode);
    return r;
}
