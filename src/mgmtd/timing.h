/* timing.h - the intervals of leases and heartbeats: three profiles, all in proportion.
 *
 * Clocks of different machines are never compared; a clock may run up to 1 % fast or slow. Who
 * holds a lease counts it 1 % shorter, who waits for the end of another's counts it 1 % longer.
 *   default  a store on this host or near
 *   slow     a store that may pause for seconds (FoundationDB that recovers)
 *   fast     tests, and single hosts that want failover below a second
 */
#pragma once
#include "base/cleanup.h"
#include "base/units.h"
#include <stdbool.h>

struct timing {
    uint64_t lease_ns;      /* of the primary, after it began to renew it */
    uint64_t renew_ns;      /* between renewals; contenders look twice as often */
    uint64_t node_lease_ns; /* of a node, after it began to send the heartbeat */
    uint64_t heartbeat_ns;  /* between heartbeats */
    uint64_t session_ns;    /* between extensions of a client's session */
};

/* "fast", "default" or "slow"; false for another name. */
bool timing_of(const char *profile, struct timing *ret);

static inline uint64_t drift_longer(uint64_t ns)
{
    return ns + ns / 100;
}
static inline uint64_t drift_shorter(uint64_t ns)
{
    return ns - ns / 100;
}
