/* heartbeat_test.c - heartbeats made by hand against one mgmtd: what is refused, who gets a lease,
 * when a target counts as offline.
 */
#include "mgmtd/test_cluster.h"

enum { CHAIN = 1, NODE_A = 101, NODE_B = 102 };

/* One process of a storage. */
struct process {
    struct test_cluster *c;
    uint32_t node_id;
    uint64_t incarnation, seq;
    struct local_target targets[4];
    uint32_t target_count;
    uint8_t type;
    bool is_stopping;
    const char *cluster_id;
    struct heartbeat_reply reply; /* of the last one; without lists */
};

static struct process process_of(struct test_cluster *c, uint32_t node_id, uint64_t incarnation)
{
    return (struct process){ .c = c,
                             .node_id = node_id,
                             .incarnation = incarnation,
                             .type = NODE_STORAGE,
                             .cluster_id = "test" };
}

static void lists(struct process *p, uint64_t target_id, uint8_t local, uint32_t chain_version)
{
    for (uint32_t i = 0; i < p->target_count; i++) {
        if (p->targets[i].target_id == target_id) p->target_count = i;
    }
    p->targets[p->target_count++] = (struct local_target){ .target_id = target_id,
                                                           .local_state = local,
                                                           .chain_id = CHAIN,
                                                           .chain_version = chain_version };
}

static int beat(struct process *p)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct heartbeat_request request = {
        .cluster_id = bytes_of_text(p->cluster_id),
        .node = { .node_id = p->node_id, .type = p->type, .incarnation = p->incarnation },
        .seq = ++p->seq,
        .targets = { p->targets, p->target_count },
        .stopping = p->is_stopping
    };
    struct rpc_options options = { .timeout_ns = SEC, .arena = &arena };
    struct rpc_target to = { mgmtd_client_pool(p->c->client), &p->c->servers[0], RPC_CONTROL };
    return mgmtd_heartbeat(to, &options, &request, &p->reply);
}

static void settle(struct test_cluster *c)
{
    require(c, fiber_sleep(20 * MSEC) == 0);
}

static uint8_t state_of(struct test_cluster *c, uint64_t target_id)
{
    settle(c);
    return cluster_public_state(c, target_id);
}

static uint32_t version_of(struct test_cluster *c)
{
    return routing_chain(mgmtd_client_routing(c->client), CHAIN)->version;
}

/* Chain 1 of targets 1 (of A) and 2 (of B), both acted on at version 1. */
static void make_chain(struct test_cluster *c, struct process *a, struct process *b)
{
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t ids[] = { 1, 2 };
    struct chain_spec spec = { .chain_id = CHAIN, .targets = { ids, 2 } };
    struct set_chains_request request = { .chains = { &spec, 1 } };
    struct empty_record reply;
    require(c, cluster_call(c, RPC_METHOD(mgmtd, set_chains), &arena, &request, &reply, SEC) == 0);
    *a = process_of(c, NODE_A, 10);
    *b = process_of(c, NODE_B, 10);
    lists(a, 1, LOCAL_ONLINE, 1);
    lists(b, 2, LOCAL_ONLINE, 1);
    require(c, beat(a) == 0 && a->reply.lease_ns == c->timing.node_lease_ns);
    require(c, beat(b) == 0 && b->reply.lease_ns == c->timing.node_lease_ns);
    require(c, state_of(c, 1) == PUBLIC_SERVING && state_of(c, 2) == PUBLIC_SERVING);
}

static void keep_alive(struct test_cluster *c, struct process *p, uint64_t ns)
{
    for (uint64_t i = 0; i < ns; i += 200 * MSEC) {
        require(c, beat(p) == 0);
        require(c, fiber_sleep(200 * MSEC) == 0);
    }
}

/* ---- refusals ---- */

static int run_refusals(struct test_cluster *c)
{
    struct process p = process_of(c, NODE_A, 10);
    require(c, beat(&p) == 0);
    p.seq--;
    require(c, beat(&p) == -ERR_MGMTD_HEARTBEAT_STALE);
    struct process other = process_of(c, NODE_A, 10);
    other.type = NODE_META;
    require(c, beat(&other) == -ERR_MGMTD_NODE_TYPE_MISMATCH);
    other = process_of(c, NODE_A, 10);
    other.cluster_id = "another";
    require(c, beat(&other) == -ERR_MGMTD_CLUSTER_ID_MISMATCH);
    other = process_of(c, 0, 10);
    require(c, beat(&other) == -ERR_MGMTD_HEARTBEAT_FAIL);
    other = process_of(c, 1, 10); /* the manager's own number */
    require(c, beat(&other) == -ERR_MGMTD_HEARTBEAT_FAIL);
    other = process_of(c, NODE_B, 10);
    other.type = NODE_FUSE;
    require(c, beat(&other) == -ERR_MGMTD_HEARTBEAT_FAIL);
    other.type = NODE_STORAGE;
    lists(&other, 5, 7, 0);
    require(c, beat(&other) == -ERR_MGMTD_HEARTBEAT_FAIL);

    /* an older process of the same number, while the newer lives; then the clock had gone back */
    struct process older = process_of(c, NODE_A, 9);
    require(c, beat(&older) == -ERR_MGMTD_HEARTBEAT_STALE);
    require(c, fiber_sleep(2 * SEC) == 0);
    require(c, beat(&older) == 0);
    require(c, beat(&p) == 0); /* the newer one again: it wins at once */
    require(c, beat(&older) == -ERR_MGMTD_HEARTBEAT_STALE);
    return 0;
}

/* ---- when is a target offline ---- */

static int run_offline(struct test_cluster *c)
{
    struct process a, b;
    make_chain(c, &a, &b);
    /* it says so */
    lists(&b, 2, LOCAL_OFFLINE, 1);
    require(c, beat(&b) == 0 && b.reply.lease_ns > 0); /* it will not serve again under version 1 */
    require(c, state_of(c, 2) == PUBLIC_OFFLINE && version_of(c) == 2);
    /* back, but without having heard of version 2: no lease, no new state */
    lists(&b, 2, LOCAL_UPTODATE, 1);
    require(c, beat(&b) == 0 && b.reply.lease_ns == 0);
    require(c, state_of(c, 2) == PUBLIC_OFFLINE);
    lists(&b, 2, LOCAL_ONLINE, 2);
    require(c, beat(&b) == 0 && b.reply.lease_ns > 0);
    require(c, state_of(c, 2) == PUBLIC_SYNCING && version_of(c) == 3);
    /* UPTODATE of an earlier version is no end of this resync */
    lists(&b, 2, LOCAL_UPTODATE, 2);
    require(c, beat(&b) == 0);
    require(c, state_of(c, 2) == PUBLIC_SYNCING);
    lists(&b, 2, LOCAL_UPTODATE, 3);
    require(c, beat(&b) == 0);
    require(c, state_of(c, 2) == PUBLIC_SERVING && version_of(c) == 4);
    /* it no longer lists it */
    b.target_count = 0;
    require(c, beat(&b) == 0);
    require(c, state_of(c, 2) == PUBLIC_OFFLINE && version_of(c) == 5);
    return 0;
}

static int run_restart(struct test_cluster *c)
{
    struct process a, b;
    make_chain(c, &a, &b);
    /* a new process that has its disk: the place is kept, before and after it meets the chain */
    b = process_of(c, NODE_B, 11);
    lists(&b, 2, LOCAL_ONLINE, 0);
    require(c, beat(&b) == 0 && b.reply.lease_ns > 0);
    require(c, state_of(c, 2) == PUBLIC_SERVING && version_of(c) == 1);
    lists(&b, 2, LOCAL_UPTODATE, 1);
    require(c, beat(&b) == 0);
    require(c, state_of(c, 2) == PUBLIC_SERVING && version_of(c) == 1);
    /* a new process without it: the one before may still live, somewhere, until its lease ends */
    uint64_t begin = sim_now_ns(c->sim);
    b = process_of(c, NODE_B, 12);
    while (state_of(c, 2) == PUBLIC_SERVING) {
        require(c, beat(&a) == 0 && beat(&b) == 0);
        require(c, fiber_sleep(50 * MSEC) == 0);
    }
    uint64_t took = sim_now_ns(c->sim) - begin;
    require(c, took >= c->timing.node_lease_ns && took < 2 * c->timing.node_lease_ns);
    return 0;
}

/* A second node claims a target. */
static int run_rival(struct test_cluster *c)
{
    struct process a, b, rival = process_of(c, 103, 5);
    make_chain(c, &a, &b);
    lists(&rival, 2, LOCAL_OFFLINE, 1);
    require(c, beat(&rival) == 0);
    require(c, state_of(c, 2) == PUBLIC_SERVING); /* whoever has it decides */
    lists(&rival, 2, LOCAL_UPTODATE, 1);
    require(c, beat(&rival) == 0 && rival.reply.lease_ns == 0);
    const struct chain_info *chain = routing_chain(mgmtd_client_routing(c->client), CHAIN);
    require(c, chain->members.items[1].node_id == NODE_B);
    /* the disk was moved: once the first has it no more, the second is its place */
    keep_alive(c, &a, 2 * SEC);
    require(c, state_of(c, 2) == PUBLIC_OFFLINE);
    lists(&rival, 2, LOCAL_ONLINE, 2);
    require(c, beat(&rival) == 0 && rival.reply.lease_ns > 0);
    require(c, state_of(c, 2) == PUBLIC_SYNCING);
    chain = routing_chain(mgmtd_client_routing(c->client), CHAIN);
    require(c, chain->members.items[1].node_id == 103);
    return 0;
}

static int run_stopping(struct test_cluster *c)
{
    struct process a, b;
    make_chain(c, &a, &b);
    b.is_stopping = true;
    require(c, beat(&b) == 0 && b.reply.lease_ns == 0);
    require(c, state_of(c, 2) == PUBLIC_OFFLINE);
    require(c,
            routing_node(mgmtd_client_routing(c->client), NODE_B)->status == NODE_HEARTBEAT_FAILED);
    a.is_stopping = true;
    require(c, beat(&a) == 0);
    require(c, state_of(c, 1) == PUBLIC_LASTSRV);
    /* the last one comes back: what it has is what there is */
    a = process_of(c, NODE_A, 20);
    lists(&a, 1, LOCAL_ONLINE, 0);
    require(c, beat(&a) == 0 && a.reply.lease_ns == 0);
    require(c, state_of(c, 1) == PUBLIC_LASTSRV); /* it has not seen the chain yet */
    lists(&a, 1, LOCAL_ONLINE, version_of(c));
    require(c, beat(&a) == 0 && a.reply.lease_ns > 0);
    require(c, state_of(c, 1) == PUBLIC_SERVING);
    return 0;
}

/* A target that was taken out of its chain, and does not know. */
static int run_removed(struct test_cluster *c)
{
    struct process a, b;
    make_chain(c, &a, &b);
    keep_alive(c, &a, 2 * SEC);
    require(c, state_of(c, 2) == PUBLIC_OFFLINE && version_of(c) == 2);
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t id = 2;
    struct chain_request request = { .chain_id = CHAIN,
                                     .targets = { &id, 1 },
                                     .mode = CHAIN_REMOVE };
    struct chain_reply reply;
    require(c,
            cluster_call(c, RPC_METHOD(mgmtd, update_chain), &arena, &request, &reply, SEC) == 0);
    require(c, reply.chain.version == 3 && reply.chain.members.count == 1);
    require(c, beat(&b) == 0 && b.reply.lease_ns == 0);
    request.mode = CHAIN_ADD;
    require(c,
            cluster_call(c, RPC_METHOD(mgmtd, update_chain), &arena, &request, &reply, SEC) == 0);
    require(c, beat(&a) == 0 && beat(&b) == 0 && b.reply.lease_ns == 0);
    require(c, state_of(c, 2) == PUBLIC_OFFLINE);
    lists(&b, 2, LOCAL_ONLINE, 4);
    require(c, beat(&b) == 0 && b.reply.lease_ns > 0);
    require(c, state_of(c, 2) == PUBLIC_SYNCING);
    return 0;
}

struct pair {
    struct process *a, *b;
};

static int pair_fiber(void *arg)
{
    const struct pair *pair = arg;
    for (;;) {
        int r = beat(pair->a);
        if (r == 0) r = beat(pair->b);
        if (r == 0) r = fiber_sleep(200 * MSEC);
        if (r < 0) return r;
    }
}

/* A rotation takes a living target out only when its lease is over. */
static int run_rotation(struct test_cluster *c)
{
    struct process a, b;
    make_chain(c, &a, &b);
    lists(&a, 1, LOCAL_UPTODATE, 1);
    lists(&b, 2, LOCAL_UPTODATE, 1);
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t ids[] = { 2, 1 };
    struct chain_request request = { .chain_id = CHAIN, .targets = { ids, 2 } };
    struct chain_reply reply;
    require(c, beat(&a) == 0 && beat(&b) == 0);
    require(c, cluster_call(c, RPC_METHOD(mgmtd, set_preferred_order), &arena, &request, &reply,
                            SEC) == 0);
    require(c, reply.chain.version == 1 && reply.chain.preferred_order.items[0] == 2);
    uint64_t begin = sim_now_ns(c->sim);
    request.targets.count = 0;
    struct pair pair = { &a, &b };
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    require(c, fiber_spawn(&scope, "heartbeats", pair_fiber, &pair) == 0);
    require(c, cluster_call(c, RPC_METHOD(mgmtd, rotate_as_preferred_order), &arena, &request,
                            &reply, 10 * SEC) == 0);
    uint64_t took = sim_now_ns(c->sim) - begin;
    require(c, took >= c->timing.node_lease_ns - 10 * MSEC && took < 2 * c->timing.node_lease_ns);
    require(c, a.reply.lease_ns == 0 && b.reply.lease_ns > 0);
    require(c, reply.chain.members.items[0].target_id == 2);
    require(c, reply.chain.members.items[1].public_state == PUBLIC_OFFLINE);
    return 0;
}

static void each_seed(int (*body)(struct test_cluster *c))
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        test_cluster_run(&(struct test_cluster_options){ .seed = seed, .manager_count = 1 }, body);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    each_seed(run_refusals);
}
static void test_offline(void **state)
{
    (void)state;
    each_seed(run_offline);
}
static void test_restart(void **state)
{
    (void)state;
    each_seed(run_restart);
}
static void test_rival(void **state)
{
    (void)state;
    each_seed(run_rival);
}
static void test_stopping(void **state)
{
    (void)state;
    each_seed(run_stopping);
}
static void test_removed(void **state)
{
    (void)state;
    each_seed(run_removed);
}
static void test_rotation(void **state)
{
    (void)state;
    each_seed(run_rotation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_offline),
        cmocka_unit_test(test_restart),  cmocka_unit_test(test_rival),
        cmocka_unit_test(test_stopping), cmocka_unit_test(test_removed),
        cmocka_unit_test(test_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
