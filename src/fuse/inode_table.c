/* inode_table.c - the inodes that the kernel holds: counted lookups, attributes as last heard. */
#include "fuse/mount.h"

#include "base/check.h"

uint64_t inode_of_fuse(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? INODE_ROOT : ino == 2 ? INODE_GC_ROOT : ino;
}

fuse_ino_t fuse_of_inode(uint64_t id)
{
    return id == INODE_ROOT ? FUSE_ROOT_ID : id == INODE_GC_ROOT ? 2 : id;
}

struct mount_inode *mount_inode_find(struct mount *m, fuse_ino_t ino)
{
    return map_get(&m->inodes, ino);
}

struct mount_inode *mount_inode_get(struct mount *m, fuse_ino_t ino)
{
    struct mount_inode *mi = mount_inode_find(m, ino);
    if (mi) return mi;
    mi = new_zero(struct mount_inode);
    mi->mount = m;
    mi->id = inode_of_fuse(ino);
    mi->pages_change = mi->attributes_change = CHANGE_NONE;
    fiber_mutex_init(&mi->session_lock);
    fiber_rwlock_init(&mi->io);
    map_put(&m->inodes, ino, mi);
    return mi;
}

static void mount_inode_destroy(struct mount_inode *mi)
{
    map_remove(&mi->mount->inodes, fuse_of_inode(mi->id));
    writes_free(mi);
    free((void *)(uintptr_t)mi->inode.symlink.base);
    free(mi->inode.layout.chains.items);
    free(mi);
}

static void mount_inode_release_unused(struct mount_inode *mi)
{
    bool is_used = mi->lookup_count || mi->open_count || mi->pin_count || writes_are_dirty(mi);
    if (!is_used && uuid_is_zero(mi->session)) mount_inode_destroy(mi);
}

void mount_inode_pin(struct mount_inode *mi)
{
    mi->pin_count++;
}

void mount_inode_unpin(struct mount_inode *mi)
{
    check(mi->pin_count > 0);
    mi->pin_count--;
    mount_inode_release_unused(mi);
}

void mount_inode_forget(struct mount *m, fuse_ino_t ino, uint64_t count)
{
    struct mount_inode *mi = mount_inode_find(m, ino);
    if (!mi) return;
    mi->lookup_count -= MIN_OF(count, mi->lookup_count);
    mount_inode_release_unused(mi);
}

void mount_inode_update(struct mount_inode *mi, const struct inode *inode)
{
    /* An answer that was overtaken by a newer one says nothing new. */
    bool is_older = mi->is_known && !S_ISDIR(inode->mode) && inode->change < mi->inode.change &&
                    inode->generation <= mi->inode.generation;
    if (is_older) return;
    struct inode copy = *inode;
    if (inode->symlink.size) {
        uint8_t *target = xmalloc(inode->symlink.size);
        memcpy(target, inode->symlink.base, inode->symlink.size);
        copy.symlink.base = target;
    } else {
        copy.symlink = bytes_of(NULL, 0);
    }
    if (inode->layout.chains.count) {
        size_t size = inode->layout.chains.count * sizeof copy.layout.chains.items[0];
        copy.layout.chains.items = xmalloc(size);
        memcpy(copy.layout.chains.items, inode->layout.chains.items, size);
    } else {
        copy.layout.chains = (struct u32_list){ 0 };
    }
    free((void *)(uintptr_t)mi->inode.symlink.base);
    free(mi->inode.layout.chains.items);
    mi->inode = copy;
    mi->is_known = true;
    mi->heard_ns = node_now_ns(mi->mount->node);
    mi->is_touched_here = false;
}

void mount_directory_touched(struct mount *m, fuse_ino_t directory, int64_t time_ns)
{
    struct mount_inode *mi = mount_inode_find(m, directory);
    if (!mi || !mi->is_known) return;
    mi->inode.mtime_ns = MAX_OF(mi->inode.mtime_ns, time_ns);
    mi->inode.ctime_ns = MAX_OF(mi->inode.ctime_ns, time_ns);
    mi->is_touched_here = true;
}

void mount_directory_changed(struct mount *m, fuse_ino_t directory)
{
    struct mount_inode *mi = mount_inode_find(m, directory);
    if (mi) mi->heard_ns = 0;
}

uint64_t mount_inode_length(const struct mount_inode *mi)
{
    return MAX_OF(mi->inode.length, writes_end(mi));
}

static struct timespec timespec_of(int64_t ns)
{
    int64_t sec = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        sec--;
        rest += 1000000000;
    }
    return (struct timespec){ .tv_sec = sec, .tv_nsec = rest };
}

void mount_inode_to_stat(struct mount_inode *mi, struct stat *st)
{
    const struct inode *i = &mi->inode;
    int64_t written_ns = writes_mtime_ns(mi);
    *st = (struct stat){ .st_ino = fuse_of_inode(i->id),
                         .st_mode = i->mode,
                         .st_nlink = i->nlink,
                         .st_uid = i->uid,
                         .st_gid = i->gid,
                         .st_rdev = (dev_t)i->rdev,
                         .st_blksize = 4096 };
    st->st_size = (off_t)(S_ISREG(i->mode) ? mount_inode_length(mi) : i->length);
    if (S_ISDIR(i->mode)) st->st_size = 4096;
    if (S_ISREG(i->mode)) st->st_blksize = (blksize_t)MAX_OF(i->layout.chunk_size, 4096u);
    st->st_blocks = (blkcnt_t)(((uint64_t)st->st_size + 511) / 512);
    st->st_atim = timespec_of(access_time_ns(mi));
    st->st_mtim = timespec_of(written_ns ? written_ns : i->mtime_ns);
    st->st_ctim = timespec_of(MAX_OF(written_ns, i->ctime_ns));
    mi->attributes_change = i->change;
}

void mount_inode_followed(struct mount_inode *mi, uint64_t change, uint32_t generation)
{
    /* A truncate that leaves chunks counts twice: when it is done and when they are gone. */
    uint64_t generations = mi->inode.generation - generation;
    bool is_own = mi->inode.change - change == 1 + generations / 2;
    if (!is_own || (generations != 0 && generations != 2)) return;
    if (mi->pages_change == change) mi->pages_change = mi->inode.change;
    if (mi->attributes_change == change) mi->attributes_change = mi->inode.change;
}

void reply_entry(struct mount *m, fuse_req_t req, const struct inode *inode)
{
    fuse_ino_t ino = fuse_of_inode(inode->id);
    struct user_view view = user_view(m, fuse_req_ctx(req)->uid);
    struct mount_inode *mi = mount_inode_get(m, ino);
    mount_inode_update(mi, inode);
    bool is_link = S_ISLNK(inode->mode);
    struct fuse_entry_param e = { .ino = ino,
                                  .attr_timeout =
                                      is_link ? view.symlink_timeout : view.attr_timeout,
                                  .entry_timeout =
                                      is_link ? view.symlink_timeout : view.entry_timeout };
    mount_inode_to_stat(mi, &e.attr);
    mi->lookup_count++;
    if (fuse_reply_entry(req, &e) != 0) mount_inode_forget(m, ino, 1);
}

void inode_table_done(struct mount *m)
{
    size_t at = 0;
    struct mount_inode *mi;
    while ((mi = map_next(&m->inodes, &at)))
        mount_inode_destroy(mi);
    map_done(&m->inodes);
}
