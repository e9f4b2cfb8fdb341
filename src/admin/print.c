/* print.c - aligned tables and JSON. */
#include "admin/print.h"

#include "base/check.h"
#include "base/units.h"
#include "wire/wire.h"
#include <time.h>

static void cell_add(struct print_table *t, const char *text)
{
    if (t->cell_count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 64;
        t->cells = xrealloc(t->cells, t->capacity * sizeof *t->cells);
    }
    t->cells[t->cell_count++] = text;
}

void table_begin(struct print_table *t, struct printer *p, uint32_t column_count,
                 const char *const *headers)
{
    *t = (struct print_table){ .printer = p, .column_count = column_count };
    for (uint32_t i = 0; i < column_count; i++)
        cell_add(t, headers[i]);
}

void block_begin(struct print_table *t, struct printer *p)
{
    *t = (struct print_table){ .printer = p, .column_count = 2, .is_block = true };
}

static char *printf_(2, 0) vprint(struct arena *arena, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    check(n >= 0);
    char *text = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

void table_cell(struct print_table *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cell_add(t, vprint(&t->arena, fmt, args));
    va_end(args);
}

void block_row(struct print_table *t, const char *name, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cell_add(t, name);
    cell_add(t, vprint(&t->arena, fmt, args));
    va_end(args);
}

static void json_text(FILE *out, const char *text)
{
    struct bytes b = bytes_of_text(text);
    text_to_text(out, &b);
}

static void print_json_table(const struct print_table *t)
{
    FILE *out = t->printer->out;
    uint32_t columns = t->column_count;
    fputs("[", out);
    for (uint32_t row = columns; row < t->cell_count; row += columns) {
        fputs(row == columns ? "\n  {" : ",\n  {", out);
        for (uint32_t c = 0; c < columns; c++) {
            if (c) fputs(", ", out);
            json_text(out, t->cells[c]);
            fputs(": ", out);
            json_text(out, t->cells[row + c]);
        }
        fputs("}", out);
    }
    fputs("\n]\n", out);
}

/* Whether a row of a block has the name of one before (@step -2) or behind it (@step 2). */
static bool has_namesake(const struct print_table *t, uint32_t at, int step)
{
    for (int64_t i = (int64_t)at + step; i >= 0 && i < t->cell_count; i += step)
        if (!strcmp(t->cells[i], t->cells[at])) return true;
    return false;
}

static void print_json_values(const struct print_table *t, uint32_t at)
{
    FILE *out = t->printer->out;
    if (!has_namesake(t, at, 2)) {
        json_text(out, t->cells[at + 1]);
        return;
    }
    fputs("[", out);
    for (uint32_t i = at; i < t->cell_count; i += 2) {
        if (strcmp(t->cells[i], t->cells[at]) != 0) continue;
        if (i != at) fputs(", ", out);
        json_text(out, t->cells[i + 1]);
    }
    fputs("]", out);
}

static void print_json_block(const struct print_table *t)
{
    FILE *out = t->printer->out;
    fputs("{", out);
    for (uint32_t i = 0; i < t->cell_count; i += 2) {
        if (has_namesake(t, i, -2)) continue;
        fputs(i ? ",\n  " : "\n  ", out);
        json_text(out, t->cells[i]);
        fputs(": ", out);
        print_json_values(t, i);
    }
    fputs("\n}\n", out);
}

void print_json_pair(struct printer *p, const char *name, const char *value, const char *name2,
                     const char *fmt, va_list args)
{
    cleanup_arena_ struct arena arena = { 0 };
    fputs("{", p->out);
    if (name) {
        json_text(p->out, name);
        fputs(": ", p->out);
        json_text(p->out, value);
        fputs(", ", p->out);
    }
    json_text(p->out, name2);
    fputs(": ", p->out);
    json_text(p->out, vprint(&arena, fmt, args));
    fputs("}\n", p->out);
}

static void print_aligned(const struct print_table *t)
{
    cleanup_arena_ struct arena arena = { 0 };
    uint32_t columns = t->column_count;
    int *widths = arena_array(&arena, int, columns);
    uint32_t first = t->is_bare ? columns : 0;
    for (uint32_t i = first; i < t->cell_count; i++)
        widths[i % columns] = MAX_OF(widths[i % columns], (int)strlen(t->cells[i]));
    for (uint32_t i = first; i < t->cell_count; i++) {
        bool is_last = i % columns == columns - 1;
        if (is_last) {
            fprintf(t->printer->out, "%s\n", t->cells[i]);
        } else {
            fprintf(t->printer->out, "%-*s", widths[i % columns] + 2, t->cells[i]);
        }
    }
}

void table_end(struct print_table *t)
{
    while (t->cell_count % t->column_count)
        cell_add(t, "");
    if (t->printer->is_json && t->is_block) {
        print_json_block(t);
    } else if (t->printer->is_json) {
        print_json_table(t);
    } else {
        print_aligned(t);
    }
    table_drop(t);
}

void table_drop(struct print_table *t)
{
    arena_done(&t->arena);
    free(t->cells);
    *t = (struct print_table){ 0 };
}

const char *time_to_text(uint64_t wall_ns, char *buf, size_t size)
{
    time_t seconds = (time_t)(wall_ns / SEC);
    struct tm tm;
    if (wall_ns == 0 || !localtime_r(&seconds, &tm) ||
        !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(buf, size, "N/A");
    return buf;
}

const char *bytes_to_text(uint64_t bytes, char *buf, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1024;
    snprintf(buf, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buf;
}
