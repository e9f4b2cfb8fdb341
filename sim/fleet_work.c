/* fleet_work.c - one client in its own tree, where nobody else changes anything: every answer is
 * known beforehand, whatever servers did meanwhile, and each operation has happened exactly once.
 */
#include "base/check.h"
#include "sim/fleet_model.h"
#include <stdio.h>
#include <sys/stat.h>

enum { PIECE_BYTES_MAX = 40 << 10 };

/* Was the answer the expected one? 0 for both; counts. */
static int judge(struct fleet_client *c, const char *what, int expected, int r)
{
    struct fleet *f = c->fleet;
    if (r == -ERR_CANCELED || r == -ERR_FOUND_BUG) return r;
    int got = MIN_OF(r, 0);
    log_info(&c->node->log, "%s: %s", what, error_name(got));
    if (got != expected)
        return fleet_fail(f, "%s: %s: %s, not %s", c->name, what, error_name(got),
                          error_name(expected));
    if (got == 0)
        f->counts.done++;
    else
        f->counts.refused++;
    return 0;
}

static uint64_t id_at(const struct model *m, int inode)
{
    return model_at(m, inode)->id;
}

static int any_name(struct fleet_client *c)
{
    return (int)fleet_random(c->fleet, MODEL_NAME_COUNT);
}

static int pick_directory(struct fleet_client *c)
{
    const struct model *m = c->model;
    int at = 0;
    for (uint64_t depth = fleet_random(c->fleet, 4); depth > 0; depth--) {
        int child = model_at(m, at)->entries[any_name(c)];
        if (child >= 0 && model_at(m, child)->is_directory) at = child;
    }
    return at;
}

/* A file that has a name, or is open without one; NULL when none was found. */
static struct model_inode *pick_file(struct fleet_client *c)
{
    struct model *m = c->model;
    for (int tries = 0; tries < 20; tries++) {
        struct model_inode *i = model_at(m, (int)fleet_random(c->fleet, (uint64_t)m->count));
        if (i->is_directory || (i->link_count == 0 && !i->file.is_open)) continue;
        model_touch(m, i);
        return i;
    }
    return NULL;
}

/* ---- names ---- */

static int step_create(struct fleet_client *c, bool is_directory)
{
    struct model *m = c->model;
    int dir = pick_directory(c), name = any_name(c);
    if (model_is_full(m)) return 0;
    model_touch(m, model_at(m, dir));
    bool opens = !is_directory && fleet_random(c->fleet, 2);
    int expected = model_expect_create(m, dir, name);
    struct fleet_file file;
    uint32_t mode = is_directory ? S_IFDIR | 0755 : S_IFREG | 0644;
    int r = fleet_create(c, id_at(m, dir), model_name(name), mode, opens, &file);
    int verdict = judge(c, is_directory ? "mkdir" : "create", expected, r);
    if (verdict < 0 || r < 0) return verdict;
    model_create(m, dir, name, file.inode.id, is_directory)->file = file;
    return 0;
}

static int step_remove(struct fleet_client *c)
{
    struct model *m = c->model;
    int dir = pick_directory(c), name = any_name(c);
    const struct model_inode *at = model_entry(m, dir, name);
    enum remove_kind kind = at && at->is_directory ? REMOVE_DIRECTORY : REMOVE_FILE;
    if (fleet_random(c->fleet, 10) == 0) kind = (enum remove_kind)fleet_random(c->fleet, 3);
    if (kind == REMOVE_TREE && at && !model_is_plain_tree(m, model_at(m, dir)->entries[name]))
        kind = REMOVE_FILE;
    model_touch(m, model_at(m, dir));
    model_touch(m, at);
    m->is_all_touched = kind == REMOVE_TREE;
    int expected = model_expect_remove(m, dir, name, kind);
    uint64_t removed = 0;
    int r = fleet_remove(c, id_at(m, dir), model_name(name), kind, &removed);
    int verdict = judge(c, "remove", expected, r);
    if (verdict < 0 || r < 0) return verdict;
    if (at && removed != at->id)
        return fleet_fail(c->fleet, "%s: remove took inode %" PRIx64 ", not %" PRIx64, c->name,
                          removed, at->id);
    model_remove(m, dir, name);
    return 0;
}

static int step_rename(struct fleet_client *c)
{
    struct model *m = c->model;
    int dir = pick_directory(c), name = any_name(c), to = pick_directory(c), new_name = any_name(c);
    model_touch(m, model_at(m, dir));
    model_touch(m, model_at(m, to));
    model_touch(m, model_entry(m, dir, name));
    model_touch(m, model_entry(m, to, new_name));
    int expected = model_expect_rename(m, dir, name, to, new_name);
    int r = fleet_rename(c, (struct fleet_place){ id_at(m, dir), model_name(name) },
                         (struct fleet_place){ id_at(m, to), model_name(new_name) }, 0);
    int verdict = judge(c, "rename", expected, r);
    if (verdict == 0 && r >= 0) model_rename(m, dir, name, to, new_name);
    return verdict;
}

static int step_link(struct fleet_client *c)
{
    struct model *m = c->model;
    const struct model_inode *file = pick_file(c);
    int to = pick_directory(c), name = any_name(c), index = 0;
    if (!file || file->link_count == 0) return 0;
    while (model_at(m, index) != file)
        index++;
    model_touch(m, file);
    model_touch(m, model_at(m, to));
    int expected = model_expect_link(m, to, name);
    int r = fleet_link(c, file->id, (struct fleet_place){ id_at(m, to), model_name(name) });
    int verdict = judge(c, "link", expected, r);
    if (verdict == 0 && r >= 0) model_link(m, index, to, name);
    return verdict;
}

/* ---- content ---- */

static int ensure_open(struct fleet_client *c, struct model_inode *i)
{
    if (i->file.is_open) return 0;
    i->file.inode.id = i->id;
    bool truncates = fleet_random(c->fleet, 12) == 0;
    int r = judge(c, "open", 0, fleet_open(c, &i->file, truncates));
    if (r == 0 && truncates) model_truncate(i, 0);
    return r;
}

static void fill(struct fleet_client *c, uint8_t *to, size_t size)
{
    uint64_t state = fleet_random(c->fleet, UINT64_MAX);
    for (size_t i = 0; i < size; i++) {
        if (i % 8 == 0) state = state * 6364136223846793005ull + 1442695040888963407ull;
        to[i] = (uint8_t)(state >> (8 * (i % 8)));
    }
}

static size_t any_size(struct fleet_client *c, uint64_t left)
{
    size_t size =
        1 + (size_t)fleet_random(c->fleet, fleet_random(c->fleet, 3) ? 5000 : PIECE_BYTES_MAX);
    return (size_t)MIN_OF((uint64_t)size, left);
}

static int step_write(struct fleet_client *c)
{
    struct model_inode *i = pick_file(c);
    if (!i) return 0;
    int r = ensure_open(c, i);
    if (r < 0) return r;
    uint64_t offset = fleet_random(c->fleet, i->length + 30000);
    if (fleet_random(c->fleet, 3) == 0) offset = i->length;
    if (offset >= MODEL_FILE_BYTES_MAX) return 0;
    size_t size = any_size(c, MODEL_FILE_BYTES_MAX - offset);
    uint8_t *bytes = xmalloc(size);
    fill(c, bytes, size);
    r = judge(c, "write", 0, fleet_write(c, &i->file, bytes, size, offset));
    if (r == 0) model_write(i, bytes, size, offset);
    free(bytes);
    return r;
}

static int step_append(struct fleet_client *c)
{
    struct model_inode *i = pick_file(c);
    if (!i || i->length >= MODEL_FILE_BYTES_MAX) return 0;
    int r = ensure_open(c, i);
    if (r < 0) return r;
    size_t size = any_size(c, MODEL_FILE_BYTES_MAX - i->length);
    uint8_t *bytes = xmalloc(size);
    fill(c, bytes, size);
    uint64_t offset = 0;
    r = judge(c, "append", 0, fleet_append(c, &i->file, bytes, size, &offset));
    if (r == 0 && offset != i->length)
        r = fleet_fail(c->fleet, "%s: append to inode %" PRIx64 " at %" PRIu64 ", not %" PRIu64,
                       c->name, i->id, offset, i->length);
    if (r == 0) model_write(i, bytes, size, offset);
    free(bytes);
    return r;
}

static int check_length(struct fleet_client *c, const char *when, const struct model_inode *i,
                        uint64_t length)
{
    if (length == i->length) return 0;
    return fleet_fail(c->fleet, "%s: inode %" PRIx64 " has %" PRIu64 " bytes %s, not %" PRIu64,
                      c->name, i->id, length, when, i->length);
}

static int step_truncate(struct fleet_client *c)
{
    struct model_inode *i = pick_file(c);
    if (!i) return 0;
    int r = ensure_open(c, i);
    if (r < 0) return r;
    uint64_t length =
        fleet_random(c->fleet, MIN_OF(i->length + 20000, MODEL_FILE_BYTES_MAX + 0ull));
    r = judge(c, "truncate", 0, fleet_truncate(c, &i->file, length));
    if (r < 0) return r;
    model_truncate(i, length);
    return check_length(c, "after a truncate", i, i->file.inode.length);
}

static int step_fsync(struct fleet_client *c)
{
    struct model_inode *i = pick_file(c);
    if (!i || !i->file.has_wrote) return 0;
    int r = judge(c, "fsync", 0, fleet_settle(c, &i->file));
    return r < 0 ? r : check_length(c, "after fsync", i, i->file.inode.length);
}

static int close_one(struct fleet_client *c, struct model_inode *i)
{
    int r = judge(c, "close", 0, fleet_close(c, &i->file));
    if (r < 0 || i->link_count == 0) return r;
    r = judge(c, "stat", 0, fleet_stat(c, &i->file));
    if (r < 0) return r;
    if (i->file.inode.nlink != (uint32_t)i->link_count)
        return fleet_fail(c->fleet, "%s: inode %" PRIx64 " has %u links, not %d", c->name, i->id,
                          i->file.inode.nlink, i->link_count);
    return check_length(c, "right after close", i, i->file.inode.length);
}

static int step_close(struct fleet_client *c)
{
    struct model_inode *i = pick_file(c);
    return i && i->file.is_open ? close_one(c, i) : 0;
}

static int compare(struct fleet_client *c, const struct model_inode *i, uint64_t offset,
                   const uint8_t *got, size_t size, size_t expected_size)
{
    if (size != expected_size)
        return fleet_fail(c->fleet, "%s: inode %" PRIx64 " gives %zu bytes at %" PRIu64 ", not %zu",
                          c->name, i->id, size, offset, expected_size);
    for (size_t at = 0; at < size; at++) {
        if (got[at] == i->bytes[offset + at]) continue;
        return fleet_fail(c->fleet,
                          "%s: inode %" PRIx64 " has byte %02x at %" PRIu64
                          ", not %02x (length %" PRIu64 ")",
                          c->name, i->id, got[at], offset + at, i->bytes[offset + at], i->length);
    }
    return 0;
}

static int read_and_compare(struct fleet_client *c, const struct model_inode *i,
                            struct fleet_file *file, uint64_t offset, size_t size)
{
    uint8_t *to = xmalloc(size);
    size_t got = 0;
    uint64_t left = offset < i->length ? i->length - offset : 0;
    int r = judge(c, "read", 0, fleet_read(c, file, to, size, offset, &got));
    if (r == 0) r = compare(c, i, offset, to, got, (size_t)MIN_OF((uint64_t)size, left));
    free(to);
    return r;
}

static int step_read(struct fleet_client *c)
{
    struct model_inode *i = pick_file(c);
    if (!i) return 0;
    if (!i->file.is_open) {
        int r = judge(c, "stat", 0, fleet_stat(c, &i->file));
        if (r == 0) r = check_length(c, "in a stat", i, i->file.inode.length);
        if (r < 0) return r;
    }
    uint64_t offset = fleet_random(c->fleet, i->length + 1000);
    return read_and_compare(c, i, &i->file, offset, 1 + fleet_random(c->fleet, 80000));
}

/* ---- what is there ---- */

/* The entries of a directory, and no others. */
static int check_directory(struct fleet_client *c, const struct model *m, int dir)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct dentry_list list = { 0 };
    int r = judge(c, "list", 0, fleet_list(c, id_at(m, dir), &arena, &list));
    if (r < 0) return r;
    uint32_t expected = 0;
    for (int n = 0; n < MODEL_NAME_COUNT; n++) {
        const struct model_inode *at = model_entry(m, dir, n);
        uint64_t found = 0;
        expected += at != NULL;
        for (uint32_t i = 0; i < list.count; i++) {
            if (bytes_equal_text(list.items[i].name, model_name(n))) found = list.items[i].inode;
        }
        if (found == (at ? at->id : 0)) continue;
        return fleet_fail(
            c->fleet, "%s: entry %s of directory %" PRIx64 " is inode %" PRIx64 ", not %" PRIx64,
            c->name, model_name(n), id_at(m, dir), found, at ? at->id : 0);
    }
    if (list.count == expected) return 0;
    return fleet_fail(c->fleet, "%s: directory %" PRIx64 " lists %u names, not %u", c->name,
                      id_at(m, dir), list.count, expected);
}

static int step_list(struct fleet_client *c)
{
    return check_directory(c, c->model, pick_directory(c));
}

static int step_lookup(struct fleet_client *c)
{
    const struct model *m = c->model;
    int dir = pick_directory(c), name = any_name(c);
    const struct model_inode *at = model_entry(m, dir, name);
    struct fleet_file file = { 0 };
    int r = fleet_lookup(c, id_at(m, dir), model_name(name), &file);
    int verdict = judge(c, "lookup", at ? 0 : -ERR_META_NOT_FOUND, r);
    if (verdict < 0 || r < 0 || !at || file.inode.id == at->id) return verdict;
    return fleet_fail(c->fleet, "%s: %s is inode %" PRIx64 ", not %" PRIx64, c->name,
                      model_name(name), file.inode.id, at->id);
}

int fleet_tree_begin(struct fleet_client *c)
{
    struct fleet_file dir;
    char name[48];
    snprintf(name, sizeof name, "%s.%u", c->name, c->life);
    int r = fleet_create(c, INODE_ROOT, name, S_IFDIR | 0755, false, &dir);
    if (r == -ERR_CANCELED || r == -ERR_FOUND_BUG) return r;
    if (r < 0)
        return fleet_fail(c->fleet, "%s: its directory cannot be made: %s", c->name, error_name(r));
    c->model = model_new(dir.inode.id);
    return 0;
}

int fleet_tree_step(struct fleet_client *c)
{
    uint64_t dice = fleet_random(c->fleet, c->fleet->options.names_only ? 39 : 100);
    model_untouch(c->model);
    if (dice < 12) return step_create(c, false);
    if (dice < 18) return step_create(c, true);
    if (dice < 27) return step_remove(c);
    if (dice < 36) return step_rename(c);
    if (dice < 39) return step_link(c);
    if (dice < 58) return step_write(c);
    if (dice < 64) return step_append(c);
    if (dice < 70) return step_truncate(c);
    if (dice < 74) return step_fsync(c);
    if (dice < 82) return step_close(c);
    if (dice < 93) return step_read(c);
    if (dice < 96) return step_list(c);
    return step_lookup(c);
}

int fleet_tree_end(struct fleet_client *c)
{
    for (int i = 0; i < c->model->count; i++) {
        struct model_inode *file = model_at(c->model, i);
        model_untouch(c->model);
        model_touch(c->model, file);
        int r = file->file.is_open ? read_and_compare(c, file, &file->file, 0, MODEL_FILE_BYTES_MAX)
                                   : 0;
        if (r == 0 && file->file.is_open) r = close_one(c, file);
        if (r < 0) return r;
    }
    model_untouch(c->model);
    return 0;
}

int fleet_tree_verify(struct fleet_client *by, const struct model *m)
{
    for (int i = 0; i < m->count; i++) {
        const struct model_inode *at = model_at(m, i);
        if (at->link_count == 0 || model_is_touched(m, at)) continue;
        struct fleet_file file = { .inode.id = at->id };
        int r = 0;
        if (at->is_directory) {
            r = check_directory(by, m, i);
        } else {
            r = judge(by, "last stat", 0, fleet_stat(by, &file));
            if (r == 0) r = check_length(by, "in the end", at, file.inode.length);
            if (r == 0) r = read_and_compare(by, at, &file, 0, MODEL_FILE_BYTES_MAX);
        }
        if (r < 0) return r;
    }
    return 0;
}
