/* sim_disk.c - the names of a simulated disk: directories, their unsynced changes, what a crash
 * leaves. */
#include "loop/sim_disk.h"

#include "base/arena.h"
#include "base/check.h"
#include <errno.h>
#include <fcntl.h>

/* One system call on names, atomic: sets names of one or two directories. */
struct name_part {
    struct sim_inode *dir; /* counted */
    char *name;
    struct sim_inode *inode; /* counted; NULL: the name goes */
};
struct name_change {
    struct list node;
    uint32_t part_count;
    struct name_part parts[2];
};

enum { NAME_MAX_BYTES = 255, UNSYNCED_MAX = 4096 };
static const uint64_t capacity_default_bytes = TIB;

uint64_t sim_disk_capacity_blocks(const struct sim_disk *disk)
{
    uint64_t bytes = disk->profile.capacity_bytes;
    return (bytes ? bytes : capacity_default_bytes) / SIM_BLOCK_SIZE;
}

/* ---- inodes ---- */

static struct sim_inode *inode_new(struct sim_disk *disk, bool is_dir)
{
    struct sim_inode *inode = new_zero(struct sim_inode);
    inode->id = ++disk->id_last;
    inode->is_dir = is_dir;
    inode->ref_count = 1;
    list_init(&inode->changes);
    sim_image_init(&inode->newest);
    sim_image_init(&inode->durable);
    list_push_back(&disk->inodes, &inode->node);
    return inode;
}

static struct sim_inode *inode_ref(struct sim_inode *inode)
{
    if (inode) inode->ref_count++;
    return inode;
}

static void entries_free(struct sim_entries *e)
{
    for (size_t i = 0; i < e->count; i++)
        free(e->items[i].name);
    free(e->items);
    *e = (struct sim_entries){ 0 };
}

static void inode_free(struct sim_inode *inode)
{
    check(inode->names.count == 0);
    check(inode->durable_names.count == 0);
    sim_data_done(inode);
    list_remove(&inode->node);
    free(inode);
}

/* Puts the inodes that lose their last reference with @e on the stack @dying, and empties @e. */
static void entries_release(struct sim_entries *e, struct sim_inode **dying)
{
    for (size_t i = 0; i < e->count; i++) {
        struct sim_inode *inode = e->items[i].inode;
        if (--inode->ref_count > 0) continue;
        inode->next_dying = *dying;
        *dying = inode;
    }
    entries_free(e);
}

/* A directory that nothing refers to lets go of what its names refer to, and so on down. */
static void inode_unref(struct sim_inode *inode)
{
    if (!inode || --inode->ref_count > 0) return;
    struct sim_inode *dying = inode;
    while ((inode = dying)) {
        dying = inode->next_dying;
        entries_release(&inode->names, &dying);
        entries_release(&inode->durable_names, &dying);
        inode_free(inode);
    }
}

static void inode_live(struct sim_disk *disk, struct sim_inode *inode)
{
    if (inode->live_count++ == 0) disk->used_blocks += inode->newest.allocated.total;
}

static void inode_unlive(struct sim_disk *disk, struct sim_inode *inode)
{
    if (--inode->live_count == 0) disk->used_blocks -= inode->newest.allocated.total;
}

/* ---- names of one directory ---- */

/* Where @name is or would be. */
static size_t entries_find(const struct sim_entries *e, struct bytes name, bool *ret_found)
{
    size_t low = 0, high = e->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = bytes_compare(bytes_of_text(e->items[mid].name), name);
        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *ret_found = false;
    return low;
}

static struct sim_inode *entries_get(const struct sim_entries *e, struct bytes name)
{
    bool found;
    size_t at = entries_find(e, name, &found);
    return found ? e->items[at].inode : NULL;
}

/* Sets or (NULL) removes a name; returns the inode that had it, whose reference is the caller's. */
static struct sim_inode *entries_set(struct sim_entries *e, const char *name,
                                     struct sim_inode *inode)
{
    bool found;
    size_t at = entries_find(e, bytes_of_text(name), &found);
    struct sim_inode *old = found ? e->items[at].inode : NULL;
    if (found && inode) {
        e->items[at].inode = inode_ref(inode);
    } else if (found) {
        free(e->items[at].name);
        e->count--;
        memmove(&e->items[at], &e->items[at + 1], (e->count - at) * sizeof *e->items);
    } else if (inode) {
        if (e->count == e->capacity) {
            e->capacity = e->capacity ? e->capacity * 2 : 4;
            e->items = xrealloc(e->items, e->capacity * sizeof *e->items);
        }
        memmove(&e->items[at + 1], &e->items[at], (e->count - at) * sizeof *e->items);
        e->items[at] = (struct sim_entry){ xstrdup(name), inode_ref(inode) };
        e->count++;
    }
    return old;
}

/* ---- changes of names ---- */

static void change_free(struct sim_disk *disk, struct name_change *c)
{
    list_remove(&c->node);
    disk->change_count--;
    for (uint32_t i = 0; i < c->part_count; i++) {
        inode_unref(c->parts[i].inode);
        free(c->parts[i].name);
        inode_unref(c->parts[i].dir);
    }
    free(c);
}

static void change_make_durable(struct sim_disk *disk, struct name_change *c)
{
    for (uint32_t i = 0; i < c->part_count; i++)
        inode_unref(
            entries_set(&c->parts[i].dir->durable_names, c->parts[i].name, c->parts[i].inode));
    change_free(disk, c);
}

/* Sets the names in the newest state and queues the change for the durable one. */
static void change_names(struct sim_disk *disk, const struct name_part *parts, uint32_t part_count)
{
    struct name_change *c = new_zero(struct name_change);
    c->part_count = part_count;
    for (uint32_t i = 0; i < part_count; i++) {
        const struct name_part *p = &parts[i];
        c->parts[i] =
            (struct name_part){ inode_ref(p->dir), xstrdup(p->name), inode_ref(p->inode) };
        if (p->inode) inode_live(disk, p->inode);
        struct sim_inode *old = entries_set(&p->dir->names, p->name, p->inode);
        if (old) inode_unlive(disk, old);
        inode_unref(old);
    }
    list_push_back(&disk->changes, &c->node);
    if (++disk->change_count > UNSYNCED_MAX)
        change_make_durable(disk, list_entry(disk->changes.next, struct name_change, node));
}

static bool change_touches(const struct name_change *c, const struct sim_inode *dir)
{
    return c->parts[0].dir == dir || (c->part_count > 1 && c->parts[1].dir == dir);
}

static bool change_is_marked(const struct sim_disk *disk, const struct name_change *c)
{
    for (uint32_t i = 0; i < c->part_count; i++)
        if (c->parts[i].dir->sync_mark == disk->sync_mark) return true;
    return false;
}

/* What came before stays before: a rename drags along the earlier changes of its other directory.
 */
void sim_disk_sync_dir(struct sim_disk *disk, struct sim_inode *dir)
{
    dir->sync_mark = ++disk->sync_mark;
    for (struct list *it = disk->changes.prev; it != &disk->changes; it = it->prev) {
        struct name_change *c = list_entry(it, struct name_change, node);
        if (!change_is_marked(disk, c)) continue;
        for (uint32_t i = 0; i < c->part_count; i++)
            c->parts[i].dir->sync_mark = disk->sync_mark;
    }
    list_for_each_safe (it, &disk->changes) {
        struct name_change *c = list_entry(it, struct name_change, node);
        if (change_is_marked(disk, c)) change_make_durable(disk, c);
    }
}

/* ---- paths ---- */

/* Takes the next component off *@path; an empty one at the end. */
static struct bytes path_next(const char **path)
{
    const char *p = *path;
    for (;;) {
        while (*p == '/')
            p++;
        if (p[0] != '.' || (p[1] != '/' && p[1] != '\0')) break;
        p++;
    }
    size_t size = strcspn(p, "/");
    *path = p + size;
    return bytes_of(p, size);
}

/* Follows all but the last component; *ret_name is empty for the root itself. */
static int path_parent(struct sim_disk *disk, const char *path, struct sim_inode **ret_dir,
                       struct bytes *ret_name)
{
    struct sim_inode *dir = disk->root;
    struct bytes name = path_next(&path);
    for (;;) {
        if (name.size > NAME_MAX_BYTES) return error_from_errno(ENAMETOOLONG);
        if (bytes_equal_text(name, "..")) return error_from_errno(EINVAL);
        struct bytes next = path_next(&path);
        if (next.size == 0) break;
        dir = entries_get(&dir->names, name);
        if (!dir) return error_from_errno(ENOENT);
        if (!dir->is_dir) return error_from_errno(ENOTDIR);
        name = next;
    }
    *ret_dir = dir;
    *ret_name = name;
    return 0;
}

int sim_disk_find(struct sim_disk *disk, const char *path, struct sim_inode **ret)
{
    struct sim_inode *dir = NULL;
    struct bytes name = { 0 };
    int r = path_parent(disk, path, &dir, &name);
    if (r < 0) return r;
    check(dir && name.base);
    struct sim_inode *inode = name.size ? entries_get(&dir->names, name) : dir;
    if (!inode) return error_from_errno(ENOENT);
    *ret = inode;
    return 0;
}

static void name_add(struct sim_disk *disk, struct sim_inode *dir, struct bytes name,
                     struct sim_inode *inode)
{
    char text[NAME_MAX_BYTES + 1];
    memcpy(text, name.base, name.size);
    text[name.size] = '\0';
    change_names(disk, &(struct name_part){ dir, text, inode }, 1);
}

int sim_disk_open(struct sim_disk *disk, const char *path, int flags, struct sim_inode **ret)
{
    struct sim_inode *dir;
    struct bytes name;
    int r = path_parent(disk, path, &dir, &name);
    if (r < 0) return r;
    check(dir && name.base);
    struct sim_inode *inode = name.size ? entries_get(&dir->names, name) : dir;
    if (inode && (flags & O_CREAT) && (flags & O_EXCL)) return error_from_errno(EEXIST);
    if (!inode && !(flags & O_CREAT)) return error_from_errno(ENOENT);
    if (inode && inode->is_dir && (flags & (O_CREAT | O_ACCMODE | O_TRUNC)))
        return error_from_errno(EISDIR);
    if (inode) {
        inode_ref(inode);
    } else {
        inode = inode_new(disk, false);
        name_add(disk, dir, name, inode);
    }
    inode_live(disk, inode);
    if (flags & O_TRUNC) check(sim_data_truncate(disk, inode, 0) == 0);
    *ret = inode;
    return 0;
}

void sim_disk_close(struct sim_disk *disk, struct sim_inode *inode)
{
    inode_unlive(disk, inode);
    inode_unref(inode);
}

int sim_disk_make_dir(struct sim_disk *disk, const char *path)
{
    struct sim_inode *dir = NULL;
    struct bytes name = { 0 };
    int r = path_parent(disk, path, &dir, &name);
    if (r < 0) return r;
    check(dir && name.base);
    struct sim_inode *inode = name.size ? entries_get(&dir->names, name) : dir;
    if (inode) return inode->is_dir ? 0 : error_from_errno(EEXIST);
    inode = inode_new(disk, true);
    name_add(disk, dir, name, inode);
    inode_unref(inode);
    return 0;
}

/* True when @inode is below @dir or is it. Directories are few: a walk over all names will do. */
static bool is_below(struct sim_disk *disk, const struct sim_inode *dir,
                     const struct sim_inode *inode)
{
    while (inode != dir) {
        const struct sim_inode *parent = NULL;
        list_for_each (it, &disk->inodes) {
            const struct sim_inode *at = list_entry(it, struct sim_inode, node);
            for (size_t i = 0; i < at->names.count && !parent; i++)
                if (at->names.items[i].inode == inode) parent = at;
        }
        if (!parent) return false;
        inode = parent;
    }
    return true;
}

int sim_disk_rename(struct sim_disk *disk, const char *from, const char *to)
{
    struct sim_inode *from_dir, *to_dir;
    struct bytes from_name, to_name;
    int r = path_parent(disk, from, &from_dir, &from_name);
    if (r < 0) return r;
    r = path_parent(disk, to, &to_dir, &to_name);
    if (r < 0) return r;
    if (!from_name.size || !to_name.size) return error_from_errno(EBUSY);
    struct sim_inode *inode = entries_get(&from_dir->names, from_name);
    struct sim_inode *old = entries_get(&to_dir->names, to_name);
    if (!inode) return error_from_errno(ENOENT);
    if (inode == old) return 0;
    if (old && old->is_dir != inode->is_dir)
        return error_from_errno(old->is_dir ? EISDIR : ENOTDIR);
    if (old && old->names.count) return error_from_errno(ENOTEMPTY);
    if (inode->is_dir && is_below(disk, inode, to_dir)) return error_from_errno(EINVAL);

    struct arena arena cleanup_arena_ = { 0 };
    struct name_part parts[] = {
        { from_dir, arena_text(&arena, from_name), NULL },
        { to_dir, arena_text(&arena, to_name), inode },
    };
    inode_ref(inode); /* between its names */
    inode_live(disk, inode);
    change_names(disk, parts, 2);
    inode_unlive(disk, inode);
    inode_unref(inode);
    return 0;
}

int sim_disk_unlink(struct sim_disk *disk, const char *path)
{
    struct sim_inode *dir;
    struct bytes name;
    int r = path_parent(disk, path, &dir, &name);
    if (r < 0) return r;
    check(dir && name.base);
    struct sim_inode *inode = name.size ? entries_get(&dir->names, name) : NULL;
    if (!inode) return error_from_errno(name.size ? ENOENT : EISDIR);
    if (inode->is_dir) return error_from_errno(EISDIR);
    name_add(disk, dir, name, NULL);
    return 0;
}

/* ---- life and crash ---- */

void sim_disk_init(struct sim_disk *disk, struct sim_random *random,
                   const struct sim_disk_profile *profile)
{
    *disk = (struct sim_disk){ .random = random, .profile = *profile };
    list_init(&disk->inodes);
    list_init(&disk->changes);
    disk->root = inode_new(disk, true);
    inode_live(disk, disk->root);
    static const char *const dirs[] = { "/run", "/tmp", "/var" };
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        check(sim_disk_make_dir(disk, dirs[i]) == 0);
    sim_disk_sync_dir(disk, disk->root);
}

void sim_disk_done(struct sim_disk *disk)
{
    list_for_each_safe (it, &disk->changes)
        change_free(disk, list_entry(it, struct name_change, node));
    inode_unref(disk->root);
    check(list_empty(&disk->inodes));
}

/* How many of its changes each directory keeps: all, none or some. */
static void crash_draw(struct sim_disk *disk)
{
    list_for_each (it, &disk->inodes) {
        struct sim_inode *dir = list_entry(it, struct sim_inode, node);
        uint32_t count = 0;
        dir->crash_budget = 0;
        if (!dir->is_dir) continue;
        list_for_each (c, &disk->changes)
            count += change_touches(list_entry(c, struct name_change, node), dir);
        if (!count) continue;
        switch (sim_random_under(disk->random, 3)) {
        case 0: dir->crash_budget = count; break;
        case 1: dir->crash_budget = 0; break;
        default: dir->crash_budget = (uint32_t)sim_random_under(disk->random, count + 1); break;
        }
    }
}

static void crash_names(struct sim_disk *disk)
{
    crash_draw(disk);
    list_for_each_safe (it, &disk->changes) {
        struct name_change *c = list_entry(it, struct name_change, node);
        bool is_kept = true;
        for (uint32_t i = 0; i < c->part_count; i++)
            is_kept &= c->parts[i].dir->crash_budget > 0;
        for (uint32_t i = 0; i < c->part_count; i++) {
            struct sim_inode *dir = c->parts[i].dir;
            dir->crash_budget = is_kept ? dir->crash_budget - 1 : 0;
        }
        if (is_kept) {
            change_make_durable(disk, c);
        } else {
            change_free(disk, c);
        }
    }
}

/* Ends the hold on all inodes, so that those go that no durable name leads to; counts the space of
 * the others. */
static void crash_sweep(struct sim_disk *disk)
{
    size_t count = 0, at = 0;
    list_for_each (it, &disk->inodes)
        count++;
    struct sim_inode **all cleanup_(freep) = xcalloc(count, sizeof(struct sim_inode *));
    list_for_each (it, &disk->inodes)
        all[at++] = list_entry(it, struct sim_inode, node);
    for (at = 0; at < count; at++)
        inode_unref(all[at]);
    disk->used_blocks = 0;
    list_for_each (it, &disk->inodes)
        disk->used_blocks += list_entry(it, struct sim_inode, node)->newest.allocated.total;
}

static void crash_names_renew(struct sim_disk *disk, struct sim_inode *dir)
{
    for (size_t i = 0; i < dir->durable_names.count; i++) {
        const struct sim_entry *e = &dir->durable_names.items[i];
        check(entries_set(&dir->names, e->name, e->inode) == NULL);
        e->inode->live_count++;
    }
}

/* Empties the newest names without freeing an inode: they are looked at again below. */
static void crash_names_drop(struct sim_inode *dir)
{
    for (size_t i = 0; i < dir->names.count; i++)
        dir->names.items[i].inode->ref_count--;
    entries_free(&dir->names);
}

void sim_disk_crash(struct sim_disk *disk)
{
    list_for_each (it, &disk->inodes) {
        struct sim_inode *inode = list_entry(it, struct sim_inode, node);
        inode_ref(inode); /* held until the sweep */
        inode->live_count = 0;
        inode->lock_owner = NULL;
    }
    crash_names(disk);
    list_for_each (it, &disk->inodes)
        crash_names_drop(list_entry(it, struct sim_inode, node));
    disk->root->live_count = 1;
    list_for_each (it, &disk->inodes) {
        struct sim_inode *inode = list_entry(it, struct sim_inode, node);
        sim_data_crash(disk, inode);
        crash_names_renew(disk, inode);
    }
    crash_sweep(disk);
}
