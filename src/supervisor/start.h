/* start.h - starts a supervisor away from the shell that asked for it. */
#pragma once
#include "supervisor/plan.h"

/* The path of the running binary (arena). */
int binary_find(struct arena *arena, const char **ret, const char **ret_error) must_check;
/* Runs it as this process, until it is told to end; the exit status. */
int supervisor_run(const char *dir, const struct plan *plan);
/* Starts it as a process of its own and waits until all is ready. 0, or 1 after a line on standard
 * error that begins with @who; then it has ended again. */
int supervisor_start(const char *who, const char *dir, const struct plan *plan) must_check;
