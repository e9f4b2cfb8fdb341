/* test_meta.c - the world of test_meta.h. */
#include "meta/test_meta.h"

#include "base/check.h"
#include "rpc/rpc.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int fake_trim(void *arg, const struct inode *inode, uint64_t length)
{
    struct fake_chunks *f = arg;
    if (f->fail_next) {
        f->fail_next--;
        return -ERR_TIMEOUT;
    }
    f->trim_count++;
    f->last_trim = length;
    f->stored_length = MIN_OF(f->stored_length, length);
    return 0;
}

static int fake_remove(void *arg, const struct inode *inode)
{
    struct fake_chunks *f = arg;
    f->remove_count++;
    return 0;
}

static int fake_query(void *arg, const struct inode *inode, uint64_t *ret_length)
{
    struct fake_chunks *f = arg;
    *ret_length = f->stored_length;
    return 0;
}

static const struct meta_data fake_data = { fake_trim, fake_remove, fake_query };
static const struct auth_peer root_peer = { .kind = AUTH_SERVER };

struct rpc_call call_of(struct world *w, struct arena *arena)
{
    return (struct rpc_call){
        .node = w->node, .arena = arena, .peer = &root_peer, .peer_text = "test"
    };
}

struct meta_base base_of(struct world *w, uint32_t uid)
{
    return (
        struct meta_base){ .user = { .uid = uid, .gid = uid },
                           .client = { 1, 1 },
                           .request = { node_random_u64(w->node), node_random_u64(w->node) | 1 } };
}

/* ---- calls ---- */

int do_create(struct world *w, struct arena *a, struct create_request *req, struct inode_reply *rep)
{
    struct rpc_call call = call_of(w, a);
    return on_create(w->meta, &call, req, rep);
}

int make(struct world *w, struct arena *a, uint64_t parent, const char *name, uint32_t mode,
         uint32_t uid, struct inode *ret)
{
    struct create_request req = { .base = base_of(w, uid),
                                  .parent = parent,
                                  .name = bytes_of_text(name),
                                  .mode = mode,
                                  .exclusive = 1,
                                  .symlink = bytes_of_text("target") };
    struct inode_reply rep = { 0 };
    int r = do_create(w, a, &req, &rep);
    if (r >= 0) *ret = rep.inode;
    return r;
}

int look(struct world *w, struct arena *a, uint64_t parent, const char *name, uint32_t uid,
         struct inode *ret)
{
    struct rpc_call call = call_of(w, a);
    struct lookup_request req = { .base = base_of(w, uid),
                                  .parent = parent,
                                  .name = bytes_of_text(name) };
    struct inode_reply rep = { 0 };
    int r = on_lookup(w->meta, &call, &req, &rep);
    if (r >= 0) *ret = rep.inode;
    return r;
}

int drop(struct world *w, struct arena *a, uint64_t parent, const char *name, enum remove_kind kind,
         uint32_t uid)
{
    struct rpc_call call = call_of(w, a);
    struct remove_request req = {
        .base = base_of(w, uid), .parent = parent, .name = bytes_of_text(name), .kind = kind
    };
    struct inode_reply rep = { 0 };
    return on_remove(w->meta, &call, &req, &rep);
}

int set(struct world *w, struct arena *a, struct setattr_request *req, uint32_t uid,
        struct inode *ret)
{
    struct rpc_call call = call_of(w, a);
    struct inode_reply rep = { 0 };
    req->base = base_of(w, uid);
    int r = on_setattr(w->meta, &call, req, &rep);
    if (r >= 0) *ret = rep.inode;
    return r;
}

struct inode stat_of(struct world *w, struct arena *a, uint64_t id)
{
    struct rpc_call call = call_of(w, a);
    struct stat_request req = { .base = base_of(w, 0), .inodes = { &id, 1 } };
    struct stat_reply rep = { 0 };
    check(on_stat(w->meta, &call, &req, &rep) >= 0);
    return rep.inodes.items[0];
}

void collect_all(struct world *w)
{
    for (int round = 0; round < 50; round++)
        if (collect_once(w->meta) == 0) return;
    check(!"garbage is never done");
}

/* ---- the frame ---- */

struct run {
    struct world *w;
    int (*main_fn)(void *);
    const struct kv_mem_profile *profile;
};

static int run_main(void *arg)
{
    struct run *run = arg;
    struct world *w = run->w;
    uint32_t chain_ids[4] = { 1, 2, 3, 4 };
    struct chain_table table = {
        .table_id = 1, .version = 1, .chains = { chain_ids, 4 }, .changed = 1
    };
    struct get_routing_reply part = { .term = 1, .version = 1, .full = 1, .tables = { &table, 1 } };
    routing_init(&w->routing, 1);
    check(routing_apply(&w->routing, &part, 1) == 0);
    check(kv_mem_open(w->node, w->store, &w->kv) == 0);
    struct layout layout = { .table_id = 1, .chunk_size = CHUNK, .stripe = 2 };
    check(meta_init_file_system(w->node, w->kv, &layout, &(struct user_info){ 0 }) == 0);
    struct meta_options options = {
        .node_id = 101, .gc_concurrency = 8, .session_scan_ns = SEC, .idempotency_ns = 60 * SEC
    };
    w->meta = meta_new(w->node, w->kv, &w->routing, NULL, &fake_data, &w->chunks, &options);
    if (run->profile) kv_mem_store_set(w->store, run->profile);
    int r = run->main_fn(w);
    meta_free(w->meta);
    kv_close(w->kv);
    routing_done(&w->routing);
    return r;
}

static int run_on_node(void *arg)
{
    struct run *run = arg;
    struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = run->w->node;
    check(fiber_spawn(&scope, "test", run_main, run) == 0);
    int r = scope_wait(&scope);
    scope_done(&scope);
    node_stop(run->w->node);
    return r;
}

void run_world(uint64_t seed, int (*main_fn)(void *), const struct kv_mem_profile *profile)
{
    struct sim_options options = { .seed = seed };
    struct world w = { .seed = seed };
    struct run run = { &w, main_fn, profile };
    w.sim = sim_new(&options);
    w.machine = sim_machine_new(w.sim, "meta");
    w.node = node_new(sim_loop(w.sim), w.machine, "meta-101");
    w.store = kv_mem_store_new(seed);
    assert_int_equal(sim_run(w.sim, run_on_node, &run, 3600 * SEC), 0);
    node_free(w.node);
    kv_mem_store_free(w.store);
    sim_free(w.sim);
}

const struct kv_mem_profile harsh = { .delay_min_ns = 10 * USEC,
                                      .delay_max_ns = 200 * USEC,
                                      .conflict_ppm = 20000,
                                      .maybe_committed_ppm = 20000 };
