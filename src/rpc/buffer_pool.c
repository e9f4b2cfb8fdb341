/* buffer_pool.c - page-aligned memory, bounded in bytes; given-back memory is kept by size class.
 *
 * Classes are multiples of 4 KiB up to 64 KiB, then four steps to each power of two, so at most a
 * quarter is wasted. What is taken and what is kept are together at most bytes_max.
 */
#include "rpc/buffer_pool.h"

#include "base/arena.h"
#include "base/check.h"
#include "fiber/sync.h"

enum {
    PAGE_BYTES = 4096,
    FINE_SHIFT = 16, /* below 1 << it classes are single pages */
    FINE_CLASSES = (1 << FINE_SHIFT) / PAGE_BYTES,
    SHIFT_MAX = 40,
    CLASS_COUNT = FINE_CLASSES + (SHIFT_MAX - FINE_SHIFT) * 4,
};

/* A buffer with its place in the pool. */
struct pooled {
    struct buffer buffer; /* first: what the user sees */
    struct list link;     /* in its class while it is kept */
    uint32_t class;
    uint64_t client_bytes; /* counted in the clients' share */
};

struct buffer_pool {
    uint64_t bytes_max, kept_bytes;
    struct fiber_semaphore bytes, client_bytes; /* of capacity, not taken */
    struct list kept[CLASS_COUNT];
};

struct buffer_pool *buffer_pool_new(uint64_t bytes_max)
{
    check(bytes_max < (uint64_t)1 << SHIFT_MAX);
    struct buffer_pool *pool = new_zero(struct buffer_pool);
    pool->bytes_max = bytes_max;
    fiber_semaphore_init(&pool->bytes, bytes_max);
    fiber_semaphore_init(&pool->client_bytes, bytes_max / 2);
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        list_init(&pool->kept[i]);
    }
    return pool;
}

static void pooled_free(struct buffer_pool *pool, struct pooled *p)
{
    list_remove(&p->link);
    pool->kept_bytes -= p->buffer.capacity;
    free(p->buffer.base);
    free(p);
}

struct buffer_pool *buffer_pool_free(struct buffer_pool *pool)
{
    if (!pool) return NULL;
    check(pool->bytes.units == pool->bytes_max); /* nothing is taken */
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        list_for_each_safe (it, &pool->kept[i]) {
            pooled_free(pool, list_entry(it, struct pooled, link));
        }
    }
    free(pool);
    return NULL;
}

/* The class of @size (1 and above) and the bytes that its members have. */
static uint32_t class_of(size_t size, size_t *ret_capacity)
{
    if (size <= (size_t)1 << FINE_SHIFT) {
        size_t pages = (MAX_OF(size, (size_t)1) + PAGE_BYTES - 1) / PAGE_BYTES;
        *ret_capacity = pages * PAGE_BYTES;
        return (uint32_t)pages - 1;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(size - 1);
    size_t base = (size_t)1 << shift, step = base / 4;
    size_t steps = (size - base + step - 1) / step; /* 1 to 4 */
    *ret_capacity = base + steps * step;
    return FINE_CLASSES + (shift - FINE_SHIFT) * 4 + (uint32_t)steps - 1;
}

/* Lets go of kept buffers, large classes first, until those taken fit beside the rest. */
static void pool_make_room(struct buffer_pool *pool)
{
    uint64_t taken = pool->bytes_max - pool->bytes.units;
    for (uint32_t class = CLASS_COUNT;
         class -- > 0 && taken + pool->kept_bytes > pool->bytes_max;) {
        while (!list_empty(&pool->kept[class]) && taken + pool->kept_bytes > pool->bytes_max) {
            pooled_free(pool, list_entry(list_first(&pool->kept[class]), struct pooled, link));
        }
    }
}

static int pool_take(struct buffer_pool *pool, size_t size, bool is_of_client,
                     struct buffer **ret) fiber_fn
{
    if (size > pool->bytes_max) return -ERR_NO_MEMORY;
    size_t capacity;
    uint32_t class = class_of(size, &capacity);
    if (capacity > pool->bytes_max) return -ERR_NO_MEMORY;
    /* One that is larger than the share takes all of it. */
    uint64_t client_bytes = is_of_client ? MIN_OF((uint64_t)capacity, pool->bytes_max / 2) : 0;
    if (client_bytes) {
        int r = fiber_semaphore_take(&pool->client_bytes, client_bytes);
        if (r < 0) return r;
    }
    int r = fiber_semaphore_take(&pool->bytes, capacity);
    if (r < 0) {
        if (client_bytes) fiber_semaphore_give(&pool->client_bytes, client_bytes);
        return r;
    }
    struct pooled *p;
    struct list *node = list_pop_front(&pool->kept[class]);
    if (node) {
        p = list_entry(node, struct pooled, link);
        pool->kept_bytes -= capacity;
    } else {
        pool_make_room(pool);
        p = new_zero(struct pooled);
        list_init(&p->link);
        p->class = class;
        p->buffer = (struct buffer){ .base = aligned_alloc(PAGE_BYTES, capacity),
                                     .capacity = capacity,
                                     .pool = pool };
        check(p->buffer.base != NULL);
    }
    p->client_bytes = client_bytes;
    p->buffer.size = size;
    *ret = &p->buffer;
    return 0;
}

int buffer_take(struct buffer_pool *pool, size_t size, struct buffer **ret)
{
    return pool_take(pool, size, false, ret);
}

int buffer_take_for_client(struct buffer_pool *pool, size_t size, struct buffer **ret)
{
    return pool_take(pool, size, true, ret);
}

struct buffer *buffer_give(struct buffer *buffer)
{
    if (!buffer) return NULL;
    struct pooled *p = container_of(buffer, struct pooled, buffer);
    struct buffer_pool *pool = buffer->pool;
    list_push_front(&pool->kept[p->class], &p->link);
    pool->kept_bytes += buffer->capacity;
    if (p->client_bytes) fiber_semaphore_give(&pool->client_bytes, p->client_bytes);
    fiber_semaphore_give(&pool->bytes, buffer->capacity);
    return NULL;
}
