/* shard.h - one shard of a disk: index, records, space, journal and checkpoints tied together.
 *
 * Not for users of the store: they see chunk_store.h. What is in memory is always what journal
 * entries up to the last appended say; what is durable is what entries up to the journal's durable
 * lsn say. So an operation changes memory and appends in one turn, without suspending in between,
 * and then waits.
 *
 *   shard.c            life: open, close, failure; loading records
 *   shard_target.c     targets, their sums, identities and floors
 *   shard_stage.c      staging an update: plan, data, record
 *   shard_content.c    the bytes of an update: what is read, merged, written
 *   shard_commit.c     commit, drop, tombstones
 *   shard_read.c       pins, verified reads
 *   shard_replay.c     start: checkpoint, journal, free space
 *   shard_data.c       whether the data of a record is durable: syncs, and doubts at start
 *   shard_checkpoint.c writing checkpoints beside the running operations
 */
#pragma once
#include "fiber/sync.h"
#include "storage/checkpoint.h"
#include "storage/chunk_index.h"
#include "storage/chunk_store.h"
#include "storage/floor.h"
#include "storage/identity.h"
#include "storage/journal.h"
#include "storage/record_cache.h"
#include "storage/record_crc.h"
#include "storage/units.h"
#include "storage/units_quarantine.h"

enum { DAMAGE_TOLD_COUNT = 64 };

struct shard_options {
    struct node *node;
    const char *path; /* of the shard's directory */
    uint64_t uuid_high, uuid_low;
    uint64_t reserve_bytes, capacity_bytes;
    uint64_t record_cache_bytes, checkpoint_journal_bytes;
};

struct shard_target {
    struct store_target info;
    uint32_t number;
    uint64_t buckets[SYNC_BUCKET_COUNT];
};

/* A pending record; the index entry of its chunk names its slot. */
struct pending {
    struct record *record;
    uint64_t lsn;         /* of its entry */
    uint64_t sync_ticket; /* of its data; 0: durable */
    uint64_t locator;
    /* At start: what the update's identity took the place of; seq 0: nothing. */
    struct identity_disk before;
};

struct shard {
    struct node *node;
    char *path;
    struct scope scope; /* of the fibers below */
    struct units *units;
    struct journal *journal;
    struct checkpoint *checkpoint;
    struct chunk_index index;
    struct record_cache cache;
    struct quarantine quarantine;
    struct pending **pendings; /* by slot; NULL: free */
    uint32_t pending_capacity, pending_count;
    struct list unsynced; /* records whose data is not known to be durable, in order of lsn */
    struct shard_target **targets; /* in order of number */
    uint32_t target_count, target_number_next;
    struct identity_table identities;
    struct floor_table floors;
    struct crc_table crc;
    /* checkpoints */
    struct wait_queue checkpoint_asked, checkpoint_ended;
    bool checkpoint_is_running;
    uint64_t checkpoint_journal_bytes; /* a smaller journal is not worth one */
    uint64_t checkpoint_count;
    int failure;
    uint64_t *checksum_errors; /* metrics cell */
    /* What was logged last as damaged: a page that is read again and again is told once. */
    struct {
        struct chunk_key key;
        uint64_t version;
    } damage_told[DAMAGE_TOLD_COUNT];
    uint32_t damage_told_next;
};

int shard_format(const struct shard_options *options) fiber_fn must_check;
int shard_open(const struct shard_options *options, struct shard **ret) fiber_fn must_check;
/* No operation runs and nothing is pinned. Writes a checkpoint if @clean and possible. */
struct shard *shard_close(struct shard *s, bool clean) fiber_fn;
/* The first error of the disk, or 0: then nothing can be made durable any more. */
int shard_failure(struct shard *s);
void shard_fail(struct shard *s, int r, const char *what);

/* ---- targets (shard_target.c) ---- */

struct shard_target *shard_target_find(const struct shard *s, uint64_t target_id);
struct shard_target *shard_target_by_number(const struct shard *s, uint32_t number);
struct shard_target *shard_target_add(struct shard *s, const struct target_disk *disk);
int shard_target_create(struct shard *s, uint64_t target_id, uint32_t chain_id) fiber_fn must_check;
int shard_target_set_chain_version(struct shard *s, struct shard_target *t,
                                   uint32_t chain_version) fiber_fn must_check;
int shard_target_remove(struct shard *s, struct shard_target *t) fiber_fn must_check;
/* Forgets it without touching its chunks. */
void shard_target_forget(struct shard *s, uint32_t number);
void shard_target_parts(const struct shard_target *t, struct target_disk *ret);
/* Adds (or with -1 subtracts) the committed content of an entry to its target's sums and counts. */
void shard_target_count(struct shard *s, const struct index_entry *entry, int sign);

/* ---- records (shard.c) ---- */

struct pending *shard_pending_of(const struct shard *s,
                                 const struct index_entry *entry); /* or NULL */
uint32_t shard_pending_add(struct shard *s, struct record *record, uint64_t lsn, uint64_t locator);
/* The pending record was appended in this turn; its data becomes durable with the sync asked for
 * here. */
void shard_begin_sync(struct shard *s, struct pending *pending);
/* Waits until the pending record and its data are durable. -ERR_CHUNK_WRITE_FAILED. */
int shard_settle(struct shard *s, const struct pending *pending) fiber_fn must_check;
void shard_data_done(struct shard *s);
/* What the next batch would say of the data anyway is written soon, though nothing else may come.
 */
void shard_tell_synced(struct shard *s, uint64_t lsn);
/* Takes the pending out of the entry; its record is the caller's. */
struct record *shard_pending_take(struct shard *s, struct index_entry *entry);
/* A reader's hold on a record that was loaded or looked up in this turn. */
void shard_pin(struct shard *s, struct record *record);
/* 1 with a count of the committed record, a tombstone's too, or 0 when nothing is committed. */
int shard_load_record(struct shard *s, const struct chunk_key *key,
                      struct record **ret) fiber_fn must_check;
/* The record in the bytes of an entry, which @entry of the index points at. */
int shard_parse_record(const struct index_entry *entry, struct bytes in,
                       struct record **ret) must_check;
void record_become_committed(struct record *record, uint32_t chain_version);
void shard_state_of(const struct shard *s, const struct index_entry *entry,
                    struct chunk_state *ret);
/* Whether unit @at of the chunk is @unit of the disk. */
bool record_has_unit(const struct record *record, uint32_t at, uint32_t unit);
/* Units of @record that @other (may be NULL) does not have; appended to @ret, which has room. Their
 * number. */
uint32_t record_subtract(const struct record *record, const struct record *other,
                         struct extent_disk *ret, uint32_t *ret_unit_count);
/* Sets entry fields from a record that is committed now. */
void shard_entry_set(struct shard *s, struct index_entry *entry, const struct record *record,
                     uint64_t locator);

/* The pending record of the entry becomes the committed one; units and the old record are the
 * caller's business. */
void shard_make_committed(struct shard *s, struct index_entry *entry, uint32_t chain_version);

/* The pending record leaves memory and journal. It is the caller's, and so are its units. */
struct record *shard_forget_pending(struct shard *s, struct index_entry *entry, uint64_t *ret_lsn);

/* ---- operations ---- */

int shard_stage(struct shard *s, struct shard_target *t, struct chunk_id chunk,
                struct chunk_update *update) fiber_fn must_check;
int shard_commit(struct shard *s, struct shard_target *t, struct chunk_id chunk, uint64_t version,
                 uint32_t chain_version) must_check;
int shard_drop(struct shard *s, struct shard_target *t, struct chunk_id chunk,
               enum chunk_pin_which which) fiber_fn must_check;
int shard_drop_tombstones(struct shard *s, struct shard_target *t,
                          uint64_t older_than_ns) fiber_fn must_check;
int shard_read(struct shard *s, struct record *record, uint32_t offset, uint32_t length,
               struct buffer_pool *pool, struct buffer **ret, uint32_t *ret_skip,
               uint32_t *ret_length, uint32_t *ret_crc32c) fiber_fn must_check;
/* Reads whole blocks of @record into @out and verifies them. [offset, offset + size) is aligned and
 * ends at or before the block of the record's last byte; bytes behind the record's length become
 * zeros. */
int shard_read_blocks(struct shard *s, const struct record *record, uint32_t offset, uint32_t size,
                      uint8_t *out) fiber_fn must_check;
/* All blocks of @record, damaged or not, into @out; those that cannot be read become zeros. */
void shard_read_unverified(struct shard *s, const struct record *record, uint8_t *out) fiber_fn;

/* Verifies blocks from @offset on that were read into @buf, and clears what lies behind the
 * content's end. -ERR_CHECKSUM_MISMATCH, silently. */
int shard_check_blocks(const struct record *record, uint32_t offset, uint32_t size,
                       uint8_t *buf) must_check;

/* ---- start and checkpoints ---- */

int shard_replay(struct shard *s) fiber_fn must_check;
/* After the journal was replayed: verifies the data of pending records that may not have reached
 * the disk, drops those whose data is not there, and syncs the others. */
int shard_doubt_unsynced(struct shard *s) fiber_fn must_check;
/* The data of all records up to this lsn is durable. */
uint64_t shard_data_lsn(struct shard *s);
int shard_checkpoint(struct shard *s) fiber_fn must_check;
int shard_checkpoint_start(struct shard *s) must_check;
/* Wakes the checkpoint fiber when the journal has grown enough. */
void shard_appended(struct shard *s);
