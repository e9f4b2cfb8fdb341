/* chunk_world.c - see chunk_world.h. */
#include "storage/chunk_world.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "fiber/sync.h"
#include "storage/chunk_store_internal.h"

#include <ftw.h>
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

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void remove_tree(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int chunk_world_run_real(struct chunk_world *w)
{
    int r = loop_new(LOOP_POSIX, &w->loop, NULL);
    check(r == 0);
    w->node = node_new(w->loop, NULL, "disk");
    snprintf(w->dir, sizeof(w->dir), "./chunk-test-%d", (int)getpid());
    prepare(w);
    r = loop_run_main(w->loop, w->node, real_main, w);
    remove_tree(w->dir);
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

struct chunk_id world_chunk(uint32_t number)
{
    return (struct chunk_id){ 77, number };
}

int world_put(struct chunk_world *w, uint32_t number, uint64_t version, uint32_t size, uint8_t byte)
{
    cleanup_(freep) uint8_t *memory = xmalloc(size + 1);
    memset(memory, byte, size);
    struct chunk_update u = { .kind = UPDATE_WRITE,
                              .version = version,
                              .chain_version = 1,
                              .update = { { 3, 4 }, 9, version * 1000 + number },
                              .chunk_size = 1 << 20,
                              .length = size,
                              .data = bytes_of(memory, size),
                              .data_crc32c = crc32c(0, memory, size) };
    int r = chunk_stage(w->store, WORLD_TARGET, world_chunk(number), &u);
    return r < 0 ? r : chunk_commit(w->store, WORLD_TARGET, world_chunk(number), version, 1);
}

int world_take(struct chunk_world *w, uint32_t number, uint64_t version)
{
    struct chunk_update u = { .kind = UPDATE_REMOVE,
                              .version = version,
                              .chain_version = 1,
                              .update = { { 3, 4 }, 9, version * 1000 + number } };
    int r = chunk_stage(w->store, WORLD_TARGET, world_chunk(number), &u);
    return r < 0 ? r : chunk_commit(w->store, WORLD_TARGET, world_chunk(number), version, 1);
}

int world_look(struct chunk_world *w, uint32_t number, uint32_t size)
{
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    struct chunk_state state;
    uint32_t skip, length, crc;
    int r = chunk_pin(w->store, WORLD_TARGET, world_chunk(number), CHUNK_COMMITTED, &pin, &state);
    if (r <= 0) return r < 0 ? r : -ERR_CHUNK_NOT_FOUND;
    r = chunk_read(pin, 0, size, w->pool, &buffer, &skip, &length, &crc);
    if (r < 0) return r;
    if (length != size || memcmp(buffer->base, buffer->base + 1, size - 1) != 0)
        return -ERR_FOUND_BUG;
    return buffer->base[0];
}

int world_run_sim(int (*body)(struct chunk_world *w), const struct chunk_store_options *options)
{
    struct chunk_world w = { .body = body, .seed = 5 };
    if (options) w.options = *options;
    return chunk_world_run_sim(&w, NULL);
}

int world_open_with_target(struct chunk_world *w)
{
    int r = world_open(w);
    return r < 0 ? r : store_target_create(w->store, WORLD_TARGET, 1);
}
