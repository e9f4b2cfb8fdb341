/* cluster_init.h - the first records of a cluster: its id, its key, and the configurations of its
 * services.
 *
 * Running it again changes nothing: the key is made once, and a store that belongs to another
 * cluster is refused. The root directory is made by src/meta.
 */
#pragma once
#include "kv/kv.h"
#include "proto/mgmtd.h"
#include "rpc/auth.h"

enum { CLUSTER_ID_BYTES_MAX = 31 }; /* the mount's fsname carries it */

struct cluster_identity {
    char cluster_id[CLUSTER_ID_BYTES_MAX + 1];
    uint8_t key[AUTH_KEY_BYTES];
};

struct cluster_init_options {
    const char *cluster_id;
    const uint8_t *key;                  /* AUTH_KEY_BYTES, or NULL: make one */
    struct bytes configs[NODE_TYPE_MAX]; /* TOML per type; base NULL: none */
    bool allow_existing_config;          /* store it as the next version instead of refusing */
};

/* -ERR_INVALID_ARG (the id: 1 to 31 letters, digits, '-', '_', '.'), -ERR_MGMTD_CLUSTER_ID_MISMATCH
 * (another id or key), -ERR_META_EXISTS (a configuration is there). @ret_versions (NODE_TYPE_MAX;
 * may be NULL): the version stored for each type, 0 for none. */
int cluster_init(struct node *node, struct kv *kv, const struct cluster_init_options *options,
                 struct cluster_identity *ret, uint64_t *ret_versions) fiber_fn must_check;
/* -ERR_META_BAD_FILE_SYSTEM: nobody has initialised this store. */
int cluster_load(struct kv *kv, struct cluster_identity *ret) fiber_fn must_check;
/* The key that services share: @text ("k1:...", as CLUSTER_KEY gives it), or that of the store when
 * it is NULL or empty. -ERR_INVALID_ARG (malformed), -ERR_META_BAD_FILE_SYSTEM. */
int cluster_key_get(struct kv *kv, const char *text,
                    uint8_t ret_key[AUTH_KEY_BYTES]) fiber_fn must_check;
