/* bootstrap_plan.h - which targets and chains a bootstrap makes; private to it.
 */
#pragma once
#include "admin/bootstrap.h"
#include "proto/storage.h"

/* What a storage node has to give: the indexes of its usable disks. */
struct place {
    uint32_t node_id, disk_count;
    uint32_t *disks;
};

/* The storages at one moment. */
struct storages {
    struct place *places; /* in order of node id: connected, with a usable disk */
    uint32_t count, registered_count;
};

struct creation {
    struct bootstrap *b;
    uint32_t node_id;
    struct create_target_request request;
};

struct plan {
    struct chain_spec *chains;
    struct creation *creations;
    uint32_t chain_count, chain_capacity, creation_count, creation_capacity;
    uint32_t replica_count;
    uint32_t first_round; /* in the numbers of its chains, so that they are new */
};

/* Ids by their digits, as the placement tools of 3FS make them. */
uint64_t target_id_of(uint32_t node_id, uint32_t disk, uint32_t target);
uint32_t chain_id_of(uint32_t round, uint32_t chain);
/* Which round @chain_id is of; -1: it is no id of chain_id_of(). */
int chain_round_of(uint32_t chain_id);

int storages_list(struct bootstrap *b, struct arena *arena,
                  struct storages *ret) fiber_fn must_check;
struct chain_spec *plan_chain(struct bootstrap *b, struct plan *p);
struct creation *plan_creation(struct bootstrap *b, struct plan *p);
/* The disks number @round of all nodes that have so many, which are enough. */
int plan_round(struct bootstrap *b, struct plan *p, const struct storages *s,
               uint32_t round) must_check;
/* Targets, then chains, then the table: the @before chains, and those of the plan behind them. */
int plan_carry_out(struct bootstrap *b, const struct plan *p, const uint32_t *before,
                   uint32_t before_count) fiber_fn must_check;
/* Until these chains serve with all their members. */
int chains_wait_serving(struct bootstrap *b, const uint32_t *chains,
                        uint32_t count) fiber_fn must_check;

/* bootstrap_grow.c: new chains for disks that no chain uses, behind those of @table. */
int bootstrap_grow(struct bootstrap *b, const struct chain_table *table) fiber_fn must_check;
