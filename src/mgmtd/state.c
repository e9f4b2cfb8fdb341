/* state.c - records of the state: made, replaced, stamped, freed.
 */
#include "mgmtd/state.h"

#include "mgmtd/holds.h"

#include "base/check.h"
#include "client/routing_record.h"

struct state *state_new(const struct state_options *options)
{
    struct state *s = new_zero(struct state);
    s->options = *options;
    s->ref_count = 1;
    s->is_current = true;
    s->term = options->lease->term;
    s->takeover_ns = node_now_ns(options->node);
    uint64_t seed = node_random_u64(options->node);
    map_init(&s->targets, seed);
    map_init(&s->sessions_by_id, seed);
    map_init(&s->hosts, seed);
    list_init(&s->changed);
    list_init(&s->dirty_chains);
    list_init(&s->sessions);
    list_init(&s->holds);
    fiber_mutex_init(&s->writer);
    wait_queue_init(&s->watchers);
    event_init(&s->kick);
    event_log_init(&s->events);
    return s;
}

struct state *state_ref(struct state *s)
{
    s->ref_count++;
    return s;
}

static void free_node(struct member_node *node)
{
    if (node->report) arena_done(&node->report->arena);
    free(node->report);
    free(node->info);
    free(node);
}

static void free_all(struct state *s)
{
    for (size_t i = 0; i < s->nodes.count; i++) {
        free_node(s->nodes.slots[i].value);
    }
    for (size_t i = 0; i < s->chains.count; i++) {
        struct member_chain *chain = s->chains.slots[i].value;
        free(chain->info);
        free(chain);
    }
    for (size_t i = 0; i < s->tables.count; i++) {
        struct member_table *table = s->tables.slots[i].value;
        free(table->info);
        free(table);
    }
    size_t at = 0;
    struct member_target *target;
    while ((target = map_next(&s->targets, &at))) {
        free(target);
    }
    for (enum node_type type = 0; type < NODE_TYPE_MAX; type++) {
        free((void *)(uintptr_t)s->configs[type].content.base);
    }
    at = 0;
    struct held_host *host;
    while ((host = map_next(&s->hosts, &at))) {
        arena_done(&host->arena);
        free(host);
    }
    list_for_each_safe (it, &s->sessions) {
        struct session *session = list_entry(it, struct session, link);
        arena_done(&session->arena);
        free(session);
    }
}

struct state *state_unref(struct state *s)
{
    if (!s || --s->ref_count > 0) return NULL;
    free_all(s);
    event_log_done(&s->events);
    index_done(&s->nodes);
    index_done(&s->chains);
    index_done(&s->tables);
    map_done(&s->targets);
    map_done(&s->sessions_by_id);
    holds_drop_all(s);
    map_done(&s->hosts);
    arena_done(&s->revoked_arena);
    free(s);
    return NULL;
}

void state_retire(struct state *s)
{
    s->is_current = false;
    wait_queue_wake_all(&s->watchers);
    state_kick(s);
}

bool state_is_valid(const struct state *s)
{
    return s->is_current && s->options.lease->term == s->term && lease_is_valid(s->options.lease);
}

uint64_t state_now_ns(const struct state *s)
{
    return node_now_ns(s->options.node);
}

void state_kick(struct state *s)
{
    event_set(&s->kick, 0);
}

uint64_t state_grace_end_ns(const struct state *s)
{
    return state_now_ns(s) + drift_longer(s->options.timing->node_lease_ns);
}

int state_lock(struct state *s)
{
    int r = fiber_mutex_lock(&s->writer);
    if (r < 0) return r;
    if (state_is_valid(s)) return 0;
    fiber_mutex_unlock(&s->writer);
    return -ERR_MGMTD_NOT_PRIMARY;
}

void state_touch(struct state *s, struct record *record)
{
    if (s->version >= s->version_limit) { /* nothing more may be shown in this term */
        state_retire(s);
        return;
    }
    record->changed = ++s->version;
    list_remove(&record->link);
    list_push_back(&s->changed, &record->link);
    switch (record->kind) {
    case RECORD_NODE:
        container_of(record, struct member_node, record)->info->changed = s->version;
        break;
    case RECORD_CHAIN:
        container_of(record, struct member_chain, record)->info->changed = s->version;
        break;
    case RECORD_TABLE:
        container_of(record, struct member_table, record)->info->changed = s->version;
        break;
    }
    state_kick(s);
}

struct member_node *state_node(const struct state *s, uint32_t node_id)
{
    struct member_node *node = index_get(&s->nodes, node_id);
    return node && !node->info->removed ? node : NULL;
}

struct member_chain *state_chain(const struct state *s, uint32_t chain_id)
{
    return index_get(&s->chains, chain_id);
}

struct member_target *state_target(const struct state *s, uint64_t target_id)
{
    return map_get(&s->targets, target_id);
}

struct member_target *state_member(const struct state *s, const struct chain_info *info,
                                   uint32_t index)
{
    struct member_target *target = state_target(s, info->members.items[index].target_id);
    check(target != NULL);
    return target;
}

struct member_table *state_latest_table(const struct state *s, uint32_t table_id)
{
    struct member_table *latest = NULL;
    for (size_t i = 0; i < s->tables.count; i++) {
        struct member_table *table = s->tables.slots[i].value;
        if (table->info->table_id == table_id) latest = table;
    }
    return latest;
}

static bool is_disabled(const struct node_info *info)
{
    for (uint32_t i = 0; i < info->tags.count; i++) {
        if (bytes_equal_text(info->tags.items[i].key, "Disable")) return true;
    }
    return false;
}

struct member_node *state_put_node(struct state *s, const struct node_info *info)
{
    struct member_node *node = index_get(&s->nodes, info->node_id);
    if (!node) {
        node = new_zero(struct member_node);
        node->record.kind = RECORD_NODE;
        list_init(&node->record.link);
        list_init(&node->targets);
        node->alive_until_ns = state_grace_end_ns(s);
        index_put(&s->nodes, info->node_id, node);
    }
    struct node_info *copy = node_info_copy(info);
    free(node->info);
    node->info = copy;
    node->is_disabled = is_disabled(copy);
    state_touch(s, &node->record);
    return node;
}

/* The member's entry, made when it is new: unknown, with the grace of a lease. */
static void put_target(struct state *s, struct member_chain *chain,
                       const struct chain_member *member)
{
    if (map_get(&s->targets, member->target_id)) return;
    struct member_target *target = new_zero(struct member_target);
    target->target_id = member->target_id;
    target->chain = chain;
    target->alive_until_ns = target->lease_until_ns = state_grace_end_ns(s);
    if (member->public_state != PUBLIC_SERVING) target->excluded_version = chain->info->version;
    list_init(&target->by_node);
    map_put(&s->targets, member->target_id, target);
}

static void drop_lost_targets(struct state *s, const struct chain_info *old,
                              const struct chain_info *new)
{
    for (uint32_t i = 0; i < old->members.count; i++) {
        uint64_t id = old->members.items[i].target_id;
        bool is_kept = false;
        for (uint32_t j = 0; j < new->members.count; j++) {
            is_kept = is_kept || new->members.items[j].target_id == id;
        }
        if (is_kept) continue;
        struct member_target *target = map_remove(&s->targets, id);
        list_remove(&target->by_node);
        free(target);
    }
}

struct member_chain *state_put_chain(struct state *s, const struct chain_info *info)
{
    struct member_chain *chain = state_chain(s, info->chain_id);
    if (!chain) {
        chain = new_zero(struct member_chain);
        chain->record.kind = RECORD_CHAIN;
        list_init(&chain->record.link);
        list_init(&chain->dirty_link);
        index_put(&s->chains, info->chain_id, chain);
    }
    struct chain_info *copy = chain_info_copy(info);
    if (chain->info) drop_lost_targets(s, chain->info, copy);
    free(chain->info);
    chain->info = copy;
    for (uint32_t i = 0; i < copy->members.count; i++) {
        put_target(s, chain, &copy->members.items[i]);
    }
    state_mirror_chain(chain, s);
    state_touch(s, &chain->record);
    return chain;
}

struct member_table *state_put_table(struct state *s, const struct chain_table *info)
{
    uint64_t key = (uint64_t)info->table_id << 32 | info->version;
    struct member_table *table = index_get(&s->tables, key);
    if (!table) {
        table = new_zero(struct member_table);
        table->record.kind = RECORD_TABLE;
        list_init(&table->record.link);
        index_put(&s->tables, key, table);
    }
    struct chain_table *copy = chain_table_copy(info);
    free(table->info);
    table->info = copy;
    state_touch(s, &table->record);
    return table;
}

void state_put_config(struct state *s, const struct config_info *config)
{
    struct latest_config *latest = &s->configs[config->type];
    char *memory = xmalloc(config->content.size + config->desc.size);
    if (config->content.size) memcpy(memory, config->content.base, config->content.size);
    if (config->desc.size)
        memcpy(memory + config->content.size, config->desc.base, config->desc.size);
    free((void *)(uintptr_t)latest->content.base);
    *latest =
        (struct latest_config){ .version = config->version,
                                .content = bytes_of(memory, config->content.size),
                                .desc = bytes_of(memory + config->content.size, config->desc.size),
                                .is_from_service = config->from_service };
}

void state_set_node_status(struct state *s, struct member_node *node, enum node_status status)
{
    if (node->info->status == status) return;
    node->info->status = (uint8_t)status;
    state_touch(s, &node->record);
}

void state_mark_dirty(struct state *s, struct member_chain *chain)
{
    if (!list_empty(&chain->dirty_link)) return;
    list_push_back(&s->dirty_chains, &chain->dirty_link);
    state_kick(s);
}

void state_set_local(struct state *s, struct member_target *target, uint8_t local_state)
{
    if (target->is_known && target->local_state == local_state) return;
    target->is_known = true;
    target->local_state = local_state;
    state_mirror_chain(target->chain, s);
    state_touch(s, &target->chain->record);
    state_mark_dirty(s, target->chain);
}

void state_mirror_chain(struct member_chain *chain, const struct state *s)
{
    for (uint32_t i = 0; i < chain->info->members.count; i++) {
        struct chain_member *member = &chain->info->members.items[i];
        const struct member_target *target = state_member(s, chain->info, i);
        member->local_state = target->is_known ? target->local_state : LOCAL_INVALID;
    }
}

void chain_to_shape(const struct chain_info *info, struct chain_shape *ret)
{
    ret->count = MIN_OF(info->members.count, (uint32_t)CHAIN_TARGET_COUNT_MAX);
    for (uint32_t i = 0; i < ret->count; i++) {
        const struct chain_member *member = &info->members.items[i];
        ret->slots[i] =
            (struct chain_slot){ member->target_id, member->public_state, member->local_state };
    }
}
