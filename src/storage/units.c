/* units.c - see units.h.
 *
 * Growth is one fiber at a time, behind a mutex; taking units without growth never suspends. A file
 * of units is marked dirty when a write to it has returned; the sync fiber clears the mark before
 * it syncs, so a write that returns meanwhile is covered by the next round.
 */
#include "storage/units.h"
#include "base/arena.h"
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/fault.h"
#include "storage/chunk_store_lock.h"
#include "storage/units_bits.h"

#include <errno.h>
#include <string.h>

enum {
    UNIT_FILE_COUNT_MAX = 1 << 18, /* unit numbers have 32 bits */
    GROW_UNITS = 1024,             /* 64 MiB at a time while there is space */
    PIECES_MAX_EARLY =
        8, /* into so many pieces a request is broken rather than growing the files */
};

struct unit_file {
    struct file *file;
    bool is_dirty;
    struct unit_bits bits;
};

struct units {
    struct node *node;
    char *path;
    uint64_t reserve_bytes, capacity_bytes;
    struct unit_file **files;
    uint32_t file_count;
    uint64_t total_count, free_count;
    uint32_t cursor_file, cursor_unit; /* where the last allocation ended */
    struct fiber_mutex growing;
    /* group sync */
    uint64_t sync_wanted, sync_done, sync_count;
    int failure;
    struct wait_queue sync_asked, sync_ended;
};

/* ---- files ---- */

static int unit_file_add(struct units *u, struct file *file, uint64_t size)
{
    struct unit_file *f = new_zero(struct unit_file);
    f->file = file;
    unit_bits_grow(&f->bits, (uint32_t)MIN_OF(size / UNIT_BYTES, (uint64_t)UNIT_FILE_UNITS));
    u->files = xrealloc(u->files, (u->file_count + 1) * sizeof(struct unit_file *));
    u->files[u->file_count++] = f;
    u->total_count += f->bits.unit_count;
    u->free_count += f->bits.unit_count;
    return 0;
}

static int unit_file_open(struct units *u, uint32_t number, int flags)
{
    cleanup_(freep) char *name = NULL;
    if (asprintf(&name, "%s/units-%04u", u->path, number) < 0) return -ERR_NO_MEMORY;
    cleanup_(file_closep) struct file *file = NULL;
    int r = file_open(u->node, name, O_RDWR | O_DIRECT | flags, 0600, &file);
    if (r < 0) return r;
    r = disk_lock(file);
    if (r < 0) return r;
    uint64_t size;
    r = file_size(file, &size);
    /* before it counts: the caller's time may end here, and the next one finds the file in use */
    if (r >= 0 && (flags & O_CREAT)) r = dir_sync(u->node, u->path);
    if (r < 0) return r;
    return unit_file_add(u, TAKE_PTR(file), size);
}

int units_open(const struct units_options *options, struct units **ret)
{
    cleanup_(units_freep) struct units *u = new_zero(struct units);
    u->node = options->node;
    u->path = xstrdup(options->path);
    u->reserve_bytes = options->reserve_bytes;
    u->capacity_bytes = options->capacity_bytes;
    fiber_mutex_init(&u->growing);
    wait_queue_init(&u->sync_asked);
    wait_queue_init(&u->sync_ended);
    int r = 0;
    for (uint32_t number = 0; r >= 0 && number < UNIT_FILE_COUNT_MAX; number++) {
        r = unit_file_open(u, number, 0);
    }
    if (r < 0 && r != error_from_errno(ENOENT)) return r;
    *ret = TAKE_PTR(u);
    return 0;
}

struct units *units_free(struct units *u)
{
    if (!u) return NULL;
    for (uint32_t i = 0; i < u->file_count; i++) {
        file_close(u->files[i]->file);
        free(u->files[i]);
    }
    free(u->files);
    free(u->path);
    free(u);
    return NULL;
}

/* ---- space ---- */

/* Bytes by which the files may still grow. */
static int growth_room(struct units *u, struct disk_space *space, uint64_t *ret)
{
    int r = path_space(u->node, u->path, space);
    if (r < 0) return r;
    uint64_t room = space->free_bytes > u->reserve_bytes ? space->free_bytes - u->reserve_bytes : 0;
    if (u->capacity_bytes) {
        uint64_t total = u->total_count * UNIT_BYTES;
        room = MIN_OF(room, u->capacity_bytes > total ? u->capacity_bytes - total : 0);
    }
    *ret = room / UNIT_BYTES * UNIT_BYTES;
    return 0;
}

int units_space(struct units *u, struct units_space *ret)
{
    struct disk_space space;
    uint64_t room;
    int r = growth_room(u, &space, &room);
    if (r < 0) return r;
    uint64_t reserve = MIN_OF(u->reserve_bytes, space.capacity_bytes);
    uint64_t capacity = space.capacity_bytes - reserve;
    if (u->capacity_bytes) capacity = MIN_OF(capacity, u->capacity_bytes);
    *ret = (struct units_space){ .capacity_bytes = capacity,
                                 .free_bytes = u->free_count * UNIT_BYTES + room,
                                 .device = space.device };
    return 0;
}

/* Makes the last file longer by up to @count units. */
static int file_grow(struct units *u, struct unit_file *f, uint32_t count)
{
    uint64_t offset = (uint64_t)f->bits.unit_count * UNIT_BYTES;
    uint64_t size = (uint64_t)count * UNIT_BYTES;
    int r = file_allocate(f->file, offset, size);
    if (r == -ERR_NOT_SUPPORTED) r = file_truncate(f->file, offset + size);
    if (r < 0) return r;
    unit_bits_grow(&f->bits, count);
    u->total_count += count;
    u->free_count += count;
    return 0;
}

static int grow_locked(struct units *u, uint32_t count)
{
    struct disk_space space;
    uint64_t room;
    int r = growth_room(u, &space, &room);
    if (r < 0) return r;
    if (room / UNIT_BYTES < 1) return -ERR_NO_SPACE;
    if (u->file_count == 0 || u->files[u->file_count - 1]->bits.unit_count == UNIT_FILE_UNITS) {
        if (u->file_count == UNIT_FILE_COUNT_MAX) return -ERR_NO_SPACE;
        r = unit_file_open(u, u->file_count, O_CREAT);
        if (r < 0) return r;
    }
    struct unit_file *f = u->files[u->file_count - 1];
    uint64_t step = MAX_OF((uint64_t)GROW_UNITS, (uint64_t)count);
    step = MIN_OF(step, (uint64_t)UNIT_FILE_UNITS - f->bits.unit_count);
    step = MIN_OF(step, room / UNIT_BYTES);
    r = step ? file_grow(u, f, (uint32_t)step) : 0;
    return r;
}

/* Adds units, at most about GROW_UNITS; they may be fewer than @count, or not in one run. */
static int grow(struct units *u, uint32_t count)
{
    uint64_t total = u->total_count;
    int r = fiber_mutex_lock(&u->growing);
    if (r < 0) return r;
    r = u->total_count == total ? grow_locked(u, count) : 0; /* another fiber was first */
    fiber_mutex_unlock(&u->growing);
    return r;
}

/* ---- taking and giving ---- */

static bool units_are(const struct units *u, uint32_t unit, uint32_t count, bool is_taken)
{
    uint32_t file = unit / UNIT_FILE_UNITS;
    return file < u->file_count &&
           unit_bits_are(&u->files[file]->bits, unit % UNIT_FILE_UNITS, count, is_taken);
}

int units_mark(struct units *u, uint32_t unit, uint32_t count)
{
    if (!count || !units_are(u, unit, count, false)) return -ERR_DATA_CORRUPTION;
    unit_bits_take(&u->files[unit / UNIT_FILE_UNITS]->bits, unit % UNIT_FILE_UNITS, count);
    u->free_count -= count;
    return 0;
}

static void take_at(struct units *u, uint32_t file, uint32_t at, uint32_t count,
                    struct unit_run *run)
{
    unit_bits_take(&u->files[file]->bits, at, count);
    u->free_count -= count;
    *run = (struct unit_run){ file * UNIT_FILE_UNITS + at, count };
}

/* One run: of units that were used before, from the cursor round; else of new ones. */
static bool take_run(struct units *u, uint32_t count, struct unit_run *run)
{
    for (uint32_t i = 0; i < u->file_count; i++) {
        uint32_t file = (u->cursor_file + i) % u->file_count;
        uint32_t at = unit_bits_find(&u->files[file]->bits, i ? 0 : u->cursor_unit, count);
        if (at == UINT32_MAX) continue;
        take_at(u, file, at, count, run);
        u->cursor_file = file;
        u->cursor_unit = at + count;
        return true;
    }
    for (uint32_t file = 0; file < u->file_count; file++) {
        const struct unit_bits *bits = &u->files[file]->bits;
        if (bits->unit_count - bits->mark < count) continue;
        take_at(u, file, bits->mark, count, run);
        return true;
    }
    return false;
}

/* At most @run_max runs; 0 when that cannot be, and then nothing is taken. */
static uint32_t take_pieces(struct units *u, uint32_t count, uint32_t run_max,
                            struct unit_run *runs)
{
    uint32_t run_count = 0;
    if (u->free_count < count) return 0;
    for (uint32_t file = 0; file < u->file_count && count; file++) {
        uint32_t at = 0, n;
        while (count && run_count < run_max &&
               unit_bits_piece(&u->files[file]->bits, at, count, &at, &n)) {
            take_at(u, file, at, n, &runs[run_count++]);
            count -= n;
            at += n;
        }
    }
    if (count == 0) return run_count;
    while (run_count > 0) {
        run_count--;
        units_give(u, runs[run_count].unit, runs[run_count].count);
    }
    return 0;
}

int units_take(struct units *u, uint32_t count, struct unit_run *runs)
{
    check(count > 0 && count <= CHUNK_UNIT_COUNT_MAX);
    for (;;) {
        if (take_run(u, count, runs)) return 1;
        if (u->free_count >= u->total_count / 8 && u->free_count >= 4 * (uint64_t)count) {
            uint32_t n = take_pieces(u, count, PIECES_MAX_EARLY, runs);
            if (n) return (int)n;
        }
        uint64_t total = u->total_count;
        int r = grow(u, count);
        if (r < 0 && r != -ERR_NO_SPACE) return r;
        if (u->total_count > total) continue;
        uint32_t n = take_pieces(u, count, count, runs);
        return n ? (int)n : -ERR_NO_SPACE;
    }
}

void units_give(struct units *u, uint32_t unit, uint32_t count)
{
    unit_bits_give(&u->files[unit / UNIT_FILE_UNITS]->bits, unit % UNIT_FILE_UNITS, count);
    u->free_count += count;
}

uint64_t units_free_count(const struct units *u)
{
    return u->free_count;
}

uint64_t units_total_count(const struct units *u)
{
    return u->total_count;
}

/* ---- data ---- */

/* The first error that is the disk's own fault stays. */
static int remember(struct units *u, int r)
{
    if (r < 0 && r != -ERR_CANCELED && r != -ERR_TIMEOUT && r != -ERR_NO_SPACE && !u->failure)
        u->failure = r;
    return r;
}

int units_write(struct units *u, uint32_t unit, uint64_t skip, const struct iovec *iov, int count)
{
    if (u->failure) return u->failure;
    struct unit_file *f = u->files[unit / UNIT_FILE_UNITS];
    uint64_t offset = (uint64_t)(unit % UNIT_FILE_UNITS) * UNIT_BYTES + skip;
    int r = file_writev(f->file, iov, count, offset);
    f->is_dirty = true;
    return remember(u, r);
}

int units_read(struct units *u, uint32_t unit, uint64_t skip, void *buf, size_t size)
{
    const struct unit_file *f = u->files[unit / UNIT_FILE_UNITS];
    uint64_t offset = (uint64_t)(unit % UNIT_FILE_UNITS) * UNIT_BYTES + skip;
    ssize_t n = file_read(f->file, buf, size, offset);
    if (n == -ERR_CANCELED || n == -ERR_TIMEOUT) return (int)n;
    return n == (ssize_t)size ? 0 : -ERR_CHUNK_READ_FAILED;
}

/* ---- sync ---- */

static int sync_files(struct units *u)
{
    int r = FAULT("storage.units.before_sync");
    if (r < 0) return r;
    for (uint32_t i = 0; i < u->file_count; i++) {
        struct unit_file *f = u->files[i];
        if (!f->is_dirty) continue;
        f->is_dirty = false;
        if (MUTANT(SKIP_DATA_SYNC)) continue;
        r = file_sync(f->file);
        if (r < 0) return r;
    }
    return 0;
}

static int sync_fiber(void *arg)
{
    struct units *u = arg;
    for (;;) {
        while (u->sync_wanted == u->sync_done) {
            int r = wait_queue_wait(&u->sync_asked, "data to sync");
            if (r < 0) return r;
        }
        uint64_t wanted = u->sync_wanted;
        int r = sync_files(u);
        if (r < 0 && !u->failure) u->failure = r;
        if (r >= 0) u->sync_done = wanted;
        u->sync_count++;
        wait_queue_wake_all(&u->sync_ended);
        if (r < 0) return r;
    }
}

int units_start(struct units *u, struct scope *scope)
{
    return fiber_spawn(scope, "data sync", sync_fiber, u);
}

uint64_t units_sync_begin(struct units *u)
{
    wait_queue_wake_one(&u->sync_asked);
    return ++u->sync_wanted;
}

bool units_are_synced(const struct units *u, uint64_t ticket)
{
    return u->sync_done >= ticket;
}

int units_sync_wait(struct units *u, uint64_t ticket)
{
    while (u->sync_done < ticket) {
        if (u->failure) return u->failure;
        int r = wait_queue_wait(&u->sync_ended, "data sync");
        if (r < 0) return r;
    }
    return 0;
}

int units_sync(struct units *u)
{
    return units_sync_wait(u, units_sync_begin(u));
}

int units_sync_all(struct units *u)
{
    for (uint32_t i = 0; i < u->file_count; i++) {
        int r = file_sync(u->files[i]->file);
        if (r < 0) return r;
    }
    return 0;
}

bool units_exist(const struct units *u, uint32_t unit, uint32_t count)
{
    uint32_t file = unit / UNIT_FILE_UNITS;
    return file < u->file_count &&
           unit % UNIT_FILE_UNITS + count <= u->files[file]->bits.unit_count;
}

uint64_t units_sync_count(const struct units *u)
{
    return u->sync_count;
}

int units_failure(const struct units *u)
{
    return u->failure;
}
