/* toml_number.c - booleans, integers, floats, dates and times: every value that is written without
 * quotes.
 *
 * Such a value is a word: the run of characters up to a blank, a separator or the end. It is cut
 * out first and then has to match one form completely.
 */
#include "config/toml_scan.h"

#include <errno.h>
#include <math.h>

enum { WORD_BYTES_MAX = 256 };

/* A cursor of its own over the word; NUL-terminated. */
struct word {
    const char *pos;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool skip_char(struct word *w, char c)
{
    if (*w->pos != c) return false;
    w->pos++;
    return true;
}

/* Exactly @count digits. */
static bool skip_number(struct word *w, int count, int *ret)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(*w->pos)) return false;
        value = value * 10 + (*w->pos++ - '0');
    }
    *ret = value;
    return true;
}

/* ---- dates and times ---- */

static int days_of_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

static bool skip_date(struct word *w)
{
    int year, month, day;
    return skip_number(w, 4, &year) && skip_char(w, '-') && skip_number(w, 2, &month) &&
           skip_char(w, '-') && skip_number(w, 2, &day) && month >= 1 && month <= 12 && day >= 1 &&
           day <= days_of_month(year, month);
}

/* A second of 60 is RFC 3339's leap second. */
static bool skip_time(struct word *w)
{
    int hour, minute, second;
    if (!skip_number(w, 2, &hour) || !skip_char(w, ':') || !skip_number(w, 2, &minute) ||
        !skip_char(w, ':') || !skip_number(w, 2, &second)) {
        return false;
    }
    if (hour > 23 || minute > 59 || second > 60) return false;
    if (!skip_char(w, '.')) return true;
    if (!is_digit(*w->pos)) return false;
    while (is_digit(*w->pos))
        w->pos++;
    return true;
}

static bool skip_offset(struct word *w)
{
    if (skip_char(w, 'Z') || skip_char(w, 'z')) return true;
    int hour, minute;
    return (skip_char(w, '+') || skip_char(w, '-')) && skip_number(w, 2, &hour) &&
           skip_char(w, ':') && skip_number(w, 2, &minute) && hour <= 23 && minute <= 59;
}

/* True when all of @text is a date, a time, or both. */
static bool parse_datetime(const char *text, enum toml_kind *ret)
{
    struct word w = { text };
    if (text[0] && text[1] && text[2] == ':') {
        *ret = TOML_LOCAL_TIME;
        return skip_time(&w) && !*w.pos;
    }
    if (!skip_date(&w)) return false;
    *ret = TOML_LOCAL_DATE;
    if (!*w.pos) return true;
    if (!skip_char(&w, 'T') && !skip_char(&w, 't') && !skip_char(&w, ' ')) return false;
    if (!skip_time(&w)) return false;
    *ret = TOML_LOCAL_DATETIME;
    if (!*w.pos) return true;
    *ret = TOML_OFFSET_DATETIME;
    return skip_offset(&w) && !*w.pos;
}

static bool looks_like_datetime(const char *text)
{
    int i = 0;
    while (is_digit(text[i]))
        i++;
    return (i == 4 && text[i] == '-') || (i == 2 && text[i] == ':');
}

/* ---- numbers ---- */

static bool is_digit_of(char c, int base)
{
    if (base <= 10) return c >= '0' && c < '0' + base;
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Digits with single underscores between them; they are copied without the underscores. */
static bool take_digits(struct word *w, int base, char *to, size_t *size)
{
    if (!is_digit_of(*w->pos, base)) return false;
    while (is_digit_of(*w->pos, base) || (*w->pos == '_' && is_digit_of(w->pos[1], base))) {
        if (*w->pos != '_') to[(*size)++] = *w->pos;
        w->pos++;
    }
    return true;
}

static int parse_integer(struct toml_scan *s, struct toml_place at, const char *digits, int base,
                         struct toml_value *ret)
{
    char *end;
    errno = 0;
    long long value = strtoll(digits, &end, base);
    if (errno == ERANGE) return toml_scan_fail_at(s, at, "the number does not fit into 64 bits");
    ret->kind = TOML_INTEGER;
    ret->integer = value;
    return 0;
}

static int parse_based(struct toml_scan *s, struct toml_place at, const char *text, int base,
                       struct toml_value *ret)
{
    char digits[WORD_BYTES_MAX + 1];
    size_t size = 0;
    struct word w = { text + 2 };
    if (!take_digits(&w, base, digits, &size) || *w.pos) {
        return toml_scan_fail_at(s, at, "'%s' is not a number of base %d", text, base);
    }
    digits[size] = '\0';
    return parse_integer(s, at, digits, base, ret);
}

/* sign? digits (. digits)? (e sign? digits)?, into @to without underscores. */
static bool take_decimal(const char *text, char *to, bool *ret_is_float)
{
    struct word w = { text };
    size_t size = 0;
    if (*w.pos == '-' || *w.pos == '+') to[size++] = *w.pos++;
    if (w.pos[0] == '0' && (is_digit(w.pos[1]) || w.pos[1] == '_')) return false;
    if (!take_digits(&w, 10, to, &size)) return false;
    *ret_is_float = *w.pos != '\0';
    if (skip_char(&w, '.')) {
        to[size++] = '.';
        if (!take_digits(&w, 10, to, &size)) return false;
    }
    if (skip_char(&w, 'e') || skip_char(&w, 'E')) {
        to[size++] = 'e';
        if (*w.pos == '-' || *w.pos == '+') to[size++] = *w.pos++;
        if (!take_digits(&w, 10, to, &size)) return false;
    }
    to[size] = '\0';
    return !*w.pos;
}

static int parse_number(struct toml_scan *s, struct toml_place at, const char *text,
                        struct toml_value *ret)
{
    if (text[0] == '0' && text[1] == 'x') return parse_based(s, at, text, 16, ret);
    if (text[0] == '0' && text[1] == 'o') return parse_based(s, at, text, 8, ret);
    if (text[0] == '0' && text[1] == 'b') return parse_based(s, at, text, 2, ret);
    char clean[WORD_BYTES_MAX + 1] = "";
    bool is_float = false;
    if (!take_decimal(text, clean, &is_float)) {
        return toml_scan_fail_at(s, at, "'%s' is not a value; text needs quotes", text);
    }
    if (!is_float) return parse_integer(s, at, clean, 10, ret);
    ret->kind = TOML_FLOAT;
    ret->real = strtod(clean, NULL);
    return 0;
}

/* inf and nan, with or without a sign. */
static bool parse_special_float(const char *text, double *ret)
{
    const char *name = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    double sign = text[0] == '-' ? -1.0 : 1.0;
    if (strcmp(name, "inf") == 0) {
        *ret = sign * HUGE_VAL;
        return true;
    }
    if (strcmp(name, "nan") != 0) return false;
    *ret = copysign((double)NAN, sign);
    return true;
}

/* ---- the word ---- */

static bool is_word_byte(int c)
{
    return c > ' ' && c != 0x7f && !strchr(",]}#=[{\"'", c);
}

/* The word at the cursor; a date, one blank and a time are one word. */
static int cut_word(struct toml_scan *s, char word[WORD_BYTES_MAX + 1])
{
    const uint8_t *p = s->pos;
    while (p < s->end && is_word_byte(*p))
        p++;
    if (p - s->pos == 10 && s->pos[4] == '-' && s->end - p >= 4 && p[0] == ' ' &&
        is_digit((char)p[1]) && is_digit((char)p[2]) && p[3] == ':') {
        for (p++; p < s->end && is_word_byte(*p);)
            p++;
    }
    size_t size = (size_t)(p - s->pos);
    if (size == 0) return toml_scan_fail(s, "a value is expected here");
    if (size > WORD_BYTES_MAX) return toml_scan_fail(s, "the value is too long");
    memcpy(word, s->pos, size);
    word[size] = '\0';
    s->pos = p;
    return 0;
}

int toml_scan_plain(struct toml_scan *s, struct toml_value *ret)
{
    char word[WORD_BYTES_MAX + 1] = "";
    struct toml_place at = toml_scan_place(s);
    int r = cut_word(s, word);
    if (r < 0) return r;
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        ret->kind = TOML_BOOLEAN;
        ret->boolean = word[0] == 't';
        return 0;
    }
    if (parse_special_float(word, &ret->real)) {
        ret->kind = TOML_FLOAT;
        return 0;
    }
    if (!looks_like_datetime(word)) return parse_number(s, at, word, ret);
    if (!parse_datetime(word, &ret->kind)) {
        return toml_scan_fail_at(s, at, "'%s' is not a date or time", word);
    }
    ret->text = arena_copy(s->arena, bytes_of_text(word));
    return 0;
}
