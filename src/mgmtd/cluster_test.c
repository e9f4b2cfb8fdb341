/* cluster_test.c - real mgmtd instances in a simulated cluster: failover, partitions, frozen
 * processes, a lost store, restarts; then everything at random.
 */
#include "mgmtd/test_cluster.h"

static void run(const char *timing, uint64_t seed, uint32_t managers, uint32_t storages,
                int (*body)(struct test_cluster *c))
{
    struct test_cluster_options options = {
        .seed = seed, .manager_count = managers, .storage_count = storages, .timing = timing
    };
    test_cluster_run(&options, body);
}

static void wait_ns(struct test_cluster *c, uint64_t ns)
{
    require(c, fiber_sleep(ns) == 0);
}

/* Waits for a primary other than @old; the virtual time it took. */
static uint64_t wait_primary(struct test_cluster *c, const struct test_manager *old)
{
    uint64_t begin = sim_now_ns(c->sim);
    for (;;) {
        const struct test_manager *primary = cluster_primary(c);
        if (primary && primary != old) return sim_now_ns(c->sim) - begin;
        require(c, sim_now_ns(c->sim) - begin < 60 * SEC);
        wait_ns(c, 10 * MSEC);
    }
}

/* Until the watcher sees the target in (or not in) the state; the virtual time it took. */
static uint64_t wait_state(struct test_cluster *c, uint64_t target_id, uint8_t state, bool is)
{
    uint64_t begin = sim_now_ns(c->sim);
    while ((cluster_public_state(c, target_id) == state) != is) {
        require(c, sim_now_ns(c->sim) - begin < 60 * SEC);
        wait_ns(c, MSEC);
    }
    return sim_now_ns(c->sim) - begin;
}

/* ---- the start ---- */

static int run_start(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    cluster_check_deltas(c);
    const struct routing *routing = mgmtd_client_routing(c->client);
    require(c, routing->chains.count == 4);
    require(c, routing->nodes.count == c->manager_count + c->storage_count);
    require(c, cluster_primary(c) != NULL);
    require(c, c->change_count == 0); /* nobody was excluded on the way */
    return 0;
}

static void test_start(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        run("default", seed, 1, 3, run_start);
        run("default", seed, 3, 5, run_start);
        run("slow", seed, 3, 5, run_start);
    }
}

/* Chains are uploaded before their storages run. */
static int run_early_chains(struct test_cluster *c)
{
    for (uint32_t i = 0; i < c->storage_count; i++) {
        storage_crash(&c->storages[i]);
    }
    wait_ns(c, 5 * SEC);
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t ids[] = { cluster_target_id(0, 1), cluster_target_id(1, 1), cluster_target_id(2, 1) };
    struct chain_spec spec = { .chain_id = 1, .targets = { ids, 3 } };
    struct set_chains_request request = { .chains = { &spec, 1 } };
    struct empty_record reply;
    for (uint32_t i = 0; i < 3; i++) {
        c->storages[i].targets[0] = (struct test_target){ .target_id = ids[i], .chain_id = 1 };
        c->storages[i].target_count = 1;
    }
    require(c,
            cluster_call(c, RPC_METHOD(mgmtd, set_chains), &arena, &request, &reply, 5 * SEC) == 0);
    wait_ns(c, 30 * SEC);
    require(c, c->change_count == 0); /* nothing was torn apart */
    for (uint32_t i = 0; i < 3; i++) {
        storage_start(&c->storages[i]);
    }
    wait_ns(c, 2 * SEC);
    require(c, cluster_wait_healthy(c, 10 * SEC));
    require(c, c->change_count == 0);
    return 0;
}

static void test_early_chains(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run("default", seed, 1, 3, run_early_chains);
    }
}

/* Chains that contradict what storages report: two targets on one node, made for another chain. */
static int run_contradiction(struct test_cluster *c)
{
    uint64_t a = cluster_target_id(0, 1), b = cluster_target_id(0, 2), d = cluster_target_id(1, 1);
    c->storages[0].targets[0] =
        (struct test_target){ .target_id = a, .chain_id = 1, .local_state = LOCAL_ONLINE };
    c->storages[0].targets[1] =
        (struct test_target){ .target_id = b, .chain_id = 1, .local_state = LOCAL_ONLINE };
    c->storages[0].target_count = 2;
    c->storages[1].targets[0] =
        (struct test_target){ .target_id = d, .chain_id = 1, .local_state = LOCAL_ONLINE };
    c->storages[1].target_count = 1;
    wait_ns(c, 3 * SEC);
    const struct {
        uint32_t chain_id;
        uint64_t targets[2];
        int result;
    } cases[] = {
        { 1, { a, b }, -ERR_MGMTD_INVALID_CHAIN_TABLE },
        { 2, { a, d }, -ERR_MGMTD_INVALID_CHAIN_TABLE },
        { 1, { a, d }, 0 },
        { 1, { d, a }, 0 }, /* the same again */
        { 1, { a, b }, -ERR_MGMTD_INVALID_CHAIN_TABLE },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        uint64_t ids[] = { cases[i].targets[0], cases[i].targets[1] };
        struct chain_spec spec = { .chain_id = cases[i].chain_id, .targets = { ids, 2 } };
        struct set_chains_request request = { .chains = { &spec, 1 } };
        struct empty_record none;
        int r = cluster_call(c, RPC_METHOD(mgmtd, set_chains), &arena, &request, &none, 5 * SEC);
        require(c, r == cases[i].result);
    }
    cleanup_arena_ struct arena arena = { 0 };
    struct chain_request add = { .chain_id = 1, .targets = { &b, 1 }, .mode = CHAIN_ADD };
    struct chain_reply reply;
    int r = cluster_call(c, RPC_METHOD(mgmtd, update_chain), &arena, &add, &reply, 5 * SEC);
    require(c, r == -ERR_MGMTD_INVALID_CHAIN_TABLE);
    return 0;
}

static void test_contradiction(void **state)
{
    (void)state;
    run("default", 1, 1, 3, run_contradiction);
}

/* ---- managers ---- */

static int run_failover(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    for (int round = 0; round < 3; round++) {
        struct test_manager *primary = cluster_primary(c);
        require(c, primary != NULL);
        uint64_t version = c->watcher.version;
        if (round == 1)
            manager_stop(primary);
        else
            manager_crash(primary);
        uint64_t took = wait_primary(c, primary);
        require(c, took < (round == 1 ? 500 * MSEC : 3 * SEC));
        while (c->watcher.version == version) {
            wait_ns(c, 10 * MSEC);
            took += 10 * MSEC;
        }
        require(c, took < 5 * SEC);
        wait_ns(c, 3 * SEC);
        cluster_check_deltas(c);
        manager_start(primary);
        wait_ns(c, 2 * SEC);
    }
    require(c, c->change_count == 0); /* no chain noticed */
    require(c, cluster_wait_healthy(c, SEC));
    return 0;
}

static void test_failover(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        run("default", seed, 3, 4, run_failover);
    }
}

static int run_frozen_primary(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    struct test_manager *old = cluster_primary(c);
    sim_freeze(old->machine);
    wait_ns(c, 10 * SEC);
    struct test_manager *new = cluster_primary(c);
    require(c, new &&new != old);
    sim_thaw(old->machine);
    for (int i = 0; i < 2000; i++) {
        require(c, cluster_primary(c) == new);
        wait_ns(c, MSEC);
    }
    cluster_check_deltas(c);
    require(c, c->change_count == 0);
    return 0;
}

static void test_frozen_primary(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run("default", seed, 3, 4, run_frozen_primary);
    }
}

/* The primary is cut off from every other machine, but not from the store. */
static int run_deaf_primary(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    wait_ns(c, 2 * SEC);
    struct test_manager *old = cluster_primary(c);
    for (uint32_t i = 0; i < c->storage_count; i++) {
        sim_cut(c->storages[i].machine, old->machine);
    }
    for (uint32_t i = 0; i < c->manager_count; i++) {
        sim_cut(c->managers[i].machine, old->machine);
    }
    sim_cut(c->client_machine, old->machine);
    require(c, wait_primary(c, old) < 5 * SEC);
    wait_ns(c, 5 * SEC);
    require(c, cluster_primary(c) != old);
    require(c, c->change_count == 0);
    sim_heal_all(c->sim);
    wait_ns(c, 20 * SEC);
    cluster_check_deltas(c);
    return 0;
}

static void test_deaf_primary(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run("default", seed, 3, 4, run_deaf_primary);
    }
}

/* The store is gone for a minute: nobody leads, routing stays as it was, nothing ends. */
static int run_lost_store(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    uint64_t version = c->watcher.version;
    kv_mem_store_set(c->store, &(struct kv_mem_profile){ .is_gone = true });
    wait_ns(c, 60 * SEC);
    require(c, cluster_primary(c) == NULL);
    require(c, c->watcher.version == version);
    require(c, routing_chain(mgmtd_client_routing(c->client), 1) != NULL);
    kv_mem_store_set(c->store, &(struct kv_mem_profile){ 0 });
    wait_ns(c, 10 * SEC);
    require(c, cluster_primary(c) != NULL);
    require(c, c->change_count == 0);
    require(c, cluster_wait_healthy(c, SEC));
    cluster_check_deltas(c);
    return 0;
}

static void test_lost_store(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        run("default", seed, 3, 4, run_lost_store);
        run("default", seed, 1, 3, run_lost_store);
    }
}

/* ---- storages ---- */

static int run_storages(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    uint64_t id = cluster_target_id(1, 1);
    struct test_storage *s = &c->storages[1];
    /* killed */
    storage_crash(s);
    uint64_t took = wait_state(c, id, PUBLIC_SERVING, false);
    require(c, took > SEC && took < 2500 * MSEC);
    storage_start(s);
    require(c, wait_state(c, id, PUBLIC_SERVING, true) < 5 * SEC);
    require(c, cluster_wait_healthy(c, 10 * SEC));
    /* stopped in order */
    uint64_t begin = sim_now_ns(c->sim);
    storage_stop(s);
    wait_state(c, id, PUBLIC_SERVING, false);
    require(c, sim_now_ns(c->sim) - begin < 100 * MSEC);
    storage_start(s);
    require(c, cluster_wait_healthy(c, 10 * SEC));
    /* frozen for longer than its lease */
    sim_freeze(s->machine);
    require(c, wait_state(c, id, PUBLIC_SERVING, false) < 2500 * MSEC);
    sim_thaw(s->machine);
    require(c, cluster_wait_healthy(c, 10 * SEC));
    /* killed and back at once: it keeps its place under the same version */
    wait_ns(c, 3 * SEC);
    uint64_t changes = c->change_count;
    storage_crash(s);
    wait_ns(c, 300 * MSEC);
    storage_start(s);
    wait_ns(c, 5 * SEC);
    require(c, c->change_count == changes);
    require(c, cluster_wait_healthy(c, SEC));
    return 0;
}

static void test_storages(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        run("default", seed, 1, 3, run_storages);
    }
}

static int run_partition(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    struct test_storage *s = &c->storages[sim_random_below(c->sim, c->storage_count)];
    uint64_t id = s->targets[0].target_id;
    bool cuts_in = sim_random_below(c->sim, 3) != 0,
         cuts_out = !cuts_in || sim_random_below(c->sim, 2);
    for (uint32_t i = 0; i < c->manager_count; i++) {
        if (cuts_in) sim_cut(c->managers[i].machine, s->machine);
        if (cuts_out) sim_cut(s->machine, c->managers[i].machine);
    }
    if (cuts_out) {
        require(c, wait_state(c, id, PUBLIC_SERVING, false) < 3 * SEC);
    } else {
        wait_ns(c, 5 * SEC);
    }
    sim_heal_all(c->sim);
    require(c, cluster_wait_healthy(c, 30 * SEC));
    cluster_check_deltas(c);
    return 0;
}

static void test_partition(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        run("default", seed, 3, 4, run_partition);
    }
}

/* All storages lose power: the chains wait for who served last, and come back by themselves. */
static int run_power_loss(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    for (uint32_t i = 0; i < c->storage_count; i++) {
        storage_crash(&c->storages[i]);
    }
    wait_ns(c, 5 * SEC);
    const struct chain_info *chain = routing_chain(mgmtd_client_routing(c->client), 1);
    require(c, chain->members.items[0].public_state == PUBLIC_LASTSRV);
    require(c, chain->members.items[1].public_state == PUBLIC_OFFLINE);
    uint64_t last = chain->members.items[0].target_id;
    for (uint32_t i = 0; i < c->storage_count; i++) {
        if (c->storages[i].targets[0].target_id != last) storage_start(&c->storages[i]);
    }
    wait_ns(c, 5 * SEC);
    require(c, cluster_public_state(c, last) == PUBLIC_LASTSRV);
    for (uint32_t i = 0; i < c->storage_count; i++) {
        storage_start(&c->storages[i]);
    }
    require(c, cluster_wait_healthy(c, 30 * SEC));
    return 0;
}

static void test_power_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        run("default", seed, 1, 3, run_power_loss);
    }
}

/* ---- holds ---- */

static struct hold_node_reply hold(struct test_cluster *c, uint64_t holder, uint8_t mode)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct hold_node_request request = { .node_id = c->storages[0].node_id,
                                         .holder = { 1, holder },
                                         .desc = BYTES_LITERAL("somebody"),
                                         .mode = mode };
    struct hold_node_reply reply = { 0 };
    require(c,
            cluster_call(c, RPC_METHOD(mgmtd, hold_node), &arena, &request, &reply, 20 * SEC) == 0);
    require(c, reply.granted || reply.desc.size == 0 || bytes_equal_text(reply.desc, "somebody"));
    reply.desc = bytes_of(NULL, reply.desc.size);
    return reply;
}

/* One holder at a time, kept over a change of primary; who is gone loses it. */
static int run_holds(struct test_cluster *c)
{
    require(c, cluster_wait_healthy(c, 30 * SEC));
    wait_ns(c, 6 * SEC);
    require(c, hold(c, 1, HOLD_TAKE).granted);
    require(c, hold(c, 1, HOLD_TAKE).granted);
    struct hold_node_reply refused = hold(c, 2, HOLD_TAKE);
    require(c, !refused.granted && refused.kept_count == 2 && refused.desc.size > 0);
    require(c, !hold(c, 2, HOLD_KEEP).granted);
    require(c, hold(c, 2, HOLD_GIVE).granted && !hold(c, 2, HOLD_TAKE).granted);
    require(c, hold(c, 1, HOLD_GIVE).granted && hold(c, 2, HOLD_TAKE).granted);
    wait_ns(c, 6 * SEC);
    require(c, hold(c, 1, HOLD_TAKE).granted); /* the other was not kept */

    struct test_manager *old = cluster_primary(c);
    manager_crash(old);
    wait_primary(c, old);
    require(c, !hold(c, 2, HOLD_TAKE).granted); /* it may be held */
    require(c, hold(c, 1, HOLD_KEEP).granted);
    require(c, !hold(c, 2, HOLD_TAKE).granted);
    wait_ns(c, 6 * SEC);
    require(c, hold(c, 2, HOLD_TAKE).granted);
    return 0;
}

static void test_holds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        run("default", seed, 3, 3, run_holds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),        cmocka_unit_test(test_early_chains),
        cmocka_unit_test(test_failover),     cmocka_unit_test(test_frozen_primary),
        cmocka_unit_test(test_deaf_primary), cmocka_unit_test(test_lost_store),
        cmocka_unit_test(test_storages),     cmocka_unit_test(test_partition),
        cmocka_unit_test(test_power_loss),   cmocka_unit_test(test_contradiction),
        cmocka_unit_test(test_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
