/* load.c - reading all records of the cluster in one snapshot.
 *
 * The lease of the new term is in the store before, so no older primary can commit any more: what
 * is read is final.
 */
#include "mgmtd/load.h"

#include "base/check.h"
#include "cluster/schema.h"
#include "mgmtd/tags.h"

enum { VERSION_BLOCK = 1 << 20 };

/* ---- routing versions ---- */

struct reserve_op {
    uint64_t old_limit;
};

static int reserve_in(struct kv_txn *txn, void *arg)
{
    struct reserve_op *op = arg;
    cleanup_arena_ struct arena arena = { 0 };
    struct counter_record limit;
    int r = schema_get_version_limit(txn, &arena, &limit);
    if (r < 0) return r;
    op->old_limit = limit.value;
    limit.value += VERSION_BLOCK;
    return schema_set_version_limit(txn, &limit);
}

int state_reserve_versions(struct state *s)
{
    if (s->version_limit - s->version > VERSION_BLOCK / 2) return 0;
    struct reserve_op op = { 0 };
    int r = state_write(s, reserve_in, &op);
    if (r == 0) s->version_limit = op.old_limit + VERSION_BLOCK;
    return r;
}

/* ---- records ---- */

static int load_node(void *arg, const struct node_info *v)
{
    struct state *s = arg;
    struct member_node *node = state_put_node(s, v);
    node->info->status = node->is_disabled ? NODE_DISABLED : NODE_HEARTBEAT_CONNECTING;
    return 0;
}

static int load_host(void *arg, const struct host_tags *v)
{
    hosts_put(arg, v);
    return 0;
}

static int load_chain(void *arg, const struct chain_info *v)
{
    struct state *s = arg;
    if (v->members.count > CHAIN_TARGET_COUNT_MAX) return -ERR_INVALID_FORMAT;
    for (uint32_t i = 0; i < v->members.count; i++) {
        if (state_target(s, v->members.items[i].target_id))
            return log_error(&s->options.node->log, -ERR_INVALID_FORMAT,
                             "target %" PRIu64 " is in two chains", v->members.items[i].target_id);
    }
    struct member_chain *chain = state_put_chain(s, v);
    state_mark_dirty(s, chain);
    return 0;
}

static int load_table(void *arg, const struct chain_table *v)
{
    state_put_table(arg, v);
    return 0;
}

struct load_op {
    const struct state_options *options;
    uint64_t version, version_limit;
    struct state *s;
};

static int load_in(struct kv_txn *txn, void *arg)
{
    struct load_op *op = arg;
    op->s = state_unref(op->s);
    struct state *s = op->s = state_new(op->options);
    s->version = op->version;
    s->version_limit = op->version_limit;
    int r = schema_each_node(txn, load_node, s);
    if (r == 0) r = schema_each_host(txn, load_host, s);
    if (r == 0) r = schema_each_chain(txn, load_chain, s);
    if (r == 0) r = schema_each_table(txn, load_table, s);
    for (enum node_type type = 0; type < NODE_TYPE_MAX && r >= 0; type++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct config_info config;
        r = schema_get_config(txn, &arena, type, 0, &config);
        if (r == 1) state_put_config(s, &config);
    }
    return r < 0 ? r : 0;
}

/* ---- the primary's own record ---- */

static int write_node_in(struct kv_txn *txn, void *arg)
{
    return schema_set_node(txn, arg);
}

static bool is_same_identity(const struct node_info *a, const struct node_info *b)
{
    if (a->type != b->type || a->addresses.count != b->addresses.count) return false;
    for (uint32_t i = 0; i < a->addresses.count; i++) {
        if (!bytes_equal(a->addresses.items[i], b->addresses.items[i])) return false;
    }
    return bytes_equal(a->hostname, b->hostname);
}

static int put_self(struct state *s, const struct node_info *self)
{
    struct node_info info = *self;
    struct member_node *held = state_node(s, self->node_id);
    if (held) info.tags = held->info->tags;
    info.status = NODE_PRIMARY_MGMTD;
    info.last_heartbeat_wall_ns = node_wall_ns(s->options.node);
    if (held && held->info->type != self->type)
        return log_error(&s->options.node->log, -ERR_MGMTD_NODE_TYPE_MISMATCH,
                         "node %u is registered with another type than MGMTD", self->node_id);
    if (!held || !is_same_identity(held->info, self)) {
        int r = state_write(s, write_node_in, &info);
        if (r < 0) return r;
    }
    state_put_node(s, &info);
    return 0;
}

static int finish(struct state *s, const struct node_info *self)
{
    int r = state_lock(s);
    if (r < 0) return r;
    r = put_self(s, self);
    fiber_mutex_unlock(&s->writer);
    return r;
}

int state_load(const struct state_options *options, const struct node_info *self,
               struct state **ret)
{
    struct load_op op = { .options = options };
    struct reserve_op reserve = { 0 };
    cleanup_(state_unrefp) struct state *s =
        state_new(options); /* to write with, before there is one */
    int r = state_lock(s);
    if (r < 0) return r;
    r = state_write(s, reserve_in, &reserve);
    fiber_mutex_unlock(&s->writer);
    if (r < 0) return r;
    op.version = reserve.old_limit;
    op.version_limit = reserve.old_limit + VERSION_BLOCK;
    r = kv_read_only(options->kv, load_in, &op);
    if (r == 0) r = finish(op.s, self);
    if (r < 0) {
        op.s = state_unref(op.s);
        return r;
    }
    op.s->shown_version = op.s->version;
    *ret = op.s;
    return 0;
}
