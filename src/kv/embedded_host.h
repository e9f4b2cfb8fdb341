/* embedded_host.h - what the embedded store needs of its host: a directory with a lock, processes.
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

/* ---- processes ---- */

int kv_process_own(void);
unsigned kv_user_own(void);

/* Another process, named by what stays true when its pid is used again. */
struct kv_process {
    int pid; /* 0: it is not visible from here */
    int fd;  /* -1 */
};
/* @pid is that of a process that lives now. */
struct kv_process kv_process_open(int pid);
void kv_process_close(struct kv_process *process);
/* Has it a thread that could run or waits for a disk? Then it is slow rather than stuck. */
bool kv_process_is_busy(const struct kv_process *process);
/* Kills it if it has the lock file of @dir open. 0 also when it is gone already; -ERR_NOT_SUPPORTED
 * when it is not visible, this process itself, or does not have the file. */
int kv_process_end(const struct kv_process *process, const struct kv_dir *dir) must_check;
