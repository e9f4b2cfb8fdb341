/* judge.h - what of the facts of a host is wrong, and the remedy: a pure function. */
#pragma once
#include "doctor/host.h"

enum verdict { VERDICT_GOOD, VERDICT_WARN, VERDICT_BAD };

struct finding {
    const char *check; /* "io_uring", "disk /3fs/data" */
    enum verdict verdict;
    const char *what;   /* one line */
    const char *remedy; /* "" for GOOD */
};

struct findings {
    struct finding *items;
    uint32_t count;
};

/* BAD: a service that was asked for does not work here. WARN: it does, worse than it could. @facts
 * is of @question. */
void host_judge(const struct host_question *question, const struct host_facts *facts,
                struct arena *arena, struct findings *ret);
const char *verdict_name(enum verdict verdict); /* "ok", "warning", "BAD" */
