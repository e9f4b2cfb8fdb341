/* chunk_world.c - see chunk_world.h. */
#include "storage/chunk_world.h"
#include "base/arena.h"
#include "base/check.h"
#include "fiber/sync.h"
#include "storage/chunk_store_internal.h"

#include <stdio.h>
#include <unistd.h>

static const struct chunk_store_options options_default = {
    .node_id = 7,
    .reserve_bytes = 1,
    .record_cache_bytes = 16 << 10,
    .checkpoint_journal_bytes = 256 << 10,
};

static void prepare(struct chunk_world *w)
{
    if (!w->options.node_id) w->options = options_default;
    w->options.path = w->dir;
    if (!w->options.cluster_id.base) w->options.cluster_id = BYTES_LITERAL("test");
    w->pool = buffer_pool_new(256 << 20);
}

struct body_run {
    struct chunk_world *w;
    int result;
    struct event ended;
};

static int body_fiber(void *arg)
{
    struct body_run *run = arg;
    run->result = run->w->body(run->w);
    event_set(&run->ended, 0);
    return 0;
}

static int sim_main(void *arg)
{
    struct body_run *run = arg;
    int r = fiber_spawn(&run->w->node->scope, "body", body_fiber, run);
    check(r == 0);
    r = event_wait(&run->ended, "body");
    if (r < 0) return r;
    node_stop(run->w->node);
    return run->result;
}

int chunk_world_run_sim(struct chunk_world *w, const struct sim_options *options)
{
    struct sim_options o = options ? *options : sim_options_default(w->seed);
    o.seed = w->seed;
    w->sim = sim_new(&o);
    w->loop = sim_loop(w->sim);
    w->machine = sim_machine_new(w->sim, "disk");
    w->node = node_new(w->loop, w->machine, "disk");
    snprintf(w->dir, sizeof(w->dir), "/disk");
    prepare(w);
    struct body_run run = { .w = w };
    event_init(&run.ended);
    int r = sim_run(w->sim, sim_main, &run, 100000 * SEC);
    node_free(w->node);
    buffer_pool_free(w->pool);
    sim_free(w->sim);
    return r;
}

static int real_main(void *arg)
{
    struct chunk_world *w = arg;
    return w->body(w);
}

int chunk_world_run_real(struct chunk_world *w)
{
    int r = loop_new(LOOP_POSIX, &w->loop, NULL);
    check(r == 0);
    w->node = node_new(w->loop, NULL, "disk");
    snprintf(w->dir, sizeof(w->dir), "./chunk-test-%d", (int)getpid());
    prepare(w);
    r = loop_run_main(w->loop, w->node, real_main, w);
    node_free(w->node);
    buffer_pool_free(w->pool);
    loop_free(w->loop);
    return r;
}

int world_open(struct chunk_world *w)
{
    return chunk_store_open(w->node, &w->options, &w->store);
}

void world_close(struct chunk_world *w, bool clean)
{
    w->store = chunk_store_close(w->store, clean);
}

int64_t world_lost_units(struct chunk_world *w)
{
    struct shard *s = w->store->shard;
    int64_t used = 0;
    for (uint32_t i = 0; i < s->target_count; i++) {
        used += (int64_t)(s->targets[i]->info.used_bytes / UNIT_BYTES);
    }
    int64_t deferred = 0;
    list_for_each (it, &s->quarantine.superseded) {
        const struct record *record = list_entry(it, struct record, node);
        for (uint32_t i = 0; i < record->deferred_count; i++) {
            deferred += record->deferred[i].count;
        }
    }
    return (int64_t)units_total_count(s->units) - (int64_t)units_free_count(s->units) - used -
           deferred - (int64_t)s->quarantine.waiting_unit_count;
}
