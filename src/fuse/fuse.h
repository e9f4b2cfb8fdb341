/* fuse.h - the FUSE role: mounts the file system and serves the kernel on one thread.
 *
 * Consistency between mounts is close-to-open: open asks meta for the inode and keeps the page
 * cache only if its change counter is the one this mount saw last. Inside one mount everything is
 * seen at once.
 */
#pragma once
#include "config/settings.h"
#include "loop/node.h"

#define FUSE_SETTINGS(S)                                                                           \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster, less than 32 bytes")  \
    S(TEXT, mountpoint, "mountpoint", "/mnt/3fs", NODE, "where to mount; an existing directory")   \
    S(TEXT, token, "token", "", NODE, "token of the user for whom the mount works")                \
    S(TEXT, token_file, "token_file", "", NODE, "file with the token, when token is empty")        \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "addresses of the cluster managers")   \
    S(BOOL, allow_other, "allow_other", "true", NODE,                                              \
      "other users than the mounting one may enter")                                               \
    S(DURATION, timeout_ns, "timeout", "2min", HOT,                                                \
      "an operation that takes longer fails with EIO")                                             \
    S(DOUBLE, attr_timeout, "attr_timeout", "30", HOT,                                             \
      "seconds that the kernel trusts attributes")                                                 \
    S(DOUBLE, entry_timeout, "entry_timeout", "30", HOT, "seconds that the kernel trusts names")   \
    S(DOUBLE, negative_timeout, "negative_timeout", "5", HOT,                                      \
      "seconds that the kernel trusts absence")                                                    \
    S(DOUBLE, symlink_timeout, "symlink_timeout", "5", HOT,                                        \
      "seconds that the kernel trusts symlinks")                                                   \
    S(BOOL, enable_read_cache, "enable_read_cache", "true", HOT, "use the page cache for reads")   \
    S(BOOL, readonly, "readonly", "false", HOT, "refuse every change")                             \
    S(BOOL, dryrun_bench_mode, "dryrun_bench_mode", "false", HOT, "reads and writes move no data") \
    S(BOOL, flush_on_stat, "flush_on_stat", "true", HOT,                                           \
      "stat of a file being written writes its buffer first")                                      \
    S(BOOL, sync_on_stat, "sync_on_stat", "true", HOT, "and settles its length")                   \
    S(SIZE, write_buffer_bytes, "io_bufs.write_buf_size", "1MB", COLD,                             \
      "bytes gathered before they are sent")                                                       \
    S(U32, write_inflight_count, "io_bufs.max_inflight", "8", COLD,                                \
      "buffers of a file on their way at a time")                                                  \
    S(SIZE, readahead_bytes, "max_readahead", "16MB", COLD, "how far the kernel reads ahead")      \
    S(BOOL, periodic_sync_enable, "periodic_sync.enable", "true", HOT,                             \
      "settle open files now and then")                                                            \
    S(DURATION, periodic_sync_ns, "periodic_sync.interval", "30s", HOT, "how often")               \
    S(BOOL, periodic_sync_flush, "periodic_sync.flush_write_buf", "true", HOT,                     \
      "also write buffers")                                                                        \
    S(DURATION, io_job_deq_timeout_ns, "io_job_deq_timeout", "1ms", HOT,                           \
      "of rings in shared memory; kept, without effect in this release")                           \
    S(U32, io_worker_coros_hi, "io_worker_coros.hi", "8", HOT,                                     \
      "of rings in shared memory; kept, without effect in this release")                           \
    S(U32, io_worker_coros_lo, "io_worker_coros.lo", "8", HOT,                                     \
      "of rings in shared memory; kept, without effect in this release")                           \
    S(U32, max_jobs_per_ioring, "max_jobs_per_ioring", "32", HOT,                                  \
      "of rings in shared memory; kept, without effect in this release")                           \
    S(U32, rdma_transmission_count, "storage.net_client.rdma_control.max_concurrent_transmission", \
      "64", HOT, "of RDMA; kept, without effect in this release")
SETTINGS_STRUCT(fuse_settings, FUSE_SETTINGS)
extern const struct setting fuse_settings_table[];

/* Mounts and serves until cancelled or unmounted. 0 after an orderly end. @settings belongs to the
 * mount while it runs: set-conf changes its HOT fields. Prints nothing; logs one line when mounted.
 */
int fuse_run(struct node *node, struct fuse_settings *settings) fiber_fn must_check;
