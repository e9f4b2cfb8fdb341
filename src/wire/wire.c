/* wire.c - the parts of the codec that are not generated: growing buffers, list memory, JSON text.
 */
#include "wire/wire.h"

#include "base/check.h"

enum { HEAP_BYTES_MIN = 512 };

struct wire_out wire_out_heap(void)
{
    return (struct wire_out){ .can_grow = true };
}

struct wire_out wire_out_lent(void *buf, size_t size)
{
    struct wire_out out = wire_out_fixed(buf, size);
    out.lent = buf;
    out.can_grow = true;
    return out;
}

void wire_out_free(struct wire_out *out)
{
    if (out->can_grow && out->start != out->lent) free(out->start);
    *out = (struct wire_out){ .failed = true };
}

uint8_t *wire_grow(struct wire_out *out, size_t size)
{
    size_t used = (size_t)(out->pos - out->start);
    if (!out->can_grow || size > WIRE_MESSAGE_BYTES_MAX - used) {
        out->failed = true;
        return NULL;
    }
    size_t capacity = MAX_OF((size_t)(out->end - out->start), (size_t)HEAP_BYTES_MIN);
    while (capacity < used + size) {
        capacity *= 2;
    }
    capacity = MIN_OF(capacity, (size_t)WIRE_MESSAGE_BYTES_MAX);
    bool is_lent = out->start == out->lent;
    uint8_t *start = xrealloc(is_lent ? NULL : out->start, capacity);
    if (is_lent && used) memcpy(start, out->start, used);
    out->start = start;
    out->pos = start + used + size;
    out->end = start + capacity;
    return start + used;
}

void wire_record_end(struct wire_out *out, size_t head_offset)
{
    if (out->failed) return;
    size_t size = (size_t)(out->pos - out->start) - head_offset - sizeof(uint32_t);
    if (size > UINT32_MAX) {
        out->failed = true;
        return;
    }
    uint32_t count = (uint32_t)size;
    memcpy(out->start + head_offset, &count, sizeof count);
}

void *wire_list_items(struct wire_in *in, uint32_t count, size_t item_wire_bytes, size_t item_bytes)
{
    if (in->failed || count == 0) return NULL;
    if (count > (size_t)(in->end - in->pos) / item_wire_bytes || !in->arena ||
        in->arena->total_bytes > in->arena_bytes_max ||
        count > (in->arena_bytes_max - in->arena->total_bytes) / MAX_OF(item_bytes, (size_t)1)) {
        in->failed = true;
        return NULL;
    }
    return arena_zalloc(in->arena, count * item_bytes);
}

void text_list_put(struct wire_out *out, const struct text_list *v)
{
    wire_put_count(out, v->count);
    for (uint32_t i = 0; i < v->count; i++) {
        text_put(out, &v->items[i]);
    }
}

void text_list_get(struct wire_in *in, struct text_list *v)
{
    uint32_t count = wire_get_count(in);
    struct bytes *items = wire_list_items(in, count, sizeof(uint32_t), sizeof *items);
    if (!items) return;
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        text_get(in, &items[i]);
    }
    if (!in->failed) *v = (struct text_list){ .items = items, .count = count };
}

void text_list_to_text(FILE *f, const struct text_list *v)
{
    fputc('[', f);
    for (uint32_t i = 0; i < v->count; i++) {
        if (i) fputs(", ", f);
        text_to_text(f, &v->items[i]);
    }
    fputc(']', f);
}

void blob_to_text(FILE *f, const struct bytes *v)
{
    fputc('"', f);
    for (size_t i = 0; i < v->size; i++) {
        fprintf(f, "%02x", v->base[i]);
    }
    fputc('"', f);
}

/* Bytes of the UTF-8 character at @p (of at most @left bytes), 0 when it is none: overlong forms,
 * surrogates and what lies above U+10FFFF are not. */
static size_t utf8_size(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80) return 1;
    size_t size = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || size > left) return 0;
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool is_beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return is_overlong || is_beyond ? 0 : size;
}

void text_to_text(FILE *f, const struct bytes *v)
{
    fputc('"', f);
    for (size_t i = 0; i < v->size;) {
        const uint8_t *p = v->base + i;
        size_t size = utf8_size(p, v->size - i);
        if (size == 0) {
            fputs("\\ufffd", f);
        } else if (*p == '"' || *p == '\\') {
            fprintf(f, "\\%c", *p);
        } else if (*p < 0x20 || *p == 0x7f) {
            fprintf(f, "\\u%04x", *p);
        } else {
            fwrite(p, 1, size, f);
        }
        i += MAX_OF(size, (size_t)1);
    }
    fputc('"', f);
}
