/* base_lmdb.c - the base as one LMDB environment: data.mdb and lock.mdb in the store's directory.
 *
 * The environment is this process's alone (embedded.c holds a lock over it), so LMDB's own lock
 * file is never shared. MDB_NOTLS: a read transaction belongs to no thread. A step is one write
 * transaction, begun and committed inside of one call on a helper thread, with LMDB's full
 * durability (two syncs).
 *
 * Own keys: 0xff "format" (u32, refused when newer) and 0xff "version" (u64, of the last step).
 */
#include "base/check.h"
#include "kv/base.h"
#include "loop/loop.h"

#include <errno.h>
#include <linux/magic.h>
#include <lmdb.h>
#include <sys/vfs.h>

enum { FORMAT = 1, READERS_MAX = 1024 };
#define MAP_BYTES_DEFAULT (64 * GIB)
#define MAP_BYTES_MIN     MIB
#define KEY_FORMAT                                                                                 \
    BYTES_LITERAL("\xff"                                                                           \
                  "format")
#define KEY_VERSION                                                                                \
    BYTES_LITERAL("\xff"                                                                           \
                  "version")

struct room {
    uint64_t used_bytes, free_bytes;
};

struct base {
    struct node *node;
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t version;
    uint64_t map_bytes;
    struct room room; /* as of the last step */
    uint32_t page_bytes;
    uint32_t reader_count;
};

struct base_reader {
    struct base *base;
    MDB_txn *txn;
    MDB_cursor *cursor;
};

static int error_from_lmdb(int rc)
{
    switch (rc) {
    case 0: return 0;
    case MDB_MAP_FULL: return -ERR_KV_FULL;
    case ENOSPC: return -ERR_KV_FULL;
    case EDQUOT: return -ERR_KV_FULL;
    case MDB_READERS_FULL: return -ERR_TXN_THROTTLED;
    case MDB_VERSION_MISMATCH: return -ERR_FORMAT_TOO_NEW;
    default: return rc > 0 ? error_from_errno(rc) : -ERR_DATA_CORRUPTION;
    }
}

static MDB_val val_of(struct bytes b)
{
    return (MDB_val){ .mv_size = b.size, .mv_data = (void *)(uintptr_t)b.base };
}

static struct bytes bytes_of_val(const MDB_val *v)
{
    return bytes_of(v->mv_data, v->mv_size);
}

/* ---- opening ---- */

/* File systems over which neither mmap nor locks are to be trusted between hosts. */
static int check_file_system(struct node *node, const char *dir)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } refused[] = {
        { NFS_SUPER_MAGIC, "NFS" }, { 0x65735546, "FUSE" },     { V9FS_MAGIC, "9P" },
        { SMB_SUPER_MAGIC, "SMB" }, { 0xff534d42, "CIFS" },     { 0xfe534d42, "SMB2" },
        { 0x00c36400, "Ceph" },     { AFS_SUPER_MAGIC, "AFS" }, { 0x0bd00bd0, "Lustre" },
        { 0x47504653, "GPFS" },     { 0x01161970, "GFS2" },     { CODA_SUPER_MAGIC, "Coda" },
    };
    struct statfs fs;
    if (statfs(dir, &fs) < 0) return error_from_errno(errno);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        if ((uint32_t)fs.f_type != refused[i].magic) continue;
        return log_error(&node->log, -ERR_NOT_SUPPORTED,
                         "kv: %s is on %s; the embedded store needs a local file system", dir,
                         refused[i].name);
    }
    return 0;
}

/* Pages on LMDB's list of free ones. */
static int count_free_pages(MDB_txn *txn, uint64_t *ret)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t count = 0;
    int rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc != 0) return error_from_lmdb(rc);
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t pages;
        memcpy(&pages, value.mv_data, sizeof(pages));
        count += pages;
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND) return error_from_lmdb(rc);
    *ret = count;
    return 0;
}

/* On any thread. */
static int measure_room(const struct base *base, struct room *ret)
{
    MDB_txn *txn;
    MDB_envinfo info;
    uint64_t free_pages = 0;
    int rc = mdb_txn_begin(base->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) return error_from_lmdb(rc);
    int r = count_free_pages(txn, &free_pages);
    mdb_txn_abort(txn);
    if (r < 0) return r;
    rc = mdb_env_info(base->env, &info);
    if (rc != 0) return error_from_lmdb(rc);
    uint64_t end_bytes = ((uint64_t)info.me_last_pgno + 1) * base->page_bytes;
    ret->used_bytes = end_bytes - MIN_OF(end_bytes, free_pages * base->page_bytes);
    ret->free_bytes = info.me_mapsize - MIN_OF((uint64_t)info.me_mapsize, ret->used_bytes);
    return 0;
}

/* Of an own key of fixed size: 1, 0 when absent, or an error. */
static int get_own(MDB_txn *txn, MDB_dbi dbi, struct bytes name, void *to, size_t size)
{
    MDB_val key = val_of(name), value;
    int rc = mdb_get(txn, dbi, &key, &value);
    if (rc == MDB_NOTFOUND) return 0;
    if (rc != 0) return error_from_lmdb(rc);
    if (value.mv_size != size) return -ERR_DATA_CORRUPTION;
    memcpy(to, value.mv_data, size);
    return 1;
}

static int put_own(MDB_txn *txn, MDB_dbi dbi, struct bytes name, const void *from, size_t size)
{
    MDB_val key = val_of(name), value = val_of(bytes_of(from, size));
    return error_from_lmdb(mdb_put(txn, dbi, &key, &value, 0));
}

/* Makes a new store, or reads what the store says of itself. */
static int open_database(struct base *base, MDB_txn *txn)
{
    uint32_t format = FORMAT;
    int r = error_from_lmdb(mdb_dbi_open(txn, NULL, 0, &base->dbi));
    if (r < 0) return r;
    r = get_own(txn, base->dbi, KEY_FORMAT, &format, sizeof(format));
    if (r < 0) return r;
    if (r == 0) return put_own(txn, base->dbi, KEY_FORMAT, &format, sizeof(format));
    if (format > FORMAT) return -ERR_FORMAT_TOO_NEW;
    r = get_own(txn, base->dbi, KEY_VERSION, &base->version, sizeof(base->version));
    return r < 0 ? r : 0;
}

struct opening {
    struct base *base;
    const char *dir;
};

static int do_open(void *arg)
{
    struct opening *o = arg;
    struct base *base = o->base;
    MDB_txn *txn;
    int rc = mdb_env_create(&base->env);
    if (rc == 0) rc = mdb_env_set_mapsize(base->env, base->map_bytes);
    if (rc == 0) rc = mdb_env_set_maxreaders(base->env, READERS_MAX);
    if (rc == 0) rc = mdb_env_open(base->env, o->dir, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (rc == 0) rc = mdb_txn_begin(base->env, NULL, 0, &txn);
    if (rc != 0) return error_from_lmdb(rc);
    int r = open_database(base, txn);
    if (r < 0) {
        mdb_txn_abort(txn);
        return r;
    }
    r = error_from_lmdb(mdb_txn_commit(txn));
    MDB_stat stat;
    if (r >= 0) r = error_from_lmdb(mdb_env_stat(base->env, &stat));
    if (r < 0) return r;
    base->page_bytes = stat.ms_psize;
    return measure_room(base, &base->room);
}

int base_open(struct node *node, const struct base_options *options, struct base **ret)
{
    cleanup_(base_closep) struct base *base = new_zero(struct base);
    base->node = node;
    base->map_bytes = options->map_bytes ? options->map_bytes : MAP_BYTES_DEFAULT;
    base->map_bytes = MAX_OF(base->map_bytes, MAP_BYTES_MIN) / 65536 * 65536;
    int r = check_file_system(node, options->dir);
    if (r >= 0) r = blocking_run(node, do_open, &(struct opening){ base, options->dir });
    if (r < 0) return r;
    *ret = TAKE_PTR(base);
    return 0;
}

struct base *base_close(struct base *base)
{
    if (!base) return NULL;
    check(base->reader_count == 0);
    if (base->env) mdb_env_close(base->env);
    free(base);
    return NULL;
}

uint64_t base_version(const struct base *base)
{
    return base->version;
}

/* ---- reading ---- */

int base_reader_open(struct base *base, struct base_reader **ret)
{
    struct base_reader *reader = new_zero(struct base_reader);
    reader->base = base;
    int rc = mdb_txn_begin(base->env, NULL, MDB_RDONLY, &reader->txn);
    if (rc == 0) rc = mdb_cursor_open(reader->txn, base->dbi, &reader->cursor);
    base->reader_count++;
    if (rc != 0) {
        base_reader_close(reader);
        return error_from_lmdb(rc);
    }
    *ret = reader;
    return 0;
}

struct base_reader *base_reader_close(struct base_reader *reader)
{
    if (!reader) return NULL;
    if (reader->cursor) mdb_cursor_close(reader->cursor);
    if (reader->txn) mdb_txn_abort(reader->txn);
    reader->base->reader_count--;
    free(reader);
    return NULL;
}

int base_get(struct base_reader *reader, struct bytes key, struct bytes *ret)
{
    if (key.size == 0 || key.size > KV_KEY_BYTES_MAX || key.base[0] == 0xff) return 0;
    MDB_val k = val_of(key), v;
    int rc = mdb_get(reader->txn, reader->base->dbi, &k, &v);
    if (rc == MDB_NOTFOUND) return 0;
    if (rc != 0) return error_from_lmdb(rc);
    *ret = bytes_of_val(&v);
    return 1;
}

static int take_pair(int rc, const MDB_val *k, const MDB_val *v, struct kv_pair *ret)
{
    if (rc == MDB_NOTFOUND) return 0;
    if (rc != 0) return error_from_lmdb(rc);
    *ret = (struct kv_pair){ bytes_of_val(k), bytes_of_val(v) };
    return ret->key.base[0] == 0xff ? 0 : 1;
}

int base_seek(struct base_reader *reader, struct bytes key, bool is_reverse, struct kv_pair *ret)
{
    MDB_val k = val_of(key), v;
    MDB_cursor *cursor = reader->cursor;
    if (key.size == 0 && is_reverse) return 0;
    int rc = mdb_cursor_get(cursor, &k, &v, key.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
    if (!is_reverse) return take_pair(rc, &k, &v, ret);
    /* The last before what is at or behind the key; own keys stand at the end, so there is one. */
    if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_PREV);
    else if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    return take_pair(rc, &k, &v, ret);
}

int base_step(struct base_reader *reader, bool is_reverse, struct kv_pair *ret)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(reader->cursor, &k, &v, is_reverse ? MDB_PREV : MDB_NEXT);
    return take_pair(rc, &k, &v, ret);
}

/* ---- changing ---- */

/* Runs beside the loop: what it finds out goes into the base only afterwards. */
struct applying {
    const struct base *base;
    const struct base_change *changes;
    size_t count;
    uint64_t version;
    struct room room;
};

static int apply_changes(const struct applying *a, MDB_txn *txn)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct base_change *change = &a->changes[i];
        MDB_val k = val_of(change->key), v = val_of(change->value);
        int rc = change->is_clear ? mdb_del(txn, a->base->dbi, &k, NULL)
                                  : mdb_put(txn, a->base->dbi, &k, &v, 0);
        if (rc != 0 && !(change->is_clear && rc == MDB_NOTFOUND)) return error_from_lmdb(rc);
    }
    return put_own(txn, a->base->dbi, KEY_VERSION, &a->version, sizeof(a->version));
}

static int do_apply(void *arg)
{
    struct applying *a = arg;
    MDB_txn *txn;
    int r = error_from_lmdb(mdb_txn_begin(a->base->env, NULL, 0, &txn));
    if (r < 0) return r;
    r = apply_changes(a, txn);
    if (r < 0) {
        mdb_txn_abort(txn);
        return r;
    }
    r = error_from_lmdb(mdb_txn_commit(txn));
    if (r < 0) return r;
    a->room = a->base->room;
    int ignored = measure_room(a->base, &a->room); /* the step is done all the same */
    (void)ignored;
    return 0;
}

int base_apply(struct base *base, const struct base_change *changes, size_t count, uint64_t version)
{
    FIBER_SHIELD();
    struct applying a = { .base = base, .changes = changes, .count = count, .version = version };
    int r = blocking_run(base->node, do_apply, &a);
    if (r < 0) return r;
    base->version = version;
    base->room = a.room;
    return 0;
}

/* Every change may copy a path of pages, but not more than there are; and what is copied is freed
 * only afterwards. */
bool base_has_room(const struct base *base, uint64_t key_count, uint64_t bytes)
{
    uint64_t copied = MIN_OF(key_count * 3 * base->page_bytes, base->room.used_bytes);
    uint64_t reserve = base->map_bytes / 16;
    return copied + 2 * bytes + reserve <= base->room.free_bytes;
}
