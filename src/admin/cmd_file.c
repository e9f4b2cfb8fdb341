/* cmd_file.c - files and directories by path: what the metadata services know and do. */
#include "admin/commands.h"

#include <sys/stat.h>

static const struct argument_spec no_spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };

static const char *type_name(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR: return "Directory";
    case S_IFLNK: return "Symlink";
    case S_IFREG: return "File";
    case S_IFIFO: return "Fifo";
    case S_IFSOCK: return "Socket";
    case S_IFCHR: return "CharacterDevice";
    case S_IFBLK: return "BlockDevice";
    default: return "?";
    }
}

static const struct argument_spec ls_spec[] = {
    { "path", NULL, ARG_TEXT, false, "default: the current directory" },
    { "--limit", "-l", ARG_U32, false, "at most so many entries" },
    { "--status", "-s", ARG_FLAG, false, "with times, lengths, permissions" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static void ls_row(struct admin *a, struct print_table *t, const struct dentry *entry,
                   const struct inode *inode)
{
    char when[32];
    table_cell(t, "%.*s", (int)entry->name.size, (const char *)entry->name.base);
    table_cell(t, "%s", type_name(entry->mode));
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
    { "path", NULL, ARG_TEXT, true, "" },
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

static int run_cd(struct admin *a, const struct arguments *args)
{
    struct inode dir;
    struct bytes path;
    int r = admin_walk(a, argument_text(args, "path", "/"), true, &dir);
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

/* ---- stat ---- */

static const struct argument_spec stat_spec[] = {
    { "path", NULL, ARG_TEXT, true, "" },
    { "--follow", "-L", ARG_FLAG, false, "what a symlink points to" },
    { "--display-layout", NULL, ARG_FLAG, false, "" },
    { "--display-chain-list", NULL, ARG_FLAG, false, "the chains of the layout" },
    { "--display-chunks", NULL, ARG_FLAG, false, "the last chunk on each chain" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static void print_layout(struct admin *a, struct print_table *t, const struct inode *i,
                         bool with_chains)
{
    const struct layout *l = &i->layout;
    block_row(t, "Layout-ChainTable", "%u", l->table_id);
    block_row(t, "Layout-ChainTableVersion", "%u", l->table_version);
    block_row(t, "Layout-ChunkSize", "%u", l->chunk_size);
    block_row(t, "Layout-StripeSize", "%u", l->stripe);
    block_row(t, "Layout-Type", "%s", l->chains.count ? "ChainList" : "Empty");
    if (!with_chains) {
        block_row(t, "Layout-ChainCount", "%u", l->chains.count);
        return;
    }
    char *text = arena_printf(&a->arena, "[");
    for (uint32_t c = 0; c < l->chains.count; c++)
        text = arena_printf(&a->arena, "%s%s%u", text, c ? "," : "", l->chains.items[c]);
    block_row(t, "Layout-Chains", "%s]", text);
}

static int print_chunks(struct admin *a, const struct inode *i)
{
    static const char *const headers[] = { "ChainId",         "Chunks",     "LastChunk",
                                           "LastChunkLength", "LastOffset", "Bytes" };
    int r = admin_need_storage(a);
    if (r < 0) return r;
    struct print_table t;
    uint64_t total = 0;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t c = 0; r >= 0 && c < i->layout.chains.count; c++) {
        struct last_chunk_reply last = { 0 };
        uint32_t chain_id;
        r = file_chain_of(admin_routing(a), &i->layout, c, &chain_id);
        if (r >= 0) r = chunks_query_last(a->storage, chain_id, i->id, 0, 1ull << 32, &last);
        if (r < 0) break;
        uint64_t offset = last.chunk_count
                              ? (uint64_t)last.last_index * i->layout.chunk_size + last.last_length
                              : 0;
        table_cell(&t, "%u", chain_id);
        table_cell(&t, "%u", last.chunk_count);
        table_cell(&t, "%u", last.last_index);
        table_cell(&t, "%u", last.last_length);
        table_cell(&t, "%llu", (unsigned long long)offset);
        table_cell(&t, "%llu", (unsigned long long)last.total_bytes);
        total += last.total_bytes;
    }
    table_end(&t);
    if (r < 0) return admin_fail(a, r, "chunks: %s", error_sentence(r));
    if (!a->printer.is_json) fprintf(a->printer.out, "total %llu\n", (unsigned long long)total);
    return 0;
}

static int run_stat(struct admin *a, const struct arguments *args)
{
    struct inode i;
    char when[32];
    int r = admin_walk(a, argument_text(args, "path", ""), argument_flag(args, "--follow"), &i);
    if (r < 0) return r;
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Type", "%s", type_name(i.mode));
    block_row(&t, "Inode", "0x%016llx", (unsigned long long)i.id);
    block_row(&t, "NLink", "%u", i.nlink);
    block_row(&t, "Permission", "%04o", i.mode & 07777);
    block_row(&t, "IFlags", "0x%08x", i.flags);
    block_row(&t, "Uid", "%u", i.uid);
    block_row(&t, "Gid", "%u", i.gid);
    block_row(&t, "Access", "%s", time_to_text((uint64_t)i.atime_ns, when, sizeof when));
    block_row(&t, "Change", "%s", time_to_text((uint64_t)i.ctime_ns, when, sizeof when));
    block_row(&t, "Modified", "%s", time_to_text((uint64_t)i.mtime_ns, when, sizeof when));
    if (S_ISREG(i.mode))
        block_row(&t, "Length", "%llu@%u", (unsigned long long)i.length, i.generation);
    if (S_ISDIR(i.mode)) block_row(&t, "ParentInode", "0x%016llx", (unsigned long long)i.parent);
    if (S_ISLNK(i.mode))
        block_row(&t, "Target", "%.*s", (int)i.symlink.size, (const char *)i.symlink.base);
    bool with_chains = argument_flag(args, "--display-chain-list");
    if (with_chains || argument_flag(args, "--display-layout"))
        print_layout(a, &t, &i, with_chains);
    table_end(&t);
    return argument_flag(args, "--display-chunks") && S_ISREG(i.mode) ? print_chunks(a, &i) : 0;
}

/* ---- changes ---- */

#define LAYOUT_ARGUMENTS                                                                           \
    { "--chain-table-id", NULL, ARG_U32, false, "chain table of files below" },                    \
        { "--chunk-size", NULL, ARG_SIZE, false, "a power of two, 64KB to 64MB" },                 \
    {                                                                                              \
        "--stripe-size", NULL, ARG_U32, false, "chains that a file is spread over"                 \
    }

/* What is given changes @layout; the rest stays. */
static bool layout_change(const struct arguments *args, struct layout *layout)
{
    bool any = argument(args, "--chain-table-id")->is_set ||
               argument(args, "--chunk-size")->is_set || argument(args, "--stripe-size")->is_set;
    layout->table_id = (uint32_t)argument_number(args, "--chain-table-id", layout->table_id);
    layout->chunk_size = (uint32_t)argument_number(args, "--chunk-size", layout->chunk_size);
    layout->stripe = (uint32_t)argument_number(args, "--stripe-size", layout->stripe);
    if (any) layout->table_version = 0;
    if (any) layout->chains = (struct u32_list){ 0 };
    return any;
}

static const struct argument_spec mkdir_spec[] = {
    { "path", NULL, ARG_TEXT, true, "" },
    { "--recursive", "-p", ARG_FLAG, false, "make what is missing on the way" },
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
    if (layout && layout_change(layout, &wanted)) q.layout = wanted;
    admin_meta_base(a, &q.base);
    return admin_meta(a, RPC_METHOD(meta, create), &q, &rep);
}

static bool directory_exists(struct admin *a, const char *path)
{
    struct inode inode;
    struct user_info user = { .uid = a->uid, .gid = a->gid };
    return meta_walk(a->meta, &user, &a->arena, path, true, &inode) >= 0;
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
    { "path", NULL, ARG_TEXT, true, "" },
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
    { "target", NULL, ARG_TEXT, true, "what the symlink says" },
    { "linkname", NULL, ARG_TEXT, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_ln(struct admin *a, const struct arguments *args)
{
    return make_entry(a, argument_text(args, "linkname", ""), S_IFLNK | 0777,
                      argument_text(args, "target", ""), NULL);
}

static const struct argument_spec rm_spec[] = {
    { "path", NULL, ARG_TEXT, true, "" },
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
    { "source", NULL, ARG_TEXT, true, "" },
    { "destination", NULL, ARG_TEXT, true, "" },
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
    { "path", NULL, ARG_TEXT, true, "a directory" },
    LAYOUT_ARGUMENTS,
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_set_layout(struct admin *a, const struct arguments *args)
{
    struct inode dir;
    int r = admin_walk(a, argument_text(args, "path", ""), true, &dir);
    if (r < 0) return r;
    struct setattr_request q = { .inode = dir.id, .set = SETATTR_LAYOUT, .layout = dir.layout };
    if (!layout_change(args, &q.layout))
        return admin_fail(a, -ERR_WRONG_USAGE, "nothing to change: give a part of the layout");
    return setattr_call(a, &q);
}

static const struct argument_spec set_perm_spec[] = {
    { "path", NULL, ARG_TEXT, true, "" },     { "--uid", "-u", ARG_U32, false, "" },
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
    { "--limit", "-l", ARG_U32, false, "default 256" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_gc_list(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Since", "Inode", "Name", "Type" };
    struct list_request q = { .count_max = (uint32_t)argument_number(args, "--limit", 256) };
    struct gc_list_reply rep = { 0 };
    int r = admin_need_meta(a);
    if (r < 0) return r;
    admin_meta_base(a, &q.base);
    r = admin_meta(a, RPC_METHOD(meta, gc_list), &q, &rep);
    if (r < 0) return r;
    struct print_table t;
    char when[32];
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.entries.count; i++) {
        const struct gc_entry *e = &rep.entries.items[i];
        table_cell(&t, "%s", time_to_text((uint64_t)e->since_ns, when, sizeof when));
        table_cell(&t, "0x%llx", (unsigned long long)e->inode);
        table_cell(&t, "%.*s", (int)e->name.size, (const char *)e->name.base);
        table_cell(&t, "%s", type_name(e->mode));
    }
    table_end(&t);
    if (rep.more && !a->printer.is_json) fputs("...\n", a->printer.out);
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
    if (r >= 0) fprintf(a->printer.out, "num sessions %llu\n", (unsigned long long)rep.count);
    return r;
}

const struct command_spec file_commands[] = {
    { "ls", run_ls, ls_spec, "Lists a directory.\n  ls -s /data" },
    { "cd", run_cd, path_spec, "Changes the current directory." },
    { "getrealpath", run_getrealpath, path_spec, "Shows the path without symlinks." },
    { "stat", run_stat, stat_spec,
      "Shows an inode, its layout, its chunks.\n  stat --display-layout --display-chunks /data/f" },
    { "mkdir", run_mkdir, mkdir_spec,
      "Makes a directory, perhaps with a layout of its own.\n  mkdir -p /a/b --chunk-size 4MB" },
    { "create", run_create, create_spec, "Makes an empty file." },
    { "ln", run_ln, ln_spec, "Makes a symlink." },
    { "rm", run_rm, rm_spec, "Removes a file, an empty directory, or a tree with -r." },
    { "mv", run_mv, mv_spec, "Renames." },
    { "set-layout", run_set_layout, set_layout_spec,
      "Changes the layout for files made in a directory from now on." },
    { "set-perm", run_set_perm, set_perm_spec, "Changes owner, group, mode or flags." },
    { "gc-list", run_gc_list, gc_spec, "Lists what was removed and waits to be collected." },
    { "session-prune", run_session_prune, no_spec, "Ends the sessions of clients that are gone." },
    { NULL, NULL, NULL, NULL },
};
