/* mgmtd.h - the cluster manager role.
 *
 * Any number of instances run on one store; one of them is the primary (lease.h). Every instance
 * serves get_primary and checks tokens; the primary does all else. Files: chain_state (what a chain
 * may become), lease, state and load (a term), write (durable changes), heartbeat, evaluate,
 * routing_answer, chains, nodes, sessions, service (the calls).
 */
#pragma once
#include "config/settings.h"
#include "kv/kv.h"
#include "loop/net.h"
#include "mgmtd/timing.h"
#include "proto/mgmtd.h"
#include "rpc/rpc.h"

#define MGMTD_SETTINGS(S)                                                                          \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster")                      \
    S(U32, node_id, "node_id", "0", NODE, "number of this node, unique in the cluster")            \
    S(TEXT, listen, "listen", "TCP://0.0.0.0:8000", NODE, "address to serve at")                   \
    S(TEXT, advertise, "advertise", "", NODE,                                                      \
      "address that peers use; empty: as listen, with the host's name")                            \
    S(TEXT, hostname, "hostname", "", NODE, "name of the host, for list-nodes")                    \
    S(TEXT, kv_path, "kv_path", "/var/lib/3fs/kv", NODE, "directory of the embedded store")        \
    S(TEXT, cluster_key, "cluster_key", "", NODE, "k1:…; empty: read from the store")              \
    S(TEXT, timing, "timing", "default", COLD, "fast, default or slow: scales leases, heartbeats") \
    S(DURATION, session_timeout_ns, "session.timeout", "3min", COLD,                               \
      "a client that is not heard from for that long is dead")                                     \
    S(DURATION, capability_ns, "capability.lifetime", "1h", COLD,                                  \
      "how long a login lets a client open connections without mgmtd")                             \
    S(BOOL, keeps_preferred_order, "try_adjust_target_order_as_preferred", "false", COLD,          \
      "full chains move towards their preferred order by themselves")
SETTINGS_STRUCT(mgmtd_settings, MGMTD_SETTINGS)
extern const struct setting mgmtd_settings_table[];
/* What the kinds of the settings cannot say: 0, or an error with one line. */
int mgmtd_check_settings(const struct mgmtd_settings *s, struct arena *arena,
                         const char **ret_error) must_check;

/* What other roles contribute. */
struct mgmtd_hooks {
    /* Whether @toml is a possible configuration of a service of @type; a sentence (arena) in
     * *ret_error if not. */
    int (*validate_config)(void *arg, struct arena *arena, enum node_type type, struct bytes toml,
                           const char **ret_error);
    void *arg;
};

/* The role's main: runs until cancelled. @hooks may be NULL: then configurations must be TOML, and
 * mgmtd's own valid. */
int mgmtd_run(struct node *node, const struct mgmtd_settings *settings,
              const struct mgmtd_hooks *hooks) fiber_fn must_check;

/* ---- an instance over given parts: for the above, `up` in one process, and tests ---- */

struct mgmtd_options {
    const char *cluster_id; /* all text is copied */
    uint32_t node_id;
    const char *hostname;
    struct net_address listen;
    const char *advertise;      /* NULL or "": the listening address */
    struct kv *kv;              /* borrowed */
    const uint8_t *cluster_key; /* AUTH_KEY_BYTES; NULL: open (tests) */
    struct timing timing;
    uint64_t session_timeout_ns, capability_ns;
    bool keeps_preferred_order;
    struct mgmtd_hooks hooks;
};
struct mgmtd;
int mgmtd_start(struct node *node, const struct mgmtd_options *options,
                struct mgmtd **ret) fiber_fn must_check;
/* Resigns if it is the primary, and ends. NULL is fine; returns NULL. */
struct mgmtd *mgmtd_stop(struct mgmtd *m) fiber_fn;
const struct net_address *mgmtd_address(const struct mgmtd *m);
bool mgmtd_is_primary(const struct mgmtd *m);
