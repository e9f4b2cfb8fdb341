/* bootstrap.h - from an empty store and empty disks to a cluster that can be mounted, in two steps.
 *
 *   store    before any service runs: the cluster's id and key, the root directory, the root user
 *   chains   once mgmtd and the storages run: targets, chains, chain table
 *
 * Both do what is missing and leave alone what is there, so that they may run again after a crash
 * or at every start. The role `bootstrap` (behind `c3fs up`) and the admin tool's command run the
 * same code and differ only in whom they tell.
 */
#pragma once
#include "client/mgmtd_client.h"
#include "config/settings.h"
#include "kv/kv.h"
#include "loop/node.h"

#define BOOTSTRAP_SETTINGS(S)                                                                      \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster")                      \
    S(TEXT, kv_path, "kv_path", "/var/lib/3fs/kv", NODE, "directory of the embedded store")        \
    S(TEXT, cluster_key, "cluster_key", "", NODE, "k1:…; empty: the store's, made if it has none") \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "addresses of the cluster managers")   \
    S(TEXT, token_file, "token_file", "", NODE,                                                    \
      "where the first root user's token is written (0600, never overwritten); empty: nowhere")    \
    S(BOOL, store_only, "store_only", "false", COLD, "only the first step")                        \
    S(U32, storage_count, "storages", "5", COLD,                                                   \
      "waits until so many have reported their disks; 0: all that are registered")                 \
    S(U32, replica_count, "replicas", "3", COLD, "targets of a chain, each on another node")       \
    S(U32, target_count, "targets_per_disk", "6", COLD, "at least; more if the chains ask for it") \
    S(U32, chain_table, "chain_table", "1", COLD, "number of the chain table")                     \
    S(SIZE, chunk_bytes, "chunk_size", "1MB", COLD, "of the root directory's layout")              \
    S(U32, stripe, "stripe", "5", COLD, "chains that a file is spread over")                       \
    S(U32, owner_uid, "owner_uid", "0", COLD, "whose the root directory is at first")              \
    S(U32, owner_gid, "owner_gid", "0", COLD, "its group")
SETTINGS_STRUCT(bootstrap_options, BOOTSTRAP_SETTINGS)
extern const struct setting bootstrap_settings_table[];

struct bootstrap {
    struct node *node;
    const struct bootstrap_options *options;
    struct kv *kv;              /* borrowed; NULL: the store cannot be reached from here */
    struct mgmtd_client *mgmtd; /* borrowed; of the second step, and the first without a store */
    /* What was done, what is doubtful, and, with its error, what failed: one line each. */
    void (*say)(void *arg, enum log_level level, int r, const char *text);
    void *arg;
    bool grows;          /* a cluster that was made before: also chains for disks without any */
    bool keeps_replicas; /* these with as many replicas as the chains that are there */
    struct arena arena;  /* the caller ends it */
};

/* On b->kv. What fails has been said. */
int bootstrap_store(struct bootstrap *b, uint8_t ret_key[AUTH_KEY_BYTES]) fiber_fn must_check;
/* Through b->mgmtd, when there is no store here: the first root user, if there is none. */
int bootstrap_user(struct bootstrap *b) fiber_fn must_check;
/* Through b->mgmtd; waits for storages, and in the end for the chains, until the fiber's deadline.
 * When the chain table was there, b->grows decides what happens to disks that came since. What
 * fails has been said. */
int bootstrap_chains(struct bootstrap *b) fiber_fn must_check;
/* For these two. Returns @r. */
int bootstrap_say(struct bootstrap *b, enum log_level level, int r, const char *fmt, ...)
    printf_(4, 5);

/* What the kinds of the settings cannot say: 0, or -ERR_CONFIG_INVALID_VALUE with one line. */
int bootstrap_check(const void *options, struct arena *arena, const char **ret_error) must_check;
/* The role: both steps with what the options say, told to the log. Ends by itself; 0 when all of it
 * is there. */
int cluster_bootstrap(struct node *node,
                      const struct bootstrap_options *options) fiber_fn must_check;
