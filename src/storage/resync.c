/* resync.c - the sender: attempts, passes, and chunks that differ. */
#include "storage/resync.h"
#include "base/arena.h"
#include "loop/fault.h"
#include "storage/storage_internal.h"

enum { PAGE_CHUNKS = 1024, PAGE_IDENTITIES = 1024, WORKER_COUNT_MAX = 16 };
#define CALL_TIMEOUT_NS    (5 * SEC)
#define RETRY_PAUSE_NS     (200 * MSEC)
#define RESOLVE_TIMEOUT_NS (10 * SEC)

/* One attempt under one chain version. */
struct sender {
    struct target *target;
    uint32_t chain_version;
    uint64_t receiver_id;
    uint32_t receiver_node;
    uint64_t epoch;
    uint64_t sent_count;              /* in this pass */
    uint64_t chunk_count, done_count; /* of this pass: own ones in buckets that differ */
    struct scope workers;
    struct fiber_semaphore slots;
    uint32_t buckets[SYNC_BUCKET_COUNT]; /* that differ, ascending */
    uint32_t bucket_count;
    bool is_listed[SYNC_BUCKET_COUNT];
    struct identity_entry *left_out; /* of updates that were pending when identities were copied */
    uint32_t left_out_count;
};

static int still_sender(const struct sender *s)
{
    const struct target *t = s->target;
    const struct member *to = target_successor(t);
    if (t->is_going || t->chain_version != s->chain_version || !target_is_serving(t) || !to ||
        to->public_state != PUBLIC_SYNCING || to->target_id != s->receiver_id)
        return -ERR_CHAIN_VERSION_MISMATCH;
    return 0;
}

static int receiver_address(struct sender *s, enum rpc_class class, struct net_address *address,
                            struct rpc_target *ret)
{
    int r = still_sender(s);
    return r < 0 ? r : storage_peer(s->target->storage, s->receiver_node, class, address, ret);
}

static struct sync_request request_of(const struct sender *s)
{
    return (struct sync_request){ .chain_id = s->target->chain_id,
                                  .chain_version = s->chain_version,
                                  .target_id = s->receiver_id,
                                  .epoch = s->epoch };
}

/* ---- identities and floors ---- */

struct page {
    struct sender *sender;
    struct identity_entry *entries;
    struct floor_entry *floors;
    uint32_t entry_count, entry_capacity, floor_count, floor_capacity;
};

static int take_identity(void *arg, const struct identity_entry *entry)
{
    struct page *p = arg;
    if (p->entry_count == p->entry_capacity) {
        p->entry_capacity = p->entry_capacity ? p->entry_capacity * 2 : PAGE_IDENTITIES;
        p->entries = xrealloc(p->entries, p->entry_capacity * sizeof *p->entries);
    }
    p->entries[p->entry_count++] = *entry;
    return 0;
}

static int take_floor(void *arg, uint64_t inode, uint32_t generation)
{
    struct page *p = arg;
    if (p->floor_count == p->floor_capacity) {
        p->floor_capacity = p->floor_capacity ? p->floor_capacity * 2 : PAGE_IDENTITIES;
        p->floors = xrealloc(p->floors, p->floor_capacity * sizeof *p->floors);
    }
    p->floors[p->floor_count++] = (struct floor_entry){ inode, generation };
    return 0;
}

static int send_identity_page(struct sender *s, struct identity_page *page)
{
    FIBER_TIMEOUT(CALL_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = receiver_address(s, RPC_BULK, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct empty_record reply;
    r = storage_sync_identities(to, &options, page, &reply);
    return r < 0 ? r : 0;
}

static int send_pages(struct sender *s, const struct page *p)
{
    uint32_t entry = 0, floor = 0;
    while (entry < p->entry_count || floor < p->floor_count) {
        uint32_t n = MIN_OF(p->entry_count - entry, (uint32_t)PAGE_IDENTITIES);
        uint32_t m = MIN_OF(p->floor_count - floor, (uint32_t)PAGE_IDENTITIES);
        struct identity_page page = { .chain_id = s->target->chain_id,
                                      .chain_version = s->chain_version,
                                      .target_id = s->receiver_id,
                                      .epoch = s->epoch,
                                      .entries = { n ? p->entries + entry : NULL, n },
                                      .floors = { m ? p->floors + floor : NULL, m } };
        int r = send_identity_page(s, &page);
        if (r < 0) return r;
        entry += n;
        floor += m;
    }
    return 0;
}

/* An update that is still pending brings its identity when it is forwarded. Sent before, it would
 * let the receiver take a retry for done that it has never seen. */
static int leave_out_pending(struct sender *s, struct page *p)
{
    const struct target *t = s->target;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->entry_count; i++) {
        struct chunk_state state;
        int r = chunk_get(t->store, t->target_id, p->entries[i].chunk, &state);
        if (r < 0) return r;
        bool is_pending = r > 0 && state.has_pending &&
                          update_id_equal(&state.pending_update, &p->entries[i].update);
        if (!is_pending) {
            p->entries[kept++] = p->entries[i];
            continue;
        }
        s->left_out = xrealloc(s->left_out, (s->left_out_count + 1) * sizeof *s->left_out);
        s->left_out[s->left_out_count++] = p->entries[i];
    }
    p->entry_count = kept;
    return 0;
}

static int send_identities(struct sender *s)
{
    struct target *t = s->target;
    struct page p = { .sender = s };
    int r = identity_each(t->store, t->target_id, take_identity, &p);
    if (r == 0) r = floor_each(t->store, t->target_id, take_floor, &p);
    if (r == 0) r = leave_out_pending(s, &p);
    if (MUTANT(IDENTITIES_NOT_COPIED)) p.entry_count = 0;
    if (r == 0) r = send_pages(s, &p);
    free(p.entries);
    free(p.floors);
    return r;
}

/* What was left out and is committed by now, unless its channel has moved on: it may have been
 * forwarded before the receiver began anew, and then it is not forwarded again. */
static int send_left_out(struct sender *s)
{
    const struct target *t = s->target;
    struct page p = { .sender = s };
    int r = 0;
    for (uint32_t i = 0; i < s->left_out_count && r == 0; i++) {
        const struct update_id *update = &s->left_out[i].update;
        struct identity_entry entry;
        r = identity_find(t->store, t->target_id, &update->client, update->channel, &entry);
        if (r > 0) r = entry.update.seq == update->seq ? take_identity(&p, &entry) : 0;
    }
    s->left_out_count = 0;
    if (r == 0) r = leave_out_pending(s, &p);
    if (r == 0 && !MUTANT(IDENTITIES_NOT_COPIED)) r = send_pages(s, &p);
    free(p.entries);
    return r;
}

/* ---- one chunk ---- */

static int query_receiver(struct sender *s, struct chunk_id chunk, struct chunk_reply *ret)
{
    FIBER_TIMEOUT(CALL_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = receiver_address(s, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct chunk_request req = { s->target->chain_id, s->chain_version, chunk };
    r = storage_query_chunk(to, &options, &req, ret);
    return r < 0 ? r : 0;
}

static int send_update(struct sender *s, const struct update_request *req, struct bytes data)
{
    FIBER_TIMEOUT(CALL_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = receiver_address(s, RPC_BULK, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    union {
        const void *in;
        void *out;
    } base = { data.base };
    struct iovec iov = { base.out, data.size };
    struct rpc_options options = { .arena = &arena,
                                   .bulk_out = &iov,
                                   .bulk_out_count = data.size ? 1 : 0 };
    struct write_reply reply;
    r = storage_update(to, &options, req, &reply);
    if (r < 0) return r;
    s->sent_count++;
    s->target->sync_sender.sent_count++;
    s->target->sync_sender.sent_bytes += data.size;
    pace_charge(&s->target->storage->sync_pace, data.size);
    storage_count(s->target->storage, "storage.resync_chunks", 1);
    storage_count(s->target->storage, "storage.resync_bytes", data.size);
    return 0;
}

static bool is_equal_there(const struct chunk_state *here, const struct chunk_reply *there)
{
    const struct chunk_meta *m = &there->meta;
    if (there->found && m->pending_version > 0) return false;
    bool is_there = there->found && m->version > 0 && !m->is_tombstone;
    if (chunk_live_version(here) == 0) return !is_there;
    return is_there && m->version == here->version && m->chain_version == here->chain_version &&
           m->crc32c == here->crc32c && m->length == here->length;
}

static uint32_t permille_of(const struct sender *s)
{
    uint64_t done = MIN_OF(s->done_count, s->chunk_count);
    return s->chunk_count ? (uint32_t)(done * 1000 / s->chunk_count) : 0;
}

/* The committed content. What is damaged is repaired first; if nobody has it, it goes as it is, so
 * that one chunk does not keep the others from being filled: it stays damaged, and the same, on
 * all. The receiver has said that it has no better one. */
static int read_committed(struct target *t, const struct chunk_state *here, struct content *ret)
{
    int r = content_read(t, here->chunk, CHUNK_COMMITTED, here->version, ret);
    if (!is_damage(r)) return r;
    struct repaired repaired;
    r = repair_content(t, here, CHUNK_COMMITTED, &repaired);
    if (r < 0) return r;
    *ret = repaired.content;
    return ret->block_crcs && !repaired.have_members_said ? repaired.written : 0;
}

static int sync_content(struct sender *s, const struct chunk_state *here,
                        struct update_request *req)
{
    struct target *t = s->target;
    if (chunk_live_version(here) == 0) {
        /* Above what is there; not above updates that were begun after ours was removed. */
        bool is_above = pair_compare(here->chain_version, here->version, req->base_chain_version,
                                     req->base_version) > 0;
        req->kind = UPDATE_REMOVE;
        req->version = is_above ? here->version : req->base_version + 1;
        req->pair_chain_version = is_above ? here->chain_version : req->base_chain_version;
        return send_update(s, req, (struct bytes){ 0 });
    }
    cleanup_(content_done) struct content content = { 0 };
    int r = read_committed(t, here, &content);
    if (r < 0) return r;
    req->kind = UPDATE_REPLACE;
    req->version = here->version;
    req->pair_chain_version = here->chain_version;
    req->length = here->length;
    req->chunk_size = here->chunk_size;
    req->crc32c = here->crc32c;
    req->block_crcs = (struct u32_list){ content.block_crcs, content.block_count };
    return send_update(s, req, content.data);
}

/* Under our lock nothing new comes to the receiver's chunk; what it tells is what it has. */
static int sync_chunk(struct sender *s, struct chunk_id chunk)
{
    struct target *t = s->target;
    cleanup_(chunk_lock_releasep) struct chunk_lock *lock = NULL;
    int r = chunk_lock_take(&t->locks, chunk, &lock);
    if (r == 0) r = still_sender(s);
    if (r < 0) return r;
    struct chunk_state here;
    r = chunk_get(t->store, t->target_id, chunk, &here);
    if (r < 0) return r;
    if (r == 0) here = (struct chunk_state){ .chunk = chunk };
    if (here.has_pending) {
        r = recover_resolve(t, lock, &here);
        if (r < 0) return r;
    }
    struct chunk_reply there = { 0 };
    r = query_receiver(s, chunk, &there);
    if (r < 0) return r;
    if (is_equal_there(&here, &there)) return 0;
    struct update_request req = { .chain_id = t->chain_id,
                                  .chain_version = s->chain_version,
                                  .chunk = chunk,
                                  .update = here.update,
                                  .is_resync = 1,
                                  .base_version = there.found ? there.meta.version : 0,
                                  .base_chain_version = there.found ? there.meta.chain_version : 0,
                                  .base_crc32c = there.found ? there.meta.crc32c : 0,
                                  .epoch = s->epoch,
                                  .sync_permille = permille_of(s) };
    r = FAULT("storage.resync.before_chunk");
    return r < 0 ? r : sync_content(s, &here, &req);
}

/* ---- what is pending since an earlier chain version ---- */

struct old_pendings {
    uint32_t chain_version;
    struct chunk_id *chunks;
    size_t count, capacity;
};

static int take_old_pending(void *arg, const struct chunk_state *state)
{
    struct old_pendings *p = arg;
    if (state->pending_chain_version >= p->chain_version) return 0;
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 16;
        p->chunks = xrealloc(p->chunks, p->capacity * sizeof *p->chunks);
    }
    p->chunks[p->count++] = state->chunk;
    return 0;
}

/* The receiver has them before it serves: else it might fill others without them, and remove there
 * what a former member had committed of them, under a pair that they cannot pass any more. */
static int send_old_pendings(struct sender *s)
{
    const struct target *t = s->target;
    struct old_pendings p = { .chain_version = s->chain_version };
    int r = chunk_each_pending(t->store, t->target_id, take_old_pending, &p);
    for (size_t i = 0; i < p.count && r == 0; i++) {
        FIBER_TIMEOUT(RESOLVE_TIMEOUT_NS);
        r = sync_chunk(s, p.chunks[i]);
    }
    free(p.chunks);
    return r;
}

static int take_slots(struct sender *s)
{
    int r = fiber_semaphore_take(&s->slots, 1);
    if (r < 0) return r;
    r = fiber_semaphore_take(&s->target->storage->sync_slots, 1);
    if (r < 0) fiber_semaphore_give(&s->slots, 1);
    return r;
}

static void give_slots(struct sender *s)
{
    fiber_semaphore_give(&s->slots, 1);
    fiber_semaphore_give(&s->target->storage->sync_slots, 1);
}

struct chunk_work {
    struct sender *sender;
    struct chunk_id chunk;
};

static int chunk_worker(void *arg)
{
    struct chunk_work w = *(struct chunk_work *)arg;
    free(arg);
    int r = sync_chunk(w.sender, w.chunk);
    w.sender->done_count++;
    give_slots(w.sender);
    return r;
}

static int start_chunk(struct sender *s, struct chunk_id chunk)
{
    if (s->workers.first_error < 0) return s->workers.first_error;
    struct storage *storage = s->target->storage;
    int r = take_slots(s);
    if (r < 0) return r;
    /* Before any lock is held: updates of clients do not wait for our turn. */
    r = pace_wait(&storage->sync_pace, storage->node, &storage->settings->resync_bandwidth);
    if (r == 0) r = still_sender(s);
    struct chunk_work *w = new_zero(struct chunk_work);
    *w = (struct chunk_work){ s, chunk };
    if (r == 0) r = fiber_spawn(&s->workers, "resync-chunk", chunk_worker, w);
    if (r == 0) return 0;
    free(w);
    give_slots(s);
    return r;
}

/* ---- passes ---- */

static int fetch_buckets(struct sender *s)
{
    FIBER_TIMEOUT(CALL_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = receiver_address(s, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct sync_request req = request_of(s);
    struct sync_buckets_reply reply;
    r = storage_sync_buckets(to, &options, &req, &reply);
    if (r < 0) return r;
    if (reply.sums.count != SYNC_BUCKET_COUNT) return -ERR_RPC_VERIFY_RESPONSE;
    const uint64_t *own = store_target_buckets(s->target->store, s->target->target_id);
    if (!own) return -ERR_TARGET_NOT_FOUND;
    s->bucket_count = 0;
    for (uint32_t i = 0; i < SYNC_BUCKET_COUNT; i++) {
        s->is_listed[i] = own[i] != reply.sums.items[i] && !(MUTANT(RESYNC_SKIPS_BUCKET) && i % 2);
        if (s->is_listed[i]) s->buckets[s->bucket_count++] = i;
    }
    return 0;
}

/* Ids of one side in order, page by page. */
struct side {
    struct chunk_id *ids;
    uint32_t at, count;
    bool has_more;
    struct chunk_id last;
    bool has_last;
};

struct own_page {
    struct sender *sender;
    struct side *side;
};

static int take_own(void *arg, const struct chunk_state *state)
{
    struct own_page *p = arg;
    if (!p->sender->is_listed[chunk_bucket(state->chunk)]) return 0;
    if (p->side->count == PAGE_CHUNKS) return 1;
    p->side->ids[p->side->count++] = state->chunk;
    return 0;
}

static int fill_own(struct sender *s, struct side *side)
{
    struct own_page p = { s, side };
    side->at = side->count = 0;
    struct target *t = s->target;
    int r = chunk_each(t->store, t->target_id, side->has_last ? &side->last : NULL, take_own, &p);
    side->has_more = r > 0;
    return r < 0 ? r : 0;
}

static int fill_remote(struct sender *s, struct side *side)
{
    FIBER_TIMEOUT(CALL_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = receiver_address(s, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct sync_request req = request_of(s);
    req.buckets = (struct u32_list){ s->buckets, s->bucket_count };
    req.after = side->last;
    req.has_after = side->has_last;
    req.count_max = PAGE_CHUNKS;
    struct chunk_meta_page reply;
    r = storage_sync_list(to, &options, &req, &reply);
    if (r < 0) return r;
    side->at = 0;
    side->count = MIN_OF(reply.metas.count, (uint32_t)PAGE_CHUNKS);
    side->has_more = reply.more && side->count > 0;
    for (uint32_t i = 0; i < side->count; i++) {
        side->ids[i] = reply.metas.items[i].chunk;
    }
    return 0;
}

static int refill(struct sender *s, struct side *side, int (*fill)(struct sender *, struct side *))
{
    if (side->at < side->count || !side->has_more) return 0;
    if (side->count > 0) {
        side->last = side->ids[side->count - 1];
        side->has_last = true;
    }
    return fill(s, side);
}

/* Every chunk of the differing buckets that either side has, once. */
static int visit_chunks(struct sender *s, struct side *own, struct side *remote)
{
    own->has_more = remote->has_more = true;
    for (;;) {
        int r = refill(s, own, fill_own);
        if (r == 0) r = refill(s, remote, fill_remote);
        if (r < 0) return r;
        bool has_own = own->at < own->count, has_remote = remote->at < remote->count;
        if (!has_own && !has_remote) return 0;
        int order = !has_own      ? 1
                    : !has_remote ? -1
                                  : chunk_id_compare(own->ids[own->at], remote->ids[remote->at]);
        struct chunk_id chunk = order <= 0 ? own->ids[own->at] : remote->ids[remote->at];
        if (order <= 0) own->at++;
        if (order >= 0) remote->at++;
        r = start_chunk(s, chunk);
        if (r < 0) return r;
    }
}

static int count_own(void *arg, const struct chunk_state *state)
{
    struct sender *s = arg;
    s->chunk_count += s->is_listed[chunk_bucket(state->chunk)];
    return 0;
}

static int run_pass(struct sender *s)
{
    s->sent_count = s->chunk_count = s->done_count = 0;
    int r = fetch_buckets(s);
    if (r < 0 || s->bucket_count == 0) return r;
    r = chunk_each(s->target->store, s->target->target_id, NULL, count_own, s);
    if (r < 0) return r;
    struct side own = { 0 }, remote = { 0 };
    own.ids = xcalloc(PAGE_CHUNKS, sizeof *own.ids);
    remote.ids = xcalloc(PAGE_CHUNKS, sizeof *remote.ids);
    scope_init(&s->workers, NULL);
    s->workers.fail_fast = true;
    r = visit_chunks(s, &own, &remote);
    if (r == 0) r = scope_wait(&s->workers);
    scope_done(&s->workers);
    free(own.ids);
    free(remote.ids);
    return r;
}

/* ---- attempts ---- */

static int send_control(struct sender *s, bool is_done)
{
    FIBER_TIMEOUT(CALL_TIMEOUT_NS);
    struct net_address address;
    struct rpc_target to;
    int r = receiver_address(s, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct sync_request req = request_of(s);
    if (is_done) {
        struct empty_record nothing;
        r = storage_sync_done(to, &options, &req, &nothing);
        return r < 0 ? r : 0;
    }
    struct sync_start_reply reply;
    r = storage_sync_start(to, &options, &req, &reply);
    if (r < 0) return r;
    s->epoch = reply.epoch;
    return 0;
}

static int run_attempt(struct sender *s)
{
    struct target *t = s->target;
    t->sync_sender.sent_count = t->sync_sender.sent_bytes = 0;
    int r = send_control(s, false);
    if (r == 0) r = send_identities(s);
    if (r == 0) r = send_old_pendings(s);
    while (r == 0) {
        r = run_pass(s);
        if (r == 0 && s->sent_count == 0) break;
    }
    if (r == 0) r = send_left_out(s);
    if (r == 0) r = FAULT("storage.resync.before_done");
    if (r == 0) r = send_control(s, true);
    return r;
}

static int sender_fiber(void *arg)
{
    struct target *t = arg;
    struct log *log = &t->storage->node->log;
    struct sender *s = new_zero(struct sender);
    while (!fiber_is_cancelled() && !t->is_going) {
        const struct member *to = target_successor(t);
        if (!target_is_serving(t) || !to || to->public_state != PUBLIC_SYNCING) break;
        *s = (struct sender){ .target = t,
                              .chain_version = t->chain_version,
                              .receiver_id = to->target_id,
                              .receiver_node = to->node_id };
        fiber_semaphore_init(&s->slots, WORKER_COUNT_MAX);
        int r = run_attempt(s);
        free(s->left_out);
        if (r == 0) {
            log_info(log,
                     "target %" PRIu64 " of chain %u is filled: %" PRIu64 " chunks, %" PRIu64
                     " bytes sent",
                     s->receiver_id, t->chain_id, t->sync_sender.sent_count,
                     t->sync_sender.sent_bytes);
            storage_count(t->storage, "storage.resyncs_done", 1);
        } else if (!fiber_is_cancelled() && t->chain_version == s->chain_version) {
            log_warn(log, r, "resync of target %" PRIu64 " of chain %u", s->receiver_id,
                     t->chain_id);
        }
        FIBER_TIMEOUT(RETRY_PAUSE_NS);
        r = wait_queue_wait(&t->changed, "next resync");
        if (r == -ERR_CANCELED) break;
    }
    free(s);
    t->sync_sender.is_running = false;
    target_unuse(t);
    return 0;
}

void resync_consider(struct target *t)
{
    const struct member *to = target_successor(t);
    if (t->sync_sender.is_running || !target_is_serving(t) || !to ||
        to->public_state != PUBLIC_SYNCING)
        return;
    if (fiber_spawn(&t->storage->scope, "resync", sender_fiber, t) < 0) return;
    t->sync_sender.is_running = true;
    target_use(t);
}
