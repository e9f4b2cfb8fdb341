/* schema.h - keys of the metadata store, and loading and storing its records inside a transaction.
 */
#pragma once
#include "kv/kv.h"
#include "meta/schema_format.h"

struct meta_key {
    uint8_t data[META_KEY_BYTES_MAX];
    size_t size;
};
static inline struct bytes meta_key_bytes(const struct meta_key *k)
{
    return bytes_of(k->data, k->size);
}
struct meta_key key_inode(uint64_t id);
struct meta_key key_directory_times(uint64_t id);
struct meta_key key_directory_links(uint64_t id);
struct meta_key key_dentry(uint64_t parent, struct bytes name); /* empty name: the prefix of all */
struct meta_key key_xattr(uint64_t id, struct bytes name);      /* empty name: the prefix of all */
struct meta_key key_session(uint64_t id, const struct uuid *session); /* NULL: the prefix of all */
struct meta_key key_idempotency(const struct uuid *client, const struct uuid *request);
struct meta_key key_trim(uint64_t id);
struct meta_key key_gc(uint64_t id);
struct meta_key key_gc_shard(uint32_t shard);
struct meta_key key_single(const char *name);
struct meta_key key_prefix(const char prefix[4]);
/* The end of everything below @prefix. */
struct meta_key key_after_prefix(const struct meta_key *prefix);

uint64_t key_inode_of_session(struct bytes key, struct uuid *ret_session);
uint64_t key_inode_of_gc(struct bytes key);
uint64_t key_inode_of_trim(struct bytes key);
struct bytes key_name_of(struct bytes key); /* of a dentry or xattr key */

/* Encodes a record of schema_format.h behind the format byte. */
#define RECORD_ENCODE(arena, record, value)                                                        \
    meta_record_encode((arena), (void (*)(struct wire_out *, const void *))record##_put, (value))
/* 0, or -ERR_META_INCONSISTENT for bytes that are no such record, -ERR_FORMAT_TOO_NEW for a newer
 * format. */
#define RECORD_DECODE(arena, record, bytes, value)                                                 \
    meta_record_decode((arena), (void (*)(struct wire_in *, void *))record##_get, (bytes), (value))
struct bytes meta_record_encode(struct arena *arena, void (*put)(struct wire_out *, const void *),
                                const void *value);
int meta_record_decode(struct arena *arena, void (*get)(struct wire_in *, void *),
                       struct bytes bytes, void *value) must_check;

/* The inode as stored; a directory's times and link count are those of its own record only.
 * NOT_FOUND. */
int inode_load_bare(struct kv_txn *txn, struct arena *arena, uint64_t id, enum kv_read mode,
                    struct inode *ret) fiber_fn must_check;
/* With a directory's times and link count merged in (snapshot reads). */
int inode_load(struct kv_txn *txn, struct arena *arena, uint64_t id, enum kv_read mode,
               struct inode *ret) fiber_fn must_check;
/* Merges times and links into a directory loaded bare. */
int inode_merge_directory(struct kv_txn *txn, struct arena *arena,
                          struct inode *dir) fiber_fn must_check;
void inode_store(struct kv_txn *txn, struct arena *arena, const struct inode *inode);
/* Removes the inode with its xattrs and directory records. */
void inode_erase(struct kv_txn *txn, const struct inode *inode);

/* 1 and the entry, or 0. */
int dentry_load(struct kv_txn *txn, struct arena *arena, uint64_t parent, struct bytes name,
                enum kv_read mode, struct stored_dentry *ret) fiber_fn must_check;
void dentry_store(struct kv_txn *txn, struct arena *arena, uint64_t parent, struct bytes name,
                  const struct stored_dentry *dentry);
void dentry_erase(struct kv_txn *txn, uint64_t parent, struct bytes name);
/* An entry of @dir changed: its times, without reading them. */
void directory_touch(struct kv_txn *txn, struct arena *arena, uint64_t dir, int64_t now_ns);
void directory_set_times(struct kv_txn *txn, struct arena *arena, uint64_t dir, int64_t mtime_ns,
                         int64_t ctime_ns);
/* Adds @delta to the number of subdirectories. */
int directory_add_links(struct kv_txn *txn, struct arena *arena, uint64_t dir,
                        int delta) fiber_fn must_check;
/* 1 when there is no entry, 0 when there is one; a later insertion by others conflicts. */
int directory_is_empty(struct kv_txn *txn, struct arena *arena, uint64_t dir) fiber_fn must_check;
