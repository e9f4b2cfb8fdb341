/* fleet_life.h - the machines of a fleet: how its processes and clients come and go. For fleet.c.
 */
#pragma once
#include "sim/fleet.h"

void fleet_process_init(struct fleet *f, struct process *p, enum role_kind kind, uint32_t node_id);
/* Hooks of the place. */
void fleet_node_prepare(struct process *p);
void fleet_node_ended(struct process *p);
void fleet_client_init(struct fleet *f, struct fleet_client *c, uint32_t index);
/* Targets, chains and the table of the root's layout. */
int fleet_make_chains(struct fleet_client *c, void *arg) fiber_fn must_check;
void fleet_free_parts(struct fleet *f);
