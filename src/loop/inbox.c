/* inbox.c - messages from other threads to a loop.
 *
 * A push writes to the event_fd only when the loop has announced that it may wait: either the
 * announcement is seen by the pusher, or the pushed message is seen by the loop, which looks again
 * after announcing.
 */
#include "loop/real.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int inbox_init(struct inbox *inbox)
{
    atomic_init(&inbox->top, NULL);
    atomic_init(&inbox->is_sleeping, false);
    inbox->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return inbox->event_fd < 0 ? error_from_errno(errno) : 0;
}

void inbox_done(struct inbox *inbox)
{
    if (inbox->event_fd >= 0) close(inbox->event_fd);
    inbox->event_fd = -1;
}

void inbox_push(struct inbox *inbox, struct inbox_node *node)
{
    node->next = atomic_load_explicit(&inbox->top, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&inbox->top, &node->next, node)) {
    }
    if (!atomic_exchange(&inbox->is_sleeping, false)) return;
    uint64_t one = 1;
    ssize_t n = write(inbox->event_fd, &one, sizeof(one));
    (void)n; /* a full counter is as good */
}

bool inbox_drain(struct inbox *inbox)
{
    if (!atomic_load_explicit(&inbox->top, memory_order_acquire)) return false;
    struct inbox_node *stack = atomic_exchange(&inbox->top, NULL), *queue = NULL;
    while (stack) {
        struct inbox_node *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    while (queue) {
        struct inbox_node *next = queue->next;
        queue->fn(queue);
        queue = next;
    }
    return true;
}

bool inbox_sleep(struct inbox *inbox)
{
    atomic_store(&inbox->is_sleeping, true);
    if (!atomic_load(&inbox->top)) return true;
    atomic_store(&inbox->is_sleeping, false);
    return false;
}

void inbox_awake(struct inbox *inbox)
{
    atomic_store_explicit(&inbox->is_sleeping, false, memory_order_relaxed);
}

void inbox_clear_event(struct inbox *inbox)
{
    uint64_t count;
    ssize_t n = read(inbox->event_fd, &count, sizeof(count));
    (void)n;
}
