/* test_cluster.c - see test_cluster.h. */
#include "mgmtd/test_cluster.h"

#include "cluster/cluster_init.h"

static void print_fiber(void *arg, const char *name, const char *wait, uint64_t waited_ns)
{
    fprintf(stderr, "  %-20s %-30s %.3f s\n", name, wait, (double)waited_ns / 1e9);
}

void cluster_fail(struct test_cluster *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "seed %" PRIu64 ", %.6f s: ", c->seed, (double)sim_now_ns(c->sim) / 1e9);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    sched_each(loop_sched(sim_loop(c->sim)), print_fiber, NULL);
    abort();
}

static const uint8_t test_key[AUTH_KEY_BYTES] = "0123456789abcdef0123456789abcde";

uint64_t cluster_target_id(uint32_t storage, uint32_t chain)
{
    return 1000ull * (storage + 1) + chain;
}

/* ---- checks at every chain change ---- */

static struct test_target *find_target(struct test_cluster *c, uint64_t target_id,
                                       struct test_storage **ret)
{
    for (uint32_t i = 0; i < c->storage_count; i++) {
        for (uint32_t j = 0; j < c->storages[i].target_count; j++) {
            if (c->storages[i].targets[j].target_id != target_id) continue;
            *ret = &c->storages[i];
            return &c->storages[i].targets[j];
        }
    }
    if (c->storage_count) cluster_fail(c, "target %" PRIu64 " is nobody's", target_id);
    return NULL; /* the test makes the heartbeats by hand */
}

/* @target_id loses SERVING with @version: nobody may believe that it serves, with a lease. */
static void check_exclusion(struct test_cluster *c, uint64_t target_id, uint32_t version)
{
    struct test_storage *storage = NULL;
    const struct test_target *target = find_target(c, target_id, &storage);
    if (!target || !storage || !storage->client) return;
    bool believes = target->local_state == LOCAL_UPTODATE &&
                    target->public_state == PUBLIC_SERVING && target->chain_version < version;
    uint64_t now = node_now_ns(storage->node), end = mgmtd_client_lease_end_ns(storage->client);
    if (!believes || end <= now) return;
    cluster_fail(c,
                 "target %" PRIu64 " is excluded with version %u, but has a lease for %" PRIu64
                 " us and serves version %u",
                 target_id, version, (uint64_t)((end - now) / USEC), target->chain_version);
}

static void check_chain(struct test_cluster *c, const struct chain_info *info)
{
    if (info->chain_id >= CHAIN_COUNT_MAX) return;
    struct chain_seen *seen = &c->seen[info->chain_id];
    struct chain_shape shape;
    chain_to_shape(info, &shape);
    const char *broken = chain_broken_invariant(&shape);
    if (broken) cluster_fail(c, "chain %u: %s", info->chain_id, broken);
    if (seen->version > info->version) cluster_fail(c, "chain %u went back", info->chain_id);
    for (uint32_t i = 0; i < seen->shape.count && seen->version == info->version; i++) {
        require(c, seen->shape.slots[i].target_id == shape.slots[i].target_id);
        require(c, seen->shape.slots[i].public_state == shape.slots[i].public_state);
    }
    for (uint32_t i = 0; i < seen->shape.count; i++) {
        int at = chain_find(&shape, seen->shape.slots[i].target_id);
        bool serves = at >= 0 && shape.slots[at].public_state == PUBLIC_SERVING;
        if (seen->shape.slots[i].public_state == PUBLIC_SERVING && !serves)
            check_exclusion(c, seen->shape.slots[i].target_id, info->version);
    }
    if (seen->version != info->version) c->change_count++;
    seen->version = info->version;
    seen->shape = shape;
}

/* mgmtd logs every new chain version when it is applied: that is where the checks hook in. */
static void manager_sink(void *arg, enum log_level level, const char *line, size_t size)
{
    struct test_manager *manager = arg;
    struct test_cluster *c = manager->cluster;
    const char *at = strstr(line, "] chain ");
    uint32_t chain_id, version;
    if (at && sscanf(at, "] chain %u version %u:", &chain_id, &version) == 2 && manager->m->state)
        check_chain(c, state_chain(manager->m->state, chain_id)->info);
    if (!c->is_quiet)
        fprintf(stderr, "%.6f %.*s", (double)sim_now_ns(c->sim) / 1e9, (int)size, line);
}

static void other_sink(void *arg, enum log_level level, const char *line, size_t size)
{
    const struct test_cluster *c = arg;
    if (!c->is_quiet)
        fprintf(stderr, "%.6f %.*s", (double)sim_now_ns(c->sim) / 1e9, (int)size, line);
}

void cluster_keys(struct auth_keys *ret)
{
    *ret = (struct auth_keys){ .cluster_key_size = sizeof test_key };
    memcpy(ret->cluster_key, test_key, sizeof test_key);
}

struct node *cluster_node(struct test_cluster *c, struct machine *machine)
{
    struct node *node = node_new(sim_loop(c->sim), machine, sim_machine_host(machine));
    node->log.sink = other_sink;
    node->log.sink_arg = c;
    node->log.wall_ns = NULL;
    return node;
}

/* ---- managers ---- */

static int manager_fiber(void *arg)
{
    struct test_manager *manager = arg;
    struct test_cluster *c = manager->cluster;
    struct mgmtd_options options = { .cluster_id = "test",
                                     .node_id = manager->node_id,
                                     .hostname = sim_machine_host(manager->machine),
                                     .listen = c->servers[manager->node_id - 1],
                                     .kv = manager->kv,
                                     .cluster_key = test_key,
                                     .timing = c->timing,
                                     .session_timeout_ns = 60 * SEC,
                                     .capability_ns = 3600 * SEC };
    int r = mgmtd_start(manager->node, &options, &manager->m);
    if (r < 0) return r;
    while (r >= 0)
        r = fiber_sleep(3600 * SEC);
    FIBER_SHIELD();
    manager->m = mgmtd_stop(manager->m);
    return 0;
}

void manager_start(struct test_manager *manager)
{
    if (manager->node) return;
    struct test_cluster *c = manager->cluster;
    if (!sim_machine_is_up(manager->machine)) sim_restart(manager->machine);
    manager->node =
        node_new(sim_loop(c->sim), manager->machine, sim_machine_host(manager->machine));
    manager->node->log.sink = manager_sink;
    manager->node->log.sink_arg = manager;
    manager->node->log.wall_ns = NULL;
    int r = kv_mem_open(manager->node, c->store, &manager->kv);
    scope_init(&manager->main, sched_current());
    manager->main.local = manager->node;
    if (r == 0) r = fiber_spawn(&manager->main, "manager", manager_fiber, manager);
    check(r == 0);
}

static void manager_free(struct test_manager *manager)
{
    manager->kv = kv_close(manager->kv);
    manager->node = node_free(manager->node);
}

void manager_crash(struct test_manager *manager)
{
    if (!manager->node) return;
    sim_crash(manager->machine);
    scope_done(&manager->main);
    manager_free(manager);
}

void manager_stop(struct test_manager *manager)
{
    if (!manager->node) return;
    sim_thaw(manager->machine);
    scope_done(&manager->main); /* as on SIGTERM */
    node_stop(manager->node);
    manager_free(manager);
}

struct test_manager *cluster_primary(struct test_cluster *c)
{
    struct test_manager *primary = NULL;
    for (uint32_t i = 0; i < c->manager_count; i++) {
        struct test_manager *manager = &c->managers[i];
        if (!manager->m || !mgmtd_is_primary(manager->m)) continue;
        if (primary) cluster_fail(c, "%u and %u are primaries", primary->node_id, manager->node_id);
        primary = manager;
    }
    return primary;
}

/* ---- storages ---- */

static void fill_heartbeat(void *arg, struct arena *arena, struct heartbeat_request *request)
{
    struct test_storage *s = arg;
    request->node.hostname = bytes_of_text(sim_machine_host(s->machine));
    request->targets.items = arena_array(arena, struct local_target, s->target_count);
    request->targets.count = s->target_count;
    uint64_t *ids = arena_array(arena, uint64_t, s->target_count);
    for (uint32_t i = 0; i < s->target_count; i++) {
        struct test_target *t = &s->targets[i];
        request->targets.items[i] = (struct local_target){ .target_id = t->target_id,
                                                           .local_state = t->local_state,
                                                           .disk_index = 0,
                                                           .used_bytes = i,
                                                           .chain_id = t->chain_id,
                                                           .chain_version = t->chain_version };
        if (t->local_state == LOCAL_OFFLINE) t->offline_version = t->chain_version;
        ids[i] = t->target_id;
    }
    request->disks.items = arena_new(arena, struct disk_info);
    request->disks.count = 1;
    request->disks.items[0] = (struct disk_info){ .path = BYTES_LITERAL("/disk"),
                                                  .capacity_bytes = 1 << 30,
                                                  .targets = { ids, s->target_count } };
}

/* What a storage makes of its target's place in the chain. True when it has something to report. */
static bool target_follow(struct test_storage *s, struct test_target *t,
                          const struct chain_info *chain)
{
    uint8_t public = PUBLIC_INVALID, local = t->local_state;
    uint32_t version = t->chain_version;
    for (uint32_t i = 0; i < chain->members.count; i++) {
        if (chain->members.items[i].target_id == t->target_id)
        public = chain->members.items[i].public_state;
    }
    check(chain->version >= t->chain_version);
    t->chain_version = chain->version;
    bool is_change = version != chain->version || public != t->public_state;
    t->public_state = public;
    if (public == PUBLIC_SERVING && t->chain_version > t->offline_version) {
        t->local_state = LOCAL_UPTODATE;
    } else if (public == PUBLIC_SYNCING) {
        uint64_t now = sim_now_ns(s->cluster->sim);
        if (is_change && t->local_state != LOCAL_UPTODATE)
            t->synced_at_ns = now + sim_random_below(s->cluster->sim, s->cluster->resync_ns);
        t->local_state = now >= t->synced_at_ns || t->local_state == LOCAL_UPTODATE ? LOCAL_UPTODATE
                                                                                    : LOCAL_ONLINE;
    } else if (public != PUBLIC_SERVING) {
        t->local_state = LOCAL_ONLINE; /* dropped and loaded again */
    }
    return t->local_state != local || t->chain_version != version;
}

static int storage_follow_fiber(void *arg)
{
    struct test_storage *s = arg;
    struct routing *routing = mgmtd_client_routing(s->client);
    for (;;) {
        bool is_news = false;
        for (uint32_t i = 0; i < s->target_count; i++) {
            const struct chain_info *chain = routing_chain(routing, s->targets[i].chain_id);
            if (chain && target_follow(s, &s->targets[i], chain)) is_news = true;
        }
        if (is_news) mgmtd_client_kick_heartbeat(s->client);
        FIBER_TIMEOUT(50 * MSEC);
        int r = wait_queue_wait(&routing->changed, "routing");
        if (r == -ERR_CANCELED) return r;
    }
}

struct mgmtd_client *cluster_client(struct test_cluster *c, struct node *node)
{
    struct auth_identity identity = { .kind = AUTH_SERVER };
    memcpy(identity.key, test_key, sizeof identity.key);
    struct mgmtd_client_options options = { .cluster_id = "test",
                                            .servers = c->servers,
                                            .server_count = c->manager_count,
                                            .identity = &identity };
    return mgmtd_client_new(node, &options);
}

static int storage_fiber(void *arg)
{
    struct test_storage *s = arg;
    s->client = cluster_client(s->cluster, s->node);
    for (uint32_t i = 0; i < s->target_count; i++) {
        struct test_target *t = &s->targets[i];
        t->local_state = LOCAL_ONLINE;
        t->public_state = PUBLIC_INVALID;
        t->offline_version = 0;
    }
    char address[64];
    snprintf(address, sizeof address, "TCP://%s:9000", sim_machine_host(s->machine));
    const char *addresses[] = { address };
    struct heartbeat_options options = { .node_id = s->node_id,
                                         .type = NODE_STORAGE,
                                         .addresses = addresses,
                                         .address_count = 1,
                                         .fill = fill_heartbeat,
                                         .arg = s };
    int r = mgmtd_client_start_heartbeat(s->client, &options);
    if (r == 0) r = storage_follow_fiber(s);
    FIBER_SHIELD();
    if (s->is_stopping) mgmtd_client_say_stopping(s->client, SEC);
    s->client = mgmtd_client_free(s->client);
    return 0;
}

void storage_start(struct test_storage *s)
{
    if (s->node) return;
    if (!sim_machine_is_up(s->machine)) sim_restart(s->machine);
    s->is_stopping = false;
    s->node = cluster_node(s->cluster, s->machine);
    scope_init(&s->main, sched_current());
    s->main.local = s->node;
    int r = fiber_spawn(&s->main, "storage", storage_fiber, s);
    check(r == 0);
}

void storage_crash(struct test_storage *s)
{
    if (!s->node) return;
    sim_crash(s->machine);
    scope_done(&s->main);
    s->node = node_free(s->node);
}

void storage_stop(struct test_storage *s)
{
    if (!s->node) return;
    s->is_stopping = true;
    sim_thaw(s->machine);
    scope_done(&s->main); /* as on SIGTERM: connections live until it has ended */
    node_stop(s->node);
    s->node = node_free(s->node);
}

/* ---- the administrator and the watcher ---- */

static int watcher_fiber(void *arg)
{
    struct test_watcher *w = arg;
    struct routing *routing = mgmtd_client_routing(w->client);
    for (;;) {
        int r = wait_queue_wait(&routing->changed, "routing");
        if (r < 0) return r;
        if (routing->term < w->term || routing->version < w->version)
            cluster_fail(w->cluster, "routing went back for a watcher");
        w->term = routing->term;
        w->version = routing->version;
        w->update_count++;
    }
}

int cluster_call(struct test_cluster *c, const struct rpc_method *method, struct arena *arena,
                 const void *request, void *reply, uint64_t timeout_ns)
{
    struct rpc_options options = { .timeout_ns = timeout_ns, .arena = arena };
    return mgmtd_client_call(c->client, method, &options, request, reply);
}

uint8_t cluster_public_state(struct test_cluster *c, uint64_t target_id)
{
    const struct routing *routing = mgmtd_client_routing(c->client);
    for (uint32_t id = 1; id < CHAIN_COUNT_MAX; id++) {
        const struct chain_info *chain = routing_chain(routing, id);
        for (uint32_t i = 0; chain && i < chain->members.count; i++) {
            if (chain->members.items[i].target_id == target_id)
                return chain->members.items[i].public_state;
        }
    }
    return 0;
}

static uint32_t unhealthy_count(struct test_cluster *c, bool is_printed)
{
    const struct routing *routing = mgmtd_client_routing(c->client);
    uint32_t count = 0;
    for (uint32_t id = 1; id < CHAIN_COUNT_MAX; id++) {
        const struct chain_info *chain = routing_chain(routing, id);
        for (uint32_t i = 0; chain && i < chain->members.count; i++) {
            const struct chain_member *member = &chain->members.items[i];
            if (member->public_state == PUBLIC_SERVING) continue;
            count++;
            if (is_printed)
                fprintf(stderr, "chain %u version %u: target %" PRIu64 " public %u local %u\n", id,
                        chain->version, member->target_id, member->public_state,
                        member->local_state);
        }
    }
    return count;
}

bool cluster_wait_healthy(struct test_cluster *c, uint64_t timeout_ns)
{
    FIBER_TIMEOUT(timeout_ns);
    while (unhealthy_count(c, false) > 0) {
        if (fiber_sleep(20 * MSEC) == 0) continue;
        unhealthy_count(c, true);
        return false;
    }
    return true;
}

void cluster_make_chains(struct test_cluster *c, uint32_t count)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct set_chains_request request = {
        .chains = { arena_array(&arena, struct chain_spec, count), count }, .set_preferred_order = 1
    };
    for (uint32_t i = 0; i < count; i++) {
        struct chain_spec *spec = &request.chains.items[i];
        spec->chain_id = i + 1;
        spec->targets.items = arena_array(&arena, uint64_t, 3);
        spec->targets.count = MIN_OF(3u, c->storage_count);
        for (uint32_t j = 0; j < spec->targets.count; j++) {
            struct test_storage *s = &c->storages[(i + j) % c->storage_count];
            uint64_t id = cluster_target_id((i + j) % c->storage_count, i + 1);
            spec->targets.items[j] = id;
            check(s->target_count < STORAGE_TARGETS_MAX);
            s->targets[s->target_count++] = (struct test_target){ .target_id = id,
                                                                  .chain_id = i + 1,
                                                                  .local_state = LOCAL_ONLINE };
        }
    }
    struct empty_record reply;
    int r = cluster_call(c, RPC_METHOD(mgmtd, set_chains), &arena, &request, &reply, 20 * SEC);
    check(r == 0);
    r = fiber_sleep(2 * SEC);
    check(r == 0);
    check(cluster_wait_healthy(c, 60 * SEC));
}

/* ---- deltas ---- */

static void check_same_chain(struct test_cluster *c, const struct chain_info *a,
                             const struct chain_info *b)
{
    require(c, b != NULL);
    require(c, a->version == b->version);
    require(c, a->changed == b->changed);
    require(c, a->members.count == b->members.count);
    for (uint32_t i = 0; i < a->members.count; i++) {
        const struct chain_member *x = &a->members.items[i], *y = &b->members.items[i];
        require(c, x->target_id == y->target_id);
        require(c, x->public_state == y->public_state);
        require(c, x->local_state == y->local_state);
        require(c, x->node_id == y->node_id);
    }
}

static void check_same_routing(struct test_cluster *c, struct routing *watched,
                               const struct get_routing_reply *full)
{
    uint32_t node_count = 0;
    for (uint32_t i = 0; i < full->nodes.count; i++) {
        const struct node_info *node = &full->nodes.items[i],
                               *held = routing_node(watched, node->node_id);
        if (node->removed) continue;
        node_count++;
        require(c, held != NULL);
        require(c, held->status == node->status);
        require(c, held->incarnation == node->incarnation);
        require(c, held->changed == node->changed);
    }
    require(c, watched->nodes.count == node_count);
    require(c, watched->chains.count == full->chains.count);
    require(c, watched->tables.count == full->tables.count);
    for (uint32_t i = 0; i < full->chains.count; i++) {
        check_same_chain(c, &full->chains.items[i],
                         routing_chain(watched, full->chains.items[i].chain_id));
    }
}

void cluster_check_deltas(struct test_cluster *c)
{
    struct routing *watched = mgmtd_client_routing(c->client);
    for (int tries = 0; tries < 100; tries++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct get_routing_request request = { .cluster_id = BYTES_LITERAL("test") };
        struct get_routing_reply full;
        int r = cluster_call(c, RPC_METHOD(mgmtd, get_routing), &arena, &request, &full, 10 * SEC);
        check(r == 0 && full.full && !full.more);
        if (full.term == watched->term && full.version == watched->version) {
            check_same_routing(c, watched, &full);
            return;
        }
        r = fiber_sleep(10 * MSEC);
        check(r == 0);
    }
    cluster_fail(c, "the watcher never catches up");
}

/* ---- the world ---- */

static void start_all(struct test_cluster *c)
{
    c->client_machine = sim_machine_new(c->sim, "client");
    for (uint32_t i = 0; i < c->manager_count; i++) {
        char host[32];
        snprintf(host, sizeof host, "mgmtd-%u", i + 1);
        c->managers[i] = (struct test_manager){ .cluster = c,
                                                .node_id = i + 1,
                                                .machine = sim_machine_new(c->sim, host) };
        c->servers[i] = (struct net_address){ .scheme = NET_TCP, .port = 8000 };
        snprintf(c->servers[i].host, sizeof c->servers[i].host, "%s", host);
    }
    for (uint32_t i = 0; i < c->manager_count; i++) {
        manager_start(&c->managers[i]);
    }
    for (uint32_t i = 0; i < c->storage_count; i++) {
        char host[32];
        snprintf(host, sizeof host, "storage-%u", i + 1);
        c->storages[i] = (struct test_storage){ .cluster = c,
                                                .node_id = 101 + i,
                                                .machine = sim_machine_new(c->sim, host) };
        storage_start(&c->storages[i]);
    }
    c->client_node = cluster_node(c, c->client_machine);
    c->client = cluster_client(c, c->client_node);
    c->watcher = (struct test_watcher){ .cluster = c, .client = c->client };
    int r = fiber_spawn(&c->client_node->scope, "watcher", watcher_fiber, &c->watcher);
    check(r == 0);
}

static void stop_all(struct test_cluster *c)
{
    sim_heal_all(c->sim);
    kv_mem_store_set(c->store, &(struct kv_mem_profile){ 0 });
    node_stop(c->client_node);
    c->client = mgmtd_client_free(c->client);
    node_free(c->client_node);
    for (uint32_t i = 0; i < c->storage_count; i++) {
        storage_stop(&c->storages[i]);
    }
    for (uint32_t i = 0; i < c->manager_count; i++) {
        manager_stop(&c->managers[i]);
    }
}

static int world_fiber(void *arg)
{
    struct test_cluster *c = arg;
    start_all(c);
    int r = mgmtd_client_wait_ready(c->client);
    if (r == 0) r = c->body(c);
    stop_all(c);
    return r;
}

void test_cluster_run(const struct test_cluster_options *options,
                      int (*body)(struct test_cluster *c))
{
    struct sim_options sim_options = sim_options_default(options->seed);
    if (options->net.delay_max_ns) sim_options.net = options->net;
    struct test_cluster *c = new_zero(struct test_cluster);
    c->seed = options->seed;
    c->sim = sim_new(&sim_options);
    c->store = kv_mem_store_new(options->seed);
    c->manager_count = options->manager_count;
    c->storage_count = options->storage_count;
    c->resync_ns = 500 * MSEC;
    c->is_quiet = true;
    c->body = body;
    check(timing_of(options->timing ? options->timing : "default", &c->timing));
    int r = sim_run(c->sim, world_fiber, c, 4 * 3600 * SEC);
    if (r != 0) cluster_fail(c, "the world ends with %d", r);
    sim_free(c->sim);
    kv_mem_store_free(c->store);
    free(c);
}
