/* routing.h - what the cluster looks like: nodes, chains and chain tables at one routing version.
 *
 * One table per node, kept fresh by the mgmtd client's watch; read without suspending. Pointers got
 * from it are valid until the next suspension of the reader, because an update may replace the
 * record.
 *
 * (term, version) only ever grows. The version alone grows too, also when another mgmtd becomes the
 * primary: each term begins above every version that the terms before it may have shown. The fields
 * used_bytes and last_heartbeat_wall_ns are as of the record's last change; only a complete set has
 * them fresh.
 */
#pragma once
#include "base/map.h"
#include "fiber/sync.h"
#include "proto/mgmtd.h"

struct routing {
    uint64_t term, version;
    bool bootstrapping;
    struct map nodes;  /* u32 node id -> struct node_info * (owned) */
    struct map chains; /* u32 chain id -> struct chain_info * */
    struct map tables; /* table id << 32 | version -> struct chain_table * */
    struct map latest; /* table id -> struct chain_table *, the greatest version (borrowed) */
    char *zone; /* "TrafficZone" of this client's machine, owned; NULL: none, all are as near */
    struct wait_queue changed; /* woken after every applied update */
};

void routing_init(struct routing *r, uint64_t seed);
void routing_done(struct routing *r);
/* Applies a complete reply (all its parts). Older (term, version) than held:
 * -ERR_MGMTD_INVALID_ROUTING_VERSION, nothing changes (never an abort). */
int routing_apply(struct routing *r, const struct get_routing_reply *parts,
                  uint32_t part_count) must_check;
const struct node_info *routing_node(const struct routing *r, uint32_t node_id);
const struct chain_info *routing_chain(const struct routing *r, uint32_t chain_id);
/* @zone empty: none. */
void routing_set_zone(struct routing *r, struct bytes zone);
/* True when the node is in the zone of this client, or the client in none. */
bool routing_is_near(const struct routing *r, uint32_t node_id);
/* @version 0: the latest. */
const struct chain_table *routing_table(const struct routing *r, uint32_t table_id,
                                        uint32_t version);
/* The chain id for a 1-based @index that wraps modulo the table; table 0 version 0: @index itself.
 * 0: none. */
uint32_t routing_chain_of(const struct routing *r, uint32_t table_id, uint32_t version,
                          uint32_t index);
/* The first address of a node, parsed. -ERR_MGMTD_NODE_NOT_FOUND, -ERR_NOT_AVAILABLE (no address).
 */
int routing_address(const struct routing *r, uint32_t node_id, struct net_address *ret) must_check;
/* Waits until the table is newer than @version or the deadline. */
int routing_wait_newer(struct routing *r, uint64_t version) fiber_fn must_check;
