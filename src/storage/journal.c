/* journal.c - see journal.h: appending and the fiber that writes. Reading back is in
 * journal_replay.c. */
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"
#include "storage/chunk_store_lock.h"
#include "storage/journal_internal.h"
#include "storage/shard_memory.h"

#include <string.h>

enum { JOURNAL_STEP_BYTES = 4 << 20, JOURNAL_WAITING_BYTES_MAX = 8 << 20 };
#define FLUSH_LAZY_NS (100 * MSEC)

static const char *const journal_names[] = { "journal-A", "journal-B" };

/* ---- files ---- */

static int open_file(const struct journal_options *options, int file, int flags, struct file **ret)
{
    cleanup_(freep) char *path = NULL;
    if (asprintf(&path, "%s/%s", options->path, journal_names[file]) < 0) return -ERR_NO_MEMORY;
    return file_open(options->node, path, O_RDWR | O_DIRECT | flags, 0600, ret);
}

static int write_header(struct file *file, const struct journal_options *options, uint64_t epoch,
                        uint64_t nonce, uint64_t first_lsn)
{
    cleanup_(freep) struct journal_disk *head = (void *)block_memory(sizeof(*head));
    *head = (struct journal_disk){ .magic = JOURNAL_MAGIC,
                                   .version = JOURNAL_FORMAT_VERSION,
                                   .uuid_high = options->uuid_high,
                                   .uuid_low = options->uuid_low,
                                   .epoch = epoch,
                                   .first_lsn = first_lsn,
                                   .nonce = nonce };
    journal_header_seal(head);
    return file_write(file, head, sizeof(*head), 0);
}

static uint64_t step_of(const struct journal_options *options)
{
    return options->step_bytes ? options->step_bytes : JOURNAL_STEP_BYTES;
}

/* The file grows ahead of what is written, by zeros: later writes then change no metadata of the
 * file system, which a sync would have to write too. And removals work on a full disk. */
static int grow(struct file *file, uint64_t from, uint64_t size)
{
    enum { PIECE_BYTES = 1 << 20 };
    cleanup_(freep) uint8_t *zeros = block_memory(PIECE_BYTES);
    memset(zeros, 0, PIECE_BYTES);
    int r = file_allocate(file, from, size - from);
    if (r == -ERR_NOT_SUPPORTED) r = 0;
    while (r >= 0 && from < size) {
        uint64_t n = MIN_OF((uint64_t)PIECE_BYTES, size - from);
        r = file_write(file, zeros, n, from);
        from += n;
    }
    return r;
}

int journal_format(const struct journal_options *options)
{
    for (int i = JOURNAL_A; i <= JOURNAL_B; i++) {
        cleanup_(file_closep) struct file *file = NULL;
        int r = open_file(options, i, O_CREAT | O_TRUNC, &file);
        if (r >= 0) r = grow(file, 0, step_of(options));
        if (r >= 0 && i == JOURNAL_A) r = write_header(file, options, 1, 1, 1);
        if (r >= 0) r = file_sync(file);
        if (r < 0) return r;
    }
    return 0;
}

int journal_open(const struct journal_options *options, struct journal **ret)
{
    cleanup_(journal_freep) struct journal *j = new_zero(struct journal);
    j->options = *options;
    j->options.path = xstrdup(options->path);
    list_init(&j->sealed);
    wait_queue_init(&j->asked);
    wait_queue_init(&j->written);
    for (int i = JOURNAL_A; i <= JOURNAL_B; i++) {
        int r = open_file(options, i, 0, &j->files[i]);
        if (r >= 0) r = disk_lock(j->files[i]);
        if (r >= 0) r = file_size(j->files[i], &j->allocated_bytes[i]);
        if (r < 0) return r;
        j->allocated_bytes[i] = round_to_block(j->allocated_bytes[i]);
    }
    *ret = TAKE_PTR(j);
    return 0;
}

struct journal *journal_free(struct journal *j)
{
    if (!j) return NULL;
    while (!list_empty(&j->sealed)) {
        batch_free(list_entry(list_first(&j->sealed), struct batch, node));
    }
    batch_free(j->filling);
    file_close(j->files[JOURNAL_A]);
    file_close(j->files[JOURNAL_B]);
    free((char *)(uintptr_t)j->options.path);
    free(j);
    return NULL;
}

struct file *journal_file(struct journal *j, enum index_file file)
{
    check(file == JOURNAL_A || file == JOURNAL_B);
    return j->files[file];
}

/* ---- appending ---- */

/* Moves what was being filled to the batches to be written, and goes on behind it. */
static void seal(struct journal *j)
{
    struct batch *b = j->filling;
    if (b->entry_count == 0) return;
    j->told_data_lsn = j->options.data_lsn ? j->options.data_lsn(j->options.arg) : 0;
    batch_seal(b, j->told_data_lsn);
    list_push_back(&j->sealed, &b->node);
    j->waiting_bytes += b->size;
    j->filling = batch_new(b, b->offset + b->size, j->last_lsn + 1);
}

uint64_t journal_append(struct journal *j, enum entry_kind kind, const struct iovec *parts,
                        int count, uint64_t *ret_locator)
{
    if (j->filling->size + entry_size(parts, count) > BATCH_BYTES_FULL) seal(j);
    bool was_empty = j->filling->entry_count == 0;
    uint64_t locator = batch_add(j->filling, kind, parts, count);
    if (ret_locator) *ret_locator = locator;
    if (was_empty) wait_queue_wake_one(&j->asked);
    return ++j->last_lsn;
}

void journal_switch(struct journal *j, uint64_t *ret_epoch, uint64_t *ret_first_lsn)
{
    seal(j);
    struct batch *old = j->filling;
    struct batch like = { .file = old->file == JOURNAL_A ? JOURNAL_B : JOURNAL_A,
                          .epoch = old->epoch + 1,
                          .nonce = node_random_u64(j->options.node) };
    batch_free(old);
    j->filling = batch_new(&like, JOURNAL_BLOCK_BYTES, j->last_lsn + 1);
    j->filling->begins_epoch = true;
    j->epoch_first_lsn = j->last_lsn + 1;
    *ret_epoch = like.epoch;
    *ret_first_lsn = j->epoch_first_lsn;
}

uint64_t journal_epoch(const struct journal *j, uint64_t *ret_first_lsn)
{
    *ret_first_lsn = j->epoch_first_lsn;
    return j->filling->epoch;
}

int journal_make_room(struct journal *j)
{
    while (j->waiting_bytes + j->filling->size > JOURNAL_WAITING_BYTES_MAX) {
        if (j->failure) return j->failure;
        j->is_urgent = true;
        wait_queue_wake_one(&j->asked);
        int r = wait_queue_wait(&j->written, "room in the journal");
        if (r < 0) return r;
    }
    return j->failure;
}

int journal_wait(struct journal *j, uint64_t lsn)
{
    check(lsn <= j->last_lsn);
    while (j->durable_lsn < lsn) {
        if (j->failure) return j->failure;
        j->is_urgent = true;
        wait_queue_wake_one(&j->asked);
        int r = wait_queue_wait(&j->written, "index sync");
        if (r < 0) return r;
    }
    return 0;
}

uint64_t journal_last_lsn(const struct journal *j)
{
    return j->last_lsn;
}

uint64_t journal_durable_lsn(const struct journal *j)
{
    return j->durable_lsn;
}

uint64_t journal_told_data_lsn(const struct journal *j)
{
    return j->told_data_lsn;
}

bool journal_is_filling(const struct journal *j)
{
    return j->filling->entry_count > 0;
}

uint64_t journal_size(const struct journal *j)
{
    return j->filling->offset + j->filling->size;
}

int journal_failure(const struct journal *j)
{
    return j->failure;
}

uint64_t journal_batch_count(const struct journal *j)
{
    return j->batch_count;
}

/* ---- the fiber that writes ---- */

/* Until there is a batch worth writing: somebody waits for it, or it has waited long enough. */
static int wait_for_work(struct journal *j)
{
    while (list_empty(&j->sealed) && j->filling->entry_count == 0) {
        int r = wait_queue_wait(&j->asked, "journal entries");
        if (r < 0) return r;
    }
    FIBER_TIMEOUT(FLUSH_LAZY_NS);
    while (list_empty(&j->sealed) && !j->is_urgent) {
        int r = wait_queue_wait(&j->asked, "journal entries");
        if (r == -ERR_TIMEOUT) return 0;
        if (r < 0) return r;
    }
    return 0;
}

static int write_batch(struct journal *j, const struct batch *b)
{
    struct file *file = j->files[b->file];
    uint64_t end = b->offset + b->size;
    bool grows = end > j->allocated_bytes[b->file];
    struct iovec iov = { b->buf, b->size };
    int r;
    if (grows) {
        uint64_t step = step_of(&j->options), size = (end + step - 1) / step * step;
        r = grow(file, j->allocated_bytes[b->file], size);
        if (r < 0) return r;
        j->allocated_bytes[b->file] = size;
    }
    if (b->begins_epoch) {
        r = write_header(file, &j->options, b->epoch, b->nonce, b->first_lsn);
        if (r < 0) return r;
    }
    bool skips_sync = MUTANT(SKIP_INDEX_SYNC);
    /* One request where nothing but the batch has to become durable. */
    if (!grows && !b->begins_epoch && !skips_sync)
        return file_writev_durable(file, &iov, 1, b->offset);
    r = file_writev(file, &iov, 1, b->offset);
    return r < 0 || skips_sync ? r : file_sync(file);
}

static int write_fiber(void *arg)
{
    struct journal *j = arg;
    for (;;) {
        int r = wait_for_work(j);
        if (r < 0) return r;
        if (list_empty(&j->sealed)) seal(j);
        j->is_urgent = false;
        struct batch *b = list_entry(j->sealed.next, struct batch, node);
        r = write_batch(j, b);
        if (r < 0) {
            if (!j->failure) j->failure = r;
            wait_queue_wake_all(&j->written);
            return r;
        }
        j->durable_lsn = b->first_lsn + b->entry_count - 1;
        j->waiting_bytes -= b->size;
        j->batch_count++;
        batch_free(b);
        wait_queue_wake_all(&j->written);
        if (j->options.durable) j->options.durable(j->options.arg, j->durable_lsn);
    }
}

int journal_start(struct journal *j, struct scope *scope)
{
    check(j->filling);
    return fiber_spawn(scope, "journal", write_fiber, j);
}
