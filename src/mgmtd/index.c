/* index.c - a sorted array with binary search; keys mostly arrive in order. */
#include "mgmtd/index.h"

#include "base/arena.h"

void index_done(struct index *x)
{
    free(x->slots);
    *x = (struct index){ 0 };
}

/* Where @key is, or would be. */
static size_t position(const struct index *x, uint64_t key)
{
    size_t low = 0, high = x->count;
    if (high > 0 && x->slots[high - 1].key < key) return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (x->slots[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *index_get(const struct index *x, uint64_t key)
{
    size_t at = position(x, key);
    return at < x->count && x->slots[at].key == key ? x->slots[at].value : NULL;
}

void index_put(struct index *x, uint64_t key, void *value)
{
    size_t at = position(x, key);
    if (at < x->count && x->slots[at].key == key) {
        x->slots[at].value = value;
        return;
    }
    if (x->count == x->capacity) {
        x->capacity = x->capacity ? 2 * x->capacity : 16;
        x->slots = xrealloc(x->slots, x->capacity * sizeof *x->slots);
    }
    memmove(x->slots + at + 1, x->slots + at, (x->count - at) * sizeof *x->slots);
    x->slots[at] = (struct index_slot){ key, value };
    x->count++;
}
