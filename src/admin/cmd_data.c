/* cmd_data.c - the bytes of files: read, write, compare the replicas. */
#include "admin/commands.h"

#include "base/crc32c.h"
#include "proto/storage.h"
#include <errno.h>
#include <sys/stat.h>

enum { PIECE_BYTES = 4 << 20 };

static int file_of(struct admin *a, const char *path, struct inode *ret)
{
    int r = admin_walk(a, path, true, ret);
    if (r < 0) return r;
    if (!S_ISREG(ret->mode))
        return admin_fail(a, -ERR_META_NOT_FILE, "%s is not a regular file", path);
    return admin_need_storage(a);
}

static const struct argument_spec read_spec[] = {
    { "path", NULL, ARG_TEXT, true, "" },
    { "--offset", NULL, ARG_SIZE, false, "" },
    { "--length", NULL, ARG_SIZE, false, "default: to the end" },
    { "--mode", NULL, ARG_TEXT, false,
      "LoadBalance, HeadTarget, TailTarget, or the index of a replica" },
    { "--output", "-o", ARG_TEXT, false, "write the bytes to this file" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int parse_mode(struct admin *a, const char *text, struct read_options *ret)
{
    *ret = (struct read_options){ .choice = TARGET_SPREAD };
    if (!text || !strcmp(text, "Default") || !strcmp(text, "LoadBalance")) return 0;
    if (!strcmp(text, "HeadTarget")) ret->choice = TARGET_HEAD;
    if (!strcmp(text, "TailTarget")) ret->choice = TARGET_TAIL;
    if (ret->choice != TARGET_SPREAD) return 0;
    char *end;
    unsigned long index = strtoul(text, &end, 10);
    if (!*text || *end || index >= CHAIN_TARGET_COUNT_MAX)
        return admin_fail(a, -ERR_INVALID_ARG,
                          "--mode: '%s' is none of LoadBalance, HeadTarget, TailTarget, 0, 1, 2...",
                          text);
    *ret = (struct read_options){ .choice = TARGET_INDEX, .target_index = (uint32_t)index };
    return 0;
}

static int run_read_file(struct admin *a, const struct arguments *args)
{
    struct inode inode;
    struct read_options options;
    const char *path = argument_text(args, "path", ""),
               *output = argument_text(args, "--output", NULL);
    int r = parse_mode(a, argument_text(args, "--mode", NULL), &options);
    if (r >= 0) r = file_of(a, path, &inode);
    if (r < 0) return r;
    FILE *out = output ? fopen(output, "w") : NULL;
    if (output && !out) return admin_fail(a, error_from_errno(errno), "cannot write %s", output);
    uint64_t at = argument_number(args, "--offset", 0), total = 0;
    uint64_t left = argument_number(args, "--length", UINT64_MAX);
    uint32_t crc = 0;
    cleanup_(freep) uint8_t *piece = xmalloc(PIECE_BYTES);
    ssize_t n = 1;
    while (left && n > 0) {
        n = file_read_chunks(a->storage, admin_routing(a), &inode, inode.length, piece,
                             (size_t)MIN_OF(left, (uint64_t)PIECE_BYTES), at, &options);
        if (n <= 0) break;
        crc = crc32c(crc, piece, (size_t)n);
        if (out && fwrite(piece, 1, (size_t)n, out) != (size_t)n) n = error_from_errno(errno);
        if (n < 0) break;
        at += (uint64_t)n;
        total += (uint64_t)n;
        left -= (uint64_t)n;
    }
    if (out && fclose(out) != 0 && n >= 0) n = error_from_errno(errno);
    if (n < 0) return admin_fail(a, (int)n, "%s: at byte %llu", path, (unsigned long long)at);
    fprintf(a->printer.out, "read length %llu, checksum CRC32C(%08X)\n", (unsigned long long)total,
            crc);
    return 0;
}

static const struct argument_spec write_spec[] = {
    { "path", NULL, ARG_TEXT, true, "" },
    { "--offset", NULL, ARG_SIZE, false, "" },
    { "--input", "-i", ARG_TEXT, false, "take the bytes from this file; default: standard input" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int settle(struct admin *a, const struct inode *inode, uint64_t end)
{
    struct settle_request q = { .inode = inode->id,
                                .wrote = 1,
                                .length_hint = end,
                                .generation = inode->generation,
                                .mtime_ns = (int64_t)node_wall_ns(a->node) };
    struct inode_reply rep = { 0 };
    admin_meta_base(a, &q.base);
    return admin_meta(a, RPC_METHOD(meta, settle), &q, &rep);
}

static int run_write_file(struct admin *a, const struct arguments *args)
{
    struct inode inode;
    const char *path = argument_text(args, "path", ""),
               *input = argument_text(args, "--input", NULL);
    int r = file_of(a, path, &inode);
    if (r < 0) return r;
    FILE *in = input ? fopen(input, "r") : stdin;
    if (!in) return admin_fail(a, error_from_errno(errno), "cannot read %s", input);
    uint64_t at = argument_number(args, "--offset", 0), total = 0;
    uint32_t crc = 0;
    size_t n;
    cleanup_(freep) uint8_t *piece = xmalloc(PIECE_BYTES);
    while (r >= 0 && (n = fread(piece, 1, PIECE_BYTES, in)) > 0) {
        r = file_write_chunks(a->storage, admin_routing(a), &inode, piece, n, at);
        crc = crc32c(crc, piece, n);
        at += n;
        total += n;
    }
    if (r >= 0 && ferror(in)) r = error_from_errno(EIO);
    if (input) fclose(in);
    if (r < 0) return admin_fail(a, r, "%s: near byte %llu", path, (unsigned long long)at);
    r = settle(a, &inode, at);
    if (r >= 0)
        fprintf(a->printer.out, "write length %llu, checksum CRC32C(%08X)\n",
                (unsigned long long)total, crc);
    return r;
}

/* ---- checksum: every replica is read in full and held against the others ---- */

static const struct argument_spec checksum_spec[] = {
    { "paths", NULL, ARG_TEXTS, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct replica_sum {
    uint32_t crc;
    uint64_t length;
    int error;
};

static int sum_chunk(struct admin *a, uint32_t chain_id, struct chunk_id chunk, uint32_t size,
                     uint32_t replica, uint8_t *piece, struct replica_sum *ret)
{
    struct chunk_read read = { .chain_id = chain_id, .chunk = chunk, .length = size, .to = piece };
    struct read_options options = { .choice = TARGET_INDEX, .target_index = replica };
    int r = chunks_read(a->storage, &read, 1, &options);
    *ret = (struct replica_sum){ .error = r < 0 && r != -ERR_CHUNK_NOT_FOUND ? r : 0 };
    if (read.status == 0) {
        ret->length = read.real_length;
        ret->crc = crc32c(0, piece, read.real_length);
    }
    return ret->error;
}

/* Reads chunk @index from each serving replica. Differences are counted and told. */
static int compare_chunk(struct admin *a, const char *path, const struct inode *inode,
                         uint32_t index, uint8_t *piece, uint32_t *crc, uint64_t *bytes,
                         uint32_t *differences)
{
    uint32_t chain_id;
    int r = file_chain_of(admin_routing(a), &inode->layout, index, &chain_id);
    if (r < 0) return r;
    const struct chain_info *chain = routing_chain(admin_routing(a), chain_id);
    uint32_t count = 0, version = chain ? chain->version : 0;
    while (chain && count < chain->members.count &&
           chain->members.items[count].public_state == PUBLIC_SERVING)
        count++;
    if (!count) return -ERR_NOT_AVAILABLE;
    struct replica_sum first = { 0 };
    uint64_t expected = MIN_OF((uint64_t)inode->layout.chunk_size,
                               inode->length - (uint64_t)index * inode->layout.chunk_size);
    for (uint32_t i = 0; i < count; i++) {
        struct replica_sum sum;
        r = sum_chunk(a, chain_id, (struct chunk_id){ inode->id, index }, inode->layout.chunk_size,
                      i, piece, &sum);
        if (i == 0) first = sum;
        bool differs = r < 0 || sum.crc != first.crc || sum.length != first.length;
        if (i == 0 && r >= 0) {
            memset(piece + MIN_OF(sum.length, expected), 0,
                   expected - MIN_OF(sum.length, expected));
            *crc = crc32c(*crc, piece, expected);
            *bytes += expected;
        }
        if (!differs) continue;
        ++*differences;
        fprintf(
            a->printer.out,
            "%s: chunk %u, chain %u version %u, replica %u differs: %s, length %llu, CRC32C %08X\n",
            path, index, chain_id, version, i, r < 0 ? error_name(r) : "content",
            (unsigned long long)sum.length, sum.crc);
    }
    return 0;
}

static int checksum_file(struct admin *a, const char *path)
{
    struct inode inode;
    int r = file_of(a, path, &inode);
    if (r < 0) return r;
    uint32_t crc = 0, differences = 0, chunk = inode.layout.chunk_size;
    uint64_t bytes = 0, count = (inode.length + chunk - 1) / chunk;
    cleanup_(freep) uint8_t *piece = xmalloc(chunk);
    for (uint64_t i = 0; r >= 0 && i < count; i++)
        r = compare_chunk(a, path, &inode, (uint32_t)i, piece, &crc, &bytes, &differences);
    if (r < 0) return admin_fail(a, r, "%s: %s", path, error_sentence(r));
    if (differences)
        return admin_fail(a, -ERR_CHECKSUM_MISMATCH, "%s: %u chunks of replicas differ", path,
                          differences);
    fprintf(a->printer.out, "%s CRC32C(%08X)\n", path, crc);
    return 0;
}

static int run_checksum(struct admin *a, const struct arguments *args)
{
    const struct argument_value *paths = argument(args, "paths");
    int first = 0;
    for (uint32_t i = 0; i < paths->count; i++) {
        int r = checksum_file(a, paths->texts[i]);
        if (first >= 0 && r < 0) first = r;
    }
    return first;
}

const struct command_spec data_commands[] = {
    { "read-file", run_read_file, read_spec,
      "Reads a file, perhaps from one replica, and shows its checksum.\n  read-file /f --mode 2 -o "
      "copy" },
    { "write-file", run_write_file, write_spec,
      "Writes bytes into an existing file.\n  write-file /f -i local" },
    { "checksum", run_checksum, checksum_spec,
      "Reads every replica of files and compares them.\n  checksum /f" },
    { NULL, NULL, NULL, NULL },
};
