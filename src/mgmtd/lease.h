/* lease.h - which mgmtd is the primary: a lease in the store, without any times in it.
 *
 * The store holds {term, owner} and a counter. The owner adds one to the counter every renew_ns;
 * its lease ends lease_ns (less 1 %) after it began the last such transaction that committed. A
 * contender takes term + 1 when it has seen one (term, counter) for lease_ns (and 1 %) of its own
 * clock, or at once when the owner has resigned. Renewal and takeover conflict in the store, so one
 * of them fails. An owner whose lease ended on its own clock never goes on in that term, even if
 * nobody else took over: it has refused heartbeats meanwhile.
 *
 * Every write of the primary reads {term, owner} in its transaction (lease_check_in()), so a
 * primary that is late is stopped by the store; the counter is a key of its own so that renewals do
 * not conflict with writes.
 */
#pragma once
#include "kv/kv.h"
#include "mgmtd/timing.h"

enum { LEASE_ADDRESS_BYTES = 256 };

struct lease {
    struct node *node;
    struct kv *kv;
    const struct timing *timing;
    uint32_t node_id;
    uint64_t nonce;                    /* of this process */
    char address[LEASE_ADDRESS_BYTES]; /* where this mgmtd answers */

    bool is_mine;
    uint64_t term;   /* while is_mine */
    uint64_t end_ns; /* node_now_ns() when it ends */
    uint64_t counter;

    /* what the store said last, and since when it has not changed */
    uint64_t seen_term, seen_counter, seen_since_ns;
    uint32_t primary_id; /* 0: none known */
    char primary_address[LEASE_ADDRESS_BYTES];
};

void lease_init(struct lease *l, struct node *node, struct kv *kv, const struct timing *timing,
                uint32_t node_id, const char *address);
/* Renews the lease, or tries to get it. 0 when the store answered, whatever the outcome: see
 * lease_is_valid(). */
int lease_step(struct lease *l) fiber_fn must_check;
bool lease_is_valid(const struct lease *l);
uint64_t lease_remaining_ns(const struct lease *l); /* 0 when it is not held */
/* Gives it up: from now on lease_is_valid() is false, and others need not wait. Best effort. */
void lease_resign(struct lease *l) fiber_fn;
/* Inside a writer's transaction: -ERR_MGMTD_NOT_PRIMARY when @term is not, or no longer, this
 * one's. */
int lease_check_in(const struct lease *l, uint64_t term, struct kv_txn *txn) fiber_fn must_check;
