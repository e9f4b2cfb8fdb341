/* main_health.h - c3fs health [SERVICE]: 0 when a running service can do its work, else 1. */
#pragma once
#include "base/arena.h"

struct health_service {
    const char *role, *cfg; /* cfg NULL: not known */
    bool is_waiting;        /* its entrypoint still waits for something */
};

int health_main(int argc, char *const *argv);
/* The services that run from this binary, in this process namespace: at most @max. */
uint32_t health_find(struct arena *arena, struct health_service *ret, uint32_t max);
