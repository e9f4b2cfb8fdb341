/* fsck_chunks.c - the chunks of all chains, against the tree and against one another.
 *
 * The lists are taken after the tree, while clients work. So what looks wrong is looked at again: a
 * chunk has no inode when the store, read after the list, has none; replicas differ when they do so
 * three times, with nothing pending.
 */
#include "admin/fsck.h"

#include "base/check.h"
#include "proto/storage.h"
#include <sys/stat.h>

enum { COMPARE_TRY_COUNT = 3, CONFIRM_PAGE = 256 };

/* ---- runs ---- */

static void run_add(struct chunk_runs *runs, uint32_t chain_id, const struct chunk_meta *meta)
{
    struct chunk_run *last = runs->count ? &runs->items[runs->count - 1] : NULL;
    if (last && last->chain_id == chain_id && last->inode == meta->chunk.inode) {
        last->last_index = meta->chunk.index;
        last->count++;
        last->bytes += meta->length;
        return;
    }
    if (runs->count == runs->capacity) {
        runs->capacity = runs->capacity ? runs->capacity * 2 : 64;
        runs->items = xrealloc(runs->items, runs->capacity * sizeof *runs->items);
    }
    runs->items[runs->count++] = (struct chunk_run){ .chain_id = chain_id,
                                                     .inode = meta->chunk.inode,
                                                     .bytes = meta->length,
                                                     .first_index = meta->chunk.index,
                                                     .last_index = meta->chunk.index,
                                                     .count = 1 };
}

static const char *run_place(struct arena *arena, const struct chunk_run *run)
{
    return arena_printf(arena, "chain %u, inode 0x%llx", run->chain_id,
                        (unsigned long long)run->inode);
}

static const char *run_text(struct arena *arena, const struct chunk_run *run, const char *what)
{
    return arena_printf(arena, "%u chunk%s from index %u to %u, %llu bytes, %s", run->count,
                        run->count == 1 ? "" : "s", run->first_index, run->last_index,
                        (unsigned long long)run->bytes, what);
}

/* ---- lists of replicas ---- */

struct listing {
    struct chain_member member;
    struct arena arena; /* of the page */
    struct chunk_meta_page page;
    uint32_t at;
    struct chunk_id after;
    bool has_after, has_failed, is_at_end;
};

struct chain_walk {
    struct fsck *f;
    uint32_t chain_id, count;
    struct listing listings[CHAIN_TARGET_COUNT_MAX];
    struct chunk_runs *orphans, *misplaced;
};

static int listing_page(struct fsck *f, struct listing *l)
{
    struct list_chunks_request q = { .target_id = l->member.target_id,
                                     .after = l->after,
                                     .has_after = l->has_after };
    struct net_address address;
    struct rpc_options options = { .timeout_ns = f->a->settings->timeout_ns };
    arena_done(&l->arena);
    options.arena = &l->arena;
    l->page = (struct chunk_meta_page){ 0 };
    l->at = 0;
    int r = routing_address(admin_routing(f->a), l->member.node_id, &address);
    if (r < 0) return r;
    struct rpc_target to = { mgmtd_client_pool(f->a->mgmtd), &address, RPC_CONTROL };
    r = storage_list_chunks(to, &options, &q, &l->page);
    if (r < 0) return r;
    if (l->page.metas.count) {
        l->after = l->page.metas.items[l->page.metas.count - 1].chunk;
        l->has_after = true;
    }
    l->is_at_end = !l->page.more;
    return 0;
}

/* The next chunk that is committed and not removed; NULL at the end, or when the target fails. */
static const struct chunk_meta *listing_peek(struct fsck *f, struct listing *l)
{
    while (!l->has_failed) {
        while (l->at < l->page.metas.count) {
            const struct chunk_meta *meta = &l->page.metas.items[l->at];
            if (meta->version > 0 && !meta->is_tombstone) return meta;
            l->at++;
        }
        if (l->is_at_end) return NULL;
        int r = listing_page(f, l);
        if (r >= 0) continue;
        l->has_failed = true;
        fsck_report(f, "unreadable-target",
                    arena_printf(&f->a->arena, "target %llu, node %u",
                                 (unsigned long long)l->member.target_id, l->member.node_id),
                    error_sentence(r), "");
    }
    return NULL;
}

/* ---- one chunk ---- */

static bool metas_agree(const struct chunk_meta *a, const struct chunk_meta *b)
{
    return a->version == b->version && a->chain_version == b->chain_version &&
           a->length == b->length && a->crc32c == b->crc32c;
}

static bool is_listed(const struct chain_walk *w, uint64_t target_id)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->listings[i].member.target_id == target_id) return !w->listings[i].has_failed;
    return false;
}

/* 1 when they are equal now, 0 when not (*ret_text), negative when it cannot be told. */
static int ask_replicas(struct chain_walk *w, struct chunk_id chunk, struct arena *arena,
                        const char **ret_text)
{
    struct chunk_reply *replies = NULL;
    const struct chunk_meta *first = NULL;
    uint32_t count = 0, absent = 0, live = 0;
    bool agree = true, is_pending = false;
    const char *text = "";
    int r = chunks_query(w->f->a->storage, arena, w->chain_id, chunk, &replies, &count);
    if (r < 0) return r;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_listed(w, replies[i].target_id)) continue;
        if (replies[i].local_state != LOCAL_UPTODATE) return -ERR_NOT_AVAILABLE;
        const struct chunk_meta *meta = &replies[i].meta;
        bool is_live = replies[i].found && meta->version > 0 && !meta->is_tombstone;
        is_pending |= replies[i].found && meta->pending_version > 0;
        live += is_live;
        absent += !is_live;
        if (is_live && !first) first = meta;
        if (is_live && !metas_agree(first, meta)) agree = false;
        text = is_live ? arena_printf(arena, "%s%starget %llu has version %llu, CRC32C %08X", text,
                                      *text ? "; " : "", (unsigned long long)replies[i].target_id,
                                      (unsigned long long)meta->version, meta->crc32c)
                       : arena_printf(arena, "%s%starget %llu has it not", text, *text ? "; " : "",
                                      (unsigned long long)replies[i].target_id);
    }
    if (is_pending) return -ERR_CHUNK_NOT_COMMIT;
    *ret_text = text;
    return agree && (live == 0 || absent == 0);
}

static int look_again(struct chain_walk *w, struct chunk_id chunk)
{
    cleanup_arena_ struct arena arena = { 0 };
    const char *text = "they could not be asked";
    for (int i = 0; i < COMPARE_TRY_COUNT; i++) {
        int r = ask_replicas(w, chunk, &arena, &text);
        if (r > 0) return 0;
        r = fiber_sleep(200 * MSEC);
        if (r < 0) return r;
    }
    const char *where = arena_printf(&arena, "chain %u, inode 0x%llx, chunk %u", w->chain_id,
                                     (unsigned long long)chunk.inode, chunk.index);
    fsck_report(w->f, "replicas-differ", where, text, "");
    return 0;
}

static void place_chunk(struct chain_walk *w, const struct chunk_meta *meta)
{
    const struct tree_inode *inode = tree_find(&w->f->tree, meta->chunk.inode);
    uint32_t chain_id = 0;
    if (!inode) {
        run_add(w->orphans, w->chain_id, meta);
        return;
    }
    bool is_there =
        S_ISREG(inode->mode) &&
        file_chain_of(admin_routing(w->f->a), &inode->layout, meta->chunk.index, &chain_id) >= 0 &&
        chain_id == w->chain_id;
    if (!is_there) run_add(w->misplaced, w->chain_id, meta);
}

/* The least chunk that any replica has next, and whether all have the same of it. */
static const struct chunk_meta *next_chunk(struct chain_walk *w, bool *ret_agree)
{
    const struct chunk_meta *heads[CHAIN_TARGET_COUNT_MAX], *least = NULL;
    for (uint32_t i = 0; i < w->count; i++) {
        heads[i] = listing_peek(w->f, &w->listings[i]);
        if (heads[i] && (!least || chunk_id_compare(heads[i]->chunk, least->chunk) < 0))
            least = heads[i];
    }
    *ret_agree = true;
    for (uint32_t i = 0; least && i < w->count; i++) {
        if (w->listings[i].has_failed) continue;
        bool has_it = heads[i] && chunk_id_compare(heads[i]->chunk, least->chunk) == 0;
        w->listings[i].at += has_it;
        w->f->replica_count += has_it;
        if (!has_it || !metas_agree(heads[i], least)) *ret_agree = false;
    }
    return least;
}

static int walk_chain(struct chain_walk *w)
{
    for (;;) {
        bool agree;
        const struct chunk_meta *meta = next_chunk(w, &agree);
        if (!meta) return 0;
        struct chunk_meta copy = *meta; /* the page goes with the next one */
        progress_show(&w->f->progress, ++w->f->chunk_count);
        place_chunk(w, &copy);
        int r = agree ? fiber_interruption() : look_again(w, copy.chunk);
        if (r < 0) return r;
    }
}

/* The members that serve, copied: the routing changes while lists are read. */
static void take_members(struct chain_walk *w, const struct chain_info *chain)
{
    for (uint32_t i = 0; i < chain->members.count && i < CHAIN_TARGET_COUNT_MAX; i++)
        if (chain->members.items[i].public_state == PUBLIC_SERVING)
            w->listings[w->count++].member = chain->members.items[i];
    w->f->target_count += w->count;
    w->f->incomplete_chain_count += w->count < chain->members.count;
}

static int check_chain(struct fsck *f, uint32_t chain_id, struct chunk_runs *orphans,
                       struct chunk_runs *misplaced)
{
    const struct chain_info *chain = routing_chain(admin_routing(f->a), chain_id);
    if (!chain) return 0; /* removed since */
    struct chain_walk *w = new_zero(struct chain_walk);
    *w = (struct chain_walk){
        .f = f, .chain_id = chain_id, .orphans = orphans, .misplaced = misplaced
    };
    take_members(w, chain);
    int r = walk_chain(w);
    for (uint32_t i = 0; i < w->count; i++)
        arena_done(&w->listings[i].arena);
    free(w);
    return r;
}

/* ---- chunks of no inode ---- */

struct confirmation {
    const struct chunk_run *runs;
    uint32_t count;
    bool is_gone[CONFIRM_PAGE];
};

static int confirm_txn(struct kv_txn *txn, void *arg)
{
    struct confirmation *c = arg;
    for (uint32_t i = 0; i < c->count; i++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct meta_key key = key_inode(c->runs[i].inode);
        struct bytes value;
        int r = kv_get(txn, meta_key_bytes(&key), KV_SNAPSHOT, &arena, &value);
        if (r < 0) return r;
        c->is_gone[i] = r == 0;
    }
    return 0;
}

/* Leaves those whose inode the store does not have now, which is after they were listed. */
static int keep_confirmed(struct fsck *f, struct chunk_runs *runs)
{
    size_t kept = 0;
    for (size_t at = 0; at < runs->count; at += CONFIRM_PAGE) {
        struct confirmation c = { .runs = runs->items + at,
                                  .count =
                                      (uint32_t)MIN_OF(runs->count - at, (size_t)CONFIRM_PAGE) };
        int r = kv_read_only(f->a->kv, confirm_txn, &c);
        if (r < 0) return r;
        for (uint32_t i = 0; i < c.count; i++)
            if (c.is_gone[i]) runs->items[kept++] = runs->items[at + i];
    }
    runs->count = kept;
    return 0;
}

/* An inode's id is given once, so a chunk without one stays without. */
static const char *remove_run(struct fsck *f, struct arena *arena, const struct chunk_run *run)
{
    uint64_t removed = 0;
    int r = chunks_remove_range(f->a->storage, run->chain_id, run->inode, run->first_index,
                                (uint64_t)run->last_index + 1, UINT32_MAX, &removed);
    if (r < 0) return arena_printf(arena, "not removed: %s", error_sentence(r));
    f->repaired_count++;
    return arena_printf(arena, "%llu removed", (unsigned long long)removed);
}

static int check_runs(struct fsck *f, struct chunk_runs *orphans,
                      const struct chunk_runs *misplaced)
{
    uint64_t orphan_count = 0;
    int r = keep_confirmed(f, orphans);
    if (r < 0) return r;
    for (size_t i = 0; i < orphans->count; i++)
        orphan_count += orphans->items[i].count;
    bool is_much = 2 * orphan_count > f->chunk_count;
    bool removes = f->repairs && (!is_much || f->is_forced);
    const char *left = f->repairs && !removes
                           ? "not removed: more than half of all chunks; is this the right store? "
                             "--force removes them"
                           : "";
    for (size_t i = 0; i < orphans->count; i++) {
        cleanup_arena_ struct arena arena = { 0 };
        const struct chunk_run *run = &orphans->items[i];
        const char *done = removes ? remove_run(f, &arena, run) : left;
        fsck_report(f, "orphan-chunk", run_place(&arena, run),
                    run_text(&arena, run, "of an inode that does not exist"), done);
    }
    for (size_t i = 0; i < misplaced->count; i++) {
        cleanup_arena_ struct arena arena = { 0 };
        const struct chunk_run *run = &misplaced->items[i];
        fsck_report(f, "misplaced-chunk", run_place(&arena, run),
                    run_text(&arena, run, "which the inode's layout has elsewhere"), "");
    }
    return 0;
}

static int compare_ids(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

int fsck_chunks(struct fsck *f)
{
    int r = admin_need_storage(f->a);
    if (r < 0) return r;
    const struct map *chains = &admin_routing(f->a)->chains;
    uint32_t *ids = arena_array(&f->a->arena, uint32_t, chains->count), count = 0;
    const struct chain_info *chain;
    struct chunk_runs orphans = { 0 }, misplaced = { 0 };
    size_t at = 0;
    while ((chain = map_next(chains, &at)))
        ids[count++] = chain->chain_id;
    qsort(ids, count, sizeof *ids, compare_ids);
    progress_begin(&f->progress, f->a, "fsck", "chunks", 0);
    for (uint32_t i = 0; r >= 0 && i < count; i++)
        r = check_chain(f, ids[i], &orphans, &misplaced);
    progress_end(&f->progress);
    if (r >= 0) r = check_runs(f, &orphans, &misplaced);
    free(orphans.items);
    free(misplaced.items);
    return r < 0 ? admin_fail(f->a, r, "fsck of chunks: %s", error_sentence(r)) : 0;
}
