/* arguments.h - one command line: words, pieces between ';', arguments against a specification.
 *
 * Quotes '…' and "…" are literal; outside of them \x is x. '#' begins a comment where a word could
 * begin. What is malformed is one line that names it, and the nearest valid name.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "wire/wire.h"

enum argument_kind {
    ARG_FLAG,
    ARG_TEXT,
    ARG_U32,
    ARG_U64,
    ARG_SIZE,
    ARG_OCTAL,
    ARG_PATH, /* of the file system */
    ARG_PATHS,
    ARG_TEXTS,
    ARG_U32S,
    ARG_U64S
};
enum { ARGUMENT_COUNT_MAX = 24 };

/* A positional argument has a name without dashes; PATHS, TEXTS, U32S and U64S take all words up to
 * the next flag. */
struct argument_spec {
    const char *name;  /* "path", "--recursive" */
    const char *alias; /* "-r", "-p,-r", NULL */
    enum argument_kind kind;
    bool is_required;
    const char *help;
};

struct argument_value {
    bool is_set;
    const char *text;
    uint64_t number;
    const char **texts;
    uint64_t *numbers;
    uint32_t count; /* of texts or numbers */
};

struct arguments {
    const struct argument_spec *spec; /* ends with a row without a name */
    struct argument_value values[ARGUMENT_COUNT_MAX];
};

/* The pieces of @line between unquoted ';' outside quotes, and the words of one piece.
 * -ERR_WRONG_USAGE with *ret_error. */
int words_split_pieces(struct arena *arena, const char *line, char ***ret_pieces,
                       uint32_t *ret_count, const char **ret_error) must_check;
int words_split(struct arena *arena, const char *piece, char ***ret_words, uint32_t *ret_count,
                const char **ret_error) must_check;
/* @words without the command's name. */
int arguments_parse(struct arena *arena, const struct argument_spec *spec, char *const *words,
                    uint32_t count, struct arguments *ret, const char **ret_error) must_check;
/* What a word behind @words would be a value of: a row, or NULL for nothing. */
const struct argument_spec *arguments_next(const struct argument_spec *spec, char *const *words,
                                           uint32_t count);
/* By name; a name that the specification lacks is a bug. */
const struct argument_value *argument(const struct arguments *a, const char *name);
bool argument_flag(const struct arguments *a, const char *name);
const char *argument_text(const struct arguments *a, const char *name, const char *fallback);
uint64_t argument_number(const struct arguments *a, const char *name, uint64_t fallback);
/* "path [-r/--recursive] [--limit N]". */
char *arguments_usage(struct arena *arena, const struct argument_spec *spec);
/* A number, 0x... for hexadecimal; "1,2,3" ("" is an empty list). False when it is none. */
bool argument_number_parse(const char *text, uint64_t *ret);
bool numbers_parse(struct arena *arena, const char *text, struct u32_list *ret);
