/* cmd_read_bench.c - read-bench: random reads, or writes, over all files of a directory.
 */
#include "admin/commands.h"

#include "admin/bench.h"
#include "base/check.h"
#include "client/names.h"
#include <sys/stat.h>

enum { FIBER_COUNT_MAX = 1024, DEPTH_MAX = 4096, SECONDS_MAX = 24 * 3600 };
enum { BUFFER_BYTES_MAX = 1 << 30, BLOCK_BYTES_MAX = 64 << 20 };

static const struct argument_spec read_bench_spec[] = {
    { "dir", NULL, ARG_PATH, true, "whose files are read" },
    { "--threads", NULL, ARG_U32, false, "multiplies the coroutines; default 16" },
    { "--coroutines", NULL, ARG_U32, false, "batches at a time; default 1" },
    { "--seconds", NULL, ARG_U32, false, "default 60" },
    { "--write", NULL, ARG_FLAG, false, "write random bytes into the files instead" },
    { "--bs", NULL, ARG_SIZE, false, "bytes of one I/O; default 4KB" },
    { "--iodepth", NULL, ARG_U32, false, "I/Os of a batch; default 1024" },
    { "--mode", NULL, ARG_TEXT, false, "which replica, as for read-file" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct read_bench {
    struct admin *a;
    struct inode *files; /* with a block at least */
    uint32_t file_count;
    uint64_t block, depth, end_ns;
    bool writes;
    struct read_options options;
    uint64_t io_count, shown_count;
    bool is_done;
};

static int collect_files(struct read_bench *b, const struct inode *dir)
{
    struct list_request q = { .parent = dir->id, .with_inodes = 1, .count_max = 1024 };
    struct list_reply rep = { .more = 1 };
    uint32_t capacity = 0;
    while (rep.more) {
        rep = (struct list_reply){ 0 };
        admin_meta_base(b->a, &q.base);
        int r = admin_meta(b->a, RPC_METHOD(meta, list), &q, &rep);
        if (r < 0) return r;
        if (b->file_count + rep.inodes.count > capacity) {
            capacity = 2 * (b->file_count + rep.inodes.count);
            struct inode *more = arena_array(&b->a->arena, struct inode, capacity);
            if (b->file_count) memcpy(more, b->files, b->file_count * sizeof *more);
            b->files = more;
        }
        for (uint32_t i = 0; i < rep.inodes.count; i++) {
            const struct inode *inode = &rep.inodes.items[i];
            bool is_fit = S_ISREG(inode->mode) && inode->length >= b->block &&
                          inode->layout.chunk_size >= b->block;
            if (is_fit) b->files[b->file_count++] = *inode;
        }
        if (rep.entries.count) q.after = rep.entries.items[rep.entries.count - 1].name;
    }
    return b->file_count ? 0
                         : admin_fail(b->a, -ERR_META_NOT_FOUND,
                                      "the directory has no file with a block of %llu bytes",
                                      (unsigned long long)b->block);
}

/* A random place, aligned to the block. */
static int choose_place(struct read_bench *b, struct chunk_id *ret_chunk, uint32_t *ret_chain,
                        uint32_t *ret_offset, const struct inode **ret_file)
{
    const struct inode *file = &b->files[node_random_below(b->a->node, b->file_count)];
    uint64_t at = node_random_below(b->a->node, file->length / b->block) * b->block;
    uint32_t chunk_size = file->layout.chunk_size;
    uint64_t offset = at % chunk_size;
    if (offset + b->block > chunk_size) offset = chunk_size - b->block;
    *ret_chunk = (struct chunk_id){ file->id, (uint32_t)(at / chunk_size) };
    *ret_offset = (uint32_t)offset;
    *ret_file = file;
    return file_chain_of(admin_routing(b->a), &file->layout, ret_chunk->index, ret_chain);
}

static int read_batch(struct read_bench *b, struct chunk_read *reads, uint8_t *buffer)
{
    for (uint64_t i = 0; i < b->depth; i++) {
        const struct inode *file;
        reads[i] = (struct chunk_read){ .length = (uint32_t)b->block, .to = buffer + i * b->block };
        int r = choose_place(b, &reads[i].chunk, &reads[i].chain_id, &reads[i].offset, &file);
        if (r < 0) return r;
    }
    int r = chunks_read(b->a->storage, reads, (uint32_t)b->depth, &b->options);
    b->io_count += r < 0 ? 0 : b->depth;
    return r;
}

static bool has_chunk(const struct chunk_write *writes, uint32_t count, struct chunk_id chunk)
{
    for (uint32_t i = 0; i < count; i++)
        if (chunk_id_compare(writes[i].chunk, chunk) == 0) return true;
    return false;
}

/* A chunk is written once in a batch, so there may be fewer of them. */
static int write_batch(struct read_bench *b, struct chunk_write *writes, const uint8_t *buffer)
{
    uint32_t count = 0;
    for (uint64_t i = 0; i < b->depth; i++) {
        const struct inode *file;
        struct chunk_write w = { .kind = UPDATE_WRITE, .length = (uint32_t)b->block };
        int r = choose_place(b, &w.chunk, &w.chain_id, &w.offset, &file);
        if (r < 0) return r;
        if (has_chunk(writes, count, w.chunk)) continue;
        w.chunk_size = file->layout.chunk_size;
        w.generation = file->generation;
        w.from = buffer;
        writes[count++] = w;
    }
    int r = chunks_write(b->a->storage, writes, count);
    b->io_count += r < 0 ? 0 : count;
    return r;
}

static int batch_worker(void *arg)
{
    struct read_bench *b = arg;
    size_t buffer_bytes = b->block * (b->writes ? 1 : b->depth);
    cleanup_(freep) uint8_t *buffer = xmalloc(buffer_bytes);
    cleanup_(freep) struct chunk_read *reads = xcalloc(b->depth, sizeof *reads);
    cleanup_(freep) struct chunk_write *writes = xcalloc(b->depth, sizeof *writes);
    if (b->writes) node_random_bytes(b->a->node, buffer, buffer_bytes);
    int r = 0;
    while (r >= 0 && node_now_ns(b->a->node) < b->end_ns)
        r = b->writes ? write_batch(b, writes, buffer) : read_batch(b, reads, buffer);
    return r;
}

/* The rate of each second. */
static int tell_rates(void *arg)
{
    struct read_bench *b = arg;
    FILE *out = b->a->printer.is_json ? stderr : b->a->printer.out;
    for (;;) {
        int r = fiber_sleep(1 * SEC);
        if (r < 0) return r;
        uint64_t count = b->io_count - b->shown_count;
        b->shown_count = b->io_count;
        fprintf(out, "%s %.1f MiB/s, %llu IOPS\n", b->writes ? "write" : "read",
                bench_rate(count * b->block, SEC), (unsigned long long)count);
        fflush(out);
    }
}

static int run_batches(struct read_bench *b, uint64_t fiber_count)
{
    cleanup_scope_ struct scope teller;
    scope_init(&teller, NULL);
    int r = fiber_spawn(&teller, "bench-rates", tell_rates, b);
    return r < 0 ? r : bench_run(fiber_count, batch_worker, b);
}

static int run_read_bench(struct admin *a, const struct arguments *args)
{
    struct read_bench b = { .a = a, .writes = argument_flag(args, "--write") };
    struct inode dir;
    uint64_t threads, coroutines, seconds;
    int r = bench_number(a, args, "--threads", 16, FIBER_COUNT_MAX, &threads);
    if (r >= 0) r = bench_number(a, args, "--coroutines", 1, FIBER_COUNT_MAX, &coroutines);
    if (r >= 0) r = bench_number(a, args, "--seconds", 60, SECONDS_MAX, &seconds);
    if (r >= 0) r = bench_number(a, args, "--bs", 4 * KIB, BLOCK_BYTES_MAX, &b.block);
    if (r >= 0) r = bench_number(a, args, "--iodepth", 1024, DEPTH_MAX, &b.depth);
    if (r >= 0) r = read_mode_parse(a, argument_text(args, "--mode", NULL), &b.options);
    if (r < 0) return r;
    uint64_t fiber_count = threads * coroutines;
    if (fiber_count > FIBER_COUNT_MAX || fiber_count * b.depth * b.block > BUFFER_BYTES_MAX)
        return admin_fail(a, -ERR_INVALID_ARG,
                          "threads x coroutines x iodepth x bs is beyond 1 GiB of buffers, or "
                          "threads x coroutines beyond %d",
                          FIBER_COUNT_MAX);
    r = bench_directory(a, argument_text(args, "dir", ""), &dir);
    if (r >= 0) r = collect_files(&b, &dir);
    if (r < 0) return r;
    uint64_t begin_ns = node_now_ns(a->node);
    b.end_ns = begin_ns + seconds * SEC;
    r = run_batches(&b, fiber_count);
    if (r < 0) return admin_fail(a, r, "read-bench: %s", error_sentence(r));
    uint64_t taken_ns = node_now_ns(a->node) - begin_ns;
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Files", "%u", b.file_count);
    block_row(&t, "IOs", "%llu", (unsigned long long)b.io_count);
    block_row(&t, "IOPS", "%.0f", (double)b.io_count / ((double)taken_ns / SEC));
    block_row(&t, "MiBps", "%.1f", bench_rate(b.io_count * b.block, taken_ns));
    table_end(&t);
    return 0;
}

const struct command_spec read_bench_commands[] = {
    { "read-bench", run_read_bench, read_bench_spec,
      "Reads, or writes, at random places of a directory's files, and tells the rate each second.\n"
      "  read-bench /data --bs 64KB --iodepth 128 --coroutines 4 --seconds 10" },
    { NULL, NULL, NULL, NULL },
};
