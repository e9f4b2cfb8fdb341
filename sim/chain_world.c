/* chain_world.c - building the world, its clients' operations, and the final checks. */
#include "sim/chain_world.h"
#include "base/check.h"
#include "client/storage_client.h"
#include <stdarg.h>
#include <stdio.h>

#define WORLD_LIMIT_NS   (600 * SEC)
#define OP_TIMEOUT_NS    (20 * SEC)
#define WHOLE_TIMEOUT_NS (60 * SEC)
#define WORLD_KEY        "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct world_options world_options_default(uint64_t seed)
{
    return (struct world_options){ .seed = seed,
                                   .storage_count = 3,
                                   .replica_count = 3,
                                   .chain_count = 1,
                                   .client_count = 3,
                                   .chunk_count = 4,
                                   .ops_per_client = 100,
                                   .op_pause_max_ns = 50 * MSEC,
                                   .mutant = -1 };
}

int world_fail(struct world *w, const char *fmt, ...)
{
    if (w->why[0]) return -ERR_FOUND_BUG;
    va_list va;
    va_start(va, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, va);
    va_end(va);
    return -ERR_FOUND_BUG;
}

uint64_t world_random(struct world *w, uint64_t bound)
{
    return sim_random_below(w->sim, bound);
}

uint32_t world_chain_of(const struct world *w, uint32_t chunk)
{
    return 1 + chunk % w->options.chain_count;
}

/* ---- storages ---- */

static void quiet_sink(void *arg, enum log_level level, const char *line, size_t size)
{
}

static void init_node(struct world *w, struct node *node)
{
    if (!w->options.is_logging) node->log.sink = quiet_sink;
    if (w->options.mutant >= 0) mutant_activate(node, (enum mutant)w->options.mutant);
}

static void describe_storage(struct world *w, uint32_t index)
{
    struct world_storage *s = &w->storages[index];
    s->world = w;
    s->index = index;
    s->node_id = 1001 + index;
    snprintf(s->name, sizeof s->name, "storage-%u", s->node_id);
    snprintf(s->path, sizeof s->path, "/data");
    snprintf(s->listen, sizeof s->listen, "TCP://%s:8000", s->name);
    script_address(&w->script, s->mgmtd, sizeof s->mgmtd);
    arena_init(&s->arena);
    settings_init(storage_settings_table, &s->settings, &s->arena);
    s->paths[0] = s->path;
    s->mgmtds[0] = s->mgmtd;
    s->settings.cluster_id = "sim";
    s->settings.node_id = s->node_id;
    s->settings.listen = s->listen;
    s->settings.mgmtd = (struct setting_text_list){ s->mgmtds, 1 };
    s->settings.target_paths = (struct setting_text_list){ s->paths, 1 };
    s->settings.cluster_key = WORLD_KEY;
    s->settings.capacity_bytes = 256 * MIB;
    s->settings.buffer_bytes = 32 * MIB;
    s->machine = sim_machine_new(w->sim, s->name);
    script_add_node(&w->script, s->node_id, s->listen);
}

static int storage_main(void *arg)
{
    struct world_storage *s = arg;
    s->result = storage_run(s->node, &s->settings);
    s->is_running = false;
    return 0;
}

void world_start_storage(struct world *w, uint32_t index)
{
    struct world_storage *s = &w->storages[index];
    check(!s->node);
    s->node = node_new(sim_loop(w->sim), s->machine, s->name);
    init_node(w, s->node);
    s->is_running = true;
    s->result = 0;
    s->start_count++;
    int r = fiber_spawn(&s->node->scope, "storage", storage_main, s);
    check(r == 0);
}

static void count_metrics(struct world *w, const struct node *node)
{
    w->resyncs_done += metrics_value(node->metrics, "storage.resyncs_done");
    w->rolled_forward += metrics_value(node->metrics, "storage.orphans_rolled_forward");
    w->retries_recognised += metrics_value(node->metrics, "storage.retries_recognised");
    w->forward_retries += metrics_value(node->metrics, "storage.forward_retries");
    w->taken_back += metrics_value(node->metrics, "storage.updates_taken_back");
    w->confirm_rounds += metrics_value(node->metrics, "storage.confirm_rounds");
    w->tail_questions += metrics_value(node->metrics, "storage.tail_questions");
    if (w->options.mutant >= 0) return;
    const char *never[] = { "storage.replica_mismatch", "storage.replica_behind",
                            "storage.checksum_mismatch" };
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        if (metrics_value(node->metrics, never[i]) > 0)
            (void)world_fail(w, "%s: %s is not 0", node->name, never[i]);
    }
}

static void end_storage(struct world *w, uint32_t index)
{
    struct world_storage *s = &w->storages[index];
    node_stop(s->node);
    count_metrics(w, s->node);
    s->node = node_free(s->node);
}

void world_crash_storage(struct world *w, uint32_t index)
{
    w->crash_count++;
    sim_crash(w->storages[index].machine);
    end_storage(w, index);
    sim_restart(w->storages[index].machine);
}

void world_kill_storage(struct world *w, uint32_t index)
{
    w->kill_count++;
    sim_kill(w->storages[index].machine);
    end_storage(w, index);
    sim_restart(w->storages[index].machine);
}

void world_stop_storage(struct world *w, uint32_t index)
{
    end_storage(w, index);
}

void world_cut(struct world *w, uint32_t from, uint32_t to)
{
    w->cut_count++;
    sim_cut(w->storages[from].machine, w->storages[to].machine);
}

uint64_t world_metric(const struct world *w, const char *name)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (w->storages[i].node) sum += metrics_value(w->storages[i].node->metrics, name);
    }
    return sum;
}

void world_heal(struct world *w)
{
    sim_heal_all(w->sim);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        struct world_storage *s = &w->storages[i];
        script_find_node(&w->script, s->node_id)->is_cut_off = false;
        sim_thaw(s->machine);
        if (!s->node) world_start_storage(w, i);
    }
    w->script.is_frozen = false;
}

int world_wait_whole(struct world *w, uint64_t timeout_ns)
{
    uint64_t end_ns = sim_now_ns(w->sim) + timeout_ns;
    while (!script_is_whole(&w->script)) {
        if (sim_now_ns(w->sim) > end_ns) {
            for (uint32_t i = 0; i < w->script.chain_count; i++) {
                char text[300];
                script_print_chain(&w->script.chains[i], text, sizeof text);
                for (uint32_t j = 0; j < w->script.chains[i].count; j++) {
                    if (w->script.chains[i].members[j].public_state != PUBLIC_SERVING)
                        return world_fail(w, "not whole in time: %s", text);
                }
            }
        }
        int r = fiber_sleep(20 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- clients' operations ---- */

static uint64_t object_of(uint32_t chunk, uint32_t block)
{
    return (uint64_t)chunk * 1000 + block;
}

static struct chunk_id chunk_of(uint32_t chunk)
{
    return (struct chunk_id){ 100 + chunk / 2, chunk % 2 };
}

static void fill_block(uint8_t *to, uint64_t value)
{
    uint64_t *words = (uint64_t *)(void *)to;
    for (size_t i = 0; i < WORLD_BLOCK_BYTES / 8; i++) {
        words[i] = value * 0x9e3779b97f4a7c15ull + i * (value != 0);
    }
    words[0] = value;
}

/* The value of a block, or -1 when it is not wholly of one. */
static int64_t parse_block(const uint8_t *from)
{
    uint8_t expected[WORLD_BLOCK_BYTES];
    uint64_t value;
    memcpy(&value, from, sizeof value);
    fill_block(expected, value);
    return memcmp(expected, from, sizeof expected) == 0 ? (int64_t)value : -1;
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
        ops[i] = history_invoke(w->history, sim_now_ns(w->sim), c->index,
                                object_of(chunk, first + i), HISTORY_WRITE, value);
    }
    int r = chunks_write(c->storage, write, 1);
    for (uint32_t i = 0; i < count; i++) {
        if (r == 0) history_complete(w->history, sim_now_ns(w->sim), ops[i], value);
        if (is_refusal(r)) history_fail(w->history, ops[i]);
    }
    c->done_count += r == 0;
    c->failed_count += r != 0;
    return r;
}

int world_write(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count)
{
    struct world *w = c->world;
    uint64_t value = ++w->next_value;
    uint8_t *data = xmalloc((size_t)count * WORLD_BLOCK_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        fill_block(data + (size_t)i * WORLD_BLOCK_BYTES, value);
    }
    struct chunk_write write = { .chain_id = world_chain_of(w, chunk),
                                 .chunk = chunk_of(chunk),
                                 .kind = UPDATE_WRITE,
                                 .offset = first * WORLD_BLOCK_BYTES,
                                 .length = count * WORLD_BLOCK_BYTES,
                                 .chunk_size = WORLD_CHUNK_BYTES,
                                 .from = data };
    int r = update(c, chunk, first, count, &write, value);
    free(data);
    return r;
}

int world_remove(struct world_client *c, uint32_t chunk)
{
    struct chunk_write write = { .chain_id = world_chain_of(c->world, chunk),
                                 .chunk = chunk_of(chunk),
                                 .kind = UPDATE_REMOVE,
                                 .chunk_size = WORLD_CHUNK_BYTES };
    return update(c, chunk, 0, WORLD_BLOCKS, &write, HISTORY_INITIAL);
}

int world_read(struct world_client *c, uint32_t chunk, uint32_t first, uint32_t count)
{
    struct world *w = c->world;
    size_t ops[WORLD_BLOCKS];
    for (uint32_t i = 0; i < count; i++) {
        ops[i] = history_invoke(w->history, sim_now_ns(w->sim), c->index,
                                object_of(chunk, first + i), HISTORY_READ, 0);
    }
    uint8_t *data = xmalloc((size_t)count * WORLD_BLOCK_BYTES);
    struct chunk_read read = { .chain_id = world_chain_of(w, chunk),
                               .chunk = chunk_of(chunk),
                               .offset = first * WORLD_BLOCK_BYTES,
                               .length = count * WORLD_BLOCK_BYTES,
                               .to = data };
    int r = chunks_read(c->storage, &read, 1, NULL);
    for (uint32_t i = 0; i < count; i++) {
        int64_t value = r == 0 ? parse_block(data + (size_t)i * WORLD_BLOCK_BYTES) : 0;
        if (value < 0)
            (void)world_fail(w, "chunk %u block %u is torn, version %" PRIu64, chunk, first + i,
                             read.version);
        if (r == 0) history_complete(w->history, sim_now_ns(w->sim), ops[i], (uint64_t)value);
        if (r < 0) history_fail(w->history, ops[i]);
    }
    free(data);
    c->done_count += r == 0;
    c->failed_count += r != 0;
    return r;
}

static void random_op(struct world_client *c)
{
    struct world *w = c->world;
    uint32_t chunk = (uint32_t)world_random(w, w->options.chunk_count);
    uint32_t first = (uint32_t)world_random(w, WORLD_BLOCKS);
    uint32_t count = 1 + (uint32_t)world_random(w, WORLD_BLOCKS - first);
    /* Many short ones, which leave history; few that replace the whole chunk. */
    if (world_random(w, 4)) count = MIN_OF(count, 2u);
    if (world_random(w, 10) == 0) {
        first = 0;
        count = WORLD_BLOCKS;
    }
    uint64_t kind = world_random(w, 100);
    if (kind < 50)
        (void)world_read(c, chunk, first, count);
    else if (kind >= 96 && w->options.with_removes)
        (void)world_remove(c, chunk);
    else
        (void)world_write(c, chunk, first, count);
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
    uint64_t end_ns = sim_now_ns(w->sim) + timeout_ns;
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        while (!w->clients[i].is_done) {
            if (sim_now_ns(w->sim) > end_ns)
                return world_fail(w, "client %u does not come to its end", i);
            int r = fiber_sleep(10 * MSEC);
            if (r < 0) return r;
        }
    }
    return 0;
}

int world_run_clients(struct world *w)
{
    int r = world_start_clients(w);
    return r < 0 ? r : world_join_clients(w, WORLD_LIMIT_NS);
}

/* ---- the world ---- */

static struct mgmtd_client *new_mgmtd_client(struct world *w, struct node *node)
{
    struct auth_identity identity = { .kind = AUTH_SERVER };
    int r = auth_cluster_key_parse(WORLD_KEY, identity.key);
    check(r == 0);
    struct net_address at;
    r = net_address_parse(w->storages[0].mgmtd, &at);
    check(r == 0);
    struct mgmtd_client_options options = {
        .cluster_id = "sim", .servers = &at, .server_count = 1, .identity = &identity
    };
    return mgmtd_client_new(node, &options);
}

static int client_setup(void *arg)
{
    struct world_client *c = arg;
    c->mgmtd = new_mgmtd_client(c->world, c->node);
    struct storage_client_options options = { .client = { c->world->options.seed, c->index + 1 },
                                              .total_timeout_ns = OP_TIMEOUT_NS,
                                              .channel_count = 4,
                                              .verify_reads = true };
    c->storage = storage_client_new(c->node, c->mgmtd, &options);
    c->is_done = true;
    return 0;
}

static int client_teardown(void *arg)
{
    struct world_client *c = arg;
    c->storage = storage_client_free(c->storage);
    c->mgmtd = mgmtd_client_free(c->mgmtd);
    c->is_done = true;
    return 0;
}

static int run_in_client(struct world *w, uint32_t index, int (*fn)(void *arg))
{
    struct world_client *c = &w->clients[index];
    c->is_done = false;
    int r = fiber_spawn(&c->node->scope, "client-setup", fn, c);
    if (r < 0) return r;
    while (!c->is_done) {
        r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

struct maker {
    struct world *world;
    bool is_done;
    int result;
};

/* Targets of every chain on their nodes; retried until the storages are up. */
static int make_targets(struct world *w, struct rpc_pool *pool)
{
    for (uint32_t chain = 1; chain <= w->options.chain_count; chain++) {
        for (uint32_t i = 0; i < w->options.replica_count; i++) {
            uint32_t at = (chain - 1 + i) % w->options.storage_count;
            struct net_address address;
            int r = net_address_parse(w->storages[at].listen, &address);
            check(r == 0);
            cleanup_arena_ struct arena arena;
            arena_init(&arena);
            struct rpc_options options = { .arena = &arena, .timeout_ns = 5 * SEC };
            struct create_target_request req = { .target_id = chain * 100 + i,
                                                 .chain_id = chain,
                                                 .allow_existing = 1 };
            struct empty_record reply;
            struct rpc_target to = { pool, &address, RPC_CONTROL };
            for (int try = 0;; try++) {
                r = storage_create_target(to, &options, &req, &reply);
                if (r >= 0) break;
                if (try > 200) return r;
                r = fiber_sleep(50 * MSEC);
                if (r < 0) return r;
            }
        }
    }
    return 0;
}

static int maker_fiber(void *arg)
{
    struct maker *m = arg;
    m->result = make_targets(m->world, mgmtd_client_pool(m->world->clients[0].mgmtd));
    m->is_done = true;
    return 0;
}

static int make_chains(struct world *w)
{
    struct maker m = { .world = w };
    int r = fiber_spawn(&w->clients[0].node->scope, "make-targets", maker_fiber, &m);
    while (r == 0 && !m.is_done) {
        r = fiber_sleep(5 * MSEC);
    }
    if (r == 0) r = m.result;
    if (r < 0) return world_fail(w, "targets cannot be made: %s", error_name(r));
    for (uint32_t chain = 1; chain <= w->options.chain_count; chain++) {
        uint64_t targets[WORLD_STORAGE_COUNT_MAX];
        uint32_t nodes[WORLD_STORAGE_COUNT_MAX];
        for (uint32_t i = 0; i < w->options.replica_count; i++) {
            targets[i] = chain * 100 + i;
            nodes[i] = w->storages[(chain - 1 + i) % w->options.storage_count].node_id;
        }
        script_add_chain(&w->script, chain, targets, nodes, w->options.replica_count);
    }
    return 0;
}

static int build(struct world *w)
{
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        world_start_storage(w, i);
    }
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        struct world_client *c = &w->clients[i];
        char name[32];
        snprintf(name, sizeof name, "client-%u", i);
        c->world = w;
        c->index = i;
        c->node = node_new(sim_loop(w->sim), w->client_machine, name);
        init_node(w, c->node);
        scope_init(&c->scope, NULL);
        c->scope.local = c->node;
        int r = run_in_client(w, i, client_setup);
        if (r < 0) return r;
    }
    int r = make_chains(w);
    /* Everybody hears of it. */
    if (r == 0) r = fiber_sleep(200 * MSEC);
    return r;
}

/* ---- what must hold at the end ---- */

struct checker {
    struct world *world;
    bool is_done;
};

static void check_replicas_of(struct world *w, uint32_t chunk)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct chunk_reply *views;
    uint32_t count;
    uint32_t chain = world_chain_of(w, chunk);
    int r = chunks_query(w->clients[0].storage, &arena, chain, chunk_of(chunk), &views, &count);
    if (r < 0) {
        (void)world_fail(w, "chunk %u cannot be queried: %s", chunk, error_name(r));
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct chunk_meta *a = &views[0].meta, *b = &views[i].meta;
        bool a_live = views[0].found && a->version && !a->is_tombstone;
        bool b_live = views[i].found && b->version && !b->is_tombstone;
        if (b->pending_version)
            (void)world_fail(w, "chunk %u at target %" PRIu64 " is pending for ever", chunk,
                             views[i].target_id);
        if (a_live != b_live || (a_live && (a->version != b->version || a->crc32c != b->crc32c ||
                                            a->chain_version != b->chain_version)))
            (void)world_fail(w,
                             "chunk %u: target %" PRIu64 " has %u/%" PRIu64 " %08x, target %" PRIu64
                             " has %u/%" PRIu64 " %08x",
                             chunk, views[0].target_id, a->chain_version, a->version, a->crc32c,
                             views[i].target_id, b->chain_version, b->version, b->crc32c);
    }
}

static int check_fiber(void *arg)
{
    struct checker *k = arg;
    struct world *w = k->world;
    for (uint32_t chunk = 0; chunk < w->options.chunk_count; chunk++) {
        /* What is said to be there can be read by everybody. */
        int r = world_read(&w->clients[0], chunk, 0, WORLD_BLOCKS);
        if (r < 0 && r != -ERR_CHUNK_NOT_FOUND)
            (void)world_fail(w, "chunk %u cannot be read in the end: %s", chunk, error_name(r));
        r = world_write(&w->clients[0], chunk, 0, 1);
        if (r < 0)
            (void)world_fail(w, "chunk %u cannot be written in the end: %s", chunk, error_name(r));
        check_replicas_of(w, chunk);
    }
    k->is_done = true;
    return 0;
}

static int check_world(struct world *w)
{
    world_heal(w);
    int r = world_wait_whole(w, WHOLE_TIMEOUT_NS);
    /* Orphans are rolled forward, commit marks arrive. */
    if (r == 0) r = fiber_sleep(5 * SEC);
    struct checker k = { .world = w };
    if (r == 0) r = fiber_spawn(&w->clients[0].scope, "check", check_fiber, &k);
    while (r == 0 && !k.is_done) {
        r = fiber_sleep(10 * MSEC);
    }
    if (r == 0) r = history_check(w->history, w->why, sizeof w->why);
    return r < 0 || w->why[0] ? -ERR_FOUND_BUG : 0;
}

static void demolish(struct world *w)
{
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        if (!w->clients[i].node) continue;
        scope_done(&w->clients[i].scope);
        if (w->clients[i].mgmtd) (void)run_in_client(w, i, client_teardown);
        node_stop(w->clients[i].node);
        w->clients[i].node = node_free(w->clients[i].node);
    }
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        sim_thaw(w->storages[i].machine);
        if (w->storages[i].node) end_storage(w, i);
    }
    scope_done(&w->scope);
}

static int world_main(void *arg)
{
    struct world *w = arg;
    scope_init(&w->scope, NULL);
    int r = fiber_spawn(&w->scope, "script", script_run, &w->script);
    check(r == 0);
    r = build(w);
    if (r == 0) r = w->body(w);
    if (r == 0) r = check_world(w);
    demolish(w);
    return w->why[0] ? -ERR_FOUND_BUG : r;
}

static void trace_line(void *arg, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

int world_run(struct world *w, const struct world_options *options, int (*body)(struct world *w))
{
    *w = (struct world){ .options = *options, .body = body };
    struct sim_options so = sim_options_default(options->seed);
    if (options->net) so.net = *options->net;
    if (options->disk) so.disk = *options->disk;
    if (options->is_tracing) so.trace = trace_line;
    w->sim = sim_new(&so);
    w->history = history_new();
    script_init(&w->script, w->sim);
    for (uint32_t i = 0; i < options->storage_count; i++) {
        describe_storage(w, i);
    }
    w->client_machine = sim_machine_new(w->sim, "clients");
    int r = sim_run(w->sim, world_main, w, WORLD_LIMIT_NS);
    if (r < 0 && !w->why[0]) (void)world_fail(w, "the run ended with %s", error_name(r));
    w->trace_hash = sim_trace_hash(w->sim);
    w->event_count = sim_event_count(w->sim);
    w->end_ns = sim_now_ns(w->sim);
    for (uint32_t i = 0; i < options->storage_count; i++) {
        arena_done(&w->storages[i].arena);
    }
    w->history = history_free(w->history);
    w->sim = sim_free(w->sim);
    return w->why[0] ? -ERR_FOUND_BUG : r;
}
