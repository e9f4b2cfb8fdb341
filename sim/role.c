/* role.c - the two roles, over the parts that src/mgmtd and src/storage give. */
#include "sim/role.h"
#include "cluster/cluster_init.h"
#include "loop/file.h"
#include "mgmtd/mgmtd.h"
#include "storage/storage.h"
#include <stdio.h>
#include <string.h>

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

static int serve_mgmtd(struct node *node, const struct role *role, struct kv *kv)
{
    struct cluster_identity identity;
    uint8_t key[AUTH_KEY_BYTES];
    struct mgmtd_options options = { .cluster_id = ROLE_CLUSTER_ID,
                                     .node_id = role->node_id,
                                     .hostname = node->name,
                                     .kv = kv,
                                     .cluster_key = key,
                                     .session_timeout_ns = 60 * SEC,
                                     .capability_ns = 3600 * SEC };
    bool is_known = timing_of("default", &options.timing);
    int r = is_known ? auth_cluster_key_parse(ROLE_KEY, key) : -ERR_INVALID_CONFIG;
    if (r == 0) r = net_address_parse(role->listen, &options.listen);
    struct cluster_init_options init = { .cluster_id = ROLE_CLUSTER_ID, .key = key };
    if (r == 0) r = cluster_init(node, kv, &init, &identity, NULL);
    struct mgmtd *m = NULL;
    if (r == 0) r = mgmtd_start(node, &options, &m);
    if (r == 0) r = tell_address(node, role, m);
    while (r >= 0)
        r = fiber_sleep(3600 * SEC);
    FIBER_SHIELD();
    mgmtd_stop(m);
    return r == -ERR_CANCELED ? 0 : r;
}

static int run_mgmtd(struct node *node, const struct role *role)
{
    cleanup_(kv_closep) struct kv *kv = NULL;
    int r = open_records(node, role, &kv);
    return r < 0 ? r : serve_mgmtd(node, role, kv);
}

/* ---- a storage ---- */

static int run_storage(struct node *node, const struct role *role)
{
    cleanup_arena_ struct arena arena = { 0 };
    const char *paths[] = { role->dir }, *mgmtds[] = { role->mgmtd };
    struct storage_settings settings;
    settings_init(storage_settings_table, &settings, &arena);
    settings.cluster_id = ROLE_CLUSTER_ID;
    settings.node_id = role->node_id;
    settings.listen = role->listen;
    settings.mgmtd = (struct setting_text_list){ mgmtds, 1 };
    settings.target_paths = (struct setting_text_list){ paths, 1 };
    settings.cluster_key = ROLE_KEY;
    settings.capacity_bytes = 256 * MIB;
    settings.reserve_bytes = 1 * MIB;
    settings.buffer_bytes = 32 * MIB;
    return storage_run(node, &settings);
}

int role_run(struct node *node, const struct role *role)
{
    return role->kind == ROLE_MGMTD ? run_mgmtd(node, role) : run_storage(node, role);
}
