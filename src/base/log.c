/* log.c - makes a line and hands it to the sink in one piece; what does not fit LINE_MAX_BYTES is
 * cut. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static const char *const level_names[LOG_LEVEL_MAX] = { "DEBUG", "INFO", "WARN", "ERROR" };

struct line {
    char text[LINE_MAX_BYTES];
    size_t size; /* never more than LINE_MAX_BYTES - 1: room for the newline */
};

static void printf_(2, 0) line_vprintf(struct line *line, const char *fmt, va_list args)
{
    size_t room = sizeof(line->text) - line->size;
    int n = vsnprintf(line->text + line->size, room, fmt, args);
    if (n > 0) line->size += MIN_OF((size_t)n, room - 1);
}

static void printf_(2, 3) line_printf(struct line *line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line_vprintf(line, fmt, args);
    va_end(args);
}

static void put_time(struct line *line, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm)) return;
    line_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%06u ", tm.tm_year + 1900, tm.tm_mon + 1,
                tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ns / 1000 % 1000000));
}

static void write_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, text, size);
        if (n <= 0) return;
        text += n;
        size -= (size_t)n;
    }
}

int log_at(const struct log *log, enum log_level level, int r, const char *fmt, ...)
{
    if (level < log->level) return r;
    struct line line;
    line.size = 0;
    if (log->wall_ns) put_time(&line, log->wall_ns(log->clock));
    line_printf(&line, "%-5s ", level_names[level]);
    if (log->who) line_printf(&line, "%s ", log->who);
    const char *context = log->context ? log->context() : NULL;
    if (context && *context) line_printf(&line, "[%s] ", context);

    va_list args;
    va_start(args, fmt);
    line_vprintf(&line, fmt, args);
    va_end(args);
    char error[64];
    if (r < 0) line_printf(&line, ": %s", error_to_text(r, error, sizeof(error)));

    /* Names that users chose must not forge lines or drive a terminal. */
    for (size_t i = 0; i < line.size; i++) {
        unsigned char c = (unsigned char)line.text[i];
        if (c < 0x20 || c == 0x7f) line.text[i] = '?';
    }
    line.text[line.size++] = '\n';
    if (log->sink) {
        log->sink(log->sink_arg, level, line.text, line.size);
    } else {
        write_all(line.text, line.size);
    }
    return r;
}

int log_level_parse(const char *text)
{
    for (int i = 0; i < LOG_LEVEL_MAX; i++) {
        if (strcasecmp(text, level_names[i]) == 0) return i;
    }
    return -1;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}
