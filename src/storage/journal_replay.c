/* journal_replay.c - reading a journal back.
 *
 *   epoch e    | batch | batch | batch |    whole: the switch came after the last was durable
 *   epoch e+1  | batch | batch | torn…      the end: nothing sound of this epoch behind it
 *
 * A window of memory slides over the file. Where no sound batch stands the epoch ends; if a later
 * batch of the same epoch lies behind (as far as one batch can reach), or a next epoch begins
 * further on, what is in between was lost to damage and not to a crash.
 */
#include "base/check.h"
#include "storage/journal_internal.h"
#include "storage/shard_memory.h"

enum { WINDOW_BYTES = 1 << 20, DAMAGE_BYTES_MAX = BATCH_BYTES_FULL + 2 * ENTRY_BYTES_MAX };

typedef int entry_fn(void *arg, uint64_t lsn, uint64_t locator, const struct entry *entry);

struct scan {
    struct journal *j;
    enum index_file file;
    uint64_t epoch, nonce;
    uint64_t lsn; /* of the next entry */
    uint64_t offset;
    uint64_t last_offset, last_size; /* of the epoch's last batch; size 0: none */
    uint8_t *buf;                    /* of the file from buf_offset on */
    size_t buf_capacity, buf_size;
    uint64_t buf_offset;
};

static void scan_done(struct scan *s)
{
    free(s->buf);
}

/* At least @size bytes at the scan's offset, fewer at the end of the file. */
static int scan_fill(struct scan *s, size_t size, struct bytes *ret)
{
    uint64_t skip = s->offset - s->buf_offset;
    if (!s->buf || s->offset < s->buf_offset || skip + size > s->buf_size) {
        size_t capacity = MAX_OF((size_t)WINDOW_BYTES, round_to_block(size));
        if (capacity > s->buf_capacity || !s->buf) {
            free(s->buf);
            s->buf = block_memory(capacity);
            s->buf_capacity = capacity;
        }
        ssize_t n = file_read(s->j->files[s->file], s->buf, s->buf_capacity, s->offset);
        if (n < 0) return (int)n;
        s->buf_size = (size_t)n;
        s->buf_offset = s->offset;
        skip = 0;
    }
    *ret = bytes_of(s->buf + skip, s->buf_size - (size_t)skip);
    return 0;
}

/* 1 with the next batch of the epoch, 0 where it ends. */
static int scan_batch(struct scan *s, struct bytes *ret, struct batch_disk *ret_head)
{
    struct bytes in;
    int r = scan_fill(s, JOURNAL_BLOCK_BYTES, &in);
    if (r < 0) return r;
    if (!batch_header_is_sound(in)) return 0;
    struct batch_disk head;
    memcpy(&head, in.base, sizeof(head));
    if (head.epoch != s->epoch || head.nonce != s->nonce || head.first_lsn != s->lsn) return 0;
    r = scan_fill(s, head.size, &in);
    if (r < 0) return r;
    if (batch_check(in, ret_head) < 0) return 0;
    *ret = in;
    return 1;
}

/* Whether a batch of the epoch with a later number lies behind the end: the end is damage then. */
static int scan_is_damaged(struct scan *s, bool *ret)
{
    uint64_t end = s->offset + DAMAGE_BYTES_MAX;
    *ret = false;
    while (s->offset < end) {
        struct bytes in;
        int r = scan_fill(s, JOURNAL_BLOCK_BYTES, &in);
        if (r < 0) return r;
        if (in.size < JOURNAL_BLOCK_BYTES) return 0;
        struct batch_disk head;
        memcpy(&head, in.base, sizeof(head));
        if (batch_header_is_sound(in) && head.epoch == s->epoch && head.nonce == s->nonce &&
            head.first_lsn > s->lsn) {
            *ret = true;
            return 0;
        }
        s->offset += JOURNAL_BLOCK_BYTES;
    }
    return 0;
}

/* Reads one epoch; s->offset and s->lsn are then behind its last batch. */
static int scan_epoch(struct scan *s, entry_fn *fn, void *arg)
{
    for (;;) {
        struct bytes in;
        struct batch_disk head;
        int r = scan_batch(s, &in, &head);
        if (r < 0) return r;
        if (r == 0) break;
        r = batch_each(in, &head, s->file, s->offset, fn, arg);
        if (r < 0)
            return log_error(&s->j->options.node->log, r,
                             "%s: journal epoch %llu: batch at byte %llu", s->j->options.path,
                             (unsigned long long)s->epoch, (unsigned long long)s->offset);
        s->j->told_data_lsn = head.data_lsn;
        s->last_offset = s->offset;
        s->last_size = head.size;
        s->lsn += head.entry_count;
        s->offset += head.size;
    }
    uint64_t end = s->offset;
    bool is_damaged;
    int r = scan_is_damaged(s, &is_damaged);
    if (r < 0) return r;
    s->offset = end;
    if (!is_damaged) return 0;
    return log_error(&s->j->options.node->log, -ERR_DATA_CORRUPTION,
                     "%s: journal epoch %llu is damaged at byte %llu, with sound entries behind",
                     s->j->options.path, (unsigned long long)s->epoch, (unsigned long long)end);
}

static int read_header(struct journal *j, int file, struct journal_disk *ret)
{
    cleanup_(freep) struct journal_disk *head = (void *)block_memory(sizeof(*head));
    ssize_t n = file_read(j->files[file], head, sizeof(*head), 0);
    if (n < 0) return (int)n;
    if (n < (ssize_t)sizeof(*head)) return -ERR_DATA_CORRUPTION;
    *ret = *head;
    return journal_header_check(head, j->options.uuid_high, j->options.uuid_low);
}

/* The file that holds @epoch and its header; -ERR_META_NOT_FOUND when none does. */
static int find_epoch(struct journal *j, uint64_t epoch, int *ret, struct journal_disk *ret_head)
{
    for (int i = JOURNAL_A; i <= JOURNAL_B; i++) {
        int r = read_header(j, i, ret_head);
        /* a header that was torn when its file was taken over says nothing of the other file */
        if (r == -ERR_DATA_CORRUPTION) continue;
        if (r < 0) return r;
        if (ret_head->epoch != epoch) continue;
        *ret = i;
        return 0;
    }
    return -ERR_META_NOT_FOUND;
}

static int write_again(struct journal *j, enum index_file file, uint64_t offset, uint64_t size)
{
    cleanup_(freep) uint8_t *buf = block_memory(size);
    ssize_t n = file_read(j->files[file], buf, size, offset);
    if (n >= 0 && (uint64_t)n < size) return -ERR_DATA_CORRUPTION;
    if (n >= 0) n = file_write(j->files[file], buf, size, offset);
    return n < 0 ? (int)n : 0;
}

/* A sync that fails leaves what it was for readable and not durable, and the next sync says nothing
 * of that. Only the last batch, or the header of the last epoch, can be such. */
static int write_end_again(struct scan *s)
{
    struct journal *j = s->j;
    int r = write_again(j, s->file, 0, JOURNAL_BLOCK_BYTES);
    if (r >= 0 && s->last_size) r = write_again(j, s->file, s->last_offset, s->last_size);
    return r < 0 ? r : file_sync(j->files[s->file]);
}

/* What was found may not be on the disk yet when only the process died. */
static int sync_both(struct journal *j)
{
    int r = file_sync(j->files[JOURNAL_A]);
    return r < 0 ? r : file_sync(j->files[JOURNAL_B]);
}

static void scan_begin(struct scan *s, int file, const struct journal_disk *head)
{
    s->file = (enum index_file)file;
    s->epoch = head->epoch;
    s->nonce = head->nonce;
    s->offset = JOURNAL_BLOCK_BYTES;
    s->last_size = 0;
    s->buf_size = 0;
    s->j->epoch_first_lsn = head->first_lsn;
}

int journal_replay(struct journal *j, uint64_t epoch, uint64_t first_lsn, entry_fn *fn, void *arg)
{
    cleanup_(scan_done) struct scan s = { .j = j, .lsn = first_lsn };
    const struct log *log = &j->options.node->log;
    struct journal_disk head;
    int file;
    int r = sync_both(j);
    if (r < 0) return r;
    r = find_epoch(j, epoch, &file, &head);
    if (r == -ERR_META_NOT_FOUND || (r >= 0 && head.first_lsn != first_lsn))
        return log_error(log, -ERR_DATA_CORRUPTION, "%s: the journal of epoch %llu is missing",
                         j->options.path, (unsigned long long)epoch);
    if (r < 0) return r;

    for (;;) {
        scan_begin(&s, file, &head);
        r = scan_epoch(&s, fn, arg);
        if (r < 0) return r;
        r = find_epoch(j, s.epoch + 1, &file, &head);
        if (r == -ERR_META_NOT_FOUND) break;
        if (r < 0) return r;
        if (head.first_lsn != s.lsn)
            return log_error(log, -ERR_DATA_CORRUPTION,
                             "%s: the journal of epoch %llu lacks entries %llu to %llu",
                             j->options.path, (unsigned long long)s.epoch,
                             (unsigned long long)s.lsn, (unsigned long long)head.first_lsn - 1);
    }
    r = write_end_again(&s);
    if (r < 0) return r;
    j->last_lsn = j->durable_lsn = s.lsn - 1;
    struct batch like = { .file = s.file, .epoch = s.epoch, .nonce = s.nonce };
    j->filling = batch_new(&like, s.offset, s.lsn);
    return 0;
}
