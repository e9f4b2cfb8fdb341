/* chunk_index.c - see chunk_index.h. No branch and no leaf is ever empty; all keys ascend. */
#include "storage/chunk_index.h"
#include "base/arena.h"
#include "base/check.h"

enum { LEAF_ENTRIES = 84, BRANCH_LEAVES = 256, LEAF_MERGE_ENTRIES = 60 };

struct index_leaf {
    uint32_t count;
    struct index_entry entries[LEAF_ENTRIES];
};
struct index_branch {
    uint32_t count;
    struct index_leaf *leaves[BRANCH_LEAVES];
};

/* A place: entry @at of leaf @leaf of branch @branch. */
struct index_place {
    uint32_t branch, leaf, at;
};

void chunk_index_init(struct chunk_index *index)
{
    *index = (struct chunk_index){ 0 };
}

void chunk_index_done(struct chunk_index *index)
{
    for (uint32_t b = 0; b < index->branch_count; b++) {
        for (uint32_t l = 0; l < index->branches[b]->count; l++) {
            free(index->branches[b]->leaves[l]);
        }
        free(index->branches[b]);
    }
    free(index->branches);
    chunk_index_init(index);
}

/* ---- search: the last child whose first key is not behind @key, or the first child ---- */

static uint32_t branch_search(const struct chunk_index *index, const struct chunk_key *key)
{
    uint32_t low = 0, high = index->branch_count;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (chunk_key_compare(&index->branches[mid]->leaves[0]->entries[0].key, key) <= 0) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

static uint32_t leaf_search(const struct index_branch *branch, const struct chunk_key *key)
{
    uint32_t low = 0, high = branch->count;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (chunk_key_compare(&branch->leaves[mid]->entries[0].key, key) <= 0) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

/* The first entry that is not before @key; leaf->count when there is none. */
static uint32_t entry_search(const struct index_leaf *leaf, const struct chunk_key *key)
{
    uint32_t low = 0, high = leaf->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (chunk_key_compare(&leaf->entries[mid].key, key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Where @key is or would go; the index is not empty. */
static struct index_place place_of(const struct chunk_index *index, const struct chunk_key *key)
{
    struct index_place p;
    p.branch = branch_search(index, key);
    const struct index_branch *branch = index->branches[p.branch];
    p.leaf = leaf_search(branch, key);
    p.at = entry_search(branch->leaves[p.leaf], key);
    return p;
}

static struct index_leaf *leaf_of(const struct chunk_index *index, const struct index_place *p)
{
    return index->branches[p->branch]->leaves[p->leaf];
}

static bool place_has(const struct chunk_index *index, const struct index_place *p,
                      const struct chunk_key *key)
{
    const struct index_leaf *leaf = leaf_of(index, p);
    return p->at < leaf->count && chunk_key_compare(&leaf->entries[p->at].key, key) == 0;
}

struct index_entry *chunk_index_find(const struct chunk_index *index, const struct chunk_key *key)
{
    if (index->branch_count == 0) return NULL;
    struct index_place p = place_of(index, key);
    return place_has(index, &p, key) ? &leaf_of(index, &p)->entries[p.at] : NULL;
}

struct index_entry *chunk_index_next(const struct chunk_index *index, const struct chunk_key *key,
                                     bool is_inclusive)
{
    if (index->branch_count == 0) return NULL;
    struct index_place p = place_of(index, key);
    if (place_has(index, &p, key) && !is_inclusive) p.at++;
    if (p.at == leaf_of(index, &p)->count) {
        p.at = 0;
        if (++p.leaf == index->branches[p.branch]->count) {
            p.leaf = 0;
            if (++p.branch == index->branch_count) return NULL;
        }
    }
    return &leaf_of(index, &p)->entries[p.at];
}

struct index_entry *chunk_index_prev(const struct chunk_index *index, const struct chunk_key *key)
{
    if (index->branch_count == 0) return NULL;
    struct index_place p = place_of(index, key);
    if (p.at == 0) {
        /* only the very first place has everything behind it: every other leaf begins at or before
         * @key */
        if (p.leaf == 0) {
            if (p.branch == 0) return NULL;
            p.branch--;
            p.leaf = index->branches[p.branch]->count;
        }
        p.leaf--;
        p.at = leaf_of(index, &p)->count;
    }
    return &leaf_of(index, &p)->entries[p.at - 1];
}

/* ---- growth ---- */

static void branch_insert(struct chunk_index *index, uint32_t at, struct index_branch *branch)
{
    if (index->branch_count == index->branch_capacity) {
        index->branch_capacity = index->branch_capacity ? 2 * index->branch_capacity : 8;
        index->branches =
            xrealloc(index->branches, index->branch_capacity * sizeof(struct index_branch *));
    }
    memmove(&index->branches[at + 1], &index->branches[at],
            (index->branch_count - at) * sizeof(struct index_branch *));
    index->branches[at] = branch;
    index->branch_count++;
    index->bytes += sizeof(*branch);
}

/* Puts @leaf behind place @p's leaf; splits the branch when it is full. */
static void leaf_insert_behind(struct chunk_index *index, const struct index_place *p,
                               struct index_leaf *leaf)
{
    struct index_branch *branch = index->branches[p->branch];
    uint32_t at = p->leaf + 1;
    if (branch->count == BRANCH_LEAVES) {
        struct index_branch *right = xcalloc(1, sizeof(*right));
        uint32_t keep = at == BRANCH_LEAVES ? BRANCH_LEAVES : BRANCH_LEAVES / 2;
        right->count = BRANCH_LEAVES - keep;
        memcpy(right->leaves, &branch->leaves[keep], right->count * sizeof(right->leaves[0]));
        branch->count = keep;
        branch_insert(index, p->branch + 1, right);
        if (at > keep || keep == BRANCH_LEAVES) {
            branch = right;
            at -= keep;
        }
    }
    memmove(&branch->leaves[at + 1], &branch->leaves[at],
            (branch->count - at) * sizeof(branch->leaves[0]));
    branch->leaves[at] = leaf;
    branch->count++;
}

static struct index_leaf *leaf_new(struct chunk_index *index)
{
    struct index_leaf *leaf = xmalloc(sizeof(*leaf));
    leaf->count = 0;
    index->bytes += sizeof(*leaf);
    return leaf;
}

/* Moves the last @count entries of @from to the front of @to. */
static void shift_right(struct index_leaf *from, struct index_leaf *to, uint32_t count)
{
    memmove(&to->entries[count], &to->entries[0], to->count * sizeof(to->entries[0]));
    memcpy(&to->entries[0], &from->entries[from->count - count], count * sizeof(to->entries[0]));
    from->count -= count;
    to->count += count;
}

/* Moves the first @count entries of @from to the end of @to. */
static void shift_left(struct index_leaf *from, struct index_leaf *to, uint32_t count)
{
    memcpy(&to->entries[to->count], &from->entries[0], count * sizeof(to->entries[0]));
    from->count -= count;
    to->count += count;
    memmove(&from->entries[0], &from->entries[count], from->count * sizeof(from->entries[0]));
}

/* Makes room at or near the full leaf of @p. */
static void leaf_make_room(struct chunk_index *index, const struct index_place *p)
{
    struct index_branch *branch = index->branches[p->branch];
    struct index_leaf *leaf = branch->leaves[p->leaf];
    struct index_leaf *right = p->leaf + 1 < branch->count ? branch->leaves[p->leaf + 1] : NULL;
    struct index_leaf *left = p->leaf > 0 ? branch->leaves[p->leaf - 1] : NULL;

    if (p->at == LEAF_ENTRIES && right && right->count < LEAF_ENTRIES)
        return shift_right(leaf, right, 1);
    if (p->at < LEAF_ENTRIES && right && right->count < LEAF_ENTRIES - 1)
        return shift_right(leaf, right, (LEAF_ENTRIES - right->count) / 2);
    if (p->at < LEAF_ENTRIES && left && left->count < LEAF_ENTRIES - 1)
        return shift_left(leaf, left, (LEAF_ENTRIES - left->count) / 2);
    /* one that grows at its end leaves nothing but its last entry to the new leaf */
    struct index_leaf *fresh = leaf_new(index);
    shift_right(leaf, fresh, p->at == LEAF_ENTRIES ? 1 : LEAF_ENTRIES / 2);
    leaf_insert_behind(index, p, fresh);
}

struct index_entry *chunk_index_insert(struct chunk_index *index, const struct chunk_key *key)
{
    if (index->branch_count == 0) {
        struct index_branch *branch = xcalloc(1, sizeof(*branch));
        branch->leaves[branch->count++] = leaf_new(index);
        branch_insert(index, 0, branch);
    }
    struct index_place p = place_of(index, key);
    if (place_has(index, &p, key)) return &leaf_of(index, &p)->entries[p.at];
    while (leaf_of(index, &p)->count == LEAF_ENTRIES) {
        leaf_make_room(index, &p);
        p = place_of(index, key);
    }
    struct index_leaf *leaf = leaf_of(index, &p);
    memmove(&leaf->entries[p.at + 1], &leaf->entries[p.at],
            (leaf->count - p.at) * sizeof(leaf->entries[0]));
    leaf->count++;
    leaf->entries[p.at] = (struct index_entry){ .key = *key };
    index->entry_count++;
    return &leaf->entries[p.at];
}

/* ---- shrinking ---- */

static void leaf_remove(struct chunk_index *index, const struct index_place *p)
{
    struct index_branch *branch = index->branches[p->branch];
    free(branch->leaves[p->leaf]);
    index->bytes -= sizeof(struct index_leaf);
    branch->count--;
    memmove(&branch->leaves[p->leaf], &branch->leaves[p->leaf + 1],
            (branch->count - p->leaf) * sizeof(branch->leaves[0]));
    if (branch->count > 0) return;
    free(branch);
    index->bytes -= sizeof(*branch);
    index->branch_count--;
    memmove(&index->branches[p->branch], &index->branches[p->branch + 1],
            (index->branch_count - p->branch) * sizeof(struct index_branch *));
}

/* Joins the leaf of @p with a neighbour when both fit into one with room to spare. */
static void leaf_merge(struct chunk_index *index, struct index_place p)
{
    const struct index_branch *branch = index->branches[p.branch];
    struct index_leaf *leaf = branch->leaves[p.leaf];
    if (leaf->count == 0) return leaf_remove(index, &p);
    if (p.leaf > 0 && leaf->count + branch->leaves[p.leaf - 1]->count <= LEAF_MERGE_ENTRIES) {
        shift_left(leaf, branch->leaves[p.leaf - 1], leaf->count);
        return leaf_remove(index, &p);
    }
    if (p.leaf + 1 < branch->count &&
        leaf->count + branch->leaves[p.leaf + 1]->count <= LEAF_MERGE_ENTRIES) {
        p.leaf++;
        struct index_leaf *right = branch->leaves[p.leaf];
        shift_left(right, leaf, right->count);
        leaf_remove(index, &p);
    }
}

void chunk_index_remove(struct chunk_index *index, const struct chunk_key *key)
{
    check(index->branch_count > 0);
    struct index_place p = place_of(index, key);
    check(place_has(index, &p, key));
    struct index_leaf *leaf = leaf_of(index, &p);
    leaf->count--;
    memmove(&leaf->entries[p.at], &leaf->entries[p.at + 1],
            (leaf->count - p.at) * sizeof(leaf->entries[0]));
    index->entry_count--;
    leaf_merge(index, p);
}
