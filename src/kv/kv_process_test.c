/* kv_process_test.c - processes that share an embedded store and do not behave: killed, stopped,
 * racing, sending garbage. What one was told is committed must be there for all, ever after.
 *
 * Time limits are wide: they are to find what hangs. What was measured is printed.
 */
#include "base/crc32c.h"
#include "kv/embedded_frame.h"
#include "kv/embedded_host.h"
#include "kv/embedded_test_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h wants these three */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define B(s)            BYTES_LITERAL(s)
#define TAKEOVER_NS_MAX (30 * SEC)

enum { CHILDREN_MAX = 8 };

/* What children tell their parent, in memory that all share. */
struct child {
    _Atomic uint64_t acknowledged; /* its own counter in the store is at least this */
    _Atomic uint64_t tried;
    _Atomic uint64_t last_ns;    /* of the last acknowledgement */
    _Atomic uint64_t gap_ns_max; /* longest time between two */
    _Atomic int holder_pid;      /* as it sees it */
    _Atomic bool is_open, wants_end;
};

struct shared {
    struct child children[CHILDREN_MAX];
};

struct role {
    struct shared *shared;
    uint32_t at;
};

static struct shared *shared_new(void)
{
    void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    check(p != MAP_FAILED);
    return p;
}

/* ---- children ---- */

struct counting {
    uint32_t at;
    uint64_t value;
};

static struct bytes counter_key(uint32_t at, char buf[16])
{
    int n = snprintf(buf, 16, "counter%u", at);
    return bytes_of(buf, (size_t)n);
}

static int count_up(struct kv_txn *txn, void *arg) fiber_fn
{
    struct counting *c = arg;
    cleanup_arena_ struct arena arena = { 0 };
    struct bytes value;
    char key[16];
    uint64_t n = 0;
    int r = kv_get(txn, counter_key(c->at, key), KV_SERIALIZABLE, &arena, &value);
    if (r < 0) return r;
    if (r == 1) memcpy(&n, value.base, sizeof(n));
    check(n <= c->value);
    kv_set(txn, counter_key(c->at, key), bytes_of(&c->value, sizeof(c->value)));
    return 0;
}

static int pid_of(const char *description)
{
    const char *at = strstr(description, "pid ");
    return at ? (int)strtol(at + 4, NULL, 10) : 0;
}

static void note_acknowledged(struct child *self, uint64_t value)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t last_ns = self->last_ns, gap_ns = last_ns ? now_ns - last_ns : 0;
    self->acknowledged = value;
    self->last_ns = now_ns;
    if (gap_ns > self->gap_ns_max) self->gap_ns_max = gap_ns;
}

/* Counts until it is told to end. An unknown outcome is settled by writing the same value again. */
static void count_child(struct process *p) fiber_fn
{
    const struct role *role = p->arg;
    struct child *self = &role->shared->children[role->at];
    process_open(p);
    self->is_open = true;
    for (struct counting c = { role->at, self->acknowledged + 1 }; !self->wants_end;) {
        self->tried = c.value;
        self->holder_pid = pid_of(kv_describe(p->kv));
        int r = kv_transact(p->kv, KV_RETRY_MAYBE_COMMITTED, count_up, &c);
        if (r < 0) continue;
        note_acknowledged(self, c.value);
        c.value++;
    }
}

static pid_t fork_child(const struct process *like, struct shared *shared, uint32_t at,
                        void (*fn)(struct process *p))
{
    struct role role = { shared, at };
    return process_fork(like, fn, &role); /* a copy of the role goes with the fork */
}

/* Waits up to TAKEOVER_NS_MAX for a condition. */
#define wait_for(condition)                                                                        \
    do {                                                                                           \
        uint64_t begin_ns_ = clock_now_ns();                                                       \
        while (!(condition)) {                                                                     \
            check(clock_now_ns() - begin_ns_ < TAKEOVER_NS_MAX);                                   \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

/* ---- what is in the store, from a fresh process ---- */

static void compare_child(struct process *p) fiber_fn
{
    const struct role *role = p->arg;
    process_open(p);
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    int r = kv_begin(p->kv, &txn);
    check(r == 0);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        const struct child *c = &role->shared->children[i];
        cleanup_arena_ struct arena arena = { 0 };
        struct bytes value;
        char key[16];
        uint64_t n = 0;
        r = kv_get(txn, counter_key(i, key), KV_SERIALIZABLE, &arena, &value);
        check(r >= 0);
        if (r == 1) memcpy(&n, value.base, sizeof(n));
        check(n >= c->acknowledged);
        check(n <= c->tried);
    }
}

static void compare_store(const struct process *like, struct shared *shared)
{
    int status = process_join(fork_child(like, shared, 0, compare_child));
    assert_int_equal(status, 0);
}

/* ---- kill -9 of the holder, again and again ---- */

enum { KILLERS = 3, KILLS = 8 };

static uint32_t find_holder(struct shared *shared, const pid_t *pids)
{
    for (;;) {
        for (uint32_t i = 0; i < KILLERS; i++) {
            if (shared->children[i].holder_pid == pids[i]) return i;
        }
        usleep(1000);
    }
}

static bool all_went_on(struct shared *shared, uint32_t but, uint64_t since_ns)
{
    for (uint32_t i = 0; i < KILLERS; i++) {
        if (i != but && shared->children[i].last_ns <= since_ns) return false;
    }
    return true;
}

static void reset_gaps(struct shared *shared)
{
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        shared->children[i].gap_ns_max = 0;
    }
}

static uint64_t longest_gap(struct shared *shared, uint32_t but)
{
    uint64_t gap_ns = 0;
    for (uint32_t i = 0; i < KILLERS; i++) {
        if (i != but) gap_ns = MAX_OF(gap_ns, (uint64_t)shared->children[i].gap_ns_max);
    }
    return gap_ns;
}

static void start_killers(const struct process *like, struct shared *shared, pid_t *pids)
{
    for (uint32_t i = 0; i < KILLERS; i++) {
        pids[i] = fork_child(like, shared, i, count_child);
    }
    for (uint32_t i = 0; i < KILLERS; i++) {
        wait_for(shared->children[i].acknowledged > 0);
    }
}

static void end_killers(struct shared *shared, const pid_t *pids)
{
    for (uint32_t i = 0; i < KILLERS; i++) {
        shared->children[i].wants_end = true;
    }
    for (uint32_t i = 0; i < KILLERS; i++) {
        assert_int_equal(process_join(pids[i]), 0);
    }
}

static void test_kill_holder(void **state)
{
    struct process like = { .dir = test_dir_make(), .backend = LOOP_AUTO };
    struct shared *shared = shared_new();
    pid_t pids[KILLERS];
    start_killers(&like, shared, pids);
    for (uint32_t round = 0; round < KILLS; round++) {
        usleep(100000 + 37000 * (round % 3));
        reset_gaps(shared);
        uint32_t victim = find_holder(shared, pids);
        uint64_t killed_ns = clock_now_ns();
        assert_int_equal(kill(pids[victim], SIGKILL), 0);
        process_join(pids[victim]);
        wait_for(all_went_on(shared, victim, killed_ns + 5 * MSEC));
        printf("killed the holder: others paused %.1f ms\n",
               (double)longest_gap(shared, victim) / 1e6);
        shared->children[victim].holder_pid = 0;
        shared->children[victim].last_ns = 0;
        uint64_t before = shared->children[victim].acknowledged;
        pids[victim] = fork_child(&like, shared, victim, count_child);
        wait_for(shared->children[victim].acknowledged > before);
    }
    end_killers(shared, pids);
    compare_store(&like, shared);
    munmap(shared, sizeof(*shared));
    test_dir_remove((char *)(uintptr_t)like.dir);
}

/* A stopped holder is ended; a stopped client, when it comes back, ends nobody. */
static void test_stop(void **state)
{
    struct process like = { .dir = test_dir_make(), .backend = LOOP_AUTO };
    struct shared *shared = shared_new();
    pid_t pids[KILLERS];
    start_killers(&like, shared, pids);
    usleep(100000);
    reset_gaps(shared);
    uint32_t victim = find_holder(shared, pids);
    uint64_t stopped_ns = clock_now_ns();
    assert_int_equal(kill(pids[victim], SIGSTOP), 0);
    wait_for(all_went_on(shared, victim, stopped_ns + 500 * MSEC));
    printf("stopped the holder: others paused %.1f ms\n",
           (double)longest_gap(shared, victim) / 1e6);
    int status = process_join(pids[victim]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

    shared->children[victim].holder_pid = 0;
    pids[victim] = fork_child(&like, shared, victim, count_child);
    uint32_t holder = find_holder(shared, pids);
    uint32_t client = (holder + 1) % KILLERS;
    assert_int_equal(kill(pids[client], SIGSTOP), 0);
    usleep(2500000);
    uint64_t before = shared->children[client].acknowledged;
    assert_int_equal(kill(pids[client], SIGCONT), 0);
    wait_for(shared->children[client].acknowledged > before + 10);
    assert_int_equal(find_holder(shared, pids), holder);
    end_killers(shared, pids);
    compare_store(&like, shared);
    munmap(shared, sizeof(*shared));
    test_dir_remove((char *)(uintptr_t)like.dir);
}

/* ---- many open at once; all die at once ---- */

static void test_race(void **state)
{
    struct process like = { .dir = test_dir_make(), .backend = LOOP_POSIX };
    struct shared *shared = shared_new();
    for (uint32_t round = 0; round < 5; round++) {
        pid_t pids[CHILDREN_MAX];
        for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
            shared->children[i].is_open = false;
            pids[i] = fork_child(&like, shared, i, count_child);
        }
        int holder = 0;
        for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
            uint64_t before = shared->children[i].acknowledged;
            wait_for(shared->children[i].is_open && shared->children[i].acknowledged > before);
            if (!holder) holder = shared->children[i].holder_pid;
            assert_int_equal(shared->children[i].holder_pid, holder);
        }
        for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
            kill(pids[i], SIGKILL);
        }
        for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
            process_join(pids[i]);
        }
        compare_store(&like, shared);
    }
    munmap(shared, sizeof(*shared));
    test_dir_remove((char *)(uintptr_t)like.dir);
}

/* ---- garbage on the socket ---- */

static int connect_raw(const char *dir)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/kv.sock", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0);
    int r = connect(fd, (struct sockaddr *)&at, sizeof(at));
    check(r == 0);
    struct timeval timeout = { .tv_sec = 10 };
    r = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    check(r == 0);
    return fd;
}

/* Reads until the other end closes. */
static void drain(int fd)
{
    char buf[4096];
    ssize_t n;
    do {
        n = recv(fd, buf, sizeof(buf), 0);
    } while (n > 0);
    assert_true(n == 0 || errno == ECONNRESET);
}

static uint64_t garbage_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void send_garbage(const char *dir, uint64_t *random)
{
    uint8_t buf[512];
    int fd = connect_raw(dir);
    size_t size = 1 + garbage_random(random) % sizeof(buf);
    for (size_t i = 0; i < size; i++) {
        buf[i] = (uint8_t)garbage_random(random);
    }
    /* Half of them begin as a good frame does, of any kind, and have a body that is none. */
    if (garbage_random(random) % 2 && size > sizeof(struct kv_frame)) {
        struct kv_frame header = { .magic = KV_FRAME_MAGIC,
                                   .body_bytes = (uint32_t)(size - sizeof(header)),
                                   .number = 1,
                                   .kind = (uint32_t)(garbage_random(random) % 9) };
        const uint8_t *body = buf + sizeof(header);
        uint32_t inner = header.body_bytes > 4 ? header.body_bytes - 4 : 0;
        if (garbage_random(random) % 2) memcpy(buf + sizeof(header), &inner, sizeof(inner));
        header.body_crc = crc32c(0, body, header.body_bytes);
        header.crc = crc32c(0, &header, offsetof(struct kv_frame, crc));
        memcpy(buf, &header, sizeof(header));
    }
    ssize_t n = send(fd, buf, size, MSG_NOSIGNAL);
    (void)n; /* it may have hung up already */
    shutdown(fd, SHUT_WR);
    drain(fd);
    close(fd);
}

static void test_garbage(void **state)
{
    struct process like = { .dir = test_dir_make(), .backend = LOOP_POSIX };
    struct shared *shared = shared_new();
    uint64_t random = 88172645463325252ull;
    pid_t pid = fork_child(&like, shared, 0, count_child);
    wait_for(shared->children[0].acknowledged > 0);
    for (int i = 0; i < 500; i++) {
        send_garbage(like.dir, &random);
    }
    uint64_t before = shared->children[0].acknowledged;
    wait_for(shared->children[0].acknowledged > before + 10);
    shared->children[0].wants_end = true;
    assert_int_equal(process_join(pid), 0);
    compare_store(&like, shared);
    munmap(shared, sizeof(*shared));
    test_dir_remove((char *)(uintptr_t)like.dir);
}

/* Several may watch one holder, and all of them end it: who comes late finds it done. */
static void test_ended_already(void **state)
{
    struct kv_dir dir = { .dir_fd = -1 };
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    siginfo_t info;
    struct kv_process process = kv_process_open(pid);
    assert_true(process.fd >= 0);
    dir.lock_fd = memfd_create("lock", MFD_CLOEXEC); /* the child has it not */
    assert_int_equal(kv_process_end(&process, &dir), -ERR_NOT_SUPPORTED);
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(kv_process_end(&process, &dir), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(kv_process_end(&process, &dir), 0);
    kv_process_close(&process);
    close(dir.lock_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_holder),   cmocka_unit_test(test_stop),
        cmocka_unit_test(test_race),          cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_ended_already),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
