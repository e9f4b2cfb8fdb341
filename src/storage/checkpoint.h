/* checkpoint.h - the two checkpoint files of a shard: reading the newest, writing the next into the
 * other.
 *
 * The order of a new one: checkpoint_begin(), blocks, checkpoint_finish(). Until finish has
 * returned the old one counts; a crash or error at any point leaves it whole. Entries of the old
 * one stay readable until the next checkpoint_begin().
 */
#pragma once
#include "loop/file.h"
#include "storage/checkpoint_format.h"
#include "storage/journal_entry.h"

struct checkpoint;
struct checkpoint_options {
    struct node *node;
    const char *path; /* directory with checkpoint-A and checkpoint-B; copied */
    uint64_t uuid_high, uuid_low;
};

/* Makes both files and an empty checkpoint whose replay begins at epoch 1; durable but for the
 * directory. */
int checkpoint_format(const struct checkpoint_options *options) fiber_fn must_check;
/* Opens and locks both and finds the newest: -ERR_DATA_CORRUPTION when neither counts,
 * -ERR_FORMAT_TOO_NEW. */
int checkpoint_open(const struct checkpoint_options *options,
                    struct checkpoint **ret) fiber_fn must_check;
struct checkpoint *checkpoint_free(struct checkpoint *c); /* NULL is fine */
CLEANUP_FUNC(struct checkpoint *, checkpoint_free)

/* Of the newest. Borrowed. */
const struct checkpoint_disk *checkpoint_head(const struct checkpoint *c);
struct file *checkpoint_file(struct checkpoint *c,
                             enum index_file file); /* CHECKPOINT_A or _B, borrowed */

struct checkpoint_reader {
    /* Neither suspends; an error ends the reading and is returned. */
    int (*block)(void *arg, const struct chunk_key *range_end, uint64_t lsn);
    int (*entry)(void *arg, uint64_t locator,
                 const struct entry *entry); /* of the block announced last */
    void *arg;
};
/* -ERR_DATA_CORRUPTION when anything is not as it was written; a line in the log says where. */
int checkpoint_read(struct checkpoint *c,
                    const struct checkpoint_reader *reader) fiber_fn must_check;

/* ---- writing ---- */

/* Takes space on the disk for one as large as the current and @more_bytes. -ERR_NO_SPACE. */
int checkpoint_reserve(struct checkpoint *c, uint64_t more_bytes) fiber_fn must_check;

void checkpoint_begin(struct checkpoint *c, uint64_t journal_epoch, uint64_t first_lsn,
                      uint32_t target_number_next);
/* Adds to the block being filled; its place. */
uint64_t checkpoint_add(struct checkpoint *c, enum entry_kind kind, const struct iovec *parts,
                        int count);
bool checkpoint_block_is_full(const struct checkpoint *c); /* time to end it */
bool checkpoint_block_is_empty(const struct checkpoint *c);
/* Writes the block, which speaks for the keys up to @range_end as of @lsn. */
int checkpoint_end_block(struct checkpoint *c, const struct chunk_key *range_end,
                         uint64_t lsn) fiber_fn must_check;
int checkpoint_finish(struct checkpoint *c, uint64_t end_lsn) fiber_fn must_check;
