/* role.c - the roles, over the parts that src/mgmtd, src/meta and src/storage give. */
#include "sim/role.h"
#include "cluster/cluster_init.h"
#include "loop/file.h"
#include "meta/meta.h"
#include "mgmtd/mgmtd.h"
#include "storage/storage.h"
#include <stdio.h>
#include <string.h>

enum { MANAGER_COUNT_MAX = 4 };

const char *role_kind_name(enum role_kind kind)
{
    switch (kind) {
    case ROLE_MGMTD: return "mgmtd";
    case ROLE_META: return "meta";
    case ROLE_STORAGE: return "storage";
    }
    return "?";
}

/* The addresses of the cluster managers one by one; in @arena. */
static struct setting_text_list managers_of(const struct role *role, struct arena *arena)
{
    const char **items = arena_array(arena, const char *, MANAGER_COUNT_MAX);
    uint32_t count = 0;
    for (const char *at = role->mgmtd; *at && count < MANAGER_COUNT_MAX;) {
        size_t size = strcspn(at, ",");
        items[count++] = arena_text(arena, bytes_of(at, size));
        at += size + (at[size] == ',');
    }
    return (struct setting_text_list){ items, count };
}

/* ---- the cluster manager ---- */

static int open_records(struct node *node, const struct role *role, struct kv **ret)
{
    if (role->store) return kv_mem_open(node, role->store, ret);
    struct kv_embedded_options options = { .dir = role->dir, .map_bytes = GIB };
    return kv_embedded_open(node, &options, ret);
}

static int tell_address(struct node *node, const struct role *role, const struct mgmtd *m)
{
    if (role->store) return 0;
    char path[160], text[256];
    snprintf(path, sizeof path, "%s/" ROLE_ADDRESS_FILE, role->dir);
    net_address_to_text(mgmtd_address(m), text, sizeof text);
    return file_replace(node, path, text, strlen(text), 0600);
}

static int serve_mgmtd(struct node *node, struct role *role, struct kv *kv)
{
    struct cluster_identity identity;
    uint8_t key[AUTH_KEY_BYTES];
    struct mgmtd_options options = { .cluster_id = ROLE_CLUSTER_ID,
                                     .node_id = role->node_id,
                                     .hostname = node->name,
                                     .kv = kv,
                                     .cluster_key = key,
                                     .session_timeout_ns = role->session_timeout_ns ?: 60 * SEC,
                                     .capability_ns = 3600 * SEC };
    bool is_known = timing_of("default", &options.timing);
    int r = is_known ? auth_cluster_key_parse(ROLE_KEY, key) : -ERR_INVALID_CONFIG;
    if (r == 0) r = net_address_parse(role->listen, &options.listen);
    struct cluster_init_options init = { .cluster_id = ROLE_CLUSTER_ID, .key = key };
    if (r == 0) r = cluster_init(node, kv, &init, &identity, NULL);
    struct mgmtd *m = NULL;
    if (r == 0) r = mgmtd_start(node, &options, &m);
    if (r == 0) r = tell_address(node, role, m);
    role->instance = m;
    while (r >= 0)
        r = fiber_sleep(3600 * SEC);
    FIBER_SHIELD();
    role->instance = NULL;
    mgmtd_stop(m);
    return r == -ERR_CANCELED ? 0 : r;
}

static int run_mgmtd(struct node *node, struct role *role)
{
    cleanup_(kv_closep) struct kv *kv = NULL;
    int r = open_records(node, role, &kv);
    return r < 0 ? r : serve_mgmtd(node, role, kv);
}

/* ---- a storage ---- */

static int run_storage(struct node *node, const struct role *role)
{
    cleanup_arena_ struct arena arena = { 0 };
    const char *paths[] = { role->dir, arena_printf(&arena, "%s-1", role->dir) };
    struct storage_settings settings;
    settings_init(storage_settings_table, &settings, &arena);
    settings.cluster_id = ROLE_CLUSTER_ID;
    settings.node_id = role->node_id;
    settings.listen = role->listen;
    settings.mgmtd = managers_of(role, &arena);
    settings.target_paths = (struct setting_text_list){ paths, role->disk_count == 2 ? 2 : 1 };
    settings.cluster_key = ROLE_KEY;
    settings.capacity_bytes = role->capacity_bytes ?: 256 * MIB;
    settings.reserve_bytes = 1 * MIB;
    settings.buffer_bytes = 32 * MIB;
    settings.resync_bandwidth = role->resync_bandwidth;
    if (role->resync_concurrency) settings.resync_concurrency = role->resync_concurrency;
    if (role->tombstone_age_ns) settings.tombstone_age_ns = role->tombstone_age_ns;
    if (role->scrub_interval_ns) settings.scrub_interval_ns = role->scrub_interval_ns;
    return storage_run(node, &settings);
}

/* ---- a metadata service ---- */

static int run_meta(struct node *node, const struct role *role)
{
    cleanup_arena_ struct arena arena = { 0 };
    cleanup_(kv_closep) struct kv *kv = NULL;
    int r = open_records(node, role, &kv);
    if (r < 0) return r;
    struct meta_settings settings;
    settings_init(meta_settings_table, &settings, &arena);
    settings.cluster_id = ROLE_CLUSTER_ID;
    settings.node_id = role->node_id;
    settings.listen = role->listen;
    settings.mgmtd = managers_of(role, &arena);
    settings.cluster_key = ROLE_KEY;
    settings.gc_delay_ns = 500 * MSEC;
    settings.session_scan_ns = SEC;
    settings.session_grace_ns = 5 * SEC;
    return meta_run_on(node, &settings, kv);
}

int role_run(struct node *node, struct role *role)
{
    switch (role->kind) {
    case ROLE_MGMTD: return run_mgmtd(node, role);
    case ROLE_META: return run_meta(node, role);
    case ROLE_STORAGE: return run_storage(node, role);
    }
    return -ERR_INVALID_ARG;
}
