/* incidence.c - the text form of a design. */
#include "placement/incidence.h"

#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char first_line[] = "c3fs incidence matrix 1";

char *incidence_to_text(const struct design *d, const char *comment, struct arena *arena)
{
    enum { DIGITS = 6 };
    size_t capacity = (size_t)d->group_count * (d->group_size + 1) * DIGITS + strlen(comment) + 256;
    char *text = arena_alloc(arena, capacity);
    size_t n = (size_t)snprintf(
        text, capacity, "%s\n# %s\ndisks %u, groups %u, size %u, targets per disk %u\n", first_line,
        comment, d->node_count, d->group_count, d->group_size, d->targets_per_disk);
    for (uint32_t g = 0; g < d->group_count; g++) {
        n += (size_t)snprintf(text + n, capacity - n, "%u:", g + 1);
        for (uint32_t i = 0; i < d->group_size; i++)
            n += (size_t)snprintf(text + n, capacity - n, " %u",
                                  d->members[(size_t)g * d->group_size + i] + 1);
        n += (size_t)snprintf(text + n, capacity - n, "\n");
    }
    return text;
}

/* The lines that count, one by one. */
struct reader {
    struct arena *arena;
    char *rest;
    uint32_t line_number;
};

static char *next_line(struct reader *r)
{
    while (r->rest && *r->rest) {
        char *line = r->rest, *end = strchr(line, '\n');
        r->rest = end ? end + 1 : NULL;
        if (end) *end = 0;
        r->line_number++;
        if (line[0] && line[0] != '#') return line;
    }
    return NULL;
}

static int refuse(const struct reader *r, const char *what, const char **ret_error)
{
    *ret_error = arena_printf(r->arena, "line %u: %s", r->line_number, what);
    return -ERR_INVALID_ARG;
}

static bool read_number(char **at, uint32_t most, uint32_t *ret)
{
    char *end;
    unsigned long n = strtoul(*at, &end, 10);
    if (end == *at || n < 1 || n > most) return false;
    *at = end;
    *ret = (uint32_t)n;
    return true;
}

static bool read_group(char *line, uint32_t number, const struct design *d, uint32_t *ret_members)
{
    uint32_t n;
    if (!read_number(&line, DESIGN_GROUP_COUNT_MAX, &n) || n != number || *line++ != ':')
        return false;
    for (uint32_t i = 0; i < d->group_size; i++) {
        if (!read_number(&line, d->node_count, &n)) return false;
        ret_members[i] = n - 1;
        for (uint32_t j = 0; j < i; j++)
            if (ret_members[j] == n - 1) return false;
    }
    return line[strspn(line, " \t\r")] == 0;
}

int incidence_parse(struct arena *arena, struct bytes text, struct design *ret,
                    const char **ret_error)
{
    struct reader r = { .arena = arena, .rest = arena_text(arena, text) };
    struct design d = { 0 };
    char *line = next_line(&r), after;
    if (text.size && ((const uint8_t *)text.base)[0] == 0x80)
        return refuse(&r,
                      "this is a Python pickle of 3FS's own tool; make the matrix anew with "
                      "data_placement",
                      ret_error);
    if (!line || strcmp(line, first_line) != 0)
        return refuse(&r,
                      "this is no incidence matrix: its first line is not 'c3fs incidence "
                      "matrix 1'",
                      ret_error);
    line = next_line(&r);
    if (!line || sscanf(line, "disks %u, groups %u, size %u, targets per disk %u%c", &d.node_count,
                        &d.group_count, &d.group_size, &d.targets_per_disk, &after) != 4)
        return refuse(&r, "'disks V, groups B, size K, targets per disk R' belongs here",
                      ret_error);
    if (!design_is_possible(d.node_count, d.group_size, d.targets_per_disk) || !d.group_count ||
        (uint64_t)d.group_count * d.group_size > (uint64_t)d.node_count * d.targets_per_disk)
        return refuse(&r, "these sizes are out of range or contradict each other", ret_error);
    d.members = arena_array(arena, uint32_t, (size_t)d.group_count * d.group_size);
    for (uint32_t g = 0; g < d.group_count; g++) {
        line = next_line(&r);
        if (!line || !read_group(line, g + 1, &d, d.members + (size_t)g * d.group_size))
            return refuse(&r,
                          arena_printf(arena,
                                       "'%u:' and %u different disks from 1 to %u "
                                       "belong here",
                                       g + 1, d.group_size, d.node_count),
                          ret_error);
    }
    if (next_line(&r)) return refuse(&r, "there is more than the last group", ret_error);
    *ret = d;
    return 0;
}
