/* test_cluster.h - a simulated cluster around real mgmtd instances: storages that only heartbeat
 * and follow the chain rules, clients that watch, and checks that run at every chain change.
 *
 * Checked always: no chain version is shown with two contents; a chain never goes back; chain
 * invariants; routing never goes back for a watcher; a target loses SERVING only if its process
 * does not hold a lease, is gone, or said itself that it is offline.
 */
#pragma once
#include "base/check.h"
#include "client/mgmtd_client.h"
#include "loop/fault.h"
#include "loop/sim.h"
#include "mgmtd/mgmtd_internal.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h wants the two above */
#include <cmocka.h>

enum { MGMTD_COUNT_MAX = 3, STORAGE_COUNT_MAX = 8, STORAGE_TARGETS_MAX = 16, CHAIN_COUNT_MAX = 16 };

struct test_cluster;

struct test_manager {
    struct test_cluster *cluster;
    uint32_t node_id;
    struct machine *machine;
    struct node *node;
    struct kv *kv;
    struct mgmtd *m;
    struct scope main;
};

struct test_target {
    uint64_t target_id;
    uint32_t chain_id;
    uint32_t chain_version; /* durable: acted on */
    uint8_t public_state;   /* of that version */
    uint8_t local_state;
    uint64_t synced_at_ns; /* when a resync ends, world's time */
    uint32_t
        offline_version; /* it said OFFLINE under this version: serves only under a later one */
};

struct test_storage {
    struct test_cluster *cluster;
    uint32_t node_id;
    struct machine *machine;
    struct node *node;
    struct mgmtd_client *client;
    struct test_target targets[STORAGE_TARGETS_MAX]; /* survive restarts */
    uint32_t target_count;
    struct scope main;
    bool is_stopping; /* in order */
};

struct test_watcher {
    struct test_cluster *cluster;
    struct node *node;
    struct mgmtd_client *client;
    uint64_t term, version;
    uint64_t update_count;
    uint64_t
        longest_gap_ns; /* without any routing of the term of the primary; not used by all tests */
};

struct chain_seen {
    uint32_t version;
    struct chain_shape shape;
};

struct test_cluster {
    uint64_t seed;
    struct sim *sim;
    struct kv_mem_store *store;
    struct timing timing;
    struct test_manager managers[MGMTD_COUNT_MAX];
    uint32_t manager_count;
    struct test_storage storages[STORAGE_COUNT_MAX];
    uint32_t storage_count;
    struct machine *client_machine;
    struct node *client_node;
    struct mgmtd_client *client; /* an administrator's */
    struct test_watcher watcher;
    struct net_address servers[MGMTD_COUNT_MAX];
    struct chain_seen seen[CHAIN_COUNT_MAX]; /* by chain id */
    uint64_t change_count;
    uint64_t resync_ns;
    bool is_quiet; /* no log lines */
    int (*body)(struct test_cluster *c);
};

/* Prints the seed, the time and the text; ends the process: fibers cannot be left by cmocka. */
noreturn_ void cluster_fail(struct test_cluster *c, const char *fmt, ...) printf_(2, 3);
#define require(c, expr)                                                                           \
    do {                                                                                           \
        if (!(expr)) cluster_fail(c, "%s:%d: %s", __FILE__, __LINE__, #expr);                      \
    } while (0)

struct test_cluster_options {
    uint64_t seed;
    uint32_t manager_count, storage_count;
    const char *timing; /* NULL: default */
    struct sim_net_profile net;
};
/* Runs @body in a world with everything started; its result must be 0. */
void test_cluster_run(const struct test_cluster_options *options,
                      int (*body)(struct test_cluster *c));

/* What its servers take for proof. */
void cluster_keys(struct auth_keys *ret);
/* A process on the machine, whose log is the test's. */
struct node *cluster_node(struct test_cluster *c, struct machine *machine) must_check;
/* A server's client, which knows all managers. */
struct mgmtd_client *cluster_client(struct test_cluster *c, struct node *node) must_check;

void manager_start(struct test_manager *m) fiber_fn;
void manager_crash(struct test_manager *m) fiber_fn;
void manager_stop(struct test_manager *m) fiber_fn; /* in order */
void storage_start(struct test_storage *s) fiber_fn;
void storage_crash(struct test_storage *s) fiber_fn;
void storage_stop(struct test_storage *s) fiber_fn; /* in order */

/* Chains 1 .. @count of three targets on storages in turn; waits until all are SERVING. */
void cluster_make_chains(struct test_cluster *c, uint32_t count) fiber_fn;
struct test_manager *cluster_primary(struct test_cluster *c); /* NULL: none now */
/* Any call to the primary by the administrator; within @timeout_ns. */
int cluster_call(struct test_cluster *c, const struct rpc_method *method, struct arena *arena,
                 const void *request, void *reply, uint64_t timeout_ns) fiber_fn;
/* All chains full and SERVING as the watcher sees it, within @timeout_ns; prints what is not. */
bool cluster_wait_healthy(struct test_cluster *c, uint64_t timeout_ns) fiber_fn;
/* The state of a target as the watcher sees it; 0: unknown. */
uint8_t cluster_public_state(struct test_cluster *c, uint64_t target_id);
/* The watcher's routing equals a complete set fetched now. */
void cluster_check_deltas(struct test_cluster *c) fiber_fn;
uint64_t cluster_target_id(uint32_t storage, uint32_t chain);
