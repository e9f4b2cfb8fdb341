/* repair.c - a queue of damaged chunks, and the repair of one from its peers. */
#include "storage/repair.h"
#include "loop/fault.h"
#include "storage/storage_internal.h"

enum { QUEUE_COUNT_MAX = 1024 };
#define REPAIR_TIMEOUT_NS (30 * SEC)

/* ---- one chunk ---- */

/* The same content, of the same pair and update, in other units: pending, as the damaged one was,
 * or committed again. */
static int write_anew(struct target *t, const struct chunk_state *state, enum chunk_pin_which which,
                      struct bytes data)
{
    bool is_pending = which == CHUNK_PENDING;
    struct chunk_update u = { .kind = UPDATE_REPLACE,
                              .version = state->version,
                              .chain_version = state->chain_version,
                              .update = state->update,
                              .chunk_size = state->chunk_size,
                              .length = state->length,
                              .data = data,
                              .data_crc32c = state->crc32c,
                              .is_anew = true };
    if (is_pending) {
        u.version = state->pending_version;
        u.chain_version = state->pending_chain_version;
        u.generation = state->pending_generation;
        u.update = state->pending_update;
        u.chunk_size = state->pending_chunk_size ?: state->chunk_size;
        u.length = state->pending_length;
        u.data_crc32c = state->pending_crc32c;
    }
    int r = FAULT("storage.repair.before_stage");
    if (r < 0) return r;
    FIBER_SHIELD();
    r = chunk_stage(t->store, t->target_id, state->chunk, &u);
    if (r == 0) r = FAULT("storage.repair.before_commit");
    if (r == 0 && !is_pending)
        r = chunk_commit(t->store, t->target_id, state->chunk, state->version,
                         state->chain_version);
    if (r == 0) return 0;
    /* It may be pending. */
    if (!is_pending) recover_add(t, state->chunk, state->version, 0);
    storage_check_disk(t->storage, t->disk);
    return r;
}

/* -ERR_CHECKSUM_MISMATCH: every target of the chain has said that it is not whole there. */
static int why_not_whole(const struct gathered *g)
{
    return g->have_all_said ? -ERR_CHECKSUM_MISMATCH : -ERR_NOT_AVAILABLE;
}

static void tell(struct target *t, const struct chunk_state *state, enum chunk_pin_which which,
                 const struct gathered *g, int r)
{
    struct log *log = &t->storage->node->log;
    const char *what = which == CHUNK_PENDING ? "the pending update of " : "";
    storage_count(t->storage, r < 0 ? "storage.repairs_failed" : "storage.repairs", 1);
    if (r < 0)
        log_warn(log, r, "%schunk %" PRIx64 "-%u of target %" PRIu64 " is damaged and stays so",
                 what, state->chunk.inode, state->chunk.index, t->target_id);
    else
        log_info(log, "%schunk %" PRIx64 "-%u of target %" PRIu64 " is whole again, from node %u",
                 what, state->chunk.inode, state->chunk.index, t->target_id, g->node_id);
}

int repair_content(struct target *t, const struct chunk_state *state, enum chunk_pin_which which,
                   struct repaired *ret)
{
    struct gathered g;
    uint64_t version = which == CHUNK_PENDING ? state->pending_version : state->version;
    int r = content_gather(t, state->chunk, which, version, &g);
    if (r < 0) {
        storage_count(t->storage, "storage.repairs_failed", 1);
        return r;
    }
    int written =
        g.content.block_crcs ? why_not_whole(&g) : write_anew(t, state, which, g.content.data);
    tell(t, state, which, &g, written);
    *ret = (struct repaired){ .content = g.content,
                              .written = written,
                              .have_members_said = g.have_members_said };
    return 0;
}

static int is_damaged(struct target *t, const struct chunk_state *state)
{
    cleanup_(content_done) struct content content = { 0 };
    int r = content_read(t, state->chunk, CHUNK_COMMITTED, state->version, &content);
    return is_damage(r) ? 1 : r;
}

int repair_locked(struct target *t, struct chunk_id chunk)
{
    struct chunk_state state;
    int r = chunk_get(t->store, t->target_id, chunk, &state);
    if (r <= 0) return r;
    if (chunk_live_version(&state) == 0 || state.length == 0) return 0;
    if (state.has_pending) return -ERR_CHUNK_NOT_COMMIT;
    r = is_damaged(t, &state);
    if (r <= 0) return r;
    struct repaired repaired;
    r = repair_content(t, &state, CHUNK_COMMITTED, &repaired);
    if (r < 0) return r;
    content_done(&repaired.content);
    return repaired.written < 0 ? repaired.written : 1;
}

int repair_chunk(struct target *t, struct chunk_id chunk)
{
    cleanup_(chunk_lock_releasep) struct chunk_lock *lock = NULL;
    int r = chunk_lock_take(&t->locks, chunk, &lock);
    if (r < 0) return r;
    if (!target_is_serving(t)) return -ERR_TARGET_STATE_INVALID;
    struct chunk_state state;
    r = chunk_get(t->store, t->target_id, chunk, &state);
    if (r > 0 && state.has_pending) r = recover_resolve(t, lock, &state);
    return r < 0 ? r : repair_locked(t, chunk);
}

/* ---- the queue ---- */

struct repair {
    struct list link;
    uint64_t target_id;
    struct chunk_id chunk;
};

void repairs_init(struct repairs *repairs)
{
    *repairs = (struct repairs){ 0 };
    list_init(&repairs->queue);
    wait_queue_init(&repairs->wake);
}

static void repair_drop(struct repairs *repairs, struct repair *repair)
{
    list_remove(&repair->link);
    repairs->count--;
    free(repair);
}

void repairs_done(struct repairs *repairs)
{
    while (!list_empty(&repairs->queue)) {
        repair_drop(repairs, list_entry(repairs->queue.next, struct repair, link));
    }
}

static bool is_asked(const struct repairs *repairs, uint64_t target_id, struct chunk_id chunk)
{
    list_for_each (it, &repairs->queue) {
        const struct repair *repair = list_entry(it, struct repair, link);
        if (repair->target_id == target_id && chunk_id_compare(repair->chunk, chunk) == 0)
            return true;
    }
    return false;
}

void repair_ask(struct target *t, struct chunk_id chunk)
{
    struct repairs *repairs = &t->storage->repairs;
    bool has_peer = target_is_serving(t) && t->all_count > 1;
    if (!has_peer || repairs->count >= QUEUE_COUNT_MAX || is_asked(repairs, t->target_id, chunk))
        return;
    struct repair *repair = new_zero(struct repair);
    repair->target_id = t->target_id;
    repair->chunk = chunk;
    list_push_back(&repairs->queue, &repair->link);
    repairs->count++;
    wait_queue_wake_all(&repairs->wake);
}

static int repairs_fiber(void *arg)
{
    struct storage *s = arg;
    struct repairs *repairs = &s->repairs;
    for (;;) {
        while (repairs->count == 0) {
            int r = wait_queue_wait(&repairs->wake, "damaged chunks");
            if (r < 0) return r;
        }
        struct repair *first = list_entry(repairs->queue.next, struct repair, link);
        struct chunk_id chunk = first->chunk;
        struct target *found = storage_find_target(s, first->target_id);
        int r = 0;
        if (found && !found->is_going) {
            cleanup_(target_unusep) struct target *t = found;
            target_use(t);
            FIBER_TIMEOUT(REPAIR_TIMEOUT_NS);
            r = repair_chunk(t, chunk);
        }
        /* It stayed in the queue meanwhile, so that nobody asked again. */
        repair_drop(repairs, first);
        if (r < 0 && fiber_is_cancelled()) return -ERR_CANCELED;
    }
}

int repairs_start(struct storage *s)
{
    return fiber_spawn(&s->scope, "repair", repairs_fiber, s);
}
