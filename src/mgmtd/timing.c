/* timing.c - the profiles. */
#include "mgmtd/timing.h"

#include <string.h>

bool timing_of(const char *profile, struct timing *ret)
{
    static const struct {
        const char *name;
        uint64_t unit_ns;
    } profiles[] = { { "fast", 50 * MSEC }, { "default", 100 * MSEC }, { "slow", 400 * MSEC } };
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
        if (strcmp(profiles[i].name, profile) != 0) continue;
        uint64_t unit_ns = profiles[i].unit_ns;
        *ret = (struct timing){ .lease_ns = 15 * unit_ns,
                                .renew_ns = 5 * unit_ns,
                                .node_lease_ns = 15 * unit_ns,
                                .heartbeat_ns = 4 * unit_ns,
                                .session_ns = 20 * unit_ns };
        return true;
    }
    return false;
}
