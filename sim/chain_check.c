/* chain_check.c - what must hold in the end. */
#include "sim/chain_world.h"

#define WHOLE_TIMEOUT_NS (60 * SEC)
#define QUIET_TIMEOUT_NS (30 * SEC)

static bool has_answered(const struct chunk_reply *view)
{
    return view->local_state != LOCAL_INVALID;
}

static void check_replicas(struct world_client *c, uint32_t chunk, const struct chunk_reply *views,
                           uint32_t count)
{
    struct world *w = c->world;
    const struct chunk_meta *a = &views[0].meta;
    bool a_live = views[0].found && a->version && !a->is_tombstone;
    for (uint32_t i = 0; i < count; i++) {
        const struct chunk_meta *b = &views[i].meta;
        bool b_live = views[i].found && b->version && !b->is_tombstone;
        if (!has_answered(&views[i]))
            (void)world_fail(w, "chunk %u: the storage of target %" PRIu64 " does not answer",
                             chunk, views[i].target_id);
        if (b->pending_version)
            (void)world_fail(w, "chunk %u at target %" PRIu64 " is pending for ever", chunk,
                             views[i].target_id);
        if (a_live != b_live || (a_live && (a->version != b->version || a->crc32c != b->crc32c ||
                                            a->chain_version != b->chain_version)))
            (void)world_fail(w,
                             "chunk %u: target %" PRIu64 " has %u/%" PRIu64 " %08x%s, target "
                             "%" PRIu64 " has %u/%" PRIu64 " %08x%s",
                             chunk, views[0].target_id, a->chain_version, a->version, a->crc32c,
                             a_live ? "" : " (none)", views[i].target_id, b->chain_version,
                             b->version, b->crc32c, b_live ? "" : " (none)");
    }
}

/* What the replicas say once all answer and nothing is pending; orphans and commit marks have some
 * seconds. */
static int query_quiet(struct world_client *c, uint32_t chunk, struct arena *arena,
                       struct chunk_reply **ret, uint32_t *ret_count)
{
    uint64_t end_ns = world_now_ns(c->world) + QUIET_TIMEOUT_NS;
    for (;;) {
        int r = chunks_query(c->storage, arena, world_chain_of(c->world, chunk),
                             world_chunk_id(chunk), ret, ret_count);
        if (r < 0) return r;
        bool is_quiet = true;
        for (uint32_t i = 0; i < *ret_count; i++) {
            const struct chunk_reply *view = &(*ret)[i];
            if (!has_answered(view) || view->meta.pending_version > 0) is_quiet = false;
        }
        if (is_quiet || world_now_ns(c->world) > end_ns) return 0;
        r = fiber_sleep(10 * MSEC);
        if (r < 0) return r;
    }
}

void world_check_chunk(struct world_client *c, uint32_t chunk)
{
    struct world *w = c->world;
    cleanup_arena_ struct arena arena = { 0 };
    struct chunk_reply *views;
    uint32_t count;
    int r = query_quiet(c, chunk, &arena, &views, &count);
    if (r == 0)
        check_replicas(c, chunk, views, count);
    else
        (void)world_fail(w, "chunk %u cannot be queried: %s", chunk, error_name(r));
    for (uint32_t i = 0; i < w->options.replica_count; i++) {
        r = world_read_from(c, chunk, 0, WORLD_BLOCKS, i);
        if (r < 0)
            (void)world_fail(w, "chunk %u cannot be read in the end: %s", chunk, error_name(r));
    }
}

static void check_all(struct world_client *c, void *arg)
{
    struct world *w = c->world;
    for (uint32_t chunk = 0; chunk < w->options.chunk_count; chunk++) {
        /* First as it was left: a write mends what differs. */
        world_check_chunk(c, chunk);
        int r = world_write(c, chunk, 0, 1);
        if (r < 0)
            (void)world_fail(w, "chunk %u cannot be written in the end: %s", chunk, error_name(r));
        world_check_chunk(c, chunk);
    }
}

int world_check(struct world *w)
{
    world_heal(w);
    int r = world_wait_whole(w, WHOLE_TIMEOUT_NS);
    if (r == 0) r = world_visit(&w->clients[0], check_all, NULL);
    if (r == 0) r = world_check_alive(w);
    if (r == 0) r = history_check(w->history, w->why, sizeof w->why);
    const struct chain_info *chain = routing_chain(mgmtd_client_routing(w->clients[0].mgmtd), 1);
    w->chain_version = chain ? chain->version : 0;
    return r < 0 || w->why[0] ? -ERR_FOUND_BUG : 0;
}
