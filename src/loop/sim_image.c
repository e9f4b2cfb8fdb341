/* sim_image.c - blocks, ranges and the images made of them. Pure: no world, no chance, no waiting.
 */
#include "loop/sim_image.h"

#include "base/arena.h"
#include "base/check.h"

struct sim_block *sim_block_new_raw(void)
{
    struct sim_block *b = xmalloc(sizeof *b);
    b->ref_count = 1;
    return b;
}

struct sim_block *sim_block_new(const struct sim_block *from)
{
    struct sim_block *b = sim_block_new_raw();
    if (from) {
        memcpy(b->data, from->data, sizeof b->data);
    } else {
        memset(b->data, 0, sizeof b->data);
    }
    return b;
}

struct sim_block *sim_block_ref(struct sim_block *b)
{
    if (b) b->ref_count++;
    return b;
}

struct sim_block *sim_block_unref(struct sim_block *b)
{
    if (b && --b->ref_count == 0) free(b);
    return NULL;
}

void sim_block_flip(struct sim_block *b, uint32_t offset, uint8_t bit)
{
    check(offset < SIM_BLOCK_SIZE);
    b->data[offset] ^= (uint8_t)(1u << (bit & 7));
}

/* ---- ranges ---- */

void sim_ranges_done(struct sim_ranges *s)
{
    free(s->items);
    *s = (struct sim_ranges){ 0 };
}

/* The first range that ends after @number, or at it when @touching. */
static size_t range_find(const struct sim_ranges *s, uint64_t number, bool touching)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        bool is_before = touching ? s->items[mid].end < number : s->items[mid].end <= number;
        if (is_before) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Puts @fresh_count ranges in place of [first, last). */
static void range_splice(struct sim_ranges *s, size_t first, size_t last,
                         const struct sim_range *fresh, size_t fresh_count)
{
    size_t count = s->count - (last - first) + fresh_count;
    if (count > s->capacity) {
        s->capacity = count * 2;
        s->items = xrealloc(s->items, s->capacity * sizeof *s->items);
    }
    if (s->count > last)
        memmove(&s->items[first + fresh_count], &s->items[last],
                (s->count - last) * sizeof *s->items);
    if (fresh_count) memcpy(&s->items[first], fresh, fresh_count * sizeof *fresh);
    s->count = count;
}

void sim_ranges_add(struct sim_ranges *s, uint64_t begin, uint64_t end)
{
    if (begin >= end) return;
    size_t first = range_find(s, begin, true), last = first;
    struct sim_range merged = { begin, end };
    for (; last < s->count && s->items[last].begin <= end; last++) {
        struct sim_range *r = &s->items[last];
        merged.begin = MIN_OF(merged.begin, r->begin);
        merged.end = MAX_OF(merged.end, r->end);
        s->total -= r->end - r->begin;
    }
    s->total += merged.end - merged.begin;
    if (last == first + 1) {
        s->items[first] = merged;
    } else {
        range_splice(s, first, last, &merged, 1);
    }
}

void sim_ranges_remove(struct sim_ranges *s, uint64_t begin, uint64_t end)
{
    if (begin >= end) return;
    size_t first = range_find(s, begin, false), last = first, left_count = 0;
    struct sim_range left[2];
    for (; last < s->count && s->items[last].begin < end; last++) {
        struct sim_range *r = &s->items[last];
        s->total -= r->end - r->begin;
        if (r->begin < begin) left[left_count++] = (struct sim_range){ r->begin, begin };
        if (r->end > end) left[left_count++] = (struct sim_range){ end, r->end };
    }
    for (size_t i = 0; i < left_count; i++)
        s->total += left[i].end - left[i].begin;
    if (last > first) range_splice(s, first, last, left, left_count);
}

bool sim_ranges_has(const struct sim_ranges *s, uint64_t number)
{
    size_t at = range_find(s, number, false);
    return at < s->count && s->items[at].begin <= number;
}

uint64_t sim_ranges_overlap(const struct sim_ranges *s, uint64_t begin, uint64_t end)
{
    uint64_t sum = 0;
    for (size_t i = range_find(s, begin, false); i < s->count && s->items[i].begin < end; i++)
        sum += MIN_OF(end, s->items[i].end) - MAX_OF(begin, s->items[i].begin);
    return sum;
}

void sim_ranges_copy(struct sim_ranges *to, const struct sim_ranges *from)
{
    sim_ranges_done(to);
    if (!from->count) return;
    to->items = xmalloc(from->count * sizeof *from->items);
    memcpy(to->items, from->items, from->count * sizeof *from->items);
    to->count = to->capacity = from->count;
    to->total = from->total;
}

/* ---- images ---- */

void sim_image_init(struct sim_image *image)
{
    *image = (struct sim_image){ 0 };
    map_init(&image->blocks, 0);
}

void sim_image_done(struct sim_image *image)
{
    struct sim_block *b;
    for (size_t at = 0; (b = map_next(&image->blocks, &at));)
        sim_block_unref(b);
    map_done(&image->blocks);
    sim_ranges_done(&image->allocated);
    sim_image_init(image);
}

void sim_image_copy(struct sim_image *to, const struct sim_image *from)
{
    struct sim_block *b;
    uint64_t number;
    sim_image_done(to);
    for (size_t at = 0; (b = map_next_key(&from->blocks, &at, &number));)
        check(map_put(&to->blocks, number, sim_block_ref(b)) == NULL);
    sim_ranges_copy(&to->allocated, &from->allocated);
    to->size_bytes = from->size_bytes;
}

struct sim_block *sim_image_get(const struct sim_image *image, uint64_t number)
{
    return map_get(&image->blocks, number);
}

void sim_image_set(struct sim_image *image, uint64_t number, struct sim_block *block)
{
    sim_block_unref(map_put(&image->blocks, number, sim_block_ref(block)));
    sim_ranges_add(&image->allocated, number, number + 1);
}

void sim_image_clear(struct sim_image *image, uint64_t begin, uint64_t end)
{
    if (begin >= end) return;
    if (end - begin <= image->blocks.count) {
        for (uint64_t n = begin; n < end; n++)
            sim_block_unref(map_remove(&image->blocks, n));
    } else {
        uint64_t number;
        for (size_t at = 0; map_next_key(&image->blocks, &at, &number);)
            if (number >= begin && number < end)
                sim_block_unref(map_remove(&image->blocks, number));
    }
    sim_ranges_remove(&image->allocated, begin, end);
}

void sim_image_read(const struct sim_image *image, void *buf, size_t size, uint64_t offset)
{
    uint8_t *to = buf;
    while (size) {
        size_t within = offset % SIM_BLOCK_SIZE;
        size_t n = MIN_OF(size, SIM_BLOCK_SIZE - within);
        const struct sim_block *b = sim_image_get(image, offset / SIM_BLOCK_SIZE);
        if (b) {
            memcpy(to, b->data + within, n);
        } else {
            memset(to, 0, n);
        }
        to += n;
        offset += n;
        size -= n;
    }
}
