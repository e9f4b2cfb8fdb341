/* sync.c - mutex, rwlock, semaphore, channel, event: what is free is handed straight to the first
 * waiter, so that nobody overtakes and a woken fiber never has to queue again.
 *
 * A waiter whose wait ended otherwise (deadline, cancellation) may still be on a list when its turn
 * comes: fiber_wake() says no, and the next one gets it.
 */
#include "fiber/sync.h"
#include "base/arena.h"
#include "base/check.h"
#include "fiber/waiter.h"

/* ---- wait queue ---- */

void wait_queue_init(struct wait_queue *q)
{
    list_init(&q->waiters);
}

int wait_queue_wait(struct wait_queue *q, const char *what)
{
    return waiters_wait(&q->waiters, what);
}

void wait_queue_wake_one(struct wait_queue *q)
{
    waiters_wake_one(&q->waiters);
}

void wait_queue_wake_all(struct wait_queue *q)
{
    while (waiters_wake_one(&q->waiters)) {
    }
}

/* ---- mutex ---- */

void fiber_mutex_init(struct fiber_mutex *m)
{
    m->owner = NULL;
    wait_queue_init(&m->queue);
}

bool fiber_mutex_try_lock(struct fiber_mutex *m)
{
    if (m->owner) return false;
    m->owner = fiber_self();
    check(m->owner);
    return true;
}

int fiber_mutex_lock(struct fiber_mutex *m)
{
    if (fiber_mutex_try_lock(m)) return 0;
    check(m->owner != fiber_self());
    return wait_queue_wait(&m->queue, "mutex");
}

void fiber_mutex_unlock(struct fiber_mutex *m)
{
    check(m->owner == fiber_self());
    const struct waiter *next = waiters_wake_one(&m->queue.waiters);
    m->owner = next ? next->fiber : NULL;
}

/* ---- readers and writers ---- */

struct rwlock_waiter {
    struct waiter base;
    bool is_writer;
};

void fiber_rwlock_init(struct fiber_rwlock *l)
{
    *l = (struct fiber_rwlock){ 0 };
    list_init(&l->waiters);
}

static bool rwlock_admits(const struct fiber_rwlock *l, bool is_writer)
{
    return !l->has_writer && (!is_writer || l->reader_count == 0);
}

static void rwlock_enter(struct fiber_rwlock *l, bool is_writer)
{
    if (is_writer) {
        l->has_writer = true;
    } else {
        l->reader_count++;
    }
}

/* Lets in from the front as many as may be in together. */
static void rwlock_admit(struct fiber_rwlock *l)
{
    struct list *link;
    while ((link = list_first(&l->waiters))) {
        const struct rwlock_waiter *w = list_entry(link, struct rwlock_waiter, base.link);
        if (!rwlock_admits(l, w->is_writer)) return;
        list_remove(link);
        if (fiber_wake(w->base.fiber)) rwlock_enter(l, w->is_writer);
    }
}

static int rwlock_lock(struct fiber_rwlock *l, bool is_writer)
{
    if (list_empty(&l->waiters) && rwlock_admits(l, is_writer)) {
        rwlock_enter(l, is_writer);
        return 0;
    }
    struct rwlock_waiter self = { .base.fiber = fiber_self(), .is_writer = is_writer };
    list_push_back(&l->waiters, &self.base.link);
    int r = fiber_suspend(is_writer ? "write lock" : "read lock");
    list_remove(&self.base.link);
    if (r < 0) rwlock_admit(l); /* those behind may have waited for this one only */
    return r;
}

int fiber_rwlock_read(struct fiber_rwlock *l)
{
    return rwlock_lock(l, false);
}

int fiber_rwlock_write(struct fiber_rwlock *l)
{
    return rwlock_lock(l, true);
}

void fiber_rwlock_unlock(struct fiber_rwlock *l)
{
    check(l->has_writer || l->reader_count > 0);
    if (l->has_writer) {
        l->has_writer = false;
    } else {
        l->reader_count--;
    }
    rwlock_admit(l);
}

/* ---- semaphore ---- */

struct semaphore_waiter {
    struct waiter base;
    uint64_t units;
};

void fiber_semaphore_init(struct fiber_semaphore *s, uint64_t units)
{
    s->units = units;
    list_init(&s->waiters);
}

static void semaphore_serve(struct fiber_semaphore *s)
{
    struct list *link;
    while ((link = list_first(&s->waiters))) {
        const struct semaphore_waiter *w = list_entry(link, struct semaphore_waiter, base.link);
        if (w->units > s->units) return;
        list_remove(link);
        if (fiber_wake(w->base.fiber)) s->units -= w->units;
    }
}

bool fiber_semaphore_try_take(struct fiber_semaphore *s, uint64_t units)
{
    if (!list_empty(&s->waiters) || units > s->units) return false;
    s->units -= units;
    return true;
}

int fiber_semaphore_take(struct fiber_semaphore *s, uint64_t units)
{
    if (fiber_semaphore_try_take(s, units)) return 0;
    struct semaphore_waiter self = { .base.fiber = fiber_self(), .units = units };
    list_push_back(&s->waiters, &self.base.link);
    int r = fiber_suspend("semaphore");
    list_remove(&self.base.link);
    if (r < 0) semaphore_serve(s); /* a smaller request may have waited behind this one */
    return r;
}

void fiber_semaphore_give(struct fiber_semaphore *s, uint64_t units)
{
    check(units <= UINT64_MAX - s->units);
    s->units += units;
    semaphore_serve(s);
}

/* ---- channel ---- */

/* A sender brings @item, a receiver is given it. */
struct channel_waiter {
    struct waiter base;
    void *item;
    bool is_served; /* false after a wake-up: the channel was closed */
};

void channel_init(struct channel *c, uint32_t capacity)
{
    check(capacity > 0);
    *c = (struct channel){ .capacity = capacity };
    c->items = xcalloc(capacity, sizeof(void *));
    wait_queue_init(&c->senders);
    wait_queue_init(&c->receivers);
}

void channel_done(struct channel *c)
{
    check(list_empty(&c->senders.waiters) && list_empty(&c->receivers.waiters));
    free(c->items);
    *c = (struct channel){ 0 };
}

static struct channel_waiter *channel_wake_one(struct wait_queue *queue)
{
    struct waiter *waiter = waiters_wake_one(&queue->waiters);
    return waiter ? container_of(waiter, struct channel_waiter, base) : NULL;
}

static int channel_wait(struct wait_queue *queue, struct channel_waiter *self, const char *what)
{
    self->base.fiber = fiber_self();
    list_push_back(&queue->waiters, &self->base.link);
    int r = fiber_suspend(what);
    list_remove(&self->base.link);
    if (r < 0) return r;
    return self->is_served ? 0 : -ERR_CANCELED;
}

static void channel_push(struct channel *c, void *item)
{
    c->items[(c->head + c->count++) % c->capacity] = item;
}

bool channel_try_send(struct channel *c, void *item)
{
    if (c->closed) return false;
    struct channel_waiter *receiver = c->count == 0 ? channel_wake_one(&c->receivers) : NULL;
    if (receiver) {
        receiver->item = item;
        receiver->is_served = true;
        return true;
    }
    if (c->count == c->capacity) return false;
    channel_push(c, item);
    return true;
}

int channel_send(struct channel *c, void *item)
{
    if (channel_try_send(c, item)) return 0;
    if (c->closed) return -ERR_CANCELED;
    struct channel_waiter self = { .item = item };
    return channel_wait(&c->senders, &self, "channel send");
}

static bool channel_pop(struct channel *c, void **ret)
{
    if (c->count == 0) return false;
    *ret = c->items[c->head];
    c->head = (c->head + 1) % c->capacity;
    c->count--;
    struct channel_waiter *sender = channel_wake_one(&c->senders);
    if (sender) {
        channel_push(c, sender->item);
        sender->is_served = true;
    }
    return true;
}

int channel_receive(struct channel *c, void **ret)
{
    if (channel_pop(c, ret)) return 0;
    if (c->closed) return -ERR_CANCELED;
    struct channel_waiter self = { 0 };
    int r = channel_wait(&c->receivers, &self, "channel receive");
    if (r >= 0) *ret = self.item;
    return r;
}

void *channel_try_receive(struct channel *c)
{
    void *item = NULL;
    return channel_pop(c, &item) ? item : NULL;
}

void channel_close(struct channel *c)
{
    c->closed = true;
    wait_queue_wake_all(&c->senders);
    wait_queue_wake_all(&c->receivers);
}

/* ---- event ---- */

struct event_waiter {
    struct waiter base;
    int result;
};

void event_init(struct event *e)
{
    *e = (struct event){ 0 };
    wait_queue_init(&e->queue);
}

void event_set(struct event *e, int result)
{
    struct waiter *waiter;
    e->is_set = true;
    e->result = result;
    while ((waiter = waiters_wake_one(&e->queue.waiters))) {
        container_of(waiter, struct event_waiter, base)->result = result;
    }
}

void event_reset(struct event *e)
{
    e->is_set = false;
    e->result = 0;
}

int event_wait(struct event *e, const char *what)
{
    if (e->is_set) return e->result;
    struct event_waiter self = { .base.fiber = fiber_self() };
    list_push_back(&e->queue.waiters, &self.base.link);
    int r = fiber_suspend(what);
    list_remove(&self.base.link);
    return r < 0 ? r : self.result;
}
