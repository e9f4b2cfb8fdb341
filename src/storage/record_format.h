/* record_format.h - one content of a chunk as journals and checkpoints store it, and the entry
 * around it.
 *
 * Little-endian, naturally aligned. A journal batch and a checkpoint block are rows of entries:
 *
 *   entry_disk | payload | zeros up to a multiple of 8
 *
 * The payload of ENTRY_RECORD is record_disk, then extent_count + free_count extent_disk, then
 * block_count CRCs. Block CRCs are CRC32C over the real bytes of each 4 KiB of the chunk; the last
 * one covers only the bytes below the chunk's length, so what lies behind them on the disk means
 * nothing. A unit that no extent covers is a hole and reads as zeros.
 */
#pragma once
#include "proto/storage.h"

enum {
    UNIT_BYTES = 64 << 10,
    UNIT_FILE_UNITS = 16384, /* 1 GiB */
    BLOCK_BYTES = CHUNK_CRC_BLOCK_BYTES,
    UNIT_BLOCKS = UNIT_BYTES / BLOCK_BYTES,
    CHUNK_UNIT_COUNT_MAX = CHUNK_BYTES_MAX / UNIT_BYTES,
    CHUNK_PAGE_COUNT_MAX = 64,
    CHUNK_SIZE_LOG2_MIN = 16,
    CHUNK_SIZE_LOG2_MAX = 26,
};

/* E(symbol, number, what the payload is) */
#define ENTRY_TABLE(E)                                                                             \
    E(TARGET, 1, "struct target_disk: made, or its chain version changed")                         \
    E(TARGET_REMOVE, 2, "struct target_remove_disk")                                               \
    E(RECORD, 3, "struct record_disk and what follows it")                                         \
    E(COMMIT, 4, "struct commit_disk: the pending record became the committed one")                \
    E(DROP, 5, "struct drop_disk: a pending record was taken back, a committed one forgotten")     \
    E(IDENTITY, 6, "struct identity_disk")                                                         \
    E(IDENTITY_CLEAR, 7, "struct target_remove_disk: the identities of a target went")             \
    E(FLOOR, 8, "struct floor_disk")                                                               \
    E(CHECKPOINT, 9, "struct checkpoint_mark_disk: the first of an epoch")                         \
    E(DATA_SYNCED, 10, "nothing: its batch is there for what its header says of data")
#define ENTRY_ENUM(sym, number, text) ENTRY_##sym = number,
enum entry_kind { ENTRY_TABLE(ENTRY_ENUM) };
#undef ENTRY_ENUM

struct entry_disk {
    uint32_t crc32c; /* of all behind it, padding included */
    uint32_t size;   /* header and payload, without padding */
    uint32_t kind;
    uint32_t zero;
};

struct chunk_key {
    uint64_t inode;
    uint32_t index;
    uint32_t target; /* target_disk.number */
};

struct extent_disk {
    uint32_t unit;      /* UNIT_FILE_UNITS a file */
    uint16_t at, count; /* units of the chunk */
};

enum record_state { RECORD_PENDING = 1, RECORD_COMMITTED = 2 };

struct record_disk {
    struct chunk_key key;
    uint64_t version;
    uint32_t chain_version;
    uint32_t generation;
    uint64_t client_high, client_low;
    uint64_t seq;
    uint32_t channel;
    uint32_t update_offset, update_length; /* as in update_request */
    uint32_t length;
    uint32_t crc32c; /* of the whole content */
    uint32_t block_count;
    uint16_t extent_count;
    uint16_t free_count; /* units that the commit of this record frees, as extents */
    uint8_t kind;        /* update_kind; a REMOVE is a tombstone */
    uint8_t size_log2;   /* of the chunk size */
    uint8_t state;       /* record_state; RECORD_COMMITTED only in checkpoints */
    uint8_t zero;
};

struct target_disk {
    uint64_t target_id;
    uint32_t number; /* never used twice in a store */
    uint32_t chain_id;
    uint32_t chain_version;
    uint32_t zero;
    uint64_t dropped_version; /* greatest version of a committed record that was forgotten */
};
struct target_remove_disk {
    uint32_t number, zero;
};
struct commit_disk {
    struct chunk_key key;
    uint64_t version;
    uint32_t chain_version;
    uint32_t zero;
};
struct drop_disk {
    struct chunk_key key;
    uint64_t version;
    uint32_t state; /* record_state: which of the two */
    uint32_t channel;
    uint64_t client_high, client_low; /* of the pending one, with its channel and seq; else zero */
    uint64_t seq;
};
struct identity_disk {
    struct chunk_key key;
    uint64_t client_high, client_low;
    uint64_t seq;
    uint64_t version;
    uint32_t channel;
    uint32_t chain_version;
    uint32_t chunk_length, crc32c;
};
struct floor_disk {
    uint64_t inode;
    uint32_t target;
    uint32_t generation; /* 0: none any more */
};

struct checkpoint_mark_disk {
    uint64_t sequence; /* of the checkpoint that is begun */
};

_Static_assert(sizeof(struct entry_disk) == 16, "format");
_Static_assert(sizeof(struct chunk_key) == 16, "format");
_Static_assert(sizeof(struct extent_disk) == 8, "format");
_Static_assert(sizeof(struct record_disk) == 88, "format");
_Static_assert(sizeof(struct target_disk) == 32, "format");
_Static_assert(sizeof(struct target_remove_disk) == 8, "format");
_Static_assert(sizeof(struct commit_disk) == 32, "format");
_Static_assert(sizeof(struct drop_disk) == 56, "format");
_Static_assert(sizeof(struct identity_disk) == 64, "format");
_Static_assert(sizeof(struct floor_disk) == 16, "format");
_Static_assert(CHUNK_BYTES_MIN == 1 << CHUNK_SIZE_LOG2_MIN, "chunk sizes");
_Static_assert(CHUNK_BYTES_MAX == 1 << CHUNK_SIZE_LOG2_MAX, "chunk sizes");
