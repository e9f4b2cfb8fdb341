/* chain_rot.h - worlds in which bits change at one chosen moment of an update, or on all replicas.
 * Simulator only. Bodies of scenarios.
 */
#pragma once
#include "sim/chain_world.h"

/* An update that is pending on the second member is damaged there, before it has gone on. */
int rot_pending_behind(struct world *w) fiber_fn must_check;
/* An update that is pending on the head and nobody else has is damaged there. */
int rot_pending_at_head(struct world *w) fiber_fn must_check;
/* What the only one that serves has is damaged, and those that are to be filled have it pending. */
int rot_pending_elsewhere(struct world *w) fiber_fn must_check;
/* What the only one that serves has is damaged, and the others have but older, longer content. */
int rot_others_older(struct world *w) fiber_fn must_check;
/* One block of each chunk is damaged everywhere: it cannot be read; all else goes on. */
int rot_everywhere(struct world *w) fiber_fn must_check;
/* Each replica has another block of a chunk damaged: together they have it whole. */
int rot_in_turns(struct world *w) fiber_fn must_check;
