/* chain_world.c - building the world, its life, and taking it down. */
#include "sim/chain_world.h"
#include "base/check.h"
#include "client/names.h"
#include <stdarg.h>
#include <stdio.h>

#define WORLD_LIMIT_NS (900 * SEC)
#define OP_TIMEOUT_NS  (20 * SEC)
#define MAKE_LIMIT_NS  (60 * SEC)

struct world_options world_options_default(uint64_t seed)
{
    return (struct world_options){ .seed = seed,
                                   .storage_count = 3,
                                   .replica_count = 3,
                                   .chain_count = 1,
                                   .client_count = 3,
                                   .chunk_count = 4,
                                   .block_count = WORLD_BLOCKS,
                                   .ops_per_client = 100,
                                   .op_pause_max_ns = 50 * MSEC,
                                   .read_percent = 50,
                                   .disk_count = 1,
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

uint64_t world_now_ns(const struct world *w)
{
    return place_now_ns(&w->place);
}

uint64_t world_random(struct world *w, uint64_t bound)
{
    return sim_random_under(&w->random, bound);
}

uint32_t world_chain_of(const struct world *w, uint32_t chunk)
{
    return 1 + chunk % w->options.chain_count;
}

/* ---- servers ---- */

static void quiet_sink(void *arg, enum log_level level, const char *line, size_t size)
{
}

static void prepare_node(struct world *w, struct node *node)
{
    if (!w->options.is_logging) node->log.sink = quiet_sink;
    if (w->options.mutant >= 0) mutant_activate(node, (enum mutant)w->options.mutant);
}

static void prepare_process(struct process *p)
{
    prepare_node(p->place->arg, p->node);
}

static void count_metrics(struct process *p)
{
    struct world *w = p->place->arg;
    const struct metrics *m = p->node->metrics;
    w->resyncs_done += metrics_value(m, "storage.resyncs_done");
    w->rolled_forward += metrics_value(m, "storage.orphans_rolled_forward");
    w->retries_recognised += metrics_value(m, "storage.retries_recognised");
    w->forward_retries += metrics_value(m, "storage.forward_retries");
    w->taken_back += metrics_value(m, "storage.updates_taken_back");
    w->confirm_rounds += metrics_value(m, "storage.confirm_rounds");
    w->tail_questions += metrics_value(m, "storage.tail_questions");
    if (w->options.mutant >= 0) return;
    const char *never[] = { "storage.replica_mismatch", "storage.replica_behind",
                            "storage.checksum_mismatch" };
    for (size_t i = 0; i < ARRAY_SIZE(never) && !w->options.with_rot; i++) {
        if (metrics_value(m, never[i]) > 0)
            (void)world_fail(w, "%s: %s is not 0", p->name, never[i]);
    }
}

void world_start(struct world *w, struct process *p)
{
    int r = process_start(p);
    if (r < 0) (void)world_fail(w, "%s does not start: %s", p->name, error_name(r));
}

void world_end(struct world *w, struct process *p, enum ending how)
{
    if (how == ENDING_POWER) w->crash_count++;
    if (how == ENDING_KILL) w->kill_count++;
    int r = process_end(p, how);
    if (r < 0) (void)world_fail(w, "%s does not end in order: %s", p->name, error_name(r));
}

int world_check_alive(struct world *w)
{
    if (process_has_failed(&w->manager))
        return world_fail(w, "%s ended by itself", w->manager.name);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        if (process_has_failed(&w->storages[i]))
            return world_fail(w, "%s ended by itself", w->storages[i].name);
    }
    return 0;
}

void world_heal(struct world *w)
{
    if (w->place.sim) sim_heal_all(w->place.sim);
    if (w->manager.machine) sim_thaw(w->manager.machine);
    if (!w->manager.is_up) world_start(w, &w->manager);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        struct process *p = &w->storages[i];
        if (p->machine) sim_thaw(p->machine);
        if (!p->is_up) world_start(w, p);
    }
}

/* ---- chains ---- */

/* One line: chain, version, and each target's node and states. */
static void print_chain(const struct chain_info *c, char *buf, size_t size)
{
    int n = snprintf(buf, size, "chain %u v%u:", c->chain_id, c->version);
    for (uint32_t i = 0; i < c->members.count && n > 0 && (size_t)n < size; i++) {
        const struct chain_member *m = &c->members.items[i];
        n += snprintf(buf + n, size - (size_t)n, " %u:%s/%s", m->node_id,
                      public_state_name(m->public_state), local_state_name(m->local_state));
    }
}

/* The first chain that lacks a SERVING member; 0: none. */
static uint32_t find_broken(const struct world *w)
{
    const struct routing *routing = mgmtd_client_routing(w->clients[0].mgmtd);
    for (uint32_t id = 1; id <= w->options.chain_count; id++) {
        const struct chain_info *chain = routing_chain(routing, id);
        if (!chain || chain->members.count != w->options.replica_count) return id;
        for (uint32_t i = 0; i < chain->members.count; i++) {
            if (chain->members.items[i].public_state != PUBLIC_SERVING) return id;
        }
    }
    return 0;
}

int world_wait_whole(struct world *w, uint64_t timeout_ns)
{
    uint64_t end_ns = world_now_ns(w) + timeout_ns;
    uint32_t broken;
    while ((broken = find_broken(w)) != 0) {
        if (world_now_ns(w) > end_ns) {
            const struct chain_info *chain =
                routing_chain(mgmtd_client_routing(w->clients[0].mgmtd), broken);
            char text[300] = "there is no such chain";
            if (chain) print_chain(chain, text, sizeof text);
            return world_fail(w, "not whole in time: %s", text);
        }
        int r = fiber_sleep(20 * MSEC);
        if (r == 0) r = world_check_alive(w);
        if (r < 0) return r;
    }
    return 0;
}

static uint32_t storage_of(const struct world *w, uint32_t chain, uint32_t replica)
{
    return (chain - 1 + replica) % w->options.storage_count;
}

/* The storages that mgmtd hears late of: those of the chains' last replicas. */
static void cut_tails(struct world *w, void (*how)(struct machine *a, struct machine *b))
{
    if (!w->options.with_late_report) return;
    for (uint32_t chain = 1; chain <= w->options.chain_count; chain++) {
        uint32_t at = storage_of(w, chain, w->options.replica_count - 1);
        how(w->storages[at].machine, w->manager.machine);
    }
}

int world_make_target(struct world_client *c, uint32_t chain, uint32_t replica)
{
    struct world *w = c->world;
    const struct process *storage = &w->storages[storage_of(w, chain, replica)];
    struct create_target_request req = { .target_id = chain * 100 + replica,
                                         .disk_index = (chain - 1) % w->options.disk_count,
                                         .chain_id = chain,
                                         .allow_existing = 1 };
    uint64_t end_ns = world_now_ns(w) + MAKE_LIMIT_NS;
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct rpc_options options = { .arena = &arena, .timeout_ns = 5 * SEC };
        struct empty_record reply;
        struct net_address address;
        struct rpc_target to = { mgmtd_client_pool(c->mgmtd), &address, RPC_CONTROL };
        int r = routing_address(mgmtd_client_routing(c->mgmtd), storage->role.node_id, &address);
        if (r == 0) r = storage_create_target(to, &options, &req, &reply);
        if (r >= 0 || world_now_ns(w) > end_ns) return r;
        r = fiber_sleep(20 * MSEC);
        if (r < 0) return r;
    }
}

static int make_chains(struct world_client *c)
{
    const struct world_options *o = &c->world->options;
    cleanup_arena_ struct arena arena = { 0 };
    struct set_chains_request req = {
        .chains = { arena_array(&arena, struct chain_spec, o->chain_count), o->chain_count },
        .set_preferred_order = 1
    };
    for (uint32_t chain = 1; chain <= o->chain_count; chain++) {
        struct chain_spec *spec = &req.chains.items[chain - 1];
        spec->chain_id = chain;
        spec->targets.items = arena_array(&arena, uint64_t, o->replica_count);
        spec->targets.count = o->replica_count;
        for (uint32_t i = 0; i < o->replica_count; i++) {
            spec->targets.items[i] = chain * 100 + i;
            if (i + 1 == o->replica_count) cut_tails(c->world, world_cut);
            int r = world_make_target(c, chain, i);
            if (r < 0) return r;
        }
    }
    struct rpc_options options = { .arena = &arena, .timeout_ns = MAKE_LIMIT_NS };
    struct empty_record reply;
    int r = mgmtd_client_call(c->mgmtd, RPC_METHOD(mgmtd, set_chains), &options, &req, &reply);
    if (r >= 0) r = fiber_sleep(300 * MSEC);
    cut_tails(c->world, world_mend);
    return r < 0 ? r : 0;
}

/* ---- clients ---- */

static void setup_client(struct world_client *c, void *arg)
{
    struct auth_identity identity = { .kind = AUTH_SERVER };
    struct net_address at;
    int r = auth_cluster_key_parse(ROLE_KEY, identity.key);
    if (r == 0) r = net_address_parse(c->world->manager.role.listen, &at);
    check(r == 0);
    struct mgmtd_client_options options = {
        .cluster_id = ROLE_CLUSTER_ID, .servers = &at, .server_count = 1, .identity = &identity
    };
    c->mgmtd = mgmtd_client_new(c->node, &options);
    struct storage_client_options storage = { .client = { c->world->options.seed, c->index + 1 },
                                              .total_timeout_ns = OP_TIMEOUT_NS,
                                              .channel_count = 4,
                                              .verify_reads = true };
    c->storage = storage_client_new(c->node, c->mgmtd, &storage);
}

static void teardown_client(struct world_client *c, void *arg)
{
    c->storage = storage_client_free(c->storage);
    c->mgmtd = mgmtd_client_free(c->mgmtd);
}

struct visit {
    struct world_client *client;
    void (*fn)(struct world_client *c, void *arg);
    void *arg;
    struct event ended;
};

static int visit_fiber(void *arg)
{
    struct visit *v = arg;
    v->fn(v->client, v->arg);
    event_set(&v->ended, 0);
    return 0;
}

int world_visit(struct world_client *c, void (*fn)(struct world_client *c, void *arg), void *arg)
{
    struct visit v = { c, fn, arg, { 0 } };
    event_init(&v.ended);
    int r = fiber_spawn(&c->scope, "visit", visit_fiber, &v);
    FIBER_SHIELD();
    return r < 0 ? r : event_wait(&v.ended, "a client's visit");
}

static int add_client(struct world *w, uint32_t index)
{
    struct world_client *c = &w->clients[index];
    c->world = w;
    c->index = index;
    snprintf(c->name, sizeof c->name, "client-%u", index);
    if (w->place.sim) c->machine = sim_machine_new(w->place.sim, c->name);
    c->node = place_node_new(&w->place, c->machine, c->name);
    prepare_node(w, c->node);
    scope_init(&c->scope, NULL);
    c->scope.local = c->node;
    return world_visit(c, setup_client, NULL);
}

static void remove_client(struct world_client *c)
{
    if (!c->node) return;
    scope_done(&c->scope); /* cancels operations */
    scope_init(&c->scope, NULL);
    c->scope.local = c->node;
    int r = world_visit(c, teardown_client, NULL);
    check(r == 0);
    scope_done(&c->scope);
    node_stop(c->node);
    c->node = node_free(c->node);
}

/* ---- the world ---- */

static void make_chains_visit(struct world_client *c, void *arg)
{
    int r = make_chains(c);
    if (r < 0) (void)world_fail(c->world, "chains cannot be made: %s", error_name(r));
}

static int build(struct world *w)
{
    process_init(&w->manager, &w->place, ROLE_MGMTD, 1);
    world_start(w, &w->manager);
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        struct process *p = &w->storages[i];
        process_init(p, &w->place, ROLE_STORAGE, 1001 + i);
        snprintf(p->role.mgmtd, sizeof p->role.mgmtd, "%s", w->manager.role.listen);
        p->role.disk_count = w->options.disk_count;
        p->role.capacity_bytes = w->options.capacity_bytes;
        p->role.tombstone_age_ns = w->options.tombstone_age_ns;
        p->role.scrub_interval_ns = w->options.with_rot ? 1 * SEC : 0;
        world_start(w, p);
    }
    int r = w->why[0] ? -ERR_FOUND_BUG : 0;
    for (uint32_t i = 0; i < w->options.client_count && r == 0; i++) {
        r = add_client(w, i);
    }
    if (r == 0) r = world_visit(&w->clients[0], make_chains_visit, NULL);
    if (r == 0 && w->why[0]) r = -ERR_FOUND_BUG;
    if (r == 0) r = world_wait_whole(w, MAKE_LIMIT_NS);
    /* Everybody hears of it. */
    return r < 0 ? r : fiber_sleep(200 * MSEC);
}

static void end_in_order(struct world *w, struct process *p)
{
    if (p->machine) sim_thaw(p->machine);
    if (p->is_up) world_end(w, p, ENDING_STOP);
}

static void demolish(struct world *w)
{
    FIBER_SHIELD();
    for (uint32_t i = 0; i < w->options.client_count; i++) {
        remove_client(&w->clients[i]);
    }
    for (uint32_t i = 0; i < w->options.storage_count; i++) {
        end_in_order(w, &w->storages[i]);
    }
    end_in_order(w, &w->manager);
}

static int world_main(void *arg)
{
    struct world *w = arg;
    int r = build(w);
    if (r == 0) r = w->body(w);
    if (r == 0) r = world_check(w);
    w->end_ns = world_now_ns(w);
    demolish(w);
    return w->why[0] ? -ERR_FOUND_BUG : r;
}

static void trace_line(void *arg, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static int run_in_sim(struct world *w)
{
    struct sim_options so = sim_options_default(w->options.seed);
    if (w->options.is_tracing) so.trace = trace_line;
    int r = place_sim_run(&w->place, &so, world_main, w, WORLD_LIMIT_NS);
    w->trace_hash = sim_trace_hash(w->place.sim);
    w->event_count = sim_event_count(w->place.sim);
    w->repeats = sim_repeat_count(w->place.sim);
    w->late = sim_late_count(w->place.sim);
    place_sim_done(&w->place);
    return r;
}

int world_run(struct world *w, const struct world_options *options, int (*body)(struct world *w))
{
    check(options->chunk_count <= WORLD_CHUNK_COUNT_MAX);
    *w = (struct world){ .options = *options, .body = body };
    w->place = (struct place){ .prepare = prepare_process, .ended = count_metrics, .arg = w };
    sim_random_init(&w->random, options->seed ^ 0x776f726c64); /* not what the simulator draws */
    w->history = history_new();
    int r = options->backend == LOOP_AUTO
                ? run_in_sim(w)
                : place_real_run(&w->place, options->backend, world_main, w);
    if (r == -ERR_TIMEOUT || r == -ERR_FOUND_BUG)
        (void)world_fail(w, "the run ended with %s", error_name(r));
    w->history = history_free(w->history);
    return w->why[0] ? -ERR_FOUND_BUG : r;
}
