/* meta.h - the metadata role: stateless; every operation is one transaction on the key-value store.
 *
 * Any number of instances run side by side on one store. Files: lookup.c create.c remove.c rename.c
 * setattr.c settle.c xattr.c (operations), collect.c sessions.c (background), schema.c access.c
 * (records, rules).
 */
#pragma once
#include "config/settings.h"
#include "kv/kv.h"
#include "proto/meta.h"

#define META_SETTINGS(S)                                                                           \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster")                      \
    S(U32, node_id, "node_id", "0", NODE, "number of this node, unique in the cluster")            \
    S(TEXT, listen, "listen", "TCP://0.0.0.0:8001", NODE, "address to serve at")                   \
    S(TEXT, advertise, "advertise", "", NODE,                                                      \
      "address that peers use; empty: as listen, with the host's name")                            \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "addresses of the cluster managers")   \
    S(TEXT, kv_path, "kv_path", "/var/lib/3fs/kv", NODE, "directory of the embedded store")        \
    S(TEXT, cluster_key, "cluster_key", "", NODE, "k1:…; empty: read from the store")              \
    S(DURATION, gc_delay_ns, "gc.file_delay", "5s", HOT,                                           \
      "how long an unlinked file's chunks stay, for readers on other mounts")                      \
    S(U32, gc_concurrency, "gc.concurrency", "32", HOT, "files that are collected at a time")      \
    S(DURATION, session_scan_ns, "session.scan_interval", "5s", HOT,                               \
      "how often dead clients' sessions are looked for")                                           \
    S(DURATION, session_grace_ns, "session.grace", "30s", HOT,                                     \
      "so long a session's client is unknown before the session goes")                             \
    S(DURATION, idempotency_ns, "idempotency.expire", "30min", HOT,                                \
      "how long the answer of a change is kept for retries")
SETTINGS_STRUCT(meta_settings, META_SETTINGS)
extern const struct setting meta_settings_table[];

/* The role's main: runs until cancelled. */
int meta_run(struct node *node, const struct meta_settings *settings) fiber_fn must_check;
/* The same on a store that is open already (borrowed). */
int meta_run_on(struct node *node, const struct meta_settings *settings,
                struct kv *kv) fiber_fn must_check;

/* ---- for init-cluster, the simulator and tests ---- */

/* Whether files could have this layout: -ERR_META_INVALID_LAYOUT. */
int layout_check(const struct layout *l) must_check;
/* Creates root, @owner's, and the collection's root with this layout; 0 also when they exist. */
int meta_init_file_system(struct node *node, struct kv *kv, const struct layout *root,
                          const struct user_info *owner) fiber_fn must_check;

/* The next @count inode ids are never given: for a store that is put back to an earlier time. */
int meta_skip_inode_ids(struct kv *kv, uint64_t count) fiber_fn must_check;

/* The chunk side of files, as the operations need it; production uses file_io.h. */
struct meta_data {
    int (*trim)(void *arg, const struct inode *inode, uint64_t length);
    int (*remove)(void *arg, const struct inode *inode);
    int (*query_length)(void *arg, const struct inode *inode, uint64_t *ret_length);
};
struct meta_options {
    uint32_t node_id;
    uint64_t gc_delay_ns;
    uint32_t gc_concurrency;
    uint64_t session_scan_ns, session_grace_ns, idempotency_ns;
};
struct routing;
struct mgmtd_client;
struct meta;
/* A service over given parts (all borrowed); @mgmtd may be NULL: then no sessions are pruned and
 * one server owns everything. */
struct meta *meta_new(struct node *node, struct kv *kv, struct routing *routing,
                      struct mgmtd_client *mgmtd, const struct meta_data *data, void *data_arg,
                      const struct meta_options *options);
struct meta *meta_free(struct meta *m);
struct rpc_server;
void meta_serve(struct meta *m, struct rpc_server *server);
/* Starts the background fibers in @scope. */
int meta_start_background(struct meta *m, struct scope *scope) must_check;
