/* node_calls.h - one call to each node of a type. */
#pragma once
#include "admin/admin.h"

struct node_brief {
    uint32_t node_id;
    uint8_t status;
    bool is_up; /* it answers, as far as the cluster manager knows */
};
/* All nodes of a type in order of id (arena). Failures are printed. */
int nodes_of_type(struct admin *a, enum node_type type, struct node_brief **ret,
                  uint32_t *ret_count) fiber_fn must_check;
/* A call whose failure is not printed: *ret_why says what it is. */
int node_try(struct admin *a, uint32_t node_id, const struct rpc_service *service,
             const struct rpc_method *method, const void *req, void *rep,
             const char **ret_why) fiber_fn must_check;
