/* meta_bench.c - how many names a second a cluster takes through the client library, without FUSE.
 *
 *     meta_bench --mgmtd TCP://127.0.0.1:18000 --token-file FILE [--cluster-id default]
 *                [--processes 2] [--files 5000] [--depth 1] [--one-directory] [--open]
 *                [--watch PID,PID,...] [--json]
 *
 * The phases are those of tree_bench; --depth is how many calls each process has under way. --open
 * creates as open(2) and close(2) on a mount do: with a session that the close settles. Without it
 * a creation is one call, as mknod(2) is. "stat" looks a name up, as a stat(2) by name does.
 */
#include "client/meta_client.h"
#include "loop/loop.h"
#include "team.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_COUNT_MAX = 10000000, DEPTH_MAX = 1024 };

enum phase { PHASE_MKDIR, PHASE_CREATE, PHASE_STAT, PHASE_READDIR, PHASE_RENAME, PHASE_UNLINK };
static const char *const phase_names[] = { "mkdir",  "create", "stat", "readdir",
                                           "rename", "unlink", NULL };

struct meta_bench {
    const char *mgmtd, *token_file, *cluster_id;
    uint32_t file_count, depth;
    bool is_shared, opens;
    pid_t run; /* makes the directories' names new */
};

struct worker {
    const struct meta_bench *bench;
    struct team_member *member;
    struct node *node;
    struct mgmtd_client *mgmtd;
    struct meta_client *meta;
    struct uuid client;
    char directory_name[64];
    uint64_t directory; /* inode id */
    enum phase phase;
    uint32_t next; /* file to take */
};

static int failed(int r, const char *what, const char *name)
{
    char text[64];
    fprintf(stderr, "meta_bench: %s %s: %s\n", what, name, error_to_text(r, text, sizeof text));
    return r;
}

static void base_init(struct worker *w, struct meta_base *base)
{
    meta_base_init(w->meta, &(struct user_info){ 0 }, base);
}

static struct bytes name_text(char buf[64], const struct worker *w, const char *prefix, uint32_t i)
{
    int size = snprintf(buf, 64, "%s-%u-%u", prefix, w->member->index, i);
    return bytes_of(buf, (size_t)size);
}

/* ---- operations ---- */

static int make_directory(struct worker *w) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    const struct meta_bench *b = w->bench;
    int size = b->is_shared
                   ? snprintf(w->directory_name, 64, "bench-%d", (int)b->run)
                   : snprintf(w->directory_name, 64, "bench-%d-%u", (int)b->run, w->member->index);
    struct bytes name = bytes_of(w->directory_name, (size_t)size);
    struct create_request create = {
        .parent = INODE_ROOT, .name = name, .mode = S_IFDIR | 0755, .exclusive = !b->is_shared
    };
    struct lookup_request look = { .parent = INODE_ROOT, .name = name };
    struct inode_reply rep = { 0 };
    base_init(w, &create.base);
    int r = meta_call(w->meta, RPC_METHOD(meta, create), &arena, &create, &rep, NULL);
    if (r == -ERR_META_EXISTS && b->is_shared) {
        base_init(w, &look.base);
        r = meta_call(w->meta, RPC_METHOD(meta, lookup), &arena, &look, &rep, NULL);
    }
    if (r < 0) return failed(r, "mkdir", w->directory_name);
    w->directory = rep.inode.id;
    return 0;
}

static int create_file(struct worker *w, struct arena *arena, struct bytes name) fiber_fn
{
    struct create_request create = {
        .parent = w->directory, .name = name, .mode = S_IFREG | 0644, .exclusive = 1
    };
    struct inode_reply rep = { 0 };
    if (w->bench->opens) node_random_bytes(w->node, &create.session, sizeof create.session);
    base_init(w, &create.base);
    int r = meta_call(w->meta, RPC_METHOD(meta, create), arena, &create, &rep, NULL);
    if (r < 0 || !w->bench->opens) return r;
    struct open_file open = { rep.inode.id, create.session };
    struct close_request close = { .files = { &open, 1 } };
    struct empty_record closed;
    base_init(w, &close.base);
    return meta_call(w->meta, RPC_METHOD(meta, close), arena, &close, &closed, NULL);
}

static int one_operation(struct worker *w, struct arena *arena, uint32_t i) fiber_fn
{
    char made_text[64], renamed_text[64];
    struct bytes made = name_text(made_text, w, "made", i);
    struct bytes renamed = name_text(renamed_text, w, "renamed", i);
    struct lookup_request look = { .parent = w->directory, .name = made };
    struct rename_request mv = {
        .parent = w->directory, .name = made, .new_parent = w->directory, .new_name = renamed
    };
    struct remove_request rm = { .parent = w->directory, .name = renamed, .kind = REMOVE_FILE };
    struct inode_reply rep = { 0 };
    switch (w->phase) {
    case PHASE_CREATE: return create_file(w, arena, made);
    case PHASE_STAT:
        base_init(w, &look.base);
        return meta_call(w->meta, RPC_METHOD(meta, lookup), arena, &look, &rep, NULL);
    case PHASE_RENAME:
        base_init(w, &mv.base);
        return meta_call(w->meta, RPC_METHOD(meta, rename), arena, &mv, &rep, NULL);
    default:
        base_init(w, &rm.base);
        return meta_call(w->meta, RPC_METHOD(meta, remove), arena, &rm, &rep, NULL);
    }
}

static int operations_run(void *arg) fiber_fn
{
    struct worker *w = arg;
    while (w->next < w->bench->file_count) {
        cleanup_arena_ struct arena arena = { 0 };
        uint32_t i = w->next++;
        int r = one_operation(w, &arena, i);
        if (r < 0) return failed(r, phase_names[w->phase], w->directory_name);
    }
    return 0;
}

static int64_t list_directory(struct worker *w) fiber_fn
{
    char after[NAME_BYTES_MAX];
    size_t after_size = 0;
    int64_t count = 0;
    for (bool more = true; more;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct list_request list = { .parent = w->directory, .after = bytes_of(after, after_size) };
        struct list_reply rep = { 0 };
        base_init(w, &list.base);
        int r = meta_call(w->meta, RPC_METHOD(meta, list), &arena, &list, &rep, NULL);
        if (r < 0) return failed(r, "list", w->directory_name);
        count += rep.entries.count;
        more = rep.more && rep.entries.count > 0;
        if (!more) break;
        struct bytes last = rep.entries.items[rep.entries.count - 1].name;
        after_size = MIN_OF(last.size, sizeof after);
        memcpy(after, last.base, after_size);
    }
    return count;
}

/* ---- a member ---- */

static int64_t run_phase(struct worker *w) fiber_fn
{
    if (w->phase == PHASE_MKDIR) return make_directory(w);
    if (w->phase == PHASE_READDIR) return list_directory(w);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    scope.local = w->node;
    w->next = 0;
    for (uint32_t i = 0; i < w->bench->depth; i++) {
        int r = fiber_spawn(&scope, "operations", operations_run, w);
        if (r < 0) return r;
    }
    int r = scope_wait(&scope);
    return r < 0 ? r : (int64_t)w->bench->file_count;
}

static int token_read(const char *path, struct auth_identity *ret)
{
    *ret = (struct auth_identity){ .kind = AUTH_TOKEN };
    FILE *f = fopen(path, "re");
    if (!f) return failed(error_from_errno(errno), "open", path);
    char *line = fgets(ret->token, sizeof ret->token, f);
    fclose(f);
    if (!line) return failed(-ERR_AUTH_FAIL, "no token in", path);
    ret->token[strcspn(ret->token, "\r\n")] = '\0';
    return 0;
}

static int join_cluster(struct worker *w) fiber_fn
{
    struct auth_identity identity;
    struct net_address address;
    int r = net_address_parse(w->bench->mgmtd, &address);
    if (r < 0) return failed(r, "address", w->bench->mgmtd);
    r = token_read(w->bench->token_file, &identity);
    if (r < 0) return r;
    struct mgmtd_client_options options = { .cluster_id = w->bench->cluster_id,
                                            .servers = &address,
                                            .server_count = 1,
                                            .identity = &identity };
    node_random_bytes(w->node, &w->client, sizeof w->client);
    w->mgmtd = mgmtd_client_new(w->node, &options);
    r = mgmtd_client_start_session(w->mgmtd, NODE_CLIENT, w->client, "meta_bench");
    if (r >= 0) r = mgmtd_client_wait_ready(w->mgmtd);
    if (r < 0) return failed(r, "session at", w->bench->mgmtd);
    struct meta_client_options meta = { .client = w->client };
    w->meta = meta_client_new(w->node, w->mgmtd, &meta);
    return 0;
}

static int remove_directory(struct worker *w) fiber_fn
{
    cleanup_arena_ struct arena arena = { 0 };
    struct remove_request rm = { .parent = INODE_ROOT,
                                 .name = bytes_of_text(w->directory_name),
                                 .kind = REMOVE_DIRECTORY };
    struct inode_reply rep = { 0 };
    base_init(w, &rm.base);
    int r = meta_call(w->meta, RPC_METHOD(meta, remove), &arena, &rm, &rep, NULL);
    if (r >= 0 || (r == -ERR_META_NOT_FOUND && w->bench->is_shared)) return 0;
    return failed(r, "rmdir", w->directory_name);
}

/* Waits for the pipe of the team away from the loop, whose connections go on. */
static int next_phase(void *member)
{
    return team_begin(member);
}

static int worker_fiber(void *arg) fiber_fn
{
    struct worker *w = arg;
    int phase, r = join_cluster(w);
    while (r >= 0 && (phase = blocking_run(w->node, next_phase, w->member)) >= 0) {
        w->phase = (enum phase)phase;
        int64_t count = run_phase(w);
        if (count < 0) r = (int)count;
        if (count >= 0) team_end(w->member, (uint64_t)count);
    }
    if (r >= 0) r = remove_directory(w);
    meta_client_free(w->meta);
    mgmtd_client_free(w->mgmtd);
    return r;
}

static int worker_main(struct team_member *member, void *arg)
{
    cleanup_(loop_freep) struct loop *loop = NULL;
    int r = loop_new(LOOP_AUTO, &loop, NULL);
    if (r < 0) return failed(r, "event loop", "");
    struct worker w = { .bench = arg,
                        .member = member,
                        .node = node_new(loop, NULL, "meta_bench") };
    w.node->log.level = LOG_WARN;
    r = loop_run_main(loop, w.node, worker_fiber, &w);
    node_free(w.node);
    return r < 0 ? -1 : 0;
}

/* ---- the command line ---- */

int main(int argc, char **argv)
{
    struct meta_bench bench = {
        .cluster_id = "default", .file_count = 5000, .depth = 1, .run = getpid()
    };
    struct team_options team = {
        .member_count = 2, .phases = phase_names, .member = worker_main, .arg = &bench
    };
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *next = argv[i + 1]; /* argv[argc] is NULL */
        if (!strcmp(option, "--one-directory")) {
            bench.is_shared = true;
        } else if (!strcmp(option, "--open")) {
            bench.opens = true;
        } else if (!strcmp(option, "--json")) {
            team.is_json = true;
        } else if (next && !strcmp(option, "--mgmtd")) {
            bench.mgmtd = argv[++i];
        } else if (next && !strcmp(option, "--token-file")) {
            bench.token_file = argv[++i];
        } else if (next && !strcmp(option, "--cluster-id")) {
            bench.cluster_id = argv[++i];
        } else if (next && !strcmp(option, "--watch")) {
            team.watch = argv[++i];
        } else if (next && !strcmp(option, "--processes")) {
            team.member_count = team_number(option, argv[++i], TEAM_MEMBER_COUNT_MAX);
        } else if (next && !strcmp(option, "--files")) {
            bench.file_count = team_number(option, argv[++i], FILE_COUNT_MAX);
        } else if (next && !strcmp(option, "--depth")) {
            bench.depth = team_number(option, argv[++i], DEPTH_MAX);
        } else {
            fprintf(stderr, "meta_bench: '%s' is not understood; see the top of meta_bench.c\n",
                    option);
            return 2;
        }
    }
    if (!bench.mgmtd || !bench.token_file) {
        fprintf(stderr, "usage: meta_bench --mgmtd ADDRESS --token-file FILE [OPTION]...\n");
        return 2;
    }
    return team_run(&team);
}
