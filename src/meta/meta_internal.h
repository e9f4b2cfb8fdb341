/* meta_internal.h - what the files of the metadata service share: its state, and the frame of an
 * operation.
 *
 * An operation is one function (txn, op) run by op_transact(): it does only KV work and may run
 * twice. Work on chunks (trim, removal, length queries) happens between transactions, through
 * struct meta_data.
 */
#pragma once
#include "base/map.h"
#include "client/mgmtd_client.h"
#include "fiber/sync.h"
#include "meta/access.h"
#include "meta/meta.h"
#include "meta/schema.h"

/* Serialises local read-modify-writes of one inode, so that they do not conflict in the store.
 * Entries exist while somebody holds or waits. */
struct inode_locks {
    struct map locks; /* inode id + 1 -> struct inode_lock * */
};
void inode_locks_init(struct inode_locks *l, uint64_t seed);
void inode_locks_done(struct inode_locks *l);
int inode_lock(struct inode_locks *l, uint64_t inode) fiber_fn must_check;
void inode_unlock(struct inode_locks *l, uint64_t inode);

/* Ids in blocks from the store, handed out from memory. */
struct id_allocator {
    uint64_t next, end;
    struct fiber_mutex refill;
};

struct meta {
    struct node *node;
    struct kv *kv;
    const struct meta_data *data;
    void *data_arg;
    struct routing *routing;
    struct mgmtd_client *mgmtd; /* NULL in tests of the operations */
    struct id_allocator ids;
    struct inode_locks locks;
    struct map suspects; /* sessions.c: session uuid -> struct suspect * */
    uint32_t next_chain; /* round robin over a table, random start */
    struct meta_options options;
    struct statfs_reply space;
    uint64_t space_at_ns; /* node time of @space; 0: never */
    uint64_t *metric_trims, *metric_collected, *metric_collect_failures, *metric_pruned;
};

struct op {
    struct meta *meta;
    struct arena *arena;
    const struct meta_base *base;
    struct actor actor;
    int64_t now_ns; /* wall clock, the same in every run of the transaction */
    const void *request;
    void *reply;
    uint64_t new_id;          /* creations: taken before the transaction */
    struct layout new_layout; /* creations of files: chosen before the transaction */
    uint64_t trim_inode;      /* out: a truncate left chunks to remove; INODE_MAX: none */
    uint64_t queried_length;  /* settle: what the storage said, if it had to be asked */
    bool has_queried, needs_query;
};

/* Runs @fn as a transaction for @base's user; the replay rule of the operation is @fn's own work.
 */
int op_transact(struct meta *m, struct rpc_call *call, const struct meta_base *base,
                int (*fn)(struct kv_txn *txn, void *op), const void *request,
                void *reply) fiber_fn must_check;
int op_begin(struct meta *m, struct rpc_call *call, const struct meta_base *base,
             const void *request, void *reply, struct op *ret) must_check;
int op_commit(struct op *op, int (*fn)(struct kv_txn *txn, void *op)) fiber_fn must_check;

int name_check(struct bytes name) must_check;
/* The parent directory (live, a directory) and the entry: 1, or 0 without one. */
int load_parent_entry(struct kv_txn *txn, struct arena *arena, uint64_t parent, struct bytes name,
                      enum kv_read mode, struct inode *ret_dir,
                      struct stored_dentry *ret) fiber_fn must_check;

/* 1 and the first answer when this request was executed already; the error when it was refused. */
int idem_find(struct kv_txn *txn, const struct op *op,
              struct idempotency_record *ret) fiber_fn must_check;
void idem_store(struct kv_txn *txn, const struct op *op, const struct inode *inode,
                uint64_t offset);
/* The operation's client has the inode open; nothing for a zero session. What was sent again is
 * kept as answered (look with idem_find() before): an earlier request that comes late must not open
 * what was closed meanwhile. */
void session_store(struct kv_txn *txn, const struct op *op, const struct inode *inode,
                   const struct uuid *session, bool writes);

/* An entry names the request that made it, so creations keep no record of their own. Before such an
 * entry is removed, moved or replaced one is kept: a retry that comes late must not make it anew.
 * @inode is as it was before. */
void entry_retire(struct kv_txn *txn, const struct op *op, const struct stored_dentry *entry,
                  const struct inode *inode);
/* 1 and the inode when this request made an entry that is retired. */
int entry_find_retired(struct kv_txn *txn, const struct op *op,
                       struct inode *ret) fiber_fn must_check;

int ids_take(struct meta *m, uint64_t *ret) fiber_fn must_check;
/* Chains for a new file below a directory with @from. */
int layout_choose(struct meta *m, struct arena *arena, const struct layout *from,
                  struct layout *ret) must_check;

/* One link of @inode goes; at none left it becomes garbage, or is erased when nothing of it is
 * elsewhere. */
int inode_drop_link(struct kv_txn *txn, struct op *op, struct inode *inode,
                    struct bytes name) fiber_fn must_check;
void gc_store(struct kv_txn *txn, struct op *op, const struct inode *inode, struct bytes name);
int sessions_exist(struct kv_txn *txn, struct arena *arena, uint64_t inode,
                   const struct uuid *except) fiber_fn must_check;
/* Sets the length; a shrink raises the generation and leaves trim_from, to be finished by
 * trim_finish(). */
int inode_truncate(struct kv_txn *txn, struct op *op, struct inode *inode,
                   uint64_t length) fiber_fn must_check;
/* Removes the chunks of a pending trim and marks it done; 0 also when there is none. */
int trim_finish(struct meta *m, struct arena *arena, uint64_t inode) fiber_fn must_check;

/* Handlers, by file. */
extern const struct meta_handlers meta_handlers;
int on_lookup(void *self, struct rpc_call *call, const struct lookup_request *req,
              struct inode_reply *rep);
int on_stat(void *self, struct rpc_call *call, const struct stat_request *req,
            struct stat_reply *rep);
int on_list(void *self, struct rpc_call *call, const struct list_request *req,
            struct list_reply *rep);
int on_real_path(void *self, struct rpc_call *call, const struct inode_request *req,
                 struct real_path_reply *rep);
int on_create(void *self, struct rpc_call *call, const struct create_request *req,
              struct inode_reply *rep);
int on_link(void *self, struct rpc_call *call, const struct link_request *req,
            struct inode_reply *rep);
int on_remove(void *self, struct rpc_call *call, const struct remove_request *req,
              struct inode_reply *rep);
int on_rename(void *self, struct rpc_call *call, const struct rename_request *req,
              struct inode_reply *rep);
int on_open(void *self, struct rpc_call *call, const struct open_request *req,
            struct inode_reply *rep);
int on_settle(void *self, struct rpc_call *call, const struct settle_request *req,
              struct inode_reply *rep);
int on_close(void *self, struct rpc_call *call, const struct close_request *req,
             struct empty_record *rep);
int on_append(void *self, struct rpc_call *call, const struct append_request *req,
              struct append_reply *rep);
int on_setattr(void *self, struct rpc_call *call, const struct setattr_request *req,
               struct inode_reply *rep);
int on_finish_trim(void *self, struct rpc_call *call, const struct inode_request *req,
                   struct inode_reply *rep);
int on_xattr_get(void *self, struct rpc_call *call, const struct xattr_request *req,
                 struct xattr_reply *rep);
int on_xattr_set(void *self, struct rpc_call *call, const struct xattr_request *req,
                 struct empty_record *rep);
int on_xattr_list(void *self, struct rpc_call *call, const struct xattr_request *req,
                  struct xattr_reply *rep);
int on_xattr_remove(void *self, struct rpc_call *call, const struct xattr_request *req,
                    struct empty_record *rep);
int on_statfs(void *self, struct rpc_call *call, const struct base_request *req,
              struct statfs_reply *rep);
int on_gc_list(void *self, struct rpc_call *call, const struct list_request *req,
               struct gc_list_reply *rep);
int on_session_prune(void *self, struct rpc_call *call, const struct base_request *req,
                     struct count_reply *rep);

/* Background fibers, until cancelled. */
int collect_run(void *meta);  /* garbage, by shards of this server */
int sessions_run(void *meta); /* dead clients' sessions */
int trims_run(void *meta);    /* trims that their server did not finish */
int idem_run(void *meta);     /* old idempotency records */
/* One pass each, for tests and admin; they return how much they did or an error. */
int collect_once(struct meta *m) fiber_fn must_check;
int sessions_once(struct meta *m) fiber_fn must_check;
/* Ends the sessions of all clients but those. */
void suspects_done(struct meta *m);
int sessions_prune(struct meta *m, const struct client_session_list *alive) fiber_fn must_check;
int trims_once(struct meta *m, uint64_t age_ns) fiber_fn must_check;
int idem_once(struct meta *m, uint64_t age_ns) fiber_fn must_check;
/* True when this server works on @key of the background jobs: rendezvous over the live meta nodes.
 */
bool meta_owns(const struct meta *m, uint64_t key);
