/* chunk_store_lock.h - the exclusive lock on a file of a store.
 *
 * It is taken on the very file descriptions that do the I/O: it is free only when the kernel has
 * finished the requests of a process that died, which takes a moment.
 */
#pragma once
#include "loop/file.h"

/* -ERR_BUSY when another process still has it after a second. */
int disk_lock(struct file *file) fiber_fn must_check;
