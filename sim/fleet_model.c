/* fleet_model.c - see fleet_model.h. */
#include "sim/fleet_model.h"
#include "base/check.h"

static int add(struct model *m, uint64_t id, bool is_directory, int parent)
{
    check(m->count < MODEL_INODE_COUNT_MAX);
    struct model_inode *i = new_zero(struct model_inode);
    *i = (struct model_inode){
        .id = id, .is_directory = is_directory, .link_count = 1, .parent = parent
    };
    for (int n = 0; n < MODEL_NAME_COUNT; n++)
        i->entries[n] = -1;
    if (!is_directory) i->bytes = xcalloc(1, MODEL_FILE_BYTES_MAX);
    m->inodes[m->count] = i;
    return m->count++;
}

struct model *model_new(uint64_t root_id)
{
    struct model *m = new_zero(struct model);
    add(m, root_id, true, 0);
    return m;
}

struct model *model_free(struct model *m)
{
    for (int i = 0; m && i < m->count; i++) {
        free(m->inodes[i]->bytes);
        free(m->inodes[i]);
    }
    free(m);
    return NULL;
}

const char *model_name(int name)
{
    static const char *const names[MODEL_NAME_COUNT] = { "a", "b", "c", "d", "e" };
    return names[name];
}

bool model_is_full(const struct model *m)
{
    return m->count == MODEL_INODE_COUNT_MAX;
}

struct model_inode *model_entry(const struct model *m, int dir, int name)
{
    int at = m->inodes[dir]->entries[name];
    return at < 0 ? NULL : m->inodes[at];
}

void model_touch(struct model *m, const struct model_inode *inode)
{
    if (!inode || model_is_touched(m, inode)) return;
    check(m->touched_count < MODEL_TOUCHED_COUNT_MAX);
    m->touched[m->touched_count++] = inode;
}

void model_untouch(struct model *m)
{
    m->touched_count = 0;
    m->is_all_touched = false;
}

bool model_is_touched(const struct model *m, const struct model_inode *inode)
{
    if (m->is_all_touched) return true;
    for (int i = 0; i < m->touched_count; i++) {
        if (m->touched[i] == inode) return true;
    }
    return false;
}

static bool is_empty(const struct model_inode *dir)
{
    for (int n = 0; n < MODEL_NAME_COUNT; n++) {
        if (dir->entries[n] >= 0) return false;
    }
    return true;
}

/* ---- what is expected ---- */

int model_expect_create(const struct model *m, int dir, int name)
{
    return model_entry(m, dir, name) ? -ERR_META_EXISTS : 0;
}

int model_expect_remove(const struct model *m, int dir, int name, enum remove_kind kind)
{
    const struct model_inode *at = model_entry(m, dir, name);
    if (!at) return -ERR_META_NOT_FOUND;
    if (at->is_directory && kind == REMOVE_FILE) return -ERR_META_IS_DIRECTORY;
    if (!at->is_directory && kind == REMOVE_DIRECTORY) return -ERR_META_NOT_DIRECTORY;
    bool needs_empty = at->is_directory && kind == REMOVE_DIRECTORY;
    return needs_empty && !is_empty(at) ? -ERR_META_NOT_EMPTY : 0;
}

bool model_is_plain_tree(const struct model *m, int dir)
{
    int *left = xcalloc((size_t)m->count, sizeof *left);
    int count = 0;
    bool is_plain = true;
    left[count++] = dir;
    while (count > 0 && is_plain) {
        const struct model_inode *at = m->inodes[left[--count]];
        is_plain = at->link_count == 1;
        for (int n = 0; n < MODEL_NAME_COUNT && at->is_directory; n++) {
            if (at->entries[n] >= 0) left[count++] = at->entries[n];
        }
    }
    free(left);
    return is_plain;
}

/* Is @dir the directory @moved, or below it? */
static bool is_below(const struct model *m, int dir, int moved)
{
    for (; dir != 0; dir = m->inodes[dir]->parent) {
        if (dir == moved) return true;
    }
    return moved == 0;
}

int model_expect_rename(const struct model *m, int dir, int name, int new_dir, int new_name)
{
    const struct model_inode *from = model_entry(m, dir, name),
                             *to = model_entry(m, new_dir, new_name);
    if (!from) return -ERR_META_NOT_FOUND;
    if (from->is_directory && dir != new_dir && is_below(m, new_dir, m->inodes[dir]->entries[name]))
        return -ERR_META_INVALID_MOVE;
    if (!to || to == from) return 0;
    if (!to->is_directory) return from->is_directory ? -ERR_META_NOT_DIRECTORY : 0;
    if (!from->is_directory) return -ERR_META_IS_DIRECTORY;
    return is_empty(to) ? 0 : -ERR_META_NOT_EMPTY;
}

int model_expect_link(const struct model *m, int new_dir, int new_name)
{
    return model_entry(m, new_dir, new_name) ? -ERR_META_EXISTS : 0;
}

/* ---- changes ---- */

struct model_inode *model_create(struct model *m, int dir, int name, uint64_t id, bool is_directory)
{
    int at = add(m, id, is_directory, dir);
    m->inodes[dir]->entries[name] = at;
    return m->inodes[at];
}

/* Trees are a few levels deep; those to visit wait in a list. */
void model_remove(struct model *m, int dir, int name)
{
    int *left = xcalloc((size_t)m->count, sizeof *left);
    int count = 0;
    left[count++] = m->inodes[dir]->entries[name];
    m->inodes[dir]->entries[name] = -1;
    while (count > 0) {
        struct model_inode *at = m->inodes[left[--count]];
        at->link_count--;
        for (int n = 0; n < MODEL_NAME_COUNT && at->is_directory; n++) {
            if (at->entries[n] >= 0) left[count++] = at->entries[n];
            at->entries[n] = -1;
        }
    }
    free(left);
}

void model_rename(struct model *m, int dir, int name, int new_dir, int new_name)
{
    int from = m->inodes[dir]->entries[name];
    int to = m->inodes[new_dir]->entries[new_name];
    if (from == to) return;
    if (to >= 0) model_remove(m, new_dir, new_name);
    m->inodes[dir]->entries[name] = -1;
    m->inodes[new_dir]->entries[new_name] = from;
    if (m->inodes[from]->is_directory) m->inodes[from]->parent = new_dir;
}

void model_link(struct model *m, int inode, int new_dir, int new_name)
{
    m->inodes[inode]->link_count++;
    m->inodes[new_dir]->entries[new_name] = inode;
}

void model_write(struct model_inode *file, const void *from, size_t size, uint64_t offset)
{
    check(offset + size <= MODEL_FILE_BYTES_MAX);
    memcpy(file->bytes + offset, from, size);
    file->length = MAX_OF(file->length, offset + size);
}

void model_truncate(struct model_inode *file, uint64_t length)
{
    check(length <= MODEL_FILE_BYTES_MAX);
    if (length < file->length) memset(file->bytes + length, 0, file->length - length);
    file->length = length;
}
