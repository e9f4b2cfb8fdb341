/* nearest.c - which valid name was meant: Damerau-Levenshtein distance, at most a third of the
 * name. */
#include "config/settings.h"

enum { NAME_BYTES_MAX = 128 };

/* Optimal string alignment, three rows of the table at a time. Names longer than NAME_BYTES_MAX are
 * far. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][NAME_BYTES_MAX + 1], size_a = strlen(a), size_b = strlen(b);
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    if (size_a > NAME_BYTES_MAX || size_b > NAME_BYTES_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= size_b; j++)
        last[j] = j;
    for (size_t i = 1; i <= size_a; i++) {
        now[0] = i;
        for (size_t j = 1; j <= size_b; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = MIN_OF(best, last[j] + 1);
            best = MIN_OF(best, now[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = MIN_OF(best, before[j - 2] + 1);
            }
            now[j] = best;
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[size_b];
}

const char *nearest_name(const char *name, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = MAX_OF(strlen(name) / 3, (size_t)2) + 1;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(name, names[i]);
        if (d < best_distance && d < strlen(names[i])) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
