/* mgmtd_internal.h - an instance of the role; private to src/mgmtd. */
#pragma once
#include "mgmtd/mgmtd.h"
#include "mgmtd/state.h"

struct mgmtd {
    struct node *node;
    struct mgmtd_options options; /* text and key point into @arena */
    struct arena arena;
    struct lease lease;
    struct state *state; /* of the term that this instance leads, or NULL */
    uint64_t incarnation;
    struct auth_keys keys;
    struct rpc_server *server;
    struct rpc_pool *pool; /* to the primary, while this one is not */
    struct node_info self;
    struct bytes self_address;
    bool has_refused_config;
    struct scope scope; /* its fibers */
};

extern const struct mgmtd_handlers mgmtd_service_handlers;

/* Checks a configuration's text. */
int mgmtd_validate_config(const struct mgmtd *m, struct arena *arena, enum node_type type,
                          struct bytes toml, const char **ret_error) must_check;
/* Takes over a configuration of the type MGMTD that is newer than the last one. */
void mgmtd_take_config(struct mgmtd *m, uint64_t version, struct bytes toml);
/* Sets self.config_status: settings may have been changed by hand. */
void mgmtd_note_config(struct mgmtd *m);
/* As the primary: the latest of @s; and what list-nodes shows of this instance. */
void mgmtd_take_own_config(struct mgmtd *m, struct state *s);
/* elect.c: the fibers that get and keep the lease, and report to the primary while another has
 * it. */
int mgmtd_elect(void *arg) fiber_fn;
int mgmtd_stand_by(void *arg) fiber_fn;
