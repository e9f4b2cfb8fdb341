/* evaluate.h - from local states to chains: the fiber that decides for the length of a term.
 */
#pragma once
#include "mgmtd/state.h"

/* Until the state is retired, or cancelled. */
int evaluate_run(struct state *s) fiber_fn must_check;

/* Stores the chains as @changes say, then applies them and tells the watchers. Called with the
 * writer mutex; the shapes must have been made of the chains without a suspension in between. */
struct chain_change {
    struct member_chain *chain;
    struct chain_shape shape;
    bool is_new_version;                    /* the version grows by one */
    const struct u64_list *preferred_order; /* NULL: as it is */
};
int evaluate_commit(struct state *s, const struct chain_change *changes,
                    uint32_t count) fiber_fn must_check;
