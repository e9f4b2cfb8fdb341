/* events.h - what happened in the cluster, for people who ask later: nodes that came and went,
 * chains that changed, who led.
 *
 * Kept in the store as a ring of the latest EVENT_KEPT_MAX, so that another manager, and a restart
 * of all, shows the same. Whoever sees something notes it in memory and goes on; a fiber of the
 * term stores what was noted, many in a transaction that checks the term. So no change waits for
 * its record or fails with it, and what a dying manager noted in its last tenth of a second is
 * lost: of a chain, the next change shows the same. When the store cannot keep up, what is noted
 * beyond some thousands is only counted.
 */
#pragma once
#include "base/list.h"
#include "fiber/sync.h"
#include "proto/mgmtd.h"

struct state;

struct event_log {
    struct list notes; /* not stored yet, oldest first */
    uint32_t note_count;
    uint64_t lost_count; /* dropped since the last that was stored */
    uint64_t last_seq;   /* stored */
    struct event noted;
};

void event_log_init(struct event_log *log);
void event_log_done(struct event_log *log);
/* One sentence. Does not suspend. */
void events_note(struct state *s, enum event_kind kind, uint32_t node_id, uint32_t chain_id,
                 const char *fmt, ...) printf_(5, 6);
/* The fiber that stores, until the term ends. */
int events_run(void *state) fiber_fn;
int events_list(struct state *s, struct arena *arena, const struct list_events_request *request,
                struct cluster_event_list *ret) fiber_fn must_check;
