/* units_bits.c - see units_bits.h. */
#include "storage/units_bits.h"
#include "base/check.h"

/* The first unit in [at, end) whose bit is @is_taken; @end when there is none. */
static uint32_t bits_next(const struct unit_bits *b, uint32_t at, uint32_t end, bool is_taken)
{
    while (at < end) {
        uint64_t word = b->words[at / 64];
        if (!is_taken) word = ~word;
        word &= UINT64_MAX << at % 64;
        if (word) return MIN_OF(at / 64 * 64 + (uint32_t)__builtin_ctzll(word), end);
        at = (at / 64 + 1) * 64;
    }
    return end;
}

/* Sets or clears [at, at + count). */
static void bits_set(struct unit_bits *b, uint32_t at, uint32_t count, bool is_taken)
{
    while (count > 0) {
        uint32_t n = MIN_OF(count, 64 - at % 64);
        uint64_t mask = (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << at % 64;
        if (is_taken) {
            b->words[at / 64] |= mask;
        } else {
            b->words[at / 64] &= ~mask;
        }
        at += n;
        count -= n;
    }
}

void unit_bits_grow(struct unit_bits *b, uint32_t count)
{
    check(b->unit_count + count <= UNIT_FILE_UNITS);
    b->unit_count += count;
    b->free_count += count;
}

bool unit_bits_are(const struct unit_bits *b, uint32_t at, uint32_t count, bool is_taken)
{
    if (at > b->unit_count || count > b->unit_count - at) return false;
    return bits_next(b, at, at + count, !is_taken) == at + count;
}

void unit_bits_take(struct unit_bits *b, uint32_t at, uint32_t count)
{
    check(unit_bits_are(b, at, count, false));
    bits_set(b, at, count, true);
    b->free_count -= count;
    if (at + count > b->mark) {
        b->run_hint = b->mark = at + count; /* what was passed over is free, and below it now */
    }
}

void unit_bits_give(struct unit_bits *b, uint32_t at, uint32_t count)
{
    check(unit_bits_are(b, at, count, true));
    bits_set(b, at, count, false);
    b->free_count += count;
    b->run_hint = b->free_count; /* exact again after the next search that fails */
}

/* As unit_bits_find() in [from, end); *longest is raised to the longest run seen. */
static uint32_t find_in(const struct unit_bits *b, uint32_t from, uint32_t end, uint32_t count,
                        uint32_t *longest)
{
    uint32_t at = bits_next(b, from, end, false);
    while (at < end) {
        uint32_t stop = bits_next(b, at, MIN_OF(at + count, b->mark), true);
        if (stop - at >= count) return at;
        if (stop - at > *longest) *longest = stop - at;
        at = bits_next(b, stop, end, false);
    }
    return UINT32_MAX;
}

uint32_t unit_bits_find(struct unit_bits *b, uint32_t from, uint32_t count)
{
    uint32_t longest = 0;
    if (b->free_count < count || b->run_hint < count) return UINT32_MAX;
    from = MIN_OF(from, b->mark);
    uint32_t at = find_in(b, from, b->mark, count, &longest);
    if (at == UINT32_MAX) {
        at = find_in(b, 0, from, count, &longest);
        if (at == UINT32_MAX) b->run_hint = longest;
    }
    return at;
}

bool unit_bits_piece(const struct unit_bits *b, uint32_t from, uint32_t count_max, uint32_t *ret_at,
                     uint32_t *ret_count)
{
    uint32_t at = bits_next(b, from, b->unit_count, false);
    if (at >= b->unit_count) return false;
    *ret_at = at;
    *ret_count = bits_next(b, at, MIN_OF(at + count_max, b->unit_count), true) - at;
    return true;
}
