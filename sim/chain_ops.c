/* chain_ops.c - the operations of clients, and their history. */
#include "base/check.h"
#include "sim/block.h"
#include "sim/chain_world.h"

static uint64_t object_of(uint32_t chunk, uint32_t block)
{
    return (uint64_t)chunk * 1000 + block;
}

struct chunk_id world_chunk_id(uint32_t chunk)
{
    return (struct chunk_id){ 100 + chunk / 2, chunk % 2 };
}

/* A refusal that surely had no effect. */
static bool is_refusal(int r)
{
    return r == -ERR_NO_SPACE || r == -ERR_CHUNK_STALE_GENERATION || r == -ERR_INVALID_ARG;
}

static int update(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count,
                  struct chunk_write *write, uint64_t value)
{
    struct world *w = c->world;
    size_t ops[WORLD_BLOCKS];
    for (uint32_t i = 0; i < count; i++) {
        ops[i] = history_invoke(w->history, world_now_ns(w), c->index, object_of(chunk, first + i),
                                HISTORY_WRITE, value);
    }
    uint64_t begin_ns = world_now_ns(w);
    int r = chunks_write(c->storage, write, 1);
    w->worst_wait_ns = MAX_OF(w->worst_wait_ns, world_now_ns(w) - begin_ns);
    for (uint32_t i = 0; i < count; i++) {
        if (r == 0) history_complete(w->history, world_now_ns(w), ops[i], value);
        if (is_refusal(r)) history_fail(w->history, ops[i]);
    }
    c->done_count += r == 0;
    c->failed_count += r != 0;
    return r;
}

/* The pairs of one chunk only grow: a write that began after another was acknowledged is above it.
 */
static void check_pair(struct world *w, uint32_t chunk, uint32_t before_chain_version,
                       uint64_t before_version, const struct chunk_write *write)
{
    bool is_above =
        write->chain_version > before_chain_version ||
        (write->chain_version == before_chain_version && write->version > before_version);
    if (!is_above)
        (void)world_fail(w, "chunk %u: version %u/%" PRIu64 " was given after %u/%" PRIu64, chunk,
                         write->chain_version, write->version, before_chain_version,
                         before_version);
    bool is_newest = write->chain_version > w->newest[chunk].chain_version ||
                     (write->chain_version == w->newest[chunk].chain_version &&
                      write->version > w->newest[chunk].version);
    if (!is_newest) return;
    w->newest[chunk].chain_version = write->chain_version;
    w->newest[chunk].version = write->version;
}

int world_write(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count)
{
    struct world *w = c->world;
    uint32_t before_chain_version = w->newest[chunk].chain_version;
    uint64_t before_version = w->newest[chunk].version;
    uint64_t value = ++w->next_value;
    uint8_t *data = xmalloc((size_t)count * WORLD_BLOCK_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        block_fill(data + (size_t)i * WORLD_BLOCK_BYTES, value);
    }
    struct chunk_write write = { .chain_id = world_chain_of(w, chunk),
                                 .chunk = world_chunk_id(chunk),
                                 .kind = UPDATE_WRITE,
                                 .generation = w->generations[chunk / 2],
                                 .offset = first * WORLD_BLOCK_BYTES,
                                 .length = count * WORLD_BLOCK_BYTES,
                                 .chunk_size = WORLD_CHUNK_BYTES,
                                 .from = data };
    int r = update(c, chunk, first, count, &write, value);
    if (r == 0) check_pair(w, chunk, before_chain_version, before_version, &write);
    free(data);
    return r;
}

int world_remove(struct world_client *c, uint32_t chunk)
{
    struct chunk_write write = { .chain_id = world_chain_of(c->world, chunk),
                                 .chunk = world_chunk_id(chunk),
                                 .kind = UPDATE_REMOVE,
                                 .generation = c->world->generations[chunk / 2],
                                 .chunk_size = WORLD_CHUNK_BYTES };
    return update(c, chunk, 0, WORLD_BLOCKS, &write, HISTORY_INITIAL);
}

static int read_blocks(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count,
                       const struct read_options *options)
{
    bool is_loose = options->flags & IO_ALLOW_UNCOMMITTED;
    struct world *w = c->world;
    size_t ops[WORLD_BLOCKS];
    for (uint32_t i = 0; i < count; i++) {
        ops[i] = history_invoke(w->history, world_now_ns(w), c->index, object_of(chunk, first + i),
                                is_loose ? HISTORY_LOOSE_READ : HISTORY_READ, 0);
    }
    uint8_t *data = xmalloc((size_t)count * WORLD_BLOCK_BYTES);
    struct chunk_read read = { .chain_id = world_chain_of(w, chunk),
                               .chunk = world_chunk_id(chunk),
                               .offset = first * WORLD_BLOCK_BYTES,
                               .length = count * WORLD_BLOCK_BYTES,
                               .to = data };
    uint64_t begin_ns = world_now_ns(w);
    int r = chunks_read(c->storage, &read, 1, options);
    w->worst_wait_ns = MAX_OF(w->worst_wait_ns, world_now_ns(w) - begin_ns);
    for (uint32_t i = 0; i < count; i++) {
        int64_t value = r == 0 ? block_parse(data + (size_t)i * WORLD_BLOCK_BYTES) : 0;
        if (value < 0)
            (void)world_fail(w, "chunk %u block %u is torn, version %" PRIu64, chunk, first + i,
                             read.version);
        if (r == 0) history_complete(w->history, world_now_ns(w), ops[i], (uint64_t)value);
        if (r < 0) history_fail(w->history, ops[i]);
    }
    free(data);
    c->done_count += r == 0;
    c->failed_count += r != 0;
    return r;
}

int world_read_from(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count,
                    uint32_t target_index)
{
    struct read_options options = { .choice = TARGET_INDEX, .target_index = target_index };
    if (target_index == WORLD_ANY_TARGET) options.choice = TARGET_SPREAD;
    return read_blocks(c, chunk, first, count, &options);
}

/* From any target, what is pending there, too. */
static int read_loosely(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count)
{
    struct read_options options = { .choice = TARGET_SPREAD, .flags = IO_ALLOW_UNCOMMITTED };
    return read_blocks(c, chunk, first, count, &options);
}

int world_read(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count)
{
    return world_read_from(c, chunk, first, count, WORLD_ANY_TARGET);
}

/* ---- generations ---- */

int world_raise_floor(struct world_client *c, uint32_t chunk)
{
    struct world *w = c->world;
    struct chunk_id id = world_chunk_id(chunk);
    uint32_t generation = ++w->generations[chunk / 2]; /* of all writes from now on */
    int r = chunks_set_floor(c->storage, world_chain_of(w, chunk), id.inode, generation);
    if (r == 0) w->floors[chunk / 2] = MAX_OF(w->floors[chunk / 2], generation);
    c->done_count += r == 0;
    c->failed_count += r != 0;
    return r;
}

/* A write below an acknowledged floor, which must never be taken. */
static void write_stale(struct world_client *c, uint32_t chunk)
{
    struct world *w = c->world;
    if (w->floors[chunk / 2] == 0) return;
    uint8_t data[WORLD_BLOCK_BYTES] = { 0xff };
    struct chunk_write write = { .chain_id = world_chain_of(w, chunk),
                                 .chunk = world_chunk_id(chunk),
                                 .kind = UPDATE_WRITE,
                                 .generation = w->floors[chunk / 2] - 1,
                                 .length = sizeof data,
                                 .chunk_size = WORLD_CHUNK_BYTES,
                                 .from = data };
    int r = chunks_write(c->storage, &write, 1);
    if (r == 0)
        (void)world_fail(w, "chunk %u: a write of generation %u was taken below floor %u", chunk,
                         write.generation, w->floors[chunk / 2]);
}

/* ---- by chance ---- */

static void random_update(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count)
{
    struct world *w = c->world;
    uint64_t kind = world_random(w, 100);
    if (kind < w->options.remove_percent)
        (void)world_remove(c, chunk);
    else if (w->options.with_floors && kind < 4)
        (void)world_raise_floor(c, chunk);
    else if (w->options.with_floors && kind < 16)
        write_stale(c, chunk);
    else
        (void)world_write(c, chunk, first, count);
}

/* Where the client's island is in the chain, as it sees it. */
static uint32_t island_index(const struct world_client *c, uint32_t chunk)
{
    const struct chain_info *chain =
        routing_chain(mgmtd_client_routing(c->mgmtd), world_chain_of(c->world, chunk));
    for (uint32_t i = 0; chain && i < chain->members.count; i++) {
        if (chain->members.items[i].node_id == c->island) return i;
    }
    return WORLD_ANY_TARGET;
}

static void random_op(struct world_client *c)
{
    struct world *w = c->world;
    uint32_t blocks = w->options.block_count;
    uint32_t chunk = (uint32_t)world_random(w, w->options.chunk_count);
    uint32_t first = (uint32_t)world_random(w, blocks);
    uint32_t count = 1 + (uint32_t)world_random(w, blocks - first);
    /* Many short ones, which leave history; few that replace the whole chunk. */
    if (world_random(w, 4)) count = MIN_OF(count, 2u);
    if (world_random(w, 10) == 0) {
        first = 0;
        count = blocks;
    }
    if (c->island)
        (void)world_read_from(c, chunk, first, count, island_index(c, chunk));
    else if (w->options.loose_percent && world_random(w, 100) < w->options.loose_percent)
        (void)read_loosely(c, chunk, first, count);
    else if (world_random(w, 100) < w->options.read_percent)
        (void)world_read(c, chunk, first, count);
    else
        random_update(c, chunk, first, count);
}

static int client_fiber(void *arg)
{
    struct world_client *c = arg;
    struct world *w = c->world;
    for (uint32_t i = 0; i < w->options.ops_per_client && !w->why[0]; i++) {
        random_op(c);
        int r = fiber_sleep(world_random(w, w->options.op_pause_max_ns + 1));
        if (r < 0) break;
    }
    c->is_done = true;
    return 0;
}

int world_start_clients(struct world *w)
{
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        w->clients[i].is_done = false;
        int r = fiber_spawn(&w->clients[i].scope, "client", client_fiber, &w->clients[i]);
        if (r < 0) return r;
    }
    return 0;
}

int world_join_clients(struct world *w, uint64_t timeout_ns)
{
    uint64_t end_ns = world_now_ns(w) + timeout_ns;
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        while (!w->clients[i].is_done) {
            if (world_now_ns(w) > end_ns)
                return world_fail(w, "client %u does not come to its end", i);
            int r = fiber_sleep(10 * MSEC);
            if (r < 0) return r;
        }
    }
    return 0;
}
