/* metrics.c - cells in an array sorted by name; each cell is allocated alone, so that it never
 * moves. */
#include "base/metrics.h"
#include "base/arena.h"

#include <string.h>

struct metric {
    char *name;
    uint64_t *cell;
};

struct metrics {
    struct metric *metrics;
    size_t count, capacity;
};

struct metrics *metrics_new(void)
{
    return new_zero(struct metrics);
}

struct metrics *metrics_free(struct metrics *m)
{
    if (!m) return NULL;
    for (size_t i = 0; i < m->count; i++) {
        free(m->metrics[i].name);
        free(m->metrics[i].cell);
    }
    free(m->metrics);
    free(m);
    return NULL;
}

/* The index of the first name that is not less than @name. */
static size_t lower_bound(const struct metrics *m, const char *name)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (strcmp(m->metrics[mid].name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool has_name_at(const struct metrics *m, size_t i, const char *name)
{
    return i < m->count && strcmp(m->metrics[i].name, name) == 0;
}

uint64_t *metrics_cell(struct metrics *m, const char *name)
{
    size_t i = lower_bound(m, name);
    if (has_name_at(m, i, name)) return m->metrics[i].cell;
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? m->capacity * 2 : 32;
        m->metrics = xrealloc(m->metrics, m->capacity * sizeof(struct metric));
    }
    memmove(&m->metrics[i + 1], &m->metrics[i], (m->count - i) * sizeof(struct metric));
    m->count++;
    m->metrics[i] = (struct metric){ xstrdup(name), new_zero(uint64_t) };
    return m->metrics[i].cell;
}

uint64_t metrics_value(const struct metrics *m, const char *name)
{
    size_t i = lower_bound(m, name);
    return has_name_at(m, i, name) ? *m->metrics[i].cell : 0;
}

void metrics_each(const struct metrics *m, void (*fn)(void *arg, const char *name, uint64_t value),
                  void *arg)
{
    for (size_t i = 0; i < m->count; i++) {
        fn(arg, m->metrics[i].name, *m->metrics[i].cell);
    }
}
