/* nodes.h - what an administrator does to nodes. Conventions as in chains.h.
 */
#pragma once
#include "mgmtd/state.h"

/* -ERR_MGMTD_REGISTER_FAIL: the id is taken, or 0. */
int nodes_register(struct state *s, const struct register_node_request *request,
                   const char **ret_why) fiber_fn must_check;
/* Only one that is disabled or dead, of this type, and without targets in chains. */
int nodes_unregister(struct state *s, const struct register_node_request *request,
                     const char **ret_why) fiber_fn must_check;
/* A disabled node's heartbeats are refused; its targets go when its lease ends. Not the primary. */
int nodes_set_enabled(struct state *s, struct arena *arena, uint32_t node_id, bool enabled,
                      const char **ret_why) fiber_fn must_check;
/* The key "Disable" disables the node. */
int nodes_set_tags(struct state *s, struct arena *arena,
                   const struct set_node_tags_request *request, struct node_info *ret,
                   const char **ret_why) fiber_fn must_check;
void nodes_list_disks(const struct state *s, struct arena *arena, struct node_disks_list *ret);
