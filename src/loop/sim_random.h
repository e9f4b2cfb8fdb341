/* sim_random.h - the one source of chance of a simulated world: xoshiro256**, seeded by splitmix64.
 *
 * Whoever draws must do so in an order that the seed alone decides: never while walking a hash
 * table.
 */
#pragma once
#include "base/check.h"
#include <stdbool.h>
#include <stdint.h>

struct sim_random {
    uint64_t state[4];
};

static inline uint64_t sim_random_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline void sim_random_init(struct sim_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->state[i] = sim_random_mix(&seed);
}

static inline uint64_t sim_random_next(struct sim_random *r)
{
    uint64_t *s = r->state;
    uint64_t five = s[1] * 5;
    uint64_t result = ((five << 7) | (five >> 57)) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* In [0, bound); the bias of 2^-64 * bound does not matter here. */
static inline uint64_t sim_random_under(struct sim_random *r, uint64_t bound)
{
    check(bound > 0);
    return (uint64_t)(((unsigned __int128)sim_random_next(r) * bound) >> 64);
}

/* In [low, high]; low when the two are the wrong way round. */
static inline uint64_t sim_random_between(struct sim_random *r, uint64_t low, uint64_t high)
{
    return high <= low ? low : low + sim_random_under(r, high - low + 1);
}

/* True in @ppm of a million cases. Draws nothing at 0, so that a fault switched off costs no
 * chance. */
static inline bool sim_random_ppm(struct sim_random *r, uint32_t ppm)
{
    return ppm && sim_random_under(r, 1000000) < ppm;
}

/* True once in @n. */
static inline bool sim_random_one_in(struct sim_random *r, uint64_t n)
{
    return sim_random_under(r, n) == 0;
}
