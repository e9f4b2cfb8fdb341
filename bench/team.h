/* team.h - processes that go through the same phases side by side, and what each phase took.
 *
 * The parent starts a phase when all have ended the one before: from the first one's start to the
 * last one's end is what it took. A member that fails ends the whole run.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { TEAM_MEMBER_COUNT_MAX = 64, TEAM_WATCH_COUNT_MAX = 128 };

struct team_member {
    uint32_t index;
    int go_fd, done_fd; /* a byte for each phase in; a struct team_report out */
    uint64_t begin_ns, begin_cpu_us;
};

struct team_options {
    uint32_t member_count;
    const char *const *phases; /* names; ends with NULL */
    bool drops_caches;         /* the kernel's, before each phase; needs root */
    bool is_json;              /* one object a line instead of a table */
    const char *watch;         /* "PID,PID,...", whose CPU time is shown; NULL: nobody's */
    /* The life of a member, in a process of its own:
     *     while ((phase = team_begin(m)) >= 0) team_end(m, work(phase));
     * Returns 0, or -1 after it has said what failed. */
    int (*member)(struct team_member *m, void *arg);
    void *arg;
};

/* Runs all phases and prints a line for each. The exit status of the program. */
int team_run(const struct team_options *options);

/* Waits for the next phase: its index, or -1 at the end. */
int team_begin(struct team_member *m);
/* That phase is done, with so many operations. */
void team_end(struct team_member *m, uint64_t operation_count);

/* The number of a command line's value, from 1 to @max; ends the program otherwise. */
uint32_t team_number(const char *option, const char *text, uint32_t max);
