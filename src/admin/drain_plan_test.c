/* drain_plan_test.c - a node of a balanced cluster is emptied on paper, again and again: no chain
 * gets two targets on a node, the loads stay within one, numbers are unique; and the tag. */
#include "admin/drain_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { NODE_COUNT = 6, CHAIN_COUNT = 12, K = 3 };

struct world {
    struct node_info nodes[NODE_COUNT];
    const struct node_info *node_list[NODE_COUNT];
    struct disk_info disks[NODE_COUNT];
    struct node_disks said[NODE_COUNT];
    struct node_disks_list disk_list;
    struct chain_member members[CHAIN_COUNT][K];
    struct chain_info chains[CHAIN_COUNT];
    const struct chain_info *chain_list[CHAIN_COUNT];
    struct drain_moves moves;
    struct drain_view view;
};

/* Six nodes with a disk each, six targets on each of them. */
static void world_init(struct world *w)
{
    uint32_t used[NODE_COUNT] = { 0 };
    *w = (struct world){ 0 };
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        w->nodes[i] = (struct node_info){ .node_id = 1001 + i,
                                          .type = NODE_STORAGE,
                                          .status = NODE_HEARTBEAT_CONNECTED };
        w->node_list[i] = &w->nodes[i];
        w->disks[i] = (struct disk_info){ .capacity_bytes = 1000, .free_bytes = 900 };
        w->said[i] = (struct node_disks){ 1001 + i, { &w->disks[i], 1 } };
    }
    for (uint32_t c = 0; c < CHAIN_COUNT; c++) {
        for (uint32_t i = 0; i < K; i++) {
            uint32_t node = (c + i * (1 + c / NODE_COUNT)) % NODE_COUNT;
            w->members[c][i] =
                (struct chain_member){ .target_id = 100000000000ull +
                                                    (1001 + (uint64_t)node) * 100000 + 100 +
                                                    ++used[node],
                                       .public_state = PUBLIC_SERVING,
                                       .node_id = 1001 + node };
        }
        w->chains[c] =
            (struct chain_info){ .chain_id = 900100001 + c, .members = { w->members[c], K } };
        w->chain_list[c] = &w->chains[c];
    }
    w->disk_list = (struct node_disks_list){ w->said, NODE_COUNT };
    w->view = (struct drain_view){ w->node_list, NODE_COUNT,    w->chain_list,
                                   CHAIN_COUNT,  &w->disk_list, &w->moves };
}

static int choose(struct world *w, uint32_t chain, uint32_t leaving, uint64_t need, uint64_t *ret)
{
    return drain_choose(&w->view, &w->chains[chain], leaving, need, NULL, 0, ret);
}

static void move_all(struct world *w, uint32_t leaving)
{
    for (uint32_t c = 0; c < CHAIN_COUNT; c++) {
        for (uint32_t i = 0; i < K; i++) {
            uint64_t id = 0;
            if (w->members[c][i].node_id != leaving) continue;
            assert_int_equal(choose(w, c, leaving, 10, &id), 0);
            for (uint32_t other = 0; other < CHAIN_COUNT * K; other++)
                assert_int_not_equal(w->members[other / K][other % K].target_id, id);
            w->members[c][i].target_id = id;
            w->members[c][i].node_id = drain_node_of(id);
            w->members[c][i].disk_index = drain_disk_of(id);
        }
    }
}

static void check_world(struct world *w, uint32_t leaving, uint32_t least, uint32_t most)
{
    uint32_t loads[NODE_COUNT] = { 0 };
    for (uint32_t c = 0; c < CHAIN_COUNT; c++) {
        for (uint32_t i = 0; i < K; i++) {
            loads[w->members[c][i].node_id - 1001]++;
            for (uint32_t j = 0; j < i; j++)
                assert_int_not_equal(w->members[c][i].node_id, w->members[c][j].node_id);
        }
    }
    for (uint32_t n = 0; n < NODE_COUNT; n++) {
        if (1001 + n == leaving) assert_int_equal(loads[n], 0);
        if (1001 + n != leaving) assert_in_range(loads[n], least, most);
    }
}

static void test_moves(void **state)
{
    struct world w;
    world_init(&w);
    check_world(&w, 0, 6, 6);
    move_all(&w, 1003);
    check_world(&w, 1003, 7, 8);
    /* it comes back empty: whoever leaves now goes there first */
    move_all(&w, 1005);
    check_world(&w, 1005, 6, 9);
}

static void test_who_may_take(void **state)
{
    struct world w;
    struct tag tag = { .key = BYTES_LITERAL(DRAIN_TAG) };
    uint64_t id = 0;
    world_init(&w); /* chain 0 is on 1001, 1002, 1003 */
    w.nodes[3].status = NODE_DISABLED;
    w.nodes[4].tags = (struct tag_list){ &tag, 1 };
    assert_int_equal(choose(&w, 0, 1001, 10, &id), 0);
    assert_int_equal(id, 100100600107);
    /* one that is on its way counts, and its number is taken */
    w.moves = (struct drain_moves){ { { 1, 100100600107 } }, 1 };
    assert_int_equal(choose(&w, 0, 1001, 10, &id), 0);
    assert_int_equal(id, 100100600108);
    w.disks[5].failed = 1;
    assert_int_equal(choose(&w, 0, 1001, 10, &id), -ERR_NO_SPACE);
    w.disks[5].failed = 0;
    assert_int_equal(choose(&w, 0, 1001, 870, &id), -ERR_NO_SPACE);
    struct drain_refusal refusal = { 900100001, 1006 };
    assert_int_equal(drain_choose(&w.view, &w.chains[0], 1001, 10, &refusal, 1, &id),
                     -ERR_NO_SPACE);
    w.nodes[3].status = NODE_HEARTBEAT_CONNECTED;
    assert_int_equal(drain_choose(&w.view, &w.chains[0], 1001, 10, &refusal, 1, &id), 0);
    assert_int_equal(drain_node_of(id), 1004);
}

static void test_tag(void **state)
{
    struct arena arena = { 0 };
    struct drain_moves moves = { { { 100100100101, 100100600107 }, { 5, 6 } }, 2 }, got;
    const char *text = drain_moves_to_text(&moves, &arena);
    assert_string_equal(text, "100100100101>100100600107,5>6");
    assert_int_equal(drain_moves_parse(bytes_of_text(text), &got), 0);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.items[1].new_target, 6);
    assert_int_equal(drain_moves_parse(bytes_of_text(""), &got), 0);
    assert_int_equal(got.count, 0);
    assert_string_equal(drain_moves_to_text(&got, &arena), "");
    static const char *const bad[] = { "x",    "1",     "1>",    ">1",
                                       "1>2;", "1>2,x", "1,2>3", "1234567890123456789>1" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(drain_moves_parse(bytes_of_text(bad[i]), &got), -ERR_INVALID_FORMAT);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_moves),
                                        cmocka_unit_test(test_who_may_take),
                                        cmocka_unit_test(test_tag) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
