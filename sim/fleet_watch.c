/* fleet_watch.c - what is looked at all the time.
 *
 * Primaries: at most one manager believes to be the primary, and what only the primary may change
 * in the store is written by whoever wrote the lease last. Routing: nobody's goes back. Chains:
 * the invariants of mgmtd/chain_state.h, in what clients see; and no chain goes on without a member
 * whose storage believes in its lease, as it would answer reads of what others change.
 */
#include "base/check.h"
#include "mgmtd/mgmtd.h"
#include "mgmtd/state.h"
#include "sim/fleet.h"
#include <stdio.h>

#define LOOK_NS (5 * MSEC)

static bool is_of_primary(struct bytes key)
{
    static const char *const prefixes[] = { "CHIF", "CHIT", "NODE", "SINGRoutingInfoVersion" };
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (bytes_has_prefix(key, bytes_of_text(prefixes[i]))) return true;
    }
    return false;
}

static void written(void *arg, struct node *writer, struct bytes key)
{
    struct fleet *f = arg;
    if (bytes_has_prefix(key, BYTES_LITERAL("SINGMgmtdLease"))) f->is_lease_written = true;
    if (bytes_equal_text(key, "SINGMgmtdLease")) {
        if (f->lease_writer != writer) f->counts.takeovers++;
        f->lease_writer = writer;
        snprintf(f->lease_writer_name, sizeof f->lease_writer_name, "%s", writer->name);
    }
    if (!is_of_primary(key) || writer == f->lease_writer) return;
    (void)fleet_fail(f, "%s wrote %.4s, but %s has the lease", writer->name, (const char *)key.base,
                     f->lease_writer_name);
}

static void look_at_primaries(struct fleet *f)
{
    const struct process *primary = NULL;
    /* A clock beyond its bound may well believe in a lease for too long. */
    if (f->options.faults & FLEET_OLD_CLOCKS) return;
    for (uint32_t i = 0; i < FLEET_MGMTD_COUNT; i++) {
        const struct process *p = fleet_mgmtd(f, i);
        if (!p->role.instance || !mgmtd_is_primary(p->role.instance)) continue;
        if (primary)
            (void)fleet_fail(f, "%s and %s are primaries at a time", primary->name, p->name);
        primary = p;
    }
}

/* ---- what servers hold ---- */

uint64_t fleet_metric(const struct process *p, const char *name)
{
    return p->node ? metrics_value(p->node->metrics, name) : 0;
}

static void look_at_server(struct fleet *f, uint32_t at)
{
    const struct process *p = &f->servers[at];
    struct server_view *view = &f->views[at];
    if (!p->node) return;
    if (view->life != p->start_count) *view = (struct server_view){ .life = p->start_count };
    uint64_t term = fleet_metric(p, "mgmtd_client.routing_term");
    uint64_t version = fleet_metric(p, "mgmtd_client.routing_version");
    if (term < view->routing_term || version < view->routing_version)
        (void)fleet_fail(f,
                         "%s: routing went from term %" PRIu64 " version %" PRIu64
                         " back to %" PRIu64 " version %" PRIu64,
                         p->name, view->routing_term, view->routing_version, term, version);
    view->routing_term = term;
    view->routing_version = version;
}

/* ---- what clients see ---- */

/* A target that was SERVING at @last_version is so no more. */
static void look_at_excluded(struct fleet *f, uint64_t last_version, uint32_t chain_id,
                             const struct chain_member *member)
{
    const struct process *p = fleet_storage(f, member->node_id - FLEET_STORAGE_ID);
    /* A clock beyond its bound means nothing; who has lost a disk says so and is excluded at once.
     */
    if (f->options.faults & FLEET_OLD_CLOCKS || !p->node) return;
    if (f->bad_disks & 1u << (member->node_id - FLEET_STORAGE_ID)) return;
    if (fleet_metric(p, "storage.leaving")) return; /* its targets' leases ended with its report */
    if (fleet_metric(p, "mgmtd_client.routing_version") > last_version) return;
    if (node_now_ns(p->node) >= fleet_metric(p, "mgmtd_client.lease_end_ns")) return;
    (void)fleet_fail(
        f, "chain %u goes on without %s, which has a lease for %.3f s more", chain_id, p->name,
        (double)(fleet_metric(p, "mgmtd_client.lease_end_ns") - node_now_ns(p->node)) / 1e9);
}

static void look_at_members(struct fleet *f, uint64_t version, const struct chain_info *chain)
{
    for (uint32_t i = 0; i < chain->members.count; i++) {
        const struct chain_member *m = &chain->members.items[i];
        struct target_view *view =
            &f->targets[chain->chain_id - 1][m->target_id % 100 % FLEET_REPLICA_COUNT];
        if (version <= view->routing_version || !m->node_id) continue; /* known before */
        bool is_serving = m->public_state == PUBLIC_SERVING;
        if (view->is_serving && !is_serving)
            look_at_excluded(f, view->routing_version, chain->chain_id, m);
        *view = (struct target_view){ is_serving, version };
    }
}

static void look_at_chains(struct fleet *f, const struct routing *routing, const char *who)
{
    for (uint32_t id = 1; id <= FLEET_CHAIN_COUNT; id++) {
        const struct chain_info *chain = routing_chain(routing, id);
        if (!chain) continue;
        struct chain_shape shape;
        chain_to_shape(chain, &shape);
        const char *broken = chain_broken_invariant(&shape);
        if (broken) (void)fleet_fail(f, "%s sees chain %u: %s", who, id, broken);
        look_at_members(f, routing->version, chain);
    }
}

static void look_at_client(struct fleet *f, struct fleet_client *c)
{
    if (!c->node || !c->mgmtd) return;
    const struct routing *routing = mgmtd_client_routing(c->mgmtd);
    if (routing->term < c->routing_term || routing->version < c->routing_version)
        (void)fleet_fail(f,
                         "%s: routing went from term %" PRIu64 " version %" PRIu64
                         " back to %" PRIu64 " version %" PRIu64,
                         c->name, c->routing_term, c->routing_version, routing->term,
                         routing->version);
    if (routing->version == c->routing_version) return;
    c->routing_term = routing->term;
    c->routing_version = routing->version;
    look_at_chains(f, routing, c->name);
}

static int watch_fiber(void *arg)
{
    struct fleet *f = arg;
    for (;;) {
        int r = fiber_sleep(LOOK_NS);
        if (r < 0) return r;
        look_at_primaries(f);
        look_at_client(f, &f->admin);
        for (uint32_t i = 0; i < f->options.client_count; i++)
            look_at_client(f, &f->clients[i]);
        for (uint32_t i = 0; i < FLEET_SERVER_COUNT; i++) {
            look_at_server(f, i);
            if (!process_has_failed(&f->servers[i])) continue;
            (void)fleet_fail(f, "%s ended by itself: %s", f->servers[i].name,
                             error_name(f->servers[i].result));
        }
    }
}

int fleet_watch_start(struct fleet *f)
{
    kv_mem_store_watch(f->place.store, written, f);
    scope_init(&f->watch, NULL);
    return fiber_spawn(&f->watch, "watch", watch_fiber, f);
}
