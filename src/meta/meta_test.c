/* meta_test.c - the operations against a model of a POSIX tree, on the store in memory with
 * conflicts and unknown commits, with retries of requests that were executed.
 */
#include "meta/test_meta.h"

#include "base/check.h"
#include "rpc/rpc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { NAME_COUNT = 5, MODEL_COUNT = 400, STEP_COUNT = 1500 };

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

static void test_crowd(void **state)
{
    static const struct kv_mem_profile slow = { .delay_min_ns = 50 * USEC,
                                                .delay_max_ns = 500 * USEC };
    run_world(3, crowd_main, &slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_model_harsh),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
