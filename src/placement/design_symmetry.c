/* design_symmetry.c - sums of cyclic groups, their automorphisms, and the orbits of pairs. */
#include "placement/design_symmetry.h"

#include "base/arena.h"
#include "base/check.h"
#include <stdlib.h>

static uint32_t element_plus(const struct symmetry *s, uint32_t a, uint32_t b)
{
    uint32_t sum = 0, place = 1;
    for (uint32_t i = 0; i < s->digit_count; i++) {
        uint32_t radix = s->radices[i];
        check(radix > 0);
        sum += (a + b) % radix * place;
        place *= radix;
        a /= radix;
        b /= radix;
    }
    return sum;
}

static uint32_t element_negative(const struct symmetry *s, uint32_t a)
{
    uint32_t result = 0, place = 1;
    for (uint32_t i = 0; i < s->digit_count; i++) {
        uint32_t radix = s->radices[i];
        check(radix > 0);
        result += (radix - a % radix) % radix * place;
        place *= radix;
        a /= radix;
    }
    return result;
}

uint32_t symmetry_move(const struct symmetry *s, uint32_t node, uint32_t by)
{
    uint32_t x = node % s->spec.size;
    return node - x + element_plus(s, x, by);
}

uint32_t symmetry_turn(const struct symmetry *s, uint32_t node)
{
    uint32_t x = node % s->spec.size;
    return node - x + s->turn[x];
}

/* ---- turns ---- */

uint32_t symmetry_multipliers(uint32_t size, uint32_t order, uint32_t most, uint32_t *ret)
{
    uint32_t count = 0;
    bool *is_known = xcalloc(size, 1); /* a power of one that was found */
    for (uint32_t m = 2; m < size && count < most; m++) {
        if (is_known[m]) continue;
        uint32_t power = m, n = 1;
        while (power > 1 && n < order) {
            power = power * m % size;
            n++;
        }
        if (power != 1 || n != order) continue;
        for (uint32_t i = 0; i < order; i++) {
            power = power * m % size;
            is_known[power] = true;
        }
        ret[count++] = m;
    }
    free(is_known);
    return count;
}

/* The power of the smallest prime that divides n. */
static uint32_t prime_power_of(uint32_t n, uint32_t *ret_prime)
{
    uint32_t p = 2, power = 1;
    while (n % p)
        p++;
    for (; n % p == 0; n /= p)
        power *= p;
    *ret_prime = p;
    return power;
}

bool symmetry_can_split(uint32_t size, uint32_t order)
{
    uint32_t p;
    for (; size > 1; size /= prime_power_of(size, &p))
        if ((prime_power_of(size, &p) - 1) % order) return false;
    return true;
}

/* x times @a modulo x^n - @low, in the field of q = p^n elements: digits of base p. */
static uint32_t times_x(uint32_t a, uint32_t low, uint32_t p, uint32_t q)
{
    uint32_t lead = a / (q / p), up = a % (q / p) * p, sum = 0, place = 1;
    for (; place < q; place *= p, up /= p, low /= p)
        sum += (up + lead * (low % p)) % p * place;
    return sum;
}

/* Multiplication by an element of @order in the field of q elements, for every element: a power of
 * x modulo a polynomial for which x has all the others as powers. */
static void field_turn(uint32_t p, uint32_t q, uint32_t order, uint32_t *ret)
{
    uint32_t low = 0;
    for (uint32_t a = 0, n = 0; a != 1 || n != q - 1;) {
        check(++low < q);
        a = 1;
        n = 0;
        do {
            a = times_x(a, low, p, q);
            n++;
        } while (a > 1 && n < q);
    }
    for (uint32_t a = 0; a < q; a++) {
        ret[a] = a;
        for (uint32_t i = 0; i < (q - 1) / order; i++)
            ret[a] = times_x(ret[a], low, p, q);
    }
}

static bool split_group(struct symmetry *s)
{
    uint32_t order = s->spec.turn_order, size = s->spec.size, place = 1;
    uint32_t *part = xcalloc(size, sizeof *part);
    if (!symmetry_can_split(size, order)) size = 0;
    for (uint32_t rest = size; rest > 1;) {
        uint32_t p, q = prime_power_of(rest, &p);
        field_turn(p, q, order, part);
        for (uint32_t x = 0; x < size; x++)
            s->turn[x] += part[x / place % q] * place;
        for (uint32_t n = q; n > 1; n /= p)
            s->radices[s->digit_count++] = p;
        place *= q;
        rest /= q;
    }
    free(part);
    return size > 0;
}

/* ---- orbits of pairs ---- */

/* Pairs from class @i to class @j, by distance. */
static void number_distances(struct symmetry *s, uint32_t i, uint32_t j, uint32_t *ids)
{
    uint32_t size = s->spec.size;
    for (uint32_t x = 0; x < size; x++)
        ids[x] = UINT32_MAX;
    for (uint32_t x = i == j; x < size; x++) {
        if (ids[x] != UINT32_MAX) continue;
        uint32_t count = 0, at = x;
        for (uint32_t turn = 0; turn < s->spec.turn_order; turn++, at = s->turn[at]) {
            count += ids[at] == UINT32_MAX;
            ids[at] = s->orbit_count;
            if (i != j) continue;
            uint32_t back = element_negative(s, at);
            count += ids[back] == UINT32_MAX;
            ids[back] = s->orbit_count;
        }
        check(count > 0);
        uint32_t weight = s->spec.turn_order * (i == j ? 2 : 1) / count;
        s->weights[s->orbit_count++] = weight;
    }
}

static void find_orbits(struct symmetry *s)
{
    uint32_t size = s->spec.size, classes = s->spec.class_count;
    for (uint32_t i = 0; i < classes; i++) {
        for (uint32_t j = i; j < classes; j++) {
            uint32_t *there = s->orbits + ((uint64_t)i * classes + j) * size;
            uint32_t *back = s->orbits + ((uint64_t)j * classes + i) * size;
            number_distances(s, i, j, there);
            for (uint32_t x = 0; x < size && i != j; x++)
                back[element_negative(s, x)] = there[x];
        }
    }
}

static void fill_places(struct symmetry *s)
{
    uint32_t size = s->spec.size;
    for (uint32_t node = 0; node < s->node_count; node++)
        s->places[node] = (node - node % size) << 16 | node % size;
    for (uint32_t x = 0; x < size; x++)
        for (uint32_t by = 0; by < size; by++)
            s->distances[x * size + element_plus(s, x, by)] = (uint16_t)by;
}

bool symmetry_init(struct symmetry *ret, const struct symmetry_spec *spec)
{
    uint64_t v = (uint64_t)spec->class_count * spec->size;
    *ret = (struct symmetry){ .spec = *spec, .node_count = (uint32_t)v };
    ret->turn = xcalloc(spec->size, sizeof *ret->turn);
    ret->places = xcalloc(v, sizeof *ret->places);
    ret->distances = xcalloc((uint64_t)spec->size * spec->size, sizeof *ret->distances);
    ret->orbits = xcalloc(v * spec->class_count, sizeof *ret->orbits);
    ret->weights = xcalloc((v + 1) * spec->class_count + 1, sizeof *ret->weights);
    if (spec->is_split) {
        if (!split_group(ret)) return false;
    } else {
        ret->digit_count = 1;
        ret->radices[0] = spec->size;
        for (uint32_t x = 0; x < spec->size; x++)
            ret->turn[x] = spec->turn_order == 1 ? x : x * spec->multiplier % spec->size;
    }
    find_orbits(ret);
    fill_places(ret);
    return true;
}

void symmetry_done(struct symmetry *s)
{
    free(s->turn);
    free(s->places);
    free(s->distances);
    free(s->orbits);
    free(s->weights);
}
