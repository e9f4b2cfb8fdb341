/* context.h - a suspended flow of control and the switch between two; private to src/fiber.
 *
 * Topology: the scheduler switches to a fiber and the fiber switches back to the scheduler, nothing
 * else. The sanitizer annotations rely on it: whoever resumed a flow is the one that it switches to
 * next.
 */
#pragma once
#include "base/cleanup.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#define CONTEXT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONTEXT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CONTEXT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CONTEXT_TSAN 1
#endif
#endif

#ifdef CONTEXT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CONTEXT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef FIBER_UCONTEXT
#include <ucontext.h>
#endif

struct context {
#ifdef FIBER_UCONTEXT
    ucontext_t machine;
#else
    void *sp;
#endif
    const void *stack_low; /* lowest usable byte; known late for the scheduler's own */
    size_t stack_size;
#ifdef CONTEXT_ASAN
    void *fake_stack;
#endif
#ifdef CONTEXT_TSAN
    void *tsan_fiber;
#endif
};

/* The flow that calls: to be switched away from. */
void context_init_self(struct context *c);
/* A flow that will begin with entry() on the given stack; entry() never returns and calls
 * context_entered() first. */
void context_init(struct context *c, void *stack_low, size_t stack_size, void (*entry)(void));
/* After the last switch away from it. */
void context_done(struct context *c);
void context_entered(struct context *resumer);
/* @is_last: @from will never be resumed. */
void context_switch(struct context *from, struct context *to, bool is_last);
