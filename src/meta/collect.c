/* collect.c - garbage: chunks and inodes of unlinked files, trees that were removed by one rename.
 *
 * An entry is collected after its delay and once no session holds the inode. Every step may be
 * repeated, by this server after a crash or by another at the same time: removing chunks twice is
 * nothing, and the transactions look again at what they erase. Shards are divided over the live
 * metadata servers only so that work is not done twice.
 */
#include "meta/meta_internal.h"

#include "base/check.h"
#include "loop/fault.h"
#include <sys/stat.h>

enum { COLLECT_PAGE = 512, TREE_PAGE = 64 };
#define COLLECT_IDLE_NS (500 * MSEC)

struct collection {
    struct meta *meta;
    struct fiber_semaphore slots;
    int count, first_error;
};

struct item {
    struct collection *collection;
    uint64_t inode;
    struct stored_gc entry;
};

struct erase {
    struct arena *arena;
    struct op op; /* frame for the helpers that creations of garbage share */
    uint64_t inode;
    struct inode loaded;
    bool is_held, is_done;
};

static int load_txn(struct kv_txn *txn, void *arg)
{
    struct erase *e = arg;
    int r = sessions_exist(txn, e->arena, e->inode, NULL);
    if (r < 0) return r;
    e->is_held = r > 0 && !MUTANT(OPEN_FILE_COLLECTED);
    r = inode_load_bare(txn, e->arena, e->inode, KV_SNAPSHOT, &e->loaded);
    e->is_done = r == -ERR_META_NOT_FOUND;
    return e->is_done ? 0 : r;
}

static int erase_txn(struct kv_txn *txn, void *arg)
{
    struct erase *e = arg;
    struct meta_key key = key_gc(e->inode), trim = key_trim(e->inode);
    struct inode inode;
    int r = inode_load_bare(txn, e->arena, e->inode, KV_SERIALIZABLE, &inode);
    if (r < 0 && r != -ERR_META_NOT_FOUND) return r;
    if (r >= 0) {
        if (inode.nlink != 0) return -ERR_META_INCONSISTENT;
        r = sessions_exist(txn, e->arena, e->inode, NULL);
        if (r < 0) return r;
        if (r > 0 && !MUTANT(OPEN_FILE_COLLECTED)) return -ERR_META_BUSY;
        inode_erase(txn, &inode);
    }
    kv_clear(txn, meta_key_bytes(&key));
    kv_clear(txn, meta_key_bytes(&trim));
    return 0;
}

/* 1 when collected, 0 when it has to wait. */
static int collect_file(struct meta *m, uint64_t inode)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct erase e = { .arena = &arena, .inode = inode };
    int r = kv_read_only(m->kv, load_txn, &e);
    if (r < 0 || e.is_held) return r < 0 ? r : 0;
    if (!e.is_done && S_ISREG(e.loaded.mode)) {
        r = m->data->remove(m->data_arg, &e.loaded);
        if (r < 0) return r;
    }
    r = kv_transact(m->kv, KV_RETRY_MAYBE_COMMITTED, erase_txn, &e);
    if (r == -ERR_META_BUSY) return 0;
    return r < 0 ? r : 1;
}

static int take_entry(struct kv_txn *txn, struct erase *e, const struct kv_pair *pair)
{
    struct stored_dentry entry;
    int r = RECORD_DECODE(e->arena, stored_dentry, pair->value, &entry);
    if (r < 0) return r;
    struct inode inode;
    struct bytes name = key_name_of(pair->key);
    kv_clear(txn, pair->key);
    r = inode_load_bare(txn, e->arena, entry.inode, KV_SERIALIZABLE, &inode);
    if (r == -ERR_META_NOT_FOUND) return 0;
    if (r < 0) return r;
    if (!S_ISDIR(inode.mode)) return inode_drop_link(txn, &e->op, &inode, name);
    inode.nlink = 0;
    inode.parent = INODE_GC_ROOT;
    inode_store(txn, e->arena, &inode);
    gc_store(txn, &e->op, &inode, name);
    return 0;
}

static int tree_txn(struct kv_txn *txn, void *arg)
{
    struct erase *e = arg;
    struct meta_key begin = key_dentry(e->inode, bytes_of(NULL, 0)), end = key_after_prefix(&begin);
    struct kv_pairs pairs;
    int r = kv_get_range(txn, meta_key_bytes(&begin), meta_key_bytes(&end), TREE_PAGE,
                         KV_SERIALIZABLE, e->arena, &pairs);
    for (uint32_t i = 0; r >= 0 && i < pairs.count; i++)
        r = take_entry(txn, e, &pairs.items[i]);
    if (r < 0) return r;
    e->is_done = !pairs.has_more;
    if (!e->is_done) return 0;
    struct inode dir = { .id = e->inode, .mode = S_IFDIR };
    struct meta_key key = key_gc(e->inode);
    inode_erase(txn, &dir);
    kv_clear(txn, meta_key_bytes(&key));
    return 0;
}

static int collect_directory(struct meta *m, uint64_t inode)
{
    struct erase e = { .inode = inode };
    while (!e.is_done) {
        cleanup_arena_ struct arena arena = { 0 };
        e.arena = &arena;
        e.op = (struct op){ .meta = m, .arena = &arena, .now_ns = (int64_t)node_wall_ns(m->node) };
        int r = kv_transact(m->kv, KV_RETRY_MAYBE_COMMITTED, tree_txn, &e);
        if (r < 0) return r;
    }
    return 1;
}

static int item_run(void *arg)
{
    struct item *item = arg;
    struct collection *c = item->collection;
    FIBER_TIMEOUT(60 * SEC);
    bool is_directory = S_ISDIR(item->entry.mode);
    int r =
        is_directory ? collect_directory(c->meta, item->inode) : collect_file(c->meta, item->inode);
    if (r > 0) c->count++;
    if (r > 0) ++*c->meta->metric_collected;
    if (r < 0 && r != -ERR_CANCELED) {
        ++*c->meta->metric_collect_failures;
        if (c->first_error == 0) c->first_error = r;
    }
    fiber_semaphore_give(&c->slots, 1);
    free(item);
    return 0;
}

static bool is_due(const struct meta *m, const struct stored_gc *entry, int64_t now_ns)
{
    if (S_ISDIR(entry->mode)) return true;
    int64_t age_ns = now_ns - entry->since_ns;
    return age_ns < 0 || (uint64_t)age_ns >= m->options.gc_delay_ns;
}

static int shard_page(struct collection *c, struct scope *scope, struct arena *arena,
                      const struct kv_pairs *pairs)
{
    int64_t now_ns = (int64_t)node_wall_ns(c->meta->node);
    for (uint32_t i = 0; i < pairs->count; i++) {
        struct stored_gc entry;
        int r = RECORD_DECODE(arena, stored_gc, pairs->items[i].value, &entry);
        if (r < 0) return r;
        if (!is_due(c->meta, &entry, now_ns)) continue;
        r = fiber_semaphore_take(&c->slots, 1);
        if (r < 0) return r;
        struct item *item = new_zero(struct item);
        *item = (struct item){ .collection = c,
                               .inode = key_inode_of_gc(pairs->items[i].key),
                               .entry = entry };
        r = fiber_spawn(scope, "collect", item_run, item);
        if (r < 0) {
            free(item);
            fiber_semaphore_give(&c->slots, 1);
            return r;
        }
    }
    return 0;
}

struct page {
    struct arena *arena;
    struct bytes begin, end;
    struct kv_pairs pairs;
};

static int page_txn(struct kv_txn *txn, void *arg)
{
    struct page *p = arg;
    return kv_get_range(txn, p->begin, p->end, COLLECT_PAGE, KV_SNAPSHOT, p->arena, &p->pairs);
}

static int shard_collect(struct collection *c, struct scope *scope, uint32_t shard)
{
    struct meta_key begin = key_gc_shard(shard), end = key_after_prefix(&begin);
    struct meta_key from = begin;
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct page p = { .arena = &arena,
                          .begin = meta_key_bytes(&from),
                          .end = meta_key_bytes(&end) };
        int r = kv_read_only(c->meta->kv, page_txn, &p);
        if (r >= 0) r = shard_page(c, scope, &arena, &p.pairs);
        if (r < 0 || !p.pairs.has_more || !p.pairs.count) return r;
        struct bytes last = p.pairs.items[p.pairs.count - 1].key;
        check(last.size < sizeof from.data);
        memcpy(from.data, last.base, last.size);
        from.data[last.size] = 0;
        from.size = last.size + 1;
    }
}

int collect_once(struct meta *m)
{
    struct collection c = { .meta = m };
    fiber_semaphore_init(&c.slots, m->options.gc_concurrency);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = m->node;
    int r = 0;
    for (uint32_t shard = 0; r >= 0 && shard < GC_SHARD_COUNT; shard++)
        if (meta_owns(m, shard)) r = shard_collect(&c, &scope, shard);
    int joined = scope_wait(&scope);
    if (r >= 0) r = joined;
    if (r >= 0) r = c.first_error;
    return r < 0 ? r : c.count;
}

int collect_run(void *arg)
{
    struct meta *m = arg;
    uint64_t pause_ns = COLLECT_IDLE_NS;
    while (!fiber_is_cancelled()) {
        int r = collect_once(m);
        if (r < 0 && r != -ERR_CANCELED) {
            log_warn(&m->node->log, r, "collection of removed files waits %llu s",
                     (unsigned long long)(pause_ns / SEC));
            pause_ns = MIN_OF(pause_ns * 2, 30 * SEC);
        } else {
            pause_ns = COLLECT_IDLE_NS;
        }
        r = fiber_sleep(pause_ns);
        if (r < 0) return r;
    }
    return -ERR_CANCELED;
}

static int gc_list_txn(struct kv_txn *txn, void *arg)
{
    struct op *op = arg;
    const struct list_request *req = op->request;
    struct gc_list_reply *rep = op->reply;
    struct meta_key begin = key_prefix("GCEN"), end = key_after_prefix(&begin);
    struct meta_key prev = key_gc(req->parent);
    struct bytes first = meta_key_bytes(&begin);
    if (req->parent) first = kv_key_after(op->arena, meta_key_bytes(&prev));
    uint32_t limit = req->count_max ? MIN_OF(req->count_max, 4096u) : 256;
    struct kv_pairs pairs;
    int r = kv_get_range(txn, first, meta_key_bytes(&end), limit, KV_SNAPSHOT, op->arena, &pairs);
    if (r < 0) return r;
    rep->more = pairs.has_more;
    rep->entries =
        (struct gc_entry_list){ arena_array(op->arena, struct gc_entry, pairs.count), pairs.count };
    for (uint32_t i = 0; i < pairs.count; i++) {
        struct stored_gc entry;
        r = RECORD_DECODE(op->arena, stored_gc, pairs.items[i].value, &entry);
        if (r < 0) return r;
        rep->entries.items[i] = (struct gc_entry){ .name = entry.origin,
                                                   .inode = key_inode_of_gc(pairs.items[i].key),
                                                   .mode = entry.mode,
                                                   .since_ns = entry.since_ns,
                                                   .origin = entry.origin };
    }
    return 0;
}

int on_gc_list(void *self, struct rpc_call *call, const struct list_request *req,
               struct gc_list_reply *rep)
{
    struct meta *m = self;
    struct op op;
    int r = op_begin(m, call, &req->base, req, rep, &op);
    if (r < 0) return r;
    if (op.actor.uid != 0) return -ERR_META_NO_PERMISSION;
    return kv_read_only(m->kv, gc_list_txn, &op);
}
