/* lease.c - renewal, takeover and resignation, each one transaction.
 */
#include "mgmtd/lease.h"

#include "base/check.h"
#include "cluster/schema.h"
#include "loop/fault.h"

#include <stdio.h>

void lease_init(struct lease *l, struct node *node, struct kv *kv, const struct timing *timing,
                uint32_t node_id, const char *address)
{
    *l = (struct lease){ .node = node, .kv = kv, .timing = timing, .node_id = node_id };
    while (l->nonce == 0)
        l->nonce = node_random_u64(node);
    snprintf(l->address, sizeof l->address, "%s", address);
}

uint64_t lease_remaining_ns(const struct lease *l)
{
    uint64_t now = node_now_ns(l->node);
    return l->is_mine && now < l->end_ns ? l->end_ns - now : 0;
}

bool lease_is_valid(const struct lease *l)
{
    return lease_remaining_ns(l) > 0;
}

struct lease_op {
    struct lease *l;
    uint64_t begin_ns;
    bool is_taken, is_renewed;
    uint64_t term, counter; /* in the store after the transaction */
    uint32_t owner;
    char address[LEASE_ADDRESS_BYTES];
};

static void op_note(struct lease_op *op, const struct lease_record *record, uint64_t counter)
{
    op->term = record->term;
    op->counter = counter;
    op->owner = record->owner;
    size_t size = MIN_OF(record->address.size, sizeof op->address - 1);
    if (size) memcpy(op->address, record->address.base, size);
    op->address[size] = '\0';
}

static int take(struct kv_txn *txn, struct lease_op *op, uint64_t old_term)
{
    const struct lease *l = op->l;
    struct lease_record record = { .term = old_term + 1,
                                   .owner = l->node_id,
                                   .nonce = l->nonce,
                                   .address = bytes_of_text(l->address) };
    struct counter_record counter = { .value = 1 };
    op->is_taken = true;
    op_note(op, &record, counter.value);
    int r = schema_set_lease(txn, &record);
    return r < 0 ? r : schema_set_lease_counter(txn, &counter);
}

static bool may_take(const struct lease *l, const struct lease_record *record, uint64_t counter)
{
    if (record->owner == 0 || record->nonce == l->nonce) return true;
    bool is_same = l->seen_term == record->term && l->seen_counter == counter;
    return is_same && node_now_ns(l->node) - l->seen_since_ns >= drift_longer(l->timing->lease_ns);
}

static int step_in(struct kv_txn *txn, void *arg)
{
    struct lease_op *op = arg;
    struct lease *l = op->l;
    *op = (struct lease_op){ .l = l, .begin_ns = node_now_ns(l->node) };
    cleanup_arena_ struct arena arena = { 0 };
    struct lease_record record;
    struct counter_record counter;
    int r = schema_get_lease(txn, &arena, &record);
    if (r < 0) return r;
    r = schema_get_lease_counter(txn, &arena, &counter);
    if (r < 0) return r;
    bool is_held = l->is_mine && record.nonce == l->nonce && record.term == l->term;
    if (is_held && record.owner == l->node_id) {
        op->is_renewed = true;
        counter.value++;
        op_note(op, &record, counter.value);
        return schema_set_lease_counter(txn, &counter);
    }
    if (!l->is_mine && may_take(l, &record, counter.value)) return take(txn, op, record.term);
    op_note(op, &record, counter.value);
    return 0;
}

static void held(struct lease *l, const struct lease_op *op)
{
    l->is_mine = true;
    l->term = op->term;
    l->counter = op->counter;
    uint64_t begin_ns = MUTANT(LEASE_FROM_REPLY) ? node_now_ns(l->node) : op->begin_ns;
    l->end_ns = begin_ns + drift_shorter(l->timing->lease_ns);
}

int lease_step(struct lease *l)
{
    if (l->is_mine && !lease_is_valid(l)) l->is_mine = false;
    struct lease_op op = { .l = l };
    FIBER_TIMEOUT(l->is_mine ? lease_remaining_ns(l) : l->timing->lease_ns);
    int r = kv_transact(l->kv, KV_RETRY_SAFE, step_in, &op);
    if (r < 0) return r;
    if (op.is_renewed && lease_is_valid(l))
        held(l, &op);
    else if (op.is_taken)
        held(l, &op);
    else
        l->is_mine = false;
    if (op.term != l->seen_term || op.counter != l->seen_counter)
        l->seen_since_ns = node_now_ns(l->node);
    l->seen_term = op.term;
    l->seen_counter = op.counter;
    l->primary_id = op.owner;
    memcpy(l->primary_address, op.address, sizeof op.address);
    return 0;
}

static int resign_in(struct kv_txn *txn, void *arg)
{
    const struct lease *l = arg;
    cleanup_arena_ struct arena arena = { 0 };
    struct lease_record record;
    int r = schema_get_lease(txn, &arena, &record);
    if (r < 0) return r;
    if (record.nonce != l->nonce) return 0;
    record.owner = 0;
    record.address = (struct bytes){ 0 };
    return schema_set_lease(txn, &record);
}

void lease_resign(struct lease *l)
{
    if (!l->is_mine) return;
    l->is_mine = false;
    l->primary_id = 0;
    FIBER_SHIELD();
    FIBER_TIMEOUT(l->timing->renew_ns);
    int r = kv_transact(l->kv, KV_RETRY_MAYBE_COMMITTED, resign_in, l);
    if (r < 0)
        log_warn(&l->node->log, r, "cannot resign; another mgmtd takes over when the lease ends");
}

int lease_check_in(const struct lease *l, uint64_t term, struct kv_txn *txn)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct lease_record record;
    int r = schema_get_lease(txn, &arena, &record);
    if (r < 0) return r;
    bool is_own = record.nonce == l->nonce && record.term == term && record.owner == l->node_id;
    return is_own || MUTANT(TERM_NOT_CHECKED) ? 0 : -ERR_MGMTD_NOT_PRIMARY;
}
