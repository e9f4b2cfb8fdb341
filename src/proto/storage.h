/* storage.h - messages of the storage service: chunks, updates through a chain, recovery, targets.
 *
 * Read data: the bulk part of a batch_read reply is exactly the sum of the requested lengths, in
 * order; what a chunk does not have (hole, past its end, failed io) is zeros there, and
 * result.length says how much is real. Write data: the bulk part of write and update requests.
 */
#pragma once
#include "proto/common.h"
#include "proto/mgmtd.h"

enum update_kind {
    UPDATE_WRITE = 1, /* bytes at an offset */
    UPDATE_REMOVE = 2,
    UPDATE_TRUNCATE = 4, /* sets the chunk's length, shorter or (zeros) longer; creates it */
    UPDATE_EXTEND = 8,   /* only ever longer */
    UPDATE_REPLACE =
        16 /* the whole chunk as its sender has it: resync, and writes to a syncing successor */
};
enum io_flags { IO_ALLOW_UNCOMMITTED = 8 };
enum { CHUNK_BYTES_MIN = 64 << 10, CHUNK_BYTES_MAX = 64 << 20, CHUNK_CRC_BLOCK_BYTES = 4096 };
enum { BATCH_READ_IO_COUNT_MAX = 1024, BATCH_READ_BYTES_MAX = 64 << 20 };

/* Makes a retry the same update, across any restart. A channel has one outstanding update. */
#define UPDATE_ID(F)                                                                               \
    F(uuid, client, "")                                                                            \
    F(u32, channel, "0: not kept in the identity table; such an update is not deduplicated")       \
    F(u64, seq, "grows with each update of a channel")
WIRE_RECORD(update_id, UPDATE_ID)

#define READ_IO(F)                                                                                 \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "refused when not the receiver's")                                       \
    F(chunk_id, chunk, "")                                                                         \
    F(u32, offset, "bytes from the start of the chunk")                                            \
    F(u32, length, "bytes")
WIRE_RECORD(read_io, READ_IO)
WIRE_LIST(read_io)
#define BATCH_READ_REQUEST(F)                                                                      \
    F(read_io_list, ios, "at most BATCH_READ_IO_COUNT_MAX, together BATCH_READ_BYTES_MAX")         \
    F(u32, flags, "io_flags")
WIRE_RECORD(batch_read_request, BATCH_READ_REQUEST)
#define READ_RESULT(F)                                                                             \
    F(u32, status, "0 or a status code; CHUNK_NOT_FOUND for a hole")                               \
    F(u32, length, "real bytes from the offset; the rest of the io's bulk bytes are zeros")        \
    F(u64, version, "committed version that was read")                                             \
    F(u32, chain_version, "at which the head assigned that version")                               \
    F(u32, chunk_length, "of the whole chunk")                                                     \
    F(u32, crc32c, "of the io's bulk bytes, zeros included")
WIRE_RECORD(read_result, READ_RESULT)
WIRE_LIST(read_result)
#define BATCH_READ_REPLY(F) F(read_result_list, results, "one an io, in order")
WIRE_RECORD(batch_read_reply, BATCH_READ_REPLY)

/* From a client to the head. */
#define WRITE_REQUEST(F)                                                                           \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "refused when not the receiver's")                                       \
    F(chunk_id, chunk, "")                                                                         \
    F(update_id, update, "")                                                                       \
    F(u8, kind, "update_kind; not REPLACE")                                                        \
    F(u32, generation, "truncate generation of the inode; refused when below the floor")           \
    F(u32, offset, "WRITE: bytes from the start of the chunk")                                     \
    F(u32, length, "WRITE: bytes of bulk data; TRUNCATE, EXTEND: the new chunk length")            \
    F(u32, chunk_size, "of the file's layout")                                                     \
    F(u32, crc32c, "of the bulk data")
WIRE_RECORD(write_request, WRITE_REQUEST)
#define WRITE_REPLY(F)                                                                             \
    F(u64, version, "committed")                                                                   \
    F(u32, chain_version, "")                                                                      \
    F(u32, chunk_length, "after the update")                                                       \
    F(u32, crc32c, "of the whole chunk after the update")
WIRE_RECORD(write_reply, WRITE_REPLY)

/* From a member of the chain to its successor. */
#define UPDATE_REQUEST(F)                                                                          \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "the sender's; the receiver's must be equal")                            \
    F(chunk_id, chunk, "")                                                                         \
    F(update_id, update, "")                                                                       \
    F(u8, kind, "")                                                                                \
    F(u32, generation, "")                                                                         \
    F(u32, offset, "")                                                                             \
    F(u32, length, "")                                                                             \
    F(u32, chunk_size, "")                                                                         \
    F(u32, crc32c, "of the bulk data")                                                             \
    F(u64, version, "that the head assigned")                                                      \
    F(u32, pair_chain_version, "at which the head assigned the version")                           \
    F(u64, life, "of the sending process: random, not 0")                                          \
    F(u8, is_resync, "1: sent by the resync of an old chunk, not by a new update")                 \
    F(u64, base_version,                                                                           \
      "committed pair below this update: the sender's, or for a resync the "                       \
      "receiver's as the sender saw it; 0: absent or removed")                                     \
    F(u32, base_chain_version, "")                                                                 \
    F(u32, base_crc32c, "of the whole committed chunk")                                            \
    F(u64, epoch, "resync: as given by sync_start; refused when not the receiver's")               \
    F(u32, sync_permille, "resync: how far the sender is with its chunks")                         \
    F(u32_list, block_crcs,                                                                        \
      "REPLACE by what is damaged and nobody has whole: what the CRC of each block ought to be")
WIRE_RECORD(update_request, UPDATE_REQUEST)

#define CHUNK_RANGE_REQUEST(F)                                                                     \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "")                                                                      \
    F(u64, inode, "")                                                                              \
    F(u32, index_begin, "")                                                                        \
    F(u64, index_end, "exclusive; up to 2^32")                                                     \
    F(u32, count_max, "0: unlimited for queries, 1024 for removals")                               \
    F(u32, generation, "removals: as in write_request")                                            \
    F(update_id, update, "removals: seq .. seq + count_max - 1 are used")
WIRE_RECORD(chunk_range_request, CHUNK_RANGE_REQUEST)
#define LAST_CHUNK_REPLY(F)                                                                        \
    F(u32, chunk_count, "in the range; 0: none")                                                   \
    F(u32, last_index, "greatest")                                                                 \
    F(u32, last_length, "its length")                                                              \
    F(u64, total_bytes, "sum of chunk lengths")                                                    \
    F(u8, more, "count_max was reached; chunks with lower indexes were not visited")
WIRE_RECORD(last_chunk_reply, LAST_CHUNK_REPLY)
#define REMOVE_CHUNKS_REPLY(F)                                                                     \
    F(u32, removed_count, "")                                                                      \
    F(u8, more, "call again")
WIRE_RECORD(remove_chunks_reply, REMOVE_CHUNKS_REPLY)

/* Writes to @inode with a lower generation are refused from now on, on every member of the chain.
 */
#define SET_FLOOR_REQUEST(F)                                                                       \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "")                                                                      \
    F(u64, inode, "")                                                                              \
    F(u32, generation, "")
WIRE_RECORD(set_floor_request, SET_FLOOR_REQUEST)

/* To every other serving member: are you still on this chain version? Lets a replica without a
 * valid lease answer reads. Refused with CHAIN_VERSION_MISMATCH. */
#define CHAIN_VERSION_REQUEST(F)                                                                   \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "")
WIRE_RECORD(chain_version_request, CHAIN_VERSION_REQUEST)
/* To the tail: which version of the chunk is committed? */
#define CHUNK_REQUEST(F)                                                                           \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "0: any (query_chunk)")                                                  \
    F(chunk_id, chunk, "")
WIRE_RECORD(chunk_request, CHUNK_REQUEST)

#define CHUNK_META(F)                                                                              \
    F(chunk_id, chunk, "")                                                                         \
    F(u32, chain_version, "of the committed version")                                              \
    F(u64, version, "committed; 0: none")                                                          \
    F(u64, pending_version, "0: none")                                                             \
    F(u8, pending_kind, "update_kind of the pending one")                                          \
    F(u32, length, "committed")                                                                    \
    F(u32, chunk_size, "")                                                                         \
    F(u32, crc32c, "of the whole committed chunk")                                                 \
    F(u8, is_tombstone, "committed removal, kept until no resync needs it")                        \
    F(update_id, update, "identity of the committed version")                                      \
    F(update_id, pending_update, "identity of the pending one")
WIRE_RECORD(chunk_meta, CHUNK_META)
WIRE_LIST(chunk_meta)
#define CHUNK_REPLY(F)                                                                             \
    F(u64, target_id, "")                                                                          \
    F(u8, local_state, "")                                                                         \
    F(u32, local_chain_version, "")                                                                \
    F(u8, found, "")                                                                               \
    F(chunk_meta, meta, "")
WIRE_RECORD(chunk_reply, CHUNK_REPLY)

/* Resync: bucket sums, then the metas of buckets that differ, page by page. */
#define SYNC_REQUEST(F)                                                                            \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "")                                                                      \
    F(u64, target_id, "of the receiver")                                                           \
    F(u64, epoch, "as given by sync_start (which ignores it); refused when not the receiver's")    \
    F(u32_list, buckets, "sync_list: which")                                                       \
    F(chunk_id, after, "sync_list: metas behind this one")                                         \
    F(u32, count_max, "sync_list: 0: 4096")                                                        \
    F(u8, has_after, "0: from the first chunk")
WIRE_RECORD(sync_request, SYNC_REQUEST)
/* To any target of the chain, whatever its state: what it has of a content that is damaged
 * elsewhere. The bulk data may be damaged, too: the asker knows the CRC of each block. */
#define FETCH_CHUNK_REQUEST(F)                                                                     \
    F(u32, chain_id, "")                                                                           \
    F(chunk_id, chunk, "")                                                                         \
    F(u64, version, "of the content, committed or pending")                                        \
    F(u32, pair_chain_version, "of it")                                                            \
    F(u32, length, "of it")                                                                        \
    F(u32, crc32c, "of all of it")                                                                 \
    F(u8, is_any, "1: another content of the chunk will do, if that one is not there")
WIRE_RECORD(fetch_chunk_request, FETCH_CHUNK_REQUEST)
#define FETCH_CHUNK_REPLY(F) F(u32, length, "of what comes, at most that of the request")
WIRE_RECORD(fetch_chunk_reply, FETCH_CHUNK_REPLY)
#define SYNC_START_REPLY(F) F(u64, epoch, "of this attempt: goes into all its messages")
WIRE_RECORD(sync_start_reply, SYNC_START_REPLY)
#define SYNC_BUCKETS_REPLY(F)                                                                      \
    F(u64_list, sums, "SYNC_BUCKET_COUNT of them; a pending record changes its bucket's")
WIRE_RECORD(sync_buckets_reply, SYNC_BUCKETS_REPLY)
#define CHUNK_META_PAGE(F)                                                                         \
    F(chunk_meta_list, metas, "in order of chunk id")                                              \
    F(u8, more, "")
WIRE_RECORD(chunk_meta_page, CHUNK_META_PAGE)
/* The durable table of update identities, copied by resync. */
#define IDENTITY_ENTRY(F)                                                                          \
    F(update_id, update, "")                                                                       \
    F(chunk_id, chunk, "")                                                                         \
    F(u64, version, "")                                                                            \
    F(u32, chain_version, "")                                                                      \
    F(u32, chunk_length, "result")                                                                 \
    F(u32, crc32c, "result")
WIRE_RECORD(identity_entry, IDENTITY_ENTRY)
WIRE_LIST(identity_entry)
#define FLOOR_ENTRY(F)                                                                             \
    F(u64, inode, "")                                                                              \
    F(u32, generation, "")
WIRE_RECORD(floor_entry, FLOOR_ENTRY)
WIRE_LIST(floor_entry)
#define IDENTITY_PAGE(F)                                                                           \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "")                                                                      \
    F(u64, target_id, "")                                                                          \
    F(u64, epoch, "")                                                                              \
    F(identity_entry_list, entries, "")                                                            \
    F(floor_entry_list, floors, "")
WIRE_RECORD(identity_page, IDENTITY_PAGE)
enum { SYNC_BUCKET_COUNT = 4096 };

#define LIST_CHUNKS_REQUEST(F)                                                                     \
    F(u64, target_id, "")                                                                          \
    F(chunk_id, after, "")                                                                         \
    F(u32, count_max, "0: 4096")                                                                   \
    F(u8, has_after, "0: from the first chunk")
WIRE_RECORD(list_chunks_request, LIST_CHUNKS_REQUEST)

#define SPACE_INFO_REPLY(F) F(disk_info_list, disks, "")
WIRE_RECORD(space_info_reply, SPACE_INFO_REPLY)

#define CREATE_TARGET_REQUEST(F)                                                                   \
    F(u64, target_id, "")                                                                          \
    F(u32, disk_index, "")                                                                         \
    F(u32, chain_id, "")                                                                           \
    F(u8, allow_existing, "")
WIRE_RECORD(create_target_request, CREATE_TARGET_REQUEST)
#define TARGET_REQUEST(F)                                                                          \
    F(u64, target_id, "")                                                                          \
    F(u8, force, "")
WIRE_RECORD(target_request, TARGET_REQUEST)

#define STORAGE_METHODS(M, s)                                                                      \
    M(s, 1, batch_read, batch_read_request, batch_read_reply)                                      \
    M(s, 2, write, write_request, write_reply)                                                     \
    M(s, 3, update, update_request, write_reply)                                                   \
    M(s, 5, query_last_chunk, chunk_range_request, last_chunk_reply)                               \
    M(s, 7, remove_chunks, chunk_range_request, remove_chunks_reply)                               \
    M(s, 8, sync_start, sync_request, sync_start_reply)                                            \
    M(s, 9, sync_done, sync_request, empty_record)                                                 \
    M(s, 10, space_info, empty_record, space_info_reply)                                           \
    M(s, 11, create_target, create_target_request, empty_record)                                   \
    M(s, 12, query_chunk, chunk_request, chunk_reply)                                              \
    M(s, 13, list_chunks, list_chunks_request, chunk_meta_page)                                    \
    M(s, 16, offline_target, target_request, empty_record)                                         \
    M(s, 17, remove_target, target_request, empty_record)                                          \
    M(s, 30, set_floor, set_floor_request, empty_record)                                           \
    M(s, 31, confirm_chain_version, chain_version_request, empty_record)                           \
    M(s, 32, committed_version, chunk_request, chunk_reply)                                        \
    M(s, 33, sync_buckets, sync_request, sync_buckets_reply)                                       \
    M(s, 34, sync_list, sync_request, chunk_meta_page)                                             \
    M(s, 35, sync_identities, identity_page, empty_record)                                         \
    M(s, 36, fetch_chunk, fetch_chunk_request, fetch_chunk_reply)
RPC_SERVICE_DECLARE(storage, STORAGE_METHODS)
