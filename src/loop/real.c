/* real.c - clocks, randomness, posting and blocking calls of the real back ends. */
#include "loop/real.h"
#include "base/arena.h"
#include "base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    IMMEDIATE_COUNT_MAX = 32,
    IMMEDIATE_BYTES_MAX = 256 * 1024,
    DISK_THREADS_MAX = 16,     /* for each of the DISK_POOLS */
    BLOCKING_THREADS_MAX = 16, /* apart, so that a slow name server does not stop the disks */
};

#define SLOW_TURN_NS (1 * MSEC)

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    int r = clock_gettime(id, &ts);
    check(r == 0);
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

uint64_t real_now_ns(void *unused)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t real_node_now_ns(struct node *node)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t real_node_wall_ns(struct node *node)
{
    return clock_ns(CLOCK_REALTIME);
}

int real_loop_init(struct real_loop *loop, const struct loop_ops *ops, const struct real_ops *real)
{
    int r = inbox_init(&loop->inbox);
    if (r < 0) return r;
    struct sched_options options = { .now_ns = real_now_ns, .slow_turn_ns = SLOW_TURN_NS };
    loop_base_init(&loop->base, ops, sched_new(&options));
    loop->real = real;
    loop->random_used = sizeof(loop->random);
    for (size_t i = 0; i < DISK_POOLS; i++) {
        pool_init(&loop->disk_pools[i], &loop->inbox, DISK_THREADS_MAX);
    }
    pool_init(&loop->blocking_pool, &loop->inbox, BLOCKING_THREADS_MAX);
    return 0;
}

void real_loop_done(struct real_loop *loop)
{
    for (size_t i = 0; i < DISK_POOLS; i++) {
        pool_done(&loop->disk_pools[i]);
    }
    pool_done(&loop->blocking_pool);
    inbox_drain(&loop->inbox); /* what abandoned jobs have left to free */
    inbox_done(&loop->inbox);
    loop->base.sched = sched_free(loop->base.sched);
}

void real_charge(struct real_loop *loop, uint64_t bytes)
{
    loop->immediate_bytes += bytes;
    bool is_over = ++loop->immediate_count >= IMMEDIATE_COUNT_MAX ||
                   loop->immediate_bytes >= IMMEDIATE_BYTES_MAX;
    if (!is_over) return;
    real_charge_reset(loop);
    fiber_yield_to_loop();
}

struct posted {
    struct inbox_node node;
    void (*fn)(void *arg);
    void *arg;
};

static void run_posted(struct inbox_node *node)
{
    struct posted posted = *container_of(node, struct posted, node);
    free(container_of(node, struct posted, node));
    posted.fn(posted.arg);
}

void real_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct posted *posted = new_zero(struct posted);
    *posted = (struct posted){ .node.fn = run_posted, .fn = fn, .arg = arg };
    inbox_push(&container_of(loop, struct real_loop, base)->inbox, &posted->node);
}

static void random_from_kernel(uint8_t *buf, size_t size)
{
    while (size > 0) {
        ssize_t n = getrandom(buf, size, 0);
        check(n > 0 || errno == EINTR);
        if (n <= 0) continue;
        buf += n;
        size -= (size_t)n;
    }
}

void real_node_added(struct node *node)
{
    gethostname(node->host, sizeof node->host - 1);
    node->pid = (uint32_t)getpid();
}

void real_random_bytes(struct node *node, void *buf, size_t size)
{
    struct real_loop *loop = real_loop_of(node);
    if (size > sizeof(loop->random)) {
        random_from_kernel(buf, size);
        return;
    }
    if (size > sizeof(loop->random) - loop->random_used) {
        random_from_kernel(loop->random, sizeof(loop->random));
        loop->random_used = 0;
    }
    memcpy(buf, loop->random + loop->random_used, size);
    explicit_bzero(loop->random + loop->random_used, size);
    loop->random_used += size;
}

struct blocking_call {
    int (*fn)(void *arg);
    void *arg;
};

static int64_t run_blocking(void *arg)
{
    const struct blocking_call *call = arg;
    return call->fn(call->arg);
}

int real_blocking_run(struct node *node, int (*fn)(void *arg), void *arg)
{
    struct blocking_call call = { fn, arg };
    return (int)pool_run(&real_loop_of(node)->blocking_pool, "blocking call", run_blocking, &call);
}
