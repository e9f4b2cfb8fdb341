/* fleet_chunks.c - what the targets hold, when quiet: replicas of a chain are equal byte for byte,
 * and each chunk is a piece of a file that exists, within its length.
 */
#include "sim/fleet.h"
#include <sys/stat.h>

#define EQUAL_TIMEOUT_NS (60 * SEC)

struct chunk_listing {
    struct chunk_meta *items;
    uint32_t count;
};

/* All chunks of a target but the removed ones; in @arena. */
static int list_target(struct fleet_client *c, struct arena *arena,
                       const struct chain_member *member, struct chunk_listing *ret)
{
    struct list_chunks_request req = { .target_id = member->target_id };
    uint32_t node_id = member->node_id, capacity = 0;
    struct chunk_listing out = { 0 };
    for (;;) {
        struct net_address address;
        int r = routing_address(mgmtd_client_routing(c->mgmtd), node_id, &address);
        if (r < 0) return r;
        struct rpc_target to = { mgmtd_client_pool(c->mgmtd), &address, RPC_CONTROL };
        struct rpc_options options = { .arena = arena, .timeout_ns = 5 * SEC };
        struct chunk_meta_page page;
        r = storage_list_chunks(to, &options, &req, &page);
        if (r < 0) return r;
        for (uint32_t i = 0; i < page.metas.count; i++) {
            const struct chunk_meta *m = &page.metas.items[i];
            if (m->is_tombstone || (!m->version && !m->pending_version)) continue;
            if (out.count == capacity) {
                capacity = capacity ? capacity * 2 : 64;
                struct chunk_meta *items = arena_array(arena, struct chunk_meta, capacity);
                if (out.count) memcpy(items, out.items, out.count * sizeof *items);
                out.items = items;
            }
            out.items[out.count++] = *m;
        }
        if (!page.more || !page.metas.count) break;
        req.after = page.metas.items[page.metas.count - 1].chunk;
        req.has_after = 1;
    }
    *ret = out;
    return 0;
}

/* NULL, or what is the matter. */
static const char *difference(const struct chunk_meta *a, const struct chunk_meta *b)
{
    if (a->pending_version || b->pending_version) return "an update is pending for ever";
    if (chunk_id_compare(a->chunk, b->chunk) != 0) return "the chunks are not the same";
    bool is_equal = a->version == b->version && a->chain_version == b->chain_version &&
                    a->length == b->length && a->crc32c == b->crc32c;
    return is_equal ? NULL : "the replicas differ";
}

struct chain_look {
    uint32_t chain_id;
    const char *why; /* NULL: all is well */
    struct chunk_id chunk;
    struct chunk_listing first;
};

static void compare(struct chain_look *look, const struct chunk_listing *other)
{
    uint32_t count = MIN_OF(look->first.count, other->count);
    for (uint32_t i = 0; i < count && !look->why; i++) {
        look->chunk = look->first.items[i].chunk;
        look->why = difference(&look->first.items[i], &other->items[i]);
    }
    if (!look->why && look->first.count != other->count) {
        const struct chunk_listing *longer = other->count > count ? other : &look->first;
        look->chunk = longer->items[count].chunk;
        look->why = "a replica lacks the chunk";
    }
}

static int look_at_chain(struct fleet_client *c, struct arena *arena, struct chain_look *look)
{
    look->why = NULL;
    for (uint32_t i = 0; i < FLEET_REPLICA_COUNT && !look->why; i++) {
        const struct chain_info *chain =
            routing_chain(mgmtd_client_routing(c->mgmtd), look->chain_id);
        if (!chain || i >= chain->members.count) return -ERR_ROUTING_ERROR;
        struct chunk_listing listing;
        struct chain_member member = chain->members.items[i];
        int r = list_target(c, arena, &member, &listing);
        if (r < 0) return r;
        if (i == 0)
            look->first = listing;
        else
            compare(look, &listing);
    }
    return 0;
}

static int check_owner(struct fleet *f, const struct live_inodes *live, uint32_t chain_id,
                       const struct chunk_meta *m)
{
    const struct inode *inode = live_inodes_find(live, m->chunk.inode);
    const char *why = NULL;
    if (!inode || !S_ISREG(inode->mode))
        why = "belongs to no file";
    else if ((uint64_t)m->chunk.index * inode->layout.chunk_size >= inode->length)
        why = "is behind the end of its file";
    else if (inode->layout.chains.items[m->chunk.index % inode->layout.chains.count] != chain_id)
        why = "is on a chain that its file does not use for it"; /* table: index is id */
    if (!why) return 0;
    return fleet_fail(f, "chunk %" PRIx64 "-%u on chain %u %s (length %" PRIu64 ")", m->chunk.inode,
                      m->chunk.index, chain_id, why, inode ? inode->length : UINT64_C(0));
}

/* Orphans and commit marks have some time. */
static int check_chain(struct fleet_client *c, const struct live_inodes *live, uint32_t chain_id)
{
    struct fleet *f = c->fleet;
    uint64_t end_ns = fleet_now_ns(f) + EQUAL_TIMEOUT_NS;
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct chain_look look = { .chain_id = chain_id };
        int r = look_at_chain(c, &arena, &look);
        bool is_done = r >= 0 && !look.why;
        if (is_done) {
            for (uint32_t i = 0; i < look.first.count && r >= 0; i++)
                r = check_owner(f, live, chain_id, &look.first.items[i]);
            return r;
        }
        if (fleet_now_ns(f) > end_ns)
            return fleet_fail(f, "chain %u, chunk %" PRIx64 "-%u: %s", chain_id, look.chunk.inode,
                              look.chunk.index, look.why ?: error_name(r));
        r = fiber_sleep(200 * MSEC);
        if (r < 0) return r;
    }
}

int fleet_chunks_check(struct fleet_client *c, void *live)
{
    for (uint32_t id = 1; id <= FLEET_CHAIN_COUNT; id++) {
        int r = check_chain(c, live, id);
        if (r < 0) return r;
    }
    return 0;
}
