/* supervise.h - the supervisor process: starts the stages of a plan, then keeps them running. */
#pragma once
#include "supervisor/plan.h"

struct supervise_options {
    const char *dir;
    const struct plan *plan;
    int lock_fd;   /* of supervisor_lock(); kept open */
    int notify_fd; /* lines for who waits: '.' progress, 'E' failure, 'R' ready; -1: nobody */
    uint64_t start_timeout_ns; /* until the last stage is over; 0: 60 s */
    uint64_t stop_grace_ns;    /* of each service, before it is killed; 0: 10 s */
};

/* Runs until SIGTERM or SIGINT, or until the start has failed; then stops everything. The exit
 * status. */
int supervise(const struct supervise_options *options);
