/* stack.c - slabs of fiber stacks, guards, painting. */
#include "fiber/stack.h"
#include "base/arena.h"
#include "base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
    SLAB_STACKS_MIN = 16,
    SLAB_STACKS_MAX = 256,
    WARM_MAX = 1024,
    PAINT = 0xa5,
};

void stack_pool_init(struct stack_pool *pool, size_t stack_bytes, bool is_painted)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *pool = (struct stack_pool){
        .stack_bytes = MAX_OF((stack_bytes + page - 1) / page * page, 4 * page),
        .page_bytes = page,
        .is_painted = is_painted,
        .has_light_guards = true,
    };
}

void stack_pool_done(struct stack_pool *pool)
{
    check(pool->warm_count + pool->cold_count == pool->total_count);
    for (size_t i = 0; i < pool->slab_count; i++) {
        munmap(pool->slabs[i].base, pool->slabs[i].size);
    }
    free(pool->slabs);
    free(pool->warm);
    free(pool->cold);
    *pool = (struct stack_pool){ 0 };
}

static int guard_install(struct stack_pool *pool, void *page)
{
    if (pool->has_light_guards) {
        if (madvise(page, pool->page_bytes, MADV_GUARD_INSTALL) == 0) return 0;
        pool->has_light_guards = false;
    }
    return mprotect(page, pool->page_bytes, PROT_NONE);
}

static bool slab_add(struct stack_pool *pool)
{
    size_t count =
        MIN_OF(MAX_OF(pool->total_count, (size_t)SLAB_STACKS_MIN), (size_t)SLAB_STACKS_MAX);
    size_t size = count * pool->stack_bytes;
    uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) return false;
    /* A huge page would make eight stacks resident at the first touch. */
    madvise(base, size, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < count; i++) {
        if (guard_install(pool, base + i * pool->stack_bytes) == 0) continue;
        munmap(base, size);
        return false;
    }

    size_t total = pool->total_count + count;
    pool->warm = xrealloc(pool->warm, total * sizeof(void *));
    pool->cold = xrealloc(pool->cold, total * sizeof(void *));
    pool->slabs = xrealloc(pool->slabs, (pool->slab_count + 1) * sizeof(struct stack_slab));
    pool->slabs[pool->slab_count++] = (struct stack_slab){ base, size };
    pool->total_count = total;
    for (size_t i = count; i-- > 0;) {
        pool->cold[pool->cold_count++] = base + i * pool->stack_bytes + pool->page_bytes;
    }
    return true;
}

size_t stack_usable(const struct stack_pool *pool)
{
    return pool->stack_bytes - pool->page_bytes;
}

void *stack_get(struct stack_pool *pool)
{
    if (pool->warm_count == 0 && pool->cold_count == 0 && !slab_add(pool)) return NULL;
    void *low = pool->warm_count ? pool->warm[--pool->warm_count] : pool->cold[--pool->cold_count];
    if (pool->is_painted) memset(low, PAINT, stack_usable(pool));
    return low;
}

static void note_depth(struct stack_pool *pool, const uint8_t *low)
{
    size_t size = stack_usable(pool), untouched = 0;
    while (untouched < size && low[untouched] == PAINT) {
        untouched++;
    }
    pool->used_bytes_max = MAX_OF(pool->used_bytes_max, (uint32_t)(size - untouched));
}

void stack_put(struct stack_pool *pool, void *low)
{
    if (pool->is_painted) note_depth(pool, low);
    if (pool->warm_count < WARM_MAX) {
        pool->warm[pool->warm_count++] = low;
        return;
    }
    madvise(low, stack_usable(pool), MADV_DONTNEED);
    pool->cold[pool->cold_count++] = low;
}
