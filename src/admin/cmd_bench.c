/* cmd_bench.c - bench: files are written over and over, and read back from both ends of their
 * chains.
 *
 * What is written is known by (file, round, piece), so nothing of it is kept for the comparison.
 */
#include "admin/commands.h"

#include "admin/bench.h"
#include "admin/progress.h"
#include "base/crc32c.h"
#include <sys/stat.h>

enum { PIECE_BYTES = 4 << 20, WRITER_COUNT_MAX = 256, SECONDS_MAX = 24 * 3600 };

int bench_directory(struct admin *a, const char *path, struct inode *ret)
{
    int r = admin_walk(a, path, true, ret);
    if (r < 0) return r;
    if (!S_ISDIR(ret->mode))
        return admin_fail(a, -ERR_META_NOT_DIRECTORY, "%s is not a directory", path);
    return admin_need_storage(a);
}

int bench_number(struct admin *a, const struct arguments *args, const char *name, uint64_t fallback,
                 uint64_t max, uint64_t *ret)
{
    *ret = argument_number(args, name, fallback);
    if (*ret >= 1 && *ret <= max) return 0;
    return admin_fail(a, -ERR_INVALID_ARG, "%s is 1 to %llu", name, (unsigned long long)max);
}

double bench_rate(uint64_t bytes, uint64_t ns)
{
    return ns ? (double)bytes / (double)MIB / ((double)ns / SEC) : 0;
}

/* ---- bench ---- */

static const struct argument_spec bench_spec[] = {
    { "dir", NULL, ARG_PATH, true, "where its files are made" },
    { "--rank", NULL, ARG_U32, false, "begins the files' names; default 0" },
    { "--timeout", NULL, ARG_U32, false, "seconds for one file; default 60" },
    { "--coroutines", NULL, ARG_U32, false, "files at a time; default 1" },
    { "--seconds", NULL, ARG_U32, false, "how long; each file once at least; default 60" },
    { "--size", NULL, ARG_SIZE, false, "of a file; default 128MB" },
    { "--remove", NULL, ARG_FLAG, false, "remove the files at the end" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct bench {
    struct admin *a;
    struct inode dir;
    uint32_t rank, next_index;
    uint64_t size, end_ns, timeout_ns;
    bool removes;
    struct progress bar;
    uint64_t begin_ns;
    uint64_t rounds, mismatches, bytes_written, bytes_read, write_ns, read_ns;
};

static void fill_piece(uint8_t *to, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t x = (seed += 0x9e3779b97f4a7c15ull);
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x ^= x >> 27;
        memcpy(to + i, &x, MIN_OF(sizeof x, size - i));
    }
}

static uint64_t piece_seed(uint32_t index, uint64_t round, uint64_t offset)
{
    return ((uint64_t)index << 48) ^ (round << 24) ^ (offset / PIECE_BYTES);
}

static int bench_meta(struct bench *b, const struct rpc_method *method, void *req,
                      struct inode *ret)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct inode_reply rep = { 0 };
    const char *text = NULL;
    int r = meta_call(b->a->meta, method, &arena, req, &rep, &text);
    if (r < 0) return admin_fail(b->a, r, "%s: %s", method->name, text ?: error_sentence(r));
    if (!ret) return 0;
    *ret = rep.inode;
    ret->symlink = bytes_of(NULL, 0);
    const struct u32_list *chains = &rep.inode.layout.chains;
    ret->layout.chains.items = arena_array(&b->a->arena, uint32_t, chains->count);
    for (uint32_t i = 0; i < chains->count; i++)
        ret->layout.chains.items[i] = chains->items[i];
    return 0;
}

static int bench_create(struct bench *b, struct bytes name, struct inode *ret)
{
    struct create_request q = { .parent = b->dir.id, .name = name, .mode = S_IFREG | 0644 };
    admin_meta_base(b->a, &q.base);
    return bench_meta(b, RPC_METHOD(meta, create), &q, ret);
}

static int bench_settle(struct bench *b, const struct inode *inode)
{
    struct settle_request q = { .inode = inode->id,
                                .wrote = 1,
                                .length_hint = b->size,
                                .generation = inode->generation,
                                .mtime_ns = (int64_t)node_wall_ns(b->a->node) };
    admin_meta_base(b->a, &q.base);
    return bench_meta(b, RPC_METHOD(meta, settle), &q, NULL);
}

static void bench_show(struct bench *b)
{
    progress_show(&b->bar, (node_now_ns(b->a->node) - b->begin_ns) / SEC);
}

static int bench_write(struct bench *b, const struct inode *inode, uint32_t index, uint64_t round,
                       uint8_t *piece)
{
    uint64_t begin_ns = node_now_ns(b->a->node);
    for (uint64_t at = 0; at < b->size; at += PIECE_BYTES) {
        size_t size = (size_t)MIN_OF(b->size - at, (uint64_t)PIECE_BYTES);
        fill_piece(piece, size, piece_seed(index, round, at));
        int r = file_write_chunks(b->a->storage, admin_routing(b->a), inode, piece, size, at);
        if (r < 0) return r;
        b->bytes_written += size;
        bench_show(b);
    }
    b->write_ns += node_now_ns(b->a->node) - begin_ns;
    return 0;
}

static int bench_verify(struct bench *b, const struct inode *inode, uint32_t index, uint64_t round,
                        enum target_choice choice, uint8_t *piece)
{
    struct read_options options = { .choice = choice };
    for (uint64_t at = 0; at < b->size; at += PIECE_BYTES) {
        size_t size = (size_t)MIN_OF(b->size - at, (uint64_t)PIECE_BYTES);
        uint64_t begin_ns = node_now_ns(b->a->node);
        ssize_t n = file_read_chunks(b->a->storage, admin_routing(b->a), inode, b->size, piece,
                                     size, at, &options);
        if (n < 0) return (int)n;
        b->read_ns += node_now_ns(b->a->node) - begin_ns;
        b->bytes_read += size;
        bench_show(b);
        uint32_t got = crc32c(0, piece, size);
        fill_piece(piece, size, piece_seed(index, round, at));
        if (got == crc32c(0, piece, size)) continue;
        b->mismatches++;
        progress_hide(&b->bar);
        fprintf(b->a->printer.is_json ? stderr : b->a->printer.out,
                "inode 0x%llx: the %s has other bytes at %llu than were written\n",
                (unsigned long long)inode->id, choice == TARGET_HEAD ? "head" : "tail",
                (unsigned long long)at);
    }
    return 0;
}

static int bench_round(struct bench *b, const struct inode *inode, uint32_t index, uint64_t round,
                       uint8_t *piece)
{
    FIBER_TIMEOUT(b->timeout_ns);
    int r = bench_write(b, inode, index, round, piece);
    if (r >= 0) r = bench_settle(b, inode);
    if (r >= 0) r = bench_verify(b, inode, index, round, TARGET_HEAD, piece);
    if (r >= 0) r = bench_verify(b, inode, index, round, TARGET_TAIL, piece);
    if (r >= 0) b->rounds++;
    return r;
}

static int bench_worker(void *arg)
{
    struct bench *b = arg;
    uint32_t index = b->next_index++;
    char name[32];
    struct inode inode = { 0 };
    snprintf(name, sizeof name, "%03u.%03u", b->rank, index);
    int r = bench_create(b, bytes_of_text(name), &inode);
    if (r < 0) return r;
    if (!S_ISREG(inode.mode)) return -ERR_META_NOT_FILE;
    cleanup_(freep) uint8_t *piece = xmalloc(PIECE_BYTES);
    for (uint64_t round = 0; r >= 0; round++) {
        r = bench_round(b, &inode, index, round, piece);
        if (node_now_ns(b->a->node) >= b->end_ns) break;
    }
    if (!b->removes) return r;
    struct remove_request q = { .parent = b->dir.id,
                                .name = bytes_of_text(name),
                                .kind = REMOVE_FILE };
    admin_meta_base(b->a, &q.base);
    int removed = bench_meta(b, RPC_METHOD(meta, remove), &q, NULL);
    return r < 0 ? r : removed;
}

static int run_bench(struct admin *a, const struct arguments *args)
{
    struct bench b = { .a = a,
                       .rank = (uint32_t)argument_number(args, "--rank", 0),
                       .removes = argument_flag(args, "--remove") };
    uint64_t worker_count, seconds, timeout;
    int r = bench_number(a, args, "--coroutines", 1, WRITER_COUNT_MAX, &worker_count);
    if (r >= 0) r = bench_number(a, args, "--seconds", 60, SECONDS_MAX, &seconds);
    if (r >= 0) r = bench_number(a, args, "--timeout", 60, SECONDS_MAX, &timeout);
    if (r >= 0) r = bench_number(a, args, "--size", 128 * MIB, 1ull << 40, &b.size);
    if (r >= 0) r = bench_directory(a, argument_text(args, "dir", ""), &b.dir);
    if (r < 0) return r;
    b.begin_ns = node_now_ns(a->node);
    b.end_ns = b.begin_ns + seconds * SEC;
    b.timeout_ns = timeout * SEC;
    progress_begin(&b.bar, a, "bench", "seconds", seconds);
    r = bench_run(worker_count, bench_worker, &b);
    progress_end(&b.bar);
    if (r < 0) return admin_fail(a, r, "bench: %s", error_sentence(r));
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Rounds", "%llu", (unsigned long long)b.rounds);
    block_row(&t, "Mismatches", "%llu", (unsigned long long)b.mismatches);
    block_row(&t, "BytesWritten", "%llu", (unsigned long long)b.bytes_written);
    block_row(&t, "BytesRead", "%llu", (unsigned long long)b.bytes_read);
    block_row(&t, "WriteMiBps", "%.1f", bench_rate(b.bytes_written * worker_count, b.write_ns));
    block_row(&t, "ReadMiBps", "%.1f", bench_rate(b.bytes_read * worker_count, b.read_ns));
    table_end(&t);
    if (b.mismatches == 0) return 0;
    return admin_fail(a, -ERR_CHECKSUM_MISMATCH, "bench: %llu pieces are not what was written",
                      (unsigned long long)b.mismatches);
}

int bench_run(uint64_t count, int (*worker)(void *arg), void *arg)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    scope.fail_fast = true;
    for (uint64_t i = 0; i < count; i++) {
        int r = fiber_spawn(&scope, "bench", worker, arg);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

const struct command_spec bench_commands[] = {
    { "bench", run_bench, bench_spec,
      "Writes files over and over, and compares what the heads and the tails of their chains then "
      "have.\n  bench /tmp --coroutines 4 --seconds 30 --remove" },
    { NULL, NULL, NULL, NULL },
};
