/* index.h - pointers by number, kept in order: what is walked must come in the same order
 * everywhere.
 */
#pragma once
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

struct index_slot {
    uint64_t key;
    void *value;
};
struct index {
    struct index_slot *slots; /* by key; index->slots[0 .. count) */
    size_t count, capacity;
};

/* An index of zeros is empty. The values are the caller's. */
void index_done(struct index *x);
void *index_get(const struct index *x, uint64_t key);       /* NULL if absent */
void index_put(struct index *x, uint64_t key, void *value); /* replaces */
