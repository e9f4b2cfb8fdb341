/* read.c - reads: choose the record that is committed, pin it, read and verify it, then check that
 * the target may answer. The ios of a batch run in a few fibers; data goes out of the buffers that
 * the disk filled.
 */
#include "storage/read.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "loop/fault.h"
#include "storage/confirm.h"
#include "storage/storage_internal.h"

enum { READER_COUNT_MAX = 32, WIDENING_BYTES = 2 * CHUNK_CRC_BLOCK_BYTES };
/* How long a read waits for the local commit before it asks the tail, and for the tail in all. */
#define COMMIT_WAIT_NS  (5 * MSEC)
#define TAIL_TIMEOUT_NS (500 * MSEC)
#define TAIL_PAUSE_NS   (10 * MSEC)
#define DECIDE_LIMIT_NS (2 * SEC)

struct read_job {
    const struct read_io *io;
    struct buffer *buffer; /* NULL: nothing real was read */
    uint32_t skip;
    struct read_result *result;
};

struct batch {
    struct storage *storage;
    uint32_t flags;
    uint32_t count, next;
    uint64_t timeout_ns; /* of the readers */
    struct read_job *jobs;
    struct buffer *gathered; /* when there are more pieces than an answer takes */
    uint64_t memory_bytes;   /* taken from read_memory */
};

/* ---- which record is committed ---- */

/* Staged by this process under this chain version, and so never exposed while this is the tail. */
static bool is_unexposed(struct target *t, const struct chunk_state *state)
{
    struct chunk_lock *lock = chunk_lock_find(&t->locks, state->chunk);
    if (lock && lock->live_version == state->pending_version)
        return lock->live_chain_version == t->chain_version;
    struct orphan *o = recover_find(t, state->chunk);
    return o && o->version == state->pending_version && o->staged_chain_version == t->chain_version;
}

/* As the tail: 1 when the committed record of @state is the answer, 0: look again. */
static int decide_as_tail(struct target *t, const struct chunk_state *state)
{
    if (!state->has_pending || is_unexposed(t, state)) return 1;
    int r = recover_chunk(t, state->chunk);
    return r < 0 ? r : 0;
}

int read_committed_version(struct target *t, const struct chunk_request *req,
                           struct chunk_reply *reply)
{
    int r = confirm_role(t);
    if (r == 0) r = target_check_serving(t, req->chain_version);
    if (r < 0) return r;
    if (!target_is_tail(t)) return -ERR_TARGET_STATE_INVALID;
    struct chunk_state state;
    do {
        r = chunk_get(t->store, t->target_id, req->chunk, &state);
        if (r < 0) return r;
        reply->found = r > 0;
        r = r > 0 ? decide_as_tail(t, &state) : 1;
        if (r < 0) return r;
    } while (r == 0);
    if (reply->found) chunk_meta_fill(&reply->meta, &state);
    reply->target_id = t->target_id;
    reply->local_state = t->local_state;
    reply->local_chain_version = t->chain_version;
    return confirm_read(t, req->chain_version);
}

static int ask_tail(struct target *t, uint32_t chain_version, struct chunk_id chunk,
                    struct chunk_reply *reply)
{
    FIBER_TIMEOUT(TAIL_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = storage_peer(t->storage, target_tail(t)->node_id, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct chunk_request req = { t->chain_id, chain_version, chunk };
    storage_count(t->storage, "storage.tail_questions", 1);
    r = storage_committed_version(to, &options, &req, reply);
    return r < 0 ? r : 0;
}

/* Does the tail's @answer say that the pending record of @state is committed? */
static bool is_committed_at_tail(const struct chunk_state *state, const struct chunk_reply *answer)
{
    const struct chunk_meta *m = &answer->meta;
    bool is_there = answer->found && !m->is_tombstone && m->version > 0;
    if (state->pending_kind == UPDATE_REMOVE && !is_there) return chunk_live_version(state) > 0;
    return answer->found && m->version == state->pending_version &&
           m->chain_version == state->pending_chain_version;
}

static int wait_commit(struct chunk_lock *lock, uint64_t timeout_ns)
{
    FIBER_TIMEOUT(timeout_ns);
    return chunk_lock_wait_commit(lock);
}

/* Beside a pending record of a member that is not the tail. 1 and which one, 0: look again. */
static int decide_beside_pending(struct target *t, const struct read_io *io, uint64_t began_ns,
                                 enum chunk_pin_which *ret)
{
    uint64_t waited_ns = node_now_ns(t->storage->node) - began_ns;
    struct chunk_lock *lock = chunk_lock_find(&t->locks, io->chunk);
    if (lock && waited_ns < COMMIT_WAIT_NS) {
        int r = wait_commit(lock, COMMIT_WAIT_NS - waited_ns);
        if (r == -ERR_TIMEOUT) return fiber_remaining_ns() == 0 ? -ERR_CHUNK_NOT_COMMIT : 0;
        return r;
    }
    struct chunk_reply answer = { 0 };
    int r = ask_tail(t, io->chain_version, io->chunk, &answer);
    if (r < 0) {
        if (waited_ns >= DECIDE_LIMIT_NS || fiber_remaining_ns() == 0) return -ERR_CHUNK_NOT_COMMIT;
        r = fiber_sleep(TAIL_PAUSE_NS);
        return r == -ERR_TIMEOUT ? -ERR_CHUNK_NOT_COMMIT : r;
    }
    struct chunk_state state;
    r = chunk_get(t->store, t->target_id, io->chunk, &state);
    if (r < 0) return r;
    *ret = r > 0 && state.has_pending && is_committed_at_tail(&state, &answer) ? CHUNK_PENDING
                                                                               : CHUNK_COMMITTED;
    return 1;
}

/* 1 and the record to be read, or an error. */
static int decide(struct target *t, const struct read_io *io, uint32_t flags,
                  enum chunk_pin_which *ret)
{
    uint64_t began_ns = node_now_ns(t->storage->node);
    for (;;) {
        int r = target_check_serving(t, io->chain_version);
        if (r < 0) return r;
        struct chunk_state state;
        r = chunk_get(t->store, t->target_id, io->chunk, &state);
        if (r < 0) return r;
        *ret = CHUNK_COMMITTED;
        if (r == 0 || !state.has_pending || MUTANT(READ_COMMITTED_BESIDE_PENDING)) return 1;
        if (flags & IO_ALLOW_UNCOMMITTED) {
            *ret = CHUNK_PENDING;
            return 1;
        }
        r = target_is_tail(t) ? decide_as_tail(t, &state)
                              : decide_beside_pending(t, io, began_ns, ret);
        if (r != 0) return r;
    }
}

/* ---- one io ---- */

static int read_record(struct target *t, struct read_job *job, enum chunk_pin_which which)
{
    const struct read_io *io = job->io;
    struct read_result *res = job->result;
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    struct chunk_state state;
    int r = chunk_pin(t->store, t->target_id, io->chunk, which, &pin, &state);
    if (r <= 0) return r < 0 ? r : -ERR_CHUNK_NOT_FOUND;
    bool is_pending = which == CHUNK_PENDING;
    res->version = is_pending ? state.pending_version : state.version;
    res->chain_version = is_pending ? state.pending_chain_version : state.chain_version;
    res->chunk_length = is_pending ? state.pending_length : state.length;
    if (io->length == 0 || io->offset >= res->chunk_length) return 0;
    uint32_t length = MIN_OF(io->length, res->chunk_length - io->offset);
    r = FAULT("storage.read.before_disk");
    if (r == 0)
        r = chunk_read(pin, io->offset, length, t->storage->pool, &job->buffer, &job->skip,
                       &res->length, &res->crc32c);
    return r;
}

static int read_io_at(struct target *t, struct read_job *job, uint32_t flags)
{
    const struct read_io *io = job->io;
    int r = target_check_serving(t, io->chain_version);
    if (r == 0) r = confirm_role(t);
    if (r == 0 && MUTANT(LEASE_CHECKED_BEFORE_READ)) r = confirm_read(t, io->chain_version);
    if (r < 0) return r;
    int found;
    for (;;) {
        enum chunk_pin_which which;
        r = decide(t, io, flags, &which);
        if (r == 1) r = FAULT("storage.read.before_pin");
        if (r < 0) return r;
        found = read_record(t, job, which);
        /* A pending record may be committed, and be gone as such, before it is pinned. */
        if (found != -ERR_CHUNK_NOT_FOUND || which == CHUNK_COMMITTED) break;
        struct chunk_state state;
        r = chunk_get(t->store, t->target_id, io->chunk, &state);
        if (r < 0) return r;
        if (r > 0 && state.has_pending && state.pending_kind == UPDATE_REMOVE) break;
    }
    if (found == -ERR_CHECKSUM_MISMATCH) storage_count(t->storage, "storage.checksum_mismatch", 1);
    if (is_damage(found)) repair_ask(t, io->chunk);
    if (found == -ERR_CHUNK_READ_FAILED) storage_check_disk(t->storage, t->disk);
    if (found < 0 && found != -ERR_CHUNK_NOT_FOUND) return found;
    if (MUTANT(LEASE_CHECKED_BEFORE_READ) || MUTANT(STALE_READ_ALLOWED)) return found;
    r = confirm_read(t, io->chain_version);
    return r < 0 ? r : found;
}

/* The CRC of what the caller gets for the io: real bytes, then zeros. */
static uint32_t crc_with_zeros(const struct storage *s, const struct read_job *job)
{
    uint32_t crc = job->result->crc32c;
    for (uint32_t left = job->io->length - job->result->length; left > 0;) {
        uint32_t n = MIN_OF(left, (uint32_t)ZERO_BYTES);
        crc = crc32c(crc, s->zeros, n);
        left -= n;
    }
    return crc;
}

static void run_job(struct batch *b, struct read_job *job)
{
    cleanup_(target_unusep) struct target *t = storage_find_chain(b->storage, job->io->chain_id);
    if (t) target_use(t);
    int r = t ? read_io_at(t, job, b->flags) : -ERR_TARGET_NOT_FOUND;
    if (r < 0) {
        job->buffer = buffer_give(job->buffer);
        job->result->length = job->result->crc32c = 0;
        job->result->status = (uint32_t)-r;
    }
    job->result->crc32c = crc_with_zeros(b->storage, job);
}

/* ---- the batch ---- */

static int reader_fiber(void *arg)
{
    struct batch *b = arg;
    FIBER_TIMEOUT(b->timeout_ns);
    while (b->next < b->count) {
        run_job(b, &b->jobs[b->next++]);
    }
    return 0;
}

static int run_jobs(struct batch *b)
{
    b->timeout_ns = fiber_remaining_ns();
    if (b->count <= 1) return reader_fiber(b);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    for (uint32_t i = 0; i < MIN_OF(b->count, (uint32_t)READER_COUNT_MAX); i++) {
        int r = fiber_spawn(&scope, "read", reader_fiber, b);
        if (r < 0 && i == 0) return r;
        if (r < 0) break;
    }
    return scope_wait(&scope);
}

static struct batch *batch_free(struct batch *b)
{
    if (!b) return NULL;
    for (uint32_t i = 0; i < b->count; i++) {
        buffer_give(b->jobs[i].buffer);
    }
    buffer_give(b->gathered);
    fiber_semaphore_give(&b->storage->read_memory, b->memory_bytes);
    free(b->jobs);
    free(b);
    return NULL;
}
CLEANUP_FUNC(struct batch *, batch_free)

static void batch_sent(void *arg)
{
    batch_free(arg);
}

static int check_batch(struct rpc_call *call, const struct batch_read_request *req,
                       uint64_t *ret_bytes, uint64_t *ret_memory)
{
    uint64_t bytes = 0, memory = 0;
    if (req->ios.count > BATCH_READ_IO_COUNT_MAX)
        return rpc_fail(call, -ERR_INVALID_ARG, "%u ios, at most %d", req->ios.count,
                        BATCH_READ_IO_COUNT_MAX);
    for (uint32_t i = 0; i < req->ios.count; i++) {
        const struct read_io *io = &req->ios.items[i];
        if (io->length > CHUNK_BYTES_MAX)
            return rpc_fail(call, -ERR_INVALID_ARG, "an io of %u bytes", io->length);
        bytes += io->length;
        memory += io->length + WIDENING_BYTES;
    }
    if (bytes > BATCH_READ_BYTES_MAX)
        return rpc_fail(call, -ERR_INVALID_ARG, "%" PRIu64 " bytes, at most %d", bytes,
                        BATCH_READ_BYTES_MAX);
    *ret_bytes = bytes;
    *ret_memory = memory;
    return 0;
}

/* Lists the pieces of the answer; the count, or more than @max when they do not fit. */
static int list_pieces(const struct batch *b, struct iovec *iov, int max)
{
    int n = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct read_job *job = &b->jobs[i];
        uint32_t left = job->io->length;
        if (job->result->length > 0) {
            if (n == max) return max + 1;
            iov[n++] = (struct iovec){ job->buffer->base + job->skip, job->result->length };
            left -= job->result->length;
        }
        while (left > 0) {
            if (n == max) return max + 1;
            uint32_t zeros = MIN_OF(left, (uint32_t)ZERO_BYTES);
            iov[n++] = (struct iovec){ b->storage->zeros, zeros };
            left -= zeros;
        }
    }
    return n;
}

/* Copies all into one buffer: many small ios. */
static int gather(struct batch *b, uint64_t bytes, struct iovec *ret)
{
    int r = buffer_take(b->storage->pool, bytes, &b->gathered);
    if (r < 0) return r;
    uint8_t *to = b->gathered->base;
    for (uint32_t i = 0; i < b->count; i++) {
        struct read_job *job = &b->jobs[i];
        uint32_t real = job->result->length;
        if (real > 0) memcpy(to, job->buffer->base + job->skip, real);
        memset(to + real, 0, job->io->length - real);
        to += job->io->length;
        job->buffer = buffer_give(job->buffer);
    }
    *ret = (struct iovec){ b->gathered->base, bytes };
    return 0;
}

static struct batch *batch_new(struct storage *s, struct rpc_call *call,
                               const struct batch_read_request *req, struct batch_read_reply *reply)
{
    struct batch *b = new_zero(struct batch);
    b->storage = s;
    b->flags = req->flags;
    b->count = req->ios.count;
    b->jobs = xcalloc(b->count + 1, sizeof *b->jobs);
    reply->results.items = arena_array(call->arena, struct read_result, b->count + 1);
    reply->results.count = b->count;
    for (uint32_t i = 0; i < b->count; i++) {
        b->jobs[i].io = &req->ios.items[i];
        b->jobs[i].result = &reply->results.items[i];
    }
    return b;
}

int read_batch(struct storage *s, struct rpc_call *call, const struct batch_read_request *req,
               struct batch_read_reply *reply)
{
    uint64_t bytes = 0, memory = 0;
    int r = check_batch(call, req, &bytes, &memory);
    if (r < 0) return r;
    cleanup_(batch_freep) struct batch *b = batch_new(s, call, req, reply);
    r = fiber_semaphore_take(&s->read_memory, memory);
    if (r < 0) return r;
    b->memory_bytes = memory;
    r = run_jobs(b);
    if (r < 0) return r;
    storage_count(s, "storage.read_bytes", bytes);
    storage_count(s, "storage.read_ios", b->count);
    if (bytes == 0) return 0;
    struct iovec iov[RPC_REPLY_IOV_MAX];
    int n = list_pieces(b, iov, RPC_REPLY_IOV_MAX);
    if (n > RPC_REPLY_IOV_MAX) {
        r = gather(b, bytes, iov);
        if (r < 0) return r;
        n = 1;
    }
    rpc_push(call, iov, n, batch_sent, TAKE_PTR(b));
    return 0;
}
