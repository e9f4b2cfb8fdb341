/* sim_disk_test.c - the simulated disk by itself: contents against a flat model, and what crashes
 * leave. */
#include "loop/sim_disk.h"

#include "base/arena.h"
#include "base/check.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { SEED_COUNT = 200, B = SIM_BLOCK_SIZE };

struct fixture {
    struct sim_random random;
    struct sim_disk disk;
};

static void setup(struct fixture *f, uint64_t seed, uint64_t capacity_bytes)
{
    struct sim_disk_profile profile = { .is_honest = true, .capacity_bytes = capacity_bytes };
    sim_random_init(&f->random, seed);
    sim_disk_init(&f->disk, &f->random, &profile);
}

static struct sim_inode *open_file(struct fixture *f, const char *path)
{
    struct sim_inode *inode = NULL;
    check(sim_disk_open(&f->disk, path, O_RDWR | O_CREAT, &inode) == 0);
    check(inode);
    return inode;
}

static void write_fill(struct fixture *f, struct sim_inode *inode, char fill, size_t size,
                       uint64_t offset)
{
    uint8_t *buf = xmalloc(size);
    memset(buf, fill, size);
    struct iovec iov = { buf, size };
    assert_int_equal(sim_data_write(&f->disk, inode, &iov, 1, offset), (ssize_t)size);
    free(buf);
}

static size_t read_all(struct sim_inode *inode, void *buf, size_t size)
{
    struct iovec iov = { buf, size };
    return (size_t)sim_data_read(inode, &iov, 1, 0);
}

/* Closes @inode, crashes, and opens @path again, which must have survived. */
static struct sim_inode *crash(struct fixture *f, struct sim_inode *inode, const char *path)
{
    if (inode) sim_disk_close(&f->disk, inode);
    sim_disk_crash(&f->disk);
    inode = NULL;
    check(sim_disk_open(&f->disk, path, O_RDWR, &inode) == 0);
    check(inode);
    return inode;
}

/* ---- contents ---- */

static void ranges_follow_a_bitmap(void **state)
{
    enum { SIZE = 200 };
    struct sim_random random;
    sim_random_init(&random, 7);
    for (int round = 0; round < 50; round++) {
        struct sim_ranges s = { 0 };
        bool model[SIZE] = { 0 };
        for (int step = 0; step < 200; step++) {
            uint64_t begin = sim_random_under(&random, SIZE);
            uint64_t end = sim_random_between(&random, begin, MIN_OF(begin + 30, (uint64_t)SIZE));
            bool is_add = sim_random_one_in(&random, 2);
            (is_add ? sim_ranges_add : sim_ranges_remove)(&s, begin, end);
            for (uint64_t i = begin; i < end; i++)
                model[i] = is_add;
            uint64_t total = 0, overlap = 0;
            for (uint64_t i = 0; i < SIZE; i++) {
                assert_int_equal(sim_ranges_has(&s, i), model[i]);
                total += model[i];
                overlap += model[i] && i >= 50 && i < 120;
            }
            assert_int_equal(s.total, total);
            assert_int_equal(sim_ranges_overlap(&s, 50, 120), overlap);
            for (size_t i = 1; i < s.count; i++)
                assert_true(s.items[i - 1].end < s.items[i].begin);
        }
        sim_ranges_done(&s);
    }
}

enum { MODEL_SIZE = 40000 };

struct model {
    uint8_t bytes[MODEL_SIZE];
    uint64_t size;
};

static void model_step(struct fixture *f, struct sim_inode *inode, struct model *model)
{
    uint64_t offset = sim_random_under(&f->random, MODEL_SIZE - 1);
    uint64_t size = 1 + sim_random_under(&f->random, MODEL_SIZE - offset);
    switch (sim_random_under(&f->random, 6)) {
    case 0:
    case 1:
    case 2: {
        char fill = (char)('a' + sim_random_under(&f->random, 26));
        write_fill(f, inode, fill, size, offset);
        memset(model->bytes + offset, fill, size);
        model->size = MAX_OF(model->size, offset + size);
        break;
    }
    case 3:
        assert_int_equal(sim_data_truncate(&f->disk, inode, offset), 0);
        if (offset < model->size) memset(model->bytes + offset, 0, model->size - offset);
        model->size = offset;
        break;
    case 4:
        assert_int_equal(sim_data_punch_hole(&f->disk, inode, offset, size), 0);
        memset(model->bytes + offset, 0, size);
        break;
    default:
        assert_int_equal(sim_data_allocate(&f->disk, inode, offset, size), 0);
        model->size = MAX_OF(model->size, offset + size);
        break;
    }
}

static void contents_follow_a_flat_buffer(void **state)
{
    struct model *model = new_zero(struct model);
    uint8_t *buf = xmalloc(MODEL_SIZE);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct fixture f;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/file");
        *model = (struct model){ 0 };
        sim_disk_sync_dir(&f.disk, f.disk.root);
        for (int step = 0; step < 100; step++) {
            model_step(&f, inode, model);
            assert_int_equal(inode->newest.size_bytes, model->size);
            assert_int_equal(read_all(inode, buf, MODEL_SIZE), model->size);
            assert_memory_equal(buf, model->bytes, model->size);
            assert_int_equal(f.disk.used_blocks, inode->newest.allocated.total);
            if (!sim_random_one_in(&f.random, 10)) continue;
            /* All of it synced: a crash changes nothing. */
            sim_data_sync(inode, inode->change_seq);
            inode = crash(&f, inode, "/file");
            assert_int_equal(read_all(inode, buf, MODEL_SIZE), model->size);
            assert_memory_equal(buf, model->bytes, model->size);
            assert_int_equal(f.disk.used_blocks, inode->newest.allocated.total);
        }
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
    free(model);
    free(buf);
}

static void sparse_files_cost_what_is_written(void **state)
{
    struct fixture f;
    setup(&f, 1, 0);
    struct sim_inode *inode = open_file(&f, "/big");
    assert_int_equal(sim_data_allocate(&f.disk, inode, 0, 512 * GIB), 0);
    write_fill(&f, inode, 'x', 3 * B, 300 * GIB);
    assert_int_equal(f.disk.used_blocks, 512 * GIB / B);
    assert_int_equal(inode->newest.blocks.count, 3);
    assert_int_equal(sim_data_punch_hole(&f.disk, inode, 0, 512 * GIB), 0);
    assert_int_equal(f.disk.used_blocks, 0);
    assert_int_equal(inode->newest.blocks.count, 0);
    sim_disk_close(&f.disk, inode);
    sim_disk_done(&f.disk);
}

static void space_ends(void **state)
{
    struct fixture f;
    char buf[4 * B] = { 0 };
    struct iovec iov = { buf, sizeof buf };
    setup(&f, 1, 10 * B);
    struct sim_inode *a = open_file(&f, "/a"), *b = open_file(&f, "/b");
    write_fill(&f, a, 'a', 4 * B, 0);
    write_fill(&f, a, 'a', 4 * B, 0); /* in place: no more space */
    assert_int_equal(f.disk.used_blocks, 4);
    assert_int_equal(sim_data_allocate(&f.disk, b, 0, 7 * B), error_from_errno(ENOSPC));
    assert_int_equal(sim_data_allocate(&f.disk, b, 0, 4 * B), 0);
    assert_int_equal(sim_data_write(&f.disk, b, &iov, 1, 3 * B), 3 * B); /* what fits */
    assert_int_equal(sim_data_write(&f.disk, b, &iov, 1, 8 * B), error_from_errno(ENOSPC));
    assert_int_equal(sim_data_write(&f.disk, b, &iov, 1, 0), 4 * B);
    /* An unlinked file takes space until it is closed. */
    assert_int_equal(sim_disk_unlink(&f.disk, "/a"), 0);
    assert_int_equal(f.disk.used_blocks, 10);
    sim_disk_close(&f.disk, a);
    assert_int_equal(f.disk.used_blocks, 6);
    sim_disk_close(&f.disk, b);
    sim_disk_done(&f.disk);
}

/* ---- what a crash leaves of contents ---- */

static void synced_data_survives(void **state)
{
    char buf[8 * B];
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/file");
        sim_disk_sync_dir(&f.disk, f.disk.root);
        write_fill(&f, inode, 'a', 8 * B, 0);
        sim_data_sync(inode, inode->change_seq);
        write_fill(&f, inode, 'b', 2 * B, 2 * B); /* not synced: only these may differ */
        inode = crash(&f, inode, "/file");
        assert_int_equal(read_all(inode, buf, sizeof buf), sizeof buf);
        for (size_t i = 0; i < sizeof buf; i++)
            assert_true(buf[i] == 'a' || (buf[i] == 'b' && i >= 2 * B && i < 4 * B));
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
}

/* Every outcome of one unsynced write of four blocks occurs: kept, lost, torn between blocks,
 * within one. */
static void unsynced_data_is_kept_lost_or_torn(void **state)
{
    int kept = 0, lost = 0, torn_blocks = 0, torn_sectors = 0;
    char buf[4 * B];
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/file");
        sim_disk_sync_dir(&f.disk, f.disk.root);
        write_fill(&f, inode, 'a', 4 * B, 0);
        sim_data_sync(inode, inode->change_seq);
        write_fill(&f, inode, 'b', 4 * B, 0);
        inode = crash(&f, inode, "/file");
        assert_int_equal(read_all(inode, buf, sizeof buf), sizeof buf);
        int whole_new = 0, whole_old = 0;
        for (int block = 0; block < 4; block++) {
            size_t fresh = 0;
            for (size_t i = 0; i < B; i++)
                fresh += buf[(size_t)block * B + i] == 'b';
            assert_int_equal(fresh % SIM_SECTOR_SIZE, 0);
            whole_new += fresh == B;
            whole_old += fresh == 0;
        }
        kept += whole_new == 4;
        lost += whole_old == 4;
        torn_blocks += whole_new > 0 && whole_old > 0;
        torn_sectors += whole_new + whole_old < 4;
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
    assert_true(kept > 20);
    assert_true(lost > 20);
    assert_true(torn_blocks > 20);
    assert_true(torn_sectors > 2);
}

/* Independent of each other: a later write may survive an earlier one that is lost. */
static void unsynced_writes_are_independent(void **state)
{
    int seen[2][2] = { { 0 } };
    char buf[2 * B];
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/file");
        sim_disk_sync_dir(&f.disk, f.disk.root);
        assert_int_equal(sim_data_truncate(&f.disk, inode, 2 * B), 0);
        sim_data_sync(inode, inode->change_seq);
        write_fill(&f, inode, 'a', B, 0);
        write_fill(&f, inode, 'b', B, B);
        inode = crash(&f, inode, "/file");
        assert_int_equal(read_all(inode, buf, sizeof buf), sizeof buf);
        seen[buf[0] == 'a'][buf[B] == 'b']++;
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
    for (int i = 0; i < 4; i++)
        assert_true(seen[i / 2][i % 2] > 10);
}

static void size_of_an_unsynced_append_varies(void **state)
{
    int grown = 0, same = 0, hollow = 0;
    char buf[2 * B];
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/log");
        sim_disk_sync_dir(&f.disk, f.disk.root);
        write_fill(&f, inode, 'a', B, 0);
        sim_data_sync(inode, inode->change_seq);
        write_fill(&f, inode, 'b', 100, B);
        inode = crash(&f, inode, "/log");
        size_t n = read_all(inode, buf, sizeof buf);
        assert_true(n == B || n == B + 100);
        same += n == B;
        grown += n > B && buf[B] == 'b';
        hollow += n > B && buf[B] == 0;
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
    assert_true(grown > 20);
    assert_true(same > 20);
    assert_true(hollow > 2);
}

/* A file system with a journal never shows new bytes in blocks that a lost truncation still holds.
 */
static void writes_after_a_lost_truncation_are_lost(void **state)
{
    int old = 0, cut = 0, fresh = 0;
    char buf[2 * B];
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/file");
        sim_disk_sync_dir(&f.disk, f.disk.root);
        write_fill(&f, inode, 'a', 2 * B, 0);
        sim_data_sync(inode, inode->change_seq);
        assert_int_equal(sim_data_truncate(&f.disk, inode, 0), 0);
        write_fill(&f, inode, 'b', B, 0);
        inode = crash(&f, inode, "/file");
        size_t n = read_all(inode, buf, sizeof buf);
        assert_true(n == 0 || n == B || n == 2 * B);
        if (n == 2 * B) assert_true(buf[0] == 'a' && buf[B] == 'a');
        if (n == B) assert_true(buf[0] == 'b' || buf[0] == 0);
        old += n == 2 * B;
        cut += n == 0;
        fresh += n == B && buf[0] == 'b';
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
    assert_true(old > 20);
    assert_true(cut > 10);
    assert_true(fresh > 20);
}

/* After a failed sync a good one says nothing about what the first one dropped. */
static void failed_sync_may_drop_for_good(void **state)
{
    int kept = 0, dropped = 0;
    char buf[B];
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/file");
        sim_disk_sync_dir(&f.disk, f.disk.root);
        write_fill(&f, inode, 'a', B, 0);
        sim_data_sync_fail(&f.disk, inode);
        assert_int_equal(read_all(inode, buf, B), B); /* still in the cache */
        sim_data_sync(inode, inode->change_seq);
        inode = crash(&f, inode, "/file");
        bool is_kept = read_all(inode, buf, B) == B && buf[0] == 'a';
        kept += is_kept;
        dropped += !is_kept;
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
    assert_true(kept > 20);
    assert_true(dropped > 20);
}

/* ---- what a crash leaves of names ---- */

static void names_survive_in_order(void **state)
{
    enum { COUNT = 6 };
    int seen[COUNT + 1] = { 0 };
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        int count = 0;
        setup(&f, seed, 0);
        assert_int_equal(sim_disk_make_dir(&f.disk, "/d"), 0);
        sim_disk_sync_dir(&f.disk, f.disk.root);
        for (int i = 0; i < COUNT; i++) {
            char path[32];
            snprintf(path, sizeof path, "/d/%d", i);
            struct sim_inode *inode = open_file(&f, path);
            write_fill(&f, inode, 'a', 10, 0);
            sim_data_sync(inode, inode->change_seq); /* of the data: says nothing about the name */
            sim_disk_close(&f.disk, inode);
        }
        sim_disk_crash(&f.disk);
        bool is_ended = false;
        for (int i = 0; i < COUNT; i++) {
            char path[32], buf[20];
            struct sim_inode *inode;
            snprintf(path, sizeof path, "/d/%d", i);
            int r = sim_disk_find(&f.disk, path, &inode);
            assert_true(r == 0 ? !is_ended : r == error_from_errno(ENOENT));
            is_ended |= r < 0;
            count += r == 0;
            if (r == 0) assert_int_equal(read_all(inode, buf, sizeof buf), 10);
        }
        seen[count]++;
        sim_disk_done(&f.disk);
    }
    assert_true(seen[0] > 20);
    assert_true(seen[COUNT] > 20);
    assert_true(seen[3] > 0);
}

static void synced_names_survive(void **state)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        struct sim_inode *inode, *dir;
        setup(&f, seed, 0);
        assert_int_equal(sim_disk_make_dir(&f.disk, "/d"), 0);
        sim_disk_sync_dir(&f.disk, f.disk.root);
        sim_disk_close(&f.disk, open_file(&f, "/d/kept"));
        sim_disk_close(&f.disk, open_file(&f, "/d/old"));
        assert_int_equal(sim_disk_find(&f.disk, "/d", &dir), 0);
        sim_disk_sync_dir(&f.disk, dir);
        assert_int_equal(sim_disk_unlink(&f.disk, "/d/old"), 0);
        sim_disk_crash(&f.disk);
        assert_int_equal(sim_disk_find(&f.disk, "/d/kept", &inode), 0);
        sim_disk_done(&f.disk);
    }
}

/* The usual atomic replacement, with and without the sync before the rename. */
static void replacement_is_atomic_if_synced(void **state)
{
    int old = 0, fresh = 0, empty = 0;
    for (uint64_t seed = 1; seed <= 2 * SEED_COUNT; seed++) {
        struct fixture f;
        char buf[20] = { 0 };
        bool is_careful = seed % 2;
        setup(&f, seed, 0);
        struct sim_inode *inode = open_file(&f, "/conf");
        write_fill(&f, inode, 'a', 10, 0);
        sim_data_sync(inode, inode->change_seq);
        sim_disk_close(&f.disk, inode);
        sim_disk_sync_dir(&f.disk, f.disk.root);
        inode = open_file(&f, "/conf.tmp");
        write_fill(&f, inode, 'b', 10, 0);
        if (is_careful) sim_data_sync(inode, inode->change_seq);
        sim_disk_close(&f.disk, inode);
        assert_int_equal(sim_disk_rename(&f.disk, "/conf.tmp", "/conf"), 0);
        inode = crash(&f, NULL, "/conf");
        size_t n = read_all(inode, buf, sizeof buf);
        if (is_careful) assert_true(n == 10 && (buf[0] == 'a' || buf[0] == 'b'));
        old += buf[0] == 'a';
        fresh += buf[0] == 'b';
        empty += n == 0 || buf[0] == 0;
        sim_disk_close(&f.disk, inode);
        sim_disk_done(&f.disk);
    }
    assert_true(old > 20);
    assert_true(fresh > 20);
    assert_true(empty > 20);
}

static void renames_between_directories_are_whole(void **state)
{
    int moved = 0, stayed = 0;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        struct sim_inode *inode;
        setup(&f, seed, 0);
        assert_int_equal(sim_disk_make_dir(&f.disk, "/a"), 0);
        assert_int_equal(sim_disk_make_dir(&f.disk, "/b"), 0);
        sim_disk_sync_dir(&f.disk, f.disk.root);
        sim_disk_close(&f.disk, open_file(&f, "/a/f"));
        assert_int_equal(sim_disk_find(&f.disk, "/a", &inode), 0);
        sim_disk_sync_dir(&f.disk, inode);
        sim_disk_close(&f.disk, open_file(&f, "/b/other"));
        assert_int_equal(sim_disk_rename(&f.disk, "/a/f", "/b/f"), 0);
        sim_disk_crash(&f.disk);
        bool in_a = sim_disk_find(&f.disk, "/a/f", &inode) == 0;
        bool in_b = sim_disk_find(&f.disk, "/b/f", &inode) == 0;
        assert_int_equal(in_a + in_b, 1);
        /* What came before in the same directory is there too. */
        if (in_b) assert_int_equal(sim_disk_find(&f.disk, "/b/other", &inode), 0);
        moved += in_b;
        stayed += in_a;
        sim_disk_done(&f.disk);
    }
    assert_true(moved > 20);
    assert_true(stayed > 20);
}

static void lost_directories_take_their_files(void **state)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fixture f;
        struct sim_inode *inode;
        setup(&f, seed, 0);
        assert_int_equal(sim_disk_make_dir(&f.disk, "/d"), 0);
        assert_int_equal(sim_disk_make_dir(&f.disk, "/d/e"), 0);
        struct sim_inode *file = open_file(&f, "/d/e/f");
        write_fill(&f, file, 'a', 3 * B, 0);
        sim_data_sync(file, file->change_seq);
        sim_disk_close(&f.disk, file);
        assert_int_equal(sim_disk_find(&f.disk, "/d/e", &inode), 0);
        sim_disk_sync_dir(&f.disk, inode);
        sim_disk_crash(&f.disk);
        bool is_lost = sim_disk_find(&f.disk, "/d/e/f", &inode) < 0;
        assert_int_equal(f.disk.used_blocks, is_lost ? 0 : 3);
        lost += is_lost;
        sim_disk_done(&f.disk);
    }
    assert_true(lost > 20);
    assert_true(lost < SEED_COUNT - 20);
}

static void names_behave_as_posix(void **state)
{
    static const struct {
        char op;
        const char *a, *b;
        int eno;
    } cases[] = {
        { 'm', "/d", NULL, 0 },           { 'm', "/d", NULL, 0 },
        { 'o', "/d/f", NULL, 0 },         { 'm', "/d/f", NULL, EEXIST },
        { 'o', "/d/f/x", NULL, ENOTDIR }, { 'o', "/no/x", NULL, ENOENT },
        { 'o', "/d", NULL, EISDIR },      { 'u', "/d", NULL, EISDIR },
        { 'u', "/d/no", NULL, ENOENT },   { 'r', "/d/no", "/d/x", ENOENT },
        { 'r', "/d/f", "/d/f", 0 },       { 'r', "/d", "/d/f", ENOTDIR },
        { 'r', "/d/f", "/d", EISDIR },    { 'm', "/e", NULL, 0 },
        { 'r', "/e", "/d", ENOTEMPTY },   { 'm', "/e/s", NULL, 0 },
        { 'r', "/e", "/e/s/t", EINVAL },  { 'r', "/d/f", "/e/s/f", 0 },
        { 'u', "/d/f", NULL, ENOENT },    { 'r', "/e/s", "/d", 0 },
        { 'u', "//d/./f", NULL, 0 },      { 'o', "/d/../x", NULL, EINVAL },
        { 'r', "/", "/d/x", EBUSY },
    };
    struct fixture f;
    setup(&f, 1, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct sim_inode *inode = NULL;
        int r = -1;
        switch (cases[i].op) {
        case 'm': r = sim_disk_make_dir(&f.disk, cases[i].a); break;
        case 'o': r = sim_disk_open(&f.disk, cases[i].a, O_RDWR | O_CREAT, &inode); break;
        case 'u': r = sim_disk_unlink(&f.disk, cases[i].a); break;
        case 'r': r = sim_disk_rename(&f.disk, cases[i].a, cases[i].b); break;
        default: break;
        }
        if (r != error_from_errno(cases[i].eno)) fail_msg("case %zu: %d", i, r);
        if (inode) sim_disk_close(&f.disk, inode);
    }
    sim_disk_done(&f.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_follow_a_bitmap),
        cmocka_unit_test(contents_follow_a_flat_buffer),
        cmocka_unit_test(sparse_files_cost_what_is_written),
        cmocka_unit_test(space_ends),
        cmocka_unit_test(synced_data_survives),
        cmocka_unit_test(unsynced_data_is_kept_lost_or_torn),
        cmocka_unit_test(unsynced_writes_are_independent),
        cmocka_unit_test(size_of_an_unsynced_append_varies),
        cmocka_unit_test(writes_after_a_lost_truncation_are_lost),
        cmocka_unit_test(failed_sync_may_drop_for_good),
        cmocka_unit_test(names_survive_in_order),
        cmocka_unit_test(synced_names_survive),
        cmocka_unit_test(replacement_is_atomic_if_synced),
        cmocka_unit_test(renames_between_directories_are_whole),
        cmocka_unit_test(lost_directories_take_their_files),
        cmocka_unit_test(names_behave_as_posix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
