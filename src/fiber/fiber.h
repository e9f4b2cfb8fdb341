/* fiber.h - stackful fibers of one thread: spawn in a scope, wait with a deadline, cancel, join.
 *
 *          spawn                 scheduler              returns
 *   (scope) ----> READY <-----------------> RUNNING ------------> DONE, joined by its scope
 *                   ^                          |
 *                   | wake, cancel, deadline   | fiber_suspend(), fiber_wait_io()
 *                   +------- WAITING <---------+
 *
 * Rules:
 *  - A fiber lives on the scheduler (thread) that made it and never moves.
 *  - There are two suspension points, fiber_suspend() and fiber_wait_io(); all else that waits ends
 *    there. Functions that may reach one are marked fiber_fn. Whatever was read before such a call
 * is stale after.
 *  - A fiber runs inside a scope, whose end cancels and joins it. No detached fibers.
 *  - Deadlines are absolute in scheduler time and only ever tightened, by FIBER_TIMEOUT(). Every
 *    wait ends with -ERR_TIMEOUT at the deadline, also the ones that begin after it.
 *  - Cancellation is sticky: once set, every wait returns -ERR_CANCELED until the fiber ends,
 *    except below a FIBER_SHIELD. It outranks -ERR_TIMEOUT. A wake-up that came first wins over
 * both.
 *  - Fibers that are ready run in FIFO order; the simulator may ask for a seeded random order
 *    instead.
 *
 * Limits: those given at sched_new(); over the limit fiber_spawn() returns -ERR_BUSY.
 */
#pragma once
#include "base/cleanup.h"
#include "base/error.h"
#include "base/list.h"
#include "base/units.h"
#include <stdint.h>

struct sched;
struct fiber;

struct sched_options {
    uint32_t fiber_count_max; /* 0: 16384 */
    uint32_t stack_bytes;     /* 0: 256 KiB of address space each, guard page below */
    uint64_t (*now_ns)(void *clock);
    void *clock;
    /* When set, picks which of @ready_count ready fibers runs next; the simulator shuffles with it.
     */
    uint32_t (*pick)(void *clock, uint32_t ready_count);
    /* When set, tells that fibers with this fiber_local() must not run now: a ready one is put
     * aside until sched_thaw(). */
    bool (*is_frozen)(void *clock, void *local);
    uint64_t slow_turn_ns; /* turns that take longer are counted; 0: none, as in the simulator */
    bool paint_stacks;     /* for sched_stack_used_max(); makes whole stacks resident */
};

struct sched *sched_new(const struct sched_options *options);
struct sched *sched_free(struct sched *sched); /* no fiber may be left; NULL is fine */
/* Runs ready fibers and expired timers until none is ready; at most @turns_max turns. */
void sched_run_ready(struct sched *sched, uint32_t turns_max);
bool sched_has_ready(const struct sched *sched);
/* Makes the fibers that were put aside ready again, in order; those still frozen are put aside
 * again. */
void sched_thaw(struct sched *sched);
/* When the next deadline or sleep ends, TIME_NEVER when there is none. */
uint64_t sched_next_timer_ns(const struct sched *sched);
uint64_t sched_now_ns(struct sched *sched);
struct sched *sched_current(void); /* NULL outside sched_run_ready() */
uint32_t sched_fiber_count(const struct sched *sched);
/* Calls @fn for each live fiber: name, what it waits for, nanoseconds waited. For `admin fibers`
 * and leaks. */
void sched_each(struct sched *sched,
                void (*fn)(void *arg, const char *name, const char *wait, uint64_t waited_ns),
                void *arg);
/* The deepest painted stack seen, bytes; 0 unpainted. */
/* Turns longer than options.slow_turn_ns, in which nothing else could run. */
struct sched_slow_turns {
    uint64_t count, worst_ns;
    const char *worst_name; /* of the fiber; "" while there was none */
};
struct sched_slow_turns sched_slow_turns(const struct sched *sched);
uint32_t sched_stack_used_max(const struct sched *sched);

/* ---- scopes ---- */

struct scope {
    struct list children; /* fibers */
    struct list waiters;
    struct sched *sched;
    int first_error; /* of a child; -ERR_CANCELED of a cancelled scope does not count */
    bool fail_fast;  /* a failing child cancels the others */
    bool cancelled;
    void *local; /* inherited by the scope's fibers: see fiber_local() */
};

/* May be called outside of a fiber (with @sched) or inside one (sched_current()). */
void scope_init(struct scope *scope, struct sched *sched);
/* Cancels every child, and every one spawned later. */
void scope_cancel(struct scope *scope);
/* Waits for all children. 0 or the first error of a child; -ERR_CANCELED/-ERR_TIMEOUT of the waiter
 * itself (the children then still run). */
int scope_wait(struct scope *scope) fiber_fn must_check;
/* Cancels and joins all children, whatever the caller's own deadline or cancellation; then empty.
 */
void scope_done(struct scope *scope) fiber_fn;
bool scope_is_empty(const struct scope *scope);
#define cleanup_scope_ cleanup_(scope_done)

/* Starts fn(arg) as a child of @scope; it runs at a later turn. @name is borrowed and must outlive
 * the fiber (a literal). The child starts without the parent's deadline and without its shield.
 * -ERR_BUSY at the limit, -ERR_CANCELED when the scope is cancelled; fn is then not called. */
int fiber_spawn(struct scope *scope, const char *name, int (*fn)(void *arg), void *arg) must_check;

/* ---- the running fiber ---- */

struct fiber *fiber_self(void); /* NULL outside of a fiber */
const char *fiber_name(void);   /* of the running fiber, "" outside */
/* A pointer inherited from the scope at spawn (struct node of the loop layer); NULL outside of
 * fibers. */
void *fiber_local(void);
bool fiber_is_cancelled(void);     /* of the running fiber; false below a shield */
uint64_t fiber_deadline_ns(void);  /* TIME_NEVER without one */
uint64_t fiber_remaining_ns(void); /* until the deadline; 0 when past, TIME_NEVER without one */

/* What a wait beginning now would end with at once: -ERR_CANCELED, -ERR_TIMEOUT, or 0. For
 * operations that may succeed without a wait. */
int fiber_interruption(void) must_check;
/* Suspends until fiber_wake(). 0, -ERR_TIMEOUT or -ERR_CANCELED. @what is shown by sched_each(). */
int fiber_suspend(const char *what) fiber_fn must_check;
/* As fiber_suspend(), but at the deadline or on cancellation calls cancel(arg) once and goes on
 * waiting for fiber_wake(): for operations whose memory the kernel holds until they complete. */
void fiber_wait_io(const char *what, void (*cancel)(void *arg), void *arg) fiber_fn;
/* Makes a waiting fiber ready, true; false and nothing for one that is ready or running already:
 * its wait has ended otherwise, so what was to be handed to it goes to the next. Same thread only.
 */
bool fiber_wake(struct fiber *fiber);
void fiber_yield(void) fiber_fn;
/* As fiber_yield(), and sched_run_ready() ends after this turn, so that the loop can look for I/O.
 */
void fiber_yield_to_loop(void) fiber_fn;
/* 0 after the time has passed; -ERR_CANCELED; -ERR_TIMEOUT when the deadline comes first. */
int fiber_sleep(uint64_t ns) fiber_fn must_check;
void fiber_cancel(struct fiber *fiber);

/* ---- block-scoped deadline and shield ---- */

struct fiber_deadline {
    uint64_t saved_ns;
};
struct fiber_deadline fiber_deadline_tighten(uint64_t timeout_ns);
void fiber_deadline_restore(struct fiber_deadline *saved);
struct fiber_shield {
    uint64_t saved_ns;
};
struct fiber_shield fiber_shield_begin(void);
void fiber_shield_end(struct fiber_shield *shield);

#define FIBER_PASTE2(a, b) a##b
#define FIBER_PASTE(a, b)  FIBER_PASTE2(a, b)
/* To the end of the block every wait ends within @ns from now (or earlier, if it had to already).
 */
#define FIBER_TIMEOUT(ns)                                                                          \
    cleanup_(fiber_deadline_restore) unused_ struct fiber_deadline FIBER_PASTE(                    \
        deadline_, __LINE__) = fiber_deadline_tighten(ns)
/* To the end of the block cancellation and outer deadlines are not seen: for clean-up that needs
 * I/O. Put a FIBER_TIMEOUT inside. */
#define FIBER_SHIELD()                                                                             \
    cleanup_(fiber_shield_end) unused_ struct fiber_shield FIBER_PASTE(shield_, __LINE__) =        \
        fiber_shield_begin()
