/* list.h - intrusive doubly linked list; the head is a node of its own, an unlinked node points at
 * itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define LIST_INIT(l)                                                                               \
    {                                                                                              \
        &(l), &(l)                                                                                 \
    }

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_between(node, head->prev, head);
}
static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_between(node, head, head->next);
}
/* Removing an unlinked (initialised) node is allowed and does nothing. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
static inline struct list *list_first(struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = list_first(head);
    if (node) list_remove(node);
    return node;
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
/* clang-format off */
#define list_for_each(it, head)                                                                    \
    for (struct list *it = (head)->next; it != (head); it = it->next)
/* clang-format on */
#define list_for_each_safe(it, head)                                                               \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)
