/* embedded.c - handles of the embedded engine, and the operations by role; see embedded.h. */
#include "kv/embedded.h"
#include "base/check.h"
#include "loop/loop.h"

#include <stdio.h>

#define OPEN_NS_MAX (60 * SEC)

struct embedded_kv {
    struct kv base;
    struct embedded *engine;
};

struct kv_snapshot {
    uint64_t epoch;
    struct store_snapshot *local; /* HOLDER */
    struct kv_remote remote;      /* REMOTE */
};

static struct embedded *engine_of(const struct kv *kv)
{
    return ((const struct embedded_kv *)kv)->engine; /* the base is its first member */
}

/* ---- operations ---- */

/* Waits for a role, and keeps what belongs to it until leave(). */
static int enter(struct embedded *e) fiber_fn
{
    while (e->role == KV_ROLE_NONE) {
        if (e->fatal < 0) return e->fatal;
        int r = wait_queue_wait(&e->role_changed, "kv: a holder of the store");
        if (r == -ERR_TIMEOUT) return -ERR_TXN_NETWORK_ERROR;
        if (r < 0) return r;
    }
    e->operation_count++;
    return 0;
}

static void leave(struct embedded *e)
{
    if (--e->operation_count == 0) wait_queue_wake_all(&e->idle);
}

/* As enter(), for a snapshot of the present role. */
static int enter_snapshot(struct embedded *e, const struct kv_snapshot *s)
{
    if (s->epoch != e->epoch || e->role == KV_ROLE_NONE) return -ERR_TXN_TOO_OLD;
    e->operation_count++;
    return 0;
}

static int open_in_role(struct embedded *e, enum kv_view view, struct kv_snapshot *s) fiber_fn
{
    s->epoch = e->epoch;
    if (e->role == KV_ROLE_HOLDER) return store_snapshot_open(e->store, view, &s->local);
    s->remote = kv_client_snapshot(e->client, view);
    return view == KV_VIEW_LONG ? kv_client_open_long(e->client, &s->remote) : 0;
}

static int embedded_snapshot_open(struct kv *kv, enum kv_view view, struct kv_snapshot **ret)
{
    struct embedded *e = engine_of(kv);
    int r = enter(e);
    if (r < 0) return r;
    struct kv_snapshot *s = new_zero(struct kv_snapshot);
    r = open_in_role(e, view, s);
    leave(e);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void embedded_snapshot_close(struct kv *kv, struct kv_snapshot *s)
{
    struct embedded *e = engine_of(kv);
    if (s->local) store_snapshot_close(s->local);
    bool is_current = s->epoch == e->epoch && e->role == KV_ROLE_REMOTE;
    if (is_current) kv_client_drop(e->client, &s->remote);
    free(s);
}

static int embedded_get_many(struct kv *kv, struct kv_snapshot *s, const struct bytes *keys,
                             uint32_t count, struct arena *arena, bool *ret_found,
                             struct bytes *ret_values) fiber_fn
{
    struct embedded *e = engine_of(kv);
    int r = enter_snapshot(e, s);
    if (r < 0) return r;
    if (s->local) {
        r = store_get_many(s->local, keys, count, arena, ret_found, ret_values);
    } else {
        r = kv_client_get_many(e->client, &s->remote, keys, count, arena, ret_found, ret_values);
    }
    leave(e);
    return r;
}

static int embedded_get_range(struct kv *kv, struct kv_snapshot *s, const struct kv_range *range,
                              struct arena *arena, struct kv_pairs *ret) fiber_fn
{
    struct embedded *e = engine_of(kv);
    int r = enter_snapshot(e, s);
    if (r < 0) return r;
    if (s->local) {
        r = store_get_range(s->local, range, arena, ret);
    } else {
        r = kv_client_get_range(e->client, &s->remote, range, arena, ret);
    }
    leave(e);
    return r;
}

static int embedded_settle(struct kv *kv, struct kv_snapshot *s) fiber_fn
{
    struct embedded *e = engine_of(kv);
    int r = enter_snapshot(e, s);
    if (r < 0) return r;
    r = s->local ? store_settle(s->local) : kv_client_settle(e->client, &s->remote);
    leave(e);
    return r;
}

/* What was read is remembered by value, so it can be compared by a holder that came later too; only
 * a check without a digest needs the snapshot. */
static bool needs_snapshot(const struct kv_commit *commit)
{
    for (uint32_t i = 0; i < commit->check_count; i++) {
        if (!commit->checks[i].has_digest) return true;
    }
    return false;
}

static int embedded_commit(struct kv *kv, struct kv_snapshot *s, struct kv_commit *commit) fiber_fn
{
    struct embedded *e = engine_of(kv);
    int r = enter(e);
    if (r < 0) return r;
    bool is_current = s && s->epoch == e->epoch;
    if (s && !is_current && needs_snapshot(commit)) {
        r = -ERR_TXN_TOO_OLD;
    } else if (e->role == KV_ROLE_HOLDER) {
        r = store_commit(e->store, is_current ? s->local : NULL, commit);
    } else {
        r = kv_client_commit(e->client, is_current ? &s->remote : NULL, commit);
    }
    leave(e);
    return r;
}

/* ---- engines ---- */

static void engine_free(struct embedded *e) fiber_fn
{
    for (struct embedded **at = (struct embedded **)loop_kv_slot(e->node->loop); *at;
         at = &(*at)->next) {
        if (*at != e) continue;
        *at = e->next;
        break;
    }
    node_stop(e->node);
    node_free(e->node);
    kv_dir_close(&e->dir);
    free(e);
}

static struct embedded *engine_find(struct loop *loop, const struct kv_dir *dir)
{
    struct embedded *e = *loop_kv_slot(loop);
    while (e && (e->dir.device != dir->device || e->dir.inode != dir->inode)) {
        e = e->next;
    }
    return e;
}

/* Takes @dir in any case. */
static int engine_get(struct node *opener, struct kv_dir *dir,
                      const struct kv_embedded_options *options, struct embedded **ret)
{
    struct embedded *e = engine_find(opener->loop, dir);
    if (e) {
        kv_dir_close(dir);
        e->is_tool = e->is_tool && options->read_only_tool;
        e->yields = e->yields && options->yields;
        e->ref_count++;
        *ret = e;
        return 0;
    }
    e = new_zero(struct embedded);
    e->node = node_new(opener->loop, opener->machine, "kv");
    e->node->log.level = opener->log.level;
    e->node->log.sink = opener->log.sink;
    e->node->log.sink_arg = opener->log.sink_arg;
    e->dir = *dir;
    e->map_bytes = options->map_bytes;
    e->is_tool = options->read_only_tool;
    e->yields = options->yields;
    e->ref_count = 1;
    wait_queue_init(&e->role_changed);
    wait_queue_init(&e->idle);
    embedded_set_role(e, KV_ROLE_NONE);
    void **slot = loop_kv_slot(opener->loop);
    e->next = *slot;
    *slot = e;
    int r = fiber_spawn(&e->node->scope, "kv role", embedded_role_fiber, e);
    if (r < 0) {
        engine_free(e);
        return r;
    }
    *ret = e;
    return 0;
}

static void embedded_close(struct kv *kv) fiber_fn
{
    struct embedded *e = engine_of(kv);
    free(container_of(kv, struct embedded_kv, base));
    if (--e->ref_count == 0) engine_free(e);
}

static const char *embedded_describe(const struct kv *kv)
{
    return engine_of(kv)->text;
}

static bool embedded_is_local(const struct kv *kv)
{
    return engine_of(kv)->role == KV_ROLE_HOLDER;
}

static const struct kv_ops embedded_ops = {
    .name = "embedded",
    .snapshot_open = embedded_snapshot_open,
    .snapshot_close = embedded_snapshot_close,
    .get_many = embedded_get_many,
    .get_range = embedded_get_range,
    .commit = embedded_commit,
    .settle = embedded_settle,
    .close = embedded_close,
    .describe = embedded_describe,
    .is_local = embedded_is_local,
};

static int wait_for_role(struct embedded *e) fiber_fn
{
    FIBER_TIMEOUT(OPEN_NS_MAX);
    int r = enter(e);
    if (r >= 0) leave(e);
    return r;
}

int kv_embedded_open(struct node *node, const struct kv_embedded_options *options, struct kv **ret)
{
    struct kv_dir dir;
    struct embedded *e;
    if (loop_is_simulated(node->loop)) return -ERR_NOT_SUPPORTED;
    int r = kv_dir_open(node, options->dir, &dir);
    if (r >= 0) r = engine_get(node, &dir, options, &e);
    if (r < 0) return r;
    struct embedded_kv *handle = new_zero(struct embedded_kv);
    kv_base_init(&handle->base, &embedded_ops, node);
    handle->engine = e;
    r = wait_for_role(e);
    if (r < 0) {
        embedded_close(&handle->base);
        return r;
    }
    *ret = &handle->base;
    return 0;
}
