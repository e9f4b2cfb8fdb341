/* chain_table_test.c - numbers and lines of the files, their uniqueness, and what is refused. */
#include "placement/chain_table.h"

#include "base/check.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct chain_table_options guide = {
    .node_id_begin = 1001,
    .node_id_end = 1005,
    .disks_per_node = 1,
    .targets_per_disk = 6,
    .target_id_prefix = 1,
    .chain_id_prefix = 9,
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* All numbers of a CSV after its first line, sorted. */
static uint64_t *numbers_of(struct arena *arena, const char *csv, uint32_t *ret_count)
{
    uint64_t *numbers = arena_array(arena, uint64_t, strlen(csv));
    uint32_t count = 0;
    for (char *p = strchr(csv, '\n'), *end; *++p; p = end)
        numbers[count++] = strtoull(p, &end, 10);
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    *ret_count = count;
    return numbers;
}

static void assert_unique(struct arena *arena, const char *csv, uint32_t wanted)
{
    uint32_t count;
    uint64_t *numbers = numbers_of(arena, csv, &count);
    assert_int_equal(count, wanted);
    for (uint32_t i = 1; i < count; i++)
        assert_true(numbers[i] != numbers[i - 1]);
}

static void test_guide(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct design d;
    struct chain_table_files files;
    const char *error = NULL;
    design_make(&arena, 5, 3, 6, 1, NULL, &d);
    assert_int_equal(chain_table_make(&arena, &d, &guide, &files, &error), 0);
    assert_int_equal(files.target_count, 30);
    assert_int_equal(files.chain_count, 10);
    assert_int_equal(strncmp(files.chains, "ChainId,TargetId,TargetId,TargetId\n900100001,", 45),
                     0);
    assert_int_equal(strncmp(files.table, "ChainId\n900100001\n900100002\n", 28), 0);
    assert_non_null(strstr(files.create_targets,
                           "create-target --node-id 1003 --disk-index 0 --target-id 100100300106 "
                           "--chain-id 9001000"));
    assert_non_null(strstr(files.create_targets, "  --use-new-chunk-engine\n"));
    assert_non_null(strstr(files.remove_targets,
                           "offline-target --node-id 1001 --target-id 100100100101\n"
                           "remove-target --node-id 1001 --target-id 100100100101\n"));
    assert_unique(&arena, files.chains, 40);
    uint32_t heads[5] = { 0 };
    for (const char *p = strchr(files.chains, '\n'); *++p; p = strchr(p, '\n'))
        heads[(strtoull(strchr(p, ',') + 1, NULL, 10) / 100000 % 1000000) - 1001]++;
    for (int i = 0; i < 5; i++)
        assert_int_equal(heads[i], 2);
}

static void test_many_disks(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct design d;
    struct chain_table_files files;
    const char *error = NULL;
    uint64_t sizes[] = { 65536, 1048576 };
    struct chain_table_options o = guide;
    o.disks_per_node = 16;
    o.chunk_sizes = sizes;
    o.chunk_size_count = 2;
    design_make(&arena, 5, 3, 6, 1, NULL, &d);
    assert_int_equal(chain_table_make(&arena, &d, &o, &files, &error), 0);
    assert_unique(&arena, files.chains, 160 + 480);
    assert_non_null(strstr(files.create_targets, " --chunk-size 65536 1048576 --use-new"));
    assert_non_null(strstr(files.chains, "\n901600010,"));
    o.is_ec = true;
    assert_int_equal(chain_table_make(&arena, &d, &o, &files, &error), 0);
    assert_int_equal(files.chain_count, 480);
    assert_unique(&arena, files.chains, 960);
}

static void test_refused(void **state)
{
    static const struct {
        struct chain_table_options change; /* what is not zero */
        const char *error;
    } cases[] = {
        { { .node_id_end = 1006 }, "nodes 1001 to 1006 are 6, but the matrix is for 5" },
        { { .node_id_end = 1000 }, "in this order" },
        { { .node_id_end = 1000000 }, "from 1 to 999999" },
        { { .disks_per_node = 999 }, "--num_disks_per_node" },
        { { .targets_per_disk = 7 }, "--num_targets_per_disk is 7, but the matrix has 6" },
        { { .chain_id_prefix = 43 }, "--chain_id_prefix" },
        { { .target_id_prefix = 100000000 }, "--target_id_prefix" },
    };
    cleanup_arena_ struct arena arena = { 0 };
    struct design d;
    design_make(&arena, 5, 3, 6, 1, NULL, &d);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct chain_table_options o = guide;
        const struct chain_table_options *c = &cases[i].change;
        struct chain_table_files files;
        const char *error = NULL;
        if (c->node_id_end) o.node_id_end = c->node_id_end;
        if (c->disks_per_node) o.disks_per_node = c->disks_per_node;
        if (c->targets_per_disk) o.targets_per_disk = c->targets_per_disk;
        if (c->chain_id_prefix) o.chain_id_prefix = c->chain_id_prefix;
        if (c->target_id_prefix) o.target_id_prefix = c->target_id_prefix;
        assert_int_equal(chain_table_make(&arena, &d, &o, &files, &error), -ERR_INVALID_ARG);
        if (!strstr(error, cases[i].error)) fail_msg("case %zu: %s", i, error);
    }
    struct chain_table_options o = guide;
    struct chain_table_files files;
    const char *error = NULL;
    o.node_id_end = 1007;
    o.targets_per_disk = 5;
    design_make(&arena, 7, 4, 5, 1, NULL, &d);
    assert_int_equal(chain_table_make(&arena, &d, &o, &files, &error), -ERR_INVALID_ARG);
    assert_non_null(strstr(error, "uses 32 targets of 35"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guide),
        cmocka_unit_test(test_many_disks),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
