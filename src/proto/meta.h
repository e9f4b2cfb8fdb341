/* meta.h - messages of the metadata service: POSIX operations on inodes and directory entries.
 *
 * Every change carries {client, request} uuids and is idempotent: a retry of a request that was
 * executed gets the first answer. Names are single components (no '/', not empty, ≤ 255 bytes);
 * paths are walked by the client.
 */
#pragma once
#include "proto/common.h"
#include "rpc/rpc.h"

#define INODE_ROOT    0ull
#define INODE_GC_ROOT 1ull
#define INODE_FIRST   0x1000ull
#define INODE_MAX     0x01ffffffffffffffull
#define TRIM_NONE     UINT64_MAX

enum {
    NAME_BYTES_MAX = 255,
    SYMLINK_BYTES_MAX = 4095,
    XATTR_VALUE_BYTES_MAX = 65536,
    LINK_COUNT_MAX = 65535
};

#define LAYOUT(F)                                                                                  \
    F(u32, table_id, "chain table; 0 with table_version 0: chains are chain ids themselves")       \
    F(u32, table_version, "0 (directories): the latest at file creation")                          \
    F(u32, chunk_size, "bytes; a power of two, CHUNK_BYTES_MIN to CHUNK_BYTES_MAX")                \
    F(u32, stripe, "chains that the file is spread over")                                          \
    F(u32_list, chains,                                                                            \
      "1-based indexes into the table, stripe of them; chunk i is on [i % stripe]; "               \
      "empty for directories")
WIRE_RECORD(layout, LAYOUT)

#define INODE(F)                                                                                   \
    F(u64, id, "")                                                                                 \
    F(u32, mode, "file type and permission bits, as in stat")                                      \
    F(u32, uid, "")                                                                                \
    F(u32, gid, "")                                                                                \
    F(u32, nlink, "directories: 2 + subdirectories")                                               \
    F(u64, length, "bytes; files, and targets of symlinks")                                        \
    F(u64, rdev, "devices")                                                                        \
    F(i64, atime_ns, "wall clock")                                                                 \
    F(i64, mtime_ns, "")                                                                           \
    F(i64, ctime_ns, "")                                                                           \
    F(i64, btime_ns, "")                                                                           \
    F(u64, change, "raised whenever content or attributes are settled: close-to-open")             \
    F(u32, generation, "raised by each shrinking truncate, and after its trim; writes carry it")   \
    F(u64, trim_from, "bytes; chunks from here are being removed; TRIM_NONE: no trim is pending")  \
    F(layout, layout, "files and directories")                                                     \
    F(u64, parent, "directories: the parent's inode id")                                           \
    F(blob, symlink, "target")                                                                     \
    F(u32, flags, "FS_*_FL bits")
WIRE_RECORD(inode, INODE)
WIRE_LIST(inode)

enum meta_flags {
    META_KERNEL_CHECKED =
        1,               /* permissions were checked by the caller's kernel; needs the ROOT right */
    META_SENT_AGAIN = 2, /* an earlier one may still be under way: a refusal is kept as an answer */
};

/* Begins every request. */
#define META_BASE(F)                                                                               \
    F(user_info, user, "")                                                                         \
    F(uuid, client, "as in the client session")                                                    \
    F(uuid, request, "of a change: kept by retries, never reused")                                 \
    F(u32, flags, "meta_flags")
WIRE_RECORD(meta_base, META_BASE)

#define LOOKUP_REQUEST(F)                                                                          \
    F(meta_base, base, "")                                                                         \
    F(u64, parent, "")                                                                             \
    F(blob, name, "'..' and '.' are understood")
WIRE_RECORD(lookup_request, LOOKUP_REQUEST)
#define INODE_REPLY(F)                                                                             \
    F(inode, inode, "")                                                                            \
    F(u8, created, "1: made by this request")
WIRE_RECORD(inode_reply, INODE_REPLY)

#define STAT_REQUEST(F)                                                                            \
    F(meta_base, base, "")                                                                         \
    F(u64_list, inodes, "at most 1024")
WIRE_RECORD(stat_request, STAT_REQUEST)
#define STAT_REPLY(F) F(inode_list, inodes, "nlink 0 and mode 0 for what does not exist")
WIRE_RECORD(stat_reply, STAT_REPLY)

/* file, directory, fifo, socket, device, symlink: by the type bits of mode. */
#define CREATE_REQUEST(F)                                                                          \
    F(meta_base, base, "")                                                                         \
    F(u64, parent, "")                                                                             \
    F(blob, name, "")                                                                              \
    F(u32, mode, "type and permissions, umask applied by the caller")                              \
    F(u64, rdev, "")                                                                               \
    F(blob, symlink, "target")                                                                     \
    F(u8, exclusive, "1: Exists when present; 0: an existing file is opened")                      \
    F(uuid, session, "not zero: also opens the file for writing under this session")               \
    F(layout, layout, "stripe 0: the directory's")
WIRE_RECORD(create_request, CREATE_REQUEST)

#define OPEN_REQUEST(F)                                                                            \
    F(meta_base, base, "")                                                                         \
    F(u64, inode, "")                                                                              \
    F(u32, access, "R_OK | W_OK")                                                                  \
    F(u8, truncate, "1: to length 0")                                                              \
    F(uuid, session, "also for readers: keeps chunks of an unlinked file until the close")
WIRE_RECORD(open_request, OPEN_REQUEST)

/* What a writer knows of a file's end and times. */
#define SETTLE_REQUEST(F)                                                                          \
    F(meta_base, base, "")                                                                         \
    F(u64, inode, "")                                                                              \
    F(u8, wrote, "1: length_hint and times count")                                                 \
    F(u64, length_hint, "end of the furthest write of this session")                               \
    F(u32, generation, "of the hint; an older one makes meta ask the storage")                     \
    F(i64, mtime_ns, "0: unchanged")                                                               \
    F(i64, atime_ns, "0: unchanged")
WIRE_RECORD(settle_request, SETTLE_REQUEST)

/* Ends sessions of open files, after what was written under them was settled, and moves access
 * times on. Unknown sessions and inodes are no error: a retry finds them gone. */
enum { CLOSE_COUNT_MAX = 1024 };
#define OPEN_FILE(F)                                                                               \
    F(u64, inode, "")                                                                              \
    F(uuid, session, "zero: none, only atime_ns counts")                                           \
    F(i64, atime_ns, "when it was read last; 0, or less than meta has: unchanged")
WIRE_RECORD(open_file, OPEN_FILE)
WIRE_LIST(open_file)
#define CLOSE_REQUEST(F)                                                                           \
    F(meta_base, base, "")                                                                         \
    F(open_file_list, files, "at most CLOSE_COUNT_MAX")
WIRE_RECORD(close_request, CLOSE_REQUEST)

/* Reserves [offset, offset + length) behind the present end of the file. */
#define APPEND_REQUEST(F)                                                                          \
    F(meta_base, base, "")                                                                         \
    F(u64, inode, "")                                                                              \
    F(u64, length, "")
WIRE_RECORD(append_request, APPEND_REQUEST)
#define APPEND_REPLY(F)                                                                            \
    F(u64, offset, "")                                                                             \
    F(inode, inode, "with the new length")
WIRE_RECORD(append_reply, APPEND_REPLY)

enum setattr_set {
    SETATTR_MODE = 1,
    SETATTR_UID = 2,
    SETATTR_GID = 4,
    SETATTR_LENGTH = 8,
    SETATTR_ATIME = 16,
    SETATTR_MTIME = 32,
    SETATTR_ATIME_NOW = 64,
    SETATTR_MTIME_NOW = 128,
    SETATTR_FLAGS = 256,
    SETATTR_LAYOUT = 512,
    SETATTR_EXTEND_ONLY = 1024, /* with LENGTH: never shrinks (fallocate) */
    SETATTR_KILL_SUID = 2048
};
#define SETATTR_REQUEST(F)                                                                         \
    F(meta_base, base, "")                                                                         \
    F(u64, inode, "")                                                                              \
    F(u32, set, "setattr_set bits")                                                                \
    F(u32, mode, "")                                                                               \
    F(u32, uid, "")                                                                                \
    F(u32, gid, "")                                                                                \
    F(u64, length, "")                                                                             \
    F(i64, atime_ns, "")                                                                           \
    F(i64, mtime_ns, "")                                                                           \
    F(u32, flags, "")                                                                              \
    F(layout, layout, "directories only")                                                          \
    F(u8, via_open_file, "1: through a descriptor open for writing; no permission check of LENGTH")
WIRE_RECORD(setattr_request, SETATTR_REQUEST)

#define LINK_REQUEST(F)                                                                            \
    F(meta_base, base, "")                                                                         \
    F(u64, inode, "existing, not a directory")                                                     \
    F(u64, parent, "")                                                                             \
    F(blob, name, "")
WIRE_RECORD(link_request, LINK_REQUEST)

enum remove_kind { REMOVE_FILE, REMOVE_DIRECTORY, REMOVE_TREE };
#define REMOVE_REQUEST(F)                                                                          \
    F(meta_base, base, "")                                                                         \
    F(u64, parent, "")                                                                             \
    F(blob, name, "")                                                                              \
    F(u8, kind, "remove_kind; TREE: files too, and whatever is below a directory")                 \
    F(u64, inode, "0: whatever is there; else NotFound unless it is this one")
WIRE_RECORD(remove_request, REMOVE_REQUEST)

enum rename_flags { RENAME_FLAG_NOREPLACE = 1, RENAME_FLAG_EXCHANGE = 2 };
#define RENAME_REQUEST(F)                                                                          \
    F(meta_base, base, "")                                                                         \
    F(u64, parent, "")                                                                             \
    F(blob, name, "")                                                                              \
    F(u64, new_parent, "")                                                                         \
    F(blob, new_name, "")                                                                          \
    F(u32, flags, "rename_flags")
WIRE_RECORD(rename_request, RENAME_REQUEST)

#define DENTRY(F)                                                                                  \
    F(blob, name, "")                                                                              \
    F(u64, inode, "")                                                                              \
    F(u32, mode, "type bits")
WIRE_RECORD(dentry, DENTRY)
WIRE_LIST(dentry)
#define LIST_REQUEST(F)                                                                            \
    F(meta_base, base, "")                                                                         \
    F(u64, parent, "gc_list: entries behind that of this inode; 0: from the first")                \
    F(blob, after, "names greater than this one, in byte order")                                   \
    F(u32, count_max, "0: 1024")                                                                   \
    F(u8, with_inodes, "")
WIRE_RECORD(list_request, LIST_REQUEST)
#define LIST_REPLY(F)                                                                              \
    F(dentry_list, entries, "without . and ..")                                                    \
    F(inode_list, inodes, "with_inodes: one an entry")                                             \
    F(u8, more, "")
WIRE_RECORD(list_reply, LIST_REPLY)

#define XATTR_REQUEST(F)                                                                           \
    F(meta_base, base, "")                                                                         \
    F(u64, inode, "")                                                                              \
    F(blob, name, "with its prefix; user.*, trusted.* (root), security.* (root to set)")           \
    F(blob, value, "set")                                                                          \
    F(u32, flags, "XATTR_CREATE, XATTR_REPLACE")
WIRE_RECORD(xattr_request, XATTR_REQUEST)
#define XATTR_REPLY(F)                                                                             \
    F(blob, value, "get")                                                                          \
    F(text_list, names, "list")
WIRE_RECORD(xattr_reply, XATTR_REPLY)

#define STATFS_REPLY(F)                                                                            \
    F(u64, capacity_bytes, "distinct devices ÷ replicas of the root's table")                      \
    F(u64, free_bytes, "")                                                                         \
    F(u64, inode_count, "")                                                                        \
    F(u64, available_bytes, "0 exactly when a write gets NoSpace")
WIRE_RECORD(statfs_reply, STATFS_REPLY)
#define BASE_REQUEST(F) F(meta_base, base, "")
WIRE_RECORD(base_request, BASE_REQUEST)

#define INODE_REQUEST(F)                                                                           \
    F(meta_base, base, "")                                                                         \
    F(u64, inode, "")
WIRE_RECORD(inode_request, INODE_REQUEST)
#define REAL_PATH_REPLY(F) F(blob, path, "absolute; directories")
WIRE_RECORD(real_path_reply, REAL_PATH_REPLY)

#define GC_ENTRY(F)                                                                                \
    F(blob, name, "")                                                                              \
    F(u64, inode, "")                                                                              \
    F(u32, mode, "")                                                                               \
    F(i64, since_ns, "wall clock")                                                                 \
    F(blob, origin, "path or name that it had")
WIRE_RECORD(gc_entry, GC_ENTRY)
WIRE_LIST(gc_entry)
#define GC_LIST_REPLY(F)                                                                           \
    F(gc_entry_list, entries, "")                                                                  \
    F(u8, more, "")
WIRE_RECORD(gc_list_reply, GC_LIST_REPLY)
#define COUNT_REPLY(F) F(u64, count, "")
WIRE_RECORD(count_reply, COUNT_REPLY)
#define DROP_USER_CACHE_REQUEST(F)                                                                 \
    F(u32, uid, "")                                                                                \
    F(u8, all, "")
WIRE_RECORD(drop_user_cache_request, DROP_USER_CACHE_REQUEST)

#define META_METHODS(M, s)                                                                         \
    M(s, 1, statfs, base_request, statfs_reply)                                                    \
    M(s, 2, lookup, lookup_request, inode_reply)                                                   \
    M(s, 3, create, create_request, inode_reply)                                                   \
    M(s, 6, link, link_request, inode_reply)                                                       \
    M(s, 7, remove, remove_request, inode_reply)                                                   \
    M(s, 8, open, open_request, inode_reply)                                                       \
    M(s, 9, settle, settle_request, inode_reply)                                                   \
    M(s, 10, append, append_request, append_reply)                                                 \
    M(s, 11, rename, rename_request, inode_reply)                                                  \
    M(s, 12, list, list_request, list_reply)                                                       \
    M(s, 14, real_path, inode_request, real_path_reply)                                            \
    M(s, 15, setattr, setattr_request, inode_reply)                                                \
    M(s, 16, session_prune, base_request, count_reply)                                             \
    M(s, 17, drop_user_cache, drop_user_cache_request, empty_record)                               \
    M(s, 18, close, close_request, empty_record)                                                   \
    M(s, 20, stat, stat_request, stat_reply)                                                       \
    M(s, 30, xattr_get, xattr_request, xattr_reply)                                                \
    M(s, 31, xattr_set, xattr_request, empty_record)                                               \
    M(s, 32, xattr_list, xattr_request, xattr_reply)                                               \
    M(s, 33, xattr_remove, xattr_request, empty_record)                                            \
    M(s, 40, gc_list, list_request, gc_list_reply)                                                 \
    M(s, 41, finish_trim, inode_request, inode_reply)
RPC_SERVICE_DECLARE(meta, META_METHODS)
