/* kv_suite.h - what every engine must do, as one run over an open store; for tests.
 *
 * A failed expectation ends the process with its line (fibers have no exceptions). @other is a
 * second handle of the same store, perhaps of another process's making, or @kv itself. Whatever is
 * in the store is cleared.
 */
#pragma once
#include "kv/kv.h"

struct kv_suite_options {
    uint64_t seed;
    uint32_t scan_count;    /* keys of the large scan */
    uint32_t model_count;   /* steps of the random run against a model */
    uint32_t counter_count; /* increments by each of 50 fibers */
    bool without_age;       /* leaves out what takes longer than a transaction may */
};

void kv_suite_run(struct kv *kv, struct kv *other, struct node *node,
                  const struct kv_suite_options *options) fiber_fn;
