/* stack.h - pool of fiber stacks; private to src/fiber.
 *
 * Stacks are cut from slabs of address space that only grow; memory becomes resident as it is
 * touched. The lowest page of each is a guard: a stack overflow ends the process instead of
 * damaging a neighbour. Guards are MADV_GUARD_INSTALL where the kernel has it (6.13), else
 * mprotect(), which costs two mappings a stack. Of the free stacks, WARM_MAX keep their memory; the
 * rest give it back.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_slab {
    void *base;
    size_t size;
};

struct stack_pool {
    size_t stack_bytes; /* with the guard */
    size_t page_bytes;
    bool is_painted;
    bool has_light_guards; /* MADV_GUARD_INSTALL works */
    uint32_t used_bytes_max;
    struct stack_slab *slabs;
    size_t slab_count;
    void **warm, **cold; /* free stacks; both sized for all */
    size_t warm_count, cold_count, total_count;
};

void stack_pool_init(struct stack_pool *pool, size_t stack_bytes, bool is_painted);
void stack_pool_done(struct stack_pool *pool); /* all stacks are back */
/* Lowest usable byte of a stack of stack_usable() bytes; NULL when the kernel has no more. */
void *stack_get(struct stack_pool *pool);
void stack_put(struct stack_pool *pool, void *low);
size_t stack_usable(const struct stack_pool *pool);
