/* op.c - the frame of an operation: who asks, the transaction, the answer that is kept for retries.
 */
#include "meta/meta_internal.h"

#include "base/check.h"
#include "loop/fault.h"
#include "rpc/rpc.h"
#include <sys/stat.h>

struct inode_lock {
    struct fiber_mutex mutex;
    uint32_t users;
};

void inode_locks_init(struct inode_locks *l, uint64_t seed)
{
    map_init(&l->locks, seed);
}

void inode_locks_done(struct inode_locks *l)
{
    check(l->locks.count == 0);
    map_done(&l->locks);
}

static void inode_lock_drop(struct inode_locks *l, uint64_t inode, struct inode_lock *lock)
{
    if (--lock->users) return;
    map_remove(&l->locks, inode + 1);
    free(lock);
}

int inode_lock(struct inode_locks *l, uint64_t inode)
{
    struct inode_lock *lock = map_get(&l->locks, inode + 1);
    if (!lock) {
        lock = new_zero(struct inode_lock);
        fiber_mutex_init(&lock->mutex);
        map_put(&l->locks, inode + 1, lock);
    }
    lock->users++;
    int r = fiber_mutex_lock(&lock->mutex);
    if (r < 0) inode_lock_drop(l, inode, lock);
    return r;
}

void inode_unlock(struct inode_locks *l, uint64_t inode)
{
    struct inode_lock *lock = map_get(&l->locks, inode + 1);
    check(lock != NULL);
    fiber_mutex_unlock(&lock->mutex);
    inode_lock_drop(l, inode, lock);
}

int op_begin(struct meta *m, struct rpc_call *call, const struct meta_base *base,
             const void *request, void *reply, struct op *ret)
{
    *ret = (struct op){
        .meta = m,
        .arena = call->arena,
        .base = base,
        .now_ns = (int64_t)node_wall_ns(m->node),
        .request = request,
        .reply = reply,
        .trim_inode = INODE_MAX,
    };
    int r = actor_of(call->peer, base, &ret->actor);
    if (r < 0)
        return rpc_fail(call, r, "uid %u may not act as uid %u", call->peer->uid, base->user.uid);
    return 0;
}

struct answer {
    struct op *op;
    int (*fn)(struct kv_txn *txn, void *op);
    int refusal;
};

/* Whichever key the operation looks for its answer under. */
static void refusal_store(struct kv_txn *txn, const struct op *op, int refusal)
{
    static const struct uuid nobody;
    struct meta_key own = key_idempotency(&op->base->client, &op->base->request);
    struct meta_key entry = key_idempotency(&nobody, &op->base->request);
    struct idempotency_record record = { .time_ns = op->now_ns, .status = (uint32_t)-refusal };
    struct bytes value = RECORD_ENCODE(op->arena, idempotency_record, &record);
    kv_set(txn, meta_key_bytes(&own), value);
    kv_set(txn, meta_key_bytes(&entry), value);
}

/* What was refused to one who asked again must not be done later, when the first request arrives
 * after all: the refusal, which depends on all that was read, is kept as the answer. */
static int answer_txn(struct kv_txn *txn, void *arg)
{
    struct answer *a = arg;
    const struct meta_base *base = a->op->base;
    a->refusal = 0;
    int r = a->fn(txn, a->op);
    bool is_refusal = r < 0 && error_action(r) == ACTION_FAIL && r != -ERR_CANCELED;
    bool is_kept = (base->flags & META_SENT_AGAIN) && !uuid_is_zero(base->request);
    if (!is_refusal || !is_kept) return r;
    kv_forget_writes(txn);
    refusal_store(txn, a->op, r);
    a->refusal = r;
    return 0;
}

int op_commit(struct op *op, int (*fn)(struct kv_txn *txn, void *op))
{
    struct answer a = { .op = op, .fn = fn };
    int r = kv_transact(op->meta->kv, KV_RETRY_MAYBE_COMMITTED, answer_txn, &a);
    if (r >= 0) r = FAULT("meta.operation.committed");
    return r >= 0 && a.refusal ? a.refusal : r;
}

int op_transact(struct meta *m, struct rpc_call *call, const struct meta_base *base,
                int (*fn)(struct kv_txn *txn, void *op), const void *request, void *reply)
{
    struct op op;
    int r = op_begin(m, call, base, request, reply, &op);
    return r < 0 ? r : op_commit(&op, fn);
}

int name_check(struct bytes name)
{
    if (name.size > NAME_BYTES_MAX) return -ERR_META_NAME_TOO_LONG;
    if (name.size == 0 || memchr(name.base, '/', name.size) || memchr(name.base, 0, name.size))
        return -ERR_INVALID_ARG;
    if (bytes_equal_text(name, ".") || bytes_equal_text(name, "..")) return -ERR_INVALID_ARG;
    return 0;
}

int load_parent_entry(struct kv_txn *txn, struct arena *arena, uint64_t parent, struct bytes name,
                      enum kv_read mode, struct inode *ret_dir, struct stored_dentry *ret)
{
    struct meta_key dir_key = key_inode(parent), entry_key = key_dentry(parent, name);
    struct bytes keys[2] = { meta_key_bytes(&dir_key), meta_key_bytes(&entry_key) }, values[2];
    bool found[2];
    int r = kv_get_many(txn, keys, 2, mode, arena, found, values);
    if (r < 0) return r;
    if (!found[0]) return -ERR_META_NOT_FOUND;
    struct stored_inode stored;
    r = RECORD_DECODE(arena, stored_inode, values[0], &stored);
    if (r < 0) return r;
    *ret_dir = stored.inode;
    if (!S_ISDIR(ret_dir->mode)) return -ERR_META_NOT_DIRECTORY;
    if (ret_dir->nlink == 0) return -ERR_META_NOT_FOUND;
    if (!found[1]) return 0;
    r = RECORD_DECODE(arena, stored_dentry, values[1], ret);
    return r < 0 ? r : 1;
}

int idem_find(struct kv_txn *txn, const struct op *op, struct idempotency_record *ret)
{
    if (uuid_is_zero(op->base->request)) return 0;
    struct meta_key key = key_idempotency(&op->base->client, &op->base->request);
    struct bytes value;
    int r = kv_get(txn, meta_key_bytes(&key), KV_SERIALIZABLE, op->arena, &value);
    if (r <= 0) return r;
    r = RECORD_DECODE(op->arena, idempotency_record, value, ret);
    if (r < 0) return r;
    return ret->status ? -(int)ret->status : 1;
}

void idem_store(struct kv_txn *txn, const struct op *op, const struct inode *inode, uint64_t offset)
{
    if (uuid_is_zero(op->base->request) || MUTANT(IDEMPOTENCY_LOST)) return;
    struct meta_key key = key_idempotency(&op->base->client, &op->base->request);
    struct idempotency_record record = { .time_ns = op->now_ns, .inode = *inode, .offset = offset };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(op->arena, idempotency_record, &record));
}

void session_store(struct kv_txn *txn, const struct op *op, const struct inode *inode,
                   const struct uuid *session, bool writes)
{
    if (uuid_is_zero(*session)) return;
    struct meta_key key = key_session(inode->id, session);
    struct stored_session s = { .client = op->base->client,
                                .opened_ns = op->now_ns,
                                .writes = writes };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(op->arena, stored_session, &s));
    if (op->base->flags & META_SENT_AGAIN) idem_store(txn, op, inode, 0);
}

void entry_retire(struct kv_txn *txn, const struct op *op, const struct stored_dentry *entry,
                  const struct inode *inode)
{
    static const struct uuid nobody;
    if (uuid_is_zero(entry->request)) return;
    /* The inode has changed no earlier than its entry was made; no retry comes that late. */
    int64_t age_ns = op->now_ns - inode->ctime_ns;
    if (age_ns > 0 && (uint64_t)age_ns > op->meta->options.idempotency_ns) return;
    struct meta_key key = key_idempotency(&nobody, &entry->request);
    struct idempotency_record record = { .time_ns = op->now_ns, .inode = *inode };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(op->arena, idempotency_record, &record));
}

int entry_find_retired(struct kv_txn *txn, const struct op *op, struct inode *ret)
{
    static const struct uuid nobody;
    if (uuid_is_zero(op->base->request)) return 0;
    struct meta_key key = key_idempotency(&nobody, &op->base->request);
    struct idempotency_record record;
    struct bytes value;
    int r = kv_get(txn, meta_key_bytes(&key), KV_SERIALIZABLE, op->arena, &value);
    if (r <= 0) return r;
    r = RECORD_DECODE(op->arena, idempotency_record, value, &record);
    if (r < 0) return r;
    if (record.status) return -(int)record.status;
    r = inode_load(txn, op->arena, record.inode.id, KV_SERIALIZABLE, ret);
    if (r < 0 && r != -ERR_META_NOT_FOUND) return r;
    if (r == -ERR_META_NOT_FOUND) {
        *ret = record.inode;
        ret->nlink = 0;
    }
    return 1;
}
