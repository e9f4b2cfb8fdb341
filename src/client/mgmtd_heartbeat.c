/* mgmtd_heartbeat.c - the heartbeats of a server, and the lease that they earn.
 *
 * The lease is counted from before the request was made: what the request says, and what the
 * primary then grants for it, is true of that moment at the latest. A reply without a lease
 * (lease_ns 0) leaves the one that is held as it is.
 */
#include "base/release.h"
#include "client/mgmtd_client_internal.h"
#include "loop/fault.h"

#define KICK_SETTLE_NS (2 * MSEC) /* changes that come together go together */

/* The host of the advertised address: what a role that knows no better is listed under. */
static struct bytes own_host(const struct mgmtd_heartbeat *h, struct arena *arena)
{
    struct net_address address;
    const char *text = h->options.address_count ? arena_text(arena, h->addresses[0]) : "";
    if (net_address_parse(text, &address) < 0) return (struct bytes){ 0 };
    return arena_copy(arena, bytes_of_text(address.host));
}

uint8_t mgmtd_client_config_status(const struct mgmtd_client *c, uint8_t status)
{
    return status == CONFIG_NORMAL && c->node->config_is_dirty ? CONFIG_DIRTY : status;
}

uint8_t mgmtd_client_take_config(struct mgmtd_client *c, struct bytes toml)
{
    if (!c->node->take_config) return CONFIG_NORMAL;
    cleanup_arena_ struct arena arena = { 0 };
    const char *error;
    int r = c->node->take_config(c->node->config_arg, c->node, toml, CONFIG_PUSHED, &arena, &error);
    return r < 0 ? CONFIG_FAILED : CONFIG_NORMAL;
}

static void make_request(struct mgmtd_client *c, struct arena *arena, bool is_stopping,
                         struct heartbeat_request *request)
{
    struct mgmtd_heartbeat *h = &c->heartbeat;
    *request = (struct heartbeat_request){ .cluster_id = c->cluster_id,
                                           .seq = ++h->seq,
                                           .stopping = is_stopping };
    request->node.node_id = h->options.node_id;
    request->node.type = (uint8_t)h->options.type;
    request->node.addresses = (struct text_list){ h->addresses, h->options.address_count };
    request->node.hostname = bytes_of_text(c->node->host);
    request->node.pid = c->node->pid;
    request->node.release = bytes_of_text(release_text());
    request->node.config_version = h->config_version;
    request->node.config_status = mgmtd_client_config_status(c, h->config_status);
    if (h->options.fill) h->options.fill(h->options.arg, arena, request);
    if (request->node.hostname.size == 0) request->node.hostname = own_host(h, arena);
    request->node.incarnation = c->incarnation;
}

static void take_reply(struct mgmtd_client *c, uint64_t begin_ns,
                       const struct heartbeat_reply *reply)
{
    struct mgmtd_heartbeat *h = &c->heartbeat;
    if (MUTANT(NODE_LEASE_FROM_REPLY)) begin_ns = node_now_ns(c->node);
    uint64_t lease_ns = reply->lease_ns - reply->lease_ns / 100;
    if (lease_ns && !h->is_stopping) {
        /* mgmtd may have let the last lease end, and chains go on without us, before this heartbeat
         * came: until its routing is known here the last lease is all we have. */
        h->last_lease_end_ns = mgmtd_client_lease_end_ns(c);
        h->lease_end_ns = MAX_OF(h->lease_end_ns, begin_ns + lease_ns);
        h->lease_routing_version = reply->routing_version;
        mgmtd_client_publish(c);
    }
    revocations_merge(&c->revoked, &reply->revoked);
    if (reply->config_version <= h->config_version) return;
    h->config_version = reply->config_version;
    h->config_status = mgmtd_client_take_config(c, reply->config);
}

/* One heartbeat. *ret_interval_ns: until the next. */
static int beat(struct mgmtd_client *c, bool is_stopping, uint64_t *ret_interval_ns)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct heartbeat_request request;
    struct heartbeat_reply reply;
    uint64_t begin_ns = node_now_ns(c->node);
    make_request(c, &arena, is_stopping, &request);
    struct rpc_options options = { .timeout_ns = MGMTD_BEAT_NS, .arena = &arena };
    const char *why = NULL;
    options.ret_error_text = &why;
    int r = mgmtd_client_try(c, RPC_METHOD(mgmtd, heartbeat), &options, &request, &reply);
    struct mgmtd_heartbeat *h = &c->heartbeat;
    if (r < 0 && r != h->last_error && r != -ERR_CANCELED)
        log_warn(&c->node->log, r, "heartbeat refused%s%s", why ? ": " : "", why ? why : "");
    h->last_error = MIN_OF(r, 0);
    if (r < 0) return r;
    take_reply(c, begin_ns, &reply);
    *ret_interval_ns = reply.interval_ns;
    return 0;
}

static int locked_beat(struct mgmtd_client *c, bool is_stopping, uint64_t *ret_interval_ns)
{
    struct mgmtd_heartbeat *h = &c->heartbeat;
    int r = fiber_mutex_lock(&h->sending);
    if (r < 0) return r;
    if (!h->is_stopping || is_stopping) r = beat(c, is_stopping, ret_interval_ns);
    fiber_mutex_unlock(&h->sending);
    return r;
}

static int wait_next(struct mgmtd_heartbeat *h, uint64_t interval_ns)
{
    {
        FIBER_TIMEOUT(interval_ns);
        int r = event_wait(&h->kick, "next heartbeat");
        if (r == -ERR_TIMEOUT) return 0;
        if (r < 0) return r;
    }
    return fiber_sleep(KICK_SETTLE_NS);
}

static int heartbeat_fiber(void *arg)
{
    struct mgmtd_client *c = arg;
    struct mgmtd_heartbeat *h = &c->heartbeat;
    uint64_t pause_ns = 0;
    while (!h->is_stopping) {
        event_reset(&h->kick);
        uint64_t interval_ns = MGMTD_BEAT_NS;
        int r = locked_beat(c, false, &interval_ns);
        if (r == -ERR_CANCELED) return r;
        if (r == 0) pause_ns = 0;
        r = r == 0 ? wait_next(h, interval_ns)
                   : mgmtd_client_pause(c, &pause_ns, MGMTD_BEAT_PAUSE_NS);
        if (r < 0) return r;
    }
    return 0;
}

int mgmtd_client_start_heartbeat(struct mgmtd_client *c, const struct heartbeat_options *options)
{
    struct mgmtd_heartbeat *h = &c->heartbeat;
    if (h->is_started) return -ERR_INVALID_ARG;
    h->options = *options;
    h->addresses = arena_array(&c->arena, struct bytes, options->address_count);
    for (uint32_t i = 0; i < options->address_count; i++) {
        h->addresses[i] = arena_copy(&c->arena, bytes_of_text(options->addresses[i]));
    }
    h->is_started = true;
    int r = mgmtd_client_spawn(c, "mgmtd-heartbeat", heartbeat_fiber);
    return r < 0 ? r : mgmtd_client_start_upload(c, options->type);
}

void mgmtd_client_kick_heartbeat(struct mgmtd_client *c)
{
    event_set(&c->heartbeat.kick, 0);
}

uint64_t mgmtd_client_lease_end_ns(const struct mgmtd_client *c)
{
    const struct mgmtd_heartbeat *h = &c->heartbeat;
    return c->routing.version < h->lease_routing_version ? h->last_lease_end_ns : h->lease_end_ns;
}

/* Until the primary has taken one, or none is to be found: at the end of a whole cluster no manager
 * is there, and nobody is to be told. */
static int beat_until_taken(struct mgmtd_client *c, bool is_stopping)
{
    uint64_t pause_ns = 0, interval_ns;
    for (;;) {
        int r = locked_beat(c, is_stopping, &interval_ns);
        bool is_anybody = c->has_primary || c->is_answered;
        if (!mgmtd_client_moves_on(r) || !is_anybody) return r;
        r = mgmtd_client_pause(c, &pause_ns, MGMTD_BEAT_PAUSE_NS);
        if (r < 0) return r;
    }
}

int mgmtd_client_report(struct mgmtd_client *c)
{
    return c->heartbeat.is_started ? beat_until_taken(c, false) : -ERR_PRIMARY_MGMTD_NOT_FOUND;
}

void mgmtd_client_say_stopping(struct mgmtd_client *c, uint64_t timeout_ns)
{
    struct mgmtd_heartbeat *h = &c->heartbeat;
    if (!h->is_started) return;
    h->is_stopping = true;
    h->lease_end_ns = h->last_lease_end_ns = 0;
    mgmtd_client_publish(c);
    FIBER_TIMEOUT(timeout_ns);
    int r = beat_until_taken(c, true);
    if (r < 0) log_info(&c->node->log, "no cluster manager knows of this end");
}
