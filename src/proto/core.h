/* core.h - what every service answers about itself: its settings and its counters. */
#pragma once
#include "proto/common.h"
#include "rpc/rpc.h"

#define CORE_CONFIG_REPLY(F)                                                                       \
    F(text, content, "all settings as TOML; secrets are left out")                                 \
    F(text, name, "of the node, e.g. storage-1001")
WIRE_RECORD(core_config_reply, CORE_CONFIG_REPLY)

#define METRIC(F)                                                                                  \
    F(text, name, "")                                                                              \
    F(u64, value, "")
WIRE_RECORD(metric, METRIC)
WIRE_LIST(metric)
#define CORE_METRICS_REPLY(F) F(metric_list, metrics, "in order of name")
WIRE_RECORD(core_metrics_reply, CORE_METRICS_REPLY)

#define HOT_UPDATE_REQUEST(F) F(text, content, "settings to change, as TOML")
WIRE_RECORD(hot_update_request, HOT_UPDATE_REQUEST)

#define VERIFY_CONFIG_REPLY(F)                                                                     \
    F(u8, cold_changed, "1: a start with it would change a setting")                               \
    F(u32, cold_status, "0, or why it could not start with it")                                    \
    F(text, cold_error, "the same as a sentence")                                                  \
    F(u8, hot_changed, "1: taking it over now would change a setting")                             \
    F(u32, hot_status, "0, or why it would be refused now")                                        \
    F(text, hot_error, "")
WIRE_RECORD(verify_config_reply, VERIFY_CONFIG_REPLY)

#define CONFIG_UPDATE_REPLY(F)                                                                     \
    F(text, name, "of the node, e.g. storage-1001")                                                \
    F(u64, wall_ns, "when the last configuration came; 0: none has")                               \
    F(u8, source, "enum config_source")                                                            \
    F(u32, status, "0, or why all of it was refused")                                              \
    F(text, error, "the same as a sentence")
WIRE_RECORD(config_update_reply, CONFIG_UPDATE_REPLY)

#define CORE_HEALTH_REPLY(F)                                                                       \
    F(text, name, "of the node, e.g. storage-1001")                                                \
    F(u8, is_healthy, "1: it can do its work")                                                     \
    F(text, state, "one line: what it does, or what it lacks")                                     \
    F(u32, unsettled_count, "of a storage: targets that lack something, or are not in use yet")
WIRE_RECORD(core_health_reply, CORE_HEALTH_REPLY)

/* A rule at a named point of the code (loop/fault.h). */
#define CORE_FAULT(F)                                                                              \
    F(text, point, "e.g. storage.update.before_stage")                                             \
    F(u8, kind, "fault_kind")                                                                      \
    F(u32, error, "FAIL: a status code")                                                           \
    F(u64, delay_ns, "DELAY")                                                                      \
    F(u32, skip_count, "hits that pass before the first that counts")                              \
    F(u32, hit_count, "hits that count; 0: all")
WIRE_RECORD(core_fault, CORE_FAULT)
WIRE_LIST(core_fault)
#define CORE_FAULT_POINT(F)                                                                        \
    F(text, point, "")                                                                             \
    F(u32, hits, "since the start")                                                                \
    F(core_fault_list, rules, "what is left of them")
WIRE_RECORD(core_fault_point, CORE_FAULT_POINT)
WIRE_LIST(core_fault_point)
#define CORE_FAULTS_REPLY(F) F(core_fault_point_list, points, "hit or with a rule")
WIRE_RECORD(core_faults_reply, CORE_FAULTS_REPLY)
#define CORE_FAULT_FILTER(F) F(text, point, "empty: all")
WIRE_RECORD(core_fault_filter, CORE_FAULT_FILTER)

#define CORE_METHODS(M, s)                                                                         \
    M(s, 2, get_config, empty_record, core_config_reply)                                           \
    M(s, 4, hot_update_config, hot_update_request, empty_record)                                   \
    M(s, 5, get_last_config_update, empty_record, config_update_reply)                             \
    M(s, 6, get_health, empty_record, core_health_reply)                                           \
    M(s, 7, verify_config, hot_update_request, verify_config_reply)                                \
    M(s, 20, get_metrics, empty_record, core_metrics_reply)                                        \
    M(s, 30, add_fault, core_fault, empty_record)                                                  \
    M(s, 31, list_faults, empty_record, core_faults_reply)                                         \
    M(s, 32, clear_faults, core_fault_filter, empty_record)
RPC_SERVICE_DECLARE(core, CORE_METHODS)
