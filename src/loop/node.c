/* node.c - life of a node, and its clocks and random numbers by way of the loop. */
#include "base/arena.h"
#include "base/check.h"
#include "loop/backend.h"
#include "loop/fault.h"

static uint64_t wall_of_node(void *clock)
{
    return node_wall_ns(clock);
}

struct node *node_new(struct loop *loop, struct machine *machine, const char *name)
{
    struct node *node = new_zero(struct node);
    node->loop = loop;
    node->machine = machine;
    node->name = xstrdup(name);
    node->log = (struct log){ .level = LOG_INFO,
                              .who = node->name,
                              .wall_ns = wall_of_node,
                              .clock = node,
                              .context = fiber_name };
    node->metrics = metrics_new();
    scope_init(&node->scope, loop->sched);
    node->scope.local = node;
    if (loop->ops->node_added) loop->ops->node_added(node);
    return node;
}

void node_stop(struct node *node)
{
    check(node_self() != node); /* a fiber of the node would wait for itself */
    scope_done(&node->scope);
}

struct node *node_free(struct node *node)
{
    if (!node) return NULL;
    check(scope_is_empty(&node->scope));
    if (node->loop->ops->node_removed) node->loop->ops->node_removed(node);
    fault_table_free(node->faults);
    metrics_free(node->metrics);
    free((char *)(uintptr_t)node->name);
    free(node);
    return NULL;
}

struct node *node_self(void)
{
    return fiber_local();
}

bool node_is_up(const struct node *node)
{
    return !node->loop->ops->is_up || node->loop->ops->is_up(node);
}

uint64_t node_now_ns(struct node *node)
{
    return node->loop->ops->now_ns(node);
}

uint64_t node_wall_ns(struct node *node)
{
    return node->loop->ops->wall_ns(node);
}

void node_random_bytes(struct node *node, void *buf, size_t size)
{
    node->loop->ops->random_bytes(node, buf, size);
}

uint64_t node_random_u64(struct node *node)
{
    uint64_t value;
    node_random_bytes(node, &value, sizeof(value));
    return value;
}

uint64_t node_random_below(struct node *node, uint64_t bound)
{
    check(bound > 0);
    /* The lowest (2^64 mod bound) values would be drawn once too often: draw again. */
    uint64_t unfair = -bound % bound;
    uint64_t value;
    do {
        value = node_random_u64(node);
    } while (value < unfair);
    return value % bound;
}
