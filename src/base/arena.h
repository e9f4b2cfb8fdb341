/* arena.h - memory that lives and dies together: a request's, a reply's, a command's.
 *
 * Allocation never fails for the caller: out of memory ends the process. Nothing is freed one by
 * one.
 */
#pragma once
#include "base/bytes.h"
#include "base/cleanup.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    uint8_t *pos, *end;
    size_t total_bytes; /* handed out since the last reset */
};

static inline void arena_init(struct arena *a)
{
    *a = (struct arena){ 0 };
}
/* Frees everything; the arena is then as after arena_init(). */
void arena_done(struct arena *a);
/* 16-byte aligned, not zeroed. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
/* Copies with a terminating NUL after the last byte (not counted in the size). */
struct bytes arena_copy(struct arena *a, struct bytes src);
char *arena_text(struct arena *a, struct bytes src);
char *arena_printf(struct arena *a, const char *fmt, ...) printf_(2, 3);

#define arena_new(a, type)      ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_zalloc((a), sizeof(type) * (n)))

/* As malloc, calloc, realloc, strdup, but running out of memory ends the process. */
void *xmalloc(size_t size) must_check;
void *xcalloc(size_t count, size_t size) must_check;
void *xrealloc(void *p, size_t size) must_check;
char *xstrdup(const char *text) must_check;
#define new_zero(type) ((type *)xcalloc(1, sizeof(type)))

#define cleanup_arena_ cleanup_(arena_done)
