/* chunk_store_lock.c - see chunk_store_lock.h. */
#include "storage/chunk_store_lock.h"

enum { LOCK_TRY_COUNT = 20 };
#define LOCK_PAUSE_NS (50 * MSEC)

int disk_lock(struct file *file)
{
    int r = file_try_lock(file);
    for (int i = 0; r == -ERR_BUSY && i < LOCK_TRY_COUNT; i++) {
        r = fiber_sleep(LOCK_PAUSE_NS);
        if (r >= 0) r = file_try_lock(file);
    }
    return r;
}
