/* toml.h - TOML 1.0 documents, parsed into a tree that keeps line and column of everything.
 *
 * Debian packages no TOML parser in C; this one is small, and is tested against tables of valid and
 * invalid documents over the whole grammar. Strings are UTF-8, checked; \r\n in a multi-line string
 * becomes \n. Limits: TOML_* below; a document beyond one is refused with a line that says so.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include <stdint.h>

enum {
    TOML_TEXT_BYTES_MAX = 1 << 20,
    TOML_DEPTH_MAX = 64,       /* keys and array elements on the way from the root to a value */
    TOML_TABLE_KEYS_MAX = 4096 /* of one table */
};

enum toml_kind {
    TOML_STRING,
    TOML_INTEGER,
    TOML_FLOAT,
    TOML_BOOLEAN,
    TOML_OFFSET_DATETIME,
    TOML_LOCAL_DATETIME,
    TOML_LOCAL_DATE,
    TOML_LOCAL_TIME,
    TOML_ARRAY,
    TOML_TABLE,
    TOML_KIND_MAX
};

struct toml_value {
    enum toml_kind kind;
    uint32_t line, column; /* of the value; 1-based */
    struct bytes text;     /* STRING: its content; date-times: as written (validated) */
    int64_t integer;
    double real;
    bool boolean;
    struct toml_item *items; /* ARRAY and TABLE, in document order */
    uint32_t item_count;
    uint8_t origin; /* of ARRAY and TABLE: the parser's own, what may still be added to it */
};
struct toml_item {
    struct bytes key;      /* empty for array elements */
    uint32_t line, column; /* of the key */
    struct toml_value value;
};

/* All memory is @arena's. On failure *ret_error is one line, "line 3, column 7: …" (arena), and the
 * result is -ERR_CONFIG_PARSE_ERROR. @ret is the root table. */
int toml_parse(struct arena *arena, struct bytes text, struct toml_value *ret,
               const char **ret_error) must_check;
/* NULL when absent. */
const struct toml_value *toml_find(const struct toml_value *table, const char *key);
/* "a.b.c" through nested tables; NULL when absent. */
const struct toml_value *toml_find_path(const struct toml_value *root, const char *path);
const char *toml_kind_name(enum toml_kind kind);
/* Writes a value back as TOML text (strings escaped). A table is written as a document of dotted
 * keys, with tables inside arrays written inline, so that parsing it gives an equal tree again. */
char *toml_to_text(struct arena *arena, const struct toml_value *value);
