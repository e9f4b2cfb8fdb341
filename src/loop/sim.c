/* sim.c - the simulated world: events in order, virtual time, the run loop, the trace. */
#include "loop/sim_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/crc32c.h"
#include <stdio.h>

enum {
    TURNS_AT_ONCE = 4096,
    TURNS_WITHOUT_TIME_MAX = 3000000, /* so many turns at one moment are an endless loop */
    UNWIND_MAX_SEC = 600,             /* after a broken run fibers have so long to end */
};

/* Not 0, which many take for "never". */
static const uint64_t world_start_ns = 1 * SEC;

/* ---- events: a binary heap by (time, sequence) ---- */

static bool event_is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void heap_put(struct sim *sim, size_t at, struct sim_event *event)
{
    sim->heap[at] = event;
    event->heap_index = at + 1;
}

static void heap_up(struct sim *sim, size_t at, struct sim_event *event)
{
    for (; at > 0; at = (at - 1) / 2) {
        struct sim_event *parent = sim->heap[(at - 1) / 2];
        if (!event_is_before(event, parent)) break;
        heap_put(sim, at, parent);
    }
    heap_put(sim, at, event);
}

static void heap_down(struct sim *sim, size_t at, struct sim_event *event)
{
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= sim->heap_count) break;
        if (child + 1 < sim->heap_count && event_is_before(sim->heap[child + 1], sim->heap[child]))
            child++;
        if (!event_is_before(sim->heap[child], event)) break;
        heap_put(sim, at, sim->heap[child]);
        at = child;
    }
    heap_put(sim, at, event);
}

void sim_event_clear(struct sim *sim, struct sim_event *event)
{
    if (!event->heap_index) return;
    size_t at = event->heap_index - 1;
    struct sim_event *last = sim->heap[--sim->heap_count];
    event->heap_index = 0;
    if (last == event) return;
    if (at > 0 && event_is_before(last, sim->heap[(at - 1) / 2])) {
        heap_up(sim, at, last);
    } else {
        heap_down(sim, at, last);
    }
}

void sim_event_set(struct sim *sim, struct sim_event *event, uint64_t at_ns)
{
    sim_event_clear(sim, event);
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity ? sim->heap_capacity * 2 : 64;
        sim->heap = xrealloc(sim->heap, sim->heap_capacity * sizeof(struct sim_event *));
    }
    event->at_ns = MAX_OF(at_ns, sim->now_ns);
    event->sequence = ++sim->event_sequence;
    heap_up(sim, sim->heap_count++, event);
}

static uint64_t event_next_ns(const struct sim *sim)
{
    return sim->heap_count ? sim->heap[0]->at_ns : TIME_NEVER;
}

static void event_run_first(struct sim *sim)
{
    struct sim_event *event = sim->heap[0];
    sim_event_clear(sim, event);
    sim->event_count++;
    event->fn(event);
}

/* ---- trace ---- */

static uint64_t hash_fold(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ (hash >> 32);
}

void sim_trace(struct sim *sim, const char *kind, const struct machine *machine, uint64_t object,
               uint64_t size, uint32_t crc)
{
    uint64_t h = hash_fold(sim->trace_hash, sim->now_ns), name = 0;
    for (const char *p = kind; *p; p++)
        name = name * 31 + (uint8_t)*p;
    h = hash_fold(h, name ^ ((uint64_t)(machine ? machine->id + 1 : 0) << 48));
    h = hash_fold(h, object);
    sim->trace_hash = hash_fold(h, size ^ ((uint64_t)crc << 32));
    if (!sim->options.trace) return;
    char line[256];
    snprintf(line, sizeof line, "%14.9f %-10s %-14s %6llu %8llu %08x",
             (double)sim->now_ns / (double)SEC, machine ? machine->host : "-", kind,
             (unsigned long long)object, (unsigned long long)size, crc);
    sim->options.trace(sim->options.trace_arg, line);
}

uint32_t sim_crc_iov(const struct iovec *iov, int count, size_t size)
{
    uint32_t crc = 0;
    for (int i = 0; i < count && size; i++) {
        size_t n = MIN_OF(size, iov[i].iov_len);
        crc = crc32c(crc, iov[i].iov_base, n);
        size -= n;
    }
    return crc;
}

uint64_t sim_trace_hash(const struct sim *sim)
{
    uint64_t h = sim->trace_hash;
    for (int i = 0; i < 4; i++)
        h = hash_fold(h, sim->random.state[i]);
    return h;
}

/* ---- the run loop ---- */

/* Moves time to @at_ns and runs the first event if its time has come. */
static void sim_advance(struct sim *sim, uint64_t at_ns)
{
    sim->now_ns = MAX_OF(sim->now_ns, at_ns);
    if (event_next_ns(sim) <= sim->now_ns) event_run_first(sim);
}

/* The loop's own poll, for code that drives a simulated loop by loop_run(). */
static void sim_poll(struct loop *loop, uint64_t until_ns)
{
    struct sim *sim = container_of(loop, struct sim, base);
    uint64_t next = MIN_OF(event_next_ns(sim), until_ns);
    if (next == TIME_NEVER) {
        fprintf(stderr, "sim: nothing can ever happen again\n");
        loop_quit(loop, -ERR_FOUND_BUG);
        return;
    }
    sim_advance(sim, next);
}

static void print_fiber(void *arg, const char *name, const char *wait, uint64_t waited_ns)
{
    fprintf(stderr, "  %-24s %-24s %.6f s\n", name, wait, (double)waited_ns / (double)SEC);
}

static int run_broken(struct sim *sim, int r, const char *why)
{
    fprintf(stderr, "sim: seed %llu: %s at %.9f s; fibers:\n",
            (unsigned long long)sim->options.seed, why, (double)sim->now_ns / (double)SEC);
    sched_each(sim->base.sched, print_fiber, NULL);
    return r;
}

struct main_run {
    int (*fn)(void *arg);
    void *arg;
    int result;
    bool is_done;
};

static int main_fiber(void *arg)
{
    struct main_run *run = arg;
    run->result = run->fn(run->arg);
    run->is_done = true;
    return 0;
}

static int run_until(struct sim *sim, struct main_run *run, uint64_t limit_ns)
{
    struct sched *sched = sim->base.sched;
    uint64_t turns = 0, turns_at_ns = sim->now_ns;
    while (!run->is_done) {
        sched_run_ready(sched, TURNS_AT_ONCE);
        if (run->is_done) break;
        if (sched_has_ready(sched)) {
            turns = sim->now_ns == turns_at_ns ? turns + TURNS_AT_ONCE : 0;
            turns_at_ns = sim->now_ns;
            if (turns > TURNS_WITHOUT_TIME_MAX)
                return run_broken(sim, -ERR_FOUND_BUG, "fibers run without end");
            continue;
        }
        uint64_t next = MIN_OF(event_next_ns(sim), sched_next_timer_ns(sched));
        if (next == TIME_NEVER) return run_broken(sim, -ERR_FOUND_BUG, "deadlock");
        if (next > limit_ns) return run_broken(sim, -ERR_TIMEOUT, "the time is over");
        sim_advance(sim, next);
    }
    return 0;
}

/* After a broken run: cancels every fiber that the world knows of, so that memory can be freed. */
static void run_unwind(struct sim *sim, struct scope *world, struct main_run *run)
{
    list_for_each (it, &sim->machines) {
        struct machine *m = list_entry(it, struct machine, link);
        sim_thaw(m);
        list_for_each (at, &m->nodes)
            scope_cancel(&list_entry(at, struct sim_node, link)->node->scope);
    }
    scope_cancel(world);
    if (run_until(sim, run, sim->now_ns + UNWIND_MAX_SEC * SEC) < 0) sim->is_leaking = true;
}

int sim_run(struct sim *sim, int (*main_fn)(void *arg), void *arg, uint64_t limit_ns)
{
    /* On the heap: fibers that never end may still refer to it. */
    struct scope *world = new_zero(struct scope);
    struct main_run *run = new_zero(struct main_run);
    *run = (struct main_run){ .fn = main_fn, .arg = arg };
    scope_init(world, sim->base.sched);
    int r = fiber_spawn(world, "main", main_fiber, run);
    check(r == 0);
    r = run_until(sim, run, limit_ns);
    if (r < 0) run_unwind(sim, world, run);
    if (sim->is_leaking) return r;
    /* The last turn of the main fiber ended it. */
    check(scope_is_empty(world));
    if (r == 0) r = run->result;
    free(world);
    free(run);
    return r;
}

/* ---- life ---- */

static uint64_t world_now(void *clock)
{
    const struct sim *sim = clock;
    return sim->now_ns;
}

static uint32_t world_pick(void *clock, uint32_t ready_count)
{
    struct sim *sim = clock;
    return (uint32_t)sim_random_under(&sim->random, ready_count);
}

static bool world_is_frozen(void *clock, void *local)
{
    const struct node *node = local;
    return node && node->machine && node->machine->is_frozen;
}

struct post {
    struct sim_event event;
    void (*fn)(void *arg);
    void *arg;
};

static void post_run(struct sim_event *event)
{
    struct post *post = container_of(event, struct post, event);
    void (*fn)(void *arg) = post->fn;
    void *arg = post->arg;
    free(post);
    fn(arg);
}

static void sim_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct sim *sim = container_of(loop, struct sim, base);
    struct post *post = new_zero(struct post);
    post->event.fn = post_run;
    post->fn = fn;
    post->arg = arg;
    sim_event_set(sim, &post->event, sim->now_ns);
}

static void sim_destroy(struct loop *loop)
{
    sim_free(container_of(loop, struct sim, base));
}

static const struct loop_ops sim_ops = {
    .name = "sim",
    .is_simulated = true,
    .destroy = sim_destroy,
    .poll = sim_poll,
    .post = sim_post,
    .node_added = sim_node_added,
    .node_removed = sim_node_removed,
    .is_up = sim_node_is_up,
    .now_ns = sim_now_of_node,
    .wall_ns = sim_wall_of_node,
    .random_bytes = sim_random_of_node,
    .blocking_run = sim_blocking_run,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_readv = sim_file_readv,
    .file_writev = sim_file_writev,
    .file_sync = sim_file_sync,
    .file_truncate = sim_file_truncate,
    .file_allocate = sim_file_allocate,
    .file_punch_hole = sim_file_punch_hole,
    .file_size = sim_file_size,
    .file_try_lock = sim_file_try_lock,
    .dir_make = sim_dir_make,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .path_rename = sim_path_rename,
    .path_unlink = sim_path_unlink,
    .path_exists = sim_path_exists,
    .path_space = sim_path_space,
    .listen = sim_listen,
    .accept = sim_accept,
    .listener_stop = sim_listener_stop,
    .listener_free = sim_listener_free,
    .connect = sim_connect,
    .stream_readv = sim_stream_readv,
    .stream_writev = sim_stream_writev,
    .stream_shutdown = sim_stream_shutdown,
    .stream_close = sim_stream_close,
    .stream_peer_credentials = sim_stream_peer_credentials,
};

struct sim_options sim_options_default(uint64_t seed)
{
    return (struct sim_options){
        .seed = seed,
        .net = { .delay_min_ns = 50 * USEC,
                 .delay_max_ns = 500 * USEC,
                 .crash_silent_ppm = 500000 },
        .disk = { .delay_min_ns = 20 * USEC,
                  .delay_max_ns = 200 * USEC,
                  .sync_min_ns = 100 * USEC,
                  .sync_max_ns = 2 * MSEC,
                  .is_honest = true },
        .shuffle_ready = true,
    };
}

struct sim *sim_new(const struct sim_options *options)
{
    struct sim *sim = new_zero(struct sim);
    sim->options = *options;
    sim_random_init(&sim->random, options->seed);
    list_init(&sim->machines);
    sim->pid_last = 100;
    sim->now_ns = world_start_ns;
    struct sched_options sched = {
        .fiber_count_max = options->fiber_count_max,
        .now_ns = world_now,
        .clock = sim,
        .pick = options->shuffle_ready ? world_pick : NULL,
        .is_frozen = world_is_frozen,
    };
    loop_base_init(&sim->base, &sim_ops, sched_new(&sched));
    return sim;
}

struct sim *sim_free(struct sim *sim)
{
    if (!sim) return NULL;
    if (sim->is_leaking) return NULL; /* fibers are left that refer to all of it */
    while (!list_empty(&sim->machines))
        sim_machine_free(list_entry(list_first(&sim->machines), struct machine, link));
    while (sim->heap_count) { /* posts that never ran */
        struct sim_event *event = sim->heap[0];
        check(event->fn == post_run);
        sim_event_clear(sim, event);
        free(container_of(event, struct post, event));
    }
    free(sim->heap);
    sched_free(sim->base.sched);
    free(sim);
    return NULL;
}

struct loop *sim_loop(struct sim *sim)
{
    return &sim->base;
}

uint64_t sim_now_ns(const struct sim *sim)
{
    return sim->now_ns;
}

uint64_t sim_event_count(const struct sim *sim)
{
    return sim->event_count;
}

uint64_t sim_random_below(struct sim *sim, uint64_t bound)
{
    return sim_random_under(&sim->random, bound);
}

void sim_set_net_profile(struct sim *sim, const struct sim_net_profile *p)
{
    sim->options.net = *p;
}
