/* chunk_store.c - a disk directory: whose it is, its lock, its shard. The calls on chunks are in
 * chunk_store_calls.c.
 *
 * Making one: superblock that says "not formatted", the shard's files, superblock that says
 * "formatted". A directory with a shard but without superblock is refused: it holds somebody's
 * data.
 */
#include "base/arena.h"
#include "base/check.h"
#include "storage/chunk_store_internal.h"
#include "storage/chunk_store_lock.h"
#include "storage/superblock.h"

#include <string.h>

enum { RESERVE_SHARE = 100 };
static const uint64_t reserve_bytes_min = 64 * MIB;
static const uint64_t record_cache_bytes_default = 256 * MIB;
static const uint64_t checkpoint_journal_bytes_default = 64 * MIB;

static int path_in(const char *dir, const char *name, char **ret)
{
    return asprintf(ret, "%s/%s", dir, name) < 0 ? -ERR_NO_MEMORY : 0;
}

/* The name of a new directory lives in its parent. */
static int sync_parent(struct node *node, const char *path)
{
    cleanup_(freep) char *parent = xstrdup(path);
    char *slash = strrchr(parent, '/');
    if (!slash) return dir_sync(node, ".");
    slash[slash == parent ? 1 : 0] = 0;
    return dir_sync(node, parent);
}

static int lock_directory(struct chunk_store *s)
{
    cleanup_(freep) char *path = NULL;
    int r = dir_make(s->node, s->path, 0700);
    if (r >= 0) r = sync_parent(s->node, s->path);
    if (r >= 0) r = path_in(s->path, "lock", &path);
    if (r >= 0) r = file_open(s->node, path, O_RDWR | O_CREAT, 0600, &s->lock);
    return r < 0 ? r : disk_lock(s->lock);
}

static bool is_ours(const struct superblock_disk *block, const struct chunk_store_options *options)
{
    return block->node_id == options->node_id &&
           bytes_equal(bytes_of(block->cluster_id, block->cluster_id_bytes), options->cluster_id);
}

static int new_superblock(struct chunk_store *s, const struct chunk_store_options *options,
                          struct superblock_disk *ret)
{
    if (options->cluster_id.size > SUPERBLOCK_CLUSTER_ID_BYTES_MAX) return -ERR_INVALID_ARG;
    *ret = (struct superblock_disk){ .magic = SUPERBLOCK_MAGIC,
                                     .version = SUPERBLOCK_FORMAT_VERSION,
                                     .uuid_high = node_random_u64(s->node),
                                     .uuid_low = node_random_u64(s->node),
                                     .node_id = options->node_id,
                                     .shard_count = 1,
                                     .cluster_id_bytes = (uint32_t)options->cluster_id.size };
    memcpy(ret->cluster_id, options->cluster_id.base, options->cluster_id.size);
    return superblock_write(s->node, s->path, ret);
}

/* Reads the superblock, or makes one. */
static int identify(struct chunk_store *s, const struct chunk_store_options *options,
                    const char *shard_path, struct superblock_disk *ret)
{
    int r = superblock_read(s->node, s->path, ret);
    if (r == -ERR_FORMAT_TOO_NEW)
        return log_error(&s->node->log, r,
                         "%s: was written by a newer c3fs; this one knows format %d", s->path,
                         SUPERBLOCK_FORMAT_VERSION);
    if (r < 0) return log_error(&s->node->log, r, "%s: its superblock cannot be used", s->path);
    if (r > 0 && !is_ours(ret, options))
        return log_error(&s->node->log, -ERR_STORAGE_UUID_MISMATCH,
                         "%s: belongs to node %u of cluster %.*s", s->path, ret->node_id,
                         (int)ret->cluster_id_bytes, (const char *)ret->cluster_id);
    if (r > 0 && ret->shard_count != 1) return -ERR_NOT_SUPPORTED;
    /* names that a killed process has made must not vanish under what is built on them */
    if (r > 0) return dir_sync(s->node, s->path);
    if (path_exists(s->node, shard_path))
        return log_error(&s->node->log, -ERR_STORAGE_INIT_FAILED,
                         "%s: holds data but has no superblock", s->path);
    return new_superblock(s, options, ret);
}

static int default_reserve(struct chunk_store *s, uint64_t *ret)
{
    struct disk_space space;
    int r = path_space(s->node, s->path, &space);
    if (r >= 0) *ret = MAX_OF(space.capacity_bytes / RESERVE_SHARE, reserve_bytes_min);
    return r;
}

static int open_shard(struct chunk_store *s, const struct chunk_store_options *options)
{
    cleanup_(freep) char *path = NULL;
    struct superblock_disk block;
    int r = path_in(s->path, "shard-00", &path);
    if (r >= 0) r = identify(s, options, path, &block);
    if (r < 0) return r;
    struct shard_options shard = {
        .node = s->node,
        .path = path,
        .uuid_high = block.uuid_high,
        .uuid_low = block.uuid_low,
        .reserve_bytes = options->reserve_bytes,
        .capacity_bytes = options->capacity_bytes,
        .record_cache_bytes =
            options->record_cache_bytes ? options->record_cache_bytes : record_cache_bytes_default,
        .checkpoint_journal_bytes = options->checkpoint_journal_bytes
                                        ? options->checkpoint_journal_bytes
                                        : checkpoint_journal_bytes_default,
    };
    if (!shard.reserve_bytes) r = default_reserve(s, &shard.reserve_bytes);
    if (r >= 0 && !block.is_formatted) {
        r = shard_format(&shard);
        block.is_formatted = 1;
        if (r >= 0) r = superblock_write(s->node, s->path, &block);
    }
    return r < 0 ? r : shard_open(&shard, &s->shard);
}

static void store_free(struct chunk_store *s)
{
    file_close(s->lock);
    free(s->path);
    free(s);
}

int chunk_store_open(struct node *node, const struct chunk_store_options *options,
                     struct chunk_store **ret)
{
    if (options->shard_count > 1) return -ERR_NOT_SUPPORTED;
    struct chunk_store *s = new_zero(struct chunk_store);
    s->node = node;
    s->path = xstrdup(options->path);
    wait_queue_init(&s->idle);
    int r = lock_directory(s);
    if (r >= 0) r = open_shard(s, options);
    if (r < 0) {
        store_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct chunk_store *chunk_store_close(struct chunk_store *s, bool clean)
{
    if (!s) return NULL;
    FIBER_SHIELD();
    s->is_closing = true;
    while (s->operation_count > 0) {
        int r = wait_queue_wait(&s->idle, "operations to end");
        check(r == 0);
    }
    shard_close(s->shard, clean);
    store_free(s);
    return NULL;
}

int chunk_store_failure(const struct chunk_store *s)
{
    return shard_failure(s->shard);
}

int operation_begin(struct operation *op, struct chunk_store *s, uint64_t target_id)
{
    if (s->is_closing) return -ERR_CANCELED;
    struct shard_target *t = shard_target_find(s->shard, target_id);
    if (!t) return -ERR_TARGET_NOT_FOUND;
    s->operation_count++;
    *op = (struct operation){ s, t };
    return 0;
}

void operation_end(struct operation *op)
{
    if (!op->store) return;
    if (--op->store->operation_count == 0) wait_queue_wake_all(&op->store->idle);
}

int chunk_store_space(struct chunk_store *s, struct store_space *ret)
{
    struct units_space space;
    int r = units_space(s->shard->units, &space);
    if (r >= 0)
        *ret = (struct store_space){ .capacity_bytes = space.capacity_bytes,
                                     .free_bytes = space.free_bytes,
                                     .device = space.device };
    return r;
}

int chunk_store_sync(struct chunk_store *s)
{
    return journal_wait(s->shard->journal, journal_last_lsn(s->shard->journal));
}
