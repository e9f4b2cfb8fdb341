/* main_table.c - the roles and commands of this build. */
#include "main_table.h"

#include "main_run.h"
#include "supervisor/supervisor.h"

const struct role role_table[] = {
    { .name = NULL },
};

const struct command command_table[] = {
    { "up", NULL, "starts a cluster on this host, or finds the one that runs", up_main },
    { "down", NULL, "stops the cluster of up; the data stays", down_main },
    { "status", NULL, "shows what runs of it", status_main },
    { "run", NULL, "runs several roles in one process: ROLE:FILE...", run_main },
    { .name = NULL },
};
