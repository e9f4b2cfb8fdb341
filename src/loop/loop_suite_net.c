/* loop_suite_net.c - cases of streams: echo in all sizes, ends of all kinds, cancellation, unix
 * sockets. */
#include "base/arena.h"
#include "fiber/sync.h"
#include "loop/file.h"
#include "loop/loop_suite.h"
#include "loop/net.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 512 };

static struct net_address tcp_address(const struct loop_suite *s)
{
    struct net_address a = { .scheme = NET_TCP };
    snprintf(a.host, sizeof(a.host), "%s", s->host);
    return a;
}

static struct net_address unix_address(const struct loop_suite *s, const char *name)
{
    struct net_address a = { .scheme = NET_UNIX };
    int n = snprintf(a.host, sizeof(a.host), "%s/%s", s->dir, name);
    EXPECT(n < (int)sizeof(a.host));
    return a;
}

/* ---- an echo server: one fiber a connection ---- */

struct server {
    struct listener *listener;
    struct scope scope;
    int stream_count;
};

static int echo_fiber(void *arg)
{
    enum { SIZE = 64 * 1024 };
    cleanup_(stream_closep) struct stream *stream = arg;
    cleanup_(freep) uint8_t *buf = xmalloc(SIZE);
    for (;;) {
        ssize_t n = stream_read(stream, buf, SIZE);
        if (n <= 0) return 0;
        int r = stream_writev(stream, &(struct iovec){ buf, (size_t)n }, 1);
        if (r < 0) return 0;
    }
}

static int accept_fiber(void *arg)
{
    struct server *server = arg;
    for (;;) {
        struct stream *stream = NULL;
        int r = listener_accept(server->listener, &stream);
        if (r < 0) return r == -ERR_CANCELED ? 0 : r;
        server->stream_count++;
        EXPECT_EQUAL(fiber_spawn(&server->scope, "echo", echo_fiber, stream), 0);
    }
}

static void server_start(const struct loop_suite *s, const struct net_address *at,
                         struct server *server)
{
    *server = (struct server){ 0 };
    EXPECT_EQUAL(net_listen(s->node, at, &server->listener), 0);
    scope_init(&server->scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&server->scope, "accept", accept_fiber, server), 0);
}

static void server_stop(struct server *server)
{
    scope_done(&server->scope);
    EXPECT_EQUAL(server->scope.first_error, 0);
    server->listener = listener_close(server->listener);
}

static struct stream *connect_to(const struct loop_suite *s, const struct net_address *to)
{
    struct stream *stream = NULL;
    EXPECT_EQUAL(net_connect(s->node, to, &stream), 0);
    return stream;
}

/* ---- echo ---- */

struct sender {
    struct stream *stream;
    size_t size;
    uint64_t seed;
};

static int send_fiber(void *arg)
{
    const struct sender *sender = arg;
    cleanup_(freep) uint8_t *data = xmalloc(sender->size + 1);
    loop_suite_fill(data, sender->size, sender->seed, 0);
    /* In three pieces of uneven size. */
    size_t a = sender->size / 3, b = sender->size / 7;
    struct iovec iov[] = { { data, a }, { data + a, b }, { data + a + b, sender->size - a - b } };
    return stream_writev(sender->stream, iov, 3);
}

static void echo_through(struct stream *stream, size_t size, uint64_t seed)
{
    cleanup_(freep) uint8_t *back = xmalloc(size + 1);
    struct sender sender = { stream, size, seed };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&scope, "sender", send_fiber, &sender), 0);
    EXPECT_EQUAL(stream_read_full(stream, back, size), 0);
    EXPECT_EQUAL(scope_wait(&scope), 0);
    loop_suite_expect_pattern(back, size, seed, 0);
}

static void echo_sizes(const struct loop_suite *s, const struct net_address *at)
{
    static const size_t sizes[] = { 0, 1, 100, 4096, 65537, 1 << 20, 4 << 20 };
    struct server server;
    server_start(s, at, &server);
    const struct net_address *to = listener_address(server.listener);
    EXPECT(at->scheme == NET_UNIX || to->port != 0);
    struct stream *stream = connect_to(s, to);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        echo_through(stream, sizes[i], i);
    }
    EXPECT(strlen(stream_peer(stream)) > 0);
    stream_close(stream);
    EXPECT(stream_close(NULL) == NULL);
    server_stop(&server);
    EXPECT_EQUAL(server.stream_count, 1);
}

static void case_tcp_echo(const struct loop_suite *s)
{
    struct net_address at = tcp_address(s);
    echo_sizes(s, &at);
}

static void case_unix_echo(const struct loop_suite *s)
{
    struct net_address at = unix_address(s, "echo.sock");
    echo_sizes(s, &at);
    EXPECT(!path_exists(s->node, at.host));
}

/* All clients connect, wait until the last one has, and then do their I/O at once. */
struct clients {
    const struct loop_suite *suite;
    struct net_address to;
    struct file *file;
    struct fiber_semaphore connecting;
    size_t unconnected_count;
    struct event all_connected;
};

struct client {
    struct clients *all;
    uint64_t number;
};

static int client_connect(struct clients *all, struct stream **ret)
{
    int r = fiber_semaphore_take(&all->connecting, 1);
    if (r < 0) return r;
    r = net_connect(all->suite->node, &all->to, ret);
    fiber_semaphore_give(&all->connecting, 1);
    return r;
}

static int client_fiber(void *arg)
{
    enum { SIZE = 300 };
    const struct client *c = arg;
    struct clients *all = c->all;
    uint8_t data[SIZE], back[SIZE];
    cleanup_(stream_closep) struct stream *stream = NULL;
    int r = client_connect(all, &stream);
    if (r < 0) return r;
    if (--all->unconnected_count == 0) event_set(&all->all_connected, 0);
    r = event_wait(&all->all_connected, "all clients");
    for (uint64_t i = 0; r >= 0 && i < 3; i++) {
        loop_suite_fill(data, SIZE, c->number, i);
        r = stream_writev(stream, &(struct iovec){ data, SIZE }, 1);
        if (r >= 0) r = file_write(all->file, data, SIZE, c->number * SIZE);
        if (r >= 0) r = stream_read_full(stream, back, SIZE);
        if (r < 0) return r;
        loop_suite_expect_pattern(back, SIZE, c->number, i);
        ssize_t n = file_read(all->file, back, SIZE, c->number * SIZE);
        if (n < 0) return (int)n;
        EXPECT_EQUAL(n, SIZE);
        loop_suite_expect_pattern(back, SIZE, c->number, i);
    }
    return r;
}

static void case_many_clients(const struct loop_suite *s)
{
    enum { COUNT = 2000, CONNECTING_MAX = 60 };
    char path[PATH_SIZE];
    struct net_address at = tcp_address(s);
    struct server server;
    server_start(s, &at, &server);
    struct clients all = { .suite = s,
                           .to = *listener_address(server.listener),
                           .unconnected_count = COUNT };
    fiber_semaphore_init(&all.connecting, CONNECTING_MAX);
    event_init(&all.all_connected);
    loop_suite_path(s, "clients", path, sizeof(path));
    EXPECT_EQUAL(file_open(s->node, path, O_RDWR | O_CREAT, 0600, &all.file), 0);
    struct client *clients = xcalloc(COUNT, sizeof(*clients));
    struct scope scope;
    scope_init(&scope, sched_current());
    for (size_t i = 0; i < COUNT; i++) {
        clients[i] = (struct client){ &all, i };
        EXPECT_EQUAL(fiber_spawn(&scope, "client", client_fiber, &clients[i]), 0);
    }
    EXPECT_EQUAL(scope_wait(&scope), 0);
    scope_done(&scope);
    free(clients);
    file_close(all.file);
    EXPECT_EQUAL(path_unlink(s->node, path), 0);
    server_stop(&server);
    EXPECT_EQUAL(server.stream_count, COUNT);
}

/* ---- listening and connecting ---- */

static void case_connect_refused(const struct loop_suite *s)
{
    struct net_address at = tcp_address(s);
    struct listener *l = NULL;
    struct stream *stream = NULL;
    EXPECT_EQUAL(net_listen(s->node, &at, &l), 0);
    struct net_address to = *listener_address(l);
    EXPECT(to.port != 0);

    struct listener *second = NULL;
    EXPECT_EQUAL(net_listen(s->node, &to, &second), -ERR_RPC_LISTEN_FAILED);
    listener_close(l);
    EXPECT(listener_close(NULL) == NULL);
    EXPECT_EQUAL(net_connect(s->node, &to, &stream), -ERR_RPC_CONNECT_FAILED);
    EXPECT(stream == NULL);
    EXPECT_EQUAL(net_listen(s->node, &to, &second), 0); /* free again at once */
    listener_close(second);

    struct net_address missing = unix_address(s, "nobody.sock");
    EXPECT_EQUAL(net_connect(s->node, &missing, &stream), -ERR_RPC_CONNECT_FAILED);
    struct net_address rdma = to;
    rdma.scheme = NET_RDMA;
    EXPECT_EQUAL(net_connect(s->node, &rdma, &stream), -ERR_RPC_INVALID_ADDR);
}

static int accept_once_fiber(void *arg)
{
    struct stream *stream = NULL;
    int r = listener_accept(arg, &stream);
    EXPECT(stream == NULL);
    return r;
}

static void case_listener_close(const struct loop_suite *s)
{
    struct net_address at = tcp_address(s);
    for (int accepters = 0; accepters < 3; accepters++) {
        struct listener *l = NULL;
        struct scope scope;
        scope_init(&scope, sched_current());
        EXPECT_EQUAL(net_listen(s->node, &at, &l), 0);
        for (int i = 0; i < accepters; i++) {
            EXPECT_EQUAL(fiber_spawn(&scope, "accepter", accept_once_fiber, l), 0);
        }
        EXPECT_EQUAL(fiber_sleep(2 * MSEC), 0);
        listener_close(l);
        EXPECT_EQUAL(scope_wait(&scope), accepters ? -ERR_CANCELED : 0);
        scope_done(&scope);
    }
}

static void case_unix_listen(const struct loop_suite *s)
{
    struct net_address at = unix_address(s, "listen.sock");
    struct listener *l = NULL, *second = NULL;
    EXPECT_EQUAL(net_listen(s->node, &at, &l), 0);
    EXPECT_EQUAL(net_listen(s->node, &at, &second), -ERR_RPC_LISTEN_FAILED);

    struct stream *near = connect_to(s, &at), *far = NULL;
    EXPECT_EQUAL(listener_accept(l, &far), 0);
    int pid = 0;
    unsigned uid = 0;
    if (s->has_unix_credentials) {
        EXPECT_EQUAL(stream_peer_credentials(far, &pid, &uid), 0);
        EXPECT_EQUAL(pid, getpid());
        EXPECT_EQUAL(uid, getuid());
        EXPECT_EQUAL(stream_peer_credentials(near, &pid, &uid), 0);
    }
    stream_close(near);
    stream_close(far);
    listener_close(l);

    struct net_address tcp = tcp_address(s);
    EXPECT_EQUAL(net_listen(s->node, &tcp, &l), 0);
    near = connect_to(s, listener_address(l));
    EXPECT_EQUAL(stream_peer_credentials(near, &pid, &uid), -ERR_NOT_SUPPORTED);
    stream_close(near);
    listener_close(l);
}

/* ---- the ends of a stream ---- */

struct pair {
    struct listener *listener;
    struct stream *near, *far;
};

static void pair_open(const struct loop_suite *s, struct pair *p)
{
    struct net_address at = tcp_address(s);
    *p = (struct pair){ 0 };
    EXPECT_EQUAL(net_listen(s->node, &at, &p->listener), 0);
    p->near = connect_to(s, listener_address(p->listener));
    EXPECT_EQUAL(listener_accept(p->listener, &p->far), 0);
}

static void pair_close(struct pair *p)
{
    stream_close(p->near);
    stream_close(p->far);
    listener_close(p->listener);
}

static void case_end_of_stream(const struct loop_suite *s)
{
    char buf[64];
    struct pair p;
    pair_open(s, &p);
    EXPECT_EQUAL(stream_writev(p.near, &(struct iovec){ (char[]){ "hello" }, 5 }, 1), 0);
    p.near = stream_close(p.near);
    EXPECT_EQUAL(stream_read_full(p.far, buf, 5), 0); /* what was sent arrives before the end */
    EXPECT(memcmp(buf, "hello", 5) == 0);
    EXPECT_EQUAL(stream_read(p.far, buf, sizeof(buf)), 0);
    EXPECT_EQUAL(stream_read(p.far, buf, sizeof(buf)), 0);
    EXPECT_EQUAL(stream_read_full(p.far, buf, 5), -ERR_RPC_SOCKET_CLOSED);
    /* Writing to nobody fails sooner or later, and does not end the process. */
    FIBER_TIMEOUT(60 * SEC);
    int r = 0;
    while (r == 0) {
        r = stream_writev(p.far, &(struct iovec){ buf, sizeof(buf) }, 1);
        if (r == 0) EXPECT_EQUAL(fiber_sleep(MSEC), 0);
    }
    EXPECT_EQUAL(r, -ERR_RPC_SOCKET_CLOSED);
    pair_close(&p);
}

/* Closed with unread data inside: the other side's view ends, in an error or an end. */
static void case_reset(const struct loop_suite *s)
{
    char page[1000] = { 0 };
    struct pair p;
    pair_open(s, &p);
    EXPECT_EQUAL(stream_writev(p.near, &(struct iovec){ page, sizeof(page) }, 1), 0);
    EXPECT_EQUAL(fiber_sleep(5 * MSEC), 0);
    p.far = stream_close(p.far);
    FIBER_TIMEOUT(60 * SEC);
    ssize_t n = stream_read(p.near, page, sizeof(page));
    EXPECT(n == 0 || n == -ERR_RPC_SOCKET_CLOSED);
    pair_close(&p);
}

static int read_fiber(void *arg)
{
    char buf[64];
    return (int)stream_read(arg, buf, sizeof(buf));
}

static int write_until_error_fiber(void *arg)
{
    enum { SIZE = 1 << 20 };
    cleanup_(freep) uint8_t *data = xcalloc(1, SIZE);
    int r = 0;
    while (r == 0) {
        r = stream_writev(arg, &(struct iovec){ data, SIZE }, 1);
    }
    return r;
}

/* How a fiber inside a stream ends: by a shutdown of the stream, its own cancellation, its
 * deadline. */
static void case_shutdown(const struct loop_suite *s)
{
    static int (*const fns[])(void *) = { read_fiber, write_until_error_fiber };
    for (size_t i = 0; i < ARRAY_SIZE(fns); i++) {
        struct pair p;
        char buf[64];
        pair_open(s, &p);
        struct scope scope;
        scope_init(&scope, sched_current());
        EXPECT_EQUAL(fiber_spawn(&scope, "inside", fns[i], p.near), 0);
        EXPECT_EQUAL(fiber_sleep(5 * MSEC), 0);
        EXPECT(!scope_is_empty(&scope));
        stream_shutdown(p.near);
        stream_shutdown(p.near);
        EXPECT_EQUAL(scope_wait(&scope), -ERR_RPC_SOCKET_CLOSED);
        scope_done(&scope);
        EXPECT_EQUAL(stream_read(p.near, buf, 1), -ERR_RPC_SOCKET_CLOSED);
        EXPECT_EQUAL(stream_writev(p.near, &(struct iovec){ buf, 1 }, 1), -ERR_RPC_SOCKET_CLOSED);
        ssize_t n;
        do {
            n = stream_read(p.far, buf, sizeof(buf));
        } while (n > 0);
        EXPECT(n == 0 || n == -ERR_RPC_SOCKET_CLOSED);
        pair_close(&p);
    }
}

static void case_cancel_stream(const struct loop_suite *s)
{
    static int (*const fns[])(void *) = { read_fiber, write_until_error_fiber };
    for (size_t i = 0; i < ARRAY_SIZE(fns); i++) {
        struct pair p;
        pair_open(s, &p);
        struct scope scope;
        scope_init(&scope, sched_current());
        EXPECT_EQUAL(fiber_spawn(&scope, "inside", fns[i], p.near), 0);
        EXPECT_EQUAL(fiber_sleep(5 * MSEC), 0);
        scope_cancel(&scope);
        EXPECT_EQUAL(scope_wait(&scope), 0);
        scope_done(&scope);
        pair_close(&p);
    }
    /* Accepting and connecting. */
    struct net_address at = tcp_address(s);
    struct listener *l = NULL;
    EXPECT_EQUAL(net_listen(s->node, &at, &l), 0);
    struct scope scope;
    scope_init(&scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&scope, "accepter", accept_once_fiber, l), 0);
    EXPECT_EQUAL(fiber_sleep(5 * MSEC), 0);
    scope_cancel(&scope);
    EXPECT_EQUAL(scope_wait(&scope), 0);
    scope_done(&scope);
    struct stream *stream = connect_to(s, listener_address(l)); /* the listener is none the worse */
    struct stream *far = NULL;
    EXPECT_EQUAL(listener_accept(l, &far), 0);
    stream_close(stream);
    stream_close(far);
    listener_close(l);
}

/* A deadline in the middle of a read loses nothing: the stream goes on after it. */
static void case_deadline_in_read(const struct loop_suite *s)
{
    struct pair p;
    char buf[64];
    pair_open(s, &p);
    for (int i = 0; i < 5; i++) {
        {
            FIBER_TIMEOUT(3 * MSEC);
            EXPECT_EQUAL(stream_read(p.near, buf, sizeof(buf)), -ERR_TIMEOUT);
        }
        {
            FIBER_TIMEOUT(3 * MSEC);
            struct stream *none = NULL;
            EXPECT_EQUAL(listener_accept(p.listener, &none), -ERR_TIMEOUT);
        }
        char letter = (char)('a' + i);
        EXPECT_EQUAL(stream_writev(p.far, &(struct iovec){ &letter, 1 }, 1), 0);
        EXPECT_EQUAL(stream_read(p.near, buf, sizeof(buf)), 1);
        EXPECT_EQUAL(buf[0], letter);
    }
    pair_close(&p);
}

/* ---- a stream that never blocks leaves the others their turns ---- */

static int flood_fiber(void *arg)
{
    return write_until_error_fiber(arg);
}

static int drain_fiber(void *arg)
{
    enum { SIZE = 1 << 20 };
    cleanup_(freep) uint8_t *data = xmalloc(SIZE);
    ssize_t n;
    do {
        n = stream_read(arg, data, SIZE);
    } while (n > 0);
    return (int)n;
}

static void case_fairness(const struct loop_suite *s)
{
    struct pair p;
    pair_open(s, &p);
    struct scope scope;
    scope_init(&scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&scope, "flood", flood_fiber, p.near), 0);
    EXPECT_EQUAL(fiber_spawn(&scope, "drain", drain_fiber, p.far), 0);
    uint64_t start = node_now_ns(s->node);
    for (int i = 0; i < 10; i++) {
        EXPECT_EQUAL(fiber_sleep(2 * MSEC), 0);
    }
    EXPECT(node_now_ns(s->node) - start < 20 * SEC);
    scope_done(&scope);
    pair_close(&p);
}

const struct loop_suite_case loop_suite_net_cases[] = {
    { "tcp echo", case_tcp_echo },
    { "unix echo", case_unix_echo },
    { "many clients", case_many_clients },
    { "connect refused", case_connect_refused },
    { "listener close", case_listener_close },
    { "unix listen", case_unix_listen },
    { "end of stream", case_end_of_stream },
    { "reset", case_reset },
    { "shutdown", case_shutdown },
    { "cancel stream", case_cancel_stream },
    { "deadline in read", case_deadline_in_read },
    { "fairness", case_fairness },
    { 0 },
};
