/* create.c - new inodes: files, directories, symlinks, special files; their ids and layouts; hard
 * links.
 *
 * A replay finds its own request uuid in the entry that the first run made. Creations in one
 * directory do not conflict: they read the directory's inode, which they do not write, and write
 * its times blindly.
 */
#include "meta/meta_internal.h"

#include "base/check.h"
#include "proto/storage.h"
#include "rpc/rpc.h"
#include <linux/fs.h>
#include <sys/stat.h>

enum { ID_BLOCK_COUNT = 4096, STRIPE_MAX = 1024 };

struct id_block {
    struct arena *arena;
    uint64_t first;
};

static int id_block_txn(struct kv_txn *txn, void *arg)
{
    struct id_block *block = arg;
    struct meta_key key = key_single("inode-alloc");
    struct bytes value;
    int r = kv_get(txn, meta_key_bytes(&key), KV_SERIALIZABLE, block->arena, &value);
    if (r < 0) return r;
    uint64_t next = INODE_FIRST;
    if (r > 0) {
        r = RECORD_DECODE(block->arena, u64, value, &next);
        if (r < 0) return r;
    }
    if (next > INODE_MAX - ID_BLOCK_COUNT) return -ERR_META_INODE_ID_ALLOC_FAILED;
    block->first = next;
    next += ID_BLOCK_COUNT;
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(block->arena, u64, &next));
    return 0;
}

static int skip_txn(struct kv_txn *txn, void *arg)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct meta_key key = key_single("inode-alloc");
    const uint64_t *count = arg;
    struct bytes value;
    uint64_t next = INODE_FIRST;
    int r = kv_get(txn, meta_key_bytes(&key), KV_SERIALIZABLE, &arena, &value);
    if (r > 0) r = RECORD_DECODE(&arena, u64, value, &next);
    if (r < 0) return r;
    if (next > INODE_MAX - ID_BLOCK_COUNT - *count) return -ERR_META_INODE_ID_ALLOC_FAILED;
    next += *count;
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(&arena, u64, &next));
    return 0;
}

int meta_skip_inode_ids(struct kv *kv, uint64_t count)
{
    return kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, skip_txn, &count);
}

/* A block that is taken in a run whose commit is unknown is never used: ids are plenty. */
int ids_take(struct meta *m, uint64_t *ret)
{
    struct id_allocator *ids = &m->ids;
    while (ids->next == ids->end) {
        int r = fiber_mutex_lock(&ids->refill);
        if (r < 0) return r;
        if (ids->next == ids->end) {
            cleanup_arena_ struct arena arena = { 0 };
            struct id_block block = { .arena = &arena };
            r = kv_transact(m->kv, KV_RETRY_MAYBE_COMMITTED, id_block_txn, &block);
            if (r >= 0) {
                ids->next = block.first;
                ids->end = block.first + ID_BLOCK_COUNT;
            }
        }
        fiber_mutex_unlock(&ids->refill);
        if (r < 0) return r;
    }
    *ret = ids->next++;
    return 0;
}

int layout_check(const struct layout *l)
{
    bool is_power_of_two = l->chunk_size && !(l->chunk_size & (l->chunk_size - 1));
    if (!is_power_of_two || l->chunk_size < CHUNK_BYTES_MIN || l->chunk_size > CHUNK_BYTES_MAX)
        return -ERR_META_INVALID_LAYOUT;
    if (l->stripe == 0 || l->stripe > STRIPE_MAX) return -ERR_META_INVALID_LAYOUT;
    if (l->chains.count && l->chains.count != l->stripe) return -ERR_META_INVALID_LAYOUT;
    return 0;
}

int layout_choose(struct meta *m, struct arena *arena, const struct layout *from,
                  struct layout *ret)
{
    int r = layout_check(from);
    if (r < 0) return r;
    *ret = *from;
    if (from->chains.count) return 0;
    const struct chain_table *table =
        routing_table(m->routing, from->table_id, from->table_version);
    bool has_routing = m->routing->term || m->routing->version;
    if (!table && !has_routing) return -ERR_ROUTING_NOT_READY; /* just started: ask again */
    if (!table || table->chains.count < from->stripe) return -ERR_META_INVALID_LAYOUT;
    ret->table_version = table->version;
    ret->chains = (struct u32_list){ arena_array(arena, uint32_t, from->stripe), from->stripe };
    for (uint32_t i = 0; i < from->stripe; i++)
        ret->chains.items[i] = (m->next_chain + i) % table->chains.count + 1;
    m->next_chain = (m->next_chain + from->stripe) % table->chains.count;
    return 0;
}

static int open_existing(struct kv_txn *txn, struct op *op, const struct stored_dentry *entry)
{
    const struct create_request *req = op->request;
    struct inode_reply *rep = op->reply;
    int r = inode_load(txn, op->arena, entry->inode, KV_SERIALIZABLE, &rep->inode);
    if (r < 0) return r;
    rep->created = uuid_equal(entry->request, op->base->request) && !uuid_is_zero(entry->request);
    if (!rep->created) {
        if (req->exclusive || !S_ISREG(req->mode)) return -ERR_META_EXISTS;
        if (S_ISDIR(rep->inode.mode)) return -ERR_META_IS_DIRECTORY;
        if (!S_ISREG(rep->inode.mode)) return -ERR_META_EXISTS;
        if (rep->inode.flags & FS_IMMUTABLE_FL) return -ERR_META_NO_PERMISSION;
        r = access_check(&op->actor, &rep->inode,
                         uuid_is_zero(req->session) ? ACCESS_READ : ACCESS_WRITE);
        if (r < 0) return r;
    }
    if (uuid_is_zero(req->session)) return 0;
    struct idempotency_record first;
    r = idem_find(txn, op, &first);
    if (r == 0) session_store(txn, op, &rep->inode, &req->session, true);
    return MIN_OF(r, 0);
}

static void inode_fill(struct op *op, const struct inode *dir, struct inode *ret)
{
    const struct create_request *req = op->request;
    *ret = (struct inode){
        .id = op->new_id,
        .mode = req->mode & (S_IFMT | 07777),
        .uid = op->actor.uid,
        .gid = dir->mode & S_ISGID ? dir->gid : op->actor.gid,
        .nlink = 1,
        .rdev = S_ISCHR(req->mode) || S_ISBLK(req->mode) ? req->rdev : 0,
        .atime_ns = op->now_ns,
        .mtime_ns = op->now_ns,
        .ctime_ns = op->now_ns,
        .btime_ns = op->now_ns,
        .change = 1,
        .trim_from = TRIM_NONE,
    };
    if (S_ISREG(ret->mode)) ret->layout = op->new_layout;
    if (S_ISLNK(ret->mode)) {
        ret->symlink = req->symlink;
        ret->length = req->symlink.size;
        ret->mode = S_IFLNK | 0777;
    }
    if (S_ISDIR(ret->mode)) {
        ret->nlink = 2;
        ret->parent = dir->id;
        ret->layout = req->layout.stripe ? req->layout : dir->layout;
        if (dir->mode & S_ISGID) ret->mode |= S_ISGID;
    }
}

static int create_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct create_request *req = op->request;
    struct inode_reply *rep = op->reply;
    struct inode dir;
    struct stored_dentry entry;
    int r =
        load_parent_entry(txn, op->arena, req->parent, req->name, KV_SERIALIZABLE, &dir, &entry);
    if (r < 0) return r;
    bool exists = r > 0;
    /* What is there may have been made after the entry of the first request was removed. */
    bool is_own = exists && uuid_equal(entry.request, op->base->request);
    bool may_be_done = !exists || (!is_own && op->base->flags & META_SENT_AGAIN);
    r = may_be_done ? entry_find_retired(txn, op, &rep->inode) : 0;
    if (r > 0) rep->created = 1;
    if (r != 0) return MIN_OF(r, 0);
    if (exists) {
        r = access_check(&op->actor, &dir, ACCESS_SEARCH);
        return r < 0 ? r : open_existing(txn, op, &entry);
    }
    r = access_check_entry(&op->actor, &dir, NULL);
    if (r < 0) return r;
    if (S_ISREG(req->mode) && op->new_layout.stripe == 0) {
        /* The file's chains come from the directory's layout as this transaction sees it. */
        r = layout_choose(op->meta, op->arena, &dir.layout, &op->new_layout);
        if (r < 0) return r;
    }
    inode_fill(op, &dir, &rep->inode);
    rep->created = 1;
    entry = (struct stored_dentry){ .inode = op->new_id,
                                    .mode = rep->inode.mode & S_IFMT,
                                    .request = op->base->request };
    inode_store(txn, op->arena, &rep->inode);
    dentry_store(txn, op->arena, req->parent, req->name, &entry);
    directory_touch(txn, op->arena, req->parent, op->now_ns);
    if (S_ISDIR(rep->inode.mode)) return directory_add_links(txn, op->arena, req->parent, 1);
    if (S_ISREG(rep->inode.mode)) session_store(txn, op, &rep->inode, &req->session, true);
    return 0;
}

static int create_check(struct rpc_call *call, const struct create_request *req)
{
    int r = name_check(req->name);
    if (r < 0)
        return rpc_fail(call, r, "'%.*s' cannot be a name", (int)MIN_OF(req->name.size, 64u),
                        req->name.base);
    switch (req->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK: break;
    case S_IFLNK:
        if (req->symlink.size == 0)
            return rpc_fail(call, -ERR_META_NOT_FOUND, "a symlink needs a target");
        if (req->symlink.size > SYMLINK_BYTES_MAX) return -ERR_META_NAME_TOO_LONG;
        break;
    default: return rpc_fail(call, -ERR_INVALID_ARG, "mode %o has no known file type", req->mode);
    }
    if (req->layout.stripe && layout_check(&req->layout) < 0)
        return rpc_fail(
            call, -ERR_META_INVALID_LAYOUT,
            "chunk size %u must be a power of two of 64 KiB to 64 MiB, and stripe %u at most %d",
            req->layout.chunk_size, req->layout.stripe, STRIPE_MAX);
    return 0;
}

int on_create(void *self, struct rpc_call *call, const struct create_request *req,
              struct inode_reply *rep)
{
    struct meta *m = self;
    struct op op;
    int r = create_check(call, req);
    if (r < 0) return r;
    r = op_begin(m, call, &req->base, req, rep, &op);
    if (r < 0) return r;
    bool is_device = S_ISCHR(req->mode) || S_ISBLK(req->mode);
    if (is_device && op.actor.uid != 0) return -ERR_META_NO_PERMISSION;
    r = ids_take(m, &op.new_id);
    if (r < 0) return r;
    if (S_ISREG(req->mode) && req->layout.stripe) {
        r = layout_choose(m, op.arena, &req->layout, &op.new_layout);
        if (r < 0) return r;
    }
    /* Links of one directory are counted by read-modify-write: local ones take turns. */
    bool counts_links = S_ISDIR(req->mode);
    if (counts_links) r = inode_lock(&m->locks, req->parent);
    if (r < 0) return r;
    r = op_commit(&op, create_txn);
    if (counts_links) inode_unlock(&m->locks, req->parent);
    if (r == -ERR_META_INVALID_LAYOUT)
        return rpc_fail(
            call, r, "the directory's chain table is missing or has fewer chains than its stripe");
    return r;
}

static int link_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct link_request *req = op->request;
    struct inode_reply *rep = op->reply;
    struct inode dir;
    struct stored_dentry entry;
    int found =
        load_parent_entry(txn, op->arena, req->parent, req->name, KV_SERIALIZABLE, &dir, &entry);
    if (found < 0) return found;
    bool is_replay = found && entry.inode == req->inode && !uuid_is_zero(entry.request) &&
                     uuid_equal(entry.request, op->base->request);
    int r = is_replay ? 0 : entry_find_retired(txn, op, &rep->inode);
    if (r != 0) return MIN_OF(r, 0);
    r = inode_load_bare(txn, op->arena, req->inode, KV_SERIALIZABLE, &rep->inode);
    if (r < 0) return r;
    if (found) return is_replay ? 0 : -ERR_META_EXISTS;
    if (S_ISDIR(rep->inode.mode)) return -ERR_META_NO_PERMISSION;
    if (rep->inode.nlink == 0) return -ERR_META_NOT_FOUND;
    if (rep->inode.flags & FS_IMMUTABLE_FL) return -ERR_META_NO_PERMISSION;
    if (rep->inode.nlink >= LINK_COUNT_MAX) return -ERR_META_TOO_MANY_LINKS;
    r = access_check_entry(&op->actor, &dir, NULL);
    if (r < 0) return r;
    rep->inode.nlink++;
    rep->inode.ctime_ns = op->now_ns;
    rep->inode.change++;
    inode_store(txn, op->arena, &rep->inode);
    entry = (struct stored_dentry){ .inode = req->inode,
                                    .mode = rep->inode.mode & S_IFMT,
                                    .request = op->base->request };
    dentry_store(txn, op->arena, req->parent, req->name, &entry);
    directory_touch(txn, op->arena, req->parent, op->now_ns);
    return 0;
}

int on_link(void *self, struct rpc_call *call, const struct link_request *req,
            struct inode_reply *rep)
{
    struct meta *m = self;
    int r = name_check(req->name);
    if (r < 0) return r;
    r = inode_lock(&m->locks, req->inode);
    if (r < 0) return r;
    r = op_transact(m, call, &req->base, link_txn, req, rep);
    inode_unlock(&m->locks, req->inode);
    return r;
}
