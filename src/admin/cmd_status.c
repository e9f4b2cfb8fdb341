/* cmd_status.c - `status`: is the cluster well, on one screen, and in the exit status.
 *
 *   HEALTHY      every node answers, every chain serves with all its targets, no disk is failed or
 *                full
 *   DEGRADED     everything can be read and written, but something is missing
 *   UNAVAILABLE  a chain has no target that serves, or there are no chains
 *
 * Each reason is a line. A node that answers slowly is shown and changes nothing.
 */
#include "admin/commands.h"

#include "admin/drain_plan.h"
#include "client/names.h"
#include "proto/core.h"
#include <stdarg.h>

#define PROBE_NS (3 * SEC)
#define SLOW_NS  (500 * MSEC)
enum { NAMED_COUNT_MAX = 6, RESYNC_COUNT_MAX = 8, LINE_BYTES = 512 };

enum health { HEALTHY, DEGRADED, UNAVAILABLE };

struct probe {
    struct admin *a;
    const struct node_info *node;
    int result;
    uint64_t took_ns;
    bool is_healthy;
    const char *state; /* in the admin's arena */
};

/* Names for one line, the first few of them. */
struct name_list {
    char text[LINE_BYTES];
    uint32_t count;
};

struct status {
    struct admin *a;
    enum health health;
    struct print_table problems; /* rows of the final block, kept apart until then */
    const struct node_info *nodes;
    size_t node_count;
    struct probe *probes;
    uint32_t probe_count;
    struct list_disks_reply disks;
    struct list_sessions_reply sessions;
    uint64_t capacity_bytes, free_bytes;
    uint32_t chain_count, whole_count, short_count, syncing_count, dead_count;
    struct name_list short_chains, dead_chains;
};

static void name_list_add(struct name_list *list, const char *fmt, ...) printf_(2, 3);
static void name_list_add(struct name_list *list, const char *fmt, ...)
{
    size_t used = strlen(list->text);
    list->count++;
    if (list->count > NAMED_COUNT_MAX + 1) return;
    if (list->count == NAMED_COUNT_MAX + 1) {
        snprintf(list->text + used, sizeof list->text - used, ", ...");
        return;
    }
    if (used) used += (size_t)snprintf(list->text + used, sizeof list->text - used, ", ");
    va_list args;
    va_start(args, fmt);
    vsnprintf(list->text + used, sizeof list->text - used, fmt, args);
    va_end(args);
}

static void problem(struct status *s, enum health health, const char *fmt, ...) printf_(3, 4);
static void problem(struct status *s, enum health health, const char *fmt, ...)
{
    char text[2 * LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    s->health = MAX_OF(s->health, health);
    block_row(&s->problems, "Problem", "%s", text);
}

/* ---- nodes ---- */

static bool is_alive(const struct node_info *node)
{
    return node->status == NODE_PRIMARY_MGMTD || node->status == NODE_HEARTBEAT_CONNECTED;
}

static int probe_run(void *arg)
{
    struct probe *p = arg;
    struct admin *a = p->a;
    cleanup_arena_ struct arena arena = { 0 };
    struct empty_record none = { 0 };
    struct core_health_reply reply = { 0 };
    struct rpc_options options = { .arena = &arena, .timeout_ns = PROBE_NS };
    struct net_address address;
    uint64_t begin_ns = node_now_ns(a->node);
    p->result = routing_address(admin_routing(a), p->node->node_id, &address);
    if (p->result < 0) return 0;
    struct rpc_target target = { mgmtd_client_pool(a->mgmtd), &address, RPC_CONTROL };
    p->result = core_get_health(target, &options, &none, &reply);
    p->took_ns = node_now_ns(a->node) - begin_ns;
    p->is_healthy = reply.is_healthy;
    p->state = arena_text(&a->arena, reply.state);
    return 0;
}

static int probe_nodes(struct status *s)
{
    struct admin *a = s->a;
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = a->node;
    s->probes = arena_array(&a->arena, struct probe, s->node_count);
    for (size_t i = 0; i < s->node_count; i++) {
        if (!is_alive(&s->nodes[i])) continue;
        struct probe *p = &s->probes[s->probe_count++];
        *p = (struct probe){ .a = a, .node = &s->nodes[i] };
        int r = fiber_spawn(&scope, "probe", probe_run, p);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

static void judge_nodes(struct status *s)
{
    char when[32];
    for (size_t i = 0; i < s->node_count; i++) {
        const struct node_info *n = &s->nodes[i];
        const char *type = node_type_name(n->type);
        if (n->status == NODE_HEARTBEAT_FAILED)
            problem(s, DEGRADED, "%s %u on %.*s is away, last heard %s", type, n->node_id,
                    (int)n->hostname.size, (const char *)n->hostname.base,
                    time_to_text(n->last_heartbeat_wall_ns, when, sizeof when));
        if (n->status == NODE_HEARTBEAT_CONNECTING)
            problem(s, DEGRADED, "%s %u has not reported yet", type, n->node_id);
        if (n->config_status == CONFIG_FAILED && is_alive(n))
            problem(s, DEGRADED,
                    "%s %u refuses its configuration (get-last-config-update-record -n %u)", type,
                    n->node_id, n->node_id);
    }
    for (uint32_t i = 0; i < s->probe_count; i++) {
        const struct probe *p = &s->probes[i];
        const char *type = node_type_name(p->node->type);
        if (p->result < 0)
            problem(s, DEGRADED, "%s %u reports itself but does not answer here: %s", type,
                    p->node->node_id, error_sentence(p->result));
        else if (!p->is_healthy)
            problem(s, DEGRADED, "%s %u: %s", type, p->node->node_id, p->state);
    }
}

static void drain_rows(struct status *s, struct print_table *t)
{
    for (size_t i = 0; i < s->node_count; i++) {
        const struct chain_info *chain;
        size_t at = 0;
        uint32_t count = 0;
        if (!drain_is_marked(&s->nodes[i], NULL)) continue;
        while ((chain = map_next(&admin_routing(s->a)->chains, &at)))
            for (uint32_t m = 0; m < chain->members.count; m++)
                count += chain->members.items[m].node_id == s->nodes[i].node_id;
        block_row(t, "Draining", "STORAGE %u: %u targets left", s->nodes[i].node_id, count);
    }
}

static const char *nodes_text(struct status *s)
{
    struct arena *arena = &s->a->arena;
    const char *text = "";
    for (uint32_t type = 0; type < NODE_TYPE_MAX; type++) {
        uint32_t alive = 0, disabled = 0, count = 0;
        for (size_t i = 0; i < s->node_count; i++) {
            const struct node_info *n = &s->nodes[i];
            if (n->type != type) continue;
            count++;
            alive += is_alive(n);
            disabled += n->status == NODE_DISABLED;
        }
        if (!count) continue;
        text = arena_printf(arena, "%s%s%s %u/%u", text, text[0] ? ", " : "",
                            node_type_name((uint8_t)type), alive, count);
        if (disabled) text = arena_printf(arena, "%s (%u disabled)", text, disabled);
    }
    return text;
}

/* ---- disks ---- */

static struct bytes hostname_of(const struct status *s, uint32_t node_id)
{
    for (size_t i = 0; i < s->node_count; i++)
        if (s->nodes[i].node_id == node_id) return s->nodes[i].hostname;
    return (struct bytes){ 0 };
}

/* Directories of one file system count once. */
static bool is_counted(const struct status *s, uint32_t node_at, uint32_t disk_at)
{
    const struct node_disks *nd = &s->disks.nodes.items[node_at];
    struct bytes host = hostname_of(s, nd->node_id);
    for (uint32_t i = 0; i <= node_at; i++) {
        const struct node_disks *other = &s->disks.nodes.items[i];
        uint32_t limit = i == node_at ? disk_at : other->disks.count;
        if (!bytes_equal(hostname_of(s, other->node_id), host)) continue;
        for (uint32_t d = 0; d < limit; d++)
            if (other->disks.items[d].device == nd->disks.items[disk_at].device) return true;
    }
    return false;
}

static void judge_disks(struct status *s)
{
    for (uint32_t i = 0; i < s->disks.nodes.count; i++) {
        const struct node_disks *nd = &s->disks.nodes.items[i];
        for (uint32_t d = 0; d < nd->disks.count; d++) {
            const struct disk_info *disk = &nd->disks.items[d];
            const char *state = disk_state_name(disk);
            if (strcmp(state, "OK") != 0)
                problem(s, DEGRADED, "disk %u of STORAGE %u at %.*s is %s", disk->disk_index,
                        nd->node_id, (int)disk->path.size, (const char *)disk->path.base, state);
            if (is_counted(s, i, d)) continue;
            s->capacity_bytes += disk->capacity_bytes;
            s->free_bytes += disk->free_bytes;
        }
    }
}

/* ---- chains ---- */

static void judge_chain(struct status *s, const struct chain_info *chain)
{
    uint32_t serving = 0, syncing = 0;
    for (uint32_t i = 0; i < chain->members.count; i++) {
        serving += chain->members.items[i].public_state == PUBLIC_SERVING;
        syncing += chain->members.items[i].public_state == PUBLIC_SYNCING;
    }
    s->chain_count++;
    if (serving == chain->members.count) {
        s->whole_count++;
    } else if (serving == 0) {
        s->dead_count++;
        name_list_add(&s->dead_chains, "%u", chain->chain_id);
    } else if (syncing) {
        s->syncing_count++;
    } else {
        s->short_count++;
        name_list_add(&s->short_chains, "%u", chain->chain_id);
    }
}

static void judge_chains(struct status *s)
{
    const struct chain_info *chain;
    size_t at = 0;
    while ((chain = map_next(&admin_routing(s->a)->chains, &at)))
        judge_chain(s, chain);
    if (s->chain_count == 0) problem(s, UNAVAILABLE, "there are no chains: bootstrap makes them");
    if (s->dead_count)
        problem(s, UNAVAILABLE, "%u chain%s no target that serves: %s", s->dead_count,
                s->dead_count == 1 ? " has" : "s have", s->dead_chains.text);
    if (s->short_count)
        problem(s, DEGRADED, "%u chain%s without all targets: %s", s->short_count,
                s->short_count == 1 ? " serves" : "s serve", s->short_chains.text);
    if (s->syncing_count)
        problem(s, DEGRADED, "%u chain%s being resynced", s->syncing_count,
                s->syncing_count == 1 ? " is" : "s are");
}

static void resync_rows(struct status *s, struct print_table *t)
{
    const struct chain_info *chain;
    size_t at = 0;
    uint32_t count = 0;
    while ((chain = map_next(&admin_routing(s->a)->chains, &at)) && count < RESYNC_COUNT_MAX) {
        for (uint32_t i = 0; i < chain->members.count; i++) {
            const struct chain_member *m = &chain->members.items[i];
            if (m->public_state != PUBLIC_SYNCING) continue;
            block_row(t, "Resync", "chain %u, target %llu on %u: %u.%u%%", chain->chain_id,
                      (unsigned long long)m->target_id, m->node_id, m->sync_permille / 10,
                      m->sync_permille % 10);
            count++;
        }
    }
}

/* ---- the screen ---- */

static void capacity_row(struct status *s, struct print_table *t)
{
    uint64_t used = s->capacity_bytes - MIN_OF(s->free_bytes, s->capacity_bytes);
    char used_text[32], capacity_text[32], free_text[32];
    if (s->a->printer.is_json) {
        block_row(t, "CapacityBytes", "%llu", (unsigned long long)s->capacity_bytes);
        block_row(t, "UsedBytes", "%llu", (unsigned long long)used);
        return;
    }
    block_row(t, "Capacity", "%s used of %s, %s free (all replicas)",
              bytes_to_text(used, used_text, sizeof used_text),
              bytes_to_text(s->capacity_bytes, capacity_text, sizeof capacity_text),
              bytes_to_text(s->free_bytes, free_text, sizeof free_text));
}

static void chain_rows(struct status *s, struct print_table *t)
{
    if (s->a->printer.is_json) {
        block_row(t, "Chains", "%u", s->chain_count);
        block_row(t, "ChainsServing", "%u", s->whole_count);
        block_row(t, "ChainsSyncing", "%u", s->syncing_count);
        block_row(t, "ChainsShort", "%u", s->short_count);
        block_row(t, "ChainsUnavailable", "%u", s->dead_count);
        return;
    }
    block_row(t, "Chains",
              "%u of %u serve with all targets, %u are resynced, %u lack targets, %u "
              "serve nothing",
              s->whole_count, s->chain_count, s->syncing_count, s->short_count, s->dead_count);
}

static void slow_rows(struct status *s, struct print_table *t)
{
    const struct probe *slowest = NULL;
    for (uint32_t i = 0; i < s->probe_count; i++) {
        const struct probe *p = &s->probes[i];
        if (p->result < 0) continue;
        if (!slowest || p->took_ns > slowest->took_ns) slowest = p;
        if (p->took_ns > SLOW_NS)
            block_row(t, "Slow", "%s %u answers in %.0f ms", node_type_name(p->node->type),
                      p->node->node_id, (double)p->took_ns / MSEC);
    }
    if (slowest)
        block_row(t, "SlowestAnswer", "%.1f ms (%s %u)", (double)slowest->took_ns / MSEC,
                  node_type_name(slowest->node->type), slowest->node->node_id);
}

static void print_status(struct status *s)
{
    static const char *const names[] = { "HEALTHY", "DEGRADED", "UNAVAILABLE" };
    struct print_table t;
    block_begin(&t, &s->a->printer);
    block_row(&t, "Cluster", "%s", s->a->settings->cluster_id);
    block_row(&t, "Health", "%s", names[s->health]);
    capacity_row(s, &t);
    block_row(&t, "Nodes", "%s", nodes_text(s));
    block_row(&t, "Clients", "%u", s->sessions.sessions.count);
    chain_rows(s, &t);
    resync_rows(s, &t);
    drain_rows(s, &t);
    slow_rows(s, &t);
    for (uint32_t i = 0; i < s->problems.cell_count; i += 2)
        block_row(&t, s->problems.cells[i], "%s", s->problems.cells[i + 1]);
    table_end(&t);
}

static int fetch(struct status *s)
{
    struct admin *a = s->a;
    struct empty_record none = { 0 };
    int r = nodes_fetch(a, &s->nodes, &s->node_count);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_disks), &none, &s->disks);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_sessions), &none, &s->sessions);
    return r < 0 ? r : probe_nodes(s);
}

static int run_status(struct admin *a, const struct arguments *args)
{
    struct status s = { .a = a };
    int r = fetch(&s);
    if (r < 0) return r;
    block_begin(&s.problems, &a->printer);
    judge_nodes(&s);
    judge_disks(&s);
    judge_chains(&s);
    print_status(&s);
    table_drop(&s.problems);
    return s.health == HEALTHY ? 0 : -ERR_NOT_AVAILABLE;
}

static const struct argument_spec no_spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };

const struct command_spec status_commands[] = {
    { "status", run_status, no_spec,
      "Shows on one screen whether the cluster is well: nodes, disks, chains, resyncs, who is slow "
      "or away.\n"
      "The exit status is 0 only when it is HEALTHY.\n  status --json" },
    { NULL, NULL, NULL, NULL },
};
