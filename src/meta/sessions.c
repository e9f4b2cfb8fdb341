/* sessions.c - what dead clients and dead servers left open: their sessions, trims, idempotency
 * records.
 *
 * A session is dead when the cluster manager does not know its client (any more), and did not at
 * any look for the length of the grace, by this server's own clock. Before a writer's session goes,
 * the file's length becomes at least the end of its last chunk.
 */
#include "meta/meta_internal.h"

#include "loop/fault.h"
#include "rpc/rpc.h"

enum { SCAN_PAGE = 512 };

struct scan {
    struct arena *arena;
    struct bytes begin, end;
    struct kv_pairs pairs;
};

static int scan_txn(struct kv_txn *txn, void *arg)
{
    struct scan *s = arg;
    return kv_get_range(txn, s->begin, s->end, SCAN_PAGE, KV_SNAPSHOT, s->arena, &s->pairs);
}

/* Calls visit(arg, arena, key, value) for all pairs below @prefix; its results are summed up. */
static int scan_all(struct meta *m, const char prefix[4],
                    int (*visit)(void *arg, struct arena *arena, struct bytes key,
                                 struct bytes value),
                    void *arg)
{
    struct meta_key begin = key_prefix(prefix), end = key_after_prefix(&begin), from = begin;
    int sum = 0;
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct scan s = { .arena = &arena,
                          .begin = meta_key_bytes(&from),
                          .end = meta_key_bytes(&end) };
        int r = kv_read_only(m->kv, scan_txn, &s);
        for (uint32_t i = 0; r >= 0 && i < s.pairs.count; i++) {
            r = visit(arg, &arena, s.pairs.items[i].key, s.pairs.items[i].value);
            if (r > 0) sum += r;
        }
        if (r < 0) return r;
        if (!s.pairs.has_more || !s.pairs.count) return sum;
        struct bytes last = s.pairs.items[s.pairs.count - 1].key;
        if (last.size >= sizeof from.data) return -ERR_META_INCONSISTENT;
        memcpy(from.data, last.base, last.size);
        from.data[last.size] = 0;
        from.size = last.size + 1;
    }
}

/* ---- sessions ---- */

struct prune {
    struct meta *meta;
    struct client_session_list alive;
    int64_t now_ns;
    uint64_t begin_ns; /* node time */
};

/* A session of a client that is not known: since when, and when last. */
struct suspect {
    struct uuid session;
    uint64_t since_ns, seen_ns; /* node time */
};

struct ending {
    struct arena *arena;
    uint64_t inode;
    struct uuid session;
    bool writes;
    int64_t now_ns;
    uint64_t length; /* of what is stored; 0 for one who only read */
    uint32_t generation;
    struct inode loaded;
};

static bool client_is_alive(const struct prune *p, struct uuid client)
{
    for (uint32_t i = 0; i < p->alive.count; i++)
        if (uuid_equal(p->alive.items[i].client, client)) return true;
    return false;
}

static struct bytes suspect_key(const struct uuid *session)
{
    return bytes_of(session, sizeof *session);
}

/* How long it has been one. */
static uint64_t suspect_note(struct meta *m, const struct uuid *session)
{
    uint64_t now_ns = node_now_ns(m->node);
    struct suspect *s = map_get_bytes(&m->suspects, suspect_key(session));
    if (!s) {
        s = new_zero(struct suspect);
        *s = (struct suspect){ .session = *session, .since_ns = now_ns };
        map_put_bytes(&m->suspects, suspect_key(session), s);
    }
    s->seen_ns = now_ns;
    return now_ns - s->since_ns;
}

/* Those that a whole scan did not come by are gone, or their client is known again. */
static void suspects_forget(struct meta *m, uint64_t before_ns)
{
    size_t at = 0;
    struct suspect *s;
    while ((s = map_next(&m->suspects, &at))) {
        if (s->seen_ns >= before_ns) continue;
        map_remove_bytes(&m->suspects, suspect_key(&s->session));
        free(s);
    }
}

void suspects_done(struct meta *m)
{
    suspects_forget(m, UINT64_MAX);
    map_done(&m->suspects);
}

static int ending_load_txn(struct kv_txn *txn, void *arg)
{
    struct ending *e = arg;
    return inode_load_bare(txn, e->arena, e->inode, KV_SNAPSHOT, &e->loaded);
}

static int ending_txn(struct kv_txn *txn, void *arg)
{
    struct ending *e = arg;
    struct meta_key key = key_session(e->inode, &e->session);
    struct inode inode;
    int r = inode_load_bare(txn, e->arena, e->inode, KV_SERIALIZABLE, &inode);
    if (r < 0 && r != -ERR_META_NOT_FOUND) return r;
    if (r >= 0 && inode.generation != e->generation)
        return -ERR_META_BUSY; /* truncated since: ask again */
    if (r >= 0 && e->writes) {
        /* What it wrote since its last settlement is there, inside the old length too: nobody's
         * cache counts any more. */
        inode.length = MAX_OF(inode.length, e->length);
        inode.mtime_ns = inode.ctime_ns = e->now_ns;
        inode.change++;
        inode_store(txn, e->arena, &inode);
    }
    kv_clear(txn, meta_key_bytes(&key));
    return 0;
}

static int prune_visit(void *arg, struct arena *arena, struct bytes key, struct bytes value)
{
    struct prune *p = arg;
    struct meta *m = p->meta;
    struct stored_session s;
    struct ending e = { .arena = arena };
    e.inode = key_inode_of_session(key, &e.session);
    if (!meta_owns(m, e.inode)) return 0;
    int r = RECORD_DECODE(arena, stored_session, value, &s);
    if (r < 0) return r;
    if (client_is_alive(p, s.client)) return 0;
    bool is_young = suspect_note(m, &e.session) < m->options.session_grace_ns;
    if (is_young && !MUTANT(SESSION_PRUNED_EARLY)) return 0;
    e.writes = s.writes;
    e.now_ns = p->now_ns;
    r = kv_read_only(m->kv, ending_load_txn, &e);
    if (r < 0 && r != -ERR_META_NOT_FOUND) return r;
    if (r >= 0 && s.writes) {
        r = trim_finish(m, arena, e.inode);
        if (r >= 0) r = kv_read_only(m->kv, ending_load_txn, &e);
        if (r >= 0) r = m->data->query_length(m->data_arg, &e.loaded, &e.length);
        if (r < 0) return r == -ERR_CANCELED ? r : 0; /* the storage is away: at the next scan */
    }
    e.generation = e.loaded.generation;
    r = kv_transact(m->kv, KV_RETRY_MAYBE_COMMITTED, ending_txn, &e);
    if (r == -ERR_META_BUSY) return 0;
    if (r >= 0) ++*m->metric_pruned;
    return r < 0 ? r : 1;
}

int sessions_once(struct meta *m)
{
    if (!m->mgmtd) return 0;
    cleanup_arena_ struct arena arena = { 0 };
    struct empty_record req = { 0 };
    struct list_sessions_reply rep;
    struct rpc_options options = { .arena = &arena, .timeout_ns = 5 * SEC };
    int r = mgmtd_client_call(m->mgmtd, RPC_METHOD(mgmtd, list_sessions), &options, &req, &rep);
    if (r < 0) return r;
    if (rep.bootstrapping && !MUTANT(SESSION_PRUNED_EARLY)) return 0;
    return sessions_prune(m, &rep.sessions);
}

int sessions_prune(struct meta *m, const struct client_session_list *alive)
{
    struct prune p = { .meta = m,
                       .alive = *alive,
                       .now_ns = (int64_t)node_wall_ns(m->node),
                       .begin_ns = node_now_ns(m->node) };
    int r = scan_all(m, "INOS", prune_visit, &p);
    if (r >= 0) suspects_forget(m, p.begin_ns);
    return r;
}

int sessions_run(void *arg)
{
    struct meta *m = arg;
    for (;;) {
        int r = fiber_sleep(m->options.session_scan_ns);
        if (r < 0) return r;
        r = sessions_once(m);
        if (r < 0 && r != -ERR_CANCELED)
            log_warn(&m->node->log, r, "cannot look for sessions of dead clients");
    }
}

int on_session_prune(void *self, struct rpc_call *call, const struct base_request *req,
                     struct count_reply *rep)
{
    struct meta *m = self;
    struct actor actor;
    int r = actor_of(call->peer, &req->base, &actor);
    if (r < 0) return r;
    if (actor.uid != 0) return -ERR_META_NO_PERMISSION;
    r = sessions_once(m);
    if (r < 0) return r;
    rep->count = (uint64_t)r;
    return 0;
}

/* ---- trims ---- */

struct aged {
    struct meta *meta;
    int64_t now_ns, before_ns;
};

static int trim_visit(void *arg, struct arena *arena, struct bytes key, struct bytes value)
{
    struct aged *a = arg;
    struct trim_record record;
    int r = RECORD_DECODE(arena, trim_record, value, &record);
    if (r < 0) return r;
    uint64_t inode = key_inode_of_trim(key);
    /* One from the future is of a clock that was wrong. */
    bool is_young = record.time_ns > a->before_ns && record.time_ns <= a->now_ns;
    if (is_young || !meta_owns(a->meta, inode)) return 0;
    r = trim_finish(a->meta, arena, inode);
    if (r == -ERR_CANCELED) return r;
    return r >= 0;
}

int trims_once(struct meta *m, uint64_t age_ns)
{
    int64_t now_ns = (int64_t)node_wall_ns(m->node);
    struct aged a = { .meta = m, .now_ns = now_ns, .before_ns = now_ns - (int64_t)age_ns };
    return scan_all(m, "TRIM", trim_visit, &a);
}

int trims_run(void *arg)
{
    struct meta *m = arg;
    for (;;) {
        int r = fiber_sleep(5 * SEC);
        if (r < 0) return r;
        r = trims_once(m, 10 * SEC);
        if (r < 0 && r != -ERR_CANCELED)
            log_warn(&m->node->log, r, "cannot finish pending truncates");
    }
}

/* ---- idempotency records ---- */

struct forget {
    struct bytes key;
};

static int forget_txn(struct kv_txn *txn, void *arg)
{
    struct forget *f = arg;
    kv_clear(txn, f->key);
    return 0;
}

static int idem_visit(void *arg, struct arena *arena, struct bytes key, struct bytes value)
{
    struct aged *a = arg;
    struct idempotency_record record;
    int r = RECORD_DECODE(arena, idempotency_record, value, &record);
    if (r < 0) return r;
    if (record.time_ns > a->before_ns) return 0;
    struct forget f = { key };
    r = kv_transact(a->meta->kv, KV_RETRY_MAYBE_COMMITTED, forget_txn, &f);
    return r < 0 ? r : 1;
}

int idem_once(struct meta *m, uint64_t age_ns)
{
    if (!meta_owns(m, 0)) return 0;
    struct aged a = { .meta = m, .before_ns = (int64_t)node_wall_ns(m->node) - (int64_t)age_ns };
    return scan_all(m, "IDEM", idem_visit, &a);
}

int idem_run(void *arg)
{
    struct meta *m = arg;
    for (;;) {
        int r = fiber_sleep(60 * SEC);
        if (r < 0) return r;
        r = idem_once(m, m->options.idempotency_ns);
        if (r < 0 && r != -ERR_CANCELED)
            log_warn(&m->node->log, r, "cannot drop old idempotency records");
    }
}
