/* schema_test.c - records there and back through a store, tables in parts, orders, formats from the
 * future, damage, and the bootstrap of a cluster. */
#include "cluster/schema.h"

#include "cluster/cluster_init.h"
#include "cluster/test_world.h"

struct seen {
    uint32_t count;
    uint32_t ids[8];
    uint32_t versions[8];
    uint32_t chain_counts[8];
};

static int see_table(void *arg, const struct chain_table *v)
{
    struct seen *seen = arg;
    assert_true(seen->count < 8);
    seen->ids[seen->count] = v->table_id;
    seen->versions[seen->count] = v->version;
    seen->chain_counts[seen->count++] = v->chains.count;
    for (uint32_t i = 0; i < v->chains.count; i++) {
        assert_int_equal(v->chains.items[i], i + v->version);
    }
    assert_true(bytes_equal_text(v->desc, v->version == 2 ? "second" : ""));
    return 0;
}

static int see_chain(void *arg, const struct chain_info *v)
{
    struct seen *seen = arg;
    assert_true(seen->count < 8);
    seen->ids[seen->count++] = v->chain_id;
    assert_int_equal(v->members.count, 1);
    assert_int_equal(v->members.items[0].node_id, 17);
    return 0;
}

static int see_node(void *arg, const struct node_info *v)
{
    struct seen *seen = arg;
    seen->ids[seen->count++] = v->node_id;
    assert_true(bytes_equal_text(v->tags.items[0].key, "zone"));
    return seen->count == 2 ? -ERR_BUSY : 0;
}

static void put_table(struct kv_txn *txn, uint32_t id, uint32_t version, uint32_t count,
                      const char *desc)
{
    cleanup_(freep) uint32_t *chains = xcalloc(count, sizeof *chains);
    for (uint32_t i = 0; i < count; i++) {
        chains[i] = i + version;
    }
    struct chain_table table = { id, version, { chains, count }, bytes_of_text(desc), 0 };
    assert_int_equal(schema_set_table(txn, &table), 0);
}

static void records(struct world *w)
{
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    check(kv_begin(w->kv, &txn) == 0);
    put_table(txn, 1, 1, 3, "");
    put_table(txn, 1, 2, CHAIN_TABLE_CHAIN_COUNT_MAX, "second");
    put_table(txn, 256, 1, 0, "");
    put_table(txn, 2, 1, CHAIN_TABLE_PART_CHAIN_COUNT, "");
    struct chain_member member = { .target_id = 5, .public_state = PUBLIC_SERVING, .node_id = 17 };
    static const uint32_t chain_ids[] = { 300, 2, 70000 };
    struct tag tag = { BYTES_LITERAL("zone"), BYTES_LITERAL("a") };
    for (size_t i = 0; i < ARRAY_SIZE(chain_ids); i++) {
        struct chain_info chain = { .chain_id = chain_ids[i], .members = { &member, 1 } };
        struct node_info node = { .node_id = chain_ids[i], .tags = { &tag, 1 } };
        assert_int_equal(schema_set_chain(txn, &chain), 0);
        assert_int_equal(schema_set_node(txn, &node), 0);
    }
    check(kv_commit(txn) == 0);
    kv_end(TAKE_PTR(txn));

    check(kv_begin(w->kv, &txn) == 0);
    struct seen seen = { 0 };
    assert_int_equal(schema_each_table(txn, see_table, &seen), 0);
    static const struct seen want = { 4,
                                      { 1, 1, 2, 256 },
                                      { 1, 2, 1, 1 },
                                      { 3, CHAIN_TABLE_CHAIN_COUNT_MAX,
                                        CHAIN_TABLE_PART_CHAIN_COUNT, 0 } };
    assert_memory_equal(&seen, &want, sizeof want);
    seen = (struct seen){ 0 };
    assert_int_equal(schema_each_chain(txn, see_chain, &seen), 0);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.ids[0], 2);
    assert_int_equal(seen.ids[2], 70000);
    seen = (struct seen){ 0 };
    assert_int_equal(schema_each_node(txn, see_node, &seen),
                     -ERR_BUSY); /* ends where the callee says */
    assert_int_equal(seen.count, 2);
}

static void test_records(void **state)
{
    (void)state;
    world_run(records);
}

static void put_raw(struct world *w, const char *key, struct bytes value)
{
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    check(kv_begin(w->kv, &txn) == 0);
    kv_set(txn, bytes_of_text(key), value);
    check(kv_commit(txn) == 0);
}

static void formats(struct world *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct lease_record lease = { .term = 3, .owner = 1, .address = BYTES_LITERAL("TCP://a:1") },
                        got;
    static const struct {
        struct bytes value;
        int result;
    } cases[] = {
        { { (const uint8_t *)"\x02\x00\x00\x00\x00", 5 }, -ERR_FORMAT_TOO_NEW },
        { { (const uint8_t *)"", 0 }, -ERR_INVALID_FORMAT },
        { { (const uint8_t *)"\x01", 1 }, -ERR_INVALID_FORMAT },
        { { (const uint8_t *)"\x00\x00\x00\x00\x00", 5 }, -ERR_INVALID_FORMAT },
        { { (const uint8_t *)"\x01\x09\x00\x00\x00", 5 }, -ERR_INVALID_FORMAT },
        { { (const uint8_t *)"\x01\x00\x00\x00\x00", 5 }, 1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_raw(w, "SINGMgmtdLease", cases[i].value);
        cleanup_(kv_endp) struct kv_txn *txn = NULL;
        check(kv_begin(w->kv, &txn) == 0);
        assert_int_equal(schema_get_lease(txn, &arena, &got), cases[i].result);
        assert_int_equal(got.term, 0);
    }
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    check(kv_begin(w->kv, &txn) == 0);
    assert_int_equal(schema_get_lease_counter(txn, &arena, &(struct counter_record){ 0 }), 0);
    assert_int_equal(schema_set_lease(txn, &lease), 0);
    assert_int_equal(schema_get_lease(txn, &arena, &got), 1);
    assert_int_equal(got.term, 3);
    assert_true(bytes_equal_text(got.address, "TCP://a:1"));
}

static void test_formats(void **state)
{
    (void)state;
    world_run(formats);
}

static void configs(struct world *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct config_info config;
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    check(kv_begin(w->kv, &txn) == 0);
    assert_int_equal(schema_get_config(txn, &arena, NODE_META, 0, &config), 0);
    for (uint64_t version = 1; version <= 300; version++) {
        char *text = arena_printf(&arena, "version = %d", (int)version);
        config = (struct config_info){ NODE_META, version, bytes_of_text(text), BYTES_LITERAL("") };
        assert_int_equal(schema_set_config(txn, &config), 0);
    }
    assert_int_equal(schema_get_config(txn, &arena, NODE_META, 0, &config), 1);
    assert_int_equal(config.version, 300);
    assert_int_equal(schema_get_config(txn, &arena, NODE_META, 255, &config), 1);
    assert_true(bytes_equal_text(config.content, "version = 255"));
    assert_int_equal(schema_get_config(txn, &arena, NODE_META, 301, &config), 0);
    assert_int_equal(schema_get_config(txn, &arena, NODE_MGMTD, 0, &config), 0);
    cleanup_(freep) char *large = xcalloc(1, CONFIG_BYTES_MAX + 1);
    config = (struct config_info){ NODE_META, 301, bytes_of(large, CONFIG_BYTES_MAX + 1), { 0 } };
    assert_int_equal(schema_set_config(txn, &config), -ERR_INVALID_CONFIG);
}

static void test_configs(void **state)
{
    (void)state;
    world_run(configs);
}

static void bootstrap(struct world *w)
{
    struct cluster_identity first, second;
    uint64_t versions[NODE_TYPE_MAX];
    struct cluster_init_options options = { .cluster_id = "stage",
                                            .configs = { [NODE_META] = BYTES_LITERAL("a=1") } };
    assert_int_equal(cluster_load(w->kv, &first), -ERR_META_BAD_FILE_SYSTEM);
    assert_int_equal(cluster_init(w->node, w->kv, &options, &first, versions), 0);
    assert_int_equal(versions[NODE_META], 1);
    assert_int_equal(versions[NODE_MGMTD], 0);
    assert_int_equal(cluster_init(w->node, w->kv, &options, &second, versions), -ERR_META_EXISTS);
    options.allow_existing_config = true;
    assert_int_equal(cluster_init(w->node, w->kv, &options, &second, versions), 0);
    assert_int_equal(versions[NODE_META], 2);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(cluster_load(w->kv, &second), 0);
    assert_memory_equal(&first, &second, sizeof first);

    uint8_t key[AUTH_KEY_BYTES] = { 1 };
    assert_int_equal(cluster_key_get(w->kv, "", key), 0);
    assert_memory_equal(key, first.key, sizeof key);
    options.configs[NODE_META] = (struct bytes){ 0 };
    key[0]++;
    options.key = key;
    assert_int_equal(cluster_init(w->node, w->kv, &options, &second, NULL),
                     -ERR_MGMTD_CLUSTER_ID_MISMATCH);
    options.key = first.key;
    assert_int_equal(cluster_init(w->node, w->kv, &options, &second, NULL), 0);
    options.cluster_id = "prod";
    assert_int_equal(cluster_init(w->node, w->kv, &options, &second, NULL),
                     -ERR_MGMTD_CLUSTER_ID_MISMATCH);
    static const char *const bad[] = { "", "a b", "über", "12345678901234567890123456789012",
                                       "a/b" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        options.cluster_id = bad[i];
        assert_int_equal(cluster_init(w->node, w->kv, &options, &second, NULL), -ERR_INVALID_ARG);
    }
}

static void test_bootstrap(void **state)
{
    (void)state;
    world_run(bootstrap);
}

/* The ring keeps the latest, in order, and says them from either side. */
static void events(struct world *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    struct cluster_event_list got;
    assert_int_equal(kv_begin(w->kv, &txn), 0);
    assert_int_equal(schema_list_events(txn, &arena, 0, 5, &got), 0);
    assert_int_equal(got.count, 0);
    for (uint64_t seq = 1; seq <= EVENT_KEPT_MAX + 50; seq++) {
        struct cluster_event event = {
            .seq = seq, .kind = EVENT_CHAIN, .chain_id = 7, .what = BYTES_LITERAL("it changed")
        };
        assert_int_equal(schema_set_event(txn, &event), 0);
    }
    assert_int_equal(schema_list_events(txn, &arena, 0, 5, &got), 0);
    assert_int_equal(got.count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(got.items[i].seq, EVENT_KEPT_MAX + 46 + i);
    assert_true(bytes_equal_text(got.items[4].what, "it changed"));
    assert_int_equal(schema_list_events(txn, &arena, EVENT_KEPT_MAX + 48, 5, &got), 0);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.items[0].seq, EVENT_KEPT_MAX + 49);
    assert_int_equal(schema_list_events(txn, &arena, 1, 1, &got), 0);
    assert_int_equal(got.items[0].seq, 51);
}

static void test_events(void **state)
{
    world_run(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records), cmocka_unit_test(test_formats),
        cmocka_unit_test(test_configs), cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
