/* repair.c - a queue of damaged chunks, and the repair of one from a peer. */
#include "storage/repair.h"
#include "base/arena.h"
#include "base/crc32c.h"
#include "loop/fault.h"
#include "storage/forward.h"
#include "storage/storage_internal.h"

enum { QUEUE_COUNT_MAX = 1024 };
#define FETCH_TIMEOUT_NS  (5 * SEC)
#define REPAIR_TIMEOUT_NS (30 * SEC)

/* ---- one chunk ---- */

/* The bytes of the pair in @state as another member has them, into @to. */
static int fetch_from(struct target *t, const struct member *from, const struct chunk_state *state,
                      void *to)
{
    FIBER_TIMEOUT(FETCH_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target peer;
    int r = storage_peer(t->storage, from->node_id, RPC_BULK, &address, &peer);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct iovec iov = { to, state->length };
    uint32_t size = 0;
    struct rpc_options options = {
        .arena = &arena, .bulk_in = &iov, .bulk_in_count = 1, .ret_bulk_in_size = &size
    };
    struct read_io io = { t->chain_id, t->chain_version, state->chunk, 0, state->length };
    struct batch_read_request req = { .ios = { &io, 1 } };
    struct batch_read_reply reply;
    r = storage_batch_read(peer, &options, &req, &reply);
    if (r < 0) return r;
    if (reply.results.count != 1 || size != state->length) return -ERR_RPC_VERIFY_RESPONSE;
    const struct read_result *res = &reply.results.items[0];
    if (res->status)
        return error_number_is_known((int)res->status) ? -(int)res->status : -ERR_UNKNOWN;
    bool is_same = res->version == state->version && res->chain_version == state->chain_version &&
                   res->chunk_length == state->length && res->length == state->length;
    if (!is_same) return -ERR_CHUNK_VERSION_MISMATCH;
    return crc32c(0, to, state->length) == state->crc32c ? 0 : -ERR_CHECKSUM_MISMATCH;
}

/* From the first serving member that has it; that member's node is @ret_node. */
static int fetch(struct target *t, const struct chunk_state *state, void *to, uint32_t *ret_node)
{
    uint32_t version = t->chain_version;
    int r = -ERR_NOT_AVAILABLE;
    for (uint32_t i = 0; t->chain_version == version && i < t->serving_count; i++) {
        if (i == t->self_at) continue;
        struct member from = t->all[i];
        r = fetch_from(t, &from, state, to);
        if (r == 0) {
            *ret_node = from.node_id;
            return 0;
        }
        if (fiber_is_cancelled()) return -ERR_CANCELED;
    }
    return r;
}

/* The same content, of the same pair and update, in other units. */
static int write_anew(struct target *t, const struct chunk_state *state, struct bytes data)
{
    struct chunk_update u = { .kind = UPDATE_REPLACE,
                              .version = state->version,
                              .chain_version = state->chain_version,
                              .update = state->update,
                              .chunk_size = state->chunk_size,
                              .length = state->length,
                              .data = data,
                              .data_crc32c = state->crc32c };
    int r = FAULT("storage.repair.before_stage");
    if (r < 0) return r;
    FIBER_SHIELD();
    r = chunk_stage(t->store, t->target_id, state->chunk, &u);
    if (r == 0) r = FAULT("storage.repair.before_commit");
    if (r == 0)
        r = chunk_commit(t->store, t->target_id, state->chunk, state->version,
                         state->chain_version);
    if (r == 0) return 0;
    /* It may be pending. */
    recover_add(t, state->chunk, state->version, 0);
    storage_check_disk(t->storage, t->disk);
    return r;
}

static int is_damaged(struct target *t, const struct chunk_state *state)
{
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    struct bytes data;
    int r = forward_read_whole(t, state->chunk, CHUNK_COMMITTED, state->version, &buffer, &data);
    return is_damage(r) ? 1 : r;
}

static int repair_damaged(struct target *t, const struct chunk_state *state, uint32_t *ret_node)
{
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    int r = buffer_take(t->storage->pool, state->length, &buffer);
    if (r == 0) r = fetch(t, state, buffer->base, ret_node);
    if (r == 0 && !target_is_serving(t)) r = -ERR_TARGET_STATE_INVALID;
    return r < 0 ? r : write_anew(t, state, bytes_of(buffer->base, state->length));
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
    struct log *log = &t->storage->node->log;
    uint32_t node = 0;
    r = repair_damaged(t, &state, &node);
    if (r < 0) {
        storage_count(t->storage, "storage.repairs_failed", 1);
        return log_warn(log, r,
                        "chunk %" PRIx64 "-%u of target %" PRIu64 " is damaged and stays so",
                        chunk.inode, chunk.index, t->target_id);
    }
    storage_count(t->storage, "storage.repairs", 1);
    log_info(log, "chunk %" PRIx64 "-%u of target %" PRIu64 " is whole again, from node %u",
             chunk.inode, chunk.index, t->target_id, node);
    return 1;
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
    bool has_peer = target_is_serving(t) && t->serving_count > 1;
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
