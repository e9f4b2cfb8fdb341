/* fleet_check.c - what must hold when trouble is over: the cluster heals, every client's tree is as
 * its model, the store's records are sound, replicas are equal and nothing takes space in vain.
 */
#include "sim/fleet_model.h"

#define WHOLE_TIMEOUT_NS (120 * SEC)

/* The first chain that lacks a SERVING member, as the administrator sees it; 0: none. */
static uint32_t find_broken(const struct fleet *f)
{
    const struct routing *routing = mgmtd_client_routing(f->admin.mgmtd);
    for (uint32_t id = 1; id <= FLEET_CHAIN_COUNT; id++) {
        const struct chain_info *chain = routing_chain(routing, id);
        if (!chain || chain->members.count != FLEET_REPLICA_COUNT) return id;
        for (uint32_t i = 0; i < chain->members.count; i++) {
            if (chain->members.items[i].public_state != PUBLIC_SERVING) return id;
        }
    }
    return 0;
}

bool fleet_is_whole(const struct fleet *f)
{
    return find_broken(f) == 0;
}

bool fleet_lacks_disk(const struct fleet *f, const struct process *p)
{
    const struct routing *routing = mgmtd_client_routing(f->admin.mgmtd);
    bool is_lacking = false;
    for (uint32_t id = 1; id <= FLEET_CHAIN_COUNT; id++) {
        const struct chain_info *chain = routing_chain(routing, id);
        for (uint32_t i = 0; chain && i < chain->members.count; i++) {
            const struct chain_member *m = &chain->members.items[i];
            if (m->node_id != p->role.node_id) continue;
            /* It has what nobody else has: no operator would throw it away. */
            if (m->public_state == PUBLIC_LASTSRV) return false;
            is_lacking = is_lacking || m->local_state == LOCAL_OFFLINE;
        }
    }
    return is_lacking;
}

int fleet_wait_whole(struct fleet *f, uint64_t timeout_ns)
{
    uint64_t end_ns = fleet_now_ns(f) + timeout_ns;
    uint32_t broken;
    while ((broken = find_broken(f)) != 0) {
        if (fleet_now_ns(f) > end_ns) return fleet_fail(f, "chain %u is never whole again", broken);
        if (f->why[0]) return -ERR_FOUND_BUG;
        int r = fiber_sleep(20 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

static int verify(struct fleet_client *c, void *model)
{
    return fleet_tree_verify(c, model);
}

/* Each tree by somebody who did not make it. */
static int verify_trees(struct fleet *f)
{
    int r = 0;
    for (uint32_t i = 0; i < f->options.client_count && r >= 0; i++) {
        struct fleet_client *by = i + 1 < f->options.client_count ? &f->clients[i + 1] : &f->admin;
        r = fleet_visit(by, verify, f->clients[i].model);
    }
    for (uint32_t i = 0; i < f->dead_count && r >= 0; i++)
        r = fleet_visit(&f->admin, verify, f->dead[i]);
    return r;
}

static int check_ledger(struct fleet *f, const struct live_inodes *live)
{
    for (uint32_t i = 0; i < f->ledger.count && !f->ledger.is_doubtful; i++) {
        const struct ledger_line *line = &f->ledger.lines[i];
        const struct inode *inode = live_inodes_find(live, line->inode);
        uint32_t links = inode ? inode->nlink : 0;
        if (line->is_directory) links = inode != NULL;
        if (line->links >= 0 && links == (uint64_t)line->links) continue;
        return fleet_fail(f, "shared inode %" PRIx64 " has %u links, but clients made %" PRId64,
                          line->inode, links, line->links);
    }
    return 0;
}

int fleet_check(struct fleet *f)
{
    f->is_over = true;
    int r = fleet_wait_whole(f, WHOLE_TIMEOUT_NS);
    if (r < 0) return r;
    struct live_inodes *live = NULL;
    r = fleet_tree_check(f, &live); /* first: sessions of the dead have ended then */
    if (r >= 0) r = verify_trees(f);
    if (r >= 0) r = check_ledger(f, live);
    if (r >= 0) r = fleet_visit(&f->admin, fleet_chunks_check, live);
    if (r >= 0) r = fleet_visit(&f->admin, fleet_registers_check, NULL);
    live_inodes_free(live);
    if (r < 0 && !f->why[0]) return fleet_fail(f, "the last checks: %s", error_name(r));
    return r;
}
