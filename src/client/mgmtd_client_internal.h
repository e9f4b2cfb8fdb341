/* mgmtd_client_internal.h - the inside of a struct mgmtd_client; private to src/client.
 *
 * Whoever calls takes c->primary and c->generation together; when that address fails, and nobody
 * has found another meanwhile, the client has no primary until all servers were asked again. Only a
 * server that says of itself that it is the primary is taken for it.
 */
#pragma once
#include "client/mgmtd_client.h"
#include "client/revocations.h"

#define MGMTD_WATCH_NS   SEC       /* a watcher waits that long at the primary */
#define MGMTD_ATTEMPT_NS (5 * SEC) /* one try of a call */
#define MGMTD_BEAT_NS                                                                              \
    (500 * MSEC) /* one try of a heartbeat; between heartbeats until the primary says */
#define MGMTD_PROBE_NS     (250 * MSEC) /* asking all for the primary */
#define MGMTD_SLACK_NS     (300 * MSEC) /* of a watch beyond its wait */
#define MGMTD_PAUSE_MIN_NS (20 * MSEC)
#define MGMTD_PAUSE_MAX_NS (500 * MSEC)
#define MGMTD_BEAT_PAUSE_NS                                                                        \
    (100 * MSEC) /* the most between heartbeats that fail: a lease is running out */

struct mgmtd_heartbeat {
    struct heartbeat_options options; /* addresses copied */
    struct bytes *addresses;
    uint64_t seq, lease_end_ns;
    uint64_t lease_routing_version, last_lease_end_ns; /* before that one is known, this counts */
    uint64_t config_version;
    uint8_t config_status;
    bool is_started, is_stopping;
    struct fiber_mutex sending;
    struct event kick;
    int last_error; /* logged */
};

struct mgmtd_session {
    struct client_session info; /* text in the client's arena */
    bool is_started;
    uint64_t interval_ns;
    uint64_t renew_at_ns; /* of the capability */
    uint64_t order_id;    /* of the last settings by hand */
    bool has_outcome;     /* of these, which mgmtd has not heard */
};

struct mgmtd_client {
    struct node *node;
    struct arena arena; /* what lives as long as the client */
    struct bytes cluster_id;
    struct net_address *servers;
    uint32_t server_count;
    struct auth_identity identity;
    struct auth_peer user;
    struct rpc_pool *pool;         /* to the cluster managers */
    struct rpc_pool *service_pool; /* to meta and storage; the same unless a token is shown */
    struct routing routing;
    struct revocations revoked;
    bool has_primary;
    bool is_answered; /* by any of them, at the last search for the primary */
    struct net_address primary;
    uint64_t generation; /* of has_primary and primary */
    struct fiber_mutex finding;
    uint64_t incarnation;
    struct mgmtd_heartbeat heartbeat;
    struct mgmtd_session session;
    enum node_type upload_type; /* of the template that is uploaded */
    struct scope scope;
};

/* One try at the primary, which is looked for once if it is not known:
 * -ERR_PRIMARY_MGMTD_NOT_FOUND. */
int mgmtd_client_try(struct mgmtd_client *c, const struct rpc_method *method,
                     const struct rpc_options *options, const void *request,
                     void *reply) fiber_fn must_check;
/* Hands a pushed configuration to the node; the status to report with its version. */
uint8_t mgmtd_client_take_config(struct mgmtd_client *c, struct bytes toml);
/* What to report for it: DIRTY when settings were changed by hand since. */
uint8_t mgmtd_client_config_status(const struct mgmtd_client *c, uint8_t status);
/* True when another instance may do better after this status. */
bool mgmtd_client_moves_on(int r);
/* Doubles *pause_ns (0: the first) up to @max_ns and sleeps about that long. */
int mgmtd_client_pause(struct mgmtd_client *c, uint64_t *pause_ns,
                       uint64_t max_ns) fiber_fn must_check;
/* Uploads the node's configuration template, if it has one, as soon as a primary is there. */
int mgmtd_client_start_upload(struct mgmtd_client *c, enum node_type type) must_check;
/* A capability that is void is replaced by way of a login. */
void mgmtd_client_renew_by_login(struct mgmtd_client *c);
/* Says goodbye, if there is a session. */
void mgmtd_client_end_session(struct mgmtd_client *c) fiber_fn;
int mgmtd_client_spawn(struct mgmtd_client *c, const char *name, int (*fn)(void *arg)) must_check;
/* Which routing and which lease it has, into the node's metrics. */
void mgmtd_client_publish(struct mgmtd_client *c);
