/* ops_attr.c - attributes, extended attributes, the size of the file system. */
#include "fuse/mount.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

int mount_inode_refresh(fuse_req_t req, struct mount_inode *mi)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct stat_request st = { .inodes = { &mi->id, 1 } };
    struct stat_reply rep = { 0 };
    base_of_request(req, &st.base);
    int r = meta_call(mi->mount->meta, RPC_METHOD(meta, stat), &arena, &st, &rep, NULL);
    if (r < 0) return r;
    if (rep.inodes.count != 1) return -ERR_RPC_VERIFY_RESPONSE;
    if (rep.inodes.items[0].mode == 0) {
        /* Removed, but somebody here still holds it: it has no name any more. */
        if (!mi->is_known) return -ERR_META_STALE;
        mi->inode.nlink = 0;
        return 1;
    }
    mount_inode_update(mi, &rep.inodes.items[0]);
    return 0;
}

static void reply_attr(fuse_req_t req, struct mount_inode *mi)
{
    struct stat st;
    struct user_view view = user_view(mi->mount, fuse_req_ctx(req)->uid);
    mount_inode_to_stat(mi, &st);
    double timeout_s = S_ISLNK(st.st_mode) ? view.symlink_timeout : view.attr_timeout;
    fuse_reply_attr(req, &st, mount_attr_timeout(mi, timeout_s));
}

/* The kernel asks for a directory anew after each file that is made or removed in it, though only
 * times have changed, and this mount knows them. It may keep the answer for as long as it could
 * have kept the one before. */
static bool reply_touched(fuse_req_t req, struct mount_inode *mi)
{
    struct user_view view = user_view(mi->mount, fuse_req_ctx(req)->uid);
    if (!mi->is_touched_here || !mi->heard_ns) return false;
    mi->is_touched_here = false;
    double age_s = (double)(node_now_ns(mi->mount->node) - mi->heard_ns) / (double)SEC;
    if (age_s >= view.attr_timeout) return false;
    struct stat st;
    mount_inode_to_stat(mi, &st);
    fuse_reply_attr(req, &st, mount_attr_timeout(mi, view.attr_timeout - age_s));
    return true;
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    if (virt_is(ino)) {
        virt_getattr(m, req, ino);
        return;
    }
    struct mount_inode *mi = mount_inode_get(m, ino);
    if (reply_touched(req, mi)) return;
    struct user_view view = user_view(m, fuse_req_ctx(req)->uid);
    mount_inode_pin(mi);
    int r = 0;
    if (view.flush_on_stat && view.sync_on_stat && writes_are_dirty(mi)) {
        r = writes_settle(mi);
    } else {
        r = mount_inode_refresh(req, mi);
    }
    if (r < 0) {
        reply_error(req, r);
    } else {
        reply_attr(req, mi);
    }
    mount_inode_unpin(mi);
}

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static void setattr_of(const struct stat *attr, int set, struct setattr_request *ret)
{
    static const struct {
        int from;
        uint32_t to;
    } bits[] = { { FUSE_SET_ATTR_MODE, SETATTR_MODE },
                 { FUSE_SET_ATTR_UID, SETATTR_UID },
                 { FUSE_SET_ATTR_GID, SETATTR_GID },
                 { FUSE_SET_ATTR_SIZE, SETATTR_LENGTH },
                 { FUSE_SET_ATTR_ATIME_NOW, SETATTR_ATIME_NOW },
                 { FUSE_SET_ATTR_MTIME_NOW, SETATTR_MTIME_NOW } };
    for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
        if (set & bits[i].from) ret->set |= bits[i].to;
    if ((set & FUSE_SET_ATTR_ATIME) && !(set & FUSE_SET_ATTR_ATIME_NOW)) ret->set |= SETATTR_ATIME;
    if ((set & FUSE_SET_ATTR_MTIME) && !(set & FUSE_SET_ATTR_MTIME_NOW)) ret->set |= SETATTR_MTIME;
    ret->mode = attr->st_mode;
    ret->uid = attr->st_uid;
    ret->gid = attr->st_gid;
    ret->length = (uint64_t)attr->st_size;
    ret->atime_ns = ns_of(&attr->st_atim);
    ret->mtime_ns = ns_of(&attr->st_mtim);
}

static int setattr_call(fuse_req_t req, struct mount_inode *mi, struct setattr_request *set)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct inode_reply rep = { 0 };
    base_of_request(req, &set->base);
    /* What was written before comes before; a later settlement must not undo times set now. */
    int r = writes_are_dirty(mi) ? writes_settle(mi) : 0;
    uint64_t change = mi->inode.change;
    uint32_t generation = mi->inode.generation;
    if (r >= 0 && set->set & (SETATTR_ATIME | SETATTR_ATIME_NOW)) r = access_time_forget(mi);
    if (r >= 0) r = meta_call(mi->mount->meta, RPC_METHOD(meta, setattr), &arena, set, &rep, NULL);
    if (r < 0) return r;
    mount_inode_update(mi, &rep.inode);
    mount_inode_followed(mi, change, generation);
    if (set->set & SETATTR_LENGTH) writes_truncated(mi, set->length, rep.inode.generation);
    return 0;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set,
                struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    int r = virt_is(ino) ? -ERR_META_NO_PERMISSION : check_writable(req);
    if (r < 0) {
        reply_error(req, r);
        return;
    }
    struct mount_inode *mi = mount_inode_get(m, ino);
    struct setattr_request change = { .inode = mi->id, .via_open_file = fi != NULL };
    setattr_of(attr, set, &change);
    mount_inode_pin(mi);
    bool truncates = change.set & SETATTR_LENGTH;
    if (truncates) r = fiber_rwlock_write(&mi->io);
    if (r >= 0) {
        r = setattr_call(req, mi, &change);
        if (truncates) fiber_rwlock_unlock(&mi->io);
    }
    if (r < 0) {
        reply_error(req, r);
    } else {
        reply_attr(req, mi);
    }
    mount_inode_unpin(mi);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct mount *m = mount_of(req);
    cleanup_arena_ struct arena arena = { 0 };
    struct base_request ask = { 0 };
    struct statfs_reply rep = { 0 };
    base_of_request(req, &ask.base);
    int r = meta_call(m->meta, RPC_METHOD(meta, statfs), &arena, &ask, &rep, NULL);
    if (r < 0) {
        reply_error(req, r);
        return;
    }
    struct statvfs st = { .f_bsize = 4096,
                          .f_frsize = 4096,
                          .f_blocks = rep.capacity_bytes / 4096,
                          .f_bfree = rep.free_bytes / 4096,
                          .f_bavail = rep.available_bytes / 4096,
                          .f_namemax = NAME_BYTES_MAX };
    fuse_reply_statfs(req, &st);
}

/* ---- extended attributes ---- */

static int xattr_call(fuse_req_t req, fuse_ino_t ino, const struct rpc_method *method,
                      struct arena *arena, struct xattr_request *x, void *reply)
{
    if (virt_is(ino)) return -ERR_NOT_SUPPORTED;
    base_of_request(req, &x->base);
    x->inode = inode_of_fuse(ino);
    return meta_call(mount_of(req)->meta, method, arena, x, reply, NULL);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                 int flags)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct xattr_request x = { .name = bytes_of_text(name),
                               .value = bytes_of(value, size),
                               .flags = (uint32_t)flags };
    struct empty_record rep;
    int r = check_writable(req);
    if (r >= 0) r = xattr_call(req, ino, RPC_METHOD(meta, xattr_set), &arena, &x, &rep);
    reply_error(req, MIN_OF(r, 0));
}

static void reply_sized(fuse_req_t req, const void *data, size_t data_size, size_t asked)
{
    if (asked == 0) {
        fuse_reply_xattr(req, data_size);
    } else if (data_size > asked) {
        fuse_reply_err(req, ERANGE);
    } else {
        fuse_reply_buf(req, data, data_size);
    }
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct xattr_request x = { .name = bytes_of_text(name) };
    struct xattr_reply rep = { 0 };
    /* Asked for at every write by kernels with security modules: there are none here. */
    bool is_capability = !strcmp(name, "security.capability");
    int r = is_capability ? -ERR_META_NO_ATTR
                          : xattr_call(req, ino, RPC_METHOD(meta, xattr_get), &arena, &x, &rep);
    if (r < 0) {
        reply_error(req, r);
        return;
    }
    reply_sized(req, rep.value.base, rep.value.size, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct xattr_request x = { 0 };
    struct xattr_reply rep = { 0 };
    int r = virt_is(ino) ? 0 : xattr_call(req, ino, RPC_METHOD(meta, xattr_list), &arena, &x, &rep);
    if (r < 0) {
        reply_error(req, r);
        return;
    }
    size_t total = 0, at = 0;
    for (uint32_t i = 0; i < rep.names.count; i++)
        total += rep.names.items[i].size + 1;
    char *names = arena_alloc(&arena, total);
    for (uint32_t i = 0; i < rep.names.count; i++) {
        memcpy(names + at, rep.names.items[i].base, rep.names.items[i].size);
        at += rep.names.items[i].size;
        names[at++] = 0;
    }
    reply_sized(req, names, total, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct xattr_request x = { .name = bytes_of_text(name) };
    struct empty_record rep;
    int r = check_writable(req);
    if (r >= 0) r = xattr_call(req, ino, RPC_METHOD(meta, xattr_remove), &arena, &x, &rep);
    reply_error(req, MIN_OF(r, 0));
}
