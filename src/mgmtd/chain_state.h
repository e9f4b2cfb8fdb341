/* chain_state.h - the chain state machine: pure functions from (ordered targets, their states) to
 * the new order.
 *
 *   public      local              what becomes of it
 *   SERVING     ONLINE, UPTODATE   SERVING
 *               OFFLINE            LASTSRV when nobody else serves, and it is the first such;
 *                                  else OFFLINE, behind all others
 *   LASTSRV     any                OFFLINE when somebody serves
 *               ONLINE, UPTODATE   SERVING: it alone has everything that was acknowledged
 *               OFFLINE            LASTSRV
 *   SYNCING     UPTODATE           SERVING: the resync is complete
 *               ONLINE             SYNCING when somebody serves, else WAITING
 *               OFFLINE            OFFLINE
 *   WAITING,    ONLINE             SYNCING when somebody serves and no other is SYNCING, else
 *   OFFLINE                        WAITING
 *               UPTODATE           WAITING
 *               OFFLINE            OFFLINE
 *
 * The public state is what everybody acts on; the local state is what the storage says of its
 * target (INVALID counts as OFFLINE). Nothing here knows of time, leases, messages or the store:
 * who calls decides when a local state is known to be true (docs/mgmtd.md).
 *
 * Invariants of a chain, kept by every function below: at most one SYNCING; at most one LASTSRV,
 * and none beside a SERVING or SYNCING; SYNCING only beside a SERVING; order SERVING, LASTSRV,
 * SYNCING, WAITING, OFFLINE.
 */
#pragma once
#include "proto/mgmtd.h"

struct chain_slot {
    uint64_t target_id;
    uint8_t public_state; /* enum public_state */
    uint8_t local_state;  /* enum local_state */
};
struct chain_shape {
    uint32_t count;
    struct chain_slot slots[CHAIN_TARGET_COUNT_MAX];
};

/* The next state of the chain. True when the order or a public state changed: the chain gets a new
 * version. */
bool chain_evaluate(struct chain_shape *chain);

/* Gives up on the LASTSRV at the head for the next in line: it goes to the end, the new head
 * becomes LASTSRV, all others OFFLINE. What only the old LASTSRV had is lost. False when the head
 * is no LASTSRV or is alone. */
bool chain_rotate_lastsrv(struct chain_shape *chain);

/* One step towards @preferred: the index of the target that is to make room, or -1 when there is
 * nothing to do now (order reached, or the wanted target is not SERVING). */
int chain_preferred_victim(const struct chain_shape *chain, const struct u64_list *preferred);
/* Sends the target at @index to the end, OFFLINE (it comes back through SYNCING). Not the only
 * SERVING one. */
void chain_displace(struct chain_shape *chain, uint32_t index);

/* -1 when the target is no member. */
int chain_find(const struct chain_shape *chain, uint64_t target_id);
/* Appends OFFLINE. -ERR_MGMTD_TARGET_EXISTED, -ERR_MGMTD_INVALID_CHAIN_TABLE when the chain is
 * full. */
int chain_add(struct chain_shape *chain, uint64_t target_id) must_check;
/* Only an OFFLINE one. -ERR_MGMTD_TARGET_NOT_FOUND, -ERR_TARGET_STATE_INVALID. */
int chain_remove(struct chain_shape *chain, uint64_t target_id) must_check;

/* The invariant that does not hold, as a sentence, or NULL. */
const char *chain_broken_invariant(const struct chain_shape *chain);
