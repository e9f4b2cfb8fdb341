/* chunk_store.h - the chunks on one disk directory: units, pages, records, journal, checkpoints.
 *
 *   disk directory: superblock, lock, and for each shard a directory shard-00 with
 *                   journal-A, journal-B, checkpoint-A, checkpoint-B, units-0000 …
 *
 * Space is handed out in 64 KiB units inside large preallocated files (O_DIRECT). A chunk (64 KiB …
 * 64 MiB) is a row of pages of max(64 KiB, size ÷ 64); its record maps pages to runs of units and
 * holds a CRC32C per 4 KiB. Committed data is never overwritten in place: an update writes fresh
 * units and makes a new record.
 *
 * Per (target, chunk) there is at most one committed and one pending record. Durability:
 *  - chunk_stage() returns when data and the pending record (with the update's identity) are
 *    durable; one data sync and one index sync, side by side, each shared by all that wait for one.
 *  - chunk_commit() flips pending to committed in memory and appends a commit mark that rides with
 *    the next group: after a crash the chunk may be found pending again, and is rolled forward.
 *
 * A unit returns to the free list when the commit that freed it is durable and the last reader that
 * pinned the old record is done. Every read verifies what it returns; a bad block is
 * -ERR_CHECKSUM_MISMATCH, counted.
 *
 * Free space is derived at start: nothing else is trusted. The index goes through the seam, so the
 * simulator tears, loses and rots it. A journal or checkpoint written by a newer format:
 * -ERR_FORMAT_TOO_NEW. All functions belong to the loop that opened the store. One bad disk fails
 * its own store, never the process.
 */
#pragma once
#include "proto/storage.h"
#include "rpc/rpc.h"

struct chunk_store;

struct chunk_store_options {
    const char *path;        /* directory; created when absent */
    struct bytes cluster_id; /* another cluster's directory is refused: STORAGE_UUID_MISMATCH */
    uint32_t node_id;        /* recorded; another node's directory is refused */
    uint32_t shard_count;    /* of a new store; 0: 1, and more than 1 is -ERR_NOT_SUPPORTED yet */
    uint64_t reserve_bytes;  /* of the file system left alone; 0: 1 % of it, at least 64 MiB */
    uint64_t capacity_bytes; /* at most that much of it; 0: no bound */
    uint64_t record_cache_bytes;       /* of memory, beside the index; 0: 256 MiB */
    uint64_t checkpoint_journal_bytes; /* a shorter journal causes no checkpoint; 0: 64 MiB */
};
/* Takes the exclusive lock (BUSY: another process has it), loads checkpoint and journal, derives
 * free space. */
int chunk_store_open(struct node *node, const struct chunk_store_options *options,
                     struct chunk_store **ret) fiber_fn must_check;
/* Ends when no operation runs; writes a checkpoint if @clean. */
struct chunk_store *chunk_store_close(struct chunk_store *s, bool clean) fiber_fn;
/* The first I/O error that made the store unusable, or 0. */
int chunk_store_failure(const struct chunk_store *s);

struct store_space {
    uint64_t capacity_bytes, free_bytes,
        device; /* free: what chunks can still take, reserve excluded */
};
int chunk_store_space(struct chunk_store *s, struct store_space *ret) fiber_fn must_check;

/* ---- targets ---- */

struct store_target {
    uint64_t target_id;
    uint32_t chain_id;
    uint32_t chain_version; /* last one persisted by store_target_set_chain_version() */
    uint64_t used_bytes;    /* units of committed and pending records */
    uint64_t chunk_count;
    uint64_t dropped_version; /* greatest of tombstones dropped so far: new chunks begin above */
};
/* Durable when it returns. -ERR_META_EXISTS. */
int store_target_create(struct chunk_store *s, uint64_t target_id,
                        uint32_t chain_id) fiber_fn must_check;
/* With all its chunks, identities and floors; durable. */
int store_target_remove(struct chunk_store *s, uint64_t target_id) fiber_fn must_check;
uint32_t store_target_count(const struct chunk_store *s);
const struct store_target *store_target_at(const struct chunk_store *s, uint32_t index);
const struct store_target *store_target_find(const struct chunk_store *s, uint64_t target_id);
int store_target_set_chain_version(struct chunk_store *s, uint64_t target_id,
                                   uint32_t chain_version) fiber_fn must_check;

/* ---- chunks ---- */

struct chunk_state {
    struct chunk_id chunk;
    uint64_t version;       /* committed; 0: no committed content (absent or never committed) */
    uint32_t chain_version; /* at which it was committed */
    uint32_t length, chunk_size, crc32c; /* committed */
    bool is_tombstone;                   /* the committed version is a removal */
    struct update_id update; /* identity of the committed version; zero from chunk_each() */
    bool has_pending;
    uint64_t pending_version;
    uint32_t pending_chain_version;
    enum update_kind pending_kind;
    uint32_t pending_length, pending_chunk_size, pending_crc32c;
    uint32_t pending_offset, pending_update_length; /* of the update, as it was staged */
    struct update_id pending_update;                /* identity, to roll it forward with */
    uint32_t pending_generation;
};
/* 1 and the state, or 0 when the store knows nothing of the chunk. Index in memory; may load the
 * record. */
int chunk_get(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
              struct chunk_state *ret) fiber_fn must_check;

enum chunk_pin_which { CHUNK_COMMITTED, CHUNK_PENDING };

struct chunk_update {
    enum update_kind kind; /* WRITE, TRUNCATE, EXTEND, REMOVE, REPLACE */
    /* To become. Checked by the caller: committed + 1; any greater one for an absent or removed
     * chunk, for REPLACE and for REMOVE, which leaves a tombstone even of an absent chunk. */
    uint64_t version;
    uint32_t chain_version; /* of the pair: at which the head assigned the version */
    uint32_t generation;
    struct update_id update; /* goes into the identity table too, unless its channel is 0 or the
                              * table has a greater seq of the channel */
    uint32_t chunk_size;
    uint32_t offset, length; /* as in update_request */
    struct bytes data; /* WRITE, REPLACE; page-aligned memory saves a copy; borrowed till return */
    uint32_t data_crc32c; /* of data; verified here, in the pass that makes the block CRCs */
    /* REPLACE by what is damaged and nobody has whole: the CRC that each block ought to have, which
     * together make data_crc32c. Blocks of @data that have others are kept, and reading them is
     * -ERR_CHECKSUM_MISMATCH. NULL: @data is whole. */
    const uint32_t *block_crcs;
    bool is_anew;           /* REPLACE: in other units, also when this very update is pending */
    uint32_t result_crc32c; /* out: CRC32C of the whole chunk when this is committed */
    uint32_t result_length; /* out */
};
/* Makes the update pending and durable. The caller holds the chunk's lock, so nobody else stages or
 * commits it. Errors:
 *  - -ERR_NO_SPACE; -ERR_CHUNK_WRITE_FAILED: the store has failed; -ERR_INVALID_ARG;
 *  - -ERR_CHUNK_SIZE_MISMATCH: the chunk has content of another chunk size (not for REPLACE);
 *  - -ERR_CHECKSUM_MISMATCH: of @data, or of old content that had to be copied;
 *  - -ERR_CHUNK_COMMITTED_UPDATE, -ERR_CHUNK_MISSING_UPDATE: version is not above committed, or
 *    not the next on top of content (neither for REPLACE and REMOVE);
 *  - -ERR_CHUNK_ADVANCE_UPDATE: a record of another identity is pending, and this is no REPLACE.
 * A pending record of the same identity, pair and kind stays as it is: the call then only waits
 * until that is durable (unless @is_anew). After -ERR_TIMEOUT and -ERR_CANCELED the update is
 * pending or not: chunk_get() tells. */
int chunk_stage(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
                struct chunk_update *update) fiber_fn must_check;
/* Waits until the chunk's pending record, if it has one, is durable: a call of chunk_stage() that
 * ended early may have left one that is not. -ERR_CHUNK_WRITE_FAILED. */
int chunk_settle(struct chunk_store *s, uint64_t target_id,
                 struct chunk_id chunk) fiber_fn must_check;
/* The pending record becomes the committed one, stamped with @chain_version. Does not wait for the
 * disk: -ERR_CHUNK_NOT_COMMIT while it is not durable. */
int chunk_commit(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk, uint64_t version,
                 uint32_t chain_version) must_check;
/* Durably forgets the pending record and, if the table's entry of its channel is its own, that too;
 * or (COMMITTED) whatever is committed. 1 when there was one, else 0. The caller holds the chunk's
 * lock. */
int chunk_drop(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
               enum chunk_pin_which which) fiber_fn must_check;
/* Waits until everything committed so far is durable. */
int chunk_store_sync(struct chunk_store *s) fiber_fn must_check;

/* A reader's hold on one record: its units are not reused while it lasts. */
struct chunk_pin;
/* 1, or 0 when there is no such content (absent, tombstone). ret_state describes what was pinned.
 */
int chunk_pin(struct chunk_store *s, uint64_t target_id, struct chunk_id chunk,
              enum chunk_pin_which which, struct chunk_pin **ret,
              struct chunk_state *ret_state) fiber_fn must_check;
struct chunk_pin *chunk_unpin(struct chunk_pin *pin); /* NULL is fine */
CLEANUP_FUNC(struct chunk_pin *, chunk_unpin)
/* Reads and verifies [offset, offset + length) of the pinned content into a buffer of @pool whose
 * base + *ret_skip is the first byte asked for (reads are widened to 4 KiB). *ret_length: real
 * bytes; 0 past the end. The CRC is of the real bytes asked for. */
int chunk_read(struct chunk_pin *pin, uint32_t offset, uint32_t length, struct buffer_pool *pool,
               struct buffer **ret, uint32_t *ret_skip, uint32_t *ret_length,
               uint32_t *ret_crc32c) fiber_fn must_check;
/* All of the pinned content as the disk has it, damaged or not, into @to: page-aligned, room for
 * whole blocks. A block that cannot be read is zeros. */
void chunk_read_unverified(struct chunk_pin *pin, uint8_t *to) fiber_fn;
/* CRC32C of the real bytes of each block (CHUNK_CRC_BLOCK_BYTES) of the pinned content; borrowed
 * from the pin. */
const uint32_t *chunk_block_crcs(const struct chunk_pin *pin, uint32_t *ret_count);

/* Calls @fn for chunks of the target greater than @after (NULL: from the first), in order,
 * committed, pending and tombstones alike, until it returns other than 0, which is returned. @fn
 * must not suspend. */
int chunk_each(struct chunk_store *s, uint64_t target_id, const struct chunk_id *after,
               int (*fn)(void *arg, const struct chunk_state *state),
               void *arg) fiber_fn must_check;
/* As chunk_each() for the chunks that have a pending record, without a walk over the others, in no
 * particular order. */
int chunk_each_pending(struct chunk_store *s, uint64_t target_id,
                       int (*fn)(void *arg, const struct chunk_state *state),
                       void *arg) fiber_fn must_check;
/* The greatest chunk of an inode in [begin, end) with committed content; 0 when none, else 1. */
int chunk_last(struct chunk_store *s, uint64_t target_id, uint64_t inode, uint32_t begin,
               uint64_t end, struct chunk_state *ret) fiber_fn must_check;
/* Tombstones that were made (or loaded: the time is not kept) before @older_than_ns of the node's
 * clock may go; how many went. */
int chunk_drop_tombstones(struct chunk_store *s, uint64_t target_id,
                          uint64_t older_than_ns) fiber_fn must_check;
/* Sums over committed chunks by bucket (SYNC_BUCKET_COUNT), kept up to date at commit: keyed hash
 * of (chunk, pair, CRC), added modulo 2^64; the key is the same on every node and tombstones count
 * nothing. Borrowed. */
const uint64_t *store_target_buckets(struct chunk_store *s, uint64_t target_id);
uint32_t chunk_bucket(struct chunk_id chunk);

/* ---- identities: (client, channel) -> last update and its result; written with the stage, bounded
 * ---- */

/* 1 and the entry, or 0. */
int identity_find(struct chunk_store *s, uint64_t target_id, const struct uuid *client,
                  uint32_t channel, struct identity_entry *ret) must_check;
int identity_put(struct chunk_store *s, uint64_t target_id,
                 const struct identity_entry *entry) fiber_fn must_check;
int identity_each(struct chunk_store *s, uint64_t target_id,
                  int (*fn)(void *arg, const struct identity_entry *entry), void *arg) must_check;
/* Durably empties the table: a target that is about to be resynced takes its predecessor's. */
int identity_clear(struct chunk_store *s, uint64_t target_id) fiber_fn must_check;

/* ---- generation floors ---- */

uint32_t floor_get(struct chunk_store *s, uint64_t target_id, uint64_t inode); /* 0: none */
int floor_set(struct chunk_store *s, uint64_t target_id, uint64_t inode,
              uint32_t generation) fiber_fn must_check;
int floor_each(struct chunk_store *s, uint64_t target_id,
               int (*fn)(void *arg, uint64_t inode, uint32_t generation), void *arg) must_check;
