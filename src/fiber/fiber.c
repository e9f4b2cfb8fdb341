/* fiber.c - scheduler and fibers: turns, waits, deadlines, cancellation.
 *
 * A wait ends by the first of: fiber_wake(), cancellation, the deadline, the end of a sleep. That
 * first one decides its result, except that a cancellation still turns a timeout that was not seen
 * yet into itself.
 */
#include "fiber/fiber.h"
#include "base/arena.h"
#include "base/check.h"
#include "fiber/sched.h"
#include "fiber/ticks.h"

#include <string.h>

enum {
    FIBER_COUNT_DEFAULT = 16384,
    STACK_BYTES_DEFAULT = 256 * 1024,
    TURNS_PER_CLOCK = 64, /* timers are looked at after so many turns */
};

/* The scheduler whose sched_run_ready() this thread is in: the one thread-local of c3fs. */
static __thread struct sched *current_sched;

struct sched *sched_new(const struct sched_options *options)
{
    struct sched *s = new_zero(struct sched);
    s->options = *options;
    if (!s->options.fiber_count_max) s->options.fiber_count_max = FIBER_COUNT_DEFAULT;
    if (!s->options.stack_bytes) s->options.stack_bytes = STACK_BYTES_DEFAULT;
    list_init(&s->ready);
    list_init(&s->frozen);
    list_init(&s->fibers);
    stack_pool_init(&s->stacks, s->options.stack_bytes, s->options.paint_stacks);
    s->turn_ns = s->options.now_ns(s->options.clock);
    s->first_ns = s->turn_ns;
    s->first_ticks = ticks_now();
    uint64_t slow_ns = s->options.slow_turn_ns;
    s->slow_ticks = slow_ns ? slow_ns / USEC * TICKS_PER_US_MIN : UINT64_MAX;
    s->slow_turns.worst_name = "";
    return s;
}

struct sched *sched_free(struct sched *s)
{
    if (!s) return NULL;
    check(s->fiber_count == 0);
    check(s != current_sched);
    stack_pool_done(&s->stacks);
    timer_heap_done(&s->timers);
    free(s);
    return NULL;
}

struct sched *sched_current(void)
{
    return current_sched;
}

uint64_t sched_now_ns(struct sched *s)
{
    s->turn_ns = s->options.now_ns(s->options.clock);
    return s->turn_ns;
}

bool sched_has_ready(const struct sched *s)
{
    return s->ready_count > 0;
}

uint64_t sched_next_timer_ns(const struct sched *s)
{
    const struct timer *timer = timer_heap_first(&s->timers);
    return timer ? timer->at_ns : TIME_NEVER;
}

uint32_t sched_fiber_count(const struct sched *s)
{
    return s->fiber_count;
}

struct sched_slow_turns sched_slow_turns(const struct sched *s)
{
    return s->slow_turns;
}

uint32_t sched_stack_used_max(const struct sched *s)
{
    return s->stacks.used_bytes_max;
}

void sched_each(struct sched *s,
                void (*fn)(void *arg, const char *name, const char *wait, uint64_t waited_ns),
                void *arg)
{
    uint64_t now = sched_now_ns(s);
    list_for_each_safe (it, &s->fibers) {
        const struct fiber *f = list_entry(it, struct fiber, all_link);
        bool is_waiting = f->state == FIBER_WAITING;
        const char *wait = is_waiting ? f->wait : f->state == FIBER_RUNNING ? "running" : "ready";
        fn(arg, f->name, wait, is_waiting && now > f->wait_since_ns ? now - f->wait_since_ns : 0);
    }
}

/* ---- ready fibers ---- */

static void make_ready(struct fiber *f, int wait_result)
{
    f->state = FIBER_READY;
    f->wait_result = wait_result;
    list_push_back(&f->sched->ready, &f->run_link);
    f->sched->ready_count++;
}

static struct fiber *ready_pop(struct sched *s)
{
    while (s->ready_count > 0) {
        struct list *link = s->ready.next;
        if (s->options.pick && s->ready_count > 1) {
            uint32_t at = s->options.pick(s->options.clock, s->ready_count);
            check(at < s->ready_count);
            while (at-- > 0) {
                link = link->next;
            }
        }
        list_remove(link);
        s->ready_count--;
        struct fiber *f = list_entry(link, struct fiber, run_link);
        if (!s->options.is_frozen || !s->options.is_frozen(s->options.clock, f->local)) return f;
        list_push_back(&s->frozen, link);
    }
    return NULL;
}

void sched_thaw(struct sched *s)
{
    struct list *link;
    while ((link = list_pop_front(&s->frozen))) {
        list_push_back(&s->ready, link);
        s->ready_count++;
    }
}

/* Ends a wait early; a cancellation outranks a timeout that the fiber has not seen yet. */
static void interrupt(struct fiber *f, int r)
{
    if (f->state == FIBER_WAITING) {
        make_ready(f, r);
    } else if (f->state == FIBER_READY && r == -ERR_CANCELED && f->wait_result == -ERR_TIMEOUT) {
        f->wait_result = r;
    }
}

static void timers_expire(struct sched *s)
{
    uint64_t now = sched_now_ns(s);
    struct timer *timer;
    while ((timer = timer_heap_first(&s->timers)) && timer->at_ns <= now) {
        struct fiber *f = container_of(timer, struct fiber, timer);
        timer_stop(&s->timers, timer);
        if (f->state != FIBER_WAITING || f->wait_end_ns == TIME_NEVER) continue;
        if (f->wait_end_ns > now) {
            timer_start(&s->timers, timer, f->wait_end_ns);
        } else {
            interrupt(f, f->sleep_end_ns == f->wait_end_ns ? 0 : -ERR_TIMEOUT);
        }
    }
}

/* ---- turns ---- */

static void fiber_entry(void)
{
    struct sched *s = current_sched;
    struct fiber *f = s->running;
    context_entered(&s->context);
    int result = f->fn(f->arg);
    check(f->shield_depth == 0);
    f->state = FIBER_DONE;
    scope_child_ended(f->scope, f, result);
    context_switch(&f->context, &s->context, true);
    __builtin_unreachable();
}

static void fiber_free(struct fiber *f)
{
    struct sched *s = f->sched;
    void *stack_low = f->stack_low;
    timer_stop(&s->timers, &f->timer);
    list_remove(&f->all_link);
    s->fiber_count--;
    context_done(&f->context);
    stack_put(&s->stacks, stack_low);
}

/* A turn of many ticks: how long was it really? */
static void note_slow_turn(struct sched *s, const struct fiber *f, uint64_t ticks)
{
    uint64_t total_ticks = ticks_now() - s->first_ticks;
    uint64_t total_ns = sched_now_ns(s) - s->first_ns;
    if (total_ticks == 0) return;
    uint64_t ns = (uint64_t)((double)ticks * (double)total_ns / (double)total_ticks);
    if (ns < s->options.slow_turn_ns) return;
    s->slow_turns.count++;
    if (ns <= s->slow_turns.worst_ns) return;
    s->slow_turns.worst_ns = ns;
    s->slow_turns.worst_name = f->name;
}

static void run_turn(struct sched *s, struct fiber *f)
{
    f->state = FIBER_RUNNING;
    s->running = f;
    context_switch(&s->context, &f->context, false);
    s->running = NULL;
    uint64_t now_ticks = ticks_now(), ticks = now_ticks - s->turn_ticks;
    s->turn_ticks = now_ticks;
    if (ticks > s->slow_ticks) note_slow_turn(s, f, ticks);
    if (f->state == FIBER_DONE) fiber_free(f);
}

void sched_run_ready(struct sched *s, uint32_t turns_max)
{
    check(!current_sched);
    current_sched = s;
    context_init_self(&s->context);
    s->is_round_over = false;
    s->turn_ticks = ticks_now();
    timers_expire(s);
    for (uint32_t turns = 0; turns < turns_max && !s->is_round_over;) {
        struct fiber *f = ready_pop(s);
        if (!f) break;
        run_turn(s, f);
        bool is_time = ++turns % TURNS_PER_CLOCK == 0 || s->ready_count == 0;
        if (is_time && s->timers.count > 0) timers_expire(s);
    }
    current_sched = NULL;
}

int fiber_spawn(struct scope *scope, const char *name, int (*fn)(void *arg), void *arg)
{
    struct sched *s = scope->sched;
    if (scope->cancelled) return -ERR_CANCELED;
    if (s->fiber_count >= s->options.fiber_count_max) return -ERR_BUSY;
    void *low = stack_get(&s->stacks);
    if (!low) return -ERR_BUSY;

    size_t size = (stack_usable(&s->stacks) - sizeof(struct fiber)) & ~(size_t)63;
    struct fiber *f = (struct fiber *)((char *)low + size);
    *f = (struct fiber){
        .sched = s,
        .scope = scope,
        .name = name,
        .wait = "",
        .fn = fn,
        .arg = arg,
        .local = scope->local,
        .deadline_ns = TIME_NEVER,
        .sleep_end_ns = TIME_NEVER,
        .wait_end_ns = TIME_NEVER,
        .timer.index = TIMER_UNLINKED,
        .stack_low = low,
    };
    context_init(&f->context, low, size, fiber_entry);
    list_push_back(&scope->children, &f->scope_link);
    list_push_back(&s->fibers, &f->all_link);
    s->fiber_count++;
    make_ready(f, 0);
    return 0;
}

/* ---- the running fiber ---- */

struct fiber *fiber_self(void)
{
    return current_sched ? current_sched->running : NULL;
}

static struct fiber *self_checked(void)
{
    struct fiber *f = fiber_self();
    check(f); /* what waits must be called from a fiber */
    return f;
}

const char *fiber_name(void)
{
    const struct fiber *f = fiber_self();
    return f ? f->name : "";
}

void *fiber_local(void)
{
    const struct fiber *f = fiber_self();
    return f ? f->local : NULL;
}

static bool sees_cancel(const struct fiber *f)
{
    return f->is_cancelled && f->shield_depth == 0;
}

bool fiber_is_cancelled(void)
{
    const struct fiber *f = fiber_self();
    return f && sees_cancel(f);
}

uint64_t fiber_deadline_ns(void)
{
    const struct fiber *f = fiber_self();
    return f ? f->deadline_ns : TIME_NEVER;
}

uint64_t fiber_remaining_ns(void)
{
    const struct fiber *f = fiber_self();
    if (!f || f->deadline_ns == TIME_NEVER) return TIME_NEVER;
    uint64_t now = sched_now_ns(f->sched);
    return f->deadline_ns > now ? f->deadline_ns - now : 0;
}

/* Gives up the turn until something makes the fiber ready. */
static int wait_until(struct fiber *f, const char *what, uint64_t end_ns)
{
    struct sched *s = f->sched;
    f->state = FIBER_WAITING;
    f->wait = what;
    f->wait_since_ns = s->turn_ns;
    f->wait_end_ns = end_ns;
    bool is_armed = f->timer.index != TIMER_UNLINKED && f->timer.at_ns <= end_ns;
    if (end_ns != TIME_NEVER && !is_armed) timer_start(&s->timers, &f->timer, end_ns);
    context_switch(&f->context, &s->context, false);
    return f->wait_result;
}

static int interruption_of(const struct fiber *f)
{
    if (sees_cancel(f)) return -ERR_CANCELED;
    return f->deadline_ns <= f->sched->turn_ns ? -ERR_TIMEOUT : 0;
}

int fiber_interruption(void)
{
    const struct fiber *f = fiber_self();
    return f ? interruption_of(f) : 0;
}

int fiber_suspend(const char *what)
{
    struct fiber *f = self_checked();
    int r = interruption_of(f);
    return r < 0 ? r : wait_until(f, what, f->deadline_ns);
}

void fiber_wait_io(const char *what, void (*cancel)(void *arg), void *arg)
{
    struct fiber *f = self_checked();
    f->is_in_io = true;
    f->is_io_done = false;
    if (fiber_suspend(what) < 0 && !f->is_io_done) {
        cancel(arg);
        f->shield_depth++;
        while (!f->is_io_done) {
            wait_until(f, what, TIME_NEVER);
        }
        f->shield_depth--;
    }
    f->is_in_io = false;
}

bool fiber_wake(struct fiber *f)
{
    f->is_io_done = f->is_io_done || f->is_in_io;
    if (f->state != FIBER_WAITING) return false;
    make_ready(f, 0);
    return true;
}

void fiber_yield(void)
{
    struct fiber *f = self_checked();
    make_ready(f, 0);
    context_switch(&f->context, &f->sched->context, false);
}

void fiber_yield_to_loop(void)
{
    self_checked()->sched->is_round_over = true;
    fiber_yield();
}

int fiber_sleep(uint64_t ns)
{
    struct fiber *f = self_checked();
    uint64_t now = sched_now_ns(f->sched);
    uint64_t end = ns < TIME_NEVER - now ? now + ns : TIME_NEVER;
    int r = 0;

    do {
        if (sees_cancel(f)) return -ERR_CANCELED;
        if (f->deadline_ns <= now && f->deadline_ns < end) return -ERR_TIMEOUT;
        f->sleep_end_ns = end;
        r = wait_until(f, "sleep", MIN_OF(end, f->deadline_ns));
        f->sleep_end_ns = TIME_NEVER;
        now = f->sched->turn_ns;
    } while (r == 0 && now < end);
    return r;
}

void fiber_cancel(struct fiber *f)
{
    f->is_cancelled = true;
    if (f->shield_depth == 0) interrupt(f, -ERR_CANCELED);
}

/* ---- deadline and shield ---- */

struct fiber_deadline fiber_deadline_tighten(uint64_t timeout_ns)
{
    struct fiber *f = self_checked();
    struct fiber_deadline saved = { f->deadline_ns };
    uint64_t now = sched_now_ns(f->sched);
    uint64_t deadline = timeout_ns < TIME_NEVER - now ? now + timeout_ns : TIME_NEVER;
    f->deadline_ns = MIN_OF(f->deadline_ns, deadline);
    return saved;
}

void fiber_deadline_restore(struct fiber_deadline *saved)
{
    self_checked()->deadline_ns = saved->saved_ns;
}

struct fiber_shield fiber_shield_begin(void)
{
    struct fiber *f = self_checked();
    struct fiber_shield saved = { f->deadline_ns };
    f->shield_depth++;
    f->deadline_ns = TIME_NEVER;
    return saved;
}

void fiber_shield_end(struct fiber_shield *shield)
{
    struct fiber *f = self_checked();
    check(f->shield_depth > 0);
    f->shield_depth--;
    f->deadline_ns = shield->saved_ns;
}
