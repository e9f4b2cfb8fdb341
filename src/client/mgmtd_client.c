/* mgmtd_client.c - finding the primary, calls to it, and the watch that keeps the routing fresh.
 */
#include "client/mgmtd_client_internal.h"

#include "base/check.h"
#include "loop/loop.h"
#include <errno.h>

/* ---- the primary ---- */

enum { PROBE_COUNT_MAX = 17 };

struct search {
    struct mgmtd_client *c;
    uint32_t asked_count; /* probes that have not ended */
    struct event ended;   /* none is left, or the primary has answered */
    int refusal;          /* 0, or with which status one refused to talk to us */
    bool is_found;
    struct net_address primary;
    uint64_t hint_term; /* of the best answer of one that is not the primary itself */
    struct net_address hint;
};

struct probe {
    struct search *search;
    struct net_address server;
};

static int parse_address(struct bytes text, struct net_address *ret)
{
    char buf[256];
    if (text.size == 0 || text.size >= sizeof buf) return -ERR_RPC_INVALID_ADDR;
    memcpy(buf, text.base, text.size);
    buf[text.size] = '\0';
    return net_address_parse(buf, ret);
}

static void take_answer(struct search *search, const struct net_address *server,
                        const struct get_primary_reply *reply)
{
    struct net_address named;
    if (reply->is_self) {
        search->is_found = true;
        search->primary = *server;
        event_set(&search->ended, 0);
    } else if (reply->node_id && reply->term >= search->hint_term &&
               parse_address(reply->address, &named) == 0) {
        search->hint_term = reply->term;
        search->hint = named;
    }
}

static int probe_fiber(void *arg)
{
    const struct probe *p = arg;
    struct search *search = p->search;
    cleanup_arena_ struct arena arena = { 0 };
    struct empty_record request = { 0 };
    struct get_primary_reply reply;
    struct rpc_options options = { .timeout_ns = MGMTD_PROBE_NS, .arena = &arena };
    struct rpc_target target = { search->c->pool, &p->server, RPC_CONTROL };
    int r = mgmtd_get_primary(target, &options, &request, &reply);
    if (r >= 0 && !search->is_found) take_answer(search, &p->server, &reply);
    if (error_to_errno(r) == EACCES) search->refusal = r;
    if (r >= 0 || search->refusal < 0) search->c->is_answered = true;
    if (--search->asked_count == 0) event_set(&search->ended, 0);
    return 0;
}

/* Asks all of them side by side; until the primary answers, all have, or MGMTD_PROBE_NS. */
static int ask(struct search *search, const struct net_address *servers, uint32_t count)
{
    struct probe probes[PROBE_COUNT_MAX];
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = search->c->node;
    event_init(&search->ended);
    for (uint32_t i = 0; i < count && i < PROBE_COUNT_MAX; i++) {
        probes[i] = (struct probe){ search, servers[i] };
        int r = fiber_spawn(&scope, "mgmtd-probe", probe_fiber, &probes[i]);
        if (r < 0) return r;
        search->asked_count++;
    }
    return event_wait(&search->ended, "answers of cluster managers");
}

static int find_primary(struct mgmtd_client *c)
{
    int r = fiber_mutex_lock(&c->finding);
    if (r < 0) return r;
    struct search search = { .c = c };
    if (!c->has_primary) {
        c->is_answered = false;
        r = ask(&search, c->servers, c->server_count);
        /* it need not be one of those that were given */
        if (r == 0 && !search.is_found && search.hint_term) r = ask(&search, &search.hint, 1);
    }
    if (search.is_found) {
        c->primary = search.primary;
        c->has_primary = true;
        c->generation++;
    }
    fiber_mutex_unlock(&c->finding);
    if (c->has_primary) return 0;
    if (r < 0) return r;
    /* who answers and refuses us will not like us better the next time */
    return search.refusal < 0 && !search.hint_term ? search.refusal : -ERR_PRIMARY_MGMTD_NOT_FOUND;
}

bool mgmtd_client_moves_on(int r)
{
    return error_action(r) == ACTION_FAILOVER || r == -ERR_MGMTD_INVALID_ROUTING_VERSION;
}

int mgmtd_client_pause(struct mgmtd_client *c, uint64_t *pause_ns, uint64_t max_ns)
{
    *pause_ns = *pause_ns ? MIN_OF(*pause_ns * 2, max_ns) : MGMTD_PAUSE_MIN_NS;
    return fiber_sleep(*pause_ns / 2 + node_random_below(c->node, *pause_ns));
}

/* ---- calls ---- */

int mgmtd_client_try(struct mgmtd_client *c, const struct rpc_method *method,
                     const struct rpc_options *options, const void *request, void *reply)
{
    if (!c->has_primary) {
        int r = find_primary(c);
        if (r < 0) return r;
    }
    uint64_t generation = c->generation;
    struct net_address primary = c->primary;
    int r = rpc_call((struct rpc_target){ c->pool, &primary, RPC_CONTROL }, &mgmtd_service, method,
                     options, request, reply);
    if (mgmtd_client_moves_on(r) && generation == c->generation) {
        c->has_primary = false;
        c->generation++;
    }
    return r;
}

int mgmtd_client_call(struct mgmtd_client *c, const struct rpc_method *method,
                      const struct rpc_options *options, const void *request, void *reply)
{
    FIBER_TIMEOUT(options->timeout_ns ? options->timeout_ns : 60 * SEC);
    uint64_t pause_ns = 0;
    for (;;) {
        struct rpc_options attempt = *options;
        attempt.timeout_ns = MIN_OF(fiber_remaining_ns(), (uint64_t)MGMTD_ATTEMPT_NS);
        int r = mgmtd_client_try(c, method, &attempt, request, reply);
        bool is_again = mgmtd_client_moves_on(r) || error_action(r) == ACTION_RETRY;
        if (r >= 0 || !is_again) return r;
        if (r == -ERR_MGMTD_NOT_PRIMARY) r = -ERR_PRIMARY_MGMTD_NOT_FOUND;
        if (mgmtd_client_pause(c, &pause_ns, MGMTD_PAUSE_MAX_NS) < 0)
            return fiber_is_cancelled() ? -ERR_CANCELED : r;
    }
}

/* ---- the watch ---- */

enum { PART_COUNT_MAX = 4096 };

/* Parts of one answer, and the memory that they borrow. */
struct parts {
    struct arena arena;
    struct get_routing_reply *items;
    uint32_t count, capacity;
};

static void parts_done(struct parts *p)
{
    arena_done(&p->arena);
    free(p->items);
    *p = (struct parts){ 0 };
}

static void parts_add(struct parts *p, const struct get_routing_reply *part)
{
    if (part->full) p->count = 0;
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 4;
        p->items = xrealloc(p->items, p->capacity * sizeof *p->items);
    }
    p->items[p->count++] = *part;
}

void mgmtd_client_publish(struct mgmtd_client *c)
{
    struct metrics *m = c->node->metrics;
    *metrics_cell(m, "mgmtd_client.routing_term") = c->routing.term;
    *metrics_cell(m, "mgmtd_client.routing_version") = c->routing.version;
    *metrics_cell(m, "mgmtd_client.lease_end_ns") = mgmtd_client_lease_end_ns(c);
}

static int watch_once(struct mgmtd_client *c, struct parts *parts)
{
    struct get_routing_request request = { .cluster_id = c->cluster_id,
                                           .term = c->routing.term,
                                           .version = c->routing.version,
                                           .wait_ns = MGMTD_WATCH_NS };
    if (parts->count) {
        request.cursor = parts->items[parts->count - 1].cursor;
        request.cursor_term = parts->items[parts->count - 1].term;
    }
    struct rpc_options options = { .timeout_ns = MGMTD_WATCH_NS + MGMTD_SLACK_NS,
                                   .arena = &parts->arena };
    struct get_routing_reply part;
    int r = mgmtd_client_try(c, RPC_METHOD(mgmtd, get_routing), &options, &request, &part);
    if (r < 0) return r;
    if (parts->count == PART_COUNT_MAX) return -ERR_RPC_VERIFY_RESPONSE;
    parts_add(parts, &part);
    if (part.more) return 0;
    r = routing_apply(&c->routing, parts->items, parts->count);
    parts_done(parts);
    if (r < 0)
        log_error(&c->node->log, r,
                  "routing (%" PRIu64 ", %" PRIu64 ") refused, (%" PRIu64 ", %" PRIu64 ") is held",
                  part.term, part.version, c->routing.term, c->routing.version);
    mgmtd_client_publish(c);
    return r;
}

static int watch_fiber(void *arg)
{
    struct mgmtd_client *c = arg;
    cleanup_(parts_done) struct parts parts = { 0 };
    uint64_t pause_ns = 0;
    int last_error = 0;
    for (;;) {
        int r = watch_once(c, &parts);
        if (r >= 0) {
            if (last_error) log_info(&c->node->log, "routing is watched again");
            last_error = 0;
            pause_ns = 0;
            continue;
        }
        parts_done(&parts);
        if (r != last_error && r != -ERR_CANCELED)
            log_warn(&c->node->log, r, "cannot watch the routing");
        last_error = r;
        r = mgmtd_client_pause(c, &pause_ns, MGMTD_PAUSE_MAX_NS);
        if (r < 0) return r;
    }
}

int mgmtd_client_wait_ready(struct mgmtd_client *c)
{
    while (c->routing.version == 0) {
        int r;
        {
            FIBER_TIMEOUT(SEC);
            r = wait_queue_wait(&c->routing.changed, "first routing");
        }
        if (c->routing.version > 0) break;
        if (r == -ERR_CANCELED || fiber_remaining_ns() == 0) return r;
        char text[256];
        log_info(&c->node->log, "waiting for the cluster manager at %s%s",
                 net_address_to_text(&c->servers[0], text, sizeof text),
                 c->server_count > 1 ? " and others" : "");
    }
    return 0;
}

/* ---- life ---- */

int mgmtd_client_spawn(struct mgmtd_client *c, const char *name, int (*fn)(void *arg))
{
    return fiber_spawn(&c->scope, name, fn, c);
}

struct mgmtd_client *mgmtd_client_new(struct node *node, const struct mgmtd_client_options *options)
{
    check(options->server_count > 0);
    struct mgmtd_client *c = new_zero(struct mgmtd_client);
    c->node = node;
    c->cluster_id = arena_copy(&c->arena, bytes_of_text(options->cluster_id));
    c->servers = arena_array(&c->arena, struct net_address, options->server_count);
    memcpy(c->servers, options->servers, options->server_count * sizeof *c->servers);
    c->server_count = options->server_count;
    c->identity = *options->identity;
    c->user = (struct auth_peer){ .kind = options->identity->kind };
    if (c->identity.kind != AUTH_TOKEN)
        c->user.rights = AUTH_RIGHT_DATA | AUTH_RIGHT_META | AUTH_RIGHT_ADMIN | AUTH_RIGHT_ROOT;
    c->pool = rpc_pool_new(node, options->identity);
    c->service_pool =
        c->identity.kind == AUTH_TOKEN ? rpc_pool_new(node, options->identity) : c->pool;
    mgmtd_client_renew_by_login(c);
    routing_init(&c->routing, node_random_u64(node));
    revocations_init(&c->revoked);
    fiber_mutex_init(&c->finding);
    fiber_mutex_init(&c->heartbeat.sending);
    event_init(&c->heartbeat.kick);
    c->incarnation = node_wall_ns(node);
    scope_init(&c->scope, loop_sched(node->loop));
    c->scope.local = node;
    int r = mgmtd_client_spawn(c, "mgmtd-watch", watch_fiber);
    if (r < 0) log_error(&node->log, r, "cannot start the routing watch");
    return c;
}

struct mgmtd_client *mgmtd_client_free(struct mgmtd_client *c)
{
    if (!c) return NULL;
    scope_done(&c->scope);
    mgmtd_client_end_session(c);
    if (c->service_pool != c->pool) rpc_pool_free(c->service_pool);
    rpc_pool_free(c->pool);
    routing_done(&c->routing);
    revocations_done(&c->revoked);
    arena_done(&c->arena);
    free(c);
    return NULL;
}

bool mgmtd_client_is_revoked(void *client, const struct auth_peer *peer)
{
    const struct mgmtd_client *c = client;
    return revocations_has(&c->revoked, peer);
}

struct routing *mgmtd_client_routing(struct mgmtd_client *c)
{
    return &c->routing;
}

struct rpc_pool *mgmtd_client_pool(struct mgmtd_client *c)
{
    return c->service_pool;
}

uint64_t mgmtd_client_incarnation(const struct mgmtd_client *c)
{
    return c->incarnation;
}

const struct auth_peer *mgmtd_client_user(const struct mgmtd_client *c)
{
    return &c->user;
}
