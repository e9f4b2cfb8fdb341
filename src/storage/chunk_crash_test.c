/* chunk_crash_test.c - the chunk store through power losses, and proof that the check bites.
 *
 * A life: open, hold everything against the model, then random updates by several fibers until the
 * machine loses power at a random moment (writes that were not synced are kept, lost or torn), or
 * the process is killed. After each restart every call that had returned must have happened, every
 * other one may have happened as a whole or not at all, all bytes must verify, and every unit must
 * be accounted for. With a mutant active the same seeds must find something wrong.
 */
#include "base/arena.h"
#include "fiber/sync.h"
#include "loop/fault.h"
#include "storage/chunk_model.h"
#include "storage/chunk_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

enum { TARGET = 5, FIBERS = 3, LIVES = 6, SEEDS_DEFAULT = 60, SEEDS_MUTANT = 200 };

struct crash_world {
    struct chunk_world w;
    struct model models[FIBERS];
    int mutant;             /* -1: none */
    uint64_t data_delay_ns; /* by which syncs of data come late, behind those of the journal */
    const char *violation;  /* what a life found */
    bool has_target;
};

static void found(struct crash_world *c, const char *what)
{
    if (!c->violation) c->violation = what;
}

static int model_fiber(void *arg)
{
    for (;;) {
        int r = model_step(arg);
        if (r < 0) return r;
    }
}

/* Everything that had returned is there; then work until the end. */
static int work(struct crash_world *c)
{
    struct chunk_world *w = &c->w;
    int r;
    if (!c->has_target) {
        r = store_target_find(w->store, TARGET) ? 0 : store_target_create(w->store, TARGET, 1);
        if (r < 0) return r;
        c->has_target = true;
    }
    for (uint32_t i = 0; i < FIBERS; i++) {
        c->models[i].store = w->store;
        c->models[i].pool = w->pool;
        r = model_adopt(&c->models[i]);
        if (r < 0) return r;
    }
    if (world_lost_units(w) != 0) found(c, "lost units");
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = w->node;
    scope.fail_fast = true;
    for (uint32_t i = 0; i < FIBERS; i++) {
        r = fiber_spawn(&scope, "model", model_fiber, &c->models[i]);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

static int life_fiber(void *arg)
{
    struct crash_world *c = arg;
    struct chunk_world *w = &c->w;
    int r = world_open(w);
    if (r < 0 && r != -ERR_CANCELED) found(c, "cannot be opened");
    if (r < 0) return r;
    r = work(c);
    for (uint32_t i = 0; i < FIBERS; i++) {
        model_unpin_all(&c->models[i]);
    }
    if (r == -ERR_FOUND_BUG || r == -ERR_CHECKSUM_MISMATCH) {
        found(c, "differs from the model");
    } else if (r != -ERR_CANCELED) {
        found(c, error_name(r));
    }
    world_close(w, false);
    return 0;
}

static int crash_main(void *arg)
{
    struct crash_world *c = arg;
    struct chunk_world *w = &c->w;
    for (int life = 0; life < LIVES && !c->violation; life++) {
        w->node = node_new(w->loop, w->machine, "disk");
        w->node->log.level = c->mutant < 0 || getenv("CHUNK_CRASH_LOG") ? LOG_INFO : LOG_LEVEL_MAX;
        if (c->mutant >= 0) mutant_activate(w->node, (enum mutant)c->mutant);
        if (c->data_delay_ns)
            fault_add(w->node, &(struct fault_rule){ .point = "storage.units.before_sync",
                                                     .kind = FAULT_DELAY,
                                                     .delay_ns = c->data_delay_ns });
        int r = fiber_spawn(&w->node->scope, "life", life_fiber, c);
        check(r == 0);
        /* many lives are short, so that formatting and openings are hit too */
        bool is_short = life == 0 || sim_random_below(w->sim, 3) == 0;
        r = fiber_sleep(sim_random_below(w->sim, is_short ? 20 * MSEC : 300 * MSEC));
        check(r == 0);
        if (sim_random_below(w->sim, 4) == 0) {
            sim_kill(w->machine);
        } else {
            sim_crash(w->machine);
        }
        node_stop(w->node);
        w->node = node_free(w->node);
        sim_restart(w->machine);
    }
    return 0;
}

/* What a seed found, or NULL. */
static const char *run_seed(uint64_t seed, int mutant)
{
    struct crash_world *c cleanup_(freep) = new_zero(struct crash_world);
    struct chunk_world *w = &c->w;
    struct sim_options options = sim_options_default(seed);
    c->mutant = mutant;
    c->data_delay_ns = seed % 3 == 0 ? seed % 7 * 2 * MSEC : 0;
    snprintf(w->dir, sizeof(w->dir), "/disk");
    w->options = (struct chunk_store_options){ .path = w->dir,
                                               .cluster_id = BYTES_LITERAL("test"),
                                               .node_id = 7,
                                               .reserve_bytes = 1,
                                               .capacity_bytes = (4 + seed % 4 * 7) * MIB,
                                               .record_cache_bytes = 16 * KIB,
                                               .checkpoint_journal_bytes = 128 * KIB };
    w->sim = sim_new(&options);
    w->loop = sim_loop(w->sim);
    w->machine = sim_machine_new(w->sim, "disk");
    w->pool = buffer_pool_new(256 * MIB);
    for (uint32_t i = 0; i < FIBERS; i++) {
        model_init(&c->models[i], TARGET, i + 1, seed);
    }
    int r = sim_run(w->sim, crash_main, c, 1000 * SEC);
    if (r < 0) found(c, error_name(r));
    for (uint32_t i = 0; i < FIBERS; i++) {
        model_done(&c->models[i]);
    }
    buffer_pool_free(w->pool);
    sim_free(w->sim);
    return c->violation;
}

static uint64_t seed_count(void)
{
    const char *text = getenv("CHUNK_CRASH_SEEDS");
    return text ? strtoull(text, NULL, 10) : SEEDS_DEFAULT;
}

static void test_crash(void **state)
{
    const char *only = getenv("CHUNK_CRASH_SEED");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    uint64_t last = only ? first : seed_count();
    for (uint64_t seed = first; seed <= last; seed++) {
        const char *violation = run_seed(seed, -1);
        if (violation) fail_msg("CHUNK_CRASH_SEED=%lu: %s", seed, violation);
    }
}

/* Each rule taken out must be noticed within 200 seeds. */
static void test_mutants(void **state)
{
    static const enum mutant mutants[] = {
        MUTANT_SKIP_DATA_SYNC,           MUTANT_SKIP_INDEX_SYNC,
        MUTANT_UNIT_REUSED_WHILE_PINNED, MUTANT_UNIT_REUSED_BEFORE_DURABLE,
        MUTANT_DATA_NOT_DOUBTED,         MUTANT_REPLACED_BEFORE_DATA,
    };
    const char *only = getenv("CHUNK_CRASH_MUTANT");
    for (size_t i = 0; i < ARRAY_SIZE(mutants); i++) {
        if (only && mutants[i] != (enum mutant)mutant_parse(only)) continue;
        const char *violation = NULL;
        uint64_t seed = 0;
        while (!violation && seed < SEEDS_MUTANT) {
            violation = run_seed(++seed, (int)mutants[i]);
        }
        print_message("%s: %s at seed %lu\n", mutant_name(mutants[i]),
                      violation ? violation : "NOT noticed", seed);
        assert_non_null(violation);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
