/* cmd_live_config.c - settings given by hand to nodes that run, and what became of the last
 * configuration that came to one. */
#include "admin/commands.h"

#include "client/names.h"
#include "proto/core.h"

static const struct argument_spec hot_update_spec[] = {
    { "--node-id", "-n", ARG_U32, false, "this node" },
    { "--address", "-a", ARG_TEXT, false, "the service at TCP://ip:port" },
    { "--type", "-t", ARG_TEXT, false, "all nodes of a type that are connected" },
    { "--string", "-s", ARG_TEXT, false, "settings as TOML, such as 'log.level = \"debug\"'" },
    { "--file", "-f", ARG_TEXT, false, "or a file of them" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* One row each; the first failure is the result, without another line. */
static int update_type(struct admin *a, uint8_t type, const struct hot_update_request *q)
{
    static const char *const headers[] = { "NodeId", "Result" };
    int r = admin_need_mgmtd(a), result = 0;
    if (r < 0) return r;
    const struct routing *routing = admin_routing(a);
    uint32_t *ids = arena_array(&a->arena, uint32_t, routing->nodes.count), count = 0;
    const struct node_info *node;
    size_t at = 0;
    while ((node = map_next(&routing->nodes, &at))) {
        bool is_up = node->status == NODE_PRIMARY_MGMTD || node->status == NODE_HEARTBEAT_CONNECTED;
        if (node->type == type && is_up) ids[count++] = node->node_id;
    }
    qsort(ids, count, sizeof *ids, compare_ids);
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < count; i++) {
        struct net_address address;
        struct empty_record none;
        const char *why = NULL;
        struct rpc_options options = { .arena = &a->arena,
                                       .timeout_ns = a->settings->timeout_ns,
                                       .ret_error_text = &why };
        r = routing_address(admin_routing(a), ids[i], &address);
        if (r >= 0) {
            struct rpc_target to = { mgmtd_client_pool(a->mgmtd), &address, RPC_CONTROL };
            r = core_hot_update_config(to, &options, q, &none);
        }
        table_cell(&t, "%u", ids[i]);
        table_cell(&t, "%s", r < 0 ? why ?: error_sentence(r) : "success");
        if (r < 0 && result == 0) result = r;
    }
    table_end(&t);
    return result;
}

static int run_hot_update(struct admin *a, const struct arguments *args)
{
    bool is_node = argument(args, "--node-id")->is_set,
         is_address = argument(args, "--address")->is_set,
         is_type = argument(args, "--type")->is_set;
    const char *text = argument_text(args, "--string", NULL),
               *file = argument_text(args, "--file", NULL);
    if (is_node + is_address + is_type != 1 || !text == !file)
        return admin_fail(a, -ERR_WRONG_USAGE,
                          "exactly one of --node-id, --address and --type is needed, and one of "
                          "--string and --file");
    struct hot_update_request q = { .content = bytes_of_text(text ?: "") };
    int r = file ? config_file_read(a, file, &q.content) : 0;
    if (r < 0) return r;
    if (is_type) {
        int type = config_type_parse(a, argument_text(args, "--type", ""));
        return type < 0 ? type : update_type(a, (uint8_t)type, &q);
    }
    struct empty_record none;
    r = core_call(a, args, RPC_METHOD(core, hot_update_config), &q, &none);
    if (r >= 0) admin_say(a, "Succeed");
    return r;
}

static const struct argument_spec record_spec[] = {
    { "--node-id", "-n", ARG_U32, false, "of this node" },
    { "--address", "-a", ARG_TEXT, false, "of the service at TCP://ip:port" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_get_record(struct admin *a, const struct arguments *args)
{
    if (argument(args, "--node-id")->is_set == argument(args, "--address")->is_set)
        return admin_fail(a, -ERR_WRONG_USAGE, "exactly one of --node-id and --address is needed");
    struct empty_record none = { 0 };
    struct config_update_reply rep = { 0 };
    int r = core_call(a, args, RPC_METHOD(core, get_last_config_update), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    char when[32], code[64];
    block_begin(&t, &a->printer);
    block_row(&t, "Node", "%.*s", (int)rep.name.size, (const char *)rep.name.base);
    block_row(&t, "UpdateTime", "%s", time_to_text(rep.wall_ns, when, sizeof when));
    block_row(&t, "Description", "%s",
              rep.wall_ns == 0               ? "N/A"
              : rep.source == CONFIG_BY_HAND ? "by hand"
                                             : "pushed");
    if (rep.wall_ns == 0)
        block_row(&t, "Result", "N/A");
    else if (rep.status == 0)
        block_row(&t, "Result", "success");
    else
        block_row(&t, "Result", "%s: %.*s", error_to_text(-(int)rep.status, code, sizeof code),
                  (int)rep.error.size, (const char *)rep.error.base);
    table_end(&t);
    return 0;
}

const struct command_spec live_config_commands[] = {
    { "hot-update-config", run_hot_update, hot_update_spec,
      "Changes settings of nodes that run, until they end; all of them, or none.\n"
      "  hot-update-config -n 101 -s 'log.level = \"debug\"'\n"
      "  hot-update-config -t STORAGE -f resync.toml" },
    { "get-last-config-update-record", run_get_record, record_spec,
      "Says what a node made of the last configuration that came to it." },
    { NULL, NULL, NULL, NULL },
};
