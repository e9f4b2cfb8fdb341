/* commands.h - the groups of commands, each in a file of its own. */
#pragma once
#include "admin/admin.h"

extern const struct command_spec cluster_commands[];
extern const struct command_spec bootstrap_commands[];
extern const struct command_spec config_commands[];
extern const struct command_spec status_commands[];
extern const struct command_spec drain_commands[];
extern const struct command_spec event_commands[];
extern const struct command_spec top_commands[];
extern const struct command_spec user_commands[];
extern const struct command_spec node_commands[];
extern const struct command_spec chain_commands[];
extern const struct command_spec chain_file_commands[];
extern const struct command_spec target_commands[];
extern const struct command_spec chunk_commands[];
extern const struct command_spec file_commands[];
extern const struct command_spec stat_commands[];
extern const struct command_spec data_commands[];
extern const struct command_spec checksum_commands[];
extern const struct command_spec fault_commands[];
extern const struct command_spec meta_commands[];
extern const struct command_spec fsck_commands[];
extern const struct command_spec tree_commands[];
extern const struct command_spec fill_commands[];
extern const struct command_spec bench_commands[];
extern const struct command_spec read_bench_commands[];

extern const struct command_spec live_config_commands[];

/* MGMTD, META, STORAGE, CLIENT or FUSE; failures are printed. */
int config_type_parse(struct admin *a, const char *text) must_check;
/* A call to the core service of the node or address that --node-id or --address names. */
int core_call(struct admin *a, const struct arguments *args, const struct rpc_method *method,
              const void *req, void *rep) fiber_fn must_check;
/* A local file that is TOML. Failures are printed. */
int config_file_read(struct admin *a, const char *path, struct bytes *ret) fiber_fn must_check;

/* All nodes as the primary knows them now (arena): what a watcher holds has the times of their last
 * change. Failures are printed. */
int nodes_fetch(struct admin *a, const struct node_info **ret,
                size_t *ret_count) fiber_fn must_check;
/* OK, LOW (below 4 % free, as the storage tells it in its heartbeats), FULL or FAILED. */
const char *disk_state_name(const struct disk_info *disk);
/* Which replica is read: of --mode; NULL: any. Failures are printed. */
int read_mode_parse(struct admin *a, const char *text, struct read_options *ret) must_check;

/* An inode by its id. Failures are printed. */
int inode_by_id(struct admin *a, uint64_t id, struct inode *ret) fiber_fn must_check;
/* By its path or, when @is_id, by its id as text. */
int inode_walk(struct admin *a, const char *path, bool is_id, bool follow,
               struct inode *ret) fiber_fn must_check;
enum inode_details { INODE_LAYOUT = 1, INODE_CHAINS = 2 };
/* The block of stat, with what @details says of the layout. */
void inode_print(struct admin *a, const struct inode *i, uint32_t details);
const char *inode_type_name(uint32_t mode); /* File, Directory, Symlink, ... */
