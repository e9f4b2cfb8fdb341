/* waiter.h - a fiber in a FIFO list of waiters; private to src/fiber. */
#pragma once
#include "fiber/fiber.h"

/* Lives on the waiting fiber's stack. Whoever wakes it takes it off the list first. */
struct waiter {
    struct list link;
    struct fiber *fiber;
};

/* Appends the running fiber and waits; off the list at return, however the wait ended. */
static inline int waiters_wait(struct list *waiters, const char *what)
{
    struct waiter self = { .fiber = fiber_self() };
    list_push_back(waiters, &self.link);
    int r = fiber_suspend(what);
    list_remove(&self.link);
    return r;
}

/* Wakes the first whose wait has not ended otherwise; NULL when there is none. The result is valid
 * until the fiber runs. */
static inline struct waiter *waiters_wake_one(struct list *waiters)
{
    struct list *link;
    while ((link = list_pop_front(waiters))) {
        struct waiter *waiter = list_entry(link, struct waiter, link);
        if (fiber_wake(waiter->fiber)) return waiter;
    }
    return NULL;
}
