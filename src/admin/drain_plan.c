/* drain_plan.c - the choice of places, and the tag. */
#include "admin/drain_plan.h"

#include "base/map.h"

#define TARGET_PREFIX 1ull
enum { TARGET_NUMBER_MAX = 99 };

static uint64_t target_id_of(uint32_t node_id, uint32_t disk_index, uint32_t number)
{
    return TARGET_PREFIX * 100000000000ull + (uint64_t)node_id * 100000 +
           (uint64_t)(disk_index + 1) * 100 + number;
}

uint32_t drain_node_of(uint64_t target_id)
{
    return (uint32_t)(target_id / 100000 % 1000000);
}

uint32_t drain_disk_of(uint64_t target_id)
{
    return (uint32_t)(target_id / 100 % 1000) - 1;
}

bool drain_is_marked(const struct node_info *node, struct bytes *ret_value)
{
    for (uint32_t i = 0; i < node->tags.count; i++) {
        if (!bytes_equal(node->tags.items[i].key, BYTES_LITERAL(DRAIN_TAG))) continue;
        if (ret_value) *ret_value = node->tags.items[i].value;
        return true;
    }
    return false;
}

bool drain_may_take(const struct node_info *node)
{
    return node->type == NODE_STORAGE && node->status == NODE_HEARTBEAT_CONNECTED &&
           node->node_id <= DRAIN_NODE_ID_MAX && !drain_is_marked(node, NULL);
}

/* ---- what a node and a disk have ---- */

static bool has_node(const struct chain_info *chain, uint32_t node_id)
{
    for (uint32_t i = 0; i < chain->members.count; i++)
        if (chain->members.items[i].node_id == node_id) return true;
    return false;
}

static bool has_target(const struct chain_info *chain, uint64_t target_id)
{
    for (uint32_t i = 0; i < chain->members.count; i++)
        if (chain->members.items[i].target_id == target_id) return true;
    return false;
}

static bool is_in_chain(const struct drain_view *v, uint64_t target_id)
{
    for (uint32_t c = 0; c < v->chain_count; c++)
        if (has_target(v->chains[c], target_id)) return true;
    return false;
}

/* ---- one look at all chains ---- */

struct node_tally {
    const struct node_disks *said;
    uint32_t target_count, meeting_count;
    uint32_t *by_disk; /* targets, in the order of said->disks */
};

struct tally {
    struct node_tally *nodes;
    uint32_t count;
    struct map by_id;
};

static void add_target(struct tally *t, uint32_t node_id, uint32_t disk_index)
{
    struct node_tally *n = map_get(&t->by_id, node_id);
    if (!n) return;
    n->target_count++;
    for (uint32_t d = 0; d < n->said->disks.count; d++)
        n->by_disk[d] += n->said->disks.items[d].disk_index == disk_index;
}

/* How many targets each node and disk has, with those to come, and in how many chains each node
 * meets the members of @chain that stay. */
static void tally_make(const struct drain_view *v, const struct chain_info *chain,
                       uint32_t leaving_node_id, struct arena *arena, struct tally *ret)
{
    *ret =
        (struct tally){ arena_array(arena, struct node_tally, v->disks->count), v->disks->count };
    map_init(&ret->by_id, 1);
    for (uint32_t i = 0; i < ret->count; i++) {
        struct node_tally *n = &ret->nodes[i];
        n->said = &v->disks->items[i];
        n->by_disk = arena_array(arena, uint32_t, n->said->disks.count);
        map_put(&ret->by_id, n->said->node_id, n);
    }
    for (uint32_t c = 0; c < v->chain_count; c++) {
        const struct chain_member_list *members = &v->chains[c]->members;
        uint32_t met = 0;
        for (uint32_t i = 0; i < members->count; i++) {
            uint32_t node_id = members->items[i].node_id;
            add_target(ret, node_id, members->items[i].disk_index);
            met += node_id != leaving_node_id && has_node(chain, node_id);
        }
        for (uint32_t i = 0; i < members->count && met; i++) {
            struct node_tally *n = map_get(&ret->by_id, members->items[i].node_id);
            if (n) n->meeting_count += met;
        }
    }
    for (uint32_t i = 0; i < v->moves->count; i++) {
        uint64_t id = v->moves->items[i].new_target;
        if (!is_in_chain(v, id)) add_target(ret, drain_node_of(id), drain_disk_of(id));
    }
}

static bool is_used(const struct drain_view *v, const struct disk_info *disk, uint64_t target_id)
{
    for (uint32_t i = 0; i < disk->targets.count; i++)
        if (disk->targets.items[i] == target_id) return true;
    for (uint32_t i = 0; i < v->moves->count; i++)
        if (v->moves->items[i].new_target == target_id) return true;
    return is_in_chain(v, target_id);
}

/* The least number that is free on the disk; 0: none. */
static uint64_t free_target(const struct drain_view *v, uint32_t node_id,
                            const struct disk_info *disk)
{
    for (uint32_t number = 1; number <= TARGET_NUMBER_MAX; number++) {
        uint64_t id = target_id_of(node_id, disk->disk_index, number);
        if (!is_used(v, disk, id)) return id;
    }
    return 0;
}

/* ---- the choice ---- */

struct candidate {
    const struct node_tally *node;
    const struct disk_info *disk; /* NULL: none */
    uint32_t disk_count;          /* usable ones */
};

/* The disk of the node with the fewest targets that has room. */
static struct candidate consider(const struct node_tally *n, uint64_t need_bytes)
{
    struct candidate candidate = { .node = n };
    uint32_t least = UINT32_MAX;
    for (uint32_t d = 0; d < n->said->disks.count; d++) {
        const struct disk_info *disk = &n->said->disks.items[d];
        if (disk->failed || disk->disk_index > DRAIN_DISK_INDEX_MAX) continue;
        candidate.disk_count++;
        /* below 4 % it counts as low */
        bool has_room = disk->free_bytes >= need_bytes + disk->capacity_bytes / 25 &&
                        disk->targets.count < TARGET_NUMBER_MAX;
        if (!has_room || n->by_disk[d] >= least) continue;
        least = n->by_disk[d];
        candidate.disk = disk;
    }
    return candidate;
}

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    uint64_t x = (uint64_t)a->node->target_count * b->disk_count,
             y = (uint64_t)b->node->target_count * a->disk_count;
    if (x != y) return x < y;
    if (a->node->meeting_count != b->node->meeting_count)
        return a->node->meeting_count < b->node->meeting_count;
    return a->node->said->node_id < b->node->said->node_id;
}

static const struct node_info *find_node(const struct drain_view *v, uint32_t node_id)
{
    for (uint32_t i = 0; i < v->node_count; i++)
        if (v->nodes[i]->node_id == node_id) return v->nodes[i];
    return NULL;
}

static bool is_refused(const struct drain_refusal *refusals, uint32_t count, uint32_t chain_id,
                       uint32_t node_id)
{
    for (uint32_t i = 0; i < count; i++)
        if (refusals[i].chain_id == chain_id && refusals[i].node_id == node_id) return true;
    return false;
}

int drain_choose(const struct drain_view *v, const struct chain_info *chain,
                 uint32_t leaving_node_id, uint64_t need_bytes,
                 const struct drain_refusal *refusals, uint32_t refusal_count, uint64_t *ret_target)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct tally tally;
    struct candidate best = { 0 };
    tally_make(v, chain, leaving_node_id, &arena, &tally);
    for (uint32_t i = 0; i < tally.count; i++) {
        uint32_t node_id = tally.nodes[i].said->node_id;
        const struct node_info *node = find_node(v, node_id);
        bool is_out = !node || !drain_may_take(node) || node_id == leaving_node_id ||
                      has_node(chain, node_id) ||
                      is_refused(refusals, refusal_count, chain->chain_id, node_id);
        if (is_out) continue;
        struct candidate candidate = consider(&tally.nodes[i], need_bytes);
        if (candidate.disk && (!best.disk || is_better(&candidate, &best))) best = candidate;
    }
    map_done(&tally.by_id);
    uint64_t id = best.disk ? free_target(v, best.node->said->node_id, best.disk) : 0;
    if (id == 0) return -ERR_NO_SPACE;
    *ret_target = id;
    return 0;
}

/* ---- the tag ---- */

char *drain_moves_to_text(const struct drain_moves *moves, struct arena *arena)
{
    char *text = arena_printf(arena, "%s", "");
    for (uint32_t i = 0; i < moves->count; i++)
        text = arena_printf(arena, "%s%s%llu>%llu", text, i ? "," : "",
                            (unsigned long long)moves->items[i].old_target,
                            (unsigned long long)moves->items[i].new_target);
    return text;
}

/* A number of at most 18 digits that ends at @end, or at the end of the text for 0. */
static bool take_number(struct bytes *text, char end, uint64_t *ret)
{
    const uint8_t *p = text->base;
    size_t i = 0;
    uint64_t value = 0;
    for (; i < text->size && i < 18 && p[i] >= '0' && p[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(p[i] - '0');
    if (i == 0 || (i < text->size && p[i] != end) || (i == text->size && end == '>')) return false;
    *text = bytes_of(p + MIN_OF(i + 1, text->size), text->size - MIN_OF(i + 1, text->size));
    *ret = value;
    return true;
}

int drain_moves_parse(struct bytes text, struct drain_moves *ret)
{
    struct drain_moves moves = { 0 };
    while (text.size) {
        if (moves.count == DRAIN_MOVE_COUNT_MAX) return -ERR_INVALID_FORMAT;
        struct drain_move *move = &moves.items[moves.count++];
        if (!take_number(&text, '>', &move->old_target) ||
            !take_number(&text, ',', &move->new_target))
            return -ERR_INVALID_FORMAT;
    }
    *ret = moves;
    return 0;
}
