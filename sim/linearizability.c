/* linearizability.c - histories, their registers, and the check by zones.
 *
 * Zones: a value, the one write of it and all reads of it form a cluster. Let F be the first end
 * and S the last begin among them. If F < S the register must hold this value all the time from F
 * to S (a forward zone); else all of the cluster may happen at one moment anywhere between S and F
 * (a backward zone). The register is linearizable exactly if no read ends before its write begins,
 * no two forward zones overlap, and no backward zone lies within a forward one.
 */
#include "sim/linearizability.h"

#include "base/arena.h"
#include "base/check.h"
#include "sim/linearizability_internal.h"
#include <stdio.h>

enum { SEARCH_LIMIT_DEFAULT = 1000000 };

struct history {
    struct history_op *ops;
    size_t count, capacity;
    uint64_t sequence;
    size_t search_limit;
};

struct history *history_new(void)
{
    struct history *h = new_zero(struct history);
    h->sequence = 1; /* 0 is before everything */
    h->search_limit = SEARCH_LIMIT_DEFAULT;
    return h;
}

struct history *history_free(struct history *h)
{
    if (!h) return NULL;
    free(h->ops);
    free(h);
    return NULL;
}

size_t history_invoke(struct history *h, uint64_t at_ns, uint32_t client, uint64_t object,
                      enum history_kind kind, uint64_t value)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 64;
        h->ops = xrealloc(h->ops, h->capacity * sizeof *h->ops);
    }
    h->ops[h->count] = (struct history_op){
        .object = object,
        .value = value,
        .invoked = h->sequence++,
        .completed = HISTORY_NEVER,
        .invoked_ns = at_ns,
        .client = client,
        .kind = kind,
    };
    return h->count++;
}

static struct history_op *op_of(struct history *h, size_t id)
{
    check(id < h->count);
    struct history_op *op = &h->ops[id];
    check(op->completed == HISTORY_NEVER);
    check(!op->is_failed);
    return op;
}

void history_complete(struct history *h, uint64_t at_ns, size_t id, uint64_t value)
{
    struct history_op *op = op_of(h, id);
    op->completed = h->sequence++;
    op->completed_ns = at_ns;
    if (op->kind != HISTORY_WRITE) op->value = value;
}

void history_fail(struct history *h, size_t id)
{
    op_of(h, id)->is_failed = true;
}

size_t history_op_count(const struct history *h)
{
    return h->count;
}

void history_set_search_limit(struct history *h, size_t state_count_max)
{
    h->search_limit = state_count_max;
}

/* ---- texts ---- */

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

const char *history_op_to_text(const struct history_op *op, size_t id, char *buf, size_t size)
{
    char end[32] = "?";
    if (op->completed != HISTORY_NEVER)
        snprintf(end, sizeof end, "%.6f", seconds(op->completed_ns));
    snprintf(buf, size, "%s %zu by client %u of %llu at %.6f-%s s%s",
             op->kind == HISTORY_WRITE ? "write" : "read", id, op->client,
             (unsigned long long)op->value, seconds(op->invoked_ns), end,
             op->is_failed ? " (failed)" : "");
    return buf;
}

void history_print(const struct history *h, uint64_t object,
                   void (*fn)(void *arg, const char *line), void *arg)
{
    char line[160];
    for (size_t i = 0; i < h->count; i++)
        if (h->ops[i].object == object)
            fn(arg, history_op_to_text(&h->ops[i], i, line, sizeof line));
}

static int report(const struct register_history *r, char *why, size_t why_size, const char *text,
                  size_t a, size_t b)
{
    char text_a[128], text_b[128];
    const struct history_op *op = &r->all[a];
    snprintf(why, why_size, "object %llu: %s: %s; %s", (unsigned long long)op->object, text,
             history_op_to_text(op, a, text_a, sizeof text_a),
             a == b ? "" : history_op_to_text(&r->all[b], b, text_b, sizeof text_b));
    return -ERR_FOUND_BUG;
}

/* ---- zones ---- */

struct cluster {
    uint64_t value;
    size_t write;                   /* id; of a read for the initial value */
    size_t first_ended, last_begun; /* ids */
    uint64_t first_end, last_begin; /* F and S */
    bool has_write, has_read;
};

static bool is_forward(const struct cluster *c)
{
    return c->first_end < c->last_begin;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int cluster_compare_values(const void *a, const void *b)
{
    return compare_u64(((const struct cluster *)a)->value, ((const struct cluster *)b)->value);
}

static int cluster_compare_ends(const void *a, const void *b)
{
    return compare_u64(((const struct cluster *)a)->first_end,
                       ((const struct cluster *)b)->first_end);
}

/* One cluster for each write, sorted by value, the initial value first. -ERR_INVALID_ARG when
 * values repeat. */
static int clusters_make(const struct register_history *r, struct cluster *clusters,
                         size_t *ret_count)
{
    size_t count = 1;
    clusters[0] = (struct cluster){ .value = HISTORY_INITIAL };
    for (size_t i = 0; i < r->count; i++) {
        const struct history_op *op = &r->all[r->ids[i]];
        if (op->kind != HISTORY_WRITE) continue;
        clusters[count++] = (struct cluster){
            .value = op->value,
            .write = r->ids[i],
            .first_ended = r->ids[i],
            .last_begun = r->ids[i],
            .first_end = op->completed,
            .last_begin = op->invoked,
            .has_write = true,
        };
    }
    qsort(clusters, count, sizeof *clusters, cluster_compare_values);
    for (size_t i = 1; i < count; i++)
        if (clusters[i - 1].value == clusters[i].value) return -ERR_INVALID_ARG;
    *ret_count = count;
    return 0;
}

static int clusters_add_reads(const struct register_history *r, struct cluster *clusters,
                              size_t count, char *why, size_t why_size)
{
    for (size_t i = 0; i < r->count; i++) {
        size_t id = r->ids[i];
        const struct history_op *op = &r->all[id];
        if (op->kind != HISTORY_READ) continue;
        struct cluster key = { .value = op->value };
        struct cluster *c = bsearch(&key, clusters, count, sizeof key, cluster_compare_values);
        if (!c) return report(r, why, why_size, "a value that nobody wrote", id, id);
        if (c->has_write && op->completed < r->all[c->write].invoked)
            return report(r, why, why_size, "read before it was written", id, c->write);
        if (!c->has_read && !c->has_write) c->last_begun = c->write = id;
        c->has_read = true;
        if (op->invoked >= c->last_begin) {
            c->last_begin = op->invoked;
            c->last_begun = id;
        }
        if (op->completed < c->first_end) {
            c->first_end = op->completed;
            c->first_ended = id;
        }
    }
    /* The write of the initial value ended before all else: it is a forward zone up to its last
     * read. */
    if (clusters[0].has_read) clusters[0].first_ended = clusters[0].last_begun;
    return 0;
}

static int zones_check(const struct register_history *r, const struct cluster *clusters,
                       size_t count, char *why, size_t why_size)
{
    const struct cluster *forward = NULL;
    size_t sorted = 0;
    struct cluster *zones cleanup_(freep) = xcalloc(count, sizeof *zones);
    for (size_t i = 0; i < count; i++)
        if (is_forward(&clusters[i])) zones[sorted++] = clusters[i];
    qsort(zones, sorted, sizeof *zones, cluster_compare_ends);
    for (size_t i = 0; i < sorted; i++) {
        if (forward && zones[i].first_end < forward->last_begin)
            return report(r, why, why_size, "an older value came back", forward->last_begun,
                          zones[i].last_begun);
        forward = &zones[i];
    }
    for (size_t i = 0; i < count; i++) {
        const struct cluster *c = &clusters[i];
        if (is_forward(c) || (!c->has_write && !c->has_read)) continue;
        size_t low = 0, high = sorted; /* the last forward zone that begins before this one */
        while (low < high) {
            size_t mid = (low + high) / 2;
            if (zones[mid].first_end < c->last_begin) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        if (low > 0 && c->first_end < zones[low - 1].last_begin)
            return report(r, why, why_size, "a write was forgotten", c->first_ended,
                          zones[low - 1].last_begun);
    }
    return 0;
}

static int register_check(const struct history *h, const struct register_history *r, char *why,
                          size_t why_size)
{
    struct cluster *clusters cleanup_(freep) = xcalloc(r->count + 1, sizeof *clusters);
    size_t count;
    int result = clusters_make(r, clusters, &count);
    if (result < 0) return linearizability_search(r, h->search_limit, why, why_size);
    result = clusters_add_reads(r, clusters, count, why, why_size);
    return result < 0 ? result : zones_check(r, clusters, count, why, why_size);
}

/* ---- registers ---- */

/* A key for sorting: by register, values read, or order of invocation. */
struct op_key {
    uint64_t object, value;
    size_t id;
};

static int key_compare(const void *a, const void *b)
{
    const struct op_key *x = a, *y = b;
    int c = compare_u64(x->object, y->object);
    if (!c) c = compare_u64(x->value, y->value);
    return c ? c : compare_u64(x->id, y->id);
}

static bool was_read(const struct op_key *reads, size_t count, const struct history_op *op)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = compare_u64(reads[mid].object, op->object);
        if (!c) c = compare_u64(reads[mid].value, op->value);
        if (c == 0) return true;
        if (c < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return false;
}

/* Sorts what matters by register. An unknown write that nobody read need not have happened. */
static size_t ops_select(const struct history *h, struct op_key *keys)
{
    struct op_key *reads cleanup_(freep) = xcalloc(h->count, sizeof *reads);
    size_t read_count = 0, count = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        if (op->kind == HISTORY_READ && op->completed != HISTORY_NEVER)
            reads[read_count++] = (struct op_key){ op->object, op->value, i };
    }
    qsort(reads, read_count, sizeof *reads, key_compare);
    for (size_t i = 0; i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        if (op->is_failed || op->kind == HISTORY_LOOSE_READ) continue;
        if (op->completed == HISTORY_NEVER &&
            (op->kind == HISTORY_READ || !was_read(reads, read_count, op)))
            continue;
        keys[count++] = (struct op_key){ op->object, 0, i };
    }
    qsort(keys, count, sizeof *keys, key_compare);
    return count;
}

int history_check(const struct history *h, char *why, size_t why_size)
{
    struct op_key *keys cleanup_(freep) = xcalloc(h->count, sizeof *keys);
    size_t *ids cleanup_(freep) = xcalloc(h->count, sizeof *ids);
    size_t count = ops_select(h, keys);
    int result = loose_reads_check(h->ops, h->count, why, why_size);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && keys[end].object == keys[begin].object; end++)
            ids[end] = keys[end].id;
        struct register_history r = { h->ops, ids + begin, end - begin };
        char reason[300];
        int one = register_check(h, &r, reason, sizeof reason);
        /* A violation is worth more than a search that gave up. */
        if (one < 0 && result != -ERR_FOUND_BUG) {
            result = one;
            snprintf(why, why_size, "%s", reason);
        }
        if (result == -ERR_FOUND_BUG) break;
    }
    return result;
}
