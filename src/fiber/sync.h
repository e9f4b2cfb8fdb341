/* sync.h - waiting for each other inside one scheduler: FIFO everywhere, every wait honours
 * deadline and cancellation. None of these is for threads.
 */
#pragma once
#include "fiber/fiber.h"

/* Condition queue: waiters are woken in order. Check the condition again after a wait. */
struct wait_queue {
    struct list waiters;
};
void wait_queue_init(struct wait_queue *q);
int wait_queue_wait(struct wait_queue *q, const char *what) fiber_fn must_check;
void wait_queue_wake_one(struct wait_queue *q);
void wait_queue_wake_all(struct wait_queue *q);

/* Mutex with ownership handed over in FIFO order. */
struct fiber_mutex {
    struct fiber *owner;
    struct wait_queue queue;
};
void fiber_mutex_init(struct fiber_mutex *m);
int fiber_mutex_lock(struct fiber_mutex *m) fiber_fn must_check; /* not recursive */
bool fiber_mutex_try_lock(struct fiber_mutex *m);
void fiber_mutex_unlock(struct fiber_mutex *m);

/* Readers share, writers exclude; FIFO, so neither starves. */
struct fiber_rwlock {
    uint32_t reader_count;
    bool has_writer;
    struct list waiters;
};
void fiber_rwlock_init(struct fiber_rwlock *l);
int fiber_rwlock_read(struct fiber_rwlock *l) fiber_fn must_check;
int fiber_rwlock_write(struct fiber_rwlock *l) fiber_fn must_check;
void fiber_rwlock_unlock(struct fiber_rwlock *l); /* either kind */

/* Counting semaphore of @units; a large request at the front is not overtaken by small ones. */
struct fiber_semaphore {
    uint64_t units;
    struct list waiters;
};
void fiber_semaphore_init(struct fiber_semaphore *s, uint64_t units);
int fiber_semaphore_take(struct fiber_semaphore *s, uint64_t units) fiber_fn must_check;
bool fiber_semaphore_try_take(struct fiber_semaphore *s, uint64_t units);
void fiber_semaphore_give(struct fiber_semaphore *s, uint64_t units);

/* Bounded FIFO of pointers. */
struct channel {
    void **items;
    uint32_t head, count, capacity;
    bool closed;
    struct wait_queue senders, receivers;
};
void channel_init(struct channel *c, uint32_t capacity);
void channel_done(struct channel *c); /* frees the slots; items still inside are the caller's */
int channel_send(struct channel *c,
                 void *item) fiber_fn must_check;     /* -ERR_CANCELED also if closed */
bool channel_try_send(struct channel *c, void *item); /* false when full or closed */
int channel_receive(struct channel *c,
                    void **ret) fiber_fn must_check; /* -ERR_CANCELED: closed and empty */
void *channel_try_receive(struct channel *c);
void channel_close(struct channel *c);

/* One-shot or resettable event with a result. */
struct event {
    bool is_set;
    int result;
    struct wait_queue queue;
};
void event_init(struct event *e);
void event_set(struct event *e, int result);
void event_reset(struct event *e);
int event_wait(struct event *e,
               const char *what) fiber_fn must_check; /* the result given to event_set() */
