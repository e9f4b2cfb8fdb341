/* main_table.c - the roles and commands of this build. */
#include "main_table.h"

#include "admin/bootstrap.h"
#include "fuse/fuse.h"
#include "main_admin.h"
#include "main_docs.h"
#include "main_doctor.h"
#include "main_entrypoint.h"
#include "main_health.h"
#include "main_join.h"
#include "main_placement.h"
#include "main_run.h"
#include "meta/meta.h"
#include "mgmtd/mgmtd.h"
#include "storage/storage.h"
#include "supervisor/supervisor.h"

/* A configuration is valid when all nodes of its type could run with it. */
static int validate_config(void *arg, struct arena *arena, enum node_type type, struct bytes toml,
                           const char **ret_error)
{
    static const char *const roles[NODE_TYPE_MAX] = { [NODE_MGMTD] = "mgmtd",
                                                      [NODE_META] = "meta",
                                                      [NODE_STORAGE] = "storage",
                                                      [NODE_FUSE] = "fuse" };
    for (const struct role *role = role_table; role->name; role++)
        if (roles[type] && !strcmp(role->name, roles[type]))
            return role_check_template(role, arena, toml, ret_error);
    return 0;
}

static int run_mgmtd(struct node *node, void *settings)
{
    struct mgmtd_hooks hooks = { .validate_config = validate_config };
    return mgmtd_run(node, settings, &hooks);
}

static int check_mgmtd(const void *settings, struct arena *arena, const char **ret_error)
{
    return mgmtd_check_settings(settings, arena, ret_error);
}

static int check_storage(const void *settings, struct arena *arena, const char **ret_error)
{
    return storage_check_settings(settings, arena, ret_error);
}

static int run_meta(struct node *node, void *settings)
{
    return meta_run(node, settings);
}

static int run_storage(struct node *node, void *settings)
{
    return storage_run(node, settings);
}

static int run_fuse(struct node *node, void *settings)
{
    return fuse_run(node, settings);
}

static int run_bootstrap(struct node *node, void *settings)
{
    return cluster_bootstrap(node, settings);
}

const struct role role_table[] = {
    { .name = "mgmtd",
      .program = "mgmtd_main",
      .help = "cluster manager: who belongs to the cluster, where data is",
      .settings = mgmtd_settings_table,
      .settings_size = sizeof(struct mgmtd_settings),
      .run = run_mgmtd,
      .check = check_mgmtd },
    { .name = "meta",
      .program = "meta_main",
      .help = "metadata: names, attributes, lengths",
      .settings = meta_settings_table,
      .settings_size = sizeof(struct meta_settings),
      .run = run_meta },
    { .name = "storage",
      .program = "storage_main",
      .help = "chunks on the disks of a host",
      .settings = storage_settings_table,
      .settings_size = sizeof(struct storage_settings),
      .run = run_storage,
      .check = check_storage },
    { .name = "fuse",
      .program = "hf3fs_fuse_main",
      .help = "a mount",
      .settings = fuse_settings_table,
      .settings_size = sizeof(struct fuse_settings),
      .run = run_fuse },
    { .name = "bootstrap",
      .help = "makes a cluster of an empty store and empty disks",
      .settings = bootstrap_settings_table,
      .settings_size = sizeof(struct bootstrap_options),
      .run = run_bootstrap,
      .check = bootstrap_check,
      .is_task = true },
    { .name = NULL },
};

const struct command command_table[] = {
    { "up", NULL, "starts a cluster on this host, or finds the one that runs", up_main },
    { "down", NULL, "stops the cluster of up; the data stays", down_main },
    { "status", NULL, "shows what runs of it", status_main },
    { "join", NULL, "makes this machine a storage of a cluster that another one runs", join_main },
    { "admin", "admin_cli", "looks at the cluster and changes it; `c3fs admin help`", admin_main },
    { "data_placement", "data_placement", "lays the replicas of chains over disks",
      data_placement_main },
    { "gen_chain_table", "gen_chain_table", "chains and targets from a matrix of data_placement",
      gen_chain_table_main },
    { "entrypoint", NULL, "becomes the service that a container's variables describe",
      entrypoint_main },
    { "config-docs", NULL, "shows all settings of all roles as Markdown", config_docs_main },
    { "health", NULL, "asks a running service whether it can do its work", health_main },
    { "doctor", NULL, "names what is wrong on this host, and the remedy", doctor_main },
    { "devices", NULL, "lists RDMA devices and their network interfaces", devices_main },
    { "run", NULL, "runs several roles in one process: ROLE:FILE...", run_main },
    { .name = NULL },
};
