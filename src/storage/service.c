/* service.c - the calls of the storage service: who may make them, and which target they are for.
 */
#include "base/check.h"
#include "loop/fault.h"
#include "storage/confirm.h"
#include "storage/content.h"
#include "storage/read.h"
#include "storage/storage_internal.h"
#include "storage/update.h"

enum { LIST_COUNT_MAX = 4096, REMOVE_COUNT_MAX = 1024 };

static int need_server(struct rpc_call *call)
{
    if (call->peer->kind == AUTH_SERVER || call->peer->kind == AUTH_NONE) return 0;
    (void)rpc_fail(call, -ERR_AUTH_FAIL, "only servers of the cluster may do this");
    return -ERR_AUTH_FAIL;
}

static int need_right(struct rpc_call *call, uint32_t right)
{
    if (call->peer->rights & right) return 0;
    (void)rpc_fail(call, -ERR_AUTH_FAIL, "the caller's token does not allow this");
    return -ERR_AUTH_FAIL;
}

/* The target of a chain, in use by the caller. */
static int use_chain(void *self, uint32_t chain_id, struct target **ret)
{
    struct storage *s = self;
    if (s->is_stopping) return -ERR_RPC_REQUEST_REFUSED;
    struct target *t = storage_find_chain(s, chain_id);
    if (!t || t->is_going) return -ERR_TARGET_NOT_FOUND;
    target_use(t);
    *ret = t;
    return 0;
}

void chunk_meta_fill(struct chunk_meta *meta, const struct chunk_state *state)
{
    *meta = (struct chunk_meta){ .chunk = state->chunk,
                                 .chain_version = state->chain_version,
                                 .version = state->version,
                                 .pending_version = state->has_pending ? state->pending_version : 0,
                                 .pending_kind = state->has_pending ? state->pending_kind : 0,
                                 .length = state->length,
                                 .chunk_size = state->chunk_size,
                                 .crc32c = state->crc32c,
                                 .is_tombstone = state->is_tombstone,
                                 .update = state->update };
    if (state->has_pending) meta->pending_update = state->pending_update;
}

/* ---- data ---- */

static int on_batch_read(void *self, struct rpc_call *call, const struct batch_read_request *req,
                         struct batch_read_reply *rep)
{
    struct storage *s = self;
    int r = need_right(call, AUTH_RIGHT_DATA);
    if (r < 0) return r;
    if (s->is_stopping) return -ERR_RPC_REQUEST_REFUSED;
    return read_batch(s, call, req, rep);
}

static int on_write(void *self, struct rpc_call *call, const struct write_request *req,
                    struct write_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_right(call, AUTH_RIGHT_DATA);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    if (r < 0) return r;
    storage_count(self, "storage.writes", 1);
    storage_count(self, "storage.written_bytes", call->bulk ? call->bulk->size : 0);
    return update_from_client(t, call, req, rep);
}

static int on_update(void *self, struct rpc_call *call, const struct update_request *req,
                     struct write_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    if (r < 0) return r;
    storage_count(self, "storage.written_bytes", call->bulk ? call->bulk->size : 0);
    return update_from_member(t, call, req, rep);
}

/* ---- ranges of chunks, at the head ---- */

static int use_head(void *self, struct rpc_call *call, const struct chunk_range_request *req,
                    struct target **ret)
{
    int r = need_right(call, AUTH_RIGHT_DATA);
    if (r < 0) return r;
    if (req->index_begin > req->index_end || req->index_end > 1ull << 32)
        r = rpc_fail(call, -ERR_INVALID_ARG, "no such range of chunks");
    cleanup_(target_unusep) struct target *t = NULL;
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    if (r == 0) r = target_check_serving(t, req->chain_version);
    if (r == 0 && !target_is_head(t)) r = -ERR_TARGET_STATE_INVALID;
    if (r == 0) r = confirm_role(t);
    /* What was acknowledged and is still found pending must be seen. */
    if (r == 0) r = recover_inode(t, req->inode);
    if (r < 0) return r;
    check(t);
    *ret = TAKE_PTR(t);
    return 0;
}

struct range {
    const struct chunk_range_request *req;
    struct last_chunk_reply *reply;
    struct chunk_id *chunks; /* removals: what is found */
    uint32_t chunk_count, count_max;
};

static int range_step(struct range *range, const struct chunk_state *state, bool *ret_is_in)
{
    const struct chunk_range_request *req = range->req;
    *ret_is_in = false;
    if (state->chunk.inode != req->inode || state->chunk.index >= req->index_end) return 1;
    *ret_is_in = chunk_live_version(state) > 0 && state->chunk.index >= req->index_begin;
    return 0;
}

static int count_chunk(void *arg, const struct chunk_state *state)
{
    struct range *range = arg;
    bool is_in;
    if (range_step(range, state, &is_in)) return 1;
    if (!is_in) return 0;
    range->reply->chunk_count++;
    range->reply->total_bytes += state->length;
    return 0;
}

/* Iterates from the first chunk of the range on. */
static int each_in_range(struct target *t, struct range *range,
                         int (*fn)(void *arg, const struct chunk_state *state))
{
    const struct chunk_range_request *req = range->req;
    struct chunk_id after = { req->inode, req->index_begin };
    const struct chunk_id *from = &after;
    if (after.index > 0) {
        after.index--;
    } else if (after.inode > 0) {
        after = (struct chunk_id){ req->inode - 1, UINT32_MAX };
    } else {
        from = NULL;
    }
    int r = chunk_each(t->store, t->target_id, from, fn, range);
    return r < 0 ? r : 0;
}

static int on_query_last_chunk(void *self, struct rpc_call *call,
                               const struct chunk_range_request *req, struct last_chunk_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = use_head(self, call, req, &t);
    if (r < 0) return r;
    struct chunk_state last;
    r = chunk_last(t->store, t->target_id, req->inode, req->index_begin, req->index_end, &last);
    if (r < 0) return r;
    if (r > 0) {
        rep->last_index = last.chunk.index;
        rep->last_length = last.length;
        rep->chunk_count = 1;
        rep->total_bytes = last.length;
        rep->more = req->count_max == 1 && last.chunk.index > req->index_begin;
    }
    if (r > 0 && req->count_max != 1) {
        rep->chunk_count = 0;
        rep->total_bytes = 0;
        struct range range = { .req = req, .reply = rep };
        r = each_in_range(t, &range, count_chunk);
        if (r < 0) return r;
    }
    return confirm_read(t, req->chain_version);
}

static int take_chunk(void *arg, const struct chunk_state *state)
{
    struct range *range = arg;
    bool is_in;
    if (range_step(range, state, &is_in)) return 1;
    if (!is_in) return 0;
    if (range->chunk_count > range->count_max) return 1;
    range->chunks[range->chunk_count++] = state->chunk;
    return 0;
}

struct removal {
    struct target *target;
    const struct chunk_range_request *req;
    const struct range *range;
    uint32_t next, end, removed_count;
    uint64_t timeout_ns;
};

enum { REMOVER_COUNT = 16 };

static int remover_fiber(void *arg)
{
    struct removal *m = arg;
    FIBER_TIMEOUT(m->timeout_ns);
    while (m->next < m->end) {
        uint32_t at = m->next++;
        struct update_id update = m->req->update;
        update.channel = 0;
        update.seq += at;
        int r = update_remove_chunk(m->target, m->req->chain_version, m->range->chunks[at],
                                    m->req->generation, &update);
        if (r < 0) return r;
        m->removed_count += (uint32_t)r;
    }
    return 0;
}

static int remove_listed(struct removal *m)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    scope.fail_fast = true;
    m->timeout_ns = fiber_remaining_ns();
    for (uint32_t i = 0; i < MIN_OF(m->end, (uint32_t)REMOVER_COUNT); i++) {
        int r = fiber_spawn(&scope, "remove-chunks", remover_fiber, m);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

static int on_remove_chunks(void *self, struct rpc_call *call,
                            const struct chunk_range_request *req, struct remove_chunks_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = use_head(self, call, req, &t);
    if (r < 0) return r;
    struct range range = { .req = req };
    range.count_max =
        req->count_max ? MIN_OF(req->count_max, (uint32_t)REMOVE_COUNT_MAX) : REMOVE_COUNT_MAX;
    range.chunks = arena_array(call->arena, struct chunk_id, range.count_max + 1);
    r = each_in_range(t, &range, take_chunk);
    if (r < 0) return r;
    struct removal m = {
        .target = t, .req = req, .range = &range, .end = MIN_OF(range.chunk_count, range.count_max)
    };
    r = remove_listed(&m);
    if (r < 0) return r;
    rep->removed_count = m.removed_count;
    rep->more = range.chunk_count > range.count_max;
    return confirm_read(t, req->chain_version);
}

/* ---- floors: from the head down, and only then done ---- */

static int pass_floor_on(struct target *t, const struct set_floor_request *req)
{
    const struct member *next = target_successor(t);
    if (!next) return 0;
    struct net_address address;
    struct rpc_target to;
    int r = storage_peer(t->storage, next->node_id, RPC_CONTROL, &address, &to);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct rpc_options options = { .arena = &arena };
    struct empty_record reply;
    r = storage_set_floor(to, &options, req, &reply);
    return r < 0 ? r : 0;
}

static int on_set_floor(void *self, struct rpc_call *call, const struct set_floor_request *req,
                        struct empty_record *rep)
{
    int r = need_right(call, AUTH_RIGHT_DATA);
    if (r < 0) return r;
    cleanup_(target_unusep) struct target *t = NULL;
    r = use_chain(self, req->chain_id, &t);
    if (r == 0) r = target_check_member(t, req->chain_version);
    if (r < 0) return r;
    if (floor_get(t->store, t->target_id, req->inode) < req->generation) {
        r = floor_set(t->store, t->target_id, req->inode, req->generation);
        if (r < 0) return r;
    }
    /* Updates that passed the old floor are done before we say that it stands. */
    if (target_is_head(t)) r = chunk_locks_drain(&t->locks, req->inode);
    if (r == 0) r = target_check_member(t, req->chain_version);
    if (r == 0) r = pass_floor_on(t, req);
    if (r == 0) r = target_check_member(t, req->chain_version);
    return r < 0 ? r : confirm_not_cut_off(t);
}

/* ---- among members ---- */

static int on_confirm_chain_version(void *self, struct rpc_call *call,
                                    const struct chain_version_request *req,
                                    struct empty_record *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    if (r < 0) return r;
    return target_check_member(t, req->chain_version);
}

static int on_committed_version(void *self, struct rpc_call *call, const struct chunk_request *req,
                                struct chunk_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    if (r < 0) return r;
    return read_committed_version(t, req, rep);
}

static int on_fetch_chunk(void *self, struct rpc_call *call, const struct fetch_chunk_request *req,
                          struct fetch_chunk_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    return r < 0 ? r : content_answer(t, call, req, rep);
}

static int on_sync_start(void *self, struct rpc_call *call, const struct sync_request *req,
                         struct sync_start_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    return r < 0 ? r : sync_receive_start(t, req, rep);
}

static int on_sync_identities(void *self, struct rpc_call *call, const struct identity_page *req,
                              struct empty_record *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    return r < 0 ? r : sync_receive_identities(t, req);
}

static int on_sync_buckets(void *self, struct rpc_call *call, const struct sync_request *req,
                           struct sync_buckets_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    return r < 0 ? r : sync_receive_buckets(t, call, req, rep);
}

static int on_sync_list(void *self, struct rpc_call *call, const struct sync_request *req,
                        struct chunk_meta_page *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    return r < 0 ? r : sync_receive_list(t, call, req, rep);
}

static int on_sync_done(void *self, struct rpc_call *call, const struct sync_request *req,
                        struct empty_record *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_server(call);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    return r < 0 ? r : sync_receive_done(t, req);
}

/* ---- looking, and managing targets ---- */

static int on_query_chunk(void *self, struct rpc_call *call, const struct chunk_request *req,
                          struct chunk_reply *rep)
{
    cleanup_(target_unusep) struct target *t = NULL;
    int r = need_right(call, AUTH_RIGHT_DATA);
    if (r == 0) r = use_chain(self, req->chain_id, &t);
    if (r == 0 && req->chain_version) r = target_check_member(t, req->chain_version);
    if (r < 0) return r;
    struct chunk_state state;
    r = chunk_get(t->store, t->target_id, req->chunk, &state);
    if (r < 0) return r;
    rep->found = r > 0;
    if (r > 0) chunk_meta_fill(&rep->meta, &state);
    rep->target_id = t->target_id;
    rep->local_state = t->local_state;
    rep->local_chain_version = t->chain_version;
    return 0;
}

struct chunk_listing {
    struct chunk_meta_page *page;
    uint32_t count_max;
};

static int list_chunk(void *arg, const struct chunk_state *state)
{
    struct chunk_listing *l = arg;
    if (l->page->metas.count == l->count_max) {
        l->page->more = 1;
        return 1;
    }
    chunk_meta_fill(&l->page->metas.items[l->page->metas.count++], state);
    return 0;
}

static int on_list_chunks(void *self, struct rpc_call *call, const struct list_chunks_request *req,
                          struct chunk_meta_page *rep)
{
    int r = need_right(call, AUTH_RIGHT_ADMIN);
    if (r < 0) return r;
    struct target *found = storage_find_target(self, req->target_id);
    if (!found || found->is_going) return -ERR_TARGET_NOT_FOUND;
    cleanup_(target_unusep) struct target *t = found;
    target_use(t);
    struct chunk_listing l = { rep, req->count_max
                                        ? MIN_OF(req->count_max, (uint32_t)LIST_COUNT_MAX)
                                        : LIST_COUNT_MAX };
    rep->metas.items = arena_array(call->arena, struct chunk_meta, l.count_max);
    r = chunk_each(t->store, t->target_id, req->has_after ? &req->after : NULL, list_chunk, &l);
    return r < 0 ? r : 0;
}

static int on_space_info(void *self, struct rpc_call *call, const struct empty_record *req,
                         struct space_info_reply *rep)
{
    int r = need_right(call, AUTH_RIGHT_DATA);
    if (r < 0) return r;
    storage_list_disks(self, call->arena, &rep->disks);
    return 0;
}

static int on_create_target(void *self, struct rpc_call *call,
                            const struct create_target_request *req, struct empty_record *rep)
{
    const char *why = NULL;
    int r = need_right(call, AUTH_RIGHT_ADMIN);
    if (r < 0) return r;
    r = targets_create(self, req, call->arena, &why);
    return r < 0 && why ? rpc_fail(call, r, "%s", why) : r;
}

static int on_offline_target(void *self, struct rpc_call *call, const struct target_request *req,
                             struct empty_record *rep)
{
    int r = need_right(call, AUTH_RIGHT_ADMIN);
    return r < 0 ? r : targets_offline(self, req);
}

static int on_remove_target(void *self, struct rpc_call *call, const struct target_request *req,
                            struct empty_record *rep)
{
    int r = need_right(call, AUTH_RIGHT_ADMIN);
    return r < 0 ? r : targets_remove(self, req);
}

const struct storage_handlers storage_handlers = {
    .batch_read = on_batch_read,
    .write = on_write,
    .update = on_update,
    .query_last_chunk = on_query_last_chunk,
    .remove_chunks = on_remove_chunks,
    .sync_start = on_sync_start,
    .sync_done = on_sync_done,
    .space_info = on_space_info,
    .create_target = on_create_target,
    .query_chunk = on_query_chunk,
    .list_chunks = on_list_chunks,
    .offline_target = on_offline_target,
    .remove_target = on_remove_target,
    .set_floor = on_set_floor,
    .confirm_chain_version = on_confirm_chain_version,
    .committed_version = on_committed_version,
    .sync_buckets = on_sync_buckets,
    .sync_list = on_sync_list,
    .sync_identities = on_sync_identities,
    .fetch_chunk = on_fetch_chunk,
};
