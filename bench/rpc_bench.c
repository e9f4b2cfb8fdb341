/* rpc_bench.c - what a call costs: latency, calls per second, bulk throughput, beside bare sockets.
 *
 * Server and client are two processes on loopback; the bare socket's client and server too, in
 * turns of the same run, so that the ratios mean something on a noisy machine (medians of three).
 * CPU time is the client's. The local transport is measured last, in one process.
 *
 *     rpc_bench [--one-cpu] [--uring] [--time 300ms]
 */
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/loop.h"
#include "rpc/rpc.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PING_FIELDS(F)                                                                             \
    F(u64, number, "")                                                                             \
    F(u32, bulk_size, "to push")                                                                   \
    F(blob, payload, "")
WIRE_RECORD(ping, PING_FIELDS)
#define BENCH_METHODS(M, s) M(s, 1, ping, ping, ping)
RPC_SERVICE_DECLARE(bench, BENCH_METHODS)
RPC_SERVICE_DEFINE(bench, 9, BENCH_METHODS)

enum { SMALL_BYTES = 128, BULK_BYTES = 1 << 20, DEPTH = 32, BULK_DEPTH = 4 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

/* CPU time of this process so far. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

struct rate {
    double per_second, cpu_us; /* of calls */
};

static struct rate rate_of(uint64_t count, uint64_t begin_ns, uint64_t begin_cpu_ns)
{
    double ns = (double)(now_ns() - begin_ns), cpu = (double)(cpu_ns() - begin_cpu_ns);
    return (struct rate){ (double)count * (double)SEC / ns, cpu / 1e3 / (double)count };
}

enum { REPETITIONS = 3 };

static int rate_compare(const void *a, const void *b)
{
    const struct rate *x = a, *y = b;
    return (x->per_second > y->per_second) - (x->per_second < y->per_second);
}

static struct rate rate_median(struct rate *rates)
{
    qsort(rates, REPETITIONS, sizeof *rates, rate_compare);
    return rates[REPETITIONS / 2];
}

struct bench {
    struct node *node;
    enum loop_backend backend;
    uint64_t run_ns;
    struct rpc_pool *pool;
    struct net_address address;
    uint8_t *memory; /* of the server: what it pushes */
};

/* ---- the server ---- */

static int on_ping(void *self, struct rpc_call *call, const struct ping *req,
                   struct ping *rep) fiber_fn
{
    const struct bench *b = self;
    rep->number = req->number;
    if (req->bulk_size)
        rpc_push(call, &(struct iovec){ b->memory, MIN_OF(req->bulk_size, (uint32_t)BULK_BYTES) },
                 1, NULL, NULL);
    return 0;
}
static const struct bench_handlers handlers = { .ping = on_ping };

static struct rpc_server *bench_serve(struct bench *b) fiber_fn
{
    struct rpc_server_options o = { 0 };
    struct rpc_server *server;
    check(net_address_parse("TCP://127.0.0.1:0", &o.listen) == 0);
    check(rpc_server_start(b->node, &o, &server) == 0);
    b->memory = xcalloc(1, BULK_BYTES);
    rpc_server_add(server, &bench_service, &handlers, b);
    b->address = *rpc_server_address(server);
    return server;
}

struct child {
    struct bench b;
    int port_fd;
};

static int child_main(void *arg) fiber_fn
{
    struct child *c = arg;
    bench_serve(&c->b);
    check(write(c->port_fd, &c->b.address.port, sizeof c->b.address.port) > 0);
    return fiber_sleep(3600 * SEC);
}

/* ---- the client ---- */

struct load {
    struct bench *b;
    uint64_t until_ns, call_count;
    size_t bulk_out, bulk_in;
};

static int load_caller(void *arg) fiber_fn
{
    struct load *l = arg;
    cleanup_(freep) uint8_t *memory = xcalloc(1, BULK_BYTES);
    struct iovec out = { memory, l->bulk_out }, in = { memory, l->bulk_in };
    uint8_t payload[16] = { 0 };
    struct arena arena = { 0 };
    struct rpc_options o = { .arena = &arena,
                             .timeout_ns = 10 * SEC,
                             .bulk_out = &out,
                             .bulk_out_count = l->bulk_out ? 1 : 0,
                             .bulk_in = &in,
                             .bulk_in_count = 1 };
    struct rpc_target target = { .pool = l->b->pool,
                                 .address = &l->b->address,
                                 .class = l->bulk_in || l->bulk_out ? RPC_BULK : RPC_CONTROL };
    do {
        uint8_t scratch[512];
        arena.pos = scratch;
        arena.end = scratch + sizeof scratch;
        struct ping rep, req = { .number = l->call_count,
                                 .bulk_size = (uint32_t)l->bulk_in,
                                 .payload = bytes_of(payload, sizeof payload) };
        check(bench_ping(target, &o, &req, &rep) == 0);
        l->call_count++;
    } while (now_ns() < l->until_ns);
    return 0;
}

static struct rate load_run(struct bench *b, uint32_t depth, size_t bulk_out,
                            size_t bulk_in) fiber_fn
{
    struct load warm = { .b = b, .bulk_out = bulk_out, .bulk_in = bulk_in };
    load_caller(&warm);
    uint64_t begin = now_ns(), cpu = cpu_ns();
    struct load l = {
        .b = b, .until_ns = begin + b->run_ns, .bulk_out = bulk_out, .bulk_in = bulk_in
    };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    for (uint32_t i = 0; i < depth; i++) {
        check(fiber_spawn(&scope, "load", load_caller, &l) == 0);
    }
    check(scope_wait(&scope) == 0);
    return rate_of(l.call_count, begin, cpu);
}

/* ---- the bare socket: blocking reads and writes of the same sizes ---- */

static void read_all(int fd, uint8_t *buf, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, buf + done, size - done);
        if (n <= 0) _exit(0);
        done += (size_t)n;
    }
}

static void write_all(int fd, const uint8_t *buf, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, buf + done, size - done);
        check(n > 0);
        done += (size_t)n;
    }
}

static noreturn_ void raw_server(int listener)
{
    uint8_t *all = xcalloc(BULK_DEPTH, BULK_BYTES + SMALL_BYTES);
    int fd = accept(listener, NULL, NULL), one = 1;
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    for (uint32_t i = 0;; i++) {
        uint32_t sizes[3];
        uint8_t *memory = all;
        read_all(fd, memory, SMALL_BYTES);
        memcpy(sizes, memory, sizeof sizes);
        memory += (i % sizes[2]) * (BULK_BYTES + SMALL_BYTES);
        if (sizes[0]) read_all(fd, memory + SMALL_BYTES, sizes[0]);
        write_all(fd, memory, SMALL_BYTES + sizes[1]);
    }
}

/* With bulk data one message is under way, from and to @depth memories in turn: as cold as the
 * calls'. */
static struct rate raw_run(int fd, uint64_t run_ns, uint32_t depth, uint32_t out, uint32_t in)
{
    bool is_bulk = out || in;
    uint32_t frames = is_bulk ? 1 : depth, sizes[3] = { out, in, is_bulk ? depth : 1 };
    size_t stride = (size_t)DEPTH * SMALL_BYTES + BULK_BYTES;
    cleanup_(freep) uint8_t *all = xcalloc(BULK_DEPTH, stride);
    for (uint32_t i = 0; i < BULK_DEPTH * frames; i++) {
        memcpy(all + i / frames * stride + i % frames * SMALL_BYTES, sizes, sizeof sizes);
    }
    uint64_t begin = now_ns(), cpu = cpu_ns(), count = 0;
    do {
        uint8_t *memory = all + (is_bulk ? count % depth * stride : 0);
        write_all(fd, memory, (size_t)frames * SMALL_BYTES + out);
        for (uint32_t i = 0; i < frames; i++) {
            uint8_t reply[SMALL_BYTES];
            read_all(fd, reply, SMALL_BYTES);
            if (in) read_all(fd, memory + SMALL_BYTES, in);
        }
        count += frames;
    } while (now_ns() - begin < run_ns);
    return rate_of(count, begin, cpu);
}

static int raw_connect(pid_t *ret_pid)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    check(bind(listener, (struct sockaddr *)&at, size) == 0 && listen(listener, 1) == 0);
    check(getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    *ret_pid = fork();
    if (*ret_pid == 0) raw_server(listener);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(fd, (struct sockaddr *)&at, size) == 0);
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    close(listener);
    return fd;
}

/* ---- the table ---- */

static const struct row {
    const char *name;
    uint32_t depth, out, in;
} rows[] = {
    { "ping, depth 1", 1, 0, 0 },
    { "ping, depth 32", DEPTH, 0, 0 },
    { "write 1 MiB, depth 1", 1, BULK_BYTES, 0 },
    { "read 1 MiB, depth 1", 1, 0, BULK_BYTES },
    { "write 1 MiB, depth 4", BULK_DEPTH, BULK_BYTES, 0 },
    { "read 1 MiB, depth 4", BULK_DEPTH, 0, BULK_BYTES },
};

static void print_rate(const struct row *row, struct rate rate)
{
    if (row->out || row->in)
        printf(" %8.2f GB/s", rate.per_second * BULK_BYTES / 1e9);
    else if (row->depth == 1)
        printf(" %8.2f us  ", 1e6 / rate.per_second);
    else
        printf(" %8.0f /s  ", rate.per_second);
    printf(" %7.2f us", rate.cpu_us);
}

static int client_main(void *arg) fiber_fn
{
    struct bench *b = arg;
    b->pool = rpc_pool_new(b->node, NULL);
    pid_t raw_pid;
    int fd = raw_connect(&raw_pid);
    printf("%-24s %13s %10s %13s %10s %6s\n", "over loopback", "bare socket", "cpu", "rpc", "cpu",
           "ratio");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *row = &rows[i];
        struct rate raws[REPETITIONS], rpcs[REPETITIONS];
        for (int k = 0; k < REPETITIONS; k++) {
            raws[k] = raw_run(fd, b->run_ns, row->depth, row->out, row->in);
            rpcs[k] = load_run(b, row->depth, row->out, row->in);
        }
        struct rate raw = rate_median(raws), rpc = rate_median(rpcs);
        printf("%-24s", row->name);
        print_rate(row, raw);
        print_rate(row, rpc);
        printf(" %6.2f\n", rpc.per_second / raw.per_second);
    }
    close(fd);
    kill(raw_pid, SIGKILL);
    waitpid(raw_pid, NULL, 0);

    struct rpc_server *server = bench_serve(b);
    printf("local transport\n");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct rate rpc = load_run(b, rows[i].depth, rows[i].out, rows[i].in);
        printf("%-24s%24s", rows[i].name, "");
        print_rate(&rows[i], rpc);
        printf("\n");
    }
    rpc_server_stop(server, 0);
    free(b->memory);
    b->pool = rpc_pool_free(b->pool);
    return 0;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    check(sched_setaffinity(0, sizeof set, &set) == 0);
}

static int run_loop(struct bench *b, int (*main_fn)(void *arg), void *arg)
{
    struct loop *loop;
    int r = loop_new(b->backend, &loop, NULL);
    if (r < 0) {
        fprintf(stderr, "no loop: %s\n", error_name(r));
        return 1;
    }
    b->node = node_new(loop, NULL, "bench");
    r = loop_run_main(loop, b->node, main_fn, arg);
    node_free(b->node);
    loop_free(loop);
    return r < 0;
}

int main(int argc, char **argv)
{
    struct child c = { .b = { .run_ns = SEC, .backend = LOOP_POSIX } };
    bool is_one_cpu = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--one-cpu")) is_one_cpu = true;
        if (!strcmp(argv[i], "--uring")) c.b.backend = LOOP_URING;
        if (!strcmp(argv[i], "--time") && i + 1 < argc &&
            duration_parse(argv[++i], &c.b.run_ns) < 0)
            return 2;
    }
    int fds[2];
    check(pipe(fds) == 0);
    if (is_one_cpu) pin(0);
    pid_t pid = fork();
    if (pid == 0) {
        c.port_fd = fds[1];
        _exit(run_loop(&c.b, child_main, &c));
    }
    close(fds[1]);
    check(net_address_parse("TCP://127.0.0.1:1", &c.b.address) == 0);
    if (read(fds[0], &c.b.address.port, sizeof c.b.address.port) <= 0) return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    int r = run_loop(&c.b, client_main, &c.b);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return r;
}
