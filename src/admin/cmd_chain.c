/* cmd_chain.c - chains and chain tables: lists, order, membership. */
#include "admin/commands.h"

#include "client/names.h"
#include "cluster/shutdown.h"

static const struct argument_spec no_spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };

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
        char filled[32] = "";
        if (m->public_state == PUBLIC_SYNCING)
            snprintf(filled, sizeof filled, " %u.%u%%", m->sync_permille / 10,
                     m->sync_permille % 10);
        table_cell(t, "%llu(%s-%s%s)", (unsigned long long)m->target_id,
                   public_state_name(m->public_state), local_state_name(m->local_state), filled);
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
    int r = admin_need_mgmtd(a);
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
    int r = admin_need_mgmtd(a);
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

/* ---- a cluster that stands still ---- */

static const struct argument_spec shutdown_spec[] = {
    { "--check-offline", "-c", ARG_FLAG, false, "refuse while a cluster manager leads" },
    { "--display-chains", NULL, ARG_FLAG, false, "show all chains" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static void print_shut_chains(struct admin *a, const struct chain_info_list *chains)
{
    const char *headers[2 + CHAIN_TARGET_COUNT_MAX] = { "ChainId", "ChainVersion" };
    uint32_t width = 0;
    for (uint32_t i = 0; i < chains->count; i++)
        width =
            MAX_OF(width, MIN_OF(chains->items[i].members.count, (uint32_t)CHAIN_TARGET_COUNT_MAX));
    for (uint32_t i = 0; i < width; i++)
        headers[2 + i] = a->printer.is_json ? arena_printf(&a->arena, "Target%u", i + 1) : "Target";
    struct print_table t;
    table_begin(&t, &a->printer, 2 + width, headers);
    for (uint32_t i = 0; i < chains->count; i++) {
        const struct chain_info *chain = &chains->items[i];
        table_cell(&t, "%u", chain->chain_id);
        table_cell(&t, "%u", chain->version);
        for (uint32_t j = 0; j < width; j++) {
            if (j >= chain->members.count)
                table_cell(&t, "%s", "");
            else
                table_cell(&t, "%llu(%s)", (unsigned long long)chain->members.items[j].target_id,
                           public_state_name(chain->members.items[j].public_state));
        }
    }
    table_end(&t);
}

static int run_shutdown_all_chains(struct admin *a, const struct arguments *args)
{
    struct chain_info_list chains;
    uint32_t owner = 0;
    int r = admin_need_kv(a);
    if (r < 0) return r;
    if (argument_flag(args, "--check-offline")) {
        r = cluster_is_led(a->node, a->kv, &owner);
        if (r < 0) return admin_fail(a, r, "cannot see whether a cluster manager leads");
        if (r > 0) return admin_fail(a, -ERR_BUSY, "node %u leads: stop all mgmtd first", owner);
    }
    r = cluster_shutdown_chains(a->kv, &a->arena, &chains);
    if (r < 0) return admin_fail(a, r, "the chains are as they were");
    bool shows = argument_flag(args, "--display-chains");
    if (!shows || !a->printer.is_json) admin_say(a, "Shutdown succeeded"); /* JSON: one document */
    if (shows) print_shut_chains(a, &chains);
    return 0;
}

const struct command_spec chain_commands[] = {
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
    { "shutdown-all-chains", run_shutdown_all_chains, shutdown_spec,
      "Puts the chains of a cluster that is stopped at rest: whoever served may go on alone.\n"
      "  shutdown-all-chains --check-offline" },
    { NULL, NULL, NULL, NULL },
};
