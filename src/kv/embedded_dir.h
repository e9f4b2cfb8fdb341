/* embedded_dir.h - the directory of an embedded store: its lock, its socket's path, and who holds
 * it.
 *
 * The lock is an OFD lock on <dir>/lock: it belongs to the open file, so it goes with the process
 * and with nothing else, and two stores in one process exclude each other too. Private to src/kv.
 */
#pragma once
#include "loop/node.h"

struct kv_dir {
    char *path;            /* absolute, without links */
    char socket_path[240]; /* <dir>/kv.sock, by way of dir_fd where that is too long for a socket */
    int dir_fd, lock_fd;   /* lock_fd: open always, locked or not */
    uint64_t device, inode; /* of the directory: two names of one directory are the same */
};

/* Makes the directory (0700) and the ones above it where they are missing. */
int kv_dir_open(struct node *node, const char *path, struct kv_dir *ret) fiber_fn must_check;
void kv_dir_close(struct kv_dir *dir); /* unlocks */
/* True when the lock is ours now. */
bool kv_dir_try_lock(struct kv_dir *dir);
void kv_dir_unlock(struct kv_dir *dir);

enum kv_process_state { KV_PROCESS_GONE, KV_PROCESS_RUNNABLE, KV_PROCESS_WAITING };
/* What the kernel says of a process: one that could run is not stuck, only slow. */
enum kv_process_state kv_process_state(int pid);
/* Does process @pid have the lock file open? */
bool kv_dir_is_open_in(const struct kv_dir *dir, int pid);
