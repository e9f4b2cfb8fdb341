/* chunk_index.h - what the store knows of every chunk, in memory, ordered by (target, inode,
 * index).
 *
 *   branches ──► branch: up to 256 leaves ──► leaf: up to 84 entries of 48 bytes
 *
 * Three levels, no recursion. A full leaf first shifts entries to a neighbour of its branch; a leaf
 * that grows at its end (files written in order) starts a new one instead of splitting, so leaves
 * stay full. At random keys a chunk takes about 60 bytes of memory, in ordered ones 50.
 *
 * Pointers to entries are valid until the next insert or remove.
 */
#pragma once
#include "storage/record.h"

struct index_entry {
    struct chunk_key key;
    uint64_t locator; /* of the committed record; 0: never committed */
    uint64_t version;
    uint32_t chain_version;
    uint32_t length; /* tombstones: seconds of the node's clock when it became one */
    uint32_t crc32c;
    uint32_t pending : 27;   /* 1 + slot in the pending table; 0: none */
    uint32_t size_class : 4; /* log2 of the chunk size, less CHUNK_SIZE_LOG2_MIN */
    uint32_t is_tombstone : 1;
};
_Static_assert(sizeof(struct index_entry) == 48, "memory a chunk");

struct index_branch;
struct chunk_index {
    struct index_branch **branches;
    uint32_t branch_count, branch_capacity;
    uint64_t entry_count;
    uint64_t bytes; /* of memory */
};

void chunk_index_init(struct chunk_index *index);
void chunk_index_done(struct chunk_index *index);
struct index_entry *chunk_index_find(const struct chunk_index *index, const struct chunk_key *key);
/* The entry of @key; a new one is zero but for its key. */
struct index_entry *chunk_index_insert(struct chunk_index *index, const struct chunk_key *key);
void chunk_index_remove(struct chunk_index *index, const struct chunk_key *key); /* it is there */
/* The first entry behind @key, or with @is_inclusive at it; NULL at the end. */
struct index_entry *chunk_index_next(const struct chunk_index *index, const struct chunk_key *key,
                                     bool is_inclusive);
/* The last entry before @key. */
struct index_entry *chunk_index_prev(const struct chunk_index *index, const struct chunk_key *key);
