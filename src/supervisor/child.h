/* child.h - one process of the cluster: started, watched, restarted with growing pauses, stopped.
 *
 *   IDLE --start--> RUNNING --ends--> WAITING --pause over--> RUNNING ...
 *                      |  \--a task ends with 0--> DONE
 *                      +--stop--> ENDING --ends, or is killed--> STOPPED
 *
 * Pauses: 50 ms, doubled to 2 s, 50 ms again after 10 s of health.
 */
#pragma once
#include "base/log.h"
#include "supervisor/state.h"

enum child_phase {
    CHILD_IDLE,
    CHILD_RUNNING,
    CHILD_WAITING,
    CHILD_DONE,
    CHILD_ENDING,
    CHILD_STOPPED
};

struct child {
    const struct child_plan *plan; /* borrowed */
    enum child_phase phase;
    struct process_id process;
    int pidfd;           /* -1: no process */
    uint64_t started_ns; /* monotonic */
    uint64_t due_ns;     /* WAITING: of the restart; ENDING: of the kill; else TIME_NEVER */
    uint64_t pause_ns;   /* before the next restart */
    uint64_t since_wall_ns;
    uint32_t restart_count, failure_count; /* the latter since it was healthy */
    int exit_status;                       /* of the last end; -1: by a signal or unknown */
    char last_end[64];
};

void child_init(struct child *child, const struct child_plan *plan);
/* Starts it; on failure it waits for another try. */
void child_start(struct child *child, const struct log *log);
/* Goes on with a process that an earlier supervisor started. False when it is gone. */
bool child_adopt(struct child *child, struct process_id process, const struct log *log);
/* Asks it to end; it is killed after @grace_ns. */
void child_stop(struct child *child, uint64_t grace_ns, const struct log *log);
/* Does what is due: takes note of an end, restarts, kills. True when something changed. */
bool child_step(struct child *child, const struct log *log);
const char *child_phase_name(enum child_phase phase);
