/* cmd_config.c - configurations that are stored and those that nodes run with; their counters. */
#include "admin/commands.h"

#include "client/names.h"
#include "loop/file.h"
#include "proto/core.h"

enum { FILE_BYTES_MAX = 1 << 20 };

int config_file_read(struct admin *a, const char *path, struct bytes *ret)
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

int config_type_parse(struct admin *a, const char *text)
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
    int type = config_type_parse(a, argument_text(args, "--type", ""));
    if (type < 0) return type;
    struct set_config_request q = { .type = (uint8_t)type,
                                    .desc = bytes_of_text(argument_text(args, "--desc", "")) };
    struct config_info rep = { 0 };
    int r = config_file_read(a, argument_text(args, "--file", ""), &q.content);
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
    { "--node-id", "-n", ARG_U32, false, "the settings that this node runs with" },
    { "--address", "-a", ARG_TEXT, false, "the same, of the service at TCP://ip:port" },
    { "--client", "-c", ARG_TEXT, false, "refused: clients answer no calls" },
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

/* Shows or writes what was asked for; @t has begun. */
static int give_config(struct admin *a, const struct arguments *args, struct print_table *t,
                       struct bytes content)
{
    const char *path = argument_text(args, "--output", NULL);
    int r = config_part(a, argument_text(args, "--config-key", NULL), &content);
    if (r >= 0 && path) {
        r = file_replace(a->node, path, content.base, content.size, 0644);
        if (r < 0) admin_fail(a, r, "cannot write %s", path);
    }
    if (r < 0) {
        table_drop(t);
        return r;
    }
    bool is_inline = !path && a->printer.is_json;
    if (path) block_row(t, "OutputFile", "%s", path);
    if (is_inline) block_row(t, "Content", "%.*s", (int)content.size, (const char *)content.base);
    table_end(t);
    if (!path && !is_inline)
        fprintf(a->printer.out, "%.*s", (int)content.size, (const char *)content.base);
    return 0;
}

static int get_template(struct admin *a, const struct arguments *args)
{
    int type = config_type_parse(a, argument_text(args, "--type", ""));
    if (type < 0) return type;
    struct get_config_request q = { .type = (uint8_t)type };
    struct config_info rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config), &q, &rep);
    if (r < 0) return r;
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "NodeType", "%s", node_type_name(rep.type));
    block_row(&t, "ConfigVersion", "%llu", (unsigned long long)rep.version);
    block_row(&t, "ConfigDesc", "%.*s", (int)rep.desc.size, (const char *)rep.desc.base);
    return give_config(a, args, &t, rep.content);
}

int core_call(struct admin *a, const struct arguments *args, const struct rpc_method *method,
              const void *req, void *rep)
{
    struct net_address address;
    uint32_t node_id = (uint32_t)argument_number(args, "--node-id", 0);
    const char *text = argument_text(args, "--address", NULL);
    if (!text) return admin_node(a, node_id, &core_service, method, req, rep);
    int r = net_address_parse(text, &address);
    if (r < 0)
        return admin_fail(a, r, "--address: '%s' is no address such as TCP://10.0.0.1:8000", text);
    return admin_address(a, text, &address, &core_service, method, req, rep);
}

static int get_live(struct admin *a, const struct arguments *args)
{
    struct empty_record none = { 0 };
    struct core_config_reply rep = { 0 };
    int r = core_call(a, args, RPC_METHOD(core, get_config), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Node", "%.*s", (int)rep.name.size, (const char *)rep.name.base);
    return give_config(a, args, &t, rep.content);
}

static int run_get_config(struct admin *a, const struct arguments *args)
{
    bool lists = argument_flag(args, "--list"), has_type = argument(args, "--type")->is_set;
    bool is_node = argument(args, "--node-id")->is_set;
    bool is_address = argument(args, "--address")->is_set;
    /* Known from 3FS, where it reaches nobody either. */
    if (argument(args, "--client")->is_set)
        return admin_fail(a, -ERR_NOT_SUPPORTED,
                          "--client: a client answers no calls; on its host, `c3fs fuse --cfg FILE "
                          "--print-config` shows what it runs with, and 3fs-virt/get-conf in its "
                          "mount what is set live");
    if (lists + has_type + is_node + is_address != 1)
        return admin_fail(a, -ERR_WRONG_USAGE,
                          "exactly one of --node-id, --address, --type and --list is needed");
    if (lists) return list_configs(a);
    return has_type ? get_template(a, args) : get_live(a, args);
}

static const struct argument_spec metrics_spec[] = {
    { "--node-id", "-n", ARG_U32, false, "of this node" },
    { "--address", "-a", ARG_TEXT, false, "of the service at TCP://ip:port" },
    { "--prefix", "-p", ARG_TEXT, false, "only those whose names begin so" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_get_metrics(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Name", "Value" };
    const char *prefix = argument_text(args, "--prefix", "");
    if (argument(args, "--node-id")->is_set == argument(args, "--address")->is_set)
        return admin_fail(a, -ERR_WRONG_USAGE, "exactly one of --node-id and --address is needed");
    struct empty_record none = { 0 };
    struct core_metrics_reply rep = { 0 };
    int r = core_call(a, args, RPC_METHOD(core, get_metrics), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.metrics.count; i++) {
        const char *name = arena_text(&a->arena, rep.metrics.items[i].name);
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        table_cell(&t, "%s", name);
        table_cell(&t, "%llu", (unsigned long long)rep.metrics.items[i].value);
    }
    table_end(&t);
    return 0;
}

const struct command_spec config_commands[] = {
    { "set-config", run_set_config, set_config_spec,
      "Stores a configuration for a type of service and pushes it.\n  set-config -t STORAGE -f "
      "storage_main.toml" },
    { "get-config", run_get_config, get_config_spec,
      "Shows a stored configuration, or what a node runs with.\n  get-config -t META -o meta.toml\n"
      "  get-config -n 1001 -k log" },
    { "get-metrics", run_get_metrics, metrics_spec,
      "Shows the counters of a node since its start.\n  get-metrics -n 1001 --prefix rpc." },
    { NULL, NULL, NULL, NULL },
};
