/* chunk_data_test.c - what may count while the data of an update is not durable, step by step.
 *
 * Lives of one machine: each runs a body, and then the power is lost or the process killed at just
 * that moment. Syncs of data are held back, so that the journal is ahead of them. Each rule is then
 * taken out, and the same lives must notice.
 */
#include "base/crc32c.h"
#include "fiber/sync.h"
#include "loop/fault.h"
#include "storage/chunk_store_internal.h"
#include "storage/chunk_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h wants the three above */
#include <cmocka.h>

enum { TARGET = WORLD_TARGET, SIZE = 100000, SEEDS = 40 };

struct life {
    int (*body)(struct chunk_world *w);
    bool is_killed; /* else the power is lost */
};
struct lives {
    struct chunk_world w;
    const struct life *lives;
    int count;
    int mutant; /* -1: none */
    int now;
    int result;
    struct event ended;
    struct scope beside; /* what runs beside the body; it ends before the store closes */
};

static int life_fiber(void *arg)
{
    struct lives *l = arg;
    struct chunk_world *w = &l->w;
    scope_init(&l->beside, sched_current());
    l->beside.local = w->node;
    l->result = world_open(w);
    if (l->result >= 0) l->result = l->lives[l->now].body(w);
    event_set(&l->ended, 0);
    while (fiber_sleep(SEC) == 0) {
    }
    scope_done(&l->beside);
    world_close(w, false);
    return 0;
}

static int lives_main(void *arg)
{
    struct lives *l = arg;
    struct chunk_world *w = &l->w;
    for (l->now = 0; l->now < l->count && l->result >= 0; l->now++) {
        w->node = node_new(w->loop, w->machine, "disk");
        if (l->mutant >= 0) mutant_activate(w->node, (enum mutant)l->mutant);
        w->node->log.level = l->mutant >= 0 ? LOG_LEVEL_MAX : LOG_WARN;
        event_init(&l->ended);
        TRY(fiber_spawn(&w->node->scope, "life", life_fiber, l));
        TRY(event_wait(&l->ended, "life"));
        if (l->lives[l->now].is_killed) {
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

/* 0, or what a life returned first. */
static int run(const struct life *lives, int count, int mutant, uint64_t seed)
{
    struct lives l = { .lives = lives, .count = count, .mutant = mutant };
    struct chunk_world *w = &l.w;
    struct sim_options options = sim_options_default(seed);
    snprintf(w->dir, sizeof(w->dir), "/disk");
    w->options = (struct chunk_store_options){ .path = w->dir,
                                               .cluster_id = BYTES_LITERAL("test"),
                                               .node_id = 7,
                                               .reserve_bytes = 1,
                                               .record_cache_bytes = 16 * KIB,
                                               .checkpoint_journal_bytes = 128 * KIB };
    w->sim = sim_new(&options);
    w->loop = sim_loop(w->sim);
    w->machine = sim_machine_new(w->sim, "disk");
    w->pool = buffer_pool_new(64 * MIB);
    int r = sim_run(w->sim, lives_main, &l, 1000 * SEC);
    buffer_pool_free(w->pool);
    sim_free(w->sim);
    return r < 0 ? r : l.result;
}

/* ---- updates ---- */

enum { SEQ_BEFORE = 1, SEQ_WRITE = 2, SEQ_REPLACE = 3 };

static const uint8_t twos[SIZE] = { [0 ... SIZE - 1] = SEQ_WRITE };
static const uint8_t threes[SIZE] = { [0 ... SIZE - 1] = SEQ_REPLACE };

static int put(struct chunk_world *w, enum update_kind kind, uint32_t seq, const uint8_t *bytes)
{
    struct chunk_update u = { .kind = kind,
                              .version = 1,
                              .chain_version = seq,
                              .update = { { 3, 4 }, 1, seq },
                              .chunk_size = 1 << 20,
                              .length = SIZE,
                              .data = bytes_of(bytes, SIZE),
                              .data_crc32c = crc32c(0, bytes, SIZE) };
    return chunk_stage(w->store, TARGET, world_chunk(0), &u);
}

static int write_fiber(void *arg)
{
    return put(arg, UPDATE_WRITE, SEQ_WRITE, twos) < 0;
}

static int replace_fiber(void *arg)
{
    return put(arg, UPDATE_REPLACE, SEQ_REPLACE, threes) < 0;
}

static int checkpoint_fiber(void *arg)
{
    struct chunk_world *w = arg;
    return shard_checkpoint(w->store->shard) < 0;
}

/* No data becomes durable from now on; @fn runs beside the body. */
static int without_data_sync(struct chunk_world *w, int (*fn)(void *arg))
{
    fault_add(w->node,
              &(struct fault_rule){ .point = "storage.units.before_sync", .kind = FAULT_SUSPEND });
    TRY(fiber_spawn(&container_of(w, struct lives, w)->beside, "held back", fn, w));
    return fiber_sleep(500 * MSEC);
}

/* The byte that all of the pending content consists of, which is its seq too. */
static int look_pending(struct chunk_world *w)
{
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    struct chunk_state state;
    uint32_t skip, length, crc;
    int r = chunk_pin(w->store, TARGET, world_chunk(0), CHUNK_PENDING, &pin, &state);
    if (r <= 0) return r < 0 ? r : -ERR_CHUNK_NOT_FOUND;
    r = chunk_read(pin, 0, SIZE, w->pool, &buffer, &skip, &length, &crc);
    if (r < 0) return r;
    EXPECT(length == SIZE && !memcmp(buffer->base, buffer->base + 1, SIZE - 1));
    EXPECT(state.pending_update.seq == buffer->base[0]);
    return buffer->base[0];
}

/* Of the channel's entry in the identity table. */
static uint64_t known_seq(struct chunk_world *w)
{
    struct identity_entry e = { 0 };
    int r = identity_find(w->store, TARGET, &(struct uuid){ 3, 4 }, 1, &e);
    return r > 0 ? e.update.seq : 0;
}

/* ---- bodies ---- */

static int make_body(struct chunk_world *w)
{
    struct identity_entry e = { .update = { { 3, 4 }, 1, SEQ_BEFORE } };
    TRY(store_target_create(w->store, TARGET, 1));
    return identity_put(w->store, TARGET, &e);
}

static int write_body(struct chunk_world *w)
{
    return put(w, UPDATE_WRITE, SEQ_WRITE, twos);
}

/* Its record is durable, its data is not. */
static int half_write_body(struct chunk_world *w)
{
    TRY(without_data_sync(w, write_fiber));
    struct chunk_state state;
    struct journal *journal = w->store->shard->journal;
    EXPECT(chunk_get(w->store, TARGET, world_chunk(0), &state) == 1 && state.has_pending);
    EXPECT(journal_durable_lsn(journal) == journal_last_lsn(journal));
    EXPECT(chunk_commit(w->store, TARGET, world_chunk(0), 1, 1) == -ERR_CHUNK_NOT_COMMIT);
    FIBER_TIMEOUT(100 * MSEC);
    EXPECT(chunk_settle(w->store, TARGET, world_chunk(0)) == -ERR_TIMEOUT);
    return 0;
}

static int half_replace_body(struct chunk_world *w)
{
    return without_data_sync(w, replace_fiber);
}

static int half_checkpoint_body(struct chunk_world *w)
{
    TRY(without_data_sync(w, write_fiber));
    TRY(fiber_spawn(&container_of(w, struct lives, w)->beside, "checkpoint", checkpoint_fiber, w));
    return fiber_sleep(SEC);
}

/* All of it is there or nothing, and then the channel's entry is the one before. */
static int whole_or_nothing_body(struct chunk_world *w)
{
    int r = look_pending(w);
    EXPECT(r == SEQ_WRITE || r == -ERR_CHUNK_NOT_FOUND);
    EXPECT(known_seq(w) == (r == SEQ_WRITE ? SEQ_WRITE : SEQ_BEFORE));
    EXPECT(world_lost_units(w) == 0);
    return 0;
}

static int is_there_body(struct chunk_world *w)
{
    EXPECT(look_pending(w) == SEQ_WRITE && known_seq(w) == SEQ_WRITE);
    EXPECT(world_lost_units(w) == 0);
    return 0;
}

/* What was acknowledged, or what was to take its place, but not nothing. */
static int one_of_both_body(struct chunk_world *w)
{
    int r = look_pending(w);
    EXPECT(r == SEQ_WRITE || r == SEQ_REPLACE);
    EXPECT(known_seq(w) == (uint64_t)r);
    EXPECT(world_lost_units(w) == 0);
    return 0;
}

#define POWER(name)                                                                                \
    {                                                                                              \
        name##_body, false                                                                         \
    }
#define KILL(name)                                                                                 \
    {                                                                                              \
        name##_body, true                                                                          \
    }
static const struct {
    const char *what;
    enum mutant mutant; /* the rule that the lives depend on */
    struct life lives[5];
} cases[] = {
    { "data lost",
      MUTANT_DATA_NOT_DOUBTED,
      { POWER(make), POWER(half_write), POWER(whole_or_nothing), POWER(whole_or_nothing) } },
    { "no commit without data", MUTANT_COMMIT_BEFORE_DATA, { POWER(make), POWER(half_write) } },
    { "data found after a kill",
      MUTANT_DOUBTED_NOT_SYNCED,
      { POWER(make), KILL(half_write), POWER(is_there), POWER(is_there) } },
    { "a replacement's data lost",
      MUTANT_REPLACED_BEFORE_DATA,
      { POWER(make), POWER(write), POWER(half_replace), POWER(one_of_both), POWER(one_of_both) } },
    { "a checkpoint beside it",
      MUTANT_CHECKPOINT_BEFORE_DATA,
      { POWER(make), POWER(half_checkpoint), POWER(whole_or_nothing) } },
};

static int run_case(size_t i, int mutant, uint64_t seed)
{
    int count = 0;
    while (count < (int)ARRAY_SIZE(cases[i].lives) && cases[i].lives[count].body) {
        count++;
    }
    return run(cases[i].lives, count, mutant, seed);
}

static void test_lives(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            if (run_case(i, -1, seed) != 0) fail_msg("%s: seed %lu", cases[i].what, seed);
        }
    }
}

static void test_mutants(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t seed = 1;
        while (seed <= SEEDS && run_case(i, (int)cases[i].mutant, seed) == 0) {
            seed++;
        }
        print_message("%s: noticed at seed %lu\n", mutant_name(cases[i].mutant), seed);
        assert_true(seed <= SEEDS);
    }
}

/* ---- a sync that fails ---- */

enum { OLD = 1, FIRST_FAILING = 10, LAST_FAILING = 30, NEW = 40, BYTES = 8192 };

static int old_body(struct chunk_world *w)
{
    TRY(store_target_create(w->store, TARGET, 1));
    return world_put(w, OLD, 1, BYTES, 1);
}

/* What a sync was for when it failed can be read and is not durable; the next sync does not say so.
 */
static int failing_body(struct chunk_world *w)
{
    struct sim_options good = sim_options_default(1), bad = good;
    bad.disk.write_error_ppm = 150000;
    sim_set_disk_profile(w->machine, &bad.disk);
    for (uint32_t i = FIRST_FAILING; i <= LAST_FAILING && world_put(w, i, 1, BYTES, 1) >= 0;)
        i++;
    sim_set_disk_profile(w->machine, &good.disk);
    return 0;
}

static int new_body(struct chunk_world *w)
{
    return world_put(w, NEW, 1, BYTES, 2);
}

/* Committed, or still pending: a commit is not durable by itself. */
static bool is_there(struct chunk_world *w, uint32_t number)
{
    struct chunk_state state;
    return chunk_get(w->store, TARGET, world_chunk(number), &state) > 0 &&
           (state.version == 1 || state.pending_version == 1);
}

static int old_and_new_body(struct chunk_world *w)
{
    return is_there(w, OLD) && is_there(w, NEW) ? 0 : -ERR_FOUND_BUG;
}

static void test_failed_syncs(void **state)
{
    static const struct life lives[] = {
        { old_body, true },
        { failing_body, true },
        { new_body, false },
        { old_and_new_body, false },
    };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        int r = run(lives, ARRAY_SIZE(lives), -1, seed);
        if (r != 0) fail_msg("seed %lu: %s", seed, error_name(r));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_mutants),
        cmocka_unit_test(test_failed_syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
