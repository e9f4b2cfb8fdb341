/* chunk_damage_test.c - the chunk store on disks that rot, fail, or are made to fail. */
#include "base/crc32c.h"
#include "loop/fault.h"
#include "storage/chunk_store_internal.h"
#include "storage/chunk_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

enum { TARGET = WORLD_TARGET };

static int flip(struct chunk_world *w, const char *name, uint64_t offset)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/shard-00/%s", w->dir, name);
    return sim_flip_bit(w->machine, path, offset, 3);
}

/* Where a byte of the committed content is in its file of units. */
static int place_of(struct chunk_world *w, uint32_t number, uint32_t at, uint64_t *ret)
{
    struct chunk_key key = { .inode = 77, .index = number, .target = 1 };
    struct record *record;
    uint32_t end;
    TRY(shard_load_record(w->store->shard, &key, &record));
    const struct extent_disk *e = record_find_extent(record, at / UNIT_BYTES, &end);
    *ret = (uint64_t)(e->unit + at / UNIT_BYTES - e->at) * UNIT_BYTES + at % UNIT_BYTES;
    record_unref(record);
    return 0;
}

/* A block that is damaged can be written; its neighbours, which have to be copied, must be whole.
 */
static int rot_block_body(struct chunk_world *w)
{
    enum { AT = 5 * BLOCK_BYTES };
    static const uint8_t block[BLOCK_BYTES] = { [0 ... BLOCK_BYTES - 1] = 1 };
    struct chunk_update u = { .kind = UPDATE_WRITE,
                              .version = 2,
                              .chain_version = 1,
                              .update = { { 3, 4 }, 9, 2000 },
                              .chunk_size = 1 << 20,
                              .offset = AT,
                              .length = sizeof(block),
                              .data = bytes_of(block, sizeof(block)),
                              .data_crc32c = crc32c(0, block, sizeof(block)) };
    uint64_t place;
    TRY(world_open_with_target(w));
    TRY(world_put(w, 0, 1, 1 << 20, 1));
    TRY(place_of(w, 0, AT + 7, &place));
    TRY(flip(w, "units-0000", place));
    EXPECT(world_look(w, 0, 1 << 20) == -ERR_CHECKSUM_MISMATCH);
    TRY(chunk_stage(w->store, TARGET, world_chunk(0), &u));
    TRY(chunk_commit(w->store, TARGET, world_chunk(0), 2, 1));
    EXPECT(world_look(w, 0, 1 << 20) == 1);
    TRY(place_of(w, 0, AT + BLOCK_BYTES, &place));
    TRY(flip(w, "units-0000", place));
    u.version = 3;
    EXPECT(chunk_stage(w->store, TARGET, world_chunk(0), &u) == -ERR_CHECKSUM_MISMATCH);
    world_close(w, true);
    return 0;
}

static int rot_body(struct chunk_world *w)
{
    TRY(world_open_with_target(w));
    TRY(world_put(w, 0, 1, 1 << 20, 1));
    TRY(world_put(w, 1, 1, 1 << 20, 2));
    uint64_t place;
    TRY(place_of(w, 0, 100000, &place));
    TRY(flip(w, "units-0000", place));
    EXPECT(world_look(w, 0, 1 << 20) == -ERR_CHECKSUM_MISMATCH);
    EXPECT(world_look(w, 0, 65536) == 1 && world_look(w, 1, 1 << 20) == 2);
    EXPECT(*w->store->shard->checksum_errors > 0);
    /* a whole write repairs it */
    TRY(world_put(w, 0, 2, 1 << 20, 3));
    EXPECT(world_look(w, 0, 1 << 20) == 3);
    world_close(w, true);
    return 0;
}

static struct chunk_update replacement(const uint8_t *data, uint32_t size)
{
    return (struct chunk_update){ .kind = UPDATE_REPLACE,
                                  .version = 1,
                                  .chain_version = 1,
                                  .update = { { 3, 4 }, 9, 2000 },
                                  .chunk_size = 1 << 20,
                                  .length = size,
                                  .data = bytes_of(data, size),
                                  .data_crc32c = crc32c(0, data, size) };
}

/* Kept with the CRCs that it ought to have, damage is met where it is, and nowhere else; also after
 * a power cut. */
static int known_damage_body(struct chunk_world *w)
{
    enum { SIZE = 5 * BLOCK_BYTES + 100, DAMAGED = 2 };
    uint8_t *data = xcalloc(1, SIZE);
    uint32_t crcs[6];
    for (uint32_t block = 0; block < ARRAY_SIZE(crcs); block++) {
        uint32_t at = block * BLOCK_BYTES;
        crcs[block] = crc32c(0, data + at, MIN_OF((uint32_t)BLOCK_BYTES, SIZE - at));
    }
    struct chunk_update u = replacement(data, SIZE);
    u.block_crcs = crcs;
    data[DAMAGED * BLOCK_BYTES + 7] ^= 1;
    TRY(world_open_with_target(w));
    crcs[0] ^= 1;
    EXPECT(chunk_stage(w->store, TARGET, world_chunk(0), &u) == -ERR_CHECKSUM_MISMATCH);
    crcs[0] ^= 1;
    TRY(chunk_stage(w->store, TARGET, world_chunk(0), &u));
    EXPECT(u.result_crc32c == u.data_crc32c);
    TRY(chunk_commit(w->store, TARGET, world_chunk(0), 1, 1));
    TRY(chunk_store_sync(w->store));
    world_close(w, false);
    TRY(world_open(w));
    EXPECT(world_look(w, 0, DAMAGED * BLOCK_BYTES) == 0);
    EXPECT(world_look(w, 0, DAMAGED * BLOCK_BYTES + 1) == -ERR_CHECKSUM_MISMATCH);
    struct chunk_pin *pin;
    struct chunk_state state;
    EXPECT(chunk_pin(w->store, TARGET, world_chunk(0), CHUNK_COMMITTED, &pin, &state) == 1);
    uint8_t *read = aligned_alloc(BLOCK_BYTES, sizeof(crcs) / sizeof(*crcs) * BLOCK_BYTES);
    uint32_t count;
    chunk_read_unverified(pin, read);
    EXPECT(memcmp(chunk_block_crcs(pin, &count), crcs, sizeof(crcs)) == 0);
    EXPECT(count == ARRAY_SIZE(crcs) && memcmp(read, data, SIZE) == 0);
    chunk_unpin(pin);
    free(read);
    free(data);
    world_close(w, true);
    return 0;
}

/* A damaged pending record gives way to the same update in other units, in one step. */
static int pending_anew_body(struct chunk_world *w)
{
    enum { SIZE = 3 * BLOCK_BYTES };
    uint8_t *data = xcalloc(1, SIZE);
    struct chunk_update u = replacement(data, SIZE);
    TRY(world_open_with_target(w));
    TRY(chunk_stage(w->store, TARGET, world_chunk(0), &u));
    /* the first units of all */
    TRY(flip(w, "units-0000", BLOCK_BYTES + 9));
    TRY(chunk_stage(w->store, TARGET, world_chunk(0), &u)); /* it is pending: nothing to do */
    u.is_anew = true;
    TRY(chunk_stage(w->store, TARGET, world_chunk(0), &u));
    EXPECT(world_lost_units(w) == 0);
    world_close(w, false);
    TRY(world_open(w));
    EXPECT(world_lost_units(w) == 0);
    TRY(chunk_commit(w->store, TARGET, world_chunk(0), 1, 1));
    EXPECT(world_look(w, 0, SIZE) == 0);
    u.kind = UPDATE_WRITE;
    u.version = 2;
    EXPECT(chunk_stage(w->store, TARGET, world_chunk(0), &u) == -ERR_INVALID_ARG);
    free(data);
    world_close(w, true);
    return 0;
}

static void test_known_damage(void **state)
{
    assert_int_equal(world_run_sim(known_damage_body, NULL), 0);
    assert_int_equal(world_run_sim(pending_anew_body, NULL), 0);
}

static void test_rot(void **state)
{
    assert_int_equal(world_run_sim(rot_body, NULL), 0);
    assert_int_equal(world_run_sim(rot_block_body, NULL), 0);
}

/* A journal of 20 batches of one 4 KiB block and more each. */
static int journal_rot_body(struct chunk_world *w)
{
    bool is_tail = *(bool *)w->arg;
    TRY(world_open_with_target(w));
    for (uint32_t i = 0; i < 20; i++) {
        TRY(world_put(w, i, 1, 4096, (uint8_t)i));
    }
    uint64_t end = journal_size(w->store->shard->journal);
    world_close(w, false);
    TRY(flip(w, "journal-A", is_tail ? end / 4096 * 4096 - 4096 + 50 : 4096 * 8 + 50));
    int r = world_open(w);
    if (!is_tail) {
        EXPECT(r == -ERR_DATA_CORRUPTION);
        return 0;
    }
    /* the last batch cannot be told from one that was torn */
    TRY(r);
    EXPECT(world_look(w, 0, 4096) == 0 && world_look(w, 17, 4096) == 17);
    EXPECT(world_lost_units(w) == 0);
    TRY(world_put(w, 30, 1, 4096, 30));
    TRY(chunk_store_sync(w->store));
    world_close(w, false);
    TRY(world_open(w));
    EXPECT(world_look(w, 30, 4096) == 30);
    world_close(w, true);
    return 0;
}

static void test_journal_rot(void **state)
{
    for (int i = 0; i < 2; i++) {
        bool is_tail = i;
        struct chunk_world w = { .body = journal_rot_body, .seed = 5, .arg = &is_tail };
        assert_int_equal(chunk_world_run_sim(&w, NULL), 0);
    }
}

static int checkpoint_rot_body(struct chunk_world *w)
{
    TRY(world_open_with_target(w));
    for (uint32_t i = 0; i < 50; i++) {
        TRY(world_put(w, i, 1, 100, (uint8_t)i));
    }
    world_close(w, true);
    TRY(flip(w, "checkpoint-B", 9000));
    EXPECT(world_open(w) == -ERR_DATA_CORRUPTION);
    return 0;
}

static void test_checkpoint_rot(void **state)
{
    assert_int_equal(world_run_sim(checkpoint_rot_body, NULL), 0);
}

/* The disk fails in the middle: the store says so from then on, reads go on. */
static int broken_body(struct chunk_world *w)
{
    TRY(world_open_with_target(w));
    TRY(world_put(w, 0, 1, 1 << 20, 1));
    struct sim_options o = sim_options_default(1);
    o.disk.write_error_ppm = 1000000;
    sim_set_disk_profile(w->machine, &o.disk);
    EXPECT(world_put(w, 1, 1, 1 << 20, 1) == -ERR_CHUNK_WRITE_FAILED);
    EXPECT(chunk_store_failure(w->store) < 0);
    EXPECT(world_put(w, 2, 1, 1 << 20, 1) == -ERR_CHUNK_WRITE_FAILED);
    EXPECT(world_look(w, 0, 1 << 20) == 1);
    EXPECT(world_look(w, 1, 1) == -ERR_CHUNK_NOT_FOUND);
    world_close(w, true);
    return 0;
}

static void test_broken(void **state)
{
    assert_int_equal(world_run_sim(broken_body, NULL), 0);
}

/* ---- fault points: a stage that fails leaves nothing behind ---- */

static int fault_body(struct chunk_world *w)
{
    static const char *const points[] = { "storage.stage.before_data_sync",
                                          "storage.stage.before_index_sync" };
    TRY(world_open_with_target(w));
    TRY(world_put(w, 0, 1, 1 << 20, 1));
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        struct fault_rule rule = { .point = points[i],
                                   .kind = FAULT_FAIL,
                                   .error = -ERR_FAULT_INJECTION };
        fault_add(w->node, &rule);
        EXPECT(world_put(w, 0, 2, 300000, 2) == -ERR_FAULT_INJECTION);
        EXPECT(world_put(w, 1, 1, 1 << 20, 2) == -ERR_FAULT_INJECTION);
        fault_clear(w->node);
        EXPECT(world_look(w, 0, 1 << 20) == 1 && world_look(w, 1, 1) == -ERR_CHUNK_NOT_FOUND);
        EXPECT(world_lost_units(w) == 0);
        TRY(world_put(w, 60 + (uint32_t)i, 1, 1, 2));
    }
    world_close(w, true);
    return 0;
}

static void test_faults(void **state)
{
    assert_int_equal(world_run_sim(fault_body, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rot),         cmocka_unit_test(test_known_damage),
        cmocka_unit_test(test_journal_rot), cmocka_unit_test(test_checkpoint_rot),
        cmocka_unit_test(test_broken),      cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
