/* xattr.c - extended attributes: user.* by mode bits, trusted.* for root, security.* set by root.
 */
#include "meta/meta_internal.h"

#include "rpc/rpc.h"
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static bool is_in_namespace(struct bytes name, const char *prefix)
{
    return bytes_has_prefix(name, bytes_of_text(prefix)) && name.size > strlen(prefix);
}

static int check_name(const struct xattr_request *req)
{
    if (req->name.size == 0 || memchr(req->name.base, 0, req->name.size)) return -ERR_INVALID_ARG;
    if (req->name.size > NAME_BYTES_MAX) return -ERR_META_NAME_TOO_LONG;
    bool is_known = is_in_namespace(req->name, "user.") || is_in_namespace(req->name, "trusted.") ||
                    is_in_namespace(req->name, "security.");
    return is_known ? 0 : -ERR_NOT_SUPPORTED;
}

static int check_access(const struct op *op, const struct inode *inode, struct bytes name,
                        bool sets)
{
    if (is_in_namespace(name, "trusted.")) {
        if (op->actor.uid == 0) return 0;
        return sets ? -ERR_META_NO_PERMISSION : -ERR_META_NO_ATTR;
    }
    if (is_in_namespace(name, "security."))
        return sets && op->actor.uid != 0 ? -ERR_META_NO_PERMISSION : 0;
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
        return sets ? -ERR_META_NO_PERMISSION : -ERR_META_NO_ATTR;
    if (sets && S_ISDIR(inode->mode) && (inode->mode & S_ISVTX) &&
        access_check_owner(&op->actor, inode) < 0)
        return -ERR_META_NO_PERMISSION;
    return access_check(&op->actor, inode, sets ? ACCESS_WRITE : ACCESS_READ);
}

static int get_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct xattr_request *req = op->request;
    struct xattr_reply *rep = op->reply;
    struct inode inode;
    int r = inode_load_bare(txn, op->arena, req->inode, KV_SNAPSHOT, &inode);
    if (r < 0) return r;
    r = check_access(op, &inode, req->name, false);
    if (r < 0) return r;
    struct meta_key key = key_xattr(req->inode, req->name);
    r = kv_get(txn, meta_key_bytes(&key), KV_SNAPSHOT, op->arena, &rep->value);
    return r == 0 ? -ERR_META_NO_ATTR : MIN_OF(r, 0);
}

static int op_read_only(struct meta *m, struct rpc_call *call, const struct xattr_request *req,
                        int (*fn)(struct kv_txn *txn, void *op), struct xattr_reply *rep)
{
    struct op op;
    int r = op_begin(m, call, &req->base, req, rep, &op);
    return r < 0 ? r : kv_read_only(m->kv, fn, &op);
}

int on_xattr_get(void *self, struct rpc_call *call, const struct xattr_request *req,
                 struct xattr_reply *rep)
{
    int r = check_name(req);
    return r < 0 ? r : op_read_only(self, call, req, get_txn, rep);
}

static int list_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct xattr_request *req = op->request;
    struct xattr_reply *rep = op->reply;
    struct meta_key begin = key_xattr(req->inode, bytes_of(NULL, 0)),
                    end = key_after_prefix(&begin);
    struct kv_pairs pairs;
    int r = kv_get_range(txn, meta_key_bytes(&begin), meta_key_bytes(&end), 0, KV_SNAPSHOT,
                         op->arena, &pairs);
    if (r < 0) return r;
    rep->names.items = arena_array(op->arena, struct bytes, pairs.count);
    rep->names.count = 0;
    for (uint32_t i = 0; i < pairs.count; i++) {
        struct bytes name = key_name_of(pairs.items[i].key);
        if (is_in_namespace(name, "trusted.") && op->actor.uid != 0) continue;
        rep->names.items[rep->names.count++] = name;
    }
    return 0;
}

int on_xattr_list(void *self, struct rpc_call *call, const struct xattr_request *req,
                  struct xattr_reply *rep)
{
    return op_read_only(self, call, req, list_txn, rep);
}

static int change_txn(struct kv_txn *txn, struct op *op, const struct xattr_request *req,
                      const struct bytes *value)
{
    struct inode inode;
    int r = inode_load_bare(txn, op->arena, req->inode, KV_SERIALIZABLE, &inode);
    if (r < 0) return r;
    if (inode.flags & FS_IMMUTABLE_FL) return -ERR_META_NO_PERMISSION;
    r = check_access(op, &inode, req->name, true);
    if (r < 0) return r;
    struct meta_key key = key_xattr(req->inode, req->name);
    struct bytes old;
    r = kv_get(txn, meta_key_bytes(&key), KV_SERIALIZABLE, op->arena, &old);
    if (r < 0) return r;
    if (value) {
        if (r > 0 && (req->flags & XATTR_CREATE)) return -ERR_META_EXISTS;
        if (r == 0 && (req->flags & XATTR_REPLACE)) return -ERR_META_NO_ATTR;
        kv_set(txn, meta_key_bytes(&key), *value);
    } else {
        if (r == 0) return -ERR_META_NO_ATTR;
        kv_clear(txn, meta_key_bytes(&key));
    }
    inode.ctime_ns = op->now_ns;
    inode.change++;
    inode_store(txn, op->arena, &inode);
    return 0;
}

/* Both changes keep an idempotency record: CREATE and removal would fail when they are retried. */
static int replayed(struct kv_txn *txn, struct op *op)
{
    struct idempotency_record first;
    return idem_find(txn, op, &first);
}

static int set_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct xattr_request *req = op->request;
    int r = replayed(txn, op);
    if (r != 0) return MIN_OF(r, 0);
    r = change_txn(txn, op, req, &req->value);
    if (r >= 0) idem_store(txn, op, &(struct inode){ .id = req->inode }, 0);
    return r;
}

static int remove_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct xattr_request *req = op->request;
    int r = replayed(txn, op);
    if (r != 0) return MIN_OF(r, 0);
    r = change_txn(txn, op, req, NULL);
    if (r >= 0) idem_store(txn, op, &(struct inode){ .id = req->inode }, 0);
    return r;
}

int on_xattr_set(void *self, struct rpc_call *call, const struct xattr_request *req,
                 struct empty_record *rep)
{
    int r = check_name(req);
    if (r < 0) return r;
    if (req->value.size > XATTR_VALUE_BYTES_MAX) return -ERR_META_ATTR_TOO_LARGE;
    return op_transact(self, call, &req->base, set_txn, req, rep);
}

int on_xattr_remove(void *self, struct rpc_call *call, const struct xattr_request *req,
                    struct empty_record *rep)
{
    int r = check_name(req);
    return r < 0 ? r : op_transact(self, call, &req->base, remove_txn, req, rep);
}
