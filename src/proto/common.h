/* common.h - records that several services share. Numbers of enums are stable and those of 3FS. */
#pragma once
#include "wire/wire.h"

enum node_type { NODE_MGMTD, NODE_META, NODE_STORAGE, NODE_CLIENT, NODE_FUSE, NODE_TYPE_MAX };

/* A chunk of a file. Ordered by inode, then index: byte order of inode BE64, index BE32. */
#define CHUNK_ID(F)                                                                                \
    F(u64, inode, "file the chunk belongs to")                                                     \
    F(u32, index, "position of the chunk in the file")
WIRE_RECORD(chunk_id, CHUNK_ID)

#define UUID(F)                                                                                    \
    F(u64, high, "")                                                                               \
    F(u64, low, "")
WIRE_RECORD(uuid, UUID)

static inline int chunk_id_compare(struct chunk_id a, struct chunk_id b)
{
    if (a.inode != b.inode) return a.inode < b.inode ? -1 : 1;
    return (a.index > b.index) - (a.index < b.index);
}
static inline bool uuid_equal(struct uuid a, struct uuid b)
{
    return a.high == b.high && a.low == b.low;
}
static inline bool uuid_is_zero(struct uuid a)
{
    return !a.high && !a.low;
}

/* For whom a request is made. A peer without the ROOT right may only speak for its own uid. */
#define USER_INFO(F)                                                                               \
    F(u32, uid, "")                                                                                \
    F(u32, gid, "")                                                                                \
    F(u32_list, groups, "supplementary")
WIRE_RECORD(user_info, USER_INFO)

#define TAG(F)                                                                                     \
    F(text, key, "")                                                                               \
    F(text, value, "")
WIRE_RECORD(tag, TAG)
WIRE_LIST(tag)

#define EMPTY_RECORD(F) F(u8, unused, "")
WIRE_RECORD(empty_record, EMPTY_RECORD)
