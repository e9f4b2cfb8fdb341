/* bootstrap.h - from an empty store and empty disks to a cluster that can be mounted, in two steps.
 *
 *   store   before any service runs: the cluster's id and key, configurations, the root directory
 *   rest    once mgmtd and the storages run: the first root user, targets, chains, chain table
 *
 * Both do what is missing and leave alone what is there, so that they may run again after a crash
 * or at every start; each thing done is one line of the node's log.
 */
#pragma once
#include "config/settings.h"
#include "loop/node.h"

#define BOOTSTRAP_SETTINGS(S)                                                                      \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster")                      \
    S(TEXT, kv_path, "kv_path", "/var/lib/3fs/kv", NODE, "directory of the embedded store")        \
    S(TEXT, cluster_key, "cluster_key", "", NODE, "k1:…; empty: the store's, made if it has none") \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "addresses of the cluster managers")   \
    S(TEXT, token_file, "token_file", "", NODE,                                                    \
      "where the first root user's token is written (0600, never overwritten); empty: nowhere")    \
    S(BOOL, store_only, "store_only", "false", COLD, "only the first step")                        \
    S(U32, storage_count, "storages", "5", COLD, "waits until so many have reported their disks")  \
    S(U32, replica_count, "replicas", "3", COLD, "targets of a chain, each on another node")       \
    S(U32, target_count, "targets_per_disk", "6", COLD, "at least; more if the chains ask for it") \
    S(U32, chain_table, "chain_table", "1", COLD, "number of the chain table")                     \
    S(SIZE, chunk_bytes, "chunk_size", "1MB", COLD, "of the root directory's layout")              \
    S(U32, stripe, "stripe", "5", COLD, "chains that a file is spread over")                       \
    S(U32, owner_uid, "owner_uid", "0", COLD, "whose the root directory is at first")              \
    S(U32, owner_gid, "owner_gid", "0", COLD, "its group")
SETTINGS_STRUCT(bootstrap_options, BOOTSTRAP_SETTINGS)
extern const struct setting bootstrap_settings_table[];

/* Ends by itself; waits for what it needs until the fiber's deadline. 0 when all of it is there. */
int cluster_bootstrap(struct node *node,
                      const struct bootstrap_options *options) fiber_fn must_check;
