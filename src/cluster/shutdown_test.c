/* shutdown_test.c - chains of a cluster that nobody leads. */
#include "cluster/shutdown.h"

#include "cluster/schema.h"
#include "cluster/test_world.h"

static const uint8_t before[2][3] = { { PUBLIC_SERVING, PUBLIC_SERVING, PUBLIC_SYNCING },
                                      { PUBLIC_LASTSRV, PUBLIC_WAITING, PUBLIC_OFFLINE } },
                     after[2][3] = { { PUBLIC_LASTSRV, PUBLIC_LASTSRV, PUBLIC_OFFLINE },
                                     { PUBLIC_LASTSRV, PUBLIC_OFFLINE, PUBLIC_OFFLINE } };

static void check_chains(const struct chain_info_list *chains, uint32_t version)
{
    assert_int_equal(chains->count, 2);
    for (uint32_t c = 0; c < 2; c++) {
        assert_int_equal(chains->items[c].chain_id, c + 1);
        assert_int_equal(chains->items[c].version, version);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(chains->items[c].members.items[i].public_state, after[c][i]);
            assert_int_equal(chains->items[c].members.items[i].target_id, 10 * c + i);
        }
        assert_int_equal(chains->items[c].preferred_order.count, 1);
        assert_int_equal(chains->items[c].preferred_order.items[0], 10 * c);
    }
}

static int put_records(struct kv_txn *txn, void *arg)
{
    int r = schema_set_lease(txn, &(struct lease_record){ .term = 7, .owner = 1, .nonce = 5 });
    for (uint32_t c = 0; c < 2 && r == 0; c++) {
        struct chain_member members[3];
        uint64_t first = 10 * c;
        for (uint32_t i = 0; i < 3; i++)
            members[i] =
                (struct chain_member){ .target_id = 10 * c + i, .public_state = before[c][i] };
        struct chain_info chain = { .chain_id = c + 1,
                                    .version = 4,
                                    .members = { members, 3 },
                                    .preferred_order = { &first, 1 } };
        r = schema_set_chain(txn, &chain);
    }
    return r;
}

static int check_lease(struct kv_txn *txn, void *arg)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct lease_record record;
    assert_int_equal(schema_get_lease(txn, &arena, &record), 1);
    assert_int_equal(record.term, *(const uint64_t *)arg);
    assert_int_equal(record.owner, 0);
    assert_int_equal(record.nonce, 0);
    return 0;
}

static void test_chains_in(struct world *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct chain_info_list chains;
    uint64_t term = 8;
    assert_int_equal(kv_transact(w->kv, KV_RETRY_SAFE, put_records, NULL), 0);
    assert_int_equal(cluster_shutdown_chains(w->kv, &arena, &chains), 2);
    check_chains(&chains, 5);
    assert_int_equal(kv_read_only(w->kv, check_lease, &term), 0);
    /* again: nothing is left to change */
    term = 9;
    assert_int_equal(cluster_shutdown_chains(w->kv, &arena, &chains), 0);
    check_chains(&chains, 5);
    assert_int_equal(kv_read_only(w->kv, check_lease, &term), 0);
}

static void test_chains(void **state)
{
    world_run(test_chains_in);
}

static int renew(struct kv_txn *txn, void *arg)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct counter_record counter;
    int r = schema_get_lease_counter(txn, &arena, &counter);
    counter.value++;
    return r < 0 ? r : schema_set_lease_counter(txn, &counter);
}

static int leader(void *arg)
{
    struct world *w = arg;
    while (fiber_sleep(2 * SEC) == 0)
        assert_int_equal(kv_transact(w->kv, KV_RETRY_SAFE, renew, NULL), 0);
    return 0;
}

static void test_is_led_in(struct world *w)
{
    uint32_t owner = 0;
    assert_int_equal(cluster_is_led(w->node, w->kv, &owner), 0); /* of a store without records */
    assert_int_equal(kv_transact(w->kv, KV_RETRY_SAFE, put_records, NULL), 0);
    assert_int_equal(cluster_is_led(w->node, w->kv, &owner), 0); /* he does not renew */
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = w->node;
    assert_int_equal(fiber_spawn(&scope, "leader", leader, w), 0);
    assert_int_equal(cluster_is_led(w->node, w->kv, &owner), 1);
    assert_int_equal(owner, 1);
}

static void test_is_led(void **state)
{
    world_run(test_is_led_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_chains),
                                        cmocka_unit_test(test_is_led) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
