/* context.c - making and switching contexts: assembly for the common CPUs, ucontext for the others.
 */
#include "fiber/context.h"

#ifndef FIBER_UCONTEXT
void fiber_switch(void **save_sp, void *load_sp);
#endif

void context_init_self(struct context *c)
{
#ifdef CONTEXT_TSAN
    c->tsan_fiber = __tsan_get_current_fiber();
#else
    (void)c;
#endif
}

#ifdef FIBER_UCONTEXT
static void machine_init(struct context *c, void (*entry)(void))
{
    getcontext(&c->machine);
    c->machine.uc_stack.ss_sp = (void *)(uintptr_t)c->stack_low;
    c->machine.uc_stack.ss_size = c->stack_size;
    c->machine.uc_link = NULL;
    makecontext(&c->machine, entry, 0);
}
#elif defined(__x86_64__)
static void machine_init(struct context *c, void (*entry)(void))
{
    /* What fiber_switch() pops: six registers, then the address to return to; above it a zero
     * return address that ends backtraces. At entry the stack pointer is 8 below a multiple of 16,
     * as after a call. */
    uintptr_t top = ((uintptr_t)c->stack_low + c->stack_size) & ~(uintptr_t)15;
    uintptr_t *sp = (uintptr_t *)top;
    *--sp = 0;
    *--sp = (uintptr_t)entry;
    for (int i = 0; i < 6; i++) {
        *--sp = 0;
    }
    c->sp = sp;
}
#elif defined(__aarch64__)
static void machine_init(struct context *c, void (*entry)(void))
{
    /* The frame of fiber_switch(): x19..x30, then d8..d15; x30 is where it returns to. */
    enum { FRAME_WORDS = 20, X30_WORD = 11 };
    uintptr_t top = ((uintptr_t)c->stack_low + c->stack_size) & ~(uintptr_t)15;
    uintptr_t *sp = (uintptr_t *)top - FRAME_WORDS;
    for (int i = 0; i < FRAME_WORDS; i++) {
        sp[i] = i == X30_WORD ? (uintptr_t)entry : 0;
    }
    c->sp = sp;
}
#else
#error "no fiber switch for this CPU: build with FIBER_UCONTEXT"
#endif

void context_init(struct context *c, void *stack_low, size_t stack_size, void (*entry)(void))
{
    c->stack_low = stack_low;
    c->stack_size = stack_size;
#ifdef CONTEXT_ASAN
    c->fake_stack = NULL;
#endif
#ifdef CONTEXT_TSAN
    c->tsan_fiber = __tsan_create_fiber(0);
#endif
    machine_init(c, entry);
}

void context_done(struct context *c)
{
#ifdef CONTEXT_TSAN
    __tsan_destroy_fiber(c->tsan_fiber);
#endif
#ifdef CONTEXT_ASAN
    /* The frames of the flow's first functions never returned: their red zones are still marked. */
    __asan_unpoison_memory_region(c->stack_low, c->stack_size);
#endif
    (void)c;
}

void context_entered(struct context *resumer)
{
#ifdef CONTEXT_ASAN
    __sanitizer_finish_switch_fiber(NULL, &resumer->stack_low, &resumer->stack_size);
#endif
    (void)resumer;
}

void context_switch(struct context *from, struct context *to, bool is_last)
{
    (void)is_last;
#ifdef CONTEXT_ASAN
    __sanitizer_start_switch_fiber(is_last ? NULL : &from->fake_stack, to->stack_low,
                                   to->stack_size);
#endif
#ifdef CONTEXT_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
#ifdef FIBER_UCONTEXT
    swapcontext(&from->machine, &to->machine);
#else
    fiber_switch(&from->sp, to->sp);
#endif
#ifdef CONTEXT_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, &to->stack_low, &to->stack_size);
#endif
}
