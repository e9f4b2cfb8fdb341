/* test_meta.h - a metadata service in the simulator, with a fake of the chunks, and its calls; for
 * the tests beside it.
 */
#pragma once
#include "loop/sim.h"
#include "meta/meta_internal.h"

enum { CHUNK = 1 << 20 };

struct fake_chunks {
    uint64_t stored_length; /* what query_length answers */
    int trim_count, remove_count, fail_next;
    uint64_t last_trim;
};

struct world {
    struct sim *sim;
    struct machine *machine;
    struct node *node;
    struct kv_mem_store *store;
    struct kv *kv;
    struct routing routing;
    struct fake_chunks chunks;
    struct meta *meta;
    uint64_t seed;
};

struct rpc_call call_of(struct world *w, struct arena *arena);
/* A new request of client {1, 1}. */
struct meta_base base_of(struct world *w, uint32_t uid);
int do_create(struct world *w, struct arena *a, struct create_request *req,
              struct inode_reply *rep) fiber_fn;
int make(struct world *w, struct arena *a, uint64_t parent, const char *name, uint32_t mode,
         uint32_t uid, struct inode *ret) fiber_fn;
int look(struct world *w, struct arena *a, uint64_t parent, const char *name, uint32_t uid,
         struct inode *ret) fiber_fn;
int drop(struct world *w, struct arena *a, uint64_t parent, const char *name, enum remove_kind kind,
         uint32_t uid) fiber_fn;
int set(struct world *w, struct arena *a, struct setattr_request *req, uint32_t uid,
        struct inode *ret) fiber_fn;
struct inode stat_of(struct world *w, struct arena *a, uint64_t id) fiber_fn;
void collect_all(struct world *w) fiber_fn;
/* Runs @main_fn in a world of its own; it must return 0. */
void run_world(uint64_t seed, int (*main_fn)(void *), const struct kv_mem_profile *profile);
/* Conflicts and unknown commits. */
extern const struct kv_mem_profile harsh;
