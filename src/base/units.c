/* units.c - texts of durations and sizes. */
#include "base/units.h"
#include "base/error.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first. */
static const struct unit duration_units[] = {
    { "day", 86400 * SEC }, { "h", 3600 * SEC }, { "min", 60 * SEC }, { "s", SEC },
    { "ms", MSEC },         { "us", USEC },      { "ns", 1 },
};

static const struct unit size_units[] = {
    { "PB", 1024 * TIB },
    { "TB", TIB },
    { "GB", GIB },
    { "MB", MIB },
    { "KB", KIB },
    { "PiB", 1024 * TIB },
    { "TiB", TIB },
    { "GiB", GIB },
    { "MiB", MIB },
    { "KiB", KIB },
    { "P", 1000000000000000 },
    { "T", 1000000000000 },
    { "G", 1000000000 },
    { "M", 1000000 },
    { "K", 1000 },
    { "B", 1 },
    { "", 1 },
};

/* Passes over a decimal number; false without one or when it is too large. */
static bool take_number(const char **text, uint64_t *ret)
{
    const char *p = *text;
    uint64_t value = 0;
    if (!isdigit((unsigned char)*p)) return false;
    for (; isdigit((unsigned char)*p); p++) {
        if (__builtin_mul_overflow(value, 10u, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) return false;
    }
    *text = p;
    *ret = value;
    return true;
}

static void skip_spaces(const char **text)
{
    *text += strspn(*text, " ");
}

int duration_parse(const char *text, uint64_t *ret_ns)
{
    uint64_t total = 0, value;
    size_t unit_next = 0; /* units come largest first, each at most once */

    skip_spaces(&text);
    if (!strcmp(text, "0")) {
        *ret_ns = 0;
        return 0;
    }
    do {
        if (!take_number(&text, &value)) return -ERR_INVALID_ARG;
        skip_spaces(&text);
        size_t size = strcspn(text, " 0123456789");
        size_t i = unit_next;
        while (i < ARRAY_SIZE(duration_units) &&
               (strlen(duration_units[i].name) != size ||
                strncmp(duration_units[i].name, text, size) != 0)) {
            i++;
        }
        if (i == ARRAY_SIZE(duration_units)) return -ERR_INVALID_ARG;
        if (__builtin_mul_overflow(value, duration_units[i].factor, &value))
            return -ERR_INVALID_ARG;
        if (__builtin_add_overflow(total, value, &total)) return -ERR_INVALID_ARG;
        text += size;
        unit_next = i + 1;
        skip_spaces(&text);
    } while (*text);
    if (total == TIME_NEVER) return -ERR_INVALID_ARG;
    *ret_ns = total;
    return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
    uint64_t value;
    skip_spaces(&text);
    if (!take_number(&text, &value)) return -ERR_INVALID_ARG;
    skip_spaces(&text);
    for (size_t i = 0; i < ARRAY_SIZE(size_units); i++) {
        size_t size = strlen(size_units[i].name);
        if (strncasecmp(text, size_units[i].name, size) != 0 ||
            text[size + strspn(text + size, " ")])
            continue;
        if (__builtin_mul_overflow(value, size_units[i].factor, &value)) return -ERR_INVALID_ARG;
        *ret_bytes = value;
        return 0;
    }
    return -ERR_INVALID_ARG;
}

const char *duration_to_text(uint64_t ns, char *buf, size_t size)
{
    size_t used = 0;
    snprintf(buf, size, "0s");
    for (size_t i = 0; i < ARRAY_SIZE(duration_units) && used < size; i++) {
        uint64_t count = ns / duration_units[i].factor;
        ns %= duration_units[i].factor;
        if (count == 0) continue;
        int n = snprintf(buf + used, size - used, "%s%" PRIu64 "%s", used ? " " : "", count,
                         duration_units[i].name);
        used += (size_t)n;
    }
    return buf;
}

const char *size_to_text(uint64_t bytes, char *buf, size_t size)
{
    size_t i = 0;
    while (size_units[i].factor > 1 &&
           (bytes == 0 || size_units[i].factor % 1024 || bytes % size_units[i].factor)) {
        i++;
    }
    snprintf(buf, size, "%" PRIu64 "%s", bytes / size_units[i].factor, size_units[i].name);
    return buf;
}
