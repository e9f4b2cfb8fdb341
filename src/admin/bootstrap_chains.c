/* bootstrap_chains.c - the second step: targets on the disks of the storages, chains of them, and
 * the chain table.
 *
 * The first usable disks of all nodes share a design, the second ones another, and so on; a chain
 * never has two disks of one node. The plan is a function of the nodes and disks, so a run that was
 * interrupted before the table was stored makes the same one again.
 */
#include "admin/bootstrap.h"
#include "admin/bootstrap_plan.h"
#include "base/check.h"
#include "placement/design.h"
#include "proto/storage.h"
#include <stdarg.h>

#define CALL_NS          (20 * SEC)
#define TELL_NS          (2 * SEC)
#define FEW_WAIT_NS      (5 * SEC) /* for as many storages as replicas */
#define TARGET_ID_PREFIX 1ull
#define CHAIN_ID_PREFIX  9u
enum {
    NODE_COUNT_MAX = DESIGN_NODE_COUNT_MAX,
    NODE_ID_MAX = 999999, /* six digits of a target's number */
    DISK_INDEX_MAX = 998, /* three, counted from 1 */
    DESIGN_SEED = 1,
    CREATION_COUNT_MAX = 64, /* at the same time */
    CHAINS_PER_CALL = 10000
};

/* ---- who is there ---- */

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->node_id > y->node_id) - (x->node_id < y->node_id);
}

static void take_disks(struct arena *arena, const struct disk_info_list *disks, struct place *ret)
{
    ret->disks = arena_array(arena, uint32_t, disks->count);
    for (uint32_t i = 0; i < disks->count; i++)
        if (!disks->items[i].failed && disks->items[i].disk_index <= DISK_INDEX_MAX)
            ret->disks[ret->disk_count++] = disks->items[i].disk_index;
}

int storages_list(struct bootstrap *b, struct arena *arena, struct storages *ret)
{
    struct empty_record request = { 0 };
    struct list_disks_reply reply = { 0 };
    struct rpc_options options = { .arena = arena, .timeout_ns = CALL_NS };
    int r = mgmtd_client_call(b->mgmtd, RPC_METHOD(mgmtd, list_disks), &options, &request, &reply);
    if (r < 0) return r;
    struct routing *routing = mgmtd_client_routing(b->mgmtd);
    const struct node_info *node;
    size_t at = 0;
    *ret = (struct storages){ .places = arena_array(arena, struct place, reply.nodes.count) };
    while ((node = map_next(&routing->nodes, &at)))
        ret->registered_count += node->type == NODE_STORAGE && node->status != NODE_DISABLED;
    for (uint32_t i = 0; i < reply.nodes.count; i++) {
        const struct node_disks *said = &reply.nodes.items[i];
        node = routing_node(routing, said->node_id);
        if (!node || node->status != NODE_HEARTBEAT_CONNECTED) continue;
        struct place *place = &ret->places[ret->count];
        *place = (struct place){ .node_id = said->node_id };
        take_disks(arena, &said->disks, place);
        ret->count += place->disk_count > 0;
    }
    qsort(ret->places, ret->count, sizeof ret->places[0], compare_places);
    return 0;
}

static bool is_enough(const struct bootstrap *b, const struct storages *s, uint64_t waited_ns)
{
    uint32_t want = b->options->storage_count;
    if (want) return s->count >= want;
    if (s->count == 0 || s->count < s->registered_count) return false;
    return s->count >= b->options->replica_count || waited_ns > FEW_WAIT_NS;
}

/* @ret lives in @arena. */
static int storages_wait(struct bootstrap *b, struct arena *arena, struct storages *ret)
{
    uint64_t begin_ns = node_now_ns(b->node), said_ns = begin_ns;
    struct storages s = { 0 };
    for (;;) {
        arena_done(arena);
        int r = storages_list(b, arena, &s);
        uint64_t now_ns = node_now_ns(b->node);
        uint32_t want =
            b->options->storage_count ?: MAX_OF(s.registered_count, b->options->replica_count);
        if (r >= 0 && is_enough(b, &s, now_ns - begin_ns)) {
            *ret = s;
            return 0;
        }
        if (r == -ERR_CANCELED || r == -ERR_AUTH_FAIL) return r;
        if (now_ns - said_ns > TELL_NS) {
            said_ns = now_ns;
            bootstrap_say(b, LOG_INFO, 0, "Waiting for storages: %u of %u have reported disks",
                          s.count, want);
        }
        r = fiber_sleep(20 * MSEC);
        if (r == -ERR_TIMEOUT)
            return bootstrap_say(b, LOG_ERROR, r,
                                 "only %u of %u storages have reported usable disks: start the "
                                 "others, or go on without them (--storages %u)",
                                 s.count, want, s.count);
        if (r < 0) return r;
    }
}

static int check_options(struct bootstrap *b)
{
    const struct bootstrap_options *o = b->options;
    if (o->replica_count == 0 || o->replica_count > CHAIN_TARGET_COUNT_MAX)
        return bootstrap_say(b, LOG_ERROR, -ERR_CONFIG_INVALID_VALUE,
                             "key 'replicas': %u is not from 1 to %d", o->replica_count,
                             CHAIN_TARGET_COUNT_MAX);
    if (o->target_count == 0 || o->target_count > DESIGN_TARGETS_PER_DISK_MAX)
        return bootstrap_say(b, LOG_ERROR, -ERR_CONFIG_INVALID_VALUE,
                             "key 'targets_per_disk': %u is not from 1 to %d", o->target_count,
                             DESIGN_TARGETS_PER_DISK_MAX);
    return 0;
}

static int check_storages(struct bootstrap *b, const struct storages *s)
{
    check(s->count > 0);
    if (s->count > NODE_COUNT_MAX)
        return bootstrap_say(b, LOG_ERROR, -ERR_INVALID_ARG,
                             "%u storages are more than a design is made for (%d)", s->count,
                             NODE_COUNT_MAX);
    if (s->places[s->count - 1].node_id > NODE_ID_MAX)
        return bootstrap_say(b, LOG_ERROR, -ERR_INVALID_ARG,
                             "storage %u: a target's number has six digits for the node",
                             s->places[s->count - 1].node_id);
    return 0;
}

/* ---- the plan ---- */

uint64_t target_id_of(uint32_t node_id, uint32_t disk, uint32_t target)
{
    return TARGET_ID_PREFIX * 100000000000ull + (uint64_t)node_id * 100000 +
           (uint64_t)(disk + 1) * 100 + target + 1;
}

uint32_t chain_id_of(uint32_t round, uint32_t chain)
{
    return CHAIN_ID_PREFIX * 100000000u + (round + 1) * 100000u + chain + 1;
}

int chain_round_of(uint32_t chain_id)
{
    if (chain_id / 100000000u != CHAIN_ID_PREFIX) return -1;
    return (int)(chain_id / 100000 % 1000) - 1;
}

struct creation *plan_creation(struct bootstrap *b, struct plan *p)
{
    if (p->creation_count == p->creation_capacity) {
        uint32_t capacity = MAX_OF(2 * p->creation_capacity, 64u);
        struct creation *all = arena_array(&b->arena, struct creation, capacity);
        if (p->creation_count) memcpy(all, p->creations, p->creation_count * sizeof *all);
        p->creations = all;
        p->creation_capacity = capacity;
    }
    return &p->creations[p->creation_count++];
}

struct chain_spec *plan_chain(struct bootstrap *b, struct plan *p)
{
    if (p->chain_count == p->chain_capacity) {
        uint32_t capacity = MAX_OF(2 * p->chain_capacity, 64u);
        struct chain_spec *all = arena_array(&b->arena, struct chain_spec, capacity);
        if (p->chain_count) memcpy(all, p->chains, p->chain_count * sizeof *all);
        p->chains = all;
        p->chain_capacity = capacity;
    }
    return &p->chains[p->chain_count++];
}

/* The chains of a design over the disk that each of the @places has in this round. */
static void plan_design(struct bootstrap *b, struct plan *p, const struct design *d,
                        const struct place *const *places, uint32_t round)
{
    uint32_t k = d->group_size;
    const uint32_t *heads = design_heads(d, &b->arena);
    uint32_t *next = arena_array(&b->arena, uint32_t, d->node_count);
    for (uint32_t c = 0; c < d->group_count; c++) {
        struct chain_spec *spec = plan_chain(b, p);
        *spec = (struct chain_spec){ .chain_id = chain_id_of(p->first_round + round, c),
                                     .targets = { arena_array(&b->arena, uint64_t, k), k } };
        for (uint32_t i = 0; i < k; i++) {
            uint32_t at = d->members[c * k + (heads[c] + i) % k];
            const struct place *place = places[at];
            uint32_t disk = place->disks[round];
            spec->targets.items[i] = target_id_of(place->node_id, disk, next[at]++);
            *plan_creation(b, p) =
                (struct creation){ .b = b,
                                   .node_id = place->node_id,
                                   .request = { .target_id = spec->targets.items[i],
                                                .disk_index = disk,
                                                .chain_id = spec->chain_id,
                                                .allow_existing = 1 } };
        }
    }
}

/* The disks number @round of all nodes that have so many. 0 when there are too few of them. */
int plan_round(struct bootstrap *b, struct plan *p, const struct storages *s, uint32_t round)
{
    const struct place **places = arena_array(&b->arena, const struct place *, s->count);
    uint32_t n = 0, k = p->replica_count, r = b->options->target_count;
    check(k > 0);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->places[i].disk_count > round) places[n++] = &s->places[i];
    if (n < k) {
        bootstrap_say(b, LOG_WARN, 0,
                      "disk number %u of %u nodes stays empty: chains need it on %u nodes",
                      round + 1, n, k);
        return 0;
    }
    while (r < DESIGN_TARGETS_PER_DISK_MAX && n * r % k)
        r++;
    if (!design_is_possible(n, k, r) || n * r % k)
        return bootstrap_say(b, LOG_ERROR, -ERR_INVALID_ARG,
                             "%u storage nodes cannot hold chains of %u replicas (%u targets a "
                             "disk, at most %d)",
                             n, k, b->options->target_count, DESIGN_TARGETS_PER_DISK_MAX);
    struct design d;
    design_make(&b->arena, n, k, r, DESIGN_SEED, NULL, &d);
    struct design_balance balance = design_balance(&d);
    bootstrap_say(b, LOG_INFO, 0,
                  "Placement on %u nodes: %u chains of %u replicas, %u targets a disk, two nodes "
                  "meet in %u to %u chains",
                  n, d.group_count, k, r, balance.least, balance.most);
    plan_design(b, p, &d, places, round);
    return 0;
}

static int plan_make(struct bootstrap *b, const struct storages *s, struct plan *p)
{
    uint32_t wanted = b->options->replica_count, round_count = 0, disk_count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        round_count = MAX_OF(round_count, s->places[i].disk_count);
        disk_count += s->places[i].disk_count;
    }
    bootstrap_say(b, LOG_INFO, 0, "Found %u storage%s with %u disk%s: %u to %u", s->count,
                  s->count == 1 ? "" : "s", disk_count, disk_count == 1 ? "" : "s",
                  s->places[0].node_id, s->places[s->count - 1].node_id);
    *p = (struct plan){ .replica_count = MIN_OF(wanted, s->count) };
    if (p->replica_count < wanted)
        bootstrap_say(b, LOG_WARN, 0, "%u node%s can keep %u replica%s of data, not %u", s->count,
                      s->count == 1 ? "" : "s", p->replica_count, p->replica_count == 1 ? "" : "s",
                      wanted);
    else if (s->count < 3 || wanted < 2)
        bootstrap_say(b, LOG_WARN, 0, "%u replica%s on %u node%s: the loss of one %s",
                      p->replica_count, p->replica_count == 1 ? "" : "s", s->count,
                      s->count == 1 ? "" : "s",
                      p->replica_count == 1 ? "loses data" : "leaves one copy");
    int r = 0;
    for (uint32_t round = 0; r >= 0 && round < round_count; round++)
        r = plan_round(b, p, s, round);
    return r;
}

/* ---- carried out ---- */

static int creation_run(void *arg)
{
    struct creation *c = arg;
    struct bootstrap *b = c->b;
    cleanup_arena_ struct arena arena = { 0 };
    struct net_address address;
    struct empty_record reply;
    const char *text = NULL;
    struct rpc_options options = { .arena = &arena,
                                   .timeout_ns = CALL_NS,
                                   .ret_error_text = &text };
    int r = routing_address(mgmtd_client_routing(b->mgmtd), c->node_id, &address);
    if (r >= 0) {
        struct rpc_target target = { mgmtd_client_pool(b->mgmtd), &address, RPC_CONTROL };
        r = storage_create_target(target, &options, &c->request, &reply);
    }
    if (r < 0)
        return bootstrap_say(b, LOG_ERROR, r, "target %llu on disk %u of node %u was not made: %s",
                             (unsigned long long)c->request.target_id, c->request.disk_index,
                             c->node_id, text ?: error_sentence(r));
    return 0;
}

static int create_some(struct bootstrap *b, struct creation *creations, uint32_t count)
{
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = b->node;
    for (uint32_t i = 0; i < count; i++) {
        int r = fiber_spawn(&scope, "create-target", creation_run, &creations[i]);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

static int create_targets(struct bootstrap *b, const struct plan *p)
{
    for (uint32_t i = 0; i < p->creation_count; i += CREATION_COUNT_MAX) {
        int r = create_some(b, &p->creations[i],
                            MIN_OF(p->creation_count - i, (uint32_t)CREATION_COUNT_MAX));
        if (r < 0) return r;
    }
    bootstrap_say(b, LOG_INFO, 0, "Create %u targets succeeded", p->creation_count);
    return 0;
}

static int upload_chains(struct bootstrap *b, const struct plan *p)
{
    const char *text = NULL;
    struct rpc_options options = { .arena = &b->arena,
                                   .timeout_ns = CALL_NS,
                                   .ret_error_text = &text };
    for (uint32_t i = 0; i < p->chain_count; i += CHAINS_PER_CALL) {
        struct empty_record none;
        struct set_chains_request set = {
            .chains = { &p->chains[i], MIN_OF(p->chain_count - i, (uint32_t)CHAINS_PER_CALL) },
            .set_preferred_order = 1
        };
        int r = mgmtd_client_call(b->mgmtd, RPC_METHOD(mgmtd, set_chains), &options, &set, &none);
        if (r < 0)
            return bootstrap_say(b, LOG_ERROR, r, "the chains were refused: %s",
                                 text ?: error_sentence(r));
    }
    bootstrap_say(b, LOG_INFO, 0, "Upload %u chains succeeded", p->chain_count);
    return 0;
}

static int upload_table(struct bootstrap *b, const struct plan *p, const uint32_t *before,
                        uint32_t before_count)
{
    const char *text = NULL;
    struct rpc_options options = { .arena = &b->arena,
                                   .timeout_ns = CALL_NS,
                                   .ret_error_text = &text };
    struct set_chain_table_request table = { .table_id = b->options->chain_table,
                                             .chains = { arena_array(&b->arena, uint32_t,
                                                                     before_count + p->chain_count),
                                                         before_count + p->chain_count },
                                             .desc = BYTES_LITERAL("bootstrap") };
    struct set_chain_table_reply made = { 0 };
    if (before_count) memcpy(table.chains.items, before, before_count * sizeof *before);
    for (uint32_t i = 0; i < p->chain_count; i++)
        table.chains.items[before_count + i] = p->chains[i].chain_id;
    int r =
        mgmtd_client_call(b->mgmtd, RPC_METHOD(mgmtd, set_chain_table), &options, &table, &made);
    if (r < 0)
        return bootstrap_say(b, LOG_ERROR, r, "chain table %u was refused: %s", table.table_id,
                             text ?: error_sentence(r));
    bootstrap_say(b, LOG_INFO, 0, "Upload ChainTableId(%u) of ChainTableVersion(%u) succeeded",
                  table.table_id, made.version);
    return 0;
}

static bool is_whole(const struct chain_info *chain)
{
    for (uint32_t m = 0; chain && m < chain->members.count; m++)
        if (chain->members.items[m].public_state != PUBLIC_SERVING ||
            chain->members.items[m].local_state != LOCAL_UPTODATE)
            return false;
    return chain != NULL;
}

int plan_carry_out(struct bootstrap *b, const struct plan *p, const uint32_t *before,
                   uint32_t before_count)
{
    int r = 0;
    if (p->creation_count) r = create_targets(b, p);
    if (r >= 0 && p->chain_count) r = upload_chains(b, p);
    return r < 0 ? r : upload_table(b, p, before, before_count);
}

int chains_wait_serving(struct bootstrap *b, const uint32_t *chains, uint32_t count)
{
    struct routing *routing = mgmtd_client_routing(b->mgmtd);
    for (;;) {
        uint32_t serving = 0;
        for (uint32_t i = 0; i < count; i++)
            serving += is_whole(routing_chain(routing, chains[i]));
        if (serving == count) return 0;
        int r = fiber_sleep(20 * MSEC);
        if (r == -ERR_TIMEOUT)
            bootstrap_say(b, LOG_ERROR, r, "only %u of %u chains serve with all replicas", serving,
                          count);
        if (r < 0) return r;
    }
}

/* The chains of the plan, and that they serve. */
static int wait_plan(struct bootstrap *b, const struct plan *p)
{
    uint32_t *chains = arena_array(&b->arena, uint32_t, p->chain_count);
    for (uint32_t i = 0; i < p->chain_count; i++)
        chains[i] = p->chains[i].chain_id;
    int r = chains_wait_serving(b, chains, p->chain_count);
    if (r >= 0)
        bootstrap_say(b, LOG_INFO, 0, "All %u chains serve with all replicas", p->chain_count);
    return r;
}

int bootstrap_chains(struct bootstrap *b)
{
    /* In a cluster that was made before, a replica may be missing for good: it serves without. */
    const struct chain_table *table =
        routing_table(mgmtd_client_routing(b->mgmtd), b->options->chain_table, 0);
    if (table) {
        bootstrap_say(b, LOG_INFO, 0,
                      "ChainTableId(%u) of ChainTableVersion(%u) with %u chains is there already",
                      table->table_id, table->version, table->chains.count);
        return b->grows ? bootstrap_grow(b, table) : 0;
    }
    cleanup_arena_ struct arena arena = { 0 };
    struct storages storages = { 0 };
    struct plan plan = { 0 };
    int r = check_options(b);
    if (r >= 0) r = storages_wait(b, &arena, &storages);
    if (r >= 0) r = check_storages(b, &storages);
    if (r >= 0) r = plan_make(b, &storages, &plan);
    if (r >= 0) r = plan_carry_out(b, &plan, NULL, 0);
    return r < 0 ? r : wait_plan(b, &plan);
}
