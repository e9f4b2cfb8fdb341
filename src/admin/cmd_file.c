/* cmd_file.c - files and directories by path: what the metadata services know and do. */
#include "admin/commands.h"

#include <sys/stat.h>

static const struct argument_spec no_spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };

static const struct argument_spec ls_spec[] = {
    { "path", NULL, ARG_PATH, false, "default: the current directory" },
    { "--limit", "-l", ARG_U32, false, "at most so many entries" },
    { "--status", "-s", ARG_FLAG, false, "with times, lengths, permissions" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static void ls_row(struct admin *a, struct print_table *t, const struct dentry *entry,
                   const struct inode *inode)
{
    char when[32];
    table_cell(t, "%.*s", (int)entry->name.size, (const char *)entry->name.base);
    table_cell(t, "%s", inode_type_name(entry->mode));
    table_cell(t, "0x%llx", (unsigned long long)entry->inode);
    if (!inode) return;
    table_cell(t, "%s", time_to_text((uint64_t)inode->mtime_ns, when, sizeof when));
    if (S_ISREG(inode->mode)) {
        table_cell(t, "%llu@%u", (unsigned long long)inode->length, inode->generation);
    } else if (S_ISLNK(inode->mode)) {
        table_cell(t, "%.*s", (int)inode->symlink.size, (const char *)inode->symlink.base);
    } else {
        table_cell(t, "-");
    }
    table_cell(t, "%04o", inode->mode & 07777);
}

static int run_ls(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Name",     "Type",   "Inode",
                                           "Modified", "Length", "Permission" };
    struct inode dir;
    bool with_status = argument_flag(args, "--status");
    uint64_t limit = argument_number(args, "--limit", UINT32_MAX);
    int r = admin_walk(a, argument_text(args, "path", "."), true, &dir);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, with_status ? 6 : 3, headers);
    t.is_bare = true;
    struct list_request q = { .parent = dir.id, .with_inodes = with_status };
    struct list_reply rep = { .more = 1 };
    while (r >= 0 && rep.more && limit) {
        rep = (struct list_reply){ 0 };
        q.count_max = (uint32_t)MIN_OF(limit, (uint64_t)1024);
        admin_meta_base(a, &q.base);
        r = admin_meta(a, RPC_METHOD(meta, list), &q, &rep);
        for (uint32_t i = 0; r >= 0 && i < rep.entries.count; i++)
            ls_row(a, &t, &rep.entries.items[i], with_status ? &rep.inodes.items[i] : NULL);
        if (rep.entries.count) q.after = rep.entries.items[rep.entries.count - 1].name;
        limit -= MIN_OF(limit, (uint64_t)rep.entries.count);
    }
    table_end(&t);
    return r;
}

static const struct argument_spec path_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int real_path(struct admin *a, uint64_t inode, struct bytes *ret)
{
    struct inode_request q = { .inode = inode };
    struct real_path_reply rep = { 0 };
    admin_meta_base(a, &q.base);
    int r = admin_meta(a, RPC_METHOD(meta, real_path), &q, &rep);
    if (r >= 0) *ret = rep.path;
    return r;
}

static const struct argument_spec cd_spec[] = {
    { "path", NULL, ARG_PATH, true, "or, with --inode, an inode id" },
    { "--follow", "-L", ARG_FLAG, false,
      "accepted: the prompt always shows the path without symlinks" },
    { "--inode", NULL, ARG_FLAG, false, "the path is an inode id, 0x... for hexadecimal" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_cd(struct admin *a, const struct arguments *args)
{
    struct inode dir;
    struct bytes path;
    int r =
        inode_walk(a, argument_text(args, "path", "/"), argument_flag(args, "--inode"), true, &dir);
    if (r < 0) return r;
    if (!S_ISDIR(dir.mode))
        return admin_fail(a, -ERR_META_NOT_DIRECTORY, "%s is not a directory",
                          argument_text(args, "path", ""));
    r = real_path(a, dir.id, &path);
    if (r < 0) return r;
    free(a->cwd);
    a->cwd = xstrdup(arena_text(&a->arena, path));
    return 0;
}

static int run_getrealpath(struct admin *a, const struct arguments *args)
{
    struct inode inode, parent;
    struct bytes name, path;
    const char *text = argument_text(args, "path", "");
    int r = admin_walk(a, text, true, &inode);
    if (r < 0) return r;
    if (S_ISDIR(inode.mode)) {
        r = real_path(a, inode.id, &path);
        if (r >= 0) fprintf(a->printer.out, "%.*s\n", (int)path.size, (const char *)path.base);
        return r;
    }
    r = admin_walk_parent(a, text, &parent, &name);
    if (r >= 0) r = real_path(a, parent.id, &path);
    if (r < 0) return r;
    fprintf(a->printer.out, "%.*s/%.*s\n", path.size > 1 ? (int)path.size : 0,
            (const char *)path.base, (int)name.size, (const char *)name.base);
    return 0;
}

/* ---- changes ---- */

/* clang-format off */
#define LAYOUT_ARGUMENTS                                                                           \
    { "--chain-table-id", NULL, ARG_U32, false, "chain table of files below" },                    \
    { "--chain-table-ver", NULL, ARG_U32, false, "its version; 0: the latest" },                   \
    { "--chain-list", NULL, ARG_TEXT, false, "positions in the table for all files, 1,2,3" },      \
    { "--chunk-size", NULL, ARG_SIZE, false, "a power of two, 64KB to 64MB" },                     \
    { "--stripe-size", NULL, ARG_U32, false, "chains that a file is spread over" }
/* clang-format on */

/* What is given changes @layout; the rest stays. *ret_any: something was given. */
static int layout_change(struct admin *a, const struct arguments *args, struct layout *layout,
                         bool *ret_any)
{
    static const char *const names[] = { "--chain-table-id", "--chain-table-ver", "--chain-list",
                                         "--chunk-size", "--stripe-size" };
    *ret_any = false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        *ret_any |= argument(args, names[i])->is_set;
    if (!*ret_any) return 0;
    layout->table_id = (uint32_t)argument_number(args, "--chain-table-id", layout->table_id);
    layout->table_version = (uint32_t)argument_number(args, "--chain-table-ver", 0);
    layout->chunk_size = (uint32_t)argument_number(args, "--chunk-size", layout->chunk_size);
    layout->chains = (struct u32_list){ 0 };
    const char *list = argument_text(args, "--chain-list", NULL);
    if (list && !numbers_parse(&a->arena, list, &layout->chains))
        return admin_fail(a, -ERR_INVALID_ARG,
                          "--chain-list: '%s' is not a list of numbers such as 1,2,3", list);
    uint32_t stripe = list ? layout->chains.count : layout->stripe;
    layout->stripe = (uint32_t)argument_number(args, "--stripe-size", stripe);
    if (list && layout->stripe != layout->chains.count)
        return admin_fail(a, -ERR_INVALID_ARG,
                          "--stripe-size %u is not the number of chains in --chain-list, %u",
                          layout->stripe, layout->chains.count);
    return 0;
}

static const struct argument_spec mkdir_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },
    { "--recursive", "-p,-r", ARG_FLAG, false, "make what is missing on the way" },
    { "--perm", NULL, ARG_OCTAL, false, "default 0755" },
    LAYOUT_ARGUMENTS,
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int make_entry(struct admin *a, const char *path, uint32_t mode, const char *symlink,
                      const struct arguments *layout)
{
    struct inode parent;
    struct create_request q = { .mode = mode, .exclusive = 1 };
    struct inode_reply rep = { 0 };
    int r = admin_walk_parent(a, path, &parent, &q.name);
    if (r < 0) return r;
    q.parent = parent.id;
    if (symlink) q.symlink = bytes_of_text(symlink);
    struct layout wanted = parent.layout;
    bool any = false;
    if (layout) r = layout_change(a, layout, &wanted, &any);
    if (r < 0) return r;
    if (any) q.layout = wanted;
    admin_meta_base(a, &q.base);
    return admin_meta(a, RPC_METHOD(meta, create), &q, &rep);
}

static bool directory_exists(struct admin *a, const char *path)
{
    struct inode inode;
    return meta_walk(a->meta, &a->user, &a->arena, path, true, &inode) >= 0;
}

static int run_mkdir(struct admin *a, const struct arguments *args)
{
    const char *path = admin_path(a, argument_text(args, "path", ""));
    uint32_t mode = S_IFDIR | (uint32_t)argument_number(args, "--perm", 0755);
    int r = admin_need_meta(a);
    for (const char *p = path + 1; r >= 0 && argument_flag(args, "--recursive"); p++) {
        p += strcspn(p, "/");
        if (!*p) break;
        const char *part = arena_text(&a->arena, bytes_of(path, (size_t)(p - path)));
        if (!directory_exists(a, part)) r = make_entry(a, part, mode, NULL, NULL);
    }
    return r < 0 ? r : make_entry(a, path, mode, NULL, args);
}

static const struct argument_spec create_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },
    { "--perm", "-p", ARG_OCTAL, false, "default 0644" },
    LAYOUT_ARGUMENTS,
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_create(struct admin *a, const struct arguments *args)
{
    return make_entry(a, argument_text(args, "path", ""),
                      S_IFREG | (uint32_t)argument_number(args, "--perm", 0644), NULL, args);
}

static const struct argument_spec ln_spec[] = {
    { "target", NULL, ARG_PATH, true, "what the symlink says" },
    { "linkname", NULL, ARG_PATH, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_ln(struct admin *a, const struct arguments *args)
{
    return make_entry(a, argument_text(args, "linkname", ""), S_IFLNK | 0777,
                      argument_text(args, "target", ""), NULL);
}

static const struct argument_spec rm_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },
    { "--recursive", "-r", ARG_FLAG, false, "directories with all that is below" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_rm(struct admin *a, const struct arguments *args)
{
    struct inode parent, victim;
    struct remove_request q = { 0 };
    struct inode_reply rep = { 0 };
    const char *path = argument_text(args, "path", "");
    int r = admin_walk(a, path, false, &victim);
    if (r >= 0) r = admin_walk_parent(a, path, &parent, &q.name);
    if (r < 0) return r;
    q.parent = parent.id;
    q.inode = victim.id;
    q.kind = argument_flag(args, "--recursive") ? REMOVE_TREE
             : S_ISDIR(victim.mode)             ? REMOVE_DIRECTORY
                                                : REMOVE_FILE;
    admin_meta_base(a, &q.base);
    return admin_meta(a, RPC_METHOD(meta, remove), &q, &rep);
}

static const struct argument_spec mv_spec[] = {
    { "source", NULL, ARG_PATH, true, "" },
    { "destination", NULL, ARG_PATH, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_mv(struct admin *a, const struct arguments *args)
{
    struct inode from, to;
    struct rename_request q = { 0 };
    struct inode_reply rep = { 0 };
    int r = admin_walk_parent(a, argument_text(args, "source", ""), &from, &q.name);
    if (r >= 0) r = admin_walk_parent(a, argument_text(args, "destination", ""), &to, &q.new_name);
    if (r < 0) return r;
    q.parent = from.id;
    q.new_parent = to.id;
    admin_meta_base(a, &q.base);
    return admin_meta(a, RPC_METHOD(meta, rename), &q, &rep);
}

static int setattr_call(struct admin *a, struct setattr_request *q)
{
    struct inode_reply rep = { 0 };
    admin_meta_base(a, &q->base);
    return admin_meta(a, RPC_METHOD(meta, setattr), q, &rep);
}

static const struct argument_spec set_layout_spec[] = {
    { "path", NULL, ARG_PATH, true, "a directory" },
    LAYOUT_ARGUMENTS,
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_set_layout(struct admin *a, const struct arguments *args)
{
    struct inode dir;
    int r = admin_walk(a, argument_text(args, "path", ""), true, &dir);
    if (r < 0) return r;
    struct setattr_request q = { .inode = dir.id, .set = SETATTR_LAYOUT, .layout = dir.layout };
    bool any = false;
    r = layout_change(a, args, &q.layout, &any);
    if (r < 0) return r;
    if (!any)
        return admin_fail(a, -ERR_WRONG_USAGE, "nothing to change: give a part of the layout");
    return setattr_call(a, &q);
}

static const struct argument_spec set_perm_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },     { "--uid", "-u", ARG_U32, false, "" },
    { "--gid", "-g", ARG_U32, false, "" },    { "--perm", "-p", ARG_OCTAL, false, "" },
    { "--iflags", NULL, ARG_U32, false, "" }, { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_set_perm(struct admin *a, const struct arguments *args)
{
    struct inode inode;
    int r = admin_walk(a, argument_text(args, "path", ""), true, &inode);
    if (r < 0) return r;
    struct setattr_request q = { .inode = inode.id,
                                 .uid = (uint32_t)argument_number(args, "--uid", 0),
                                 .gid = (uint32_t)argument_number(args, "--gid", 0),
                                 .mode = (uint32_t)argument_number(args, "--perm", 0),
                                 .flags = (uint32_t)argument_number(args, "--iflags", 0) };
    if (argument(args, "--uid")->is_set) q.set |= SETATTR_UID;
    if (argument(args, "--gid")->is_set) q.set |= SETATTR_GID;
    if (argument(args, "--perm")->is_set) q.set |= SETATTR_MODE;
    if (argument(args, "--iflags")->is_set) q.set |= SETATTR_FLAGS;
    return q.set ? setattr_call(a, &q) : admin_fail(a, -ERR_WRONG_USAGE, "nothing to change");
}

/* ---- what waits to be collected ---- */

static const struct argument_spec gc_spec[] = {
    { "path", NULL, ARG_TEXT, false, "only those whose names began so" },
    { "--limit", "-l", ARG_U32, false, "default 256" },
    { "--prev", "-p", ARG_U64, false, "goes on behind this inode: that of the last row" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static void gc_row(struct print_table *t, const struct gc_entry *e)
{
    char when[32];
    table_cell(t, "%s", time_to_text((uint64_t)e->since_ns, when, sizeof when));
    table_cell(t, "0x%llx", (unsigned long long)e->inode);
    table_cell(t, "%.*s", (int)e->name.size, (const char *)e->name.base);
    table_cell(t, "%s", inode_type_name(e->mode));
}

static int run_gc_list(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Since", "Inode", "Name", "Type" };
    struct bytes start = bytes_of_text(argument_text(args, "path", ""));
    uint64_t limit = argument_number(args, "--limit", 256), count = 0;
    struct list_request q = { .parent = argument_number(args, "--prev", 0) };
    bool has_more = true;
    struct print_table t;
    int r = admin_need_meta(a);
    if (r < 0) return r;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    while (r >= 0 && has_more && count < limit) {
        struct gc_list_reply rep = { 0 };
        admin_meta_base(a, &q.base);
        r = admin_meta(a, RPC_METHOD(meta, gc_list), &q, &rep);
        has_more = rep.more;
        for (uint32_t i = 0; r >= 0 && i < rep.entries.count; i++) {
            const struct gc_entry *e = &rep.entries.items[i];
            q.parent = e->inode;
            if (!bytes_has_prefix(e->name, start)) continue;
            gc_row(&t, e);
            if (++count < limit) continue;
            has_more |= i + 1 < rep.entries.count;
            break;
        }
    }
    if (r < 0) {
        table_drop(&t);
        return r;
    }
    table_end(&t);
    if (has_more && !a->printer.is_json) fputs("...\n", a->printer.out);
    return 0;
}

static int run_session_prune(struct admin *a, const struct arguments *args)
{
    struct base_request q = { 0 };
    struct count_reply rep = { 0 };
    int r = admin_need_meta(a);
    if (r < 0) return r;
    admin_meta_base(a, &q.base);
    r = admin_meta(a, RPC_METHOD(meta, session_prune), &q, &rep);
    if (r >= 0) admin_say(a, "num sessions %llu", (unsigned long long)rep.count);
    return r;
}

const struct command_spec file_commands[] = {
    { "ls", run_ls, ls_spec, "Lists a directory.\n  ls -s /data" },
    { "cd", run_cd, cd_spec, "Changes the current directory." },
    { "getrealpath", run_getrealpath, path_spec, "Shows the path without symlinks." },
    { "mkdir", run_mkdir, mkdir_spec,
      "Makes a directory, perhaps with a layout of its own.\n  mkdir -p /a/b --chunk-size 4MB" },
    { "create", run_create, create_spec, "Makes an empty file." },
    { "ln", run_ln, ln_spec, "Makes a symlink." },
    { "rm", run_rm, rm_spec, "Removes a file, an empty directory, or a tree with -r." },
    { "mv", run_mv, mv_spec, "Renames." },
    { "set-layout", run_set_layout, set_layout_spec,
      "Changes the layout for files made in a directory from now on." },
    { "set-perm", run_set_perm, set_perm_spec, "Changes owner, group, mode or flags." },
    { "gc-list", run_gc_list, gc_spec,
      "Lists what was removed and waits to be collected.\n  gc-list -l 100 -p 0x1000007" },
    { "session-prune", run_session_prune, no_spec, "Ends the sessions of clients that are gone." },
    { NULL, NULL, NULL, NULL },
};
