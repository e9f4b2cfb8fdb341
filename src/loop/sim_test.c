/* sim_test.c - the simulated world: determinism, machines, clocks, files through the seam, broken
 * runs. */
#include "loop/sim.h"

#include "base/arena.h"
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/file.h"
#include "loop/net.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

enum { SEED_COUNT = 200 };

/* One machine with one node, which most tests need. */
struct world {
    struct sim *sim;
    struct machine *a;
    struct node *node;
    int counts[8];
};

static int world_run(const struct sim_options *options, int (*fn)(void *arg), struct world *w,
                     uint64_t limit_ns)
{
    w->sim = sim_new(options);
    w->a = sim_machine_new(w->sim, "a");
    w->node = node_new(sim_loop(w->sim), w->a, "node-a");
    int r = sim_run(w->sim, fn, w, limit_ns);
    w->node = node_free(w->node);
    w->sim = sim_free(w->sim);
    return r;
}

static int world_run_seed(uint64_t seed, int (*fn)(void *arg), struct world *w)
{
    struct sim_options options = sim_options_default(seed);
    return world_run(&options, fn, w, 1000 * SEC);
}

/* Crash and restart with a new node. */
static void world_crash(struct world *w)
{
    sim_crash(w->a);
    node_stop(w->node);
    node_free(w->node);
    sim_restart(w->a);
    w->node = node_new(sim_loop(w->sim), w->a, "node-a");
}

/* ---- determinism: a mixed workload over three machines with every kind of fault ---- */

struct mix_machine {
    struct mix *mix;
    struct machine *machine;
    struct node *node;
};
struct mix {
    struct sim *sim;
    struct mix_machine machines[3];
    uint64_t ops;
};

static const struct net_address mix_port = { .scheme = NET_TCP, .port = 4000, .host = "0.0.0.0" };

static int mix_echo(void *arg)
{
    struct stream *s cleanup_(stream_closep) = arg;
    char buf[3000];
    for (;;) {
        ssize_t n = stream_read(s, buf, sizeof buf);
        if (n <= 0) return (int)n;
        int r = stream_writev(s, &(struct iovec){ buf, (size_t)n }, 1);
        if (r < 0) return r;
    }
}

static int mix_server(void *arg)
{
    struct mix_machine *m = arg;
    struct listener *l cleanup_(listener_closep) = NULL;
    struct scope scope cleanup_scope_;
    scope_init(&scope, NULL);
    int r = net_listen(m->node, &mix_port, &l);
    while (r >= 0) {
        struct stream *s;
        r = listener_accept(l, &s);
        if (r >= 0 && fiber_spawn(&scope, "echo", mix_echo, s) < 0) stream_close(s);
    }
    return r;
}

static int mix_client(void *arg)
{
    struct mix_machine *m = arg;
    struct mix *mix = m->mix;
    for (;;) {
        FIBER_TIMEOUT(5 * SEC);
        struct stream *s cleanup_(stream_closep) = NULL;
        struct net_address to = mix_port;
        char buf[5000], back[5000];
        size_t other = node_random_below(m->node, 3);
        snprintf(to.host, sizeof to.host, "%s", sim_machine_host(mix->machines[other].machine));
        int r = net_connect(m->node, &to, &s);
        node_random_bytes(m->node, buf, sizeof buf);
        size_t size = 1 + node_random_below(m->node, 3000);
        if (r >= 0) r = stream_writev(s, &(struct iovec){ buf, size }, 1);
        if (r >= 0) r = stream_read_full(s, back, size);
        if (r >= 0) check(!memcmp(buf, back, size));
        mix->ops += r >= 0;
        if (r < 0 && fiber_sleep(100 * MSEC) == -ERR_CANCELED) return 0;
    }
}

static int mix_writer(void *arg)
{
    struct mix_machine *m = arg;
    struct file *f cleanup_(file_closep) = NULL;
    int r = file_open(m->node, "/data", O_RDWR | O_CREAT, 0644, &f);
    while (r >= 0) {
        char buf[9000];
        node_random_bytes(m->node, buf, sizeof buf);
        size_t size = 1 + node_random_below(m->node, sizeof buf - 1);
        r = file_write(f, buf, size, node_random_below(m->node, 100000));
        if (r >= 0 && node_random_below(m->node, 4) == 0) r = file_sync(f);
        if (r >= 0) r = fiber_sleep(node_random_below(m->node, 20 * MSEC));
        m->mix->ops += r >= 0;
    }
    return r;
}

static void mix_start(struct mix_machine *m)
{
    m->node = node_new(sim_loop(m->mix->sim), m->machine, sim_machine_host(m->machine));
    check(fiber_spawn(&m->node->scope, "server", mix_server, m) == 0);
    check(fiber_spawn(&m->node->scope, "client", mix_client, m) == 0);
    check(fiber_spawn(&m->node->scope, "writer", mix_writer, m) == 0);
}

static void mix_fault(struct mix *mix)
{
    struct mix_machine *m = &mix->machines[sim_random_below(mix->sim, 3)];
    struct machine *other = mix->machines[sim_random_below(mix->sim, 3)].machine;
    switch (sim_random_below(mix->sim, 6)) {
    case 0:
        sim_crash(m->machine);
        node_stop(m->node);
        node_free(m->node);
        sim_restart(m->machine);
        mix_start(m);
        break;
    case 1:
        sim_kill(m->machine);
        node_stop(m->node);
        node_free(m->node);
        check(fiber_sleep(1 * SEC) == 0);
        sim_restart(m->machine);
        mix_start(m);
        break;
    case 2: sim_cut(m->machine, other); break;
    case 3: sim_heal_all(mix->sim); break;
    case 4: sim_freeze(m->machine); break;
    default:
        for (int i = 0; i < 3; i++)
            sim_thaw(mix->machines[i].machine);
        sim_clock_drift(m->machine, (int32_t)sim_random_below(mix->sim, 1000));
        break;
    }
}

static int mix_main(void *arg)
{
    struct mix *mix = arg;
    for (int i = 0; i < 3; i++)
        mix_start(&mix->machines[i]);
    for (int i = 0; i < 30; i++) {
        check(fiber_sleep(sim_random_below(mix->sim, 2 * SEC)) == 0);
        mix_fault(mix);
    }
    for (int i = 0; i < 3; i++) {
        sim_thaw(mix->machines[i].machine);
        node_stop(mix->machines[i].node);
        node_free(mix->machines[i].node);
    }
    return 0;
}

struct mix_result {
    uint64_t hash, ops, events, now_ns;
};

static struct mix_result mix_run(uint64_t seed)
{
    static const char *const hosts[] = { "a", "b", "c" };
    struct sim_options options = sim_options_default(seed);
    options.net.loss_ppm = 1000;
    options.net.reset_ppm = 100;
    options.disk.write_error_ppm = 100;
    struct mix mix = { .sim = sim_new(&options) };
    for (int i = 0; i < 3; i++)
        mix.machines[i] =
            (struct mix_machine){ .mix = &mix, .machine = sim_machine_new(mix.sim, hosts[i]) };
    assert_int_equal(sim_run(mix.sim, mix_main, &mix, 1000 * SEC), 0);
    struct mix_result result = { sim_trace_hash(mix.sim), mix.ops, sim_event_count(mix.sim),
                                 sim_now_ns(mix.sim) };
    sim_free(mix.sim);
    return result;
}

static void same_seed_same_trace(void **state)
{
    enum { COUNT = 3 };
    struct mix_result results[COUNT];
    uint64_t events = 0, ops = 0, virtual_ns = 0;
    clock_t start = clock();
    for (uint64_t seed = 0; seed < COUNT; seed++) {
        results[seed] = mix_run(seed);
        assert_true(results[seed].ops > 100);
        events += results[seed].events;
        ops += results[seed].ops;
        virtual_ns += results[seed].now_ns;
        for (uint64_t other = 0; other < seed; other++)
            assert_true(results[seed].hash != results[other].hash);
    }
    double took = (double)(clock() - start) / CLOCKS_PER_SEC;
    print_message("%llu events, %llu operations, %.0f virtual s in %.2f s: %.0f events/s\n",
                  (unsigned long long)events, (unsigned long long)ops,
                  (double)virtual_ns / (double)SEC, took, (double)events / took);
    for (uint64_t seed = 0; seed < COUNT; seed++) {
        /* Another layout of the heap must make no difference. */
        unused_ void *hole cleanup_(freep) = xmalloc(1000 + seed * 777);
        struct mix_result again = mix_run(seed);
        assert_int_equal(again.hash, results[seed].hash);
        assert_int_equal(again.events, results[seed].events);
        assert_int_equal(again.ops, results[seed].ops);
    }
}

/* ---- broken runs ---- */

static int deadlock_main(void *arg)
{
    struct event never;
    event_init(&never);
    return event_wait(&never, "what never comes");
}

static void deadlocks_are_found(void **state)
{
    struct world w = { 0 };
    assert_int_equal(world_run_seed(1, deadlock_main, &w), -ERR_FOUND_BUG);
}

static int endless_main(void *arg)
{
    while (!fiber_is_cancelled())
        fiber_yield();
    return 0;
}

static void endless_loops_are_found(void **state)
{
    struct world w = { 0 };
    assert_int_equal(world_run_seed(1, endless_main, &w), -ERR_FOUND_BUG);
}

static int patient_main(void *arg)
{
    int r;
    do {
        r = fiber_sleep(1 * SEC);
    } while (r == 0);
    return r;
}

static void time_is_limited(void **state)
{
    struct world w = { 0 };
    struct sim_options options = sim_options_default(1);
    assert_int_equal(world_run(&options, patient_main, &w, 60 * SEC), -ERR_TIMEOUT);
}

/* ---- clocks ---- */

static int clocks_main(void *arg)
{
    struct world *w = arg;
    uint64_t start = node_now_ns(w->node), wall = node_wall_ns(w->node);
    check(fiber_sleep(100 * SEC) == 0);
    assert_int_equal(node_now_ns(w->node) - start, 100 * SEC);
    assert_int_equal(node_wall_ns(w->node) - wall, 100 * SEC);

    sim_clock_drift(w->a, 500);
    check(fiber_sleep(100 * SEC) == 0);
    assert_int_equal(node_now_ns(w->node) - start, 200 * SEC + 50 * MSEC);
    sim_clock_drift(w->a, -500);
    check(fiber_sleep(100 * SEC) == 0);
    assert_int_equal(node_now_ns(w->node) - start, 300 * SEC);

    sim_clock_jump(w->a, -(int64_t)(7 * SEC));
    assert_int_equal(node_wall_ns(w->node) - wall, 293 * SEC);
    assert_int_equal(node_now_ns(w->node) - start, 300 * SEC);
    world_crash(w);
    assert_int_equal(node_wall_ns(w->node) - wall, 293 * SEC);
    return 0;
}

static void clocks_drift_and_jump(void **state)
{
    struct world w = { 0 };
    assert_int_equal(world_run_seed(3, clocks_main, &w), 0);
}

/* ---- freeze ---- */

static int ticker(void *arg)
{
    struct world *w = arg;
    while (fiber_sleep(10 * MSEC) == 0)
        w->counts[0]++;
    return 0;
}

static int count_once(void *arg)
{
    struct world *w = arg;
    w->counts[1]++;
    return 5;
}

static int blocking_caller(void *arg)
{
    struct world *w = arg;
    return blocking_run(w->node, count_once, w) == 5 ? 0 : -ERR_FOUND_BUG;
}

static int freeze_main(void *arg)
{
    struct world *w = arg;
    check(fiber_spawn(&w->node->scope, "ticker", ticker, w) == 0);
    check(fiber_sleep(1 * SEC) == 0);
    assert_in_range(w->counts[0], 98, 101);
    sim_freeze(w->a);
    check(fiber_spawn(&w->node->scope, "blocking", blocking_caller, w) == 0);
    int at_freeze = w->counts[0];
    check(fiber_sleep(10 * SEC) == 0);
    assert_int_equal(w->counts[0], at_freeze);
    assert_int_equal(w->counts[1], 0);
    sim_thaw(w->a);
    check(fiber_sleep(1 * SEC) == 0);
    assert_in_range(w->counts[0], at_freeze + 98, at_freeze + 102);
    assert_int_equal(w->counts[1], 1);

    /* Helpers' work that was begun before a freeze ends after it. */
    check(fiber_spawn(&w->node->scope, "blocking", blocking_caller, w) == 0);
    fiber_yield();
    sim_freeze(w->a);
    check(fiber_sleep(1 * SEC) == 0);
    assert_int_equal(w->counts[1], 1);
    sim_crash(w->a); /* of a frozen machine: ends all the same */
    assert_int_equal(w->counts[1], 1);
    return 0;
}

static void frozen_machines_stand_still(void **state)
{
    struct world w = { 0 };
    for (uint64_t seed = 1; seed < 20; seed++) {
        memset(w.counts, 0, sizeof w.counts);
        assert_int_equal(world_run_seed(seed, freeze_main, &w), 0);
    }
}

/* ---- crashes end every wait ---- */

static int wait_sleep(void *arg)
{
    return fiber_sleep(1000 * SEC);
}

static int wait_accept(void *arg)
{
    struct world *w = arg;
    struct net_address at = { .scheme = NET_TCP, .port = 1, .host = "a" };
    struct listener *l cleanup_(listener_closep) = NULL;
    struct stream *s = NULL;
    int r = net_listen(w->node, &at, &l);
    return r < 0 ? r : listener_accept(l, &s);
}

static int wait_connect(void *arg)
{
    struct world *w = arg;
    struct net_address to = { .scheme = NET_TCP, .port = 2, .host = "gone" };
    struct stream *s = NULL;
    return net_connect(w->node, &to, &s);
}

static int wait_stream(void *arg)
{
    struct world *w = arg;
    struct net_address at = { .scheme = NET_TCP, .port = 3, .host = "a" };
    struct listener *l cleanup_(listener_closep) = NULL;
    struct stream *s cleanup_(stream_closep) = NULL;
    char byte;
    int r = net_listen(w->node, &at, &l);
    if (r >= 0) r = net_connect(w->node, &at, &s);
    if (r >= 0) r = (int)stream_read(s, &byte, 1);
    w->counts[2] = r;
    return r;
}

static int wait_disk(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    int r = file_open(w->node, "/f", O_RDWR | O_CREAT, 0644, &f);
    while (r >= 0)
        r = file_write(f, "x", 1, 0);
    w->counts[0] = r;
    w->counts[1] = file_sync(f);
    return r;
}

/* Clean-up under a shield meets a machine that is gone, and ends. */
static int wait_shielded(void *arg)
{
    struct world *w = arg;
    int r = fiber_sleep(1000 * SEC);
    FIBER_SHIELD();
    w->counts[3] = file_replace(w->node, "/bye", "bye", 3, 0644);
    w->counts[4] = blocking_run(w->node, count_once, w);
    return r;
}

static int crash_main(void *arg)
{
    struct world *w = arg;
    static int (*const waits[])(void *) = { wait_sleep,  wait_accept, wait_connect,
                                            wait_stream, wait_disk,   wait_shielded };
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
        check(fiber_spawn(&w->node->scope, "wait", waits[i], w) == 0);
    struct machine *gone = sim_machine_find(w->sim, "gone");
    sim_cut(w->a, gone);
    check(fiber_sleep(100 * MSEC) == 0);
    uint64_t before = sim_now_ns(w->sim);
    world_crash(w);
    assert_int_equal(sim_now_ns(w->sim), before);
    for (int i = 0; i < 5; i++)
        assert_int_equal(w->counts[i], -ERR_CANCELED);
    assert_false(path_exists(w->node, "/bye"));
    return 0;
}

static int crash_main_of_two(void *arg)
{
    struct world *w = arg;
    sim_machine_new(w->sim, "gone");
    return crash_main(arg);
}

static void crashes_end_every_wait(void **state)
{
    for (uint64_t seed = 1; seed < 30; seed++) {
        struct world w = { 0 };
        assert_int_equal(world_run_seed(seed, crash_main_of_two, &w), 0);
    }
}

/* ---- files through the seam ---- */

static int files_main(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    struct file *again cleanup_(file_closep) = NULL;
    char *text cleanup_(freep) = NULL;
    char *aligned cleanup_(freep) = aligned_alloc(4096, 8192);
    size_t size = 0, count = 0;
    char **names = NULL;
    struct disk_space space;

    assert_int_equal(dir_make(w->node, "/d", 0755), 0);
    assert_int_equal(file_open(w->node, "/d/f", O_RDWR, 0, &f), error_from_errno(ENOENT));
    assert_int_equal(file_open(w->node, "/d/f", O_RDWR | O_CREAT | O_DIRECT, 0644, &f), 0);
    memset(aligned, 'z', 8192);
    assert_int_equal(file_write(f, aligned, 8192, 4096), 0);
    assert_int_equal(file_write(f, aligned + 1, 4096, 0), error_from_errno(EINVAL));
    assert_int_equal(file_write(f, aligned, 4095, 0), error_from_errno(EINVAL));
    assert_int_equal(file_write(f, aligned, 4096, 1), error_from_errno(EINVAL));
    assert_int_equal(file_read(f, aligned, 8192, 8192), 4096);
    assert_int_equal(file_read(f, aligned, 4096, 1 << 20), 0);

    assert_int_equal(file_try_lock(f), 0);
    assert_int_equal(file_try_lock(f), 0);
    assert_int_equal(file_open(w->node, "/d/f", O_RDONLY, 0, &again), 0);
    assert_int_equal(file_try_lock(again), -ERR_BUSY);
    assert_int_equal(file_write(again, "x", 1, 0), error_from_errno(EBADF));
    f = file_close(f);
    assert_int_equal(file_try_lock(again), 0);

    assert_int_equal(file_replace(w->node, "/d/conf", "hello", 5, 0644), 0);
    assert_int_equal(dir_list(w->node, "/d", &names, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "conf");
    assert_string_equal(names[1], "f");
    names_free(names, count);
    assert_int_equal(path_space(w->node, "/d", &space), 0);
    assert_int_equal(space.capacity_bytes - space.free_bytes, sim_disk_used_bytes(w->a));
    assert_int_equal(sim_disk_used_bytes(w->a), 3 * 4096);

    again = file_close(again);
    check(dir_sync(w->node, "/") == 0);
    world_crash(w);
    assert_int_equal(file_read_all(w->node, "/d/conf", 100, &text, &size), 0);
    assert_int_equal(size, 5);
    assert_string_equal(text, "hello");
    assert_int_equal(sim_flip_bit(w->a, "/d/conf", 1, 0), 0);
    freep(&text);
    assert_int_equal(file_read_all(w->node, "/d/conf", 100, &text, &size), 0);
    assert_string_equal(text, "hdllo");
    return 0;
}

static void files_behave(void **state)
{
    struct world w = { 0 };
    for (uint64_t seed = 1; seed < 40; seed++)
        assert_int_equal(world_run_seed(seed, files_main, &w), 0);
}

/* A write of which the file was synced or not, and a crash while the next is under way. */
static int durable_main(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    char byte = 0;
    assert_int_equal(file_open(w->node, "/f", O_RDWR | O_CREAT, 0644, &f), 0);
    assert_int_equal(dir_sync(w->node, "/"), 0);
    assert_int_equal(file_write(f, "1", 1, 0), 0);
    assert_int_equal(file_sync(f), 0);
    f = file_close(f);
    world_crash(w);
    int r = file_open(w->node, "/f", O_RDWR, 0, &f);
    if (r < 0) return r;
    assert_in_range(file_read(f, &byte, 1, 0), 0, 1);
    w->counts[byte == '1']++;
    return 0;
}

static void honest_disks_keep_synced_data_and_liars_may_not(void **state)
{
    struct world honest = { 0 }, liar = { 0 };
    int lost_names = 0;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        assert_int_equal(world_run_seed(seed, durable_main, &honest), 0);
        struct sim_options options = sim_options_default(seed);
        options.disk.is_honest = false;
        int r = world_run(&options, durable_main, &liar, 1000 * SEC);
        assert_true(r == 0 || r == error_from_errno(ENOENT));
        lost_names += r < 0;
    }
    assert_int_equal(honest.counts[0], 0);
    assert_int_equal(honest.counts[1], SEED_COUNT);
    assert_true(lost_names > 20);
    assert_true(liar.counts[0] > 20);
    assert_true(liar.counts[1] > 20);
}

static int overwriter(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    int r = file_open(w->node, "/f", O_RDWR, 0, &f);
    return r < 0 ? r : file_write(f, "2", 1, 0);
}

/* A write that is under way at the crash happened or not. */
static int under_way_main(void *arg)
{
    struct world *w = arg;
    char *text cleanup_(freep) = NULL;
    assert_int_equal(file_replace(w->node, "/f", "1", 1, 0644), 0);
    check(fiber_spawn(&w->node->scope, "overwriter", overwriter, w) == 0);
    check(fiber_sleep(sim_random_below(w->sim, 400 * USEC)) == 0);
    world_crash(w);
    assert_int_equal(file_read_all(w->node, "/f", 1, &text, NULL), 0);
    w->counts[text[0] - '0']++;
    return 0;
}

static void writes_under_way_happen_or_not(void **state)
{
    struct world w = { 0 };
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++)
        assert_int_equal(world_run_seed(seed, under_way_main, &w), 0);
    assert_int_equal(w.counts[1] + w.counts[2], SEED_COUNT);
    assert_true(w.counts[1] > 20);
    assert_true(w.counts[2] > 20);
}

static int kill_main(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    char *text cleanup_(freep) = NULL;
    assert_int_equal(file_open(w->node, "/f", O_RDWR | O_CREAT, 0644, &f), 0);
    assert_int_equal(file_try_lock(f), 0);
    assert_int_equal(file_write(f, "1", 1, 0), 0);
    sim_kill(w->a);
    assert_int_equal(file_write(f, "2", 1, 0), -ERR_CANCELED);
    f = file_close(f);
    node_free(w->node);
    sim_restart(w->a);
    w->node = node_new(sim_loop(w->sim), w->a, "node-a");
    assert_int_equal(file_read_all(w->node, "/f", 1, &text, NULL), 0);
    assert_string_equal(text, "1");
    assert_int_equal(file_open(w->node, "/f", O_RDWR, 0, &f), 0);
    assert_int_equal(file_try_lock(f), 0); /* the dead process's lock is gone */
    f = file_close(f);
    world_crash(w); /* and now what was never synced may go */
    w->counts[path_exists(w->node, "/f")]++;
    return 0;
}

static void kills_keep_what_was_written(void **state)
{
    struct world w = { 0 };
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++)
        assert_int_equal(world_run_seed(seed, kill_main, &w), 0);
    assert_true(w.counts[0] > 20);
    assert_true(w.counts[1] > 20);
}

static int errors_main(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    char buf[8192] = { 0 };
    if (file_open(w->node, "/f", O_RDWR | O_CREAT, 0644, &f) < 0) return 0;
    for (int i = 0; i < 200; i++) {
        w->counts[0] += file_write(f, buf, sizeof buf, 0) == error_from_errno(EIO);
        w->counts[1] += file_sync(f) == error_from_errno(EIO);
        ssize_t n = file_read(f, buf, sizeof buf, 0);
        w->counts[2] += n == error_from_errno(EIO);
        for (ssize_t at = 0; at < n; at++)
            w->counts[3] += buf[at] != 0;
        memset(buf, 0, sizeof buf);
    }
    return 0;
}

static void disks_fail_as_asked(void **state)
{
    struct world w = { 0 };
    struct sim_options options = sim_options_default(5);
    options.disk.read_error_ppm = 100000;
    options.disk.write_error_ppm = 100000;
    options.disk.bit_rot_ppm = 100000;
    assert_int_equal(world_run(&options, errors_main, &w, 1000 * SEC), 0);
    for (int i = 0; i < 4; i++)
        assert_in_range(w.counts[i], 5, 80);
    memset(&w, 0, sizeof w);
    assert_int_equal(world_run_seed(5, errors_main, &w), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(w.counts[i], 0);
}

static int stall_main(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    check(file_open(w->node, "/f", O_RDWR | O_CREAT, 0644, &f) == 0);
    for (int i = 0; i < 100; i++) {
        uint64_t start = sim_now_ns(w->sim);
        check(file_write(f, "x", 1, 0) == 0);
        w->counts[sim_now_ns(w->sim) - start >= 3 * SEC]++;
    }
    return 0;
}

static void disks_stall_as_asked(void **state)
{
    struct world w = { 0 };
    struct sim_options options = sim_options_default(1);
    options.disk.stall_ppm = 200000;
    options.disk.stall_ns = 3 * SEC;
    assert_int_equal(world_run(&options, stall_main, &w, 1000 * SEC), 0);
    assert_in_range(w.counts[1], 10, 35);
}

/* Interrupted calls: the result is the interruption, the effect may be there. */
static int interrupt_main(void *arg)
{
    struct world *w = arg;
    struct file *f cleanup_(file_closep) = NULL;
    char byte = 0;
    int r;
    assert_int_equal(file_open(w->node, "/f", O_RDWR | O_CREAT, 0644, &f), 0);
    {
        FIBER_TIMEOUT(10 * USEC);
        r = file_write(f, "1", 1, 0);
    }
    assert_true(r == 0 || r == -ERR_TIMEOUT);
    ssize_t n = file_read(f, &byte, 1, 0);
    assert_true(n == 0 || n == 1);
    if (r == 0) assert_int_equal(n, 1);
    w->counts[r == 0 ? 0 : n == 1 ? 1 : 2]++;
    return 0;
}

static void interrupted_writes_are_uncertain(void **state)
{
    struct world w = { 0 };
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++)
        assert_int_equal(world_run_seed(seed, interrupt_main, &w), 0);
    for (int i = 0; i < 3; i++)
        assert_true(w.counts[i] > 10);
}

/* ---- speed ---- */

static int idle_main(void *arg)
{
    struct world *w = arg;
    for (int i = 0; i < 50; i++)
        check(fiber_spawn(&w->node->scope, "ticker", ticker, w) == 0);
    check(fiber_sleep(100 * SEC) == 0);
    node_stop(w->node);
    return 0;
}

static void idle_time_is_cheap(void **state)
{
    struct world w = { 0 };
    clock_t start = clock();
    assert_int_equal(world_run_seed(1, idle_main, &w), 0);
    double took = (double)(clock() - start) / CLOCKS_PER_SEC;
    print_message("%d timer wake-ups, 100 virtual s in %.3f s: %.0f wake-ups/s\n", w.counts[0],
                  took, w.counts[0] / took);
    assert_in_range(w.counts[0], 499000, 500100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(deadlocks_are_found),
        cmocka_unit_test(endless_loops_are_found),
        cmocka_unit_test(time_is_limited),
        cmocka_unit_test(clocks_drift_and_jump),
        cmocka_unit_test(frozen_machines_stand_still),
        cmocka_unit_test(crashes_end_every_wait),
        cmocka_unit_test(files_behave),
        cmocka_unit_test(honest_disks_keep_synced_data_and_liars_may_not),
        cmocka_unit_test(writes_under_way_happen_or_not),
        cmocka_unit_test(kills_keep_what_was_written),
        cmocka_unit_test(disks_fail_as_asked),
        cmocka_unit_test(disks_stall_as_asked),
        cmocka_unit_test(interrupted_writes_are_uncertain),
        cmocka_unit_test(idle_time_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
