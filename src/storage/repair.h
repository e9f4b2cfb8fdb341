/* repair.h - damaged content of a replica is replaced by what its peers have.
 *
 * Under the chunk's lock a record stays what it is. What the targets of the chain have of its
 * content, by the CRCs of the record (content.h), is written to fresh units as content of the same
 * pair and identity. Committed content is committed again; a crash in between leaves a pending
 * record of the committed pair: rolled forward as any other (rule 4 of docs/replication.md), every
 * member says that it has it. Pending content takes the place of the pending record in one step.
 *
 * Asked for by reads that met damage and by the scrubber (scrub.h), and done in place by updates,
 * forwards and resyncs that need the content. Only data is repaired: an index that cannot be read
 * fails the disk.
 */
#pragma once
#include "fiber/sync.h"
#include "storage/content.h"

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
struct repaired {
    struct content content;
    int written;            /* 0: it is whole, also on the disk; else why it is not that there */
    bool have_members_said; /* every other member of the chain has said what it has of it */
};
/* Content of @state that is damaged. The best that there is, whole or not, is @ret->content, which
 * is the caller's; ret->written is -ERR_CHECKSUM_MISMATCH when all targets of the chain have said
 * that it is not whole there, -ERR_NOT_AVAILABLE when some could not be asked. The caller holds the
 * chunk's lock. */
int repair_content(struct target *t, const struct chunk_state *state, enum chunk_pin_which which,
                   struct repaired *ret) fiber_fn must_check;
/* Of committed content, when nothing is pending. 1: it was damaged and is whole again; 0: nothing
 * is wrong with it. An error when it stays as it is, as for ret->written. */
int repair_locked(struct target *t, struct chunk_id chunk) fiber_fn must_check;
/* The same; takes the lock. */
int repair_chunk(struct target *t, struct chunk_id chunk) fiber_fn must_check;
