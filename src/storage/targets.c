/* targets.c - which targets are on this node: loaded, made and removed, and told what the routing
 * says.
 */
#include "base/check.h"
#include "loop/fault.h"
#include "storage/forward.h"
#include "storage/storage_internal.h"

enum { APPLIER_COUNT_MAX = 64 };
#define REMOVE_TIMEOUT_NS (10 * SEC)
#define APPLY_AGAIN_NS    (200 * MSEC)

struct target *storage_find_chain(struct storage *s, uint32_t chain_id)
{
    return map_get(&s->by_chain, chain_id);
}

struct target *storage_find_target(struct storage *s, uint64_t target_id)
{
    list_for_each (it, &s->targets) {
        struct target *t = list_entry(it, struct target, link);
        if (t->target_id == target_id) return t;
    }
    return NULL;
}

static void insert_sorted(struct storage *s, struct target *t)
{
    struct list *before = &s->targets;
    list_for_each (it, &s->targets) {
        if (list_entry(it, struct target, link)->target_id > t->target_id) {
            before = it;
            break;
        }
    }
    list_insert_between(&t->link, before->prev, before);
}

static int add_target(struct storage *s, struct disk *disk, const struct store_target *stored)
{
    if (storage_find_target(s, stored->target_id))
        return log_error(&s->node->log, -ERR_STORAGE_INIT_FAILED,
                         "target %" PRIu64 " is on two disks; the one on %s is left alone",
                         stored->target_id, disk->path);
    if (storage_find_chain(s, stored->chain_id))
        return log_error(&s->node->log, -ERR_STORAGE_INIT_FAILED,
                         "target %" PRIu64 " on %s is the second one of chain %u here: left alone",
                         stored->target_id, disk->path, stored->chain_id);
    struct target *t = target_new(s, disk, stored);
    int r = recover_start(t);
    if (r < 0) {
        target_free(t);
        return r;
    }
    insert_sorted(s, t);
    map_put(&s->by_chain, t->chain_id, t);
    return 0;
}

int targets_load(struct storage *s, struct disk *disk)
{
    for (uint32_t i = 0; i < store_target_count(disk->store); i++) {
        int r = add_target(s, disk, store_target_at(disk->store, i));
        if (r == -ERR_BUSY || r == -ERR_CANCELED) return r;
    }
    return 0;
}

/* ---- routing ---- */

static int apply_fiber(void *arg)
{
    struct target *t = arg;
    const struct chain_info *chain = routing_chain(t->storage->routing, t->chain_id);
    if (chain) target_apply(t, chain);
    target_unuse(t);
    return 0;
}

/* Every target whose chain has moved on; those of one round wait for their disks together. */
static int apply_routing(struct storage *s)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    uint32_t started = 0;
    list_for_each (it, &s->targets) {
        struct target *t = list_entry(it, struct target, link);
        const struct chain_info *chain = routing_chain(s->routing, t->chain_id);
        if (!chain) continue;
        if (chain->version <= t->chain_version) {
            target_locate_members(t, chain);
            continue;
        }
        int r = fiber_spawn(&scope, "apply-routing", apply_fiber, t);
        if (r < 0) return r;
        target_use(t);
        if (++started == APPLIER_COUNT_MAX) break;
    }
    int r = scope_wait(&scope);
    return r < 0 ? r : (int)started;
}

void targets_apply_again(struct storage *s)
{
    s->must_apply_again = true;
    wait_queue_wake_all(&s->routing->changed);
}

static int wait_a_while(struct storage *s)
{
    FIBER_TIMEOUT(APPLY_AGAIN_NS);
    return wait_queue_wait(&s->routing->changed, "routing, or a peer");
}

int targets_watch_routing(void *storage)
{
    struct storage *s = storage;
    for (;;) {
        uint64_t version = s->routing->version;
        s->must_apply_again = false;
        int r = apply_routing(s);
        if (r == -ERR_CANCELED) return r;
        /* A full round may have left some; a target that could not take its version waits for the
         * next change, or, when a peer has to be asked again, a while. */
        if (r == APPLIER_COUNT_MAX) continue;
        while (s->routing->version == version && !s->must_apply_again) {
            r = wait_queue_wait(&s->routing->changed, "routing");
            if (r < 0) return r;
        }
        r = s->must_apply_again ? wait_a_while(s) : 0;
        if (r == -ERR_CANCELED) return r;
    }
}

/* ---- by command ---- */

/* Nobody uses it any more when this returns 0. */
static int end_use(struct target *t)
{
    t->is_going = t->is_stopped = true;
    target_set_local_state(t, LOCAL_OFFLINE, "is removed");
    wait_queue_wake_all(&t->recover.wake);
    wait_queue_wake_all(&t->changed);
    FIBER_SHIELD();
    FIBER_TIMEOUT(REMOVE_TIMEOUT_NS);
    while (t->user_count > 0) {
        int r = wait_queue_wait(&t->changed, "users of a target that is removed");
        if (r < 0) {
            t->is_going = false;
            return -ERR_BUSY;
        }
    }
    return 0;
}

static void forget_target(struct storage *s, struct target *t)
{
    map_remove(&s->by_chain, t->chain_id);
    list_remove(&t->link);
    target_free(t);
}

static struct target *first_of_disk(struct storage *s, const struct disk *disk)
{
    list_for_each (it, &s->targets) {
        struct target *t = list_entry(it, struct target, link);
        if (t->disk == disk) return t;
    }
    return NULL;
}

/* What is at the place of a failed disk now: it, or another one. Its targets, if it has some, are
 * out of their chains since it failed, and come back through a resync. */
static int open_anew(struct storage *s, struct disk *disk)
{
    struct target *t;
    while ((t = first_of_disk(s, disk))) {
        if (t->is_going) return -ERR_BUSY;
        int r = end_use(t);
        if (r < 0) return r;
        forget_target(s, t);
    }
    if (disk->store) disk->store = chunk_store_close(disk->store, false);
    int r = storage_open_disk(s, disk);
    if (r == 0) r = disk->error;
    if (r < 0) return r;
    log_info(&s->node->log, "disk %u at %s is in use again", disk->index, disk->path);
    return apply_routing(s);
}

int storage_reopen_disk(struct storage *s, struct disk *disk)
{
    if (disk->is_reopening) return -ERR_BUSY;
    disk->is_reopening = true;
    int r = open_anew(s, disk);
    disk->is_reopening = false;
    return r < 0 ? r : 0;
}

/* 1 when nothing is in the way of @req, 0 when its target is here already, or a refusal. */
static int check_place(struct storage *s, const struct disk *disk,
                       const struct create_target_request *req, struct arena *arena,
                       const char **ret_why)
{
    const struct target *t = storage_find_target(s, req->target_id);
    if (t && req->allow_existing && t->chain_id == req->chain_id && t->disk == disk) return 0;
    if (t) {
        *ret_why = arena_printf(arena, "target %" PRIu64 " is here already, of chain %u on %s",
                                req->target_id, t->chain_id, t->disk ? t->disk->path : "no disk");
        return -ERR_META_EXISTS;
    }
    t = storage_find_chain(s, req->chain_id);
    if (!t) return 1;
    *ret_why = arena_printf(arena,
                            "chain %u has target %" PRIu64
                            " on this node already: each replica needs a node of its own",
                            req->chain_id, t->target_id);
    return -ERR_META_EXISTS;
}

/* The target of @req if it is here already; else it is made. */
static int create_on(struct storage *s, struct disk *disk, const struct create_target_request *req,
                     struct arena *arena, const char **ret_why)
{
    int r = check_place(s, disk, req, arena, ret_why);
    if (r <= 0) return r;
    r = store_target_create(disk->store, req->target_id, req->chain_id);
    if (r < 0 && r != -ERR_META_EXISTS) return r;
    const struct store_target *stored = store_target_find(disk->store, req->target_id);
    if (!stored) return -ERR_FOUND_BUG;
    /* Two requests for the same target: the other one was first. */
    if (storage_find_target(s, req->target_id)) return 0;
    r = add_target(s, disk, stored);
    if (r < 0) return r;
    const struct chain_info *chain = routing_chain(s->routing, req->chain_id);
    if (chain) target_apply(storage_find_target(s, req->target_id), chain);
    mgmtd_client_kick_heartbeat(s->mgmtd);
    log_info(&s->node->log, "target %" PRIu64 " of chain %u is made on %s", req->target_id,
             req->chain_id, disk->path);
    return 0;
}

int targets_create(struct storage *s, const struct create_target_request *req, struct arena *arena,
                   const char **ret_why)
{
    if (!req->target_id || !req->chain_id) {
        *ret_why = "a target and a chain have numbers from 1";
        return -ERR_INVALID_ARG;
    }
    if (req->disk_index >= s->disk_count) {
        *ret_why = arena_printf(arena, "there is no disk %u: this node has %u, counted from 0",
                                req->disk_index, s->disk_count);
        return -ERR_INVALID_ARG;
    }
    struct disk *disk = &s->disks[req->disk_index];
    if (disk->error) {
        int r = storage_reopen_disk(s, disk);
        if (r == -ERR_BUSY || r == -ERR_CANCELED) return r;
        if (r < 0) return -ERR_STORAGE_INIT_FAILED;
    }
    return create_on(s, disk, req, arena, ret_why);
}

int targets_offline(struct storage *s, const struct target_request *req)
{
    struct target *t = storage_find_target(s, req->target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    if (t->local_state == LOCAL_OFFLINE) return -ERR_TARGET_OFFLINE;
    bool is_last = target_is_head(t) && t->serving_count == 1;
    if (is_last && !req->force) return -ERR_TARGET_STATE_INVALID;
    t->is_stopped = true;
    target_set_local_state(t, LOCAL_OFFLINE, "by command");
    return 0;
}

int targets_remove(struct storage *s, const struct target_request *req)
{
    struct target *t = storage_find_target(s, req->target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    if (t->is_going) return -ERR_BUSY;
    bool is_in_chain = target_self(t) != NULL;
    if (!req->force && (t->local_state != LOCAL_OFFLINE || is_in_chain))
        return -ERR_TARGET_STATE_INVALID;
    int r = end_use(t);
    if (r < 0) return r;
    struct disk *disk = t->disk;
    forget_target(s, t);
    r = store_target_remove(disk->store, req->target_id);
    mgmtd_client_kick_heartbeat(s->mgmtd);
    if (r == 0)
        log_info(&s->node->log, "target %" PRIu64 " is removed from %s", req->target_id,
                 disk->path);
    return r;
}
