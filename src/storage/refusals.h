/* refusals.h - updates that were refused for good (no space, a wrong shape) and must stay so.
 *
 * A request can come late: its connection broke, its sender tried again over another one, was
 * refused and has told its client. When there is space again the late one must not be done. What is
 * late ends with the process that received it, so this is memory. Bounded: what was refused longest
 * ago goes first.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "proto/storage.h"

enum { REFUSAL_COUNT_MAX = 1 << 14 }; /* of a target; some 100 bytes each */

struct refusals {
    struct map map;
    struct list oldest_first;
    uint32_t count;
};

void refusals_init(struct refusals *r, uint64_t seed);
void refusals_done(struct refusals *r);
/* Is @error the last word on an update that nothing was done of? */
bool is_refusal(int error);
/* @life: of the process that forwards, since a later one may bring an update again that it found in
 * its store; 0 for clients. Channel 0, which has no identities, is not kept. */
void refusals_put(struct refusals *r, const struct update_id *update, uint64_t life, int error);
/* The error it was refused with; 0: it was not. */
int refusals_find(const struct refusals *r, const struct update_id *update, uint64_t life);
