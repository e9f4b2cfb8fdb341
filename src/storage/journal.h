/* journal.h - the append-only journal of a shard: two files in turns, group commit.
 *
 *   append ──► [batch being filled] ──► one write, one sync ──► durable_lsn, waiters go on
 *
 * journal_append() gives the entry its number and its place at once and never waits: what it says
 * is in memory from then on, durable when journal_wait() returns, or at the latest FLUSH_LAZY_NS
 * later. All that is appended while a batch is on its way shares the next one.
 *
 * journal_switch() begins a new epoch in the other file; the old file stays readable until the next
 * switch. The first error of a write or sync is final.
 */
#pragma once
#include "loop/file.h"
#include "storage/journal_entry.h"
#include "storage/journal_format.h"

struct journal;
struct journal_options {
    struct node *node;
    const char *path; /* directory with journal-A and journal-B; copied */
    uint64_t uuid_high, uuid_low;
    uint32_t step_bytes; /* by which the files grow, a multiple of 4 KiB; 0: 4 MiB */
    /* Called after durable_lsn has grown; does not suspend. May be NULL. */
    void (*durable)(void *arg, uint64_t lsn);
    /* The data of all records up to this lsn is durable. Does not suspend. May be NULL: 0. */
    uint64_t (*data_lsn)(void *arg);
    void *arg;
};

/* Makes both files, empty, epoch 1 in journal-A; durable but for the directory. */
int journal_format(const struct journal_options *options) fiber_fn must_check;
/* Opens and locks both. */
int journal_open(const struct journal_options *options, struct journal **ret) fiber_fn must_check;
/* Calls @fn for every entry from the start of @epoch, in order, and makes ready to append behind
 * the last. A torn last batch is dropped. -ERR_DATA_CORRUPTION when something in the middle is
 * missing or damaged (a line in the log says what), -ERR_FORMAT_TOO_NEW, or what @fn returned. @fn
 * must not suspend. */
int journal_replay(struct journal *j, uint64_t epoch, uint64_t first_lsn,
                   int (*fn)(void *arg, uint64_t lsn, uint64_t locator, const struct entry *entry),
                   void *arg) fiber_fn must_check;
/* Starts the fiber that writes. */
int journal_start(struct journal *j, struct scope *scope) must_check;
struct journal *journal_free(struct journal *j); /* its fiber has ended; NULL is fine */
CLEANUP_FUNC(struct journal *, journal_free)

/* Returns the entry's lsn; @ret_locator may be NULL. The parts are copied. */
uint64_t journal_append(struct journal *j, enum entry_kind kind, const struct iovec *parts,
                        int count, uint64_t *ret_locator);
/* Waits while too much is waiting to be written: before appending something large. */
int journal_make_room(struct journal *j) fiber_fn must_check;
int journal_wait(struct journal *j, uint64_t lsn) fiber_fn must_check;
uint64_t journal_last_lsn(const struct journal *j); /* of what was appended */
uint64_t journal_durable_lsn(const struct journal *j);
/* The entry that was appended last and all before are in the old file; the next opens the new
 * epoch. The file that is taken over must not be needed any more. */
void journal_switch(struct journal *j, uint64_t *ret_epoch, uint64_t *ret_first_lsn);
/* The current epoch and its first lsn. */
uint64_t journal_epoch(const struct journal *j, uint64_t *ret_first_lsn);
/* Bytes of the current epoch. */
uint64_t journal_size(const struct journal *j);
struct file *journal_file(struct journal *j, enum index_file file); /* JOURNAL_A or _B, borrowed */
/* What the last batch says of data: that of records up to there was durable before it. After a
 * replay the last batch that was found. */
uint64_t journal_told_data_lsn(const struct journal *j);
bool journal_is_filling(const struct journal *j); /* something was appended that is in no batch */
int journal_failure(const struct journal *j);
uint64_t journal_batch_count(const struct journal *j); /* written so far */
