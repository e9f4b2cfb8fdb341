/* meta_client_test.c - how long callers wait for metadata services that die: three that answer with
 * their own number, below a real cluster manager, in a world of simulated machines.
 */
#include "client/meta_client.h"
#include "mgmtd/test_cluster.h"

enum { META_COUNT = 3, META_ID = 101 };

struct service {
    struct test_cluster *cluster;
    struct machine *machine;
    struct node *node;
    struct rpc_server *server;
    struct mgmtd_client *client;
    struct scope scope;
    uint32_t node_id;
    bool is_hung;
};

static int on_lookup(void *self, struct rpc_call *call, const struct lookup_request *request,
                     struct inode_reply *reply)
{
    const struct service *s = self;
    reply->inode.id = s->node_id;
    return s->is_hung ? fiber_sleep(3600 * SEC) : 0;
}

static const struct meta_handlers handlers = { .lookup = on_lookup };

/* The first one has the store in its process: everybody asks it first. */
static void fill_heartbeat(void *arg, struct arena *arena, struct heartbeat_request *request)
{
    const struct service *s = arg;
    request->node.has_store = s->node_id == META_ID;
}

static int service_fiber(void *arg)
{
    struct service *s = arg;
    char address[64];
    snprintf(address, sizeof address, "TCP://%s:9000", sim_machine_host(s->machine));
    const char *addresses[] = { address };
    struct auth_keys keys;
    cluster_keys(&keys);
    struct rpc_server_options server = { .keys = &keys };
    check(net_address_parse(address, &server.listen) == 0);
    check(rpc_server_start(s->node, &server, &s->server) == 0);
    rpc_server_add(s->server, &meta_service, &handlers, s);
    s->client = cluster_client(s->cluster, s->node);
    struct heartbeat_options options = { .node_id = s->node_id,
                                         .type = NODE_META,
                                         .addresses = addresses,
                                         .address_count = 1,
                                         .fill = fill_heartbeat,
                                         .arg = s };
    check(mgmtd_client_start_heartbeat(s->client, &options) == 0);
    int r = fiber_sleep(3600 * SEC);
    FIBER_SHIELD();
    s->client = mgmtd_client_free(s->client);
    s->server = rpc_server_stop(s->server, 0);
    return r == -ERR_CANCELED ? 0 : r;
}

static void service_start(struct test_cluster *c, struct service *s, uint32_t i)
{
    char host[16];
    snprintf(host, sizeof host, "10.0.3.%u", i + 1);
    *s = (struct service){ .cluster = c,
                           .machine = sim_machine_new(c->sim, host),
                           .node_id = META_ID + i };
    s->node = cluster_node(c, s->machine);
    scope_init(&s->scope, sched_current());
    s->scope.local = s->node;
    check(fiber_spawn(&s->scope, "meta", service_fiber, s) == 0);
}

static void service_end(struct service *s)
{
    scope_done(&s->scope);
    node_stop(s->node);
    s->node = node_free(s->node);
}

/* One call; who answered. */
static uint64_t ask(struct test_cluster *c, struct meta_client *client, uint64_t *worst_ns)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct lookup_request req = { .parent = INODE_ROOT, .name = BYTES_LITERAL("x") };
    struct inode_reply rep = { 0 };
    meta_base_init(client, &(struct user_info){ 0 }, &req.base);
    uint64_t begin_ns = sim_now_ns(c->sim);
    require(c, meta_call(client, RPC_METHOD(meta, lookup), &arena, &req, &rep, NULL) == 0);
    *worst_ns = MAX_OF(*worst_ns, sim_now_ns(c->sim) - begin_ns);
    return rep.inode.id;
}

/* The service that everybody asks first dies, then the next one: the calls under way move on at
 * once, and nobody asks the dead one again, which would wait for the next attempt to connect. */
static int body(struct test_cluster *c)
{
    struct service services[META_COUNT];
    for (uint32_t i = 0; i < META_COUNT; i++) {
        service_start(c, &services[i], i);
    }
    struct meta_client_options options = { .client = { 7, 7 } };
    struct meta_client *client = meta_client_new(c->client_node, c->client, &options);
    require(c, mgmtd_client_wait_ready(c->client) == 0);
    for (int death = 0; death < META_COUNT - 1; death++) {
        require(c, fiber_sleep(2 * SEC) == 0);
        uint64_t worst_ns = 0, preferred = ask(c, client, &worst_ns);
        require(c, death > 0 || preferred == META_ID);
        sim_kill(services[preferred - META_ID].machine);
        worst_ns = 0;
        for (int i = 0; i < 500; i++) {
            require(c, ask(c, client, &worst_ns) != preferred);
            require(c, fiber_sleep(5 * MSEC) == 0);
        }
        require(c, worst_ns < 50 * MSEC);
    }
    meta_client_free(client);
    for (uint32_t i = 0; i < META_COUNT; i++) {
        service_end(&services[i]);
    }
    return 0;
}

/* One that beats, and does not answer, holds no call for longer than half a second. */
static int hang_body(struct test_cluster *c)
{
    struct service services[META_COUNT];
    for (uint32_t i = 0; i < META_COUNT; i++) {
        service_start(c, &services[i], i);
    }
    struct meta_client_options options = { .client = { 7, 7 } };
    struct meta_client *client = meta_client_new(c->client_node, c->client, &options);
    require(c, mgmtd_client_wait_ready(c->client) == 0);
    require(c, fiber_sleep(2 * SEC) == 0);
    uint64_t worst_ns = 0;
    services[0].is_hung = true;
    for (int i = 0; i < 20; i++) {
        require(c, ask(c, client, &worst_ns) != META_ID);
    }
    require(c, worst_ns < 600 * MSEC);
    /* The next one asked as well: patience grows. */
    worst_ns = 0;
    services[1].is_hung = true;
    for (int i = 0; i < 20; i++) {
        require(c, ask(c, client, &worst_ns) == META_ID + 2);
    }
    require(c, worst_ns < 1700 * MSEC);
    meta_client_free(client);
    for (uint32_t i = 0; i < META_COUNT; i++) {
        service_end(&services[i]);
    }
    return 0;
}

static void test_hangs(void **state)
{
    struct test_cluster_options options = { .seed = 1, .manager_count = 1 };
    test_cluster_run(&options, hang_body);
}

static void test_deaths(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        /* whose deaths are told by resets; of the others the cluster manager tells */
        struct test_cluster_options options = {
            .seed = seed,
            .manager_count = 1,
            .net = { .delay_min_ns = 50 * USEC, .delay_max_ns = 500 * USEC },
        };
        test_cluster_run(&options, body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_deaths),
                                        cmocka_unit_test(test_hangs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
