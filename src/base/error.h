/* error.h - one integer for every outcome: 0 or more is success, a negative status code is an
 * error.
 *
 * Codes are -ERR_<SYMBOL> of error_table.h, or -(ERR_SYSTEM_BASE + errno) for what the operating
 * system said. Pass up what you do not understand, and never match a code that your callee does not
 * document.
 */
#pragma once
#include "base/cleanup.h"
#include "base/error_table.h"
#include <stdbool.h>
#include <stddef.h>

#define ERROR_ENUM(sym, number, name, eno, action, text) ERR_##sym = number,
enum error { ERR_OK = 0, ERROR_TABLE(ERROR_ENUM) ERR_SYSTEM_BASE = 20000 };
#undef ERROR_ENUM

enum error_action { ACTION_FAIL, ACTION_RETRY, ACTION_FAILOVER, ACTION_ROUTING };

/* The negative code for an errno value; the common ones keep their own code in both directions. */
int error_from_errno(int eno);
/* A positive errno for the kernel or a libc-like caller; EIO for what has none. */
int error_to_errno(int r);
/* What the caller of a failed remote operation does next. */
enum error_action error_action(int r);
/* "NotFound"; for a system error its strerror text. Never NULL. */
const char *error_name(int r);
/* The sentence of the table; for a system error its strerror text. */
const char *error_sentence(int r);
/* "3000(NotFound)", as operators of 3FS know it. @size of 64 suffices. Returns @buf. */
const char *error_to_text(int r, char *buf, size_t size);
/* True when @number is a code that this release knows; a decoder maps others to ERR_UNKNOWN. */
bool error_number_is_known(int number);
