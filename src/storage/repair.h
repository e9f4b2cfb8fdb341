/* repair.h - damaged content of a replica is replaced by a peer's.
 *
 * Under the chunk's lock nothing new comes to the chunk, so every serving member has the committed
 * pair that this one has, or is about to. What a peer has of that pair, with the CRC of our record,
 * is written to fresh units as content of the same pair and identity, and committed. A crash in
 * between leaves a pending record of the committed pair: rolled forward as any other (rule 4 of
 * docs/replication.md), every member says that it has it.
 *
 * Asked for by reads that met damage and by the scrubber (scrub.h), and done in place by updates
 * and resyncs that need the content. Only data is repaired: an index that cannot be read fails the
 * disk.
 */
#pragma once
#include "fiber/sync.h"
#include "proto/storage.h"

struct storage;
struct target;

struct repairs {
    struct list queue; /* struct repair, oldest first */
    uint32_t count;
    struct wait_queue wake;
};

void repairs_init(struct repairs *repairs);
void repairs_done(struct repairs *repairs);
/* The fiber that works on what was asked for; in the storage's scope. */
int repairs_start(struct storage *s) must_check;

/* True for errors of a read that mean that the bytes on the disk are not good. */
static inline bool is_damage(int r)
{
    return r == -ERR_CHECKSUM_MISMATCH || r == -ERR_CHUNK_READ_FAILED;
}
/* In the background, soon; forgotten when too much is asked for (the scrubber finds it again). */
void repair_ask(struct target *t, struct chunk_id chunk);
/* 1: it was damaged and is whole again; 0: nothing is wrong with it. An error when it stays as it
 * is: -ERR_NOT_AVAILABLE when no peer has it. The caller holds the chunk's lock, and nothing is
 * pending. */
int repair_locked(struct target *t, struct chunk_id chunk) fiber_fn must_check;
/* The same; takes the lock. */
int repair_chunk(struct target *t, struct chunk_id chunk) fiber_fn must_check;
