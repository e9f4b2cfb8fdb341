/* cmd_target.c - targets and disks of storage nodes. */
#include "admin/commands.h"

#include "client/names.h"
#include "proto/storage.h"

static const struct argument_spec no_spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };

static const struct argument_spec create_spec[] = {
    { "--node-id", NULL, ARG_U32, true, "" },
    { "--disk-index", NULL, ARG_U32, true, "position in the node's target_paths, from 0" },
    { "--target-id", NULL, ARG_U64, true, "" },
    { "--chain-id", NULL, ARG_U32, true, "" },
    { "--chunk-size", NULL, ARG_TEXTS, false,
      "accepted and without effect: a disk takes every chunk size" },
    { "--add-chunk-size", NULL, ARG_FLAG, false, "accepted and without effect" },
    { "--use-new-chunk-engine", NULL, ARG_FLAG, false,
      "accepted and without effect: there is one engine" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* A target that was the last to serve its chain must not be made anew over what it held. */
static bool is_last_server(struct admin *a, uint32_t chain_id, uint64_t target_id)
{
    const struct chain_info *chain = routing_chain(admin_routing(a), chain_id);
    for (uint32_t i = 0; chain && chain->members.count > 1 && i < chain->members.count; i++)
        if (chain->members.items[i].target_id == target_id &&
            chain->members.items[i].public_state == PUBLIC_LASTSRV)
            return true;
    return false;
}

static int run_create_target(struct admin *a, const struct arguments *args)
{
    uint32_t node_id = (uint32_t)argument_number(args, "--node-id", 0);
    struct create_target_request q = { .target_id = argument_number(args, "--target-id", 0),
                                       .disk_index =
                                           (uint32_t)argument_number(args, "--disk-index", 0),
                                       .chain_id = (uint32_t)argument_number(args, "--chain-id", 0),
                                       .allow_existing = 1 };
    struct empty_record none;
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    if (is_last_server(a, q.chain_id, q.target_id))
        return admin_fail(
            a, -ERR_INVALID_ARG,
            "target %llu was the last to serve chain %u: bring its disk back, or rotate-lastsrv",
            (unsigned long long)q.target_id, q.chain_id);
    r = admin_storage(a, node_id, RPC_METHOD(storage, create_target), &q, &none);
    if (r < 0) return r;
    admin_say(a, "Create target %llu on disk %u of %u succeeded", (unsigned long long)q.target_id,
              q.disk_index, node_id);
    return 0;
}

static const struct argument_spec create_many_spec[] = {
    { "--node-id", NULL, ARG_U32, true, "" },
    { "--disk-index", NULL, ARG_U32S, true, "one or more" },
    { "--allow-existing-target", NULL, ARG_FLAG, false, "" },
    { "--add-chunk-size", NULL, ARG_FLAG, false, "accepted and without effect" },
    { "--use-new-chunk-engine", NULL, ARG_FLAG, false,
      "accepted and without effect: there is one engine" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int create_of_disk(struct admin *a, uint32_t node_id, uint32_t disk, bool allow_existing)
{
    struct routing *routing = admin_routing(a);
    const struct chain_info *chain;
    size_t at = 0;
    int first = 0;
    /* Collected before the first call: an update of the routing replaces the records. */
    struct create_target_request *todo =
        arena_array(&a->arena, struct create_target_request, routing->chains.count);
    uint32_t count = 0;
    while ((chain = map_next(&routing->chains, &at))) {
        for (uint32_t i = 0; i < chain->members.count; i++) {
            const struct chain_member *m = &chain->members.items[i];
            bool is_here = m->node_id == node_id && m->disk_index == disk;
            if (!is_here || (m->public_state == PUBLIC_LASTSRV && chain->members.count > 1))
                continue;
            todo[count++] = (struct create_target_request){ m->target_id, disk, chain->chain_id,
                                                            allow_existing };
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct empty_record none;
        int r = admin_storage(a, node_id, RPC_METHOD(storage, create_target), &todo[i], &none);
        if (r >= 0)
            admin_say(a, "Create target %llu on disk %u of %u succeeded",
                      (unsigned long long)todo[i].target_id, disk, node_id);
        if (first >= 0 && r < 0) first = r;
    }
    return first;
}

static int run_create_targets(struct admin *a, const struct arguments *args)
{
    const struct argument_value *disks = argument(args, "--disk-index");
    int first = admin_need_mgmtd(a);
    for (uint32_t i = 0; first >= 0 && i < disks->count; i++)
        first = create_of_disk(a, (uint32_t)argument_number(args, "--node-id", 0),
                               (uint32_t)disks->numbers[i],
                               argument_flag(args, "--allow-existing-target"));
    return first;
}

static const struct argument_spec target_spec[] = {
    { "--target-id", NULL, ARG_U64, true, "" },
    { "--node-id", NULL, ARG_U32, false, "from the routing if absent" },
    { "--force", NULL, ARG_FLAG, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static uint32_t node_of_target(struct admin *a, uint64_t target_id)
{
    const struct chain_info *chain;
    size_t at = 0;
    while ((chain = map_next(&admin_routing(a)->chains, &at)))
        for (uint32_t i = 0; i < chain->members.count; i++)
            if (chain->members.items[i].target_id == target_id)
                return chain->members.items[i].node_id;
    return 0;
}

static int target_call(struct admin *a, const struct arguments *args,
                       const struct rpc_method *method, const char *verb)
{
    struct target_request q = { argument_number(args, "--target-id", 0),
                                argument_flag(args, "--force") };
    struct empty_record none;
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    uint32_t node_id = (uint32_t)argument_number(args, "--node-id", node_of_target(a, q.target_id));
    r = admin_storage(a, node_id, method, &q, &none);
    if (r < 0) return r;
    admin_say(a, "%s target %llu of %u succeeded", verb, (unsigned long long)q.target_id, node_id);
    return 0;
}

static int run_offline_target(struct admin *a, const struct arguments *args)
{
    return target_call(a, args, RPC_METHOD(storage, offline_target), "Offline");
}

static int run_remove_target(struct admin *a, const struct arguments *args)
{
    return target_call(a, args, RPC_METHOD(storage, remove_target), "Remove");
}

static const struct argument_spec list_targets_spec[] = {
    { "--chain-id", "-c", ARG_U32, false, "only those of a chain" },
    { "--orphan", NULL, ARG_FLAG, false, "only those that no chain has" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int list_orphans(struct admin *a)
{
    static const char *const headers[] = { "TargetId", "LocalState", "NodeId", "DiskIndex",
                                           "UsedSize" };
    struct empty_record none = { 0 };
    struct orphan_targets_reply rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_orphan_targets), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.targets.count; i++) {
        const struct orphan_target *o = &rep.targets.items[i];
        table_cell(&t, "%llu", (unsigned long long)o->target_id);
        table_cell(&t, "%s", local_state_name(o->local_state));
        table_cell(&t, "%u", o->node_id);
        table_cell(&t, "%u", o->disk_index);
        table_cell(&t, "%llu", (unsigned long long)o->used_bytes);
    }
    table_end(&t);
    return 0;
}

static void target_rows(struct print_table *t, const struct chain_info *chain)
{
    for (uint32_t i = 0; i < chain->members.count; i++) {
        const struct chain_member *m = &chain->members.items[i];
        table_cell(t, "%llu", (unsigned long long)m->target_id);
        table_cell(t, "%u", chain->chain_id);
        table_cell(t, "%s", i == 0 ? "HEAD" : i + 1 == chain->members.count ? "TAIL" : "MIDDLE");
        table_cell(t, "%s", public_state_name(m->public_state));
        table_cell(t, "%s", local_state_name(m->local_state));
        table_cell(t, "%u", m->node_id);
        table_cell(t, "%u", m->disk_index);
        table_cell(t, "%llu", (unsigned long long)m->used_bytes);
        if (m->public_state == PUBLIC_SYNCING)
            table_cell(t, "%u.%u%%", m->sync_permille / 10, m->sync_permille % 10);
        else
            table_cell(t, "%s", "");
    }
}

static int compare_chains(const void *x, const void *y)
{
    const struct chain_info *a = *(const struct chain_info *const *)x,
                            *b = *(const struct chain_info *const *)y;
    return (a->chain_id > b->chain_id) - (a->chain_id < b->chain_id);
}

static int run_list_targets(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "TargetId",    "ChainId",    "Role",
                                           "PublicState", "LocalState", "NodeId",
                                           "DiskIndex",   "UsedSize",   "Filled" };
    if (argument_flag(args, "--orphan")) return list_orphans(a);
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    struct routing *routing = admin_routing(a);
    const struct chain_info *chain,
        **chains = arena_array(&a->arena, const struct chain_info *, routing->chains.count);
    size_t at = 0, count = 0;
    uint32_t only = (uint32_t)argument_number(args, "--chain-id", 0);
    while ((chain = map_next(&routing->chains, &at)))
        if (!only || chain->chain_id == only) chains[count++] = chain;
    if (only && !count)
        return admin_fail(a, -ERR_MGMTD_CHAIN_NOT_FOUND, "there is no chain %u", only);
    qsort(chains, count, sizeof *chains, compare_chains);
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (size_t i = 0; i < count; i++)
        target_rows(&t, chains[i]);
    table_end(&t);
    return 0;
}

const char *disk_state_name(const struct disk_info *disk)
{
    if (disk->failed) return "FAILED";
    if (disk->free_bytes == 0) return "FULL";
    return disk->free_bytes < disk->capacity_bytes / 25 ? "LOW" : "OK";
}

static int run_list_disks(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "NodeId", "DiskIndex", "Path",    "Capacity",
                                           "Used",   "Free",      "Targets", "State" };
    struct empty_record none = { 0 };
    struct list_disks_reply rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_disks), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.nodes.count; i++) {
        for (uint32_t d = 0; d < rep.nodes.items[i].disks.count; d++) {
            const struct disk_info *disk = &rep.nodes.items[i].disks.items[d];
            table_cell(&t, "%u", rep.nodes.items[i].node_id);
            table_cell(&t, "%u", disk->disk_index);
            table_cell(&t, "%.*s", (int)disk->path.size, (const char *)disk->path.base);
            table_cell(&t, "%llu", (unsigned long long)disk->capacity_bytes);
            table_cell(&t, "%llu",
                       (unsigned long long)(disk->capacity_bytes -
                                            MIN_OF(disk->free_bytes, disk->capacity_bytes)));
            table_cell(&t, "%llu", (unsigned long long)disk->free_bytes);
            table_cell(&t, "%u", disk->targets.count);
            table_cell(&t, "%s", disk_state_name(disk));
        }
    }
    table_end(&t);
    return 0;
}

const struct command_spec target_commands[] = {
    { "create-target", run_create_target, create_spec,
      "Makes a target on a disk of a storage node.\n"
      "  create-target --node-id 1001 --disk-index 0 --target-id 101000100101 --chain-id "
      "900100001" },
    { "create-targets", run_create_targets, create_many_spec,
      "Makes all targets anew that the chains place on a replaced disk.\n  create-targets "
      "--node-id 1001 --disk-index 0" },
    { "offline-target", run_offline_target, target_spec, "Takes a target out of service." },
    { "remove-target", run_remove_target, target_spec,
      "Removes a target that is offline and in no chain, with its chunks." },
    { "list-targets", run_list_targets, list_targets_spec,
      "Lists targets with their states.\n  list-targets -c 900100001" },
    { "list-disks", run_list_disks, no_spec,
      "Lists the disks of the storage nodes as last reported: sizes in bytes, targets, OK, LOW, "
      "FULL or "
      "FAILED.\n  list-disks" },
    { NULL, NULL, NULL, NULL },
};
