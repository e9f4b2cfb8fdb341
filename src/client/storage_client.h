/* storage_client.h - reads and updates of chunks by whichever node can serve them, retried until a
 * deadline.
 *
 * Operations name chain ids; the client finds the chain's members in the routing, picks a replica
 * (reads: any SERVING one, spread; updates and queries: the head), groups by node, sends in
 * parallel within limits, and on failure refreshes the routing or moves to another replica, with
 * backoff, under one total deadline (the fiber's, or options.total_timeout_ns). An update keeps its
 * (channel, seq) through retries, so it happens exactly once.
 */
#pragma once
#include "client/mgmtd_client.h"
#include "proto/storage.h"

struct storage_client;
struct storage_client_options {
    struct uuid client;          /* identity of updates; the session's uuid */
    uint64_t total_timeout_ns;   /* 0: 60 s */
    uint64_t attempt_timeout_ns; /* 0: 5 s: one request to one node */
    uint32_t channel_count;      /* outstanding updates; 0: 1024 */
    bool verify_reads;           /* check the CRC of what arrives (always on but in benchmarks) */
};
struct storage_client *storage_client_new(struct node *node, struct mgmtd_client *mgmtd,
                                          const struct storage_client_options *options);
struct storage_client *storage_client_free(struct storage_client *c) fiber_fn;
CLEANUP_FUNC(struct storage_client *, storage_client_free)

enum target_choice { TARGET_SPREAD, TARGET_HEAD, TARGET_TAIL, TARGET_INDEX };

struct chunk_read {
    uint32_t chain_id;
    struct chunk_id chunk;
    uint32_t offset, length; /* bytes */
    void *to;                /* length bytes; what does not exist becomes zeros */
    int status;              /* out: 0, -ERR_CHUNK_NOT_FOUND (zeros were filled in), or an error */
    uint32_t real_length;    /* out: bytes from offset that the chunk really has */
    uint64_t version;        /* out */
};
struct read_options {
    enum target_choice choice;
    uint32_t target_index;      /* TARGET_INDEX: position in the chain */
    uint32_t flags;             /* io_flags */
    uint32_t *ret_absent_count; /* NULL, or raised by the reads that found no chunk */
};
/* Any number of reads; 0 when each has its status set (CHUNK_NOT_FOUND is fine), else the first
 * error. */
int chunks_read(struct storage_client *c, struct chunk_read *reads, uint32_t count,
                const struct read_options *options) fiber_fn must_check;

struct chunk_write {
    uint32_t chain_id;
    struct chunk_id chunk;
    enum update_kind kind; /* WRITE, REMOVE, TRUNCATE, EXTEND */
    uint32_t generation;
    uint32_t offset, length; /* WRITE: bytes of @from; TRUNCATE, EXTEND: the new length */
    uint32_t chunk_size;
    const void *from;
    int status;             /* out */
    uint32_t chunk_length;  /* out */
    uint64_t version;       /* out */
    uint32_t chain_version; /* out: of the pair with version, which only grows */
};
/* In parallel; writes to one chunk must not be in one call. 0 or the first error; each has its
 * status. */
int chunks_write(struct storage_client *c, struct chunk_write *writes,
                 uint32_t count) fiber_fn must_check;

/* The greatest chunk of @inode in [index_begin, index_end) on one chain. */
int chunks_query_last(struct storage_client *c, uint32_t chain_id, uint64_t inode,
                      uint32_t index_begin, uint64_t index_end,
                      struct last_chunk_reply *ret) fiber_fn must_check;
/* Removes all chunks of the range on one chain, in as many calls as needed. */
int chunks_remove_range(struct storage_client *c, uint32_t chain_id, uint64_t inode,
                        uint32_t index_begin, uint64_t index_end, uint32_t generation,
                        uint64_t *ret_removed) fiber_fn must_check;
int chunks_set_floor(struct storage_client *c, uint32_t chain_id, uint64_t inode,
                     uint32_t generation) fiber_fn must_check;
/* Every replica's view of one chunk; @ret has as many as the chain has members (arena). */
int chunks_query(struct storage_client *c, struct arena *arena, uint32_t chain_id,
                 struct chunk_id chunk, struct chunk_reply **ret,
                 uint32_t *ret_count) fiber_fn must_check;
