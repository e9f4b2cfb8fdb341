/* routing_test.c - parts applied in order, rollback refused, removed nodes forgotten, table lookups
 * that wrap.
 */
#include "client/routing.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct node_info node_of(uint32_t id, uint64_t changed, struct text_list addresses)
{
    return (struct node_info){ .node_id = id,
                               .type = NODE_STORAGE,
                               .status = NODE_HEARTBEAT_CONNECTED,
                               .hostname = BYTES_LITERAL("host"),
                               .addresses = addresses,
                               .changed = changed };
}

static struct get_routing_reply part_of(uint64_t term, uint64_t version, bool full)
{
    return (struct get_routing_reply){ .term = term, .version = version, .full = full };
}

static void test_nodes(void **state)
{
    (void)state;
    struct routing r;
    routing_init(&r, 7);
    struct bytes addresses[] = { BYTES_LITERAL("TCP://10.0.0.1:9000"),
                                 BYTES_LITERAL("TCP://[::1]:9000") };
    struct tag tags[] = { { BYTES_LITERAL("TrafficZone"), BYTES_LITERAL("A") } };
    struct node_info nodes[] = { node_of(1, 3, (struct text_list){ addresses, 2 }),
                                 node_of(2, 4, (struct text_list){ NULL, 0 }) };
    nodes[0].tags = (struct tag_list){ tags, 1 };
    struct get_routing_reply part = part_of(1, 4, true);
    part.nodes = (struct node_info_list){ nodes, 2 };
    assert_int_equal(routing_apply(&r, &part, 1), 0);
    memset(nodes, 0xee, sizeof nodes);
    memset(tags, 0xee, sizeof tags);
    addresses[0] = (struct bytes){ 0 };

    struct net_address at;
    assert_int_equal(routing_address(&r, 1, &at), 0);
    assert_string_equal(at.host, "10.0.0.1");
    assert_int_equal(at.port, 9000);
    assert_int_equal(routing_address(&r, 2, &at), -ERR_NOT_AVAILABLE);
    assert_int_equal(routing_address(&r, 3, &at), -ERR_MGMTD_NODE_NOT_FOUND);
    const struct node_info *held = routing_node(&r, 1);
    assert_true(bytes_equal_text(held->hostname, "host"));
    assert_true(bytes_equal_text(held->tags.items[0].value, "A"));
    assert_true(bytes_equal_text(held->addresses.items[1], "TCP://[::1]:9000"));

    struct node_info gone = { .node_id = 1, .removed = 1, .changed = 5 };
    part = part_of(1, 5, false);
    part.nodes = (struct node_info_list){ &gone, 1 };
    assert_int_equal(routing_apply(&r, &part, 1), 0);
    assert_null(routing_node(&r, 1));
    assert_non_null(routing_node(&r, 2));
    routing_done(&r);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        uint64_t term, version;
        bool full;
        int result;
    } cases[] = {
        { 5, 100, false, 0 },                                  /* nothing new */
        { 5, 99, false, -ERR_MGMTD_INVALID_ROUTING_VERSION },  /* back */
        { 5, 99, true, -ERR_MGMTD_INVALID_ROUTING_VERSION },   /* back, complete */
        { 4, 200, true, -ERR_MGMTD_INVALID_ROUTING_VERSION },  /* of an older term */
        { 6, 200, false, -ERR_MGMTD_INVALID_ROUTING_VERSION }, /* a delta against nothing we have */
        { 6, 99, true, -ERR_MGMTD_INVALID_ROUTING_VERSION },   /* a term that began too low */
        { 6, 101, true, 0 },
        { 5, 300, true, -ERR_MGMTD_INVALID_ROUTING_VERSION },
    };
    struct routing r;
    routing_init(&r, 1);
    struct get_routing_reply part = part_of(5, 100, true);
    struct chain_info chain = { .chain_id = 9, .version = 1, .changed = 100 };
    part.chains = (struct chain_info_list){ &chain, 1 };
    assert_int_equal(routing_apply(&r, &part, 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t term = r.term, version = r.version;
        part = part_of(cases[i].term, cases[i].version, cases[i].full);
        part.chains = (struct chain_info_list){ &chain, 1 };
        assert_int_equal(routing_apply(&r, &part, 1), cases[i].result);
        assert_non_null(routing_chain(&r, 9));
        if (cases[i].result == 0) continue;
        assert_true(r.term == term && r.version == version);
    }
    struct get_routing_reply mixed[] = { part_of(7, 500, true), part_of(8, 501, false) };
    assert_int_equal(routing_apply(&r, mixed, 2), -ERR_INVALID_ARG);
    assert_int_equal(routing_apply(&r, mixed, 0), -ERR_INVALID_ARG);
    routing_done(&r);
}

static void test_parts(void **state)
{
    (void)state;
    struct routing r;
    routing_init(&r, 3);
    struct get_routing_reply old = part_of(1, 5, true);
    struct chain_info stale = { .chain_id = 77, .version = 1, .changed = 5 };
    old.chains = (struct chain_info_list){ &stale, 1 };
    assert_int_equal(routing_apply(&r, &old, 1), 0);

    /* a complete set in two parts; chain 1 changed between them */
    struct chain_member members[] = { { .target_id = 101, .public_state = PUBLIC_SERVING } };
    uint64_t preferred[] = { 101 };
    struct chain_info first = { .chain_id = 1, .version = 1, .changed = 10 };
    struct chain_info second[] = { { .chain_id = 2, .version = 1, .changed = 11 },
                                   { .chain_id = 1, .version = 2, .changed = 12 } };
    second[1].members = (struct chain_member_list){ members, 1 };
    second[1].preferred_order = (struct u64_list){ preferred, 1 };
    struct get_routing_reply parts[] = { part_of(2, 12, true), part_of(2, 12, false) };
    parts[0].chains = (struct chain_info_list){ &first, 1 };
    parts[1].chains = (struct chain_info_list){ second, 2 };
    assert_int_equal(routing_apply(&r, parts, 2), 0);
    members[0].target_id = preferred[0] = 0;
    assert_null(routing_chain(&r, 77));
    assert_non_null(routing_chain(&r, 2));
    const struct chain_info *chain = routing_chain(&r, 1);
    assert_int_equal(chain->version, 2);
    assert_int_equal(chain->members.items[0].target_id, 101);
    assert_int_equal(chain->preferred_order.items[0], 101);
    assert_int_equal(r.version, 12);

    /* an older record in a delta does not replace a newer one */
    struct get_routing_reply late = part_of(2, 13, false);
    late.chains = (struct chain_info_list){ &first, 1 };
    assert_int_equal(routing_apply(&r, &late, 1), 0);
    assert_int_equal(routing_chain(&r, 1)->version, 2);
    routing_done(&r);
}

static void test_tables(void **state)
{
    (void)state;
    struct routing r;
    routing_init(&r, 3);
    uint32_t chains[][3] = { { 11, 12, 13 }, { 21, 22, 0 } };
    struct chain_table tables[] = {
        { .table_id = 1, .version = 2, .chains = { chains[1], 2 }, .desc = BYTES_LITERAL("new") },
        { .table_id = 1, .version = 1, .chains = { chains[0], 3 } },
        { .table_id = 3, .version = 1 },
    };
    struct get_routing_reply part = part_of(1, 3, true);
    part.tables = (struct chain_table_list){ tables, 3 };
    assert_int_equal(routing_apply(&r, &part, 1), 0);
    memset(chains, 0, sizeof chains);

    static const struct {
        uint32_t table_id, version, index, chain_id;
    } cases[] = {
        { 1, 1, 1, 11 }, { 1, 1, 3, 13 }, { 1, 1, 4, 11 }, { 1, 1, 3000000000, 13 },
        { 1, 0, 1, 21 }, { 1, 0, 2, 22 }, { 1, 0, 3, 21 }, { 1, 1, 0, 0 },
        { 1, 3, 1, 0 },  { 2, 0, 1, 0 },  { 3, 1, 1, 0 },  { 0, 0, 42, 42 },
        { 0, 0, 0, 0 },  { 0, 1, 1, 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t got = routing_chain_of(&r, cases[i].table_id, cases[i].version, cases[i].index);
        assert_int_equal(got, cases[i].chain_id);
    }
    assert_true(bytes_equal_text(routing_table(&r, 1, 0)->desc, "new"));

    /* the same version again, with another description, replaces the copy that `latest` borrows */
    tables[0].desc = BYTES_LITERAL("newer");
    tables[0].chains = (struct u32_list){ 0 };
    part = part_of(1, 4, false);
    part.tables = (struct chain_table_list){ tables, 1 };
    assert_int_equal(routing_apply(&r, &part, 1), 0);
    assert_true(bytes_equal_text(routing_table(&r, 1, 0)->desc, "newer"));
    routing_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
