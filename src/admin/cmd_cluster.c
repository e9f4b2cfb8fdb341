/* cmd_cluster.c - the cluster as a whole: first records, help. */
#include "admin/commands.h"

#include "client/names.h"
#include "cluster/cluster_init.h"
#include "meta/meta.h"

/* ---- init-cluster ---- */

static const struct argument_spec init_spec[] = {
    { "chaintableid", NULL, ARG_U32, true, "chain table of the root directory" },
    { "chunksize", NULL, ARG_SIZE, true, "chunk size of the root directory" },
    { "stripesize", NULL, ARG_U32, true, "stripe of the root directory" },
    { "--mgmtd", "--mgmtd-config-path", ARG_TEXT, false, "configuration of the cluster managers" },
    { "--meta", "--meta-config-path", ARG_TEXT, false, "configuration of the metadata services" },
    { "--storage", "--storage-config-path", ARG_TEXT, false,
      "configuration of the storage services" },
    { "--fuse", "--fuse-config-path", ARG_TEXT, false, "configuration of the mounts" },
    { "--allow-config-existed", NULL, ARG_FLAG, false, "store a next version where there is one" },
    { "--skip-config-check", NULL, ARG_FLAG, false,
      "accepted and without effect: only the form is checked here" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_init_cluster(struct admin *a, const struct arguments *args)
{
    static const struct {
        const char *flag;
        enum node_type type;
    } files[] = { { "--mgmtd", NODE_MGMTD },
                  { "--meta", NODE_META },
                  { "--storage", NODE_STORAGE },
                  { "--fuse", NODE_FUSE } };
    int r;
    struct layout root = { .table_id = (uint32_t)argument_number(args, "chaintableid", 0),
                           .chunk_size = (uint32_t)argument_number(args, "chunksize", 0),
                           .stripe = (uint32_t)argument_number(args, "stripesize", 0) };
    /* All that can be wrong is looked at before anything is stored. */
    if (layout_check(&root) < 0 || root.table_id == 0)
        return admin_fail(a, -ERR_META_INVALID_LAYOUT,
                          "the chain table is from 1, the chunk size a power of two from 64KB to "
                          "64MB, the stripe 1 to 1024");
    struct cluster_init_options options = { .cluster_id = a->settings->cluster_id,
                                            .allow_existing_config =
                                                argument_flag(args, "--allow-config-existed") };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        r = 0;
        const char *path = argument_text(args, files[i].flag, NULL);
        if (path) r = config_file_read(a, path, &options.configs[files[i].type]);
        if (r < 0) return r;
    }
    struct cluster_identity identity;
    uint64_t versions[NODE_TYPE_MAX] = { 0 };
    uint8_t key[AUTH_KEY_BYTES];
    if (a->settings->cluster_key[0]) {
        r = auth_cluster_key_parse(a->settings->cluster_key, key);
        if (r < 0) return admin_fail(a, r, "cluster_key is not of the form k1:<64 hex digits>");
        options.key = key;
    }
    r = admin_need_kv(a);
    if (r < 0) return r;
    r = cluster_init(a->node, a->kv, &options, &identity, versions);
    if (r < 0)
        return admin_fail(a, r, "cluster '%s' in %s: %s", options.cluster_id, a->settings->kv_path,
                          error_sentence(r));
    r = meta_init_file_system(a->node, a->kv, &root, &(struct user_info){ 0 });
    if (r < 0) return admin_fail(a, r, "the root directory: %s", error_sentence(r));
    char *text = arena_printf(&a->arena,
                              "Init filesystem, root directory layout: chain table "
                              "ChainTableId(%u), chunksize %u, stripesize %u\n",
                              root.table_id, root.chunk_size, root.stripe);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (versions[files[i].type])
            text = arena_printf(&a->arena, "%s\nInit config for %s version %llu", text,
                                node_type_name((uint8_t)files[i].type),
                                (unsigned long long)versions[files[i].type]);
    admin_say(a, "%s", text);
    return 0;
}

/* ---- help ---- */

static const struct argument_spec help_spec[] = {
    { "command", NULL, ARG_TEXT, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int help_of(struct admin *a, const char *name)
{
    const struct command_spec *c = command_find(name);
    if (!c) return command_unknown(a, name);
    char *text = arena_printf(&a->arena, "%s\n\nUsage: %s %s", c->help, c->name,
                              arguments_usage(&a->arena, c->arguments));
    for (const struct argument_spec *s = c->arguments; s->name; s++)
        if (s->help[0]) text = arena_printf(&a->arena, "%s\n  %-28s %s", text, s->name, s->help);
    admin_say(a, "%s", text);
    return 0;
}

static int run_help(struct admin *a, const struct arguments *args)
{
    const char *name = argument_text(args, "command", NULL);
    if (name) return help_of(a, name);
    static const char *const headers[] = { "Command", "Usage" };
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    t.is_bare = true;
    for (const struct command_spec *const *group = command_groups; *group; group++) {
        for (const struct command_spec *c = *group; c->name; c++) {
            table_cell(&t, "%s", c->name);
            table_cell(&t, "Usage: %s %s", c->name, arguments_usage(&a->arena, c->arguments));
        }
    }
    table_end(&t);
    return 0;
}

const struct command_spec cluster_commands[] = {
    { "init-cluster", run_init_cluster, init_spec,
      "Makes the first records of a cluster in the store: its id and key, the root directory, "
      "configurations.\n"
      "Works before any service runs, and may be repeated.\n"
      "  init-cluster --mgmtd /opt/3fs/etc/mgmtd_main.toml 1 1048576 6" },
    { "help", run_help, help_spec, "Lists the commands, or explains one.\n  help list-chains" },
    { NULL, NULL, NULL, NULL },
};
