/* schema.c - keys and records of the metadata store. */
#include "meta/schema.h"

#include "base/check.h"
#include <endian.h>
#include <sys/stat.h>

static void key_add(struct meta_key *k, const void *data, size_t size)
{
    check(size <= sizeof k->data - k->size);
    if (size) memcpy(k->data + k->size, data, size);
    k->size += size;
}

static void key_add_u64(struct meta_key *k, uint64_t v)
{
    uint64_t big = htobe64(v);
    key_add(k, &big, sizeof big);
}

struct meta_key key_prefix(const char prefix[4])
{
    struct meta_key k = { .size = 0 };
    key_add(&k, prefix, 4);
    return k;
}

static struct meta_key key_of_id(const char prefix[4], uint64_t id)
{
    struct meta_key k = key_prefix(prefix);
    key_add_u64(&k, id);
    return k;
}

struct meta_key key_inode(uint64_t id)
{
    return key_of_id("INOD", id);
}

struct meta_key key_directory_times(uint64_t id)
{
    return key_of_id("DTIM", id);
}

struct meta_key key_directory_links(uint64_t id)
{
    return key_of_id("DSUB", id);
}

struct meta_key key_dentry(uint64_t parent, struct bytes name)
{
    struct meta_key k = key_of_id("DENT", parent);
    key_add(&k, name.base, name.size);
    return k;
}

struct meta_key key_xattr(uint64_t id, struct bytes name)
{
    struct meta_key k = key_of_id("XATR", id);
    key_add(&k, name.base, name.size);
    return k;
}

static void key_add_uuid(struct meta_key *k, const struct uuid *u)
{
    key_add_u64(k, u->high);
    key_add_u64(k, u->low);
}

struct meta_key key_session(uint64_t id, const struct uuid *session)
{
    struct meta_key k = key_of_id("INOS", id);
    if (session) key_add_uuid(&k, session);
    return k;
}

struct meta_key key_idempotency(const struct uuid *client, const struct uuid *request)
{
    struct meta_key k = key_prefix("IDEM");
    key_add_uuid(&k, client);
    key_add_uuid(&k, request);
    return k;
}

struct meta_key key_trim(uint64_t id)
{
    return key_of_id("TRIM", id);
}

struct meta_key key_gc_shard(uint32_t shard)
{
    struct meta_key k = key_prefix("GCEN");
    uint8_t byte = (uint8_t)(shard % GC_SHARD_COUNT);
    key_add(&k, &byte, 1);
    return k;
}

struct meta_key key_gc(uint64_t id)
{
    struct meta_key k = key_gc_shard((uint32_t)(id % GC_SHARD_COUNT));
    key_add_u64(&k, id);
    return k;
}

struct meta_key key_single(const char *name)
{
    struct meta_key k = key_prefix("SING");
    key_add(&k, name, strlen(name));
    return k;
}

struct meta_key key_after_prefix(const struct meta_key *prefix)
{
    struct meta_key k = *prefix;
    while (k.size && k.data[k.size - 1] == 0xff)
        k.size--;
    check(k.size > 0);
    k.data[k.size - 1]++;
    return k;
}

static uint64_t id_at(struct bytes key, size_t offset)
{
    uint64_t big = 0;
    if (key.size >= offset + sizeof big) memcpy(&big, key.base + offset, sizeof big);
    return be64toh(big);
}

uint64_t key_inode_of_session(struct bytes key, struct uuid *ret_session)
{
    *ret_session = (struct uuid){ id_at(key, 12), id_at(key, 20) };
    return id_at(key, 4);
}

uint64_t key_inode_of_gc(struct bytes key)
{
    return id_at(key, 5);
}

uint64_t key_inode_of_trim(struct bytes key)
{
    return id_at(key, 4);
}

struct bytes key_name_of(struct bytes key)
{
    return key.size < 12 ? bytes_of(NULL, 0) : bytes_of(key.base + 12, key.size - 12);
}

struct bytes meta_record_encode(struct arena *arena, void (*put)(struct wire_out *, const void *),
                                const void *value)
{
    struct wire_out out = wire_out_heap();
    uint8_t format = META_VALUE_FORMAT;
    u8_put(&out, &format);
    put(&out, value);
    check(!out.failed);
    struct bytes copy = arena_copy(arena, wire_out_bytes(&out));
    wire_out_free(&out);
    return copy;
}

int meta_record_decode(struct arena *arena, void (*get)(struct wire_in *, void *),
                       struct bytes bytes, void *value)
{
    struct wire_in in = wire_in_of(bytes, arena);
    uint8_t format = 0;
    u8_get(&in, &format);
    if (in.failed || format == 0) return -ERR_META_INCONSISTENT;
    if (format > META_VALUE_FORMAT) return -ERR_FORMAT_TOO_NEW;
    get(&in, value);
    return in.failed ? -ERR_META_INCONSISTENT : 0;
}

int inode_load_bare(struct kv_txn *txn, struct arena *arena, uint64_t id, enum kv_read mode,
                    struct inode *ret)
{
    struct meta_key key = key_inode(id);
    struct bytes value;
    int r = kv_get(txn, meta_key_bytes(&key), mode, arena, &value);
    if (r < 0) return r;
    if (r == 0) return -ERR_META_NOT_FOUND;
    struct stored_inode stored;
    r = RECORD_DECODE(arena, stored_inode, value, &stored);
    if (r < 0) return r;
    *ret = stored.inode;
    return 0;
}

int inode_merge_directory(struct kv_txn *txn, struct arena *arena, struct inode *dir)
{
    struct meta_key times_key = key_directory_times(dir->id),
                    links_key = key_directory_links(dir->id);
    struct bytes keys[2] = { meta_key_bytes(&times_key), meta_key_bytes(&links_key) }, values[2];
    bool found[2];
    int r = kv_get_many(txn, keys, 2, KV_SNAPSHOT, arena, found, values);
    if (r < 0) return r;
    struct directory_times times;
    struct directory_links links = { 0 };
    if (found[0]) {
        r = RECORD_DECODE(arena, directory_times, values[0], &times);
        if (r < 0) return r;
        dir->mtime_ns = times.mtime_ns;
        dir->ctime_ns = MAX_OF(dir->ctime_ns, times.ctime_ns);
    }
    if (found[1]) {
        r = RECORD_DECODE(arena, directory_links, values[1], &links);
        if (r < 0) return r;
    }
    dir->nlink = dir->nlink ? 2 + links.subdirectory_count : 0;
    dir->change = (uint64_t)dir->ctime_ns;
    return 0;
}

int inode_load(struct kv_txn *txn, struct arena *arena, uint64_t id, enum kv_read mode,
               struct inode *ret)
{
    int r = inode_load_bare(txn, arena, id, mode, ret);
    if (r < 0 || !S_ISDIR(ret->mode)) return r;
    return inode_merge_directory(txn, arena, ret);
}

void inode_store(struct kv_txn *txn, struct arena *arena, const struct inode *inode)
{
    struct meta_key key = key_inode(inode->id);
    struct stored_inode stored = { .inode = *inode };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(arena, stored_inode, &stored));
}

void inode_erase(struct kv_txn *txn, const struct inode *inode)
{
    struct meta_key key = key_inode(inode->id);
    kv_clear(txn, meta_key_bytes(&key));
    struct meta_key begin = key_xattr(inode->id, bytes_of(NULL, 0)), end = key_after_prefix(&begin);
    kv_clear_range(txn, meta_key_bytes(&begin), meta_key_bytes(&end));
    if (!S_ISDIR(inode->mode)) return;
    key = key_directory_times(inode->id);
    kv_clear(txn, meta_key_bytes(&key));
    key = key_directory_links(inode->id);
    kv_clear(txn, meta_key_bytes(&key));
}

int dentry_load(struct kv_txn *txn, struct arena *arena, uint64_t parent, struct bytes name,
                enum kv_read mode, struct stored_dentry *ret)
{
    struct meta_key key = key_dentry(parent, name);
    struct bytes value;
    int r = kv_get(txn, meta_key_bytes(&key), mode, arena, &value);
    if (r <= 0) return r;
    r = RECORD_DECODE(arena, stored_dentry, value, ret);
    return r < 0 ? r : 1;
}

void dentry_store(struct kv_txn *txn, struct arena *arena, uint64_t parent, struct bytes name,
                  const struct stored_dentry *dentry)
{
    struct meta_key key = key_dentry(parent, name);
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(arena, stored_dentry, dentry));
}

void dentry_erase(struct kv_txn *txn, uint64_t parent, struct bytes name)
{
    struct meta_key key = key_dentry(parent, name);
    kv_clear(txn, meta_key_bytes(&key));
}

void directory_set_times(struct kv_txn *txn, struct arena *arena, uint64_t dir, int64_t mtime_ns,
                         int64_t ctime_ns)
{
    struct meta_key key = key_directory_times(dir);
    struct directory_times times = { mtime_ns, ctime_ns };
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(arena, directory_times, &times));
}

void directory_touch(struct kv_txn *txn, struct arena *arena, uint64_t dir, int64_t now_ns)
{
    directory_set_times(txn, arena, dir, now_ns, now_ns);
}

int directory_add_links(struct kv_txn *txn, struct arena *arena, uint64_t dir, int delta)
{
    struct meta_key key = key_directory_links(dir);
    struct bytes value;
    struct directory_links links = { 0 };
    int r = kv_get(txn, meta_key_bytes(&key), KV_SERIALIZABLE, arena, &value);
    if (r < 0) return r;
    if (r > 0) {
        r = RECORD_DECODE(arena, directory_links, value, &links);
        if (r < 0) return r;
    }
    if (delta < 0 && links.subdirectory_count < (uint32_t)-delta) return -ERR_META_INCONSISTENT;
    links.subdirectory_count = (uint32_t)((int64_t)links.subdirectory_count + delta);
    kv_set(txn, meta_key_bytes(&key), RECORD_ENCODE(arena, directory_links, &links));
    return 0;
}

int directory_is_empty(struct kv_txn *txn, struct arena *arena, uint64_t dir)
{
    struct meta_key begin = key_dentry(dir, bytes_of(NULL, 0)), end = key_after_prefix(&begin);
    struct kv_pairs pairs;
    int r = kv_get_range(txn, meta_key_bytes(&begin), meta_key_bytes(&end), 1, KV_SERIALIZABLE,
                         arena, &pairs);
    return r < 0 ? r : pairs.count == 0;
}
