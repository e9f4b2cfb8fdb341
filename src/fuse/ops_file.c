/* ops_file.c - open files: open and create, read and write, flush, fsync, release, fallocate,
 * lseek. */
#include "fuse/mount.h"

#include "base/check.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#define META_PATIENCE_NS (500 * MSEC)

static struct mount_file *file_of(struct fuse_file_info *fi)
{
    return (struct mount_file *)(uintptr_t)fi->fh;
}

/* Appending past the page cache: through it the kernel cuts a write at pages, and what another
 * mount appends at the same time would come in between. A handle that also reads may be mapped,
 * which needs the cache; its appends stay whole only among processes of this mount. */
static bool opens_for_appending(int flags)
{
    return (flags & O_APPEND) && (flags & O_ACCMODE) == O_WRONLY;
}

static bool opens_for_writing(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

static void file_attach(struct mount_inode *mi, struct fuse_file_info *fi)
{
    struct mount_file *f = new_zero(struct mount_file);
    *f = (struct mount_file){ .mi = mi, .writes = opens_for_writing(fi->flags) };
    list_push_back(&mi->mount->open_files, &f->link);
    mi->open_count++;
    if (f->writes) mi->writer_count++;
    fi->fh = (uintptr_t)f;
}

static void file_detach(struct mount_file *f)
{
    f->mi->open_count--;
    if (f->is_cached) f->mi->cached_count--;
    if (f->is_direct) f->mi->direct_count--;
    if (f->writes) f->mi->writer_count--;
    list_remove(&f->link);
    access_time_send(f->mi);
    session_end_unused(f->mi);
    free(f);
}

/* Whether the handle uses the page cache; what the kernel holds of the inode must then be what meta
 * has now: pages or attributes of an older state go before the open is answered. */
static void decide_cache(fuse_req_t req, struct mount_inode *mi, struct fuse_file_info *fi,
                         bool is_new)
{
    struct user_view view = user_view(mi->mount, fuse_req_ctx(req)->uid);
    uint64_t change = mi->inode.change;
    bool has_old_pages = mi->pages_change != change && mi->pages_change != CHANGE_NONE;
    bool has_old_attributes = mi->attributes_change != change && !is_new;
    fi->keep_cache = mi->pages_change == change || is_new;
    fi->direct_io = (fi->flags & O_DIRECT) || opens_for_appending(fi->flags) ||
                    (!view.enable_read_cache && !(fi->flags & O_NONBLOCK));
    if (has_old_pages) {
        mount_invalidate_pages(mi->mount, fuse_of_inode(mi->id), 0, 0);
    } else if (has_old_attributes) {
        mount_invalidate_attributes(mi->mount, fuse_of_inode(mi->id));
    }
    bool fills_pages = !fi->direct_io || mi->cached_count;
    if (has_old_pages || fills_pages) mi->pages_change = fills_pages ? change : CHANGE_NONE;
    struct mount_file *f = file_of(fi);
    f->is_direct = fi->direct_io;
    f->is_cached = !fi->direct_io;
    ++*(f->is_direct ? &mi->direct_count : &mi->cached_count);
}

static int open_inode(fuse_req_t req, struct mount_inode *mi, struct fuse_file_info *fi)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct mount *m = mi->mount;
    bool writes = opens_for_writing(fi->flags);
    /* This mount's own writes come first, so that the answer speaks of them too. */
    int r = writes_are_dirty(mi) ? writes_settle(mi) : 0;
    if (r < 0) return r;
    bool needs_session = writes && (uuid_is_zero(mi->session) || !mi->session_writes);
    if (needs_session) return session_ensure(mi, req, true);
    struct open_request open = { .inode = mi->id, .access = R_OK };
    struct inode_reply rep = { 0 };
    base_of_request(req, &open.base);
    r = meta_call(m->meta, RPC_METHOD(meta, open), &arena, &open, &rep, NULL);
    if (r >= 0) mount_inode_update(mi, &rep.inode);
    return r;
}

/* Another mount removed the file or put another in its place, and the kernel came here by a name it
 * remembers: told so, it looks the name up again. Who has the file open may open it once more
 * through /proc. */
static bool is_opened_by_old_name(const struct mount_inode *mi)
{
    return mi->inode.nlink == 0 && mi->cached_count + mi->direct_count == 0;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    int r = virt_is(ino) ? -ERR_META_NO_PERMISSION : 0;
    if (r >= 0 && opens_for_writing(fi->flags)) r = check_writable(req);
    if (r < 0) {
        reply_error(req, r);
        return;
    }
    struct mount_inode *mi = mount_inode_get(m, ino);
    mount_inode_pin(mi);
    /* First: a release meanwhile must not end the session that this one finds. */
    file_attach(mi, fi);
    r = open_inode(req, mi, fi);
    if (r >= 0 && is_opened_by_old_name(mi)) r = -ERR_META_STALE;
    if (r < 0) {
        reply_error(req, r == -ERR_META_NOT_FOUND ? -ERR_META_STALE : r);
    } else {
        decide_cache(req, mi, fi, false);
        r = fuse_reply_open(req, fi);
    }
    if (r < 0) file_detach(file_of(fi));
    mount_inode_unpin(mi);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    cleanup_arena_ struct arena arena = { 0 };
    struct create_request create = { .parent = inode_of_fuse(parent),
                                     .name = bytes_of_text(name),
                                     .mode = (mode & 07777) | S_IFREG,
                                     .exclusive = (fi->flags & O_EXCL) != 0 };
    struct inode_reply rep = { 0 };
    bool writes = opens_for_writing(fi->flags);
    if (writes)
        create.session = (struct uuid){ node_random_u64(m->node), node_random_u64(m->node) | 1 };
    base_of_request(req, &create.base);
    int r = virt_is(parent) ? -ERR_META_NO_PERMISSION : check_writable(req);
    if (r >= 0) r = meta_call(m->meta, RPC_METHOD(meta, create), &arena, &create, &rep, NULL);
    if (r < 0) {
        session_doubt(m, r, create.parent, name, create.session);
        mount_directory_changed(m, parent);
        reply_error(req, r);
        return;
    }
    fuse_ino_t ino = fuse_of_inode(rep.inode.id);
    struct mount_inode *mi = mount_inode_get(m, ino);
    mount_inode_pin(mi);
    mount_inode_update(mi, &rep.inode);
    mount_directory_touched(m, parent, rep.created ? rep.inode.btime_ns : 0);
    bool replaces_session = writes && uuid_is_zero(mi->session);
    if (replaces_session) {
        mi->session = create.session;
        mi->session_writes = true;
    }
    mi->lookup_count++;
    file_attach(mi, fi);
    decide_cache(req, mi, fi, rep.created);
    struct user_view view = user_view(m, fuse_req_ctx(req)->uid);
    struct fuse_entry_param e = { .ino = ino,
                                  .attr_timeout = view.attr_timeout,
                                  .entry_timeout = view.entry_timeout };
    mount_inode_to_stat(mi, &e.attr);
    if (fuse_reply_create(req, &e, fi) != 0) {
        file_detach(file_of(fi));
        mi->lookup_count--;
    }
    /* An existing file that this mount has open already: one session is enough. */
    if (writes && !replaces_session) session_end(m, mi->id, create.session);
    mount_inode_unpin(mi);
}

/* ---- bytes ---- */

/* Has the file any chunk at all? One that was collected has none. */
static bool has_chunks(struct mount_inode *mi)
{
    uint64_t length = 0;
    int r = file_query_length(mi->mount->storage, mi->mount->routing, &mi->inode, &length);
    return r >= 0 && length;
}

/* Chunks that are absent are a hole, or were collected after another mount had unlinked the file:
 * what that mount removed must not be read as zeros. Collection waits for a while after the unlink,
 * so to have heard of the file as late as a second ago is enough. With meta away, the chunks that
 * are there tell: reads of a file that is open do not wait for meta. */
static int check_not_collected(fuse_req_t req, struct mount_inode *mi)
{
    struct node *node = mi->mount->node;
    uint64_t heard_ns = mi->inode.nlink ? mi->heard_ns : 0;
    if (node_now_ns(node) - MAX_OF(heard_ns, mi->kept_ns) < SEC) return 0;
    int r;
    {
        FIBER_TIMEOUT(META_PATIENCE_NS);
        r = mount_inode_refresh(req, mi);
    }
    bool is_away = r < 0 && error_action(r) != ACTION_FAIL;
    if (is_away) r = has_chunks(mi) ? 0 : mount_inode_refresh(req, mi);
    bool is_kept = mi->inode.nlink || !uuid_is_zero(mi->session);
    if (r > 0 || (r == 0 && !is_kept)) return -ERR_META_STALE;
    if (r == 0) mi->kept_ns = node_now_ns(node);
    return r;
}

static ssize_t read_file(fuse_req_t req, struct mount_inode *mi, void *to, size_t size,
                         uint64_t offset)
{
    struct mount *m = mi->mount;
    uint32_t absent_count = 0;
    struct read_options options = { .choice = TARGET_SPREAD, .ret_absent_count = &absent_count };
    ssize_t n = file_read_chunks(m->storage, m->routing, &mi->inode, mount_inode_length(mi), to,
                                 size, offset, &options);
    int r = n >= 0 && absent_count ? check_not_collected(req, mi) : 0;
    return r < 0 ? r : n;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct mount_inode *mi = file_of(fi)->mi;
    struct mount *m = mi->mount;
    mount_inode_pin(mi);
    cleanup_(freep) char *buf = xmalloc(size);
    int locked = fiber_rwlock_read(&mi->io);
    ssize_t n = locked;
    if (locked >= 0) {
        n = writes_are_pending(mi) ? writes_flush(mi) : 0;
        if (n >= 0 && user_view(m, fuse_req_ctx(req)->uid).dryrun_bench_mode) {
            memset(buf, 0, size);
            n = (ssize_t)size;
        } else if (n >= 0) {
            n = read_file(req, mi, buf, size, (uint64_t)offset);
        }
        fiber_rwlock_unlock(&mi->io);
    }
    if (n < 0) {
        reply_error(req, (int)n);
    } else {
        if (!(fi->flags & O_NOATIME) && check_writable(req) >= 0) access_time_note(mi);
        fuse_reply_buf(req, buf, (size_t)n);
    }
    mount_inode_unpin(mi);
}

/* Reserves the place behind the end of the file for all mounts together. */
static int append_offset(fuse_req_t req, struct mount_inode *mi, size_t size, uint64_t *ret)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct append_request append = { .inode = mi->id, .length = size };
    struct append_reply rep = { 0 };
    int r = writes_are_dirty(mi) ? writes_settle(mi) : 0;
    if (r < 0) return r;
    uint64_t change = mi->inode.change;
    uint32_t generation = mi->inode.generation;
    base_of_request(req, &append.base);
    r = meta_call(mi->mount->meta, RPC_METHOD(meta, append), &arena, &append, &rep, NULL);
    if (r < 0) return r;
    mount_inode_update(mi, &rep.inode);
    mount_inode_followed(mi, change, generation);
    *ret = rep.offset;
    return 0;
}

/* *ret_moved: another mount appended too, so the bytes are not where the kernel took them to be. */
static int write_file(fuse_req_t req, struct mount_file *f, const char *data, size_t size,
                      uint64_t offset, bool is_append, bool is_direct, bool *ret_moved)
{
    struct mount_inode *mi = f->mi;
    if (user_view(mi->mount, fuse_req_ctx(req)->uid).dryrun_bench_mode) return 0;
    uint64_t limit = (uint64_t)mi->inode.layout.chunk_size << 32;
    if (offset > limit || size > limit - offset) return -ERR_META_FILE_TOO_LARGE;
    if (!is_append)
        return is_direct ? write_through(mi, data, size, offset)
                         : write_buffered(mi, data, size, offset);
    uint64_t at = offset;
    int r = append_offset(req, mi, size, &at);
    if (r < 0) return r;
    *ret_moved = at != offset;
    return write_through(mi, data, size, at);
}

/* After a write past the page cache, in which readers may have put older bytes meanwhile. */
static void drop_passed_pages(struct mount_inode *mi, uint64_t offset, uint64_t size)
{
    if (mi->pages_change == CHANGE_NONE) return;
    if (mi->cached_count == 0) {
        mi->pages_change = CHANGE_NONE;
        mount_invalidate_pages(mi->mount, fuse_of_inode(mi->id), 0, 0);
    } else {
        mount_invalidate_pages(mi->mount, fuse_of_inode(mi->id), offset, size);
    }
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
              struct fuse_file_info *fi)
{
    struct mount_file *f = file_of(fi);
    struct mount_inode *mi = f ? f->mi : mount_inode_find(mount_of(req), ino);
    if (!mi) {
        reply_error(req, -ERR_META_STALE);
        return;
    }
    struct mount_file of_page = { .mi = mi, .writes = true, .is_cached = true };
    bool is_append = !fi->writepage && (fi->flags & O_APPEND);
    bool is_direct = !fi->writepage && (fi->flags & (O_DIRECT | O_SYNC | O_DSYNC));
    mount_inode_pin(mi);
    bool moved = false;
    int r = fiber_rwlock_read(&mi->io);
    if (r >= 0) {
        r = write_file(req, f ? f : &of_page, data, size, (uint64_t)offset, is_append, is_direct,
                       &moved);
        fiber_rwlock_unlock(&mi->io);
    }
    if (r >= 0 && !fi->writepage && (fi->flags & (O_SYNC | O_DSYNC))) {
        r = writes_settle(mi);
        if (r >= 0) r = writes_take_error(mi);
    }
    if (f && f->is_direct) drop_passed_pages(mi, moved ? 0 : (uint64_t)offset, moved ? 0 : size);
    if (r < 0) {
        reply_error(req, r);
    } else {
        fuse_reply_write(req, size);
    }
    /* The kernel has put the bytes at the wrong place of its cache, in pages that it holds until it
     * has the answer. */
    if (f && f->is_cached && moved) mount_invalidate_pages(mi->mount, ino, 0, 0);
    mount_inode_unpin(mi);
}

static void settle_and_reply(fuse_req_t req, struct fuse_file_info *fi)
{
    struct mount_inode *mi = file_of(fi)->mi;
    mount_inode_pin(mi);
    int r = writes_settle(mi), lost = writes_take_error(mi);
    reply_error(req, lost < 0 ? lost : MIN_OF(r, 0));
    mount_inode_unpin(mi);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    settle_and_reply(req, fi);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    settle_and_reply(req, fi);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount_file *f = file_of(fi);
    struct mount_inode *mi = f->mi;
    mount_inode_pin(mi);
    reply_error(req, 0); /* nobody waits for the rest */
    /* Pages of a mapping may have come after the last flush. */
    int r = f->writes && mi->writer_count == 1 ? writes_settle(mi) : 0;
    if (r < 0)
        log_warn(&mi->mount->node->log, r, "inode %llx: what was written last is not settled",
                 (unsigned long long)mi->id);
    file_detach(f);
    mount_inode_unpin(mi);
}

/* ---- space ---- */

/* Zeros over what is there; beyond the end there is nothing to do. */
static int write_zeros(struct mount_inode *mi, uint64_t offset, uint64_t end)
{
    static const char zeros[65536];
    end = MIN_OF(end, mount_inode_length(mi));
    while (offset < end) {
        size_t n = (size_t)MIN_OF(end - offset, (uint64_t)sizeof zeros);
        int r = write_buffered(mi, zeros, n, offset);
        if (r < 0) return r;
        offset += n;
    }
    return 0;
}

static int extend_to(fuse_req_t req, struct mount_inode *mi, uint64_t length)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct setattr_request set = { .inode = mi->id,
                                   .set = SETATTR_LENGTH | SETATTR_EXTEND_ONLY,
                                   .length = length,
                                   .via_open_file = 1 };
    struct inode_reply rep = { 0 };
    int r = writes_are_dirty(mi) ? writes_settle(mi) : 0;
    base_of_request(req, &set.base);
    if (r >= 0) r = meta_call(mi->mount->meta, RPC_METHOD(meta, setattr), &arena, &set, &rep, NULL);
    if (r >= 0) mount_inode_update(mi, &rep.inode);
    return r;
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                  struct fuse_file_info *fi)
{
    struct mount_inode *mi = file_of(fi)->mi;
    bool keeps_size = mode & FALLOC_FL_KEEP_SIZE;
    bool zeroes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
    int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    if (mode & ~known || offset < 0 || length <= 0) {
        reply_error(req, mode & ~known ? -ERR_NOT_SUPPORTED : -ERR_INVALID_ARG);
        return;
    }
    mount_inode_pin(mi);
    uint64_t end = (uint64_t)offset + (uint64_t)length;
    int r = fiber_rwlock_write(&mi->io);
    if (r >= 0) {
        if (zeroes) r = write_zeros(mi, (uint64_t)offset, end);
        if (r >= 0 && zeroes) r = writes_flush(mi);
        if (r >= 0 && !keeps_size && end > mount_inode_length(mi)) r = extend_to(req, mi, end);
        fiber_rwlock_unlock(&mi->io);
    }
    reply_error(req, MIN_OF(r, 0));
    mount_inode_unpin(mi);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
    struct mount_inode *mi = file_of(fi)->mi;
    uint64_t length = mount_inode_length(mi);
    /* Chunks that are absent are not told from zeros here: all of the file is data, which POSIX
     * allows. */
    if (offset < 0 || (uint64_t)offset >= length) {
        fuse_reply_err(req, ENXIO);
    } else {
        fuse_reply_lseek(req, whence == SEEK_HOLE ? (off_t)length : offset);
    }
}
