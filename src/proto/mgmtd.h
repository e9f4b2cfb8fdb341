/* mgmtd.h - messages of the cluster manager: nodes, heartbeats, chains, routing, configuration,
 * users.
 *
 * Routing is a set of records (nodes, chains, chain tables), each stamped with the routing version
 * at which it last changed; no two changes share a version. A watcher says which (term, version) it
 * has and gets, as soon as there is something newer, the records stamped later, in the order of
 * their stamps. Wide answers are split: more = 1 says ask again with the cursor given; what changes
 * in between comes with a later part. An answer with full = 1 (another term, an unknown version)
 * starts over: parts collected before it are to be dropped.
 */
#pragma once
#include "proto/common.h"
#include "rpc/rpc.h"

enum node_status {
    NODE_PRIMARY_MGMTD,
    NODE_HEARTBEAT_CONNECTED,
    NODE_HEARTBEAT_CONNECTING,
    NODE_HEARTBEAT_FAILED,
    NODE_DISABLED,
    NODE_STATUS_MAX
};
enum public_state {
    PUBLIC_INVALID = 0,
    PUBLIC_SERVING = 1,
    PUBLIC_LASTSRV = 2,
    PUBLIC_SYNCING = 4,
    PUBLIC_WAITING = 8,
    PUBLIC_OFFLINE = 16
};
enum local_state { LOCAL_INVALID = 0, LOCAL_UPTODATE = 1, LOCAL_ONLINE = 2, LOCAL_OFFLINE = 4 };
enum config_status { CONFIG_NORMAL, CONFIG_DIRTY, CONFIG_FAILED, CONFIG_UNKNOWN, CONFIG_STALE };
/* Tags with a meaning. */
#define ZONE_TAG "TrafficZone"
enum tag_mode { TAG_REPLACE, TAG_UPSERT, TAG_REMOVE };
enum chain_update_mode { CHAIN_ADD, CHAIN_REMOVE };
enum event_kind {
    EVENT_MANAGER, /* another cluster manager leads */
    EVENT_NODE,    /* a node came, went, was enabled or disabled */
    EVENT_CHAIN,   /* a chain's order or states changed */
    EVENT_TABLE,   /* chains or a chain table were made */
    EVENT_CONFIG,  /* a configuration was set */
    EVENT_LOST,    /* that many were not recorded */
    EVENT_KIND_MAX
};
/* Kept by the cluster, the latest so many; shown by one answer. */
enum { EVENT_KEPT_MAX = 10000, EVENT_LIST_MAX = 1000 };
enum { CHAIN_TARGET_COUNT_MAX = 16, CHAIN_TABLE_CHAIN_COUNT_MAX = 1 << 17 };

#define NODE_INFO(F)                                                                               \
    F(u32, node_id, "")                                                                            \
    F(u8, type, "node_type")                                                                       \
    F(u8, status, "node_status")                                                                   \
    F(text, hostname, "")                                                                          \
    F(u32, pid, "")                                                                                \
    F(text_list, addresses, "of its services, e.g. TCP://10.0.0.1:8000; the first is preferred")   \
    F(tag_list, tags, "")                                                                          \
    F(u64, last_heartbeat_wall_ns, "0: never")                                                     \
    F(u64, config_version, "")                                                                     \
    F(u8, config_status, "")                                                                       \
    F(text, release, "")                                                                           \
    F(u64, incarnation, "of the process; greater is newer")                                        \
    F(u8, has_store, "1: a metadata service that runs transactions without messages")              \
    F(u64, changed, "routing version of the last change")                                          \
    F(u8, removed, "1: unregistered; watchers forget it")
WIRE_RECORD(node_info, NODE_INFO)
WIRE_LIST(node_info)

#define CHAIN_MEMBER(F)                                                                            \
    F(u64, target_id, "")                                                                          \
    F(u8, public_state, "decided by mgmtd")                                                        \
    F(u8, local_state, "last reported by the storage")                                             \
    F(u32, node_id, "0: not known yet")                                                            \
    F(u32, disk_index, "")                                                                         \
    F(u64, used_bytes, "")                                                                         \
    F(u32, sync_permille, "SYNCING: how far it is filled")
WIRE_RECORD(chain_member, CHAIN_MEMBER)
WIRE_LIST(chain_member)

#define CHAIN_INFO(F)                                                                              \
    F(u32, chain_id, "")                                                                           \
    F(u32, version, "grows with each change of order or public states")                            \
    F(chain_member_list, members, "in chain order: SERVING first, head at 0")                      \
    F(u64_list, preferred_order, "target ids; may be empty")                                       \
    F(u64, changed, "routing version of the last change")
WIRE_RECORD(chain_info, CHAIN_INFO)
WIRE_LIST(chain_info)

#define CHAIN_TABLE(F)                                                                             \
    F(u32, table_id, "")                                                                           \
    F(u32, version, "")                                                                            \
    F(u32_list, chains, "chain ids; a chain index is 1-based and wraps")                           \
    F(text, desc, "")                                                                              \
    F(u64, changed, "")
WIRE_RECORD(chain_table, CHAIN_TABLE)
WIRE_LIST(chain_table)

#define GET_ROUTING_REQUEST(F)                                                                     \
    F(text, cluster_id, "")                                                                        \
    F(u64, term, "of the routing that the watcher has; 0: none")                                   \
    F(u64, version, "of the same")                                                                 \
    F(u64, wait_ns, "wait that long for something newer; 0: answer at once")                       \
    F(u64, cursor, "0, or as given by an answer with more = 1")                                    \
    F(u64, cursor_term, "the term of that answer")
WIRE_RECORD(get_routing_request, GET_ROUTING_REQUEST)
#define GET_ROUTING_REPLY(F)                                                                       \
    F(u64, term, "")                                                                               \
    F(u64, version, "equal to the request's: nothing new")                                         \
    F(u8, full, "1: forget everything older; the first part of a complete set")                    \
    F(u8, more, "")                                                                                \
    F(u64, cursor, "")                                                                             \
    F(u8, bootstrapping, "the primary is new: some nodes may not have reported yet")               \
    F(node_info_list, nodes, "")                                                                   \
    F(chain_info_list, chains, "")                                                                 \
    F(chain_table_list, tables, "")
WIRE_RECORD(get_routing_reply, GET_ROUTING_REPLY)

#define GET_PRIMARY_REPLY(F)                                                                       \
    F(u32, node_id, "0: none known")                                                               \
    F(text, address, "")                                                                           \
    F(u64, term, "")                                                                               \
    F(u8, is_self, "1: it is the one that answers, and its lease is valid")
WIRE_RECORD(get_primary_reply, GET_PRIMARY_REPLY)

#define LOCAL_TARGET(F)                                                                            \
    F(u64, target_id, "")                                                                          \
    F(u8, local_state, "")                                                                         \
    F(u32, disk_index, "")                                                                         \
    F(u64, used_bytes, "")                                                                         \
    F(u32, chain_id, "")                                                                           \
    F(u32, chain_version, "that the storage acts on; older than mgmtd's: the report is stale")     \
    F(u8, low_space, "")                                                                           \
    F(u32, sync_permille, "SYNCING: how far it is filled")
WIRE_RECORD(local_target, LOCAL_TARGET)
WIRE_LIST(local_target)

#define DISK_INFO(F)                                                                               \
    F(u32, disk_index, "")                                                                         \
    F(text, path, "")                                                                              \
    F(u64, device, "host-wide id of the file system: equal for directories on one")                \
    F(u64, capacity_bytes, "")                                                                     \
    F(u64, free_bytes, "what new chunks can take")                                                 \
    F(u64_list, targets, "")                                                                       \
    F(u8, failed, "")
WIRE_RECORD(disk_info, DISK_INFO)
WIRE_LIST(disk_info)

#define HEARTBEAT_REQUEST(F)                                                                       \
    F(text, cluster_id, "")                                                                        \
    F(node_info, node, "status, changed, last_heartbeat_wall_ns are ignored")                      \
    F(u64, seq, "grows by one per heartbeat of an incarnation")                                    \
    F(local_target_list, targets, "storage: all of them")                                          \
    F(disk_info_list, disks, "storage: all of them")                                               \
    F(u8, stopping, "1: last heartbeat of a clean stop; the lease ends with it")
WIRE_RECORD(heartbeat_request, HEARTBEAT_REQUEST)
/* A user that was removed: what was given to it until then is void. */
#define REVOCATION(F)                                                                              \
    F(u32, uid, "")                                                                                \
    F(u64, at_wall_ns, "of the one who removed it")
WIRE_RECORD(revocation, REVOCATION)
WIRE_LIST(revocation)

#define HEARTBEAT_REPLY(F)                                                                         \
    F(u64, term, "")                                                                               \
    F(u64, lease_ns, "counted by the node from when it began to send the request")                 \
    F(u64, interval_ns, "until the next heartbeat")                                                \
    F(u64, routing_version, "")                                                                    \
    F(u64, config_version, "latest of the node's type")                                            \
    F(text, config, "its text when newer than reported, else empty")                               \
    F(revocation_list, revoked, "of the last day")
WIRE_RECORD(heartbeat_reply, HEARTBEAT_REPLY)

#define REGISTER_NODE_REQUEST(F)                                                                   \
    F(u32, node_id, "")                                                                            \
    F(u8, type, "")
WIRE_RECORD(register_node_request, REGISTER_NODE_REQUEST)
#define NODE_REQUEST(F) F(u32, node_id, "")
WIRE_RECORD(node_request, NODE_REQUEST)
#define SET_NODE_TAGS_REQUEST(F)                                                                   \
    F(u32, node_id, "")                                                                            \
    F(u8, mode, "tag_mode")                                                                        \
    F(tag_list, tags, "")
WIRE_RECORD(set_node_tags_request, SET_NODE_TAGS_REQUEST)
#define NODE_REPLY(F) F(node_info, node, "")
WIRE_RECORD(node_reply, NODE_REPLY)
/* Of a machine, for the clients that run on it. */
#define HOST_TAGS(F)                                                                               \
    F(text, hostname, "")                                                                          \
    F(tag_list, tags, "")
WIRE_RECORD(host_tags, HOST_TAGS)
#define SET_HOST_TAGS_REQUEST(F)                                                                   \
    F(text, hostname, "")                                                                          \
    F(u8, mode, "tag_mode")                                                                        \
    F(tag_list, tags, "")
WIRE_RECORD(set_host_tags_request, SET_HOST_TAGS_REQUEST)

#define SET_CONFIG_REQUEST(F)                                                                      \
    F(u8, type, "node_type")                                                                       \
    F(text, content, "TOML")                                                                       \
    F(text, desc, "")                                                                              \
    F(u64, expected_version, "refused when the latest is another; 0: whatever it is")              \
    F(u8, from_service, "1: a service's own file; never replaces what a person set")
WIRE_RECORD(set_config_request, SET_CONFIG_REQUEST)
#define GET_CONFIG_REQUEST(F)                                                                      \
    F(u8, type, "")                                                                                \
    F(u64, version, "0: the latest")
WIRE_RECORD(get_config_request, GET_CONFIG_REQUEST)
#define CONFIG_INFO(F)                                                                             \
    F(u8, type, "")                                                                                \
    F(u64, version, "0: none was ever set")                                                        \
    F(text, content, "")                                                                           \
    F(text, desc, "")                                                                              \
    F(u8, from_service, "1: a service uploaded it; 0: a person set it")
WIRE_RECORD(config_info, CONFIG_INFO)
WIRE_LIST(config_info)
#define CONFIG_VERSIONS_REPLY(F)                                                                   \
    F(config_info_list, configs, "latest of each type, without content")
WIRE_RECORD(config_versions_reply, CONFIG_VERSIONS_REPLY)

#define CHAIN_SPEC(F)                                                                              \
    F(u32, chain_id, "")                                                                           \
    F(u64_list, targets, "in order")
WIRE_RECORD(chain_spec, CHAIN_SPEC)
WIRE_LIST(chain_spec)
#define SET_CHAINS_REQUEST(F)                                                                      \
    F(chain_spec_list, chains, "")                                                                 \
    F(u8, set_preferred_order, "")
WIRE_RECORD(set_chains_request, SET_CHAINS_REQUEST)
#define SET_CHAIN_TABLE_REQUEST(F)                                                                 \
    F(u32, table_id, "")                                                                           \
    F(u32_list, chains, "")                                                                        \
    F(text, desc, "empty inherits")
WIRE_RECORD(set_chain_table_request, SET_CHAIN_TABLE_REQUEST)
#define SET_CHAIN_TABLE_REPLY(F) F(u32, version, "")
WIRE_RECORD(set_chain_table_reply, SET_CHAIN_TABLE_REPLY)
#define CHAIN_REQUEST(F)                                                                           \
    F(u32, chain_id, "")                                                                           \
    F(u64_list, targets, "preferred order; empty elsewhere")                                       \
    F(u8, mode, "chain_update_mode")
WIRE_RECORD(chain_request, CHAIN_REQUEST)
#define CHAIN_REPLY(F) F(chain_info, chain, "")
WIRE_RECORD(chain_reply, CHAIN_REPLY)
#define ORPHAN_TARGET(F)                                                                           \
    F(u64, target_id, "")                                                                          \
    F(u8, local_state, "")                                                                         \
    F(u32, node_id, "")                                                                            \
    F(u32, disk_index, "")                                                                         \
    F(u64, used_bytes, "")                                                                         \
    F(u32, chain_id, "that it was made for")
WIRE_RECORD(orphan_target, ORPHAN_TARGET)
WIRE_LIST(orphan_target)
#define ORPHAN_TARGETS_REPLY(F) F(orphan_target_list, targets, "")
WIRE_RECORD(orphan_targets_reply, ORPHAN_TARGETS_REPLY)

#define NODE_DISKS(F)                                                                              \
    F(u32, node_id, "")                                                                            \
    F(disk_info_list, disks, "")
WIRE_RECORD(node_disks, NODE_DISKS)
WIRE_LIST(node_disks)
#define LIST_DISKS_REPLY(F) F(node_disks_list, nodes, "as last reported by heartbeats")
WIRE_RECORD(list_disks_reply, LIST_DISKS_REPLY)

/* Keeps others from working on a node: an administrator's run that changes its chains step by step.
 * In the primary's memory; ends by itself when it is not kept. */
enum hold_mode { HOLD_TAKE, HOLD_KEEP, HOLD_GIVE };
#define HOLD_NODE_REQUEST(F)                                                                       \
    F(u32, node_id, "")                                                                            \
    F(uuid, holder, "of one run")                                                                  \
    F(text, desc, "who that is, for others")                                                       \
    F(u8, mode, "hold_mode; KEEP also takes a hold that no primary knows of any more")
WIRE_RECORD(hold_node_request, HOLD_NODE_REQUEST)
#define HOLD_NODE_REPLY(F)                                                                         \
    F(u8, granted, "0: another has it, or may have it")                                            \
    F(u64, timeout_ns, "it ends that long after it was last taken or kept")                        \
    F(u64, kept_count, "not granted: how often the holder has kept it")                            \
    F(text, desc, "not granted: the holder's; empty: not known yet, after a change of primary")
WIRE_RECORD(hold_node_reply, HOLD_NODE_REPLY)

#define CLUSTER_EVENT(F)                                                                           \
    F(u64, seq, "grows by one; a gap: nothing is missing but what was never stored")               \
    F(u64, wall_ns, "of the manager that saw it")                                                  \
    F(u64, term, "of that manager")                                                                \
    F(u8, kind, "event_kind")                                                                      \
    F(u32, node_id, "0: of no node")                                                               \
    F(u32, chain_id, "0: of no chain")                                                             \
    F(text, what, "a sentence")
WIRE_RECORD(cluster_event, CLUSTER_EVENT)
WIRE_LIST(cluster_event)
#define LIST_EVENTS_REQUEST(F)                                                                     \
    F(u64, after, "those with a greater seq, the oldest first; 0: the latest")                     \
    F(u32, count, "at most so many; 0 or too many: EVENT_LIST_MAX")
WIRE_RECORD(list_events_request, LIST_EVENTS_REQUEST)
#define LIST_EVENTS_REPLY(F) F(cluster_event_list, events, "in order of seq")
WIRE_RECORD(list_events_reply, LIST_EVENTS_REPLY)

#define CLIENT_SESSION(F)                                                                          \
    F(uuid, client, "")                                                                            \
    F(u64, version, "grows by one per extension")                                                  \
    F(u8, type, "NODE_CLIENT or NODE_FUSE")                                                        \
    F(text, hostname, "")                                                                          \
    F(text, desc, "")                                                                              \
    F(text, release, "")                                                                           \
    F(u64, client_start_wall_ns, "")                                                               \
    F(u64, session_start_wall_ns, "set by mgmtd")                                                  \
    F(u64, last_extend_wall_ns, "set by mgmtd")                                                    \
    F(u64, config_version, "")                                                                     \
    F(u8, config_status, "")                                                                       \
    F(tag_list, tags, "of its host; set by mgmtd")                                                 \
    F(u64, update_wall_ns, "when the last configuration came to it; 0: none has")                  \
    F(u8, update_source, "enum config_source")                                                     \
    F(u32, update_status, "0, or why all of that was refused")                                     \
    F(text, update_error, "the same as a sentence")
WIRE_RECORD(client_session, CLIENT_SESSION)
WIRE_LIST(client_session)
#define EXTEND_SESSION_REQUEST(F)                                                                  \
    F(text, cluster_id, "")                                                                        \
    F(client_session, session, "")                                                                 \
    F(u8, ending, "1: a clean goodbye")                                                            \
    F(u64, order_id, "of the last settings by hand that came; what became of them is in session")
WIRE_RECORD(extend_session_request, EXTEND_SESSION_REQUEST)
#define EXTEND_SESSION_REPLY(F)                                                                    \
    F(u64, interval_ns, "until the next extension")                                                \
    F(u64, timeout_ns, "the session dies that long after its last extension")                      \
    F(u64, config_version, "")                                                                     \
    F(text, config, "when newer than reported")                                                    \
    F(tag_list, tags, "of the client's host")                                                      \
    F(u64, order_id, "0: no settings by hand wait for the client")                                 \
    F(text, order, "the settings, as TOML")
WIRE_RECORD(extend_session_reply, EXTEND_SESSION_REPLY)
#define LIST_SESSIONS_REPLY(F)                                                                     \
    F(u8, bootstrapping, "the list may be incomplete")                                             \
    F(client_session_list, sessions, "")
WIRE_RECORD(list_sessions_reply, LIST_SESSIONS_REPLY)

#define UPDATE_CLIENT_REQUEST(F)                                                                   \
    F(uuid, client, "of a session")                                                                \
    F(text, content, "settings to change by hand, as TOML")
WIRE_RECORD(update_client_request, UPDATE_CLIENT_REQUEST)

#define USER_TOKEN(F)                                                                              \
    F(text, token, "")                                                                             \
    F(u64, end_wall_ns, "0: endless")
WIRE_RECORD(user_token, USER_TOKEN)
WIRE_LIST(user_token)
#define USER_ATTR(F)                                                                               \
    F(u32, uid, "")                                                                                \
    F(u32, gid, "")                                                                                \
    F(text, name, "")                                                                              \
    F(u32_list, groups, "")                                                                        \
    F(u8, root, "may act as any user")                                                             \
    F(u8, admin, "may manage the cluster")                                                         \
    F(user_token_list, tokens, "the endless one first")
WIRE_RECORD(user_attr, USER_ATTR)
WIRE_LIST(user_attr)
/* Fields to set are named by bits: 1 name, 2 groups, 4 root, 8 admin, 16 token, 32 invalidate older
 * tokens. */
#define USER_REQUEST(F)                                                                            \
    F(user_attr, user, "uid always; tokens[0] with bit 16, empty text: make a new one")            \
    F(u32, set, "bits; for user_set and user_set_token")                                           \
    F(u32, max_active_tokens, "0: 5")                                                              \
    F(u64, last_token_lifetime_ns, "0: 7 days")
WIRE_RECORD(user_request, USER_REQUEST)
#define USER_REPLY(F) F(user_attr, user, "")
WIRE_RECORD(user_reply, USER_REPLY)
#define USER_LIST_REPLY(F) F(user_attr_list, users, "")
WIRE_RECORD(user_list_reply, USER_LIST_REPLY)
/* For a connection that showed a TOKEN: what to show to meta and storage. */
#define LOGIN_REPLY(F)                                                                             \
    F(user_attr, user, "without tokens")                                                           \
    F(blob, capability, "encoded auth_capability")                                                 \
    F(blob, session_key, "32 bytes")                                                               \
    F(u64, renew_ns, "log in again after that long")
WIRE_RECORD(login_reply, LOGIN_REPLY)

#define MGMTD_METHODS(M, s)                                                                        \
    M(s, 1, get_primary, empty_record, get_primary_reply)                                          \
    M(s, 3, heartbeat, heartbeat_request, heartbeat_reply)                                         \
    M(s, 4, register_node, register_node_request, empty_record)                                    \
    M(s, 5, get_routing, get_routing_request, get_routing_reply)                                   \
    M(s, 6, set_config, set_config_request, config_info)                                           \
    M(s, 7, get_config, get_config_request, config_info)                                           \
    M(s, 8, set_chain_table, set_chain_table_request, set_chain_table_reply)                       \
    M(s, 9, enable_node, node_request, empty_record)                                               \
    M(s, 10, disable_node, node_request, empty_record)                                             \
    M(s, 11, extend_session, extend_session_request, extend_session_reply)                         \
    M(s, 12, list_sessions, empty_record, list_sessions_reply)                                     \
    M(s, 17, update_client, update_client_request, empty_record)                                   \
    M(s, 13, set_node_tags, set_node_tags_request, node_reply)                                     \
    M(s, 14, unregister_node, register_node_request, empty_record)                                 \
    M(s, 15, set_chains, set_chains_request, empty_record)                                         \
    M(s, 16, set_host_tags, set_host_tags_request, host_tags)                                      \
    M(s, 18, get_config_versions, empty_record, config_versions_reply)                             \
    M(s, 20, rotate_lastsrv, chain_request, chain_reply)                                           \
    M(s, 21, list_orphan_targets, empty_record, orphan_targets_reply)                              \
    M(s, 22, set_preferred_order, chain_request, chain_reply)                                      \
    M(s, 23, rotate_as_preferred_order, chain_request, chain_reply)                                \
    M(s, 24, update_chain, chain_request, chain_reply)                                             \
    M(s, 40, login, empty_record, login_reply)                                                     \
    M(s, 41, user_add, user_request, user_reply)                                                   \
    M(s, 42, user_remove, user_request, empty_record)                                              \
    M(s, 43, user_set, user_request, user_reply)                                                   \
    M(s, 44, user_set_token, user_request, user_reply)                                             \
    M(s, 45, user_list, empty_record, user_list_reply)                                             \
    M(s, 46, user_stat, user_request, user_reply)                                                  \
    M(s, 47, list_disks, empty_record, list_disks_reply)                                           \
    M(s, 48, hold_node, hold_node_request, hold_node_reply)                                        \
    M(s, 60, list_events, list_events_request, list_events_reply)
RPC_SERVICE_DECLARE(mgmtd, MGMTD_METHODS)
