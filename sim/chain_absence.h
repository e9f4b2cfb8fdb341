/* chain_absence.h - worlds in which storages are away: all at once, one after the other, for long;
 * and what their return costs. Simulator only. Bodies of scenarios.
 */
#pragma once
#include "sim/chain_world.h"

/* All machines lose power at once, again and again, under load. */
int absence_of_all(struct world *w) fiber_fn must_check;
/* They go one after the other, and the last one that served comes back last. */
int absence_lastsrv(struct world *w) fiber_fn must_check;
/* One is away for a minute while few chunks change: only those are sent to it, within seconds. */
int absence_short_return(struct world *w) fiber_fn must_check;
/* The same with much to send and a bound on the bandwidth, which is kept and stalls no writes. */
int absence_throttled_return(struct world *w) fiber_fn must_check;
/* The head holds an update that only a storage which left had committed; others are filled before
 * it has passed that on, and the one that had it among them. */
int absence_left_pending(struct world *w) fiber_fn must_check;
/* What fills one comes again, late, when newer updates have come to it. */
int absence_late_replacements(struct world *w) fiber_fn must_check;
/* An update's answer is lost and its client asks again at a member that was filled since: it is not
 * executed twice. */
int absence_retry_at_filled(struct world *w) fiber_fn must_check;
/* The same, and the update came to that member while it was being filled, which then began anew. */
int absence_retry_at_refilled(struct world *w) fiber_fn must_check;
/* The same at a former head, which alone had it before it was filled: it is executed now. */
int absence_retry_at_former_head(struct world *w) fiber_fn must_check;
