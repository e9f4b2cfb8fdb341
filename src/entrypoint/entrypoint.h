/* entrypoint.h - what a container's variables mean: the file of settings of its service, and what
 * must not be in a file.
 *
 * Every service takes every variable and ignores what it has no use for. A pure function of its
 * arguments; who calls it writes the file, waits for the store, and becomes the service.
 */
#pragma once
#include "base/arena.h"
#include <stdbool.h>

struct entry_plan {
    const char *role;        /* of c3fs; NULL: the container of the admin tool, which only stays */
    const char *file, *text; /* settings: "mgmtd_main.toml" and its content */
    const char *cluster_key; /* k1:…; NULL: not given */
    const char *cluster_key_file; /* where it is instead; NULL: nowhere */
    const char *kv_path;          /* the store that the key must be read from; NULL: no need */
    const char *token;            /* of a mount; NULL: none */
    const char *mountpoint;       /* to be made; NULL: none */
    const char *const *notes;     /* for the log, ends with NULL */
};

/* @environment: "NAME=value", ends with NULL. @host_address: what peers can reach this host by, ""
 * if unknown. -ERR_WRONG_USAGE, *ret_error one line that names the variable and what to do. */
int entry_plan_make(const char *service, const char *const *environment, const char *host_address,
                    struct arena *arena, struct entry_plan *ret, const char **ret_error) must_check;
