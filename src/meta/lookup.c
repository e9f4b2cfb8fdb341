/* lookup.c - reading the tree: lookup, stat, list, the path of a directory. */
#include "meta/meta_internal.h"

#include "rpc/rpc.h"
#include <sys/stat.h>

enum {
    STAT_COUNT_MAX = 1024,
    LIST_COUNT_MAX = 1024,
    PATH_DEPTH_MAX = 4096,
    LIST_REPLY_BYTES_MAX = 1 << 20
};

static int lookup_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct lookup_request *req = op->request;
    struct inode_reply *rep = op->reply;
    struct inode dir;
    struct stored_dentry entry = { 0 };
    bool is_dot = bytes_equal_text(req->name, "."), is_parent = bytes_equal_text(req->name, "..");
    if (is_dot || is_parent) {
        int r = inode_load_bare(txn, op->arena, req->parent, KV_SNAPSHOT, &dir);
        if (r < 0) return r;
        if (!S_ISDIR(dir.mode)) return -ERR_META_NOT_DIRECTORY;
        entry.inode = is_dot ? dir.id : dir.parent;
    } else {
        int r = name_check(req->name);
        if (r < 0) return r;
        r = load_parent_entry(txn, op->arena, req->parent, req->name, KV_SNAPSHOT, &dir, &entry);
        if (r < 0) return r;
        if (r == 0) entry.inode = INODE_MAX;
    }
    int r = access_check(&op->actor, &dir, ACCESS_SEARCH);
    if (r < 0) return r;
    if (entry.inode == INODE_MAX) return -ERR_META_NOT_FOUND;
    return inode_load(txn, op->arena, entry.inode, KV_SNAPSHOT, &rep->inode);
}

static int op_read(struct meta *m, struct rpc_call *call, const struct meta_base *base,
                   int (*fn)(struct kv_txn *txn, void *op), const void *request, void *reply)
{
    struct op op;
    int r = op_begin(m, call, base, request, reply, &op);
    return r < 0 ? r : kv_read_only(m->kv, fn, &op);
}

int on_lookup(void *self, struct rpc_call *call, const struct lookup_request *req,
              struct inode_reply *rep)
{
    return op_read(self, call, &req->base, lookup_txn, req, rep);
}

/* The inodes of @ids in order; what does not exist stays zero. */
static int load_many(struct kv_txn *txn, struct arena *arena, const uint64_t *ids, uint32_t count,
                     struct inode *ret)
{
    struct meta_key *keys = arena_array(arena, struct meta_key, count);
    struct bytes *key_bytes = arena_array(arena, struct bytes, count);
    struct bytes *values = arena_array(arena, struct bytes, count);
    bool *found = arena_array(arena, bool, count);
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = key_inode(ids[i]);
        key_bytes[i] = meta_key_bytes(&keys[i]);
    }
    int r = kv_get_many(txn, key_bytes, count, KV_SNAPSHOT, arena, found, values);
    if (r < 0) return r;
    for (uint32_t i = 0; i < count; i++) {
        if (!found[i]) continue;
        struct stored_inode stored;
        r = RECORD_DECODE(arena, stored_inode, values[i], &stored);
        if (r < 0) return r;
        ret[i] = stored.inode;
        if (S_ISDIR(ret[i].mode)) r = inode_merge_directory(txn, arena, &ret[i]);
        if (r < 0) return r;
    }
    return 0;
}

static int stat_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct stat_request *req = op->request;
    struct stat_reply *rep = op->reply;
    uint32_t count = req->inodes.count;
    rep->inodes.items = arena_array(op->arena, struct inode, count);
    rep->inodes.count = count;
    return load_many(txn, op->arena, req->inodes.items, count, rep->inodes.items);
}

int on_stat(void *self, struct rpc_call *call, const struct stat_request *req,
            struct stat_reply *rep)
{
    if (req->inodes.count > STAT_COUNT_MAX)
        return rpc_fail(call, -ERR_INVALID_ARG, "%u inodes in one stat, at most %d",
                        req->inodes.count, STAT_COUNT_MAX);
    return op_read(self, call, &req->base, stat_txn, req, rep);
}

static int list_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct list_request *req = op->request;
    struct list_reply *rep = op->reply;
    struct inode dir;
    int r = inode_load_bare(txn, op->arena, req->parent, KV_SNAPSHOT, &dir);
    if (r < 0) return r;
    if (!S_ISDIR(dir.mode)) return -ERR_META_NOT_DIRECTORY;
    r = access_check(&op->actor, &dir, ACCESS_READ);
    if (r < 0) return r;

    struct meta_key begin = key_dentry(req->parent, bytes_of(NULL, 0)),
                    end = key_after_prefix(&begin);
    struct bytes from = meta_key_bytes(&begin);
    struct meta_key after = key_dentry(req->parent, req->after);
    if (req->after.size) from = kv_key_after(op->arena, meta_key_bytes(&after));
    uint32_t limit =
        req->count_max && req->count_max < LIST_COUNT_MAX ? req->count_max : LIST_COUNT_MAX;
    struct kv_pairs pairs;
    r = kv_get_range(txn, from, meta_key_bytes(&end), limit, KV_SNAPSHOT, op->arena, &pairs);
    if (r < 0) return r;

    rep->entries.items = arena_array(op->arena, struct dentry, pairs.count);
    rep->more = pairs.has_more;
    uint64_t *ids = arena_array(op->arena, uint64_t, pairs.count);
    for (uint32_t i = 0; i < pairs.count; i++) {
        struct stored_dentry entry;
        r = RECORD_DECODE(op->arena, stored_dentry, pairs.items[i].value, &entry);
        if (r < 0) return r;
        rep->entries.items[i] = (struct dentry){ .name = key_name_of(pairs.items[i].key),
                                                 .inode = entry.inode,
                                                 .mode = entry.mode };
        ids[i] = entry.inode;
    }
    rep->entries.count = pairs.count;
    if (!req->with_inodes) return 0;
    rep->inodes.items = arena_array(op->arena, struct inode, pairs.count);
    rep->inodes.count = pairs.count;
    return load_many(txn, op->arena, ids, pairs.count, rep->inodes.items);
}

int on_list(void *self, struct rpc_call *call, const struct list_request *req,
            struct list_reply *rep)
{
    if (req->after.size > NAME_BYTES_MAX)
        return rpc_fail(call, -ERR_META_NAME_TOO_LONG, "the name to list after is too long");
    return op_read(self, call, &req->base, list_txn, req, rep);
}

/* The name of directory @child in @parent: a scan, for people's commands. */
static int name_in_parent(struct kv_txn *txn, struct arena *arena, uint64_t parent, uint64_t child,
                          struct bytes *ret)
{
    struct meta_key begin = key_dentry(parent, bytes_of(NULL, 0)), end = key_after_prefix(&begin);
    struct bytes from = meta_key_bytes(&begin);
    for (;;) {
        struct kv_pairs pairs;
        int r = kv_get_range(txn, from, meta_key_bytes(&end), 0, KV_SNAPSHOT, arena, &pairs);
        if (r < 0) return r;
        for (uint32_t i = 0; i < pairs.count; i++) {
            struct stored_dentry entry;
            r = RECORD_DECODE(arena, stored_dentry, pairs.items[i].value, &entry);
            if (r < 0) return r;
            if (entry.inode != child) continue;
            *ret = key_name_of(pairs.items[i].key);
            return 0;
        }
        if (!pairs.has_more || !pairs.count) return -ERR_META_NOT_FOUND;
        from = kv_key_after(arena, pairs.items[pairs.count - 1].key);
    }
}

static int real_path_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct inode_request *req = op->request;
    struct real_path_reply *rep = op->reply;
    struct bytes path = bytes_of_text("");
    uint64_t id = req->inode;
    for (uint32_t depth = 0; id != INODE_ROOT; depth++) {
        struct inode dir;
        struct bytes name;
        int r = inode_load_bare(txn, op->arena, id, KV_SNAPSHOT, &dir);
        if (r < 0) return r;
        if (!S_ISDIR(dir.mode)) return -ERR_META_NOT_DIRECTORY;
        if (depth == PATH_DEPTH_MAX) return -ERR_META_INCONSISTENT;
        r = name_in_parent(txn, op->arena, dir.parent, id, &name);
        if (r < 0) return r;
        path = bytes_of_text(arena_printf(op->arena, "/%.*s%.*s", (int)name.size,
                                          (const char *)name.base, (int)path.size,
                                          (const char *)path.base));
        id = dir.parent;
    }
    rep->path = path.size ? path : bytes_of_text("/");
    return 0;
}

int on_real_path(void *self, struct rpc_call *call, const struct inode_request *req,
                 struct real_path_reply *rep)
{
    return op_read(self, call, &req->base, real_path_txn, req, rep);
}
