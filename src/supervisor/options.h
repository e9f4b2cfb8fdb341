/* options.h - what a cluster on one host is asked to be: flags of up over what the first up was
 * told. */
#pragma once
#include "config/settings.h"

/* COLD: of the cluster for good. HOT: of each up. */
#define CLUSTER_SETTINGS(S)                                                                        \
    S(TEXT, cluster_id, "cluster_id", "default", COLD, "name of the cluster")                      \
    S(U32, storage_count, "storages", "5", COLD, "storage services, each with a directory")        \
    S(U32, replica_count, "replicas", "3", COLD, "copies of the data")                             \
    S(U32, mgmtd_count, "mgmtds", "1", COLD, "cluster managers; one of them leads")                \
    S(U32, meta_count, "metas", "2", COLD, "metadata services")                                    \
    S(SIZE, chunk_bytes, "chunk_size", "1MB", COLD, "of the root directory")                       \
    S(TEXT, mount, "mount", "", HOT, "where it is mounted; empty: /mnt/c3fs, or ~/mnt/c3fs")       \
    S(U32, port_base, "port_base", "18000", HOT, "first port of the cluster's block")              \
    S(TEXT, listen, "listen", "127.0.0.1", HOT,                                                    \
      "address that its services listen at; 0.0.0.0: all of this host")                            \
    S(TEXT, advertise, "advertise", "", HOT,                                                       \
      "host that other machines reach it by; empty: as listen")                                    \
    S(BOOL, one_process, "one_process", "true", HOT,                                               \
      "all services in one process; false: one each")                                              \
    S(BOOL, no_mount, "no_mount", "false", HOT, "nothing is mounted")                              \
    S(DURATION, timeout_ns, "timeout", "2min", HOT,                                                \
      "an operation on the mount that waits longer for servers fails with EIO")
SETTINGS_STRUCT(cluster_settings, CLUSTER_SETTINGS)
extern const struct setting cluster_settings_table[];

enum { STORAGE_COUNT_MAX = 64, META_COUNT_MAX = 8, MGMTD_COUNT_MAX = 7, REPLICA_COUNT_MAX = 8 };

struct cluster_options {
    const char *dir; /* absolute */
    struct cluster_settings settings;
    const char
        *first_setting; /* the first flag that is a setting of up, as it was given, or NULL */
    bool is_new;        /* there is no cluster in the directory yet */
    bool is_joined;     /* it is a directory of c3fs join */
    bool help, json, foreground;
};

/* Reads flags (argv[0] is the command) and, if it is there, DIR/cluster.toml. Flags: --dir, --json,
 * --foreground, --help, and one for each key of CLUSTER_SETTINGS with '-' for '_'; a boolean one
 * needs no value. -ERR_WRONG_USAGE or the errors of settings.h, *ret_error one line. */
int cluster_options_parse(int argc, char *const *argv, struct arena *arena,
                          struct cluster_options *ret, const char **ret_error) must_check;
/* Writes DIR/cluster.toml; makes the directory. */
int cluster_options_save(const struct cluster_options *options, struct arena *arena,
                         const char **ret_error) must_check;
