/* kv_suite_model.h - transactions at random against a model that is an array; for kv_suite.c. */
#pragma once
#include "kv/kv.h"

void kv_suite_model_run(struct kv *kv, struct kv *other, uint64_t seed,
                        uint32_t step_count) fiber_fn;
