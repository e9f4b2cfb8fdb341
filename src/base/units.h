/* units.h - sizes and times in one unit each: bytes and nanoseconds, u64 everywhere.
 *
 * Text forms: "5s", "1min 30s", "250ms"; "4KB" is 1024-based as users of 3FS write it, "4K" is
 * 1000-based.
 */
#pragma once
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

#define USEC 1000ull
#define MSEC (1000ull * USEC)
#define SEC  (1000ull * MSEC)
#define KIB  1024ull
#define MIB  (1024ull * KIB)
#define GIB  (1024ull * MIB)
#define TIB  (1024ull * GIB)

#define TIME_NEVER UINT64_MAX

/* 0, or -ERR_INVALID_ARG when @text is not of the form; @ret_* is untouched then. */
int duration_parse(const char *text, uint64_t *ret_ns) must_check;
int size_parse(const char *text, uint64_t *ret_bytes) must_check;
/* Write the shortest exact text, e.g. "1min 30s", "64KB"; @size of 64 always suffices. Return @buf.
 */
const char *duration_to_text(uint64_t ns, char *buf, size_t size);
const char *size_to_text(uint64_t bytes, char *buf, size_t size);
