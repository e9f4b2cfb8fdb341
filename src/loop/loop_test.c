/* loop_test.c - the conformance suite on a real back end, and what only real ones have: threads,
 * descriptors, signals. Usage: loop_test posix|uring [case]
 */
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/loop_suite.h"
#include "loop/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_SKIP = 77 };

/* ---- posts from another thread ---- */

enum { POST_COUNT = 10000 };

struct posting {
    struct loop *loop;
    struct event all_came;
    int received;
};

static void on_post(void *arg)
{
    struct posting *p = arg;
    if (++p->received == POST_COUNT) event_set(&p->all_came, 0);
}

static void *posting_thread(void *arg)
{
    struct posting *p = arg;
    for (int i = 0; i < POST_COUNT; i++) {
        loop_post(p->loop, on_post, p);
        if (i % 1000 == 0) usleep(1000); /* the loop falls asleep now and then */
    }
    return NULL;
}

static void test_posts(const struct loop_suite *s)
{
    struct posting posting = { .loop = s->node->loop };
    pthread_t thread;
    event_init(&posting.all_came);
    EXPECT_EQUAL(pthread_create(&thread, NULL, posting_thread, &posting), 0);
    EXPECT_EQUAL(event_wait(&posting.all_came, "posts"), 0);
    pthread_join(thread, NULL);
}

/* ---- a fiber that does not give up its turn is named ---- */

struct hog {
    struct node *node;
    uint64_t turn_ns;
};

static int hog_fiber(void *arg)
{
    struct hog *hog = arg;
    uint64_t start = node_now_ns(hog->node);
    do {
        hog->turn_ns = node_now_ns(hog->node) - start;
    } while (hog->turn_ns < 20 * MSEC);
    return 0;
}

static void test_slow_turn(const struct loop_suite *s)
{
    struct hog hog = { .node = s->node };
    struct sched_slow_turns before = sched_slow_turns(sched_current());
    struct scope scope;
    scope_init(&scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&scope, "hog", hog_fiber, &hog), 0);
    EXPECT_EQUAL(scope_wait(&scope), 0);
    struct sched_slow_turns after = sched_slow_turns(sched_current());
    EXPECT(after.count > before.count);
    EXPECT(after.worst_ns > hog.turn_ns - MSEC);
    /* On a busy machine another fiber may have lost the processor for longer. */
    bool is_hog = before.worst_ns < hog.turn_ns && after.worst_ns < hog.turn_ns + MSEC;
    EXPECT(!is_hog || strcmp(after.worst_name, "hog") == 0);
}

/* ---- descriptors and signals ---- */

struct pipe_writer {
    int fd;
    uint64_t delay_ns;
};

static int pipe_writer_fiber(void *arg)
{
    const struct pipe_writer *w = arg;
    int r = fiber_sleep(w->delay_ns);
    return r < 0 ? r : write(w->fd, "x", 1) == 1 ? 0 : -ERR_UNKNOWN;
}

static void test_fd_wait(const struct loop_suite *s)
{
    int fds[2];
    EXPECT_EQUAL(pipe(fds), 0);
    EXPECT_EQUAL(fd_wait(s->node, fds[1], POLLOUT), 0);
    for (int i = 0; i < 3; i++) {
        {
            FIBER_TIMEOUT(3 * MSEC);
            EXPECT_EQUAL(fd_wait(s->node, fds[0], POLLIN), -ERR_TIMEOUT);
        }
        struct pipe_writer writer = { fds[1], 3 * MSEC };
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        EXPECT_EQUAL(fiber_spawn(&scope, "writer", pipe_writer_fiber, &writer), 0);
        EXPECT_EQUAL(fd_wait(s->node, fds[0], POLLIN), 0);
        EXPECT_EQUAL(scope_wait(&scope), 0);
        EXPECT_EQUAL(fd_wait(s->node, fds[0], POLLIN), 0); /* level: it is readable still */
        char c;
        EXPECT_EQUAL(read(fds[0], &c, 1), 1);
    }
    close(fds[1]);
    EXPECT_EQUAL(fd_wait(s->node, fds[0], POLLIN), 0); /* the end */
    close(fds[0]);
    /* The same number again, another file behind it. */
    EXPECT_EQUAL(pipe(fds), 0);
    EXPECT_EQUAL(write(fds[1], "x", 1), 1);
    EXPECT_EQUAL(fd_wait(s->node, fds[0], POLLIN), 0);
    close(fds[0]);
    close(fds[1]);
    EXPECT(fd_wait(s->node, -1, POLLIN) < 0);
}

struct fd_waiter {
    const struct loop_suite *suite;
    int fd, events;
};

static int fd_waiter_fiber(void *arg)
{
    const struct fd_waiter *w = arg;
    return fd_wait(w->suite->node, w->fd, w->events);
}

/* Two fibers wait for one descriptor, each for its own direction. */
static void test_fd_wait_both_ways(const struct loop_suite *s)
{
    int fds[2];
    char page[4096] = { 0 };
    EXPECT_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    while (write(fds[0], page, sizeof(page)) > 0) {
    }
    struct fd_waiter in = { s, fds[0], POLLIN }, out = { s, fds[0], POLLOUT };
    struct scope in_scope, out_scope;
    scope_init(&in_scope, sched_current());
    scope_init(&out_scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&in_scope, "in", fd_waiter_fiber, &in), 0);
    EXPECT_EQUAL(fiber_spawn(&out_scope, "out", fd_waiter_fiber, &out), 0);
    EXPECT_EQUAL(fiber_sleep(3 * MSEC), 0);
    EXPECT(!scope_is_empty(&in_scope) && !scope_is_empty(&out_scope));
    EXPECT_EQUAL(write(fds[1], "x", 1), 1);
    EXPECT_EQUAL(scope_wait(&in_scope), 0);
    while (read(fds[1], page, sizeof(page)) > 0) {
    }
    FIBER_TIMEOUT(20 * SEC);
    EXPECT_EQUAL(scope_wait(&out_scope), 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_signal_wait(const struct loop_suite *s)
{
    static const int signals[] = { SIGUSR1, SIGUSR2 };
    kill(getpid(), SIGUSR2);
    EXPECT_EQUAL(signal_wait(s->node, signals, ARRAY_SIZE(signals)), SIGUSR2);
    FIBER_TIMEOUT(3 * MSEC);
    EXPECT_EQUAL(signal_wait(s->node, signals, ARRAY_SIZE(signals)), -ERR_TIMEOUT);
}

/* ---- names, IPv6, connects that hang ---- */

static int accept_and_close_fiber(void *arg)
{
    struct stream *stream = NULL;
    int r = listener_accept(arg, &stream);
    stream_close(stream);
    return r;
}

static void test_names(const struct loop_suite *s)
{
    static const char *const texts[] = { "TCP://localhost:0", "TCP://[::1]:0",
                                         "IPoIB://127.0.0.1:0" };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct net_address at;
        struct listener *l = NULL;
        struct stream *stream = NULL;
        EXPECT_EQUAL(net_address_parse(texts[i], &at), 0);
        int r = net_listen(s->node, &at, &l);
        if (r == error_from_errno(EADDRNOTAVAIL) || r == error_from_errno(EAFNOSUPPORT)) continue;
        EXPECT_EQUAL(r, 0);
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        EXPECT_EQUAL(fiber_spawn(&scope, "accept", accept_and_close_fiber, l), 0);
        EXPECT_EQUAL(net_connect(s->node, listener_address(l), &stream), 0);
        EXPECT_EQUAL(scope_wait(&scope), 0);
        EXPECT(strchr(stream_peer(stream), ':') != NULL);
        stream_close(stream);
        listener_close(l);
    }
}

struct connecting {
    struct node *node;
    struct net_address to;
};

static int connect_fiber(void *arg)
{
    const struct connecting *c = arg;
    struct stream *stream = NULL;
    int r = net_connect(c->node, &c->to, &stream);
    EXPECT(stream == NULL);
    return r;
}

/* A listener that does not accept and whose backlog is full answers no more SYNs. */
static void test_connect_hangs(const struct loop_suite *s)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fillers[4];
    EXPECT_EQUAL(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    EXPECT_EQUAL(listen(listener, 0), 0);
    EXPECT_EQUAL(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int r = connect(fillers[i], (struct sockaddr *)&at, sizeof(at));
        EXPECT(r == 0 || errno == EINPROGRESS);
    }
    EXPECT_EQUAL(fiber_sleep(20 * MSEC), 0);
    struct connecting c = { s->node, { .host = "127.0.0.1", .port = ntohs(at.sin_port) } };
    {
        FIBER_TIMEOUT(30 * MSEC);
        EXPECT_EQUAL(connect_fiber(&c), -ERR_TIMEOUT);
    }
    struct scope scope;
    scope_init(&scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&scope, "connect", connect_fiber, &c), 0);
    EXPECT_EQUAL(fiber_sleep(10 * MSEC), 0);
    EXPECT(!scope_is_empty(&scope));
    scope_done(&scope);
    for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
        close(fillers[i]);
    }
    close(listener);
}

/* A socket file of a process that died is taken over. */
static void test_stale_unix_path(const struct loop_suite *s)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    struct net_address at = { .scheme = NET_UNIX };
    struct listener *l = NULL;
    snprintf(name.sun_path, sizeof(name.sun_path), "%s/stale", s->dir);
    snprintf(at.host, sizeof(at.host), "%s/stale", s->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQUAL(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    EXPECT_EQUAL(listen(fd, 1), 0);
    EXPECT_EQUAL(net_listen(s->node, &at, &l), -ERR_RPC_LISTEN_FAILED);
    close(fd);
    EXPECT_EQUAL(net_listen(s->node, &at, &l), 0);
    listener_close(l);
    memset(at.host, 'x', 150);
    at.host[0] = '/';
    EXPECT_EQUAL(net_listen(s->node, &at, &l), -ERR_RPC_INVALID_ADDR);
}

/* ---- a blocking call that was begun is waited for ---- */

struct slow {
    struct node *node;
    atomic_bool is_begun, is_finished;
    int result;
};

static int slow_call(void *arg)
{
    struct slow *slow = arg;
    slow->is_begun = true;
    usleep(30000);
    slow->is_finished = true;
    return 7;
}

static int slow_fiber(void *arg)
{
    struct slow *slow = arg;
    slow->result = blocking_run(slow->node, slow_call, slow);
    return 0;
}

static void test_slow_blocking_run(const struct loop_suite *s)
{
    struct slow slow = { .node = s->node };
    struct scope scope;
    scope_init(&scope, sched_current());
    EXPECT_EQUAL(fiber_spawn(&scope, "slow", slow_fiber, &slow), 0);
    while (!slow.is_begun) {
        EXPECT_EQUAL(fiber_sleep(MSEC), 0);
    }
    scope_done(&scope);
    EXPECT(slow.is_finished);
    EXPECT_EQUAL(slow.result, 7);

    /* At the deadline: begun and waited for, or on a slow machine never begun. */
    struct slow late = { .node = s->node };
    FIBER_TIMEOUT(10 * MSEC);
    slow_fiber(&late);
    EXPECT_EQUAL(late.result, late.is_begun ? 7 : -ERR_TIMEOUT);
    EXPECT_EQUAL(late.is_finished, late.is_begun);
    struct slow none = { .node = s->node };
    EXPECT_EQUAL(fiber_sleep(SEC), -ERR_TIMEOUT);
    slow_fiber(&none);
    EXPECT_EQUAL(none.result, -ERR_TIMEOUT);
    EXPECT(!none.is_begun);
}

/* ---- running ---- */

static int suite_main(void *arg)
{
    static const struct loop_suite_case own_cases[] = {
        { "names", test_names },
        { "connect hangs", test_connect_hangs },
        { "stale unix path", test_stale_unix_path },
        { "slow blocking run", test_slow_blocking_run },
        { "slow turn", test_slow_turn },
        { "posts", test_posts },
        { "fd wait", test_fd_wait },
        { "fd wait both ways", test_fd_wait_both_ways },
        { "signal wait", test_signal_wait },
    };
    const struct loop_suite *suite = arg;
    int count = loop_suite_run(suite);
    for (size_t i = 0; i < ARRAY_SIZE(own_cases); i++) {
        if (suite->only && strcmp(suite->only, own_cases[i].name) != 0) continue;
        own_cases[i].fn(suite);
        printf("%s: ok\n", own_cases[i].name);
        count++;
    }
    EXPECT(count > 0);
    return 4711;
}

static void quit_from_post(void *arg)
{
    loop_quit(arg, 12);
}

/* loop_quit() from elsewhere cancels the node and waits for its end. */
static int quitting_main(void *arg)
{
    loop_post(arg, quit_from_post, arg);
    EXPECT_EQUAL(fiber_sleep(1000 * SEC), -ERR_CANCELED);
    FIBER_SHIELD();
    EXPECT_EQUAL(fiber_sleep(MSEC), 0);
    return 5;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void prepare_process(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
}

int main(int argc, char **argv)
{
    char dir[] = "/var/tmp/c3fs-loop-XXXXXX"; /* a real disk: not every tmpfs has O_DIRECT */
    const char *name = argc > 1 ? argv[1] : "posix", *why = NULL;
    struct loop *loop = NULL;

    prepare_process();
    int r = loop_new(strcmp(name, "uring") ? LOOP_POSIX : LOOP_URING, &loop, &why);
    if (r < 0) {
        char text[64];
        printf("skipped: no %s here: %s %s\n", name, error_to_text(r, text, sizeof(text)),
               why ?: "");
        return EXIT_SKIP;
    }
    check(strcmp(loop_backend_name(loop), name) == 0);
    check(mkdtemp(dir));
    struct node *node = node_new(loop, NULL, "suite");
    struct loop_suite suite = { .node = node,
                                .dir = dir,
                                .host = "127.0.0.1",
                                .only = argc > 2 ? argv[2] : NULL,
                                .has_unix_credentials = true };
    r = loop_run_main(loop, node, suite_main, &suite);
    check(r == 4711);
    node_free(node);
    node = node_new(loop, NULL, "quitting");
    r = loop_run_main(loop, node, quitting_main, loop);
    check(r == 12);
    node_free(node);
    loop_free(loop);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
