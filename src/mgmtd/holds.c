/* holds.c - the list of holds; few at any time. */
#include "mgmtd/holds.h"

#define HOLD_NS (5 * SEC)

static void drop(struct hold *hold)
{
    list_remove(&hold->link);
    free(hold);
}

void holds_drop_all(struct state *s)
{
    list_for_each_safe (it, &s->holds)
        drop(list_entry(it, struct hold, link));
}

/* The one of a node; those that have ended go. */
static struct hold *find(struct state *s, uint32_t node_id, uint32_t *ret_count)
{
    struct hold *found = NULL;
    uint64_t now = state_now_ns(s);
    *ret_count = 0;
    list_for_each_safe (it, &s->holds) {
        struct hold *hold = list_entry(it, struct hold, link);
        if (now >= hold->end_ns) {
            drop(hold);
            continue;
        }
        if (hold->node_id == node_id) found = hold;
        ++*ret_count;
    }
    return found;
}

int holds_take(struct state *s, const struct hold_node_request *request,
               struct hold_node_reply *reply)
{
    uint32_t count;
    if (uuid_is_zero(request->holder) || request->mode > HOLD_GIVE) return -ERR_INVALID_ARG;
    struct hold *hold = find(s, request->node_id, &count);
    bool is_own = hold && uuid_equal(hold->holder, request->holder);
    *reply = (struct hold_node_reply){ .timeout_ns = HOLD_NS };
    if (request->mode == HOLD_GIVE) {
        if (is_own) drop(hold);
        reply->granted = 1;
        return 0;
    }
    if (hold && !is_own) {
        reply->kept_count = hold->kept_count;
        reply->desc = bytes_of_text(hold->desc);
        return 0;
    }
    bool may_be_held = state_now_ns(s) - s->takeover_ns < HOLD_NS;
    if (!hold && request->mode == HOLD_TAKE && may_be_held) return 0;
    if (!hold) {
        if (count >= HOLD_COUNT_MAX) return -ERR_BUSY;
        hold = new_zero(struct hold);
        hold->node_id = request->node_id;
        hold->holder = request->holder;
        list_push_back(&s->holds, &hold->link);
    }
    snprintf(hold->desc, sizeof hold->desc, "%.*s",
             (int)MIN_OF(request->desc.size, (size_t)HOLD_DESC_BYTES_MAX),
             (const char *)request->desc.base);
    hold->end_ns = state_now_ns(s) + HOLD_NS;
    hold->kept_count++;
    reply->granted = 1;
    return 0;
}
