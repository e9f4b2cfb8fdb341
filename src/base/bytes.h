/* bytes.h - a borrowed run of bytes: never owns, lives as long as what it points into. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *base;
    size_t size;
};

#define BYTES_LITERAL(s) ((struct bytes){ (const uint8_t *)(s), sizeof(s) - 1 })

static inline struct bytes bytes_of(const void *base, size_t size)
{
    return (struct bytes){ base, size };
}
static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}
/* Lexicographic by unsigned byte; a prefix sorts first. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int c = n ? memcmp(a.base, b.base, n) : 0;
    return c ? c : (a.size > b.size) - (a.size < b.size);
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.base, b.base, a.size) == 0);
}
static inline bool bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}
static inline bool bytes_has_prefix(struct bytes a, struct bytes prefix)
{
    return a.size >= prefix.size && (prefix.size == 0 || !memcmp(a.base, prefix.base, prefix.size));
}
