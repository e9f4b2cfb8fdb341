/* ticks.h - the processor's own counter, many times cheaper than a clock; private to src/fiber.
 *
 * Its unit is unknown: two readings beside the clock give it. Zero always where there is no such
 * counter.
 */
#pragma once
#include <stdint.h>

#if defined(__x86_64__)
/* No processor that runs this counts slower than this many ticks a microsecond. */
enum { TICKS_PER_US_MIN = 500 };
static inline uint64_t ticks_now(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
enum { TICKS_PER_US_MIN = 10 };
static inline uint64_t ticks_now(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#else
enum { TICKS_PER_US_MIN = 1 };
static inline uint64_t ticks_now(void)
{
    return 0;
}
#endif
