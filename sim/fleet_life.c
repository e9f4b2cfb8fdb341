/* fleet_life.c - see fleet_life.h. */
#include "sim/fleet_life.h"
#include "base/check.h"
#include "sim/fleet_model.h"
#include <stdio.h>

#define MAKE_LIMIT_NS      (60 * SEC)
#define SESSION_TIMEOUT_NS (40 * SEC) /* longer than any cut */

/* ---- servers ---- */

static void quiet_sink(void *arg, enum log_level level, const char *line, size_t size)
{
}

static void prepare_node(struct fleet *f, struct node *node)
{
    if (!f->options.is_logging) node->log.sink = quiet_sink;
    if (f->options.mutant >= 0) mutant_activate(node, (enum mutant)f->options.mutant);
}

void fleet_node_prepare(struct process *p)
{
    prepare_node(p->place->arg, p->node);
}

void fleet_node_ended(struct process *p)
{
    struct fleet *f = p->place->arg;
    const struct metrics *m = p->node->metrics;
    f->counts.resyncs += metrics_value(m, "storage.resyncs_done");
    f->counts.repairs += metrics_value(m, "storage.repairs");
    f->counts.rolled_forward += metrics_value(m, "storage.orphans_rolled_forward");
    f->counts.retries_recognised += metrics_value(m, "storage.retries_recognised");
    f->counts.collected += metrics_value(m, "meta_server.gc_success");
    f->counts.pruned += metrics_value(m, "meta_server.sessions_pruned");
    f->counts.trims += metrics_value(m, "meta_server.trims");
    if (f->lease_writer == p->node) f->lease_writer = NULL;
}

void fleet_process_init(struct fleet *f, struct process *p, enum role_kind kind, uint32_t node_id)
{
    process_init(p, &f->place, kind, node_id);
    p->role.session_timeout_ns = SESSION_TIMEOUT_NS;
    size_t used = 0;
    for (uint32_t i = 0; i < FLEET_MGMTD_COUNT && kind != ROLE_MGMTD; i++)
        used += (size_t)snprintf(p->role.mgmtd + used, sizeof p->role.mgmtd - used, "%s%s",
                                 i ? "," : "", fleet_mgmtd(f, i)->role.listen);
}

void fleet_start(struct fleet *f, struct process *p)
{
    int r = process_start(p);
    if (r < 0) (void)fleet_fail(f, "%s does not start: %s", p->name, error_name(r));
}

void fleet_end(struct fleet *f, struct process *p, enum ending how)
{
    switch (how) {
    case ENDING_POWER: f->counts.crashes++; break;
    case ENDING_KILL: f->counts.kills++; break;
    case ENDING_STOP: f->counts.stops += !f->is_over; break;
    }
    sim_thaw(p->machine);
    int r = process_end(p, how);
    if (r < 0) (void)fleet_fail(f, "%s does not end in order: %s", p->name, error_name(r));
}

/* ---- clients ---- */

void fleet_client_init(struct fleet *f, struct fleet_client *c, uint32_t index)
{
    *c = (struct fleet_client){ .fleet = f, .index = index };
    if (c == &f->admin)
        snprintf(c->name, sizeof c->name, "admin");
    else
        snprintf(c->name, sizeof c->name, "client-%u", index);
    c->machine = sim_machine_new(f->place.sim, c->name);
    scope_init(&c->scope, NULL);
}

struct visit {
    struct fleet_client *client;
    int (*fn)(struct fleet_client *c, void *arg);
    void *arg;
    int result;
    struct event ended;
};

static int visit_fiber(void *arg)
{
    struct visit *v = arg;
    v->result = v->fn(v->client, v->arg);
    event_set(&v->ended, 0);
    return 0;
}

int fleet_visit(struct fleet_client *c, int (*fn)(struct fleet_client *c, void *arg), void *arg)
{
    struct visit v = { c, fn, arg, 0, { 0 } };
    event_init(&v.ended);
    int r = fiber_spawn(&c->scope, "visit", visit_fiber, &v);
    if (r < 0) return r;
    FIBER_SHIELD();
    r = event_wait(&v.ended, "a client's visit");
    return r < 0 ? r : v.result;
}

int fleet_client_join(struct fleet_client *c)
{
    struct fleet *f = c->fleet;
    struct auth_identity identity = { .kind = AUTH_SERVER };
    struct net_address at[FLEET_MGMTD_COUNT];
    int r = auth_cluster_key_parse(ROLE_KEY, identity.key);
    for (uint32_t i = 0; i < FLEET_MGMTD_COUNT && r == 0; i++)
        r = net_address_parse(fleet_mgmtd(f, i)->role.listen, &at[i]);
    check(r == 0);
    struct mgmtd_client_options options = { .cluster_id = ROLE_CLUSTER_ID,
                                            .servers = at,
                                            .server_count = FLEET_MGMTD_COUNT,
                                            .identity = &identity };
    c->mgmtd = mgmtd_client_new(c->node, &options);
    struct meta_client_options meta = { .client = c->id };
    c->meta = meta_client_new(c->node, c->mgmtd, &meta);
    struct storage_client_options storage = { .client = c->id,
                                              .channel_count = 8,
                                              .verify_reads = true };
    c->storage = storage_client_new(c->node, c->mgmtd, &storage);
    for (;;) {
        r = mgmtd_client_start_session(c->mgmtd, NODE_CLIENT, c->id, c->name);
        if (r >= 0 || error_action(r) == ACTION_FAIL) return r;
        r = fiber_sleep(100 * MSEC);
        if (r < 0) return r;
    }
}

void fleet_client_start(struct fleet_client *c)
{
    struct fleet *f = c->fleet;
    c->node = place_node_new(&f->place, c->machine, c->name);
    prepare_node(f, c->node);
    c->scope.local = c->node;
    c->id = (struct uuid){ f->options.seed, (uint64_t)(c->index + 1) << 32 | ++c->life };
    c->is_done = false;
    c->routing_version = c->routing_term = 0;
}

static int leave_cluster(struct fleet_client *c, void *arg)
{
    c->storage = storage_client_free(c->storage);
    c->meta = meta_client_free(c->meta);
    c->mgmtd = mgmtd_client_free(c->mgmtd);
    return 0;
}

void fleet_client_end(struct fleet_client *c, bool is_crash)
{
    if (!c->node) return;
    sim_thaw(c->machine);
    if (is_crash) sim_crash(c->machine);
    scope_done(&c->scope); /* ends operations */
    scope_init(&c->scope, NULL);
    c->scope.local = c->node;
    int r = fleet_visit(c, leave_cluster, NULL);
    check(r == 0);
    scope_done(&c->scope);
    scope_init(&c->scope, NULL);
    node_stop(c->node);
    c->node = node_free(c->node);
    if (is_crash) sim_restart(c->machine);
}

/* ---- chains ---- */

static struct process *storage_of(struct fleet *f, uint32_t chain, uint32_t replica)
{
    return fleet_storage(f, (chain - 1 + replica) % FLEET_STORAGE_COUNT);
}

/* Retried until the storage is up and mgmtd knows where. */
static int make_target(struct fleet_client *c, uint32_t chain, uint32_t replica)
{
    struct fleet *f = c->fleet;
    uint32_t node_id = storage_of(f, chain, replica)->role.node_id;
    struct create_target_request req = { .target_id = chain * 100 + replica,
                                         .chain_id = chain,
                                         .allow_existing = 1 };
    uint64_t end_ns = fleet_now_ns(f) + MAKE_LIMIT_NS;
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct rpc_options options = { .arena = &arena, .timeout_ns = 5 * SEC };
        struct empty_record reply;
        struct net_address address;
        struct rpc_target to = { mgmtd_client_pool(c->mgmtd), &address, RPC_CONTROL };
        int r = routing_address(mgmtd_client_routing(c->mgmtd), node_id, &address);
        if (r == 0) r = storage_create_target(to, &options, &req, &reply);
        if (r >= 0 || fleet_now_ns(f) > end_ns) return r;
        r = fiber_sleep(20 * MSEC);
        if (r < 0) return r;
    }
}

static int make_targets_of(struct fleet_client *c, void *arg)
{
    const struct process *p = arg;
    for (uint32_t chain = 1; chain <= FLEET_CHAIN_COUNT; chain++) {
        for (uint32_t i = 0; i < FLEET_REPLICA_COUNT; i++) {
            if (storage_of(c->fleet, chain, i) != p) continue;
            int r = make_target(c, chain, i);
            if (r < 0) return r;
        }
    }
    return 0;
}

void fleet_replace_disk(struct fleet *f, struct process *p)
{
    fleet_end(f, p, ENDING_STOP);
    snprintf(p->role.dir, sizeof p->role.dir, "/new-%u", p->start_count);
    fleet_start(f, p);
    int r = fleet_visit(&f->admin, make_targets_of, p);
    if (r < 0) (void)fleet_fail(f, "a new disk of %s: %s", p->name, error_name(r));
}

static int set_chains(struct fleet_client *c, struct arena *arena)
{
    struct set_chains_request req = {
        .chains = { arena_array(arena, struct chain_spec, FLEET_CHAIN_COUNT), FLEET_CHAIN_COUNT },
        .set_preferred_order = 1
    };
    for (uint32_t chain = 1; chain <= FLEET_CHAIN_COUNT; chain++) {
        struct chain_spec *spec = &req.chains.items[chain - 1];
        spec->chain_id = chain;
        spec->targets = (struct u64_list){ arena_array(arena, uint64_t, FLEET_REPLICA_COUNT),
                                           FLEET_REPLICA_COUNT };
        for (uint32_t i = 0; i < FLEET_REPLICA_COUNT; i++) {
            spec->targets.items[i] = chain * 100 + i;
            int r = make_target(c, chain, i);
            if (r < 0) return r;
        }
    }
    struct rpc_options options = { .arena = arena, .timeout_ns = MAKE_LIMIT_NS };
    struct empty_record reply;
    return mgmtd_client_call(c->mgmtd, RPC_METHOD(mgmtd, set_chains), &options, &req, &reply);
}

int fleet_make_chains(struct fleet_client *c, void *arg)
{
    cleanup_arena_ struct arena arena = { 0 };
    int r = set_chains(c, &arena);
    if (r < 0) return r;
    struct set_chain_table_request req = {
        .table_id = FLEET_TABLE,
        .chains = { arena_array(&arena, uint32_t, FLEET_CHAIN_COUNT), FLEET_CHAIN_COUNT }
    };
    for (uint32_t i = 0; i < FLEET_CHAIN_COUNT; i++)
        req.chains.items[i] = i + 1;
    struct rpc_options options = { .arena = &arena, .timeout_ns = MAKE_LIMIT_NS };
    struct set_chain_table_reply reply;
    r = mgmtd_client_call(c->mgmtd, RPC_METHOD(mgmtd, set_chain_table), &options, &req, &reply);
    return MIN_OF(r, 0);
}

void fleet_free_parts(struct fleet *f)
{
    for (uint32_t i = 0; i < FLEET_CLIENT_COUNT_MAX; i++)
        f->clients[i].model = model_free(f->clients[i].model);
    for (uint32_t i = 0; i < f->dead_count; i++)
        f->dead[i] = model_free(f->dead[i]);
    free(f->ledger.lines);
    f->ledger = (struct ledger){ 0 };
}
