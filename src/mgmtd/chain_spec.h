/* chain_spec.h - whether chains that an operator uploads can be: numbers, duplicates, and what the
 * cluster knows of their targets.
 */
#pragma once
#include "mgmtd/state.h"

/* Of one request: specs are checked one after the other, each also against those before it. */
struct spec_check {
    const struct state *s;
    struct arena *arena;
    struct map targets, chains; /* that were seen in the request */
    struct map unused; /* targets in no chain -> struct unused_target, as storages report */
};

void spec_check_init(struct spec_check *c, const struct state *s, struct arena *arena,
                     uint32_t chain_count);
void spec_check_done(struct spec_check *c);
/* 1 when it is new, 0 when it is there already with the same targets, or an error with one line
 * that names chain and target (arena). A target that nobody has reported yet is taken as it is. */
int spec_check(struct spec_check *c, const struct chain_spec *spec,
               const char **ret_why) must_check;
/* Whether a target, which is in no chain, may be added to this one. */
int spec_check_add(const struct state *s, struct arena *arena, const struct member_chain *chain,
                   uint64_t target_id, const char **ret_why) must_check;
