/* cmd_data.c - the bytes of files: read and write. */
#include "admin/commands.h"

#include "admin/progress.h"
#include "base/check.h"
#include "base/crc32c.h"
#include <errno.h>
#include <openssl/evp.h>
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

/* ---- sums of what goes by ---- */

struct sums {
    uint32_t crc;
    uint64_t bytes;
    EVP_MD_CTX *md5;
};

static void sums_init(struct sums *s)
{
    *s = (struct sums){ .md5 = EVP_MD_CTX_new() };
    check(s->md5 && EVP_DigestInit_ex(s->md5, EVP_md5(), NULL) == 1);
}

static void sums_done(struct sums *s)
{
    EVP_MD_CTX_free(s->md5);
}

static void sums_add(struct sums *s, const void *bytes, size_t size)
{
    s->crc = crc32c(s->crc, bytes, size);
    s->bytes += size;
    check(EVP_DigestUpdate(s->md5, bytes, size) == 1);
}

/* Once: the digest is finished by it. */
static const char *sums_md5(struct sums *s, struct arena *arena)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    check(EVP_DigestFinal_ex(s->md5, digest, &size) == 1);
    char *text = arena_alloc(arena, 2 * size + 1);
    for (unsigned int i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

static void print_sums(struct admin *a, const char *verb, struct sums *s)
{
    const char *md5 = sums_md5(s, &a->arena);
    if (!a->printer.is_json) {
        fprintf(a->printer.out, "%s length %llu, checksum CRC32C(%08X), md5 %s\n", verb,
                (unsigned long long)s->bytes, s->crc, md5);
        return;
    }
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Length", "%llu", (unsigned long long)s->bytes);
    block_row(&t, "CRC32C", "%08X", s->crc);
    block_row(&t, "MD5", "%s", md5);
    table_end(&t);
}

/* ---- read-file ---- */

static const struct argument_spec read_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },
    { "--stat", NULL, ARG_FLAG, false, "show the inode first" },
    { "--offset", NULL, ARG_SIZE, false, "default: 0" },
    { "--length", NULL, ARG_SIZE, false, "default: to the end" },
    { "--mode", NULL, ARG_TEXT, false,
      "Default, LoadBalance, RoundRobin, RandomTarget, HeadTarget, TailTarget, or the index of a "
      "replica" },
    { "--disableChecksum", NULL, ARG_FLAG, false,
      "accepted and without effect: what is read was verified" },
    { "--fillZero", NULL, ARG_FLAG, false, "accepted and without effect: holes read as zeros" },
    { "--verbose", NULL, ARG_FLAG, false, "a line for each piece" },
    { "--output", "-o", ARG_TEXT, false, "write the bytes to this file" },
    { "--hex", NULL, ARG_FLAG, false, "show the bytes in hexadecimal" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

int read_mode_parse(struct admin *a, const char *text, struct read_options *ret)
{
    static const struct {
        const char *name;
        enum target_choice choice;
    } modes[] = { { "Default", TARGET_SPREAD },    { "LoadBalance", TARGET_SPREAD },
                  { "RoundRobin", TARGET_SPREAD }, { "RandomTarget", TARGET_SPREAD },
                  { "HeadTarget", TARGET_HEAD },   { "TailTarget", TARGET_TAIL } };
    *ret = (struct read_options){ .choice = TARGET_SPREAD };
    if (!text) return 0;
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        ret->choice = modes[i].choice;
        if (!strcmp(modes[i].name, text)) return 0;
    }
    uint64_t index;
    if (!argument_number_parse(text, &index) || index >= CHAIN_TARGET_COUNT_MAX)
        return admin_fail(a, -ERR_INVALID_ARG,
                          "--mode: '%s' is none of Default, LoadBalance, RoundRobin, RandomTarget, "
                          "HeadTarget, TailTarget, 0, 1, 2...",
                          text);
    *ret = (struct read_options){ .choice = TARGET_INDEX, .target_index = (uint32_t)index };
    return 0;
}

static void print_hex(FILE *out, uint64_t at, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (i % 16 == 0) fprintf(out, "%s%08llx", i ? "\n" : "", (unsigned long long)(at + i));
        fprintf(out, " %02x", bytes[i]);
    }
    fputc('\n', out);
}

/* What to read and where to. */
struct reading {
    struct inode inode;
    struct read_options options;
    uint64_t at, left;
    bool is_verbose, is_hex;
    FILE *out; /* may be NULL */
};

static int read_pieces(struct admin *a, struct reading *reading, struct sums *sums,
                       struct progress *bar)
{
    cleanup_(freep) uint8_t *piece = xmalloc(PIECE_BYTES);
    while (reading->left) {
        if (!reading->is_verbose && !reading->is_hex) progress_show(bar, sums->bytes);
        size_t size = (size_t)MIN_OF(reading->left, (uint64_t)PIECE_BYTES);
        ssize_t n =
            file_read_chunks(a->storage, admin_routing(a), &reading->inode, reading->inode.length,
                             piece, size, reading->at, &reading->options);
        if (n <= 0) return (int)n;
        sums_add(sums, piece, (size_t)n);
        if (reading->out && fwrite(piece, 1, (size_t)n, reading->out) != (size_t)n)
            return error_from_errno(errno);
        if (reading->is_hex) print_hex(a->printer.out, reading->at, piece, (size_t)n);
        if (reading->is_verbose)
            fprintf(a->printer.out, "read %zd bytes at %llu\n", n, (unsigned long long)reading->at);
        reading->at += (uint64_t)n;
        reading->left -= (uint64_t)n;
    }
    return 0;
}

static int run_read_file(struct admin *a, const struct arguments *args)
{
    const char *path = argument_text(args, "path", ""),
               *output = argument_text(args, "--output", NULL);
    struct reading reading = { .at = argument_number(args, "--offset", 0),
                               .left = argument_number(args, "--length", UINT64_MAX),
                               .is_verbose = argument_flag(args, "--verbose"),
                               .is_hex = argument_flag(args, "--hex") };
    int r = read_mode_parse(a, argument_text(args, "--mode", NULL), &reading.options);
    if (r >= 0) r = file_of(a, path, &reading.inode);
    if (r < 0) return r;
    if (argument_flag(args, "--stat")) inode_print(a, &reading.inode, INODE_LAYOUT);
    if (output) reading.out = fopen(output, "w");
    if (output && !reading.out)
        return admin_fail(a, error_from_errno(errno), "cannot write %s", output);
    struct sums sums;
    struct progress bar;
    uint64_t behind = reading.inode.length - MIN_OF(reading.at, reading.inode.length);
    sums_init(&sums);
    progress_begin(&bar, a, path, "bytes", MIN_OF(behind, reading.left));
    r = read_pieces(a, &reading, &sums, &bar);
    progress_end(&bar);
    if (reading.out && fclose(reading.out) != 0 && r >= 0) r = error_from_errno(errno);
    if (r < 0) {
        admin_fail(a, r, "%s: at byte %llu: %s", path, (unsigned long long)reading.at,
                   error_sentence(r));
    } else {
        print_sums(a, "read", &sums);
    }
    sums_done(&sums);
    return r;
}

/* ---- write-file ---- */

static const struct argument_spec write_spec[] = {
    { "path", NULL, ARG_PATH, true, "an existing file" },
    { "--stat", NULL, ARG_FLAG, false, "show the inode afterwards" },
    { "--offset", NULL, ARG_SIZE, false, "default: 0" },
    { "--length", NULL, ARG_SIZE, false, "at most so many bytes; needed with --value" },
    { "--timeout", NULL, ARG_U32, false, "seconds for all of it; default: without end" },
    { "--notTruncate", NULL, ARG_FLAG, false, "leave what the file has behind the new bytes" },
    { "--input", "-i", ARG_TEXT, false, "take the bytes from this file; default: standard input" },
    { "--value", NULL, ARG_U32, false, "this byte over and over, 0 to 255" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int settle(struct admin *a, const struct inode *inode, uint64_t end, struct inode *ret)
{
    struct settle_request q = { .inode = inode->id,
                                .wrote = 1,
                                .length_hint = end,
                                .generation = inode->generation,
                                .mtime_ns = (int64_t)node_wall_ns(a->node) };
    struct inode_reply rep = { 0 };
    admin_meta_base(a, &q.base);
    int r = admin_meta(a, RPC_METHOD(meta, settle), &q, &rep);
    if (r >= 0) *ret = rep.inode;
    return r;
}

static int cut_at(struct admin *a, uint64_t end, struct inode *inode)
{
    struct setattr_request q = { .inode = inode->id, .set = SETATTR_LENGTH, .length = end };
    struct inode_reply rep = { 0 };
    admin_meta_base(a, &q.base);
    int r = admin_meta(a, RPC_METHOD(meta, setattr), &q, &rep);
    if (r >= 0) *inode = rep.inode;
    return r;
}

/* Bytes of a file, or one byte over and over. */
struct source {
    FILE *in; /* NULL: @value */
    uint8_t value;
    uint64_t left;
    uint64_t total; /* 0: not known */
};

static ssize_t source_read(struct source *s, uint8_t *to)
{
    size_t size = (size_t)MIN_OF(s->left, (uint64_t)PIECE_BYTES);
    if (s->in) {
        size = fread(to, 1, size, s->in);
        if (ferror(s->in)) return error_from_errno(errno);
    } else {
        memset(to, s->value, size);
    }
    s->left -= size;
    return (ssize_t)size;
}

static int write_pieces(struct admin *a, const struct inode *inode, struct source *from,
                        uint64_t offset, struct sums *sums)
{
    cleanup_(freep) uint8_t *piece = xmalloc(PIECE_BYTES);
    struct progress bar;
    progress_begin(&bar, a, "write-file", "bytes", from->total);
    int r = 0;
    while (r >= 0) {
        progress_show(&bar, sums->bytes);
        ssize_t n = source_read(from, piece);
        r = MIN_OF((int)n, 0);
        if (n <= 0) break;
        r = file_write_chunks(a->storage, admin_routing(a), inode, piece, (size_t)n,
                              offset + sums->bytes);
        if (r >= 0) sums_add(sums, piece, (size_t)n);
    }
    progress_end(&bar);
    return r;
}

static int open_source(struct admin *a, const struct arguments *args, struct source *ret)
{
    const char *input = argument_text(args, "--input", NULL);
    uint64_t value = argument_number(args, "--value", 0);
    bool has_value = argument(args, "--value")->is_set;
    *ret = (struct source){ .value = (uint8_t)value,
                            .left = argument_number(args, "--length", UINT64_MAX) };
    if (value > UINT8_MAX) return admin_fail(a, -ERR_INVALID_ARG, "--value is a byte, 0 to 255");
    if (has_value && (input || !argument(args, "--length")->is_set))
        return admin_fail(a, -ERR_WRONG_USAGE, "--value needs --length, and goes without --input");
    if (!has_value) ret->in = input ? fopen(input, "r") : stdin;
    if (!has_value && !ret->in)
        return admin_fail(a, error_from_errno(errno), "cannot read %s", input);
    if (argument(args, "--length")->is_set) ret->total = ret->left;
    if (input && fseek(ret->in, 0, SEEK_END) == 0) { /* a pipe has no end to be seen */
        ret->total = MIN_OF((uint64_t)MAX_OF(ftell(ret->in), 0L), ret->left);
        rewind(ret->in);
    }
    return 0;
}

static int write_source(struct admin *a, const struct arguments *args, struct source *from,
                        struct inode *inode, struct sums *sums)
{
    uint64_t offset = argument_number(args, "--offset", 0);
    uint64_t timeout_ns = argument_number(args, "--timeout", 0) * SEC;
    FIBER_TIMEOUT(timeout_ns ? timeout_ns : 24 * 3600 * SEC);
    int r = write_pieces(a, inode, from, offset, sums);
    if (r < 0)
        return admin_fail(a, r, "%s: near byte %llu: %s", argument_text(args, "path", ""),
                          (unsigned long long)(offset + sums->bytes), error_sentence(r));
    uint64_t end = offset + sums->bytes;
    r = settle(a, inode, end, inode);
    if (r >= 0 && !argument_flag(args, "--notTruncate") && inode->length > end)
        r = cut_at(a, end, inode);
    return r;
}

static int run_write_file(struct admin *a, const struct arguments *args)
{
    struct inode inode;
    struct source from;
    struct sums sums;
    int r = open_source(a, args, &from);
    if (r < 0) return r;
    r = file_of(a, argument_text(args, "path", ""), &inode);
    sums_init(&sums);
    if (r >= 0) r = write_source(a, args, &from, &inode, &sums);
    if (from.in && from.in != stdin) fclose(from.in);
    if (r >= 0 && argument_flag(args, "--stat")) inode_print(a, &inode, INODE_LAYOUT);
    if (r >= 0) print_sums(a, "write", &sums);
    sums_done(&sums);
    return r;
}

const struct command_spec data_commands[] = {
    { "read-file", run_read_file, read_spec,
      "Reads a file, perhaps from one replica, and shows its checksums.\n  read-file /f --mode 2 "
      "-o "
      "copy" },
    { "write-file", run_write_file, write_spec,
      "Writes bytes into an existing file, which ends behind them.\n  write-file /f -i local" },
    { NULL, NULL, NULL, NULL },
};
