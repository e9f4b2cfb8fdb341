/* scope.c - structured concurrency: who started fibers waits for their end. */
#include "base/check.h"
#include "fiber/sched.h"
#include "fiber/waiter.h"

void scope_init(struct scope *scope, struct sched *sched)
{
    *scope = (struct scope){ .sched = sched ?: sched_current(), .local = fiber_local() };
    check(scope->sched);
    list_init(&scope->children);
    list_init(&scope->waiters);
}

bool scope_is_empty(const struct scope *scope)
{
    return list_empty(&scope->children);
}

void scope_cancel(struct scope *scope)
{
    scope->cancelled = true;
    list_for_each (it, &scope->children) {
        fiber_cancel(list_entry(it, struct fiber, scope_link));
    }
}

void scope_child_ended(struct scope *scope, struct fiber *fiber, int result)
{
    list_remove(&fiber->scope_link);
    bool is_failure = result < 0 && !(result == -ERR_CANCELED && scope->cancelled);
    if (is_failure && scope->first_error == 0) scope->first_error = result;
    if (is_failure && scope->fail_fast) scope_cancel(scope);
    if (!scope_is_empty(scope)) return;
    while (waiters_wake_one(&scope->waiters)) {
    }
}

int scope_wait(struct scope *scope)
{
    while (!scope_is_empty(scope)) {
        int r = waiters_wait(&scope->waiters, "scope");
        if (r < 0) return r;
    }
    return scope->first_error;
}

void scope_done(struct scope *scope)
{
    scope_cancel(scope);
    if (scope_is_empty(scope)) return;
    check(fiber_self());
    FIBER_SHIELD();
    while (!scope_is_empty(scope)) {
        int r = waiters_wait(&scope->waiters, "scope end");
        check(r == 0);
    }
}
