/* cmd_tree.c - commands on everything below a directory.
 *
 * A number of workers share a stack of directories; each lists one, changes what is in it, and puts
 * its subdirectories on the stack. What cannot be done is counted, the first failures are told, and
 * the walk goes on.
 */
#include "admin/commands.h"

#include "admin/progress.h"
#include "base/check.h"
#include <sys/stat.h>

enum { WORKER_COUNT_MAX = 256, TOLD_COUNT_MAX = 20 };

static const struct argument_spec chown_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },
    { "uid", NULL, ARG_U32, true, "" },
    { "gid", NULL, ARG_U32, true, "" },
    { "--threads", "-t", ARG_U32, false, "so many at a time; default 16" },
    { "--concurrency", "-c", ARG_U32, false, "accepted and without effect" },
    { "--debug", NULL, ARG_FLAG, false, "name everything that is changed" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct chowning {
    struct admin *a;
    uint32_t uid, gid;
    bool names_all;
    uint64_t *directories; /* that wait */
    size_t directory_count, capacity;
    uint32_t busy_count; /* workers that may yet find directories */
    struct wait_queue changed;
    uint64_t list_count, list_failures, chown_count, chown_failures;
    uint32_t told_count;
    int first_error;
    struct progress progress;
};

static void directory_push(struct chowning *c, uint64_t inode)
{
    if (c->directory_count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 64;
        c->directories = xrealloc(c->directories, c->capacity * sizeof *c->directories);
    }
    c->directories[c->directory_count++] = inode;
    wait_queue_wake_one(&c->changed);
}

static void tell_failure(struct chowning *c, int r, const char *what, uint64_t inode,
                         const char *text)
{
    if (c->first_error == 0) c->first_error = r;
    if (c->told_count++ >= TOLD_COUNT_MAX || c->a->printer.is_json) return;
    progress_end(&c->progress);
    fprintf(c->a->printer.out, "%s of inode 0x%llx: %s\n", what, (unsigned long long)inode,
            text ?: error_sentence(r));
}

static void chown_inode(struct chowning *c, const struct inode *inode)
{
    cleanup_arena_ struct arena arena = { 0 };
    if (inode->uid == c->uid && inode->gid == c->gid) return;
    struct setattr_request q = {
        .inode = inode->id, .set = SETATTR_UID | SETATTR_GID, .uid = c->uid, .gid = c->gid
    };
    struct inode_reply rep;
    const char *text = NULL;
    admin_meta_base(c->a, &q.base);
    int r = meta_call(c->a->meta, RPC_METHOD(meta, setattr), &arena, &q, &rep, &text);
    if (r == -ERR_META_NOT_FOUND) return; /* removed since */
    c->chown_count++;
    progress_show(&c->progress, c->chown_count);
    if (r < 0) {
        c->chown_failures++;
        tell_failure(c, r, "chown", inode->id, text);
    } else if (c->names_all) {
        fprintf(c->a->printer.is_json ? stderr : c->a->printer.out,
                "chown 0x%llx from %u:%u to %u:%u\n", (unsigned long long)inode->id, inode->uid,
                inode->gid, c->uid, c->gid);
    }
}

static void chown_entries(struct chowning *c, uint64_t directory)
{
    char last[NAME_BYTES_MAX];
    struct list_request q = { .parent = directory, .count_max = 256, .with_inodes = 1 };
    struct list_reply rep = { .more = 1 };
    c->list_count++;
    while (rep.more) {
        cleanup_arena_ struct arena arena = { 0 };
        const char *text = NULL;
        admin_meta_base(c->a, &q.base);
        int r = meta_call(c->a->meta, RPC_METHOD(meta, list), &arena, &q, &rep, &text);
        if (r == -ERR_META_NOT_FOUND) return;
        if (r < 0) {
            c->list_failures++;
            tell_failure(c, r, "list", directory, text);
            return;
        }
        for (uint32_t i = 0; i < rep.inodes.count; i++) {
            const struct inode *inode = &rep.inodes.items[i];
            if (inode->mode == 0) continue; /* removed since */
            chown_inode(c, inode);
            if (S_ISDIR(inode->mode)) directory_push(c, inode->id);
        }
        if (rep.entries.count == 0) return;
        struct bytes name = rep.entries.items[rep.entries.count - 1].name;
        check(name.size <= sizeof last);
        memcpy(last, name.base, name.size);
        q.after = bytes_of(last, name.size);
    }
}

static int chown_worker(void *arg)
{
    struct chowning *c = arg;
    for (;;) {
        while (c->directory_count == 0 && c->busy_count > 0) {
            int r = wait_queue_wait(&c->changed, "more directories");
            if (r < 0) return r;
        }
        if (c->directory_count == 0) return 0;
        c->busy_count++;
        chown_entries(c, c->directories[--c->directory_count]);
        c->busy_count--;
        if (c->busy_count == 0) wait_queue_wake_all(&c->changed);
        int r = fiber_interruption();
        if (r < 0) return r;
    }
}

static int run_workers(struct chowning *c, uint64_t count)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    scope.fail_fast = true;
    for (uint64_t i = 0; i < count; i++) {
        int r = fiber_spawn(&scope, "recursive-chown", chown_worker, c);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

static void print_chowning(const struct chowning *c)
{
    struct print_table t;
    block_begin(&t, &c->a->printer);
    block_row(&t, "listTasks", "%llu", (unsigned long long)c->list_count);
    block_row(&t, "listTasksFailed", "%llu", (unsigned long long)c->list_failures);
    block_row(&t, "chownTasks", "%llu", (unsigned long long)c->chown_count);
    block_row(&t, "chownTasksFailed", "%llu", (unsigned long long)c->chown_failures);
    table_end(&t);
}

static int run_recursive_chown(struct admin *a, const struct arguments *args)
{
    struct inode top;
    uint64_t worker_count = argument_number(args, "--threads", 16);
    if (worker_count < 1 || worker_count > WORKER_COUNT_MAX)
        return admin_fail(a, -ERR_INVALID_ARG, "--threads is 1 to %d", WORKER_COUNT_MAX);
    int r = admin_walk(a, argument_text(args, "path", ""), false, &top);
    if (r < 0) return r;
    struct chowning c = { .a = a,
                          .uid = (uint32_t)argument_number(args, "uid", 0),
                          .gid = (uint32_t)argument_number(args, "gid", 0),
                          .names_all = argument_flag(args, "--debug") };
    wait_queue_init(&c.changed);
    progress_begin(&c.progress, a, "recursive-chown", "changed", 0);
    chown_inode(&c, &top);
    if (S_ISDIR(top.mode)) directory_push(&c, top.id);
    r = run_workers(&c, worker_count);
    progress_end(&c.progress);
    free(c.directories);
    if (r < 0) return admin_fail(a, r, "recursive-chown: %s", error_sentence(r));
    print_chowning(&c);
    return c.first_error;
}

const struct command_spec tree_commands[] = {
    { "recursive-chown", run_recursive_chown, chown_spec,
      "Gives a file or directory, and all below it, to a user and group. Symlinks are changed, not "
      "followed.\n  recursive-chown /data 1000 1000" },
    { NULL, NULL, NULL, NULL },
};
