/* revocations.c - times of revocations by uid. */
#include "client/revocations.h"

void revocations_init(struct revocations *r)
{
    map_init(&r->by_uid, 0); /* uids are given by administrators */
}

void revocations_done(struct revocations *r)
{
    size_t at = 0;
    struct revocation *u;
    while ((u = map_next(&r->by_uid, &at)))
        free(u);
    map_done(&r->by_uid);
}

void revocations_merge(struct revocations *r, const struct revocation_list *told)
{
    for (uint32_t i = 0; i < told->count; i++) {
        const struct revocation *said = &told->items[i];
        struct revocation *held = map_get(&r->by_uid, said->uid + 1ull);
        if (!held) {
            held = new_zero(struct revocation);
            held->uid = said->uid;
            map_put(&r->by_uid, said->uid + 1ull, held);
        }
        held->at_wall_ns = MAX_OF(held->at_wall_ns, said->at_wall_ns);
    }
}

bool revocations_has(const struct revocations *r, const struct auth_peer *peer)
{
    if (r->by_uid.count == 0) return false;
    const struct revocation *u = map_get(&r->by_uid, peer->uid + 1ull);
    return u && revocation_is_for(u, peer);
}
