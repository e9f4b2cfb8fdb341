/* revocations.h - users that were removed or lost rights, as the cluster manager tells with each
 * heartbeat.
 *
 * What they were given is void from then on, also on connections that are open. Only ever added to,
 * and the latest of each user counts: a new primary may not have read them all yet.
 */
#pragma once
#include "base/map.h"
#include "proto/mgmtd.h"
#include "rpc/auth.h"

/* Was it given before the removal, by whatever clock? */
static inline bool revocation_is_for(const struct revocation *r, const struct auth_peer *peer)
{
    return peer->uid == r->uid && peer->issued_wall_ns <= r->at_wall_ns + AUTH_SKEW_NS;
}

struct revocations {
    struct map by_uid; /* uid + 1 -> struct revocation * (owned) */
};

void revocations_init(struct revocations *r);
void revocations_done(struct revocations *r);
void revocations_merge(struct revocations *r, const struct revocation_list *told);
bool revocations_has(const struct revocations *r, const struct auth_peer *peer);
