/* fault.c - rules at named points, and the table of mutants. */
#include "loop/fault.h"
#include "base/arena.h"
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/loop.h"

#include <string.h>

/* A point that a rule names or that was hit while the table existed. */
struct point {
    char *name;
    uint32_t hits;
    struct fault_rule *rules;
    uint32_t rule_count;
    struct wait_queue suspended;
    uint64_t resumes; /* counts fault_resume() and fault_clear() */
};

struct fault_table {
    struct point **points;
    size_t point_count;
    bool mutants[MUTANT_MAX];
};

struct fault_table *fault_table_new(void)
{
    return new_zero(struct fault_table);
}

static void rules_drop(struct point *p)
{
    free(p->rules);
    p->rules = NULL;
    p->rule_count = 0;
    p->resumes++;
    wait_queue_wake_all(&p->suspended);
}

struct fault_table *fault_table_free(struct fault_table *t)
{
    if (!t) return NULL;
    for (size_t i = 0; i < t->point_count; i++) {
        struct point *p = t->points[i];
        check(list_empty(&p->suspended.waiters));
        free(p->rules);
        free(p->name);
        free(p);
    }
    free(t->points);
    free(t);
    return NULL;
}

static struct point *point_find(const struct fault_table *t, const char *name)
{
    for (size_t i = 0; i < t->point_count; i++) {
        if (strcmp(t->points[i]->name, name) == 0) return t->points[i];
    }
    return NULL;
}

static struct point *point_make(struct fault_table *t, const char *name)
{
    struct point *p = point_find(t, name);
    if (p) return p;
    p = new_zero(struct point);
    p->name = xstrdup(name);
    wait_queue_init(&p->suspended);
    t->points = xrealloc(t->points, (t->point_count + 1) * sizeof(struct point *));
    t->points[t->point_count++] = p;
    return p;
}

void fault_add(struct node *node, const struct fault_rule *rule)
{
    if (!node->faults) node->faults = fault_table_new();
    struct point *p = point_make(node->faults, rule->point);
    p->rules = xrealloc(p->rules, (p->rule_count + 1) * sizeof(*p->rules));
    p->rules[p->rule_count] = *rule;
    p->rules[p->rule_count].point = p->name;
    p->rule_count++;
}

void fault_clear(struct node *node)
{
    for (size_t i = 0; node->faults && i < node->faults->point_count; i++) {
        rules_drop(node->faults->points[i]);
    }
}

void fault_clear_point(struct node *node, const char *name)
{
    struct point *p = node->faults ? point_find(node->faults, name) : NULL;
    if (p) rules_drop(p);
}

void fault_each(const struct node *node,
                void (*fn)(void *arg, const char *point, uint32_t hits,
                           const struct fault_rule *rules, uint32_t rule_count),
                void *arg)
{
    for (size_t i = 0; node->faults && i < node->faults->point_count; i++) {
        const struct point *p = node->faults->points[i];
        fn(arg, p->name, p->hits, p->rules, p->rule_count);
    }
}

void fault_resume(struct node *node, const char *name)
{
    struct point *p = node->faults ? point_find(node->faults, name) : NULL;
    if (!p) return;
    p->resumes++;
    wait_queue_wake_all(&p->suspended);
}

uint32_t fault_hits(const struct node *node, const char *name)
{
    const struct point *p = node->faults ? point_find(node->faults, name) : NULL;
    return p ? p->hits : 0;
}

static int fault_suspend(struct point *p)
{
    uint64_t resumes = p->resumes;
    while (p->resumes == resumes) {
        int r = wait_queue_wait(&p->suspended, p->name);
        if (r < 0) return r;
    }
    return 0;
}

int fault_hit(struct node *node, const char *name)
{
    struct point *p = point_make(node->faults, name);
    p->hits++;
    for (uint32_t i = 0; i < p->rule_count; i++) {
        struct fault_rule *rule = &p->rules[i];
        if (rule->skip_count > 0) {
            rule->skip_count--;
            continue;
        }
        if (rule->hit_count == UINT32_MAX) continue; /* used up */
        if (rule->hit_count > 0 && --rule->hit_count == 0) rule->hit_count = UINT32_MAX;
        /* The rules may be gone after a wait: nothing of them is looked at again. */
        switch (rule->kind) {
        case FAULT_FAIL: return rule->error;
        case FAULT_DELAY: return fiber_sleep(rule->delay_ns);
        case FAULT_SUSPEND: return fault_suspend(p);
        }
    }
    return 0;
}

/* ---- mutants ---- */

static const struct {
    const char *name, *rule;
} mutants[] = {
#define MUTANT_ROW(sym, name, text) { name, text },
    MUTANT_TABLE(MUTANT_ROW)
#undef MUTANT_ROW
};

bool mutant_is_active(const struct node *node, enum mutant mutant)
{
    return node->faults && node->faults->mutants[mutant];
}

void mutant_activate(struct node *node, enum mutant mutant)
{
    check(loop_is_simulated(node->loop));
    if (!node->faults) node->faults = fault_table_new();
    node->faults->mutants[mutant] = true;
}

int mutant_parse(const char *name)
{
    for (int i = 0; i < MUTANT_MAX; i++) {
        if (strcmp(mutants[i].name, name) == 0) return i;
    }
    return -1;
}

const char *mutant_name(enum mutant mutant)
{
    return mutants[mutant].name;
}

const char *mutant_rule(enum mutant mutant)
{
    return mutants[mutant].rule;
}
