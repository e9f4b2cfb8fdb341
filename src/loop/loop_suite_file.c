/* loop_suite_file.c - cases of files, directories and whole-file replacement. */
#include "base/arena.h"
#include "loop/file.h"
#include "loop/loop_suite.h"

#include <errno.h>
#include <string.h>

enum { PATH_SIZE = 512 };
#define BLOCK 4096ul

static struct file *open_new(const struct loop_suite *s, const char *name, int flags)
{
    char path[PATH_SIZE];
    struct file *file = NULL;
    loop_suite_path(s, name, path, sizeof(path));
    EXPECT_EQUAL(file_open(s->node, path, O_RDWR | O_CREAT | O_TRUNC | flags, 0644, &file), 0);
    return file;
}

static void unlink_name(const struct loop_suite *s, const char *name)
{
    char path[PATH_SIZE];
    EXPECT_EQUAL(path_unlink(s->node, loop_suite_path(s, name, path, sizeof(path))), 0);
}

static uint64_t size_of(struct file *file)
{
    uint64_t size = 0;
    EXPECT_EQUAL(file_size(file, &size), 0);
    return size;
}

static void case_read_write(const struct loop_suite *s)
{
    enum { SIZE = 10000 };
    uint8_t data[SIZE], back[SIZE + 100];
    cleanup_(file_closep) struct file *file = open_new(s, "rw", 0);

    loop_suite_fill(data, SIZE, 1, 0);
    EXPECT_EQUAL(file_read(file, back, sizeof(back), 0), 0);
    EXPECT_EQUAL(file_write(file, data, SIZE, 0), 0);
    EXPECT_EQUAL(size_of(file), SIZE);
    EXPECT_EQUAL(file_read(file, back, SIZE, 0), SIZE);
    EXPECT(memcmp(back, data, SIZE) == 0);
    EXPECT_EQUAL(file_read(file, back, sizeof(back), 0), SIZE); /* short at the end */
    EXPECT_EQUAL(file_read(file, back, 100, SIZE - 30), 30);
    EXPECT(memcmp(back, data + SIZE - 30, 30) == 0);
    EXPECT_EQUAL(file_read(file, back, 100, SIZE), 0);
    EXPECT_EQUAL(file_read(file, back, 100, SIZE + 1000000), 0);
    EXPECT_EQUAL(file_read(file, back, 0, 0), 0);
    EXPECT_EQUAL(file_write(file, "xyz", 3, 4000), 0);
    EXPECT_EQUAL(file_read(file, back, 5, 3999), 5);
    EXPECT(back[0] == data[3999] && memcmp(back + 1, "xyz", 3) == 0 && back[4] == data[4003]);
    EXPECT_EQUAL(file_write(file, "end", 3, 20000), 0); /* leaves a hole */
    EXPECT_EQUAL(file_read(file, back, 1000, 19100), 903);
    EXPECT(back[0] == 0 && back[899] == 0 && memcmp(back + 900, "end", 3) == 0);
    EXPECT_EQUAL(file_write(file, NULL, 0, 50000), 0);
    EXPECT_EQUAL(size_of(file), 20003);
    EXPECT_EQUAL(file_sync(file), 0);
    struct iovec halves[] = { { data, SIZE / 2 }, { data + SIZE / 2, SIZE / 2 } };
    EXPECT_EQUAL(file_writev_durable(file, halves, 2, 30000), 0);
    EXPECT_EQUAL(file_read(file, back, SIZE, 30000), SIZE);
    EXPECT(memcmp(back, data, SIZE) == 0);
    file_close(TAKE_PTR(file));
    unlink_name(s, "rw");
}

/* More pieces than one system call takes, some empty. */
static void case_vectors(const struct loop_suite *s)
{
    enum { COUNT = 1500 };
    const size_t piece = 7, data_size = COUNT * piece;
    uint8_t *data = xmalloc(data_size);
    struct iovec *iov = xcalloc(COUNT, sizeof(*iov));
    cleanup_(file_closep) struct file *file = open_new(s, "vec", 0);
    size_t size = 0;

    loop_suite_fill(data, data_size, 2, 0);
    for (size_t i = 0; i < COUNT; i++) {
        iov[i] = (struct iovec){ data + size, i % 5 == 0 ? 0 : 1 + i % piece };
        size += iov[i].iov_len;
    }
    EXPECT_EQUAL(file_writev(file, iov, COUNT, 100), 0);
    EXPECT_EQUAL(size_of(file), 100 + size);
    memset(data, 0, data_size);
    EXPECT_EQUAL(file_readv(file, iov, COUNT, 100), size);
    loop_suite_expect_pattern(data, size, 2, 0);
    EXPECT_EQUAL(file_readv(file, iov, COUNT, 110), size - 10);
    loop_suite_expect_pattern(data, size - 10, 2, 10);
    file_close(TAKE_PTR(file));
    unlink_name(s, "vec");
    free(data);
    free(iov);
}

static void case_truncate(const struct loop_suite *s)
{
    uint8_t data[BLOCK * 4], back[BLOCK * 4];
    cleanup_(file_closep) struct file *file = open_new(s, "trunc", 0);

    loop_suite_fill(data, sizeof(data), 3, 0);
    EXPECT_EQUAL(file_write(file, data, sizeof(data), 0), 0);
    EXPECT_EQUAL(file_truncate(file, 5000), 0);
    EXPECT_EQUAL(size_of(file), 5000);
    EXPECT_EQUAL(file_truncate(file, 9000), 0);
    EXPECT_EQUAL(file_read(file, back, sizeof(back), 0), 9000);
    EXPECT(memcmp(back, data, 5000) == 0);
    for (size_t i = 5000; i < 9000; i++) {
        EXPECT_EQUAL(back[i], 0);
    }
    EXPECT_EQUAL(file_write(file, data, sizeof(data), 0), 0);
    EXPECT_EQUAL(file_punch_hole(file, BLOCK, BLOCK), 0);
    EXPECT_EQUAL(size_of(file), sizeof(data));
    EXPECT_EQUAL(file_read(file, back, sizeof(back), 0), sizeof(back));
    for (size_t i = 0; i < sizeof(back); i++) {
        EXPECT_EQUAL(back[i], i / BLOCK == 1 ? 0 : data[i]);
    }
    EXPECT_EQUAL(file_allocate(file, 0, 10 * BLOCK), 0);
    EXPECT_EQUAL(size_of(file), 10 * BLOCK);
    EXPECT_EQUAL(file_read(file, back, 100, 9 * BLOCK), 100);
    EXPECT_EQUAL(back[50], 0);
    file_close(TAKE_PTR(file));
    unlink_name(s, "trunc");
}

static void case_open_flags(const struct loop_suite *s)
{
    char path[PATH_SIZE];
    struct file *file = NULL;
    loop_suite_path(s, "flags", path, sizeof(path));
    EXPECT_EQUAL(file_open(s->node, path, O_RDONLY, 0, &file), error_from_errno(ENOENT));
    EXPECT(file == NULL);
    EXPECT_EQUAL(file_open(s->node, path, O_RDWR | O_CREAT | O_EXCL, 0600, &file), 0);
    EXPECT_EQUAL(file_write(file, "abc", 3, 0), 0);
    file_close(TAKE_PTR(file));
    EXPECT_EQUAL(file_open(s->node, path, O_RDWR | O_CREAT | O_EXCL, 0600, &file),
                 error_from_errno(EEXIST));
    EXPECT_EQUAL(file_open(s->node, path, O_RDONLY, 0, &file), 0);
    EXPECT_EQUAL(size_of(file), 3);
    EXPECT_EQUAL(file_write(file, "x", 1, 0), error_from_errno(EBADF));
    file_close(TAKE_PTR(file));
    EXPECT_EQUAL(file_open(s->node, path, O_RDWR | O_TRUNC, 0, &file), 0);
    EXPECT_EQUAL(size_of(file), 0);
    file_close(TAKE_PTR(file));
    EXPECT(file_close(NULL) == NULL);
    unlink_name(s, "flags");
}

static void case_direct(const struct loop_suite *s)
{
    enum { SIZE = 4 * BLOCK };
    uint8_t *data = NULL;
    EXPECT_EQUAL(posix_memalign((void **)&data, BLOCK, SIZE), 0);
    cleanup_(file_closep) struct file *file = open_new(s, "direct", O_DIRECT);

    loop_suite_fill(data, SIZE, 4, 0);
    EXPECT_EQUAL(file_write(file, data, SIZE, BLOCK), 0);
    EXPECT_EQUAL(file_sync(file), 0);
    memset(data, 0, SIZE);
    EXPECT_EQUAL(file_read(file, data, SIZE, BLOCK), SIZE);
    loop_suite_expect_pattern(data, SIZE, 4, 0);
    /* An end that is not aligned: the read is short and no error. */
    EXPECT_EQUAL(file_truncate(file, BLOCK + 5000), 0);
    memset(data, 0, SIZE);
    EXPECT_EQUAL(file_read(file, data, SIZE, BLOCK), 5000);
    loop_suite_expect_pattern(data, 5000, 4, 0);
    EXPECT_EQUAL(file_read(file, data, SIZE, 4 * BLOCK), 0);
    file_close(TAKE_PTR(file));
    unlink_name(s, "direct");
    free(data);
}

static void case_lock(const struct loop_suite *s)
{
    char path[PATH_SIZE];
    struct file *other = NULL;
    struct file *file = open_new(s, "lock", 0);
    loop_suite_path(s, "lock", path, sizeof(path));
    EXPECT_EQUAL(file_open(s->node, path, O_RDWR, 0, &other), 0);
    EXPECT_EQUAL(file_try_lock(file), 0);
    EXPECT_EQUAL(file_try_lock(file), 0);
    EXPECT_EQUAL(file_try_lock(other), -ERR_BUSY);
    file_close(TAKE_PTR(file));
    EXPECT_EQUAL(file_try_lock(other), 0);
    file_close(other);
    unlink_name(s, "lock");
}

static void case_directories(const struct loop_suite *s)
{
    static const char *const names[] = { "b", "a", "z9", "z10", "ab" };
    static const char *const sorted[] = { "a", "ab", "b", "z10", "z9" };
    char dir[PATH_SIZE], path[PATH_SIZE * 2], to[PATH_SIZE * 2];
    char **list = NULL;
    size_t count = 0;
    struct loop_suite sub = *s;

    sub.dir = loop_suite_path(s, "dir", dir, sizeof(dir));
    EXPECT(!path_exists(s->node, dir));
    EXPECT_EQUAL(dir_list(s->node, dir, &list, &count), error_from_errno(ENOENT));
    EXPECT_EQUAL(dir_make(s->node, dir, 0755), 0);
    EXPECT_EQUAL(dir_make(s->node, dir, 0755), 0);
    EXPECT(path_exists(s->node, dir));
    EXPECT_EQUAL(dir_list(s->node, dir, &list, &count), 0);
    EXPECT_EQUAL(count, 0);
    names_free(list, count);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        file_close(open_new(&sub, names[i], 0));
    }
    EXPECT_EQUAL(dir_sync(s->node, dir), 0);
    EXPECT_EQUAL(dir_list(s->node, dir, &list, &count), 0);
    EXPECT_EQUAL(count, ARRAY_SIZE(sorted));
    for (size_t i = 0; i < count; i++) {
        EXPECT(strcmp(list[i], sorted[i]) == 0);
    }
    names_free(list, count);

    EXPECT_EQUAL(dir_make(s->node, loop_suite_path(&sub, "a", path, sizeof(path)), 0755),
                 error_from_errno(EEXIST)); /* there, but no directory */
    loop_suite_path(&sub, "b", to, sizeof(to));
    EXPECT_EQUAL(path_rename(s->node, path, to), 0); /* over an existing name */
    EXPECT(!path_exists(s->node, path));
    EXPECT_EQUAL(path_rename(s->node, path, to), error_from_errno(ENOENT));
    EXPECT_EQUAL(path_unlink(s->node, path), error_from_errno(ENOENT));
    for (size_t i = 1; i < ARRAY_SIZE(sorted); i++) {
        EXPECT_EQUAL(path_unlink(s->node, loop_suite_path(&sub, sorted[i], path, sizeof(path))), 0);
    }
    EXPECT_EQUAL(dir_list(s->node, dir, &list, &count), 0);
    EXPECT_EQUAL(count, 0);
    names_free(list, count);

    struct disk_space space, sub_space;
    EXPECT_EQUAL(path_space(s->node, s->dir, &space), 0);
    EXPECT_EQUAL(path_space(s->node, dir, &sub_space), 0);
    EXPECT(space.capacity_bytes >= space.free_bytes);
    EXPECT(space.free_bytes > 0);
    EXPECT_EQUAL(space.device, sub_space.device);
    EXPECT_EQUAL(path_space(s->node, path, &space), error_from_errno(ENOENT));
}

static void case_whole_files(const struct loop_suite *s)
{
    char path[PATH_SIZE], temporary[PATH_SIZE + 8];
    char *text = NULL;
    size_t size = 0;
    loop_suite_path(s, "whole", path, sizeof(path));
    loop_suite_path(s, "whole.tmp", temporary, sizeof(temporary));
    EXPECT_EQUAL(file_read_all(s->node, path, 100, &text, &size), error_from_errno(ENOENT));
    EXPECT_EQUAL(file_replace(s->node, path, "first", 5, 0600), 0);
    EXPECT_EQUAL(file_replace(s->node, path, "second", 6, 0600), 0);
    EXPECT_EQUAL(file_read_all(s->node, path, 100, &text, &size), 0);
    EXPECT(size == 6 && strcmp(text, "second") == 0);
    free(text);
    EXPECT_EQUAL(file_read_all(s->node, path, 5, &text, &size), error_from_errno(EFBIG));
    EXPECT(!path_exists(s->node, temporary));
    EXPECT_EQUAL(file_replace(s->node, path, "", 0, 0600), 0);
    EXPECT_EQUAL(file_read_all(s->node, path, 100, &text, NULL), 0);
    EXPECT_EQUAL(text[0], 0);
    free(text);
    unlink_name(s, "whole");

    char missing[PATH_SIZE];
    loop_suite_path(s, "no/such/dir", missing, sizeof(missing));
    EXPECT_EQUAL(file_replace(s->node, missing, "x", 1, 0600), error_from_errno(ENOENT));
}

/* ---- many at once ---- */

struct region {
    struct file *file;
    uint64_t number;
};

static int region_fiber(void *arg)
{
    const struct region *region = arg;
    uint8_t data[BLOCK], back[BLOCK];
    uint64_t offset = region->number * BLOCK;
    for (uint64_t round = 0; round < 8; round++) {
        loop_suite_fill(data, BLOCK, round, offset);
        EXPECT_EQUAL(file_write(region->file, data, BLOCK, offset), 0);
        if (round == 4) EXPECT_EQUAL(file_sync(region->file), 0);
        EXPECT_EQUAL(file_read(region->file, back, BLOCK, offset), BLOCK);
        loop_suite_expect_pattern(back, BLOCK, round, offset);
    }
    return 0;
}

static void case_parallel_files(const struct loop_suite *s)
{
    enum { COUNT = 64 };
    struct region regions[COUNT];
    struct file *file = open_new(s, "parallel", 0);
    {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        for (uint64_t i = 0; i < COUNT; i++) {
            regions[i] = (struct region){ file, i };
            EXPECT_EQUAL(fiber_spawn(&scope, "region", region_fiber, &regions[i]), 0);
        }
        EXPECT_EQUAL(scope_wait(&scope), 0);
    }
    EXPECT_EQUAL(size_of(file), COUNT * BLOCK);
    file_close(file);
    unlink_name(s, "parallel");
}

/* Cancelled in the middle: every call ends whole or with -ERR_CANCELED, and nothing writes to our
 * memory after. */
static int cancelled_fiber(void *arg)
{
    const struct region *region = arg;
    uint8_t data[BLOCK] __attribute__((aligned(BLOCK))); /* on the stack: the kernel may hold it */
    for (;;) {
        memset(data, (int)region->number, BLOCK);
        int r = file_write(region->file, data, BLOCK, region->number * BLOCK);
        if (r >= 0) r = file_sync(region->file);
        ssize_t n = r < 0 ? r : file_read(region->file, data, BLOCK, region->number * BLOCK);
        if (n < 0) {
            EXPECT_EQUAL(n, -ERR_CANCELED);
            return (int)n;
        }
        EXPECT_EQUAL(n, BLOCK);
        EXPECT(data[0] == (uint8_t)region->number && data[BLOCK - 1] == (uint8_t)region->number);
        fiber_yield();
        if (fiber_is_cancelled()) return -ERR_CANCELED;
    }
}

static void cancel_files(const struct loop_suite *s, int flags)
{
    enum { COUNT = 40 };
    struct region regions[COUNT];
    struct file *file = open_new(s, "cancelled", flags);
    for (uint64_t round = 0; round < 5; round++) {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        for (uint64_t i = 0; i < COUNT; i++) {
            regions[i] = (struct region){ file, i };
            EXPECT_EQUAL(fiber_spawn(&scope, "cancelled", cancelled_fiber, &regions[i]), 0);
        }
        EXPECT_EQUAL(fiber_sleep(round * 3 * MSEC), 0);
    }
    file_close(file);
    unlink_name(s, "cancelled");
}

static void case_cancel_files(const struct loop_suite *s)
{
    cancel_files(s, 0);
}

static void case_cancel_direct_files(const struct loop_suite *s)
{
    cancel_files(s, O_DIRECT);
}

/* A fiber whose reads all come from memory leaves the others their turns. */
static int endless_reader_fiber(void *arg)
{
    uint8_t data[BLOCK];
    for (;;) {
        ssize_t n = file_read(arg, data, BLOCK, 0);
        if (n < 0) return (int)n; /* also of a cancelled fiber that never has to wait */
    }
}

static void case_fair_reads(const struct loop_suite *s)
{
    uint8_t data[BLOCK] = { 0 };
    struct file *file = open_new(s, "fair", 0);
    EXPECT_EQUAL(file_write(file, data, BLOCK, 0), 0);
    {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, sched_current());
        EXPECT_EQUAL(fiber_spawn(&scope, "endless reader", endless_reader_fiber, file), 0);
        for (int i = 0; i < 10; i++) {
            EXPECT_EQUAL(fiber_sleep(MSEC), 0);
            EXPECT_EQUAL(file_sync(file), 0);
        }
    }
    file_close(file);
    unlink_name(s, "fair");
}

const struct loop_suite_case loop_suite_file_cases[] = {
    { "read and write", case_read_write },
    { "vectors", case_vectors },
    { "truncate", case_truncate },
    { "open flags", case_open_flags },
    { "direct", case_direct },
    { "lock", case_lock },
    { "directories", case_directories },
    { "whole files", case_whole_files },
    { "parallel files", case_parallel_files },
    { "cancel files", case_cancel_files },
    { "cancel direct files", case_cancel_direct_files },
    { "fair reads", case_fair_reads },
    { 0 },
};
