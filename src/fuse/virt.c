/* virt.c - 3fs-virt in the root of the mount: get-conf, iovs, rm-rf, set-conf.
 *
 *   3fs-virt/rm-rf     a symlink made here, or a directory moved here, is removed with all below
 *   3fs-virt/get-conf  a symlink per setting, whose target is the value
 *   3fs-virt/set-conf  ln -s VALUE set-conf/KEY changes it
 *   3fs-virt/iovs      where 3FS lists its rings; empty, as this release has none
 *
 * Nothing of it exists at meta; the inode numbers are above those of files.
 */
#include "fuse/mount.h"

#include "base/check.h"

#define VIRT_ROOT     0xfffffffffffffffeull
#define VIRT_RMRF     0xfffffffffffffffdull
#define VIRT_GET_CONF 0xffffffff00000000ull /* + 1 + key index: its symlinks */
#define VIRT_SET_CONF 0xfffffffe80000000ull
#define VIRT_IOVS     0xfffffffffffffffcull
#define VIRT_TEMPORARY                                                                             \
    0xfffffffe00000000ull /* what a symlink() into rm-rf or set-conf is answered with */

static const struct {
    const char *name;
    fuse_ino_t ino;
    mode_t mode;
} directories[] = {
    { "get-conf", VIRT_GET_CONF, 0555 },
    { "iovs", VIRT_IOVS, 0555 },
    { "rm-rf", VIRT_RMRF, 0777 },
    { "set-conf", VIRT_SET_CONF, 0777 },
};

const char *virt_root_name(void)
{
    return "3fs-virt";
}

fuse_ino_t virt_root(void)
{
    return VIRT_ROOT;
}

bool virt_is(fuse_ino_t ino)
{
    return ino >= VIRT_TEMPORARY;
}

static int conf_index_of(fuse_ino_t ino)
{
    uint64_t index = ino - VIRT_GET_CONF - 1;
    return ino > VIRT_GET_CONF && index < conf_key_count() ? (int)index : -1;
}

static void virt_stat(const struct mount *m, fuse_ino_t ino, struct stat *st)
{
    mode_t mode = S_IFDIR | 0555;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        if (directories[i].ino == ino) mode = S_IFDIR | directories[i].mode;
    if (conf_index_of(ino) >= 0 || ino == VIRT_TEMPORARY) mode = S_IFLNK | 0777;
    *st = (struct stat){
        .st_ino = ino, .st_mode = mode, .st_nlink = S_ISDIR(mode) ? 2 : 1, .st_blksize = 4096
    };
    st->st_mtim.tv_sec = st->st_ctim.tv_sec = st->st_atim.tv_sec = (time_t)(m->mounted_ns / SEC);
}

static int virt_find(fuse_ino_t parent, const char *name, fuse_ino_t *ret)
{
    if (parent == FUSE_ROOT_ID) {
        *ret = VIRT_ROOT;
        return strcmp(name, virt_root_name()) == 0;
    }
    if (parent == VIRT_GET_CONF) {
        int index = conf_key_find(name);
        *ret = VIRT_GET_CONF + 1 + (fuse_ino_t)index;
        return index >= 0 && !strcmp(conf_key_name((uint32_t)index), name);
    }
    for (size_t i = 0; parent == VIRT_ROOT && i < ARRAY_SIZE(directories); i++) {
        if (strcmp(directories[i].name, name) != 0) continue;
        *ret = directories[i].ino;
        return 1;
    }
    return 0;
}

int virt_lookup(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e = { 0 };
    if (!virt_find(parent, name, &e.ino)) {
        if (!virt_is(parent)) return 0;
        reply_error(req, -ERR_META_NOT_FOUND);
        return 1;
    }
    virt_stat(m, e.ino, &e.attr);
    fuse_reply_entry(req, &e);
    return 1;
}

void virt_getattr(struct mount *m, fuse_req_t req, fuse_ino_t ino)
{
    struct stat st;
    virt_stat(m, ino, &st);
    fuse_reply_attr(req, &st, 0);
}

void virt_readlink(struct mount *m, fuse_req_t req, fuse_ino_t ino)
{
    cleanup_arena_ struct arena arena = { 0 };
    int index = conf_index_of(ino);
    if (index < 0) {
        reply_error(req, -ERR_META_NOT_FOUND);
        return;
    }
    fuse_reply_readlink(req, conf_value(m, &arena, (uint32_t)index, fuse_req_ctx(req)->uid));
}

/* The name and inode of entry @index; false behind the last. */
static bool virt_entry(fuse_ino_t ino, uint32_t index, const char **ret_name, fuse_ino_t *ret_ino)
{
    if (index < 2) {
        *ret_name = index ? ".." : ".";
        *ret_ino = ino;
        return true;
    }
    index -= 2;
    if (ino == VIRT_ROOT && index < ARRAY_SIZE(directories)) {
        *ret_name = directories[index].name;
        *ret_ino = directories[index].ino;
        return true;
    }
    if (ino != VIRT_GET_CONF || index >= conf_key_count()) return false;
    *ret_name = conf_key_name(index);
    *ret_ino = VIRT_GET_CONF + 1 + index;
    return true;
}

void virt_readdir(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                  bool plus)
{
    cleanup_(freep) char *buf = xmalloc(size);
    size_t at = 0;
    const char *name;
    struct fuse_entry_param e = { 0 };
    for (uint32_t i = (uint32_t)offset; virt_entry(ino, i, &name, &e.ino); i++) {
        virt_stat(m, e.ino, &e.attr);
        if (i < 2) e.ino = 0; /* no reference is taken for dots */
        size_t n = plus ? fuse_add_direntry_plus(req, buf + at, size - at, name, &e, i + 1)
                        : fuse_add_direntry(req, buf + at, size - at, name, &e.attr, i + 1);
        if (n > size - at) break;
        at += n;
    }
    fuse_reply_buf(req, buf, at);
}

/* Removes parent/name with all below, by the rights of the caller. */
static int remove_tree(struct mount *m, fuse_req_t req, uint64_t parent, struct bytes name)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct remove_request rm = { .parent = parent, .name = name, .kind = REMOVE_TREE };
    struct inode_reply rep = { 0 };
    base_of_request(req, &rm.base);
    rm.base.flags = 0; /* the kernel has checked nothing of that path */
    int r = check_writable(req);
    return r < 0 ? r : meta_call(m->meta, RPC_METHOD(meta, remove), &arena, &rm, &rep, NULL);
}

static int remove_path(struct mount *m, fuse_req_t req, const char *target)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct user_info user = user_of(req);
    struct inode parent;
    struct bytes name;
    size_t prefix = strlen(m->mountpoint);
    bool is_below = !strncmp(target, m->mountpoint, prefix) && target[prefix] == '/';
    if (!is_below) return -ERR_INVALID_ARG; /* an absolute path in this mount */
    int r = meta_walk_parent(m->meta, &user, &arena, target + prefix, &parent, &name);
    if (r < 0) return r;
    r = remove_tree(m, req, parent.id, name);
    if (r >= 0) mount_invalidate_entry(m, fuse_of_inode(parent.id), arena_text(&arena, name));
    return r;
}

void virt_symlink(struct mount *m, fuse_req_t req, const char *target, fuse_ino_t parent,
                  const char *name)
{
    int r = -ERR_META_NO_PERMISSION;
    if (parent == VIRT_RMRF) {
        r = remove_path(m, req, target);
    } else if (parent == VIRT_SET_CONF) {
        int index = conf_key_find(name);
        r = index < 0 ? -ERR_META_NOT_FOUND
                      : conf_set(m, (uint32_t)index, target, fuse_req_ctx(req)->uid);
    }
    if (r < 0) {
        reply_error(req, r);
        return;
    }
    /* The link itself is nothing that stays: no time-out keeps it. */
    struct fuse_entry_param e = { .ino = VIRT_TEMPORARY };
    virt_stat(m, e.ino, &e.attr);
    fuse_reply_entry(req, &e);
}

void virt_rename_into(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name,
                      fuse_ino_t new_parent)
{
    int r = new_parent == VIRT_RMRF
                ? remove_tree(m, req, inode_of_fuse(parent), bytes_of_text(name))
                : -ERR_META_NO_PERMISSION;
    reply_error(req, MIN_OF(r, 0));
}
