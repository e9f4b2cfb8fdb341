/* routing_record.c - copies with everything that a record points at laid out behind it.
 *
 * A copy is sized first and then filled; both walks take the same steps, which the end checks.
 */
#include "client/routing_record.h"

#include "base/check.h"

/* Space behind the record: first counted (base NULL), then handed out. Pieces are 8-aligned. */
struct tail {
    uint8_t *base;
    size_t used;
};

static void *tail_take(struct tail *t, const void *from, size_t size)
{
    uint8_t *to = t->base ? t->base + t->used : NULL;
    t->used += (size + 7) & ~(size_t)7;
    if (to && size) memcpy(to, from, size);
    return to;
}

static struct bytes tail_text(struct tail *t, struct bytes from)
{
    return bytes_of(tail_take(t, from.base, from.size), from.size);
}

static void node_fill(struct tail *t, const struct node_info *from, struct node_info *to)
{
    *to = *from;
    to->hostname = tail_text(t, from->hostname);
    to->release = tail_text(t, from->release);
    uint32_t count = from->addresses.count;
    to->addresses.items =
        tail_take(t, from->addresses.items, count * sizeof *from->addresses.items);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes text = tail_text(t, from->addresses.items[i]);
        if (t->base) to->addresses.items[i] = text;
    }
    count = from->tags.count;
    to->tags.items = tail_take(t, from->tags.items, count * sizeof *from->tags.items);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes key = tail_text(t, from->tags.items[i].key);
        struct bytes value = tail_text(t, from->tags.items[i].value);
        if (t->base) to->tags.items[i] = (struct tag){ key, value };
    }
}

struct node_info *node_info_copy(const struct node_info *from)
{
    struct tail t = { 0 };
    struct node_info scratch;
    node_fill(&t, from, &scratch);
    size_t size = t.used;
    struct node_info *to = xmalloc(sizeof *to + size);
    t = (struct tail){ .base = (uint8_t *)(to + 1) };
    node_fill(&t, from, to);
    check(t.used == size);
    return to;
}

struct chain_info *chain_info_copy(const struct chain_info *from)
{
    size_t members_bytes = from->members.count * sizeof *from->members.items;
    size_t preferred_bytes = from->preferred_order.count * sizeof *from->preferred_order.items;
    struct chain_info *to = xmalloc(sizeof *to + members_bytes + preferred_bytes);
    struct tail t = { .base = (uint8_t *)(to + 1) };
    *to = *from;
    to->members.items = tail_take(&t, from->members.items, members_bytes);
    to->preferred_order.items = tail_take(&t, from->preferred_order.items, preferred_bytes);
    return to;
}

struct chain_table *chain_table_copy(const struct chain_table *from)
{
    size_t chains_bytes = from->chains.count * sizeof *from->chains.items;
    struct chain_table *to = xmalloc(sizeof *to + chains_bytes + 8 + from->desc.size + 8);
    struct tail t = { .base = (uint8_t *)(to + 1) };
    *to = *from;
    to->chains.items = tail_take(&t, from->chains.items, chains_bytes);
    to->desc = tail_text(&t, from->desc);
    return to;
}

_Static_assert(sizeof(struct node_info) % 8 == 0 && sizeof(struct chain_info) % 8 == 0 &&
                   sizeof(struct chain_table) % 8 == 0 && sizeof(struct chain_member) % 8 == 0,
               "what lies behind a record is aligned");
