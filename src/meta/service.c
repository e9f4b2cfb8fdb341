/* service.c - the metadata service over given parts: state, method table, free space, who owns
 * which shard. */
#include "meta/meta_internal.h"
#include "meta/space.h"

#include "base/check.h"
#include "rpc/rpc.h"

enum { SPACE_AGE_NS = 1000000000 };

static int on_drop_user_cache(void *self, struct rpc_call *call,
                              const struct drop_user_cache_request *req, struct empty_record *rep)
{
    return 0; /* rights travel in capabilities: nothing about users is cached here */
}

const struct meta_handlers meta_handlers = {
    .statfs = on_statfs,
    .lookup = on_lookup,
    .create = on_create,
    .link = on_link,
    .remove = on_remove,
    .open = on_open,
    .settle = on_settle,
    .close = on_close,
    .append = on_append,
    .rename = on_rename,
    .list = on_list,
    .real_path = on_real_path,
    .setattr = on_setattr,
    .session_prune = on_session_prune,
    .drop_user_cache = on_drop_user_cache,
    .stat = on_stat,
    .xattr_get = on_xattr_get,
    .xattr_set = on_xattr_set,
    .xattr_list = on_xattr_list,
    .xattr_remove = on_xattr_remove,
    .gc_list = on_gc_list,
    .finish_trim = on_finish_trim,
};

struct meta *meta_new(struct node *node, struct kv *kv, struct routing *routing,
                      struct mgmtd_client *mgmtd, const struct meta_data *data, void *data_arg,
                      const struct meta_options *options)
{
    struct meta *m = new_zero(struct meta);
    *m = (struct meta){ .node = node,
                        .kv = kv,
                        .data = data,
                        .data_arg = data_arg,
                        .routing = routing,
                        .mgmtd = mgmtd,
                        .options = *options,
                        .next_chain = (uint32_t)node_random_below(node, 1 << 20) };
    fiber_mutex_init(&m->ids.refill);
    inode_locks_init(&m->locks, node_random_u64(node));
    map_init(&m->suspects, node_random_u64(node));
    m->metric_trims = metrics_cell(node->metrics, "meta_server.trims");
    m->metric_collected = metrics_cell(node->metrics, "meta_server.gc_success");
    m->metric_collect_failures = metrics_cell(node->metrics, "meta_server.gc_fail");
    m->metric_pruned = metrics_cell(node->metrics, "meta_server.sessions_pruned");
    return m;
}

struct meta *meta_free(struct meta *m)
{
    if (!m) return NULL;
    inode_locks_done(&m->locks);
    suspects_done(m);
    free(m);
    return NULL;
}

void meta_serve(struct meta *m, struct rpc_server *server)
{
    rpc_server_add(server, &meta_service, &meta_handlers, m);
}

int meta_start_background(struct meta *m, struct scope *scope)
{
    static const struct {
        const char *name;
        int (*run)(void *);
    } jobs[] = { { "collect", collect_run },
                 { "sessions", sessions_run },
                 { "trims", trims_run },
                 { "idempotency", idem_run } };
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        int r = fiber_spawn(scope, jobs[i].name, jobs[i].run, m);
        if (r < 0) return r;
    }
    return 0;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15ull ^ (b + 0x9e3779b97f4a7c15ull);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

bool meta_owns(const struct meta *m, uint64_t key)
{
    uint64_t own = mix(m->options.node_id, key), value;
    size_t at = 0;
    const struct node_info *node;
    while ((node = map_next(&m->routing->nodes, &at))) {
        bool is_live = node->type == NODE_META && node->status == NODE_HEARTBEAT_CONNECTED;
        if (!is_live || node->node_id == m->options.node_id) continue;
        value = mix(node->node_id, key);
        if (value > own) return false;
    }
    return true;
}

int on_statfs(void *self, struct rpc_call *call, const struct base_request *req,
              struct statfs_reply *rep)
{
    struct meta *m = self;
    uint64_t now_ns = node_now_ns(m->node);
    bool is_fresh = m->space_at_ns && now_ns - m->space_at_ns < SPACE_AGE_NS;
    if (!is_fresh && m->mgmtd) {
        struct empty_record ask = { 0 };
        struct list_disks_reply disks;
        struct rpc_options options = { .arena = call->arena, .timeout_ns = 5 * SEC };
        int r = mgmtd_client_call(m->mgmtd, RPC_METHOD(mgmtd, list_disks), &options, &ask, &disks);
        if (r < 0 && !m->space_at_ns) return r;
        if (r >= 0) {
            m->space = space_of_disks(&disks, m->routing, call->arena);
            m->space_at_ns = now_ns;
        }
    }
    *rep = m->space;
    return 0;
}
