/* design_orbits.c - which symmetries and base blocks are tried for a size, and for how long.
 *
 * Much symmetry leaves few base blocks and few orbits of pairs: a small search that can be had
 * again and again, but not every design has it. So all plans take turns, each time with twice the
 * steps, until one is as even as counting allows or the work is used up. If none is, the same for
 * pairs that differ by two, by three and so on, as long as that improves on what was found.
 * Work is counted in meetings looked at, never in time: a seed gives the same design everywhere.
 */
#include "placement/design_blocks.h"

#include "base/check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PLANS_MAX = 24,
    PASS_COUNT = 20,
    SLOW = 1000000 /* changes of one member: a search that cannot be had often */
};

struct plans {
    struct block_plan plans[PLANS_MAX];
    uint32_t count;
};

struct attempt {
    struct design *d; /* the best so far, as soon as there is one */
    bool is_made;
    uint32_t least, most; /* of it */
    uint32_t low, high;   /* what counting allows */
    double mean;
    uint64_t work, work_limit, work_total;
    uint64_t smallest, largest; /* searches of the plans: changes of one member that there are */
    struct chance *chance;
    const struct design_progress *progress;
};

/* ---- plans ---- */

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Changes of one member that there are: how large a search is. */
static uint64_t neighbours_of(const struct block_plan *p, uint32_t v, uint32_t k)
{
    return (uint64_t)(p->full_count + p->short_count) * k * v;
}

/* One more; when there is no room the largest search gives way. */
static void plan_add(struct plans *plans, const struct block_plan *p, uint32_t v, uint32_t k)
{
    if (plans->count < PLANS_MAX) {
        plans->plans[plans->count++] = *p;
        return;
    }
    uint32_t largest = 0;
    for (uint32_t i = 1; i < PLANS_MAX; i++)
        if (neighbours_of(&plans->plans[i], v, k) > neighbours_of(&plans->plans[largest], v, k))
            largest = i;
    if (neighbours_of(p, v, k) < neighbours_of(&plans->plans[largest], v, k))
        plans->plans[largest] = *p;
}

/* The plan with every order of turns. */
static void plan_turns(struct plans *plans, struct block_plan p, uint32_t k, uint32_t r)
{
    enum { MULTIPLIERS_MAX = 2 };
    uint32_t size = p.symmetry.size, v = size * p.symmetry.class_count, full_count = p.full_count;
    p.symmetry.turn_order = 1;
    plan_add(plans, &p, v, k);
    if (p.short_count && p.short_order < k) return;
    for (uint32_t order = 2; order <= full_count && order < size; order++) {
        if (full_count % order || (p.symmetry.class_count > 1 && r % order)) continue;
        uint32_t multipliers[MULTIPLIERS_MAX], count;
        p.full_count = full_count / order;
        p.symmetry.turn_order = order;
        if (p.symmetry.is_split) {
            if (symmetry_can_split(size, order)) plan_add(plans, &p, v, k);
            continue;
        }
        count = symmetry_multipliers(size, order, MULTIPLIERS_MAX, multipliers);
        for (uint32_t i = 0; i < count; i++) {
            p.symmetry.multiplier = multipliers[i];
            plan_add(plans, &p, v, k);
        }
    }
}

static bool has_square_factor(uint32_t n)
{
    for (uint32_t i = 2; i * i <= n; i++)
        if (n % (i * i) == 0) return true;
    return false;
}

static void plan_classes(struct plans *plans, uint32_t classes, uint32_t v, uint32_t k, uint32_t r)
{
    struct block_plan p = { .symmetry = { .class_count = classes, .size = v / classes },
                            .full_count = r * classes / k };
    plan_turns(plans, p, k, r);
    p.symmetry.is_split = true;
    if (has_square_factor(v / classes)) plan_turns(plans, p, k, r);
}

/* One class with short blocks; pairs in a coset of theirs meet at least @rest times. */
static void plan_short(struct plans *plans, uint32_t v, uint32_t k, uint32_t r, uint32_t high)
{
    uint32_t most = common_divisor(v, k), rest = r % k;
    if (rest > high) return;
    for (uint32_t order = most; order > 1; order--) {
        if (most % order || rest % (k / order)) continue;
        struct block_plan p = { .symmetry = { .class_count = 1, .size = v },
                                .full_count = r / k,
                                .short_count = rest / (k / order),
                                .short_order = order };
        plan_turns(plans, p, k, r);
    }
}

/* Once they are slow: without those that are larger than the smallest. */
static void prune_plans(struct plans *plans, uint32_t v, uint32_t k)
{
    uint64_t smallest = UINT64_MAX;
    uint32_t count = 0;
    for (uint32_t i = 0; i < plans->count; i++)
        smallest = MIN_OF(smallest, neighbours_of(&plans->plans[i], v, k));
    for (uint32_t i = 0; i < plans->count; i++) {
        uint64_t neighbours = neighbours_of(&plans->plans[i], v, k);
        if (neighbours > SLOW && neighbours > smallest) continue;
        plans->plans[count++] = plans->plans[i];
    }
    plans->count = count;
}

static void make_plans(struct plans *plans, uint32_t v, uint32_t k, uint32_t r, uint32_t high)
{
    if (r % k) plan_short(plans, v, k, r, high);
    for (uint32_t classes = 1; classes <= v; classes++)
        if (v % classes == 0 && r * classes % k == 0) plan_classes(plans, classes, v, k, r);
    check(plans->count > 0); /* with v classes at the least */
    prune_plans(plans, v, k);
}

/* ---- attempts ---- */

static bool is_even_enough(const struct attempt *a)
{
    return a->is_made && a->least >= a->low && a->most <= a->high;
}

static void keep_if_better(struct attempt *a, const struct block_search *s)
{
    uint32_t least, most;
    blocks_range(s, &least, &most);
    if (a->is_made && most - least >= a->most - a->least) return;
    blocks_develop(s, a->d);
    a->is_made = true;
    a->least = least;
    a->most = most;
}

static void tell(const struct attempt *a, uint64_t work)
{
    if (a->progress && a->progress->tell && a->is_made)
        a->progress->tell(a->progress->arg, MIN_OF(work, a->work_total), a->work_total, a->least,
                          a->most);
}

static void tell_annealing(void *arg, const struct block_search *s)
{
    const struct attempt *a = arg;
    if (a->smallest > SLOW) tell(a, a->work + s->work);
}

/* False: some orbit's number of meetings jumps over the window, from what the cosets give it. */
static bool can_be_within(const struct symmetry *s, const struct block_plan *p, uint32_t k,
                          const struct block_window *w)
{
    bool is_possible = true;
    uint32_t *begin = xcalloc(s->orbit_count, sizeof *begin);
    for (uint32_t turn = 1; p->short_count && turn < p->short_order; turn++)
        begin[symmetry_orbit(s, 0, turn * (s->spec.size / p->short_order))] =
            p->short_count * (k / p->short_order);
    for (uint32_t i = 0; i < s->orbit_count && is_possible; i++) {
        uint32_t weight = s->weights[i], more = begin[i] < w->least ? w->least - begin[i] : 0;
        is_possible = begin[i] + (more + weight - 1) / weight * weight <= w->most;
    }
    free(begin);
    return is_possible;
}

/* Some anneals anew: more where they are short, so that all plans have about the same work. With
 * each pass there are more of them, and longer ones. */
static void anneal_plan(struct attempt *a, const struct symmetry *symmetry,
                        const struct block_plan *plan, const struct block_window *window,
                        uint32_t pass)
{
    struct block_search search;
    uint32_t k = a->d->group_size;
    /* A step counts about six times k meetings. */
    uint64_t left = a->work_limit - a->work, step_work = 6 * k;
    uint64_t steps = neighbours_of(plan, a->d->node_count, k) << (pass + 1) / 2;
    if (a->smallest > SLOW) steps = left / step_work / (pass ? 1 : 8);
    uint64_t count = MIN_OF(a->largest / neighbours_of(plan, a->d->node_count, k), 100u) + 1;
    for (uint64_t i = 0; i < count << pass / 2 && a->work < a->work_limit; i++) {
        steps = MIN_OF(steps, (a->work_limit - a->work) / step_work + 1);
        blocks_init(&search, symmetry, plan, k);
        search.tick = tell_annealing;
        search.tick_arg = a;
        blocks_fill(&search, a->chance);
        blocks_anneal(&search, window, steps, a->chance);
        keep_if_better(a, &search);
        a->work += search.work;
        blocks_done(&search);
        if (a->least >= window->least && a->most <= window->most) break;
    }
}

static void try_plan(struct attempt *a, const struct block_plan *plan,
                     const struct block_window *window, uint32_t pass)
{
    struct symmetry symmetry;
    if (symmetry_init(&symmetry, &plan->symmetry) &&
        (can_be_within(&symmetry, plan, a->d->group_size, window) || !a->is_made))
        anneal_plan(a, &symmetry, plan, window, pass);
    a->work += (uint64_t)symmetry.spec.size * symmetry.spec.size +
               (uint64_t)symmetry.node_count * symmetry.spec.class_count;
    symmetry_done(&symmetry);
    tell(a, a->work);
}

/* How much of the freedom of a group's members the balance of its pairs takes: how improbable it is
 * that the pairs of random groups keep the window (Poisson's distribution, tilted to the mean),
 * against how many groups there are, both as logarithms. Annealing arrives far below 1 only. */
static double hardness(const struct attempt *a, const struct block_window *w)
{
    uint32_t v = a->d->node_count, k = a->d->group_size;
    double choices = 0, mean = a->mean, low = -20, high = 20, tilt = 0, sum = 1;
    for (uint32_t i = 0; i < k; i++)
        choices += log((double)(v - i) / (i + 1));
    for (uint32_t step = 0; step < 50; step++) {
        double moment = 0, weight = exp(-mean);
        tilt = (low + high) / 2;
        sum = 0;
        for (uint32_t i = 0; i <= w->most; weight *= mean / ++i) {
            if (i < w->least) continue;
            sum += weight * exp(tilt * i);
            moment += i * weight * exp(tilt * i);
        }
        if (moment < mean * sum)
            low = tilt;
        else
            high = tilt;
    }
    return (tilt * mean - log(sum)) * k * (k - 1) / 2 / mean / choices;
}

/* What of the work is left for a window. */
static uint64_t share_of(const struct attempt *a, const struct block_window *w)
{
    uint64_t left = a->work_total - MIN_OF(a->work, a->work_total);
    double hard = hardness(a, w);
    if (hard < 0.3) return left / 4 * 3;
    return a->smallest > SLOW ? left / 20 : hard < 1 ? left / 2 : left / 6;
}

/* True: the design keeps the window. */
static bool try_window(struct attempt *a, const struct plans *plans,
                       const struct block_window *window)
{
    a->work_limit = a->work + share_of(a, window);
    for (uint32_t pass = 0; pass < PASS_COUNT; pass++) {
        for (uint32_t i = 0; i < plans->count; i++) {
            if (a->is_made && a->work >= a->work_limit) return false;
            try_plan(a, &plans->plans[i], window, pass);
            if (a->least >= window->least && a->most <= window->most) return true;
        }
    }
    return false;
}

/* Windows of a width that hold the mean, the one around it first. */
static bool try_width(struct attempt *a, const struct plans *plans, uint32_t width)
{
    enum { WINDOWS_MAX = 2 };
    double middle = a->mean - width / 2.0;
    uint32_t nearest = middle <= 0 ? 0 : (uint32_t)(middle + 0.5);
    struct block_window windows[WINDOWS_MAX] = { { nearest, nearest + width } };
    uint32_t other = middle > nearest || !nearest ? nearest + 1 : nearest - 1;
    windows[1] = (struct block_window){ other, other + width };
    for (uint32_t i = 0; i < WINDOWS_MAX; i++) {
        const struct block_window *w = &windows[i];
        if (w->least > a->low || w->most < a->high) continue;
        if (try_window(a, plans, w)) return true;
    }
    return false;
}

/* A second for small sizes, half a minute for the largest. */
static uint64_t work_of_size(uint64_t v)
{
    const uint64_t least = 6000000, square = 250000, most = 4000000000;
    return MIN_OF(MAX_OF(least * v, square * v * v), most);
}

void design_of_orbits(struct design *d, uint32_t r, struct chance *chance,
                      const struct design_progress *progress)
{
    struct plans plans = { .count = 0 };
    double mean = (double)r * (d->group_size - 1) / (d->node_count - 1);
    struct attempt a = { .d = d,
                         .low = (uint32_t)mean,
                         .high = (uint32_t)mean + ((double)(uint32_t)mean < mean),
                         .mean = mean,
                         .work_total = work_of_size(d->node_count),
                         .chance = chance,
                         .progress = progress };
    make_plans(&plans, d->node_count, d->group_size, r, a.high);
    a.smallest = UINT64_MAX;
    for (uint32_t i = 0; i < plans.count; i++) {
        uint64_t neighbours = neighbours_of(&plans.plans[i], d->node_count, d->group_size);
        a.smallest = MIN_OF(a.smallest, neighbours);
        a.largest = MAX_OF(a.largest, neighbours);
    }
    struct block_window window = { a.low, a.high };
    try_window(&a, &plans, &window);
    for (uint32_t width = 2; !is_even_enough(&a) && a.most - a.least > width; width++)
        if (try_width(&a, &plans, width)) break;
    tell(&a, a.work_total);
}
