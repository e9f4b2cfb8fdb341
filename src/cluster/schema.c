/* schema.c - encoding of keys and values.
 */
#include "cluster/schema.h"

#include "base/check.h"
#include "client/names.h"

#include <endian.h>

/* ---- keys ---- */

struct key {
    uint8_t bytes[4 + HOST_NAME_BYTES_MAX];
    size_t size;
};

static void key_put(struct key *k, const void *bytes, size_t size)
{
    check(size <= sizeof k->bytes - k->size);
    memcpy(k->bytes + k->size, bytes, size);
    k->size += size;
}

static struct key key_of(const char *prefix, const char *name)
{
    struct key k = { 0 };
    key_put(&k, prefix, 4);
    key_put(&k, name, strlen(name));
    return k;
}

static void key_put_be16(struct key *k, uint16_t v)
{
    v = htobe16(v);
    key_put(k, &v, sizeof v);
}

static void key_put_be32(struct key *k, uint32_t v)
{
    v = htobe32(v);
    key_put(k, &v, sizeof v);
}

static struct key key_of_id(const char *prefix, uint32_t id)
{
    struct key k = key_of(prefix, "");
    key_put_be32(&k, id);
    return k;
}

static struct bytes key_bytes(const struct key *k)
{
    return bytes_of(k->bytes, k->size);
}

/* ---- values ---- */

typedef void (*put_fn)(struct wire_out *out, const void *v);
typedef void (*get_fn)(struct wire_in *in, void *v);

static int value_set(struct kv_txn *txn, const struct key *key, put_fn put, const void *v)
{
    struct wire_out out = wire_out_heap();
    uint8_t format = SCHEMA_FORMAT;
    u8_put(&out, &format);
    put(&out, v);
    struct bytes value = wire_out_bytes(&out);
    bool is_good = !out.failed && value.size <= KV_VALUE_BYTES_MAX;
    if (is_good) kv_set(txn, key_bytes(key), value);
    wire_out_free(&out);
    return is_good ? 0 : -ERR_TXN_TOO_LARGE;
}

static int value_decode(struct bytes value, struct arena *arena, get_fn get, void *ret, size_t size)
{
    struct wire_in in = wire_in_of(value, arena);
    uint8_t format = 0;
    u8_get(&in, &format);
    if (format > SCHEMA_FORMAT) return -ERR_FORMAT_TOO_NEW;
    get(&in, ret);
    if (!in.failed && format > 0) return 0;
    memset(ret, 0, size);
    return -ERR_INVALID_FORMAT;
}

static int value_get(struct kv_txn *txn, const struct key *key, struct arena *arena, get_fn get,
                     void *ret, size_t size)
{
    memset(ret, 0, size);
    struct bytes value;
    int r = kv_get(txn, key_bytes(key), KV_SERIALIZABLE, arena, &value);
    if (r <= 0) return r;
    r = value_decode(value, arena, get, ret, size);
    return r < 0 ? r : 1;
}

/* Untyped forms of the codec's functions, as the helpers above take them. */
#define UNTYPED(record)                                                                            \
    static void put_##record(struct wire_out *out, const void *v)                                  \
    {                                                                                              \
        record##_put(out, v);                                                                      \
    }                                                                                              \
    static void get_##record(struct wire_in *in, void *v)                                          \
    {                                                                                              \
        record##_get(in, v);                                                                       \
    }
UNTYPED(cluster_record)
UNTYPED(cluster_key_record)
UNTYPED(lease_record)
UNTYPED(counter_record)
UNTYPED(node_info)
UNTYPED(host_tags)
UNTYPED(chain_info)
UNTYPED(revoked_record)
UNTYPED(chain_table_part)
UNTYPED(config_info)
UNTYPED(user_attr)
UNTYPED(cluster_event)

/* ---- single records ---- */

#define SINGLE(name, record, key_name)                                                             \
    int schema_get_##name(struct kv_txn *txn, struct arena *arena, struct record *ret)             \
    {                                                                                              \
        struct key key = key_of("SING", key_name);                                                 \
        return value_get(txn, &key, arena, get_##record, ret, sizeof *ret);                        \
    }                                                                                              \
    int schema_set_##name(struct kv_txn *txn, const struct record *v)                              \
    {                                                                                              \
        struct key key = key_of("SING", key_name);                                                 \
        return value_set(txn, &key, put_##record, v);                                              \
    }
SINGLE(cluster, cluster_record, "ClusterId")
SINGLE(cluster_key, cluster_key_record, "ClusterKey")
SINGLE(lease, lease_record, "MgmtdLease")
SINGLE(lease_counter, counter_record, "MgmtdLeaseCounter")
SINGLE(version_limit, counter_record, "RoutingInfoVersion")
SINGLE(revoked, revoked_record, "RevokedUsers")

/* ---- nodes, chains, tables ---- */

int schema_set_node(struct kv_txn *txn, const struct node_info *v)
{
    struct key key = key_of_id("NODE", v->node_id);
    return value_set(txn, &key, put_node_info, v);
}

void schema_clear_node(struct kv_txn *txn, uint32_t node_id)
{
    struct key key = key_of_id("NODE", node_id);
    kv_clear(txn, key_bytes(&key));
}

int schema_set_host_tags(struct kv_txn *txn, const struct host_tags *v)
{
    if (v->hostname.size == 0 || v->hostname.size > HOST_NAME_BYTES_MAX) return -ERR_INVALID_ARG;
    struct key key = key_of("UTGS", "");
    key_put(&key, v->hostname.base, v->hostname.size);
    if (v->tags.count) return value_set(txn, &key, put_host_tags, v);
    kv_clear(txn, key_bytes(&key));
    return 0;
}

int schema_set_chain(struct kv_txn *txn, const struct chain_info *v)
{
    struct key key = key_of_id("CHIF", v->chain_id);
    return value_set(txn, &key, put_chain_info, v);
}

int schema_set_table(struct kv_txn *txn, const struct chain_table *v)
{
    uint32_t count = v->chains.count, at = 0;
    uint32_t part_count =
        MAX_OF((count + CHAIN_TABLE_PART_CHAIN_COUNT - 1) / CHAIN_TABLE_PART_CHAIN_COUNT, 1u);
    for (uint32_t part = 0; part < part_count; part++) {
        uint32_t n = MIN_OF(count - at, (uint32_t)CHAIN_TABLE_PART_CHAIN_COUNT);
        struct chain_table_part value = { .part_count = part_count,
                                          .chains = { v->chains.items + at, n } };
        if (part == 0) value.desc = v->desc;
        struct key key = key_of_id("CHIT", v->table_id);
        key_put_be32(&key, v->version);
        key_put_be16(&key, (uint16_t)part);
        int r = value_set(txn, &key, put_chain_table_part, &value);
        if (r < 0) return r;
        at += n;
    }
    return 0;
}

/* Calls @fn for each pair below @prefix; @scratch holds the pairs and what fn decodes, page by
 * page. */
static int each_pair(struct kv_txn *txn, const char *prefix, struct arena *scratch,
                     int (*fn)(void *arg, const struct kv_pair *pair), void *arg)
{
    cleanup_arena_ struct arena bounds = { 0 };
    struct key first = key_of(prefix, "");
    struct bytes begin = arena_copy(&bounds, key_bytes(&first));
    struct bytes end = kv_prefix_end(&bounds, key_bytes(&first));
    for (;;) {
        struct kv_pairs pairs;
        int r = kv_get_range(txn, begin, end, 0, KV_SNAPSHOT, scratch, &pairs);
        if (r < 0) return r;
        for (uint32_t i = 0; i < pairs.count; i++) {
            r = fn(arg, &pairs.items[i]);
            if (r < 0) return r;
        }
        if (!pairs.has_more || pairs.count == 0) return 0;
        begin = kv_key_after(&bounds, pairs.items[pairs.count - 1].key);
        arena_done(scratch);
    }
}

#define EACH(name, record, prefix)                                                                 \
    struct each_##name {                                                                           \
        struct arena scratch;                                                                      \
        int (*fn)(void *arg, const struct record *v);                                              \
        void *arg;                                                                                 \
    };                                                                                             \
    static int on_##name(void *arg, const struct kv_pair *pair)                                    \
    {                                                                                              \
        struct each_##name *e = arg;                                                               \
        struct record v;                                                                           \
        int r = value_decode(pair->value, &e->scratch, get_##record, &v, sizeof v);                \
        return r < 0 ? r : e->fn(e->arg, &v);                                                      \
    }                                                                                              \
    int schema_each_##name(struct kv_txn *txn, int (*fn)(void *arg, const struct record *v),       \
                           void *arg)                                                              \
    {                                                                                              \
        struct each_##name e = { .fn = fn, .arg = arg };                                           \
        int r = each_pair(txn, prefix, &e.scratch, on_##name, &e);                                 \
        arena_done(&e.scratch);                                                                    \
        return r;                                                                                  \
    }
EACH(node, node_info, "NODE")
EACH(host, host_tags, "UTGS")
EACH(chain, chain_info, "CHIF")

/* Parts of one table arrive in order; @chains and @desc (heap) outlive the page they came with. */
struct each_table {
    struct arena scratch;
    uint32_t *chains;
    char *desc;
    size_t desc_size;
    struct chain_table table;
    uint32_t next_part;
    int (*fn)(void *arg, const struct chain_table *v);
    void *arg;
};

static int on_table_part(void *arg, const struct kv_pair *pair)
{
    struct each_table *e = arg;
    struct chain_table_part part;
    int r = value_decode(pair->value, &e->scratch, get_chain_table_part, &part, sizeof part);
    if (r < 0) return r;
    uint32_t table_id, version;
    uint16_t index;
    if (pair->key.size != 4 + sizeof table_id + sizeof version + sizeof index)
        return -ERR_INVALID_FORMAT;
    memcpy(&table_id, pair->key.base + 4, sizeof table_id);
    memcpy(&version, pair->key.base + 8, sizeof version);
    memcpy(&index, pair->key.base + 12, sizeof index);
    table_id = be32toh(table_id);
    version = be32toh(version);
    index = be16toh(index);
    if (index == 0) {
        e->table = (struct chain_table){ .table_id = table_id, .version = version };
        free(e->desc);
        e->desc = xmalloc(part.desc.size);
        e->desc_size = part.desc.size;
        if (part.desc.size) memcpy(e->desc, part.desc.base, part.desc.size);
        e->next_part = 0;
    }
    bool is_next =
        index == e->next_part && table_id == e->table.table_id && version == e->table.version;
    uint32_t held = e->table.chains.count;
    if (!is_next || part.chains.count > CHAIN_TABLE_CHAIN_COUNT_MAX - held)
        return -ERR_INVALID_FORMAT;
    if (part.chains.count) {
        e->chains = xrealloc(e->chains, (held + part.chains.count) * sizeof *e->chains);
        memcpy(e->chains + held, part.chains.items, part.chains.count * sizeof *e->chains);
    }
    e->table.chains = (struct u32_list){ e->chains, held + part.chains.count };
    e->next_part++;
    if (e->next_part < part.part_count) return 0;
    e->table.desc = bytes_of(e->desc, e->desc_size);
    return e->fn(e->arg, &e->table);
}

int schema_each_table(struct kv_txn *txn, int (*fn)(void *arg, const struct chain_table *v),
                      void *arg)
{
    struct each_table e = { .fn = fn, .arg = arg };
    int r = each_pair(txn, "CHIT", &e.scratch, on_table_part, &e);
    arena_done(&e.scratch);
    free(e.chains);
    free(e.desc);
    return r;
}

/* ---- configurations ---- */

static struct key config_key(enum node_type type, uint64_t version)
{
    const char *name = node_type_name((uint8_t)type);
    uint8_t length = (uint8_t)strlen(name);
    struct key key = key_of("CONF", "");
    key_put(&key, &length, 1);
    key_put(&key, name, length);
    uint64_t order = htobe64(UINT64_MAX - version);
    key_put(&key, &order, sizeof order);
    return key;
}

int schema_get_config(struct kv_txn *txn, struct arena *arena, enum node_type type,
                      uint64_t version, struct config_info *ret)
{
    memset(ret, 0, sizeof *ret);
    if (version > 0) {
        struct key key = config_key(type, version);
        return value_get(txn, &key, arena, get_config_info, ret, sizeof *ret);
    }
    struct key newest = config_key(type, UINT64_MAX), oldest = config_key(type, 0);
    struct kv_pairs pairs;
    int r = kv_get_range(txn, key_bytes(&newest), key_bytes(&oldest), 1, KV_SERIALIZABLE, arena,
                         &pairs);
    if (r < 0 || pairs.count == 0) return r;
    r = value_decode(pairs.items[0].value, arena, get_config_info, ret, sizeof *ret);
    return r < 0 ? r : 1;
}

int schema_set_config(struct kv_txn *txn, const struct config_info *v)
{
    if (v->content.size + v->desc.size > CONFIG_BYTES_MAX) return -ERR_INVALID_CONFIG;
    struct key key = config_key(v->type, v->version);
    return value_set(txn, &key, put_config_info, v);
}

/* ---- events ---- */

static struct key key_of_event(uint64_t seq)
{
    struct key k = key_of("EVNT", "");
    seq = htobe64(seq);
    key_put(&k, &seq, sizeof seq);
    return k;
}

int schema_set_event(struct kv_txn *txn, const struct cluster_event *v)
{
    struct key key = key_of_event(v->seq);
    int r = value_set(txn, &key, put_cluster_event, v);
    if (r < 0 || v->seq < EVENT_KEPT_MAX) return r;
    struct key first = key_of_event(0), limit = key_of_event(v->seq - EVENT_KEPT_MAX + 1);
    kv_clear_range(txn, key_bytes(&first), key_bytes(&limit));
    return 0;
}

int schema_list_events(struct kv_txn *txn, struct arena *arena, uint64_t after, uint32_t limit,
                       struct cluster_event_list *ret)
{
    struct key begin = key_of_event(after + 1), end = key_of_event(UINT64_MAX);
    enum kv_read mode = after ? KV_SNAPSHOT : KV_SNAPSHOT | KV_REVERSE;
    struct kv_pairs pairs;
    int r = kv_get_range(txn, key_bytes(&begin), key_bytes(&end), limit, mode, arena, &pairs);
    if (r < 0) return r;
    *ret = (struct cluster_event_list){ arena_array(arena, struct cluster_event, pairs.count),
                                        pairs.count };
    for (uint32_t i = 0; i < pairs.count; i++) {
        uint32_t at = after ? i : pairs.count - 1 - i;
        r = value_decode(pairs.items[i].value, arena, get_cluster_event, &ret->items[at],
                         sizeof ret->items[at]);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- users ---- */

int schema_get_user(struct kv_txn *txn, struct arena *arena, uint32_t uid, struct user_attr *ret)
{
    struct key key = key_of_id("USER", uid);
    return value_get(txn, &key, arena, get_user_attr, ret, sizeof *ret);
}

int schema_set_user(struct kv_txn *txn, const struct user_attr *v)
{
    struct key key = key_of_id("USER", v->uid);
    return value_set(txn, &key, put_user_attr, v);
}

void schema_clear_user(struct kv_txn *txn, uint32_t uid)
{
    struct key key = key_of_id("USER", uid);
    kv_clear(txn, key_bytes(&key));
}

int schema_list_users(struct kv_txn *txn, struct arena *arena, uint32_t from, uint32_t limit,
                      struct user_attr_list *ret, uint64_t *ret_next)
{
    struct key begin = key_of_id("USER", from);
    struct bytes end = kv_prefix_end(arena, BYTES_LITERAL("USER"));
    struct kv_pairs pairs;
    int r = kv_get_range(txn, key_bytes(&begin), end, limit, KV_SERIALIZABLE, arena, &pairs);
    if (r < 0) return r;
    struct user_attr_list list = { arena_array(arena, struct user_attr, pairs.count), pairs.count };
    for (uint32_t i = 0; i < pairs.count; i++) {
        r = value_decode(pairs.items[i].value, arena, get_user_attr, &list.items[i],
                         sizeof *list.items);
        if (r < 0) return r;
    }
    *ret = list;
    *ret_next = pairs.has_more && list.count ? (uint64_t)list.items[list.count - 1].uid + 1 : 0;
    return 0;
}
