/* main_table.h - everything that the first argument of c3fs may be. */
#pragma once
#include "main_role.h"

struct command {
    const char *name;
    const char *program;                      /* as argv[0]; NULL: none */
    const char *help;                         /* one line */
    int (*main)(int argc, char *const *argv); /* argv[0] is the command; the exit status */
};

/* Both end with a row without a name. */
extern const struct role role_table[];
extern const struct command command_table[];
