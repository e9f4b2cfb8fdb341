/* fleet_shared.c - all clients in the same few directories, which come and go: whoever wins a race,
 * the links that exist in the end are those that somebody was told of (the ledger), and the tree is
 * sound.
 */
#include "sim/fleet_file.h"
#include <stdio.h>
#include <sys/stat.h>

enum { DIRECTORY_COUNT = 3, NAME_COUNT = 4 };

static const char *const directory_names[DIRECTORY_COUNT] = { "p", "q", "r" };
static const char *const file_names[NAME_COUNT] = { "1", "2", "3", "4" };

static void ledger_add(struct fleet *f, uint64_t inode, int delta, bool is_directory)
{
    struct ledger *l = &f->ledger;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->lines[i].inode != inode) continue;
        l->lines[i].links += delta;
        return;
    }
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->lines = xrealloc(l->lines, l->capacity * sizeof *l->lines);
    }
    l->lines[l->count++] = (struct ledger_line){ inode, delta, is_directory };
}

/* What may happen to one of several that race. */
static int judge_race(struct fleet_client *c, const char *what, int r)
{
    static const int fine[] = { 0,
                                -ERR_META_NOT_FOUND,
                                -ERR_META_EXISTS,
                                -ERR_META_NOT_EMPTY,
                                -ERR_META_IS_DIRECTORY,
                                -ERR_META_NOT_DIRECTORY,
                                -ERR_META_INVALID_MOVE };
    if (r == -ERR_CANCELED || r == -ERR_FOUND_BUG) return r;
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
        if (MIN_OF(r, 0) != fine[i]) continue;
        c->fleet->counts.done += r >= 0;
        c->fleet->counts.refused += r < 0;
        return 0;
    }
    return fleet_fail(c->fleet, "%s: shared %s: %s", c->name, what, error_name(r));
}

static const char *any_directory(struct fleet_client *c)
{
    return directory_names[fleet_random(c->fleet, DIRECTORY_COUNT)];
}

static const char *any_name(struct fleet_client *c)
{
    return file_names[fleet_random(c->fleet, NAME_COUNT)];
}

/* The shared directory, or one below it that is there; 0: there is none, or the run is over. */
static uint64_t find_directory(struct fleet_client *c, bool is_top, int *ret_error)
{
    struct fleet_file file;
    int r = fleet_lookup(c, INODE_ROOT, "shared", &file);
    if (r >= 0 && !is_top) {
        r = fleet_lookup(c, file.inode.id, any_directory(c), &file);
        if (r >= 0 && !S_ISDIR(file.inode.mode)) r = -ERR_META_NOT_DIRECTORY;
    }
    *ret_error = judge_race(c, "lookup", r);
    return r >= 0 ? file.inode.id : 0;
}

static int step_create(struct fleet_client *c, uint64_t dir, bool is_directory)
{
    struct fleet_file file;
    const char *name = is_directory ? any_directory(c) : any_name(c);
    uint32_t mode = is_directory ? S_IFDIR | 0755 : S_IFREG | 0644;
    int r = fleet_create(c, dir, name, mode, false, &file);
    if (r >= 0) ledger_add(c->fleet, file.inode.id, 1, is_directory);
    return judge_race(c, is_directory ? "mkdir" : "create", r);
}

static int step_remove(struct fleet_client *c, uint64_t dir, bool is_directory)
{
    uint64_t inode = 0;
    const char *name = is_directory ? any_directory(c) : any_name(c);
    int r = fleet_remove(c, dir, name, is_directory ? REMOVE_DIRECTORY : REMOVE_FILE, &inode);
    if (r >= 0) ledger_add(c->fleet, inode, -1, is_directory);
    return judge_race(c, is_directory ? "rmdir" : "unlink", r);
}

static int step_link(struct fleet_client *c, uint64_t dir)
{
    struct fleet_file file;
    int r = fleet_lookup(c, dir, any_name(c), &file);
    if (r < 0 || !S_ISREG(file.inode.mode)) return judge_race(c, "lookup", MIN_OF(r, 0));
    int error = 0;
    uint64_t to = find_directory(c, false, &error);
    if (!to) return error;
    r = fleet_link(c, file.inode.id, (struct fleet_place){ to, any_name(c) });
    if (r >= 0) ledger_add(c->fleet, file.inode.id, 1, false);
    return judge_race(c, "link", r);
}

/* Nothing is replaced: the number of links stays. Directories, too, move into one another. */
static int step_rename(struct fleet_client *c, uint64_t dir)
{
    int error = 0;
    bool is_directory = fleet_random(c->fleet, 3) == 0;
    uint64_t from = is_directory ? find_directory(c, true, &error) : dir;
    if (!from) return error;
    uint64_t to = find_directory(c, is_directory && fleet_random(c->fleet, 2), &error);
    if (!to) return error;
    struct fleet_place at = { from, is_directory ? any_directory(c) : any_name(c) };
    struct fleet_place new_at = { to, is_directory ? any_directory(c) : any_name(c) };
    return judge_race(c, "rename", fleet_rename(c, at, new_at, RENAME_FLAG_NOREPLACE));
}

int fleet_shared_begin(struct fleet_client *c)
{
    struct fleet_file file;
    int r = fleet_create(c, INODE_ROOT, "shared", S_IFDIR | 0777, false, &file);
    return r < 0 ? fleet_fail(c->fleet, "the shared directory: %s", error_name(r)) : 0;
}

int fleet_shared_step(struct fleet_client *c)
{
    uint64_t dice = fleet_random(c->fleet, 100);
    bool is_directory = dice < 40;
    int error = 0;
    uint64_t dir = find_directory(c, is_directory, &error);
    if (!dir) return error;
    if (dice < 20) return step_create(c, dir, true);
    if (dice < 40) return step_remove(c, dir, true);
    if (dice < 60) return step_create(c, dir, false);
    if (dice < 78) return step_remove(c, dir, false);
    if (dice < 86) return step_link(c, dir);
    return step_rename(c, dir);
}
