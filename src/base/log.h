/* log.h - one line per event, to a sink that belongs to a node; libraries return errors, roles log
 * them.
 *
 *   2026-11-22T15:04:05.123456 WARN  storage-1001 [fiber name] chunk 0-1: cannot stage:
 * 4011(ChunkWriteFailed)
 *
 * A struct log hangs off a node. It is not thread-safe beyond one write() a line (lines never
 * interleave).
 */
#pragma once
#include "base/error.h"
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_MAX };

struct log {
    enum log_level level;             /* lines below it are dropped */
    const char *who;                  /* node name, borrowed */
    uint64_t (*wall_ns)(void *clock); /* wall clock for the time column; NULL leaves it out */
    void *clock;
    const char *(*context)(
        void); /* name of the running fiber or request; NULL or "" leaves it out */
    void (*sink)(void *sink_arg, enum log_level level, const char *line, size_t size);
    void *sink_arg; /* the default sink (NULL) writes to stderr */
};

/* Logs and returns @r, so that `return log_error(...)` reads well; r < 0 appends ":
 * <code>(<name>)". */
int log_at(const struct log *log, enum log_level level, int r, const char *fmt, ...) printf_(4, 5);
/* -1 when @text names no level. */
int log_level_parse(const char *text);
const char *log_level_name(enum log_level level);

/* clang-format off */
#define log_debug(log, ...)                                                                        \
    ((log)->level <= LOG_DEBUG ? log_at(log, LOG_DEBUG, 0, __VA_ARGS__) : 0)
/* clang-format on */
#define log_info(log, ...)     log_at(log, LOG_INFO, 0, __VA_ARGS__)
#define log_warn(log, r, ...)  log_at(log, LOG_WARN, r, __VA_ARGS__)
#define log_error(log, r, ...) log_at(log, LOG_ERROR, r, __VA_ARGS__)
