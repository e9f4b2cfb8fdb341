/* meta_test.c - the operations against a model of a POSIX tree, on the store in memory with
 * conflicts and unknown commits, with retries of requests that were executed; and single rules.
 * Chunks are a fake of struct meta_data.
 */
#include "base/check.h"
#include "loop/sim.h"
#include "meta/meta_internal.h"
#include "rpc/rpc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

enum { NAME_COUNT = 5, MODEL_COUNT = 400, STEP_COUNT = 1500, CHUNK = 1 << 20 };

struct fake_chunks {
    uint64_t stored_length; /* what query_length answers */
    int trim_count, remove_count, fail_next;
    uint64_t last_trim;
};

struct world {
    struct sim *sim;
    struct node *node;
    struct kv_mem_store *store;
    struct kv *kv;
    struct routing routing;
    struct fake_chunks chunks;
    struct meta *meta;
    uint64_t seed;
};

static int fake_trim(void *arg, const struct inode *inode, uint64_t length)
{
    struct fake_chunks *f = arg;
    if (f->fail_next) {
        f->fail_next--;
        return -ERR_TIMEOUT;
    }
    f->trim_count++;
    f->last_trim = length;
    f->stored_length = MIN_OF(f->stored_length, length);
    return 0;
}

static int fake_remove(void *arg, const struct inode *inode)
{
    struct fake_chunks *f = arg;
    f->remove_count++;
    return 0;
}

static int fake_query(void *arg, const struct inode *inode, uint64_t *ret_length)
{
    struct fake_chunks *f = arg;
    *ret_length = f->stored_length;
    return 0;
}

static const struct meta_data fake_data = { fake_trim, fake_remove, fake_query };
static const struct auth_peer root_peer = { .kind = AUTH_SERVER };

static struct rpc_call call_of(struct world *w, struct arena *arena)
{
    return (struct rpc_call){
        .node = w->node, .arena = arena, .peer = &root_peer, .peer_text = "test"
    };
}

static struct meta_base base_of(struct world *w, uint32_t uid)
{
    return (
        struct meta_base){ .user = { .uid = uid, .gid = uid },
                           .client = { 1, 1 },
                           .request = { node_random_u64(w->node), node_random_u64(w->node) | 1 } };
}

/* ---- calls ---- */

static int do_create(struct world *w, struct arena *a, struct create_request *req,
                     struct inode_reply *rep)
{
    struct rpc_call call = call_of(w, a);
    return on_create(w->meta, &call, req, rep);
}

static int make(struct world *w, struct arena *a, uint64_t parent, const char *name, uint32_t mode,
                uint32_t uid, struct inode *ret)
{
    struct create_request req = { .base = base_of(w, uid),
                                  .parent = parent,
                                  .name = bytes_of_text(name),
                                  .mode = mode,
                                  .exclusive = 1,
                                  .symlink = bytes_of_text("target") };
    struct inode_reply rep = { 0 };
    int r = do_create(w, a, &req, &rep);
    if (r >= 0) *ret = rep.inode;
    return r;
}

static int look(struct world *w, struct arena *a, uint64_t parent, const char *name, uint32_t uid,
                struct inode *ret)
{
    struct rpc_call call = call_of(w, a);
    struct lookup_request req = { .base = base_of(w, uid),
                                  .parent = parent,
                                  .name = bytes_of_text(name) };
    struct inode_reply rep = { 0 };
    int r = on_lookup(w->meta, &call, &req, &rep);
    if (r >= 0) *ret = rep.inode;
    return r;
}

static int drop(struct world *w, struct arena *a, uint64_t parent, const char *name,
                enum remove_kind kind, uint32_t uid)
{
    struct rpc_call call = call_of(w, a);
    struct remove_request req = {
        .base = base_of(w, uid), .parent = parent, .name = bytes_of_text(name), .kind = kind
    };
    struct inode_reply rep = { 0 };
    return on_remove(w->meta, &call, &req, &rep);
}

static int set(struct world *w, struct arena *a, struct setattr_request *req, uint32_t uid,
               struct inode *ret)
{
    struct rpc_call call = call_of(w, a);
    struct inode_reply rep = { 0 };
    req->base = base_of(w, uid);
    int r = on_setattr(w->meta, &call, req, &rep);
    if (r >= 0) *ret = rep.inode;
    return r;
}

static struct inode stat_of(struct world *w, struct arena *a, uint64_t id)
{
    struct rpc_call call = call_of(w, a);
    struct stat_request req = { .base = base_of(w, 0), .inodes = { &id, 1 } };
    struct stat_reply rep = { 0 };
    check(on_stat(w->meta, &call, &req, &rep) >= 0);
    return rep.inodes.items[0];
}

static void collect_all(struct world *w)
{
    for (int round = 0; round < 50; round++)
        if (collect_once(w->meta) == 0) return;
    check(!"garbage is never done");
}

/* ---- a model of the tree ---- */

struct model_inode {
    uint64_t id;
    bool is_directory;
    int nlink;               /* of files */
    int parent;              /* of directories */
    int entries[NAME_COUNT]; /* of directories: model index, -1 none */
};

struct model {
    struct model_inode inodes[MODEL_COUNT];
    int count;
};

static const char *const names[NAME_COUNT] = { "a", "b", "c", "d", "e" };

static int model_add(struct model *m, uint64_t id, bool is_directory, int parent)
{
    check(m->count < MODEL_COUNT);
    struct model_inode *i = &m->inodes[m->count];
    *i = (struct model_inode){
        .id = id, .is_directory = is_directory, .nlink = 1, .parent = parent
    };
    for (int n = 0; n < NAME_COUNT; n++)
        i->entries[n] = -1;
    return m->count++;
}

static bool model_is_empty(const struct model_inode *dir)
{
    for (int n = 0; n < NAME_COUNT; n++)
        if (dir->entries[n] >= 0) return false;
    return true;
}

/* A directory that hangs in the tree. */
static int model_pick_directory(struct world *w, const struct model *m)
{
    int at = 0;
    for (int depth = (int)node_random_below(w->node, 4); depth > 0; depth--) {
        int child = m->inodes[at].entries[node_random_below(w->node, NAME_COUNT)];
        if (child >= 0 && m->inodes[child].is_directory) at = child;
    }
    return at;
}

static bool model_is_below(const struct model *m, int dir, int ancestor)
{
    for (; dir > 0; dir = m->inodes[dir].parent)
        if (dir == ancestor) return true;
    return dir == ancestor;
}

/* Every link below a removed tree goes with it. */
static void model_drop_tree(struct model *m, int top)
{
    int stack[MODEL_COUNT], depth = 0;
    stack[depth++] = top;
    while (depth) {
        struct model_inode *dir = &m->inodes[stack[--depth]];
        for (int n = 0; n < NAME_COUNT; n++) {
            int child = dir->entries[n];
            if (child < 0) continue;
            m->inodes[child].nlink--;
            if (m->inodes[child].is_directory) stack[depth++] = child;
        }
    }
}

static int model_remove(struct model *m, int dir, int name, enum remove_kind kind)
{
    int *slot = &m->inodes[dir].entries[name];
    if (*slot < 0) return -ERR_META_NOT_FOUND;
    struct model_inode *victim = &m->inodes[*slot];
    if (victim->is_directory && kind == REMOVE_FILE) return -ERR_META_IS_DIRECTORY;
    if (!victim->is_directory && kind == REMOVE_DIRECTORY) return -ERR_META_NOT_DIRECTORY;
    if (victim->is_directory && kind == REMOVE_DIRECTORY && !model_is_empty(victim))
        return -ERR_META_NOT_EMPTY;
    if (victim->is_directory) model_drop_tree(m, *slot);
    victim->nlink--;
    *slot = -1;
    return 0;
}

static void model_move(struct model *m, int inode, int to)
{
    if (m->inodes[inode].is_directory) m->inodes[inode].parent = to;
}

static int model_rename(struct model *m, int from, int name, int to, int new_name, uint32_t flags)
{
    int *src = &m->inodes[from].entries[name], *dst = &m->inodes[to].entries[new_name];
    bool is_exchange = flags & RENAME_FLAG_EXCHANGE;
    if (*src < 0 || (is_exchange && *dst < 0)) return -ERR_META_NOT_FOUND;
    if (*dst >= 0 && (flags & RENAME_FLAG_NOREPLACE)) return -ERR_META_EXISTS;
    if (from != to && m->inodes[*src].is_directory && model_is_below(m, to, *src))
        return -ERR_META_INVALID_MOVE;
    if (from != to && is_exchange && m->inodes[*dst].is_directory && model_is_below(m, from, *dst))
        return -ERR_META_INVALID_MOVE;
    if (*dst >= 0 && *src == *dst) return 0;
    if (is_exchange) {
        int moved = *src;
        *src = *dst;
        *dst = moved;
        model_move(m, *src, from);
        model_move(m, *dst, to);
        return 0;
    }
    if (*dst >= 0) {
        struct model_inode *target = &m->inodes[*dst];
        bool moves_directory = m->inodes[*src].is_directory;
        if (!target->is_directory && moves_directory) return -ERR_META_NOT_DIRECTORY;
        if (target->is_directory && !moves_directory) return -ERR_META_IS_DIRECTORY;
        if (target->is_directory && !model_is_empty(target)) return -ERR_META_NOT_EMPTY;
        target->nlink--;
    }
    *dst = *src;
    *src = -1;
    model_move(m, *dst, to);
    return 0;
}

static int model_subdirectories(const struct model *m, const struct model_inode *dir)
{
    int count = 0;
    for (int n = 0; n < NAME_COUNT; n++)
        if (dir->entries[n] >= 0 && m->inodes[dir->entries[n]].is_directory) count++;
    return count;
}

static void compare_directory(struct world *w, const struct model *m, int dir)
{
    cleanup_arena_ struct arena a = { 0 };
    struct rpc_call call = call_of(w, &a);
    const struct model_inode *want = &m->inodes[dir];
    struct list_request req = { .base = base_of(w, 0), .parent = want->id, .with_inodes = 1 };
    struct list_reply rep = { 0 };
    check(on_list(w->meta, &call, &req, &rep) >= 0);
    uint32_t at = 0;
    for (int n = 0; n < NAME_COUNT; n++) {
        if (want->entries[n] < 0) continue;
        const struct model_inode *child = &m->inodes[want->entries[n]];
        check(at < rep.entries.count);
        check(bytes_equal_text(rep.entries.items[at].name, names[n]));
        check(rep.entries.items[at].inode == child->id);
        const struct inode *inode = &rep.inodes.items[at];
        int links = child->is_directory ? 2 + model_subdirectories(m, child) : child->nlink;
        check(inode->nlink == (uint32_t)links);
        check(!child->is_directory || inode->parent == want->id);
        at++;
    }
    check(at == rep.entries.count);
}

static void compare_tree(struct world *w, const struct model *m)
{
    int stack[MODEL_COUNT], depth = 0;
    stack[depth++] = 0;
    while (depth) {
        int dir = stack[--depth];
        compare_directory(w, m, dir);
        for (int n = 0; n < NAME_COUNT; n++) {
            int child = m->inodes[dir].entries[n];
            if (child >= 0 && m->inodes[child].is_directory) stack[depth++] = child;
        }
    }
}

static void step_create(struct world *w, struct model *m, bool is_directory)
{
    cleanup_arena_ struct arena a = { 0 };
    int dir = model_pick_directory(w, m), name = (int)node_random_below(w->node, NAME_COUNT);
    struct create_request req = { .base = base_of(w, 0),
                                  .parent = m->inodes[dir].id,
                                  .name = bytes_of_text(names[name]),
                                  .mode = is_directory ? S_IFDIR | 0755 : S_IFREG | 0644,
                                  .exclusive = 1 };
    struct inode_reply rep = { 0 };
    bool exists = m->inodes[dir].entries[name] >= 0;
    if (m->count == MODEL_COUNT) return;
    int r = do_create(w, &a, &req, &rep);
    check(r == (exists ? -ERR_META_EXISTS : 0));
    if (exists) return;
    m->inodes[dir].entries[name] = model_add(m, rep.inode.id, is_directory, dir);
    struct inode_reply again = { 0 };
    check(do_create(w, &a, &req, &again) == 0); /* a retry of what was executed */
    check(again.inode.id == rep.inode.id && again.created);
}

static void step_link(struct world *w, struct model *m)
{
    cleanup_arena_ struct arena a = { 0 };
    struct rpc_call call = call_of(w, &a);
    int from = model_pick_directory(w, m), to = model_pick_directory(w, m);
    int source = m->inodes[from].entries[node_random_below(w->node, NAME_COUNT)];
    int name = (int)node_random_below(w->node, NAME_COUNT);
    if (source < 0) return;
    struct link_request req = { .base = base_of(w, 0),
                                .inode = m->inodes[source].id,
                                .parent = m->inodes[to].id,
                                .name = bytes_of_text(names[name]) };
    struct inode_reply rep = { 0 };
    int want = m->inodes[to].entries[name] >= 0 ? -ERR_META_EXISTS
               : m->inodes[source].is_directory ? -ERR_META_NO_PERMISSION
                                                : 0;
    check(on_link(w->meta, &call, &req, &rep) == want);
    if (want < 0) return;
    m->inodes[to].entries[name] = source;
    m->inodes[source].nlink++;
    check(on_link(w->meta, &call, &req, &rep) == 0);
    check(rep.inode.nlink == (uint32_t)m->inodes[source].nlink);
}

static void step_remove(struct world *w, struct model *m)
{
    cleanup_arena_ struct arena a = { 0 };
    struct rpc_call call = call_of(w, &a);
    int dir = model_pick_directory(w, m), name = (int)node_random_below(w->node, NAME_COUNT);
    enum remove_kind kind = (enum remove_kind)node_random_below(w->node, 20) % 3;
    struct remove_request req = { .base = base_of(w, 0),
                                  .parent = m->inodes[dir].id,
                                  .name = bytes_of_text(names[name]),
                                  .kind = (uint8_t)kind };
    struct inode_reply rep = { 0 };
    int want = model_remove(m, dir, name, kind);
    check(on_remove(w->meta, &call, &req, &rep) == want);
    if (want == 0) check(on_remove(w->meta, &call, &req, &rep) == 0);
    if (kind == REMOVE_TREE) collect_all(w); /* link counts of what was below */
}

static void step_rename(struct world *w, struct model *m)
{
    cleanup_arena_ struct arena a = { 0 };
    struct rpc_call call = call_of(w, &a);
    int from = model_pick_directory(w, m), to = model_pick_directory(w, m);
    int name = (int)node_random_below(w->node, NAME_COUNT),
        new_name = (int)node_random_below(w->node, NAME_COUNT);
    uint32_t flags = (uint32_t[]){ 0, 0, RENAME_FLAG_NOREPLACE,
                                   RENAME_FLAG_EXCHANGE }[node_random_below(w->node, 4)];
    struct rename_request req = { .base = base_of(w, 0),
                                  .parent = m->inodes[from].id,
                                  .name = bytes_of_text(names[name]),
                                  .new_parent = m->inodes[to].id,
                                  .new_name = bytes_of_text(names[new_name]),
                                  .flags = flags };
    struct inode_reply rep = { 0 };
    int want = model_rename(m, from, name, to, new_name, flags);
    check(on_rename(w->meta, &call, &req, &rep) == want);
    bool is_same = from == to && name == new_name;
    if (want == 0 && !is_same) {
        int r = on_rename(w->meta, &call, &req, &rep);
        check(r == 0 ||
              r == -ERR_META_NOT_FOUND); /* not recorded when it was two links of one file */
    }
}

static int model_main(void *arg)
{
    struct world *w = arg;
    struct model *m = new_zero(struct model);
    model_add(m, INODE_ROOT, true, 0);
    for (int step = 0; step < STEP_COUNT; step++) {
        switch (node_random_below(w->node, 6)) {
        case 0: step_create(w, m, false); break;
        case 1: step_create(w, m, true); break;
        case 2: step_link(w, m); break;
        case 3: step_remove(w, m); break;
        default: step_rename(w, m); break;
        }
        if (step % 100 == 0) compare_tree(w, m);
    }
    compare_tree(w, m);
    collect_all(w); /* what was removed goes to the last record */
    cleanup_arena_ struct arena a = { 0 };
    struct rpc_call call = call_of(w, &a);
    struct list_request req = { .base = base_of(w, 0) };
    struct gc_list_reply rep = { 0 };
    check(on_gc_list(w->meta, &call, &req, &rep) >= 0 && rep.entries.count == 0);
    compare_tree(w, m);
    free(m);
    return 0;
}

/* ---- single rules ---- */

static void rules_of_access(struct world *w, struct arena *a)
{
    struct inode dir, file, out;
    check(make(w, a, INODE_ROOT, "pub", S_IFDIR | 01777, 0, &dir) == 0);
    check(make(w, a, INODE_ROOT, "priv", S_IFDIR | 0755, 0, &out) == 0);
    check(make(w, a, out.id, "x", S_IFREG | 0644, 7, &file) == -ERR_META_NO_ACCESS);
    check(make(w, a, dir.id, "mine", S_IFREG | 0600, 7, &file) == 0);
    check(file.uid == 7);
    check(drop(w, a, dir.id, "mine", REMOVE_FILE, 8) ==
          -ERR_META_NO_PERMISSION); /* sticky: EPERM */
    struct setattr_request chmod = { .inode = file.id, .set = SETATTR_MODE, .mode = 0777 };
    check(set(w, a, &chmod, 8, &out) == -ERR_META_NO_PERMISSION);
    struct setattr_request chown = { .inode = file.id, .set = SETATTR_UID, .uid = 8 };
    check(set(w, a, &chown, 7, &out) == -ERR_META_NO_PERMISSION);
    struct setattr_request cut = { .inode = file.id, .set = SETATTR_LENGTH, .length = 5 };
    check(set(w, a, &cut, 8, &out) == -ERR_META_NO_ACCESS);
    check(set(w, a, &cut, 7, &out) == 0 && out.length == 5);
    check(make(w, a, dir.id, "dev", S_IFCHR | 0600, 7, &out) == -ERR_META_NO_PERMISSION);
    check(drop(w, a, dir.id, "mine", REMOVE_FILE, 7) == 0);
}

static void rules_of_truncate(struct world *w, struct arena *a)
{
    struct inode file, out;
    check(make(w, a, INODE_ROOT, "t", S_IFREG | 0644, 0, &file) == 0);
    uint32_t generation = file.generation;
    struct setattr_request grow = { .inode = file.id, .set = SETATTR_LENGTH, .length = 10 * CHUNK };
    check(set(w, a, &grow, 0, &out) == 0);
    check(out.generation == generation && out.length == 10 * CHUNK && w->chunks.trim_count == 0);
    struct setattr_request shrink = { .inode = file.id, .set = SETATTR_LENGTH, .length = 3 };
    w->chunks.fail_next = 1; /* the storage is away: the truncate is done all the same */
    check(set(w, a, &shrink, 0, &out) == 0);
    check(out.generation == generation + 1 && out.length == 3 && out.trim_from == 3);
    check(set(w, a, &grow, 0, &out) == 0); /* growing had to finish the trim first */
    check(w->chunks.trim_count == 1 && w->chunks.last_trim == 3 && out.trim_from == TRIM_NONE);
    w->chunks.fail_next = 1;
    check(set(w, a, &shrink, 0, &out) == 0 && out.trim_from == 3);
    check(trims_once(w->meta, 0) == 1);
    check(stat_of(w, a, file.id).trim_from == TRIM_NONE);

    struct rpc_call call = call_of(w, a);
    struct settle_request settle = { .base = base_of(w, 0),
                                     .inode = file.id,
                                     .wrote = 1,
                                     .length_hint = 500,
                                     .generation = stat_of(w, a, file.id).generation };
    struct inode_reply rep = { 0 };
    check(on_settle(w->meta, &call, &settle, &rep) == 0 && rep.inode.length == 500);
    settle.length_hint = 100;
    check(on_settle(w->meta, &call, &settle, &rep) == 0 && rep.inode.length == 500);
    settle.generation--; /* an old hint is not believed: the storage is asked */
    settle.length_hint = 1 << 30;
    w->chunks.stored_length = 600;
    check(on_settle(w->meta, &call, &settle, &rep) == 0 && rep.inode.length == 600);
    struct append_request append = { .base = base_of(w, 0), .inode = file.id, .length = 50 };
    struct append_reply appended = { 0 };
    check(on_append(w->meta, &call, &append, &appended) == 0 && appended.offset == 600);
    check(on_append(w->meta, &call, &append, &appended) == 0 &&
          appended.offset == 600); /* a retry */
    check(appended.inode.length == 650);
    check(drop(w, a, INODE_ROOT, "t", REMOVE_FILE, 0) == 0);
}

static void rules_of_sessions(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct create_request req = { .base = base_of(w, 0),
                                  .name = bytes_of_text("open"),
                                  .mode = S_IFREG | 0644,
                                  .session = { 5, 5 } };
    struct inode_reply rep = { 0 };
    check(do_create(w, a, &req, &rep) == 0);
    struct inode file = rep.inode;
    check(collect_once(w->meta) >= 0); /* what earlier rules left */
    int removed = w->chunks.remove_count;
    check(drop(w, a, INODE_ROOT, "open", REMOVE_FILE, 0) == 0);
    check(collect_once(w->meta) == 0 &&
          w->chunks.remove_count == removed); /* somebody has it open */
    check(stat_of(w, a, file.id).mode == file.mode && stat_of(w, a, file.id).nlink == 0);
    struct settle_request settle = { .base = base_of(w, 0),
                                     .inode = file.id,
                                     .wrote = 1,
                                     .length_hint = 10,
                                     .generation = file.generation };
    check(on_settle(w->meta, &call, &settle, &rep) == 0);
    struct open_file open[] = { { file.id, { 5, 5 } }, { file.id, { 6, 6 } } };
    struct close_request close = { .base = base_of(w, 0), .files = { open, ARRAY_SIZE(open) } };
    struct empty_record none;
    check(collect_once(w->meta) == 0); /* settled, and still open */
    check(on_close(w->meta, &call, &close, &none) == 0);
    check(collect_once(w->meta) == 1 && w->chunks.remove_count == removed + 1);
    check(stat_of(w, a, file.id).mode == 0);
    check(on_close(w->meta, &call, &close, &none) == 0); /* a late retry of the close */
    open[1].session = (struct uuid){ 0 };
    check(on_close(w->meta, &call, &close, &none) == -ERR_INVALID_ARG);
}

static void rules_of_access_times(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct inode file, dir;
    check(make(w, a, INODE_ROOT, "read", S_IFREG | 0644, 0, &file) == 0);
    check(make(w, a, INODE_ROOT, "listed", S_IFDIR | 0755, 0, &dir) == 0);
    check(fiber_sleep(1 * MSEC) == 0);
    int64_t now_ns = (int64_t)node_wall_ns(w->meta->node);
    struct open_file read[] = { { .inode = file.id, .atime_ns = file.atime_ns + 5 },
                                { .inode = dir.id, .atime_ns = dir.atime_ns + 5 },
                                { .inode = 1ull << 40, .atime_ns = 5 } };
    struct close_request close = { .base = base_of(w, 0), .files = { read, ARRAY_SIZE(read) } };
    struct empty_record none;
    check(on_close(w->meta, &call, &close, &none) == 0);
    struct inode after = stat_of(w, a, file.id);
    check(after.atime_ns == file.atime_ns + 5 && after.change == file.change &&
          after.ctime_ns == file.ctime_ns);
    check(stat_of(w, a, dir.id).atime_ns == dir.atime_ns);
    read[0].atime_ns = file.atime_ns + 4; /* it never goes back */
    check(on_close(w->meta, &call, &close, &none) == 0);
    check(stat_of(w, a, file.id).atime_ns == file.atime_ns + 5);
    read[0].atime_ns = INT64_MAX; /* nor into the future */
    check(on_close(w->meta, &call, &close, &none) == 0);
    after = stat_of(w, a, file.id);
    check(after.atime_ns >= now_ns && after.atime_ns <= (int64_t)node_wall_ns(w->meta->node));
}

static void rules_of_trees(struct world *w, struct arena *a)
{
    struct inode top, sub, file, out;
    check(make(w, a, INODE_ROOT, "tree", S_IFDIR | 0755, 0, &top) == 0);
    check(stat_of(w, a, INODE_ROOT).nlink > 2);
    check(make(w, a, top.id, "sub", S_IFDIR | 0755, 0, &sub) == 0);
    for (int i = 0; i < 200; i++)
        check(make(w, a, sub.id, arena_printf(a, "f%03d", i), S_IFREG | 0644, 0, &file) == 0);
    check(drop(w, a, INODE_ROOT, "tree", REMOVE_DIRECTORY, 0) == -ERR_META_NOT_EMPTY);
    check(drop(w, a, INODE_ROOT, "tree", REMOVE_TREE, 0) == 0);
    check(look(w, a, INODE_ROOT, "tree", 0, &out) == -ERR_META_NOT_FOUND);
    check(make(w, a, top.id, "late", S_IFREG | 0644, 0, &out) == -ERR_META_NOT_FOUND);
    for (int round = 0; round < 10; round++)
        check(collect_once(w->meta) >= 0);
    check(stat_of(w, a, top.id).mode == 0 && stat_of(w, a, sub.id).mode == 0 &&
          stat_of(w, a, file.id).mode == 0);
}

static void rules_of_xattrs(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct inode file;
    struct empty_record none;
    struct xattr_reply rep = { 0 };
    check(make(w, a, INODE_ROOT, "x", S_IFREG | 0644, 0, &file) == 0);
    struct xattr_request req = { .base = base_of(w, 0),
                                 .inode = file.id,
                                 .name = bytes_of_text("user.k"),
                                 .value = bytes_of_text("v"),
                                 .flags = XATTR_REPLACE };
    check(on_xattr_set(w->meta, &call, &req, &none) == -ERR_META_NO_ATTR);
    req.flags = XATTR_CREATE;
    check(on_xattr_set(w->meta, &call, &req, &none) == 0);
    check(on_xattr_set(w->meta, &call, &req, &none) == 0); /* a retry */
    req.base = base_of(w, 0);
    check(on_xattr_set(w->meta, &call, &req, &none) == -ERR_META_EXISTS);
    check(on_xattr_get(w->meta, &call, &req, &rep) == 0 && bytes_equal_text(rep.value, "v"));
    check(on_xattr_list(w->meta, &call, &req, &rep) == 0 && rep.names.count == 1);
    req.name = bytes_of_text("system.posix_acl_access");
    check(on_xattr_set(w->meta, &call, &req, &none) == -ERR_NOT_SUPPORTED);
    req.name = bytes_of_text("user.k");
    req.base = base_of(w, 0);
    check(on_xattr_remove(w->meta, &call, &req, &none) == 0);
    check(on_xattr_get(w->meta, &call, &req, &rep) == -ERR_META_NO_ATTR);
    check(drop(w, a, INODE_ROOT, "x", REMOVE_FILE, 0) == 0);
}

static void rules_of_names(struct world *w, struct arena *a)
{
    struct inode out;
    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    long_name[256] = 0;
    check(make(w, a, INODE_ROOT, long_name, S_IFREG, 0, &out) == -ERR_META_NAME_TOO_LONG);
    long_name[255] = 0;
    check(make(w, a, INODE_ROOT, long_name, S_IFREG, 0, &out) == 0);
    check(look(w, a, INODE_ROOT, long_name, 0, &out) == 0);
    check(drop(w, a, INODE_ROOT, long_name, REMOVE_FILE, 0) == 0);
    check(make(w, a, INODE_ROOT, "a/b", S_IFREG, 0, &out) == -ERR_INVALID_ARG);
    check(make(w, a, INODE_ROOT, "..", S_IFREG, 0, &out) == -ERR_INVALID_ARG);
    check(make(w, a, INODE_ROOT, "", S_IFREG, 0, &out) == -ERR_INVALID_ARG);
    check(make(w, a, INODE_ROOT, "odd", 0170000, 0, &out) == -ERR_INVALID_ARG);
    check(look(w, a, INODE_ROOT, "..", 0, &out) == 0 && out.id == INODE_ROOT);
}

static int rules_main(void *arg)
{
    struct world *w = arg;
    static void (*const rules[])(struct world *, struct arena *) = {
        rules_of_access, rules_of_truncate, rules_of_sessions, rules_of_access_times,
        rules_of_trees,  rules_of_xattrs,   rules_of_names
    };
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        cleanup_arena_ struct arena a = { 0 };
        rules[i](w, &a);
    }
    return 0;
}

/* Fifty fibers create, link and unlink in one directory: nothing conflicts for long, nothing is
 * lost. */
struct crowd {
    struct world *w;
    uint64_t dir;
    int index;
};

static int crowd_member(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < 10; i++) {
        cleanup_arena_ struct arena a = { 0 };
        struct inode out;
        check(make(c->w, &a, c->dir, arena_printf(&a, "%d-%d", c->index, i), S_IFREG | 0644, 0,
                   &out) == 0);
        check(make(c->w, &a, c->dir, arena_printf(&a, "d%d-%d", c->index, i), S_IFDIR | 0755, 0,
                   &out) == 0);
        if (i % 2)
            check(drop(c->w, &a, c->dir, arena_printf(&a, "%d-%d", c->index, i), REMOVE_FILE, 0) ==
                  0);
    }
    return 0;
}

static int crowd_main(void *arg)
{
    struct world *w = arg;
    cleanup_arena_ struct arena a = { 0 };
    struct crowd members[50];
    struct inode dir;
    check(make(w, &a, INODE_ROOT, "crowd", S_IFDIR | 0755, 0, &dir) == 0);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = w->node;
    for (int i = 0; i < 50; i++) {
        members[i] = (struct crowd){ w, dir.id, i };
        check(fiber_spawn(&scope, "crowd", crowd_member, &members[i]) == 0);
    }
    check(scope_wait(&scope) == 0);
    check(stat_of(w, &a, dir.id).nlink == 2 + 500);
    struct rpc_call call = call_of(w, &a);
    uint32_t count = 0;
    struct list_request req = { .base = base_of(w, 0), .parent = dir.id, .count_max = 37 };
    struct list_reply rep;
    do {
        rep = (struct list_reply){ 0 };
        check(on_list(w->meta, &call, &req, &rep) >= 0);
        count += rep.entries.count;
        if (rep.entries.count) req.after = rep.entries.items[rep.entries.count - 1].name;
    } while (rep.more);
    check(count == 500 + 250);
    return 0;
}

/* ---- the frame ---- */

struct run {
    struct world *w;
    int (*main_fn)(void *);
    const struct kv_mem_profile *profile;
};

static int run_main(void *arg)
{
    struct run *run = arg;
    struct world *w = run->w;
    uint32_t chain_ids[4] = { 1, 2, 3, 4 };
    struct chain_table table = {
        .table_id = 1, .version = 1, .chains = { chain_ids, 4 }, .changed = 1
    };
    struct get_routing_reply part = { .term = 1, .version = 1, .full = 1, .tables = { &table, 1 } };
    routing_init(&w->routing, 1);
    check(routing_apply(&w->routing, &part, 1) == 0);
    check(kv_mem_open(w->node, w->store, &w->kv) == 0);
    struct layout layout = { .table_id = 1, .chunk_size = CHUNK, .stripe = 2 };
    check(meta_init_file_system(w->node, w->kv, &layout, &(struct user_info){ 0 }) == 0);
    struct meta_options options = { .node_id = 101, .gc_concurrency = 8, .session_scan_ns = SEC };
    w->meta = meta_new(w->node, w->kv, &w->routing, NULL, &fake_data, &w->chunks, &options);
    if (run->profile) kv_mem_store_set(w->store, run->profile);
    int r = run->main_fn(w);
    meta_free(w->meta);
    kv_close(w->kv);
    routing_done(&w->routing);
    return r;
}

static int run_on_node(void *arg)
{
    struct run *run = arg;
    struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = run->w->node;
    check(fiber_spawn(&scope, "test", run_main, run) == 0);
    int r = scope_wait(&scope);
    scope_done(&scope);
    node_stop(run->w->node);
    return r;
}

static void run_world(uint64_t seed, int (*main_fn)(void *), const struct kv_mem_profile *profile)
{
    struct sim_options options = { .seed = seed };
    struct world w = { .seed = seed };
    struct run run = { &w, main_fn, profile };
    w.sim = sim_new(&options);
    w.node = node_new(sim_loop(w.sim), sim_machine_new(w.sim, "meta"), "meta-101");
    w.store = kv_mem_store_new(seed);
    assert_int_equal(sim_run(w.sim, run_on_node, &run, 3600 * SEC), 0);
    node_free(w.node);
    kv_mem_store_free(w.store);
    sim_free(w.sim);
}

static const struct kv_mem_profile harsh = { .delay_min_ns = 10 * USEC,
                                             .delay_max_ns = 200 * USEC,
                                             .conflict_ppm = 20000,
                                             .maybe_committed_ppm = 20000 };

static void test_model(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run_world(seed, model_main, NULL);
}

static void test_model_harsh(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run_world(seed, model_main, &harsh);
}

static void test_rules(void **state)
{
    run_world(1, rules_main, NULL);
    run_world(2, rules_main, &harsh);
}

static void test_crowd(void **state)
{
    static const struct kv_mem_profile slow = { .delay_min_ns = 50 * USEC,
                                                .delay_max_ns = 500 * USEC };
    run_world(3, crowd_main, &slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_model_harsh),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
