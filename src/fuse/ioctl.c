/* ioctl.c - what programs for 3FS ask of a file descriptor (type 'h'), and the inode flags of
 * chattr. */
#include "fuse/mount.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#define HF3FS_IOC_GET_MOUNT_NAME    _IOR('h', 0, char[32])
#define HF3FS_IOC_GET_PATH_OFFSET   _IOR('h', 1, uint32_t)
#define HF3FS_IOC_GET_MAGIC_NUM     _IOR('h', 2, uint32_t)
#define HF3FS_IOC_GET_IOCTL_VERSION _IOR('h', 3, uint32_t)
#define HF3FS_IOC_FSYNC             _IOR('h', 11, uint32_t)
enum { HF3FS_IOCTL_VERSION = 1 };
static const uint32_t hf3fs_magic = 0x8f3f5fff;

static void reply_u32(fuse_req_t req, uint32_t value)
{
    fuse_reply_ioctl(req, 0, &value, sizeof value);
}

static int flags_set(fuse_req_t req, struct mount_inode *mi, uint32_t flags)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct setattr_request set = { .inode = mi->id, .set = SETATTR_FLAGS, .flags = flags };
    struct inode_reply rep = { 0 };
    base_of_request(req, &set.base);
    int r = check_writable(req);
    if (r >= 0) r = meta_call(mi->mount->meta, RPC_METHOD(meta, setattr), &arena, &set, &rep, NULL);
    if (r >= 0) mount_inode_update(mi, &rep.inode);
    return r;
}

static void ioctl_inode(fuse_req_t req, struct mount_inode *mi, unsigned cmd, const void *in,
                        size_t in_size)
{
    int r = 0;
    uint32_t flags = 0;
    struct fsxattr attributes = { 0 };
    switch (cmd) {
    case FS_IOC_GETFLAGS: reply_u32(req, mi->inode.flags); return;
    case FS_IOC_FSGETXATTR:
        if (mi->inode.flags & FS_IMMUTABLE_FL) attributes.fsx_xflags = FS_XFLAG_IMMUTABLE;
        fuse_reply_ioctl(req, 0, &attributes, sizeof attributes);
        return;
    case FS_IOC_SETFLAGS:
        if (in_size < sizeof flags) {
            r = -ERR_INVALID_ARG;
            break;
        }
        memcpy(&flags, in, sizeof flags);
        r = flags_set(req, mi, flags);
        break;
    case HF3FS_IOC_FSYNC:
        r = writes_settle(mi);
        if (r < 0) break;
        reply_u32(req, 0);
        mi->pages_change = mi->attributes_change = CHANGE_NONE;
        mount_invalidate_pages(mi->mount, fuse_of_inode(mi->id), 0, 0);
        return;
    default: fuse_reply_err(req, _IOC_TYPE(cmd) == 'h' ? EINVAL : ENOTTY); return;
    }
    if (r < 0) {
        reply_error(req, r);
    } else {
        fuse_reply_ioctl(req, 0, NULL, 0);
    }
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
              unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    struct mount *m = mount_of(req);
    char name[32] = { 0 };
    if (flags & FUSE_IOCTL_COMPAT) {
        fuse_reply_err(req, ENOSYS);
        return;
    }
    switch (cmd) {
    case HF3FS_IOC_GET_MOUNT_NAME:
        memcpy(name, m->settings->cluster_id, strnlen(m->settings->cluster_id, sizeof name - 1));
        fuse_reply_ioctl(req, 0, name, sizeof name);
        return;
    case HF3FS_IOC_GET_PATH_OFFSET: reply_u32(req, (uint32_t)strlen(m->mountpoint)); return;
    case HF3FS_IOC_GET_MAGIC_NUM: reply_u32(req, hf3fs_magic); return;
    case HF3FS_IOC_GET_IOCTL_VERSION: reply_u32(req, HF3FS_IOCTL_VERSION); return;
    default: break;
    }
    if (virt_is(ino)) {
        reply_error(req, -ERR_INVALID_ARG);
        return;
    }
    struct mount_inode *mi = mount_inode_get(m, ino);
    mount_inode_pin(mi);
    ioctl_inode(req, mi, cmd, in, in_size);
    mount_inode_unpin(mi);
}
