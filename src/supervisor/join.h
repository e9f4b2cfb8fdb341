/* join.h - a directory of c3fs join: one storage of a cluster that another machine runs.
 *
 *   DIR/join.toml                what was asked for, and the node's number
 *   DIR/cluster.key              of that cluster (0600)
 *   DIR/etc, log, run            as of c3fs up; c3fs down and c3fs status work on it as well
 *
 * It is either this or a cluster of c3fs up, never both.
 */
#pragma once
#include "config/settings.h"
#include "supervisor/plan.h"

#define JOIN_SETTINGS(S)                                                                           \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster")                      \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "addresses of the cluster managers")   \
    S(U32, node_id, "node_id", "0", NODE, "of the storage")                                        \
    S(TEXT, listen, "listen", "", NODE, "TCP://host:port")                                         \
    S(TEXT, advertise, "advertise", "", NODE, "the same, as others reach it")                      \
    S(TEXT_LIST, disks, "target_paths", "", NODE, "a directory for each disk")
SETTINGS_STRUCT(join_settings, JOIN_SETTINGS)
extern const struct setting join_settings_table[];

/* 1: DIR/join.toml was read; 0: there is none. *ret lies in @arena. */
int join_load(const char *dir, struct arena *arena, struct join_settings *ret,
              const char **ret_error) must_check;
/* Writes DIR/join.toml and DIR/cluster.key; makes the directory. */
int join_save(const char *dir, const struct join_settings *settings, const char *key,
              struct arena *arena, const char **ret_error) must_check;
/* The storage as the one process to supervise, with its file of settings; the key is that of
 * DIR/cluster.key. All memory is the arena's. */
int join_plan_make(const char *dir, const struct join_settings *settings, const char *binary,
                   struct arena *arena, struct plan *ret, const char **ret_error) must_check;
