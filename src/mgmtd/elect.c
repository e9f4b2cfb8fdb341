/* elect.c - an instance's life: contend for the lease, lead a term, or report to who leads.
 */
#include "base/check.h"
#include "cluster/users.h"
#include "mgmtd/evaluate.h"
#include "mgmtd/load.h"
#include "mgmtd/mgmtd_internal.h"
#include "mgmtd/prefer.h"

#define REVOCATIONS_READ_NS (1 * SEC)

/* Users may be removed through any instance, or in the store itself, so it is read again and again.
 */
static int follow_revocations(void *arg)
{
    struct state *s = arg;
    for (;;) {
        struct arena arena = { 0 };
        struct revocation_list revoked;
        int r = users_revocations(s->options.kv, &arena, &revoked);
        if (r >= 0) {
            arena_done(&s->revoked_arena);
            s->revoked_arena = arena;
            s->revoked = revoked;
        } else {
            arena_done(&arena);
        }
        r = fiber_sleep(REVOCATIONS_READ_NS);
        if (r < 0) return r;
    }
}

static int lead(struct mgmtd *m, bool *ret_is_deaf)
{
    struct state_options options = { .node = m->node,
                                     .kv = m->options.kv,
                                     .lease = &m->lease,
                                     .timing = &m->options.timing,
                                     .cluster_id = m->options.cluster_id,
                                     .node_id = m->options.node_id,
                                     .session_timeout_ns = m->options.session_timeout_ns,
                                     .keeps_preferred_order = m->options.keeps_preferred_order };
    cleanup_(state_unrefp) struct state *s = NULL;
    int r = state_load(&options, &m->self, &s);
    if (r < 0) {
        if (r != -ERR_CANCELED) log_warn(&m->node->log, r, "cannot load the cluster's records");
        return r;
    }
    log_info(&m->node->log,
             "primary of term %" PRIu64 ": %zu nodes, %zu chains, routing version %" PRIu64,
             s->term, s->nodes.count, s->chains.count, s->version);
    m->state = s;
    mgmtd_take_own_config(m, s);
    events_note(s, EVENT_MANAGER, s->options.node_id, 0,
                "MGMTD %u leads: term %" PRIu64 ", %zu nodes, %zu chains", s->options.node_id,
                s->term, s->nodes.count, s->chains.count);
    {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        scope.local = m->node;
        if (options.keeps_preferred_order) r = fiber_spawn(&scope, "mgmtd-prefer", prefer_run, s);
        if (r == 0) r = fiber_spawn(&scope, "mgmtd-revocations", follow_revocations, s);
        if (r == 0) r = fiber_spawn(&scope, "mgmtd-events", events_run, s);
        if (r == 0) r = evaluate_run(s);
        m->state = NULL;
        state_retire(s);
    }
    *ret_is_deaf = s->is_deaf;
    return r;
}

struct term {
    struct mgmtd *m;
    struct event ended;
    bool is_deaf;
};

static int term_fiber(void *arg)
{
    struct term *term = arg;
    int r = lead(term->m, &term->is_deaf);
    event_set(&term->ended, 0);
    return r;
}

/* Renews the lease until it is lost or the term ended of itself. */
static int keep_lease(struct mgmtd *m, struct term *term)
{
    uint64_t number = m->lease.term;
    while (lease_is_valid(&m->lease) && m->lease.term == number) {
        {
            FIBER_TIMEOUT(m->options.timing.renew_ns);
            int r = event_wait(&term->ended, "end of the term");
            if (term->ended.is_set) return 0;
            if (r == -ERR_CANCELED) return r;
        }
        int r = lease_step(&m->lease);
        if (r == -ERR_CANCELED) return r;
        if (r < 0) log_warn(&m->node->log, r, "cannot renew the lease");
        if (m->state && state_is_valid(m->state)) mgmtd_take_own_config(m, m->state);
    }
    return 0;
}

/* One term from the takeover to its end; then nobody acts on its state any more. */
static int run_term(struct mgmtd *m)
{
    struct term term = { .m = m };
    event_init(&term.ended);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = m->node;
    int r = fiber_spawn(&scope, "mgmtd-lead", term_fiber, &term);
    if (r == 0) r = keep_lease(m, &term);
    if (m->state) state_retire(m->state);
    lease_resign(&m->lease);
    log_info(&m->node->log, "no longer the primary");
    if (r == 0 && term.is_deaf) r = fiber_sleep(m->options.timing.lease_ns); /* after the others */
    return r;
}

int mgmtd_elect(void *arg)
{
    struct mgmtd *m = arg;
    for (bool has_said = false;;) {
        int r = lease_step(&m->lease);
        if (r == -ERR_CANCELED) return r;
        if (r < 0 && !has_said) log_warn(&m->node->log, r, "cannot ask the store for the lease");
        has_said = r < 0;
        if (lease_is_valid(&m->lease)) {
            r = run_term(m);
            if (r == -ERR_CANCELED) return r;
        }
        r = fiber_sleep(m->options.timing.renew_ns / 2);
        if (r < 0) return r;
    }
}

/* ---- while another leads ---- */

static int report(struct mgmtd *m, uint64_t seq)
{
    struct net_address primary;
    int r = net_address_parse(m->lease.primary_address, &primary);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena = { 0 };
    mgmtd_note_config(m);
    struct heartbeat_request request = { .cluster_id = bytes_of_text(m->options.cluster_id),
                                         .node = m->self,
                                         .seq = seq };
    struct heartbeat_reply reply;
    struct rpc_options options = { .timeout_ns = m->options.timing.heartbeat_ns, .arena = &arena };
    r = mgmtd_heartbeat((struct rpc_target){ m->pool, &primary, RPC_CONTROL }, &options, &request,
                        &reply);
    if (r >= 0) mgmtd_take_config(m, reply.config_version, reply.config);
    return r;
}

int mgmtd_stand_by(void *arg)
{
    struct mgmtd *m = arg;
    for (uint64_t seq = 1;; seq++) {
        bool has_other = m->lease.primary_id != 0 && m->lease.primary_id != m->options.node_id;
        if (has_other && !lease_is_valid(&m->lease) && report(m, seq) == -ERR_CANCELED)
            return -ERR_CANCELED;
        int r = fiber_sleep(m->options.timing.heartbeat_ns);
        if (r < 0) return r;
    }
}
