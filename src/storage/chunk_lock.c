/* chunk_lock.c - a small hash of reference-counted FIFO locks. */
#include "storage/chunk_lock.h"
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"

void chunk_locks_init(struct chunk_locks *locks)
{
    for (size_t i = 0; i < CHUNK_LOCK_BUCKET_COUNT; i++) {
        list_init(&locks->buckets[i]);
    }
}

static struct list *bucket_of(struct chunk_locks *locks, struct chunk_id chunk)
{
    uint64_t h = (chunk.inode * 0x9e3779b97f4a7c15ull) ^ (chunk.index * 0xc2b2ae3d27d4eb4full);
    return &locks->buckets[(h >> 32) % CHUNK_LOCK_BUCKET_COUNT];
}

struct chunk_lock *chunk_lock_find(struct chunk_locks *locks, struct chunk_id chunk)
{
    list_for_each (it, bucket_of(locks, chunk)) {
        struct chunk_lock *lock = list_entry(it, struct chunk_lock, link);
        if (chunk_id_compare(lock->chunk, chunk) == 0) return lock;
    }
    return NULL;
}

static void lock_unuse(struct chunk_lock *lock)
{
    check(lock->user_count > 0);
    if (--lock->user_count > 0) return;
    list_remove(&lock->link);
    free(lock);
}

int chunk_lock_take(struct chunk_locks *locks, struct chunk_id chunk, struct chunk_lock **ret)
{
    struct chunk_lock *lock = MUTANT(NO_CHUNK_LOCK) ? NULL : chunk_lock_find(locks, chunk);
    if (!lock) {
        lock = new_zero(struct chunk_lock);
        lock->locks = locks;
        lock->chunk = chunk;
        fiber_mutex_init(&lock->mutex);
        wait_queue_init(&lock->committed);
        list_push_front(bucket_of(locks, chunk), &lock->link);
    }
    lock->user_count++;
    int r = fiber_mutex_lock(&lock->mutex);
    if (r < 0) {
        lock_unuse(lock);
        return r;
    }
    *ret = lock;
    return 0;
}

struct chunk_lock *chunk_lock_release(struct chunk_lock *lock)
{
    if (!lock) return NULL;
    lock->live_version = 0;
    wait_queue_wake_all(&lock->committed);
    fiber_mutex_unlock(&lock->mutex);
    lock_unuse(lock);
    return NULL;
}

int chunk_lock_wait_commit(struct chunk_lock *lock)
{
    lock->user_count++;
    int r = wait_queue_wait(&lock->committed, "chunk commit");
    lock_unuse(lock);
    return r;
}

int chunk_locks_drain(struct chunk_locks *locks, uint64_t inode)
{
    struct chunk_id *held = NULL;
    size_t count = 0, capacity = 0;
    for (size_t b = 0; b < CHUNK_LOCK_BUCKET_COUNT; b++) {
        list_for_each (it, &locks->buckets[b]) {
            struct chunk_lock *lock = list_entry(it, struct chunk_lock, link);
            if (lock->chunk.inode != inode || !lock->mutex.owner) continue;
            if (count == capacity) {
                capacity = capacity ? capacity * 2 : 16;
                held = xrealloc(held, capacity * sizeof *held);
            }
            held[count++] = lock->chunk;
        }
    }
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct chunk_lock *lock = NULL;
        r = chunk_lock_take(locks, held[i], &lock);
        if (r == 0) chunk_lock_release(lock);
    }
    free(held);
    return r;
}
