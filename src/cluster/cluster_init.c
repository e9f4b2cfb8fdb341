/* cluster_init.c - the bootstrap transaction, and reading what it left.
 */
#include "cluster/cluster_init.h"

#include "cluster/schema.h"

#include <ctype.h>

static bool is_cluster_id(const char *id)
{
    size_t size = strlen(id);
    if (size == 0 || size > CLUSTER_ID_BYTES_MAX) return false;
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)id[i]) && !strchr("-_.", id[i])) return false;
    }
    return true;
}

struct init_op {
    const struct cluster_init_options *options;
    uint64_t now_wall_ns;
    uint8_t new_key[AUTH_KEY_BYTES];
    struct cluster_identity identity;
    uint64_t versions[NODE_TYPE_MAX];
};

static int read_identity(struct kv_txn *txn, struct arena *arena, struct cluster_identity *ret)
{
    struct cluster_record cluster;
    struct cluster_key_record key;
    int r = schema_get_cluster(txn, arena, &cluster);
    if (r <= 0) return r;
    r = schema_get_cluster_key(txn, arena, &key);
    if (r < 0) return r;
    if (r == 0 || key.key.size != sizeof ret->key || cluster.cluster_id.size > CLUSTER_ID_BYTES_MAX)
        return -ERR_INVALID_FORMAT;
    *ret = (struct cluster_identity){ 0 };
    memcpy(ret->cluster_id, cluster.cluster_id.base, cluster.cluster_id.size);
    memcpy(ret->key, key.key.base, sizeof ret->key);
    return 1;
}

static int store_config(struct kv_txn *txn, struct arena *arena, struct init_op *op,
                        enum node_type type)
{
    struct bytes content = op->options->configs[type];
    if (!content.base) return 0;
    struct config_info held;
    int r = schema_get_config(txn, arena, type, 0, &held);
    if (r < 0) return r;
    if (r == 1 && !op->options->allow_existing_config) return -ERR_META_EXISTS;
    op->versions[type] = held.version + 1;
    struct config_info config = { .type = (uint8_t)type,
                                  .version = op->versions[type],
                                  .content = content,
                                  .desc = BYTES_LITERAL("init-cluster") };
    return schema_set_config(txn, &config);
}

static int init_in(struct kv_txn *txn, void *arg)
{
    struct init_op *op = arg;
    cleanup_arena_ struct arena arena = { 0 };
    const struct cluster_init_options *options = op->options;
    memset(op->versions, 0, sizeof op->versions);
    int r = read_identity(txn, &arena, &op->identity);
    if (r < 0) return r;
    if (r == 1) {
        bool is_other_key =
            options->key && memcmp(options->key, op->identity.key, AUTH_KEY_BYTES) != 0;
        if (is_other_key || strcmp(op->identity.cluster_id, options->cluster_id) != 0)
            return -ERR_MGMTD_CLUSTER_ID_MISMATCH;
    } else {
        struct cluster_record cluster = { .cluster_id = bytes_of_text(options->cluster_id),
                                          .created_wall_ns = op->now_wall_ns };
        struct cluster_key_record key = { .key = bytes_of(op->new_key, sizeof op->new_key) };
        op->identity = (struct cluster_identity){ 0 };
        memcpy(op->identity.cluster_id, cluster.cluster_id.base, cluster.cluster_id.size);
        memcpy(op->identity.key, op->new_key, sizeof op->new_key);
        r = schema_set_cluster(txn, &cluster);
        if (r == 0) r = schema_set_cluster_key(txn, &key);
        if (r < 0) return r;
    }
    for (enum node_type type = 0; type < NODE_TYPE_MAX; type++) {
        r = store_config(txn, &arena, op, type);
        if (r < 0) return r;
    }
    return 0;
}

int cluster_init(struct node *node, struct kv *kv, const struct cluster_init_options *options,
                 struct cluster_identity *ret, uint64_t *ret_versions)
{
    if (!is_cluster_id(options->cluster_id)) return -ERR_INVALID_ARG;
    struct init_op op = { .options = options, .now_wall_ns = node_wall_ns(node) };
    if (options->key)
        memcpy(op.new_key, options->key, sizeof op.new_key);
    else
        node_random_bytes(node, op.new_key, sizeof op.new_key);
    int r = kv_transact(kv, KV_RETRY_SAFE, init_in, &op);
    if (r < 0) return r;
    *ret = op.identity;
    if (ret_versions) memcpy(ret_versions, op.versions, sizeof op.versions);
    return 0;
}

static int load_in(struct kv_txn *txn, void *arg)
{
    cleanup_arena_ struct arena arena = { 0 };
    int r = read_identity(txn, &arena, arg);
    return r == 0 ? -ERR_META_BAD_FILE_SYSTEM : r < 0 ? r : 0;
}

int cluster_load(struct kv *kv, struct cluster_identity *ret)
{
    struct cluster_identity identity;
    int r = kv_read_only(kv, load_in, &identity);
    if (r == 0) *ret = identity;
    return r;
}

int cluster_key_get(struct kv *kv, const char *text, uint8_t ret_key[AUTH_KEY_BYTES])
{
    if (text && text[0]) return auth_cluster_key_parse(text, ret_key);
    struct cluster_identity identity;
    int r = cluster_load(kv, &identity);
    if (r == 0) memcpy(ret_key, identity.key, sizeof identity.key);
    return r;
}
