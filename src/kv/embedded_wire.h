/* embedded_wire.h - what the frames between processes of one embedded store carry; private to
 * src/kv.
 *
 * Snapshots are named by the asking side, with growing numbers, and live on the holder's side of a
 * connection: the first GET or RANGE with a new number opens it; COMMIT closes it, DROP does, and
 * the end of the connection.
 */
#pragma once
#include "wire/wire.h"

enum { KV_WIRE_VERSION = 1 };

enum kv_wire_kind {
    KV_WIRE_HELLO = 1, /* answered when the store is open */
    KV_WIRE_PING,      /* answered at once, always */
    KV_WIRE_OPEN,      /* of a long snapshot */
    KV_WIRE_GET,
    KV_WIRE_RANGE,
    KV_WIRE_COMMIT,
    KV_WIRE_DROP, /* not answered */
    KV_WIRE_SETTLE,
};

#define KV_WIRE_HELLO_FIELDS(F) F(u32, version, "KV_WIRE_VERSION of the sender")
WIRE_RECORD(kv_wire_hello, KV_WIRE_HELLO_FIELDS)

#define KV_WIRE_SNAPSHOT_FIELDS(F) F(u64, snapshot, "number given by the asking side")
WIRE_RECORD(kv_wire_snapshot, KV_WIRE_SNAPSHOT_FIELDS)

#define KV_WIRE_GET_FIELDS(F)                                                                      \
    F(u64, snapshot, "")                                                                           \
    F(text_list, keys, "")                                                                         \
    F(u8, is_newest, "if this opens it: also what is not durable yet")
WIRE_RECORD(kv_wire_get, KV_WIRE_GET_FIELDS)

#define KV_WIRE_GOT_FIELDS(F)                                                                      \
    F(u8_list, found, "0 or 1 for each key")                                                       \
    F(text_list, values, "empty when absent")                                                      \
    F(u8, is_durable, "all that the snapshot shows")
WIRE_RECORD(kv_wire_got, KV_WIRE_GOT_FIELDS)

#define KV_WIRE_RANGE_FIELDS(F)                                                                    \
    F(u64, snapshot, "")                                                                           \
    F(blob, begin, "")                                                                             \
    F(blob, end, "")                                                                               \
    F(u32, limit, "")                                                                              \
    F(u32, bytes_max, "")                                                                          \
    F(u8, is_reverse, "")                                                                          \
    F(u8, is_newest, "as of a get")
WIRE_RECORD(kv_wire_range, KV_WIRE_RANGE_FIELDS)

/* Keys and values in turn. */
#define KV_WIRE_PAIRS_FIELDS(F)                                                                    \
    F(text_list, items, "key, value, key, value, …")                                               \
    F(u8, has_more, "")                                                                            \
    F(u8, is_durable, "as of a get")
WIRE_RECORD(kv_wire_pairs, KV_WIRE_PAIRS_FIELDS)

#define KV_WIRE_CHECK_FIELDS(F)                                                                    \
    F(blob, begin, "")                                                                             \
    F(blob, end, "")                                                                               \
    F(u8, is_key, "")                                                                              \
    F(u8, has_digest, "")                                                                          \
    F(u64, digest, "")
WIRE_RECORD(kv_wire_check, KV_WIRE_CHECK_FIELDS)
WIRE_LIST(kv_wire_check)

#define KV_WIRE_WRITE_FIELDS(F)                                                                    \
    F(u8, kind, "enum kv_write_kind")                                                              \
    F(blob, key, "")                                                                               \
    F(blob, value, "or the end of a cleared range")
WIRE_RECORD(kv_wire_write, KV_WIRE_WRITE_FIELDS)
WIRE_LIST(kv_wire_write)

#define KV_WIRE_COMMIT_FIELDS(F)                                                                   \
    F(u64, snapshot, "0: none")                                                                    \
    F(u64, digest_key_0, "")                                                                       \
    F(u64, digest_key_1, "")                                                                       \
    F(kv_wire_check_list, checks, "")                                                              \
    F(kv_wire_write_list, writes, "")
WIRE_RECORD(kv_wire_commit, KV_WIRE_COMMIT_FIELDS)
