/* toml_scan.h - the tokens of TOML: a cursor over the text that reads keys, strings, numbers and
 * times.
 *
 * Private to src/config. The cursor only moves forward; the first failure is kept as one line of
 * text, and every function then returns -ERR_CONFIG_PARSE_ERROR.
 */
#pragma once
#include "config/toml.h"

struct toml_scan {
    struct arena *arena;
    const uint8_t *pos, *end;
    uint32_t line, column;     /* of @column_pos */
    const uint8_t *column_pos; /* up to where columns are counted; never behind @pos on this line */
    const char *error;
};

struct toml_place {
    uint32_t line, column;
};

/* Checks that all of @text is UTF-8 and skips a byte order mark. */
int toml_scan_init(struct toml_scan *s, struct arena *arena, struct bytes text) must_check;
/* Line and column of the cursor; columns count characters. */
struct toml_place toml_scan_place(struct toml_scan *s);
/* "line L, column C: ..." of the cursor. */
int toml_scan_fail(struct toml_scan *s, const char *fmt, ...) printf_(2, 3);
int toml_scan_fail_at(struct toml_scan *s, struct toml_place at, const char *fmt, ...)
    printf_(3, 4);

/* The byte at the cursor, or -1 at the end. */
int toml_scan_peek(const struct toml_scan *s);
bool toml_scan_skip_byte(struct toml_scan *s, char c); /* true when it was there */
void toml_scan_skip_blank(struct toml_scan *s);        /* spaces and tabs */
/* Blanks, comments and newlines. */
int toml_scan_skip_lines(struct toml_scan *s) must_check;
/* What may stand behind a statement: blanks, a comment, and then a newline or the end. */
int toml_scan_end_of_line(struct toml_scan *s) must_check;

/* One part of a key: bare or quoted. */
int toml_scan_key_part(struct toml_scan *s, struct bytes *ret) must_check;
/* A string, boolean, number, date or time; sets everything of @ret. */
int toml_scan_scalar(struct toml_scan *s, struct toml_value *ret) must_check;

/* For toml_scan_scalar(), in toml_number.c: anything that is not a string. */
int toml_scan_plain(struct toml_scan *s, struct toml_value *ret) must_check;
