/* content.h - all bytes of one content of a chunk, as one disk has them, or put together from what
 * all targets of the chain have.
 *
 * A record says what its content is: the CRC of all of it and of each of its blocks. So the bytes
 * may come from whoever has them, serving or not, committed or pending: what fits the CRC of the
 * own record is the content. First those are asked for that have the very pair, length and CRC;
 * other contents of the chunk are the last resort, as a neighbour in time mostly has most blocks.
 */
#pragma once
#include "proto/storage.h"
#include "rpc/rpc.h"
#include "storage/chunk_store.h"

struct target;

struct content {
    struct buffer *buffer; /* NULL: it has no bytes */
    struct bytes data;     /* in it */
    /* Of damaged content: what the CRC of each block ought to be. NULL: it is whole. */
    uint32_t *block_crcs;
    uint32_t block_count;
};
void content_done(struct content *content);

/* Pins the content (@which) of a chunk, and reads and verifies all of it.
 * -ERR_CHUNK_VERSION_MISMATCH: it is not that version. */
int content_read(struct target *t, struct chunk_id chunk, enum chunk_pin_which which,
                 uint64_t version, struct content *ret) fiber_fn must_check;

struct gathered {
    struct content content; /* with block_crcs: nobody who was asked has all of it */
    bool have_members_said; /* every other member of the chain has said what it has */
    bool have_all_said;     /* every other target of the chain has */
    uint32_t node_id;       /* the last whose bytes were needed; 0: nobody's */
};
/* The same of content that may be damaged here: what is damaged comes from others, if they have it.
 * The caller holds the chunk's lock, and gathered.content is its own when 0 is returned. */
int content_gather(struct target *t, struct chunk_id chunk, enum chunk_pin_which which,
                   uint64_t version, struct gathered *ret) fiber_fn must_check;
/* The other side. */
int content_answer(struct target *t, struct rpc_call *call, const struct fetch_chunk_request *req,
                   struct fetch_chunk_reply *reply) fiber_fn must_check;
