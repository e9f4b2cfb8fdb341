/* mgmtd_client.h - one node's tie to the cluster manager: finds the primary, watches routing, sends
 * heartbeats or extends a client session, renews the capability.
 *
 * Addresses are given once ("TCP://a:8000,TCP://b:8000"); the primary is found among them and
 * followed. While none answers, everything goes on with the routing that is held, and calls wait
 * for their deadline.
 */
#pragma once
#include "client/routing.h"
#include "rpc/rpc.h"

struct mgmtd_client;

struct mgmtd_client_options {
    const char *cluster_id;            /* copied */
    const struct net_address *servers; /* copied */
    uint32_t server_count;
    const struct auth_identity *identity; /* SERVER or TOKEN; copied */
};
/* Starts the routing watch; returns at once. */
struct mgmtd_client *mgmtd_client_new(struct node *node,
                                      const struct mgmtd_client_options *options);
struct mgmtd_client *mgmtd_client_free(struct mgmtd_client *c) fiber_fn;
CLEANUP_FUNC(struct mgmtd_client *, mgmtd_client_free)

struct routing *mgmtd_client_routing(struct mgmtd_client *c);
/* Waits for the first routing. Logs once a second-long step what it waits for. */
int mgmtd_client_wait_ready(struct mgmtd_client *c) fiber_fn must_check;
/* The pool for calls to meta and storage: identity SERVER, or the CAPABILITY that login gave
 * (renewed). */
struct rpc_pool *mgmtd_client_pool(struct mgmtd_client *c);
/* Calls the primary, following it, until the deadline: any method of proto/mgmtd.h. @options as for
 * rpc_call(); retried on FAILOVER statuses; MGMTD_NOT_PRIMARY moves on. */
int mgmtd_client_call(struct mgmtd_client *c, const struct rpc_method *method,
                      const struct rpc_options *options, const void *request,
                      void *reply) fiber_fn must_check;

/* Servers. The callback fills the parts that change (targets, disks; arena memory) just before each
 * heartbeat. Configurations that come with the answers go to the node (node.h, take_config), and so
 * do those of a client's session. */
struct heartbeat_options {
    uint32_t node_id;
    enum node_type type;
    const char *const *addresses; /* advertised; copied */
    uint32_t address_count;
    void (*fill)(void *arg, struct arena *arena, struct heartbeat_request *request);
    void *arg;
};
int mgmtd_client_start_heartbeat(struct mgmtd_client *c,
                                 const struct heartbeat_options *options) must_check;
/* For auth_keys of a service: whether the user was removed, as the heartbeats have told. */
bool mgmtd_client_is_revoked(void *client, const struct auth_peer *peer);
/* Sends one now (a state changed); coalesced. */
void mgmtd_client_kick_heartbeat(struct mgmtd_client *c);
/* Sends one now and waits for its answer. An error when no manager is there
 * (-ERR_PRIMARY_MGMTD_NOT_FOUND), none has taken it by the caller's deadline, or it was refused. */
int mgmtd_client_report(struct mgmtd_client *c) fiber_fn must_check;
/* End of the node's lease in node_now_ns() time, 0 when it never had one: counted from the sending
 * of the heartbeat that was answered, shortened by the drift bound (1 %). */
uint64_t mgmtd_client_lease_end_ns(const struct mgmtd_client *c);
uint64_t mgmtd_client_incarnation(const struct mgmtd_client *c);
/* The farewell of a clean stop. Best effort within @timeout_ns. */
void mgmtd_client_say_stopping(struct mgmtd_client *c, uint64_t timeout_ns) fiber_fn;

/* Clients: login with the TOKEN, then a session that is extended. @client is the session's uuid. */
int mgmtd_client_start_session(struct mgmtd_client *c, enum node_type type, struct uuid client,
                               const char *description) fiber_fn must_check;
/* uid, rights of the token's user, known after start_session. */
const struct auth_peer *mgmtd_client_user(const struct mgmtd_client *c);
