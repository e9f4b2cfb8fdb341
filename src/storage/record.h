/* record.h - one content of a chunk in memory: where its bytes are and what their CRCs are.
 *
 *      chunk  |  unit 0 |  unit 1 |  unit 2 |  unit 3 |  unit 4 …      64 KiB each
 *             '---- extent ------' '- hole -' '- extent -'
 *      CRCs   ################### 0000000000 ###########              one each 4 KiB, holes too
 *
 * A record never changes once it is published. It is counted: the pending table, the cache and pins
 * each hold one count. pin_count tells how many of them are readers of its units.
 */
#pragma once
#include "base/cleanup.h"
#include "base/error.h"
#include "base/list.h"
#include "storage/record_format.h"
#include <sys/uio.h>

struct record {
    struct record_disk head;
    struct extent_disk *extents; /* head.extent_count; in order of `at`, ranges disjoint */
    struct extent_disk *frees;   /* head.free_count; `at` is not used */
    uint32_t *block_crcs;        /* head.block_count */
    uint32_t ref_count, pin_count;
    bool is_cached;           /* the cache has it, and a count */
    bool is_superseded;       /* not what the index says any more */
    struct list node;         /* LRU of the cache, or the superseded ones that are pinned still */
    struct record *hash_next; /* cache */
    struct extent_disk *deferred; /* superseded: units to free with the last pin */
    uint32_t deferred_count;
};

/* Counts as in @head; extents and CRCs are not set. One count, the caller's. */
struct record *record_new(const struct record_disk *head);
struct record *record_ref(struct record *record);
struct record *record_unref(struct record *record); /* NULL is fine; returns NULL */
CLEANUP_FUNC(struct record *, record_unref)

/* Bytes of memory. */
size_t record_bytes(const struct record *record);

enum { RECORD_PARTS = 4 };
/* The payload of its entry; @parts has RECORD_PARTS places and borrows from the record. */
void record_parts(const struct record *record, struct iovec *parts);
/* -ERR_DATA_CORRUPTION when @payload is no sound record. */
int record_decode(struct bytes payload, struct record **ret) must_check;

static inline uint32_t record_chunk_size(const struct record *record)
{
    return UINT32_C(1) << record->head.size_log2;
}
static inline bool record_is_tombstone(const struct record *record)
{
    return record->head.kind == UPDATE_REMOVE;
}
/* Units of a page of a chunk of that size: the granularity of copy-on-write. */
static inline uint32_t page_unit_count(uint32_t chunk_size)
{
    uint32_t units = chunk_size / CHUNK_PAGE_COUNT_MAX / UNIT_BYTES;
    return units ? units : 1;
}
uint32_t record_unit_count(const struct record *record); /* of its extents */

/* What the identity table says of the update that made the record. */
void record_identity(const struct record_disk *head, struct identity_disk *ret);

/* The extent that covers unit @at of the chunk, or NULL; *ret_end: where it or the hole ends. */
const struct extent_disk *record_find_extent(const struct record *record, uint32_t at,
                                             uint32_t *ret_end);

static inline int chunk_key_compare(const struct chunk_key *a, const struct chunk_key *b)
{
    if (a->target != b->target) return a->target < b->target ? -1 : 1;
    if (a->inode != b->inode) return a->inode < b->inode ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}
