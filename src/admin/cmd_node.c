/* cmd_node.c - nodes and clients: lists, registration, tags. */
#include "admin/commands.h"

#include "client/names.h"

static const struct argument_spec no_spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };

static char *tags_text(struct admin *a, const struct tag_list *tags)
{
    char *text = arena_printf(&a->arena, "[");
    for (uint32_t i = 0; i < tags->count; i++) {
        const struct tag *t = &tags->items[i];
        text = arena_printf(&a->arena, "%s%s%.*s%s%.*s", text, i ? "," : "", (int)t->key.size,
                            (const char *)t->key.base, t->value.size ? "=" : "", (int)t->value.size,
                            (const char *)t->value.base);
    }
    return arena_printf(&a->arena, "%s]", text);
}

static uint64_t latest_config(const struct config_versions_reply *versions, uint8_t type)
{
    for (uint32_t i = 0; i < versions->configs.count; i++)
        if (versions->configs.items[i].type == type) return versions->configs.items[i].version;
    return 0;
}

static void config_cell(struct print_table *t, uint64_t version, uint8_t status, uint64_t latest)
{
    static const char *const words[] = { "UPTODATE", "DIRTY", "FAILED" };
    if (version == latest && status < ARRAY_SIZE(words)) {
        table_cell(t, "%llu(%s)", (unsigned long long)version, words[status]);
    } else {
        table_cell(t, "%llu", (unsigned long long)version);
    }
}

static int compare_nodes(const void *x, const void *y)
{
    const struct node_info *a = x, *b = y;
    if (a->type != b->type) return a->type < b->type ? -1 : 1;
    if (a->status != b->status) return a->status < b->status ? -1 : 1;
    return (a->node_id > b->node_id) - (a->node_id < b->node_id);
}

int nodes_fetch(struct admin *a, const struct node_info **ret, size_t *ret_count)
{
    struct get_routing_request q = { .cluster_id = bytes_of_text(a->settings->cluster_id) };
    struct get_routing_reply rep = { .more = 1 };
    struct node_info *nodes = NULL;
    size_t count = 0;
    while (rep.more) {
        rep = (struct get_routing_reply){ 0 };
        int r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_routing), &q, &rep);
        if (r < 0) return r;
        if (rep.full) count = 0;
        struct node_info *all = arena_array(&a->arena, struct node_info, count + rep.nodes.count);
        if (count) memcpy(all, nodes, count * sizeof *all);
        for (uint32_t i = 0; i < rep.nodes.count; i++)
            if (!rep.nodes.items[i].removed) all[count++] = rep.nodes.items[i];
        nodes = all;
        q.cursor = rep.cursor;
        q.cursor_term = rep.term;
    }
    *ret = nodes;
    *ret_count = count;
    return 0;
}

static int run_list_nodes(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Id",
                                           "Type",
                                           "Status",
                                           "Hostname",
                                           "Pid",
                                           "Tags",
                                           "LastHeartbeatTime",
                                           "ConfigVersion",
                                           "ReleaseVersion" };
    struct empty_record none = { 0 };
    struct config_versions_reply versions = { 0 };
    const struct node_info *fetched = NULL;
    size_t count = 0;
    int r = nodes_fetch(a, &fetched, &count);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config_versions), &none, &versions);
    if (r < 0) return r;
    struct node_info *nodes = arena_array(&a->arena, struct node_info, count);
    if (count) memcpy(nodes, fetched, count * sizeof *nodes);
    qsort(nodes, count, sizeof *nodes, compare_nodes);
    struct print_table t;
    char when[32];
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (size_t i = 0; i < count; i++) {
        const struct node_info *node = &nodes[i];
        table_cell(&t, "%u", node->node_id);
        table_cell(&t, "%s", node_type_name(node->type));
        table_cell(&t, "%s", node_status_name(node->status));
        table_cell(&t, "%.*s", (int)node->hostname.size, (const char *)node->hostname.base);
        table_cell(&t, "%u", node->pid);
        table_cell(&t, "%s", tags_text(a, &node->tags));
        /* the primary sends none */
        uint64_t heard_ns = node->status == NODE_PRIMARY_MGMTD ? 0 : node->last_heartbeat_wall_ns;
        table_cell(&t, "%s", time_to_text(heard_ns, when, sizeof when));
        config_cell(&t, node->config_version, node->config_status,
                    latest_config(&versions, node->type));
        table_cell(&t, "%.*s", (int)node->release.size, (const char *)node->release.base);
    }
    table_end(&t);
    return 0;
}

/* By host, description and id; those without a name last. */
static int compare_text(struct bytes a, struct bytes b)
{
    if ((a.size == 0) != (b.size == 0)) return a.size == 0 ? 1 : -1;
    return bytes_compare(a, b);
}

static int compare_sessions(const void *x, const void *y)
{
    const struct client_session *a = x, *b = y;
    int r = compare_text(a->hostname, b->hostname);
    if (r == 0) r = compare_text(a->desc, b->desc);
    if (r != 0) return r;
    if (a->client.high != b->client.high) return a->client.high < b->client.high ? -1 : 1;
    return (a->client.low > b->client.low) - (a->client.low < b->client.low);
}

static int run_list_clients(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "ClientId",    "ClientStart",   "SessionStart",
                                           "LastExtend",  "ConfigVersion", "Hostname",
                                           "Description", "Tags",          "ReleaseVersion" };
    struct empty_record none = { 0 };
    struct list_sessions_reply rep = { 0 };
    struct config_versions_reply versions = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_sessions), &none, &rep);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config_versions), &none, &versions);
    if (r < 0) return r;
    qsort(rep.sessions.items, rep.sessions.count, sizeof *rep.sessions.items, compare_sessions);
    struct print_table t;
    char when[32];
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.sessions.count; i++) {
        const struct client_session *s = &rep.sessions.items[i];
        table_cell(&t, "%016llx%016llx", (unsigned long long)s->client.high,
                   (unsigned long long)s->client.low);
        table_cell(&t, "%s", time_to_text(s->client_start_wall_ns, when, sizeof when));
        table_cell(&t, "%s", time_to_text(s->session_start_wall_ns, when, sizeof when));
        table_cell(&t, "%s", time_to_text(s->last_extend_wall_ns, when, sizeof when));
        config_cell(&t, s->config_version, s->config_status, latest_config(&versions, s->type));
        table_cell(&t, "%.*s", (int)s->hostname.size, (const char *)s->hostname.base);
        table_cell(&t, "%.*s", (int)s->desc.size, (const char *)s->desc.base);
        table_cell(&t, "%s", tags_text(a, &s->tags));
        table_cell(&t, "%.*s", (int)s->release.size, (const char *)s->release.base);
    }
    table_end(&t);
    if (rep.bootstrapping && !a->printer.is_json)
        fputs("Mgmtd Bootstrapping  The client list may be incomplete\n", a->printer.out);
    return 0;
}

static const struct argument_spec node_type_spec[] = {
    { "nodeId", NULL, ARG_U32, true, "" },
    { "type", NULL, ARG_TEXT, true, "MGMTD, META, STORAGE, CLIENT or FUSE" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int register_call(struct admin *a, const struct arguments *args,
                         const struct rpc_method *method)
{
    int type = node_type_parse(argument_text(args, "type", ""));
    if (type < 0)
        return admin_fail(a, -ERR_INVALID_ARG, "type: '%s' is no type of node",
                          argument_text(args, "type", ""));
    struct register_node_request q = { (uint32_t)argument_number(args, "nodeId", 0),
                                       (uint8_t)type };
    struct empty_record none;
    return admin_mgmtd(a, method, &q, &none);
}

static int run_register_node(struct admin *a, const struct arguments *args)
{
    return register_call(a, args, RPC_METHOD(mgmtd, register_node));
}

static int run_unregister_node(struct admin *a, const struct arguments *args)
{
    return register_call(a, args, RPC_METHOD(mgmtd, unregister_node));
}

static const struct argument_spec node_spec[] = {
    { "nodeId", NULL, ARG_U32, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_enable_node(struct admin *a, const struct arguments *args)
{
    struct node_request q = { (uint32_t)argument_number(args, "nodeId", 0) };
    struct empty_record none;
    return admin_mgmtd(a, RPC_METHOD(mgmtd, enable_node), &q, &none);
}

static int run_disable_node(struct admin *a, const struct arguments *args)
{
    struct node_request q = { (uint32_t)argument_number(args, "nodeId", 0) };
    struct empty_record none;
    return admin_mgmtd(a, RPC_METHOD(mgmtd, disable_node), &q, &none);
}

static const struct argument_spec tags_spec[] = {
    { "--node-id", "-n", ARG_U32, false, "number of the node" },
    { "--client-hostname", "-u", ARG_TEXT, false, "name of a machine, for the clients on it" },
    { "mode", NULL, ARG_TEXT, true, "replace, update or remove" },
    { "tags", NULL, ARG_TEXTS, false, "k or k=v; replace with none clears them" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int tag_mode_of(struct admin *a, const struct arguments *args, uint8_t *ret)
{
    static const char *const modes[] = { "replace", "update", "remove" };
    const char *mode = argument_text(args, "mode", "");
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (strcmp(modes[i], mode) != 0) continue;
        *ret = (uint8_t)i;
        return 0;
    }
    return admin_fail(a, -ERR_INVALID_ARG, "mode: '%s' is none of replace, update, remove", mode);
}

static struct tag_list tags_of(struct admin *a, const struct argument_value *words)
{
    struct tag_list tags = { arena_array(&a->arena, struct tag, words->count), words->count };
    for (uint32_t i = 0; i < words->count; i++) {
        size_t key = strcspn(words->texts[i], "=");
        tags.items[i].key = bytes_of(words->texts[i], key);
        if (words->texts[i][key]) tags.items[i].value = bytes_of_text(words->texts[i] + key + 1);
    }
    return tags;
}

static int set_host_tags(struct admin *a, const char *hostname, uint8_t mode,
                         const struct tag_list *tags)
{
    struct set_host_tags_request q = { bytes_of_text(hostname), mode, *tags };
    struct host_tags rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_host_tags), &q, &rep);
    if (r < 0) return r;
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Hostname", "%.*s", (int)rep.hostname.size, (const char *)rep.hostname.base);
    block_row(&t, "NewTags", "%s", tags_text(a, &rep.tags));
    table_end(&t);
    return 0;
}

static int run_set_node_tags(struct admin *a, const struct arguments *args)
{
    struct set_node_tags_request q = { .node_id = (uint32_t)argument_number(args, "--node-id", 0) };
    const char *hostname = argument_text(args, "--client-hostname", NULL);
    struct node_reply rep = { 0 };
    int r = tag_mode_of(a, args, &q.mode);
    if (r < 0) return r;
    if (!q.node_id == !hostname)
        return admin_fail(a, -ERR_WRONG_USAGE,
                          "exactly one of --node-id and --client-hostname is needed");
    q.tags = tags_of(a, argument(args, "tags"));
    if (q.tags.count == 0 && q.mode != TAG_REPLACE)
        return admin_fail(a, -ERR_WRONG_USAGE, "tags is missing");
    if (hostname) return set_host_tags(a, hostname, q.mode, &q.tags);
    r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_node_tags), &q, &rep);
    if (r < 0) return r;
    struct print_table t;
    char when[32];
    block_begin(&t, &a->printer);
    block_row(&t, "NodeId", "%u", rep.node.node_id);
    block_row(&t, "Type", "%s", node_type_name(rep.node.type));
    block_row(&t, "Status", "%s", node_status_name(rep.node.status));
    block_row(&t, "Hostname", "%.*s", (int)rep.node.hostname.size,
              (const char *)rep.node.hostname.base);
    block_row(&t, "Pid", "%u", rep.node.pid);
    block_row(&t, "LastHeartbeatTime", "%s",
              time_to_text(rep.node.last_heartbeat_wall_ns, when, sizeof when));
    block_row(&t, "Tags", "%s", tags_text(a, &rep.node.tags));
    table_end(&t);
    return 0;
}

static const struct argument_spec refresh_spec[] = {
    { "--force", "-f", ARG_FLAG, false, "accepted: what is held here is always compared" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* Changes are pushed to us; this waits until what the primary has now has arrived. */
static int run_refresh_routing(struct admin *a, const struct arguments *args)
{
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    struct get_routing_request q = { .cluster_id = bytes_of_text(a->settings->cluster_id) };
    struct get_routing_reply rep = { 0 };
    r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_routing), &q, &rep);
    FIBER_TIMEOUT(a->settings->timeout_ns);
    while (r >= 0 && admin_routing(a)->version < rep.version) {
        r = routing_wait_newer(admin_routing(a), admin_routing(a)->version);
        if (r < 0)
            return admin_fail(a, r, "the routing of version %llu did not arrive",
                              (unsigned long long)rep.version);
    }
    return r;
}

const struct command_spec node_commands[] = {
    { "list-nodes", run_list_nodes, no_spec,
      "Lists the services of the cluster.\n  list-nodes --json" },
    { "list-clients", run_list_clients, no_spec,
      "Lists the mounts and tools that have a session." },
    { "register-node", run_register_node, node_type_spec, "Makes a node known before it runs." },
    { "unregister-node", run_unregister_node, node_type_spec,
      "Forgets a node that is disabled or failed and holds no target." },
    { "enable-node", run_enable_node, node_spec,
      "Lets a disabled node in again.\n  enable-node 1003" },
    { "disable-node", run_disable_node, node_spec,
      "Keeps a node out, also after a restart, by its tag Disable; its targets go offline.\n  "
      "disable-node 1003" },
    { "set-node-tags", run_set_node_tags, tags_spec,
      "Changes the tags of a node, or of a machine for the clients on it. Clients of a machine\n"
      "with the tag TrafficZone read from storages with the same one while these serve.\n"
      "  set-node-tags -n 1001 update TrafficZone=a\n"
      "  set-node-tags -u gpu-07 update TrafficZone=a" },
    { "refresh-routing-info", run_refresh_routing, refresh_spec,
      "Waits until this tool has the routing that the primary has now. Later commands of the same "
      "line see it." },
    { NULL, NULL, NULL, NULL },
};
