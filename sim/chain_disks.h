/* chain_disks.h - worlds whose disks fail, are replaced, fill up or rot, and reads that avoid a bad
 * replica. Simulator only. Bodies of scenarios.
 */
#pragma once
#include "sim/chain_world.h"

/* One of two disks of a storage fails: only its targets go, and come back by create-target. */
int disks_one_fails(struct world *w) fiber_fn must_check;
/* A storage comes back with an empty disk, and its targets are made anew at once. */
int disks_replaced(struct world *w) fiber_fn must_check;
/* Writes are refused when the disks are full; removals, also those that a member missed, go on. */
int disks_full(struct world *w) fiber_fn must_check;
/* The last member of a chain is full while the one before it is away: what is refused stays undone.
 */
int disks_refused(struct world *w) fiber_fn must_check;
/* Bits of one storage's data flip under load: no operation fails, all is repaired in the end. */
int disks_rot(struct world *w) fiber_fn must_check;
/* Everything on the only storage that serves is damaged: reads and writes wait for the others. */
int disks_damaged_alone(struct world *w) fiber_fn must_check;
/* Reads use all replicas; when one fails they go to the others at once. */
int disks_spread_reads(struct world *w) fiber_fn must_check;
