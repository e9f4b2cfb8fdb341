/* design_plane.c - finite planes: where they exist they are exactly balanced.
 *
 * The affine plane of order q has q² points and q + 1 parallel classes of q lines; r classes of it
 * let a pair meet once or not at all. The projective plane adds a point for each class and the line
 * of these points: q² + q + 1 points, q + 1 points on a line, and every pair on exactly one. The
 * Hermitian curve in the plane over q² elements has q³ + 1 points, and every two are on one line
 * that has q + 1 of them.
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

/* Line @line of class @slope (q is the vertical one): q points, each x × q + y. */
static void line_points(const struct field *f, uint32_t slope, uint32_t line, uint32_t *ret)
{
    for (uint32_t t = 0; t < f->q; t++) {
        ret[t] =
            slope == f->q ? line * f->q + t : t * f->q + field_plus(f, f->times[slope][t], line);
    }
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

bool design_of_plane(struct design *d, uint32_t r)
{
    struct field f;
    uint32_t v = d->node_count, k = d->group_size, *at = d->members;
    bool is_unital = k >= 3 && v == (k - 1) * (k - 1) * (k - 1) + 1 && r == (k - 1) * (k - 1) &&
                     field_make(&f, (k - 1) * (k - 1));
    if (is_unital) {
        make_unital(d, &f, k - 1);
        return true;
    }
    bool is_affine = k >= 2 && v == k * k && r <= k + 1 && field_make(&f, k);
    if (is_affine) {
        for (uint32_t slope = 0; slope < r; slope++)
            for (uint32_t line = 0; line < k; line++, at += k)
                line_points(&f, slope, line, at);
        return true;
    }
    bool is_projective = k >= 3 && v == k * k - k + 1 && r == k && field_make(&f, k - 1);
    if (!is_projective) return false;
    uint32_t q = f.q;
    for (uint32_t slope = 0; slope <= q; slope++) {
        for (uint32_t line = 0; line < q; line++, at += k) {
            line_points(&f, slope, line, at);
            at[q] = q * q + slope;
        }
    }
    for (uint32_t slope = 0; slope <= q; slope++)
        at[slope] = q * q + slope;
    return true;
}
