/* recover.c - a fiber per serving target that works on its orphans, a few at a time. */
#include "storage/recover.h"
#include "base/arena.h"
#include "loop/fault.h"
#include "storage/forward.h"
#include "storage/storage_internal.h"

enum { RESOLVER_COUNT_MAX = 16 };
#define RESOLVE_TIMEOUT_NS   (10 * SEC)
#define RESOLVE_PAUSE_MIN_NS (20 * MSEC)
#define RESOLVE_PAUSE_MAX_NS (1 * SEC)

void recover_init(struct recover *r)
{
    *r = (struct recover){ 0 };
    list_init(&r->orphans);
    wait_queue_init(&r->wake);
}

static void orphan_drop(struct recover *r, struct orphan *o)
{
    list_remove(&o->link);
    r->orphan_count--;
    free(o);
}

void recover_done(struct recover *r)
{
    while (!list_empty(&r->orphans)) {
        orphan_drop(r, list_entry(r->orphans.next, struct orphan, link));
    }
}

struct orphan *recover_find(struct target *t, struct chunk_id chunk)
{
    list_for_each (it, &t->recover.orphans) {
        struct orphan *o = list_entry(it, struct orphan, link);
        if (chunk_id_compare(o->chunk, chunk) == 0) return o;
    }
    return NULL;
}

void recover_add(struct target *t, struct chunk_id chunk, uint64_t version,
                 uint32_t staged_chain_version)
{
    struct recover *r = &t->recover;
    struct orphan *o = recover_find(t, chunk);
    if (!o) {
        o = new_zero(struct orphan);
        o->chunk = chunk;
        list_push_back(&r->orphans, &o->link);
        r->orphan_count++;
        storage_count(t->storage, "storage.orphans", 1);
    }
    if (o->version != version) o->staged_chain_version = staged_chain_version;
    o->version = version;
    wait_queue_wake_all(&r->wake);
}

void recover_scan(struct target *t)
{
    t->recover.is_scan_due = true;
    wait_queue_wake_all(&t->recover.wake);
}

int recover_take_back(struct target *t, const struct chunk_lock *lock,
                      const struct chunk_state *state, uint32_t chain_version)
{
    const struct orphan *o = recover_find(t, state->chunk);
    uint64_t version = state->pending_version;
    /* Of a former life, forwards may still be on their way. */
    bool is_of_this_life = lock->live_version == version ||
                           (o && o->version == version && o->staged_chain_version > 0);
    if (!is_of_this_life || t->chain_version != chain_version) return 0;
    FIBER_SHIELD();
    int r = chunk_drop(t->store, t->target_id, state->chunk, CHUNK_PENDING);
    if (r < 0) return r;
    storage_count(t->storage, "storage.updates_taken_back", 1);
    return 1;
}

static int commit_resolved(struct target *t, struct chunk_state *state)
{
    struct chunk_id chunk = state->chunk;
    int r = chunk_commit(t->store, t->target_id, chunk, state->pending_version,
                         state->pending_chain_version);
    if (r < 0) return r;
    r = chunk_get(t->store, t->target_id, chunk, state);
    return r < 0 ? r : 0;
}

int recover_resolve(struct target *t, struct chunk_lock *lock, struct chunk_state *state)
{
    if (MUTANT(ORPHAN_NOT_ROLLED_FORWARD)) return commit_resolved(t, state);
    struct forward f = { .state = state };
    /* a stage that ran out of time may have left it on its way to the disk */
    int r = chunk_settle(t->store, t->target_id, state->chunk);
    if (r == 0) r = FAULT("storage.recover.before_forward");
    do {
        if (r == 0) r = forward_pending(t, &f);
    } while (r == 0 && t->chain_version != f.chain_version);
    if (r == 0) {
        storage_count(t->storage, "storage.orphans_rolled_forward", 1);
        return commit_resolved(t, state);
    }
    if (!is_refusal(r)) return r;
    int taken_back = recover_take_back(t, lock, state, f.chain_version);
    if (taken_back <= 0) return taken_back < 0 ? taken_back : -ERR_CHUNK_WRITE_FAILED;
    refusals_put(&t->refusals, &state->pending_update, 0, r);
    r = chunk_get(t->store, t->target_id, state->chunk, state);
    return r < 0 ? r : 0;
}

int recover_chunk(struct target *t, struct chunk_id chunk)
{
    cleanup_(chunk_lock_releasep) struct chunk_lock *lock = NULL;
    int r = chunk_lock_take(&t->locks, chunk, &lock);
    if (r < 0) return r;
    if (!target_is_serving(t)) return -ERR_TARGET_STATE_INVALID;
    struct chunk_state state;
    r = chunk_get(t->store, t->target_id, chunk, &state);
    if (r < 0) return r;
    if (r > 0 && state.has_pending) {
        r = recover_resolve(t, lock, &state);
        if (r < 0) return r;
    }
    struct orphan *o = recover_find(t, chunk);
    if (o && !o->is_running) orphan_drop(&t->recover, o);
    return 0;
}

struct inode_pendings {
    uint64_t inode;
    struct chunk_id *chunks;
    size_t count, capacity;
};

static int collect_inode(void *arg, const struct chunk_state *state)
{
    struct inode_pendings *p = arg;
    if (state->chunk.inode != p->inode) return 0;
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 16;
        p->chunks = xrealloc(p->chunks, p->capacity * sizeof *p->chunks);
    }
    p->chunks[p->count++] = state->chunk;
    return 0;
}

int recover_inode(struct target *t, uint64_t inode)
{
    struct inode_pendings p = { .inode = inode };
    int r = chunk_each_pending(t->store, t->target_id, collect_inode, &p);
    for (size_t i = 0; i < p.count && r == 0; i++) {
        r = recover_chunk(t, p.chunks[i]);
    }
    free(p.chunks);
    return r;
}

static int collect_orphan(void *arg, const struct chunk_state *state)
{
    struct target *t = arg;
    /* A running update works on its own. */
    struct chunk_lock *lock = chunk_lock_find(&t->locks, state->chunk);
    if (lock && lock->live_version == state->pending_version) return 0;
    recover_add(t, state->chunk, state->pending_version, 0);
    return 0;
}

struct resolver {
    struct target *target;
    struct chunk_id chunk;
};

static int resolver_fiber(void *arg)
{
    struct resolver *w = arg;
    struct target *t = w->target;
    int r;
    {
        FIBER_TIMEOUT(RESOLVE_TIMEOUT_NS);
        r = recover_chunk(t, w->chunk);
    }
    struct orphan *o = recover_find(t, w->chunk);
    if (o) {
        o->is_running = false;
        if (r == 0) {
            orphan_drop(&t->recover, o);
        } else {
            o->pause_ns = o->pause_ns ? MIN_OF(o->pause_ns * 2, (uint64_t)RESOLVE_PAUSE_MAX_NS)
                                      : RESOLVE_PAUSE_MIN_NS;
            o->not_before_ns = node_now_ns(t->storage->node) + o->pause_ns;
        }
    }
    t->recover.running_count--;
    wait_queue_wake_all(&t->recover.wake);
    free(w);
    return 0;
}

/* Starts what may start; returns when the next one may, TIME_NEVER if none waits for time. */
static uint64_t start_resolvers(struct target *t, struct scope *scope)
{
    struct recover *rec = &t->recover;
    uint64_t now_ns = node_now_ns(t->storage->node), next_ns = TIME_NEVER;
    list_for_each (it, &rec->orphans) {
        struct orphan *o = list_entry(it, struct orphan, link);
        if (o->is_running) continue;
        if (o->not_before_ns > now_ns) {
            next_ns = MIN_OF(next_ns, o->not_before_ns);
            continue;
        }
        if (rec->running_count >= RESOLVER_COUNT_MAX) break;
        struct resolver *w = new_zero(struct resolver);
        *w = (struct resolver){ t, o->chunk };
        if (fiber_spawn(scope, "resolve", resolver_fiber, w) < 0) {
            free(w);
            return now_ns + RESOLVE_PAUSE_MIN_NS;
        }
        o->is_running = true;
        rec->running_count++;
    }
    return next_ns;
}

static void forget_orphans(struct target *t)
{
    list_for_each_safe (it, &t->recover.orphans) {
        struct orphan *o = list_entry(it, struct orphan, link);
        if (!o->is_running) orphan_drop(&t->recover, o);
    }
}

static int recover_fiber(void *arg)
{
    struct target *t = arg;
    struct recover *rec = &t->recover;
    struct node *node = t->storage->node;
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    while (!fiber_is_cancelled() && !t->is_going) {
        uint64_t next_ns = TIME_NEVER;
        if (!target_is_serving(t)) {
            rec->is_scan_due = false;
            forget_orphans(t);
        } else {
            if (rec->is_scan_due) {
                rec->is_scan_due = false;
                int r = chunk_each_pending(t->store, t->target_id, collect_orphan, t);
                if (r < 0 && r != -ERR_CANCELED) target_fail(t, r);
            }
            next_ns = start_resolvers(t, &scope);
        }
        if (rec->is_scan_due) continue;
        uint64_t now_ns = node_now_ns(node);
        FIBER_TIMEOUT(next_ns == TIME_NEVER ? TIME_NEVER : next_ns - MIN_OF(next_ns, now_ns) + 1);
        int r = wait_queue_wait(&rec->wake, "orphans");
        if (r < 0 && r != -ERR_TIMEOUT) break;
    }
    scope_done(&scope);
    rec->is_started = false;
    target_unuse(t);
    return 0;
}

int recover_start(struct target *t)
{
    if (t->recover.is_started) return 0;
    int r = fiber_spawn(&t->storage->scope, "recover", recover_fiber, t);
    if (r < 0) return r;
    t->recover.is_started = true;
    target_use(t);
    return 0;
}
