/* routing_answer.c - cuts the list of changes at a watcher's version.
 */
#include "mgmtd/routing_answer.h"

#include "loop/fault.h"

enum { PART_BYTES = 900 << 10 };

static size_t record_bytes(struct record *record)
{
    size_t bytes = 64;
    switch (record->kind) {
    case RECORD_NODE: {
        const struct node_info *info = container_of(record, struct member_node, record)->info;
        bytes += 64 + info->hostname.size + info->release.size;
        for (uint32_t i = 0; i < info->addresses.count; i++) {
            bytes += 4 + info->addresses.items[i].size;
        }
        for (uint32_t i = 0; i < info->tags.count; i++) {
            bytes += 12 + info->tags.items[i].key.size + info->tags.items[i].value.size;
        }
        break;
    }
    case RECORD_CHAIN: {
        const struct chain_info *info = container_of(record, struct member_chain, record)->info;
        bytes += 40 * info->members.count + 8 * info->preferred_order.count;
        break;
    }
    case RECORD_TABLE: {
        const struct chain_table *info = container_of(record, struct member_table, record)->info;
        bytes += 4 * info->chains.count + info->desc.size;
        break;
    }
    }
    return bytes;
}

/* The first record that changed after @version, or the list's head. */
static struct list *first_after(struct state *s, uint64_t version)
{
    struct list *it = &s->changed;
    while (it->prev != &s->changed && list_entry(it->prev, struct record, link)->changed > version)
        it = it->prev;
    return it;
}

static void add_record(struct record *record, struct get_routing_reply *reply)
{
    switch (record->kind) {
    case RECORD_NODE:
        reply->nodes.items[reply->nodes.count++] =
            *container_of(record, struct member_node, record)->info;
        break;
    case RECORD_CHAIN:
        reply->chains.items[reply->chains.count++] =
            *container_of(record, struct member_chain, record)->info;
        break;
    case RECORD_TABLE:
        reply->tables.items[reply->tables.count++] =
            *container_of(record, struct member_table, record)->info;
        break;
    }
}

static void fill_part(struct state *s, struct arena *arena, uint64_t after,
                      struct get_routing_reply *reply)
{
    struct list *first = first_after(s, after), *end = first;
    uint32_t counts[3] = { 0 };
    size_t bytes = 0;
    for (; end != &s->changed; end = end->next) {
        struct record *record = list_entry(end, struct record, link);
        bytes += record_bytes(record);
        if (bytes > PART_BYTES && end != first) break;
        counts[record->kind]++;
    }
    reply->nodes.items = arena_array(arena, struct node_info, counts[RECORD_NODE]);
    reply->chains.items = arena_array(arena, struct chain_info, counts[RECORD_CHAIN]);
    reply->tables.items = arena_array(arena, struct chain_table, counts[RECORD_TABLE]);
    for (struct list *it = first; it != end; it = it->next) {
        add_record(list_entry(it, struct record, link), reply);
    }
    reply->more = end != &s->changed;
    if (reply->more) reply->cursor = list_entry(end->prev, struct record, link)->changed;
}

static int wait_newer(struct state *s, uint64_t version, uint64_t wait_ns)
{
    FIBER_TIMEOUT(wait_ns);
    while (s->is_current && s->shown_version <= version) {
        int r = wait_queue_wait(&s->watchers, "routing watcher");
        if (r < 0) return r;
    }
    return 0;
}

int routing_answer(struct state *s, struct arena *arena, const struct get_routing_request *request,
                   struct get_routing_reply *reply)
{
    bool is_ahead =
        request->term > s->term || (request->term == s->term && request->version > s->version);
    if (is_ahead && !MUTANT(ROUTING_BACKWARDS)) return -ERR_MGMTD_INVALID_ROUTING_VERSION;
    bool continues = request->cursor && request->cursor_term == s->term;
    bool is_delta = request->term == s->term;
    if (is_delta && !continues && request->wait_ns) {
        int r = wait_newer(s, request->version, request->wait_ns);
        if (r == -ERR_CANCELED) return r;
        if (!state_is_valid(s)) return -ERR_MGMTD_NOT_PRIMARY;
    }
    uint64_t after = continues ? request->cursor : is_delta ? request->version : 0;
    reply->term = s->term;
    reply->version = s->version;
    reply->full = !is_delta && !continues;
    reply->bootstrapping =
        state_now_ns(s) < s->takeover_ns + drift_longer(s->options.timing->node_lease_ns);
    fill_part(s, arena, after, reply);
    return 0;
}
