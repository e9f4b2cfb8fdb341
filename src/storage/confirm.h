/* confirm.h - may this target answer a read? Its node's lease says so, or all other members do.
 *
 * A round asks every other member whether it is on the target's chain version. It answers for all
 * data that was in memory before the round began, so all reads that wait share one. See rule 6 of
 * docs/replication.md.
 */
#pragma once
#include "fiber/sync.h"

struct target;

struct confirm {
    uint64_t begun, done; /* rounds, counted */
    int result;           /* of the last one done */
    bool is_running;
    bool is_entering;        /* a fiber of confirm_role_soon() */
    struct wait_queue ended; /* woken after each round */
};

void confirm_init(struct confirm *c);
/* Checks that the target is serving on @chain_version and may answer with what it has read before
 * the call. 0, or an error that sends the client elsewhere. */
int confirm_read(struct target *t, uint32_t chain_version) fiber_fn must_check;
/* Before any read: a target that is new in its role waits for a round. */
int confirm_role(struct target *t) fiber_fn must_check;
/* Has that round run now, so that no read waits for it later, when a member may have gone. */
void confirm_role_soon(struct target *t);
/* 0 when the node's lease is valid now, or the target is not alone in a chain of several. */
int confirm_not_cut_off(struct target *t) must_check;
