/* cleanup.h - attributes and scope-bound resource release.
 *
 * cleanup_(f) runs f(&variable) when the variable leaves its scope; TAKE_PTR() moves a pointer out
 * so that nothing is released. CLEANUP_FUNC(type, f) makes f##p for pointers, for destructors that
 * accept NULL. No code of ours uses goto for clean-up.
 */
#pragma once
#include <stdlib.h>

#define must_check       __attribute__((warn_unused_result))
#define unused_          __attribute__((unused))
#define noreturn_        __attribute__((noreturn))
#define printf_(fmt, va) __attribute__((format(printf, fmt, va)))
#define cleanup_(f)      __attribute__((cleanup(f)))

/* Marks a function that may suspend the calling fiber: state read before the call is stale after
 * it. */
#define fiber_fn

#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) *take_pp_ = &(p);                                                            \
        __typeof__(p) take_p_ = *take_pp_;                                                         \
        *take_pp_ = NULL;                                                                          \
        take_p_;                                                                                   \
    })

#define CLEANUP_FUNC(type, func)                                                                   \
    static inline unused_ void func##p(type *p)                                                    \
    {                                                                                              \
        if (*p) func(*p);                                                                          \
    }

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)                                                                               \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX_OF(a, b)                                                                               \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

static inline unused_ void freep(void *p)
{
    free(*(void **)p);
}
