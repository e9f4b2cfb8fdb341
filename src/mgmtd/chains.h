/* chains.h - what an administrator does to chains and chain tables.
 *
 * All take the writer mutex and are durable and visible when they return. Refusals give a sentence
 * in *ret_why (@arena or literal). Replies borrow the state: encode before suspending.
 */
#pragma once
#include "mgmtd/state.h"

enum { SET_CHAINS_COUNT_MAX = 10000 };

/* New chains start at version 1, all SERVING; one that exists must have the same set of targets
 * and stays as it is (but takes the preferred order, if asked). -ERR_MGMTD_INVALID_CHAIN_TABLE,
 * -ERR_MGMTD_TARGET_EXISTED, … */
int chains_set(struct state *s, struct arena *arena, const struct set_chains_request *request,
               const char **ret_why) fiber_fn must_check;
/* A new version when the list differs from the latest, else that one. -ERR_MGMTD_CHAIN_NOT_FOUND,
 * -ERR_MGMTD_INVALID_CHAIN_TABLE. */
int chains_set_table(struct state *s, struct arena *arena,
                     const struct set_chain_table_request *request, uint32_t *ret_version,
                     const char **ret_why) fiber_fn must_check;
int chains_rotate_lastsrv(struct state *s, const struct chain_request *request,
                          struct chain_info *ret, const char **ret_why) fiber_fn must_check;
int chains_set_preferred(struct state *s, const struct chain_request *request,
                         struct chain_info *ret, const char **ret_why) fiber_fn must_check;
/* One step; waits until the lease of the target that makes room is over. The chain as it is when
 * nothing is to be done. */
int chains_rotate_preferred(struct state *s, const struct chain_request *request,
                            struct chain_info *ret, const char **ret_why) fiber_fn must_check;
int chains_update(struct state *s, struct arena *arena, const struct chain_request *request,
                  struct chain_info *ret, const char **ret_why) fiber_fn must_check;
/* Targets that nodes report and no chain has. */
void chains_list_orphans(const struct state *s, struct arena *arena,
                         struct orphan_target_list *ret);
