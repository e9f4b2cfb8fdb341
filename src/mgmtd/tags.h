/* tags.h - tags of nodes, and of machines ("universal tags"): what clients on a machine are told.
 *
 * Of a machine "TrafficZone" has a meaning: its clients read from storages whose nodes have the
 * same one, as long as these serve. Conventions as in chains.h.
 */
#pragma once
#include "mgmtd/state.h"

/* Its index, or -1. */
int tag_find(const struct tag_list *tags, struct bytes key);
/* What becomes of @old; in order of keys, in the arena. -ERR_MGMTD_INVALID_TAG: no key, or a value
 * where one is removed. */
int tags_apply(struct arena *arena, const struct tag_list *old, uint8_t mode,
               const struct tag_list *change, struct tag_list *ret,
               const char **ret_why) must_check;

/* -ERR_INVALID_ARG: no name of a machine, or one that is too long. @ret is in the arena. */
int hosts_set_tags(struct state *s, struct arena *arena,
                   const struct set_host_tags_request *request, struct host_tags *ret,
                   const char **ret_why) fiber_fn must_check;
/* None when the machine has none. Valid until the next suspension. */
struct tag_list hosts_tags(const struct state *s, struct bytes hostname);
/* Takes a copy; without tags the machine is forgotten. */
void hosts_put(struct state *s, const struct host_tags *tags);
