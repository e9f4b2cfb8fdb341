/* error.c - lookups in the status table. */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct row {
    int number;
    int eno;
    enum error_action action;
    const char *name;
    const char *sentence;
};

#define ROW(sym, number, name, eno, action, text) { number, eno, ACTION_##action, name, text },
static const struct row rows[] = { ERROR_TABLE(ROW) };
#undef ROW

enum { ERRNO_MAX = 4095 };

/* The table is sorted by number; error_test.c holds it to that. */
static const struct row *row_find(int number)
{
    size_t low = 0, high = ARRAY_SIZE(rows);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (rows[mid].number == number) return &rows[mid];
        if (rows[mid].number < number) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

static bool is_system(int number)
{
    return number > ERR_SYSTEM_BASE && number <= ERR_SYSTEM_BASE + ERRNO_MAX;
}

int error_from_errno(int eno)
{
    switch (eno) {
    case 0: return 0;
    case ECANCELED: return -ERR_CANCELED;
    case ETIMEDOUT: return -ERR_TIMEOUT;
    case ENOMEM: return -ERR_NO_MEMORY;
    default: return eno > 0 && eno <= ERRNO_MAX ? -(ERR_SYSTEM_BASE + eno) : -ERR_UNKNOWN;
    }
}

int error_to_errno(int r)
{
    if (r >= 0) return 0;
    if (is_system(-r)) return -r - ERR_SYSTEM_BASE;
    const struct row *row = row_find(-r);
    return row ? row->eno : EIO;
}

enum error_action error_action(int r)
{
    const struct row *row = row_find(-r);
    return row ? row->action : ACTION_FAIL;
}

const char *error_name(int r)
{
    if (r >= 0) return "OK";
    if (is_system(-r)) return strerrorname_np(-r - ERR_SYSTEM_BASE) ?: "SystemError";
    const struct row *row = row_find(-r);
    return row ? row->name : "Unknown";
}

const char *error_sentence(int r)
{
    if (r >= 0) return "success";
    if (is_system(-r)) return strerrordesc_np(-r - ERR_SYSTEM_BASE) ?: "unknown system error";
    const struct row *row = row_find(-r);
    return row ? row->sentence : "unknown status";
}

const char *error_to_text(int r, char *buf, size_t size)
{
    snprintf(buf, size, "%d(%s)", r < 0 ? -r : 0, error_name(r));
    return buf;
}

bool error_number_is_known(int number)
{
    return number == 0 || is_system(number) || row_find(number);
}
