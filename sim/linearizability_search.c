/* linearizability_search.c - the search of Wing and Gong for one register, with Lowe's memoisation.
 *
 * Events (begins and ends of operations) stand in a list in order of time. The search takes an
 * operation that could be the next one to happen (it began before the first end in the list) and
 * fits the register's value, removes it from the list and goes on; when no operation fits before an
 * end is met, it goes back. What was tried (the set of operations that have happened, and the
 * value) is never tried again. The register is linearizable when no end is left in the list: what
 * remains has an unknown outcome.
 */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/map.h"
#include "sim/linearizability_internal.h"
#include <stdio.h>

struct search_event {
    struct search_event *prev, *next;
    size_t at; /* place in ids */
    bool is_end;
};

struct search {
    const struct register_history *r;
    struct search_event head, *begins,
        *ends; /* ends[i].next is NULL and it is not in the list for unknown ones */
    size_t ends_left;
    uint64_t value;
    /* the operations that have happened, in order, with the value before each */
    size_t *stack;
    uint64_t *values_before;
    size_t depth, depth_max,
        blocked_at; /* blocked_at: place of the end that stopped the deepest try */
    /* what was tried: the set as a bitmap, and the value as its last word */
    uint64_t *state;
    size_t state_words;
    struct map tried;
};

static const struct history_op *op_at(const struct search *s, size_t at)
{
    return &s->r->all[s->r->ids[at]];
}

static void event_unlink(struct search_event *e)
{
    e->prev->next = e->next;
    if (e->next) e->next->prev = e->prev;
}

static void event_relink(struct search_event *e)
{
    e->prev->next = e;
    if (e->next) e->next->prev = e;
}

struct event_key {
    uint64_t time;
    struct search_event *event;
};

static int event_compare(const void *a, const void *b)
{
    const struct event_key *x = a, *y = b;
    return (x->time > y->time) - (x->time < y->time);
}

static void search_init(struct search *s, const struct register_history *r)
{
    size_t count = 0;
    struct event_key *keys cleanup_(freep) = xcalloc(r->count * 2, sizeof *keys);
    *s = (struct search){ .r = r, .value = HISTORY_INITIAL, .state_words = r->count / 64 + 2 };
    s->begins = xcalloc(r->count, sizeof *s->begins);
    s->ends = xcalloc(r->count, sizeof *s->ends);
    s->stack = xcalloc(r->count, sizeof *s->stack);
    s->values_before = xcalloc(r->count, sizeof *s->values_before);
    s->state = xcalloc(s->state_words, sizeof *s->state);
    map_init(&s->tried, 0);
    for (size_t i = 0; i < r->count; i++) {
        const struct history_op *op = op_at(s, i);
        s->begins[i].at = s->ends[i].at = i;
        s->ends[i].is_end = true;
        keys[count++] = (struct event_key){ op->invoked, &s->begins[i] };
        if (op->completed == HISTORY_NEVER) continue;
        keys[count++] = (struct event_key){ op->completed, &s->ends[i] };
        s->ends_left++;
    }
    qsort(keys, count, sizeof *keys, event_compare);
    struct search_event *last = &s->head;
    for (size_t i = 0; i < count; i++) {
        last->next = keys[i].event;
        keys[i].event->prev = last;
        last = keys[i].event;
    }
    last->next = NULL;
}

static void search_done(struct search *s)
{
    free(s->begins);
    free(s->ends);
    free(s->stack);
    free(s->values_before);
    free(s->state);
    map_done(&s->tried);
}

static bool is_unknown(const struct search *s, size_t at)
{
    return op_at(s, at)->completed == HISTORY_NEVER;
}

/* True when this set and value were not tried before. */
static bool search_remember(struct search *s)
{
    s->state[s->state_words - 1] = s->value;
    struct bytes key = bytes_of(s->state, s->state_words * sizeof *s->state);
    return map_put_bytes(&s->tried, key, s) == NULL;
}

/* Lets operation @at happen next, if it fits and leads to something new. */
static bool search_take(struct search *s, size_t at)
{
    const struct history_op *op = op_at(s, at);
    uint64_t before = s->value;
    if (op->kind == HISTORY_READ && op->value != before) return false;
    s->state[at / 64] |= 1ull << (at % 64);
    s->value = op->value;
    if (!search_remember(s)) {
        s->state[at / 64] &= ~(1ull << (at % 64));
        s->value = before;
        return false;
    }
    s->stack[s->depth] = at;
    s->values_before[s->depth++] = before;
    event_unlink(&s->begins[at]);
    if (is_unknown(s, at)) return true;
    event_unlink(&s->ends[at]);
    s->ends_left--;
    return true;
}

/* Takes the last operation back and returns where to look on. */
static struct search_event *search_undo(struct search *s)
{
    size_t at = s->stack[--s->depth];
    s->value = s->values_before[s->depth];
    s->state[at / 64] &= ~(1ull << (at % 64));
    if (!is_unknown(s, at)) {
        event_relink(&s->ends[at]);
        s->ends_left++;
    }
    event_relink(&s->begins[at]);
    return s->begins[at].next;
}

static int search_run(struct search *s, size_t state_count_max)
{
    struct search_event *e = s->head.next;
    while (s->ends_left) {
        check(e);
        if (e->is_end) {
            if (s->depth >= s->depth_max) {
                s->depth_max = s->depth;
                s->blocked_at = e->at;
            }
            if (s->depth == 0) return -ERR_FOUND_BUG;
            e = search_undo(s);
        } else if (search_take(s, e->at)) {
            if (s->tried.count > state_count_max) return -ERR_BUSY;
            e = s->head.next;
        } else {
            e = e->next;
        }
    }
    return 0;
}

int linearizability_search(const struct register_history *r, size_t state_count_max, char *why,
                           size_t why_size)
{
    struct search s cleanup_(search_done);
    search_init(&s, r);
    int result = search_run(&s, state_count_max);
    if (result == 0) return 0;
    char text[128];
    size_t id = r->ids[s.blocked_at];
    unsigned long long object = r->all[id].object;
    if (result == -ERR_BUSY) {
        snprintf(why, why_size, "object %llu: gave up after %zu states", object, s.tried.count);
    } else {
        snprintf(why, why_size,
                 "object %llu: no order explains more than %zu of %zu operations: %s", object,
                 s.depth_max, r->count, history_op_to_text(&r->all[id], id, text, sizeof text));
    }
    return result;
}
