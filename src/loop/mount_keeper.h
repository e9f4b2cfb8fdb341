/* mount_keeper.h - keeps the kernel sure of the attributes of a mount's root, so that stat() of the
 * mount is answered even when its daemon was killed.
 *
 * For a mount whose directory the runtime of a container had bound: when the container is killed,
 * its mount stays on the host, and the runtime that starts it again first asks for the attributes
 * of that directory, before anything of ours runs. The daemon lets the kernel trust those of the
 * root for MOUNT_KEPT_S, and this process of its own asks for them in time: for new ones every
 * refresh, and soon after a change in the root made the kernel distrust what it had. So what others
 * see is no older than the refresh. Limit: killed within MOUNT_KEEPER_LOOK_MS after a change in the
 * root itself, the mount answers no stat().
 */
#pragma once
#include "base/cleanup.h"
#include <stdint.h>

enum { MOUNT_KEEPER_LOOK_MS = 100 };
#define MOUNT_KEPT_S 1e9 /* as long as it matters */

struct mount_keeper;

/* Starts it for the mount that is to come at @path; call it before /dev/fuse is opened, which it
 * must not hold. Blocks for a fork(). */
int mount_keeper_start(const char *path, uint64_t refresh_ns, struct mount_keeper **ret) must_check;
/* Ends it and waits for that; the daemon must answer meanwhile or have closed /dev/fuse. NULL is
 * fine; returns NULL. */
struct mount_keeper *mount_keeper_stop(struct mount_keeper *k);
