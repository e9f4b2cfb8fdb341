/* cmd_cluster.c - the cluster as a whole: first records, configuration, help. */
#include "admin/commands.h"

#include "client/names.h"
#include "cluster/cluster_init.h"
#include "loop/file.h"
#include "meta/meta.h"

enum { FILE_BYTES_MAX = 1 << 20 };

static int read_text(struct admin *a, const char *path, struct bytes *ret)
{
    char *text = NULL;
    size_t size = 0;
    int r = file_read_all(a->node, path, FILE_BYTES_MAX, &text, &size);
    if (r < 0) return admin_fail(a, r, "cannot read %s", path);
    *ret = arena_copy(&a->arena, bytes_of(text, size));
    free(text);
    struct toml_value root;
    const char *error = NULL;
    r = toml_parse(&a->arena, *ret, &root, &error);
    return r < 0 ? admin_fail(a, r, "%s: %s", path, error) : 0;
}

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
    int r = admin_need_kv(a);
    if (r < 0) return r;
    struct layout root = { .table_id = (uint32_t)argument_number(args, "chaintableid", 0),
                           .chunk_size = (uint32_t)argument_number(args, "chunksize", 0),
                           .stripe = (uint32_t)argument_number(args, "stripesize", 0) };
    struct cluster_init_options options = { .cluster_id = a->settings->cluster_id,
                                            .allow_existing_config =
                                                argument_flag(args, "--allow-config-existed") };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        const char *path = argument_text(args, files[i].flag, NULL);
        if (path) r = read_text(a, path, &options.configs[files[i].type]);
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
    r = cluster_init(a->node, a->kv, &options, &identity, versions);
    if (r < 0)
        return admin_fail(a, r, "cluster '%s' in %s: %s", options.cluster_id, a->settings->kv_path,
                          error_sentence(r));
    r = meta_init_file_system(a->node, a->kv, &root);
    if (r < 0)
        return admin_fail(
            a, r, "the chunk size must be a power of two from 64KB to 64MB, the stripe 1 to 1024");
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

/* ---- configuration ---- */

static int parse_type(struct admin *a, const char *text)
{
    int type = node_type_parse(text);
    return type < 0 ? admin_fail(a, -ERR_INVALID_ARG,
                                 "--type: '%s' is none of MGMTD, META, STORAGE, CLIENT, FUSE", text)
                    : type;
}

static const struct argument_spec set_config_spec[] = {
    { "--type", "-t", ARG_TEXT, true, "MGMTD, META, STORAGE, CLIENT or FUSE" },
    { "--file", "-f", ARG_TEXT, true, "a TOML file" },
    { "--desc", NULL, ARG_TEXT, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_set_config(struct admin *a, const struct arguments *args)
{
    int type = parse_type(a, argument_text(args, "--type", ""));
    if (type < 0) return type;
    struct set_config_request q = { .type = (uint8_t)type,
                                    .desc = bytes_of_text(argument_text(args, "--desc", "")) };
    struct config_info rep = { 0 };
    int r = read_text(a, argument_text(args, "--file", ""), &q.content);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_config), &q, &rep);
    if (r < 0) return r;
    if (!a->printer.is_json) fputs("Succeed\n", a->printer.out);
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "ConfigVersion", "%llu", (unsigned long long)rep.version);
    table_end(&t);
    return 0;
}

static const struct argument_spec get_config_spec[] = {
    { "--type", "-t", ARG_TEXT, false, "latest template of a type" },
    { "--list", "-l", ARG_FLAG, false, "versions of all types" },
    { "--config-key", "-k", ARG_TEXT, false, "only this key or section, such as log or log.level" },
    { "--output", "-o", ARG_TEXT, false, "write it there instead of showing it" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int list_configs(struct admin *a)
{
    static const char *const headers[] = { "Type", "ConfigVersion" };
    struct empty_record none = { 0 };
    struct config_versions_reply rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config_versions), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.configs.count; i++) {
        table_cell(&t, "%s", node_type_name(rep.configs.items[i].type));
        if (rep.configs.items[i].version) {
            table_cell(&t, "%llu", (unsigned long long)rep.configs.items[i].version);
        } else {
            table_cell(&t, "N/A");
        }
    }
    table_end(&t);
    return 0;
}

/* Only the value at @key, as TOML. */
static int config_part(struct admin *a, const char *key, struct bytes *content)
{
    struct toml_value root;
    const char *error = NULL;
    if (!key) return 0;
    int r = toml_parse(&a->arena, *content, &root, &error);
    if (r < 0) return admin_fail(a, r, "the stored configuration: %s", error);
    const struct toml_value *value = toml_find_path(&root, key);
    if (!value)
        return admin_fail(a, -ERR_CONFIG_KEY_NOT_FOUND, "the configuration has no key '%s'", key);
    char *text = toml_to_text(&a->arena, value);
    bool is_line = text[0] && text[strlen(text) - 1] != '\n';
    *content = bytes_of_text(is_line ? arena_printf(&a->arena, "%s\n", text) : text);
    return 0;
}

static int run_get_config(struct admin *a, const struct arguments *args)
{
    bool lists = argument_flag(args, "--list"), has_type = argument(args, "--type")->is_set;
    if (lists == has_type)
        return admin_fail(a, -ERR_WRONG_USAGE, "exactly one of --type and --list is needed");
    if (lists) return list_configs(a);
    int type = parse_type(a, argument_text(args, "--type", ""));
    if (type < 0) return type;
    struct get_config_request q = { .type = (uint8_t)type };
    struct config_info rep = { 0 };
    const char *path = argument_text(args, "--output", NULL);
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config), &q, &rep);
    if (r < 0) return r;
    r = config_part(a, argument_text(args, "--config-key", NULL), &rep.content);
    if (r < 0) return r;
    if (path) r = file_replace(a->node, path, rep.content.base, rep.content.size, 0644);
    if (r < 0) return admin_fail(a, r, "cannot write %s", path);
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "NodeType", "%s", node_type_name(rep.type));
    block_row(&t, "ConfigVersion", "%llu", (unsigned long long)rep.version);
    block_row(&t, "ConfigDesc", "%.*s", (int)rep.desc.size, (const char *)rep.desc.base);
    if (path) block_row(&t, "OutputFile", "%s", path);
    if (!path && a->printer.is_json)
        block_row(&t, "Content", "%.*s", (int)rep.content.size, (const char *)rep.content.base);
    table_end(&t);
    if (!path && !a->printer.is_json)
        fprintf(a->printer.out, "%.*s", (int)rep.content.size, (const char *)rep.content.base);
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
    { "set-config", run_set_config, set_config_spec,
      "Stores a configuration for a type of service and pushes it.\n  set-config -t STORAGE -f "
      "storage_main.toml" },
    { "get-config", run_get_config, get_config_spec,
      "Shows a stored configuration.\n  get-config -t META -o meta.toml" },
    { "help", run_help, help_spec, "Lists the commands, or explains one.\n  help list-chains" },
    { NULL, NULL, NULL, NULL },
};
