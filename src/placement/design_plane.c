/* design_plane.c - finite planes: where they exist they are exactly balanced.
 *
 * The affine plane of order q has q² points and q + 1 parallel classes of q lines; r classes of it
 * let a pair meet once or not at all. The projective plane adds a point for each class and the line
 * of these points: q² + q + 1 points, q + 1 points on a line, and every pair on exactly one.
 */
#include "placement/design_internal.h"

#include "base/check.h"

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

bool design_of_plane(struct design *d, uint32_t r)
{
    struct field f;
    uint32_t v = d->node_count, k = d->group_size, *at = d->members;
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
