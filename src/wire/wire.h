/* wire.h - bounds-checked little-endian cursors, and record codecs generated from field lists.
 *
 * A record is declared once as a field list, #define FOO(F) F(type, name, "doc"), and
 * WIRE_RECORD(foo, FOO) turns it into struct foo, foo_put(), foo_get() and foo_to_text(). On the
 * wire a record is a u32 byte count and then its fields in order. Fields are only ever appended: a
 * reader that knows fewer skips the rest, one that knows more sees zero. WIRE_LIST(foo) adds struct
 * foo_list { items, count } (u32 count, then records).
 *
 * Decoding never reads past the input, checks counts against the bytes left before any arithmetic,
 * and takes list memory from the input's arena, at most WIRE_LIST_BYTES_PER_BYTE times the
 * message's own size: a few bytes cannot claim much. Decoded blobs borrow from the message. Both
 * cursors are sticky: after a failure puts do nothing and gets leave zero; one check at the end
 * suffices.
 */
#pragma once
#include "base/arena.h"
#include "base/bytes.h"
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

struct wire_out {
    uint8_t *start, *pos, *end;
    uint8_t *lent; /* memory of the caller in use before the heap: see wire_out_lent() */
    bool can_grow; /* heap memory owned by the cursor: wire_out_heap(), wire_out_free() */
    bool failed;
};
struct wire_in {
    const uint8_t *pos, *end;
    struct arena *arena;    /* lists are allocated here; NULL makes any non-empty list a failure */
    size_t arena_bytes_max; /* arena->total_bytes may not pass it */
    bool failed;
};

enum {
    WIRE_MESSAGE_BYTES_MAX = 16 << 20,
    WIRE_LIST_BYTES_PER_BYTE = 16, /* an empty list or text takes 4 bytes here and 16 in memory */
    WIRE_LIST_BYTES_MIN = 64 << 10,
};

/* A fixed buffer that is never outgrown: putting too much sets failed. */
static inline struct wire_out wire_out_fixed(void *buf, size_t size)
{
    return (struct wire_out){ .start = buf, .pos = buf, .end = (uint8_t *)buf + size };
}
/* A heap buffer that grows up to WIRE_MESSAGE_BYTES_MAX; release with wire_out_free(). */
struct wire_out wire_out_heap(void);
/* As wire_out_heap(), but fills @buf (which must outlive the cursor) before it takes any heap
 * memory. */
struct wire_out wire_out_lent(void *buf, size_t size);
void wire_out_free(
    struct wire_out *out); /* heap memory only; the cursor is then failed and empty */
static inline struct bytes wire_out_bytes(const struct wire_out *out)
{
    return bytes_of(out->start, (size_t)(out->pos - out->start));
}
static inline struct wire_in wire_in_of(struct bytes data, struct arena *arena)
{
    const uint8_t *end = data.size ? data.base + data.size : data.base; /* base may be NULL */
    struct wire_in in = { .pos = data.base, .end = end, .arena = arena };
    if (arena)
        in.arena_bytes_max =
            arena->total_bytes + WIRE_LIST_BYTES_MIN + data.size * WIRE_LIST_BYTES_PER_BYTE;
    return in;
}

uint8_t *wire_grow(struct wire_out *out, size_t size); /* slow path of wire_reserve() */

static inline uint8_t *wire_reserve(struct wire_out *out, size_t size)
{
    if (out->failed) return NULL;
    if (size > (size_t)(out->end - out->pos)) return wire_grow(out, size);
    uint8_t *p = out->pos;
    out->pos += size;
    return p;
}
static inline const uint8_t *wire_take(struct wire_in *in, size_t size)
{
    if (in->failed || size > (size_t)(in->end - in->pos)) {
        in->failed = true;
        return NULL;
    }
    const uint8_t *p = in->pos;
    in->pos += size;
    return p;
}
static inline void wire_put_count(struct wire_out *out, uint32_t v)
{
    uint8_t *p = wire_reserve(out, sizeof v);
    if (p) memcpy(p, &v, sizeof v);
}
static inline uint32_t wire_get_count(struct wire_in *in)
{
    uint32_t v = 0;
    const uint8_t *p = wire_take(in, sizeof v);
    if (p) memcpy(&v, p, sizeof v);
    return v;
}

/* Zeroed memory for a list's items, each at least @item_wire_bytes on the wire. NULL when @count is
 * 0, or too large for what is left of the input or of the arena's share: failed is set then. */
void *wire_list_items(struct wire_in *in, uint32_t count, size_t item_wire_bytes,
                      size_t item_bytes);

#define WIRE_INT(type, ctype, fmt)                                                                 \
    typedef ctype wire_##type;                                                                     \
    static inline unused_ void type##_put(struct wire_out *out, const ctype *v)                    \
    {                                                                                              \
        uint8_t *p = wire_reserve(out, sizeof *v);                                                 \
        if (p) memcpy(p, v, sizeof *v);                                                            \
    }                                                                                              \
    static inline unused_ void type##_get(struct wire_in *in, ctype *v)                            \
    {                                                                                              \
        const uint8_t *p = wire_take(in, sizeof *v);                                               \
        if (p) memcpy(v, p, sizeof *v);                                                            \
    }                                                                                              \
    static inline unused_ void type##_to_text(FILE *f, const ctype *v)                             \
    {                                                                                              \
        fprintf(f, "%" fmt, *v);                                                                   \
    }                                                                                              \
    typedef struct type##_list {                                                                   \
        ctype *items;                                                                              \
        uint32_t count;                                                                            \
    } wire_##type##_list;                                                                          \
    static inline unused_ void type##_list_put(struct wire_out *out, const struct type##_list *v)  \
    {                                                                                              \
        wire_put_count(out, v->count);                                                             \
        uint8_t *p = wire_reserve(out, v->count * sizeof *v->items);                               \
        if (p && v->count) memcpy(p, v->items, v->count * sizeof *v->items);                       \
    }                                                                                              \
    static inline unused_ void type##_list_get(struct wire_in *in, struct type##_list *v)          \
    {                                                                                              \
        uint32_t count = wire_get_count(in);                                                       \
        v->items = wire_list_items(in, count, sizeof *v->items, sizeof *v->items);                 \
        if (!v->items) return;                                                                     \
        memcpy(v->items, wire_take(in, count * sizeof *v->items), count * sizeof *v->items);       \
        v->count = count;                                                                          \
    }                                                                                              \
    static inline unused_ void type##_list_to_text(FILE *f, const struct type##_list *v)           \
    {                                                                                              \
        fputc('[', f);                                                                             \
        for (uint32_t i = 0; i < v->count; i++) {                                                  \
            if (i) fputs(", ", f);                                                                 \
            type##_to_text(f, &v->items[i]);                                                       \
        }                                                                                          \
        fputc(']', f);                                                                             \
    }

WIRE_INT(u8, uint8_t, PRIu8)
WIRE_INT(u16, uint16_t, PRIu16)
WIRE_INT(u32, uint32_t, PRIu32)
WIRE_INT(u64, uint64_t, PRIu64)
WIRE_INT(i64, int64_t, PRId64)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire integers are copied as they are");

/* Opaque bytes (printed as hex), and text (printed as a JSON string). Decoded ones borrow. */
typedef struct bytes wire_blob;
typedef struct bytes wire_text;
static inline void blob_put(struct wire_out *out, const struct bytes *v)
{
    if (v->size > UINT32_MAX) {
        out->failed = true;
        return;
    }
    wire_put_count(out, (uint32_t)v->size);
    uint8_t *p = wire_reserve(out, v->size);
    if (p && v->size) memcpy(p, v->base, v->size);
}
static inline void blob_get(struct wire_in *in, struct bytes *v)
{
    uint32_t size = wire_get_count(in);
    const uint8_t *p = wire_take(in, size);
    if (p) *v = bytes_of(p, size);
}
void blob_to_text(FILE *f, const struct bytes *v);
static inline void text_put(struct wire_out *out, const struct bytes *v)
{
    blob_put(out, v);
}
static inline void text_get(struct wire_in *in, struct bytes *v)
{
    blob_get(in, v);
}
void text_to_text(FILE *f, const struct bytes *v);

/* Lists of text: struct text_list { struct bytes *items; uint32_t count }. */
typedef struct text_list {
    struct bytes *items;
    uint32_t count;
} wire_text_list;
void text_list_put(struct wire_out *out, const struct text_list *v);
void text_list_get(struct wire_in *in, struct text_list *v);
void text_list_to_text(FILE *f, const struct text_list *v);

#define WIRE_MEMBER(type, name, doc) wire_##type name;
#define WIRE_PUT(type, name, doc)    type##_put(out, &v->name);
#define WIRE_GET(type, name, doc)                                                                  \
    if (in.pos != in.end) type##_get(&in, &v->name);
#define WIRE_TEXT(type, name, doc)                                                                 \
    fputs(separator, f);                                                                           \
    separator = ", ";                                                                              \
    fputs("\"" #name "\": ", f);                                                                   \
    type##_to_text(f, &v->name);

void wire_record_end(struct wire_out *out,
                     size_t head_offset); /* writes the byte count of a record */

/* foo_to_text prints JSON, which is also what --json shows. */
#define WIRE_RECORD(record, FIELDS)                                                                \
    typedef struct record {                                                                        \
        FIELDS(WIRE_MEMBER)                                                                        \
    } wire_##record;                                                                               \
    static inline unused_ void record##_put(struct wire_out *out, const struct record *v)          \
    {                                                                                              \
        size_t head = (size_t)(out->pos - out->start);                                             \
        wire_put_count(out, 0);                                                                    \
        FIELDS(WIRE_PUT)                                                                           \
        wire_record_end(out, head);                                                                \
    }                                                                                              \
    static inline unused_ void record##_get(struct wire_in *outer, struct record *v)               \
    {                                                                                              \
        memset(v, 0, sizeof *v);                                                                   \
        uint32_t size = wire_get_count(outer);                                                     \
        const uint8_t *p = wire_take(outer, size);                                                 \
        if (!p) return;                                                                            \
        struct wire_in in = *outer;                                                                \
        in.pos = p;                                                                                \
        in.end = p + size;                                                                         \
        FIELDS(WIRE_GET)                                                                           \
        if (in.failed) {                                                                           \
            outer->failed = true;                                                                  \
            memset(v, 0, sizeof *v);                                                               \
        }                                                                                          \
    }                                                                                              \
    static inline unused_ void record##_to_text(FILE *f, const struct record *v)                   \
    {                                                                                              \
        const char *separator = "";                                                                \
        (void)separator;                                                                           \
        fputc('{', f);                                                                             \
        FIELDS(WIRE_TEXT)                                                                          \
        fputc('}', f);                                                                             \
    }

#define WIRE_LIST(record)                                                                          \
    typedef struct record##_list {                                                                 \
        struct record *items;                                                                      \
        uint32_t count;                                                                            \
    } wire_##record##_list;                                                                        \
    static inline unused_ void record##_list_put(struct wire_out *out,                             \
                                                 const struct record##_list *v)                    \
    {                                                                                              \
        wire_put_count(out, v->count);                                                             \
        for (uint32_t i = 0; i < v->count; i++)                                                    \
            record##_put(out, &v->items[i]);                                                       \
    }                                                                                              \
    static inline unused_ void record##_list_get(struct wire_in *in, struct record##_list *v)      \
    {                                                                                              \
        uint32_t count = wire_get_count(in);                                                       \
        v->items = wire_list_items(in, count, sizeof(uint32_t), sizeof *v->items);                 \
        if (!v->items) return;                                                                     \
        for (uint32_t i = 0; i < count && !in->failed; i++)                                        \
            record##_get(in, &v->items[i]);                                                        \
        if (in->failed)                                                                            \
            v->items = NULL;                                                                       \
        else                                                                                       \
            v->count = count;                                                                      \
    }                                                                                              \
    static inline unused_ void record##_list_to_text(FILE *f, const struct record##_list *v)       \
    {                                                                                              \
        fputc('[', f);                                                                             \
        for (uint32_t i = 0; i < v->count; i++) {                                                  \
            if (i) fputs(", ", f);                                                                 \
            record##_to_text(f, &v->items[i]);                                                     \
        }                                                                                          \
        fputc(']', f);                                                                             \
    }
