/* shutdown.c - chains of a cluster that stands still. */
#include "cluster/shutdown.h"

#include "cluster/schema.h"

/* The slowest profile of timing renews every 2 s. */
#define LOOK_NS (5 * SEC / 2)

struct lease_look {
    struct lease_record record;
    uint64_t counter;
    struct arena *arena;
};

static int look_in(struct kv_txn *txn, void *arg)
{
    struct lease_look *look = arg;
    struct counter_record counter;
    int r = schema_get_lease(txn, look->arena, &look->record);
    if (r >= 0) r = schema_get_lease_counter(txn, look->arena, &counter);
    if (r >= 0) look->counter = counter.value;
    return MIN_OF(r, 0);
}

int cluster_is_led(struct node *node, struct kv *kv, uint32_t *ret_owner)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct lease_look first = { .arena = &arena }, second = { .arena = &arena };
    int r = kv_read_only(kv, look_in, &first);
    if (r < 0 || first.record.owner == 0) return r;
    r = fiber_sleep(LOOK_NS);
    if (r >= 0) r = kv_read_only(kv, look_in, &second);
    if (r < 0) return r;
    bool is_same = second.record.owner == 0 ||
                   (second.counter == first.counter && second.record.term == first.record.term);
    *ret_owner = second.record.owner;
    return !is_same;
}

struct shutdown_op {
    struct kv_txn *txn;
    struct arena *arena;
    struct chain_info_list chains;
    uint32_t capacity, changed_count;
};

static bool shut_down(struct chain_info *chain)
{
    bool has_changed = false;
    for (uint32_t i = 0; i < chain->members.count; i++) {
        uint8_t *state = &chain->members.items[i].public_state, before = *state;
        if (before == PUBLIC_SERVING) *state = PUBLIC_LASTSRV;
        if (before == PUBLIC_SYNCING || before == PUBLIC_WAITING) *state = PUBLIC_OFFLINE;
        has_changed |= *state != before;
    }
    chain->version += has_changed;
    return has_changed;
}

static struct chain_info *list_add(struct shutdown_op *op, const struct chain_info *v)
{
    if (op->chains.count == op->capacity) {
        op->capacity = MAX_OF(2 * op->capacity, 64u);
        struct chain_info *items = arena_array(op->arena, struct chain_info, op->capacity);
        if (op->chains.count) memcpy(items, op->chains.items, op->chains.count * sizeof *items);
        op->chains.items = items;
    }
    struct chain_info *chain = &op->chains.items[op->chains.count++];
    uint32_t count = v->members.count, order_count = v->preferred_order.count;
    *chain = *v;
    chain->members.items = arena_array(op->arena, struct chain_member, count);
    if (count) memcpy(chain->members.items, v->members.items, count * sizeof *v->members.items);
    chain->preferred_order.items = arena_array(op->arena, uint64_t, order_count);
    if (order_count)
        memcpy(chain->preferred_order.items, v->preferred_order.items,
               order_count * sizeof *v->preferred_order.items);
    return chain;
}

static int take_chain(void *arg, const struct chain_info *v)
{
    struct shutdown_op *op = arg;
    struct chain_info *chain = list_add(op, v);
    if (!shut_down(chain)) return 0;
    op->changed_count++;
    return schema_set_chain(op->txn, chain);
}

/* Whoever led finds that he does not any more, at his next write. */
static int end_term(struct kv_txn *txn, struct arena *arena)
{
    struct lease_record record;
    int r = schema_get_lease(txn, arena, &record);
    if (r < 0) return r;
    record = (struct lease_record){ .term = record.term + 1 };
    return schema_set_lease(txn, &record);
}

static int shutdown_in(struct kv_txn *txn, void *arg)
{
    struct shutdown_op *op = arg;
    op->txn = txn;
    op->chains.count = op->changed_count = 0;
    int r = end_term(txn, op->arena);
    return r < 0 ? r : schema_each_chain(txn, take_chain, op);
}

int cluster_shutdown_chains(struct kv *kv, struct arena *arena, struct chain_info_list *ret)
{
    struct shutdown_op op = { .arena = arena };
    int r = kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, shutdown_in, &op);
    if (r < 0) return r;
    *ret = op.chains;
    return (int)op.changed_count;
}
