/* forward.c - attempts to bring one update to the successor, until it answers or leaves. */
#include "storage/forward.h"
#include "loop/fault.h"
#include "storage/repair.h"
#include "storage/storage_internal.h"

#define ATTEMPT_TIMEOUT_NS   (5 * SEC)
#define ATTEMPT_PAUSE_MIN_NS (5 * MSEC)
#define ATTEMPT_PAUSE_MAX_NS (200 * MSEC)

/* One call to the successor, in a fiber of its own. */
struct attempt {
    struct list link; /* of the target's attempts */
    struct target *target;
    struct wait_queue wake;
    bool is_done;
    int result;
    uint64_t timeout_ns;
    uint32_t node_id;
    struct update_request request;
    struct bytes data;
    struct write_reply reply;
};

void forward_interrupt(struct target *t)
{
    list_for_each (it, &t->attempts) {
        wait_queue_wake_all(&list_entry(it, struct attempt, link)->wake);
    }
}

static int attempt_fiber(void *arg)
{
    struct attempt *a = arg;
    struct storage *s = a->target->storage;
    FIBER_TIMEOUT(a->timeout_ns);
    struct net_address address;
    struct rpc_target to;
    a->result = storage_peer(s, a->node_id, RPC_BULK, &address, &to);
    if (a->result == 0) a->result = FAULT("storage.forward.before_send");
    if (a->result == 0) {
        cleanup_arena_ struct arena arena;
        arena_init(&arena);
        union {
            const void *in;
            void *out;
        } base = { a->data.base };
        struct iovec iov = { base.out, a->data.size };
        struct rpc_options options = { .arena = &arena,
                                       .bulk_out = &iov,
                                       .bulk_out_count = a->data.size ? 1 : 0 };
        a->result = storage_update(to, &options, &a->request, &a->reply);
    }
    a->is_done = true;
    wait_queue_wake_all(&a->wake);
    return 0;
}

/* Runs one attempt; it ends early with -ERR_CHAIN_VERSION_MISMATCH when the chain changes. */
static int run_attempt(struct target *t, struct attempt *a)
{
    a->target = t;
    wait_queue_init(&a->wake);
    a->timeout_ns = MIN_OF(fiber_remaining_ns(), (uint64_t)ATTEMPT_TIMEOUT_NS);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    int r = fiber_spawn(&scope, "forward", attempt_fiber, a);
    if (r < 0) return r;
    list_push_back(&t->attempts, &a->link);
    while (r == 0 && !a->is_done && t->chain_version == a->request.chain_version &&
           target_is_member(t)) {
        r = wait_queue_wait(&a->wake, "forward");
    }
    list_remove(&a->link);
    if (a->is_done) return a->result;
    return r < 0 ? r : -ERR_CHAIN_VERSION_MISMATCH;
}

static void fill_request(const struct target *t, const struct forward *f, struct attempt *a)
{
    const struct chunk_state *s = f->state;
    bool is_remove = s->pending_kind == UPDATE_REMOVE && !MUTANT(PENDING_REMOVE_BECOMES_WRITE);
    if (f->original) {
        a->request = *f->original;
        a->data = f->data;
    } else {
        a->request = (struct update_request){
            .kind = is_remove ? UPDATE_REMOVE : UPDATE_REPLACE,
            .generation = s->pending_generation,
            .length = is_remove ? 0 : s->pending_length,
            .chunk_size = s->pending_chunk_size ?: s->chunk_size,
            .crc32c = is_remove ? 0 : s->pending_crc32c,
        };
    }
    a->request.chain_id = t->chain_id;
    a->request.chain_version = t->chain_version;
    a->request.chunk = s->chunk;
    a->request.update = s->pending_update;
    a->request.life = t->storage->life;
    a->request.version = s->pending_version;
    a->request.pair_chain_version = s->pending_chain_version;
    a->request.base_version = chunk_live_version(s);
    a->request.base_chain_version = s->is_tombstone ? 0 : s->chain_version;
    a->request.base_crc32c = s->is_tombstone ? 0 : s->crc32c;
    a->request.is_resync = 0;
}

/* The pending content is damaged here. Who is before us has it, and who is behind us may. If nobody
 * in the chain has it, it was never acknowledged while others served: then they serve on without
 * us, and it ends when we are filled (rule 4). If nobody else serves, it goes as it is. */
static int repair_pending(struct target *t, struct forward *f, struct content *ret)
{
    struct repaired repaired;
    int r = repair_content(t, f->state, CHUNK_PENDING, &repaired);
    if (r < 0) return r;
    *ret = repaired.content;
    if (!ret->block_crcs) return 0;
    if (!repaired.have_members_said) r = -ERR_NOT_AVAILABLE;
    if (r == 0 && t->serving_count > 1) {
        target_withdraw(t, "an update that is pending here is damaged");
        r = -ERR_TARGET_STATE_INVALID;
    }
    if (r < 0) content_done(ret);
    return r;
}

/* The whole pending content. */
static int read_pending(struct target *t, struct forward *f, struct content *ret)
{
    int r = content_read(t, f->state->chunk, CHUNK_PENDING, f->state->pending_version, ret);
    if (is_damage(r)) r = repair_pending(t, f, ret);
    /* No other error of ours may be taken for a refusal by the successor. */
    return r < 0 ? -ERR_CHUNK_READ_FAILED : 0;
}

/* The update in the form that @successor takes: as it came, or as the whole pending content. */
static int attempt_prepare(struct target *t, const struct member *successor, struct forward *f,
                           struct attempt *a, struct content *whole)
{
    a->node_id = successor->node_id;
    bool is_syncing = successor->public_state == PUBLIC_SYNCING;
    if (is_syncing && f->original && f->original->kind != UPDATE_REMOVE) f->original = NULL;
    fill_request(t, f, a);
    if (a->request.kind != UPDATE_REPLACE || f->original) return 0;
    if (f->state->pending_kind == UPDATE_REMOVE) return 0;
    if (!whole->buffer) {
        int r = read_pending(t, f, whole);
        if (r < 0) return r;
        f->data = whole->data;
        /* The chain may have changed while we read. */
        if (a->request.chain_version != t->chain_version) return -ERR_CHAIN_VERSION_MISMATCH;
    }
    a->data = f->data;
    a->request.block_crcs = (struct u32_list){ whole->block_crcs, whole->block_count };
    return 0;
}

/* 0: done. 1: try again, after a pause. */
static int judge(struct target *t, struct forward *f, const struct attempt *a, int r)
{
    struct storage *s = t->storage;
    const struct chunk_state *state = f->state;
    if (r >= 0) {
        bool is_remove = state->pending_kind == UPDATE_REMOVE;
        if (a->reply.version == state->pending_version &&
            (is_remove || a->reply.crc32c == state->pending_crc32c || f->is_unstaged))
            return 0;
        storage_count(s, "storage.replica_mismatch", 1);
        return log_error(&s->node->log, -ERR_CHECKSUM_MISMATCH,
                         "chunk %" PRIx64 "-%u of chain %u: version %" PRIu64 " crc %08x here, "
                         "version %" PRIu64 " crc %08x at node %u",
                         state->chunk.inode, state->chunk.index, t->chain_id,
                         state->pending_version, state->pending_crc32c, a->reply.version,
                         a->reply.crc32c, a->node_id);
    }
    if (is_refusal(r)) return r;
    if (r == -ERR_CHUNK_COMMITTED_UPDATE && t->serving_count > t->self_at + 1) {
        /* Another update has this pair, and all behind us have committed it: ours got lost here. */
        target_withdraw(t, "updates that its chain has are not here");
        return -ERR_TARGET_STATE_INVALID;
    }
    bool is_behind = r == -ERR_CHUNK_MISSING_UPDATE, is_damaged = r == -ERR_CHECKSUM_MISMATCH;
    if ((is_behind || is_damaged) && f->original) {
        storage_count(s, is_behind ? "storage.replica_behind" : "storage.replica_damaged", 1);
        log_warn(&s->node->log, r,
                 "chunk %" PRIx64 "-%u of chain %u: node %u cannot build on version %" PRIu64
                 ", sending it whole",
                 state->chunk.inode, state->chunk.index, t->chain_id, a->node_id,
                 chunk_live_version(state));
        f->original = NULL;
        return 1;
    }
    if (fiber_is_cancelled()) return -ERR_CANCELED;
    if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
    return 1;
}

/* Waits a little, or until the chain changes. */
static int pause_before_retry(struct target *t, uint64_t pause_ns, uint32_t version)
{
    if (t->chain_version != version) return 0;
    int r = 0;
    {
        FIBER_TIMEOUT(pause_ns);
        r = wait_queue_wait(&t->changed, "retry of a forward");
    }
    if (r == -ERR_TIMEOUT && fiber_remaining_ns() > 0) return 0;
    return r;
}

/* Says what stands in the way of one update after 8 attempts (about a second), 16, 32, … */
static void log_trouble(const struct target *t, const struct forward *f, const struct attempt *a,
                        uint32_t attempt_count, int r)
{
    bool is_time = attempt_count >= 8 && !(attempt_count & (attempt_count - 1));
    if (!is_time) return;
    log_warn(&t->storage->node->log, r,
             "chunk %" PRIx64 "-%u of chain %u version %u: %u attempts to forward it to node %u",
             f->state->chunk.inode, f->state->chunk.index, t->chain_id, a->request.chain_version,
             attempt_count, a->node_id);
}

int forward_pending(struct target *t, struct forward *f)
{
    cleanup_(content_done) struct content whole = { 0 };
    uint64_t pause_ns = ATTEMPT_PAUSE_MIN_NS;
    for (uint32_t attempt_count = 1;; attempt_count++) {
        if (!target_is_member(t)) return -ERR_TARGET_STATE_INVALID;
        f->chain_version = t->chain_version;
        const struct member *successor = target_successor(t);
        if (!successor || MUTANT(SKIP_FORWARD)) return 0;
        if (successor->public_state == PUBLIC_SYNCING && MUTANT(SYNCING_LEFT_OUT)) return 0;
        struct attempt a = { .result = 0 };
        int r = attempt_prepare(t, successor, f, &a, &whole);
        if (r == 0) r = run_attempt(t, &a);
        int why = r;
        r = judge(t, f, &a, r);
        if (r <= 0) return r;
        if (whole.block_crcs) content_done(&whole); /* somebody may have it next time */
        storage_count(t->storage, "storage.forward_retries", 1);
        log_trouble(t, f, &a, attempt_count, why);
        r = pause_before_retry(t, pause_ns, a.request.chain_version);
        if (r < 0) return r;
        pause_ns = MIN_OF(pause_ns * 2, (uint64_t)ATTEMPT_PAUSE_MAX_NS);
    }
}
