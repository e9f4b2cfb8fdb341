/* chunk_store_test.c - the chunk store against a model, on a simulated and on a real disk. */
#include "base/arena.h"
#include "base/crc32c.h"
#include "storage/chunk_model.h"
#include "storage/chunk_store_internal.h"
#include "storage/chunk_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#define TRY(expr)                                                                                  \
    do {                                                                                           \
        int try_r_ = (expr);                                                                       \
        if (try_r_ < 0) {                                                                          \
            print_message("%s:%d: %s: %s\n", __FILE__, __LINE__, #expr, error_name(try_r_));       \
            return try_r_;                                                                         \
        }                                                                                          \
    } while (0)
#define EXPECT(expr)                                                                               \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            print_message("%s:%d: not so: %s\n", __FILE__, __LINE__, #expr);                       \
            return -ERR_FOUND_BUG;                                                                 \
        }                                                                                          \
    } while (0)

enum { TARGET = 5, FIBERS = 4 };

/* ---- random updates against a model ---- */

struct stepper {
    struct model *m;
    uint32_t steps;
};

static int stepper_fiber(void *arg)
{
    struct stepper *s = arg;
    for (uint32_t i = 0; i < s->steps; i++) {
        int r = model_step(s->m);
        if (r < 0) return r;
    }
    return 0;
}

/* All models at once, some steps each. */
static int run_models(struct chunk_world *w, struct model *models, uint32_t steps)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = w->node;
    scope.fail_fast = true;
    struct stepper steppers[FIBERS];
    for (uint32_t i = 0; i < FIBERS; i++) {
        models[i].store = w->store;
        models[i].pool = w->pool;
        steppers[i] = (struct stepper){ &models[i], steps };
        TRY(fiber_spawn(&scope, "model", stepper_fiber, &steppers[i]));
    }
    return scope_wait(&scope);
}

static int compare_models(struct chunk_world *w, struct model *models)
{
    for (uint32_t i = 0; i < FIBERS; i++) {
        models[i].store = w->store;
        TRY(model_compare(&models[i]));
    }
    EXPECT(world_lost_units(w) == 0);
    return 0;
}

static int random_body(struct chunk_world *w)
{
    struct model models[FIBERS];
    uint32_t rounds = *(uint32_t *)w->arg;
    for (uint32_t i = 0; i < FIBERS; i++) {
        model_init(&models[i], TARGET, i + 1, w->seed);
    }
    TRY(world_open(w));
    TRY(store_target_create(w->store, TARGET, 1));
    for (uint32_t round = 0; round < rounds; round++) {
        TRY(run_models(w, models, 60));
        TRY(compare_models(w, models));
        for (uint32_t i = 0; i < FIBERS; i++) {
            model_unpin_all(&models[i]);
        }
        TRY(chunk_store_sync(w->store));
        struct store_target before = *store_target_find(w->store, TARGET);
        uint64_t free_count = units_free_count(w->store->shard->units);
        uint64_t buckets[SYNC_BUCKET_COUNT];
        memcpy(buckets, store_target_buckets(w->store, TARGET), sizeof(buckets));
        world_close(w, round % 2);
        TRY(world_open(w));
        const struct store_target *after = store_target_find(w->store, TARGET);
        EXPECT(after && after->used_bytes == before.used_bytes);
        EXPECT(after->chunk_count == before.chunk_count);
        EXPECT(units_free_count(w->store->shard->units) == free_count);
        EXPECT(!memcmp(buckets, store_target_buckets(w->store, TARGET), sizeof(buckets)));
        TRY(compare_models(w, models));
    }
    for (uint32_t i = 0; i < FIBERS; i++) {
        TRY(model_remove_all(&models[i]));
        model_done(&models[i]);
    }
    TRY(chunk_drop_tombstones(w->store, TARGET, UINT64_MAX));
    TRY(chunk_store_sync(w->store));
    EXPECT(store_target_find(w->store, TARGET)->used_bytes == 0);
    EXPECT(store_target_find(w->store, TARGET)->chunk_count == 0);
    EXPECT(units_free_count(w->store->shard->units) == units_total_count(w->store->shard->units));
    EXPECT(w->store->shard->index.entry_count == 0);
    world_close(w, true);
    return 0;
}

static void test_random_sim(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint32_t rounds = 4;
        struct chunk_world w = { .body = random_body, .seed = seed, .arg = &rounds };
        if (chunk_world_run_sim(&w, NULL) != 0) fail_msg("seed %lu", seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
