/* cluster_test.c - real mgmtd instances in a simulated cluster: failover, partitions, lost stores,
 * leases.
 */
#include "mgmtd/test_cluster.h"

#define CHECKED(expr)                                                                              \
    do {                                                                                           \
        int checked_ = (expr);                                                                     \
        if (checked_ != 0) fail_msg("%s is %d", #expr, checked_);                                  \
    } while (0)

static int run_start(struct test_cluster *c)
{
    cluster_make_chains(c, 4);
    cluster_check_deltas(c);
    const struct routing *routing = mgmtd_client_routing(c->client);
    assert_int_equal(routing->chains.count, 4);
    assert_int_equal(routing->nodes.count, c->manager_count + c->storage_count);
    assert_non_null(cluster_primary(c));
    return 0;
}

static void test_start(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        test_cluster_run(
            &(struct test_cluster_options){ .seed = seed, .manager_count = 1, .storage_count = 3 },
            run_start);
        test_cluster_run(
            &(struct test_cluster_options){ .seed = seed, .manager_count = 3, .storage_count = 5 },
            run_start);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
