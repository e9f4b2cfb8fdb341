/* design_plane.c - lines of finite spaces: where they exist they are exactly balanced.
 *
 * The points of the affine space are the vectors of n elements of a field of q; its lines fall into
 * classes of one direction, each of which has every point once: any number of classes lets pairs
 * meet equally often or once more. The points of the projective space are these directions; a line
 * has q + 1 of them, and every two are on exactly one. Both have planes as the case of dimension 2.
 * The Hermitian curve in the plane over q² elements has q³ + 1 points, and every two are on one
 * line that has q + 1 of them.
 */
#include "placement/design_internal.h"

#include "base/check.h"
#include <stdlib.h>
#include <string.h>

enum { ORDER_MAX = 31, DEGREE_MAX = 4 };

/* The field of q = p^n elements, as polynomials over the integers modulo p, written in base p. */
struct field {
    uint32_t p, n, q;
    uint32_t modulus[DEGREE_MAX + 1]; /* coefficients, the leading one is 1 */
    uint8_t times[ORDER_MAX + 1][ORDER_MAX + 1];
};

static uint32_t field_plus(const struct field *f, uint32_t a, uint32_t b)
{
    uint32_t sum = 0, place = 1;
    for (uint32_t i = 0; i < f->n; i++, place *= f->p, a /= f->p, b /= f->p)
        sum += (a + b) % f->p * place;
    return sum;
}

static uint32_t multiply(const struct field *f, uint32_t a, uint32_t b)
{
    uint32_t product[2 * DEGREE_MAX] = { 0 }, result = 0, place = 1;
    for (uint32_t i = 0; i < f->n; i++, a /= f->p) {
        uint32_t rest = b;
        for (uint32_t j = 0; j < f->n; j++, rest /= f->p)
            product[i + j] = (product[i + j] + a % f->p * (rest % f->p)) % f->p;
    }
    for (uint32_t i = 2 * f->n - 1; i-- > f->n;) {
        uint32_t lead = product[i];
        for (uint32_t j = 0; j <= f->n; j++) {
            uint32_t *c = &product[i - f->n + j];
            *c = (*c + (f->p - lead) * f->modulus[j]) % f->p;
        }
    }
    for (uint32_t i = 0; i < f->n; i++, place *= f->p)
        result += product[i] * place;
    return result;
}

/* With a modulus that is not irreducible some product of two elements is zero. */
static bool fill_products(struct field *f)
{
    for (uint32_t a = 0; a < f->q; a++) {
        for (uint32_t b = 0; b < f->q; b++) {
            f->times[a][b] = (uint8_t)multiply(f, a, b);
            if (a && b && !f->times[a][b]) return false;
        }
    }
    return true;
}

/* False: q is not a power of a prime, or too large. */
static bool field_make(struct field *f, uint32_t q)
{
    if (q < 2 || q > ORDER_MAX) return false;
    *f = (struct field){ .p = 2, .q = q };
    while (q % f->p)
        f->p++;
    for (; q % f->p == 0; q /= f->p)
        f->n++;
    if (q != 1 || f->n > DEGREE_MAX) return false;
    for (uint32_t low = 0; low < f->q; low++) {
        uint32_t rest = low;
        for (uint32_t i = 0; i < f->n; i++, rest /= f->p)
            f->modulus[i] = rest % f->p;
        f->modulus[f->n] = 1;
        if (fill_products(f)) return true;
    }
    return false;
}

/* a to the power of @n. */
static uint32_t field_power(const struct field *f, uint32_t a, uint32_t n)
{
    uint32_t power = 1;
    while (n--)
        power = f->times[power][a];
    return power;
}

/* Point or line @at of the plane over @f: (1, y, z), (0, 1, z) or (0, 0, 1). */
static void plane_place(const struct field *f, uint32_t at, uint32_t ret[3])
{
    uint32_t q = f->q;
    ret[0] = at < q * q;
    ret[1] = at < q * q ? at / q : at < q * q + q;
    ret[2] = at < q * q ? at % q : at < q * q + q ? at - q * q : 1;
}

/* The points of x^(q+1) + y^(q+1) + z^(q+1) = 0 over the field of q² elements: every line has one
 * of them or q + 1, and those with q + 1 are the groups. @d has room for exactly these. */
static void make_unital(struct design *d, const struct field *f, uint32_t q)
{
    uint32_t places = f->q * f->q + f->q + 1, a[3], b[3], count = 0, *at = d->members;
    uint32_t *number = xcalloc(places, sizeof *number); /* of the curve's points, from 1 */
    for (uint32_t i = 0; i < places; i++) {
        plane_place(f, i, a);
        uint32_t sum = 0;
        for (uint32_t j = 0; j < 3; j++)
            sum = field_plus(f, sum, field_power(f, a[j], q + 1));
        if (sum == 0) number[i] = ++count;
    }
    check(count == d->node_count);
    for (uint32_t line = 0; line < places; line++) {
        uint32_t on_line[ORDER_MAX + 2], n = 0;
        plane_place(f, line, a);
        for (uint32_t i = 0; i < places; i++) {
            if (!number[i]) continue;
            plane_place(f, i, b);
            uint32_t sum = 0;
            for (uint32_t j = 0; j < 3; j++)
                sum = field_plus(f, sum, f->times[a[j]][b[j]]);
            if (sum == 0) on_line[n++] = number[i] - 1;
        }
        if (n == 1) continue;
        check(n == q + 1);
        memcpy(at, on_line, n * sizeof *at);
        at += n;
    }
    check(at == d->members + (size_t)d->group_count * d->group_size);
    free(number);
}

/* ---- lines of spaces; a vector is a number whose digits to the base q are its elements ---- */

/* @a plus @t times @b. */
static uint32_t vector_plus(const struct field *f, uint32_t a, uint32_t t, uint32_t b)
{
    uint32_t sum = 0;
    for (uint32_t place = 1; a || b; place *= f->q, a /= f->q, b /= f->q)
        sum += field_plus(f, a % f->q, f->times[t][b % f->q]) * place;
    return sum;
}

/* The multiple of @a whose leading element is 1: the same direction for all multiples. */
static uint32_t direction_of(const struct field *f, uint32_t a)
{
    uint32_t lead = a, t = 1;
    while (lead >= f->q)
        lead /= f->q;
    while (f->times[t][lead] != 1)
        t++;
    return vector_plus(f, 0, t, a);
}

/* Lines of @r directions, beginning again after the last. */
static void make_affine(struct design *d, const struct field *f, uint32_t r)
{
    uint32_t *at = d->members, v = d->node_count, direction = 0;
    bool *is_met = xcalloc(v, 1);
    for (uint32_t i = 0; i < r; i++) {
        do {
            direction = direction + 1 < v ? direction + 1 : 1;
        } while (direction_of(f, direction) != direction);
        memset(is_met, 0, v);
        for (uint32_t x = 0; x < v; x++) {
            for (uint32_t t = 0; t < f->q && !(t == 0 && is_met[x]); t++) {
                *at = vector_plus(f, x, t, direction);
                is_met[*at++] = true;
            }
        }
    }
    check(at == d->members + (size_t)d->group_count * d->group_size);
    free(is_met);
}

/* All lines of the directions among @vector_count vectors, each @times times. */
static void make_projective(struct design *d, const struct field *f, uint32_t vector_count,
                            uint32_t times)
{
    uint32_t *at = d->members, v = d->node_count, count = 0;
    uint32_t *number = xcalloc(vector_count, sizeof *number), *points = xcalloc(v, sizeof *points);
    bool *is_met = xcalloc((size_t)v * v, 1);
    for (uint32_t a = 1; a < vector_count; a++) {
        if (direction_of(f, a) != a) continue;
        points[count] = a;
        number[a] = count++;
    }
    check(count == v);
    for (uint32_t x = 0; x < v; x++) {
        for (uint32_t y = x + 1; y < v; y++) {
            if (is_met[(size_t)x * v + y]) continue;
            uint32_t line[ORDER_MAX + 1] = { x };
            for (uint32_t t = 0; t < f->q; t++)
                line[t + 1] = number[direction_of(f, vector_plus(f, points[y], t, points[x]))];
            for (uint32_t i = 0; i <= f->q; i++)
                for (uint32_t j = 0; j <= f->q; j++)
                    is_met[(size_t)line[i] * v + line[j]] = true;
            for (uint32_t i = 0; i < times; i++, at += f->q + 1)
                memcpy(at, line, (f->q + 1) * sizeof *line);
        }
    }
    check(at == d->members + (size_t)d->group_count * d->group_size);
    free(number);
    free(points);
    free(is_met);
}

bool design_of_plane(struct design *d, uint32_t r)
{
    struct field f;
    uint32_t v = d->node_count, k = d->group_size;
    bool is_unital = k >= 3 && v == (k - 1) * (k - 1) * (k - 1) + 1 && r == (k - 1) * (k - 1) &&
                     field_make(&f, (k - 1) * (k - 1));
    if (is_unital) {
        make_unital(d, &f, k - 1);
        return true;
    }
    if (k < 2 || v <= k) return false;
    uint64_t power = k;
    while (power < v)
        power *= k;
    if (power == v && field_make(&f, k)) {
        make_affine(d, &f, r);
        return true;
    }
    if (k < 3 || (v - 1) % (k - 1) || r % ((v - 1) / (k - 1))) return false;
    for (power = k - 1; (power - 1) / (k - 2) < v;)
        power *= k - 1;
    if ((power - 1) / (k - 2) != v || !field_make(&f, k - 1)) return false;
    make_projective(d, &f, (uint32_t)power, r * (k - 1) / (v - 1));
    return true;
}
