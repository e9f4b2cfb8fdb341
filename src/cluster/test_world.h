/* test_world.h - one simulated machine with a store in memory; for the tests of src/cluster.
 */
#pragma once
#include "base/check.h"
#include "kv/kv.h"
#include "loop/sim.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h wants the two above */
#include <cmocka.h>

struct world {
    struct sim *sim;
    struct node *node;
    struct kv_mem_store *store;
    struct kv *kv;
    void (*fn)(struct world *w);
};

static inline int world_fiber(void *arg)
{
    struct world *w = arg;
    int r = kv_mem_open(w->node, w->store, &w->kv);
    check(r == 0);
    w->fn(w);
    w->kv = kv_close(w->kv);
    return 0;
}

static inline void world_run(void (*fn)(struct world *w))
{
    struct sim_options options = { .seed = 1 };
    struct world w = { .fn = fn, .sim = sim_new(&options), .store = kv_mem_store_new(1) };
    w.node = node_new(sim_loop(w.sim), sim_machine_new(w.sim, "host"), "test");
    int r = sim_run(w.sim, world_fiber, &w, 3600 * SEC);
    assert_int_equal(r, 0);
    node_free(w.node);
    kv_mem_store_free(w.store);
    sim_free(w.sim);
}
