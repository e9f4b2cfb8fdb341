/* open_session.c - sessions at meta of files that are open here: they keep the chunks of a file
 * that is unlinked meanwhile. And the access times of files that were read here.
 *
 * An inode has at most one session. Nobody waits for the end of one, nor for an access time, so
 * they gather for a moment and go to meta many in one transaction.
 *
 * A call that was to open a session may have been executed although its caller gave up waiting. The
 * id of the session was chosen here, so it is ended like any other, which is no error when there is
 * none; of a creation, the inode is asked for first. What meta executes after that, later than any
 * server works on a request whose caller is gone, stays until the mount ends.
 */
#include "fuse/mount.h"

#include <linux/fs.h>

#define ATIME_AGE_NS ((int64_t)(24 * 3600 * SEC)) /* an older access time moves at any read */
#define GATHER_NS    (10 * MSEC)
#define PAUSE_NS     SEC

void session_ends_init(struct session_ends *e)
{
    *e = (struct session_ends){ 0 };
    wait_queue_init(&e->any);
    fiber_mutex_init(&e->sending);
}

void session_ends_done(struct session_ends *e)
{
    for (uint32_t i = 0; i < e->doubt_count; i++)
        free(e->doubts[i].name);
    free(e->doubts);
    free(e->items);
}

static void end_add(struct mount *m, struct open_file end)
{
    struct session_ends *e = &m->session_ends;
    if (e->count == e->capacity) {
        e->capacity = e->capacity ? e->capacity * 2 : 64;
        e->items = xrealloc(e->items, e->capacity * sizeof *e->items);
    }
    e->items[e->count++] = end;
    wait_queue_wake_one(&e->any);
}

void session_end(struct mount *m, uint64_t inode, struct uuid session)
{
    end_add(m, (struct open_file){ .inode = inode, .session = session });
}

/* May the call have been executed? */
static bool is_in_doubt(int r)
{
    return r < 0 && (r == -ERR_CANCELED || error_action(r) != ACTION_FAIL);
}

void session_doubt(struct mount *m, int r, uint64_t parent, const char *name, struct uuid session)
{
    struct session_ends *e = &m->session_ends;
    if (!is_in_doubt(r) || uuid_is_zero(session)) return;
    if (e->doubt_count == DOUBTED_CREATION_COUNT_MAX) return;
    if (!e->doubts) e->doubts = xcalloc(DOUBTED_CREATION_COUNT_MAX, sizeof *e->doubts);
    e->doubts[e->doubt_count++] =
        (struct doubted_creation){ .parent = parent, .name = xstrdup(name), .session = session };
    wait_queue_wake_one(&e->any);
}

/* The last one: others may be added meanwhile, so it is taken out first. */
static int resolve_doubt(struct mount *m) fiber_fn
{
    struct session_ends *e = &m->session_ends;
    struct doubted_creation doubt = e->doubts[--e->doubt_count];
    cleanup_(freep) char *name = doubt.name;
    cleanup_arena_ struct arena arena = { 0 };
    struct lookup_request look = { .parent = doubt.parent, .name = bytes_of_text(name) };
    struct inode_reply rep = { 0 };
    meta_base_init(m->meta, &(struct user_info){ 0 }, &look.base);
    int r = meta_call(m->meta, RPC_METHOD(meta, lookup), &arena, &look, &rep, NULL);
    if (r >= 0) session_end(m, rep.inode.id, doubt.session);
    /* The kernel may still know that there was nothing. */
    if (r >= 0) mount_invalidate_entry(m, fuse_of_inode(doubt.parent), name);
    session_doubt(m, r, doubt.parent, name, doubt.session);
    return is_in_doubt(r) ? r : 0;
}

/* To the last handle, also of readers: another mount may unlink the file unheard, and then the
 * session is what keeps the chunks. */
void session_end_unused(struct mount_inode *mi)
{
    if (uuid_is_zero(mi->session) || mi->open_count) return;
    session_end(mi->mount, mi->id, mi->session);
    mi->session = (struct uuid){ 0 };
}

/* What meta refuses is dropped: it goes when this client is gone. */
static int send_some(struct mount *m) fiber_fn
{
    struct session_ends *e = &m->session_ends;
    cleanup_arena_ struct arena arena = { 0 };
    uint32_t count = MIN_OF(e->count, (uint32_t)CLOSE_COUNT_MAX);
    struct close_request req = { .files = { arena_array(&arena, struct open_file, count), count } };
    struct empty_record rep;
    memcpy(req.files.items, e->items, count * sizeof *e->items);
    meta_base_init(m->meta, &(struct user_info){ 0 }, &req.base);
    int r = meta_call(m->meta, RPC_METHOD(meta, close), &arena, &req, &rep, NULL);
    bool comes_again = r < 0 && (r == -ERR_CANCELED || error_action(r) != ACTION_FAIL);
    if (r < 0)
        log_warn(&m->node->log, r, "%u closed files are %s", count,
                 comes_again ? "still open at meta, to be closed later"
                             : "open at meta until this mount ends");
    if (comes_again) return r;
    memmove(e->items, e->items + count, (e->count - count) * sizeof *e->items);
    e->count -= count;
    return 0;
}

int session_ends_send(struct mount *m)
{
    int r = fiber_mutex_lock(&m->session_ends.sending);
    if (r < 0) return r;
    while (r >= 0 && m->session_ends.doubt_count)
        r = resolve_doubt(m);
    while (r >= 0 && m->session_ends.count)
        r = send_some(m);
    fiber_mutex_unlock(&m->session_ends.sending);
    return r;
}

int session_ends_run(void *arg)
{
    struct mount *m = arg;
    uint64_t pause_ns = 0;
    for (;;) {
        int r = pause_ns ? fiber_sleep(pause_ns) : 0;
        while (r >= 0 && !m->session_ends.count && !m->session_ends.doubt_count)
            r = wait_queue_wait(&m->session_ends.any, "closed files");
        if (r >= 0) r = fiber_sleep(GATHER_NS);
        if (r < 0) return r;
        r = session_ends_send(m);
        if (r == -ERR_CANCELED) return r;
        pause_ns = r < 0 ? PAUSE_NS : 0;
    }
}

/* ---- access times ---- */

int64_t access_time_ns(const struct mount_inode *mi)
{
    return mi->read_ns ? MAX_OF(mi->inode.atime_ns, mi->read_ns) : mi->inode.atime_ns;
}

void access_time_note(struct mount_inode *mi)
{
    const struct inode *i = &mi->inode;
    int64_t now_ns = (int64_t)node_wall_ns(mi->mount->node);
    int64_t atime_ns = access_time_ns(mi);
    int64_t mtime_ns = MAX_OF(i->mtime_ns, writes_mtime_ns(mi));
    bool is_due =
        atime_ns <= mtime_ns || atime_ns <= i->ctime_ns || now_ns - atime_ns >= ATIME_AGE_NS;
    if (is_due && !(i->flags & FS_IMMUTABLE_FL)) mi->read_ns = now_ns;
}

void access_time_send(struct mount_inode *mi)
{
    if (!mi->read_ns || mi->read_ns <= mi->inode.atime_ns) return;
    end_add(mi->mount, (struct open_file){ .inode = mi->id, .atime_ns = mi->read_ns });
    mi->inode.atime_ns = mi->read_ns; /* as meta will have it: the next release sends nothing */
}

int access_time_forget(struct mount_inode *mi)
{
    struct session_ends *e = &mi->mount->session_ends;
    int r = fiber_mutex_lock(&e->sending);
    if (r < 0) return r;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < e->count; i++)
        if (e->items[i].inode != mi->id || !e->items[i].atime_ns) e->items[kept++] = e->items[i];
    e->count = kept;
    mi->read_ns = 0;
    fiber_mutex_unlock(&e->sending);
    return 0;
}

int session_ensure(struct mount_inode *mi, fuse_req_t req, bool writes)
{
    if (!uuid_is_zero(mi->session) && (mi->session_writes || !writes)) return 0;
    int r = fiber_mutex_lock(&mi->session_lock);
    if (r < 0) return r;
    if (uuid_is_zero(mi->session) || (!mi->session_writes && writes)) {
        cleanup_arena_ struct arena arena = { 0 };
        struct mount *m = mi->mount;
        struct open_request open = { .inode = mi->id, .access = writes ? W_OK : R_OK };
        struct inode_reply rep = { 0 };
        base_of_request(req, &open.base);
        open.session = uuid_is_zero(mi->session)
                           ? (struct uuid){ node_random_u64(m->node), node_random_u64(m->node) | 1 }
                           : mi->session;
        r = meta_call(m->meta, RPC_METHOD(meta, open), &arena, &open, &rep, NULL);
        if (r >= 0) {
            mi->session = open.session;
            mi->session_writes = writes;
            mount_inode_update(mi, &rep.inode);
        } else if (is_in_doubt(r) && uuid_is_zero(mi->session)) {
            session_end(m, mi->id, open.session);
        }
    }
    fiber_mutex_unlock(&mi->session_lock);
    return r;
}
