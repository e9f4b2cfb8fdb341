/* design_bound.c - sizes for which no design is as even as counting allows, by proof.
 *
 * When every node is in r groups and its pairs meet λ or λ + 1 times, e of them λ + 1 times, then
 * N Nᵀ = (r - λ) I + λ J + A, where A is the graph of the pairs that meet once more; its nodes have
 * e neighbours. N has b columns: with fewer groups than nodes A has the eigenvalue λ - r at least
 * v - b times, and what is left for the others of the traces of A and A² must fit (for e = 0 that
 * is Fisher's inequality). When all pairs meet equally often there are the theorems of Bruck, Ryser
 * and Chowla, and of Hall and Connor; and three sizes that were excluded by search.
 */
#include "placement/design_internal.h"

#include "base/cleanup.h"

struct size {
    uint32_t v, k, r, lambda;
};

static bool is_square(uint32_t n)
{
    uint32_t root = 0;
    while (root * root < n)
        root++;
    return root * root == n;
}

static bool is_square_modulo(uint32_t a, uint32_t p)
{
    for (uint32_t x = 0; x < p; x++)
        if (x * x % p == a % p) return true;
    return false;
}

/* Takes the powers of p out of *n; how many. */
static uint32_t take_power(int32_t *n, int32_t p)
{
    uint32_t count = 0;
    for (; *n % p == 0; *n /= p)
        count++;
    return count;
}

/* Hilbert's symbol: z² = a x² + b y² has a solution other than zero in the p-adic numbers. */
static bool is_soluble_at(int32_t a, int32_t b, int32_t p)
{
    uint32_t alpha = take_power(&a, p), beta = take_power(&b, p), odd;
    if (p == 2) {
        uint32_t u = (uint32_t)a & 7, w = (uint32_t)b & 7;
        odd = (u - 1) / 2 * ((w - 1) / 2) + alpha * ((w * w - 1) / 8) + beta * ((u * u - 1) / 8);
    } else {
        uint32_t u = (uint32_t)(a % p + p), w = (uint32_t)(b % p + p), q = (uint32_t)p;
        odd = alpha * beta * ((q - 1) / 2) + beta * !is_square_modulo(u, q) +
              alpha * !is_square_modulo(w, q);
    }
    return odd % 2 == 0;
}

/* Bruck, Ryser, Chowla: what a design with as many groups as nodes has to satisfy. */
static bool is_symmetric_possible(uint32_t v, uint32_t k, uint32_t lambda)
{
    uint32_t order = k - lambda;
    if (v % 2 == 0) return is_square(order);
    int32_t a = (int32_t)order, b = (v - 1) / 2 % 2 ? -(int32_t)lambda : (int32_t)lambda;
    for (uint32_t p = 2; p <= MAX_OF(order, lambda); p++) {
        bool is_prime = true;
        for (uint32_t i = 2; i * i <= p; i++)
            is_prime &= p % i != 0;
        bool counts = is_prime && (p == 2 || order % p == 0 || lambda % p == 0);
        if (counts && !is_soluble_at(a, b, (int32_t)p)) return false;
    }
    return true;
}

/* Bilous and others: (22, 8, 4); Houghten and others: (46, 6, 1); Lam: the plane of order 10. */
static bool is_excluded_by_search(const struct size *s)
{
    static const struct size known[] = {
        { 22, 8, 12, 4 }, { 46, 6, 9, 1 }, { 111, 11, 11, 1 }, { 100, 10, 11, 1 }
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(known); i++)
        if (s->v == known[i].v && s->k == known[i].k && s->r == known[i].r) return true;
    return false;
}

static bool is_excluded_by_rank(const struct size *s, uint32_t e)
{
    double v = s->v, b = v * s->r / s->k, depth = (double)s->r - s->lambda;
    if (b >= v) return false;
    double count = v - b, sum = count * depth - e;
    double squares = v * e - (double)e * e - count * depth * depth;
    return squares * (b - 1) < sum * sum || squares < 0;
}

const char *design_excluded(uint32_t node_count, uint32_t group_size, uint32_t r)
{
    uint32_t v = node_count, k = group_size;
    if (k < 2 || k >= v || v * r % k) return NULL;
    if (2 * k > v) { /* the same for the groups of all the others */
        r = v * r / k - r;
        k = v - k;
    }
    if (k < 2 || r == 0) return NULL;
    struct size s = { v, k, r, r * (k - 1) / (v - 1) };
    uint32_t e = r * (k - 1) % (v - 1);
    if (is_excluded_by_rank(&s, e)) return e ? "the rank of its matrix" : "Fisher's inequality";
    if (e) return NULL;
    if (r == k && !is_symmetric_possible(v, k, s.lambda)) return "Bruck, Ryser and Chowla";
    if (s.lambda <= 2 && r == k + s.lambda && !is_symmetric_possible(v + r, r, s.lambda))
        return "Hall and Connor";
    return is_excluded_by_search(&s) ? "an exhaustive search" : NULL;
}
