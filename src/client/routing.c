/* routing.c - the routing of a node: applied part by part, read by key.
 */
#include "client/routing.h"

#include "base/check.h"
#include "client/routing_record.h"
#include "loop/fault.h"

static uint64_t table_key(uint32_t table_id, uint32_t version)
{
    return (uint64_t)table_id << 32 | version;
}

void routing_init(struct routing *r, uint64_t seed)
{
    *r = (struct routing){ 0 };
    map_init(&r->nodes, seed);
    map_init(&r->chains, seed);
    map_init(&r->tables, seed);
    map_init(&r->latest, seed);
    wait_queue_init(&r->changed);
}

static void forget_values(struct map *m)
{
    size_t at = 0;
    void *value;
    while ((value = map_next(m, &at))) {
        free(value);
    }
    uint64_t seed = m->seed;
    map_done(m);
    map_init(m, seed);
}

static void forget_all(struct routing *r)
{
    forget_values(&r->nodes);
    forget_values(&r->chains);
    forget_values(&r->tables);
    uint64_t seed = r->latest.seed;
    map_done(&r->latest);
    map_init(&r->latest, seed);
}

void routing_done(struct routing *r)
{
    forget_all(r);
    free(r->zone);
    map_done(&r->nodes);
    map_done(&r->chains);
    map_done(&r->tables);
    map_done(&r->latest);
}

static void apply_node(struct routing *r, const struct node_info *node)
{
    const struct node_info *held = map_get(&r->nodes, node->node_id);
    if (held && held->changed > node->changed) return;
    if (node->removed)
        free(map_remove(&r->nodes, node->node_id));
    else
        free(map_put(&r->nodes, node->node_id, node_info_copy(node)));
}

static void apply_chain(struct routing *r, const struct chain_info *chain)
{
    const struct chain_info *held = map_get(&r->chains, chain->chain_id);
    if (held && held->changed > chain->changed) return;
    free(map_put(&r->chains, chain->chain_id, chain_info_copy(chain)));
}

static void apply_table(struct routing *r, const struct chain_table *table)
{
    uint64_t key = table_key(table->table_id, table->version);
    struct chain_table *copy = chain_table_copy(table);
    const struct chain_table *latest = map_get(&r->latest, table->table_id);
    if (!latest || latest->version <= table->version) map_put(&r->latest, table->table_id, copy);
    free(map_put(&r->tables, key, copy));
}

static void apply_part(struct routing *r, const struct get_routing_reply *part)
{
    for (uint32_t i = 0; i < part->nodes.count; i++) {
        apply_node(r, &part->nodes.items[i]);
    }
    for (uint32_t i = 0; i < part->chains.count; i++) {
        apply_chain(r, &part->chains.items[i]);
    }
    for (uint32_t i = 0; i < part->tables.count; i++) {
        apply_table(r, &part->tables.items[i]);
    }
}

int routing_apply(struct routing *r, const struct get_routing_reply *parts, uint32_t part_count)
{
    if (part_count == 0) return -ERR_INVALID_ARG;
    const struct get_routing_reply *last = &parts[part_count - 1];
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i].term != last->term || (i > 0 && parts[i].full)) return -ERR_INVALID_ARG;
    }
    bool is_older = last->term < r->term || last->version < r->version;
    bool is_gap = !parts[0].full && last->term != r->term;
    if (MUTANT(ROUTING_BACKWARDS)) is_older = false;
    if (is_older || is_gap) return -ERR_MGMTD_INVALID_ROUTING_VERSION;

    if (parts[0].full) forget_all(r);
    for (uint32_t i = 0; i < part_count; i++) {
        apply_part(r, &parts[i]);
    }
    r->term = last->term;
    r->version = last->version;
    r->bootstrapping = last->bootstrapping;
    wait_queue_wake_all(&r->changed);
    return 0;
}

const struct node_info *routing_node(const struct routing *r, uint32_t node_id)
{
    return map_get(&r->nodes, node_id);
}

void routing_set_zone(struct routing *r, struct bytes zone)
{
    free(r->zone);
    r->zone = zone.size ? strndup((const char *)zone.base, zone.size) : NULL;
}

bool routing_is_near(const struct routing *r, uint32_t node_id)
{
    const struct node_info *node = r->zone ? routing_node(r, node_id) : NULL;
    for (uint32_t i = 0; node && i < node->tags.count; i++) {
        const struct tag *tag = &node->tags.items[i];
        if (bytes_equal_text(tag->key, ZONE_TAG)) return bytes_equal_text(tag->value, r->zone);
    }
    return !r->zone;
}

const struct chain_info *routing_chain(const struct routing *r, uint32_t chain_id)
{
    return map_get(&r->chains, chain_id);
}

const struct chain_table *routing_table(const struct routing *r, uint32_t table_id,
                                        uint32_t version)
{
    if (version == 0) return map_get(&r->latest, table_id);
    return map_get(&r->tables, table_key(table_id, version));
}

uint32_t routing_chain_of(const struct routing *r, uint32_t table_id, uint32_t version,
                          uint32_t index)
{
    if (index == 0) return 0;
    if (table_id == 0 && version == 0) return index;
    const struct chain_table *table = routing_table(r, table_id, version);
    if (!table || table->chains.count == 0) return 0;
    return table->chains.items[(index - 1) % table->chains.count];
}

int routing_address(const struct routing *r, uint32_t node_id, struct net_address *ret)
{
    const struct node_info *node = routing_node(r, node_id);
    if (!node) return -ERR_MGMTD_NODE_NOT_FOUND;
    if (node->addresses.count == 0) return -ERR_NOT_AVAILABLE;
    struct bytes text = node->addresses.items[0];
    char buf[sizeof ret->host + 32];
    if (text.size >= sizeof buf) return -ERR_RPC_INVALID_ADDR;
    memcpy(buf, text.base, text.size);
    buf[text.size] = '\0';
    return net_address_parse(buf, ret);
}

int routing_wait_newer(struct routing *r, uint64_t version)
{
    while (r->version <= version) {
        int result = wait_queue_wait(&r->changed, "newer routing");
        if (result < 0) return result;
    }
    return 0;
}
