/* load.h - the state of a new term, from the store.
 */
#pragma once
#include "mgmtd/state.h"

/* With every node granted a lease at this moment and every target unknown. Reserves routing
 * versions above all that earlier terms may have shown, and writes @self (the primary's own
 * record; its tags are kept) if it differs. */
int state_load(const struct state_options *options, const struct node_info *self,
               struct state **ret) fiber_fn must_check;
/* Reserves more versions when they run low. Called with the writer mutex. */
int state_reserve_versions(struct state *s) fiber_fn must_check;
