/* arguments.c - words and arguments of a command line. */
#include "admin/arguments.h"

#include "base/check.h"
#include "base/units.h"
#include "config/settings.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

enum { WORD_COUNT_MAX = 65536 };

/* Where the piece that begins at @p ends: at ';', '#', or the end. NULL for an unbalanced quote. */
static const char *piece_end(const char *p)
{
    bool at_word_start = true;
    for (; *p && *p != ';'; p++) {
        if (*p == '#' && at_word_start) break;
        at_word_start = isspace((unsigned char)*p);
        if (*p == '\\') {
            if (!*++p) return NULL;
        } else if (*p == '\'' || *p == '"') {
            p = strchr(p + 1, *p);
            if (!p) return NULL;
        }
    }
    return p;
}

int words_split_pieces(struct arena *arena, const char *line, char ***ret_pieces,
                       uint32_t *ret_count, const char **ret_error)
{
    uint32_t count = 0, capacity = 1;
    for (const char *p = line; *p; p++)
        capacity += *p == ';';
    char **pieces = arena_array(arena, char *, capacity);
    for (const char *p = line;;) {
        const char *end = piece_end(p);
        if (!end) {
            *ret_error = arena_printf(arena, "unbalanced quote or backslash in: %s", p);
            return -ERR_WRONG_USAGE;
        }
        pieces[count++] = arena_text(arena, bytes_of(p, (size_t)(end - p)));
        if (*end != ';') break; /* what follows '#' is a comment */
        p = end + 1;
    }
    *ret_pieces = pieces;
    *ret_count = count;
    return 0;
}

static const char *word_copy(struct arena *arena, const char *p, char **ret_word)
{
    char *word = arena_alloc(arena, strlen(p) + 1);
    size_t size = 0;
    for (; *p && !isspace((unsigned char)*p); p++) {
        if (*p == '\\' && p[1]) {
            word[size++] = *++p;
        } else if (*p == '\'' || *p == '"') {
            const char *end = strchr(p + 1, *p);
            check(end != NULL); /* piece_end() has seen to it */
            memcpy(word + size, p + 1, (size_t)(end - p - 1));
            size += (size_t)(end - p - 1);
            p = end;
        } else {
            word[size++] = *p;
        }
    }
    word[size] = 0;
    *ret_word = word;
    return p;
}

int words_split(struct arena *arena, const char *piece, char ***ret_words, uint32_t *ret_count,
                const char **ret_error)
{
    uint32_t count = 0;
    char **words = arena_array(arena, char *, strlen(piece) / 2 + 2);
    for (const char *p = piece;;) {
        while (isspace((unsigned char)*p))
            p++;
        if (!*p) break;
        if (count == WORD_COUNT_MAX) {
            *ret_error = "too many words in one command";
            return -ERR_WRONG_USAGE;
        }
        p = word_copy(arena, p, &words[count++]);
    }
    *ret_words = words;
    *ret_count = count;
    return 0;
}

/* ---- values ---- */

static bool number_parse(const char *text, int base, uint64_t max, uint64_t *ret)
{
    char *end = NULL;
    errno = 0;
    if (!isdigit((unsigned char)*text)) return false;
    uint64_t v = strtoull(text, &end, base);
    if (errno || *end || v > max) return false;
    *ret = v;
    return true;
}

bool argument_number_parse(const char *text, uint64_t *ret)
{
    return number_parse(text, 0, UINT64_MAX, ret);
}

bool numbers_parse(struct arena *arena, const char *text, struct u32_list *ret)
{
    uint32_t capacity = 1;
    for (const char *p = text; *p; p++)
        capacity += *p == ',';
    *ret = (struct u32_list){ arena_array(arena, uint32_t, capacity), 0 };
    for (const char *p = text; *p;) {
        uint64_t number;
        size_t size = strcspn(p, ",");
        if (!number_parse(arena_text(arena, bytes_of(p, size)), 10, UINT32_MAX, &number))
            return false;
        ret->items[ret->count++] = (uint32_t)number;
        p += size;
        if (*p && !*++p) return false; /* ends with a comma */
    }
    return true;
}

static bool value_number(enum argument_kind kind, const char *text, uint64_t *ret)
{
    switch (kind) {
    case ARG_U32:
    case ARG_U32S: return number_parse(text, 0, UINT32_MAX, ret);
    case ARG_U64:
    case ARG_U64S: return number_parse(text, 0, UINT64_MAX, ret);
    case ARG_OCTAL: return number_parse(text, 8, 07777, ret);
    case ARG_SIZE: return size_parse(text, ret) >= 0;
    default: return true;
    }
}

static const char *kind_text(enum argument_kind kind)
{
    switch (kind) {
    case ARG_U32:
    case ARG_U32S: return "a number up to 4294967295";
    case ARG_U64:
    case ARG_U64S: return "a number";
    case ARG_OCTAL: return "an octal mode such as 0644";
    case ARG_SIZE: return "a size such as 1048576, 1MB or 64KB";
    default: return "text";
    }
}

static bool kind_is_list(enum argument_kind kind)
{
    return kind == ARG_PATHS || kind == ARG_TEXTS || kind == ARG_U32S || kind == ARG_U64S;
}

static int value_take(struct arena *arena, const struct argument_spec *spec,
                      struct argument_value *value, const char *text, const char **ret_error)
{
    uint64_t number = 0;
    if (!value_number(spec->kind, text, &number)) {
        *ret_error =
            arena_printf(arena, "%s: '%s' is not %s", spec->name, text, kind_text(spec->kind));
        return -ERR_WRONG_USAGE;
    }
    value->is_set = true;
    value->text = text;
    value->number = number;
    if (!kind_is_list(spec->kind)) return 0;
    const char **texts = arena_array(arena, const char *, value->count + 1);
    uint64_t *numbers = arena_array(arena, uint64_t, value->count + 1);
    if (value->count) memcpy(texts, value->texts, value->count * sizeof *texts);
    if (value->count) memcpy(numbers, value->numbers, value->count * sizeof *numbers);
    texts[value->count] = text;
    numbers[value->count++] = number;
    value->texts = texts;
    value->numbers = numbers;
    return 0;
}

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] && !isdigit((unsigned char)word[1]);
}

/* Whether @word is one of "-p,-r". */
static bool is_alias(const char *aliases, const char *word)
{
    size_t size = strlen(word);
    for (const char *p = aliases; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (!strncmp(p, word, size) && (!p[size] || p[size] == ',')) return true;
    }
    return false;
}

static int find_flag(struct arena *arena, const struct argument_spec *spec, const char *word,
                     const char **ret_error)
{
    const char *names[ARGUMENT_COUNT_MAX * 2];
    size_t count = 0;
    for (int i = 0; spec[i].name; i++) {
        if (!strcmp(spec[i].name, word) || is_alias(spec[i].alias, word)) return i;
        if (is_flag(spec[i].name)) names[count++] = spec[i].name;
        if (spec[i].alias && !strncmp(spec[i].alias, "--", 2)) names[count++] = spec[i].alias;
    }
    const char *near = nearest_name(word, names, count);
    *ret_error = near ? arena_printf(arena, "unknown option '%s'; did you mean '%s'?", word, near)
                      : arena_printf(arena, "unknown option '%s'", word);
    return -ERR_WRONG_USAGE;
}

static int next_positional(const struct argument_spec *spec, const struct arguments *a)
{
    for (int i = 0; spec[i].name; i++) {
        bool is_open = !a->values[i].is_set || kind_is_list(spec[i].kind);
        if (!is_flag(spec[i].name) && is_open) return i;
    }
    return -1;
}

static int check_required(struct arena *arena, const struct argument_spec *spec,
                          const struct arguments *a, const char **ret_error)
{
    for (int i = 0; spec[i].name; i++) {
        if (!spec[i].is_required || a->values[i].is_set) continue;
        *ret_error = arena_printf(arena, "%s is missing", spec[i].name);
        return -ERR_WRONG_USAGE;
    }
    return 0;
}

/* "--name=value" is "--name value". */
static const char *take_inline_value(struct arena *arena, const char **word)
{
    const char *equals = !strncmp(*word, "--", 2) ? strchr(*word, '=') : NULL;
    if (!equals) return NULL;
    *word = arena_text(arena, bytes_of(*word, (size_t)(equals - *word)));
    return equals + 1;
}

int arguments_parse(struct arena *arena, const struct argument_spec *spec, char *const *words,
                    uint32_t count, struct arguments *ret, const char **ret_error)
{
    *ret = (struct arguments){ .spec = spec };
    for (uint32_t w = 0; w < count; w++) {
        const char *word = words[w];
        int at;
        if (!is_flag(word)) {
            at = next_positional(spec, ret);
            if (at < 0) {
                *ret_error = arena_printf(arena, "unexpected argument '%s'", word);
                return -ERR_WRONG_USAGE;
            }
            int r = value_take(arena, &spec[at], &ret->values[at], word, ret_error);
            if (r < 0) return r;
            continue;
        }
        const char *value = take_inline_value(arena, &word);
        at = find_flag(arena, spec, word, ret_error);
        if (at < 0) return at;
        if (spec[at].kind == ARG_FLAG) {
            ret->values[at].is_set = true;
            continue;
        }
        if (!value && w + 1 < count) value = words[++w];
        if (!value) {
            *ret_error =
                arena_printf(arena, "%s needs %s", spec[at].name, kind_text(spec[at].kind));
            return -ERR_WRONG_USAGE;
        }
        int r = value_take(arena, &spec[at], &ret->values[at], value, ret_error);
        while (r >= 0 && kind_is_list(spec[at].kind) && w + 1 < count && !is_flag(words[w + 1]))
            r = value_take(arena, &spec[at], &ret->values[at], words[++w], ret_error);
        if (r < 0) return r;
    }
    return check_required(arena, spec, ret, ret_error);
}

const struct argument_spec *arguments_next(const struct argument_spec *spec, char *const *words,
                                           uint32_t count)
{
    struct arguments seen = { .spec = spec };
    int open = -1; /* the option whose value comes, or may come, next */
    for (uint32_t w = 0; w < count; w++) {
        int at = -1;
        if (is_flag(words[w])) {
            for (int i = 0; spec[i].name; i++)
                if (!strcmp(spec[i].name, words[w]) || is_alias(spec[i].alias, words[w])) at = i;
            open = at >= 0 && spec[at].kind != ARG_FLAG ? at : -1;
        } else if (open >= 0) {
            open = kind_is_list(spec[open].kind) ? open : -1;
        } else {
            at = next_positional(spec, &seen);
        }
        if (at >= 0) seen.values[at].is_set = true;
    }
    int next = open >= 0 ? open : next_positional(spec, &seen);
    return next >= 0 ? &spec[next] : NULL;
}

const struct argument_value *argument(const struct arguments *a, const char *name)
{
    for (int i = 0; a->spec[i].name; i++)
        if (!strcmp(a->spec[i].name, name)) return &a->values[i];
    check(!"the specification has this argument");
    return NULL;
}

bool argument_flag(const struct arguments *a, const char *name)
{
    return argument(a, name)->is_set;
}

const char *argument_text(const struct arguments *a, const char *name, const char *fallback)
{
    const struct argument_value *v = argument(a, name);
    return v->is_set ? v->text : fallback;
}

uint64_t argument_number(const struct arguments *a, const char *name, uint64_t fallback)
{
    const struct argument_value *v = argument(a, name);
    return v->is_set ? v->number : fallback;
}

/* "-p,-r" as "-p/-r/". */
static void print_aliases(FILE *out, const char *aliases)
{
    for (const char *p = aliases ?: ""; *p; p++)
        fputc(*p == ',' ? '/' : *p, out);
    if (aliases) fputc('/', out);
}

char *arguments_usage(struct arena *arena, const struct argument_spec *spec)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out != NULL);
    for (int i = 0; spec[i].name; i++) {
        bool flag = is_flag(spec[i].name), list = kind_is_list(spec[i].kind);
        const char *value = spec[i].kind == ARG_FLAG || !flag ? "" : list ? " X..." : " X";
        fprintf(out, "%s%s", i ? " " : "", spec[i].is_required ? "" : "[");
        print_aliases(out, spec[i].alias);
        fprintf(out, "%s%s%s%s", spec[i].name, value, !flag && list ? "..." : "",
                spec[i].is_required ? "" : "]");
    }
    fclose(out);
    char *copy = arena_text(arena, bytes_of(text, size));
    free(text);
    return copy;
}
