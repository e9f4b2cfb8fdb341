/* bootstrap.c - the two steps from nothing to a cluster that can be mounted. */
#include "admin/bootstrap.h"

#include "client/mgmtd_client.h"
#include "cluster/cluster_init.h"
#include "cluster/users.h"
#include "loop/file.h"
#include "meta/meta.h"
#include "placement/design.h"
#include "proto/storage.h"

#define SETTING_STRUCT_NAME bootstrap_options
SETTINGS_TABLE(bootstrap_settings_table, BOOTSTRAP_SETTINGS)

#define WAIT_NS          (120 * SEC)
#define TARGET_ID_PREFIX 1ull
#define CHAIN_ID_PREFIX  9u
enum { NODE_COUNT_MAX = 999, DISK_COUNT_MAX = 999, DESIGN_SEED = 1 };

struct bootstrap {
    struct node *node;
    const struct bootstrap_options *options;
    struct arena arena;
    struct kv *kv;
    struct mgmtd_client *mgmtd;
    uint8_t key[AUTH_KEY_BYTES];
};

/* ---- step one: the store ---- */

static int write_token(struct bootstrap *b, const struct user_attr *user)
{
    const char *path = b->options->token_file;
    if (!path[0] || path_exists(b->node, path)) return 0;
    if (user->tokens.count == 0) return -ERR_META_INCONSISTENT;
    struct bytes token = user->tokens.items[0].token;
    char *line = arena_printf(&b->arena, "%.*s\n", (int)token.size, (const char *)token.base);
    int r = file_replace(b->node, path, line, strlen(line), 0600);
    if (r < 0) return log_error(&b->node->log, r, "cannot write the root user's token to %s", path);
    log_info(&b->node->log, "the root user's token is in %s", path);
    return 0;
}

static int make_root_user(struct bootstrap *b)
{
    struct user_attr_list users;
    int r = users_list(b->kv, &b->arena, &users);
    if (r < 0) return r;
    for (uint32_t i = 0; i < users.count; i++)
        if (users.items[i].uid == 0) return write_token(b, &users.items[i]);
    struct user_request request = {
        .user = { .uid = 0, .name = BYTES_LITERAL("root"), .root = 1, .admin = 1 }
    };
    struct user_attr user;
    const char *why = NULL;
    r = users_add(b->node, b->kv, &b->arena, &request, &user, &why);
    if (r < 0) return log_error(&b->node->log, r, "cannot make the root user: %s", why ?: "");
    log_info(&b->node->log, "made the user root (uid 0, root, admin)");
    return write_token(b, &user);
}

static int bootstrap_store(struct bootstrap *b)
{
    const struct bootstrap_options *o = b->options;
    struct cluster_init_options init = { .cluster_id = o->cluster_id,
                                         .allow_existing_config = true };
    struct cluster_identity identity;
    uint8_t given[AUTH_KEY_BYTES];
    if (o->cluster_key[0]) {
        int r = auth_cluster_key_parse(o->cluster_key, given);
        if (r < 0)
            return log_error(&b->node->log, r, "cluster_key is not of the form k1:<64 hex digits>");
        init.key = given;
    }
    int r = cluster_init(b->node, b->kv, &init, &identity, NULL);
    if (r < 0)
        return log_error(&b->node->log, r, "the store %s cannot become that of cluster '%s'",
                         o->kv_path, o->cluster_id);
    memcpy(b->key, identity.key, sizeof b->key);
    struct layout root = { .table_id = o->chain_table,
                           .chunk_size = (uint32_t)MIN_OF(o->chunk_bytes, (uint64_t)UINT32_MAX),
                           .stripe = o->stripe };
    struct user_info owner = { .uid = o->owner_uid, .gid = o->owner_gid };
    r = meta_init_file_system(b->node, b->kv, &root, &owner);
    if (r < 0)
        return log_error(&b->node->log, r,
                         "the root directory cannot have chunk size %llu (64KB to 64MB, a power of "
                         "two) and stripe %u",
                         (unsigned long long)o->chunk_bytes, o->stripe);
    log_info(&b->node->log, "root directory: chain table %u, chunk size %u, stripe %u",
             root.table_id, root.chunk_size, root.stripe);
    return make_root_user(b);
}

/* ---- step two: targets, chains, table ---- */

/* A node's place in the design. */
struct place {
    uint32_t node_id, disk_count;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->node_id > y->node_id) - (x->node_id < y->node_id);
}

/* The storages that have reported disks, in order of node id. */
static int storages_list(struct bootstrap *b, struct place *places, uint32_t *ret_count)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct empty_record request = { 0 };
    struct list_disks_reply reply = { 0 };
    struct rpc_options options = { .arena = &arena, .timeout_ns = 5 * SEC };
    int r = mgmtd_client_call(b->mgmtd, RPC_METHOD(mgmtd, list_disks), &options, &request, &reply);
    uint32_t count = 0;
    for (uint32_t i = 0; r >= 0 && i < reply.nodes.count && count < NODE_COUNT_MAX; i++) {
        const struct node_disks *nd = &reply.nodes.items[i];
        const struct node_info *node = routing_node(mgmtd_client_routing(b->mgmtd), nd->node_id);
        if (!node || node->status != NODE_HEARTBEAT_CONNECTED || nd->disks.count == 0) continue;
        places[count++] =
            (struct place){ nd->node_id, MIN_OF(nd->disks.count, (uint32_t)DISK_COUNT_MAX) };
    }
    qsort(places, count, sizeof places[0], compare_places);
    *ret_count = count;
    return r;
}

static int storages_wait(struct bootstrap *b, struct place *places, uint32_t *ret_count)
{
    uint32_t want = MAX_OF(b->options->storage_count, 1u);
    uint64_t said_ns = node_now_ns(b->node);
    for (;;) {
        int r = storages_list(b, places, ret_count);
        if (r >= 0 && *ret_count >= want) return 0;
        if (r == -ERR_CANCELED || r == -ERR_AUTH_FAIL) return r;
        if (node_now_ns(b->node) - said_ns > 2 * SEC) {
            said_ns = node_now_ns(b->node);
            log_info(&b->node->log, "waiting for storages: %u of %u have reported their disks",
                     *ret_count, want);
        }
        r = fiber_sleep(20 * MSEC);
        if (r < 0) return r;
    }
}

static uint64_t target_id_of(uint32_t node_id, uint32_t disk, uint32_t target)
{
    return TARGET_ID_PREFIX * 100000000000ull + (uint64_t)node_id * 100000 +
           (uint64_t)(disk + 1) * 100 + target + 1;
}

static uint32_t chain_id_of(uint32_t disk, uint32_t chain)
{
    return CHAIN_ID_PREFIX * 100000000u + (disk + 1) * 100000u + chain + 1;
}

struct creation {
    struct bootstrap *b;
    uint32_t node_id;
    struct create_target_request request;
};

static int creation_run(void *arg)
{
    struct creation *c = arg;
    cleanup_arena_ struct arena arena = { 0 };
    struct net_address address;
    struct empty_record reply;
    const char *text = NULL;
    struct rpc_options options = { .arena = &arena,
                                   .timeout_ns = 20 * SEC,
                                   .ret_error_text = &text };
    int r = routing_address(mgmtd_client_routing(c->b->mgmtd), c->node_id, &address);
    if (r >= 0) {
        struct rpc_target target = { mgmtd_client_pool(c->b->mgmtd), &address, RPC_CONTROL };
        r = storage_create_target(target, &options, &c->request, &reply);
    }
    if (r < 0)
        return log_error(&c->b->node->log, r, "target %llu on disk %u of node %u was not made: %s",
                         (unsigned long long)c->request.target_id, c->request.disk_index,
                         c->node_id, text ?: "");
    return 0;
}

/* The chains of one disk index, and their targets to be made. */
static int disk_plan(struct bootstrap *b, const struct place *places, uint32_t node_count,
                     uint32_t disk, struct chain_spec *chains, uint32_t *chain_count,
                     struct creation *creations, uint32_t *creation_count)
{
    struct design d;
    uint32_t k = b->options->replica_count, target_count = b->options->target_count;
    while (target_count < DESIGN_TARGETS_PER_DISK_MAX && node_count * target_count % k)
        target_count++;
    if (!design_is_possible(node_count, k, target_count) || node_count * target_count % k)
        return log_error(&b->node->log, -ERR_INVALID_ARG,
                         "%u storage nodes cannot hold chains of %u replicas (%u targets a disk)",
                         node_count, k, b->options->target_count);
    design_make(&b->arena, node_count, k, target_count, DESIGN_SEED, NULL, &d);
    const uint32_t *heads = design_heads(&d, &b->arena);
    uint32_t *next = arena_array(&b->arena, uint32_t, node_count);
    for (uint32_t c = 0; c < d.group_count; c++) {
        struct chain_spec *spec = &chains[(*chain_count)++];
        *spec = (struct chain_spec){ .chain_id = chain_id_of(disk, c),
                                     .targets = { arena_array(&b->arena, uint64_t, k), k } };
        for (uint32_t i = 0; i < k; i++) {
            uint32_t at = d.members[c * k + (heads[c] + i) % k];
            uint64_t target = target_id_of(places[at].node_id, disk, next[at]++);
            spec->targets.items[i] = target;
            struct creation *creation = &creations[(*creation_count)++];
            *creation = (struct creation){ .b = b, .node_id = places[at].node_id };
            creation->request = (struct create_target_request){ .target_id = target,
                                                                .disk_index = disk,
                                                                .chain_id = spec->chain_id,
                                                                .allow_existing = 1 };
        }
    }
    return 0;
}

static int targets_create(struct bootstrap *b, struct creation *creations, uint32_t count)
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

static int upload(struct bootstrap *b, struct chain_spec *chains, uint32_t count)
{
    struct set_chains_request set = { .chains = { chains, count }, .set_preferred_order = 1 };
    struct empty_record none;
    const char *text = NULL;
    struct rpc_options options = { .arena = &b->arena,
                                   .timeout_ns = 20 * SEC,
                                   .ret_error_text = &text };
    int r = mgmtd_client_call(b->mgmtd, RPC_METHOD(mgmtd, set_chains), &options, &set, &none);
    if (r < 0) return log_error(&b->node->log, r, "the chains were refused: %s", text ?: "");
    struct set_chain_table_request table = { .table_id = b->options->chain_table,
                                             .chains = { arena_array(&b->arena, uint32_t, count),
                                                         count },
                                             .desc = BYTES_LITERAL("bootstrap") };
    struct set_chain_table_reply made = { 0 };
    for (uint32_t i = 0; i < count; i++)
        table.chains.items[i] = chains[i].chain_id;
    r = mgmtd_client_call(b->mgmtd, RPC_METHOD(mgmtd, set_chain_table), &options, &table, &made);
    if (r < 0)
        return log_error(&b->node->log, r, "chain table %u was refused: %s", table.table_id,
                         text ?: "");
    log_info(&b->node->log, "made %u chains of %u replicas, chain table %u version %u", count,
             b->options->replica_count, table.table_id, made.version);
    return 0;
}

static int make_chains(struct bootstrap *b)
{
    struct place *places = arena_array(&b->arena, struct place, NODE_COUNT_MAX);
    uint32_t node_count = 0, disk_count = DISK_COUNT_MAX, chain_count = 0, creation_count = 0;
    int r = storages_wait(b, places, &node_count);
    if (r < 0) return r;
    for (uint32_t i = 0; i < node_count; i++)
        disk_count = MIN_OF(disk_count, places[i].disk_count);
    if (node_count < 3)
        log_warn(&b->node->log, 0, "%u storage node%s: the loss of one loses data or stops writes",
                 node_count, node_count == 1 ? "" : "s");
    uint32_t bound = node_count * disk_count * DESIGN_TARGETS_PER_DISK_MAX;
    struct chain_spec *chains = arena_array(&b->arena, struct chain_spec, bound);
    struct creation *creations = arena_array(&b->arena, struct creation, bound);
    for (uint32_t disk = 0; r >= 0 && disk < disk_count; disk++)
        r = disk_plan(b, places, node_count, disk, chains, &chain_count, creations,
                      &creation_count);
    if (r >= 0) r = targets_create(b, creations, creation_count);
    return r < 0 ? r : upload(b, chains, chain_count);
}

/* Until every chain serves with all its members. */
static int wait_serving(struct bootstrap *b)
{
    struct routing *routing = mgmtd_client_routing(b->mgmtd);
    for (;;) {
        const struct chain_table *table = routing_table(routing, b->options->chain_table, 0);
        uint32_t serving = 0, count = table ? table->chains.count : 0;
        for (uint32_t i = 0; i < count; i++) {
            const struct chain_info *chain = routing_chain(routing, table->chains.items[i]);
            bool is_full = chain != NULL;
            for (uint32_t m = 0; is_full && m < chain->members.count; m++)
                is_full = chain->members.items[m].public_state == PUBLIC_SERVING &&
                          chain->members.items[m].local_state == LOCAL_UPTODATE;
            serving += is_full;
        }
        if (count && serving == count) return 0;
        int r = fiber_sleep(20 * MSEC);
        if (r < 0) {
            if (r == -ERR_TIMEOUT)
                log_error(&b->node->log, r, "only %u of %u chains serve with all replicas", serving,
                          count);
            return r;
        }
    }
}

static int bootstrap_rest(struct bootstrap *b)
{
    const struct bootstrap_options *o = b->options;
    struct net_address *servers = arena_array(&b->arena, struct net_address, o->mgmtd.count);
    if (o->mgmtd.count == 0)
        return log_error(&b->node->log, -ERR_INVALID_CONFIG, "mgmtd_server_addresses is not set");
    for (uint32_t i = 0; i < o->mgmtd.count; i++) {
        int r = net_address_parse(o->mgmtd.items[i], &servers[i]);
        if (r < 0)
            return log_error(
                &b->node->log, r,
                "mgmtd_server_addresses: '%s' is no address such as TCP://10.0.0.1:8000",
                o->mgmtd.items[i]);
    }
    struct auth_identity identity = { .kind = AUTH_SERVER };
    memcpy(identity.key, b->key, sizeof identity.key);
    struct mgmtd_client_options options = { .cluster_id = o->cluster_id,
                                            .servers = servers,
                                            .server_count = o->mgmtd.count,
                                            .identity = &identity };
    b->mgmtd = mgmtd_client_new(b->node, &options);
    int r = mgmtd_client_wait_ready(b->mgmtd);
    if (r < 0) return r;
    /* In a cluster that was made before, a replica may be missing for good: it serves without. */
    if (routing_table(mgmtd_client_routing(b->mgmtd), o->chain_table, 0)) return 0;
    r = make_chains(b);
    return r < 0 ? r : wait_serving(b);
}

int cluster_bootstrap(struct node *node, const struct bootstrap_options *options)
{
    FIBER_TIMEOUT(WAIT_NS);
    struct bootstrap b = { .node = node, .options = options };
    struct kv_embedded_options kv_options = { .dir = options->kv_path };
    int r = kv_embedded_open(node, &kv_options, &b.kv);
    if (r < 0) {
        log_error(&node->log, r, "cannot open the store in %s", options->kv_path);
    } else {
        r = bootstrap_store(&b);
        if (r >= 0 && !options->store_only) r = bootstrap_rest(&b);
    }
    {
        FIBER_SHIELD();
        mgmtd_client_free(b.mgmtd);
        if (b.kv) kv_close(b.kv);
    }
    arena_done(&b.arena);
    return MIN_OF(r, 0);
}
