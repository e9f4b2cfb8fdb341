/* schema.h - keys and records of the cluster in the store: who belongs to it, what mgmtd decides,
 * users.
 *
 *   key                                       record
 *   SING ClusterId                            cluster_record: which cluster this store belongs to
 *   SING ClusterKey                           cluster_key_record: the key that servers share
 *   SING MgmtdLease                           lease_record: who is the primary, in which term;
 *                                             changes with the term only
 *   SING MgmtdLeaseCounter                    counter_record: counts the renewals of that term
 *   SING RoutingInfoVersion                   counter_record: every routing version ever shown is
 *                                             at most this
 *   NODE <id BE32>                            node_info
 *   UTGS <name of a machine>                  host_tags: of all clients on it
 *   CHIF <chain BE32>                         chain_info, with the place (node, disk) of each
 *                                             member
 *   CHIT <table BE32> <version BE32>          chain_table_part; old versions stay, files name
 *        <part BE16>                          them
 *   CONF <length u8> <type name>              config_info; the newest sorts first
 *        <2^64 - 1 - version, BE64>
 *   EVNT <seq BE64>                           cluster_event: a ring of the latest EVENT_KEPT_MAX
 *   USER <uid BE32>                           user_attr
 *   SING RevokedUsers                         revoked_record: users removed within the last day
 *
 * A value is one byte, the format version, and then a record of the wire codec: fields are only
 * ever appended, and a number above SCHEMA_FORMAT is refused with FORMAT_TOO_NEW. All functions
 * work inside a transaction that the caller began; decoded records live in the caller's arena.
 */
#pragma once
#include "kv/kv.h"
#include "proto/mgmtd.h"

enum {
    SCHEMA_FORMAT = 1,
    CHAIN_TABLE_PART_CHAIN_COUNT = 20000,
    CONFIG_BYTES_MAX = 90000,
    HOST_NAME_BYTES_MAX = 64
};

#define CLUSTER_RECORD(F)                                                                          \
    F(text, cluster_id, "")                                                                        \
    F(u64, created_wall_ns, "")
WIRE_RECORD(cluster_record, CLUSTER_RECORD)
#define CLUSTER_KEY_RECORD(F) F(blob, key, "AUTH_KEY_BYTES")
WIRE_RECORD(cluster_key_record, CLUSTER_KEY_RECORD)
#define LEASE_RECORD(F)                                                                            \
    F(u64, term, "grows by one with each takeover")                                                \
    F(u32, owner, "node id of the primary; 0: it went in order, anybody may take over")            \
    F(u64, nonce, "random, of the owning process: one node id may have lived twice")               \
    F(text, address, "where the primary answers")
WIRE_RECORD(lease_record, LEASE_RECORD)
#define COUNTER_RECORD(F) F(u64, value, "")
WIRE_RECORD(counter_record, COUNTER_RECORD)
#define REVOKED_RECORD(F) F(revocation_list, users, "the latest removal of each")
WIRE_RECORD(revoked_record, REVOKED_RECORD)
#define CHAIN_TABLE_PART(F)                                                                        \
    F(u32, part_count, "")                                                                         \
    F(u32_list, chains, "")                                                                        \
    F(text, desc, "in part 0")
WIRE_RECORD(chain_table_part, CHAIN_TABLE_PART)

/* schema_get_*: 1 when found, 0 when absent (@ret zeroed), or an error: FORMAT_TOO_NEW,
 * INVALID_FORMAT (damaged), or of the store. */
int schema_get_cluster(struct kv_txn *txn, struct arena *arena,
                       struct cluster_record *ret) fiber_fn must_check;
int schema_set_cluster(struct kv_txn *txn, const struct cluster_record *v) must_check;
int schema_get_cluster_key(struct kv_txn *txn, struct arena *arena,
                           struct cluster_key_record *ret) fiber_fn must_check;
int schema_set_cluster_key(struct kv_txn *txn, const struct cluster_key_record *v) must_check;
int schema_get_lease(struct kv_txn *txn, struct arena *arena,
                     struct lease_record *ret) fiber_fn must_check;
int schema_set_lease(struct kv_txn *txn, const struct lease_record *v) must_check;
int schema_get_lease_counter(struct kv_txn *txn, struct arena *arena,
                             struct counter_record *ret) fiber_fn must_check;
int schema_set_lease_counter(struct kv_txn *txn, const struct counter_record *v) must_check;
int schema_get_version_limit(struct kv_txn *txn, struct arena *arena,
                             struct counter_record *ret) fiber_fn must_check;
int schema_set_version_limit(struct kv_txn *txn, const struct counter_record *v) must_check;
int schema_get_revoked(struct kv_txn *txn, struct arena *arena,
                       struct revoked_record *ret) fiber_fn must_check;
int schema_set_revoked(struct kv_txn *txn, const struct revoked_record *v) must_check;

int schema_set_node(struct kv_txn *txn, const struct node_info *v) must_check;
void schema_clear_node(struct kv_txn *txn, uint32_t node_id);
/* Without tags the record goes. -ERR_INVALID_ARG: no name, or one longer than HOST_NAME_BYTES_MAX.
 */
int schema_set_host_tags(struct kv_txn *txn, const struct host_tags *v) must_check;
int schema_set_chain(struct kv_txn *txn, const struct chain_info *v) must_check;
int schema_set_table(struct kv_txn *txn, const struct chain_table *v) must_check;

/* Calls @fn for each record in the order of keys; a failure of @fn ends it. Snapshot reads: for the
 * one who holds the lease, or tools. The record is valid during the call. */
int schema_each_node(struct kv_txn *txn, int (*fn)(void *arg, const struct node_info *v),
                     void *arg) fiber_fn must_check;
int schema_each_host(struct kv_txn *txn, int (*fn)(void *arg, const struct host_tags *v),
                     void *arg) fiber_fn must_check;
int schema_each_chain(struct kv_txn *txn, int (*fn)(void *arg, const struct chain_info *v),
                      void *arg) fiber_fn must_check;
int schema_each_table(struct kv_txn *txn, int (*fn)(void *arg, const struct chain_table *v),
                      void *arg) fiber_fn must_check;

/* @version 0: the latest. */
int schema_get_config(struct kv_txn *txn, struct arena *arena, enum node_type type,
                      uint64_t version, struct config_info *ret) fiber_fn must_check;
/* -ERR_INVALID_CONFIG when the text is longer than CONFIG_BYTES_MAX. */
int schema_set_config(struct kv_txn *txn, const struct config_info *v) must_check;

/* Stores an event and drops the one that falls out of the ring. */
int schema_set_event(struct kv_txn *txn, const struct cluster_event *v) must_check;
/* At most @limit with a greater seq than @after in order, or with @after 0 the latest. */
int schema_list_events(struct kv_txn *txn, struct arena *arena, uint64_t after, uint32_t limit,
                       struct cluster_event_list *ret) fiber_fn must_check;

int schema_get_user(struct kv_txn *txn, struct arena *arena, uint32_t uid,
                    struct user_attr *ret) fiber_fn must_check;
int schema_set_user(struct kv_txn *txn, const struct user_attr *v) must_check;
void schema_clear_user(struct kv_txn *txn, uint32_t uid);
/* At most @limit (0: a page) users with uid >= @from in order; *ret_next is where the next one
 * starts, 0 at the end.
 */
int schema_list_users(struct kv_txn *txn, struct arena *arena, uint32_t from, uint32_t limit,
                      struct user_attr_list *ret, uint64_t *ret_next) fiber_fn must_check;
