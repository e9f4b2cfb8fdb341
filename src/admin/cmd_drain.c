/* cmd_drain.c - `drain` and `undrain`: a storage node is emptied while all of it goes on serving.
 *
 * For each chain with a target on the node: a target is made elsewhere (drain_plan.h), added to the
 * chain and filled; only when it serves is the old one taken out of service, out of the chain, and
 * off its disk. So a chain never has fewer serving targets than before. A few chains at a time.
 *
 * What was begun is in the node's tag Drain; all else is seen from the chains. So a run that was
 * interrupted at any point is gone on with by the next one, or taken back by `undrain`. One run for
 * a node at a time (drain_hold.h): two would overwrite each other's tag.
 *
 * A call that fails is tried again in the next round, as all steps may be repeated; what is waited
 * for is said.
 */
#include "admin/commands.h"

#include "admin/drain_hold.h"
#include "admin/drain_plan.h"
#include "client/names.h"
#include "proto/storage.h"

#define ROUND_NS (100 * MSEC)
#define TELL_NS  (5 * SEC)
#define CALL_NS  (10 * SEC)
enum { PARALLEL_DEFAULT = 2, REFUSAL_COUNT_MAX = 256, TROUBLE_BYTES = 256 };

struct drain {
    struct admin *a;
    struct arena arena; /* of a round */
    const struct drain_hold *hold;
    uint32_t node_id, parallel_count;
    struct drain_moves moves;
    bool is_tag_stale; /* moves that are over are still in it */
    struct drain_refusal refusals[REFUSAL_COUNT_MAX];
    uint32_t refusal_count;
    uint32_t moved_count;
    uint64_t told_ns;
    char trouble[TROUBLE_BYTES]; /* of this round; "": none */
};

/* ---- calls that may fail ---- */

static int trouble(struct drain *d, int r, const char *what, uint64_t id, const char *why)
{
    snprintf(d->trouble, sizeof d->trouble, "%s %llu: %s", what, (unsigned long long)id,
             why ?: error_sentence(r));
    return r;
}

static int mgmtd_try(struct drain *d, const struct rpc_method *method, const void *req, void *rep,
                     uint64_t id)
{
    const char *why = NULL;
    struct rpc_options options = { .arena = &d->arena,
                                   .timeout_ns = CALL_NS,
                                   .ret_error_text = &why };
    int r = mgmtd_client_call(d->a->mgmtd, method, &options, req, rep);
    return r < 0 ? trouble(d, r, method->name, id, why) : r;
}

static int storage_try(struct drain *d, uint32_t node_id, const struct rpc_method *method,
                       const void *req, uint64_t target_id)
{
    const char *why = NULL;
    struct rpc_options options = { .arena = &d->arena,
                                   .timeout_ns = CALL_NS,
                                   .ret_error_text = &why };
    struct net_address address;
    struct empty_record none;
    int r = routing_address(admin_routing(d->a), node_id, &address);
    if (r >= 0) {
        struct rpc_target target = { mgmtd_client_pool(d->a->mgmtd), &address, RPC_CONTROL };
        r = rpc_call(target, &storage_service, method, &options, req, &none);
    }
    return r < 0 ? trouble(d, r, method->name, target_id, why) : r;
}

static int update_chain(struct drain *d, uint32_t chain_id, uint64_t target_id,
                        enum chain_update_mode mode)
{
    struct chain_request q = { .chain_id = chain_id, .targets = { &target_id, 1 }, .mode = mode };
    struct chain_reply rep = { 0 };
    return mgmtd_try(d, RPC_METHOD(mgmtd, update_chain), &q, &rep, target_id);
}

static int tag_write(struct drain *d, uint8_t mode)
{
    struct tag tag = { .key = BYTES_LITERAL(DRAIN_TAG) };
    if (mode == TAG_UPSERT) tag.value = bytes_of_text(drain_moves_to_text(&d->moves, &d->arena));
    struct set_node_tags_request q = { .node_id = d->node_id, .mode = mode, .tags = { &tag, 1 } };
    struct node_reply rep = { 0 };
    if (drain_hold_check(d->hold) != 1)
        return trouble(d, -ERR_BUSY, "node", d->node_id, "no cluster manager confirms the hold");
    return mgmtd_try(d, RPC_METHOD(mgmtd, set_node_tags), &q, &rep, d->node_id);
}

/* ---- what the chains say ---- */

static const struct chain_member *member_find(const struct chain_info *chain, uint64_t target_id)
{
    for (uint32_t i = 0; i < chain->members.count; i++)
        if (chain->members.items[i].target_id == target_id) return &chain->members.items[i];
    return NULL;
}

/* A copy (of the round): calls may replace the record. */
static struct chain_info *chain_copy(struct drain *d, const struct chain_info *chain)
{
    struct chain_info *copy = arena_array(&d->arena, struct chain_info, 1);
    *copy = *chain;
    copy->members.items = arena_array(&d->arena, struct chain_member, chain->members.count);
    memcpy(copy->members.items, chain->members.items,
           chain->members.count * sizeof *chain->members.items);
    copy->preferred_order.items = arena_array(&d->arena, uint64_t, chain->preferred_order.count);
    if (chain->preferred_order.count)
        memcpy(copy->preferred_order.items, chain->preferred_order.items,
               chain->preferred_order.count * sizeof *chain->preferred_order.items);
    return copy;
}

static int compare_chains(const void *x, const void *y)
{
    const struct chain_info *a = *(const struct chain_info *const *)x,
                            *b = *(const struct chain_info *const *)y;
    return (a->chain_id > b->chain_id) - (a->chain_id < b->chain_id);
}

static const struct chain_info **chains_list(struct drain *d, uint32_t *ret_count)
{
    struct routing *routing = admin_routing(d->a);
    const struct chain_info *chain,
        **chains = arena_array(&d->arena, const struct chain_info *, routing->chains.count);
    size_t at = 0;
    uint32_t count = 0;
    while ((chain = map_next(&routing->chains, &at)))
        chains[count++] = chain_copy(d, chain);
    if (count) qsort(chains, count, sizeof *chains, compare_chains);
    *ret_count = count;
    return chains;
}

static const struct chain_info *chain_of(struct drain *d, const struct drain_move *move)
{
    const struct chain_info *chain;
    size_t at = 0;
    while ((chain = map_next(&admin_routing(d->a)->chains, &at)))
        if (member_find(chain, move->old_target) || member_find(chain, move->new_target))
            return chain_copy(d, chain);
    return NULL;
}

static bool is_connected(struct drain *d, uint32_t node_id)
{
    const struct node_info *node = routing_node(admin_routing(d->a), node_id);
    return node && node->status == NODE_HEARTBEAT_CONNECTED;
}

/* The target of @chain on the node, when nothing is on its way for it yet. */
static const struct chain_member *member_to_move(const struct drain *d,
                                                 const struct chain_info *chain)
{
    for (uint32_t i = 0; i < chain->members.count; i++) {
        const struct chain_member *m = &chain->members.items[i];
        bool is_moving = false;
        for (uint32_t j = 0; j < d->moves.count; j++)
            is_moving |= d->moves.items[j].old_target == m->target_id;
        if (m->node_id == d->node_id && !is_moving) return m;
    }
    return NULL;
}

/* Without @leaving the chain has as many serving targets as it is meant to have, or still two. */
static bool may_leave(const struct chain_info *chain, const struct chain_member *leaving)
{
    uint32_t serving = 0;
    for (uint32_t i = 0; i < chain->members.count; i++)
        serving += &chain->members.items[i] != leaving &&
                   chain->members.items[i].public_state == PUBLIC_SERVING;
    return leaving->public_state != PUBLIC_SERVING || serving + 1 == chain->members.count ||
           serving >= 2;
}

/* ---- one step of a move: 1 when it is over, 0 when it goes on, an error to be tried again ---- */

static int target_remove(struct drain *d, uint64_t target_id, uint32_t node_id)
{
    struct target_request q = { .target_id = target_id };
    if (!is_connected(d, node_id)) return 1; /* an orphan when it comes back */
    int r = storage_try(d, node_id, RPC_METHOD(storage, remove_target), &q, target_id);
    return r >= 0 || r == -ERR_TARGET_NOT_FOUND ? 1 : r;
}

static int target_offline(struct drain *d, uint64_t target_id, uint32_t node_id)
{
    struct target_request q = { .target_id = target_id };
    int r = storage_try(d, node_id, RPC_METHOD(storage, offline_target), &q, target_id);
    return r == -ERR_TARGET_OFFLINE ? 0 : MIN_OF(r, 0);
}

static void refuse_place(struct drain *d, uint32_t chain_id, uint32_t node_id)
{
    if (d->refusal_count < REFUSAL_COUNT_MAX)
        d->refusals[d->refusal_count++] = (struct drain_refusal){ chain_id, node_id };
}

/* The node has a target of the chain from an earlier time, in no chain now: it goes, so that it can
 * be made anew. 1: there is none. */
static int forget_earlier(struct drain *d, const struct chain_info *chain, uint32_t node_id)
{
    struct empty_record none = { 0 };
    struct orphan_targets_reply orphans = { 0 };
    int r = mgmtd_try(d, RPC_METHOD(mgmtd, list_orphan_targets), &none, &orphans, node_id);
    if (r < 0) return r;
    for (uint32_t i = 0; i < orphans.targets.count; i++) {
        const struct orphan_target *o = &orphans.targets.items[i];
        if (o->node_id != node_id || o->chain_id != chain->chain_id) continue;
        r = target_offline(d, o->target_id, node_id);
        return r < 0 ? r : MIN_OF(target_remove(d, o->target_id, node_id), 0);
    }
    return 1;
}

static int begin(struct drain *d, const struct chain_info *chain, const struct drain_move *move)
{
    uint32_t node_id = drain_node_of(move->new_target);
    struct create_target_request q = { .target_id = move->new_target,
                                       .disk_index = drain_disk_of(move->new_target),
                                       .chain_id = chain->chain_id,
                                       .allow_existing = 1 };
    int r = storage_try(d, node_id, RPC_METHOD(storage, create_target), &q, move->new_target);
    bool is_refused = r < 0 && !is_connected(d, node_id);
    if (r == -ERR_META_EXISTS) {
        r = forget_earlier(d, chain, node_id);
        if (r < 1) return r;
        is_refused = true;
    }
    if (is_refused) {
        refuse_place(d, chain->chain_id, node_id);
        return 1;
    }
    if (r >= 0) r = update_chain(d, chain->chain_id, move->new_target, CHAIN_ADD);
    return r == -ERR_MGMTD_TARGET_EXISTED ? 0 : MIN_OF(r, 0);
}

/* The new target comes to the old one's place in the preferred order. */
static int take_out(struct drain *d, const struct chain_info *chain, const struct drain_move *move)
{
    struct chain_request q = { .chain_id = chain->chain_id };
    struct chain_reply rep = { 0 };
    const struct u64_list *order = &chain->preferred_order;
    q.targets.items = arena_array(&d->arena, uint64_t, order->count);
    for (uint32_t i = 0; i < order->count; i++) {
        uint64_t id = order->items[i];
        if (id == move->new_target) continue;
        q.targets.items[q.targets.count++] = id == move->old_target ? move->new_target : id;
    }
    int r = update_chain(d, chain->chain_id, move->old_target, CHAIN_REMOVE);
    if (r >= 0 && q.targets.count)
        r = mgmtd_try(d, RPC_METHOD(mgmtd, set_preferred_order), &q, &rep, chain->chain_id);
    return MIN_OF(r, 0);
}

/* The new target is lost before it served: another place is looked for. */
static int give_up(struct drain *d, const struct chain_info *chain, const struct drain_move *move)
{
    int r = update_chain(d, chain->chain_id, move->new_target, CHAIN_REMOVE);
    if (r < 0) return r;
    refuse_place(d, chain->chain_id, drain_node_of(move->new_target));
    return 1;
}

static int forward(struct drain *d, const struct drain_move *move)
{
    const struct chain_info *chain = chain_of(d, move);
    if (!chain) return 1;
    const struct chain_member *old = member_find(chain, move->old_target),
                              *new = member_find(chain, move->new_target);
    if (!new) return begin(d, chain, move);
    if (!old) {
        int r = target_remove(d, move->old_target, d->node_id);
        d->moved_count += r == 1;
        return r;
    }
    if (new->public_state != PUBLIC_SERVING) {
        bool is_lost = new->public_state == PUBLIC_OFFLINE &&
                       !is_connected(d, drain_node_of(move->new_target));
        return is_lost ? give_up(d, chain, move) : 0;
    }
    if (old->public_state == PUBLIC_OFFLINE) return take_out(d, chain, move);
    if (!may_leave(chain, old))
        return trouble(d, -ERR_BUSY, "chain", chain->chain_id, "waits for its other targets");
    return target_offline(d, move->old_target, d->node_id);
}

/* The new target goes again, if the old one serves. */
static int backward(struct drain *d, const struct drain_move *move)
{
    const struct chain_info *chain = chain_of(d, move);
    if (!chain) return 1;
    const struct chain_member *old = member_find(chain, move->old_target),
                              *new = member_find(chain, move->new_target);
    uint32_t node_id = drain_node_of(move->new_target);
    if (old && !new) {
        int r = is_connected(d, node_id) ? target_offline(d, move->new_target, node_id) : 0;
        return r < 0 && r != -ERR_TARGET_NOT_FOUND ? r
                                                   : target_remove(d, move->new_target, node_id);
    }
    if (!old || (old->public_state != PUBLIC_SERVING && new->public_state == PUBLIC_SERVING))
        return forward(d, move);
    if (old->public_state != PUBLIC_SERVING)
        return trouble(d, -ERR_BUSY, "chain", chain->chain_id, "waits for a target that serves");
    if (new->public_state == PUBLIC_OFFLINE)
        return MIN_OF(update_chain(d, chain->chain_id, move->new_target, CHAIN_REMOVE), 0);
    return target_offline(d, move->new_target, node_id);
}

/* ---- rounds ---- */

/* Steps of all moves; those that are over leave the tag. */
static int step_all(struct drain *d, int (*step)(struct drain *d, const struct drain_move *move))
{
    struct drain_moves left = { 0 };
    int r = 0;
    for (uint32_t i = 0; i < d->moves.count; i++) {
        r = step(d, &d->moves.items[i]);
        if (r == -ERR_CANCELED) return r;
        if (r != 1) left.items[left.count++] = d->moves.items[i];
    }
    d->is_tag_stale |= left.count < d->moves.count;
    d->moves = left;
    r = d->is_tag_stale ? tag_write(d, TAG_UPSERT) : 0;
    if (r >= 0) d->is_tag_stale = false;
    return r == -ERR_CANCELED ? r : 0;
}

/* Places for the next chains. 0: nothing is left to begin; 1: something is; -ERR_NO_SPACE:
 * *ret_stuck has nowhere to go. */
static int plan(struct drain *d, uint32_t limit, uint32_t *ret_left, uint32_t *ret_stuck)
{
    struct empty_record none = { 0 };
    struct list_disks_reply disks = { 0 };
    int r = mgmtd_try(d, RPC_METHOD(mgmtd, list_disks), &none, &disks, d->node_id);
    if (r < 0) return r;
    struct drain_view view = { .disks = &disks.nodes, .moves = &d->moves };
    view.chains = chains_list(d, &view.chain_count);
    struct routing *routing = admin_routing(d->a);
    const struct node_info *node,
        **nodes = arena_array(&d->arena, const struct node_info *, routing->nodes.count);
    size_t at = 0;
    while ((node = map_next(&routing->nodes, &at)))
        nodes[view.node_count++] = node;
    view.nodes = nodes;
    *ret_left = 0;
    for (uint32_t c = 0; c < view.chain_count; c++) {
        const struct chain_member *member = member_to_move(d, view.chains[c]);
        uint64_t need = 0, target_id = 0;
        if (!member) continue;
        ++*ret_left;
        for (uint32_t i = 0; i < view.chains[c]->members.count; i++)
            need = MAX_OF(need, view.chains[c]->members.items[i].used_bytes);
        bool may_begin = d->moves.count < limit;
        if (may_begin || ret_stuck)
            r = drain_choose(&view, view.chains[c], d->node_id, need, d->refusals, d->refusal_count,
                             &target_id);
        if (r < 0 && ret_stuck) *ret_stuck = view.chains[c]->chain_id;
        if (r < 0) return r;
        if (may_begin)
            d->moves.items[d->moves.count++] = (struct drain_move){ member->target_id, target_id };
    }
    return 0;
}

static void tell(struct drain *d, uint32_t left_count)
{
    struct admin *a = d->a;
    uint64_t now_ns = node_now_ns(a->node);
    if (a->printer.is_json || now_ns - d->told_ns < TELL_NS) return;
    d->told_ns = now_ns;
    fprintf(a->printer.out, "%u moved, %u to go", d->moved_count, left_count + d->moves.count);
    for (uint32_t i = 0; i < d->moves.count; i++) {
        const struct chain_info *chain = chain_of(d, &d->moves.items[i]);
        const struct chain_member *m =
            chain ? member_find(chain, d->moves.items[i].new_target) : NULL;
        if (m && m->public_state == PUBLIC_SYNCING)
            fprintf(a->printer.out, "; chain %u %u.%u%%", chain->chain_id, m->sync_permille / 10,
                    m->sync_permille % 10);
        else if (m)
            fprintf(a->printer.out, "; chain %u %s", chain->chain_id,
                    public_state_name(m->public_state));
    }
    fprintf(a->printer.out, "%s%s\n", d->trouble[0] ? "; last trouble: " : "", d->trouble);
    fflush(a->printer.out);
}

static int begin_more(struct drain *d, uint32_t *ret_left)
{
    uint32_t before = d->moves.count;
    int r = plan(d, d->parallel_count, ret_left, NULL);
    if (r == -ERR_CANCELED) return r;
    if (r == -ERR_NO_SPACE && d->moves.count == 0)
        return admin_fail(d->a, r,
                          "no other storage node can take the next target: one that is connected, "
                          "not in the chain, with room on a disk");
    if (d->moves.count == before) return 0;
    r = tag_write(d, TAG_UPSERT);
    if (r < 0) d->moves.count = before; /* not begun: what is not in the tag could be forgotten */
    return r == -ERR_CANCELED ? r : 0;
}

/* 0 when the next round may begin; waits while that is not known. */
static int may_go_on(struct drain *d)
{
    for (;;) {
        int r = drain_hold_check(d->hold);
        if (r < 0) return trouble(d, r, "node", d->node_id, "another run has taken it over");
        if (r > 0) return 0;
        r = fiber_sleep(ROUND_NS);
        if (r < 0) return r;
    }
}

static int drain_loop(struct drain *d)
{
    for (;;) {
        uint32_t left = 0;
        arena_done(&d->arena);
        d->trouble[0] = 0;
        int r = may_go_on(d);
        if (r < 0) return r == -ERR_BUSY ? admin_fail(d->a, r, "%s", d->trouble) : r;
        r = begin_more(d, &left);
        if (r >= 0 && left == 0 && d->moves.count == 0 && !d->trouble[0] && !d->is_tag_stale)
            return 0;
        if (r >= 0) r = step_all(d, forward);
        tell(d, left > d->moves.count ? left - d->moves.count : 0);
        if (r >= 0) r = fiber_sleep(ROUND_NS);
        if (r < 0) return r;
    }
}

static int undrain_loop(struct drain *d)
{
    while (d->moves.count) {
        arena_done(&d->arena);
        d->trouble[0] = 0;
        int r = may_go_on(d);
        if (r < 0) return r;
        r = step_all(d, backward);
        tell(d, 0);
        if (r >= 0) r = fiber_sleep(ROUND_NS);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- the commands ---- */

static const struct argument_spec drain_spec[] = {
    { "nodeId", NULL, ARG_U32, true, "a storage node, which may also be dead" },
    { "--parallel", "-p", ARG_U32, false, "chains at a time, 1 to 16; default 2" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* *ret_marked: it is, or was, being emptied. */
static int open_drain(struct admin *a, const struct arguments *args, struct drain *ret,
                      bool *ret_marked)
{
    const struct node_info *nodes = NULL;
    size_t count = 0;
    struct bytes value = { 0 };
    *ret = (struct drain){ .a = a, .node_id = (uint32_t)argument_number(args, "nodeId", 0) };
    ret->told_ns = node_now_ns(a->node);
    int r = nodes_fetch(a, &nodes, &count);
    if (r < 0) return r;
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].node_id != ret->node_id) continue;
        if (nodes[i].type != NODE_STORAGE)
            return admin_fail(a, -ERR_INVALID_ARG, "node %u is of type %s: only storages hold data",
                              ret->node_id, node_type_name(nodes[i].type));
        *ret_marked = drain_is_marked(&nodes[i], &value);
        r = drain_moves_parse(value, &ret->moves);
        return r < 0 ? admin_fail(a, r, "node %u has a tag " DRAIN_TAG " that is none of ours",
                                  ret->node_id)
                     : 0;
    }
    return admin_fail(a, -ERR_MGMTD_NODE_NOT_FOUND, "there is no node %u", ret->node_id);
}

/* Nothing is begun if it cannot be ended. */
static int check_places(struct drain *d)
{
    uint32_t left = 0, stuck = 0;
    int r = plan(d, 0, &left, &stuck);
    if (r == -ERR_NO_SPACE)
        return admin_fail(d->a, r,
                          "chain %u has nowhere to go: no other storage node is connected, without "
                          "a target of the chain, and has room on a disk",
                          stuck);
    if (r < 0) return admin_fail(d->a, r, "%s", d->trouble);
    if (!d->a->printer.is_json && d->moves.count)
        fprintf(d->a->printer.out, "Going on with %u that were begun\n", d->moves.count);
    if (!d->a->printer.is_json)
        fprintf(d->a->printer.out, "Node %u has %u targets to move\n", d->node_id,
                left + d->moves.count);
    fflush(d->a->printer.out);
    return 0;
}

/* With the hold: what it says of the node is still so. */
static int drain_node(struct admin *a, const struct arguments *args, const struct drain_hold *hold,
                      uint32_t parallel)
{
    struct drain d;
    bool is_marked = false;
    int r = open_drain(a, args, &d, &is_marked);
    if (r < 0) return r;
    d.hold = hold;
    d.parallel_count = parallel;
    r = check_places(&d);
    if (r >= 0 && !is_marked) {
        r = tag_write(&d, TAG_UPSERT);
        if (r < 0) admin_fail(a, r, "%s", d.trouble);
    }
    if (r >= 0) r = drain_loop(&d);
    arena_done(&d.arena);
    if (r < 0) return r;
    admin_say(a, "Drain %u succeeded: %u targets moved, %s", d.node_id, d.moved_count,
              is_connected(&d, d.node_id) ? "it holds none of a chain"
                                          : "it is away: what is on its disks is left there");
    return 0;
}

/* Only a node that may be drained is held. */
static int hold_node(struct admin *a, const struct arguments *args, struct drain_hold *ret)
{
    struct drain d;
    bool is_marked = false;
    int r = open_drain(a, args, &d, &is_marked);
    return r < 0 ? r : drain_hold_begin(ret, a, d.node_id);
}

static int run_drain(struct admin *a, const struct arguments *args)
{
    struct drain_hold hold;
    uint64_t parallel = argument_number(args, "--parallel", PARALLEL_DEFAULT);
    if (parallel == 0 || parallel > DRAIN_MOVE_COUNT_MAX)
        return admin_fail(a, -ERR_INVALID_ARG, "--parallel must be from 1 to %d, not %llu",
                          DRAIN_MOVE_COUNT_MAX, (unsigned long long)parallel);
    int r = hold_node(a, args, &hold);
    if (r < 0) return r;
    r = drain_node(a, args, &hold, (uint32_t)parallel);
    drain_hold_end(&hold);
    return r;
}

static const struct argument_spec undrain_spec[] = {
    { "nodeId", NULL, ARG_U32, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int undrain_node(struct admin *a, const struct arguments *args,
                        const struct drain_hold *hold)
{
    struct drain d;
    bool is_marked = false;
    int r = open_drain(a, args, &d, &is_marked);
    if (r < 0) return r;
    d.hold = hold;
    if (is_marked) {
        r = undrain_loop(&d);
        if (r >= 0) r = tag_write(&d, TAG_REMOVE);
        if (r < 0) admin_fail(a, r, "%s", d.trouble[0] ? d.trouble : error_sentence(r));
    }
    arena_done(&d.arena);
    if (r < 0) return r;
    admin_say(a,
              is_marked ? "Undrain %u succeeded: it may take targets again"
                        : "Node %u was not being drained",
              d.node_id);
    return 0;
}

static int run_undrain(struct admin *a, const struct arguments *args)
{
    struct drain_hold hold;
    int r = hold_node(a, args, &hold);
    if (r < 0) return r;
    r = undrain_node(a, args, &hold);
    drain_hold_end(&hold);
    return r;
}

const struct command_spec drain_commands[] = {
    { "drain", run_drain, drain_spec,
      "Empties a storage node: its targets are made anew on other nodes, filled, and only then "
      "taken "
      "out.\n"
      "May be interrupted; the next run goes on. One run for a node at a time.\n"
      "  drain 1003\n  drain 1003 --parallel 8" },
    { "undrain", run_undrain, undrain_spec,
      "Takes back what drain has begun and not ended; the node may take targets again.\n"
      "  undrain 1003" },
    { NULL, NULL, NULL, NULL },
};
