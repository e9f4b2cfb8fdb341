/* chain_check.c - what must hold in the end. */
#include "sim/chain_world.h"

#define WHOLE_TIMEOUT_NS (60 * SEC)

struct checker {
    struct world *world;
    bool is_done;
};

static void check_replicas_of(struct world *w, uint32_t chunk)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct chunk_reply *views;
    uint32_t count;
    uint32_t chain = world_chain_of(w, chunk);
    int r =
        chunks_query(w->clients[0].storage, &arena, chain, world_chunk_id(chunk), &views, &count);
    if (r < 0) {
        (void)world_fail(w, "chunk %u cannot be queried: %s", chunk, error_name(r));
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct chunk_meta *a = &views[0].meta, *b = &views[i].meta;
        bool a_live = views[0].found && a->version && !a->is_tombstone;
        bool b_live = views[i].found && b->version && !b->is_tombstone;
        if (b->pending_version)
            (void)world_fail(w, "chunk %u at target %" PRIu64 " is pending for ever", chunk,
                             views[i].target_id);
        if (a_live != b_live || (a_live && (a->version != b->version || a->crc32c != b->crc32c ||
                                            a->chain_version != b->chain_version)))
            (void)world_fail(w,
                             "chunk %u: target %" PRIu64 " has %u/%" PRIu64 " %08x, target %" PRIu64
                             " has %u/%" PRIu64 " %08x",
                             chunk, views[0].target_id, a->chain_version, a->version, a->crc32c,
                             views[i].target_id, b->chain_version, b->version, b->crc32c);
    }
}

static int check_fiber(void *arg)
{
    struct checker *k = arg;
    struct world *w = k->world;
    for (uint32_t chunk = 0; chunk < w->options.chunk_count; chunk++) {
        /* What is said to be there can be read by everybody. */
        int r = world_read(&w->clients[0], chunk, 0, WORLD_BLOCKS);
        if (r < 0 && r != -ERR_CHUNK_NOT_FOUND)
            (void)world_fail(w, "chunk %u cannot be read in the end: %s", chunk, error_name(r));
        r = world_write(&w->clients[0], chunk, 0, 1);
        if (r < 0)
            (void)world_fail(w, "chunk %u cannot be written in the end: %s", chunk, error_name(r));
        check_replicas_of(w, chunk);
    }
    k->is_done = true;
    return 0;
}

int world_check(struct world *w)
{
    world_heal(w);
    int r = world_wait_whole(w, WHOLE_TIMEOUT_NS);
    /* Orphans are rolled forward, commit marks arrive. */
    if (r == 0) r = fiber_sleep(5 * SEC);
    struct checker k = { .world = w };
    if (r == 0) r = fiber_spawn(&w->clients[0].scope, "check", check_fiber, &k);
    while (r == 0 && !k.is_done) {
        r = fiber_sleep(10 * MSEC);
    }
    if (r == 0) r = world_check_alive(w);
    if (r == 0) r = history_check(w->history, w->why, sizeof w->why);
    const struct chain_info *chain = routing_chain(mgmtd_client_routing(w->clients[0].mgmtd), 1);
    w->chain_version = chain ? chain->version : 0;
    return r < 0 || w->why[0] ? -ERR_FOUND_BUG : 0;
}
