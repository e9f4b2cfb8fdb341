/* chunk_bench.c - the chunk store against the raw disk below it, in one run.
 *
 *     chunk_bench [--backend posix|uring] [--mib N] [--only TEXT] [DIRECTORY]        (".", 1024)
 *
 * Raw: O_DIRECT through the same loop into one preallocated file. For writes both sides sync as
 * often as their promise needs: raw after everything (bulk) or after each (one at a time); the
 * store makes each stage durable. Three rounds alternate raw and store; medians. Figures of a
 * virtual machine drift by a factor of two between minutes: only the ratios of one run mean
 * something.
 */
#include "base/arena.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "fiber/sync.h"
#include "loop/file.h"
#include "loop/loop.h"
#include "storage/chunk_store.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 1 << 20, BLOCK = 4096, ROUNDS = 3, TARGET = 1 };

struct bench {
    struct node *node;
    enum loop_backend backend;
    const char *parent;
    const char *only; /* in the names of the kinds that are run */
    char dir[256], raw[256];
    uint32_t chunk_count;
    struct chunk_store *store;
    struct file *raw_file;
    struct buffer_pool *pool;
    uint8_t *data; /* CHUNK bytes */
    uint32_t data_crc, block_crc;
    uint64_t seq;
};

static void must(int64_t r, const char *what)
{
    char text[64];
    if (r >= 0) return;
    fprintf(stderr, "chunk_bench: %s: %s\n", what, error_to_text((int)r, text, sizeof(text)));
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

/* ---- work: fibers that take the next number until all are done ---- */

struct work {
    struct bench *b;
    int (*one)(struct bench *b, uint32_t number);
    uint32_t next, count;
};

static int worker(void *arg)
{
    struct work *w = arg;
    while (w->next < w->count) {
        must(w->one(w->b, w->next++), "operation");
    }
    return 0;
}

struct figure {
    double seconds, cpu_seconds;
};

static struct figure run(struct bench *b, int (*one)(struct bench *b, uint32_t number),
                         uint32_t count, uint32_t depth, int (*end)(struct bench *b))
{
    struct work w = { .b = b, .one = one, .count = count };
    uint64_t wall = node_now_ns(b->node), cpu = cpu_ns();
    {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        scope.local = b->node;
        for (uint32_t i = 0; i < depth; i++) {
            must(fiber_spawn(&scope, "worker", worker, &w), "spawn");
        }
        must(scope_wait(&scope), "workers");
    }
    if (end) must(end(b), "end");
    return (struct figure){ (double)(node_now_ns(b->node) - wall) / 1e9,
                            (double)(cpu_ns() - cpu) / 1e9 };
}

/* ---- raw ---- */

static uint32_t scatter(const struct bench *b, uint32_t number)
{
    return (uint32_t)((uint64_t)number * 2654435761u % b->chunk_count);
}

static int raw_write_chunk(struct bench *b, uint32_t number)
{
    return file_write(b->raw_file, b->data, CHUNK, (uint64_t)number * CHUNK);
}

static int raw_sync(struct bench *b)
{
    return file_sync(b->raw_file);
}

static int raw_write_block(struct bench *b, uint32_t number)
{
    uint64_t offset = (uint64_t)scatter(b, number) * CHUNK + number % 256 * BLOCK;
    int r = file_write(b->raw_file, b->data, BLOCK, offset);
    return r < 0 ? r : file_sync(b->raw_file);
}

static int raw_read(struct bench *b, uint32_t number, uint32_t size)
{
    struct buffer *buffer;
    int r = buffer_take(b->pool, size, &buffer);
    if (r < 0) return r;
    uint64_t offset =
        (uint64_t)scatter(b, number) * CHUNK + (size == BLOCK ? number % 256 * BLOCK : 0);
    ssize_t n = file_read(b->raw_file, buffer->base, size, offset);
    buffer_give(buffer);
    return n == (ssize_t)size ? 0 : -ERR_CHUNK_READ_FAILED;
}

static int raw_read_chunk(struct bench *b, uint32_t number)
{
    return raw_read(b, number, CHUNK);
}

static int raw_read_block(struct bench *b, uint32_t number)
{
    return raw_read(b, number, BLOCK);
}

/* ---- store ---- */

static struct chunk_id id_of(uint32_t number)
{
    return (struct chunk_id){ 1 + number / 1000, number % 1000 };
}

static int store_write(struct bench *b, uint32_t number, uint32_t offset, uint32_t size,
                       uint32_t crc)
{
    struct chunk_state state = { 0 };
    int r = chunk_get(b->store, TARGET, id_of(number), &state);
    if (r < 0) return r;
    struct chunk_update u = { .kind = UPDATE_WRITE,
                              .version = state.version + 1,
                              .chain_version = 1,
                              .update = { { 1, 1 }, 1 + number % 64, ++b->seq },
                              .chunk_size = CHUNK,
                              .offset = offset,
                              .length = size,
                              .data = bytes_of(b->data, size),
                              .data_crc32c = crc };
    r = chunk_stage(b->store, TARGET, id_of(number), &u);
    return r < 0 ? r : chunk_commit(b->store, TARGET, id_of(number), u.version, 1);
}

static int store_write_chunk(struct bench *b, uint32_t number)
{
    return store_write(b, number, 0, CHUNK, b->data_crc);
}

static int store_sync(struct bench *b)
{
    return chunk_store_sync(b->store);
}

/* One fiber a chunk at a time, as replication's lock has it: neighbours in number are different
 * chunks. */
static int store_write_block(struct bench *b, uint32_t number)
{
    return store_write(b, scatter(b, number), number % 256 * BLOCK, BLOCK, b->block_crc);
}

static int store_read(struct bench *b, uint32_t number, uint32_t size)
{
    struct chunk_pin *pin;
    struct chunk_state state;
    struct buffer *buffer = NULL;
    uint32_t skip, length, crc;
    int r = chunk_pin(b->store, TARGET, id_of(scatter(b, number)), CHUNK_COMMITTED, &pin, &state);
    if (r <= 0) return r < 0 ? r : -ERR_CHUNK_NOT_FOUND;
    r = chunk_read(pin, size == BLOCK ? number % 256 * BLOCK : 0, size, b->pool, &buffer, &skip,
                   &length, &crc);
    buffer_give(buffer);
    chunk_unpin(pin);
    return r;
}

static int store_read_chunk(struct bench *b, uint32_t number)
{
    return store_read(b, number, CHUNK);
}

static int store_read_block(struct bench *b, uint32_t number)
{
    return store_read(b, number, BLOCK);
}

/* ---- table ---- */

struct kind {
    const char *name;
    int (*raw)(struct bench *b, uint32_t number);
    int (*raw_end)(struct bench *b);
    int (*store)(struct bench *b, uint32_t number);
    int (*store_end)(struct bench *b);
    uint32_t depth, size;
    uint32_t count; /* 0: every chunk */
};

static const struct kind kinds[] = {
    { "write 1 MiB, depth 16", raw_write_chunk, raw_sync, store_write_chunk, store_sync, 16, CHUNK,
      0 },
    { "write 1 MiB, depth 1", raw_write_chunk, raw_sync, store_write_chunk, store_sync, 1, CHUNK,
      256 },
    { "write 4 KiB durable, depth 32", raw_write_block, NULL, store_write_block, NULL, 32, BLOCK,
      8000 },
    { "write 4 KiB durable, depth 1", raw_write_block, NULL, store_write_block, NULL, 1, BLOCK,
      1000 },
    { "read 1 MiB, depth 16", raw_read_chunk, NULL, store_read_chunk, NULL, 16, CHUNK, 1000 },
    { "read 4 KiB random, depth 32", raw_read_block, NULL, store_read_block, NULL, 32, BLOCK,
      20000 },
    { "read 4 KiB random, depth 1", raw_read_block, NULL, store_read_block, NULL, 1, BLOCK, 2000 },
};

static int compare_figures(const void *a, const void *b)
{
    double x = ((const struct figure *)a)->seconds, y = ((const struct figure *)b)->seconds;
    return (x > y) - (x < y);
}

static void run_kind(struct bench *b, const struct kind *k)
{
    struct figure raw[ROUNDS], store[ROUNDS];
    uint32_t count = k->count ? k->count : b->chunk_count;
    for (int i = 0; i < ROUNDS; i++) {
        raw[i] = run(b, k->raw, count, k->depth, k->raw_end);
        store[i] = run(b, k->store, count, k->depth, k->store_end);
    }
    qsort(raw, ROUNDS, sizeof(raw[0]), compare_figures);
    qsort(store, ROUNDS, sizeof(store[0]), compare_figures);
    const struct figure *r = &raw[ROUNDS / 2], *s = &store[ROUNDS / 2];
    double mb = (double)count * k->size / 1e6;
    printf("%-32s %9.0f %9.1f %9.0f %9.1f   %5.2f   %8.1f %8.1f\n", k->name, count / r->seconds,
           mb / r->seconds, count / s->seconds, mb / s->seconds, r->seconds / s->seconds,
           r->cpu_seconds / count * 1e6, s->cpu_seconds / count * 1e6);
    fflush(stdout);
}

static int bench_main(void *arg)
{
    struct bench *b = arg;
    struct chunk_store_options options = { .path = b->dir,
                                           .cluster_id = BYTES_LITERAL("bench"),
                                           .node_id = 1 };
    must(chunk_store_open(b->node, &options, &b->store), "open");
    must(store_target_create(b->store, TARGET, 1), "target");
    must(file_open(b->node, b->raw, O_RDWR | O_CREAT | O_DIRECT, 0600, &b->raw_file), "raw file");
    must(file_allocate(b->raw_file, 0, (uint64_t)b->chunk_count * CHUNK), "raw space");
    /* both sides once, so that neither pays for first touches */
    run(b, raw_write_chunk, b->chunk_count, 16, raw_sync);
    run(b, store_write_chunk, b->chunk_count, 16, store_sync);

    printf("%-32s %9s %9s %9s %9s   %5s   %8s %8s\n", "", "raw/s", "MB/s", "store/s", "MB/s",
           "ratio", "raw cpu", "store us");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!b->only || strstr(kinds[i].name, b->only)) run_kind(b, &kinds[i]);
    }
    file_close(b->raw_file);
    chunk_store_close(b->store, true);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void parse(struct bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--backend") && i + 1 < argc) {
            b->backend = !strcmp(argv[++i], "posix") ? LOOP_POSIX : LOOP_URING;
        } else if (!strcmp(argv[i], "--mib") && i + 1 < argc) {
            b->chunk_count = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
            b->only = argv[++i];
        } else {
            b->parent = argv[i];
        }
    }
    snprintf(b->dir, sizeof(b->dir), "%s/chunk-bench-store", b->parent);
    snprintf(b->raw, sizeof(b->raw), "%s/chunk-bench-raw", b->parent);
}

int main(int argc, char **argv)
{
    struct bench b = { .backend = LOOP_AUTO, .parent = ".", .chunk_count = 1024 };
    struct loop *loop;
    const char *why;
    parse(&b, argc, argv);
    nftw(b.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    must(loop_new(b.backend, &loop, &why), "loop");
    b.node = node_new(loop, NULL, "bench");
    b.pool = buffer_pool_new(256 * MIB);
    b.data = aligned_alloc(4096, CHUNK);
    check(b.data);
    for (uint32_t i = 0; i < CHUNK; i++) {
        b.data[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    b.data_crc = crc32c(0, b.data, CHUNK);
    b.block_crc = crc32c(0, b.data, BLOCK);
    printf("%s, %u MiB in %s\n", loop_backend_name(loop), b.chunk_count, b.parent);
    int r = loop_run_main(loop, b.node, bench_main, &b);
    node_free(b.node);
    buffer_pool_free(b.pool);
    loop_free(loop);
    free(b.data);
    nftw(b.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    remove(b.raw);
    return r < 0;
}
