/* prefer.c - after failures the heads of chains gather on the nodes that did not fail; this spreads
 * them again.
 *
 * A displaced target is filled again before its chain is looked at again, so a chain never lacks
 * more than one replica for this; and one chain at a time, so it takes little of the disks.
 */
#include "mgmtd/prefer.h"

#include "mgmtd/chains.h"

#define ROUND_NS SEC

static bool is_out_of_order(const struct chain_info *info)
{
    struct chain_shape shape;
    chain_to_shape(info, &shape);
    bool is_full = shape.count > 0 && shape.slots[shape.count - 1].public_state == PUBLIC_SERVING;
    return is_full && chain_preferred_victim(&shape, &info->preferred_order) >= 0;
}

int prefer_run(void *state)
{
    struct state *s = state;
    while (s->is_current) {
        int r = fiber_sleep(ROUND_NS);
        for (size_t i = 0; i < s->chains.count && r >= 0 && s->is_current; i++) {
            const struct member_chain *chain = s->chains.slots[i].value;
            if (!is_out_of_order(chain->info)) continue;
            struct chain_request request = { .chain_id = chain->info->chain_id };
            struct chain_info info;
            const char *why = NULL;
            r = chains_rotate_preferred(s, &request, &info, &why);
            if (r < 0 && r != -ERR_CANCELED) r = 0; /* it changed meanwhile: next round */
        }
        if (r < 0) return r;
    }
    return 0;
}
