/* access.h - who may do what: mode bits, owners, the sticky bit; pure functions.
 *
 * EACCES (META_NO_ACCESS) is for mode bits, EPERM (META_NO_PERMISSION) for what only an owner or
 * root may do.
 */
#pragma once
#include "proto/meta.h"
#include "rpc/auth.h"

enum { ACCESS_READ = 4, ACCESS_WRITE = 2, ACCESS_SEARCH = 1 };

/* A request's user after the peer's rights have been applied. */
struct actor {
    uint32_t uid, gid;
    const uint32_t *groups; /* borrowed */
    uint32_t group_count;
    bool kernel_checked; /* mode bits and sticky were checked by a trusted kernel */
};
/* AUTH_FAIL when the peer may not speak for base->user. */
int actor_of(const struct auth_peer *peer, const struct meta_base *base,
             struct actor *ret) must_check;
bool actor_is_in_group(const struct actor *a, uint32_t gid);
/* @wanted: ACCESS_ bits. 0 or -ERR_META_NO_ACCESS. */
int access_check(const struct actor *a, const struct inode *inode, uint32_t wanted) must_check;
/* Adding or removing an entry of @dir; when removing, @victim is what it names (sticky bit), else
 * NULL. Immutable directories and victims are -ERR_META_NO_PERMISSION. */
int access_check_entry(const struct actor *a, const struct inode *dir,
                       const struct inode *victim) must_check;
/* 0 or -ERR_META_NO_PERMISSION. */
int access_check_owner(const struct actor *a, const struct inode *inode) must_check;
