/* loop_bench.c - what the runtime itself costs: switches, spawns, reads, messages, on each real
 * back end.
 *
 * Usage: loop_bench [posix|uring]...   (both without arguments)
 * Figures of a virtual machine drift by a factor of two between minutes: compare what one run
 * prints.
 */
#include "base/arena.h"
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/file.h"
#include "loop/loop.h"
#include "loop/net.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, FILE_BLOCKS = 16384, MESSAGE = 64 };

struct bench {
    struct node *node;
    const char *backend;
    const char *path; /* a file of FILE_BLOCKS blocks */
};

struct start {
    uint64_t wall_ns, cpu_ns;
};

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

static struct start start_now(const struct bench *b)
{
    return (struct start){ node_now_ns(b->node), cpu_ns() };
}

/* The second figure is the processor's time of this process: it hardly depends on what else runs.
 */
static void report(const struct bench *b, const char *what, struct start start, uint64_t count,
                   uint64_t bytes_each)
{
    double ns = (double)(node_now_ns(b->node) - start.wall_ns) / (double)count;
    double cpu = (double)(cpu_ns() - start.cpu_ns) / (double)count;
    printf("%-6s %-38s %9.0f ns %9.0f cpu-ns", b->backend, what, ns, cpu);
    if (bytes_each) printf(" %10.1f MB/s", (double)bytes_each / ns * 1000);
    printf("\n");
}

static void must(int64_t r, const char *what)
{
    char text[64];
    if (r >= 0) return;
    fprintf(stderr, "loop_bench: %s: %s\n", what, error_to_text((int)r, text, sizeof(text)));
    exit(1);
}

/* ---- fibers ---- */

static int yielding_fiber(void *arg)
{
    for (uint64_t i = 0; i < *(uint64_t *)arg; i++) {
        fiber_yield();
    }
    return 0;
}

static int empty_fiber(void *arg)
{
    return 0;
}

static void bench_fibers(const struct bench *b)
{
    struct scope scope;
    uint64_t count = 2000000;
    struct start start = start_now(b);
    scope_init(&scope, sched_current());
    must(fiber_spawn(&scope, "yield", yielding_fiber, &count), "spawn");
    must(scope_wait(&scope), "wait");
    report(b, "a turn: switch to a fiber and back", start, count, 0);

    count = 500000;
    start = start_now(b);
    for (uint64_t i = 0; i < count; i += 100) {
        for (int k = 0; k < 100; k++) {
            must(fiber_spawn(&scope, "empty", empty_fiber, NULL), "spawn");
        }
        must(scope_wait(&scope), "wait");
    }
    report(b, "spawn, run, free", start, count, 0);
    scope_done(&scope);

    start = start_now(b);
    for (uint64_t i = 0; i < count; i++) {
        FIBER_TIMEOUT(SEC);
    }
    report(b, "tighten a deadline", start, count, 0);
}

static int nothing(void *arg)
{
    return 0;
}

static void bench_blocking(const struct bench *b)
{
    uint64_t count = 5000;
    struct start start = start_now(b);
    for (uint64_t i = 0; i < count; i++) {
        must(blocking_run(b->node, nothing, NULL), "blocking_run");
    }
    report(b, "blocking_run of nothing", start, count, 0);
}

/* ---- files ---- */

struct reader {
    const struct bench *bench;
    struct file *file;
    uint64_t count;
};

static int reader_fiber(void *arg)
{
    const struct reader *r = arg;
    void *block = NULL;
    check(posix_memalign(&block, BLOCK, BLOCK) == 0);
    for (uint64_t i = 0; i < r->count; i++) {
        uint64_t at = node_random_below(r->bench->node, FILE_BLOCKS) * BLOCK;
        must(file_read(r->file, block, BLOCK, at), "read");
    }
    free(block);
    return 0;
}

static void bench_reads(const struct bench *b, const char *what, int flags, uint32_t depth,
                        uint64_t count)
{
    struct reader reader = { .bench = b, .count = count / depth };
    struct scope scope;
    must(file_open(b->node, b->path, O_RDONLY | flags, 0, &reader.file), "open");
    scope_init(&scope, sched_current());
    struct start start = start_now(b);
    for (uint32_t i = 0; i < depth; i++) {
        must(fiber_spawn(&scope, "reader", reader_fiber, &reader), "spawn");
    }
    must(scope_wait(&scope), "read");
    report(b, what, start, reader.count * depth, BLOCK);
    scope_done(&scope);
    file_close(reader.file);
}

/* ---- streams ---- */

static int echo_fiber(void *arg)
{
    static const size_t size = 1 << 20;
    cleanup_(stream_closep) struct stream *stream = arg;
    cleanup_(freep) char *buf = xmalloc(size);
    for (;;) {
        ssize_t n = stream_read(stream, buf, size);
        if (n <= 0) return 0;
        int r = stream_writev(stream, &(struct iovec){ buf, (size_t)n }, 1);
        if (r < 0) return r;
    }
}

/* Echoes on each connection, until it is cancelled. */
static int serve(struct listener *listener)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    for (;;) {
        struct stream *stream = NULL;
        int r = listener_accept(listener, &stream);
        if (r < 0) return r == -ERR_CANCELED ? 0 : r;
        must(fiber_spawn(&scope, "echo", echo_fiber, stream), "spawn");
    }
}

static int serve_fiber(void *arg)
{
    return serve(arg);
}

static void ping_pong(const struct bench *b, const char *what, const struct net_address *to,
                      size_t size, uint64_t count)
{
    cleanup_(stream_closep) struct stream *stream = NULL;
    cleanup_(freep) char *buf = xcalloc(1, size);
    must(net_connect(b->node, to, &stream), "connect");
    struct start start = { 0 };
    for (uint64_t i = 0; i < count + count / 10; i++) {
        if (i == count / 10) start = start_now(b); /* after warming up */
        must(stream_writev(stream, &(struct iovec){ buf, size }, 1), "write");
        must(stream_read_full(stream, buf, size), "read");
    }
    report(b, what, start, count, size > MESSAGE ? 2 * size : 0);
}

static void bench_streams_here(const struct bench *b)
{
    struct net_address at = { .scheme = NET_TCP, .host = "127.0.0.1" };
    struct listener *listener = NULL;
    struct scope scope;
    must(net_listen(b->node, &at, &listener), "listen");
    scope_init(&scope, sched_current());
    must(fiber_spawn(&scope, "serve", serve_fiber, listener), "spawn");
    ping_pong(b, "tcp ping-pong 64 B, one thread", listener_address(listener), MESSAGE, 50000);
    scope_done(&scope);
    listener_close(listener);
}

/* ---- running ---- */

static int make_file(const struct bench *b)
{
    cleanup_(file_closep) struct file *file = NULL;
    cleanup_(freep) char *zeros = xcalloc(FILE_BLOCKS, BLOCK);
    int r = file_open(b->node, b->path, O_RDWR | O_CREAT, 0600, &file);
    if (r >= 0) r = file_write(file, zeros, (size_t)FILE_BLOCKS * BLOCK, 0);
    return r < 0 ? r : file_sync(file);
}

static int bench_main(void *arg)
{
    const struct bench *b = arg;
    bench_fibers(b);
    bench_blocking(b);
    must(make_file(b), b->path);
    bench_reads(b, "4 KiB read, cached, depth 1", 0, 1, 200000);
    bench_reads(b, "4 KiB read, cached, depth 64", 0, 64, 200000);
    bench_reads(b, "4 KiB read, direct, depth 1", O_DIRECT, 1, 5000);
    bench_reads(b, "4 KiB read, direct, depth 32", O_DIRECT, 32, 20000);
    must(path_unlink(b->node, b->path), "unlink");
    bench_streams_here(b);
    return 0;
}

struct remote {
    struct node *node;
    struct net_address at;
    int ready_fd; /* the server writes its port here, the client reads it */
};

static int remote_server(void *arg)
{
    struct remote *remote = arg;
    struct listener *listener = NULL;
    must(net_listen(remote->node, &remote->at, &listener), "listen");
    uint16_t port = listener_address(listener)->port;
    check(write(remote->ready_fd, &port, sizeof(port)) == sizeof(port));
    return serve(listener); /* until the process is killed */
}

static int remote_client(void *arg)
{
    struct remote *remote = arg;
    struct bench b = { .node = remote->node, .backend = remote->node->name };
    check(read(remote->ready_fd, &remote->at.port, sizeof(uint16_t)) == sizeof(uint16_t));
    ping_pong(&b, "tcp ping-pong 64 B, two processes", &remote->at, MESSAGE, 20000);
    ping_pong(&b, "tcp ping-pong 1 MiB, two processes", &remote->at, 1 << 20, 500);
    return 0;
}

static int run(const char *backend, int (*fn)(void *arg), void *arg, struct node **node)
{
    struct loop *loop = NULL;
    const char *why = NULL;
    int r = loop_new(strcmp(backend, "uring") ? LOOP_POSIX : LOOP_URING, &loop, &why);
    if (r < 0) {
        printf("%s: not here: %s\n", backend, why ?: error_sentence(r));
        return r;
    }
    *node = node_new(loop, NULL, backend);
    r = loop_run_main(loop, *node, fn, arg);
    node_free(*node);
    loop_free(loop);
    return r;
}

static void run_two_processes(const char *backend)
{
    int fds[2];
    struct remote remote = { .at = { .scheme = NET_TCP, .host = "127.0.0.1" } };
    check(pipe(fds) == 0);
    fflush(stdout);
    pid_t child = fork();
    check(child >= 0);
    remote.ready_fd = fds[child == 0];
    if (child == 0) _exit(run(backend, remote_server, &remote, &remote.node) < 0);
    run(backend, remote_client, &remote, &remote.node);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(fds[0]);
    close(fds[1]);
}

int main(int argc, char **argv)
{
    static const char *const all[] = { "posix", "uring" };
    const char *const *names = argc > 1 ? (const char *const *)argv + 1 : all;
    int count = argc > 1 ? argc - 1 : 2;
    for (int i = 0; i < count; i++) {
        struct bench bench = { .backend = names[i], .path = "/var/tmp/c3fs-loop-bench" };
        if (run(names[i], bench_main, &bench, &bench.node) >= 0) run_two_processes(names[i]);
    }
    return 0;
}
