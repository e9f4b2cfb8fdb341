/* shutdown.h - what is done to the records of a cluster while no cluster manager leads it. */
#pragma once
#include "kv/kv.h"
#include "proto/mgmtd.h"

/* 1 when somebody leads (his node id in *ret_owner), 0 when nobody does: looks for long enough to
 * see a lease being renewed. */
int cluster_is_led(struct node *node, struct kv *kv, uint32_t *ret_owner) fiber_fn must_check;

/* Chains of a cluster that stands still: SERVING becomes LASTSRV, so that whoever of them comes
 * first goes on (all of them have whatever was acknowledged); SYNCING and WAITING become OFFLINE. A
 * chain that changes gets a new version. One transaction, which ends the term of whoever leads all
 * the same. All chains as they are then, in @arena; how many changed is the result. */
int cluster_shutdown_chains(struct kv *kv, struct arena *arena,
                            struct chain_info_list *ret) fiber_fn must_check;
