/* toml_scan.c - the cursor, keys and strings; numbers and times are in toml_number.c. */
#include "config/toml_scan.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- UTF-8 ---- */

/* Length of the valid sequence at @p, or 0. */
static size_t utf8_length(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    if (p[0] < 0x80) return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80) return 0;
        if (p[0] == 0xe0 && p[1] < 0xa0) return 0; /* overlong */
        if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogate */
        return 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80) {
            return 0;
        }
        if (p[0] == 0xf0 && p[1] < 0x90) return 0; /* overlong */
        if (p[0] == 0xf4 && p[1] > 0x8f) return 0; /* beyond U+10FFFF */
        return 4;
    }
    return 0;
}

static size_t utf8_put(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* ---- the cursor ---- */

struct toml_place toml_scan_place(struct toml_scan *s)
{
    for (; s->column_pos < s->pos; s->column_pos++) {
        if ((*s->column_pos & 0xc0) != 0x80) s->column++;
    }
    return (struct toml_place){ s->line, s->column };
}

static void begin_line(struct toml_scan *s)
{
    s->line++;
    s->column = 1;
    s->column_pos = s->pos;
}

int toml_scan_fail_at(struct toml_scan *s, struct toml_place at, const char *fmt, ...)
{
    if (s->error) return -ERR_CONFIG_PARSE_ERROR;
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    s->error = arena_printf(s->arena, "line %u, column %u: %s", at.line, at.column, text);
    return -ERR_CONFIG_PARSE_ERROR;
}

int toml_scan_fail(struct toml_scan *s, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return toml_scan_fail_at(s, toml_scan_place(s), "%s", text);
}

int toml_scan_init(struct toml_scan *s, struct arena *arena, struct bytes text)
{
    *s = (struct toml_scan){
        .arena = arena, .pos = text.base, .end = text.base + text.size, .line = 1, .column = 1
    };
    s->column_pos = s->pos;
    if (text.size > TOML_TEXT_BYTES_MAX) {
        return toml_scan_fail(s, "the text is longer than %d bytes", TOML_TEXT_BYTES_MAX);
    }
    const uint8_t *begin = s->pos;
    while (s->pos < s->end) {
        size_t n = utf8_length(s->pos, s->end);
        if (n == 0) return toml_scan_fail(s, "byte 0x%02x is not UTF-8", s->pos[0]);
        s->pos += n;
        if (s->pos[-1] == '\n') begin_line(s);
    }
    s->pos = bytes_has_prefix(text, BYTES_LITERAL("\xef\xbb\xbf")) ? begin + 3 : begin;
    s->line = 0;
    begin_line(s);
    return 0;
}

int toml_scan_peek(const struct toml_scan *s)
{
    return s->pos < s->end ? *s->pos : -1;
}

bool toml_scan_skip_byte(struct toml_scan *s, char c)
{
    if (toml_scan_peek(s) != c) return false;
    s->pos++;
    return true;
}

void toml_scan_skip_blank(struct toml_scan *s)
{
    while (toml_scan_peek(s) == ' ' || toml_scan_peek(s) == '\t')
        s->pos++;
}

static bool at_newline(const struct toml_scan *s)
{
    int c = toml_scan_peek(s);
    return c == '\n' || (c == '\r' && s->end - s->pos >= 2 && s->pos[1] == '\n');
}

static bool skip_newline(struct toml_scan *s)
{
    if (!at_newline(s)) return false;
    s->pos += *s->pos == '\r' ? 2 : 1;
    begin_line(s);
    return true;
}

static bool is_control(int c)
{
    return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

static int skip_comment(struct toml_scan *s)
{
    if (toml_scan_peek(s) != '#') return 0;
    while (s->pos < s->end && !at_newline(s)) {
        if (is_control(*s->pos)) {
            return toml_scan_fail(s, "control character 0x%02x in a comment", *s->pos);
        }
        s->pos++;
    }
    return 0;
}

int toml_scan_skip_lines(struct toml_scan *s)
{
    do {
        toml_scan_skip_blank(s);
        int r = skip_comment(s);
        if (r < 0) return r;
    } while (skip_newline(s));
    return 0;
}

int toml_scan_end_of_line(struct toml_scan *s)
{
    toml_scan_skip_blank(s);
    int r = skip_comment(s);
    if (r < 0) return r;
    if (s->pos == s->end || skip_newline(s)) return 0;
    return toml_scan_fail(s, "a new line is expected here");
}

/* ---- strings ---- */

static int hex_value(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* After the backslash of \u or \U; the cursor is on the letter. */
static int scan_unicode_escape(struct toml_scan *s, uint8_t *to, size_t *size)
{
    struct toml_place at = toml_scan_place(s);
    int digits = *s->pos == 'u' ? 4 : 8;
    uint32_t c = 0;
    s->pos++;
    for (int i = 0; i < digits; i++) {
        int v = hex_value(toml_scan_peek(s));
        if (v < 0) return toml_scan_fail_at(s, at, "a unicode escape needs %d hex digits", digits);
        c = c << 4 | (uint32_t)v;
        s->pos++;
    }
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return toml_scan_fail_at(s, at, "U+%04X is not a character", c);
    }
    *size += utf8_put(to + *size, c);
    return 0;
}

/* After the backslash. */
static int scan_escape(struct toml_scan *s, uint8_t *to, size_t *size)
{
    static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    int c = toml_scan_peek(s);
    if (c == 'u' || c == 'U') return scan_unicode_escape(s, to, size);
    const char *name = c > 0 ? strchr(names, c) : NULL;
    if (!name) return toml_scan_fail(s, "unknown escape sequence in a string");
    to[(*size)++] = (uint8_t)values[name - names];
    s->pos++;
    return 0;
}

/* Of a multi-line string, after a backslash: true when only blanks stand before the end of the
 * line, and everything up to the next other character was skipped. */
static bool skip_line_ending_backslash(struct toml_scan *s)
{
    const uint8_t *at = s->pos;
    toml_scan_skip_blank(s);
    if (!at_newline(s)) {
        s->pos = at;
        return false;
    }
    while (skip_newline(s))
        toml_scan_skip_blank(s);
    return true;
}

static bool at_three(const struct toml_scan *s, uint8_t quote)
{
    return s->end - s->pos >= 3 && s->pos[0] == quote && s->pos[1] == quote && s->pos[2] == quote;
}

/* Between the quotes. Escapes never grow, so that the rest of the text bounds the content. */
static int scan_string_line(struct toml_scan *s, uint8_t quote, uint8_t *to, size_t *size)
{
    while (!toml_scan_skip_byte(s, (char)quote)) {
        int c = toml_scan_peek(s);
        if (c < 0 || at_newline(s)) return toml_scan_fail(s, "the string has no closing %c", quote);
        if (is_control(c)) return toml_scan_fail(s, "control character 0x%02x in a string", c);
        s->pos++;
        if (c == '\\' && quote == '"') {
            int r = scan_escape(s, to, size);
            if (r < 0) return r;
        } else {
            to[(*size)++] = (uint8_t)c;
        }
    }
    return 0;
}

static int scan_string_lines(struct toml_scan *s, uint8_t quote, uint8_t *to, size_t *size)
{
    (void)skip_newline(s);
    while (!at_three(s, quote)) {
        int c = toml_scan_peek(s);
        if (c < 0)
            return toml_scan_fail(s, "the string has no closing %c%c%c", quote, quote, quote);
        if (skip_newline(s)) {
            to[(*size)++] = '\n';
            continue;
        }
        if (is_control(c)) return toml_scan_fail(s, "control character 0x%02x in a string", c);
        s->pos++;
        if (c != '\\' || quote != '"') {
            to[(*size)++] = (uint8_t)c;
        } else if (!skip_line_ending_backslash(s)) {
            int r = scan_escape(s, to, size);
            if (r < 0) return r;
        }
    }
    s->pos += 3;
    for (int i = 0; i < 2 && toml_scan_skip_byte(s, (char)quote); i++)
        to[(*size)++] = quote;
    return 0;
}

/* An upper bound of the content of the string that begins here: where the next line begins that
 * could not belong to it does not matter, its closing quotes do. */
static size_t string_size_max(const struct toml_scan *s, uint8_t quote, bool many_lines)
{
    const uint8_t *p = s->pos;
    for (; p < s->end; p++) {
        if (*p == '\\' && quote == '"') {
            p++;
        } else if (*p == '\n' && !many_lines) {
            break;
        } else if (*p == quote &&
                   (!many_lines || (s->end - p >= 3 && p[1] == quote && p[2] == quote))) {
            break;
        }
    }
    return (size_t)(MIN_OF(p + 2, s->end) - s->pos) + 1; /* two quotes may belong to the content */
}

static int scan_string(struct toml_scan *s, bool may_have_lines, struct bytes *ret)
{
    uint8_t quote = *s->pos;
    bool many_lines = at_three(s, quote);
    if (many_lines && !may_have_lines) return toml_scan_fail(s, "a key must be on one line");
    s->pos += many_lines ? 3 : 1;
    size_t size_max = string_size_max(s, quote, many_lines), size = 0;
    uint8_t *to = arena_alloc(s->arena, size_max + 1);
    int r =
        many_lines ? scan_string_lines(s, quote, to, &size) : scan_string_line(s, quote, to, &size);
    if (r < 0) return r;
    to[size] = '\0';
    *ret = bytes_of(to, size);
    return 0;
}

/* ---- keys and scalars ---- */

static bool is_bare(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

int toml_scan_key_part(struct toml_scan *s, struct bytes *ret)
{
    int c = toml_scan_peek(s);
    if (c == '"' || c == '\'') return scan_string(s, false, ret);
    const uint8_t *begin = s->pos;
    while (is_bare(toml_scan_peek(s)))
        s->pos++;
    if (s->pos == begin) return toml_scan_fail(s, "a key is expected here");
    *ret = arena_copy(s->arena, bytes_of(begin, (size_t)(s->pos - begin)));
    return 0;
}

int toml_scan_scalar(struct toml_scan *s, struct toml_value *ret)
{
    struct toml_place at = toml_scan_place(s);
    *ret = (struct toml_value){ .line = at.line, .column = at.column };
    int c = toml_scan_peek(s);
    if (c != '"' && c != '\'') return toml_scan_plain(s, ret);
    ret->kind = TOML_STRING;
    return scan_string(s, true, &ret->text);
}
