/* storm_test.c - a simulated cluster with everything going wrong at random: machines crash, freeze
 * and are cut off, clocks drift, the store conflicts, hesitates and is gone; for many seeds.
 *
 * Beyond the checks of test_cluster.h: never two primaries; whoever holds a lease and believes to
 * serve does serve; and when all is well again, the cluster is whole within a minute.
 */
#include "mgmtd/test_cluster.h"

enum { SEED_COUNT = 200 };
#define STORM_NS (40 * SEC)
#define TICK_NS  (5 * MSEC)

static uint64_t dice(struct test_cluster *c, uint64_t bound)
{
    return sim_random_below(c->sim, bound);
}

/* ---- what must be true at any time ---- */

static void check_lease(struct test_cluster *c, const struct test_storage *s)
{
    if (!s->client || mgmtd_client_lease_end_ns(s->client) <= node_now_ns(s->node)) return;
    for (uint32_t i = 0; i < s->target_count; i++) {
        const struct test_target *t = &s->targets[i];
        const struct chain_seen *seen = &c->seen[t->chain_id];
        bool believes = t->local_state == LOCAL_UPTODATE && t->public_state == PUBLIC_SERVING;
        if (!believes || seen->version <= t->chain_version) continue;
        int at = chain_find(&seen->shape, t->target_id);
        if (at >= 0 && seen->shape.slots[at].public_state == PUBLIC_SERVING) continue;
        cluster_fail(
            c, "target %" PRIu64 " holds a lease and serves version %u, but not in version %u",
            t->target_id, t->chain_version, seen->version);
    }
}

static int ticker_fiber(void *arg)
{
    struct test_cluster *c = arg;
    for (;;) {
        (void)cluster_primary(c);
        for (uint32_t i = 0; i < c->storage_count; i++) {
            check_lease(c, &c->storages[i]);
        }
        int r = fiber_sleep(TICK_NS);
        if (r < 0) return r;
    }
}

/* ---- what goes wrong ---- */

static struct machine *any_machine(struct test_cluster *c)
{
    uint64_t i = dice(c, c->manager_count + c->storage_count);
    return i < c->manager_count ? c->managers[i].machine
                                : c->storages[i - c->manager_count].machine;
}

static void disturb_store(struct test_cluster *c)
{
    struct kv_mem_profile profile = { .delay_max_ns = dice(c, 20 * MSEC),
                                      .conflict_ppm = (uint32_t)dice(c, 50000),
                                      .maybe_committed_ppm = (uint32_t)dice(c, 50000),
                                      .too_old_ppm = (uint32_t)dice(c, 10000),
                                      .is_gone = dice(c, 8) == 0 };
    kv_mem_store_set(c->store, &profile);
}

/* Writes of a manager hesitate, before or after they are stored. */
static void disturb_writes(struct test_cluster *c, struct test_manager *manager)
{
    if (!manager->node) return;
    struct fault_rule rule = { .point = dice(c, 2) ? "mgmtd.write.before_commit"
                                                   : "mgmtd.write.committed",
                               .kind = FAULT_DELAY,
                               .delay_ns = dice(c, dice(c, 2) ? 4 * SEC : 200 * MSEC),
                               .hit_count = 1 + (uint32_t)dice(c, 3) };
    fault_add(manager->node, &rule);
}

static void disturb_net(struct test_cluster *c)
{
    struct sim_net_profile profile = { .delay_min_ns = 50 * USEC,
                                       .delay_max_ns = 100 * USEC + dice(c, 100 * MSEC),
                                       .loss_ppm = (uint32_t)dice(c, 20000),
                                       .reset_ppm = (uint32_t)dice(c, 2000) };
    sim_set_net_profile(c->sim, &profile);
}

static void disturb(struct test_cluster *c)
{
    struct test_manager *manager = &c->managers[dice(c, c->manager_count)];
    struct test_storage *storage = &c->storages[dice(c, c->storage_count)];
    struct machine *a = any_machine(c), *b = any_machine(c);
    switch (dice(c, 18)) {
    case 0: manager_crash(manager); break;
    case 1: manager_stop(manager); break;
    case 2:
    case 3: manager_start(manager); break;
    case 4: storage_crash(storage); break;
    case 5: storage_stop(storage); break;
    case 6:
    case 7: storage_start(storage); break;
    case 8:
        if (sim_machine_is_up(a)) sim_freeze(a);
        break;
    case 9: sim_thaw(a); break;
    case 10:
    case 11: sim_cut(a, b); break;
    case 12: sim_heal_all(c->sim); break;
    case 13:
    case 14: disturb_writes(c, manager); break;
    case 15: disturb_net(c); break;
    default: disturb_store(c); break;
    }
}

static void calm(struct test_cluster *c)
{
    sim_heal_all(c->sim);
    sim_set_net_profile(c->sim, &(struct sim_net_profile){ .delay_max_ns = MSEC });
    kv_mem_store_set(c->store, &(struct kv_mem_profile){ 0 });
    for (uint32_t i = 0; i < c->manager_count; i++) {
        sim_thaw(c->managers[i].machine);
        if (c->managers[i].node) fault_clear(c->managers[i].node);
        manager_start(&c->managers[i]);
    }
    for (uint32_t i = 0; i < c->storage_count; i++) {
        sim_thaw(c->storages[i].machine);
        storage_start(&c->storages[i]);
    }
}

static int run_storm(struct test_cluster *c)
{
    for (uint32_t i = 0; i < c->manager_count; i++) {
        sim_clock_drift(c->managers[i].machine, (int32_t)dice(c, 19000) - 9500);
    }
    for (uint32_t i = 0; i < c->storage_count; i++) {
        sim_clock_drift(c->storages[i].machine, (int32_t)dice(c, 19000) - 9500);
    }
    cluster_make_chains(c, 6);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    require(c, fiber_spawn(&scope, "ticker", ticker_fiber, c) == 0);
    uint64_t end = sim_now_ns(c->sim) + STORM_NS;
    while (sim_now_ns(c->sim) < end) {
        disturb(c);
        require(c, fiber_sleep(1 + dice(c, dice(c, 4) ? 300 * MSEC : 3 * SEC)) == 0);
    }
    calm(c);
    require(c, fiber_sleep(5 * SEC) == 0);
    require(c, cluster_wait_healthy(c, 60 * SEC));
    cluster_check_deltas(c);
    return 0;
}

static void storms(uint64_t first, uint64_t last)
{
    for (uint64_t seed = first; seed <= last; seed++) {
        struct test_cluster_options options = { .seed = seed,
                                                .manager_count = 3,
                                                .storage_count = 5,
                                                .timing = seed % 4 == 0 ? "fast" : "default" };
        test_cluster_run(&options, run_storm);
    }
}

static void test_storms(void **state)
{
    (void)state;
    storms(1, SEED_COUNT);
}

/* With numbers: the seeds to run. */
int main(int argc, char **argv)
{
    if (argc == 3) {
        storms(strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10));
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
