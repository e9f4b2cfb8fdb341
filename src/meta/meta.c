/* meta.c - the role: opens the store, joins the cluster, serves until it is cancelled. */
#include "meta/meta.h"

#include "client/core_service.h"
#include "client/file_io.h"
#include "cluster/cluster_init.h"
#include "meta/meta_internal.h"
#include "rpc/rpc.h"
#include <sys/stat.h>

#define SETTING_STRUCT_NAME meta_settings
SETTINGS_TABLE(meta_settings_table, META_SETTINGS)

#define WAIT_SAY_NS (30 * SEC)

struct root_init {
    struct arena arena;
    const struct layout *layout;
    const struct user_info *owner;
    int64_t now_ns;
};

static int root_txn(struct kv_txn *txn, void *arg)
{
    struct root_init *init = arg;
    static const struct {
        uint64_t id;
        uint32_t mode;
    } roots[] = { { INODE_ROOT, S_IFDIR | 0755 }, { INODE_GC_ROOT, S_IFDIR | 0700 } };
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        struct inode inode;
        int r = inode_load_bare(txn, &init->arena, roots[i].id, KV_SERIALIZABLE, &inode);
        if (r != -ERR_META_NOT_FOUND) {
            if (r < 0) return r;
            continue;
        }
        inode = (struct inode){ .id = roots[i].id,
                                .mode = roots[i].mode,
                                .uid = init->owner->uid,
                                .gid = init->owner->gid,
                                .nlink = 2,
                                .parent = INODE_ROOT,
                                .layout = *init->layout,
                                .atime_ns = init->now_ns,
                                .mtime_ns = init->now_ns,
                                .ctime_ns = init->now_ns,
                                .btime_ns = init->now_ns,
                                .change = 1,
                                .trim_from = TRIM_NONE };
        inode_store(txn, &init->arena, &inode);
    }
    struct meta_key key = key_single("meta-format");
    uint32_t version = META_FORMAT_VERSION;
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(&init->arena, u32, &version));
    return 0;
}

int meta_init_file_system(struct node *node, struct kv *kv, const struct layout *root,
                          const struct user_info *owner)
{
    int r = layout_check(root);
    if (r < 0) return r;
    struct root_init init = { .layout = root,
                              .owner = owner,
                              .now_ns = (int64_t)node_wall_ns(node) };
    r = kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, root_txn, &init);
    arena_done(&init.arena);
    return r;
}

static int format_txn(struct kv_txn *txn, void *arg)
{
    struct arena *arena = arg;
    struct meta_key key = key_single("meta-format");
    struct bytes value;
    uint32_t version = 0;
    int r = kv_get(txn, meta_key_bytes(&key), KV_SNAPSHOT, arena, &value);
    if (r < 0) return r;
    if (r == 0) return -ERR_META_BAD_FILE_SYSTEM;
    r = RECORD_DECODE(arena, u32, value, &version);
    if (r < 0) return r;
    return version > META_FORMAT_VERSION ? -ERR_FORMAT_TOO_NEW : 0;
}

/* Waits until init-cluster was run; says so now and then. */
static int wait_initialised(struct node *node, struct kv *kv)
{
    for (uint64_t say_ns = 0;;) {
        cleanup_arena_ struct arena arena = { 0 };
        int r = kv_read_only(kv, format_txn, &arena);
        if (r == -ERR_FORMAT_TOO_NEW)
            return log_error(&node->log, r, "the metadata was written by a newer release");
        if (r >= 0 || r == -ERR_CANCELED) return r;
        if (node_now_ns(node) >= say_ns) {
            log_warn(&node->log, r, "waiting for the file system to be initialised (init-cluster)");
            say_ns = node_now_ns(node) + WAIT_SAY_NS;
        }
        r = fiber_sleep(200 * MSEC);
        if (r < 0) return r;
    }
}

struct chunks {
    struct storage_client *storage;
    struct routing *routing;
};

static int chunks_trim(void *arg, const struct inode *inode, uint64_t length)
{
    struct chunks *c = arg;
    return file_trim(c->storage, c->routing, inode, length);
}

static int chunks_remove(void *arg, const struct inode *inode)
{
    struct chunks *c = arg;
    return file_remove_chunks(c->storage, c->routing, inode);
}

static int chunks_query_length(void *arg, const struct inode *inode, uint64_t *ret_length)
{
    struct chunks *c = arg;
    return file_query_length(c->storage, c->routing, inode, ret_length);
}

static const struct meta_data chunk_data = { chunks_trim, chunks_remove, chunks_query_length };

/* The HOT keys. */
static void take_hot(const struct meta_settings *s, struct meta_options *ret)
{
    ret->gc_delay_ns = s->gc_delay_ns;
    ret->gc_concurrency = MAX_OF(s->gc_concurrency, 1u);
    ret->session_scan_ns = MAX_OF(s->session_scan_ns, 100 * MSEC);
    ret->session_grace_ns = s->session_grace_ns;
    ret->idempotency_ns = s->idempotency_ns;
}

static void fill_heartbeat(void *kv, struct arena *arena, struct heartbeat_request *request)
{
    request->node.has_store = kv_is_local(kv);
}

struct health {
    struct node *node;
    struct kv *kv;
    struct mgmtd_client *mgmtd;
};

/* The store answers, and a cluster manager does. */
static bool check_health(void *arg, struct arena *arena, const char **ret_text)
{
    const struct health *h = arg;
    struct cluster_identity cluster;
    int r = cluster_load(h->kv, &cluster);
    *ret_text = arena_printf(arena, "the store (%s) does not answer: %s", kv_describe(h->kv),
                             error_sentence(r));
    if (r < 0) return false;
    *ret_text = "no cluster manager answers its heartbeats";
    if (mgmtd_client_lease_end_ns(h->mgmtd) <= node_now_ns(h->node)) return false;
    *ret_text = arena_printf(arena, "serves; metadata in %s", kv_describe(h->kv));
    return true;
}

static int serve(struct node *node, const struct meta_settings *s, struct kv *kv,
                 struct mgmtd_client *mgmtd, const struct auth_keys *keys,
                 const struct net_address *listen, const char *advertise)
{
    struct storage_client_options storage_options = { .verify_reads = true,
                                                      .total_timeout_ns = 30 * SEC };
    node_random_bytes(node, &storage_options.client, sizeof storage_options.client);
    cleanup_(storage_client_freep) struct storage_client *storage =
        storage_client_new(node, mgmtd, &storage_options);
    struct chunks chunks = { storage, mgmtd_client_routing(mgmtd) };
    struct meta_options options = { .node_id = s->node_id };
    take_hot(s, &options);
    struct meta *m = meta_new(node, kv, chunks.routing, mgmtd, &chunk_data, &chunks, &options);
    struct rpc_server_options server_options = { .listen = *listen, .keys = keys };
    struct rpc_server *server = NULL;
    int r = rpc_server_start(node, &server_options, &server);
    if (r < 0) {
        meta_free(m);
        return log_error(&node->log, r, "cannot listen at %s%s", s->listen,
                         r == -ERR_RPC_LISTEN_FAILED ? ": another process uses the port" : "");
    }
    meta_serve(m, server);
    core_serve(server, node);
    struct health health = { node, kv, mgmtd };
    node->health_arg = &health;
    node->check_health = check_health;
    char address[256];
    net_address_to_text(rpc_server_address(server), address, sizeof address);
    const char *addresses[] = { advertise[0] ? advertise : address };
    struct net_address alias;
    if (net_address_parse(addresses[0], &alias) >= 0) rpc_server_add_alias(server, &alias);
    struct heartbeat_options heartbeat = { .node_id = s->node_id,
                                           .type = NODE_META,
                                           .addresses = addresses,
                                           .address_count = 1,
                                           .fill = fill_heartbeat,
                                           .arg = kv };
    struct scope jobs;
    scope_init(&jobs, sched_current());
    jobs.local = node;
    r = mgmtd_client_start_heartbeat(mgmtd, &heartbeat);
    if (r >= 0) r = meta_start_background(m, &jobs);
    log_info(&node->log, "meta %u serves at %s; metadata in %s", s->node_id, addresses[0],
             kv_describe(kv));
    while (r >= 0) {
        take_hot(s, &m->options); /* what a pushed configuration may have changed */
        r = fiber_sleep(200 * MSEC);
    }
    {
        FIBER_SHIELD();
        node->check_health = NULL;
        mgmtd_client_say_stopping(mgmtd, SEC);
        rpc_server_stop(server, SEC);
        scope_done(&jobs);
    }
    meta_free(m);
    return r == -ERR_CANCELED ? 0 : r;
}

static int check_settings(struct node *node, const struct meta_settings *s, struct arena *arena,
                          struct net_address *listen, struct net_address **ret_mgmtds)
{
    if (s->node_id == 0)
        return log_error(&node->log, -ERR_INVALID_CONFIG, "node_id is not set (META_NODE_ID)");
    if (s->mgmtd.count == 0)
        return log_error(&node->log, -ERR_INVALID_CONFIG,
                         "mgmtd_server_addresses is not set (MGMTD_SERVER_ADDRESSES)");
    int r = net_address_parse(s->listen, listen);
    if (r < 0)
        return log_error(&node->log, r, "listen: '%s' is no address such as TCP://0.0.0.0:8001",
                         s->listen);
    *ret_mgmtds = arena_array(arena, struct net_address, s->mgmtd.count);
    for (uint32_t i = 0; i < s->mgmtd.count; i++) {
        r = net_address_parse(s->mgmtd.items[i], &(*ret_mgmtds)[i]);
        if (r < 0)
            return log_error(
                &node->log, r,
                "mgmtd_server_addresses: '%s' is no address such as TCP://10.0.0.1:8000",
                s->mgmtd.items[i]);
    }
    return 0;
}

int meta_run_on(struct node *node, const struct meta_settings *s, struct kv *kv)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct net_address listen, *mgmtds;
    int r = check_settings(node, s, &arena, &listen, &mgmtds);
    if (r < 0) return r;
    r = wait_initialised(node, kv);
    if (r < 0) return r == -ERR_CANCELED ? 0 : r;
    struct cluster_identity cluster;
    r = cluster_load(kv, &cluster);
    if (r < 0) return log_error(&node->log, r, "cannot read the cluster's id in %s", s->kv_path);
    if (strcmp(cluster.cluster_id, s->cluster_id) != 0)
        return log_error(&node->log, -ERR_MGMTD_CLUSTER_ID_MISMATCH,
                         "the store in %s belongs to cluster '%s', not '%s'", s->kv_path,
                         cluster.cluster_id, s->cluster_id);
    struct auth_keys keys = { 0 };
    struct auth_identity identity = { .kind = AUTH_SERVER };
    r = cluster_key_get(kv, s->cluster_key, keys.cluster_key);
    if (r < 0)
        return log_error(&node->log, r, "no cluster key: run init-cluster, or set CLUSTER_KEY");
    keys.cluster_key_size = AUTH_KEY_BYTES;
    memcpy(identity.key, keys.cluster_key, sizeof identity.key);
    struct mgmtd_client_options mgmtd_options = { .cluster_id = s->cluster_id,
                                                  .servers = mgmtds,
                                                  .server_count = s->mgmtd.count,
                                                  .identity = &identity };
    cleanup_(mgmtd_client_freep) struct mgmtd_client *mgmtd =
        mgmtd_client_new(node, &mgmtd_options);
    keys.is_revoked = mgmtd_client_is_revoked;
    keys.is_revoked_arg = mgmtd;
    return serve(node, s, kv, mgmtd, &keys, &listen, s->advertise);
}

int meta_run(struct node *node, const struct meta_settings *s)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct net_address listen, *mgmtds;
    int r = check_settings(node, s, &arena, &listen, &mgmtds); /* before the store is touched */
    if (r < 0) return r;
    struct kv_embedded_options kv_options = { .dir = s->kv_path };
    cleanup_(kv_closep) struct kv *kv = NULL;
    r = kv_embedded_open(node, &kv_options, &kv);
    if (r < 0) return log_error(&node->log, r, "cannot open the metadata store in %s", s->kv_path);
    return meta_run_on(node, s, kv);
}
