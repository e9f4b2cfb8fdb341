/* script_mgmtd.h - a cluster manager for tests of chains: the real chain state machine and real
 * leases, but no store and no network of its own, so that a test decides what each node hears.
 *
 * It implements client/mgmtd_client.h in place of the real one: link it before the client library.
 * A node finds its script by the address it is given (script_address()). Messages between a node
 * and the script take a random time, and none pass while the test has cut the node off.
 */
#pragma once
#include "client/mgmtd_client.h"
#include "loop/sim.h"

enum { SCRIPT_NODE_COUNT_MAX = 32, SCRIPT_CHAIN_COUNT_MAX = 32 };

struct script_node {
    uint32_t node_id;
    char address[64];
    uint64_t incarnation, seq; /* of the last heartbeat taken */
    uint64_t lease_end_ns;     /* in the world's time, on the script's clock */
    bool is_cut_off;           /* no message passes */
};

struct script_chain {
    uint32_t chain_id, version;
    uint32_t count;
    struct chain_member members[CHAIN_TARGET_COUNT_MAX]; /* in order */
};

struct script {
    struct sim *sim;
    uint64_t version; /* of the routing */
    struct script_node nodes[SCRIPT_NODE_COUNT_MAX];
    uint32_t node_count;
    struct script_chain chains[SCRIPT_CHAIN_COUNT_MAX];
    uint32_t chain_count;
    uint64_t delay_max_ns; /* of a message */
    uint64_t lease_ns, interval_ns;
    uint32_t change_count;     /* of chains */
    struct wait_queue changed; /* a newer version */
    bool is_frozen;            /* takes no heartbeat and changes nothing */
};

void script_init(struct script *s, struct sim *sim);
/* What goes into a node's mgmtd address. */
void script_address(const struct script *s, char *buf, size_t size);
void script_add_node(struct script *s, uint32_t node_id, const char *address);
struct script_node *script_find_node(struct script *s, uint32_t node_id);
/* A new chain, all SERVING, of targets target_ids[i] on node_ids[i]. */
void script_add_chain(struct script *s, uint32_t chain_id, const uint64_t *target_ids,
                      const uint32_t *node_ids, uint32_t count);
struct script_chain *script_find_chain(struct script *s, uint32_t chain_id);
/* A node without heartbeats hears nothing while it is cut off. */
void script_cut_client(struct mgmtd_client *c, bool is_cut_off);
/* A fiber of the world: leases end, chains change. Runs until cancelled. */
int script_run(void *script) fiber_fn;
/* Are all members of all chains SERVING? */
bool script_is_whole(const struct script *s);
/* One line: chain, version, and each target's node and states. */
void script_print_chain(const struct script_chain *c, char *buf, size_t size);
