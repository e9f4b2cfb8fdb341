/* cmd_routing.c - nodes, clients, chains and chain tables. */
#include "admin/commands.h"

#include "client/names.h"
#include "loop/file.h"

enum { CSV_BYTES_MAX = 64 << 20 };

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
    const struct node_info *a = *(const struct node_info *const *)x,
                           *b = *(const struct node_info *const *)y;
    if (a->type != b->type) return a->type < b->type ? -1 : 1;
    if (a->status != b->status) return a->status < b->status ? -1 : 1;
    return (a->node_id > b->node_id) - (a->node_id < b->node_id);
}

static int refresh(struct admin *a)
{
    /* A full answer, so that what is shown is what the primary knows now. */
    int r = admin_need_mgmtd(a);
    return r < 0 ? r : mgmtd_client_wait_ready(a->mgmtd);
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
    int r = refresh(a);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config_versions), &none, &versions);
    if (r < 0) return r;
    struct routing *routing = admin_routing(a);
    const struct node_info **nodes = arena_array(&a->arena, const struct node_info *,
                                                 routing->nodes.count),
                           *node;
    size_t at = 0, count = 0;
    while ((node = map_next(&routing->nodes, &at)))
        nodes[count++] = node;
    qsort(nodes, count, sizeof *nodes, compare_nodes);
    struct print_table t;
    char when[32];
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (size_t i = 0; i < count; i++) {
        node = nodes[i];
        table_cell(&t, "%u", node->node_id);
        table_cell(&t, "%s", node_type_name(node->type));
        table_cell(&t, "%s", node_status_name(node->status));
        table_cell(&t, "%.*s", (int)node->hostname.size, (const char *)node->hostname.base);
        table_cell(&t, "%u", node->pid);
        table_cell(&t, "%s", tags_text(a, &node->tags));
        table_cell(&t, "%s", time_to_text(node->last_heartbeat_wall_ns, when, sizeof when));
        config_cell(&t, node->config_version, node->config_status,
                    latest_config(&versions, node->type));
        table_cell(&t, "%.*s", (int)node->release.size, (const char *)node->release.base);
    }
    table_end(&t);
    return 0;
}

static int run_list_clients(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "ClientId",    "ClientStart",   "SessionStart",
                                           "LastExtend",  "ConfigVersion", "Hostname",
                                           "Description", "Tags",          "ReleaseVersion" };
    struct empty_record none = { 0 };
    struct list_sessions_reply rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_sessions), &none, &rep);
    if (r < 0) return r;
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
        table_cell(&t, "%llu", (unsigned long long)s->config_version);
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
    { "--node-id", "-n", ARG_U32, true, "" },
    { "mode", NULL, ARG_TEXT, true, "replace, update or remove" },
    { "tags", NULL, ARG_TEXTS, true, "k or k=v" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_set_node_tags(struct admin *a, const struct arguments *args)
{
    static const char *const modes[] = { "replace", "update", "remove" };
    const char *mode = argument_text(args, "mode", "");
    const struct argument_value *words = argument(args, "tags");
    struct set_node_tags_request q = { .node_id = (uint32_t)argument_number(args, "--node-id", 0),
                                       .mode = UINT8_MAX };
    struct node_reply rep = { 0 };
    for (uint8_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (!strcmp(modes[i], mode)) q.mode = i;
    if (q.mode == UINT8_MAX)
        return admin_fail(a, -ERR_INVALID_ARG, "mode: '%s' is none of replace, update, remove",
                          mode);
    q.tags = (struct tag_list){ arena_array(&a->arena, struct tag, words->count), words->count };
    for (uint32_t i = 0; i < words->count; i++) {
        size_t key = strcspn(words->texts[i], "=");
        q.tags.items[i].key = bytes_of(words->texts[i], key);
        if (words->texts[i][key]) q.tags.items[i].value = bytes_of_text(words->texts[i] + key + 1);
    }
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_node_tags), &q, &rep);
    if (r < 0) return r;
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "NodeId", "%u", rep.node.node_id);
    block_row(&t, "Type", "%s", node_type_name(rep.node.type));
    block_row(&t, "Status", "%s", node_status_name(rep.node.status));
    block_row(&t, "Tags", "%s", tags_text(a, &rep.node.tags));
    table_end(&t);
    return 0;
}

/* ---- CSV ---- */

struct csv {
    char *at;
    uint32_t line;
};

static int csv_open(struct admin *a, const char *path, struct csv *ret)
{
    char *text = NULL;
    size_t size;
    int r = file_read_all(a->node, path, CSV_BYTES_MAX, &text, &size);
    if (r < 0) return admin_fail(a, r, "cannot read %s", path);
    *ret = (struct csv){ .at = arena_text(&a->arena, bytes_of(text, size)), .line = 0 };
    free(text);
    return 0;
}

/* The next line that is not empty; NULL at the end. */
static char *csv_line(struct csv *c)
{
    while (*c->at) {
        char *line = c->at;
        size_t size = strcspn(line, "\n");
        c->at = line + size + (line[size] == '\n');
        c->line++;
        line[size] = 0;
        line[strcspn(line, "\r")] = 0;
        if (line[strspn(line, " \t")]) return line;
    }
    return NULL;
}

/* Numbers of one row. -1 when one is none, or out of range. */
static int csv_numbers(const char *line, uint64_t *ret, uint32_t max_count)
{
    uint32_t count = 0;
    for (const char *p = line;;) {
        char *end;
        p += strspn(p, " \t");
        if (count == max_count || *p < '0' || *p > '9') return -1;
        ret[count++] = strtoull(p, &end, 10);
        end += strspn(end, " \t");
        if (!*end) return (int)count;
        if (*end != ',') return -1;
        p = end + 1;
    }
}

static const struct argument_spec upload_chains_spec[] = {
    { "file", NULL, ARG_TEXT, true, "CSV: ChainId,TargetId,..." },
    { "--dump-template", "-d", ARG_FLAG, false, "write an example there instead" },
    { "--set-preferred-target-order", NULL, ARG_FLAG, false,
      "the order given is the preferred one" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int dump_text(struct admin *a, const char *path, const char *text)
{
    int r = file_replace(a->node, path, text, strlen(text), 0644);
    return r < 0 ? admin_fail(a, r, "cannot write %s", path) : 0;
}

static int chains_read(struct admin *a, const char *path, struct chain_spec_list *ret)
{
    struct csv csv;
    int r = csv_open(a, path, &csv);
    if (r < 0) return r;
    const char *header = csv_line(&csv);
    if (!header || strncmp(header, "ChainId,TargetId", 16) != 0)
        return admin_fail(a, -ERR_INVALID_FORMAT, "%s: the first line must be ChainId,TargetId,...",
                          path);
    uint32_t capacity = 0;
    int width = 0;
    char *line;
    uint64_t row[1 + CHAIN_TARGET_COUNT_MAX];
    while ((line = csv_line(&csv))) {
        int n = csv_numbers(line, row, ARRAY_SIZE(row));
        if (n < 2 || (width && n != width) || row[0] == 0 || row[0] > UINT32_MAX)
            return admin_fail(a, -ERR_INVALID_FORMAT,
                              "%s, line %u: '%s' is not a chain id up to 4294967295 and %s targets",
                              path, csv.line, line, width ? "as many" : "1 to 16");
        width = n;
        if (ret->count == capacity) {
            struct chain_spec *more = arena_array(&a->arena, struct chain_spec, capacity * 2 + 64);
            if (ret->count) memcpy(more, ret->items, ret->count * sizeof *more);
            capacity = capacity * 2 + 64;
            ret->items = more;
        }
        struct chain_spec *chain = &ret->items[ret->count++];
        chain->chain_id = (uint32_t)row[0];
        chain->targets =
            (struct u64_list){ arena_array(&a->arena, uint64_t, (uint32_t)n), (uint32_t)n - 1 };
        memcpy(chain->targets.items, row + 1, ((size_t)n - 1) * sizeof row[0]);
    }
    return ret->count ? 0 : admin_fail(a, -ERR_INVALID_FORMAT, "%s has no chains", path);
}

static int run_upload_chains(struct admin *a, const struct arguments *args)
{
    const char *path = argument_text(args, "file", "");
    if (argument_flag(args, "--dump-template"))
        return dump_text(a, path,
                         "ChainId,TargetId,TargetId\n100001,10001,20001\n100002,10002,20002\n");
    struct set_chains_request q = { .set_preferred_order =
                                        argument_flag(args, "--set-preferred-target-order") };
    struct empty_record none;
    int r = chains_read(a, path, &q.chains);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_chains), &q, &none);
    if (r < 0) return r;
    fprintf(a->printer.out, "Upload %u chains succeeded\n", q.chains.count);
    return 0;
}

static const struct argument_spec upload_table_spec[] = {
    { "tableId", NULL, ARG_U32, true, "" },
    { "file", NULL, ARG_TEXT, true, "CSV: ChainId" },
    { "--dump-template", "-d", ARG_FLAG, false, "write an example there instead" },
    { "--desc", NULL, ARG_TEXT, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_upload_chain_table(struct admin *a, const struct arguments *args)
{
    const char *path = argument_text(args, "file", "");
    if (argument_flag(args, "--dump-template"))
        return dump_text(a, path, "ChainId\n100001\n100002\n");
    struct csv csv;
    struct set_chain_table_request q = { .table_id = (uint32_t)argument_number(args, "tableId", 0),
                                         .desc = bytes_of_text(argument_text(args, "--desc", "")) };
    struct set_chain_table_reply rep = { 0 };
    int r = csv_open(a, path, &csv);
    if (r < 0) return r;
    const char *header = csv_line(&csv), *line;
    if (!header || strcmp(header, "ChainId") != 0)
        return admin_fail(a, -ERR_INVALID_FORMAT, "%s: the first line must be ChainId", path);
    q.chains.items = arena_array(&a->arena, uint32_t, strlen(csv.at) / 2 + 1);
    while ((line = csv_line(&csv))) {
        uint64_t id;
        if (csv_numbers(line, &id, 1) != 1 || id == 0 || id > UINT32_MAX)
            return admin_fail(a, -ERR_INVALID_FORMAT,
                              "%s, line %u: '%s' is no chain id (1 to 4294967295)", path, csv.line,
                              line);
        q.chains.items[q.chains.count++] = (uint32_t)id;
    }
    r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_chain_table), &q, &rep);
    if (r < 0) return r;
    fprintf(a->printer.out, "Upload ChainTableId(%u) of ChainTableVersion(%u) succeeded\n",
            q.table_id, rep.version);
    return 0;
}

/* ---- chains ---- */

static const char *chain_status(struct admin *a, const struct chain_info *chain)
{
    uint32_t serving = 0, n = chain->members.count;
    for (uint32_t i = 0; i < n; i++) {
        if (chain->members.items[i].public_state == PUBLIC_SYNCING) return "SYNCING";
        serving += chain->members.items[i].public_state == PUBLIC_SERVING;
    }
    if (serving == n) return "SERVING";
    return serving ? arena_printf(&a->arena, "SERVING(%u/%u)", serving, n) : "UNAVAILABLE";
}

static char *order_text(struct admin *a, const struct u64_list *order)
{
    char *text = arena_printf(&a->arena, "[");
    for (uint32_t i = 0; i < order->count; i++)
        text = arena_printf(&a->arena, "%s%s%llu", text, i ? "," : "",
                            (unsigned long long)order->items[i]);
    return arena_printf(&a->arena, "%s]", text);
}

static int compare_chains(const void *x, const void *y)
{
    const struct chain_info *a = *(const struct chain_info *const *)x,
                            *b = *(const struct chain_info *const *)y;
    return (a->chain_id > b->chain_id) - (a->chain_id < b->chain_id);
}

static char *referenced_by(struct admin *a, uint32_t chain_id)
{
    struct routing *routing = admin_routing(a);
    const struct chain_table *table;
    char *text = NULL;
    size_t at = 0;
    uint32_t count = 0;
    while ((table = map_next(&routing->latest, &at))) {
        for (uint32_t i = 0; i < table->chains.count; i++) {
            if (table->chains.items[i] != chain_id) continue;
            if (++count == 3) return arena_printf(&a->arena, "%s,...", text);
            text = arena_printf(&a->arena, "%s%s%u", text ?: "", text ? "," : "", table->table_id);
            break;
        }
    }
    return text ?: arena_printf(&a->arena, "N/A");
}

static void member_cells(struct print_table *t, const struct chain_info *chain, uint32_t columns)
{
    for (uint32_t i = 0; i < columns; i++) {
        if (i >= chain->members.count) {
            table_cell(t, "%s", "");
            continue;
        }
        const struct chain_member *m = &chain->members.items[i];
        table_cell(t, "%llu(%s-%s)", (unsigned long long)m->target_id,
                   public_state_name(m->public_state), local_state_name(m->local_state));
    }
}

static const struct argument_spec list_chains_spec[] = {
    { "--table-id", "-t", ARG_U32, false, "only those of a chain table, in its order" },
    { "--table-version", "-v", ARG_U32, false, "0: the latest" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static uint32_t widest(const struct chain_info **chains, size_t count)
{
    uint32_t width = 0;
    for (size_t i = 0; i < count; i++)
        width = MAX_OF(width, chains[i]->members.count);
    return width;
}

static void print_chains(struct admin *a, const struct chain_info **chains, size_t count,
                         const struct chain_table *table)
{
    static const char *const plain[] = { "ChainId", "ReferencedBy", "ChainVersion", "Status",
                                         "PreferredOrder" };
    static const char *const of_table[] = { "ChainId",      "ChainTable", "ChainTableVersion",
                                            "ChainVersion", "Status",     "PreferredOrder" };
    const char *headers[8 + CHAIN_TARGET_COUNT_MAX];
    uint32_t columns = 0, fixed = table ? ARRAY_SIZE(of_table) : ARRAY_SIZE(plain),
             width = widest(chains, count);
    for (; columns < fixed; columns++)
        headers[columns] = table ? of_table[columns] : plain[columns];
    for (uint32_t i = 0; i < width; i++) /* JSON needs names that differ */
        headers[columns++] =
            a->printer.is_json ? arena_printf(&a->arena, "Target%u", i + 1) : "Target";
    struct print_table t;
    table_begin(&t, &a->printer, columns, headers);
    for (size_t i = 0; i < count; i++) {
        table_cell(&t, "%u", chains[i]->chain_id);
        if (table) {
            table_cell(&t, "%u", table->table_id);
            table_cell(&t, "%u", table->version);
        } else {
            table_cell(&t, "%s", referenced_by(a, chains[i]->chain_id));
        }
        table_cell(&t, "%u", chains[i]->version);
        table_cell(&t, "%s", chain_status(a, chains[i]));
        table_cell(&t, "%s", order_text(a, &chains[i]->preferred_order));
        member_cells(&t, chains[i], width);
    }
    table_end(&t);
}

static int run_list_chains(struct admin *a, const struct arguments *args)
{
    int r = refresh(a);
    if (r < 0) return r;
    struct routing *routing = admin_routing(a);
    const struct chain_info *chain, **chains;
    size_t count = 0, at = 0;
    if (!argument(args, "--table-id")->is_set) {
        chains = arena_array(&a->arena, const struct chain_info *, routing->chains.count);
        while ((chain = map_next(&routing->chains, &at)))
            chains[count++] = chain;
        qsort(chains, count, sizeof *chains, compare_chains);
        print_chains(a, chains, count, NULL);
        return 0;
    }
    uint32_t id = (uint32_t)argument_number(args, "--table-id", 0);
    const struct chain_table *table =
        routing_table(routing, id, (uint32_t)argument_number(args, "--table-version", 0));
    if (!table)
        return admin_fail(a, -ERR_MGMTD_INVALID_CHAIN_TABLE,
                          "there is no chain table %u of that version", id);
    chains = arena_array(&a->arena, const struct chain_info *, table->chains.count);
    for (uint32_t i = 0; i < table->chains.count; i++)
        if ((chain = routing_chain(routing, table->chains.items[i]))) chains[count++] = chain;
    print_chains(a, chains, count, table);
    return 0;
}

static int compare_tables(const void *x, const void *y)
{
    const struct chain_table *a = *(const struct chain_table *const *)x,
                             *b = *(const struct chain_table *const *)y;
    if (a->table_id != b->table_id) return a->table_id < b->table_id ? -1 : 1;
    return (a->version > b->version) - (a->version < b->version);
}

static char *replica_counts(struct admin *a, const struct chain_table *table)
{
    bool seen[CHAIN_TARGET_COUNT_MAX + 1] = { false };
    char *text = NULL;
    for (uint32_t i = 0; i < table->chains.count; i++) {
        const struct chain_info *chain = routing_chain(admin_routing(a), table->chains.items[i]);
        uint32_t n = chain ? chain->members.count : 0;
        if (n > CHAIN_TARGET_COUNT_MAX || seen[n]) continue;
        seen[n] = true;
        text = arena_printf(&a->arena, "%s%s%u", text ?: "", text ? "/" : "", n);
    }
    return text ?: arena_printf(&a->arena, "0");
}

static int run_list_chain_tables(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "ChainTableId", "ChainTableVersion", "ChainCount",
                                           "ReplicaCount", "Desc" };
    int r = refresh(a);
    if (r < 0) return r;
    struct routing *routing = admin_routing(a);
    const struct chain_table *table,
        **tables = arena_array(&a->arena, const struct chain_table *, routing->tables.count);
    size_t count = 0, at = 0;
    while ((table = map_next(&routing->tables, &at)))
        tables[count++] = table;
    qsort(tables, count, sizeof *tables, compare_tables);
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (size_t i = 0; i < count; i++) {
        table_cell(&t, "%u", tables[i]->table_id);
        table_cell(&t, "%u", tables[i]->version);
        table_cell(&t, "%u", tables[i]->chains.count);
        table_cell(&t, "%s", replica_counts(a, tables[i]));
        table_cell(&t, "%.*s", (int)tables[i]->desc.size, (const char *)tables[i]->desc.base);
    }
    table_end(&t);
    return 0;
}

static void print_chain(struct admin *a, const struct chain_info *chain)
{
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "ChainId", "%u", chain->chain_id);
    block_row(&t, "ChainVersion", "%u", chain->version);
    for (uint32_t i = 0; i < chain->members.count; i++)
        block_row(&t, "Target", "%llu(%s)", (unsigned long long)chain->members.items[i].target_id,
                  public_state_name(chain->members.items[i].public_state));
    block_row(&t, "PreferredOrder", "%s", order_text(a, &chain->preferred_order));
    table_end(&t);
}

static int chain_call(struct admin *a, const struct rpc_method *method, struct chain_request *q)
{
    struct chain_reply rep = { 0 };
    int r = admin_mgmtd(a, method, q, &rep);
    if (r >= 0) print_chain(a, &rep.chain);
    return r;
}

static const struct argument_spec chain_spec[] = {
    { "chainId", NULL, ARG_U32, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_rotate_lastsrv(struct admin *a, const struct arguments *args)
{
    struct chain_request q = { .chain_id = (uint32_t)argument_number(args, "chainId", 0) };
    return chain_call(a, RPC_METHOD(mgmtd, rotate_lastsrv), &q);
}

static int run_rotate_as_preferred(struct admin *a, const struct arguments *args)
{
    struct chain_request q = { .chain_id = (uint32_t)argument_number(args, "chainId", 0) };
    return chain_call(a, RPC_METHOD(mgmtd, rotate_as_preferred_order), &q);
}

static const struct argument_spec preferred_spec[] = {
    { "chainId", NULL, ARG_U32, true, "" },
    { "targets", NULL, ARG_U64S, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_set_preferred(struct admin *a, const struct arguments *args)
{
    const struct argument_value *targets = argument(args, "targets");
    struct chain_request q = { .chain_id = (uint32_t)argument_number(args, "chainId", 0),
                               .targets = { targets->numbers, targets->count } };
    return chain_call(a, RPC_METHOD(mgmtd, set_preferred_order), &q);
}

static const struct argument_spec update_chain_spec[] = {
    { "chainId", NULL, ARG_U32, true, "" },
    { "target", NULL, ARG_U64, true, "" },
    { "--mode", "-m", ARG_TEXT, true, "add or remove" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_update_chain(struct admin *a, const struct arguments *args)
{
    const char *mode = argument_text(args, "--mode", "");
    uint64_t target = argument_number(args, "target", 0);
    bool adds = !strcmp(mode, "add");
    if (!adds && strcmp(mode, "remove") != 0)
        return admin_fail(a, -ERR_INVALID_ARG, "--mode: '%s' is neither add nor remove", mode);
    struct chain_request q = { .chain_id = (uint32_t)argument_number(args, "chainId", 0),
                               .targets = { &target, 1 },
                               .mode = adds ? CHAIN_ADD : CHAIN_REMOVE };
    return chain_call(a, RPC_METHOD(mgmtd, update_chain), &q);
}

static const struct argument_spec dump_table_spec[] = {
    { "tableId", NULL, ARG_U32, true, "" },
    { "file", NULL, ARG_TEXT, true, "" },
    { "--table-version", "-v", ARG_U32, false, "0: the latest" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_dump_chain_table(struct admin *a, const struct arguments *args)
{
    int r = refresh(a);
    if (r < 0) return r;
    uint32_t id = (uint32_t)argument_number(args, "tableId", 0);
    const char *path = argument_text(args, "file", "");
    const struct chain_table *table =
        routing_table(admin_routing(a), id, (uint32_t)argument_number(args, "--table-version", 0));
    if (!table)
        return admin_fail(a, -ERR_MGMTD_INVALID_CHAIN_TABLE,
                          "there is no chain table %u of that version", id);
    char *text = arena_printf(&a->arena, "ChainId\n");
    for (uint32_t i = 0; i < table->chains.count; i++)
        text = arena_printf(&a->arena, "%s%u\n", text, table->chains.items[i]);
    r = dump_text(a, path, text);
    if (r >= 0)
        fprintf(a->printer.out, "Dump ChainTableId(%u) of ChainTableVersion(%u) to %s succeeded\n",
                id, table->version, path);
    return r;
}

const struct command_spec routing_commands[] = {
    { "list-nodes", run_list_nodes, no_spec,
      "Lists the services of the cluster.\n  list-nodes --json" },
    { "list-clients", run_list_clients, no_spec,
      "Lists the mounts and tools that have a session." },
    { "register-node", run_register_node, node_type_spec, "Makes a node known before it runs." },
    { "unregister-node", run_unregister_node, node_type_spec,
      "Forgets a node that is disabled or failed and holds no target." },
    { "enable-node", run_enable_node, node_spec, "Lets a disabled node in again." },
    { "disable-node", run_disable_node, node_spec, "Keeps a node out; its targets go offline." },
    { "set-node-tags", run_set_node_tags, tags_spec,
      "Changes a node's tags.\n  set-node-tags -n 1001 update zone=a" },
    { "upload-chains", run_upload_chains, upload_chains_spec,
      "Makes the chains of a CSV file; those that exist must have the same targets.\n"
      "  upload-chains output/generated_chains.csv" },
    { "upload-chain-table", run_upload_chain_table, upload_table_spec,
      "Makes a chain table, or its next version if the chains differ.\n"
      "  upload-chain-table --desc stage 1 output/generated_chain_table.csv" },
    { "dump-chain-table", run_dump_chain_table, dump_table_spec, "Writes a chain table as CSV." },
    { "list-chain-tables", run_list_chain_tables, no_spec,
      "Lists all versions of all chain tables." },
    { "list-chains", run_list_chains, list_chains_spec,
      "Lists chains with their targets' states.\n  list-chains -t 1" },
    { "update-chain", run_update_chain, update_chain_spec,
      "Adds a target to a chain, or takes one out that is offline." },
    { "rotate-lastsrv", run_rotate_lastsrv, chain_spec,
      "Gives up the last target that served and takes the next one. May lose data." },
    { "rotate-as-preferred-order", run_rotate_as_preferred, chain_spec,
      "One step towards the preferred order." },
    { "set-preferred-target-order", run_set_preferred, preferred_spec,
      "Sets the preferred order of a chain." },
    { NULL, NULL, NULL, NULL },
};
