/* sessions_test.c - settings by hand for clients, which get them by way of their sessions. */
#include "mgmtd/test_cluster.h"

#define FETCH_NS_MAX (2500 * MSEC) /* sessions are extended every 2 s */

/* What stands for a mount's settings. */
struct taker {
    uint32_t count;
    int result;
    char text[64];
};

static int take_config(void *arg, struct node *node, struct bytes toml, enum config_source source,
                       struct arena *arena, const char **ret_error)
{
    struct taker *t = arg;
    struct config_update *last = &node->last_config_update;
    t->count++;
    snprintf(t->text, sizeof t->text, "%.*s", (int)toml.size, (const char *)toml.base);
    *last = (struct config_update){ .wall_ns = 1, .source = source, .result = t->result };
    if (t->result < 0) snprintf(last->error, sizeof last->error, "key 'a' needs a restart");
    *ret_error = last->error;
    return t->result;
}

static int give(struct test_cluster *c, struct uuid client, const char *text)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct update_client_request request = { client, bytes_of_text(text) };
    struct empty_record none;
    uint64_t begin_ns = sim_now_ns(c->sim);
    int r = cluster_call(c, RPC_METHOD(mgmtd, update_client), &arena, &request, &none, 10 * SEC);
    require(c, sim_now_ns(c->sim) - begin_ns < FETCH_NS_MAX);
    return r;
}

static int run_by_hand(struct test_cluster *c)
{
    const struct uuid id = { 7, 9 }, other = { 7, 10 };
    struct taker taker = { 0 };
    struct node *node = c->client_node;
    require(c, mgmtd_client_start_session(c->client, NODE_FUSE, id, "mount") == 0);
    require(c, give(c, other, "a = 1") == -ERR_MGMTD_SESSION_NOT_FOUND);
    require(c, give(c, id, "a = 1") == -ERR_NOT_IMPLEMENTED);
    node->take_config = take_config;
    node->config_arg = &taker;
    for (uint32_t i = 1; i <= 3; i++) {
        require(c, give(c, id, "a = 2") == 0);
        require(c, taker.count == i);
    }
    require(c, strcmp(taker.text, "a = 2") == 0);
    taker.result = -ERR_CONFIG_UPDATE_FAILED;
    require(c, give(c, id, "a = 3") == -ERR_CONFIG_UPDATE_FAILED);
    /* once, however often the session is extended */
    require(c, fiber_sleep(10 * SEC) == 0);
    require(c, taker.count == 4);
    cleanup_arena_ struct arena arena = { 0 };
    struct empty_record none = { 0 };
    struct list_sessions_reply reply;
    require(c, cluster_call(c, RPC_METHOD(mgmtd, list_sessions), &arena, &none, &reply, SEC) == 0);
    require(c, reply.sessions.count == 1);
    const struct client_session *s = &reply.sessions.items[0];
    require(c, s->update_source == CONFIG_BY_HAND);
    require(c, s->update_status == ERR_CONFIG_UPDATE_FAILED);
    require(c, bytes_equal_text(s->update_error, "key 'a' needs a restart"));
    node->take_config = NULL;
    return 0;
}

static void test_by_hand(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct test_cluster_options options = { .seed = seed, .manager_count = 1 };
        test_cluster_run(&options, run_by_hand);
    }
}

/* The client stands still; who waits for it is told so, and what it was given is not kept. */
static int run_silent(struct test_cluster *c)
{
    const struct uuid id = { 7, 9 };
    struct taker taker = { 0 };
    struct machine *machine = sim_machine_new(c->sim, "mount");
    struct node *node = cluster_node(c, machine);
    struct mgmtd_client *client = cluster_client(c, node);
    struct empty_record none;
    cleanup_arena_ struct arena arena = { 0 };
    struct update_client_request request = { id, BYTES_LITERAL("a = 1") };
    node->take_config = take_config;
    node->config_arg = &taker;
    require(c, mgmtd_client_start_session(client, NODE_FUSE, id, "mount") == 0);
    sim_freeze(machine);
    require(c, cluster_call(c, RPC_METHOD(mgmtd, update_client), &arena, &request, &none,
                            5 * SEC) == -ERR_TIMEOUT);
    sim_thaw(machine);
    require(c, fiber_sleep(5 * SEC) == 0);
    require(c, taker.count == 0);
    require(c, give(c, id, "a = 2") == 0);
    require(c, taker.count == 1);
    mgmtd_client_free(client);
    node_stop(node);
    node_free(node);
    return 0;
}

static void test_silent(void **state)
{
    struct test_cluster_options options = { .seed = 1, .manager_count = 1 };
    test_cluster_run(&options, run_silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
