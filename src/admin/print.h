/* print.h - what a command shows: aligned tables for people, JSON for machines.
 *
 * A table has a header row; each column is as wide as its widest cell and two spaces, the last is
 * not padded. A block is a list of names with values. With --json a table is an array of objects, a
 * block one object, in which a name that comes twice has an array; keys are the header words,
 * values text. Nothing is printed before *_end().
 */
#pragma once
#include "base/arena.h"
#include <stdarg.h>
#include <stdio.h>

struct printer {
    FILE *out;
    bool is_json;
};

struct print_table {
    struct printer *printer;
    struct arena arena;
    const char **cells; /* row by row */
    uint32_t column_count, cell_count, capacity;
    bool is_block; /* two columns, no header */
    bool is_bare;  /* set after table_begin(): the header is for JSON only */
};

void table_begin(struct print_table *t, struct printer *p, uint32_t column_count,
                 const char *const *headers);
void block_begin(struct print_table *t, struct printer *p);
/* Adds the next cell; the text is copied. */
void table_cell(struct print_table *t, const char *fmt, ...) printf_(2, 3);
/* A row of a block. */
void block_row(struct print_table *t, const char *name, const char *fmt, ...) printf_(3, 4);
/* Prints and frees. Short last rows are filled up. */
void table_end(struct print_table *t);
void table_drop(struct print_table *t); /* frees only */
/* {"@name": "@value", "@name2": "..."}; @name may be NULL. */
void print_json_pair(struct printer *p, const char *name, const char *value, const char *name2,
                     const char *fmt, va_list args) printf_(5, 0);
/* "2026-11-22 15:04:05" in local time, or "N/A" for 0. */
const char *time_to_text(uint64_t wall_ns, char *buf, size_t size);
/* "1.5 GiB", "512 B". */
const char *bytes_to_text(uint64_t bytes, char *buf, size_t size);
