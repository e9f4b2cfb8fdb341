/* arena.c - bump allocation in blocks that double up to 1 MiB; large requests get a block of their
 * own. */
#include "base/arena.h"

#include "base/check.h"
#include <stdarg.h>
#include <stdio.h>

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) uint8_t data[];
};

enum { BLOCK_MIN_BYTES = 4096, BLOCK_MAX_BYTES = 1 << 20 };

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    check(p != NULL);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    check(p != NULL);
    return p;
}

void *xrealloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    check(q != NULL);
    return q;
}

char *xstrdup(const char *text)
{
    char *p = strdup(text);
    check(p != NULL);
    return p;
}

void arena_done(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    arena_init(a);
}

static struct arena_block *block_new(size_t size)
{
    struct arena_block *b = xmalloc(sizeof *b + size);
    b->size = size;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    check(size < SIZE_MAX / 2);
    size = size ? (size + 15) & ~(size_t)15 : 16; /* never NULL, also for nothing */
    a->total_bytes += size;
    if (size <= (size_t)(a->end - a->pos)) {
        void *p = a->pos;
        a->pos += size;
        return p;
    }
    size_t want = a->blocks ? a->blocks->size * 2 : BLOCK_MIN_BYTES;
    if (want > BLOCK_MAX_BYTES) want = BLOCK_MAX_BYTES;
    if (size > want / 4 && a->blocks) { /* keep filling the present block with small ones */
        struct arena_block *b = block_new(size);
        b->next = a->blocks->next;
        a->blocks->next = b;
        return b->data;
    }
    struct arena_block *b = block_new(size > want ? size : want);
    b->next = a->blocks;
    a->blocks = b;
    a->pos = b->data + size;
    a->end = b->data + b->size;
    return b->data;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

char *arena_text(struct arena *a, struct bytes src)
{
    char *p = arena_alloc(a, src.size + 1);
    if (src.size) memcpy(p, src.base, src.size);
    p[src.size] = '\0';
    return p;
}

struct bytes arena_copy(struct arena *a, struct bytes src)
{
    return bytes_of(arena_text(a, src), src.size);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    check(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}
