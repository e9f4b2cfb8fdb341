/* kv_bench.c - the embedded store: durable commits and reads, in the process that holds it and
 * through its socket.
 *
 * Usage: kv_bench [DIRECTORY]   (default: a fresh one below $TMPDIR or /tmp)
 * A commit is what creating a file is to the store: two reads and three writes of about 500 bytes.
 * "one sync" is a 4 KiB overwrite and its fdatasync in the same directory in the same run: what no
 * store can beat with one caller.
 */
#include "base/check.h"
#include "fiber/sync.h"
#include "kv/kv.h"
#include "loop/file.h"
#include "loop/loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_NS  (2 * SEC)
#define B(text) BYTES_LITERAL(text)

struct bench {
    struct node *node;
    struct kv *kv;
    const char *dir, *where;
    int parent_fd; /* the child runs until its parent closes its end */
};

struct worker {
    struct bench *bench;
    uint64_t end_ns, count, next;
    uint32_t at;
    bool is_shared; /* all change one key, as creations in one directory do */
};

static void must(int64_t r, const char *what)
{
    char text[64];
    if (r >= 0) return;
    fprintf(stderr, "kv_bench: %s: %s\n", what, error_to_text((int)r, text, sizeof(text)));
    exit(1);
}

/* ---- work ---- */

static struct bytes key_of(char *buf, const char *kind, uint32_t at, uint64_t n)
{
    int size = snprintf(buf, 64, "%s%04u%012llu", kind, at, (unsigned long long)n);
    return bytes_of(buf, (size_t)size);
}

static int create(struct kv_txn *txn, void *arg) fiber_fn
{
    struct worker *w = arg;
    cleanup_arena_ struct arena arena = { 0 };
    uint8_t inode[300] = { 1 }, record[100] = { 2 };
    char inode_key[64], entry_key[64], other_key[64];
    struct bytes keys[2], values[2];
    bool found[2];
    uint64_t n = w->next;

    keys[0] = key_of(entry_key, "DENT", w->at, n);
    keys[1] = w->is_shared ? B("directory") : key_of(other_key, "DIRE", w->at, 0);
    int r = kv_get_many(txn, keys, 2, KV_SERIALIZABLE, &arena, found, values);
    if (r < 0) return r;
    kv_set(txn, keys[0], bytes_of(record, sizeof(record)));
    kv_set(txn, key_of(inode_key, "INOD", w->at, n), bytes_of(inode, sizeof(inode)));
    uint64_t stamp = n << 16 | w->at;
    kv_set(txn, keys[1], bytes_of(&stamp, sizeof(stamp)));
    return 0;
}

static int get(struct kv_txn *txn, void *arg) fiber_fn
{
    struct worker *w = arg;
    cleanup_arena_ struct arena arena = { 0 };
    char key[64];
    struct bytes value;
    int r = kv_get(txn, key_of(key, "INOD", w->at, w->next % 1000), KV_SNAPSHOT, &arena, &value);
    return r < 0 ? r : 0;
}

static int commit_worker(void *arg) fiber_fn
{
    struct worker *w = arg;
    while (node_now_ns(w->bench->node) < w->end_ns) {
        int r = kv_transact(w->bench->kv, KV_RETRY_SAFE, create, w);
        if (r == -ERR_TXN_CONFLICT) continue;
        must(r, "commit");
        w->next++;
        w->count++;
    }
    return 0;
}

static int get_worker(void *arg) fiber_fn
{
    struct worker *w = arg;
    while (node_now_ns(w->bench->node) < w->end_ns) {
        for (int i = 0; i < 16; i++) {
            must(kv_read_only(w->bench->kv, get, w), "get");
            w->next++;
            w->count++;
        }
        fiber_yield();
    }
    return 0;
}

/* ---- measuring ---- */

static void measure(struct bench *b, const char *what, uint32_t worker_count, bool is_shared,
                    int (*fn)(void *arg)) fiber_fn
{
    cleanup_(freep) struct worker *workers = xcalloc(worker_count, sizeof(*workers));
    struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = b->node;
    uint64_t begin_ns = node_now_ns(b->node), count = 0;
    for (uint32_t i = 0; i < worker_count; i++) {
        workers[i] = (struct worker){ .bench = b,
                                      .end_ns = begin_ns + RUN_NS,
                                      .next = begin_ns / MSEC << 20,
                                      .at = i,
                                      .is_shared = is_shared };
        must(fiber_spawn(&scope, "worker", fn, &workers[i]), "spawn");
    }
    must(scope_wait(&scope), "workers");
    scope_done(&scope);
    for (uint32_t i = 0; i < worker_count; i++) {
        count += workers[i].count;
    }
    double seconds = (double)(node_now_ns(b->node) - begin_ns) / (double)SEC;
    printf("%-8s %-32s %3u fibers %10.0f /s %9.1f us each\n", b->where, what, worker_count,
           (double)count / seconds, seconds * 1e6 * worker_count / (double)count);
}

static void measure_sync(struct bench *b) fiber_fn
{
    char path[512];
    static uint8_t block[4096];
    struct file *file = NULL;
    snprintf(path, sizeof(path), "%s/sync", b->dir);
    must(file_open(b->node, path, O_RDWR | O_CREAT, 0600, &file), path);
    for (uint64_t i = 0; i < 1024; i++) {
        must(file_write(file, block, sizeof(block), i * sizeof(block)), "write");
    }
    must(file_sync(file), "sync");
    uint64_t begin_ns = node_now_ns(b->node), count = 0;
    for (; node_now_ns(b->node) - begin_ns < RUN_NS / 2; count++) {
        must(file_write(file, block, sizeof(block), count % 1024 * sizeof(block)), "write");
        must(file_sync(file), "sync");
    }
    double us = (double)(node_now_ns(b->node) - begin_ns) / 1e3 / (double)count;
    printf("%-8s %-32s %3u fibers %10.0f /s %9.1f us each\n", b->where, "one sync", 1, 1e6 / us,
           us);
    file_close(file);
    must(path_unlink(b->node, path), path);
}

static void measure_all(struct bench *b) fiber_fn
{
    static const uint32_t counts[] = { 1, 2, 8, 64 };
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        measure(b, "durable commits", counts[i], false, commit_worker);
    }
    for (size_t i = 1; i < ARRAY_SIZE(counts); i++) {
        measure(b, "durable commits, one common key", counts[i], true, commit_worker);
    }
    measure(b, "transactions of one get", 1, false, get_worker);
    measure(b, "transactions of one get", 64, false, get_worker);
}

/* ---- processes ---- */

static int hold_main(void *arg) fiber_fn
{
    struct bench *b = arg;
    struct kv_embedded_options options = { .dir = b->dir };
    must(kv_embedded_open(b->node, &options, &b->kv), "open");
    if (b->parent_fd >= 0) {
        must(fd_wait(b->node, b->parent_fd, 1 /* POLLIN */), "wait");
    } else {
        measure_sync(b);
        measure_all(b);
    }
    b->kv = kv_close(b->kv);
    return 0;
}

static int remote_main(void *arg) fiber_fn
{
    struct bench *b = arg;
    struct kv_embedded_options options = { .dir = b->dir };
    must(fiber_sleep(SEC / 2), "sleep"); /* the child opens first */
    must(kv_embedded_open(b->node, &options, &b->kv), "open");
    printf("%s\n", kv_describe(b->kv));
    measure_all(b);
    b->kv = kv_close(b->kv);
    return 0;
}

static void run(struct bench *b, int (*fn)(void *arg))
{
    struct loop *loop;
    must(loop_new(LOOP_AUTO, &loop, NULL), "loop");
    b->node = node_new(loop, NULL, "bench");
    b->node->log.level = LOG_WARN;
    must(loop_run_main(loop, b->node, fn, b), "main");
    node_free(b->node);
    loop_free(loop);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char dir[256];
    int fds[2], status;
    snprintf(dir, sizeof(dir), "%s/kv-bench-XXXXXX", tmp ? tmp : "/tmp");
    struct bench b = { .dir = argc > 1 ? argv[1] : mkdtemp(dir), .parent_fd = -1 };
    must(b.dir && pipe(fds) == 0 ? 0 : -ERR_UNKNOWN, "preparation");
    setvbuf(stdout, NULL, _IOLBF, 0);

    b.where = "holder";
    run(&b, hold_main);
    pid_t pid = fork();
    if (pid == 0) {
        b.parent_fd = fds[0];
        close(fds[1]);
        run(&b, hold_main);
        _exit(0);
    }
    b.where = "socket";
    run(&b, remote_main);
    close(fds[1]);
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}
