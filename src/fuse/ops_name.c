/* ops_name.c - names: lookup and forget, making, linking, renaming, removing. */
#include "fuse/mount.h"

#include <stdio.h>
#include <unistd.h>

/* Every change of names ends alike: the status, or the entry. */
static void reply_inode(fuse_req_t req, int r, const struct inode *inode)
{
    if (r < 0) {
        reply_error(req, r);
    } else {
        reply_entry(mount_of(req), req, inode);
    }
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct mount *m = mount_of(req);
    if ((virt_is(parent) || parent == FUSE_ROOT_ID) && virt_lookup(m, req, parent, name)) return;
    cleanup_arena_ struct arena arena = { 0 };
    struct lookup_request look = { .parent = inode_of_fuse(parent), .name = bytes_of_text(name) };
    struct inode_reply rep = { 0 };
    base_of_request(req, &look.base);
    int r = meta_call(m->meta, RPC_METHOD(meta, lookup), &arena, &look, &rep, NULL);
    if (r == -ERR_META_NOT_FOUND) {
        double timeout = user_view(m, fuse_req_ctx(req)->uid).negative_timeout;
        struct fuse_entry_param none = { .ino = 0, .entry_timeout = timeout };
        if (timeout > 0) {
            fuse_reply_entry(req, &none);
            return;
        }
    }
    reply_inode(req, r, &rep.inode);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    mount_inode_forget(mount_of(req), ino, count);
    fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        mount_inode_forget(mount_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void create_node(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        dev_t rdev, const char *target)
{
    struct mount *m = mount_of(req);
    cleanup_arena_ struct arena arena = { 0 };
    struct create_request create = { .parent = inode_of_fuse(parent),
                                     .name = bytes_of_text(name),
                                     .mode = mode,
                                     .rdev = rdev,
                                     .exclusive = 1,
                                     .symlink =
                                         target ? bytes_of_text(target) : bytes_of(NULL, 0) };
    struct inode_reply rep = { 0 };
    base_of_request(req, &create.base);
    int r = virt_is(parent) ? -ERR_META_NO_PERMISSION : check_writable(req);
    if (r >= 0) r = meta_call(m->meta, RPC_METHOD(meta, create), &arena, &create, &rep, NULL);
    mount_directory_changed(m, parent);
    reply_inode(req, r, &rep.inode);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    create_node(req, parent, name, mode & S_IFMT ? mode : mode | S_IFREG, rdev, NULL);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    create_node(req, parent, name, (mode & 07777) | S_IFDIR, 0, NULL);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    if (virt_is(parent)) {
        virt_symlink(mount_of(req), req, target, parent, name);
        return;
    }
    create_node(req, parent, name, S_IFLNK | 0777, 0, target);
}

/* The kernel has looked the victim up. If it is open on this mount, its chunks are kept by a
 * session. */
static int keep_if_open(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct mount *m = mount_of(req);
    cleanup_arena_ struct arena arena = { 0 };
    bool has_open = false;
    struct mount_inode *mi;
    list_for_each (l, &m->open_files) {
        const struct mount_file *f = list_entry(l, struct mount_file, link);
        has_open |= uuid_is_zero(f->mi->session);
    }
    if (!has_open) return 0;
    struct lookup_request look = { .parent = inode_of_fuse(parent), .name = bytes_of_text(name) };
    struct inode_reply rep = { 0 };
    base_of_request(req, &look.base);
    int r = meta_call(m->meta, RPC_METHOD(meta, lookup), &arena, &look, &rep, NULL);
    if (r < 0) return r;
    mi = mount_inode_find(m, fuse_of_inode(rep.inode.id));
    if (!mi || !mi->open_count || !S_ISREG(rep.inode.mode)) return 0;
    mount_inode_pin(mi);
    r = session_ensure(mi, req, false);
    mount_inode_unpin(mi);
    return r;
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, enum remove_kind kind)
{
    struct mount *m = mount_of(req);
    cleanup_arena_ struct arena arena = { 0 };
    struct remove_request rm = { .parent = inode_of_fuse(parent),
                                 .name = bytes_of_text(name),
                                 .kind = (uint8_t)kind };
    struct inode_reply rep = { 0 };
    base_of_request(req, &rm.base);
    int r = virt_is(parent) ? -ERR_META_NO_PERMISSION : check_writable(req);
    if (r >= 0 && kind == REMOVE_FILE) r = keep_if_open(req, parent, name);
    if (r >= 0) r = meta_call(m->meta, RPC_METHOD(meta, remove), &arena, &rm, &rep, NULL);
    if (r >= 0) {
        struct mount_inode *mi = mount_inode_find(m, fuse_of_inode(rep.inode.id));
        if (mi) mount_inode_update(mi, &rep.inode);
    }
    if (r >= 0 && kind == REMOVE_FILE) {
        mount_directory_touched(m, parent, rep.inode.ctime_ns);
    } else {
        mount_directory_changed(m, parent);
    }
    reply_error(req, MIN_OF(r, 0));
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(req, parent, name, REMOVE_FILE);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(req, parent, name, REMOVE_DIRECTORY);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned flags)
{
    struct mount *m = mount_of(req);
    if (virt_is(new_parent) && !virt_is(parent)) {
        virt_rename_into(m, req, parent, name, new_parent);
        return;
    }
    cleanup_arena_ struct arena arena = { 0 };
    struct rename_request mv = { .parent = inode_of_fuse(parent),
                                 .name = bytes_of_text(name),
                                 .new_parent = inode_of_fuse(new_parent),
                                 .new_name = bytes_of_text(new_name) };
    struct inode_reply rep = { 0 };
    base_of_request(req, &mv.base);
    if (flags & RENAME_NOREPLACE) mv.flags |= RENAME_FLAG_NOREPLACE;
    if (flags & RENAME_EXCHANGE) mv.flags |= RENAME_FLAG_EXCHANGE;
    int r = virt_is(parent) ? -ERR_META_NO_PERMISSION : check_writable(req);
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) r = -ERR_INVALID_ARG;
    bool replaces = !(mv.flags & (RENAME_FLAG_NOREPLACE | RENAME_FLAG_EXCHANGE));
    if (r >= 0 && replaces) {
        r = keep_if_open(req, new_parent, new_name);
        if (r == -ERR_META_NOT_FOUND) r = 0;
    }
    if (r >= 0) r = meta_call(m->meta, RPC_METHOD(meta, rename), &arena, &mv, &rep, NULL);
    mount_directory_changed(m, parent);
    mount_directory_changed(m, new_parent);
    reply_error(req, MIN_OF(r, 0));
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    struct mount *m = mount_of(req);
    cleanup_arena_ struct arena arena = { 0 };
    struct link_request ln = { .inode = inode_of_fuse(ino),
                               .parent = inode_of_fuse(new_parent),
                               .name = bytes_of_text(new_name) };
    struct inode_reply rep = { 0 };
    base_of_request(req, &ln.base);
    int r = virt_is(ino) || virt_is(new_parent) ? -ERR_META_NO_PERMISSION : check_writable(req);
    if (r >= 0) r = meta_call(m->meta, RPC_METHOD(meta, link), &arena, &ln, &rep, NULL);
    mount_directory_changed(m, new_parent);
    reply_inode(req, r, &rep.inode);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct mount *m = mount_of(req);
    if (virt_is(ino)) {
        virt_readlink(m, req, ino);
        return;
    }
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t id = inode_of_fuse(ino);
    struct stat_request st = { .inodes = { &id, 1 } };
    struct stat_reply rep = { 0 };
    base_of_request(req, &st.base);
    int r = meta_call(m->meta, RPC_METHOD(meta, stat), &arena, &st, &rep, NULL);
    if (r >= 0 && (rep.inodes.count != 1 || !S_ISLNK(rep.inodes.items[0].mode)))
        r = -ERR_META_STALE;
    if (r < 0) {
        reply_error(req, r);
        return;
    }
    fuse_reply_readlink(req, arena_text(&arena, rep.inodes.items[0].symlink));
}
