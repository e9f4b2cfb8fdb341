/* cmd_stat.c - an inode, its layout, its chunks. */
#include "admin/commands.h"

#include "client/names.h"
#include "proto/storage.h"
#include <sys/stat.h>

const char *inode_type_name(uint32_t mode)
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

static const struct argument_spec stat_spec[] = {
    { "path", NULL, ARG_PATH, true, "or, with --inode, an inode id" },
    { "--follow", "-L", ARG_FLAG, false, "what a symlink points to" },
    { "--inode", NULL, ARG_FLAG, false, "the path is an inode id, 0x... for hexadecimal" },
    { "--display-layout", NULL, ARG_FLAG, false, "" },
    { "--display-chain-list", NULL, ARG_FLAG, false, "the chains of the layout" },
    { "--display-chunks", NULL, ARG_FLAG, false, "the last chunk on each chain" },
    { "--display-all-chunks", NULL, ARG_FLAG, false, "every chunk, and what its replicas hold" },
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

static int print_last_chunks(struct admin *a, const struct inode *i)
{
    static const char *const headers[] = { "Layout-Chains", "last chunk", "last chunk len",
                                           "last offset",   "chunks",     "bytes" };
    struct print_table t;
    uint64_t total = 0;
    int r = 0;
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
        table_cell(&t, "%u", last.last_index);
        table_cell(&t, "%u", last.last_length);
        table_cell(&t, "%llu", (unsigned long long)offset);
        table_cell(&t, "%u", last.chunk_count);
        table_cell(&t, "%llu", (unsigned long long)last.total_bytes);
        total += last.total_bytes;
    }
    table_end(&t);
    if (r < 0) return admin_fail(a, r, "chunks: %s", error_sentence(r));
    if (!a->printer.is_json) fprintf(a->printer.out, "total %llu\n", (unsigned long long)total);
    return 0;
}

static int print_all_chunks(struct admin *a, const struct inode *i)
{
    static const char *const headers[] = { "Chunk",   "ChainId", "TargetId", "LocalState",
                                           "Version", "Length",  "CRC32C" };
    struct print_table t;
    uint64_t count = (i->length + i->layout.chunk_size - 1) / i->layout.chunk_size;
    int r = 0;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint64_t c = 0; r >= 0 && c < count; c++) {
        struct chunk_reply *replies = NULL;
        uint32_t chain_id, replica_count = 0;
        struct chunk_id chunk = { i->id, (uint32_t)c };
        r = file_chain_of(admin_routing(a), &i->layout, (uint32_t)c, &chain_id);
        if (r >= 0)
            r = chunks_query(a->storage, &a->arena, chain_id, chunk, &replies, &replica_count);
        for (uint32_t k = 0; r >= 0 && k < replica_count; k++) {
            if (!replies[k].found) continue;
            table_cell(&t, "%llu", (unsigned long long)c);
            table_cell(&t, "%u", chain_id);
            table_cell(&t, "%llu", (unsigned long long)replies[k].target_id);
            table_cell(&t, "%s", local_state_name(replies[k].local_state));
            table_cell(&t, "%llu", (unsigned long long)replies[k].meta.version);
            table_cell(&t, "%u", replies[k].meta.length);
            table_cell(&t, "%08X", replies[k].meta.crc32c);
        }
    }
    table_end(&t);
    return r < 0 ? admin_fail(a, r, "chunks: %s", error_sentence(r)) : 0;
}

int inode_by_id(struct admin *a, uint64_t id, struct inode *ret)
{
    struct stat_request q = { .inodes = { &id, 1 } };
    struct stat_reply rep = { 0 };
    int r = admin_need_meta(a);
    if (r < 0) return r;
    admin_meta_base(a, &q.base);
    r = admin_meta(a, RPC_METHOD(meta, stat), &q, &rep);
    if (r < 0) return r;
    if (rep.inodes.count != 1 || rep.inodes.items[0].mode == 0)
        return admin_fail(a, -ERR_META_NOT_FOUND, "there is no inode 0x%llx",
                          (unsigned long long)id);
    *ret = rep.inodes.items[0];
    return 0;
}

int inode_walk(struct admin *a, const char *path, bool is_id, bool follow, struct inode *ret)
{
    uint64_t id;
    if (!is_id) return admin_walk(a, path, follow, ret);
    if (!argument_number_parse(path, &id))
        return admin_fail(a, -ERR_INVALID_ARG, "'%s' is no inode id such as 0x1000001", path);
    return inode_by_id(a, id, ret);
}

void inode_print(struct admin *a, const struct inode *i, uint32_t details)
{
    struct print_table t;
    char when[32];
    block_begin(&t, &a->printer);
    block_row(&t, "Type", "%s", inode_type_name(i->mode));
    block_row(&t, "Inode", "0x%016llx", (unsigned long long)i->id);
    block_row(&t, "NLink", "%u", i->nlink);
    block_row(&t, "Permission", "%04o", i->mode & 07777);
    block_row(&t, "IFlags", "0x%08x", i->flags);
    block_row(&t, "Uid", "%u", i->uid);
    block_row(&t, "Gid", "%u", i->gid);
    block_row(&t, "Access", "%s", time_to_text((uint64_t)i->atime_ns, when, sizeof when));
    block_row(&t, "Change", "%s", time_to_text((uint64_t)i->ctime_ns, when, sizeof when));
    block_row(&t, "Modified", "%s", time_to_text((uint64_t)i->mtime_ns, when, sizeof when));
    if (S_ISREG(i->mode))
        block_row(&t, "Length", "%llu@%u", (unsigned long long)i->length, i->generation);
    if (S_ISDIR(i->mode)) block_row(&t, "ParentInode", "0x%016llx", (unsigned long long)i->parent);
    if (S_ISLNK(i->mode))
        block_row(&t, "Target", "%.*s", (int)i->symlink.size, (const char *)i->symlink.base);
    if (details) print_layout(a, &t, i, details & INODE_CHAINS);
    table_end(&t);
}

static int run_stat(struct admin *a, const struct arguments *args)
{
    struct inode i = { 0 };
    bool every = argument_flag(args, "--display-all-chunks");
    bool with_chunks = every || argument_flag(args, "--display-chunks");
    int r = inode_walk(a, argument_text(args, "path", ""), argument_flag(args, "--inode"),
                       argument_flag(args, "--follow"), &i);
    if (r < 0) return r;
    with_chunks = with_chunks && S_ISREG(i.mode);
    if (with_chunks) r = admin_need_storage(a);
    if (r < 0) return r;
    /* In JSON one document holds both. */
    bool wraps = with_chunks && a->printer.is_json;
    if (wraps) fputs("{\"Inode\": ", a->printer.out);
    uint32_t details = argument_flag(args, "--display-layout") ? INODE_LAYOUT : 0;
    if (argument_flag(args, "--display-chain-list")) details |= INODE_CHAINS;
    inode_print(a, &i, details);
    if (wraps) fputs(", \"Chunks\": ", a->printer.out);
    if (with_chunks) r = every ? print_all_chunks(a, &i) : print_last_chunks(a, &i);
    if (wraps) fputs("}\n", a->printer.out);
    return r;
}

const struct command_spec stat_commands[] = {
    { "stat", run_stat, stat_spec,
      "Shows an inode, its layout, its chunks.\n  stat --display-layout --display-chunks /data/f" },
    { NULL, NULL, NULL, NULL },
};
