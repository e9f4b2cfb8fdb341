/* main_table.c - the roles and commands of this build. */
#include "main_table.h"

const struct role role_table[] = {
    { .name = NULL },
};

const struct command command_table[] = {
    { .name = NULL },
};
