/* schema_format.h - what the metadata service keeps in the transactional store, and nothing else.
 *
 *   key                                        value
 *   INOD inode                                 stored_inode: struct inode; a directory's times and
 * links are apart DTIM inode                                 directory_times: written blindly by
 * every change of an entry, so that creations in one directory do not conflict DSUB inode
 * directory_links: number of subdirectories DENT parent name stored_dentry XATR inode name bytes,
 * as given INOS inode session                         stored_session: an open file of a client IDEM
 * client request                        idempotency_record: first answer of a change; client 0: of
 * a creation whose entry is gone TRIM inode
 * trim_record: a truncate whose chunks are still to go GCEN shard inode stored_gc: an unlinked
 * inode whose rest is to be collected SING inode-alloc                           u64: next free
 * inode id SING meta-format                           u32: META_FORMAT_VERSION; a newer one is
 * refused
 *
 * Ids are big endian: neighbours in a directory or in creation order are neighbours in the store.
 * Every value but xattrs begins with a format byte, META_VALUE_FORMAT.
 */
#pragma once
#include "proto/meta.h"

enum { META_FORMAT_VERSION = 1, META_VALUE_FORMAT = 1, META_KEY_BYTES_MAX = 4 + 8 + 255 + 1 };
enum { GC_SHARD_COUNT = 64 };

#define STORED_INODE(F) F(inode, inode, "")
WIRE_RECORD(stored_inode, STORED_INODE)

#define DIRECTORY_TIMES(F)                                                                         \
    F(i64, mtime_ns, "")                                                                           \
    F(i64, ctime_ns, "also the change counter of the directory")
WIRE_RECORD(directory_times, DIRECTORY_TIMES)

#define DIRECTORY_LINKS(F) F(u32, subdirectory_count, "")
WIRE_RECORD(directory_links, DIRECTORY_LINKS)

#define STORED_DENTRY(F)                                                                           \
    F(u64, inode, "")                                                                              \
    F(u32, mode, "type bits")                                                                      \
    F(uuid, request, "that made it: a retry finds its own work")
WIRE_RECORD(stored_dentry, STORED_DENTRY)

#define STORED_SESSION(F)                                                                          \
    F(uuid, client, "")                                                                            \
    F(i64, opened_ns, "wall clock")                                                                \
    F(u8, writes, "")
WIRE_RECORD(stored_session, STORED_SESSION)

#define IDEMPOTENCY_RECORD(F)                                                                      \
    F(i64, time_ns, "wall clock")                                                                  \
    F(u32, status, "")                                                                             \
    F(inode, inode, "answer")                                                                      \
    F(u64, offset, "answer of append")
WIRE_RECORD(idempotency_record, IDEMPOTENCY_RECORD)

#define TRIM_RECORD(F)                                                                             \
    F(i64, time_ns, "wall clock")                                                                  \
    F(u32, generation, "")
WIRE_RECORD(trim_record, TRIM_RECORD)

#define STORED_GC(F)                                                                               \
    F(i64, since_ns, "wall clock")                                                                 \
    F(u32, mode, "type bits")                                                                      \
    F(blob, origin, "name that it had")
WIRE_RECORD(stored_gc, STORED_GC)
