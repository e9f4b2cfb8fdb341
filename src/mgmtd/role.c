/* role.c - the role's main: settings, the store, an instance until it is cancelled. */
#include "cluster/cluster_init.h"
#include "mgmtd/mgmtd_internal.h"

#define WAIT_SAY_NS (30 * SEC)

/* Waits until init-cluster was run; says so now and then. */
static int wait_initialised(struct node *node, struct kv *kv, struct cluster_identity *ret)
{
    for (uint64_t say_ns = 0;;) {
        int r = cluster_load(kv, ret);
        if (r == 0 || r == -ERR_CANCELED || r == -ERR_FORMAT_TOO_NEW) return r;
        if (node_now_ns(node) >= say_ns) {
            log_warn(&node->log, r, "waiting for the cluster to be initialised (init-cluster)");
            say_ns = node_now_ns(node) + WAIT_SAY_NS;
        }
        r = fiber_sleep(200 * MSEC);
        if (r < 0) return r;
    }
}

int mgmtd_check_settings(const struct mgmtd_settings *s, struct arena *arena,
                         const char **ret_error)
{
    struct timing timing;
    if (timing_of(s->timing, &timing)) return 0;
    *ret_error = arena_printf(arena, "key 'timing': '%s' is not fast, default or slow", s->timing);
    return -ERR_CONFIG_INVALID_VALUE;
}

static int check_settings(struct node *node, const struct mgmtd_settings *s,
                          struct mgmtd_options *ret)
{
    if (s->node_id == 0)
        return log_error(&node->log, -ERR_INVALID_CONFIG, "node_id is not set (MGMTD_NODE_ID)");
    int r = net_address_parse(s->listen, &ret->listen);
    if (r < 0)
        return log_error(&node->log, r, "listen: '%s' is no address such as TCP://0.0.0.0:8000",
                         s->listen);
    if (!timing_of(s->timing, &ret->timing))
        return log_error(&node->log, -ERR_CONFIG_INVALID_VALUE,
                         "timing: '%s' is none of fast, default, slow", s->timing);
    ret->cluster_id = s->cluster_id;
    ret->node_id = s->node_id;
    ret->hostname = s->hostname;
    ret->advertise = s->advertise;
    ret->session_timeout_ns = s->session_timeout_ns;
    ret->capability_ns = s->capability_ns;
    ret->keeps_preferred_order = s->keeps_preferred_order;
    return 0;
}

int mgmtd_run(struct node *node, const struct mgmtd_settings *s, const struct mgmtd_hooks *hooks)
{
    struct mgmtd_options options = { 0 };
    int r = check_settings(node, s, &options);
    if (r < 0) return r;
    struct kv_embedded_options kv_options = { .dir = s->kv_path, .yields = true };
    cleanup_(kv_closep) struct kv *kv = NULL;
    r = kv_embedded_open(node, &kv_options, &kv);
    if (r < 0) return log_error(&node->log, r, "cannot open the store in %s", s->kv_path);
    struct cluster_identity cluster;
    r = wait_initialised(node, kv, &cluster);
    if (r < 0) return r == -ERR_CANCELED ? 0 : r;
    if (strcmp(cluster.cluster_id, s->cluster_id) != 0)
        return log_error(&node->log, -ERR_MGMTD_CLUSTER_ID_MISMATCH,
                         "the store in %s belongs to cluster '%s', not '%s'", s->kv_path,
                         cluster.cluster_id, s->cluster_id);
    r = cluster_key_get(kv, s->cluster_key, cluster.key);
    if (r < 0) return log_error(&node->log, r, "cluster_key is malformed");
    options.kv = kv;
    options.cluster_key = cluster.key;
    if (hooks) options.hooks = *hooks;
    struct mgmtd *m = NULL;
    r = mgmtd_start(node, &options, &m);
    if (r < 0)
        return log_error(&node->log, r, "cannot listen at %s%s", s->listen,
                         r == -ERR_RPC_LISTEN_FAILED ? ": another process uses the port" : "");
    log_info(&node->log, "mgmtd %u serves at %s; records in %s", s->node_id,
             (const char *)m->self_address.base, kv_describe(kv));
    while (r >= 0)
        r = fiber_sleep(3600 * SEC);
    FIBER_SHIELD();
    mgmtd_stop(m);
    return r == -ERR_CANCELED ? 0 : r;
}
