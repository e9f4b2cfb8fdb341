/* space_test.c - directories on one device count once; the fullest device bounds what is available.
 */
#include "meta/space.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NODE_COUNT_MAX = 4, TARGET_COUNT = 6 };

struct disk {
    uint32_t node;
    uint64_t device, capacity, free;
    uint32_t target_count;
    bool failed;
};

struct space_case {
    const char *what;
    uint32_t replicas, disk_count;
    struct disk disks[NODE_COUNT_MAX];
    struct statfs_reply want;
};

static const struct space_case cases[] = {
    { "no disk", 3, 0, { { 0 } }, { 0 } },
    { "one device for all",
      3,
      3,
      { { 1, 7, 900, 600, 2, false }, { 2, 7, 900, 600, 2, false }, { 3, 7, 900, 600, 2, false } },
      { .capacity_bytes = 300, .free_bytes = 200, .available_bytes = 200 } },
    { "a device each, equally full",
      3,
      3,
      { { 1, 7, 900, 600, 2, false }, { 2, 8, 900, 600, 2, false }, { 3, 9, 900, 600, 2, false } },
      { .capacity_bytes = 900, .free_bytes = 600, .available_bytes = 600 } },
    { "the fullest bounds",
      2,
      2,
      { { 1, 7, 900, 600, 2, false }, { 2, 8, 900, 100, 2, false } },
      { .capacity_bytes = 900, .free_bytes = 350, .available_bytes = 100 } },
    { "one is full",
      3,
      3,
      { { 1, 7, 900, 600, 2, false }, { 2, 8, 900, 0, 2, false }, { 3, 9, 900, 600, 2, false } },
      { .capacity_bytes = 900, .free_bytes = 400, .available_bytes = 0 } },
    { "a larger device with more targets",
      1,
      2,
      { { 1, 7, 400, 400, 4, false }, { 2, 8, 200, 200, 2, false } },
      { .capacity_bytes = 600, .free_bytes = 600, .available_bytes = 600 } },
    { "without targets it takes nothing",
      1,
      2,
      { { 1, 7, 400, 400, 4, false }, { 2, 8, 200, 0, 0, false } },
      { .capacity_bytes = 600, .free_bytes = 400, .available_bytes = 400 } },
    { "failed",
      1,
      2,
      { { 1, 7, 400, 400, 4, false }, { 2, 8, 200, 0, 4, true } },
      { .capacity_bytes = 400, .free_bytes = 400, .available_bytes = 400 } },
};

static void routing_fill(struct routing *r, const struct space_case *c)
{
    struct node_info nodes[NODE_COUNT_MAX];
    for (uint32_t i = 0; i < NODE_COUNT_MAX; i++)
        nodes[i] = (struct node_info){
            .node_id = i + 1, .type = NODE_STORAGE, .hostname = BYTES_LITERAL("host"), .changed = 1
        };
    struct chain_member members[NODE_COUNT_MAX] = { 0 };
    struct chain_info chain = {
        .chain_id = 1, .version = 1, .members = { members, c->replicas }, .changed = 1
    };
    struct get_routing_reply part = { .term = 1,
                                      .version = 1,
                                      .full = true,
                                      .nodes = { nodes, NODE_COUNT_MAX },
                                      .chains = { &chain, 1 } };
    routing_init(r, 7);
    assert_int_equal(routing_apply(r, &part, 1), 0);
}

static void test_space(void **state)
{
    (void)state;
    uint64_t targets[TARGET_COUNT] = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct space_case *c = &cases[i];
        cleanup_arena_ struct arena arena = { 0 };
        struct routing r;
        routing_fill(&r, c);
        struct disk_info infos[NODE_COUNT_MAX];
        struct node_disks nodes[NODE_COUNT_MAX];
        for (uint32_t d = 0; d < c->disk_count; d++) {
            const struct disk *disk = &c->disks[d];
            infos[d] = (struct disk_info){ .device = disk->device,
                                           .capacity_bytes = disk->capacity,
                                           .free_bytes = disk->free,
                                           .targets = { targets, disk->target_count },
                                           .failed = disk->failed };
            nodes[d] = (struct node_disks){ .node_id = disk->node, .disks = { &infos[d], 1 } };
        }
        struct list_disks_reply disks = { .nodes = { nodes, c->disk_count } };
        struct statfs_reply got = space_of_disks(&disks, &r, &arena);
        bool is_equal = got.capacity_bytes == c->want.capacity_bytes &&
                        got.free_bytes == c->want.free_bytes &&
                        got.available_bytes == c->want.available_bytes;
        if (!is_equal)
            fail_msg("%s: %llu, %llu, %llu", c->what, (unsigned long long)got.capacity_bytes,
                     (unsigned long long)got.free_bytes, (unsigned long long)got.available_bytes);
        routing_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_space) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
