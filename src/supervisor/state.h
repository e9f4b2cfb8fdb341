/* state.h - what runs now: run/state.toml, written by the supervisor at each change, read by
 * everybody; and run/supervisor.pid, whose lock says that a supervisor lives.
 */
#pragma once
#include "supervisor/plan.h"
#include "supervisor/process.h"

struct child_state {
    const char *name, *state, *last_end; /* texts; last_end may be "" */
    struct process_id process;           /* pid 0: not running */
    uint32_t restart_count;
    uint64_t since_wall_ns;
};

struct cluster_state {
    struct process_id supervisor;
    const char *boot;  /* boot_id() */
    const char *mount; /* "" for none */
    uint16_t port_base;
    bool is_ready, is_stopping;
    const char *trouble; /* what keeps it from being ready; "" for nothing */
    struct child_state children[PLAN_CHILD_COUNT_MAX];
    uint32_t child_count;
};

int cluster_state_save(const char *dir, const struct cluster_state *state, struct arena *arena,
                       const char **ret_error) must_check;
/* -ERR_SYSTEM + ENOENT when there is none. Processes of another boot are left out (pid 0). */
int cluster_state_load(const char *dir, struct arena *arena, struct cluster_state *ret,
                       const char **ret_error) must_check;
/* Takes the lock of the supervisor and writes the own number into its file. The descriptor holds
 * the lock; -ERR_BUSY when another process has it. */
int supervisor_lock(const char *dir, struct arena *arena, const char **ret_error) must_check;
/* The number of the process that holds it, 0 when nobody does. */
int supervisor_find(const char *dir, struct arena *arena);
