/* ops_dir.c - reading directories: pages from meta as they are asked for, offsets stable for the
 * handle's life.
 *
 * An entry's offset is its number + 3 (1 and 2 are "." and ".."). The names read so far are kept,
 * so that seekdir() goes back; offset 0 begins anew, as rewinddir() wants.
 */
#include "fuse/mount.h"

#include <errno.h>

struct directory {
    struct arena names; /* of the entries read so far */
    struct dentry *entries;
    uint32_t count, capacity;
    struct arena page_arena; /* inodes of the last page, for readdirplus */
    struct inode *page_inodes;
    uint32_t page_begin, page_end;
    bool is_complete;
    uint64_t parent;
    struct fiber_mutex lock;
};

enum { DIRECTORY_PAGE = 512 };

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (!virt_is(ino)) {
        struct directory *d = new_zero(struct directory);
        fiber_mutex_init(&d->lock);
        fi->fh = (uintptr_t)d;
    }
    if (fuse_reply_open(req, fi) != 0 && fi->fh) free((void *)(uintptr_t)fi->fh);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct directory *d = (struct directory *)(uintptr_t)fi->fh;
    if (d) {
        arena_done(&d->names);
        arena_done(&d->page_arena);
        free(d->entries);
        free(d);
    }
    reply_error(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    reply_error(req, 0); /* every change of a name is durable when it returns */
}

static void directory_rewind(struct directory *d)
{
    arena_done(&d->names);
    arena_done(&d->page_arena);
    d->count = d->page_begin = d->page_end = 0;
    d->is_complete = false;
}

/* The root ends with 3fs-virt, which meta does not know. */
static void add_virtual_tree(struct directory *d)
{
    if (d->count == d->capacity) {
        d->capacity++;
        d->entries = xrealloc(d->entries, d->capacity * sizeof *d->entries);
    }
    struct bytes name = arena_copy(&d->names, bytes_of_text(virt_root_name()));
    d->entries[d->count++] = (struct dentry){ .name = name, .inode = virt_root(), .mode = S_IFDIR };
}

static int directory_read_page(fuse_req_t req, struct directory *d, fuse_ino_t ino)
{
    struct mount *m = mount_of(req);
    struct list_request list = { .parent = inode_of_fuse(ino),
                                 .count_max = DIRECTORY_PAGE,
                                 .with_inodes = 1 };
    struct list_reply rep = { 0 };
    if (d->count) list.after = d->entries[d->count - 1].name;
    base_of_request(req, &list.base);
    arena_done(&d->page_arena);
    d->page_end = d->page_begin = 0;
    int r = meta_call(m->meta, RPC_METHOD(meta, list), &d->page_arena, &list, &rep, NULL);
    if (r < 0) return r;
    if (rep.inodes.count != rep.entries.count) return -ERR_RPC_VERIFY_RESPONSE;
    if (d->count + rep.entries.count > d->capacity) {
        d->capacity = MAX_OF(d->capacity * 2, d->count + rep.entries.count);
        d->entries = xrealloc(d->entries, d->capacity * sizeof *d->entries);
    }
    d->page_begin = d->count;
    d->page_inodes = rep.inodes.items;
    for (uint32_t i = 0; i < rep.entries.count; i++) {
        d->entries[d->count] = rep.entries.items[i];
        d->entries[d->count].name = arena_copy(&d->names, rep.entries.items[i].name);
        d->count++;
    }
    d->page_end = d->count;
    d->is_complete = !rep.more || !rep.entries.count;
    if (d->is_complete && ino == FUSE_ROOT_ID) add_virtual_tree(d);
    return 0;
}

/* Adds one entry to the answer; false when it does not fit. */
static bool add_entry(fuse_req_t req, char *buf, size_t size, size_t *at, const struct directory *d,
                      uint32_t index, bool plus)
{
    struct mount *m = mount_of(req);
    const struct dentry *entry = &d->entries[index];
    const char *name = (const char *)entry->name.base; /* arena_copy() ends it with a NUL */
    off_t next = (off_t)index + 3;
    struct stat st = { .st_ino = fuse_of_inode(entry->inode), .st_mode = entry->mode };
    bool has_inode = plus && index >= d->page_begin && index < d->page_end &&
                     d->page_inodes[index - d->page_begin].mode;
    size_t n;
    if (!plus) {
        n = fuse_add_direntry(req, buf + *at, size - *at, name, &st, next);
    } else {
        struct fuse_entry_param e = { .attr = st };
        n = fuse_add_direntry_plus(req, NULL, 0, name, &e, next);
        if (n > size - *at) return false;
        if (has_inode) {
            const struct inode *inode = &d->page_inodes[index - d->page_begin];
            struct user_view view = user_view(m, fuse_req_ctx(req)->uid);
            struct mount_inode *mi = mount_inode_get(m, fuse_of_inode(inode->id));
            mount_inode_update(mi, inode);
            mount_inode_to_stat(mi, &e.attr);
            e.ino = fuse_of_inode(inode->id);
            e.attr_timeout = S_ISLNK(inode->mode) ? view.symlink_timeout : view.attr_timeout;
            e.entry_timeout = S_ISLNK(inode->mode) ? view.symlink_timeout : view.entry_timeout;
            mi->lookup_count++;
        }
        n = fuse_add_direntry_plus(req, buf + *at, size - *at, name, &e, next);
    }
    if (n > size - *at) return false;
    *at += n;
    return true;
}

static bool add_dot(fuse_req_t req, char *buf, size_t size, size_t *at, fuse_ino_t ino,
                    off_t offset, bool plus)
{
    struct stat st = { .st_ino = ino, .st_mode = S_IFDIR };
    struct fuse_entry_param e = { .attr = st }; /* ino 0: the kernel takes no reference */
    const char *name = offset == 0 ? "." : "..";
    size_t n = plus ? fuse_add_direntry_plus(req, buf + *at, size - *at, name, &e, offset + 1)
                    : fuse_add_direntry(req, buf + *at, size - *at, name, &st, offset + 1);
    if (n > size - *at) return false;
    *at += n;
    return true;
}

static int fill(fuse_req_t req, struct directory *d, fuse_ino_t ino, char *buf, size_t size,
                size_t *at, off_t offset, bool plus)
{
    if (offset == 0 && d->count) directory_rewind(d);
    for (; offset < 2; offset++)
        if (!add_dot(req, buf, size, at, ino, offset, plus)) return 0;
    for (uint32_t index = (uint32_t)(offset - 2);; index++) {
        while (index >= d->count) {
            if (d->is_complete) return 0;
            int r = directory_read_page(req, d, ino);
            if (r < 0)
                return *at ? 0 : r; /* what is there goes out; the error comes at the next call */
        }
        if (!add_entry(req, buf, size, at, d, index, plus)) return 0;
    }
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi, bool plus)
{
    if (virt_is(ino)) {
        virt_readdir(mount_of(req), req, ino, size, offset, plus);
        return;
    }
    struct directory *d = (struct directory *)(uintptr_t)fi->fh;
    cleanup_(freep) char *buf = xmalloc(size);
    size_t at = 0;
    int r = offset < 0 ? -ERR_INVALID_ARG : fiber_mutex_lock(&d->lock);
    if (r >= 0) {
        r = fill(req, d, ino, buf, size, &at, offset, plus);
        fiber_mutex_unlock(&d->lock);
    }
    if (r < 0) {
        reply_error(req, r);
    } else {
        fuse_reply_buf(req, buf, at);
    }
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *fi)
{
    read_directory(req, ino, size, offset, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    read_directory(req, ino, size, offset, fi, true);
}
