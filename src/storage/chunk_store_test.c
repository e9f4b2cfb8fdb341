/* chunk_store_test.c - the chunk store against a model, on a simulated and on a real disk. */
#include "base/arena.h"
#include "base/crc32c.h"
#include "storage/chunk_model.h"
#include "storage/chunk_store_internal.h"
#include "storage/chunk_world.h"
#include "storage/superblock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

enum { TARGET = WORLD_TARGET, FIBERS = 4 };

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

static void test_random_real(void **state)
{
    uint32_t rounds = 4;
    struct chunk_world w = { .body = random_body, .seed = 99, .arg = &rounds };
    assert_int_equal(chunk_world_run_real(&w), 0);
}

/* ---- whose directory it is ---- */

static int ownership_body(struct chunk_world *w)
{
    struct chunk_store *other;
    TRY(world_open(w));
    EXPECT(chunk_store_open(w->node, &w->options, &other) == -ERR_BUSY);
    world_close(w, true);

    struct chunk_store_options o = w->options;
    o.cluster_id = BYTES_LITERAL("another");
    EXPECT(chunk_store_open(w->node, &o, &other) == -ERR_STORAGE_UUID_MISMATCH);
    o = w->options;
    o.node_id = 8;
    EXPECT(chunk_store_open(w->node, &o, &other) == -ERR_STORAGE_UUID_MISMATCH);
    o = w->options;
    o.shard_count = 2;
    EXPECT(chunk_store_open(w->node, &o, &other) == -ERR_NOT_SUPPORTED);

    struct superblock_disk block;
    TRY(superblock_read(w->node, w->dir, &block));
    block.version++;
    TRY(superblock_write(w->node, w->dir, &block));
    EXPECT(world_open(w) == -ERR_FORMAT_TOO_NEW);
    block.version--;
    TRY(superblock_write(w->node, w->dir, &block));
    TRY(world_open(w));
    world_close(w, true);

    char path[100];
    snprintf(path, sizeof(path), "%s/superblock", w->dir);
    TRY(path_unlink(w->node, path));
    EXPECT(world_open(w) == -ERR_STORAGE_INIT_FAILED);
    return 0;
}

static void test_ownership(void **state)
{
    assert_int_equal(world_run_sim(ownership_body, NULL), 0);
    struct chunk_world w = { .body = ownership_body };
    assert_int_equal(chunk_world_run_real(&w), 0);
}

/* ---- space ---- */

static int full_body(struct chunk_world *w)
{
    struct store_space space;
    uint32_t count = 0;
    int r;
    TRY(world_open_with_target(w));
    TRY(chunk_store_space(w->store, &space));
    EXPECT(space.capacity_bytes == 8 * MIB && space.free_bytes == 8 * MIB);
    for (;; count++) {
        r = world_put(w, count, 1, 1 << 20, (uint8_t)count);
        if (r < 0) break;
    }
    EXPECT(r == -ERR_NO_SPACE && count == 8);
    TRY(chunk_store_space(w->store, &space));
    EXPECT(space.free_bytes == 0);
    EXPECT(world_put(w, 100, 1, 1, 1) == -ERR_NO_SPACE);
    EXPECT(world_put(w, 0, 2, 1 << 20, 1) == -ERR_NO_SPACE);
    EXPECT(world_lost_units(w) == 0);
    /* what is removed can be written at once */
    TRY(world_take(w, 3, 2));
    TRY(world_put(w, 100, 1, 1 << 20, 100));
    EXPECT(world_look(w, 100, 1 << 20) == 100 && world_look(w, 0, 1 << 20) == 0);
    EXPECT(world_look(w, 3, 1) == -ERR_CHUNK_NOT_FOUND);
    for (uint32_t i = 0; i < count; i++) {
        if (i != 3) TRY(world_take(w, i, 2));
    }
    TRY(world_take(w, 100, 2));
    TRY(chunk_store_sync(w->store));
    TRY(chunk_store_space(w->store, &space));
    EXPECT(space.free_bytes == 8 * MIB);
    world_close(w, true);
    return 0;
}

static void test_full(void **state)
{
    struct chunk_store_options options = { .node_id = 7,
                                           .reserve_bytes = 1,
                                           .capacity_bytes = 8 * MIB };
    assert_int_equal(world_run_sim(full_body, &options), 0);
    struct chunk_world w = { .body = full_body, .options = options };
    assert_int_equal(chunk_world_run_real(&w), 0);
}

/* The file system is full, not the store: the reserve lets removals go on. */
static int disk_full_body(struct chunk_world *w)
{
    uint32_t count = 0;
    TRY(world_open_with_target(w));
    while (world_put(w, count, 1, 1 << 20, (uint8_t)count) == 0) {
        count++;
    }
    EXPECT(count > 100);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(world_look(w, i, 1 << 20) == (uint8_t)i);
        TRY(world_take(w, i, 2));
    }
    EXPECT(chunk_store_failure(w->store) == 0);
    TRY(world_put(w, 0, 3, 1 << 20, 9));
    world_close(w, true);
    return 0;
}

static void test_disk_full(void **state)
{
    struct chunk_world w = { .body = disk_full_body, .seed = 6 };
    w.options = (struct chunk_store_options){ .node_id = 7,
                                              .reserve_bytes = 64 * MIB,
                                              .checkpoint_journal_bytes = 128 * KIB };
    struct sim_options options = sim_options_default(6);
    options.disk.capacity_bytes = 256 * MIB;
    assert_int_equal(chunk_world_run_sim(&w, &options), 0);
}

/* ---- group commit ---- */

static int one_put(void *arg)
{
    struct chunk_world *w = arg;
    return world_put(w, (*(uint32_t *)w->arg)++, 1, 4096, 1);
}

static int group_body(struct chunk_world *w)
{
    uint32_t next = 0;
    enum { COUNT = 128 };
    w->arg = &next;
    TRY(world_open_with_target(w));
    TRY(world_put(w, 1000, 1, 1, 1)); /* the files are made */
    uint64_t syncs = units_sync_count(w->store->shard->units);
    uint64_t batches = journal_batch_count(w->store->shard->journal);
    {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        scope.local = w->node;
        for (uint32_t i = 0; i < COUNT; i++) {
            TRY(fiber_spawn(&scope, "put", one_put, w));
        }
        TRY(scope_wait(&scope));
    }
    EXPECT(next == COUNT);
    syncs = units_sync_count(w->store->shard->units) - syncs;
    batches = journal_batch_count(w->store->shard->journal) - batches;
    print_message("%d stages: %lu data syncs, %lu index syncs\n", COUNT, syncs, batches);
    EXPECT(syncs < COUNT / 4 && batches < COUNT / 4);
    world_close(w, true);
    return 0;
}

static void test_group(void **state)
{
    assert_int_equal(world_run_sim(group_body, NULL), 0);
}

/* ---- a checkpoint beside a replacement ---- */

static int hole_put(struct chunk_world *w, uint32_t number)
{
    struct chunk_update u = { .kind = UPDATE_EXTEND,
                              .version = 1,
                              .chain_version = 1,
                              .update = { { 3, 4 }, 9, number },
                              .chunk_size = 8 << 20,
                              .length = 8 << 20 };
    TRY(chunk_stage(w->store, TARGET, world_chunk(number), &u));
    return chunk_commit(w->store, TARGET, world_chunk(number), 1, 1);
}

struct replacement {
    uint64_t wait_ns; /* after the checkpoint has begun */
    bool is_beside;   /* out: the checkpoint had not ended yet */
};

static int checkpoint_fiber(void *arg)
{
    struct chunk_world *w = arg;
    return shard_checkpoint(w->store->shard);
}

/* Chunk 0, whose record the checkpoint has read ahead, gets other content under the same version,
 * as a resync may do. The records of the others keep the checkpoint reading for a while. */
static int replaced_body(struct chunk_world *w)
{
    enum { COUNT = 250 };
    static const uint8_t bytes[100] = { [0 ... 99] = 2 };
    struct chunk_update u = { .kind = UPDATE_REPLACE,
                              .version = 1,
                              .chain_version = 2,
                              .update = { { 3, 5 }, 1, 1 },
                              .chunk_size = 1 << 20,
                              .length = sizeof(bytes),
                              .data = bytes_of(bytes, sizeof(bytes)),
                              .data_crc32c = crc32c(0, bytes, sizeof(bytes)) };
    struct replacement *p = w->arg;
    TRY(world_open_with_target(w));
    TRY(world_put(w, 0, 1, 100, 1));
    for (uint32_t i = 1; i < COUNT; i++) {
        TRY(hole_put(w, i));
    }
    world_close(w, true);
    TRY(world_open(w));
    {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        scope.local = w->node;
        TRY(fiber_spawn(&scope, "checkpoint", checkpoint_fiber, w));
        TRY(fiber_sleep(p->wait_ns));
        p->is_beside = w->store->shard->checkpoint_is_running;
        TRY(chunk_stage(w->store, TARGET, world_chunk(0), &u));
        TRY(chunk_commit(w->store, TARGET, world_chunk(0), 1, 2));
        TRY(scope_wait(&scope));
    }
    TRY(chunk_store_sync(w->store));
    for (int i = 0; i < 2; i++) {
        EXPECT(world_look(w, 0, 100) == 2);
        world_close(w, false);
        TRY(world_open(w));
    }
    world_close(w, true);
    return 0;
}

static void test_replaced_during_checkpoint(void **state)
{
    struct chunk_store_options options = { .node_id = 7,
                                           .reserve_bytes = 1,
                                           .record_cache_bytes = 1 };
    struct replacement p = { .wait_ns = 50 * USEC, .is_beside = true };
    uint32_t count = 0;
    for (; p.is_beside; p.wait_ns += 50 * USEC, count++) {
        struct chunk_world w = { .body = replaced_body, .options = options, .seed = 5, .arg = &p };
        if (chunk_world_run_sim(&w, NULL) != 0) fail_msg("after %lu ns", p.wait_ns);
    }
    assert_true(count > 10);
}

/* ---- targets, floors, identities, walks ---- */

static int count_state(void *arg, const struct chunk_state *state)
{
    ++*(uint32_t *)arg;
    return 0;
}

static int count_floor(void *arg, uint64_t inode, uint32_t generation)
{
    *(uint32_t *)arg += (uint32_t)inode * generation;
    return 0;
}

static int check_tables(struct chunk_world *w)
{
    const struct store_target *t = store_target_find(w->store, TARGET);
    EXPECT(t && t->chain_id == 1 && t->chain_version == 12 && t->chunk_count == 39);
    uint32_t count = 0, floors = 0;
    TRY(chunk_each(w->store, TARGET, NULL, count_state, &count));
    EXPECT(count == 40); /* a tombstone */
    count = 0;
    TRY(chunk_each(w->store, TARGET, &(struct chunk_id){ 77, 19 }, count_state, &count));
    EXPECT(count == 20);
    struct chunk_state last;
    EXPECT(chunk_last(w->store, TARGET, 77, 0, UINT64_C(1) << 32, &last) == 1);
    EXPECT(last.chunk.index == 38);
    EXPECT(chunk_last(w->store, TARGET, 77, 5, 10, &last) == 1 && last.chunk.index == 9);
    EXPECT(chunk_last(w->store, TARGET, 77, 39, UINT64_C(1) << 32, &last) == 0);
    EXPECT(chunk_last(w->store, TARGET, 76, 0, UINT64_C(1) << 32, &last) == 0);
    EXPECT(floor_get(w->store, TARGET, 5) == 3 && floor_get(w->store, TARGET, 6) == 0);
    TRY(floor_each(w->store, TARGET, count_floor, &floors));
    EXPECT(floors == 15);
    struct identity_entry e;
    EXPECT(identity_find(w->store, TARGET, &(struct uuid){ 3, 4 }, 9, &e) == 1);
    EXPECT(e.update.seq == 2039 && e.version == 2 && e.chunk.index == 39);
    EXPECT(identity_find(w->store, TARGET, &(struct uuid){ 8, 8 }, 2, &e) == 1 && e.crc32c == 5);
    EXPECT(identity_find(w->store, TARGET, &(struct uuid){ 8, 8 }, 3, &e) == 0);
    return 0;
}

static int tables_body(struct chunk_world *w)
{
    TRY(world_open_with_target(w));
    EXPECT(store_target_create(w->store, TARGET, 1) == -ERR_META_EXISTS);
    TRY(store_target_create(w->store, TARGET + 1, 2));
    TRY(store_target_set_chain_version(w->store, TARGET, 12));
    for (uint32_t i = 0; i < 40; i++) {
        TRY(world_put(w, i, 1, 1000 * i + 1, (uint8_t)i));
    }
    TRY(world_take(w, 39, 2));
    TRY(floor_set(w->store, TARGET, 5, 3));
    TRY(floor_set(w->store, TARGET, 5, 2));
    TRY(floor_set(w->store, TARGET, 6, 3));
    TRY(floor_set(w->store, TARGET, 6, 0));
    struct identity_entry e = { .update = { { 8, 8 }, 2, 100 }, .crc32c = 5 };
    TRY(identity_put(w->store, TARGET, &e));
    e.update.seq = 99;
    e.crc32c = 6;
    TRY(identity_put(w->store, TARGET, &e));
    TRY(chunk_store_sync(w->store));
    for (int i = 0; i < 4; i++) {
        TRY(check_tables(w));
        world_close(w, i % 2);
        TRY(world_open(w));
    }
    EXPECT(chunk_drop(w->store, TARGET, world_chunk(39), CHUNK_COMMITTED) == 1);
    EXPECT(store_target_find(w->store, TARGET)->dropped_version == 2);
    TRY(identity_clear(w->store, TARGET));
    world_close(w, false);
    TRY(world_open(w));
    EXPECT(store_target_find(w->store, TARGET)->dropped_version == 2);
    EXPECT(identity_find(w->store, TARGET, &(struct uuid){ 8, 8 }, 2, &e) == 0);

    TRY(store_target_remove(w->store, TARGET));
    EXPECT(!store_target_find(w->store, TARGET) && store_target_find(w->store, TARGET + 1));
    EXPECT(units_free_count(w->store->shard->units) == units_total_count(w->store->shard->units));
    TRY(store_target_create(w->store, TARGET, 1));
    uint32_t count = 0;
    TRY(chunk_each(w->store, TARGET, NULL, count_state, &count));
    EXPECT(count == 0 && floor_get(w->store, TARGET, 5) == 0);
    world_close(w, false);
    TRY(world_open(w));
    EXPECT(store_target_count(w->store) == 2);
    EXPECT(units_free_count(w->store->shard->units) == units_total_count(w->store->shard->units));
    world_close(w, true);
    return 0;
}

static void test_tables(void **state)
{
    assert_int_equal(world_run_sim(tables_body, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ownership),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_disk_full),   cmocka_unit_test(test_group),
        cmocka_unit_test(test_tables),      cmocka_unit_test(test_replaced_during_checkpoint),
        cmocka_unit_test(test_random_real), cmocka_unit_test(test_random_sim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
