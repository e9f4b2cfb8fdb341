/* cmd_chunk.c - one chunk as every replica has it; a read of one of them, an update through all. */
#include "admin/commands.h"

#include "base/crc32c.h"
#include "client/names.h"
#include "proto/storage.h"
#include <ctype.h>
#include <sys/stat.h>

enum { CHUNK_ID_BYTES = 16 };

static const struct argument_spec chunk_spec[] = {
    { "--chain-id", "-c", ARG_U32, false, "default: the one of the file's layout" },
    { "--chunk", NULL, ARG_TEXT, false,
      "its id: 32 hexadecimal digits, '-' between them is left out" },
    { "--inode", NULL, ARG_U64, false, "or the inode id of the file, 0x... for hexadecimal" },
    { "--chunk-index", NULL, ARG_U32, false, "with --inode: which chunk of the file; default 0" },
    { "--read", NULL, ARG_FLAG, false, "also read it from one replica" },
    { "--index", NULL, ARG_U32, false, "with --read: of which, 0 is the head; default 0" },
    { "--touch", NULL, ARG_FLAG, false,
      "first send an update through the chain that changes no byte, but gives it a new version" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* 3FS's form: two bytes 0, the inode (8, big endian), two bytes 0, the index in the file (4). */
static bool chunk_id_parse(const char *text, struct chunk_id *ret)
{
    uint8_t bytes[CHUNK_ID_BYTES] = { 0 };
    uint32_t digits = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '-') continue;
        if (!isxdigit((unsigned char)*p) || digits == 2 * CHUNK_ID_BYTES) return false;
        int digit = isdigit((unsigned char)*p) ? *p - '0' : tolower((unsigned char)*p) - 'a' + 10;
        bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 | digit);
        digits++;
    }
    if (digits != 2 * CHUNK_ID_BYTES || bytes[0] || bytes[1] || bytes[10] || bytes[11])
        return false;
    *ret = (struct chunk_id){ 0 };
    for (int i = 2; i < 10; i++)
        ret->inode = ret->inode << 8 | bytes[i];
    for (int i = 12; i < CHUNK_ID_BYTES; i++)
        ret->index = ret->index << 8 | bytes[i];
    return true;
}

static int which_chunk(struct admin *a, const struct arguments *args, struct chunk_id *ret)
{
    const char *text = argument_text(args, "--chunk", NULL);
    bool has_inode = argument(args, "--inode")->is_set;
    bool has_index = argument(args, "--chunk-index")->is_set;
    if (!text == !has_inode || (text && has_index))
        return admin_fail(a, -ERR_WRONG_USAGE,
                          "exactly one of --chunk and --inode is needed, --chunk-index only with "
                          "--inode");
    if (argument(args, "--index")->is_set && !argument_flag(args, "--read"))
        return admin_fail(a, -ERR_WRONG_USAGE, "--index goes with --read");
    if (!text) {
        *ret = (struct chunk_id){ argument_number(args, "--inode", 0),
                                  (uint32_t)argument_number(args, "--chunk-index", 0) };
        return 0;
    }
    if (chunk_id_parse(text, ret)) return 0;
    return admin_fail(a, -ERR_INVALID_ARG,
                      "--chunk: '%s' is no chunk id: 32 hexadecimal digits, 0000, the inode (16), "
                      "0000, the index (8)",
                      text);
}

/* One chunk, where it is, and what its file says of it. */
struct chunk_place {
    struct chunk_id chunk;
    uint32_t chain_id;
    struct inode inode; /* mode 0: not asked for */
};

static int find_place(struct admin *a, const struct arguments *args, struct chunk_place *ret)
{
    const struct argument_value *chain = argument(args, "--chain-id");
    *ret = (struct chunk_place){ .chain_id = (uint32_t)chain->number };
    int r = which_chunk(a, args, &ret->chunk);
    if (r >= 0) r = admin_need_storage(a);
    if (r < 0) return r;
    if (chain->is_set && !routing_chain(admin_routing(a), ret->chain_id))
        return admin_fail(a, -ERR_MGMTD_CHAIN_NOT_FOUND, "there is no chain %u", ret->chain_id);
    if (chain->is_set && !argument_flag(args, "--touch")) return 0;
    r = inode_by_id(a, ret->chunk.inode, &ret->inode);
    if (r < 0) return r;
    if (!S_ISREG(ret->inode.mode))
        return admin_fail(a, -ERR_META_NOT_FILE, "inode 0x%llx is not a regular file",
                          (unsigned long long)ret->chunk.inode);
    if (chain->is_set) return 0;
    r = file_chain_of(admin_routing(a), &ret->inode.layout, ret->chunk.index, &ret->chain_id);
    return r < 0 ? admin_fail(a, r, "the file's layout: %s", error_sentence(r)) : 0;
}

/* An update that extends to nothing goes through the whole chain and leaves the bytes alone. A
 * chunk that is not there is not made. */
static int touch(struct admin *a, const struct chunk_place *place)
{
    struct chunk_reply *replies = NULL;
    uint32_t count = 0;
    bool is_there = false;
    int r = chunks_query(a->storage, &a->arena, place->chain_id, place->chunk, &replies, &count);
    for (uint32_t i = 0; r >= 0 && i < count; i++)
        is_there |= replies[i].found && !replies[i].meta.is_tombstone;
    if (r >= 0 && !is_there)
        return admin_fail(a, -ERR_CHUNK_NOT_FOUND, "no replica on chain %u has the chunk",
                          place->chain_id);
    struct chunk_write write = { .chain_id = place->chain_id,
                                 .chunk = place->chunk,
                                 .kind = UPDATE_EXTEND,
                                 .generation = place->inode.generation,
                                 .chunk_size = place->inode.layout.chunk_size };
    if (r >= 0) r = chunks_write(a->storage, &write, 1);
    return r < 0 ? admin_fail(a, r, "--touch: %s", error_sentence(r)) : 0;
}

struct replicas {
    struct chunk_reply *items; /* in the order of the chain */
    uint32_t count;
};

static void print_replicas(struct admin *a, const struct replicas *replicas)
{
    static const char *const headers[] = { "TargetId", "LocalState", "Found",  "ChainVersion",
                                           "Version",  "Pending",    "Length", "CRC32C" };
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < replicas->count; i++) {
        const struct chunk_reply *reply = &replicas->items[i];
        table_cell(&t, "%llu", (unsigned long long)reply->target_id);
        table_cell(&t, "%s", local_state_name(reply->local_state));
        table_cell(&t, "%s", reply->found ? "yes" : "no");
        table_cell(&t, "%u", reply->meta.chain_version);
        table_cell(&t, "%llu", (unsigned long long)reply->meta.version);
        table_cell(&t, "%llu", (unsigned long long)reply->meta.pending_version);
        table_cell(&t, "%u", reply->meta.length);
        table_cell(&t, "%08X", reply->meta.crc32c);
    }
    table_end(&t);
}

static int read_replica(struct admin *a, uint32_t index, const struct chunk_place *place,
                        const struct replicas *replicas, struct print_table *t)
{
    if (index >= replicas->count)
        return admin_fail(a, -ERR_INVALID_ARG, "--index: chain %u has %u replicas, 0 is the head",
                          place->chain_id, replicas->count);
    const struct chunk_reply *reply = &replicas->items[index];
    uint32_t size = reply->found ? reply->meta.chunk_size : 0;
    struct chunk_read read = { .chain_id = place->chain_id, .chunk = place->chunk, .length = size };
    struct read_options options = { .choice = TARGET_INDEX, .target_index = index };
    cleanup_(freep) uint8_t *bytes = xmalloc(MAX_OF(size, 1u));
    read.to = bytes;
    int r = size ? chunks_read(a->storage, &read, 1, &options) : -ERR_CHUNK_NOT_FOUND;
    if (r >= 0) r = read.status;
    if (r < 0)
        return admin_fail(a, r, "target %llu: %s", (unsigned long long)reply->target_id,
                          error_sentence(r));
    block_row(t, "ReadFrom", "%llu", (unsigned long long)reply->target_id);
    block_row(t, "ReadVersion", "%llu", (unsigned long long)read.version);
    block_row(t, "ReadLength", "%u", read.real_length);
    block_row(t, "ReadCRC32C", "%08X", crc32c(0, bytes, read.real_length));
    return 0;
}

static int run_query_chunk(struct admin *a, const struct arguments *args)
{
    struct chunk_place place;
    struct replicas replicas = { 0 };
    struct print_table t;
    int r = find_place(a, args, &place);
    if (r >= 0 && argument_flag(args, "--touch")) r = touch(a, &place);
    if (r < 0) return r;
    r = chunks_query(a->storage, &a->arena, place.chain_id, place.chunk, &replicas.items,
                     &replicas.count);
    if (r < 0) return admin_fail(a, r, "%s", error_sentence(r));
    block_begin(&t, &a->printer);
    block_row(&t, "ChunkId", "0000%016llx0000%08x", (unsigned long long)place.chunk.inode,
              place.chunk.index);
    block_row(&t, "ChainId", "%u", place.chain_id);
    if (argument_flag(args, "--read"))
        r = read_replica(a, (uint32_t)argument_number(args, "--index", 0), &place, &replicas, &t);
    if (r < 0) {
        table_drop(&t);
        return r;
    }
    /* In JSON one document holds both. */
    bool is_json = a->printer.is_json;
    if (is_json) fputs("{\"Chunk\": ", a->printer.out);
    table_end(&t);
    if (is_json) fputs(", \"Replicas\": ", a->printer.out);
    print_replicas(a, &replicas);
    if (is_json) fputs("}\n", a->printer.out);
    return 0;
}

const struct command_spec chunk_commands[] = {
    { "query-chunk", run_query_chunk, chunk_spec,
      "Shows what every replica has of a chunk; reads one; sends an update through all.\n"
      "  query-chunk --chunk 00000000000001000001000000000002\n"
      "  query-chunk --inode 0x1000001 --chunk-index 2 --read --index 1" },
    { NULL, NULL, NULL, NULL },
};
