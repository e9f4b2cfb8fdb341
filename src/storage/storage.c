/* storage.c - the role's life: disks, server, heartbeats, the watch over disks, a clean stop. */
#include "storage/storage.h"
#include "base/check.h"
#include "client/core_service.h"
#include "loop/file.h"
#include "loop/loop.h"
#include "storage/scrub.h"
#include "storage/storage_internal.h"
#include <errno.h>

#define SETTING_STRUCT_NAME storage_settings
SETTINGS_TABLE(storage_settings_table, STORAGE_SETTINGS)

#define FAREWELL_TIMEOUT_NS (500 * MSEC)
#define RETRY_FREE_BYTES    (16 * MIB)     /* of a file system, for its disk to be tried again */
#define TOMBSTONE_ROUND_NS  (1 * 60 * SEC) /* at most; else an eighth of their age */

int storage_check_settings(const struct storage_settings *settings, struct arena *arena,
                           const char **ret_error)
{
    if (settings->shard_count == 1) return 0;
    *ret_error = arena_printf(arena, "key 'disk.shards': %u is not 1, all that this release has",
                              settings->shard_count);
    return -ERR_CONFIG_INVALID_VALUE;
}

void storage_count(struct storage *s, const char *name, uint64_t amount)
{
    *metrics_cell(s->node->metrics, name) += amount;
}

int storage_peer(struct storage *s, uint32_t node_id, enum rpc_class class,
                 struct net_address *address, struct rpc_target *ret)
{
    int r = routing_address(s->routing, node_id, address);
    if (r < 0) return r;
    *ret = (struct rpc_target){ s->peers, address, class };
    return 0;
}

/* ---- disks ---- */

static void disk_fail(struct storage *s, struct disk *disk, int error)
{
    if (disk->error) return;
    disk->error = error;
    storage_count(s, "storage.disks_failed", 1);
    log_error(&s->node->log, error, "disk %u at %s is taken out of use", disk->index, disk->path);
    list_for_each (it, &s->targets) {
        struct target *t = list_entry(it, struct target, link);
        if (t->disk == disk) target_fail(t, error);
    }
    mgmtd_client_kick_heartbeat(s->mgmtd);
}

void storage_check_disk(struct storage *s, struct disk *disk)
{
    int error = disk->store ? chunk_store_failure(disk->store) : 0;
    if (error < 0) disk_fail(s, disk, error);
}

static int open_error(struct storage *s, const struct disk *disk, int r)
{
    const char *why = "";
    if (r == -ERR_BUSY) why = " (another process uses it: is there a second storage of this id?)";
    if (r == -ERR_STORAGE_UUID_MISMATCH) why = " (it belongs to another cluster or node)";
    if (r == -ERR_FORMAT_TOO_NEW) why = " (it was written by a newer release)";
    return log_error(&s->node->log, r, "disk %u at %s cannot be used%s", disk->index, disk->path,
                     why);
}

/* A disk that fails takes its targets out, not the process; but a directory that is not ours, or
 * written by a newer release, is a mistake of whoever starts us. */
static bool is_operators_mistake(int r)
{
    return r == -ERR_BUSY || r == -ERR_STORAGE_UUID_MISMATCH || r == -ERR_FORMAT_TOO_NEW ||
           r == -ERR_CANCELED;
}

int storage_open_disk(struct storage *s, struct disk *disk)
{
    const struct storage_settings *set = s->settings;
    struct chunk_store_options options = { .path = disk->path,
                                           .cluster_id = bytes_of_text(set->cluster_id),
                                           .node_id = set->node_id,
                                           .shard_count = set->shard_count,
                                           .reserve_bytes = set->reserve_bytes,
                                           .capacity_bytes = set->capacity_bytes };
    int r = chunk_store_open(s->node, &options, &disk->store);
    if (r == 0) r = chunk_store_space(disk->store, &disk->space);
    if (r == 0) r = targets_load(s, disk);
    if (r == 0) {
        disk->error = 0;
        return 0;
    }
    open_error(s, disk, r);
    if (is_operators_mistake(r)) return r;
    disk->error = r;
    storage_count(s, "storage.disks_failed", 1);
    return 0;
}

static uint32_t usable_disk_count(const struct storage *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->disk_count; i++)
        count += s->disks[i].error == 0;
    return count;
}

/* Damaged or broken: others have the data, and an operator may put another disk in its place while
 * the process lives. Anything else is a directory that cannot be used. */
static bool is_disks_fault(int error)
{
    return error_to_errno(error) == EIO;
}

static int open_disks(struct storage *s)
{
    const struct setting_text_list *paths = &s->settings->target_paths;
    s->disks = xcalloc(paths->count + 1, sizeof *s->disks);
    for (uint32_t i = 0; i < paths->count; i++) {
        struct disk *disk = &s->disks[s->disk_count++];
        *disk = (struct disk){ .index = i, .path = paths->items[i] };
        int r = storage_open_disk(s, disk);
        if (r < 0) return r;
    }
    /* One bad disk is told and left out; with a directory that cannot be used, and nothing else to
     * serve, there is no point in going on. */
    if (usable_disk_count(s) == 0 && !is_disks_fault(s->disks[0].error))
        return log_error(&s->node->log, s->disks[0].error, "none of the disks can be used");
    return 0;
}

static void close_disks(struct storage *s)
{
    while (!list_empty(&s->targets)) {
        struct target *t = list_entry(s->targets.next, struct target, link);
        list_remove(&t->link);
        map_remove(&s->by_chain, t->chain_id);
        target_free(t);
    }
    for (uint32_t i = 0; i < s->disk_count; i++) {
        struct disk *disk = &s->disks[i];
        if (disk->store) disk->store = chunk_store_close(disk->store, disk->error == 0);
    }
    free(s->disks);
}

void storage_list_disks(struct storage *s, struct arena *arena, struct disk_info_list *ret)
{
    ret->items = arena_array(arena, struct disk_info, s->disk_count);
    ret->count = s->disk_count;
    for (uint32_t i = 0; i < s->disk_count; i++) {
        const struct disk *disk = &s->disks[i];
        struct disk_info *info = &ret->items[i];
        *info = (struct disk_info){ .disk_index = i,
                                    .path = bytes_of_text(disk->path),
                                    .device = disk->space.device,
                                    .capacity_bytes = disk->space.capacity_bytes,
                                    .free_bytes = disk->error ? 0 : disk->space.free_bytes,
                                    .failed = disk->error != 0 };
        uint32_t count = 0;
        list_for_each (it, &s->targets) {
            count += list_entry(it, struct target, link)->disk == disk;
        }
        info->targets.items = arena_array(arena, uint64_t, count);
        list_for_each (it, &s->targets) {
            const struct target *t = list_entry(it, struct target, link);
            if (t->disk == disk) info->targets.items[info->targets.count++] = t->target_id;
        }
    }
}

/* ---- watch over disks ---- */

static void drop_tombstones(struct storage *s)
{
    uint64_t now_ns = node_now_ns(s->node), age_ns = s->settings->tombstone_age_ns;
    if (now_ns < age_ns) return;
    for (uint32_t i = 0; i < s->disk_count; i++) {
        struct disk *disk = &s->disks[i];
        if (disk->error) continue;
        for (uint32_t j = 0; j < store_target_count(disk->store); j++) {
            uint64_t id = store_target_at(disk->store, j)->target_id;
            struct target *t = storage_find_target(s, id);
            /* While somebody is being filled, a removal must be remembered. */
            if (!t || !target_is_serving(t) || t->serving_count != t->all_count) continue;
            target_use(t);
            int r = chunk_drop_tombstones(disk->store, id, now_ns - age_ns);
            target_unuse(t);
            if (r < 0) storage_check_disk(s, disk);
            if (r > 0) storage_count(s, "storage.tombstones_dropped", (uint64_t)r);
        }
    }
}

/* Other programs had taken all of the file system, the reserve too, so that the journal could not
 * grow; the disk is good again when they have given some back. */
static int retry_full_disk(struct storage *s, struct disk *disk)
{
    struct disk_space space;
    if (error_to_errno(disk->error) != ENOSPC) return 0;
    int r = path_space(s->node, disk->path, &space);
    if (r >= 0 && space.free_bytes >= RETRY_FREE_BYTES) r = storage_reopen_disk(s, disk);
    return r == -ERR_CANCELED ? r : 0;
}

static int watch_disks(void *arg)
{
    struct storage *s = arg;
    uint64_t round_ns = MIN_OF(TOMBSTONE_ROUND_NS, s->settings->tombstone_age_ns / 8);
    uint64_t next_tombstones_ns = node_now_ns(s->node) + round_ns;
    for (;;) {
        for (uint32_t i = 0; i < s->disk_count; i++) {
            struct disk *disk = &s->disks[i];
            int r = disk->error ? retry_full_disk(s, disk) : 0;
            if (r < 0) return r;
            if (disk->error) continue;
            storage_check_disk(s, disk);
            struct store_space space;
            r = chunk_store_space(disk->store, &space);
            if (r == 0) disk->space = space;
            /* A file system that cannot even tell its size has gone. */
            if (r < 0 && r != -ERR_CANCELED && r != -ERR_TIMEOUT) disk_fail(s, disk, r);
        }
        if (node_now_ns(s->node) >= next_tombstones_ns) {
            drop_tombstones(s);
            next_tombstones_ns = node_now_ns(s->node) + round_ns;
        }
        int r = fiber_sleep(s->settings->check_ns);
        if (r < 0) return r;
    }
}

/* ---- the cluster ---- */

static void fill_heartbeat(void *arg, struct arena *arena, struct heartbeat_request *request)
{
    struct storage *s = arg;
    storage_list_disks(s, arena, &request->disks);
    uint32_t count = 0;
    list_for_each (it, &s->targets) {
        count++;
    }
    request->targets.items = arena_array(arena, struct local_target, count);
    list_for_each (it, &s->targets) {
        const struct target *t = list_entry(it, struct target, link);
        const struct store_target *stored = store_target_find(t->store, t->target_id);
        const struct disk *disk = t->disk;
        request->targets.items[request->targets.count++] =
            (struct local_target){ .target_id = t->target_id,
                                   .local_state = t->is_leaving ? LOCAL_OFFLINE : t->local_state,
                                   .disk_index = disk->index,
                                   .used_bytes = stored ? stored->used_bytes : 0,
                                   .chain_id = t->chain_id,
                                   .chain_version = t->chain_version,
                                   .sync_permille = sync_receive_permille(t),
                                   .low_space =
                                       disk->space.free_bytes < disk->space.capacity_bytes / 25 };
    }
}

static int parse_addresses(struct storage *s, const struct setting_text_list *texts,
                           const char *key, struct net_address *to)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        int r = net_address_parse(texts->items[i], &to[i]);
        if (r < 0)
            return log_error(&s->node->log, r, "%s: '%s' is not an address", key, texts->items[i]);
    }
    return 0;
}

static int parse_key(struct storage *s)
{
    const char *text = s->settings->cluster_key;
    if (!*text)
        return log_error(&s->node->log, -ERR_INVALID_CONFIG,
                         "cluster_key is missing: set it to the key that init-cluster made");
    int r = auth_cluster_key_parse(text, s->keys.cluster_key);
    if (r < 0) return log_error(&s->node->log, r, "cluster_key is malformed: k1: and 64 digits");
    s->keys.cluster_key_size = AUTH_KEY_BYTES;
    return 0;
}

static int connect_cluster(struct storage *s)
{
    const struct storage_settings *set = s->settings;
    if (!set->mgmtd.count)
        return log_error(&s->node->log, -ERR_INVALID_CONFIG, "mgmtd_server_addresses is missing");
    struct net_address *servers = xcalloc(set->mgmtd.count, sizeof *servers);
    int r = parse_addresses(s, &set->mgmtd, "mgmtd_server_addresses", servers);
    if (r == 0) {
        struct auth_identity identity = { .kind = AUTH_SERVER };
        memcpy(identity.key, s->keys.cluster_key, AUTH_KEY_BYTES);
        struct mgmtd_client_options options = { .cluster_id = set->cluster_id,
                                                .servers = servers,
                                                .server_count = set->mgmtd.count,
                                                .identity = &identity };
        s->mgmtd = mgmtd_client_new(s->node, &options);
        s->routing = mgmtd_client_routing(s->mgmtd);
        s->peers = mgmtd_client_pool(s->mgmtd);
        s->keys.is_revoked = mgmtd_client_is_revoked;
        s->keys.is_revoked_arg = s->mgmtd;
    }
    free(servers);
    return r;
}

static int start_server(struct storage *s)
{
    const struct storage_settings *set = s->settings;
    struct rpc_server_options options = { .keys = &s->keys, .bulk_bytes_max = set->buffer_bytes };
    int r = net_address_parse(set->listen, &options.listen);
    if (r < 0) return log_error(&s->node->log, r, "listen: '%s' is not an address", set->listen);
    if (*set->listen_unix) {
        r = net_address_parse(set->listen_unix, &options.listen_unix);
        if (r < 0)
            return log_error(&s->node->log, r, "listen_unix: '%s' is not an address",
                             set->listen_unix);
    }
    r = rpc_server_start(s->node, &options, &s->server);
    if (r < 0)
        return log_error(&s->node->log, r, "cannot listen at %s%s", set->listen,
                         r == -ERR_RPC_LISTEN_FAILED ? ": another process uses the port" : "");
    s->pool = rpc_server_pool(s->server);
    return 0;
}

static int start_heartbeat(struct storage *s)
{
    const struct setting_text_list *given = &s->settings->advertise;
    char own[256];
    const char *own_text = net_address_to_text(rpc_server_address(s->server), own, sizeof own);
    for (uint32_t i = 0; i < given->count; i++) {
        struct net_address alias;
        int r = net_address_parse(given->items[i], &alias);
        if (r < 0)
            return log_error(&s->node->log, r, "advertise: '%s' is not an address",
                             given->items[i]);
        rpc_server_add_alias(s->server, &alias);
    }
    struct heartbeat_options options = { .node_id = s->settings->node_id,
                                         .type = NODE_STORAGE,
                                         .addresses = given->count ? given->items : &own_text,
                                         .address_count = given->count ? given->count : 1,
                                         .fill = fill_heartbeat,
                                         .arg = s };
    return mgmtd_client_start_heartbeat(s->mgmtd, &options);
}

/* ---- the role ---- */

static struct storage *storage_new(struct node *node, const struct storage_settings *settings)
{
    struct storage *s = new_zero(struct storage);
    s->node = node;
    s->settings = settings;
    s->life = node_random_u64(node) | 1;
    list_init(&s->targets);
    map_init(&s->by_chain, node_random_u64(node));
    scope_init(&s->scope, NULL);
    /* Reads leave a part of the buffers to updates, so that neither starves the other. */
    fiber_semaphore_init(&s->read_memory, MAX_OF(settings->buffer_bytes / 2, 72 * MIB));
    fiber_semaphore_init(&s->sync_slots, MAX_OF(settings->resync_concurrency, 1u));
    repairs_init(&s->repairs);
    s->zeros = aligned_alloc(4096, ZERO_BYTES);
    check(s->zeros);
    memset(s->zeros, 0, ZERO_BYTES);
    return s;
}

static bool check_health(void *arg, struct arena *arena, const char **ret_text)
{
    const struct storage *s = arg;
    uint32_t usable_count = usable_disk_count(s);
    bool has_lease = mgmtd_client_lease_end_ns(s->mgmtd) > node_now_ns(s->node);
    *ret_text = arena_printf(arena, "serves %u of %u disks%s", usable_count, s->disk_count,
                             has_lease ? "" : "; no cluster manager answers its heartbeats");
    return usable_count > 0 && has_lease;
}

/* A chain counts on this node's target, and it is not in sync yet, or nobody knows whether it is.
 */
static bool is_unsettled(const struct storage *s, const struct target *t)
{
    if (!s->routing->version) return true;
    const struct chain_info *chain = routing_chain(s->routing, t->chain_id);
    bool is_in_chain = false;
    for (uint32_t i = 0; chain && i < chain->members.count; i++)
        is_in_chain |= chain->members.items[i].target_id == t->target_id;
    return is_in_chain && !target_is_serving(t);
}

static uint32_t count_unsettled(void *arg)
{
    const struct storage *s = arg;
    uint32_t count = 0;
    list_for_each (it, &s->targets) {
        count += is_unsettled(s, list_entry(it, struct target, link));
    }
    return count;
}

static int storage_start(struct storage *s)
{
    if (!s->settings->node_id)
        return log_error(&s->node->log, -ERR_INVALID_CONFIG, "node_id is missing");
    if (!s->settings->target_paths.count)
        return log_error(&s->node->log, -ERR_INVALID_CONFIG, "target_paths is missing");
    int r = parse_key(s);
    if (r == 0) r = connect_cluster(s);
    if (r == 0) r = start_server(s);
    if (r == 0) r = open_disks(s);
    if (r < 0) return r;
    rpc_server_add(s->server, &storage_service, &storage_handlers, s);
    core_serve(s->server, s->node);
    s->node->health_arg = s;
    s->node->check_health = check_health;
    s->node->count_unsettled = count_unsettled;
    r = fiber_spawn(&s->scope, "routing", targets_watch_routing, s);
    if (r == 0) r = fiber_spawn(&s->scope, "disks", watch_disks, s);
    if (r == 0) r = repairs_start(s);
    for (uint32_t i = 0; r == 0 && i < s->disk_count; i++) {
        r = scrub_start(s, &s->disks[i]);
    }
    if (r == 0) r = start_heartbeat(s);
    return r;
}

/* Chains go on without this node before it ends. */
static void storage_stop(struct storage *s)
{
    FIBER_SHIELD();
    s->node->check_health = NULL;
    s->node->count_unsettled = NULL;
    int r = s->mgmtd && s->server ? storage_hand_over(s) : -ERR_PRIMARY_MGMTD_NOT_FOUND;
    s->is_stopping = true;
    if (r != -ERR_PRIMARY_MGMTD_NOT_FOUND) mgmtd_client_say_stopping(s->mgmtd, FAREWELL_TIMEOUT_NS);
    /* Background fibers hold buffers of the server's pool. */
    scope_done(&s->scope);
    repairs_done(&s->repairs);
    if (s->server) s->server = rpc_server_stop(s->server, s->settings->stop_grace_ns);
    if (s->mgmtd) s->mgmtd = mgmtd_client_free(s->mgmtd);
    close_disks(s);
    map_done(&s->by_chain);
    free(s->zeros);
    free(s);
}

int storage_run(struct node *node, const struct storage_settings *settings)
{
    struct storage *s = storage_new(node, settings);
    int r = storage_start(s);
    if (r == 0) {
        log_info(&node->log, "storage %u serves %u of %u disks", settings->node_id,
                 usable_disk_count(s), s->disk_count);
        r = scope_wait(&s->scope);
    }
    storage_stop(s);
    return r == -ERR_CANCELED ? 0 : r;
}
