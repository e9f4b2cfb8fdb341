/* storage.h - the storage role: disks with targets, replicated over chains.
 *
 * Rules of replication: docs/replication.md. Files: target.c (roles), update.c forward.c recover.c
 * (updates), read.c confirm.c (reads), resync.c sync_receive.c (filling a target), repair.c scrub.c
 * (damaged data), targets.c (which targets there are), service.c (calls), chunk_store.h (what is on
 * a disk).
 */
#pragma once
#include "config/settings.h"
#include "loop/node.h"

#define STORAGE_SETTINGS(S)                                                                        \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster")                      \
    S(U32, node_id, "node_id", "0", NODE, "number of this node, unique in the cluster")            \
    S(TEXT, listen, "listen", "TCP://0.0.0.0:8000", NODE, "address to serve at")                   \
    S(TEXT, listen_unix, "listen_unix", "", NODE,                                                  \
      "unix socket for callers on this host; empty: none")                                         \
    S(TEXT_LIST, advertise, "advertise", "", NODE,                                                 \
      "addresses that others use; empty: as listen, with the host's name")                         \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "addresses of the cluster managers")   \
    S(TEXT, cluster_key, "cluster_key", "", NODE, "k1:...: what the servers of a cluster share")   \
    S(TEXT_LIST, target_paths, "target_paths", "", NODE, "a directory for each disk")              \
    S(SIZE, reserve_bytes, "disk.reserve", "0", COLD,                                              \
      "of each file system left alone; 0: 1 % of it, at least 64MB")                               \
    S(SIZE, capacity_bytes, "disk.capacity", "0", COLD, "at most that much of each; 0: all")       \
    S(U32, shard_count, "disk.shards", "1", COLD, "of a new disk; a power of two")                 \
    S(SIZE, buffer_bytes, "buffers", "256MB", COLD, "memory for data on its way")                  \
    S(U32, resync_concurrency, "resync.concurrency", "32", COLD,                                   \
      "chunks that are moved at a time")                                                           \
    S(SIZE, resync_bandwidth, "resync.bandwidth", "0", HOT,                                        \
      "bytes a second sent by resyncs; 0: no bound")                                               \
    S(SIZE, scrub_bandwidth, "scrub.bandwidth", "16MB", HOT,                                       \
      "bytes a second of each disk read in the background to find damage; 0: none")                \
    S(DURATION, scrub_interval_ns, "scrub.interval", "7day", COLD,                                 \
      "from the end of one reading of a disk to the next")                                         \
    S(DURATION, tombstone_age_ns, "tombstone_age", "10min", COLD,                                  \
      "how long a removed chunk is remembered")                                                    \
    S(DURATION, check_ns, "disk.check_interval", "1s", COLD, "how often disks are looked at")      \
    S(DURATION, stop_grace_ns, "stop.grace", "5s", HOT,                                            \
      "how long a stop waits for running requests")
SETTINGS_STRUCT(storage_settings, STORAGE_SETTINGS)
extern const struct setting storage_settings_table[];
/* What the kinds of the settings cannot say: 0, or an error with one line. */
int storage_check_settings(const struct storage_settings *settings, struct arena *arena,
                           const char **ret_error) must_check;

/* The role's main: runs until cancelled, then stops cleanly. -ERR_INVALID_CONFIG and others after
 * one clear line when it cannot start. */
int storage_run(struct node *node, const struct storage_settings *settings) fiber_fn must_check;
