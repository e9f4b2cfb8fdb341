/* mount_table.h - what is mounted where, asked of the kernel without touching the path: a path
 * under a mount whose daemon is gone or hangs would make the caller fail or hang as well.
 */
#pragma once
#include "base/arena.h"
#include <stdbool.h>

/* The type of the topmost mount at @path ("fuse.hf3fs"), or NULL when nothing is mounted there. */
const char *mount_type(const char *path, struct arena *arena);
/* Is a file system of ours there, alive or not? */
bool mount_is_ours(const char *path);
/* Does the topmost mount of ours at @path have a daemon? Waits for its answer. */
bool mount_answers(const char *path);
/* The errno of statfs() on @path: 0 when it answered, ETIMEDOUT when not within @timeout_ns. Asked
 * by another process, which is left behind when it hangs. */
int mount_ask(const char *path, uint64_t timeout_ns);
/* Was the topmost mount at @path bound there from outside, as the runtime of a container does: has
 * it peers elsewhere, where taking it away here changes nothing? */
bool mount_is_bound(const char *path);
/* Takes our mounts away from @path, now for new users of the path and later for those who still
 * have a file open. False when one is left. */
bool mount_clear(const char *path);
