/* fleet_tree.c - the records of the metadata service, as the store has them: every entry leads to
 * an inode, every inode has the entries that its link count says, every directory hangs below the
 * root, and nothing is left to collect, to trim or to prune.
 */
#include "base/map.h"
#include "meta/schema.h"
#include "sim/fleet.h"
#include <sys/stat.h>

#define QUIET_TIMEOUT_NS (240 * SEC)

struct live_inode {
    struct inode inode;
    uint32_t entries, subdirectories; /* counted */
};
struct live_inodes {
    struct arena arena;
    struct live_inode *items;
    uint32_t count, capacity;
    struct map by_id; /* id + 1 -> struct live_inode * */
};

struct live_inodes *live_inodes_free(struct live_inodes *live)
{
    if (!live) return NULL;
    map_done(&live->by_id);
    arena_done(&live->arena);
    free(live->items);
    free(live);
    return NULL;
}

static struct live_inode *find(const struct live_inodes *live, uint64_t id)
{
    return map_get(&live->by_id, id + 1);
}

const struct inode *live_inodes_find(const struct live_inodes *live, uint64_t id)
{
    const struct live_inode *i = find(live, id);
    return i ? &i->inode : NULL;
}

/* ---- reading ---- */

struct scan {
    struct fleet *fleet;
    const char *prefix;
    struct arena *arena;
    int (*visit)(struct scan *s, struct bytes key, struct bytes value);
    struct live_inodes *live;
    uint32_t count;
    uint64_t last;
};

static int scan_txn(struct kv_txn *txn, void *arg)
{
    struct scan *s = arg;
    struct meta_key begin = key_prefix(s->prefix), end = key_after_prefix(&begin);
    struct bytes from = meta_key_bytes(&begin);
    s->count = 0;
    for (;;) {
        struct kv_pairs pairs;
        int r = kv_get_range(txn, from, meta_key_bytes(&end), 1000, KV_SNAPSHOT, s->arena, &pairs);
        for (uint32_t i = 0; r >= 0 && i < pairs.count && s->visit; i++)
            r = s->visit(s, pairs.items[i].key, pairs.items[i].value);
        if (r < 0) return r;
        s->count += pairs.count;
        if (!pairs.has_more) return 0;
        from = kv_key_after(s->arena, pairs.items[pairs.count - 1].key);
    }
}

static int count_records(struct fleet *f, const char *prefix, uint32_t *ret)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct scan s = { .fleet = f, .prefix = prefix, .arena = &arena };
    int r = kv_read_only(f->kv, scan_txn, &s);
    if (r >= 0) *ret = s.count;
    return r;
}

static int note_inode(struct scan *s, struct bytes key, struct bytes value)
{
    s->last = 0; /* it is behind the prefix, in all kinds of records that may be left */
    for (size_t i = 4; i < 12 && i < key.size; i++)
        s->last = s->last << 8 | key.base[i];
    return 0;
}

static int fail_left_over(struct fleet *f, const char *prefix, const char *text)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct scan s = { .fleet = f, .prefix = prefix, .arena = &arena, .visit = note_inode };
    int r = kv_read_only(f->kv, scan_txn, &s);
    if (r < 0) return r;
    return fleet_fail(f, "%u %s are left over for ever, the last of inode %" PRIx64, s.count, text,
                      s.last);
}

/* Nothing waits for a background job any more. */
static int wait_quiet(struct fleet_client *c, void *arg)
{
    struct fleet *f = c->fleet;
    static const struct {
        const char *prefix, *text;
    } kinds[] = { { "INOS", "sessions of open files" },
                  { "TRIM", "truncates" },
                  { "GCEN", "removed files" } };
    uint64_t end_ns = fleet_now_ns(f) + QUIET_TIMEOUT_NS;
    for (size_t i = 0; i < ARRAY_SIZE(kinds);) {
        uint32_t count = 0;
        int r = count_records(f, kinds[i].prefix, &count);
        if (r < 0) return r;
        if (count == 0) {
            i++;
            continue;
        }
        if (fleet_now_ns(f) > end_ns) return fail_left_over(f, kinds[i].prefix, kinds[i].text);
        r = fiber_sleep(100 * MSEC);
        if (r < 0) return r;
    }
    return 0;
}

static int visit_inode(struct scan *s, struct bytes key, struct bytes value)
{
    struct live_inodes *live = s->live;
    struct stored_inode stored;
    int r = RECORD_DECODE(s->arena, stored_inode, value, &stored);
    if (r < 0) return r;
    if (live->count == live->capacity) {
        live->capacity = live->capacity ? live->capacity * 2 : 256;
        live->items = xrealloc(live->items, live->capacity * sizeof *live->items);
    }
    live->items[live->count++] = (struct live_inode){ .inode = stored.inode };
    return 0;
}

static void index_inodes(struct fleet *f, struct live_inodes *live)
{
    map_init(&live->by_id, f->options.seed);
    for (uint32_t i = 0; i < live->count; i++)
        map_put(&live->by_id, live->items[i].inode.id + 1, &live->items[i]);
}

/* ---- soundness ---- */

static int visit_entry(struct scan *s, struct bytes key, struct bytes value)
{
    struct fleet *f = s->fleet;
    struct stored_dentry entry;
    int r = RECORD_DECODE(s->arena, stored_dentry, value, &entry);
    if (r < 0) return r;
    uint64_t parent = 0;
    for (size_t i = 4; i < 12; i++)
        parent = parent << 8 | key.base[i];
    struct bytes name = key_name_of(key);
    struct live_inode *dir = find(s->live, parent), *at = find(s->live, entry.inode);
    const char *why = !dir                                      ? "hangs in no directory"
                      : !S_ISDIR(dir->inode.mode)               ? "hangs in what is no directory"
                      : !at                                     ? "leads nowhere"
                      : (at->inode.mode & S_IFMT) != entry.mode ? "tells another type"
                                                                : NULL;
    bool is_directory = at && S_ISDIR(at->inode.mode);
    if (!why && is_directory && at->inode.parent != parent) why = "is not where its inode says";
    if (why)
        return fleet_fail(f, "entry %.*s of %" PRIx64 " (inode %" PRIx64 ") %s", (int)name.size,
                          (const char *)name.base, parent, entry.inode, why);
    at->entries++;
    dir->subdirectories += is_directory;
    return 0;
}

static int visit_links(struct scan *s, struct bytes key, struct bytes value)
{
    struct directory_links links;
    int r = RECORD_DECODE(s->arena, directory_links, value, &links);
    if (r < 0) return r;
    uint64_t id = 0;
    for (size_t i = 4; i < 12; i++)
        id = id << 8 | key.base[i];
    const struct live_inode *dir = find(s->live, id);
    if (!dir) return fleet_fail(s->fleet, "links are counted for %" PRIx64 ", which is gone", id);
    if (dir->subdirectories == links.subdirectory_count) return 0;
    return fleet_fail(s->fleet, "directory %" PRIx64 " counts %u subdirectories, but has %u", id,
                      links.subdirectory_count, dir->subdirectories);
}

static bool is_root(uint64_t id)
{
    return id == INODE_ROOT || id == INODE_GC_ROOT;
}

/* Up from a directory, within as many steps as there are inodes. */
static bool hangs_below_root(const struct live_inodes *live, const struct live_inode *at)
{
    for (uint32_t i = 0; at && i <= live->count; i++) {
        if (is_root(at->inode.id)) return true;
        at = find(live, at->inode.parent);
    }
    return false;
}

static int check_inodes(struct fleet *f, const struct live_inodes *live)
{
    for (uint32_t i = 0; i < live->count; i++) {
        const struct live_inode *at = &live->items[i];
        const struct inode *inode = &at->inode;
        bool is_directory = S_ISDIR(inode->mode);
        uint32_t expected = is_directory ? !is_root(inode->id) : inode->nlink;
        if (at->entries != expected || (!is_directory && inode->nlink == 0))
            return fleet_fail(f, "inode %" PRIx64 " (mode %o) has %u entries and link count %u",
                              inode->id, inode->mode, at->entries, inode->nlink);
        if (is_directory && !hangs_below_root(live, at))
            return fleet_fail(f, "directory %" PRIx64 " does not hang below the root", inode->id);
        if (inode->trim_from != TRIM_NONE)
            return fleet_fail(f, "inode %" PRIx64 " is never trimmed", inode->id);
    }
    return 0;
}

static int check_tree(struct fleet_client *c, void *arg)
{
    struct fleet *f = c->fleet;
    struct live_inodes *live = arg;
    struct scan s = { .fleet = f, .prefix = "INOD", .arena = &live->arena, .live = live };
    s.visit = visit_inode;
    int r = kv_read_only(f->kv, scan_txn, &s);
    if (r < 0) return r;
    index_inodes(f, live);
    s.prefix = "DENT";
    s.visit = visit_entry;
    r = kv_read_only(f->kv, scan_txn, &s);
    if (r < 0) return r;
    s.prefix = "DSUB";
    s.visit = visit_links;
    r = kv_read_only(f->kv, scan_txn, &s);
    return r < 0 ? r : check_inodes(f, live);
}

int fleet_tree_check(struct fleet *f, struct live_inodes **ret)
{
    int r = fleet_visit(&f->admin, wait_quiet, NULL);
    if (r < 0) return r;
    struct live_inodes *live = new_zero(struct live_inodes);
    r = fleet_visit(&f->admin, check_tree, live);
    if (r < 0) {
        live_inodes_free(live);
        return r;
    }
    *ret = live;
    return 0;
}
