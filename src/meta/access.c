/* access.c - the permission rules of POSIX over inodes. */
#include "meta/access.h"

#include <linux/fs.h>
#include <sys/stat.h>

int actor_of(const struct auth_peer *peer, const struct meta_base *base, struct actor *ret)
{
    bool is_trusted = peer->kind == AUTH_SERVER || (peer->rights & AUTH_RIGHT_ROOT);
    if (!is_trusted && base->user.uid != peer->uid) return -ERR_AUTH_FAIL;
    *ret = (struct actor){
        .uid = base->user.uid,
        .gid = is_trusted ? base->user.gid : peer->gid,
        .groups = is_trusted ? base->user.groups.items : NULL,
        .group_count = is_trusted ? base->user.groups.count : 0,
        .kernel_checked = is_trusted && (base->flags & META_KERNEL_CHECKED),
    };
    return 0;
}

bool actor_is_in_group(const struct actor *a, uint32_t gid)
{
    if (a->gid == gid) return true;
    for (uint32_t i = 0; i < a->group_count; i++)
        if (a->groups[i] == gid) return true;
    return false;
}

int access_check(const struct actor *a, const struct inode *inode, uint32_t wanted)
{
    if (a->kernel_checked) return 0;
    uint32_t bits = inode->mode & 7;
    if (a->uid == inode->uid) {
        bits = inode->mode >> 6 & 7;
    } else if (actor_is_in_group(a, inode->gid)) {
        bits = inode->mode >> 3 & 7;
    }
    if (a->uid == 0) bits = S_ISDIR(inode->mode) || (inode->mode & 0111) ? 7 : 6;
    return (bits & wanted) == wanted ? 0 : -ERR_META_NO_ACCESS;
}

int access_check_entry(const struct actor *a, const struct inode *dir, const struct inode *victim)
{
    if (dir->flags & FS_IMMUTABLE_FL) return -ERR_META_NO_PERMISSION;
    if (victim && (victim->flags & FS_IMMUTABLE_FL)) return -ERR_META_NO_PERMISSION;
    int r = access_check(a, dir, ACCESS_WRITE | ACCESS_SEARCH);
    if (r < 0 || !victim || a->kernel_checked) return r;
    bool is_restricted = (dir->mode & S_ISVTX) && a->uid != 0;
    if (is_restricted && a->uid != dir->uid && a->uid != victim->uid)
        return -ERR_META_NO_PERMISSION;
    return 0;
}

int access_check_owner(const struct actor *a, const struct inode *inode)
{
    return a->uid == 0 || a->uid == inode->uid ? 0 : -ERR_META_NO_PERMISSION;
}
